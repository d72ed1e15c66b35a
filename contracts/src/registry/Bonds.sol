// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {BatchInbox} from "../BatchInbox.sol";
import {Slasher} from "../Slasher.sol";
import {Stage} from "../Types.sol";
import {Exits} from "./Exits.sol";
import {Unbondings} from "./Unbondings.sol";

/// @title Bonds
/// @notice Everything that moves the bond token, and the registration, which begins with that.
abstract contract Bonds is Exits, Unbondings {
    using SafeERC20 for IERC20;
    using SafeCast for uint256;

    /// @notice Bonds the caller as a sequencer, a member of every committee from `entryEpoch` on: two epochs after the present
    /// one, or later where `ENTRIES_PER_EPOCH` others came before. The place is fixed by the call. Nobody bonds for a chain that
    /// was abandoned.
    /// @param feeRecipient Who is paid the fees of the blocks that this sequencer proposes.
    /// @param bond Amount to lock, in base units; the caller must have approved it.
    /// @param blsKey 256 bytes, EIP-2537 G2; never registered before by anyone.
    /// @param possession 128 bytes, EIP-2537 G1: the key's signature on `Statements.possessionMessage`.
    function register(address feeRecipient, uint256 bond, bytes calldata blsKey, bytes calldata possession)
        external
        nonReentrant
    {
        if (feeRecipient == address(0)) revert SequencerRegistry__ZeroAddress();
        if (bond < MIN_BOND) revert SequencerRegistry__BondTooSmall(MIN_BOND, bond);
        _requireAlive();
        Sequencer storage sequencer_ = _sequencers[msg.sender];
        if (sequencer_.stage != Stage.None) revert SequencerRegistry__AlreadyRegistered(msg.sender);
        uint32 keyId = _storeKey(blsKey, possession, feeRecipient);

        uint64 effectiveEpoch = _enter();
        if (sequencer_.lastOffence != 0) _wasPenalized[msg.sender][sequencer_.admission] = true;
        uint32 admission = sequencer_.admission + 1;
        sequencer_.bond = bond.toUint128();
        sequencer_.seat = _takeSeat(msg.sender, effectiveEpoch);
        sequencer_.admission = admission;
        sequencer_.stage = Stage.Seated;
        sequencer_.lastOffence = 0;
        uint56 weight = _weightOf(msg.sender, bond);
        // Epochs are below 2^40.
        _writeCheckpoint(msg.sender, Checkpoint(uint48(effectiveEpoch), 0, weight, admission, keyId, 0));
        _ejectWaiting(effectiveEpoch);
        _serveExits(EXITS_SERVED_MAX);
        emit Registered(msg.sender, feeRecipient, bond, admission, effectiveEpoch, keccak256(blsKey));
        _pull(bond);
    }

    /// @notice Adds to the caller's bond; the weight, if it changes, counts from two epochs after the present one. A sequencer that has
    /// offended, or that has left, cannot add: a slashed bond never grows back. Nor can anybody once the chain was abandoned.
    /// @param amount In base units; the caller must have approved it.
    function addBond(uint256 amount) external nonReentrant {
        if (amount == 0) revert SequencerRegistry__NothingToAdd();
        _requireAlive();
        Checkpoint memory latest = _requireInGoodStanding(msg.sender);
        uint256 bond = _sequencers[msg.sender].bond + amount;
        // What unbonds must fit too: an offence makes it bond again, and would be beyond punishment for a sum too large.
        uint128 unbonding = _unbondingQueues[msg.sender].total;
        _sequencers[msg.sender].bond = (bond + unbonding).toUint128() - unbonding;
        _changeWeight(msg.sender, latest, bond);
        emit BondAdded(msg.sender, amount, bond, latest.effectiveEpoch);
        _pull(amount);
    }

    /// @notice Pays the caller's bond, with what unbonds of it, once it has left and nothing that it signed can be punished
    /// any more, less what the slasher says that it loses besides, if it offended: `Slasher.release`, which also says when
    /// that is.
    function withdraw() external nonReentrant {
        (uint256 bond, uint64 untilEpoch, uint64 lastOffence) = departure(msg.sender);
        uint256 lost = Slasher(SLASHER).release(msg.sender, untilEpoch, lastOffence, bond);
        // Never more than the bond, so below 2^128.
        _burnable += uint128(lost);
        _endUnbonding(msg.sender);
        Sequencer storage sequencer_ = _sequencers[msg.sender];
        sequencer_.bond = 0;
        sequencer_.stage = Stage.None;
        emit Withdrawn(msg.sender, sequencer_.admission, bond - lost, lost);
        // Some tokens refuse to move nothing, which is all that is left to who lost everything.
        if (bond != lost) BOND_TOKEN.safeTransfer(msg.sender, bond - lost);
    }

    /// @notice Sends everything that waits to be burned to `BURN_ADDRESS`. Anyone may call.
    function burn() external nonReentrant {
        uint256 amount = _burnable;
        if (amount == 0) revert SequencerRegistry__NothingToBurn();
        _burnable = 0;
        emit Burned(amount);
        BOND_TOKEN.safeTransfer(BURN_ADDRESS, amount);
    }

    /// @notice Pays the caller what it earned by reporting offences.
    function claim() external nonReentrant {
        uint256 amount = _claimable[msg.sender];
        if (amount == 0) revert SequencerRegistry__NothingToClaim(msg.sender);
        _claimable[msg.sender] = 0;
        emit Claimed(msg.sender, amount);
        BOND_TOKEN.safeTransfer(msg.sender, amount);
    }

    /// @notice Locked bond of `owner`, in base units, without what unbonds.
    function bondOf(address owner) external view returns (uint256) {
        return _sequencers[owner].bond;
    }

    /// @notice What the release of a bond rests on; reverts unless `owner` has left and was not paid.
    /// @return bond Locked, in base units, with what unbonds.
    /// @return untilEpoch First epoch outside.
    /// @return lastOffence Epoch of the offence that was charged to this admission last; 0: none was.
    function departure(address owner) public view returns (uint256 bond, uint64 untilEpoch, uint64 lastOffence) {
        Sequencer storage sequencer_ = _sequencers[owner];
        if (sequencer_.stage != Stage.Left) revert SequencerRegistry__NothingToWithdraw(owner);
        bond = sequencer_.bond + uint256(_unbondingQueues[owner].total);
        return (bond, _latestCheckpoint(owner).effectiveEpoch, sequencer_.lastOffence);
    }

    /// @notice What `claim` would pay to `reporter`, in base units.
    function claimable(address reporter) external view returns (uint256) {
        return _claimable[reporter];
    }

    /// @notice What `burn` would burn, in base units.
    function burnable() external view returns (uint256) {
        return _burnable;
    }

    /// @dev What comes to a dead chain could only leave again.
    function _requireAlive() private view {
        uint64 abandonedAt = BatchInbox(INBOX).abandonedAt();
        if (abandonedAt != 0) revert SequencerRegistry__ChainIsAbandoned(abandonedAt);
    }

    /// @dev Pulls exactly `amount` from the caller. Every number is written before, and a mismatch undoes it all.
    function _pull(uint256 amount) internal {
        uint256 balance = BOND_TOKEN.balanceOf(address(this));
        BOND_TOKEN.safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = BOND_TOKEN.balanceOf(address(this)) - balance;
        if (received != amount) revert SequencerRegistry__TransferMismatch(amount, received);
    }
}
