// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BatchInbox} from "../../src/BatchInbox.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {vm} from "../support/Vm.sol";

contract InboxConstructorTest is BatonTest {
    function test_RevertWhen_TheRegistryNamesAnotherInbox() external {
        address next = vm.computeCreateAddress(address(this), vm.getNonce(address(this)));
        vm.expectRevert(
            abi.encodeWithSelector(BatchInbox.BatchInbox__NotTheRegistrysInbox.selector, address(inbox), next)
        );
        new BatchInbox(registry);
    }

    function test_When_TheRegistryNamesThisOne() external view {
        assertEq(address(inbox.REGISTRY()), address(registry), "registry");
        assertEq(inbox.nextIndex(), 0, "next index");
        (uint64 nextIndex, uint64 lastHeight, uint64 epoch, uint64 acceptedAtBlock, bytes32 lastBatchHash) = inbox.tip();
        assertEq(nextIndex + lastHeight + epoch + acceptedAtBlock, 0, "numbers");
        assertEq(lastBatchHash, 0, "hash");
        assertEq(inbox.closedAt(2) + inbox.nextEpochAfter(2), 0, "no epoch is closed");
    }
}
