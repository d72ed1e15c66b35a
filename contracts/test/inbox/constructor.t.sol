// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BatchInbox} from "../../src/BatchInbox.sol";
import {ForcedQueue} from "../../src/ForcedQueue.sol";
import {SequencerRegistry} from "../../src/SequencerRegistry.sol";
import {ChainSpec} from "../../src/Types.sol";
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

    function test_RevertWhen_BlocksHaveNoRoomForTheForcedEntriesOfOne() external {
        ChainSpec memory spec = defaultSpec();
        bytes memory refusal =
            abi.encodeWithSelector(ForcedQueue.ForcedQueue__BlocksTooSmall.selector, 64_000_000, 63_999_999);
        spec.bondToken = address(token);
        spec.blockGasLimit = 63_999_999;
        _assertRefused(spec, refusal);
        spec.blockGasLimit = 64_000_000;
        deploy(spec);
    }

    function test_When_TheRegistryNamesThisOne() external view {
        assertEq(address(inbox.REGISTRY()), address(registry), "registry");
        assertEq(inbox.nextIndex(), 0, "next index");
        (uint64 nextIndex, uint64 lastHeight, uint64 epoch, uint64 acceptedAtBlock, bytes32 lastBatchHash) = inbox.tip();
        assertEq(nextIndex + lastHeight + epoch + acceptedAtBlock, 0, "numbers");
        assertEq(lastBatchHash, 0, "hash");
        assertEq(inbox.closedAt(2) + inbox.nextEpochAfter(2), 0, "no epoch is closed");
    }

    function _assertRefused(ChainSpec memory spec, bytes memory refusal) private {
        address next = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1);
        SequencerRegistry other = new SequencerRegistry(spec, address(slasher), next, address(0x98));
        vm.expectRevert(refusal);
        new BatchInbox(other);
    }
}
