// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BatchInbox} from "../src/BatchInbox.sol";
import {BatchHeader} from "../src/Types.sol";
import {BatonTest} from "./support/BatonTest.sol";
import {InvariantTest} from "./support/InvariantTest.sol";
import {vm} from "./support/Vm.sol";

/// Puts entries in and posts batches that take some, in any order, and keeps its own book of both.
contract ForcedHandler is BatonTest {
    struct Put {
        address sender;
        uint64 l1Block;
        bytes32 entry;
    }

    uint64 private constant LAG = 8;

    Put[] private _book;
    uint256 public fees;
    uint64 public consumed;
    /// The last origin of the last batch, and how far its predecessors had come.
    uint64 public lastOrigin;
    uint64 public before;
    /// Set when a batch was taken that had to be refused, or the other way round.
    string public fault;

    function begin() external {
        vm.chainId(31_337);
        vm.roll(100);
        deploy(defaultSpec());
        register(0, UNIT);
        start();
    }

    function put(address sender, bytes calldata entry, uint96 more) external {
        // Precompiles, the console and contracts of the test take no money.
        sender = address(uint160(uint256(keccak256(abi.encode(sender)))));
        if (entry.length == 0 || entry.length > 16_384) return;
        uint256 fee = inbox.forcedFee();
        vm.deal(sender, fee + more);
        vm.prank(sender);
        uint64 position = inbox.enqueue{value: fee + more}(0, entry);
        if (position != _book.length || sender.balance != more) fault = "put";
        fees += fee;
        _book.push(Put(sender, uint64(block.number), keccak256(entry)));
    }

    function take(uint64 count, uint64 back) external {
        uint64 epoch = registry.epochOf(block.number);
        bytes memory data = abi.encode("data", block.number);
        BatchHeader memory header = nextHeader(epoch, data);
        // Origins do not go back from one batch to the next; the certificate vouches for that.
        uint64 origin = header.lastOriginNumber - back % 12;
        header.lastOriginNumber = origin < lastOrigin ? lastOrigin : origin;
        header.forcedPosition = consumed + count % 24;
        header.forcedHash = hashAt(header.forcedPosition);
        registry.materialize(epoch);
        bool obeys = _obeys(header);
        bytes memory call = abi.encodeCall(inbox.post, (header, certify(epoch, 1, header), data));
        vm.prank(POSTER, POSTER);
        (bool ok,) = address(inbox).call(call);
        if (ok != obeys) fault = ok ? "took what it had to refuse" : "refused what it had to take";
        if (!ok) return;
        (before, consumed, lastOrigin) = (consumed, header.forcedPosition, header.lastOriginNumber);
    }

    function wait(uint8 blocks) external {
        vm.roll(block.number + blocks % 8);
    }

    function inbox_() external view returns (BatchInbox) {
        return inbox;
    }

    function length() external view returns (uint256) {
        return _book.length;
    }

    /// From the book alone.
    function hashAt(uint64 position) public view returns (bytes32 hash) {
        for (uint64 i = 0; i < position && i < _book.length; ++i) {
            Put memory put_ = _book[i];
            hash = keccak256(abi.encode(hash, i, put_.l1Block, put_.sender, uint8(0), put_.entry));
        }
    }

    /// How many of those that the last batch could take were overdue for it, and how many it took.
    function overdue() external view returns (uint256 count, uint256 taken) {
        for (uint64 i = before; i < _book.length; ++i) {
            if (_book[i].l1Block + LAG <= lastOrigin) ++count;
        }
        return (count, consumed - before);
    }

    function _obeys(BatchHeader memory header) private view returns (bool) {
        if (header.forcedPosition > _book.length) return false;
        uint64 due = 0;
        for (uint64 i = consumed; i < _book.length; ++i) {
            if (_book[i].l1Block + LAG <= header.lastOriginNumber) ++due;
            if (i < header.forcedPosition && _book[i].l1Block > header.lastOriginNumber) return false;
        }
        return header.forcedPosition - consumed >= (due < 16 ? due : 16);
    }
}

contract ForcedInvariantsTest is InvariantTest {
    ForcedHandler private handler;

    function setUp() public override {
        handler = new ForcedHandler();
        handler.begin();
        _callOn(address(handler));
        // More puts than takes, so that the queue is longer than a batch at times.
        _call(ForcedHandler.put.selector);
        _call(ForcedHandler.put.selector);
        _call(ForcedHandler.put.selector);
        _call(ForcedHandler.take.selector);
        _call(ForcedHandler.wait.selector);
        inbox = handler.inbox_();
    }

    function invariant_It_TakesEveryEntryOnceAndInOrder() external view {
        assertEq(bytes(handler.fault()), "", handler.fault());
        (uint64 length, uint64 consumed) = inbox.forcedQueue();
        assertEq(length, handler.length(), "length");
        assertEq(consumed, handler.consumed(), "consumed");
        assertTrue(consumed <= length, "not more than there are");
        // One position, one hash, over all entries before it in their order: nothing is taken twice or passed over.
        for (uint64 i = 0; i <= length; ++i) {
            (bytes32 hash,) = inbox.forcedAt(i);
            assertEq(hash, handler.hashAt(i), "hash");
        }
    }

    function invariant_It_NeverLeavesWhatIsOverdueBehind() external view {
        (uint256 overdue, uint256 taken) = handler.overdue();
        assertTrue(taken >= (overdue < 16 ? overdue : 16), "left behind");
    }

    function invariant_It_AsksForAFeeForEachThatWaits() external view {
        assertEq(inbox.forcedFee(), 0.0001 ether * (handler.length() - handler.consumed() + 1), "fee");
    }

    function invariant_It_HoldsAllFees() external view {
        assertEq(address(inbox).balance, handler.fees(), "fees");
    }
}
