// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {Liveness} from "../../src/Liveness.sol";
import {ChainSpec} from "../../src/Types.sol";
import {DevToken} from "../../src/devnet/DevToken.sol";
import {LivenessTest} from "../support/LivenessTest.sol";
import {FeeToken, HookToken} from "../support/Tokens.sol";
import {vm} from "../support/Vm.sol";

contract LivenessMoneyTest is LivenessTest {
    // ------------------------------------------------------------------------------------------------------ fund

    function test_RevertWhen_NothingIsGiven() external {
        vm.expectRevert(Liveness.Liveness__NothingToFund.selector);
        liveness.fund(0);
    }

    function test_RevertWhen_TheTokenTakesAFee() external {
        FeeToken fees = new FeeToken();
        _deployWith(address(fees));
        fees.mint(address(this), 100);
        fees.approve(address(liveness), 100);
        vm.expectRevert(abi.encodeWithSelector(Liveness.Liveness__TransferMismatch.selector, 100, 99));
        liveness.fund(100);
    }

    function test_RevertWhen_TheBalanceWouldNotFitIntoAnAccount() external {
        uint256 most = type(uint128).max;
        fundPool(most);
        token.mint(address(this), 1);
        token.approve(address(liveness), 1);
        vm.expectRevert(abi.encodeWithSelector(Liveness.Liveness__PoolTooLarge.selector, most, most + 1));
        liveness.fund(1);
    }

    function test_When_AFundIsApproved() external {
        fundPool(7);
        token.mint(address(0xa11), 5);
        vm.startPrank(address(0xa11));
        token.approve(address(liveness), 5);
        vm.expectEmit(address(liveness));
        emit Liveness.Funded(address(0xa11), 5, 12);
        liveness.fund(5);
        vm.stopPrank();
        assertEq(liveness.pool(), 12, "pool");
        assertEq(token.balanceOf(address(liveness)), 12, "balance");
    }

    function test_RevertWhen_TheTokenCallsBackWhileFunding() external {
        HookToken hooks = new HookToken();
        _deployWith(address(hooks));
        hooks.mint(address(this), 100);
        hooks.approve(address(liveness), 100);
        hooks.arm(address(liveness), abi.encodeCall(liveness.claim, (ownerOf(0))));
        vm.expectRevert(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
        liveness.fund(100);
    }

    // ----------------------------------------------------------------------------------------------------- claim

    function test_RevertGiven_NothingWaits() external {
        vm.expectRevert(abi.encodeWithSelector(Liveness.Liveness__NothingToClaim.selector, ownerOf(0)));
        liveness.claim(ownerOf(0));
    }

    function test_Given_RewardsWait() external {
        _earn();
        address owner = ownerOf(0);
        vm.expectEmit(address(liveness));
        emit Liveness.Claimed(owner, owner, 250);
        vm.prank(address(0xa11));
        assertEq(liveness.claim(owner), 250, "amount");
        assertEq(token.balanceOf(owner), 250, "paid");
        assertEq(liveness.pending(owner), 0, "nothing waits");
        vm.expectRevert(abi.encodeWithSelector(Liveness.Liveness__NothingToClaim.selector, owner));
        liveness.claim(owner);
        assertEq(token.balanceOf(address(liveness)), 9750, "the rest is the others' and the pool's");
    }

    function test_Given_TheOwnerNamedARecipient() external {
        _earn();
        address owner = ownerOf(0);
        _setRecipient(owner, address(0xbeef));
        liveness.claim(owner);
        assertEq(token.balanceOf(address(0xbeef)), 250, "what waited");
        settle(3);
        _setRecipient(owner, address(0));
        liveness.claim(owner);
        assertEq(token.balanceOf(owner), 250, "the owner again");
    }

    function test_Given_AJailedOrDepartedOwner() external {
        _earn();
        exit(ownerOf(0));
        liveness.claim(ownerOf(0));
        assertEq(token.balanceOf(ownerOf(0)), 250, "departed");
        vm.prank(address(liveness));
        assertTrue(registry.jail(ownerOf(1), 2), "jailed");
        liveness.claim(ownerOf(1));
        assertEq(token.balanceOf(ownerOf(1)), 250, "jailed");
    }

    function test_RevertWhen_TheTokenCallsBackWhileClaiming() external {
        HookToken hooks = new HookToken();
        _deployWith(address(hooks));
        // The same calls as the default token's, so that the chain can be set up with it.
        token = DevToken(address(hooks));
        _earn();
        hooks.arm(address(liveness), abi.encodeCall(liveness.claim, (ownerOf(1))));
        vm.expectRevert(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
        liveness.claim(ownerOf(0));
        assertEq(liveness.pending(ownerOf(0)), 250, "still waits");
    }

    // -------------------------------------------------------------------------------------------------- recipient

    function test_When_AnybodyNamesARecipient() external {
        address owner = ownerOf(0);
        vm.expectEmit(address(liveness));
        emit Liveness.RecipientChanged(owner, address(0xbeef));
        _setRecipient(owner, address(0xbeef));
        assertEq(liveness.recipientOf(owner), address(0xbeef), "its own");
        assertEq(liveness.recipientOf(ownerOf(1)), ownerOf(1), "nobody else's");
    }

    /// Epoch 2 is settled and 3 can be, with 250 for each of four.
    function _earn() private {
        startDevnet();
        fundPool(10_000);
        runAll(2);
        runAll(3);
        runAll(4);
        settle(2);
    }

    function _setRecipient(address owner, address recipient) private {
        vm.prank(owner);
        liveness.setRecipient(recipient);
    }

    function _deployWith(address bondToken) private {
        ChainSpec memory spec = defaultSpec();
        spec.bondToken = bondToken;
        deploy(spec);
    }
}
