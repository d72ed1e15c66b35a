// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ChainSpec, Member, Stage} from "../../src/Types.sol";
import {RegistryErrors} from "../../src/registry/RegistryErrors.sol";
import {RegistryEvents} from "../../src/registry/RegistryEvents.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {vm} from "../support/Vm.sol";

contract PenalizeTest is BatonTest {
    function test_RevertWhen_TheCallerIsNotTheSlasher() external {
        startDevnet();
        address[3] memory callers = [address(inbox), ownerOf(0), DEPLOYER];
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(
                    RegistryErrors.SequencerRegistry__OnlySlasher.selector, address(slasher), callers[i]
                )
            );
            vm.prank(callers[i]);
            registry.penalize(ownerOf(0), 2, false, address(0));
        }
    }

    function test_RevertWhen_TheOwnerIsNoMemberOfTheEpoch() external {
        startDevnet();
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__NotAMember.selector, address(0x99), 2));
        vm.prank(address(slasher));
        registry.penalize(address(0x99), 2, false, address(0));
    }

    function test_Given_TheAdmissionIsNotPenalized() external {
        startDevnet();
        rollToEpoch(5);
        address owner = ownerOf(0);
        // A token that refuses everything cannot keep anyone from being slashed.
        vm.mockCallRevert(address(token), "", "paused");
        vm.expectEmit(address(registry));
        emit RegistryEvents.Penalized(owner, 1, 3, 32 * UNIT / 20, 0);
        vm.expectEmit(address(registry));
        emit RegistryEvents.Ejected(owner, 7);
        assertEq(_penalize(owner, 3), 32 * UNIT / 20, "amount");
        vm.clearMockedCalls();
        assertEq(registry.bondOf(owner), 32 * UNIT - 32 * UNIT / 20, "bond");
        assertEq(registry.burnable(), 32 * UNIT / 20, "burnable");
        assertTrue(registry.isPenalized(owner, 1), "penalized");
        assertTrue(!registry.isPenalized(owner, 2), "not a later admission");
        (,, Stage stage,, uint64 weight, uint64 effectiveEpoch) = registry.sequencer(owner);
        assertTrue(stage == Stage.Left && weight == 0, "ejected");
        assertEq(effectiveEpoch, 7, "effective epoch");
        assertEq(weightOf(owner, 6), 32, "the committee of the next epoch was fixed before");
    }

    function test_Given_TheAdmissionIsPenalized() external {
        startDevnet();
        address owner = ownerOf(0);
        _penalize(owner, 2);
        uint256 bond = registry.bondOf(owner);
        vm.recordLogs();
        assertEq(_penalize(owner, 2), 0, "again");
        assertEq(_penalize(owner, 3), 0, "for another epoch");
        assertEq(vm.getRecordedLogs().length, 0, "events");
        assertEq(registry.bondOf(owner), bond, "bond");
    }

    function test_When_EverythingIsTaken() external {
        startDevnet();
        (address first, address second) = (ownerOf(0), ownerOf(1));
        _penalize(first, 2);
        vm.startPrank(address(slasher));
        (uint256 amount, uint64 previous, uint64 weight) = registry.penalize(first, 3, true, address(0xa11));
        assertEq(amount, 32 * UNIT - 32 * UNIT / 20, "what was left");
        assertEq(previous, 2, "the offence before");
        (amount, previous, weight) = registry.penalize(second, 3, true, address(0xa11));
        assertEq(amount, 28 * UNIT, "all");
        assertEq(weight, 28, "weight");
        assertEq(previous, 0, "none before");
        (amount, previous, weight) = registry.penalize(second, 2, true, address(0xa11));
        assertEq(amount, 0, "nothing is left");
        assertEq(previous, 3, "the offence before");
        vm.stopPrank();
        assertEq(registry.bondOf(first) + registry.bondOf(second), 0, "bonds");
        assertEq(registry.claimable(address(0xa11)), 28 * UNIT / 200, "a share of one base penalty");
        assertEq(registry.burnable(), 60 * UNIT - 28 * UNIT / 200, "burnable");
        assertEq(registry.memberCount(), 2, "members");
    }

    function test_Given_ItIsTheLastMember() external {
        _deploySmall(500);
        address owner = register(0, 10 * UNIT);
        start();
        vm.expectEmit(address(registry));
        emit RegistryEvents.EjectionDelayed(owner);
        assertEq(_penalize(owner, 2), UNIT / 2, "amount");
        rollToEpoch(20);
        assertEq(registry.committee(20).length, 1, "still there");
        assertStage(owner, Stage.Seated);
        assertEq(_penalize(owner, 20), 0, "never twice");
    }

    function test_Given_TwoOfTwoMembersArePenalized() external {
        _deploySmall(500);
        address first = register(0, 10 * UNIT);
        address second = register(1, 10 * UNIT);
        start();
        _penalize(first, 2);
        _penalize(second, 2);
        rollToEpoch(10);
        Member[] memory members = registry.committee(10);
        assertEq(members.length, 1, "members");
        assertEq(members[0].owner, second, "the one that is left");
        address third = register(2, 10 * UNIT);
        rollToEpoch(12);
        members = registry.committee(12);
        assertEq(members.length, 1, "members");
        assertEq(members[0].owner, third, "the newcomer");
    }

    function test_Given_TheOffenderHasLeft() external {
        startDevnet();
        address owner = ownerOf(0);
        exit(owner);
        rollToEpoch(9);
        vm.recordLogs();
        assertEq(_penalize(owner, 3), 32 * UNIT / 20, "amount");
        assertEq(vm.getRecordedLogs().length, 1, "the penalty and no ejection");
        assertEq(registry.bondOf(owner), 32 * UNIT * 95 / 100, "bond");
        assertEq(registry.memberCount(), 3, "members");
    }

    function test_Given_TheOffenderWaitsToLeave() external {
        ChainSpec memory spec = defaultSpec();
        spec.minCommittee = 4;
        deploy(spec);
        startDevnet();
        address owner = ownerOf(0);
        exit(owner);
        _penalize(owner, 2);
        assertStage(owner, Stage.Left);
        // Its place in the queue helps nobody: four members stay four.
        register(4, UNIT);
        assertEq(registry.memberCount(), 4, "members");
        exit(ownerOf(1));
        assertStage(ownerOf(1), Stage.Leaving);
        register(5, UNIT);
        assertStage(ownerOf(1), Stage.Left);
    }

    function test_Given_TheAdmissionIsOver() external {
        startDevnet();
        address owner = ownerOf(0);
        exit(owner);
        rollToEpoch(4);
        post(4);
        inbox.closeSkipped(3, 0);
        vm.roll(block.number + 512 + 8 * 16 + 64 + 1);
        withdraw(owner);
        assertEq(_penalize(owner, 2), 0, "paid out");
        registerWith(owner, 10 * UNIT, 0xabcd);
        assertEq(_penalize(owner, 2), 0, "another admission");
        assertEq(registry.bondOf(owner), 10 * UNIT, "bond");
        assertTrue(!registry.isPenalized(owner, 1) && !registry.isPenalized(owner, 2), "not penalized");
        assertStage(owner, Stage.Seated);
    }

    function test_When_TheWholeBondIsThePenalty() external {
        _deploySmall(10_000);
        address owner = register(0, 10 * UNIT);
        register(1, 10 * UNIT);
        start();
        _penalize(owner, 2);
        assertEq(registry.bondOf(owner), 0, "bond");
        assertEq(registry.burnable(), 10 * UNIT, "burnable");
    }

    /// forge-config: default.fuzz.runs = 64
    function testFuzz_It_RoundsThePenaltyDown(uint96 extra, uint16 bps) external {
        bps = 1 + bps % 10_000;
        _deploySmall(bps);
        uint256 bond = UNIT + extra;
        address owner = register(0, bond);
        register(1, 10 * UNIT);
        start();
        uint256 amount = _penalize(owner, 2);
        assertTrue(amount * 10_000 <= bond * bps && bond * bps < (amount + 1) * 10_000, "rounded down");
        assertEq(registry.bondOf(owner) + registry.burnable(), bond, "nothing is lost");
    }

    function test_RevertGiven_NothingWaits() external {
        vm.expectRevert(RegistryErrors.SequencerRegistry__NothingToBurn.selector);
        registry.burn();
    }

    function test_Given_APenaltyWaits() external {
        startDevnet();
        _penalize(ownerOf(0), 2);
        _penalize(ownerOf(1), 2);
        uint256 amount = 60 * UNIT / 20;
        vm.expectEmit(address(registry));
        emit RegistryEvents.Burned(amount);
        vm.prank(address(0xa11));
        registry.burn();
        assertEq(token.balanceOf(registry.BURN_ADDRESS()), amount, "burned");
        assertEq(token.balanceOf(address(registry)), 100 * UNIT - amount, "bonds");
        assertEq(registry.burnable(), 0, "burnable");
        vm.expectRevert(RegistryErrors.SequencerRegistry__NothingToBurn.selector);
        registry.burn();
    }

    /// Of eight that come, four begin first, and leave before they began.
    function test_Given_AllOthersBeginLater() external {
        address last = register(0, UNIT);
        start();
        for (uint256 i = 1; i < 9; ++i) {
            register(i, UNIT);
        }
        for (uint256 i = 1; i < 5; ++i) {
            exit(ownerOf(i));
        }
        vm.expectEmit(address(registry));
        emit RegistryEvents.Ejected(last, 5);
        _penalize(last, 2);
        rollToEpoch(5);
        assertEq(registry.committee(4).length, 1, "the offender");
        assertEq(registry.committee(5).length, 4, "the others");
        assertEq(weightOf(last, 5), 0, "ejected");
    }

    /// Twelve come after the last of four offenders could be counted on only: they begin four an epoch.
    function test_Given_AllOthersBeginInSeveralEpochs() external {
        startDevnet();
        for (uint256 i = 4; i < 8; ++i) {
            register(i, UNIT);
            exit(ownerOf(i));
        }
        for (uint256 i = 8; i < 20; ++i) {
            register(i, UNIT);
        }
        for (uint256 i = 0; i < 3; ++i) {
            _penalize(ownerOf(i), 2);
        }
        vm.expectEmit(address(registry));
        emit RegistryEvents.Ejected(ownerOf(3), 5);
        _penalize(ownerOf(3), 2);
        rollToEpoch(5);
        assertEq(registry.committee(4).length, 1, "the last offender");
        assertEq(registry.committee(5).length, 4, "the first that came");
    }

    function _penalize(address owner, uint64 epoch) private returns (uint256 amount) {
        vm.prank(address(slasher));
        (amount,,) = registry.penalize(owner, epoch, false, address(0));
    }

    function _deploySmall(uint16 bps) private {
        ChainSpec memory spec = defaultSpec();
        spec.allowSmall = true;
        spec.baseSlashBps = bps;
        deploy(spec);
    }
}
