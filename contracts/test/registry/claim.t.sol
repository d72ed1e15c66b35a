// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {ChainSpec} from "../../src/Types.sol";
import {DevToken} from "../../src/devnet/DevToken.sol";
import {RegistryErrors} from "../../src/registry/RegistryErrors.sol";
import {RegistryEvents} from "../../src/registry/RegistryEvents.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {HookToken} from "../support/Tokens.sol";
import {vm} from "../support/Vm.sol";

contract ClaimTest is BatonTest {
    address private constant REPORTER = address(0xa11);
    uint256 private constant REWARD = 32 * UNIT / 200;

    function test_RevertGiven_NothingWaitsForTheCaller() external {
        _reward();
        _assertNothing(address(0xbad));
    }

    function test_Given_ARewardWaits() external {
        _reward();
        assertEq(registry.claimable(REPORTER), REWARD, "claimable");
        uint256 burnable = registry.burnable();
        vm.expectEmit(address(registry));
        emit RegistryEvents.Claimed(REPORTER, REWARD);
        vm.prank(REPORTER);
        registry.claim();
        assertEq(token.balanceOf(REPORTER), REWARD, "paid");
        assertEq(registry.burnable(), burnable, "burnable");
        assertEq(token.balanceOf(address(registry)), 100 * UNIT - REWARD, "the rest");
        _assertNothing(REPORTER);
    }

    function test_RevertWhen_TheTokenCallsBackIntoClaim() external {
        HookToken hook = new HookToken();
        ChainSpec memory spec = defaultSpec();
        spec.bondToken = address(hook);
        deploy(spec);
        token = DevToken(address(hook));
        _reward();
        hook.arm(address(registry), abi.encodeCall(registry.claim, ()));
        vm.expectRevert(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
        vm.prank(REPORTER);
        registry.claim();
    }

    function _reward() private {
        startDevnet();
        vm.prank(address(slasher));
        registry.penalize(ownerOf(0), 2, false, REPORTER);
    }

    function _assertNothing(address caller) private {
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__NothingToClaim.selector, caller));
        vm.prank(caller);
        registry.claim();
    }
}
