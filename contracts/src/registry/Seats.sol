// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {LibBit} from "solady/utils/LibBit.sol";

import {Stage} from "../Types.sol";
import {Standing} from "./Standing.sol";

/// @title Seats
/// @notice Who sits where, and from which epoch on: 128 seats, and the order in which newcomers begin.
abstract contract Seats is Standing {
    /// @notice Sequencers that the latest state seats, members or about to be, without those that are jailed.
    function memberCount() public view returns (uint256) {
        return LibBit.popCount(_occupied) - _jailed;
    }

    /// @notice The epoch from which on a sequencer is a member that registers now.
    function entryEpoch() public view returns (uint64 epoch) {
        epoch = _changeEpoch();
        // Whoever founds the chain begins with it.
        if (_genesisL1Block == 0 || epoch > _entryEpoch) return epoch;
        return _entries < ENTRIES_PER_EPOCH ? _entryEpoch : _entryEpoch + 1;
    }

    /// @dev Takes the newcomer's place in the order of entry.
    function _enter() internal returns (uint64 epoch) {
        epoch = entryEpoch();
        if (_genesisL1Block == 0) return epoch;
        // Epochs are below 2^40, and entries at most four.
        _entries = epoch == _entryEpoch ? _entries + 1 : 1;
        _entryEpoch = uint48(epoch);
    }

    /// @dev Seated sequencers less those that begin only after `epoch`: so many members of it can be counted on. Exact while
    /// the chain lives: who begins later cannot exit, and has signed nothing yet for which it could be ejected or jailed.
    /// @param epoch The next that can be changed.
    function _staying(uint64 epoch) internal view returns (uint256 members) {
        members = memberCount();
        if (_entryEpoch <= epoch) return members;
        uint256 late = _entries + uint256(_entryEpoch - epoch - 1) * ENTRIES_PER_EPOCH;
        // On an abandoned chain more may be gone than there are.
        return members > late ? members - late : 0;
    }

    /// @dev Seats the owner on the lowest free seat, or on the one that it had when nobody has taken that since: an owner
    /// must never be the occupant of two seats in one epoch.
    function _takeSeat(address owner, uint64 effectiveEpoch) internal returns (uint8) {
        uint256 occupied = _occupied;
        uint256 seat = _sequencers[owner].seat;
        bool again = _sequencers[owner].admission != 0 && _latestOccupant(seat) == owner;
        if (!again) {
            seat = LibBit.ffs(~occupied);
            if (seat >= MEMBERS_MAX) revert SequencerRegistry__CommitteeFull(MEMBERS_MAX);
            _terms[seat].push(SeatTerm(effectiveEpoch, owner));
        }
        // Seats are below 128.
        _occupied = uint128(occupied | (1 << seat));
        if (seat >= _seatsUsed) _seatsUsed = uint8(seat + 1);
        return uint8(seat);
    }

    /// @dev The owner keeps its place in the seat's list, with weight 0, until somebody else takes the seat.
    function _leave(address owner, uint64 effectiveEpoch) internal {
        Sequencer storage sequencer_ = _sequencers[owner];
        if (sequencer_.stage == Stage.Jailed) --_jailed;
        // While an ejection waits there is one member only, so it is this one.
        else if (_ejectionWaits) _ejectionWaits = false;
        sequencer_.stage = Stage.Left;
        _occupied &= ~uint128(1 << sequencer_.seat);
        // Never before the checkpoint's own epoch: what is not fixed yet begins with the next epoch that can be, or later.
        // Epochs are below 2^40.
        _checkpoints[owner][sequencer_.checkpoints - 1].untilEpoch = uint48(effectiveEpoch);
    }

    /// @dev Lets the one member go whose ejection waited, if it did, now that another is one from `effectiveEpoch` on.
    function _ejectWaiting(uint64 effectiveEpoch) internal {
        if (!_ejectionWaits) return;
        uint256 seats = _occupied;
        address owner = _latestOccupant(LibBit.ffs(seats));
        // All others that are seated have not offended: the newcomer, and who is in jail.
        while (_sequencers[owner].lastOffence == 0) {
            seats &= seats - 1;
            owner = _latestOccupant(LibBit.ffs(seats));
        }
        _leave(owner, effectiveEpoch);
        emit Ejected(owner, effectiveEpoch);
    }

    function _latestOccupant(uint256 seat) internal view returns (address) {
        SeatTerm[] storage terms = _terms[seat];
        return terms[terms.length - 1].owner;
    }

    function _occupantAt(uint256 seat, uint64 epoch) internal view returns (address) {
        SeatTerm[] storage terms = _terms[seat];
        uint256 low = 0;
        uint256 high = terms.length;
        while (low < high) {
            uint256 middle = (low + high) / 2;
            if (terms[middle].effectiveEpoch <= epoch) low = middle + 1;
            else high = middle;
        }
        return low == 0 ? address(0) : terms[low - 1].owner;
    }
}
