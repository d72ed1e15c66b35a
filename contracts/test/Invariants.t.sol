// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {SequencerRegistry} from "../src/SequencerRegistry.sol";
import {Member} from "../src/Types.sol";
import {Weights} from "../src/libraries/Weights.sol";
import {BatonTest} from "./support/BatonTest.sol";
import {vm} from "./support/Vm.sol";

/// Does what anybody may do, in any order, and keeps its own books.
contract Handler is BatonTest {
    struct Entry {
        address owner;
        uint256 bond;
        uint64 from;
        /// First epoch without it; the largest number while it stays.
        uint64 until;
        bool penalized;
    }

    Entry[] private _book;
    address private _waiting;
    uint256 public burned;

    function begin() external {
        setUp();
        for (uint256 i = 0; i < 5; ++i) {
            _join((i + 1) * 7 * UNIT, 2);
        }
        registry.activate();
        // Far enough that every epoch that a call looks back to has a committee.
        vm.roll(registry.epochStart(6));
    }

    function join(uint96 extra) external {
        if (registry.memberCount() >= 12) return;
        _join(UNIT + extra, registry.epochOf(block.number) + 2);
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

    function burn() external {
        if (registry.burnable() == 0) return;
        burned += registry.burnable();
        registry.burn();
    }

    function wait(uint8 blocks) external {
        vm.roll(block.number + blocks % 40);
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
        slashDoubleNotarize(entry.owner, epoch);
        if (entry.penalized) return;
        entry.penalized = true;
        entry.bond -= entry.bond / 20;
        if (members == 1) _waiting = entry.owner;
        else entry.until = current + 2;
    }

    function _join(uint256 bond, uint64 from) private {
        address owner = register(_book.length, bond);
        if (_waiting != address(0)) {
            for (uint256 i = 0; i < _book.length; ++i) {
                if (_book[i].owner == _waiting) _book[i].until = from;
            }
            _waiting = address(0);
        }
        _book.push(Entry(owner, bond, from, type(uint64).max, false));
    }
}

contract InvariantsTest is BatonTest {
    Handler private handler;

    function setUp() public override {
        handler = new Handler();
        handler.begin();
        registry = handler.registry_();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        bytes4[] memory selectors = new bytes4[](6);
        selectors[0] = Handler.join.selector;
        selectors[1] = Handler.offend.selector;
        selectors[2] = Handler.burn.selector;
        selectors[3] = Handler.wait.selector;
        selectors[4] = Handler.store.selector;
        selectors[5] = Handler.offendAll.selector;
        targets[0] = FuzzSelector(address(handler), selectors);
    }

    function invariant_It_HoldsEveryBondAndEveryPenaltyInTheBondToken() external view {
        Handler.Entry[] memory book = handler.book();
        uint256 bonds = 0;
        for (uint256 i = 0; i < book.length; ++i) {
            bonds += registry.bondOf(book[i].owner);
        }
        assertEq(handler.balance(), bonds + registry.burnable(), "balance");
    }

    function invariant_It_NeverLetsAPenalizedBondGrow() external view {
        Handler.Entry[] memory book = handler.book();
        for (uint256 i = 0; i < book.length; ++i) {
            assertEq(registry.bondOf(book[i].owner), book[i].bond, "bond");
            assertTrue(registry.isPenalized(book[i].owner, 1) == book[i].penalized, "penalized");
        }
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
                (, weights[position],) = registry.memberAt(book[i].owner, epoch);
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
