// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {LeaderSchedule} from "../../src/libraries/LeaderSchedule.sol";
import {Assertions} from "../support/Assertions.sol";
import {vm} from "../support/Vm.sol";

contract ScheduleVectorsTest is Assertions {
    function test_It_GivesTheLeadersAndPostersThatRustGives() external view {
        string memory json = vm.readFile("test/vectors/schedule.json");
        uint256 count = 0;
        uint256 largest = 0;
        for (;; ++count) {
            string memory entry = string.concat(".cases[", vm.toString(count), "]");
            if (!vm.keyExistsJson(json, entry)) break;
            LeaderSchedule.Inputs memory inputs = _inputs(json, entry);
            if (inputs.weights.length > largest) largest = inputs.weights.length;
            _assertTurns(LeaderSchedule.LEADER_TAG, inputs, vm.parseJsonBytes(json, string.concat(entry, ".leaders")));
            _assertTurns(LeaderSchedule.POST_TAG, inputs, vm.parseJsonBytes(json, string.concat(entry, ".posters")));
        }
        assertTrue(count >= 3, "cases");
        assertEq(largest, 128, "members of the largest case");
    }

    function _inputs(string memory json, string memory entry)
        private
        pure
        returns (LeaderSchedule.Inputs memory inputs)
    {
        inputs.l1ChainId = vm.parseJsonUint(json, string.concat(entry, ".l1ChainId"));
        inputs.registry = vm.parseJsonAddress(json, string.concat(entry, ".registry"));
        inputs.l2ChainId = vm.parseJsonUint(json, string.concat(entry, ".l2ChainId"));
        inputs.epoch = vm.parseJsonUint(json, string.concat(entry, ".epoch"));
        inputs.randomness = vm.parseJsonBytes32(json, string.concat(entry, ".randomness"));
        inputs.addresses = vm.parseJsonAddressArray(json, string.concat(entry, ".addresses"));
        uint256[] memory weights = vm.parseJsonUintArray(json, string.concat(entry, ".weights"));
        inputs.weights = new uint64[](weights.length);
        for (uint256 i = 0; i < weights.length; ++i) {
            inputs.weights[i] = uint64(weights[i]);
        }
    }

    /// One byte for each turn, from turn 1 on.
    function _assertTurns(string memory tag, LeaderSchedule.Inputs memory inputs, bytes memory expected) private pure {
        assertTrue(expected.length >= 64, "turns");
        uint8[] memory turns = LeaderSchedule.turns(tag, inputs, 1, expected.length);
        for (uint256 i = 0; i < turns.length; ++i) {
            assertEq(turns[i], uint8(expected[i]), tag);
        }
    }
}
