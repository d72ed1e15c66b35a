// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BatonTest} from "./BatonTest.sol";

/// @notice What forge asks an invariant test: whom it calls, and with what. A handler is a test contract too, whose own
/// helpers are not for anybody to call.
abstract contract InvariantTest is BatonTest {
    /// As forge reads it.
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    address private _handler;
    bytes4[] private _selectors;

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = _handler;
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(_handler, _selectors);
    }

    function _callOn(address handler) internal {
        _handler = handler;
    }

    /// One that is named twice is called twice as often.
    function _call(bytes4 selector) internal {
        _selectors.push(selector);
    }
}
