// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title Bls12381
/// @notice BLS signatures over BLS12-381 with signatures in G1 and keys in G2, on the precompiles of EIP-2537.
/// @dev Points are in EIP-2537 form: 128 bytes for G1, 256 for G2, every field element left-padded to 64 bytes,
/// infinity all zero.
///
/// Who checks what: the addition precompiles accept points outside the prime-order subgroup, the pairing does not. So a
/// point that comes from outside must reach a pairing before anything rests on it. Keys do at registration (their proof
/// of possession), signatures do wherever they are used.
///
/// A precompile that fails burns all gas that it was given, so every call has a cap. The caps are several times today's
/// price: a repricing must not stop the chain, and a caller can only burn gas of its own.
library Bls12381 {
    /// The signature suite of RFC 9380's names, for every statement that members sign.
    bytes internal constant SIGNATURE_DST = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";
    /// A suite of its own for proofs of possession, so that no proof is ever a signature on a statement.
    bytes internal constant POSSESSION_DST = "BATON_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_";

    uint256 internal constant G1_BYTES = 128;
    uint256 internal constant G2_BYTES = 256;

    address internal constant SHA256 = address(0x02);
    address internal constant MODEXP = address(0x05);
    address internal constant G1ADD = address(0x0b);
    address internal constant G2ADD = address(0x0d);
    address internal constant PAIRING = address(0x0f);
    address internal constant MAP_FP_TO_G1 = address(0x10);

    /// Prices on Osaka, in gas: about 150 for the longest input here, 500, 375, 600, 102,900 for two pairs, 5,500.
    uint256 internal constant SHA256_GAS_CAP = 5000;
    uint256 internal constant MODEXP_GAS_CAP = 10_000;
    uint256 internal constant G1ADD_GAS_CAP = 5000;
    uint256 internal constant G2ADD_GAS_CAP = 8000;
    uint256 internal constant PAIRING_GAS_CAP = 400_000;
    uint256 internal constant MAP_FP_TO_G1_GAS_CAP = 30_000;

    /// The field's modulus, left-padded to 64 bytes.
    uint256 private constant P_HIGH = 0x1a0111ea397fe69a4b1ba7b6434bacd7;
    uint256 private constant P_LOW = 0x64774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab;

    /// The negative of G2's generator.
    bytes private constant NEGATIVE_G2 =
        hex"00000000000000000000000000000000024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb80000000000000000000000000000000013e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e000000000000000000000000000000000d1b3cc2c7027888be51d9ef691d77bcb679afda66c73f17f9ee3837a55024f78c71363275a75d75d86bab79f74782aa0000000000000000000000000000000013fa4d4a0ad8b1ce186ed5061789213d993923066dddaf1040bc3ff59f825c78df74f2d75467e25e0f55f8a00fa030ed";

    /// @notice A precompile that cannot refuse these inputs did, or its answer is not as long as it must be: this EVM
    /// does not have it, or prices it beyond our cap.
    error Bls12381__PrecompileFailed(address precompile);
    /// @notice The transaction's gas ran out around a precompile call, so its failure says nothing about its input.
    error Bls12381__NotEnoughGas(address precompile);
    /// @notice A point that is not on the curve, or is not in the form that EIP-2537 asks for.
    error Bls12381__InvalidPoint();
    /// @notice A domain separation tag is at most 255 bytes long.
    error Bls12381__DstTooLong(uint256 length);

    /// @notice Whether `signature` is `key`'s signature on `message`.
    /// @dev e(signature, g2) = e(H(message), key), checked as a product with -g2. False for points that the pairing
    /// refuses: off the curve, outside the subgroup, not canonical. False for infinity on either side, and for lengths
    /// other than 128 and 256 bytes. `key` may be a sum of keys that have each been shown to be in the subgroup.
    function verify(bytes memory dst, bytes32 message, bytes memory signature, bytes memory key)
        internal
        view
        returns (bool)
    {
        return pairingHolds(signature, hashToG1(dst, bytes.concat(message)), key);
    }

    /// @notice Whether e(left, g2) = e(right, key), with neither `left` nor `key` nor `right` infinity.
    function pairingHolds(bytes memory left, bytes memory right, bytes memory key) internal view returns (bool) {
        if (left.length != G1_BYTES || right.length != G1_BYTES || key.length != G2_BYTES) return false;
        // e(infinity, ·) = 1 would make an infinite signature fit an infinite key.
        if (isInfinity(left) || isInfinity(right) || isInfinity(key)) return false;
        (bool ok, bytes memory output) =
            tryCall(PAIRING, PAIRING_GAS_CAP, bytes.concat(left, NEGATIVE_G2, right, key), 32);
        return ok && bytes32(output) == bytes32(uint256(1));
    }

    /// @notice Hashes `message` to G1 by RFC 9380's suite `BLS12381G1_XMD:SHA-256_SSWU_RO_` under `dst`.
    /// @dev The mapping precompile clears the cofactor, which is linear, so the sum of the two mapped points is the
    /// suite's result. The buffers are used in place: a digest is hashed for every certificate, and twice for evidence.
    function hashToG1(bytes memory dst, bytes memory message) internal view returns (bytes memory point) {
        bytes32[4] memory uniform = _expandMessage(dst, message);
        // The input of MODEXP: lengths of base, exponent and modulus, the base, the exponent 1, the modulus.
        bytes memory reduction =
            abi.encodePacked(uint256(64), uint256(1), uint256(64), bytes32(0), bytes32(0), uint8(1), P_HIGH, P_LOW);
        uint256 input = _start(reduction);
        uint256 element = input + 96;
        point = new bytes(2 * G1_BYTES);
        uint256 output = _start(point);
        for (uint256 i = 0; i < 2; ++i) {
            assembly ("memory-safe") {
                mcopy(element, add(uniform, mul(i, 64)), 64)
            }
            _call(MODEXP, MODEXP_GAS_CAP, input, reduction.length, element, 64);
            _call(MAP_FP_TO_G1, MAP_FP_TO_G1_GAS_CAP, element, 64, output + i * G1_BYTES, G1_BYTES);
        }
        _call(G1ADD, G1ADD_GAS_CAP, output, 2 * G1_BYTES, output, G1_BYTES);
        assembly ("memory-safe") {
            mstore(point, G1_BYTES)
        }
    }

    /// @notice The sum of two points of G1.
    /// @dev No subgroup check: see the head of this library.
    function addG1(bytes memory a, bytes memory b) internal view returns (bytes memory) {
        if (a.length != G1_BYTES || b.length != G1_BYTES) revert Bls12381__InvalidPoint();
        (bool ok, bytes memory sum) = tryCall(G1ADD, G1ADD_GAS_CAP, bytes.concat(a, b), G1_BYTES);
        if (!ok) revert Bls12381__InvalidPoint();
        return sum;
    }

    /// @notice The sum of two points of G2.
    /// @dev No subgroup check: see the head of this library.
    function addG2(bytes memory a, bytes memory b) internal view returns (bytes memory) {
        if (a.length != G2_BYTES || b.length != G2_BYTES) revert Bls12381__InvalidPoint();
        (bool ok, bytes memory sum) = tryCall(G2ADD, G2ADD_GAS_CAP, bytes.concat(a, b), G2_BYTES);
        if (!ok) revert Bls12381__InvalidPoint();
        return sum;
    }

    /// @notice Adds those points of `keys`, 256 bytes each, whose bit is set in `bitmap` to the running sum.
    /// @dev `sum` is 512 bytes long: the sum, and room for the point that is added next, so that the two lie as the
    /// precompile wants them. Bit 0 is the first key of `keys`; bits beyond the last are ignored, so the caller refuses
    /// them. This loop is what makes a large committee's certificate dear.
    function addSelected(bytes memory sum, bytes memory keys, uint256 bitmap) internal view {
        if (sum.length != 2 * G2_BYTES) revert Bls12381__InvalidPoint();
        uint256 total = _start(sum);
        uint256 next = total + G2_BYTES;
        uint256 end = _start(keys) + keys.length;
        for (uint256 key = _start(keys); key < end; key += G2_BYTES) {
            if (bitmap & 1 != 0) {
                assembly ("memory-safe") {
                    mcopy(next, key, G2_BYTES)
                }
                // Registered keys are on the curve, so a failure is the EVM's and not that of an input.
                _call(G2ADD, G2ADD_GAS_CAP, total, 2 * G2_BYTES, total, G2_BYTES);
            }
            bitmap >>= 1;
        }
    }

    /// @notice Replaces the running sum of `addSelected` by the point of G2 at `offset` of `content` less that sum.
    /// @dev The negative of (x, y) is (x, p - y), half by half of y; infinity, all zero, stays what it is.
    function subtractFrom(bytes memory content, uint256 offset, bytes memory sum) internal view {
        if (sum.length != 2 * G2_BYTES) revert Bls12381__InvalidPoint();
        uint256 total = _start(sum);
        uint256 point = _start(content) + offset;
        assembly ("memory-safe") {
            for { let half := add(total, 128) } lt(half, add(total, 256)) { half := add(half, 64) } {
                let low := mload(add(half, 32))
                if or(mload(half), low) {
                    mstore(half, sub(sub(P_HIGH, mload(half)), gt(low, P_LOW)))
                    mstore(add(half, 32), sub(P_LOW, low))
                }
            }
            mcopy(add(total, G2_BYTES), point, G2_BYTES)
        }
        _call(G2ADD, G2ADD_GAS_CAP, total, 2 * G2_BYTES, total, G2_BYTES);
    }

    /// @notice The running sum of `addSelected`, whose buffer it takes over.
    function finishSum(bytes memory sum) internal pure returns (bytes memory) {
        assembly ("memory-safe") {
            mstore(sum, G2_BYTES)
        }
        return sum;
    }

    /// @notice Whether every byte of a point is zero; `point` is a whole number of words long.
    function isInfinity(bytes memory point) internal pure returns (bool) {
        uint256 bits;
        assembly ("memory-safe") {
            let word := add(point, 0x20)
            for { let end := add(word, mload(point)) } lt(word, end) { word := add(word, 0x20) } {
                bits := or(bits, mload(word))
            }
        }
        return bits == 0;
    }

    /// @notice Calls a precompile with at most `gasCap` gas; false when it refuses its input.
    function tryCall(address precompile, uint256 gasCap, bytes memory input, uint256 outputBytes)
        internal
        view
        returns (bool ok, bytes memory output)
    {
        output = new bytes(outputBytes);
        ok = _tryCall(precompile, gasCap, _start(input), input.length, _start(output), outputBytes);
    }

    /// @dev expand_message_xmd of RFC 9380 section 5.3.1 with SHA-256 for 128 bytes.
    function _expandMessage(bytes memory dst, bytes memory message) private view returns (bytes32[4] memory uniform) {
        if (dst.length > 255) revert Bls12381__DstTooLong(dst.length);
        bytes memory tail = abi.encodePacked(dst, uint8(dst.length));
        bytes32 first = _sha256(abi.encodePacked(bytes32(0), bytes32(0), message, uint16(128), uint8(0), tail));
        // What each further hash takes: the first hash combined with the last, a counter, the tag.
        bytes memory input = abi.encodePacked(bytes32(0), uint8(0), tail);
        bytes32 last = 0;
        for (uint256 i = 0; i < 4; ++i) {
            assembly ("memory-safe") {
                mstore(add(input, 0x20), xor(first, last))
                mstore8(add(input, 0x40), add(i, 1))
            }
            last = _sha256(input);
            uniform[i] = last;
        }
    }

    function _sha256(bytes memory input) private view returns (bytes32 hash) {
        // The first word of memory is scratch space.
        _call(SHA256, SHA256_GAS_CAP, _start(input), input.length, 0, 32);
        assembly ("memory-safe") {
            hash := mload(0)
        }
    }

    /// @dev Where the content of `buffer` begins in memory.
    function _start(bytes memory buffer) private pure returns (uint256 position) {
        assembly ("memory-safe") {
            position := add(buffer, 0x20)
        }
    }

    /// @dev Calls a precompile that cannot refuse this input.
    function _call(
        address precompile,
        uint256 gasCap,
        uint256 input,
        uint256 inputBytes,
        uint256 output,
        uint256 outputBytes
    ) private view {
        if (!_tryCall(precompile, gasCap, input, inputBytes, output, outputBytes)) {
            revert Bls12381__PrecompileFailed(precompile);
        }
    }

    /// @dev The one place that calls a precompile. Input and output are ranges of memory, allocated by the caller.
    ///
    /// An account without code succeeds with an empty answer, so the answer's length is checked: without that, an L1
    /// that lacks the precompile would read whatever is in memory. And a call gets at most 63/64 of the gas at hand
    /// (EIP-150): if less than a 63rd of the cap is left after a failure, the precompile may have been given less than
    /// its cap, and its failure says nothing about the input.
    function _tryCall(
        address precompile,
        uint256 gasCap,
        uint256 input,
        uint256 inputBytes,
        uint256 output,
        uint256 outputBytes
    ) private view returns (bool ok) {
        uint256 answered;
        assembly ("memory-safe") {
            ok := staticcall(gasCap, precompile, input, inputBytes, output, outputBytes)
            answered := returndatasize()
        }
        if (!ok && gasleft() < gasCap / 63) revert Bls12381__NotEnoughGas(precompile);
        if (ok && answered != outputBytes) revert Bls12381__PrecompileFailed(precompile);
    }
}
