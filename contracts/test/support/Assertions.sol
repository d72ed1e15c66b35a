// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @notice Comparisons that name both sides when they fail.
abstract contract Assertions {
    error Assertions__NotEqualUint(string what, uint256 expected, uint256 got);
    error Assertions__NotEqualBytes32(string what, bytes32 expected, bytes32 got);
    error Assertions__NotEqualAddress(string what, address expected, address got);
    error Assertions__NotEqualBytes(string what, bytes expected, bytes got);
    error Assertions__NotTrue(string what);
    error Assertions__TooLarge(string what, uint256 bound, uint256 got);

    function assertEq(uint256 got, uint256 expected, string memory what) internal pure {
        if (got != expected) revert Assertions__NotEqualUint(what, expected, got);
    }

    function assertEq(bytes32 got, bytes32 expected, string memory what) internal pure {
        if (got != expected) revert Assertions__NotEqualBytes32(what, expected, got);
    }

    function assertEq(address got, address expected, string memory what) internal pure {
        if (got != expected) revert Assertions__NotEqualAddress(what, expected, got);
    }

    function assertEq(bytes memory got, bytes memory expected, string memory what) internal pure {
        if (keccak256(got) != keccak256(expected)) revert Assertions__NotEqualBytes(what, expected, got);
    }

    function assertTrue(bool holds, string memory what) internal pure {
        if (!holds) revert Assertions__NotTrue(what);
    }

    function assertAtMost(uint256 got, uint256 bound, string memory what) internal pure {
        if (got > bound) revert Assertions__TooLarge(what, bound, got);
    }
}
