// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BatchHeader} from "../../src/Types.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {vm} from "../support/Vm.sol";

contract LastBatchOfTest is BatonTest {
    function setUp() public override {
        super.setUp();
        startDevnet();
    }

    function test_Given_TheEpochIsOpen() external {
        _assertNothing(0);
        _assertNothing(2);
        post(2);
        _assertNothing(0);
        _assertNothing(2);
        _assertNothing(3);
    }

    function test_Given_TheEpochIsClosed() external {
        post(2);
        post(2);
        bytes32 last = _tipHash();
        rollToEpoch(3);
        post(3);
        _assertLast(2, last, true);
        post(3);
        _assertLast(2, last, true);
    }

    function test_Given_TheEpochWasSkipped() external {
        post(2);
        bytes32 last = _tipHash();
        rollToEpoch(5);
        post(5);
        _assertNothing(3);
        inbox.closeSkipped(3, 2);
        inbox.closeSkipped(4, 3);
        _assertNothing(3);
        _assertNothing(4);
        _assertLast(2, last, true);
    }

    function test_Given_ABatchOfTheEpochHasAnOriginThatIsTooOld() external {
        bytes32[4] memory last;
        for (uint64 old = 0; old < 4; ++old) {
            uint64 epoch = 2 + old;
            if (old != 0) rollToEpoch(epoch);
            // In the last of these epochs no batch is too late.
            for (uint64 i = 0; i < 3; ++i) {
                _post(epoch, i == old ? 65 : 64);
            }
            last[old] = _tipHash();
        }
        rollToEpoch(6);
        post(6);
        for (uint64 old = 0; old < 4; ++old) {
            _assertLast(2 + old, last[old], old == 3);
        }
    }

    function test_Given_TheChainWasAbandonedWhileTheEpochWasOpen() external {
        post(2);
        rollToEpoch(3);
        _post(3, 65);
        bytes32 last = _tipHash();
        vm.roll(block.number + 2049);
        _assertNothing(3);
        inbox.abandon();
        _assertLast(3, last, false);
        _assertNothing(4);
    }

    function test_Given_TheChainWasAbandonedWithoutABatch() external {
        vm.roll(block.number + 2049);
        inbox.abandon();
        _assertNothing(0);
        _assertNothing(2);
    }

    /// With an origin that is `age` blocks old.
    function _post(uint64 epoch, uint64 age) private {
        BatchHeader memory header = nextHeader(epoch, "x");
        header.lastOriginNumber = uint64(block.number) - age;
        registry.materialize(epoch);
        sendPost(header, certify(epoch, 15, header), "x");
    }

    function _tipHash() private view returns (bytes32 hash) {
        (,,,, hash) = inbox.tip();
    }

    function _assertNothing(uint64 epoch) private view {
        _assertLast(epoch, 0, false);
    }

    function _assertLast(uint64 epoch, bytes32 hash, bool rewarded) private view {
        (bytes20 lastBatch, bool isRewarded) = inbox.lastBatchOf(epoch);
        assertEq(lastBatch, bytes20(hash), "last batch");
        assertTrue(isRewarded == rewarded, "reward");
    }
}
