// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Assertions} from "./Assertions.sol";
import {vm} from "./Vm.sol";

/// @notice What a whole transaction costs: 21,000, its calldata, and its execution from cold storage, if the test touched
/// nothing before.
abstract contract GasMeter is Assertions {
    uint256 private constant INTRINSIC = 21_000;

    /// Holds the cost by `bound`, and notes it for `snapshots/gas.json`.
    function assertWithin(string memory what, address sender, address target, bytes memory input, uint256 bound)
        internal
    {
        uint256 intrinsic = INTRINSIC;
        for (uint256 i = 0; i < input.length; ++i) {
            intrinsic += input[i] == 0 ? 4 : 16;
        }
        // Prices, as the storage that they are paid from, are those of a running chain.
        vm.fee(1 gwei);
        vm.txGasPrice(1.1 gwei);
        // The transaction's target is warm from the start, and so is its sender, which has an account.
        assertTrue(sender.balance != 0, "a sender with an account");
        vm.prank(sender, sender);
        uint256 gasBefore = gasleft();
        (bool ok, bytes memory reason) = target.call(input);
        uint256 spent = gasBefore - gasleft();
        if (!ok) {
            assembly ("memory-safe") {
                revert(add(reason, 0x20), mload(reason))
            }
        }
        uint256 total = intrinsic + spent - 2500;
        vm.snapshotValue("gas", what, total);
        assertAtMost(total, bound, what);
    }
}
