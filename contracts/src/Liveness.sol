// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {BatchInbox} from "./BatchInbox.sol";
import {SequencerRegistry} from "./SequencerRegistry.sol";
import {BatchHeader, ChainSpec} from "./Types.sol";
import {Statements} from "./libraries/Statements.sol";

/// @title Liveness
/// @notice Pays members for the views that they led, and jails those who were long away.
/// @dev What it goes by is the table of duties whose root a quorum attested with an epoch's last batch: for each member the
/// views of the final chain that it led, and those that were skipped in its turn. Nothing depends on who signed what, so
/// nobody gains by leaving a vote out. Absence costs a turn in the committee, never a bond.
///
/// Epochs with batches are settled in their order, each once. So whether a member was away in two epochs in a row is known
/// when the second is settled, with one mark per member. What nobody can settle, because no table has the root that was
/// attested, is passed over after `evidenceBlocks`, so that it holds up nothing for longer.
///
/// The rewards of an epoch are a fixed amount, split by led views, and what is in the pool when that is less. Anybody may
/// fund the pool. Rewards wait for their owner and are paid to the recipient that the owner named here, or else to the
/// owner: this alone is binding, whatever `SequencerRegistry.announce` said.
///
/// Amounts are base units of the bond token. The balance is at all times at least the pool plus all that waits.
contract Liveness is ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    uint256 private constant BPS = 10_000;
    /// Missed views are a general outage above one in so many, and then tell nothing about a single member.
    uint256 private constant OUTAGE = 4;
    /// Who is jailed besides the first in an epoch of L1 holds at most one part in so many of the weight with it.
    uint256 private constant JAILED_PART = 10;

    /// @notice The registry that knows the members and jails them.
    SequencerRegistry public immutable REGISTRY;
    /// @notice The inbox that knows how each epoch ended.
    BatchInbox public immutable INBOX;
    /// @notice What the pool pays for one epoch, in base units.
    uint256 public immutable REWARD_PER_EPOCH;
    /// @notice L1 blocks after an epoch's close from which on it may be passed over.
    uint256 public immutable SETTLE_BLOCKS;

    IERC20 private immutable TOKEN;
    uint256 private immutable JAIL_MIN_VIEWS;
    uint256 private immutable JAIL_MISS_BPS;

    /// One slot.
    struct Progress {
        /// The epoch that was settled or passed over last; 0: none was.
        uint64 lastEpoch;
        /// The epoch of L1 in which somebody was jailed last, and the weight of all who were jailed in it.
        uint64 jailingEpoch;
        uint128 jailedWeight;
    }

    /// One slot.
    struct Account {
        /// Rewards that wait.
        uint128 pending;
        /// The last epoch from which the owner was away, as the jail counts it.
        uint64 absentIn;
    }

    /// @notice A sequencer as its operator sees it.
    struct Standing {
        /// Rewards that wait, in base units.
        uint256 pending;
        /// The last settled epoch that counts against it; another one right after it jails.
        uint64 absentIn;
        /// First epoch of which it is no member for being jailed, and the first for which it may come back; 0: it is free.
        uint64 jailedSince;
        uint64 jailedUntil;
    }

    Progress private _progress;
    uint256 private _pool;
    mapping(address owner => Account) private _accounts;
    mapping(address owner => address) private _recipients;

    /// @notice The pool grew by `amount` to `pool`.
    event Funded(address indexed from, uint256 amount, uint256 pool);
    /// @notice An epoch's duties were applied: `led` and `missed` views, and `paid` of the pool for them.
    event EpochSettled(uint64 indexed epoch, uint256 led, uint256 missed, uint256 paid);
    /// @notice Nobody settled the epoch in time; nothing is paid for it.
    event EpochPassedOver(uint64 indexed epoch);
    /// @notice The owner earned `amount`, which waits to be claimed.
    event Rewarded(address indexed owner, uint64 indexed epoch, uint256 amount);
    /// @notice Rewards of `owner` are paid to `recipient` from now on; zero: to the owner.
    event RecipientChanged(address indexed owner, address recipient);
    /// @notice All that waited for `owner` was paid.
    event Claimed(address indexed owner, address indexed recipient, uint256 amount);

    error Liveness__NotTheRegistrysLiveness(address liveness, address self);
    error Liveness__WrongInbox(address expected, address got);
    error Liveness__NothingToFund();
    error Liveness__TransferMismatch(uint256 expected, uint256 received);
    error Liveness__PoolTooLarge(uint256 balanceMax, uint256 balance);
    error Liveness__NotTheNextEpoch(uint64 expected, uint64 got);
    error Liveness__EpochIsOpen(uint64 epoch);
    error Liveness__NotTheLastBatch(bytes20 expected, bytes20 got);
    error Liveness__WrongDuties(bytes32 expected, bytes32 got);
    error Liveness__WrongNumberOfMembers(uint256 expected, uint256 led, uint256 missed);
    error Liveness__StillToBeSettled(uint256 firstBlock, uint256 currentBlock);
    error Liveness__NothingToClaim(address owner);

    /// @param registry A registry that was deployed with this contract's address as its liveness.
    /// @param inbox That registry's inbox; it may be deployed after this contract.
    /// @param rewardPerEpoch In base units of the bond token; 0: sequencers are not paid from here.
    constructor(SequencerRegistry registry, BatchInbox inbox, uint256 rewardPerEpoch) {
        if (registry.LIVENESS() != address(this)) {
            revert Liveness__NotTheRegistrysLiveness(registry.LIVENESS(), address(this));
        }
        if (registry.INBOX() != address(inbox)) revert Liveness__WrongInbox(registry.INBOX(), address(inbox));
        ChainSpec memory spec = registry.params();
        REGISTRY = registry;
        INBOX = inbox;
        REWARD_PER_EPOCH = rewardPerEpoch;
        SETTLE_BLOCKS = spec.evidenceBlocks;
        TOKEN = IERC20(spec.bondToken);
        JAIL_MIN_VIEWS = spec.jailMinViews;
        JAIL_MISS_BPS = spec.jailMissBps;
    }

    // ------------------------------------------------------------------------------------------------- settlement

    /// What one settlement works on.
    struct Work {
        uint64 epoch;
        /// The epoch that was settled or passed over before; 0: none was.
        uint64 previous;
        uint256 led;
        uint256 missed;
        uint256 reward;
        uint256 paid;
        uint64 jailingEpoch;
        uint256 jailedWeight;
    }

    /// @notice Applies the duties of the next epoch, once it is closed: rewards, and jail for who was away from it and from
    /// the one before. Anyone may call.
    /// @dev A member was away that missed more than `jailMissBps` of its views and had at least `jailMinViews`, unless all
    /// together missed more than a quarter. O(members).
    /// @param lastBatch The last batch of the epoch.
    /// @param led For each member, in the committee's order, the views of the final chain that it led.
    /// @param missed Likewise the views that were skipped in its turn.
    function settleEpoch(BatchHeader calldata lastBatch, uint64[] calldata led, uint64[] calldata missed) external {
        Progress memory progress = _progress;
        Work memory work;
        work.epoch = lastBatch.epoch;
        work.previous = progress.lastEpoch;
        work.jailingEpoch = progress.jailingEpoch;
        work.jailedWeight = progress.jailedWeight;
        if (_check(lastBatch, work.previous, led, missed)) {
            work.reward = _pool < REWARD_PER_EPOCH ? _pool : REWARD_PER_EPOCH;
        }
        address[] memory owners = REGISTRY.owners(work.epoch);
        if (led.length != owners.length || missed.length != owners.length) {
            revert Liveness__WrongNumberOfMembers(owners.length, led.length, missed.length);
        }
        for (uint256 i = 0; i < owners.length; ++i) {
            work.led += led[i];
            work.missed += missed[i];
        }
        for (uint256 i = 0; i < owners.length; ++i) {
            _apply(work, owners[i], led[i], missed[i]);
        }
        _pool -= work.paid;
        // Weights are below 2^63 together.
        _progress = Progress(work.epoch, work.jailingEpoch, uint128(work.jailedWeight));
        emit EpochSettled(work.epoch, work.led, work.missed, work.paid);
    }

    /// @notice Leaves the next epoch unsettled when nobody settled it for `SETTLE_BLOCKS` after its close. Anyone may call.
    function passOver() external {
        (uint64 epoch, uint64 closedAt) = next();
        if (closedAt == 0) revert Liveness__EpochIsOpen(epoch);
        uint256 firstBlock = closedAt + SETTLE_BLOCKS + 1;
        if (block.number < firstBlock) revert Liveness__StillToBeSettled(firstBlock, block.number);
        _progress.lastEpoch = epoch;
        emit EpochPassedOver(epoch);
    }

    // ------------------------------------------------------------------------------------------------------ money

    /// @notice Adds `amount` to the pool; the caller must have approved it. Nothing of it ever comes back but as a reward.
    function fund(uint256 amount) external nonReentrant {
        if (amount == 0) revert Liveness__NothingToFund();
        _pool += amount;
        emit Funded(msg.sender, amount, _pool);
        uint256 balance = TOKEN.balanceOf(address(this));
        TOKEN.safeTransferFrom(msg.sender, address(this), amount);
        uint256 funded = TOKEN.balanceOf(address(this));
        if (funded - balance != amount) revert Liveness__TransferMismatch(amount, funded - balance);
        // So that no sum of rewards is too large for an account.
        if (funded > type(uint128).max) revert Liveness__PoolTooLarge(type(uint128).max, funded);
    }

    /// @notice Names who is paid the caller's rewards, those that wait included; zero: the caller itself.
    function setRecipient(address recipient) external {
        _recipients[msg.sender] = recipient;
        emit RecipientChanged(msg.sender, recipient);
    }

    /// @notice Pays all that waits for `owner` to its recipient. Anyone may call: it can go nowhere else.
    /// @return amount In base units.
    function claim(address owner) external nonReentrant returns (uint256 amount) {
        amount = _accounts[owner].pending;
        if (amount == 0) revert Liveness__NothingToClaim(owner);
        _accounts[owner].pending = 0;
        address recipient = recipientOf(owner);
        emit Claimed(owner, recipient, amount);
        TOKEN.safeTransfer(recipient, amount);
    }

    // ------------------------------------------------------------------------------------------------------ views

    /// @notice The epoch that is settled next, 0 while none has a batch that is not settled; and the L1 block at which it
    /// closed, 0 while it is open.
    function next() public view returns (uint64 epoch, uint64 closedAt) {
        epoch = INBOX.nextEpochAfter(_progress.lastEpoch);
        if (epoch != 0) closedAt = INBOX.closedAt(epoch);
    }

    /// @notice The epoch that was settled or passed over last; 0: none was.
    function lastSettled() external view returns (uint64) {
        return _progress.lastEpoch;
    }

    /// @notice What is there for rewards, in base units.
    function pool() external view returns (uint256) {
        return _pool;
    }

    /// @notice Who is paid the rewards of `owner`.
    function recipientOf(address owner) public view returns (address recipient) {
        recipient = _recipients[owner];
        if (recipient == address(0)) recipient = owner;
    }

    /// @notice Rewards of `owner` that wait, in base units.
    function pending(address owner) external view returns (uint256) {
        return _accounts[owner].pending;
    }

    /// @notice How each of `owners` stands.
    function standings(address[] calldata owners) external view returns (Standing[] memory found) {
        found = new Standing[](owners.length);
        for (uint256 i = 0; i < owners.length; ++i) {
            Account memory account = _accounts[owners[i]];
            (uint64 since, uint64 until) = REGISTRY.jailOf(owners[i]);
            found[i] = Standing(account.pending, account.absentIn, since, until);
        }
    }

    // ---------------------------------------------------------------------------------------------------- helpers

    /// @dev Returns whether the epoch earns a reward; reverts unless the tables are those of the next epoch, which is closed.
    function _check(BatchHeader calldata lastBatch, uint64 previous, uint64[] calldata led, uint64[] calldata missed)
        private
        view
        returns (bool isRewarded)
    {
        uint64 expected = INBOX.nextEpochAfter(previous);
        if (expected == 0 || lastBatch.epoch != expected) {
            revert Liveness__NotTheNextEpoch(expected, lastBatch.epoch);
        }
        bytes20 batch;
        (batch, isRewarded) = INBOX.lastBatchOf(expected);
        if (batch == 0) revert Liveness__EpochIsOpen(expected);
        bytes20 got = bytes20(Statements.batchHash(lastBatch));
        if (got != batch) revert Liveness__NotTheLastBatch(batch, got);
        bytes32 root = Statements.dutiesRoot(expected, led, missed);
        if (root != lastBatch.dutiesRoot) revert Liveness__WrongDuties(lastBatch.dutiesRoot, root);
    }

    function _apply(Work memory work, address owner, uint256 led, uint256 missed) private {
        Account memory account = _accounts[owner];
        uint256 share = work.led == 0 ? 0 : work.reward * led / work.led;
        bool isAway = _isAway(work, led, missed);
        if (share == 0 && !isAway) return;
        if (share != 0) {
            work.paid += share;
            // Part of a balance that fits, see `fund`.
            account.pending += uint128(share);
            emit Rewarded(owner, work.epoch, share);
        }
        if (isAway) {
            if (work.previous != 0 && account.absentIn == work.previous) _jail(work, owner);
            account.absentIn = work.epoch;
        }
        _accounts[owner] = account;
    }

    /// @dev Sums and products of a few numbers below 2^64.
    function _isAway(Work memory work, uint256 led, uint256 missed) private view returns (bool) {
        uint256 views = led + missed;
        bool isOutage = OUTAGE * work.missed > work.led + work.missed;
        return !isOutage && views >= JAIL_MIN_VIEWS && missed * BPS > views * JAIL_MISS_BPS;
    }

    /// @dev In one epoch of L1 one is jailed, whatever its weight, and others as long as all of them hold no more than a tenth.
    /// That bounds what leaves the committee at once also where many epochs are settled late and together. Whom it spares is
    /// judged again with the next epoch.
    function _jail(Work memory work, address owner) private {
        uint64 current = REGISTRY.epochOf(block.number);
        if (current != work.jailingEpoch) (work.jailingEpoch, work.jailedWeight) = (current, 0);
        (, uint256 weight,) = REGISTRY.memberAt(owner, work.epoch);
        uint256 jailed = work.jailedWeight + weight;
        if (work.jailedWeight != 0 && jailed * JAILED_PART > REGISTRY.totalWeight(work.epoch)) return;
        if (REGISTRY.jail(owner, work.previous)) work.jailedWeight = jailed;
    }
}
