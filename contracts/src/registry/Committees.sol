// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {LibSort} from "solady/utils/LibSort.sol";

import {Member} from "../Types.sol";
import {ContentStore} from "../libraries/ContentStore.sol";
import {LeaderSchedule} from "../libraries/LeaderSchedule.sol";
import {Weights} from "../libraries/Weights.sol";
import {Seats} from "./Seats.sol";

/// @title Committees
/// @notice Who the members of an epoch are, with which weights, and whose turn it is.
abstract contract Committees is Seats {
    /// @notice Stores the committee of `epoch` so that certificates of it can be checked; does nothing when it is
    /// stored. Anyone may call once the committee is fixed, one epoch before it runs.
    /// @dev O(members). Keys are stored in chunks of 64, and a chunk, or the whole content, that an earlier epoch had
    /// is used again.
    function materialize(uint64 epoch) external {
        if (isMaterialized(epoch)) return;
        (uint256[] memory entries, uint64[] memory weights, uint64 total) = _roster(epoch);
        address[] memory keys = new address[](entries.length);
        for (uint256 i = 0; i < entries.length; ++i) {
            keys[i] = _keys[_entryKey(entries[i])];
        }
        emit CommitteeMaterialized(epoch, keys.length, total, CERTIFICATES.store(epoch, keys, weights, total));
    }

    /// @notice The members of `epoch` in ascending order of owner, with clipped weights. Works for every epoch from
    /// `FIRST_EPOCH` to the one after the present, materialized or not.
    function committee(uint64 epoch) external view returns (Member[] memory members) {
        (uint256[] memory entries, uint64[] memory weights,) = _roster(epoch);
        members = new Member[](entries.length);
        for (uint256 i = 0; i < entries.length; ++i) {
            uint32 keyId = _entryKey(entries[i]);
            members[i] =
                Member(_entryOwner(entries[i]), _feeRecipients[keyId], weights[i], ContentStore.get(_keys[keyId]));
        }
    }

    /// @notice The owners alone of `committee(epoch)`, in the same order.
    function owners(uint64 epoch) external view returns (address[] memory) {
        (uint256[] memory entries,,) = _roster(epoch);
        return _ownersOf(entries);
    }

    /// @notice Sum of the clipped weights of `epoch`; below 2^63.
    function totalWeight(uint64 epoch) external view returns (uint64 total) {
        total = CERTIFICATES.totalWeight(epoch);
        if (total == 0) (,, total) = _roster(epoch);
    }

    /// @notice Whether certificates of `epoch` can be checked.
    function isMaterialized(uint64 epoch) public view returns (bool) {
        return CERTIFICATES.isMaterialized(epoch);
    }

    /// @notice As `Certificates.verifyQuorum`, which contracts call at less cost.
    function verifyQuorum(uint64 epoch, bytes32 digest, uint256 bitmap, bytes calldata signature) external view {
        CERTIFICATES.verifyQuorum(epoch, digest, bitmap, signature);
    }

    /// @notice Leaders of the views [firstView, firstView + count) of `epoch`, as member indexes; views start at 1.
    /// @param randomness `prevrandao` of the L1 block at `epochStart(epoch - 1) + epochBlocks / 2`.
    function leaderSchedule(uint64 epoch, bytes32 randomness, uint64 firstView, uint64 count)
        external
        view
        returns (uint8[] memory)
    {
        return SCHEDULES.turns(LeaderSchedule.LEADER_TAG, _scheduleInputs(epoch, randomness), firstView, count);
    }

    /// @notice Posters of the turns [firstTurn, firstTurn + count) of `epoch`, as member indexes; turns start at 1.
    /// @param randomness As for `leaderSchedule`.
    function postingSchedule(uint64 epoch, bytes32 randomness, uint64 firstTurn, uint64 count)
        external
        view
        returns (uint8[] memory)
    {
        return SCHEDULES.turns(LeaderSchedule.POST_TAG, _scheduleInputs(epoch, randomness), firstTurn, count);
    }

    /// @dev The members of `epoch` as packed entries in ascending order of owner, and their clipped weights.
    function _roster(uint64 epoch)
        internal
        view
        returns (uint256[] memory entries, uint64[] memory weights, uint64 total)
    {
        _requireFixed(epoch);
        uint256 seats = _seatsUsed;
        entries = new uint256[](seats);
        uint256 count = 0;
        for (uint256 seat = 0; seat < seats; ++seat) {
            address owner = _occupantAt(seat, epoch);
            Checkpoint memory standing = _checkpointAt(owner, epoch);
            if (standing.weight == 0) continue;
            // The owner leads, so that ordering entries orders owners. Weights are below 2^56, key ids below 2^32.
            entries[count++] = (uint256(uint160(owner)) << 96) | (uint256(standing.weight) << 32) | standing.keyId;
        }
        assembly ("memory-safe") {
            mstore(entries, count)
        }
        LibSort.sort(entries);
        weights = new uint64[](count);
        for (uint256 i = 0; i < count; ++i) {
            // Truncation is meant: 64 bits above the key id are the weight, as owners start at bit 96.
            weights[i] = uint64(entries[i] >> 32);
        }
        total = Weights.clip(weights);
    }

    function _ownersOf(uint256[] memory entries) internal pure returns (address[] memory found) {
        found = new address[](entries.length);
        for (uint256 i = 0; i < entries.length; ++i) {
            found[i] = _entryOwner(entries[i]);
        }
    }

    function _entryOwner(uint256 entry) internal pure returns (address) {
        return address(uint160(entry >> 96));
    }

    function _entryKey(uint256 entry) internal pure returns (uint32) {
        // Truncation is meant: the lowest 32 bits are the key id.
        return uint32(entry);
    }

    function _scheduleInputs(uint64 epoch, bytes32 randomness)
        internal
        view
        returns (LeaderSchedule.Inputs memory inputs)
    {
        (uint256[] memory entries, uint64[] memory weights,) = _roster(epoch);
        inputs = LeaderSchedule.Inputs(
            block.chainid, address(this), L2_CHAIN_ID, epoch, randomness, _ownersOf(entries), weights
        );
    }
}
