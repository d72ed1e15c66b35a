// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {SequencerRegistry} from "../src/SequencerRegistry.sol";
import {Member, Vote} from "../src/Types.sol";
import {Weights} from "../src/libraries/Weights.sol";
import {Bls} from "./support/Bls.sol";
import {InvariantTest} from "./support/InvariantTest.sol";
import {PenaltyModel} from "./support/PenaltyModel.sol";
import {vm} from "./support/Vm.sol";

/// Does what anybody may do, in any order, and keeps its own books.
contract Handler is PenaltyModel {
    /// One admission of one owner. An owner that comes back has another entry.
    struct Entry {
        address owner;
        uint64 admission;
        uint256 bond;
        uint256 paid;
        uint64 from;
        /// First epoch without it; the largest number while it stays.
        uint64 until;
        bool penalized;
        bool withdrawn;
        /// Place in the queue of exits; 0 while it does not wait.
        uint256 ticket;
        uint256 rotatedAtBlock;
        /// What unbonds of the bond, oldest first from `partsPaid` on, and the first epoch without each.
        uint256[] parts;
        uint64[] partsUntil;
        uint256 partsPaid;
    }

    uint8 public constant MINIMUM = 3;

    Entry[] private _book;
    address private _waiting;
    uint256 private _tickets;
    uint64 private _entryEpoch;
    uint64 private _entries;
    uint256 private _owners;
    uint256 public burned;
    /// Set when a call paid that had to be refused, or the other way round.
    string public fault;

    function begin() external {
        deployShort(MINIMUM);
        for (uint256 i = 0; i < 5; ++i) {
            _join((i + 1) * 7 * UNIT, 2);
        }
        registry.activate();
        // Far enough that every epoch that a call looks back to has a committee.
        vm.roll(registry.epochStart(6));
        post(6);
    }

    function join(uint96 extra) external {
        if (registry.memberCount() >= 12) return;
        _join(UNIT + extra, _enter());
    }

    function offend(uint256 who, uint64 back) external {
        uint64 current = registry.epochOf(block.number);
        _offend(_book[who % _book.length], current - back % 4, current);
    }

    /// Everybody offends at once, so that the last member's ejection has to wait.
    function offendAll(uint8 chance) external {
        if (chance % 8 != 0) return;
        uint64 current = registry.epochOf(block.number);
        for (uint256 i = 0; i < _book.length; ++i) {
            _offend(_book[i], current, current);
        }
    }

    function askToLeave(uint256 who) external {
        Entry storage entry = _book[who % _book.length];
        if (entry.until != type(uint64).max || entry.ticket != 0) return;
        uint256 members = registry.memberCount();
        bool begun = entry.from <= registry.epochOf(block.number) + 2;
        vm.prank(entry.owner);
        (bool ok,) = address(registry).call(abi.encodeCall(registry.exit, ()));
        if (ok != begun) fault = ok ? "left before it was counted" : "kept who may leave";
        if (!ok) return;
        entry.ticket = ++_tickets;
        while (members > MINIMUM + _late() && _serveFirst()) --members;
    }

    /// Pays exactly when everything that the entry signed is past punishment.
    function takeOut(uint256 who) external {
        Entry storage entry = _book[who % _book.length];
        if (!_isLatest(entry)) return;
        bool due = _isReleased(entry);
        uint256 held = token.balanceOf(entry.owner);
        vm.prank(entry.owner);
        (bool ok,) = address(registry).call(abi.encodeCall(registry.withdraw, ()));
        if (ok != due) fault = ok ? "paid what was locked" : "kept what was due";
        if (!ok) return;
        entry.withdrawn = true;
        entry.paid = token.balanceOf(entry.owner) - held;
        uint256 loss = correlatedLoss(entry.owner, entry.admission, entry.bond);
        if (entry.paid != entry.bond + _unbonding(entry) - loss) fault = "paid another amount";
        entry.bond = 0;
        entry.partsPaid = entry.parts.length;
    }

    /// The settlement of who has left goes as far as it likes, and comes to the same.
    function bringForward(uint256 who, uint8 steps) external {
        Entry storage entry = _book[who % _book.length];
        if (!_isLatest(entry)) return;
        bool due = _isReleased(entry);
        (bool ok,) = address(slasher).call(abi.encodeCall(slasher.settle, (entry.owner, steps % 32)));
        if (ok != due) fault = ok ? "settled what was locked" : "did not settle what was due";
    }

    function comeBack(uint256 who, uint96 extra) external {
        Entry storage entry = _book[who % _book.length];
        if (!_isLatest(entry) || !entry.withdrawn || registry.memberCount() >= 12) return;
        _join(entry.owner, UNIT + extra, _enter());
    }

    function add(uint256 who, uint96 amount) external {
        Entry storage entry = _book[who % _book.length];
        if (amount == 0) return;
        bool allowed = entry.until == type(uint64).max && !entry.penalized;
        if (!_isLatest(entry)) return;
        fund(entry.owner, amount);
        vm.prank(entry.owner);
        (bool ok,) = address(registry).call(abi.encodeCall(registry.addBond, (amount)));
        if (ok != allowed) fault = "added";
        if (ok) entry.bond += amount;
    }

    function takeBack(uint256 who, uint96 amount) external {
        Entry storage entry = _book[who % _book.length];
        if (!_isLatest(entry) || entry.withdrawn) return;
        bool allowed = entry.until == type(uint64).max && !entry.penalized && amount != 0 && amount + UNIT <= entry.bond;
        vm.prank(entry.owner);
        (bool ok,) = address(registry).call(abi.encodeCall(registry.reduceBond, (amount)));
        if (ok != allowed) fault = ok ? "took back what was to stay" : "kept what may be taken back";
        if (!ok) return;
        entry.bond -= amount;
        uint64 next = registry.epochOf(block.number) + 2;
        if (next < entry.from) next = entry.from;
        uint256 last = entry.parts.length;
        if (last > entry.partsPaid && entry.partsUntil[last - 1] == next) {
            entry.parts[last - 1] += amount;
        } else {
            entry.parts.push(amount);
            entry.partsUntil.push(next);
        }
    }

    /// Pays a part exactly when everything is past punishment that the entry signed while it counted.
    function takePart(uint256 who) external {
        Entry storage entry = _book[who % _book.length];
        if (!_isLatest(entry)) return;
        bool due = entry.partsPaid < entry.parts.length;
        if (due) {
            uint256 closed = _closeOf(entry.partsUntil[entry.partsPaid] - 1);
            due = closed != 0 && block.number > closed + 16 + 8 + 64;
        }
        uint256 held = token.balanceOf(entry.owner);
        vm.prank(entry.owner);
        (bool ok,) = address(registry).call(abi.encodeCall(registry.withdrawUnbonded, ()));
        if (ok != due) fault = ok ? "paid a part that was locked" : "kept a part that was due";
        if (ok && token.balanceOf(entry.owner) - held != entry.parts[entry.partsPaid++]) fault = "paid another part";
    }

    function changeKey(uint256 who, uint128 secret) external {
        Entry storage entry = _book[who % _book.length];
        if (entry.until != type(uint64).max || entry.penalized || secret == 0) return;
        // Once in an evidence window.
        if (entry.rotatedAtBlock != 0 && block.number < entry.rotatedAtBlock + 16) return;
        entry.rotatedAtBlock = block.number;
        rotate(entry.owner, uint256(keccak256(abi.encode(secret, _book.length, block.number, gasleft()))) % Bls.R);
    }

    /// Reports with a commitment, so that a part of the penalty is not burned.
    function report(uint256 who) external {
        Entry storage entry = _book[who % _book.length];
        uint64 current = registry.epochOf(block.number);
        if (current < entry.from || current >= entry.until) return;
        Vote memory first = notarize(1, keccak256("a"));
        Vote memory second = notarize(1, keccak256("b"));
        bytes memory sum = evidence(entry.owner, current, first, second);
        bytes memory call = abi.encodeCall(slasher.submit, (entry.owner, current, first, second, sum));
        slasher.commit(keccak256(abi.encode(address(this), keccak256(call))));
        vm.roll(block.number + 1);
        if (registry.epochOf(block.number) == current) _offend(entry, current, current);
    }

    function collect() external {
        uint256 claimable = registry.claimable(address(this));
        uint256 held = token.balanceOf(address(this));
        (bool ok,) = address(registry).call(abi.encodeCall(registry.claim, ()));
        if (ok != (claimable != 0)) fault = "claimed";
        if (token.balanceOf(address(this)) - held != claimable) fault = "claimed another amount";
    }

    function closeEpochs() external {
        post(registry.epochOf(block.number));
    }

    function burn() external {
        if (registry.burnable() == 0) return;
        burned += registry.burnable();
        registry.burn();
    }

    function wait(uint8 blocks) external {
        vm.roll(block.number + blocks % 60);
    }

    function store(uint64 back) external {
        registry.materialize(registry.epochOf(block.number) + 1 - back % 4);
    }

    function registry_() external view returns (SequencerRegistry) {
        return registry;
    }

    function book() external view returns (Entry[] memory) {
        return _book;
    }

    function balance() external view returns (uint256) {
        return token.balanceOf(address(registry));
    }

    function _offend(Entry storage entry, uint64 epoch, uint64 current) private {
        if (epoch < entry.from || epoch >= entry.until || slasher.hasOffended(entry.owner, epoch)) return;
        uint256 members = registry.memberCount();
        uint256 closedAt = _closeOf(epoch);
        if (closedAt != 0 && block.number > closedAt + 16) return;
        punish(entry.owner, entry.admission, epoch);
        if (entry.withdrawn) fault = "took evidence against a bond that is paid";
        if (entry.penalized) return;
        entry.penalized = true;
        entry.bond += _unbonding(entry);
        entry.partsPaid = entry.parts.length;
        entry.bond = afterBasePenalty(entry.bond);
        if (entry.until != type(uint64).max) return;
        if (members == 1) _waiting = entry.owner;
        else entry.until = members - 1 > _late() ? current + 2 : current + 3;
    }

    function _join(uint256 bond, uint64 from) private {
        _join(ownerOf(_owners++), bond, from);
    }

    function _join(address owner, uint256 bond, uint64 from) private {
        registerWith(owner, bond, uint256(keccak256(abi.encode("secret", owner, _book.length))) % Bls.R);
        (, uint64 admission,,,,) = registry.sequencer(owner);
        for (uint256 i = 0; i < _book.length; ++i) {
            if (_book[i].owner == _waiting && _book[i].until == type(uint64).max) _book[i].until = from;
        }
        _waiting = address(0);
        Entry memory entry;
        (entry.owner, entry.admission, entry.bond, entry.from, entry.until) =
        (owner, admission, bond, from, type(uint64).max);
        _book.push(entry);
        uint256 members = _beginning(0);
        while (members > MINIMUM + _late() && _serveFirst()) --members;
    }

    /// Lets the one go that waits longest.
    function _serveFirst() private returns (bool) {
        uint256 first = type(uint256).max;
        for (uint256 i = 0; i < _book.length; ++i) {
            if (_book[i].ticket == 0 || _book[i].until != type(uint64).max) continue;
            if (first == type(uint256).max || _book[i].ticket < _book[first].ticket) first = i;
        }
        if (first == type(uint256).max) return false;
        _book[first].until = registry.epochOf(block.number) + 2;
        return true;
    }

    /// The epoch in which the next newcomer begins: four do at most.
    function _enter() private returns (uint64) {
        uint64 next = registry.epochOf(block.number) + 2;
        if (_entryEpoch < next) (_entryEpoch, _entries) = (next, 0);
        if (_entries == 4) (_entryEpoch, _entries) = (_entryEpoch + 1, 0);
        if (registry.entryEpoch() != _entryEpoch) fault = "another entry epoch";
        ++_entries;
        return _entryEpoch;
    }

    /// How many begin later than what is changed now.
    function _late() private view returns (uint256) {
        return _beginning(registry.genesisL1Block() == 0 ? 3 : registry.epochOf(block.number) + 3);
    }

    /// How many of those who stay begin in `epoch` or later.
    function _beginning(uint64 epoch) private view returns (uint256 count) {
        for (uint256 i = 0; i < _book.length; ++i) {
            if (_book[i].until == type(uint64).max && _book[i].from >= epoch) ++count;
        }
    }

    function _isLatest(Entry storage entry) private view returns (bool) {
        (, uint64 admission,,,,) = registry.sequencer(entry.owner);
        return admission == entry.admission;
    }

    function _isReleased(Entry storage entry) private returns (bool) {
        if (entry.withdrawn || entry.until == type(uint64).max) return false;
        uint256 release = _releaseOf(entry);
        return release != 0 && block.number >= release;
    }

    /// First block at which the entry, which has left, is paid; 0 while an epoch is open that it waits for.
    function _releaseOf(Entry storage entry) private returns (uint256 release) {
        uint256 served = _closeOf(entry.until - 1);
        if (served == 0) return 0;
        release = served + 16 + 8 + 64 + 1;
        if (!entry.penalized) return release;
        uint256 correlated = _closeOf(entry.until);
        if (correlated == 0) return 0;
        return correlated + 16 + 64 + 1 > release ? correlated + 16 + 64 + 1 : release;
    }

    function _unbonding(Entry storage entry) private view returns (uint256 sum) {
        for (uint256 i = entry.partsPaid; i < entry.parts.length; ++i) {
            sum += entry.parts[i];
        }
    }

    /// Names a skipped epoch where that is needed. 0: open.
    function _closeOf(uint64 epoch) private returns (uint256) {
        if (inbox.closedAt(epoch) != 0) return inbox.closedAt(epoch);
        uint64 before = epoch;
        while (before != 0 && inbox.nextEpochAfter(before) == 0) --before;
        if (before == epoch || inbox.nextEpochAfter(before) <= epoch) return 0;
        inbox.closeSkipped(epoch, before);
        return inbox.closedAt(epoch);
    }
}

