// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Stage} from "../Types.sol";
import {Exits} from "./Exits.sol";

/// @title Jails
/// @notice No weight for who was long away, until it says that it is back. Costs no bond, and holds nobody: in jail one may
/// leave, change keys, and be penalized as outside.
abstract contract Jails is Exits {
    /// @notice Takes `owner` out of the committee from two epochs after the present one on, and keeps its seat. Only the
    /// contract of rewards and jail calls.
    /// @param missedFrom The first of the epochs for which it is judged. It must have been a member then in its present
    /// admission, and since it came back from jail.
    /// @return jailed Whether it is jailed now and was not before. Nobody is where `minCommittee` or fewer would be members.
    function jail(address owner, uint64 missedFrom) external returns (bool jailed) {
        if (msg.sender != LIVENESS) revert SequencerRegistry__OnlyLiveness(LIVENESS, msg.sender);
        Checkpoint memory standing = _standingAt(owner, missedFrom);
        Sequencer storage sequencer_ = _sequencers[owner];
        Stage stage = sequencer_.stage;
        if (stage != Stage.Seated && stage != Stage.Leaving) return false;
        if (standing.weight == 0 || standing.admission != sequencer_.admission) return false;
        if (missedFrom < _jailTerms[owner].back || _staying(_changeEpoch()) <= MIN_COMMITTEE) return false;

        Checkpoint memory latest = _latestCheckpoint(owner);
        (latest.weight, latest.effectiveEpoch) = (0, _changeEpochOf(latest));
        _writeCheckpoint(owner, latest);
        sequencer_.stage = Stage.Jailed;
        // At most as many as there are seats.
        ++_jailed;
        _jailTerms[owner].since = latest.effectiveEpoch;
        emit Jailed(owner, latest.effectiveEpoch);
        return true;
    }

    /// @notice Makes the caller, which is jailed, a member again from two epochs after the present one on, once that is at
    /// least `jailEpochs` after it ceased to be one.
    function unjail() external {
        if (_sequencers[msg.sender].stage != Stage.Jailed) revert SequencerRegistry__NotJailed(msg.sender);
        Checkpoint memory latest = _latestCheckpoint(msg.sender);
        uint48 effectiveEpoch = _changeEpochOf(latest);
        uint64 firstEpoch = _jailTerms[msg.sender].since + JAIL_EPOCHS;
        if (effectiveEpoch < firstEpoch) revert SequencerRegistry__JailedUntil(firstEpoch, effectiveEpoch);

        _ejectWaiting(effectiveEpoch);
        _sequencers[msg.sender].stage = Stage.Seated;
        --_jailed;
        _jailTerms[msg.sender].back = effectiveEpoch;
        latest.weight = _weightOf(msg.sender, _sequencers[msg.sender].bond);
        latest.effectiveEpoch = effectiveEpoch;
        _writeCheckpoint(msg.sender, latest);
        emit Unjailed(msg.sender, effectiveEpoch);
        _serveExits(EXITS_SERVED_MAX);
    }

    /// @notice First epoch of which `owner` is no member for being jailed, and the first of which it can be one again; 0 and
    /// 0 while it is not jailed.
    function jailOf(address owner) external view returns (uint64 since, uint64 until) {
        if (_sequencers[owner].stage != Stage.Jailed) return (0, 0);
        since = _jailTerms[owner].since;
        until = since + JAIL_EPOCHS;
    }
}
