// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BatchInbox} from "../../src/BatchInbox.sol";
import {ForcedQueue} from "../../src/ForcedQueue.sol";
import {RegistryErrors} from "../../src/registry/RegistryErrors.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {vm} from "../support/Vm.sol";

/// Takes no money back.
contract Miser {
    function enqueue(BatchInbox inbox, bytes calldata entry) external payable {
        inbox.enqueue{value: msg.value}(0, entry);
    }
}

/// Puts a second entry in as soon as it gets money back for the first.
contract Again {
    bool private _called;

    function enqueue(BatchInbox inbox, bytes calldata entry) external payable {
        inbox.enqueue{value: msg.value}(0, entry);
    }

    receive() external payable {
        if (_called) return;
        _called = true;
        BatchInbox(msg.sender).enqueue{value: msg.value}(0, "again");
    }
}

contract EnqueueTest is BatonTest {
    uint256 private constant BASE = 0.0001 ether;

    function test_RevertGiven_TheRegistryIsNotActiveYet() external {
        vm.expectRevert(RegistryErrors.SequencerRegistry__NotActivated.selector);
        inbox.enqueue{value: BASE}(0, "entry");
    }

    function test_RevertGiven_ActivationIsInThisBlock() external {
        register(0, UNIT);
        registry.activate();
        vm.expectRevert(
            abi.encodeWithSelector(
                RegistryErrors.SequencerRegistry__BeforeGenesis.selector, block.number + 1, block.number
            )
        );
        inbox.enqueue{value: BASE}(0, "entry");
        vm.roll(block.number + 1);
        inbox.enqueue{value: BASE}(0, "entry");
    }

    function test_RevertGiven_TheInboxIsAbandoned() external {
        startDevnet();
        vm.roll(registry.epochStart(2) + registry.params().abandonBlocks + 1);
        inbox.abandon();
        vm.expectRevert(abi.encodeWithSelector(BatchInbox.BatchInbox__ChainIsAbandoned.selector, block.number));
        inbox.enqueue{value: BASE}(0, "entry");
    }

    function testFuzz_RevertWhen_TheKindIsNotARawTransaction(uint8 kind) external {
        if (kind == 0) kind = 1;
        startDevnet();
        vm.expectRevert(abi.encodeWithSelector(ForcedQueue.ForcedQueue__UnsupportedKind.selector, kind));
        inbox.enqueue{value: BASE}(kind, "entry");
    }

    function test_RevertWhen_TheEntryIsEmptyOrTooLong() external {
        startDevnet();
        vm.expectRevert(abi.encodeWithSelector(ForcedQueue.ForcedQueue__WrongLength.selector, 16_384, 0));
        inbox.enqueue{value: BASE}(0, "");
        vm.expectRevert(abi.encodeWithSelector(ForcedQueue.ForcedQueue__WrongLength.selector, 16_384, 16_385));
        inbox.enqueue{value: BASE}(0, new bytes(16_385));
        inbox.enqueue{value: BASE}(0, new bytes(16_384));
    }

    function test_RevertWhen_LessThanTheFeeIsSent() external {
        startDevnet();
        vm.expectRevert(abi.encodeWithSelector(ForcedQueue.ForcedQueue__FeeTooLow.selector, BASE, BASE - 1));
        inbox.enqueue{value: BASE - 1}(0, "entry");
        inbox.enqueue{value: BASE}(0, "entry");
        vm.expectRevert(abi.encodeWithSelector(ForcedQueue.ForcedQueue__FeeTooLow.selector, 2 * BASE, BASE));
        inbox.enqueue{value: BASE}(0, "entry");
    }

    function test_When_MoreThanTheFeeIsSent() external {
        startDevnet();
        address user = address(0xca11);
        vm.deal(user, 1 ether);
        vm.prank(user);
        inbox.enqueue{value: 1 ether}(0, "entry");
        assertEq(user.balance, 1 ether - BASE, "sender");
        assertEq(address(inbox).balance, BASE, "inbox");
    }

    function test_RevertWhen_TheSenderDoesNotTakeTheRest() external {
        startDevnet();
        Miser miser = new Miser();
        vm.expectRevert(abi.encodeWithSelector(ForcedQueue.ForcedQueue__ExcessNotTaken.selector, address(miser), 1));
        miser.enqueue{value: BASE + 1}(inbox, "entry");
        // The exact fee needs nobody to take anything.
        miser.enqueue{value: BASE}(inbox, "entry");
    }

    function test_When_TheSenderCallsAgainWhileItTakesTheRest() external {
        startDevnet();
        Again again = new Again();
        again.enqueue{value: 1 ether}(inbox, "first");
        bytes32 first = _next(0, 0, address(again), "first");
        _assertQueue(2, 0, _next(first, 1, address(again), "again"));
        assertEq(address(inbox).balance, 3 * BASE, "both fees");
        assertEq(address(again).balance, 1 ether - 3 * BASE, "the rest");
    }

    function testFuzz_When_AnyEntriesArePutIn(bytes32 seed, uint8 count) external {
        startDevnet();
        bytes32 hash = 0;
        uint256 fees = 0;
        for (uint64 i = 0; i < count % 24; ++i) {
            bytes32 word = keccak256(abi.encode(seed, i));
            vm.roll(block.number + uint256(word) % 3);
            address sender = address(uint160(uint256(keccak256(abi.encode("sender", word)))));
            bytes memory entry = new bytes(1 + uint256(word) % 300);
            entry[0] = word[0];
            hash = _next(hash, i, sender, entry);
            assertEq(inbox.forcedFee(), BASE * (i + 1), "fee");
            vm.deal(sender, 1 ether);
            vm.expectEmit(address(inbox));
            emit ForcedQueue.ForcedEntryEnqueued(i, sender, 0, hash, BASE * (i + 1), entry);
            vm.prank(sender);
            assertEq(inbox.enqueue{value: 1 ether}(0, entry), i, "position");
            fees += BASE * (i + 1);
            (bytes32 got, uint64 l1Block) = inbox.forcedAt(i + 1);
            assertEq(got, hash, "hash");
            assertEq(l1Block, block.number, "block");
            _assertQueue(i + 1, 0, hash);
        }
        (bytes32 beyond, uint64 none) = inbox.forcedAt(count % 24 + 1);
        assertEq(beyond, 0, "no hash beyond the end");
        assertEq(none, 0, "no block beyond the end");
        assertEq(address(inbox).balance, fees, "the fees stay");
    }

    function test_Given_BatchesHaveTakenEntries() external {
        startDevnet();
        for (uint256 i = 0; i < 3; ++i) {
            inbox.enqueue{value: 1 ether}(0, "entry");
        }
        assertEq(inbox.forcedFee(), 4 * BASE, "three wait");
        vm.roll(block.number + 1);
        postTaking(2, 2);
        assertEq(inbox.forcedFee(), 2 * BASE, "one waits");
    }

    /// Entries as Rust wrote them, with the block and the sender of each.
    function test_It_MakesTheRollingHashesThatRustMakes() external {
        startDevnet();
        string memory json = vm.readFile("test/vectors/forced.json");
        vm.roll(1_000_000);
        uint64 count = 0;
        for (; vm.keyExistsJson(json, _entry(count)); ++count) {
            string memory entry = _entry(count);
            vm.roll(vm.parseJsonUint(json, string.concat(entry, ".l1Block")));
            address sender = vm.parseJsonAddress(json, string.concat(entry, ".sender"));
            bytes memory data = vm.parseJsonBytes(json, string.concat(entry, ".entry"));
            uint8 kind = uint8(vm.parseJsonUint(json, string.concat(entry, ".kind")));
            vm.deal(sender, 1 ether);
            vm.prank(sender);
            inbox.enqueue{value: 1 ether}(kind, data);
            bytes32 expected = vm.parseJsonBytes32(json, string.concat(entry, ".rollingHash"));
            _assertQueue(count + 1, 0, expected);
        }
        assertTrue(count >= 4, "entries");
    }

    receive() external payable {}

    function _next(bytes32 hash, uint64 position, address sender, bytes memory entry) private view returns (bytes32) {
        return
            keccak256(
                abi.encode(hash, position, uint64(block.number), sender, inbox.RAW_TRANSACTION(), keccak256(entry))
            );
    }

    function _assertQueue(uint64 length, uint64 consumed, bytes32 hash) private view {
        (uint64 gotLength, uint64 gotConsumed) = inbox.forcedQueue();
        assertEq(gotLength, length, "length");
        assertEq(gotConsumed, consumed, "consumed");
        (bytes32 got,) = inbox.forcedAt(length);
        assertEq(got, hash, "rolling hash");
    }

    function _entry(uint64 index) private pure returns (string memory) {
        return string.concat(".entries[", vm.toString(index), "]");
    }
}
