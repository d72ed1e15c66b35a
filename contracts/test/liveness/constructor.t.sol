// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BatchInbox} from "../../src/BatchInbox.sol";
import {Liveness} from "../../src/Liveness.sol";
import {LivenessTest} from "../support/LivenessTest.sol";
import {vm} from "../support/Vm.sol";

contract LivenessConstructorTest is LivenessTest {
    function test_RevertWhen_TheRegistryNamesAnotherContractForRewardsAndJail() external {
        address next = vm.computeCreateAddress(address(this), vm.getNonce(address(this)));
        vm.expectRevert(
            abi.encodeWithSelector(Liveness.Liveness__NotTheRegistrysLiveness.selector, address(liveness), next)
        );
        new Liveness(registry, inbox, 1);
    }

    function test_RevertWhen_TheRegistryNamesAnotherInbox() external {
        vm.mockCall(
            address(registry),
            abi.encodeCall(registry.LIVENESS, ()),
            abi.encode(vm.computeCreateAddress(address(this), vm.getNonce(address(this))))
        );
        vm.expectRevert(abi.encodeWithSelector(Liveness.Liveness__WrongInbox.selector, address(inbox), address(0x99)));
        new Liveness(registry, BatchInbox(address(0x99)), 1);
    }

    function test_When_TheyNameEachOther() external view {
        assertEq(address(liveness.REGISTRY()), address(registry), "registry");
        assertEq(address(liveness.INBOX()), address(inbox), "inbox");
        assertEq(liveness.REWARD_PER_EPOCH(), REWARD_PER_EPOCH, "reward");
        assertEq(liveness.SETTLE_BLOCKS(), 512, "window");
        assertEq(liveness.lastSettled(), 0, "nothing is settled");
    }
}
