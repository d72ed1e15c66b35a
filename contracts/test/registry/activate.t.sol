// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ChainSpec} from "../../src/Types.sol";
import {RegistryErrors} from "../../src/registry/RegistryErrors.sol";
import {RegistryEvents} from "../../src/registry/RegistryEvents.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {vm} from "../support/Vm.sol";

contract ActivateTest is BatonTest {
    function test_RevertGiven_TheChainIsActive() external {
        startDevnet();
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__AlreadyActivated.selector, 101));
        registry.activate();
    }

    function test_RevertGiven_ThreeAreRegistered() external {
        ChainSpec memory spec = defaultSpec();
        (spec.minCommittee, spec.allowSmall) = (4, false);
        deploy(spec);
        _registerMany(3);
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__TooFewMembers.selector, 4, 3));
        registry.activate();
    }

    function test_Given_FourAreRegistered() external {
        ChainSpec memory spec = defaultSpec();
        (spec.minCommittee, spec.allowSmall) = (4, false);
        deploy(spec);
        _registerMany(4);
        vm.roll(777);
        vm.expectEmit(address(registry));
        emit RegistryEvents.Activated(778, 4);
        vm.prank(address(0xa11));
        registry.activate();
        assertEq(registry.genesisL1Block(), 778, "genesis");
        assertEq(registry.epochStart(0), 778, "epoch 0");
    }

    function test_RevertGiven_FewerThanItAsksForAreRegistered() external {
        for (uint256 i = 0; i < 2; ++i) {
            ChainSpec memory spec = defaultSpec();
            (spec.minCommittee, spec.allowSmall) = (6, i == 1);
            deploy(spec);
            _registerMany(5);
            vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__TooFewMembers.selector, 6, 5));
            registry.activate();
        }
    }

    function test_Given_AsManyAsItAsksForAreRegistered() external {
        ChainSpec memory spec = defaultSpec();
        (spec.minCommittee, spec.allowSmall) = (6, false);
        deploy(spec);
        _registerMany(6);
        registry.activate();
        rollToEpoch(2);
        assertEq(registry.committee(2).length, 6, "members");
    }

    function test_RevertGiven_FewerThanItsMinimumAreRegistered() external {
        _deploySmall(2);
        _registerMany(1);
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__TooFewMembers.selector, 2, 1));
        registry.activate();
    }

    function test_Given_ItsMinimumIsRegistered() external {
        _deploySmall(2);
        _registerMany(2);
        registry.activate();
        rollToEpoch(2);
        assertEq(registry.committee(2).length, 2, "members");
    }

    function _registerMany(uint256 count) private {
        for (uint256 i = 0; i < count; ++i) {
            register(i, UNIT);
        }
    }

    function _deploySmall(uint8 minimum) private {
        ChainSpec memory spec = defaultSpec();
        spec.allowSmall = true;
        spec.minCommittee = minimum;
        deploy(spec);
    }
}
