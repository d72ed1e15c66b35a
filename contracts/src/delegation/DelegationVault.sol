// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ERC4626} from "@openzeppelin/contracts/token/ERC20/extensions/ERC4626.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {BatchInbox} from "../BatchInbox.sol";
import {Liveness} from "../Liveness.sol";
import {SequencerRegistry} from "../SequencerRegistry.sol";
import {ChainSpec, Stage} from "../Types.sol";
import {Commission} from "./Commission.sol";
import {ExitQueue} from "./ExitQueue.sol";

/// @title DelegationVault
/// @notice One sequencer whose bond belongs to many: the vault is its owner in the registry, and whoever deposits holds
/// shares, which are an ERC-20 like any other.
/// @dev What a share is worth. With
///
///   assets = idle + bond + unbonding - owed      (bond and unbonding as the registry says now)
///   price  = (assets + 1) / (shares + 1,000)
///
/// `idle` is what the vault has seen come in and not bonded yet, `owed` what it owes to those in the queue of exits. A
/// deposit adds to `assets` and `shares` in that proportion, a request to leave takes from both, each rounded for those who
/// stay: neither moves the price by more than rounding. A reward adds to `assets` alone, a penalty takes from the bond
/// alone: these move it, and nothing else does. Tokens that anybody sends to the vault count when `harvest` takes them in
/// as a reward, never by themselves: so, and by the thousand shares and one base unit that nobody has, the first depositor
/// cannot be robbed by a gift that makes a share dearer than the second one's deposit.
///
/// Leaving. `requestRedeem` burns shares and takes the caller's place in the queue with what they are worth now. That amount
/// earns nothing more, and unbonds. Until it has unbonded it stands behind what the sequencer signed while it counted, so a
/// penalty takes from it the same part as from the bond. `advance` asks the registry for what the queue is owed, takes what
/// is released, and pays places in their order, a bounded number in one call; anyone may call it.
///
/// What the operator can do: run the sequencer (register, change keys, announce, come back from jail, leave), and set its
/// commission within `Commission`'s bounds. It cannot move a token but its commission. Nor can it keep delegators in: where
/// the queue is owed what the bond cannot give without falling below the least bond, and the operator has not left or found
/// other money for as long as evidence is accepted, anyone may make the sequencer leave, which releases everything.
contract DelegationVault is ERC4626, Commission, ExitQueue, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @notice The registry in which the vault is a sequencer's owner.
    SequencerRegistry public immutable REGISTRY;
    /// Parts of the bond that one call collects, each for about 60,000 gas; more wait for the next.
    uint256 private constant PARTS_AT_ONCE = 64;
    /// Of the gas before a call that failed, one part in so many must be left, or it may have failed for want of gas: that
    /// leaves one in 64 for each call within a call (EIP-150), and no call of the registry or the token goes eight deep.
    uint256 private constant GAS_LEFT_PART = 8;
    uint256 private immutable MIN_BOND;
    /// L1 blocks for which the queue must have been short before anyone may make the sequencer leave.
    uint256 private immutable SHORT_BLOCKS;

    /// @notice Tokens that belong to the shares and are not bonded, in base units.
    uint256 public idle;
    /// Bond and unbonding when they were looked at last: what is missing since was taken as a penalty.
    uint256 private _held;
    /// @notice L1 block since which the queue is owed more than can unbond; 0: it is not.
    uint256 public shortSince;

    /// @notice Rewards of `amount` came in, of which `commission` is the operator's.
    event Harvested(uint256 amount, uint256 commission);
    /// @notice A penalty took `amount`; `queued` of it from those who leave.
    event Lost(uint256 amount, uint256 queued);
    /// @notice `amount` was bonded.
    event Bonded(uint256 amount);
    /// @notice Somebody made the sequencer leave because the queue was short for too long.
    event MadeToLeave(uint256 shortSince);

    error DelegationVault__NotShortLongEnough(uint256 firstBlock, uint256 currentBlock);
    error DelegationVault__NothingToRedeem();
    error DelegationVault__ZeroReceiver();
    error DelegationVault__TransferMismatch(uint256 expected, uint256 received);
    error DelegationVault__TooLittleGas(uint256 gasLeft);

    /// @param registry Whose bond token is the vault's asset.
    /// @param operator_ Who runs the sequencer.
    /// @param commissionBps The operator's part of rewards at first.
    constructor(
        SequencerRegistry registry,
        address operator_,
        uint256 commissionBps,
        string memory name_,
        string memory symbol_
    )
        ERC20(name_, symbol_)
        ERC4626(IERC20(registry.params().bondToken))
        Commission(operator_, commissionBps, registry.params().evidenceBlocks)
    {
        ChainSpec memory spec = registry.params();
        REGISTRY = registry;
        MIN_BOND = spec.minBond;
        SHORT_BLOCKS = spec.evidenceBlocks;
        IERC20(spec.bondToken).forceApprove(address(registry), type(uint256).max);
    }

    // -------------------------------------------------------------------------------------------- the sequencer

    /// @notice Registers the vault's sequencer with everything that is idle. As `SequencerRegistry.register`.
    function register(address feeRecipient, bytes calldata blsKey, bytes calldata possession)
        external
        onlyOperator
        nonReentrant
    {
        _sync();
        uint256 bond = idle;
        idle = 0;
        _held += bond;
        REGISTRY.register(feeRecipient, bond, blsKey, possession);
        emit Bonded(bond);
    }

    /// @notice As `SequencerRegistry.rotateKey`.
    function rotateKey(bytes calldata blsKey, bytes calldata possession) external onlyOperator {
        REGISTRY.rotateKey(blsKey, possession);
    }

    /// @notice As `SequencerRegistry.announce`.
    function announce(address reward, address poster, address reporter, bytes calldata peer, string calldata metadata)
        external
        onlyOperator
    {
        REGISTRY.announce(reward, poster, reporter, peer, metadata);
    }

    /// @notice As `SequencerRegistry.unjail`.
    function unjail() external onlyOperator {
        REGISTRY.unjail();
    }

    /// @notice As `SequencerRegistry.exit`.
    function exit() external onlyOperator {
        REGISTRY.exit();
    }

    /// @notice As `exit`, by anyone, once the queue has been short for `evidenceBlocks`.
    function makeLeave() external nonReentrant {
        _sync();
        _noteShortage();
        uint256 firstBlock = shortSince == 0 ? type(uint256).max : shortSince + SHORT_BLOCKS;
        if (block.number < firstBlock) revert DelegationVault__NotShortLongEnough(firstBlock, block.number);
        emit MadeToLeave(shortSince);
        REGISTRY.exit();
    }

    // -------------------------------------------------------------------------------------------------- shares

    /// @inheritdoc ERC4626
    function totalAssets() public view override returns (uint256) {
        uint256 now_ = _heldNow();
        return idle + collected + now_ + _queueLoss(_held - now_, _held) - owed;
    }

    /// @notice No deposits while the sequencer has left or offended, or when all is lost: they could only lose. Nor for a chain
    /// that was abandoned.
    function maxDeposit(address) public view override returns (uint256) {
        if (totalSupply() != 0 && totalAssets() == 0) return 0;
        if (BatchInbox(REGISTRY.INBOX()).abandonedAt() != 0) return 0;
        (uint256 bond, uint64 admission, Stage stage,,,) = REGISTRY.sequencer(address(this));
        if (stage == Stage.None) return type(uint128).max;
        if (stage == Stage.Left || REGISTRY.isPenalized(address(this), admission)) return 0;
        return type(uint128).max - bond;
    }

    /// @inheritdoc ERC4626
    function maxMint(address receiver) public view override returns (uint256) {
        return _convertToShares(maxDeposit(receiver), Math.Rounding.Floor);
    }

    /// @notice Zero: shares are redeemed by `requestRedeem`.
    function maxWithdraw(address) public pure override returns (uint256) {
        return 0;
    }

    /// @notice Zero: shares are redeemed by `requestRedeem`.
    function maxRedeem(address) public pure override returns (uint256) {
        return 0;
    }

    /// @inheritdoc ERC4626
    function deposit(uint256 assets, address receiver) public override nonReentrant returns (uint256) {
        _harvest();
        return super.deposit(assets, receiver);
    }

    /// @inheritdoc ERC4626
    function mint(uint256 shares, address receiver) public override nonReentrant returns (uint256) {
        _harvest();
        return super.mint(shares, receiver);
    }

    /// @notice Burns `shares` of the caller's and queues what they are worth now for `receiver`.
    /// @return ticket The place in the queue, for `ticketOf`.
    function requestRedeem(uint256 shares, address receiver) external nonReentrant returns (uint256 ticket) {
        // Its ticket could never be paid.
        if (receiver == address(0)) revert DelegationVault__ZeroReceiver();
        _harvest();
        uint256 amount = previewRedeem(shares);
        if (amount == 0) revert DelegationVault__NothingToRedeem();
        _burn(msg.sender, shares);
        ticket = _enqueue(receiver, amount);
        emit Withdraw(msg.sender, receiver, msg.sender, amount, shares);
        _bondIdle();
        _unbond();
    }

    /// @notice Takes rewards in, bonds what is idle, asks the registry for what the queue is owed, takes what it releases, and
    /// pays at most `tickets` places of the queue. Anyone may call.
    function advance(uint256 tickets) external nonReentrant {
        _harvest();
        _bondIdle();
        _unbond();
        _collect();
        _serve(tickets);
    }

    /// @notice Takes in what came as rewards; the operator's commission is claimable then. Anyone may call.
    function harvest() external nonReentrant {
        _harvest();
    }

    /// @notice Pays what `account` may claim: tickets that were served, and the operator's commission. Anyone may call.
    function claim(address account) external nonReentrant returns (uint256 amount) {
        amount = _takeClaimable(account);
        IERC20(asset()).safeTransfer(account, amount);
    }

    // ----------------------------------------------------------------------------------------------- internals

    /// @inheritdoc ERC4626
    function _deposit(address caller, address receiver, uint256 assets, uint256 shares) internal override {
        uint256 balance = _balance();
        super._deposit(caller, receiver, assets, shares);
        uint256 received = _balance() - balance;
        if (received != assets) revert DelegationVault__TransferMismatch(assets, received);
        idle += assets;
        _bondIdle();
    }

    function _decimalsOffset() internal pure override returns (uint8) {
        return 3;
    }

    function _balance() private view returns (uint256) {
        return IERC20(asset()).balanceOf(address(this));
    }

    function _heldNow() private view returns (uint256) {
        return REGISTRY.bondOf(address(this)) + REGISTRY.unbondingOf(address(this));
    }

    /// @dev Only a penalty takes from bond and unbonding without the vault: it alone adds, and it alone is paid.
    function _sync() private {
        uint256 now_ = _heldNow();
        if (now_ == _held) return;
        _lose(_held - now_);
        _held = now_;
    }

    function _lose(uint256 loss) private {
        uint256 queued = _queueLoss(loss, _held);
        owed -= queued;
        emit Lost(loss, queued);
    }

    /// @dev Everything beyond what the vault knows of has come as a reward: anyone may have had it paid here before.
    function _harvest() private {
        _sync();
        Liveness liveness = Liveness(REGISTRY.LIVENESS());
        if (liveness.pending(address(this)) != 0) liveness.claim(address(this));
        uint256 known = idle + collected + claimableTotal;
        uint256 balance = _balance();
        // Less only where a token takes back what it gave: that must not keep in here what is left.
        if (balance <= known) return;
        uint256 amount = balance - known;
        // With nobody to earn it, it is the operator's.
        uint256 part = totalSupply() == 0 ? amount : amount * commissionBps() / BPS;
        _addClaimable(operator, part);
        idle += amount - part;
        emit Harvested(amount, part);
    }

    /// @dev Idle tokens join the bond where the registry takes them. What the queue is owed beyond bond and unbonding stays.
    function _bondIdle() private {
        uint256 exposed = owed - collected;
        if (exposed > _held) {
            uint256 needed = exposed - _held;
            // Never more than there is: what is owed was worth that much.
            if (needed > idle) needed = idle;
            idle -= needed;
            collected += needed;
        }
        uint256 amount = idle;
        if (amount == 0) return;
        (,, Stage stage,,,) = REGISTRY.sequencer(address(this));
        if (stage == Stage.None || stage == Stage.Left) return;
        uint256 gasBefore = gasleft();
        // Refused to an offender, and on a chain that was abandoned.
        try REGISTRY.addBond(amount) {
            idle = 0;
            _held += amount;
            emit Bonded(amount);
        } catch {
            _requireRefused(gasBefore);
        }
    }

    /// @dev Asks for what the queue is owed and does not unbond yet, as far as the registry lets it.
    function _unbond() private {
        uint256 bond = REGISTRY.bondOf(address(this));
        uint256 unbonding = REGISTRY.unbondingOf(address(this));
        uint256 needed = owed - collected;
        needed = needed > unbonding ? needed - unbonding : 0;
        uint256 most = bond > MIN_BOND ? bond - MIN_BOND : 0;
        if (needed > most) needed = most;
        uint256 gasBefore = gasleft();
        // Refused to an offender, and to one that has left, whose bond is released without.
        if (needed != 0) {
            try REGISTRY.reduceBond(needed) {}
            catch {
                _requireRefused(gasBefore);
            }
        }
        _noteShortage();
    }

    function _noteShortage() private {
        uint256 bond = REGISTRY.bondOf(address(this));
        uint256 unbonding = REGISTRY.unbondingOf(address(this));
        (,, Stage stage,,,) = REGISTRY.sequencer(address(this));
        bool seated = stage != Stage.None && stage != Stage.Left;
        if (!seated || owed - collected + MIN_BOND <= bond + unbonding) shortSince = 0;
        else if (shortSince == 0) shortSince = block.number;
    }

    /// @dev Takes parts that are released, so many at most, and all of it where the sequencer has left.
    function _collect() private {
        for (uint256 i = 0; i < PARTS_AT_ONCE; ++i) {
            uint256 balance = _balance();
            uint256 gasOfPart = gasleft();
            try REGISTRY.withdrawUnbonded() {
                _takeIn(balance);
            } catch {
                _requireRefused(gasOfPart);
                break;
            }
        }
        uint256 before = _balance();
        uint256 gasBefore = gasleft();
        try REGISTRY.withdraw() {
            _takeIn(before);
        } catch {
            _requireRefused(gasBefore);
        }
    }

    /// @dev Reverts where a call that failed may have had too little gas: its caller would go on without what it could have done,
    /// and whoever estimates gas by what does not revert would find just that.
    function _requireRefused(uint256 gasBefore) private view {
        uint256 gasLeft = gasleft();
        if (gasLeft < gasBefore / GAS_LEFT_PART) revert DelegationVault__TooLittleGas(gasLeft);
    }

    /// @dev Takes in what the registry paid. What is missing of it is lost: to others, by an offender, or to a token that keeps
    /// a part of what it moves.
    /// @param before The vault's balance before.
    function _takeIn(uint256 before) private {
        uint256 received = _balance() - before;
        uint256 now_ = _heldNow();
        uint256 released = _held - now_;
        if (received < released) _lose(released - received);
        _held = now_;
        _receive(received);
    }

    /// @dev The queue comes first; what it is not owed, since a penalty made that less, is idle.
    function _receive(uint256 received) private {
        uint256 exposed = owed - collected;
        uint256 queued = received < exposed ? received : exposed;
        collected += queued;
        idle += received - queued;
    }
}
