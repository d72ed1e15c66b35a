// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {SequencerRegistry} from "../../src/SequencerRegistry.sol";
import {Slasher} from "../../src/Slasher.sol";
import {ChainSpec} from "../../src/Types.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {vm} from "../support/Vm.sol";

contract SlasherConstructorTest is BatonTest {
    function test_RevertWhen_TheRegistryNamesAnotherSlasher() external {
        address next = vm.computeCreateAddress(address(this), vm.getNonce(address(this)));
        vm.expectRevert(
            abi.encodeWithSelector(Slasher.Slasher__NotTheRegistrysSlasher.selector, address(slasher), next)
        );
        new Slasher(registry, inbox);
    }

    function test_RevertWhen_TheInboxIsNotTheRegistrys() external {
        ChainSpec memory spec = defaultSpec();
        spec.bondToken = address(token);
        address next = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1);
        SequencerRegistry other = new SequencerRegistry(spec, next, address(0x99), address(0x98));
        vm.expectRevert(abi.encodeWithSelector(Slasher.Slasher__WrongInbox.selector, address(0x99), address(inbox)));
        new Slasher(other, inbox);
    }

    function test_When_TheRegistryNamesThisOne() external view {
        assertEq(address(slasher.REGISTRY()), address(registry), "registry");
        assertEq(address(slasher.INBOX()), address(inbox), "inbox");
    }
}
