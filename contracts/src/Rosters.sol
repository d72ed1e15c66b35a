// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {LibSort} from "solady/utils/LibSort.sol";

import {Certificates} from "./Certificates.sol";
import {SequencerRegistry} from "./SequencerRegistry.sol";
import {Member} from "./Types.sol";
import {ContentStore} from "./libraries/ContentStore.sol";
import {LeaderSchedule} from "./libraries/LeaderSchedule.sol";
import {Weights} from "./libraries/Weights.sol";

/// @title Rosters
/// @notice Who the members of an epoch are, in order and with clipped weights, and whose turn it is: all of it computed from
/// what the registry says about each seat. A contract of its own for want of room in the registry, which deploys it for
/// itself and passes on what it is asked about committees.
/// @dev Stateless. What cannot be answered is refused with the registry's errors.
contract Rosters {
    /// @notice The registry that deployed this contract.
    SequencerRegistry public immutable REGISTRY;
    uint64 private immutable L2_CHAIN_ID;

    /// @notice The committee of `epoch` was stored for checking certificates.
    event CommitteeMaterialized(uint64 indexed epoch, uint256 members, uint64 totalWeight, address content);

    /// @param l2ChainId As the chain spec of the registry, which is not in place yet.
    constructor(uint64 l2ChainId) {
        REGISTRY = SequencerRegistry(msg.sender);
        L2_CHAIN_ID = l2ChainId;
    }

    /// @notice Stores the committee of `epoch` so that certificates of it can be checked; does nothing when it is
    /// stored. Anyone may call once the committee is fixed, one epoch before it runs.
    /// @dev O(members), and the logarithm of how often each has changed something. Where that is too much for one transaction
    /// `materializeKeys` does the greater part before.
    function materialize(uint64 epoch) external {
        Certificates certificates = REGISTRY.CERTIFICATES();
        if (certificates.isMaterialized(epoch)) return;
        (uint256[] memory entries, uint64[] memory weights, uint64 total) = _roster(epoch);
        address content = certificates.store(epoch, REGISTRY.keyPointers(entries), weights, total);
        emit CommitteeMaterialized(epoch, entries.length, total, content);
    }

    /// @notice Stores the keys of the members [64 * chunk, 64 * chunk + 64) of `epoch`, which `materialize` then finds. Does
    /// nothing when they are stored, or when there are no such members. Anyone may call.
    function materializeKeys(uint64 epoch, uint256 chunk) external {
        Certificates certificates = REGISTRY.CERTIFICATES();
        uint256[] memory entries = _sorted(epoch);
        uint256 chunkKeys = certificates.CHUNK_KEYS();
        if (chunk >= (entries.length + chunkKeys - 1) / chunkKeys) return;
        uint256 first = chunk * chunkKeys;
        uint256 end = entries.length - first < chunkKeys ? entries.length : first + chunkKeys;
        certificates.storeKeys(REGISTRY.keyPointers(_slice(entries, first, end)));
    }

    /// @notice The members of `epoch` in ascending order of owner, with clipped weights. Works for every epoch from
    /// `FIRST_EPOCH` to the one after the present, materialized or not.
    function committee(uint64 epoch) external view returns (Member[] memory members) {
        (uint256[] memory entries, uint64[] memory weights,) = _roster(epoch);
        address[] memory pointers = REGISTRY.keyPointers(entries);
        members = new Member[](entries.length);
        for (uint256 i = 0; i < entries.length; ++i) {
            // Truncation is meant: the lowest 32 bits are the key's id.
            address recipient = REGISTRY.feeRecipientOf(uint32(entries[i]));
            members[i] = Member(_ownerOf(entries[i]), recipient, weights[i], ContentStore.get(pointers[i]));
        }
    }

    /// @notice The owners alone of `committee(epoch)`, in the same order.
    function owners(uint64 epoch) external view returns (address[] memory) {
        (uint256[] memory entries,,) = _roster(epoch);
        return _ownersOf(entries);
    }

    /// @notice Sum of the clipped weights of `epoch`; below 2^63.
    function totalWeight(uint64 epoch) external view returns (uint64 total) {
        total = REGISTRY.CERTIFICATES().totalWeight(epoch);
        if (total == 0) (,, total) = _roster(epoch);
    }

    /// @notice Leaders of the views [firstView, firstView + count) of `epoch`, as member indexes; views start at 1.
    /// @param randomness `prevrandao` of the L1 block at `epochStart(epoch - 1) + epochBlocks / 2`.
    function leaderSchedule(uint64 epoch, bytes32 randomness, uint64 firstView, uint64 count)
        external
        view
        returns (uint8[] memory)
    {
        return LeaderSchedule.turns(LeaderSchedule.LEADER_TAG, _scheduleInputs(epoch, randomness), firstView, count);
    }

    /// @notice Posters of the turns [firstTurn, firstTurn + count) of `epoch`, as member indexes; turns start at 1.
    /// @param randomness As for `leaderSchedule`.
    function postingSchedule(uint64 epoch, bytes32 randomness, uint64 firstTurn, uint64 count)
        external
        view
        returns (uint8[] memory)
    {
        return LeaderSchedule.turns(LeaderSchedule.POST_TAG, _scheduleInputs(epoch, randomness), firstTurn, count);
    }

    /// @dev The members of `epoch` as packed entries in ascending order of owner, and their clipped weights.
    function _roster(uint64 epoch)
        private
        view
        returns (uint256[] memory entries, uint64[] memory weights, uint64 total)
    {
        entries = _sorted(epoch);
        weights = new uint64[](entries.length);
        for (uint256 i = 0; i < entries.length; ++i) {
            // Truncation is meant: 64 bits above the key id are the weight, as owners start at bit 96.
            weights[i] = uint64(entries[i] >> 32);
        }
        total = Weights.clip(weights);
    }

    /// @dev The members of `epoch` as packed entries in ascending order of owner.
    function _sorted(uint64 epoch) private view returns (uint256[] memory entries) {
        entries = REGISTRY.roster(epoch);
        LibSort.sort(entries);
    }

    function _slice(uint256[] memory entries, uint256 first, uint256 end) private pure returns (uint256[] memory part) {
        part = new uint256[](end - first);
        for (uint256 i = 0; i < part.length; ++i) {
            part[i] = entries[first + i];
        }
    }

    function _ownersOf(uint256[] memory entries) private pure returns (address[] memory found) {
        found = new address[](entries.length);
        for (uint256 i = 0; i < entries.length; ++i) {
            found[i] = _ownerOf(entries[i]);
        }
    }

    function _ownerOf(uint256 entry) private pure returns (address) {
        return address(uint160(entry >> 96));
    }

    function _scheduleInputs(uint64 epoch, bytes32 randomness)
        private
        view
        returns (LeaderSchedule.Inputs memory inputs)
    {
        (uint256[] memory entries, uint64[] memory weights,) = _roster(epoch);
        inputs = LeaderSchedule.Inputs(
            block.chainid, address(REGISTRY), L2_CHAIN_ID, epoch, randomness, _ownersOf(entries), weights
        );
    }
}
