// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title LeaderSchedule
/// @notice Seeded smooth weighted round robin: who leads each view of an epoch, and whose turn it is to post.
/// @dev Recomputed by anyone from L1; nothing on L1 rests on it. The Rust side of the same procedure and this one read
/// `test/vectors/schedule.json`.
///
/// In every prefix of turns a member has less than two turns too many, and less than 2 + H(n) too few, for n members
/// and H(n) = 1 + 1/2 + … + 1/n.
library LeaderSchedule {
    /// Domain of the leaders' schedule, one turn per view.
    string internal constant LEADER_TAG = "BATON_LEADER_V1";
    /// Domain of the posters' schedule, one turn per batch of the epoch.
    string internal constant POST_TAG = "BATON_POST_V1";

    /// @notice Turns are counted from 1.
    error LeaderSchedule__NoTurnZero();
    /// @notice A schedule needs at least one member, and one weight for each.
    error LeaderSchedule__BadCommittee(uint256 addresses, uint256 weights);

    /// @notice Everything that a schedule depends on.
    struct Inputs {
        uint256 l1ChainId;
        address registry;
        uint256 l2ChainId;
        uint256 epoch;
        /// `prevrandao` of the L1 block that the protocol names for this epoch.
        bytes32 randomness;
        /// Owners in ascending order, and their clipped weights, each at least 1, of a sum below 2^63.
        address[] addresses;
        uint64[] weights;
    }

    /// @notice The member index that has each of the turns [firstTurn, firstTurn + count); turns start at 1.
    /// @dev O(members) per turn from turn 1, whatever `firstTurn` is.
    function turns(string memory tag, Inputs memory inputs, uint256 firstTurn, uint256 count)
        internal
        pure
        returns (uint8[] memory schedule)
    {
        uint256 members = inputs.weights.length;
        if (firstTurn == 0) revert LeaderSchedule__NoTurnZero();
        if (members == 0 || inputs.addresses.length != members) {
            revert LeaderSchedule__BadCommittee(inputs.addresses.length, members);
        }
        int256 total = 0;
        for (uint256 i = 0; i < members; ++i) {
            total += int256(uint256(inputs.weights[i]));
        }
        int256[] memory priorities = initialPriorities(seed(tag, inputs), members, uint256(total));

        schedule = new uint8[](count);
        for (uint256 turn = 1; turn < firstTurn + count; ++turn) {
            uint256 leader = 0;
            for (uint256 i = 0; i < members; ++i) {
                priorities[i] += int256(uint256(inputs.weights[i]));
                if (priorities[i] > priorities[leader]) leader = i;
            }
            priorities[leader] -= total;
            // A committee has at most 128 members.
            if (turn >= firstTurn) schedule[turn - firstTurn] = uint8(leader);
        }
    }

    /// @notice The seed of one schedule.
    function seed(string memory tag, Inputs memory inputs) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                tag,
                inputs.l1ChainId,
                inputs.registry,
                inputs.l2ChainId,
                inputs.epoch,
                inputs.randomness,
                keccak256(abi.encode(inputs.addresses, inputs.weights))
            )
        );
    }

    /// @notice For each member a number uniform in [0, total).
    /// @dev Successive 8-byte words of keccak256(seed, i, k), k = 0, 1, …; a word at or above the largest multiple of
    /// `total` below 2^64 is skipped, as it would favour small numbers.
    function initialPriorities(bytes32 scheduleSeed, uint256 members, uint256 total)
        internal
        pure
        returns (int256[] memory priorities)
    {
        priorities = new int256[](members);
        uint256 unbiased = (2 ** 64 / total) * total;
        for (uint256 i = 0; i < members; ++i) {
            uint256 word = type(uint256).max;
            for (uint256 k = 0; word >= unbiased; ++k) {
                uint256 words = uint256(keccak256(abi.encode(scheduleSeed, i, k)));
                for (uint256 shift = 256; shift != 0 && word >= unbiased;) {
                    shift -= 64;
                    // Truncation is meant: the lowest eight bytes are the word.
                    word = uint64(words >> shift);
                }
            }
            // Below `total`, which is below 2^63.
            priorities[i] = int256(word % total);
        }
    }
}
