// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Weights} from "../../src/libraries/Weights.sol";
import {Assertions} from "../support/Assertions.sol";

contract WeightsTest is Assertions {
    function test_When_ThereAreFewerThanFourWeights() external pure {
        _assertClipped(_list(7, 0, 0, 0, 1), 7, 7);
        _assertClipped(_list(100, 1, 0, 0, 2), 101, 100);
        _assertClipped(_list(100, 1, 1, 0, 3), 102, 100);
    }

    function test_When_NoWeightIsAThirdOfTheSumOrMore() external pure {
        _assertClipped(_list(32, 28, 22, 18, 4), 100, 32);
        _assertClipped(_list(5, 5, 5, 5, 4), 20, 5);
    }

    function test_When_OneWeightIsTooLarge() external pure {
        // 3 × 33 = 99 is below 33 + 67 = 100, but 3 × 34 = 102 is not below 34 + 67 = 101.
        uint64[] memory weights = _list(1000, 30, 20, 17, 4);
        assertEq(Weights.clip(weights), 100, "total");
        assertEq(weights[0], 33, "clipped");
        // A third exactly is too much: 3 × 10 = 30 is not below 30.
        weights = _list(10, 8, 6, 6, 4);
        assertEq(Weights.clip(weights), 29, "total");
        assertEq(weights[0], 9, "clipped");
    }

    function test_When_AllWeightsButOneAre1() external pure {
        uint64[] memory weights = _list(2 ** 56 - 1, 1, 1, 1, 4);
        assertEq(Weights.clip(weights), 4, "total");
        assertEq(weights[0], 1, "clipped");
    }

    function test_When_ThereAre128WeightsOfTheLargestSize() external pure {
        uint64[] memory weights = new uint64[](128);
        for (uint256 i = 0; i < 128; ++i) {
            weights[i] = 2 ** 56 - 1;
        }
        uint64 total = Weights.clip(weights);
        assertEq(total, uint256(128) * (2 ** 56 - 1), "total");
        assertTrue(total < 2 ** 63, "below 2^63");
    }

    function testFuzz_It_MatchesASearchThroughAllBounds(uint8[9] memory raw, uint8 count) external pure {
        uint64[] memory weights = new uint64[](4 + count % 6);
        uint64 highest = 0;
        for (uint256 i = 0; i < weights.length; ++i) {
            weights[i] = 1 + uint64(raw[i]);
            if (weights[i] > highest) highest = weights[i];
        }
        // From the largest bound down, the first that holds.
        uint64 bound = highest;
        uint64 sum;
        for (;; --bound) {
            sum = 0;
            for (uint256 i = 0; i < weights.length; ++i) {
                sum += weights[i] < bound ? weights[i] : bound;
            }
            if (3 * bound < sum) break;
        }
        uint64[] memory clipped = new uint64[](weights.length);
        for (uint256 i = 0; i < weights.length; ++i) {
            clipped[i] = weights[i];
        }
        assertEq(Weights.clip(clipped), sum, "total");
        for (uint256 i = 0; i < weights.length; ++i) {
            assertEq(clipped[i], weights[i] < bound ? weights[i] : bound, "weight");
        }
    }

    function testFuzz_It_LeavesNobodyAThird(uint56[12] memory raw, uint8 count) external pure {
        uint64[] memory weights = new uint64[](4 + count % 9);
        for (uint256 i = 0; i < weights.length; ++i) {
            weights[i] = raw[i] == 0 ? 1 : raw[i];
        }
        uint256 total = Weights.clip(weights);
        uint256 sum = 0;
        for (uint256 i = 0; i < weights.length; ++i) {
            assertTrue(3 * uint256(weights[i]) < total, "less than a third");
            assertTrue(weights[i] != 0, "still a member");
            sum += weights[i];
        }
        assertEq(total, sum, "total");
    }

    function _assertClipped(uint64[] memory weights, uint256 total, uint256 first) private pure {
        assertEq(Weights.clip(weights), total, "total");
        assertEq(weights[0], first, "first weight");
    }

    function _list(uint64 a, uint64 b, uint64 c, uint64 d, uint256 length)
        private
        pure
        returns (uint64[] memory weights)
    {
        uint64[4] memory all = [a, b, c, d];
        weights = new uint64[](length);
        for (uint256 i = 0; i < length; ++i) {
            weights[i] = all[i];
        }
    }
}
