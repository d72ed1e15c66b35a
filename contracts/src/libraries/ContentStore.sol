// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {SSTORE2} from "solady/utils/SSTORE2.sol";

/// @title ContentStore
/// @notice Immutable bytes kept as the code of accounts whose addresses follow from the bytes.
/// @dev Reading code costs a tenth of reading storage. Equal bytes have one address, so a repeated `put` writes
/// nothing, and whether something was stored before is a look at one account instead of a mapping. Only the contract
/// that calls `put` can create its accounts: its own address is part of theirs.
library ContentStore {
    /// @notice Longest content: EIP-170's 24,576 bytes less the leading STOP that keeps it from being run.
    uint256 internal constant CONTENT_BYTES_MAX = 24_575;

    /// @notice The content does not fit into one account's code.
    error ContentStore__TooLong(uint256 bytesMax, uint256 got);

    /// @notice The content's address, and whether this contract has stored it already.
    function find(bytes memory content) internal view returns (address pointer, bool stored) {
        pointer = SSTORE2.predictCounterfactualAddress(content, bytes32(0), address(this));
        stored = pointer.code.length != 0;
    }

    /// @notice Stores the content unless it is stored already; returns its address.
    function put(bytes memory content) internal returns (address pointer) {
        if (content.length > CONTENT_BYTES_MAX) revert ContentStore__TooLong(CONTENT_BYTES_MAX, content.length);
        bool stored;
        (pointer, stored) = find(content);
        if (!stored) SSTORE2.writeCounterfactual(content, bytes32(0));
    }

    /// @notice The content at an address that `put` or `find` returned; reverts when nothing is stored there.
    function get(address pointer) internal view returns (bytes memory) {
        return SSTORE2.read(pointer);
    }
}
