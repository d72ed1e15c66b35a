// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ERC4626} from "@openzeppelin/contracts/token/ERC20/extensions/ERC4626.sol";

import {Vote, VoteCertificate} from "../../src/Types.sol";
import {DelegationVault} from "../../src/delegation/DelegationVault.sol";
import {VaultTest} from "../support/VaultTest.sol";
import {vm} from "../support/Vm.sol";

contract SharesTest is VaultTest {
    function test_When_SomebodyDeposits() external {
        assertEq(vault.balanceOf(ALICE), 60_000 * UNIT, "shares");
        assertEq(vault.totalAssets(), 100 * UNIT, "assets");
        assertEq(registry.bondOf(address(vault)), 0, "bonded before there is a sequencer");
        join();
        assertEq(registry.bondOf(address(vault)), 100 * UNIT, "bonded by the registration");
        deposit(BOB, 7 * UNIT);
        assertEq(registry.bondOf(address(vault)), 107 * UNIT, "bonded by the deposit");
        assertEq(vault.totalAssets(), 107 * UNIT, "assets");
        rollToEpoch(4);
        assertEq(weightOf(address(vault), 4), 107, "weight");
    }

    function test_When_SharesAreTransferred() external {
        uint256 shares = vault.balanceOf(ALICE);
        vm.prank(ALICE);
        vault.transfer(address(0xca), shares);
        request(address(0xca), shares);
        vault.advance(1);
        assertEq(vault.claimable(address(0xca)), 60 * UNIT, "claimable");
    }

    function test_Given_TheVaultWasSentTokensBeforeTheFirstDeposit() external {
        createVault();
        deposit(ALICE, 1);
        // Taken in as a reward, it is the gift of 1,000 units to one base unit and the thousand shares that nobody has.
        token.mint(address(vault), 1000 * UNIT);
        uint256 shares = deposit(BOB, 2000 * UNIT);
        assertAtMost(2000 * UNIT - vault.convertToAssets(shares), 2 * UNIT, "what Bob loses");
        assertAtMost(vault.convertToAssets(vault.balanceOf(ALICE)), 451 * UNIT, "what Alice has for 1,000");
    }

    function test_Given_TheSequencerHasLeft() external {
        join();
        vm.prank(OPERATOR);
        vault.exit();
        assertEq(vault.maxDeposit(ALICE), 0, "deposit");
        assertEq(vault.maxMint(ALICE), 0, "mint");
    }

    function test_Given_AllIsLost() external {
        join();
        rollToEpoch(4);
        registry.materialize(4);
        VoteCertificate[2] memory pair;
        uint256 everybody = 31;
        for (uint256 i = 0; i < 2; ++i) {
            Vote memory vote = finalize(1, keccak256(abi.encode(i)));
            pair[i] = VoteCertificate(vote, everybody, aggregate(4, everybody, digestOf(4, vote)));
        }
        request(ALICE, 10_000 * UNIT);
        slasher.submitCertificates(4, pair[0], pair[1]);
        assertEq(vault.totalAssets(), 0, "assets");
        assertEq(vault.maxDeposit(ALICE), 0, "deposit");
        vault.advance(9);
        (, uint256 amount) = vault.ticketOf(0);
        assertEq(amount + vault.owed(), 0, "queued");
        assertEq(vault.served(), 1, "served with nothing");
    }

    function test_RevertWhen_SharesAreRedeemedAtOnce() external {
        vm.expectRevert(abi.encodeWithSelector(ERC4626.ERC4626ExceededMaxRedeem.selector, ALICE, 1, 0));
        vm.prank(ALICE);
        vault.redeem(1, ALICE, ALICE);
        vm.expectRevert(abi.encodeWithSelector(ERC4626.ERC4626ExceededMaxWithdraw.selector, ALICE, 1, 0));
        vm.prank(ALICE);
        vault.withdraw(1, ALICE, ALICE);
    }

    function test_When_ARewardComesIn() external {
        join();
        reward(10 * UNIT);
        assertEq(vault.totalAssets(), 109 * UNIT, "assets");
        assertEq(vault.claimable(OPERATOR), UNIT, "commission");
        vault.claim(OPERATOR);
        assertEq(token.balanceOf(OPERATOR), UNIT, "paid");
        assertEq(vault.totalAssets(), 109 * UNIT, "assets after the payment");
        vault.advance(0);
        assertEq(registry.bondOf(address(vault)), 109 * UNIT, "bonded");
    }

    function test_Given_TheSequencerLedViews() external {
        join();
        fundPool(1000 * UNIT);
        runAll(4);
        runAll(5);
        runAll(6);
        settle(4);
        uint256 earned = liveness.pending(address(vault));
        assertAtMost(1, earned, "earned");
        vault.harvest();
        assertEq(vault.totalAssets(), 100 * UNIT + earned - earned / 10, "assets");
        settle(5);
        // Somebody else has it paid, to the vault.
        liveness.claim(address(vault));
        vault.harvest();
        assertEq(vault.totalAssets(), 100 * UNIT + 2 * (earned - earned / 10), "assets");
        assertEq(vault.claimable(OPERATOR), 2 * (earned / 10), "commission");
    }

    function test_Given_NobodyHoldsAShareWhenARewardComesIn() external {
        createVault();
        reward(10 * UNIT);
        assertEq(vault.claimable(OPERATOR), 10 * UNIT, "the operator's");
        assertEq(vault.totalAssets(), 0, "assets");
    }

    function test_Given_APenalty() external {
        join();
        rollToEpoch(4);
        request(BOB, 40_000 * UNIT);
        uint256 before = price();
        slashDoubleNotarize(address(vault), 4);
        assertEq(vault.totalAssets(), 57 * UNIT, "before it was seen");
        assertEq(price(), before * 95 / 100, "price");
        vault.advance(0);
        assertEq(vault.totalAssets(), 57 * UNIT, "after it was seen");
        assertEq(vault.owed(), 38 * UNIT, "queued");
        (, uint256 amount) = vault.ticketOf(0);
        assertEq(amount, 38 * UNIT, "the ticket's");
        assertEq(vault.maxDeposit(ALICE), 0, "deposits");
    }

    function test_When_SomebodyDepositsAfterARewardCame() external {
        token.mint(address(vault), 10 * UNIT);
        uint256 shares = deposit(address(0xca), 109 * UNIT);
        assertAtMost(shares, 100_000 * UNIT + 1000, "shares at the price after the reward");
        assertAtMost(99_999 * UNIT, shares, "and no fewer");
    }

    /// forge-config: default.fuzz.runs = 64
    function testFuzz_It_KeepsThePriceWhenPeopleComeAndGo(uint80[6] calldata amounts, uint8 gift) external {
        join();
        reward(uint256(gift) * UNIT / 7);
        for (uint256 i = 0; i < 6; ++i) {
            uint256 before = price();
            uint256 supply = vault.totalSupply();
            address who = i % 2 == 0 ? ALICE : BOB;
            if (i % 3 == 0) {
                deposit(who, amounts[i]);
            } else {
                uint256 shares = amounts[i] % (vault.balanceOf(who) + 1);
                if (vault.previewRedeem(shares) == 0) continue;
                request(who, shares);
            }
            // Rounding favours who stays, by at most one base unit for each share that a share is cut into.
            assertAtMost(before, price(), "never less");
            uint256 least = supply < vault.totalSupply() ? supply : vault.totalSupply();
            assertAtMost(price() - before, 2 + 2000 * UNIT / (least + 1), "nor noticeably more");
            assertEq(
                token.balanceOf(address(vault)) + registry.bondOf(address(vault))
                    + registry.unbondingOf(address(vault)),
                vault.totalAssets() + vault.owed() + vault.claimableTotal(),
                "books"
            );
        }
    }
}
