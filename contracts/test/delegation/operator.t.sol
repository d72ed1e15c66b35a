// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {ChainSpec} from "../../src/Types.sol";
import {Commission} from "../../src/delegation/Commission.sol";
import {DelegationVault} from "../../src/delegation/DelegationVault.sol";
import {DelegationVaultFactory} from "../../src/delegation/DelegationVaultFactory.sol";
import {DevToken} from "../../src/devnet/DevToken.sol";
import {RegistryEvents} from "../../src/registry/RegistryEvents.sol";
import {Bls} from "../support/Bls.sol";
import {HookToken} from "../support/Tokens.sol";
import {VaultTest} from "../support/VaultTest.sol";
import {vm} from "../support/Vm.sol";

contract OperatorTest is VaultTest {
    function test_RevertWhen_SomebodyElseActsAsTheOperator() external {
        bytes[7] memory calls = [
            abi.encodeCall(vault.register, (ALICE, "", "")),
            abi.encodeCall(vault.rotateKey, ("", "")),
            abi.encodeCall(vault.announce, (ALICE, ALICE, ALICE, "", "")),
            abi.encodeCall(vault.exit, ()),
            abi.encodeCall(vault.unjail, ()),
            abi.encodeCall(vault.setCommission, (0)),
            abi.encodeCall(vault.setOperator, (ALICE))
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            vm.prank(ALICE);
            (bool ok, bytes memory reason) = address(vault).call(calls[i]);
            assertTrue(!ok, "refused");
            assertEq(
                reason, abi.encodeWithSelector(Commission.Commission__OnlyOperator.selector, OPERATOR, ALICE), "reason"
            );
        }
    }

    function test_When_TheCommissionFalls() external {
        vm.prank(OPERATOR);
        vault.setCommission(100);
        assertEq(vault.commissionBps(), 100, "commission");
        reward(100 * UNIT);
        assertEq(vault.claimable(OPERATOR), UNIT, "claimable");
    }

    function test_When_TheCommissionRises() external {
        uint256 fromBlock = block.number + 512;
        vm.expectEmit(address(vault));
        emit Commission.CommissionSet(2000, fromBlock);
        vm.prank(OPERATOR);
        vault.setCommission(2000);
        vm.roll(fromBlock - 1);
        assertEq(vault.commissionBps(), 1000, "before");
        vm.roll(fromBlock);
        assertEq(vault.commissionBps(), 2000, "after");
        // Announced again in the meantime, it begins anew, from what holds then.
        vm.prank(OPERATOR);
        vault.setCommission(500);
        assertEq(vault.commissionBps(), 500, "fallen");
        vm.prank(OPERATOR);
        vault.setCommission(2000);
        assertEq(vault.commissionBps(), 500, "and not risen");
    }

    function test_RevertWhen_TheCommissionIsAboveTheMost() external {
        vm.expectRevert(abi.encodeWithSelector(Commission.Commission__TooHigh.selector, 2000, 2001));
        vm.prank(OPERATOR);
        vault.setCommission(2001);
        vm.expectRevert(abi.encodeWithSelector(Commission.Commission__TooHigh.selector, 2000, 2001));
        factory.createVault(2001, "", "");
    }

    function test_When_TheOperatorHandsOver() external {
        vm.prank(OPERATOR);
        vault.setOperator(ALICE);
        assertEq(vault.operator(), ALICE, "operator");
        vm.expectRevert(abi.encodeWithSelector(Commission.Commission__OnlyOperator.selector, ALICE, OPERATOR));
        vm.prank(OPERATOR);
        vault.exit();
    }

    function test_RevertWhen_TheOperatorIsNobody() external {
        vm.expectRevert(Commission.Commission__ZeroOperator.selector);
        vm.prank(OPERATOR);
        vault.setOperator(address(0));
        vm.expectRevert(Commission.Commission__ZeroOperator.selector);
        new DelegationVault(registry, address(0), 0, "", "");
    }

    function test_When_TheKeyIsRotated() external {
        join();
        rollToEpoch(4);
        bytes memory key = Bls.publicKey(0xabcd);
        bytes memory possession = possessionOf(address(vault), 0xabcd);
        vm.prank(OPERATOR);
        vault.rotateKey(key, possession);
        rollToEpoch(6);
        (bytes memory now_,,) = registry.keyOf(address(vault), 6);
        assertEq(now_, key, "key");
    }

    function test_Given_TheSequencerIsJailed() external {
        join();
        rollToEpoch(4);
        vm.prank(address(liveness));
        assertTrue(registry.jail(address(vault), 4), "jailed");
        deposit(ALICE, 5 * UNIT);
        request(BOB, 40_000 * UNIT);
        assertEq(registry.bondOf(address(vault)), 65 * UNIT, "bond");
        assertEq(registry.unbondingOf(address(vault)), 40 * UNIT, "unbonding");
        rollToEpoch(8);
        assertEq(weightOf(address(vault), 8), 0, "outside");
        vm.prank(OPERATOR);
        vault.unjail();
        rollToEpoch(10);
        assertEq(weightOf(address(vault), 10), 65, "back");
    }

    function test_When_TheOperatorAnnouncesItself() external {
        join();
        vm.expectEmit(address(registry));
        emit RegistryEvents.Announced(address(vault), ALICE, BOB, OPERATOR, "peer", "name");
        vm.prank(OPERATOR);
        vault.announce(ALICE, BOB, OPERATOR, "peer", "name");
    }

    function test_When_AVaultIsMade() external {
        address next = vm.computeCreateAddress(address(factory), vm.getNonce(address(factory)));
        vm.expectEmit(address(factory));
        emit DelegationVaultFactory.VaultCreated(next, BOB, 7);
        vm.prank(BOB);
        DelegationVault made = factory.createVault(7, "n", "s");
        assertTrue(factory.isVault(address(made)) && !factory.isVault(BOB), "known");
        assertEq(made.operator(), BOB, "operator");
        assertEq(made.commissionBps(), 7, "commission");
        assertEq(made.asset(), address(token), "asset");
        assertEq(made.decimals(), 21, "decimals");
    }

    function test_RevertWhen_TheTokenCallsBackIntoTheVault() external {
        HookToken hook = new HookToken();
        ChainSpec memory spec = defaultSpec();
        spec.bondToken = address(hook);
        deploy(spec);
        token = DevToken(address(hook));
        startDevnet();
        createVault();
        deposit(ALICE, UNIT);
        request(ALICE, 500 * UNIT);
        vault.advance(1);
        hook.arm(address(vault), abi.encodeCall(vault.claim, (ALICE)));
        vm.expectRevert(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
        vault.claim(ALICE);
    }
}
