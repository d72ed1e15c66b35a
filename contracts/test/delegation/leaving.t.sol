// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {DelegationVault} from "../../src/delegation/DelegationVault.sol";
import {ExitQueue} from "../../src/delegation/ExitQueue.sol";
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

    function test_Given_MorePartsUnbondThanMay() external {
        join();
        uint256 most = registry.UNBONDINGS_MAX();
        for (uint64 i = 0; i <= most; ++i) {
            rollToEpoch(4 + i);
            request(ALICE, 1000 * UNIT);
        }
        assertEq(vault.owed(), (most + 1) * UNIT, "owed");
        assertEq(registry.unbondingOf(address(vault)), most * UNIT, "unbonding");
        passWindows();
        vault.advance(99);
        assertEq(vault.claimable(ALICE), most * UNIT, "the first");
        vault.advance(0);
        assertEq(registry.unbondingOf(address(vault)), UNIT, "the rest unbonds");
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
