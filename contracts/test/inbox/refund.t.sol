// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {PostingRefund} from "../../src/PostingRefund.sol";
import {BatchHeader, Certificate, ChainSpec} from "../../src/Types.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {Vm, vm} from "../support/Vm.sol";

contract RefundTest is BatonTest {
    uint256 private constant BASE_FEE = 7 gwei;
    uint256 private constant GAS_PRICE = 7.5 gwei;
    /// What forge sets the blob base fee by; some gwei follow from it.
    uint256 private constant BLOB_GAS_EXCESS = 110_000_000;
    address private poster = address(0xa11);

    function setUp() public override {
        vm.chainId(31_337);
        vm.roll(100);
        ChainSpec memory spec = defaultSpec();
        spec.batchBytesMax = 122_880;
        deploy(spec);
        startDevnet();
        post(2);
        vm.deal(address(inbox), 10 ether);
        vm.fee(BASE_FEE);
        vm.txGasPrice(GAS_PRICE);
        vm.blobBaseFee(BLOB_GAS_EXCESS);
        // Who sends transactions has an account.
        vm.deal(poster, 1 ether);
    }

    function test_When_CalldataCarriesTheBatch() external {
        uint256[3] memory lengths = [uint256(0), 333, 20_000];
        for (uint256 i = 0; i < 3; ++i) {
            vm.deal(address(inbox), 10 ether);
            (uint256 gasCost, uint256 paid) = _post(_random(lengths[i]));
            _assertCovers(gasCost * GAS_PRICE, paid);
        }
    }

    function test_When_BlobsCarryTheBatch() external {
        uint256[2] memory counts = [uint256(1), 6];
        for (uint256 i = 0; i < 2; ++i) {
            (uint256 gasCost, uint256 paid) = _postBlobs(counts[i]);
            assertTrue(block.blobbasefee > 1 gwei && block.blobbasefee < 60 gwei, "a blob base fee of some gwei");
            _assertCovers(gasCost * GAS_PRICE + counts[i] * 131_072 * block.blobbasefee, paid);
        }
    }

    function test_When_TheGasPriceIsBelowWhatMayBeRefunded() external {
        vm.txGasPrice(BASE_FEE);
        (uint256 gasCost, uint256 paid) = _post("x");
        _assertCovers(gasCost * BASE_FEE, paid);
    }

    function test_When_TheTipIsAboveTheMostThatIsRefunded() external {
        vm.txGasPrice(BASE_FEE + 9 gwei);
        (uint256 gasCost, uint256 paid) = _post("x");
        _assertCovers(gasCost * (BASE_FEE + inbox.TIP_MAX_WEI()), paid);
    }

    function test_When_TheCostIsAboveTheCap() external {
        vm.fee(1000 gwei);
        vm.txGasPrice(1000 gwei);
        (, uint256 paid) = _post("x");
        assertEq(paid, inbox.REFUND_MAX_WEI(), "the cap");
        assertEq(paid, 0.05 ether, "the cap");
    }

    function test_Given_ThePoolHoldsLessThanTheCost() external {
        vm.deal(address(inbox), 12_345);
        (, uint256 paid) = _post("x");
        assertEq(paid, 12_345, "all there is");
        assertEq(address(inbox).balance, 0, "nothing is left");
    }

    function test_Given_ThePoolIsEmpty() external {
        vm.deal(address(inbox), 0);
        (, uint256 paid) = _post("x");
        assertEq(paid, 0, "nothing");
        assertEq(inbox.nextIndex(), 2, "accepted");
    }

    function test_When_TheOriginIsTooOld() external {
        rollToEpoch(6);
        BatchHeader memory header = nextHeader(2, "x");
        header.lastOriginNumber = uint64(block.number - 65);
        bytes memory input = abi.encodeCall(inbox.post, (header, certify(2, 15, header), "x"));
        (, uint256 paid) = _send(input);
        assertEq(paid, 0, "too old");
        header = nextHeader(2, "x");
        header.lastOriginNumber = uint64(block.number - 64);
        (, paid) = _send(abi.encodeCall(inbox.post, (header, certify(2, 15, header), "x")));
        assertTrue(paid != 0, "not too old");
    }

    function test_RevertWhen_TheSameBatchIsPostedAgain() external {
        bytes memory input = _call("x");
        (, uint256 paid) = _send(input);
        uint256 pool = address(inbox).balance;
        assertEq(pool, 10 ether - paid, "paid once");
        vm.prank(poster, poster);
        (bool ok,) = address(inbox).call(input);
        assertTrue(!ok, "refused");
        assertEq(address(inbox).balance, pool, "nothing is paid for what is refused");
    }

    /// forge-config: default.fuzz.runs = 64
    function testFuzz_It_NeverPaysAboveCostOrCapOrPoolAndNeverFails(
        uint64 baseFee,
        uint64 tip,
        uint32 blobGasExcess,
        uint128 pool,
        uint8 blobs
    ) external {
        baseFee >>= 1;
        tip >>= 1;
        vm.fee(baseFee);
        vm.txGasPrice(uint256(baseFee) + tip);
        vm.blobBaseFee(blobGasExcess);
        vm.deal(address(inbox), pool);
        uint256 count = blobs % 7;
        (uint256 gasCost, uint256 paid) = count == 0 ? _post("x") : _postBlobs(count);
        uint256 cost = gasCost * (uint256(baseFee) + tip) + count * 131_072 * block.blobbasefee;
        assertAtMost(paid, cost, "cost");
        assertAtMost(paid, inbox.REFUND_MAX_WEI(), "cap");
        assertAtMost(paid, pool, "pool");
        assertEq(inbox.nextIndex(), 2, "accepted");
    }

    /// forge-config: default.fuzz.runs = 64
    function testFuzz_It_PaysEachByteOfDataAtItsPrice(uint256 seed, uint16 length, uint8 zeros) external {
        vm.fee(0.1 gwei);
        vm.txGasPrice(0.1 gwei);
        bytes memory data = _random(length % 8000);
        for (uint256 i = 0; i < data.length; ++i) {
            if (i % 32 == 0) seed = uint256(keccak256(abi.encode(seed)));
            if (uint8(seed >> (8 * (i % 32))) < zeros) data[i] = 0;
        }
        (uint256 gasCost, uint256 paid) = _post(data);
        _assertCovers(gasCost * 0.1 gwei, paid);
    }

    function _assertCovers(uint256 cost, uint256 paid) private pure {
        assertAtMost(paid, cost, "never above the cost");
        assertAtMost(cost * 97, paid * 100, "not much below it");
    }

    function _call(bytes memory data) private view returns (bytes memory) {
        BatchHeader memory header = nextHeader(2, data);
        return abi.encodeCall(inbox.post, (header, certify(2, 15, header), data));
    }

    function _post(bytes memory data) private returns (uint256 gasCost, uint256 paid) {
        return _send(_call(data));
    }

    function _postBlobs(uint256 count) private returns (uint256 gasCost, uint256 paid) {
        BatchHeader memory header = nextHeader(2, blobsOf(count));
        Certificate memory certificate = certify(2, 15, header);
        bytes memory input = abi.encodeCall(inbox.post, (header, certificate, ""));
        vm.blobhashes(blobsOf(count));
        return _send(input);
    }

    /// As a transaction from an account without code. What that costs in gas: EIP-7623's larger side.
    function _send(bytes memory input) private returns (uint256 gasCost, uint256 paid) {
        uint256 tokens = 0;
        for (uint256 i = 0; i < input.length; ++i) {
            tokens += input[i] == 0 ? 1 : 4;
        }
        uint256 before = poster.balance;
        address target = address(inbox);
        vm.recordLogs();
        vm.prank(poster, poster);
        uint256 gasBefore = gasleft();
        (bool ok, bytes memory reason) = target.call(input);
        uint256 spent = gasBefore - gasleft();
        if (!ok) {
            assembly ("memory-safe") {
                revert(add(reason, 0x20), mload(reason))
            }
        }
        paid = poster.balance - before;
        _assertTold(paid);
        gasCost = 21_000 + (4 * tokens + spent > 10 * tokens ? 4 * tokens + spent : 10 * tokens);
    }

    function _assertTold(uint256 paid) private {
        bytes32 last = 0;
        uint256 count = 0;
        (uint64 next,,,,) = inbox.tip();
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] != PostingRefund.PostingRefunded.selector) continue;
            assertEq(uint256(logs[i].topics[1]), next - 1, "index");
            last = bytes32(logs[i].data);
            ++count;
        }
        assertEq(count, paid == 0 ? 0 : 1, "one event for a refund");
        assertEq(uint256(last), paid, "amount");
    }

    function _random(uint256 length) private pure returns (bytes memory data) {
        data = new bytes(length);
        bytes32 word = 0;
        for (uint256 i = 0; i < length; ++i) {
            if (i % 32 == 0) word = keccak256(abi.encode(i));
            data[i] = word[i % 32];
        }
    }
}
