// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {Slasher} from "../Slasher.sol";
import {Unbonding} from "../Types.sol";
import {Seats} from "./Seats.sol";

/// @title Unbondings
/// @notice Taking back a part of a bond while staying.
/// @dev The part stops to count two epochs later, and stays locked for as long after that as the bond of one that leaves
/// with the same epoch. Until it is paid an offence costs the part what it costs the rest: the first evidence that is
/// accepted ends all unbonding, and everything that was not paid is bond again, of one that has left. So nobody makes its
/// penalty smaller by asking for the bond before evidence of what it signed comes in, and a penalty looks at one number
/// however many parts there are. What is asked for in one epoch is one part, so there are at most as many as epochs until one
/// is released; nothing but the view of them looks at more than one.
abstract contract Unbondings is Seats, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @notice Takes `amount` off the caller's bond; the weight, if it changes, does from two epochs after the present one.
    /// The amount is paid by `withdrawUnbonded` once nothing can be punished any more that the caller signed while it
    /// counted. At least `minBond` stays; who wants all of it back exits. An offender cannot.
    /// @param amount In base units.
    function reduceBond(uint256 amount) external {
        if (amount == 0) revert SequencerRegistry__NothingToReduce();
        Checkpoint memory latest = _requireInGoodStanding(msg.sender);
        uint256 bond = _sequencers[msg.sender].bond;
        uint256 left = amount < bond ? bond - amount : 0;
        if (left < MIN_BOND) revert SequencerRegistry__BondTooSmall(MIN_BOND, left);
        uint64 untilEpoch = _changeEpochOf(latest);
        // Parts of a bond, which fits into 128 bits.
        _sequencers[msg.sender].bond = uint128(left);
        _queueUnbonding(msg.sender, uint128(amount), untilEpoch);
        _changeWeight(msg.sender, latest, left);
        emit BondReduced(msg.sender, amount, left, untilEpoch);
    }

    /// @notice Pays the oldest part of the caller's bond that unbonds, once it is released: `Slasher.releaseBlockAfter` its
    /// epoch.
    function withdrawUnbonded() external nonReentrant {
        UnbondingQueue storage queue = _unbondingQueues[msg.sender];
        uint32 first = queue.first;
        if (first == queue.end) revert SequencerRegistry__NothingUnbonding(msg.sender);
        Unbonding memory oldest = _unbondings[msg.sender][first];
        // While anything unbonds there is no offence.
        Slasher(SLASHER).release(msg.sender, oldest.untilEpoch, 0, oldest.amount);
        delete _unbondings[msg.sender][first];
        queue.first = first + 1;
        queue.total -= oldest.amount;
        emit UnbondedWithdrawn(msg.sender, oldest.amount);
        BOND_TOKEN.safeTransfer(msg.sender, oldest.amount);
    }

    /// @notice What unbonds of `owner`'s bond and is not paid yet, in base units. `bondOf` is without it.
    function unbondingOf(address owner) external view returns (uint256) {
        return _unbondingQueues[owner].total;
    }

    /// @notice The parts of that, the oldest first; about 4,500 gas for each.
    function unbondings(address owner) external view returns (Unbonding[] memory parts) {
        UnbondingQueue memory queue = _unbondingQueues[owner];
        parts = new Unbonding[](queue.end - queue.first);
        for (uint32 i = 0; i < parts.length; ++i) {
            parts[i] = _unbondings[owner][queue.first + i];
        }
    }

    /// @dev Makes what unbonds bond again.
    function _endUnbonding(address owner) internal returns (uint256 total) {
        UnbondingQueue storage queue = _unbondingQueues[owner];
        total = queue.total;
        if (total == 0) return 0;
        queue.total = 0;
        queue.first = queue.end;
        // `addBond` has seen that the two fit together.
        _sequencers[owner].bond += uint128(total);
    }

    function _queueUnbonding(address owner, uint128 amount, uint64 untilEpoch) private {
        UnbondingQueue memory queue = _unbondingQueues[owner];
        uint32 open = queue.end - queue.first;
        Unbonding storage latest = _unbondings[owner][open == 0 ? 0 : queue.end - 1];
        if (open != 0 && latest.untilEpoch == untilEpoch) {
            latest.amount += amount;
        } else {
            _unbondings[owner][queue.end++] = Unbonding(amount, untilEpoch);
        }
        queue.total += amount;
        _unbondingQueues[owner] = queue;
    }
}
