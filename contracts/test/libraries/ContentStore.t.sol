// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ContentStore} from "../../src/libraries/ContentStore.sol";
import {Assertions} from "../support/Assertions.sol";
import {vm} from "../support/Vm.sol";

contract ContentStoreHarness {
    function put(bytes memory content) external returns (address) {
        return ContentStore.put(content);
    }

    function find(bytes memory content) external view returns (address, bool) {
        return ContentStore.find(content);
    }

    function get(address pointer) external view returns (bytes memory) {
        return ContentStore.get(pointer);
    }
}

contract ContentStoreTest is Assertions {
    ContentStoreHarness private store = new ContentStoreHarness();

    function test_When_TheContentIsNew() external {
        (address expected, bool stored) = store.find("content");
        assertTrue(!stored, "not yet stored");
        assertEq(store.put("content"), expected, "pointer");
        (, stored) = store.find("content");
        assertTrue(stored, "stored");
    }

    function test_When_TheContentWasStoredBefore() external {
        bytes memory content = new bytes(16_384);
        address first = store.put(content);
        uint64 nonce = vm.getNonce(address(store));
        assertEq(store.put(content), first, "pointer");
        assertEq(vm.getNonce(address(store)), nonce, "accounts created");
    }

    function test_When_TheContentIsEmpty() external {
        assertEq(store.get(store.put("")), "", "content");
    }

    function test_RevertWhen_TheContentIsLongerThanCodeMayBe() external {
        assertEq(store.get(store.put(new bytes(ContentStore.CONTENT_BYTES_MAX))).length, 24_575, "longest");
        bytes memory content = new bytes(ContentStore.CONTENT_BYTES_MAX + 1);
        vm.expectRevert(abi.encodeWithSelector(ContentStore.ContentStore__TooLong.selector, 24_575, 24_576));
        store.put(content);
    }

    function testFuzz_It_ReadsBackWhatWasPut(bytes memory content) external {
        assertEq(store.get(store.put(content)), content, "content");
    }

    function test_It_KeepsContentsApartByContract() external {
        ContentStoreHarness other = new ContentStoreHarness();
        assertTrue(store.put("content") != other.put("content"), "pointers");
    }

    function test_RevertWhen_NothingIsStored() external {
        vm.expectRevert();
        store.get(address(0xdead));
    }
}
