// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BatchInbox} from "../BatchInbox.sol";
import {Stage} from "../Types.sol";
import {Seats} from "./Seats.sol";

/// @title Exits
/// @notice Leaving by choice, and the queue of those who must wait until others have come.
abstract contract Exits is Seats {
    /// Places of the exit queue that one registration looks at.
    uint256 private constant EXITS_SERVED_MAX = 64;

    /// @notice Asks to leave. The caller is no member from two epochs after the present one on, or, where fewer than
    /// `minCommittee` would be left then, once others have come: who asked first leaves first, with the next registration
    /// or call of this by any who wait. Nobody waits before the activation, in jail, or after the abandonment of the chain;
    /// who waited then calls again.
    function exit() external {
        Stage stage = _requireSeated(msg.sender);
        bool free = _genesisL1Block == 0 || (_exitsServed == _exitsQueued && _staying(_changeEpoch()) > MIN_COMMITTEE);
        if (free || stage == Stage.Jailed || BatchInbox(INBOX).abandonedAt() != 0) {
            _exit(msg.sender);
            return;
        }
        if (stage != Stage.Leaving) {
            _sequencers[msg.sender].stage = Stage.Leaving;
            uint32 position = _exitsQueued++;
            _exits[position] = ExitRequest(msg.sender, _sequencers[msg.sender].admission);
            emit ExitDelayed(msg.sender, position);
        }
        bool served = _serveExits();
        if (stage == Stage.Leaving && !served) revert SequencerRegistry__ExitWaits(msg.sender);
    }

    function _exit(address owner) internal {
        uint64 effectiveEpoch = _changeEpochOf(_latestCheckpoint(owner));
        _leave(owner, effectiveEpoch);
        emit Exited(owner, effectiveEpoch);
    }

    /// @dev Lets those go that wait longest, as far as enough members stay. Who left in another way is passed over; at most
    /// so many in one call that nobody can make registering dear, and the rest in the next.
    /// @return served Whether the caller was among them.
    function _serveExits() internal returns (bool served) {
        (uint32 next, uint32 queued) = (_exitsServed, _exitsQueued);
        if (next == queued) return false;
        uint64 epoch = _changeEpoch();
        for (uint256 i = 0; i < EXITS_SERVED_MAX && next != queued && _staying(epoch) > MIN_COMMITTEE; ++i) {
            ExitRequest memory request = _exits[next];
            delete _exits[next++];
            Sequencer storage sequencer_ = _sequencers[request.owner];
            if (sequencer_.stage == Stage.Leaving && sequencer_.admission == request.admission) {
                _exit(request.owner);
                if (request.owner == msg.sender) served = true;
            }
        }
        _exitsServed = next;
    }
}
