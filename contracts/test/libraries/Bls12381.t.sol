// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Bls12381} from "../../src/libraries/Bls12381.sol";
import {Assertions} from "../support/Assertions.sol";
import {Bls} from "../support/Bls.sol";
import {vm} from "../support/Vm.sol";

/// Makes the library's functions callable, so that their reverts can be seen and their gas measured.
contract Bls12381Harness {
    function hashToG1(bytes memory dst, bytes memory message) external view returns (bytes memory) {
        return Bls12381.hashToG1(dst, message);
    }

    function verify(bytes memory dst, bytes32 message, bytes memory signature, bytes memory key)
        external
        view
        returns (bool)
    {
        return Bls12381.verify(dst, message, signature, key);
    }

    function addG1(bytes memory a, bytes memory b) external view returns (bytes memory) {
        return Bls12381.addG1(a, b);
    }

    function addG2(bytes memory a, bytes memory b) external view returns (bytes memory) {
        return Bls12381.addG2(a, b);
    }

    function addSelected(bytes memory sum, bytes memory keys, uint256 bitmap) external view returns (bytes memory) {
        bytes memory running = bytes.concat(sum, new bytes(256));
        Bls12381.addSelected(running, keys, bitmap);
        return Bls12381.finishSum(running);
    }

    function tryCall(address precompile, uint256 gasCap, bytes memory input, uint256 outputBytes)
        external
        view
        returns (bool ok, bytes memory output)
    {
        return Bls12381.tryCall(precompile, gasCap, input, outputBytes);
    }
}

