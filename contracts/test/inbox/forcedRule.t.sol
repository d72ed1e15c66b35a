// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ForcedQueue} from "../../src/ForcedQueue.sol";
import {BatchHeader, Certificate} from "../../src/Types.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {vm} from "../support/Vm.sol";

contract ForcedRuleTest is BatonTest {
    bytes private constant DATA = "what the batch carries";
    uint64 private constant LAG = 8;

    function setUp() public override {
        super.setUp();
        startDevnet();
    }

    function test_Given_TheQueueIsEmpty() external {
        post(2);
        (uint64 length, uint64 consumed) = inbox.forcedQueue();
        assertEq(length + consumed, 0, "nothing");
    }

    function test_RevertWhen_ThePositionIsBeyondTheEnd() external {
        _enqueue(2);
        vm.roll(block.number + 1);
        BatchHeader memory header = _headerAt(3);
        _assertRefused(header, abi.encodeWithSelector(ForcedQueue.ForcedQueue__NoSuchPosition.selector, 0, 2, 3));
    }

    function test_RevertWhen_ThePositionGoesBack() external {
        _enqueue(2);
        vm.roll(block.number + 1);
        postTaking(2, 2);
        BatchHeader memory header = _headerAt(1);
        _assertRefused(header, abi.encodeWithSelector(ForcedQueue.ForcedQueue__NoSuchPosition.selector, 2, 2, 1));
    }

    function test_RevertWhen_TheHashIsNotTheQueuesAtThatPosition() external {
        BatchHeader memory header = _headerAt(0);
        header.forcedHash = keccak256("queue");
        _assertRefused(
            header, abi.encodeWithSelector(ForcedQueue.ForcedQueue__WrongHash.selector, bytes32(0), keccak256("queue"))
        );
        _enqueue(2);
        vm.roll(block.number + 1);
        header = _headerAt(1);
        bytes32 expected = header.forcedHash;
        (header.forcedHash,) = inbox.forcedAt(2);
        _assertRefused(
            header, abi.encodeWithSelector(ForcedQueue.ForcedQueue__WrongHash.selector, expected, header.forcedHash)
        );
    }

    function test_RevertWhen_AnEntryIsNewerThanTheLastOrigin() external {
        _enqueue(1);
        uint64 atBlock = uint64(block.number);
        vm.roll(block.number + 1);
        _enqueue(1);
        vm.roll(block.number + 1);
        BatchHeader memory header = _headerAt(2);
        header.lastOriginNumber = atBlock;
        _assertRefused(
            header, abi.encodeWithSelector(ForcedQueue.ForcedQueue__NewerThanOrigin.selector, 1, atBlock + 1, atBlock)
        );
        _setPosition(header, 1);
        _accept(header);
    }

    function test_RevertGiven_FewerThanSixteenEntriesAreOverdue() external {
        _enqueue(3);
        uint64 atBlock = uint64(block.number);
        vm.roll(block.number + 1);
        _enqueue(1);
        vm.roll(atBlock + LAG + 1);
        for (uint64 position = 0; position < 3; ++position) {
            BatchHeader memory header = _headerAt(position);
            assertEq(header.lastOriginNumber, atBlock + LAG, "origin");
            _assertRefused(header, _overdue(position, atBlock, atBlock + LAG));
        }
        _accept(_headerAt(3));
    }

    function test_RevertGiven_SixteenEntriesOrMoreAreOverdue() external {
        _enqueue(20);
        uint64 atBlock = uint64(block.number);
        vm.roll(atBlock + LAG + 1);
        _assertRefused(_headerAt(15), _overdue(15, atBlock, atBlock + LAG));
        _accept(_headerAt(16));
        _assertRefused(_headerAt(19), _overdue(19, atBlock, atBlock + LAG));
        _accept(_headerAt(20));
    }

    function test_Given_EntriesWaitThatAreNotOverdue() external {
        _enqueue(3);
        vm.roll(block.number + LAG);
        _accept(_headerAt(0));
        _accept(_headerAt(2));
        (, uint64 consumed) = inbox.forcedQueue();
        assertEq(consumed, 2, "consumed");
    }

    function test_Given_EntriesAreOverdue() external {
        _enqueue(40);
        vm.roll(block.number + LAG + 1);
        vm.expectEmit(address(inbox));
        emit ForcedQueue.ForcedEntriesConsumed(0, 37);
        _accept(_headerAt(37));
    }

    /// Against the rule as the protocol states it: at least min(16, those that wait at the last origin less the lag), none
    /// that is newer than the last origin, none twice, none that is not there.
    function testFuzz_It_TakesExactlyWhatObeysTheRule(
        bytes32 seed,
        uint8 count,
        uint8 taken,
        uint8 back,
        uint8 position
    ) external {
        uint64 start = uint64(block.number - 1);
        uint64[] memory blocks = new uint64[](count % 40);
        for (uint256 i = 0; i < blocks.length; ++i) {
            if (uint256(keccak256(abi.encode(seed, i))) % 3 == 0) vm.roll(block.number + 1);
            _enqueue(1);
            blocks[i] = uint64(block.number);
        }
        vm.roll(block.number + 1);
        uint64 consumed = blocks.length == 0 ? 0 : uint64(taken % (blocks.length + 1));
        BatchHeader memory first = _headerAt(consumed);
        // The oldest that can have known what it takes, so that nothing is overdue for it.
        first.lastOriginNumber = consumed == 0 ? start : blocks[consumed - 1];
        _accept(first);

        vm.roll(block.number + LAG);
        BatchHeader memory header = _headerAt(position % 42);
        header.lastOriginNumber = uint64(block.number - 1 - back % 24);
        uint64 overdue = 0;
        uint64 known = 0;
        for (uint64 i = 0; i < blocks.length; ++i) {
            if (i >= consumed && blocks[i] + LAG <= header.lastOriginNumber) ++overdue;
            if (blocks[i] <= header.lastOriginNumber) ++known;
        }
        uint64 least = consumed + (overdue < 16 ? overdue : 16);
        // Where the batch takes nothing, nothing can be too new, however old its origin is.
        uint64 most = known > consumed ? known : consumed;
        bool obeys = header.forcedPosition >= least && header.forcedPosition <= most;
        Certificate memory certificate = certify(2, 15, header);
        bytes memory call = abi.encodeCall(inbox.post, (header, certificate, DATA));
        vm.prank(POSTER, POSTER);
        (bool ok,) = address(inbox).call(call);
        assertTrue(ok == obeys, "taken");
    }

    receive() external payable {}

    function _enqueue(uint256 count) private {
        for (uint256 i = 0; i < count; ++i) {
            inbox.enqueue{value: 1 ether}(0, abi.encode("entry", i));
        }
    }

    function _headerAt(uint64 position) private view returns (BatchHeader memory header) {
        header = nextHeader(2, DATA);
        _setPosition(header, position);
    }

    function _setPosition(BatchHeader memory header, uint64 position) private view {
        header.forcedPosition = position;
        (header.forcedHash,) = inbox.forcedAt(position);
    }

    function _overdue(uint64 position, uint64 l1Block, uint64 lastOriginNumber) private pure returns (bytes memory) {
        return abi.encodeWithSelector(ForcedQueue.ForcedQueue__Overdue.selector, position, l1Block, lastOriginNumber);
    }

    function _assertRefused(BatchHeader memory header, bytes memory reason) private {
        Certificate memory certificate = certify(2, 15, header);
        vm.expectRevert(reason);
        sendPost(header, certificate, DATA);
    }

    function _accept(BatchHeader memory header) private {
        sendPost(header, certify(2, 15, header), DATA);
    }
}
