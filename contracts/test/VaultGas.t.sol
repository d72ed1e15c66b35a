// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {DelegationVault} from "../src/delegation/DelegationVault.sol";
import {GasMeter} from "./support/GasMeter.sol";
import {VaultTest} from "./support/VaultTest.sol";
import {vm} from "./support/Vm.sol";

/// What delegators pay, as `GasTest` measures: everything is prepared in `setUp`.
contract VaultGasTest is VaultTest, GasMeter {
    address private constant CAROL = address(0xca);
    DelegationVault private released;
    uint256 private releasedAt;

    function setUp() public override {
        super.setUp();
        uint256 begin = block.number;
        join();
        rollToEpoch(4);
        request(ALICE, 30_000 * UNIT);
        reward(10 * UNIT);
        passWindows();
        (released, releasedAt) = (vault, block.number);

        vm.roll(begin);
        super.setUp();
        join();
        vm.deal(CAROL, 1 ether);
        vm.deal(ALICE, 1 ether);
        token.mint(CAROL, UNIT);
        vm.prank(CAROL);
        token.approve(address(vault), UNIT);
    }

    function test_It_TakesADepositAndBondsItWithin350000() external {
        bytes memory input = abi.encodeCall(vault.deposit, (UNIT, CAROL));
        assertWithin("vault, deposit", CAROL, address(vault), input, 350_000);
        assertEq(registry.bondOf(address(vault)), 101 * UNIT, "bonded");
    }

    function test_It_QueuesAnExitAndUnbondsItWithin350000() external {
        bytes memory input = abi.encodeCall(vault.requestRedeem, (30_000 * UNIT, ALICE));
        assertWithin("vault, request", ALICE, address(vault), input, 350_000);
        assertEq(registry.unbondingOf(address(vault)), 30 * UNIT, "unbonding");
    }

    function test_It_CollectsAndServesAnExitWithin350000() external {
        vm.roll(releasedAt);
        assertWithin("vault, advance", CAROL, address(released), abi.encodeCall(vault.advance, (9)), 350_000);
        assertEq(released.claimable(ALICE), 30 * UNIT, "collected and served");
    }
}
