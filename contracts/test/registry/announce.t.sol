// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {RegistryErrors} from "../../src/registry/RegistryErrors.sol";
import {RegistryEvents} from "../../src/registry/RegistryEvents.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {vm} from "../support/Vm.sol";

contract AnnounceTest is BatonTest {
    function test_RevertGiven_TheCallerIsNotRegistered() external {
        address stranger = address(0x99);
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__NotRegistered.selector, stranger));
        vm.prank(stranger);
        registry.announce(address(1), address(2), address(3), "peer", "name");
    }

    function test_RevertWhen_ThePeerRecordOrTheMetadataIsTooLong() external {
        address owner = register(0, UNIT);
        bytes memory longest = new bytes(1024);
        bytes memory tooLong = new bytes(1025);
        bytes memory refusal =
            abi.encodeWithSelector(RegistryErrors.SequencerRegistry__TooMuchAnnounced.selector, 1024, 1025);
        vm.startPrank(owner);
        registry.announce(address(0), address(0), address(0), longest, string(longest));
        vm.expectRevert(refusal);
        registry.announce(address(0), address(0), address(0), tooLong, "");
        vm.expectRevert(refusal);
        registry.announce(address(0), address(0), address(0), longest, string(tooLong));
        vm.stopPrank();
    }

    function test_Given_TheCallerIsRegistered() external {
        address owner = register(0, UNIT);
        vm.expectEmit(address(registry));
        emit RegistryEvents.Announced(owner, address(1), address(2), address(3), "peer", "name");
        vm.prank(owner);
        registry.announce(address(1), address(2), address(3), "peer", "name");
    }
}
