// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {LeaderSchedule} from "./libraries/LeaderSchedule.sol";

/// @title Schedules
/// @notice `LeaderSchedule` for the registry, whose code has no room for it. Stateless; the registry deploys its own.
contract Schedules {
    /// @notice As `LeaderSchedule.turns`.
    function turns(string calldata tag, LeaderSchedule.Inputs calldata inputs, uint64 firstTurn, uint64 count)
        external
        pure
        returns (uint8[] memory)
    {
        return LeaderSchedule.turns(tag, inputs, firstTurn, count);
    }
}
