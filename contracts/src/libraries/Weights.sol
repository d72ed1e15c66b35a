// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title Weights
/// @notice Clipping of a committee's weights, so that no single member holds a third.
library Weights {
    /// From this many members on weights are clipped: with three equal members each holds a third already, and no
    /// bound satisfies the rule.
    uint256 internal constant CLIPPED_FROM = 4;

    /// @notice Replaces each weight by min(weight, c), in place, and returns their sum.
    /// @dev c is the largest integer with 3 × max min(w, c) < Σ min(w, c). For c up to the largest weight the left side
    /// is 3c while the mean of min(w, c)/c only falls as c grows, so the rule holds up to some c and fails from there
    /// on: a binary search finds it. c = 1 always does for four weights of at least 1. Weights are below 2^56 and at
    /// most 128, so no sum here can overflow 63 bits.
    function clip(uint64[] memory weights) internal pure returns (uint64 total) {
        uint256 highest = 0;
        for (uint256 i = 0; i < weights.length; ++i) {
            if (weights[i] > highest) highest = weights[i];
        }
        uint256 bound = highest;
        if (weights.length >= CLIPPED_FROM && 3 * highest >= _clippedSum(weights, highest)) {
            uint256 holds = 1;
            uint256 fails = highest;
            while (fails - holds > 1) {
                uint256 middle = (holds + fails) / 2;
                if (3 * middle < _clippedSum(weights, middle)) holds = middle;
                else fails = middle;
            }
            bound = holds;
        }
        for (uint256 i = 0; i < weights.length; ++i) {
            if (weights[i] > bound) weights[i] = uint64(bound);
            total += weights[i];
        }
    }

    function _clippedSum(uint64[] memory weights, uint256 bound) private pure returns (uint256 sum) {
        for (uint256 i = 0; i < weights.length; ++i) {
            sum += weights[i] < bound ? weights[i] : bound;
        }
    }
}
