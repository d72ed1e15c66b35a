// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title DevToken
/// @notice A bond token for devnets only: anybody may mint any amount, so a bond in it secures nothing.
contract DevToken is ERC20 {
    constructor() ERC20("Baton devnet bond", "DEVBOND") {}

    /// @notice Creates `amount` base units (18 decimals) for `to`. Open to everyone.
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}
