// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BatchInbox} from "../../src/BatchInbox.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {vm} from "../support/Vm.sol";

contract ClosedAtTest is BatonTest {
    function setUp() public override {
        super.setUp();
        startDevnet();
    }

    function test_Given_NoLaterEpochHasABatch() external {
        assertEq(inbox.closedAt(2), 0, "before any batch");
        post(2);
        assertEq(inbox.closedAt(2), 0, "epoch 2 is open");
        assertEq(inbox.nextEpochAfter(2), 0, "none follows");
    }

    function test_Given_ALaterEpochHasABatch() external {
        uint256 blockNumber = _skipTwo();
        vm.roll(blockNumber + 1);
        post(6);
        post(6);
        assertEq(inbox.closedAt(2), blockNumber, "closed by the batch of epoch 5");
        assertEq(inbox.nextEpochAfter(2), 5, "next epoch");
        assertEq(inbox.closedAt(3) + inbox.closedAt(4), 0, "skipped, and named by nobody");
        assertEq(inbox.closedAt(5), blockNumber + 1, "closed by the first batch of epoch 6");
        assertEq(inbox.nextEpochAfter(5), 6, "next epoch");
        assertEq(inbox.closedAt(6) + inbox.closedAt(7), 0, "open");
        assertEq(inbox.nextEpochAfter(0), 2, "the first epoch of all");
    }

    function test_Given_TheChainWasAbandoned() external {
        uint256 blockNumber = _skipTwo();
        uint256 end = blockNumber + 2049;
        vm.roll(end);
        inbox.abandon();
        assertEq(inbox.closedAt(2), blockNumber, "closed before");
        assertEq(inbox.closedAt(3) + inbox.closedAt(4), 0, "skipped epochs closed with epoch 2, once named");
        inbox.closeSkipped(4, 2);
        assertEq(inbox.closedAt(4), blockNumber, "closed with epoch 2");
        for (uint64 epoch = 5; epoch < 500; epoch += 50) {
            assertEq(inbox.closedAt(epoch), end, "was open");
        }
    }

    function test_RevertWhen_TheEpochBeforeIsTheEpochItselfOrALaterOne() external {
        _skipTwo();
        _assertNotSkipped(2, 2, 5);
        _assertNotSkipped(1, 2, 5);
        _assertNotSkipped(0, 0, 2);
    }

    function test_RevertWhen_TheEpochBeforeIsNoClosedEpoch() external {
        _skipTwo();
        _assertNotSkipped(4, 3, 0);
        _assertNotSkipped(6, 5, 0);
    }

    function test_RevertWhen_TheEpochHasABatchOfItsOwn() external {
        _skipTwo();
        post(6);
        _assertNotSkipped(5, 2, 5);
        _assertNotSkipped(2, 0, 2);
    }

    function test_RevertWhen_TheEpochIsOpen() external {
        _skipTwo();
        _assertNotSkipped(5, 2, 5);
        _assertNotSkipped(9, 2, 5);
    }

    function test_When_TheEpochBeforeIsTheLastThatHasABatch() external {
        uint256 blockNumber = _skipTwo();
        vm.expectEmit(address(inbox));
        emit BatchInbox.SkippedEpochClosed(4, 5, uint64(blockNumber));
        vm.prank(address(0xa11));
        inbox.closeSkipped(4, 2);
        assertEq(inbox.closedAt(4), blockNumber, "closed with epoch 2");
        assertEq(inbox.nextEpochAfter(4), 5, "next epoch");
        assertEq(inbox.closedAt(3), 0, "the other one is not named yet");
        assertEq(inbox.closedBefore(5), 4, "the last before");
        // What was named closes others as well as the epoch with the batch would.
        inbox.closeSkipped(3, 2);
        assertEq(inbox.closedAt(3), blockNumber, "closed");
    }

    function test_When_NoEpochBeforeHasABatch() external {
        rollToEpoch(5);
        post(5);
        inbox.closeSkipped(2, 0);
        assertEq(inbox.closedAt(2), block.number, "closed by the first batch");
        assertEq(inbox.nextEpochAfter(2), 5, "next epoch");
    }

    function test_When_ItIsNamedTwice() external {
        uint256 blockNumber = _skipTwo();
        inbox.closeSkipped(3, 2);
        vm.roll(blockNumber + 9);
        post(6);
        inbox.closeSkipped(3, 2);
        inbox.closeSkipped(4, 3);
        assertEq(inbox.closedAt(3), blockNumber, "closed");
        assertEq(inbox.closedAt(4), blockNumber, "closed");
    }

    function test_RevertGiven_TheEpochIsSkippedAndNotNamed() external {
        uint256 blockNumber = _skipTwo();
        _assertNotNamed(3, 2, blockNumber);
        _assertNotNamed(4, 3, blockNumber);
        vm.roll(block.number + 2049);
        inbox.abandon();
        assertEq(inbox.windowStart(5), block.number, "open until the abandonment");
    }

    function test_Given_TheEpochIsOpenOrClosed() external {
        assertEq(inbox.windowStart(2), 0, "before any batch");
        uint256 blockNumber = _skipTwo();
        assertEq(inbox.windowStart(2), blockNumber, "closed");
        assertEq(inbox.windowStart(5) + inbox.windowStart(6), 0, "open");
    }

    function test_Given_SomeEpochsBeforeAreClosed() external {
        assertEq(inbox.closedBefore(9), 0, "none");
        _skipTwo();
        assertEq(inbox.closedBefore(2), 0, "none before the first");
        assertEq(inbox.closedBefore(3), 2, "the first");
        assertEq(inbox.closedBefore(4), 2, "the same");
    }

    /// forge-config: default.fuzz.runs = 64
    function testFuzz_It_MatchesASearchThroughAllBatches(uint8[5] memory steps) external {
        uint64[5] memory epochs;
        uint256[5] memory blocks;
        uint64 epoch = 2;
        for (uint256 i = 0; i < 5; ++i) {
            epoch += steps[i] % 4;
            if (registry.epochOf(block.number) < epoch) rollToEpoch(epoch);
            post(epoch);
            (epochs[i], blocks[i]) = (epoch, block.number);
        }
        for (uint64 asked = 2; asked <= epoch + 1; ++asked) {
            uint256 found = 0;
            uint64 before = 0;
            while (found < 5 && epochs[found] <= asked) before = epochs[found++];
            if (before != asked && found != 5) inbox.closeSkipped(asked, before);
            assertEq(inbox.closedAt(asked), found == 5 ? 0 : blocks[found], "closed at");
            assertEq(inbox.nextEpochAfter(asked), found == 5 ? 0 : epochs[found], "next epoch");
        }
    }

    /// Batches of epochs 2 and 5 only; returns the block of the second.
    function _skipTwo() private returns (uint256 blockNumber) {
        post(2);
        rollToEpoch(6);
        blockNumber = block.number + 3;
        vm.roll(blockNumber);
        post(5);
    }

    /// Names it then.
    function _assertNotNamed(uint64 epoch, uint64 before, uint256 closedAt) private {
        assertEq(inbox.closedAt(epoch), 0, "skipped");
        vm.expectRevert(abi.encodeWithSelector(BatchInbox.BatchInbox__SkippedAndNotNamed.selector, epoch));
        inbox.windowStart(epoch);
        inbox.closeSkipped(epoch, before);
        assertEq(inbox.windowStart(epoch), closedAt, "closed");
    }

    function _assertNotSkipped(uint64 epoch, uint64 before, uint64 nextEpoch) private {
        vm.expectRevert(abi.encodeWithSelector(BatchInbox.BatchInbox__NotSkipped.selector, before, nextEpoch, epoch));
        inbox.closeSkipped(epoch, before);
    }
}
