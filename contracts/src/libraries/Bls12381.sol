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

    /// Selectors of the two errors below, for assembly.
    uint256 private constant PRECOMPILE_FAILED = 0x6ab3aa17;
    uint256 private constant NOT_ENOUGH_GAS = 0x663fcac3;

    /// The negative of G2's generator, word by word.
    uint256 private constant NEGATIVE_G2_0 = 0x00000000000000000000000000000000024aa2b2f08f0a91260805272dc51051;
    uint256 private constant NEGATIVE_G2_1 = 0xc6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8;
    uint256 private constant NEGATIVE_G2_2 = 0x0000000000000000000000000000000013e02b6052719f607dacd3a088274f65;
    uint256 private constant NEGATIVE_G2_3 = 0x596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e;
    uint256 private constant NEGATIVE_G2_4 = 0x000000000000000000000000000000000d1b3cc2c7027888be51d9ef691d77bc;
    uint256 private constant NEGATIVE_G2_5 = 0xb679afda66c73f17f9ee3837a55024f78c71363275a75d75d86bab79f74782aa;
    uint256 private constant NEGATIVE_G2_6 = 0x0000000000000000000000000000000013fa4d4a0ad8b1ce186ed5061789213d;
    uint256 private constant NEGATIVE_G2_7 = 0x993923066dddaf1040bc3ff59f825c78df74f2d75467e25e0f55f8a00fa030ed;

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
        uint256 input;
        assembly ("memory-safe") {
            // Behind what is allocated; the call follows at once.
            input := mload(0x40)
            mcopy(input, add(left, 0x20), G1_BYTES)
            mstore(add(input, 0x80), NEGATIVE_G2_0)
            mstore(add(input, 0xa0), NEGATIVE_G2_1)
            mstore(add(input, 0xc0), NEGATIVE_G2_2)
            mstore(add(input, 0xe0), NEGATIVE_G2_3)
            mstore(add(input, 0x100), NEGATIVE_G2_4)
            mstore(add(input, 0x120), NEGATIVE_G2_5)
            mstore(add(input, 0x140), NEGATIVE_G2_6)
            mstore(add(input, 0x160), NEGATIVE_G2_7)
            mcopy(add(input, 384), add(right, 0x20), G1_BYTES)
            mcopy(add(input, 512), add(key, 0x20), G2_BYTES)
        }
        // The first word of memory is scratch space.
        if (!_tryCall(PAIRING, PAIRING_GAS_CAP, input, 2 * (G1_BYTES + G2_BYTES), 0, 32)) return false;
        uint256 product;
        assembly ("memory-safe") {
            product := mload(0)
        }
        return product == 1;
    }

    /// @notice Hashes `message` to G1 by RFC 9380's suite `BLS12381G1_XMD:SHA-256_SSWU_RO_` under `dst`.
    /// @dev A digest is hashed for every certificate and twice for evidence, so this is done in place, behind what is
    /// allocated; only the result stays.
    ///
    /// expand_message_xmd (section 5.3.1) hashes 64 zero bytes, the message, the length 128, a zero byte and the tag, and
    /// then four times: the first hash combined with the last, a counter, and the tag. The counter takes the place of the
    /// zero byte and the hash that of the 32 bytes before it, so the tag is written once.
    ///
    /// The mapping precompile clears the cofactor, which is linear, so the sum of the two mapped points is the suite's
    /// result.
    function hashToG1(bytes memory dst, bytes memory message) internal view returns (bytes memory point) {
        if (dst.length > 255) revert Bls12381__DstTooLong(dst.length);
        assembly ("memory-safe") {
            // As `_call`, whose frame would cost more than some of the calls do. Addresses of precompiles are written
            // out, since assembly knows constants that are numbers only.
            function run(precompile, gasCap, input, inputBytes, output, outputBytes) {
                let ok := staticcall(gasCap, precompile, input, inputBytes, output, outputBytes)
                if iszero(and(ok, eq(returndatasize(), outputBytes))) {
                    let reason := PRECOMPILE_FAILED
                    if and(iszero(ok), lt(gas(), div(gasCap, 63))) { reason := NOT_ENOUGH_GAS }
                    mstore(0, reason)
                    mstore(0x20, precompile)
                    revert(0x1c, 0x24)
                }
            }

            point := mload(0x40)
            mstore(point, G1_BYTES)
            let output := add(point, 0x20)
            mstore(0x40, add(output, G1_BYTES))

            // Behind room for two points, the input of MODEXP: lengths of base, exponent and modulus, the base, the
            // exponent 1, the modulus.
            let element := add(output, 352)
            mstore(sub(element, 96), 64)
            mstore(sub(element, 64), 1)
            mstore(sub(element, 32), 64)
            mstore8(add(element, 64), 1)
            mstore(add(element, 65), P_HIGH)
            mstore(add(element, 97), P_LOW)

            // Behind that, the input of the first hash.
            let input := add(element, 129)
            mstore(input, 0)
            mstore(add(input, 32), 0)
            mcopy(add(input, 64), add(message, 0x20), mload(message))
            let counter := add(input, add(66, mload(message)))
            // The length in two bytes, and the zero byte.
            mstore(sub(counter, 2), shl(240, 128))
            mcopy(add(counter, 1), add(dst, 0x20), mload(dst))
            let end := add(counter, add(2, mload(dst)))
            mstore8(sub(end, 1), mload(dst))
            run(0x02, SHA256_GAS_CAP, input, sub(end, input), 0, 32)

            let first := mload(0)
            let last := 0
            input := sub(counter, 32)
            for { let i := 1 } lt(i, 5) { i := add(i, 1) } {
                mstore(input, xor(first, last))
                mstore8(counter, i)
                run(0x02, SHA256_GAS_CAP, input, sub(end, input), 0, 32)
                last := mload(0)
                switch and(i, 1)
                case 1 { mstore(element, last) }
                default {
                    // Two words are one field element.
                    mstore(add(element, 32), last)
                    run(0x05, MODEXP_GAS_CAP, sub(element, 96), 225, element, 64)
                    run(0x10, MAP_FP_TO_G1_GAS_CAP, element, 64, output, G1_BYTES)
                    output := add(output, G1_BYTES)
                }
            }
            output := add(point, 0x20)
            run(0x0b, G1ADD_GAS_CAP, output, 256, output, G1_BYTES)
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
        uint256 key = _start(keys);
        uint256 end = key + keys.length;
        bool refused = false;
        bool ok;
        // Registered keys are on the curve, so a failure is the EVM's and not that of an input.
        assembly ("memory-safe") {
            for {} and(lt(key, end), gt(bitmap, 0)) { key := add(key, G2_BYTES) } {
                if and(bitmap, 1) {
                    mcopy(add(total, G2_BYTES), key, G2_BYTES)
                    // G2ADD; assembly knows constants that are numbers only.
                    ok := staticcall(G2ADD_GAS_CAP, 0x0d, total, 512, total, G2_BYTES)
                    refused := iszero(and(ok, eq(returndatasize(), G2_BYTES)))
                    if refused { break }
                }
                bitmap := shr(1, bitmap)
            }
        }
        if (refused) _refuse(G2ADD, G2ADD_GAS_CAP, ok);
    }

    /// @notice Replaces the running sum of `addSelected` by the point of G2 at `offset` of `content` less that sum.
    /// @dev The negative of (x, y) is (x, p - y), half by half of y; infinity, all zero, stays what it is, and nothing is
    /// added to it.
    function subtractFrom(bytes memory content, uint256 offset, bytes memory sum) internal view {
        if (sum.length != 2 * G2_BYTES) revert Bls12381__InvalidPoint();
        uint256 total = _start(sum);
        uint256 point = _start(content) + offset;
        uint256 y;
        assembly ("memory-safe") {
            for { let half := add(total, 128) } lt(half, add(total, 256)) { half := add(half, 64) } {
                let low := mload(add(half, 32))
                y := or(y, or(mload(half), low))
                if or(mload(half), low) {
                    mstore(half, sub(sub(P_HIGH, mload(half)), gt(low, P_LOW)))
                    mstore(add(half, 32), sub(P_LOW, low))
                }
            }
            // Sums of keys are in the subgroup, where infinity alone has no y: nothing is to be subtracted from all.
            mcopy(add(total, mul(G2_BYTES, iszero(iszero(y)))), point, G2_BYTES)
        }
        if (y != 0) _call(G2ADD, G2ADD_GAS_CAP, total, 2 * G2_BYTES, total, G2_BYTES);
    }

    /// @notice The running sum of `addSelected`, whose buffer it takes over.
    function finishSum(bytes memory sum) internal pure returns (bytes memory) {
        assembly ("memory-safe") {
            mstore(sum, G2_BYTES)
        }
        return sum;
    }

    /// @notice Whether every byte of a point is zero; `point` is a whole number of four words long.
    function isInfinity(bytes memory point) internal pure returns (bool) {
        uint256 bits;
        assembly ("memory-safe") {
            let word := add(point, 0x20)
            for { let end := add(word, mload(point)) } lt(word, end) { word := add(word, 0x80) } {
                bits := or(bits, or(mload(word), mload(add(word, 0x20))))
                bits := or(bits, or(mload(add(word, 0x40)), mload(add(word, 0x60))))
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

    /// @dev Where the content of `buffer` begins in memory.
    function _start(bytes memory buffer) private pure returns (uint256 position) {
        assembly ("memory-safe") {
            position := add(buffer, 0x20)
        }
    }

    /// @dev Calls a precompile that cannot refuse this input. Input and output are ranges of memory.
    function _call(
        address precompile,
        uint256 gasCap,
        uint256 input,
        uint256 inputBytes,
        uint256 output,
        uint256 outputBytes
    ) private view {
        bool ok = _tryCall(precompile, gasCap, input, inputBytes, output, outputBytes);
        if (!ok) _refuse(precompile, gasCap, false);
    }

    /// @dev As `_call`; false when the precompile refuses its input.
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
        if (ok ? answered != outputBytes : gasleft() < gasCap / 63) _refuse(precompile, gasCap, ok);
    }

    /// @dev Says why a precompile failed that cannot refuse its input.
    ///
    /// An account without code succeeds with an empty answer, so every call here checks the answer's length: without that,
    /// an L1 that lacks the precompile would read whatever is in memory. And a call gets at most 63/64 of the gas at hand
    /// (EIP-150): if less than a 63rd of the cap is left after a failure, the precompile may have been given less than its
    /// cap, and its failure says nothing about the input. `hashToG1` writes the same in assembly.
    /// @param ok Whether the call succeeded, with an answer of the wrong length.
    function _refuse(address precompile, uint256 gasCap, bool ok) private view {
        if (!ok && gasleft() < gasCap / 63) revert Bls12381__NotEnoughGas(precompile);
        revert Bls12381__PrecompileFailed(precompile);
    }
}
