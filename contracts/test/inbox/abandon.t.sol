// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BatchInbox} from "../../src/BatchInbox.sol";
import {BatchHeader} from "../../src/Types.sol";
import {RegistryErrors} from "../../src/registry/RegistryErrors.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {vm} from "../support/Vm.sol";

contract AbandonTest is BatonTest {
    function test_RevertGiven_TheChainHasNotBeenActivated() external {
        vm.roll(1_000_000);
        vm.expectRevert(RegistryErrors.SequencerRegistry__NotActivated.selector);
        inbox.abandon();
    }

    function test_RevertGiven_ABatchWasAcceptedNotLongAgo() external {
        startDevnet();
        rollToEpoch(3);
        post(3);
        uint256 firstBlock = block.number + 2049;
        vm.roll(firstBlock - 1);
        vm.expectRevert(abi.encodeWithSelector(BatchInbox.BatchInbox__NotDeadYet.selector, firstBlock, firstBlock - 1));
        inbox.abandon();
        // The last batch counts, however late it comes.
        post(registry.epochOf(block.number));
        vm.roll(firstBlock);
        vm.expectRevert(
            abi.encodeWithSelector(BatchInbox.BatchInbox__NotDeadYet.selector, firstBlock + 2048, firstBlock)
        );
        inbox.abandon();
    }

    function test_Given_NoBatchWasAcceptedForLong() external {
        startDevnet();
        post(2);
        vm.roll(block.number + 2049);
        assertEq(inbox.abandonedAt(), 0, "alive");
        vm.expectEmit(address(inbox));
        emit BatchInbox.Abandoned(uint64(block.number));
        vm.prank(address(0xa11));
        inbox.abandon();
        assertEq(inbox.abandonedAt(), block.number, "abandoned");
    }

    function test_Given_ThereNeverWasABatch() external {
        startDevnet();
        uint256 firstBlock = registry.epochStart(2) + 2049;
        vm.roll(firstBlock - 1);
        vm.expectRevert(abi.encodeWithSelector(BatchInbox.BatchInbox__NotDeadYet.selector, firstBlock, firstBlock - 1));
        inbox.abandon();
        vm.roll(firstBlock);
        inbox.abandon();
        assertEq(inbox.closedAt(2), firstBlock, "the first epoch is closed");
    }

    /// Whoever posts one batch of an old epoch a month closes none.
    function test_Given_TheBatchesAreOfAnEpochThatIsLongOver() external {
        startDevnet();
        post(2);
        post(2);
        uint256 firstBlock = registry.epochStart(3) + 2 * 2048 + 1;
        vm.roll(registry.epochStart(3) + 2000);
        _postOld(2);
        vm.roll(firstBlock - 1);
        _postOld(2);
        vm.expectRevert(abi.encodeWithSelector(BatchInbox.BatchInbox__NotDeadYet.selector, firstBlock, firstBlock - 1));
        inbox.abandon();
        uint256 state = vm.snapshotState();
        vm.roll(firstBlock);
        inbox.abandon();
        assertEq(inbox.closedAt(2), firstBlock, "closed");
        vm.revertToState(state);
        // A batch of a later epoch is progress.
        post(registry.epochOf(block.number));
        vm.roll(firstBlock);
        vm.expectRevert(
            abi.encodeWithSelector(BatchInbox.BatchInbox__NotDeadYet.selector, firstBlock - 1 + 2049, firstBlock)
        );
        inbox.abandon();
    }

    /// Certified by the present committee.
    function _postOld(uint64 epoch) private {
        uint64 present = registry.epochOf(block.number);
        registry.materialize(present);
        BatchHeader memory header = nextHeader(epoch, "data");
        sendPost(header, certify(present, 15, header), "data");
    }

    function test_RevertGiven_ItWasAbandonedAlready() external {
        startDevnet();
        uint256 blockNumber = block.number + 2049;
        vm.roll(blockNumber);
        inbox.abandon();
        vm.roll(blockNumber + 9);
        vm.expectRevert(abi.encodeWithSelector(BatchInbox.BatchInbox__ChainIsAbandoned.selector, uint64(blockNumber)));
        inbox.abandon();
    }

    function test_It_LeavesTheTipWhereItWas() external {
        startDevnet();
        post(2);
        (uint64 index, uint64 height, uint64 epoch, uint64 accepted, bytes32 hash) = inbox.tip();
        bytes memory before = abi.encode(index, height, epoch, accepted, hash);
        vm.roll(block.number + 2049);
        inbox.abandon();
        (index, height, epoch, accepted, hash) = inbox.tip();
        assertEq(abi.encode(index, height, epoch, accepted, hash), before, "tip");
    }
}
