// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BatonTest} from "./BatonTest.sol";

/// @notice What offenders lose, reckoned from a plain list of all offences: the rules of protocol section 7 as they are
/// written, without a thought of gas. For chains of `deployShort`, where one epoch to either side counts.
abstract contract PenaltyModel is BatonTest {
    /// Evidence that was taken.
    struct Offence {
        address owner;
        uint64 admission;
        uint64 epoch;
        /// The offender's in that epoch, before clipping.
        uint256 weight;
    }

    Offence[] private _offences;

    /// Slashes `owner` for `epoch`, in which it was a member under `admission`.
    function punish(address owner, uint64 admission, uint64 epoch) internal {
        slashDoubleNotarize(owner, epoch);
        _offences.push(Offence(owner, admission, epoch, weightOf(owner, epoch)));
    }

    /// What is left of a bond after the base penalty.
    function afterBasePenalty(uint256 bond) internal pure returns (uint256) {
        return bond - bond / 20;
    }

    /// What an admission loses at withdrawal of the `rest` that the base penalty left: for the one of its offences with
    /// the most weight of others around it, each by its highest.
    function correlatedLoss(address owner, uint64 admission, uint256 rest) internal view returns (uint256 loss) {
        for (uint256 i = 0; i < _offences.length; ++i) {
            Offence storage own = _offences[i];
            if (own.owner != owner || own.admission != admission) continue;
            uint256 others = 0;
            for (uint256 j = 0; j < _offences.length; ++j) {
                if (_isHighestAround(j, own)) others += _offences[j].weight;
            }
            uint256 found = 3 * (rest * 10_000 / 9500) * others / registry.totalWeight(own.epoch);
            if (found > loss) loss = found;
        }
        if (loss > rest) return rest;
    }

    /// Whether the j-th offence is another owner's near `own`, and the first of its highest there.
    function _isHighestAround(uint256 j, Offence storage own) private view returns (bool) {
        Offence storage other = _offences[j];
        if (other.owner == own.owner || !_areNear(other, own)) return false;
        for (uint256 k = 0; k < _offences.length; ++k) {
            Offence storage rival = _offences[k];
            if (rival.owner != other.owner || !_areNear(rival, own)) continue;
            if (rival.weight > other.weight || (rival.weight == other.weight && k < j)) return false;
        }
        return true;
    }

    function _areNear(Offence storage one, Offence storage other) private view returns (bool) {
        return one.epoch <= other.epoch + 1 && other.epoch <= one.epoch + 1;
    }
}
