// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Slasher} from "../../src/Slasher.sol";
import {RegistryErrors} from "../../src/registry/RegistryErrors.sol";
import {RegistryEvents} from "../../src/registry/RegistryEvents.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {vm} from "../support/Vm.sol";

/// Ten members of weight 10 each; windows of 8 epochs to either side.
contract ReleaseTest is BatonTest {
    uint256 private constant BOND = 10 * UNIT;
    uint256 private constant REST = BOND * 95 / 100;

    function setUp() public override {
        super.setUp();
        for (uint256 i = 0; i < 10; ++i) {
            register(i, BOND);
        }
        start();
    }

    function test_RevertWhen_TheCallerIsNotTheRegistry() external {
        vm.expectRevert(
            abi.encodeWithSelector(Slasher.Slasher__OnlyRegistry.selector, address(registry), address(this))
        );
        slasher.release(ownerOf(0), 4, 2, 1);
    }

    function test_Given_NobodyElseOffended() external {
        slashDoubleNotarize(ownerOf(0), 2);
        assertEq(_loss(0), 0, "loss");
    }

    function test_Given_AnotherOffendedWithinTheWindow() external {
        rollToEpoch(18);
        slashDoubleNotarize(ownerOf(0), 10);
        slashDoubleNotarize(ownerOf(1), 2);
        assertEq(_loss(0), BOND * 3 / 10, "eight epochs before");
        slashDoubleNotarize(ownerOf(2), 18);
        assertEq(_loss(0), BOND * 6 / 10, "eight epochs later");
        assertEq(_loss(1), BOND * 3 / 10, "each for itself");
    }

    function test_Given_AnotherOffendedJustOutsideOfTheWindow() external {
        rollToEpoch(19);
        slashDoubleNotarize(ownerOf(0), 11);
        slashDoubleNotarize(ownerOf(1), 2);
        rollToEpoch(20);
        slashDoubleNotarize(ownerOf(2), 20);
        assertEq(_loss(0), 0, "loss");
    }

    function test_Given_AnotherOffendedInSeveralEpochs() external {
        fund(ownerOf(1), 2 * UNIT);
        vm.prank(ownerOf(1));
        registry.addBond(2 * UNIT);
        rollToEpoch(12);
        slashDoubleNotarize(ownerOf(0), 8);
        slashDoubleNotarize(ownerOf(1), 2);
        assertEq(_loss(0), 3 * BOND * 10 / 102, "its weight then");
        for (uint64 epoch = 11; epoch > 2; --epoch) {
            slashDoubleNotarize(ownerOf(1), epoch);
        }
        assertEq(_loss(0), 3 * BOND * 12 / 102, "its highest weight, once");
    }

    function test_Given_OthersHeldAThird() external {
        for (uint256 i = 0; i < 4; ++i) {
            slashDoubleNotarize(ownerOf(i), 2);
        }
        assertEq(_loss(0), BOND * 9 / 10, "three others");
        slashDoubleNotarize(ownerOf(4), 3);
        assertEq(_loss(0), REST, "four others");
    }

    /// Otherwise a coalition would report old offences of its own first, each in a window without the others.
    function test_Given_TheOwnerOffendedInSeveralEpochs() external {
        rollToEpoch(22);
        for (uint256 i = 0; i < 3; ++i) {
            slashDoubleNotarize(ownerOf(0), [uint64(3), 20, 12][i]);
        }
        assertEq(_loss(0), 0, "its own offences");
        slashDoubleNotarize(ownerOf(1), 22);
        assertEq(_loss(0), BOND * 3 / 10, "one with another's, of the offence in the middle");
        slashDoubleNotarize(ownerOf(2), 2);
        slashDoubleNotarize(ownerOf(3), 2);
        assertEq(_loss(0), BOND * 6 / 10, "two with others', of the first");
    }

    function test_Given_NothingIsLeft() external {
        slashDoubleNotarize(ownerOf(1), 2);
        vm.prank(address(slasher));
        registry.penalize(ownerOf(0), 2, true, address(0));
        assertEq(registry.bondOf(ownerOf(0)), 0, "bond");
        assertEq(_loss(0), 0, "loss");
    }

    function test_RevertGiven_ACorrelatedEpochIsOpen() external {
        slashDoubleNotarize(ownerOf(0), 2); // serves epoch 3 as its last
        exit(ownerOf(1));
        rollToEpoch(4);
        post(3);
        post(4);
        vm.roll(block.number + 10_000);
        vm.expectRevert(abi.encodeWithSelector(Slasher.Slasher__EpochIsOpen.selector, 11));
        withdraw(ownerOf(0));
        withdraw(ownerOf(1));
        assertEq(token.balanceOf(ownerOf(1)), BOND, "who never offended does not wait for it");
    }

    /// L1 time alone would pay the first offender before the evidence against the second can be there.
    function test_Given_ACorrelatedEpochClosedLate() external {
        slashDoubleNotarize(ownerOf(0), 3); // serves epoch 3 as its last
        rollToEpoch(4);
        post(3);
        post(4);
        rollToEpoch(11);
        post(11);
        vm.roll(block.number + 2000);
        post(registry.epochOf(block.number));
        uint256 released = block.number + 512 + 64 + 1;
        assertEq(slasher.releaseBlock(ownerOf(0)), released, "release");
        vm.roll(released - 1 - 64);
        slashDoubleNotarize(ownerOf(1), 11);
        vm.roll(released - 1);
        vm.expectRevert(abi.encodeWithSelector(Slasher.Slasher__BondLocked.selector, released, released - 1));
        withdraw(ownerOf(0));
        vm.roll(released);
        withdraw(ownerOf(0));
        assertEq(token.balanceOf(ownerOf(0)), REST - BOND * 3 / 10, "paid");
    }

    function test_When_TwoOffendersOfOneEpochWithdraw() external {
        slashDoubleNotarize(ownerOf(0), 2);
        slashDoubleNotarize(ownerOf(1), 2);
        exit(ownerOf(2));
        registry.burn();
        rollToRelease(ownerOf(0));
        uint256 lost = BOND * 3 / 10;
        vm.expectEmit(address(registry));
        emit RegistryEvents.Withdrawn(ownerOf(0), 1, REST - lost, lost);
        withdraw(ownerOf(0));
        withdraw(ownerOf(1));
        withdraw(ownerOf(2));
        assertEq(token.balanceOf(ownerOf(0)), REST - lost, "the first");
        assertEq(token.balanceOf(ownerOf(1)), REST - lost, "the second");
        assertEq(token.balanceOf(ownerOf(2)), BOND, "who left in peace");
        assertEq(registry.burnable(), 2 * lost, "burnable");
        assertEq(token.balanceOf(address(registry)), 7 * BOND + 2 * lost, "balance");
    }

    /// forge-config: default.fuzz.runs = 32
    function testFuzz_It_NeverExceedsWhatIsLeft(uint8[6] memory epochs, uint8 offenders) external {
        rollToEpoch(30);
        for (uint256 i = 0; i <= offenders % 6; ++i) {
            slashDoubleNotarize(ownerOf(i), 2 + epochs[i] % 28);
        }
        uint64 own = 2 + epochs[0] % 28;
        uint256 others = 0;
        for (uint256 i = 1; i <= offenders % 6; ++i) {
            uint64 theirs = 2 + epochs[i] % 28;
            if (theirs + 8 >= own && theirs <= own + 8) ++others;
        }
        uint256 expected = 3 * BOND * others / 10;
        assertEq(_loss(0), expected < REST ? expected : REST, "loss");
    }

    function test_RevertGiven_TheOwnerHasNotLeft() external {
        vm.expectRevert(
            abi.encodeWithSelector(RegistryErrors.SequencerRegistry__NothingToWithdraw.selector, ownerOf(0))
        );
        slasher.settle(ownerOf(0), 1);
    }

    function test_RevertGiven_TheBondIsLocked() external {
        slashDoubleNotarize(ownerOf(0), 2);
        rollToRelease(ownerOf(0));
        uint256 released = block.number;
        vm.roll(released - 1);
        vm.expectRevert(abi.encodeWithSelector(Slasher.Slasher__BondLocked.selector, released, released - 1));
        slasher.settle(ownerOf(0), 1);
    }

    function test_Given_TheOwnerNeverOffended() external {
        slashDoubleNotarize(ownerOf(1), 2);
        exit(ownerOf(0));
        rollToRelease(ownerOf(0));
        assertTrue(slasher.settle(ownerOf(0), 0), "done");
    }

    function test_Given_MoreOffencesThanOneWithdrawalCanLookAt() external {
        address owner = ownerOf(0);
        rollToEpoch(12);
        for (uint64 epoch = 2; epoch < 12; ++epoch) {
            for (uint256 i = 0; i < 3; ++i) {
                slashDoubleNotarize(ownerOf(i), epoch);
            }
        }
        rollToRelease(owner);
        bytes memory unfinished = abi.encodeWithSelector(Slasher.Slasher__SettlementUnfinished.selector, owner);
        vm.expectRevert(unfinished);
        withdraw(owner);
        uint256 gasBefore = gasleft();
        assertTrue(!slasher.settle(owner, 64), "not yet");
        assertAtMost(gasBefore - gasleft(), 64 * 25_000, "gas");
        vm.expectRevert(unfinished);
        withdraw(owner);
        vm.prank(address(0xa11));
        assertTrue(slasher.settle(owner, 1000), "done");
        assertTrue(slasher.settle(owner, 0), "and stays so");
        withdraw(owner);
        uint256 paid = REST - BOND * 6 / 10;
        assertEq(token.balanceOf(owner), paid, "two others once each");

        registerWith(owner, BOND, 0xabcd);
        uint64 again = registry.epochOf(block.number) + 2;
        rollToEpoch(again);
        slashDoubleNotarize(owner, again);
        rollToRelease(owner);
        withdraw(owner);
        assertEq(token.balanceOf(owner), paid + REST, "nobody offended near the second");
    }

    /// forge-config: default.fuzz.runs = 16
    function testFuzz_It_FindsInAnyStepsWhatTheWithdrawalFindsAtOnce(uint8[6] memory epochs, uint8 steps) external {
        rollToEpoch(20);
        for (uint256 i = 0; i < 6; ++i) {
            uint64 epoch = 2 + epochs[i] % 18;
            if (!slasher.hasOffended(ownerOf(i % 3), epoch)) slashDoubleNotarize(ownerOf(i % 3), epoch);
        }
        uint256 expected = _loss(0);
        rollToRelease(ownerOf(0));
        uint256 calls = 0;
        while (!slasher.settle(ownerOf(0), 1 + steps % 40)) ++calls;
        assertTrue(calls != 0 || steps % 40 > 17, "more than one call");
        uint256 burnable = registry.burnable();
        withdraw(ownerOf(0));
        assertEq(registry.burnable() - burnable, expected, "loss");
    }

    /// What the i-th owner would lose at its withdrawal by what has been reported.
    function _loss(uint256 i) private returns (uint256 lost) {
        uint256 now_ = vm.snapshotState();
        rollToRelease(ownerOf(i));
        uint256 bond = registry.bondOf(ownerOf(i));
        withdraw(ownerOf(i));
        lost = bond - token.balanceOf(ownerOf(i));
        vm.revertToState(now_);
    }
}
