// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Stage} from "../Types.sol";
import {Unbondings} from "./Unbondings.sol";

/// @title Penalties
/// @notice What an offence costs at once. Numbers move; the bond token is never called.
abstract contract Penalties is Unbondings {
    /// @notice Takes a penalty for an offence of `owner` in `epoch` and ejects it. Only the slasher calls.
    /// @dev The base penalty is taken once for each admission, and nothing from one whose bond was paid out. The bond
    /// token is not called. The ejection takes effect two epochs from now, or, for the last member, when another begins: one
    /// epoch later, or when somebody registers.
    /// @param everything Whether all of the bond is taken, whatever was taken before.
    /// @param reporter Who earns its share of the base penalty; zero: nobody.
    /// @return amount Taken from the bond, in base units; the base penalty is rounded down.
    /// @return previous Epoch of the offence that was charged to this admission before; 0: none was.
    /// @return weight The owner's in that epoch, before clipping.
    function penalize(address owner, uint64 epoch, bool everything, address reporter)
        external
        returns (uint256 amount, uint64 previous, uint64 weight)
    {
        if (msg.sender != SLASHER) revert SequencerRegistry__OnlySlasher(SLASHER, msg.sender);
        Checkpoint memory standing = _standingAt(owner, epoch);
        weight = standing.weight;
        if (weight == 0) revert SequencerRegistry__NotAMember(owner, epoch);
        Sequencer storage sequencer_ = _sequencers[owner];
        Stage stage = sequencer_.stage;
        // The bond of an earlier admission was paid out long ago.
        if (standing.admission != sequencer_.admission || stage == Stage.None) return (0, 0, weight);
        previous = sequencer_.lastOffence;
        if (previous != 0 && !everything) {
            // Epochs stay below 2^40: each has at least one L1 block.
            sequencer_.lastOffence = uint48(epoch);
            return (0, previous, weight);
        }

        uint256 ended = _endUnbonding(owner);
        if (ended != 0) emit UnbondingEnded(owner, ended);
        uint256 bond = sequencer_.bond;
        amount = bond * BASE_SLASH_BPS / BPS;
        uint256 reward = 0;
        if (reporter != address(0) && previous == 0) {
            reward = amount * REPORTER_BPS / BPS;
            _claimable[reporter] += reward;
        }
        if (everything) amount = bond;
        // Parts of a bond, which fits into 128 bits.
        (sequencer_.bond, sequencer_.lastOffence) = (uint128(bond - amount), uint48(epoch));
        _burnable += uint128(amount - reward);
        emit Penalized(owner, standing.admission, epoch, amount, reward);

        if (previous != 0 || stage == Stage.Left) return (amount, previous, weight);
        uint64 effectiveEpoch = _changeEpoch();
        if (stage != Stage.Jailed && _staying(effectiveEpoch) <= 1) {
            if (memberCount() == 1) {
                _ejectionWaits = true;
                emit EjectionDelayed(owner);
                return (amount, previous, weight);
            }
            // All others begin later, so an earlier ejection would leave an epoch without members. The first of them begin in
            // the next one: newcomers begin in epochs that follow each other, and none is gone before.
            ++effectiveEpoch;
        }
        _leave(owner, effectiveEpoch);
        emit Ejected(owner, effectiveEpoch);
    }

    /// @notice Whether the base penalty was taken for this admission of `owner`.
    function isPenalized(address owner, uint64 admission) external view returns (bool) {
        Sequencer storage sequencer_ = _sequencers[owner];
        return admission == sequencer_.admission ? sequencer_.lastOffence != 0 : _wasPenalized[owner][admission];
    }
}
