// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ChainSpec, Member, Stage} from "../../src/Types.sol";
import {RegistryErrors} from "../../src/registry/RegistryErrors.sol";
import {RegistryEvents} from "../../src/registry/RegistryEvents.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {vm} from "../support/Vm.sol";

contract ExitTest is BatonTest {
    function test_RevertGiven_TheCallerNeverRegistered() external {
        startDevnet();
        _assertNotSeated(address(0x99));
    }

    function test_RevertGiven_TheCallerHasLeft() external {
        startDevnet();
        exit(ownerOf(0));
        _assertNotSeated(ownerOf(0));
        slashDoubleNotarize(ownerOf(1), 2);
        _assertNotSeated(ownerOf(1));
        rollToEpoch(4);
        post(2);
        post(4);
        inbox.closeSkipped(3, 2);
        vm.roll(block.number + 10_000);
        withdraw(ownerOf(0));
        _assertNotSeated(ownerOf(0));
    }

    function test_Given_EnoughMembersStay() external {
        startDevnet();
        address owner = ownerOf(0);
        vm.expectEmit(address(registry));
        emit RegistryEvents.Exited(owner, 4);
        exit(owner);
        (uint256 bond,, Stage stage,, uint64 weight, uint64 effectiveEpoch) = registry.sequencer(owner);
        assertEq(bond, 32 * UNIT, "bond");
        assertTrue(stage == Stage.Left && weight == 0, "stage");
        assertEq(effectiveEpoch, 4, "effective epoch");
        assertEq(token.balanceOf(address(registry)), 100 * UNIT, "locked");
        assertEq(registry.memberCount(), 3, "seated");
        rollToEpoch(4);
        assertEq(weightOf(owner, 3), 32, "epoch 3 was fixed before");
        assertEq(weightOf(owner, 4), 0, "epoch 4");
        assertEq(registry.committee(3).length, 4, "members of epoch 3");
        assertEq(registry.committee(4).length, 3, "members of epoch 4");
    }

    function test_Given_ItIsTheLastBlockOfAnEpoch() external {
        startDevnet();
        vm.roll(registry.epochStart(6) - 1);
        exit(ownerOf(0));
        rollToEpoch(6);
        exit(ownerOf(1));
        rollToEpoch(8);
        assertEq(weightOf(ownerOf(0), 6), 32, "epoch 6");
        assertEq(weightOf(ownerOf(0), 7), 0, "epoch 7");
        assertEq(weightOf(ownerOf(1), 7), 28, "one block later");
        assertEq(weightOf(ownerOf(1), 8), 0, "epoch 8");
    }

    function test_Given_TooFewMembersWouldStay() external {
        _deployWithMinimum(4);
        startDevnet();
        vm.expectEmit(address(registry));
        emit RegistryEvents.ExitDelayed(ownerOf(0), 0);
        exit(ownerOf(0));
        vm.expectEmit(address(registry));
        emit RegistryEvents.ExitDelayed(ownerOf(2), 1);
        exit(ownerOf(2));
        assertStage(ownerOf(0), Stage.Leaving);
        rollToEpoch(9);
        assertEq(registry.committee(9).length, 4, "members");
        assertEq(weightOf(ownerOf(0), 9), 32, "weight");
    }

    function test_Given_TheCallerWaits() external {
        _deployWithMinimum(4);
        startDevnet();
        exit(ownerOf(0));
        exit(ownerOf(0));
        assertStage(ownerOf(0), Stage.Leaving);
        (, uint32 queued) = registry.exitQueue();
        assertEq(queued, 1, "one place");
    }

    /// 66 of 70 wait before the caller, and were all ejected since: more places than one call looks at.
    function test_Given_MoreWaitBeforeTheCallerThanOneCallServes() external {
        _deployWithMinimum(70);
        for (uint256 i = 0; i < 70; ++i) {
            register(i, UNIT);
        }
        start();
        for (uint256 i = 0; i < 70; ++i) {
            exit(ownerOf(i));
        }
        for (uint256 i = 0; i < 66; ++i) {
            slashDoubleNotarize(ownerOf(i), 2);
        }
        for (uint256 i = 70; i < 137; ++i) {
            register(i, UNIT);
        }
        // The last of 67 newcomers begins in epoch 20, and makes one more than the least.
        rollToEpoch(18);
        exit(ownerOf(66));
        assertStage(ownerOf(66), Stage.Leaving);
        (uint32 served,) = registry.exitQueue();
        assertEq(served, 64, "the first call moves the queue");
        exit(ownerOf(66));
        assertStage(ownerOf(66), Stage.Left);
        assertStage(ownerOf(67), Stage.Leaving);
        assertEq(registry.memberCount(), 70, "members");
    }

    function test_Given_TwoWaitAndOthersRegister() external {
        _deployWithMinimum(4);
        startDevnet();
        exit(ownerOf(2));
        exit(ownerOf(0));
        rollToEpoch(5);
        address next = ownerOf(4);
        fund(next, UNIT);
        vm.expectEmit(address(registry));
        emit RegistryEvents.Exited(ownerOf(2), 7);
        registerFunded(next, UNIT);
        assertStage(ownerOf(0), Stage.Leaving);
        rollToEpoch(7);
        register(5, UNIT);
        assertStage(ownerOf(0), Stage.Left);
        register(6, UNIT);
        assertEq(registry.memberCount(), 5, "nobody else leaves");
        rollToEpoch(9);
        for (uint64 epoch = 5; epoch < 9; ++epoch) {
            assertEq(registry.committee(epoch).length, 4, "four at any time");
            assertTrue((weightOf(ownerOf(2), epoch) != 0) == (epoch < 7), "the first");
            assertEq(weightOf(ownerOf(0), epoch), 32, "the second");
        }
        assertEq(weightOf(ownerOf(0), 9), 0, "the second");
        assertEq(registry.committee(9).length, 5, "members");
    }

    /// Its first request is of an admission that is over.
    function test_Given_SomebodyThatWaitedWasEjectedAndCameBack() external {
        _deployWithMinimum(4);
        startDevnet();
        exit(ownerOf(0));
        exit(ownerOf(1));
        slashDoubleNotarize(ownerOf(0), 2);
        rollToRelease(ownerOf(0));
        withdraw(ownerOf(0));
        registerWith(ownerOf(0), UNIT, 0xabcd);
        exit(ownerOf(0));
        assertStage(ownerOf(0), Stage.Leaving);
        register(4, UNIT);
        assertStage(ownerOf(0), Stage.Leaving);
        assertStage(ownerOf(1), Stage.Left);
        register(5, UNIT);
        assertStage(ownerOf(0), Stage.Left);
    }

    function test_Given_TheCommitteeWasDepletedByEjections() external {
        _deployWithMinimum(4);
        startDevnet();
        exit(ownerOf(0));
        slashDoubleNotarize(ownerOf(1), 2);
        register(4, UNIT);
        assertStage(ownerOf(0), Stage.Leaving);
        register(5, UNIT);
        assertStage(ownerOf(0), Stage.Left);
        assertEq(registry.memberCount(), 4, "members");
    }

    /// Five register, of whom one begins an epoch later than the others.
    function test_Given_WhoReplacesTheCallerBeginsLater() external {
        _deployWithMinimum(8);
        for (uint256 i = 0; i < 8; ++i) {
            register(i, UNIT);
        }
        start();
        for (uint256 i = 0; i < 5; ++i) {
            exit(ownerOf(i));
        }
        for (uint256 i = 8; i < 13; ++i) {
            register(i, UNIT);
        }
        assertStage(ownerOf(3), Stage.Left);
        assertStage(ownerOf(4), Stage.Leaving);
        exit(ownerOf(4));
        assertStage(ownerOf(4), Stage.Leaving);
        rollToEpoch(3);
        assertEq(registry.committee(4).length, 8, "four for four");
        exit(ownerOf(4));
        rollToEpoch(5);
        assertEq(registry.committee(5).length, 8, "the fifth");
        assertEq(weightOf(ownerOf(4), 5), 0, "has left");
    }

    /// Five register, of whom one begins an epoch later than the others.
    function test_Given_TheCallerIsTheNextToBegin() external {
        startDevnet();
        for (uint256 i = 4; i < 9; ++i) {
            register(i, UNIT);
        }
        vm.expectEmit(address(registry));
        emit RegistryEvents.Exited(ownerOf(7), 4);
        exit(ownerOf(7));
        rollToEpoch(3);
        vm.expectEmit(address(registry));
        emit RegistryEvents.Exited(ownerOf(8), 5);
        exit(ownerOf(8));
        rollToEpoch(5);
        assertEq(registry.committee(4).length, 7, "epoch 4");
        assertEq(registry.committee(5).length, 7, "epoch 5");
        assertEq(weightOf(ownerOf(7), 4) + weightOf(ownerOf(8), 5), 0, "never members");
    }

    function test_RevertGiven_TheCallerBeginsLater() external {
        startDevnet();
        for (uint256 i = 4; i < 9; ++i) {
            register(i, UNIT);
        }
        _assertBeginsLater(ownerOf(8), 5, 4);
        // Neither does another bond or key let it go.
        fund(ownerOf(8), UNIT);
        vm.prank(ownerOf(8));
        registry.addBond(UNIT);
        rotate(ownerOf(8), 0xabcd);
        _assertBeginsLater(ownerOf(8), 5, 4);
        vm.roll(registry.epochStart(3) - 1);
        _assertBeginsLater(ownerOf(8), 5, 4);
        vm.roll(block.number + 1);
        exit(ownerOf(8));
    }

    /// A committee of four must stay whole. Twelve come, of whom eight begin later, and leave as soon as they may.
    function test_Given_NewcomersLeaveAsSoonAsTheyMay() external {
        _deployWithMinimum(4);
        register(0, UNIT);
        register(1, UNIT);
        register(2, UNIT);
        register(3, UNIT);
        start();
        for (uint256 i = 4; i < 16; ++i) {
            register(i, UNIT);
        }
        for (uint64 epoch = 2; epoch < 5; ++epoch) {
            rollToEpoch(epoch);
            for (uint256 i = 0; i < 4; ++i) {
                exit(ownerOf(4 * (epoch - 1) + i));
            }
        }
        assertEq(registry.memberCount(), 4, "who was there before");
        // None of them counts any more: for one that comes, one may leave.
        rollToEpoch(5);
        exit(ownerOf(0));
        assertStage(ownerOf(0), Stage.Leaving);
        register(16, UNIT);
        assertStage(ownerOf(0), Stage.Left);
        rollToEpoch(6);
        for (uint64 epoch = 4; epoch < 8; ++epoch) {
            assertEq(registry.committee(epoch).length, 4, "four at any time");
        }
    }

    function test_Given_TheChainIsNotActive() external {
        _deployWithMinimum(4);
        address owner = register(0, UNIT);
        register(1, UNIT);
        exit(owner);
        assertEq(registry.memberCount(), 1, "members");
        register(2, UNIT);
        register(3, UNIT);
        register(4, UNIT);
        start();
        assertEq(weightOf(owner, 2), 0, "never a member");
        assertEq(registry.committee(2).length, 4, "members");
    }

    function test_Given_TheChainIsAbandoned() external {
        _deployWithMinimum(4);
        startDevnet();
        exit(ownerOf(0));
        vm.roll(block.number + 2049);
        inbox.abandon();
        uint64 epoch = registry.epochOf(block.number) + 2;
        for (uint256 i = 0; i < 4; ++i) {
            exit(ownerOf(i));
            assertStage(ownerOf(i), Stage.Left);
        }
        assertEq(registry.memberCount(), 0, "nobody is seated");
        rollToEpoch(epoch);
        assertEq(registry.committee(epoch - 1).length, 4, "fixed before");
        assertEq(registry.committee(epoch).length, 0, "nobody is left");
    }

    function test_Given_TheChainIsAbandonedBeforeTheCallerBegins() external {
        startDevnet();
        for (uint256 i = 4; i < 9; ++i) {
            register(i, UNIT);
        }
        vm.roll(block.number + 2049);
        for (uint256 i = 9; i < 14; ++i) {
            register(i, UNIT);
        }
        uint64 current = registry.epochOf(block.number);
        _assertBeginsLater(ownerOf(13), current + 3, current + 2);
        inbox.abandon();
        exit(ownerOf(13));
        assertStage(ownerOf(13), Stage.Left);
    }

    function test_Given_TheChainIsAbandonedAndTheLastEjectionWaits() external {
        ChainSpec memory spec = defaultSpec();
        spec.allowSmall = true;
        deploy(spec);
        address last = register(0, UNIT);
        start();
        slashDoubleNotarize(last, 2);
        assertStage(last, Stage.Seated);
        vm.roll(block.number + 2049);
        inbox.abandon();
        exit(last);
        assertStage(last, Stage.Left);
    }

    /// forge-config: default.fuzz.runs = 64
    function testFuzz_It_ChangesNobodyElsesSeat(uint8 who, uint8 minimum, uint8 newcomers) external {
        _deployWithMinimum(1 + minimum % 4);
        startDevnet();
        exit(ownerOf(who % 4));
        for (uint256 i = 0; i < newcomers % 4; ++i) {
            register(4 + i, UNIT);
        }
        rollToEpoch(4);
        uint256 expected = 4 + newcomers % 4;
        bool left = expected > 1 + minimum % 4;
        Member[] memory members = registry.committee(4);
        assertEq(members.length, left ? expected - 1 : expected, "members");
        assertTrue((weightOf(ownerOf(who % 4), 4) == 0) == left, "the one that asked");
        for (uint256 i = 0; i < 4; ++i) {
            if (i != who % 4) assertEq(weightOf(ownerOf(i), 4), [uint256(32), 28, 22, 18][i], "weight");
        }
    }

    function _deployWithMinimum(uint8 members) private {
        ChainSpec memory spec = defaultSpec();
        (spec.minCommittee, spec.allowSmall) = (members, members < 4);
        deploy(spec);
    }

    function _assertBeginsLater(address owner, uint64 firstEpoch, uint64 earliestNow) private {
        vm.expectRevert(
            abi.encodeWithSelector(RegistryErrors.SequencerRegistry__BeginsLater.selector, firstEpoch, earliestNow)
        );
        exit(owner);
    }

    function _assertNotSeated(address owner) private {
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__NotSeated.selector, owner));
        exit(owner);
    }
}