contract InvariantsTest is InvariantTest {
    Handler private handler;

    function setUp() public override {
        handler = new Handler();
        handler.begin();
        _callOn(address(handler));
        _call(Handler.join.selector);
        _call(Handler.offend.selector);
        _call(Handler.burn.selector);
        _call(Handler.wait.selector);
        _call(Handler.store.selector);
        _call(Handler.offendAll.selector);
        _call(Handler.askToLeave.selector);
        _call(Handler.takeOut.selector);
        _call(Handler.comeBack.selector);
        _call(Handler.add.selector);
        _call(Handler.changeKey.selector);
        _call(Handler.closeEpochs.selector);
        _call(Handler.report.selector);
        _call(Handler.collect.selector);
        _call(Handler.takeBack.selector);
        _call(Handler.takePart.selector);
        _call(Handler.bringForward.selector);
        registry = handler.registry_();
    }

    function invariant_It_HoldsEveryBondAndEveryPenaltyInTheBondToken() external view {
        Handler.Entry[] memory book = handler.book();
        uint256 bonds = 0;
        for (uint256 i = 0; i < book.length; ++i) {
            // An owner's bond once, however often it was admitted.
            if (!book[i].withdrawn) bonds += registry.bondOf(book[i].owner) + registry.unbondingOf(book[i].owner);
        }
        uint256 waiting = registry.burnable() + registry.claimable(address(handler));
        assertEq(handler.balance(), bonds + waiting, "balance");
    }

    function invariant_It_NeverLetsAPenalizedBondGrow() external view {
        Handler.Entry[] memory book = handler.book();
        for (uint256 i = 0; i < book.length; ++i) {
            bool penalized = registry.isPenalized(book[i].owner, book[i].admission);
            assertTrue(penalized == book[i].penalized, "penalized");
            if (!book[i].withdrawn) assertEq(registry.bondOf(book[i].owner), book[i].bond, "bond");
        }
    }

    function invariant_It_PaysEveryBondOnceAndNeverEarly() external view {
        assertEq(bytes(handler.fault()), "", handler.fault());
    }

    function invariant_It_KeepsTheWeightsOfACommitteeClippedAndTheirSumRight() external view {
        uint64 latest = registry.epochOf(block.number) + 1;
        for (uint64 epoch = latest < 5 ? 2 : latest - 3; epoch <= latest; ++epoch) {
            Member[] memory members = registry.committee(epoch);
            uint256 total = registry.totalWeight(epoch);
            uint256 sum = 0;
            for (uint256 i = 0; i < members.length; ++i) {
                sum += members[i].weight;
                assertTrue(members[i].weight != 0, "weight");
                assertTrue(members.length < 4 || 3 * uint256(members[i].weight) < total, "less than a third");
            }
            assertEq(total, sum, "total");
        }
    }

    /// The whole committee of every recent epoch, recomputed from the handler's books.
    function invariant_It_AgreesWithTheHistoryOfRegistrationsAndEjections() external view {
        Handler.Entry[] memory book = handler.book();
        uint64 latest = registry.epochOf(block.number) + 1;
        for (uint64 epoch = latest < 8 ? 2 : latest - 6; epoch <= latest; ++epoch) {
            Member[] memory members = registry.committee(epoch);
            uint256 expected = 0;
            uint64[] memory weights = new uint64[](members.length);
            for (uint256 i = 0; i < book.length; ++i) {
                if (epoch < book[i].from || epoch >= book[i].until) continue;
                ++expected;
                uint256 position = 0;
                while (position < members.length && members[position].owner != book[i].owner) ++position;
                assertTrue(position < members.length, "every member is listed");
                uint64 admission;
                (, weights[position], admission) = registry.memberAt(book[i].owner, epoch);
                assertEq(admission, book[i].admission, "admission");
            }
            assertEq(members.length, expected, "nobody else is listed");
            Weights.clip(weights);
            for (uint256 i = 0; i < members.length; ++i) {
                assertEq(members[i].weight, weights[i], "weight");
                assertTrue(i == 0 || members[i - 1].owner < members[i].owner, "order");
            }
        }
    }

    function invariant_It_HasAMemberInEveryEpoch() external view {
        uint64 latest = registry.epochOf(block.number) + 1;
        assertTrue(registry.committee(latest).length != 0, "members");
        assertTrue(registry.memberCount() != 0, "seated");
    }
}
