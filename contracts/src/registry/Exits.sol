// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BatchInbox} from "../BatchInbox.sol";
import {Stage} from "../Types.sol";
import {Seats} from "./Seats.sol";

/// @title Exits
/// @notice Leaving by choice, and the queue of those who must wait until others have come.
abstract contract Exits is Seats {
    /// Places of the exit queue that one registration, or one call of `exit`, looks at: nobody can make either dear.
    uint256 internal constant EXITS_SERVED_MAX = 64;

    /// @notice Asks to leave. The caller is no member from two epochs after the present one on, or, where fewer than
    /// `minCommittee` would be left then, once others have come: who asked first leaves first, with the next registration
    /// or call of this or of `serveExits`. Who waits may call again: its stage tells whether it still waits, since a call that
    /// let others go must not be undone. Nobody waits before the activation, in jail, or after the abandonment of the chain;
    /// who waited then calls again. A newcomer that begins later than two epochs after the present one is refused until then: those
    /// who come are counted by the epoch in which they begin, so none may be gone before.
    function exit() external {
        Stage stage = _requireSeated(msg.sender);
        uint64 epoch = _changeEpoch();
        uint64 firstEpoch = _latestCheckpoint(msg.sender).effectiveEpoch;
        bool free = firstEpoch <= epoch && _exitsServed == _exitsQueued && _staying(epoch) > MIN_COMMITTEE;
        if (free || _genesisL1Block == 0 || stage == Stage.Jailed || BatchInbox(INBOX).abandonedAt() != 0) {
            _exit(msg.sender);
            return;
        }
        if (firstEpoch > epoch) revert SequencerRegistry__BeginsLater(firstEpoch, epoch);
        if (stage != Stage.Leaving) {
            _sequencers[msg.sender].stage = Stage.Leaving;
            uint32 position = _exitsQueued++;
            _exits[position] = ExitRequest(msg.sender, _sequencers[msg.sender].admission);
            emit ExitDelayed(msg.sender, position);
        }
        _serveExits(EXITS_SERVED_MAX);
    }

    /// @notice Lets those go that wait to leave, in their order, as far as enough members stay. Anyone may call; it never
    /// reverts, and does nothing where nobody may go.
    /// @param places Most places of the queue to look at; one costs up to about 40,000 gas.
    function serveExits(uint256 places) external {
        _serveExits(places);
    }

    /// @notice The queue of exits: the place that is served next, and the place that the next one gets who has to wait.
    function exitQueue() external view returns (uint32 served, uint32 queued) {
        return (_exitsServed, _exitsQueued);
    }

    function _exit(address owner) internal {
        uint64 effectiveEpoch = _changeEpochOf(_latestCheckpoint(owner));
        _leave(owner, effectiveEpoch);
        emit Exited(owner, effectiveEpoch);
    }

    /// @dev Lets those go that wait longest, as far as enough members stay, and passes over who left in another way. Looks at
    /// no more than `places`, and leaves the rest to the next call.
    function _serveExits(uint256 places) internal {
        (uint32 next, uint32 queued) = (_exitsServed, _exitsQueued);
        if (next == queued) return;
        uint64 epoch = _changeEpoch();
        for (; places != 0 && next != queued && _staying(epoch) > MIN_COMMITTEE; --places) {
            ExitRequest memory request = _exits[next];
            delete _exits[next++];
            Sequencer storage sequencer_ = _sequencers[request.owner];
            if (sequencer_.stage == Stage.Leaving && sequencer_.admission == request.admission) _exit(request.owner);
        }
        _exitsServed = next;
    }
}