contract Bls12381Test is Assertions {
    bytes32 private constant MESSAGE = keccak256("a message");
    uint256 private constant SECRET = 0x5ec7e7;

    Bls12381Harness private harness;
    bytes private dst = Bls12381.SIGNATURE_DST;
    bytes private key;
    bytes private signature;
    string private vectors;

    function setUp() external {
        harness = new Bls12381Harness();
        key = Bls.publicKey(SECRET);
        signature = Bls.sign(SECRET, MESSAGE);
        vectors = vm.readFile("test/vectors/bls.json");
    }

    function test_It_MatchesTheVectorsOfRFC9380AndOfAnIndependentImplementation() external view {
        uint256 count = 0;
        for (;; ++count) {
            string memory entry = string.concat(".hashToCurve[", vm.toString(count), "]");
            if (!vm.keyExistsJson(vectors, entry)) break;
            bytes memory tag = bytes(vm.parseJsonString(vectors, string.concat(entry, ".dst")));
            bytes memory message = vm.parseJsonBytes(vectors, string.concat(entry, ".message"));
            assertEq(Bls12381.hashToG1(tag, message), vm.parseJsonBytes(vectors, string.concat(entry, ".point")), entry);
        }
        assertEq(count, 6, "vectors");
        // RFC 9380 appendix J.9.1, msg = "": pinned here so that the file cannot drift from the standard.
        assertEq(
            Bls12381.hashToG1("QUUX-V01-CS02-with-BLS12381G1_XMD:SHA-256_SSWU_RO_", ""),
            hex"00000000000000000000000000000000052926add2207b76ca4fa57a8734416c8dc95e24501772c814278700eed6d1e4e8cf62d9c09db0fac349612b759e79a10000000000000000000000000000000008ba738453bfed09cb546dbb0783dbb3a5f1f566ed67bb6be0e8c67e2e81a4cc68ee29813bb7994998f3eae0c9c6a265",
            "J.9.1"
        );
    }

    function test_RevertWhen_TheTagIsLongerThan255Bytes() external {
        vm.expectRevert(abi.encodeWithSelector(Bls12381.Bls12381__DstTooLong.selector, 256));
        harness.hashToG1(new bytes(256), "");
    }

    function testFuzz_It_AcceptsWhatTheKeySignedAndNothingElse(uint256 secret, bytes32 message, bytes32 other)
        external
        view
    {
        secret = 1 + secret % (Bls.R - 1);
        vm.assume(message != other);
        bytes memory own = Bls.publicKey(secret);
        bytes memory signed = Bls.sign(secret, message);
        assertTrue(Bls12381.verify(dst, message, signed, own), "own signature");
        assertTrue(!Bls12381.verify(dst, other, signed, own), "another message");
        assertTrue(secret == SECRET || !Bls12381.verify(dst, message, signed, key), "another key");
    }

    function test_When_TheSignatureWasMadeUnderAnotherTag() external view {
        bytes memory nul = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";
        assertTrue(!Bls12381.verify(dst, MESSAGE, Bls.sign(SECRET, nul, MESSAGE), key), "NUL suite");
        bytes memory possession = Bls.sign(SECRET, Bls12381.POSSESSION_DST, MESSAGE);
        assertTrue(!Bls12381.verify(dst, MESSAGE, possession, key), "possession as signature");
        assertTrue(!Bls12381.verify(Bls12381.POSSESSION_DST, MESSAGE, signature, key), "signature as possession");
    }

    function test_When_TheSignatureIsNotOnTheCurve() external view {
        bytes memory bad = bytes.concat(signature);
        bad[127] ^= 0x01;
        assertTrue(!Bls12381.verify(dst, MESSAGE, bad, key), "off the curve");
    }

    function test_When_TheSignatureIsOutsideTheSubgroup() external view {
        assertTrue(!Bls12381.verify(dst, MESSAGE, Bls.G1_OFF_SUBGROUP, key), "off the subgroup");
        // The right signature plus a point of small order: the addition accepts it, the pairing must not.
        bytes memory shifted = Bls12381.addG1(signature, Bls.G1_OFF_SUBGROUP);
        assertTrue(!Bls12381.verify(dst, MESSAGE, shifted, key), "shifted signature");
    }

    function test_When_TheKeyIsOutsideTheSubgroup() external view {
        bytes memory bad = vm.parseJsonBytes(vectors, ".g2OffSubgroup");
        Bls12381.addG2(bad, key); // on the curve: the addition accepts it
        assertTrue(!Bls12381.verify(dst, MESSAGE, signature, bad), "off the subgroup");
        assertTrue(!Bls12381.verify(dst, MESSAGE, signature, Bls12381.addG2(bad, key)), "shifted key");
    }

    function test_When_APaddingByteIsNotZero() external view {
        for (uint256 element = 0; element < 2; ++element) {
            bytes memory bad = bytes.concat(signature);
            bad[64 * element] = 0x01;
            assertTrue(!Bls12381.verify(dst, MESSAGE, bad, key), "signature");
        }
        for (uint256 element = 0; element < 4; ++element) {
            bytes memory bad = bytes.concat(key);
            bad[64 * element + 15] = 0x01;
            assertTrue(!Bls12381.verify(dst, MESSAGE, signature, bad), "key");
        }
    }

    function test_When_ACoordinateIsNotBelowTheModulus() external view {
        // x + p is the same element of the field, and below 2^384, but another encoding of it.
        bytes memory bad = bytes.concat(signature);
        uint256 low;
        uint256 high;
        assembly ("memory-safe") {
            high := mload(add(bad, 0x20))
            low := mload(add(bad, 0x40))
        }
        uint256 lowSum;
        unchecked {
            lowSum = low + 0x64774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab;
        }
        high += 0x1a0111ea397fe69a4b1ba7b6434bacd7 + (lowSum < low ? 1 : 0);
        assembly ("memory-safe") {
            mstore(add(bad, 0x20), high)
            mstore(add(bad, 0x40), lowSum)
        }
        assertTrue(!Bls12381.verify(dst, MESSAGE, bad, key), "x + p");
    }

    function test_When_BothSignatureAndKeyAreInfinity() external view {
        assertTrue(!Bls12381.verify(dst, MESSAGE, new bytes(128), new bytes(256)), "both");
        assertTrue(!Bls12381.verify(dst, MESSAGE, new bytes(128), key), "signature");
        assertTrue(!Bls12381.verify(dst, MESSAGE, signature, new bytes(256)), "key");
        assertTrue(!Bls12381.pairingHolds(signature, new bytes(128), key), "hash");
        // The precompile alone would agree that e(infinity, ·) e(·, infinity) is 1.
        (bool ok, bytes memory output) = address(0x0f).staticcall(new bytes(768));
        assertTrue(ok, "accepted");
        assertEq(abi.decode(output, (uint256)), 1, "precompile");
    }

    function test_When_ALengthIsWrong() external view {
        assertTrue(!Bls12381.verify(dst, MESSAGE, "", key), "no signature");
        assertTrue(!Bls12381.verify(dst, MESSAGE, bytes.concat(signature, hex"00"), key), "signature of 129 bytes");
        // 128 bytes of the key moved over to the signature: the pairing's input would be as long as ever.
        assertTrue(!Bls12381.verify(dst, MESSAGE, signature, bytes.concat(key, key)), "key of 512 bytes");
        assertTrue(!Bls12381.verify(dst, MESSAGE, signature, new bytes(255)), "key of 255 bytes");
    }

    function test_When_BothArePoints() external view {
        assertEq(Bls12381.addG1(Bls.mulG1(Bls.G1, 5), Bls.mulG1(Bls.G1, 7)), Bls.mulG1(Bls.G1, 12), "5 + 7");
        assertEq(Bls12381.addG1(Bls.G1, Bls.mulG1(Bls.G1, Bls.R - 1)), new bytes(128), "1 - 1");
        assertEq(Bls12381.addG1(Bls.G1, new bytes(128)), Bls.G1, "1 + 0");
    }

    function test_RevertWhen_OneIsNotOnTheCurve() external {
        bytes memory bad = bytes.concat(Bls.G1);
        bad[127] ^= 0x01;
        uint256 gasBefore = gasleft();
        vm.expectRevert(Bls12381.Bls12381__InvalidPoint.selector);
        harness.addG1(Bls.G1, bad);
        assertAtMost(gasBefore - gasleft(), 60_000, "gas");
    }

    function test_RevertWhen_OneHasAnotherLength() external {
        vm.expectRevert(Bls12381.Bls12381__InvalidPoint.selector);
        harness.addG1(Bls.G1, new bytes(127));
        vm.expectRevert(Bls12381.Bls12381__InvalidPoint.selector);
        harness.addG1(new bytes(129), Bls.G1);
        vm.expectRevert(Bls12381.Bls12381__InvalidPoint.selector);
        harness.addG2(Bls.G2, Bls.G1);
    }

    function test_When_BothArePointsOfG2() external view {
        assertEq(Bls12381.addG2(Bls.publicKey(5), Bls.publicKey(7)), Bls.publicKey(12), "5 + 7");
        assertEq(Bls12381.addG2(Bls.G2, Bls.publicKey(Bls.R - 1)), new bytes(256), "1 - 1");
    }

    function test_RevertWhen_OneIsNotAPointOfG2() external {
        bytes memory bad = bytes.concat(Bls.G2);
        bad[255] ^= 0x01;
        vm.expectRevert(Bls12381.Bls12381__InvalidPoint.selector);
        harness.addG2(bad, Bls.G2);
    }

    function testFuzz_It_AddsTheKeysWhoseBitsAreSet(uint256 bitmap, uint8 count) external view {
        count = count % 12;
        bytes memory keys;
        uint256 secretSum = 1;
        for (uint256 i = 0; i < count; ++i) {
            keys = bytes.concat(keys, Bls.publicKey(i + 2));
            if ((bitmap >> i) & 1 == 1) secretSum += i + 2;
        }
        bytes memory sum = harness.addSelected(Bls.publicKey(1), keys, bitmap);
        assertEq(sum, Bls.publicKey(secretSum), "sum");
    }

    function test_RevertWhen_AStoredKeyIsNotOnTheCurve() external {
        bytes memory bad = bytes.concat(Bls.G2, Bls.G2, Bls.G2);
        bad[511] ^= 0x01;
        assertEq(harness.addSelected(new bytes(256), bad, 5), Bls.publicKey(2), "not selected");
        vm.expectRevert(abi.encodeWithSelector(Bls12381.Bls12381__PrecompileFailed.selector, Bls12381.G2ADD));
        harness.addSelected(new bytes(256), bad, 7);
    }

    function test_RevertWhen_ThePrecompileIsAbsent() external {
        address absent = address(0xab5e27);
        vm.expectRevert(abi.encodeWithSelector(Bls12381.Bls12381__PrecompileFailed.selector, absent));
        harness.tryCall(absent, 10_000, new bytes(256), 128);
    }

    function test_RevertWhen_TheWholePrecompileSetIsAbsent() external {
        // On an L1 without EIP-2537 these addresses hold no code: a call succeeds and answers nothing.
        address[3] memory precompiles = [Bls12381.MAP_FP_TO_G1, Bls12381.G1ADD, Bls12381.PAIRING];
        for (uint256 i = 0; i < 3; ++i) {
            vm.clearMockedCalls();
            vm.mockCall(precompiles[i], "", "");
            vm.expectRevert(abi.encodeWithSelector(Bls12381.Bls12381__PrecompileFailed.selector, precompiles[i]));
            harness.verify(dst, MESSAGE, signature, key);
        }
        vm.clearMockedCalls();
        vm.mockCall(Bls12381.G2ADD, "", "");
        vm.expectRevert(abi.encodeWithSelector(Bls12381.Bls12381__PrecompileFailed.selector, Bls12381.G2ADD));
        harness.addSelected(new bytes(256), Bls.G2, 1);
        vm.expectRevert(abi.encodeWithSelector(Bls12381.Bls12381__PrecompileFailed.selector, Bls12381.G2ADD));
        harness.addG2(Bls.G2, Bls.G2);
    }

    function test_RevertWhen_TheCallerHasTooLittleGasForTheCap() external {
        // Enough to come as far as the pairing, not enough to pay it: no word about the signature is possible.
        vm.expectRevert(abi.encodeWithSelector(Bls12381.Bls12381__NotEnoughGas.selector, Bls12381.PAIRING));
        harness.verify{gas: 100_000}(dst, MESSAGE, signature, key);
        assertTrue(harness.verify{gas: 200_000}(dst, MESSAGE, signature, key), "with enough gas");
    }

    function test_When_ThePrecompileRefusesItsInput() external view {
        bytes memory bad = bytes.concat(Bls.G1_OFF_SUBGROUP, Bls.G2);
        uint256 gasBefore = gasleft();
        (bool ok,) = harness.tryCall(Bls12381.PAIRING, 150_000, bad, 32);
        uint256 spent = gasBefore - gasleft();
        assertTrue(!ok, "refused");
        assertAtMost(spent, 170_000, "gas");
    }
}
