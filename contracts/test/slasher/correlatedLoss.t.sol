// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {SequencerRegistry} from "../../src/SequencerRegistry.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {vm} from "../support/Vm.sol";

/// Ten members of weight 10 each; windows of 8 epochs to either side.
contract CorrelatedLossTest is BatonTest {
    uint256 private constant BOND = 10 * UNIT;
    uint256 private constant REST = BOND * 95 / 100;
    uint256 private constant WINDOWS = 512 + 8 * 16 + 64;

    function setUp() public override {
        super.setUp();
        for (uint256 i = 0; i < 10; ++i) {
            register(i, BOND);
        }
        start();
    }

    function test_Given_NobodyElseOffended() external {
        slashDoubleNotarize(ownerOf(0), 2);
        assertEq(_loss(0, 2), 0, "loss");
    }

    function test_Given_AnotherOffendedWithinTheWindow() external {
        rollToEpoch(18);
        slashDoubleNotarize(ownerOf(0), 10);
        slashDoubleNotarize(ownerOf(1), 2);
        assertEq(_loss(0, 10), BOND * 3 / 10, "eight epochs before");
        slashDoubleNotarize(ownerOf(2), 18);
        assertEq(_loss(0, 10), BOND * 6 / 10, "eight epochs later");
        assertEq(_loss(1, 2), BOND * 3 / 10, "each for itself");
    }

    function test_Given_AnotherOffendedJustOutsideOfTheWindow() external {
        rollToEpoch(19);
        slashDoubleNotarize(ownerOf(0), 11);
        slashDoubleNotarize(ownerOf(1), 2);
        rollToEpoch(20);
        slashDoubleNotarize(ownerOf(2), 20);
        assertEq(_loss(0, 11), 0, "loss");
    }

    function test_Given_AnotherOffendedInSeveralEpochs() external {
        rollToEpoch(12);
        slashDoubleNotarize(ownerOf(0), 8);
        for (uint64 epoch = 5; epoch < 12; ++epoch) {
            slashDoubleNotarize(ownerOf(1), epoch);
        }
        assertEq(_loss(0, 8), BOND * 3 / 10, "loss");
    }

    function test_Given_OthersHeldAThird() external {
        for (uint256 i = 0; i < 4; ++i) {
            slashDoubleNotarize(ownerOf(i), 2);
        }
        assertEq(_loss(0, 2), BOND * 9 / 10, "three others");
        slashDoubleNotarize(ownerOf(4), 3);
        assertEq(_loss(0, 2), REST, "four others");
    }

    /// Otherwise a coalition would report old offences of its own first, each in a window without the others.
    function test_Given_TheOwnerOffendedInSeveralEpochs() external {
        rollToEpoch(22);
        for (uint256 i = 0; i < 3; ++i) {
            slashDoubleNotarize(ownerOf(0), [uint64(3), 20, 12][i]);
        }
        assertEq(_loss(0, 12), 0, "its own offences");
        slashDoubleNotarize(ownerOf(1), 22);
        assertEq(_loss(0, 12), BOND * 3 / 10, "one with another's, of the offence in the middle");
        slashDoubleNotarize(ownerOf(2), 2);
        slashDoubleNotarize(ownerOf(3), 2);
        assertEq(_loss(0, 12), BOND * 6 / 10, "two with others', of the first");
    }

    function test_Given_NothingIsLeft() external {
        slashDoubleNotarize(ownerOf(0), 2);
        slashDoubleNotarize(ownerOf(1), 2);
        assertEq(slasher.correlatedLoss(ownerOf(0), 2, 0), 0, "loss");
        assertEq(slasher.correlatedLoss(ownerOf(5), 0, BOND), 0, "of who never offended");
    }

    function test_When_TwoOffendersOfOneEpochWithdraw() external {
        slashDoubleNotarize(ownerOf(0), 2);
        slashDoubleNotarize(ownerOf(1), 2);
        exit(ownerOf(2));
        rollToEpoch(4);
        post(3);
        post(4);
        registry.burn();
        vm.roll(block.number + WINDOWS + 1);
        uint256 lost = BOND * 3 / 10;
        vm.expectEmit(address(registry));
        emit SequencerRegistry.Withdrawn(ownerOf(0), 1, REST - lost, lost);
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
    function testFuzz_It_NeverExceedsWhatIsLeft(uint8[6] memory epochs, uint8 offenders, uint128 rest) external {
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
        uint256 loss = slasher.correlatedLoss(ownerOf(0), own, rest);
        uint256 bond = uint256(rest) * 10_000 / 9500;
        uint256 expected = 3 * bond * others / 10;
        assertEq(loss, expected < rest ? expected : rest, "loss");
        assertAtMost(loss, rest, "what is left");
    }

    function _loss(uint256 i, uint64 lastOffence) private view returns (uint256) {
        return slasher.correlatedLoss(ownerOf(i), lastOffence, registry.bondOf(ownerOf(i)));
    }
}
