// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Rosters} from "../../src/Rosters.sol";
import {Member} from "../../src/Types.sol";
import {RegistryErrors} from "../../src/registry/RegistryErrors.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {vm} from "../support/Vm.sol";

contract MaterializeTest is BatonTest {
    bytes32 private constant DIGEST = keccak256("digest");

    function test_RevertWhen_TheCommitteeIsNotFixedYet() external {
        startDevnet();
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__CommitteeNotFixed.selector, 3, 4));
        registry.materialize(4);
        assertTrue(!registry.isMaterialized(4), "not stored");
    }

    function test_RevertWhen_TheEpochHasNoCommittee() external {
        startDevnet();
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__NoCommitteeBefore.selector, 2, 1));
        registry.materialize(1);
    }

    function test_When_TheCommitteeIsStoredAlready() external {
        startDevnet();
        assertTrue(registry.isMaterialized(2), "stored");
        vm.recordLogs();
        registry.materialize(2);
        assertEq(vm.getRecordedLogs().length, 0, "events");
    }

    function test_When_ItIsNotStoredYet() external {
        startDevnet();
        assertTrue(!registry.isMaterialized(3), "not stored");
        vm.recordLogs();
        vm.prank(address(0xa11));
        registry.materialize(3);
        assertTrue(registry.isMaterialized(3), "stored");
        assertEq(vm.getRecordedLogs()[0].topics[0], Rosters.CommitteeMaterialized.selector, "event");
        registry.verifyQuorum(3, DIGEST, 15, aggregate(3, 15, DIGEST));
    }

    function test_Given_AnEarlierEpochHadTheSameCommittee() external {
        startDevnet();
        uint64 accounts = vm.getNonce(address(registry.CERTIFICATES()));
        registry.materialize(3);
        assertEq(vm.getNonce(address(registry.CERTIFICATES())), accounts, "accounts");
        registry.verifyQuorum(3, DIGEST, 15, aggregate(3, 15, DIGEST));
    }

    function test_Given_OneMemberWasReplaced() external {
        startDevnet();
        slashDoubleNotarize(ownerOf(3), 2);
        register(4, 18 * UNIT);
        rollToEpoch(4);
        uint64 accounts = vm.getNonce(address(registry.CERTIFICATES()));
        registry.materialize(4);
        assertEq(vm.getNonce(address(registry.CERTIFICATES())), accounts + 2, "accounts: one chunk, one content");
        registry.verifyQuorum(4, DIGEST, 15, aggregate(4, 15, DIGEST));
    }

    function test_Given_AMemberOfTheSecondChunkWasReplaced() external {
        for (uint256 i = 0; i < 66; ++i) {
            register(i, UNIT);
        }
        start();
        // The member with the highest address stands last, so it is in the second chunk; so is its successor.
        Member[] memory members = registry.committee(2);
        address last = members[65].owner;
        address successor = address(type(uint160).max);
        slashDoubleNotarize(last, 2);
        registerWith(successor, UNIT, secretOf(successor));
        rollToEpoch(4);
        uint64 accounts = vm.getNonce(address(registry.CERTIFICATES()));
        registry.materialize(4);
        assertEq(vm.getNonce(address(registry.CERTIFICATES())), accounts + 2, "accounts: the second chunk, the content");
        registry.verifyQuorum(4, DIGEST, 2 ** 66 - 1, aggregate(4, 2 ** 66 - 1, DIGEST));
    }

    function test_Given_128Members() external {
        for (uint256 i = 0; i < 128; ++i) {
            register(i, (1 + i) * UNIT);
        }
        registry.activate();
        rollToEpoch(2);
        uint256 gasBefore = gasleft();
        registry.materialize(2);
        assertAtMost(gasBefore - gasleft(), 2 ** 24 - 30_000, "gas of materialize");
        // Members on both sides of every boundary: chunks of 64, words of 4 weights, all but a third.
        uint256 bitmap = (2 ** 128 - 1) ^ (1 << 5) ^ (1 << 63) ^ (1 << 64) ^ (1 << 90);
        bytes memory signature = aggregate(2, bitmap, DIGEST);
        gasBefore = gasleft();
        registry.verifyQuorum(2, DIGEST, bitmap, signature);
        assertAtMost(gasBefore - gasleft(), 600_000, "gas of verifyQuorum");
        vm.expectRevert(RegistryErrors.SequencerRegistry__InvalidSignature.selector);
        registry.verifyQuorum(2, DIGEST, bitmap | (1 << 63), signature);
    }
}
