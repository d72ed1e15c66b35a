// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Member} from "../Types.sol";
import {Seats} from "./Seats.sol";

/// @title Committees
/// @notice What the seats say about an epoch, and questions about committees, which `ROSTERS` and `CERTIFICATES` answer.
abstract contract Committees is Seats {
    /// @notice Who is a member of `epoch`, by seat: owner << 96 | weight before clipping << 32 | id of the key.
    function roster(uint64 epoch) external view returns (uint256[] memory entries) {
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
    }

    /// @notice Where the keys of these entries of a roster lie: accounts whose code is a zero byte and the key.
    function keyPointers(uint256[] calldata entries) external view returns (address[] memory pointers) {
        pointers = new address[](entries.length);
        for (uint256 i = 0; i < entries.length; ++i) {
            // Truncation is meant: the lowest 32 bits are the key's id.
            pointers[i] = _keys[uint32(entries[i])];
        }
    }

    /// @notice Who is paid the fees of blocks that are proposed under a key.
    function feeRecipientOf(uint32 keyId) external view returns (address) {
        return _feeRecipients[keyId];
    }

    /// @notice As `Rosters.materialize`.
    function materialize(uint64 epoch) external {
        ROSTERS.materialize(epoch);
    }

    /// @notice As `Rosters.materializeKeys`.
    function materializeKeys(uint64 epoch, uint256 chunk) external {
        ROSTERS.materializeKeys(epoch, chunk);
    }

    /// @notice As `Rosters.committee`.
    function committee(uint64 epoch) external view returns (Member[] memory) {
        assembly ("memory-safe") {
            pop(epoch)
        }
        _passOn(address(ROSTERS));
    }

    /// @notice As `Rosters.owners`.
    function owners(uint64 epoch) external view returns (address[] memory) {
        assembly ("memory-safe") {
            pop(epoch)
        }
        _passOn(address(ROSTERS));
    }

    /// @notice As `Rosters.totalWeight`.
    function totalWeight(uint64 epoch) external view returns (uint64) {
        assembly ("memory-safe") {
            pop(epoch)
        }
        _passOn(address(ROSTERS));
    }

    /// @notice As `Rosters.leaderSchedule`.
    function leaderSchedule(uint64 epoch, bytes32 randomness, uint64 firstView, uint64 count)
        external
        view
        returns (uint8[] memory)
    {
        assembly ("memory-safe") {
            pop(epoch)
            pop(randomness)
            pop(firstView)
            pop(count)
        }
        _passOn(address(ROSTERS));
    }

    /// @notice As `Rosters.postingSchedule`.
    function postingSchedule(uint64 epoch, bytes32 randomness, uint64 firstTurn, uint64 count)
        external
        view
        returns (uint8[] memory)
    {
        assembly ("memory-safe") {
            pop(epoch)
            pop(randomness)
            pop(firstTurn)
            pop(count)
        }
        _passOn(address(ROSTERS));
    }

    /// @notice As `Certificates.isMaterialized`.
    function isMaterialized(uint64 epoch) external view returns (bool) {
        assembly ("memory-safe") {
            pop(epoch)
        }
        _passOn(address(CERTIFICATES));
    }

    /// @notice As `Certificates.verifyQuorum`, which contracts call at less cost.
    function verifyQuorum(uint64 epoch, bytes32 digest, uint256 bitmap, bytes calldata signature) external view {
        assembly ("memory-safe") {
            pop(epoch)
            pop(digest)
            pop(bitmap)
            pop(signature.offset)
        }
        _passOn(address(CERTIFICATES));
    }

    /// @dev Ends this call with what `target` answers to the same call: both have a function of this name and these
    /// arguments. Never returns, which saves this contract from taking answers apart only to put them together again. Callers
    /// drop their arguments by hand: they have names for who reads the ABI.
    function _passOn(address target) private view {
        assembly {
            calldatacopy(0, 0, calldatasize())
            let ok := staticcall(gas(), target, 0, calldatasize(), 0, 0)
            returndatacopy(0, 0, returndatasize())
            if ok { return(0, returndatasize()) }
            revert(0, returndatasize())
        }
    }
}
