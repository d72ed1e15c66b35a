// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {DelegationVault} from "../../src/delegation/DelegationVault.sol";
import {ExitQueue} from "../../src/delegation/ExitQueue.sol";
import {TurningToken} from "../support/Tokens.sol";
import {VaultTest} from "../support/VaultTest.sol";
import {vm} from "../support/Vm.sol";

contract LeavingTest is VaultTest {
    function test_RevertWhen_TheSharesAreWorthNothing() external {
        vm.expectRevert(DelegationVault.DelegationVault__NothingToRedeem.selector);
        request(ALICE, 0);
        vm.expectRevert(DelegationVault.DelegationVault__NothingToRedeem.selector);
        request(ALICE, 999);
    }

    function test_Given_ThereIsNoSequencerYet() external {
        request(ALICE, 60_000 * UNIT);
        vault.advance(1);
        vault.claim(ALICE);
        assertEq(token.balanceOf(ALICE), 60 * UNIT, "paid");
        assertEq(vault.totalAssets(), 40 * UNIT, "Bob's");
        join();
        assertEq(registry.bondOf(address(vault)), 40 * UNIT, "bond");
    }

    function test_Given_TheSequencerIsSeated() external {
        join();
        rollToEpoch(4);
        request(ALICE, 60_000 * UNIT);
        assertEq(registry.bondOf(address(vault)), 40 * UNIT, "bond");
        assertEq(registry.unbondingOf(address(vault)), 60 * UNIT, "unbonding");
        rollToEpoch(6);
        post(5);
        post(6);
        uint256 released = block.number + WINDOWS + 1;
        assertEq(slasher.releaseBlockAfter(6), released, "release");
        vm.roll(released - 1);
        vault.advance(9);
        assertEq(vault.claimable(ALICE), 0, "early");
        vm.roll(released);
        vault.advance(9);
        vault.claim(ALICE);
        assertEq(token.balanceOf(ALICE), 60 * UNIT, "paid");
        assertEq(vault.totalAssets(), 40 * UNIT, "Bob's");
    }

    function test_When_SeveralLeave() external {
        join();
        uint256 first = request(BOB, 1000 * UNIT);
        request(ALICE, 2000 * UNIT);
        request(BOB, 3000 * UNIT);
        assertEq(first, 0, "the first");
        passWindows();
        vault.advance(0);
        assertEq(vault.served(), 0, "none");
        vault.advance(2);
        assertEq(vault.served(), 2, "two");
        assertEq(vault.claimable(BOB), UNIT, "the first");
        assertEq(vault.claimable(ALICE), 2 * UNIT, "the second");
        vault.advance(9);
        assertEq(vault.claimable(BOB), 4 * UNIT, "the third");
    }

    function test_Given_APenaltyBeforeAPartHasUnbonded() external {
        join();
        rollToEpoch(4);
        request(ALICE, 30_000 * UNIT);
        slashDoubleNotarize(address(vault), 4);
        passWindows();
        vault.advance(9);
        assertEq(vault.claimable(ALICE), 30 * UNIT * 95 / 100, "queued");
        // And everything is there for who asks now.
        request(ALICE, 30_000 * UNIT);
        request(BOB, 40_000 * UNIT);
        vault.advance(9);
        assertEq(vault.claimable(ALICE), 60 * UNIT * 95 / 100, "Alice's");
        assertEq(vault.claimable(BOB), 40 * UNIT * 95 / 100, "Bob's");
    }

    function test_Given_ARewardAfterTheRequest() external {
        join();
        request(ALICE, 60_000 * UNIT);
        reward(10 * UNIT);
        (address receiver, uint256 amount) = vault.ticketOf(0);
        assertEq(receiver, ALICE, "receiver");
        assertEq(amount, 60 * UNIT, "the ticket's");
        assertEq(vault.totalAssets(), 49 * UNIT, "Bob's");
    }

    function test_When_TheSequencerLeaves() external {
        join();
        rollToEpoch(4);
        vm.prank(OPERATOR);
        vault.exit();
        request(ALICE, 60_000 * UNIT);
        passWindows();
        request(BOB, 40_000 * UNIT);
        vault.advance(9);
        assertEq(vault.claimable(ALICE), 60 * UNIT, "Alice's");
        assertEq(vault.claimable(BOB), 40 * UNIT, "Bob's");
        vault.claim(ALICE);
        vault.claim(BOB);
        assertEq(token.balanceOf(address(vault)), 0, "all is paid");
    }

    function test_Given_DustWasAskedForInEveryEpochBefore() external {
        join();
        for (uint64 i = 0; i < 70; ++i) {
            rollToEpoch(4 + i);
            request(ALICE, 1000);
        }
        request(BOB, 40_000 * UNIT);
        assertEq(registry.unbondingOf(address(vault)), 40 * UNIT + 70, "all of it unbonds");
        assertEq(registry.unbondings(address(vault)).length, 70, "parts");
        passWindows();
        vault.advance(99);
        assertEq(registry.unbondings(address(vault)).length, 6, "as many as one call collects");
        assertEq(vault.claimable(ALICE), 64, "the dust");
        vault.advance(99);
        assertEq(vault.claimable(BOB), 40 * UNIT, "Bob's");
    }

    function test_RevertWhen_TheReceiverIsNobody() external {
        vm.expectRevert(DelegationVault.DelegationVault__ZeroReceiver.selector);
        vm.prank(ALICE);
        vault.requestRedeem(1000 * UNIT, address(0));
    }

    function test_Given_TheTokenTakesAFeeLater() external {
        TurningToken turning = foundWithTurningToken();
        join();
        rollToEpoch(4);
        request(ALICE, 60_000 * UNIT);
        turning.setFee(10);
        vm.expectRevert(
            abi.encodeWithSelector(DelegationVault.DelegationVault__TransferMismatch.selector, UNIT, UNIT - 10)
        );
        this.depositOf(BOB, UNIT);
        passWindows();
        vault.advance(9);
        (, uint256 amount) = vault.ticketOf(0);
        assertEq(amount, 60 * UNIT - 6, "the queue bears its part");
        assertEq(vault.collected(), 60 * UNIT - 10, "what came");
        vm.prank(OPERATOR);
        vault.exit();
        passWindows();
        vault.advance(9);
        assertEq(vault.claimable(ALICE), 60 * UNIT - 6, "Alice waited for what was missing");
        request(BOB, 40_000 * UNIT);
        vault.advance(9);
        assertAtMost(40 * UNIT - 16, vault.claimable(BOB), "Bob's, less fees");
        assertEq(token.balanceOf(address(vault)), vault.claimableTotal() + vault.totalAssets(), "books");
    }

    function test_Given_TheTokenTookSomethingBack() external {
        TurningToken turning = foundWithTurningToken();
        turning.takeBack(address(vault), 7);
        vault.harvest();
        request(ALICE, 60_000 * UNIT);
        vault.advance(9);
        vault.claim(ALICE);
        assertEq(token.balanceOf(ALICE), 60 * UNIT, "paid");
        assertEq(token.balanceOf(address(vault)), 40 * UNIT - 7, "the last bears it");
        // A gift fills the gap, and only what is beyond it is a reward.
        reward(8);
        assertEq(vault.totalAssets(), 40 * UNIT + 1, "Bob's");
    }

    /// For what is expected to revert after calls that a test makes itself.
    function depositOf(address who, uint256 amount) external {
        deposit(who, amount);
    }

    function test_Given_TheQueueIsShort() external {
        join();
        request(ALICE, 60_000 * UNIT);
        request(BOB, 40_000 * UNIT);
        assertEq(registry.bondOf(address(vault)), UNIT, "the least bond stays");
        assertEq(vault.shortSince(), block.number, "short");
        vm.roll(block.number + 512);
        vm.prank(address(0xca));
        vault.makeLeave();
        passWindows();
        vault.advance(9);
        assertEq(vault.claimable(ALICE), 60 * UNIT, "Alice's");
        assertEq(vault.claimable(BOB), 40 * UNIT, "Bob's");
    }

    function test_RevertGiven_TheQueueIsShortForTooLittleTime() external {
        join();
        request(ALICE, 60_000 * UNIT);
        _expectTooEarly(type(uint256).max);
        request(BOB, 40_000 * UNIT);
        uint256 firstBlock = block.number + 512;
        vm.roll(firstBlock - 1);
        _expectTooEarly(firstBlock);
    }

    function test_RevertGiven_ADepositEndsTheShortage() external {
        join();
        request(ALICE, 60_000 * UNIT);
        request(BOB, 40_000 * UNIT);
        vm.roll(block.number + 512);
        deposit(address(0xca), 5 * UNIT);
        _expectTooEarly(type(uint256).max);
    }

    function test_RevertWhen_NothingIsClaimable() external {
        vm.expectRevert(abi.encodeWithSelector(ExitQueue.ExitQueue__NothingToClaim.selector, ALICE));
        vault.claim(ALICE);
    }

    /// forge-config: default.fuzz.runs = 32
    function testFuzz_It_PaysEverybodyExactlyWhatIsThereWhenAllLeave(uint96[3] calldata parts, bool offends) external {
        join();
        rollToEpoch(4);
        for (uint256 i = 0; i < 3; ++i) {
            uint256 shares = parts[i] % (vault.balanceOf(ALICE) + 1);
            if (vault.previewRedeem(shares) != 0) request(ALICE, shares);
            if (i == 1 && offends) slashDoubleNotarize(address(vault), 4);
        }
        vm.prank(OPERATOR);
        if (!offends) vault.exit();
        passWindows();
        vault.advance(9);
        uint256 rest = vault.balanceOf(ALICE);
        if (vault.previewRedeem(rest) != 0) request(ALICE, rest);
        request(BOB, 40_000 * UNIT);
        vault.advance(9);
        assertEq(vault.owed(), 0, "owed");
        uint256 paid = vault.claimable(ALICE) + vault.claimable(BOB);
        uint256 whole = offends ? 95 * UNIT : 100 * UNIT;
        assertAtMost(paid, whole, "no more than there is");
        assertAtMost(whole - paid, 5, "and no less, but for rounding");
        assertEq(token.balanceOf(address(vault)), paid + vault.totalAssets(), "books");
    }

    function _expectTooEarly(uint256 firstBlock) private {
        vm.expectRevert(
            abi.encodeWithSelector(
                DelegationVault.DelegationVault__NotShortLongEnough.selector, firstBlock, block.number
            )
        );
        vault.makeLeave();
    }
}
