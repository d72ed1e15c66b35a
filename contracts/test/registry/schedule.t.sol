// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Member} from "../../src/Types.sol";
import {LeaderSchedule} from "../../src/libraries/LeaderSchedule.sol";
import {RegistryErrors} from "../../src/registry/RegistryErrors.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {vm} from "../support/Vm.sol";

contract ScheduleTest is BatonTest {
    bytes32 private constant RANDOMNESS = keccak256("randomness");

    function test_RevertWhen_TheCommitteeIsNotFixed() external {
        startDevnet();
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__CommitteeNotFixed.selector, 3, 4));
        registry.leaderSchedule(4, RANDOMNESS, 1, 1);
    }

    function test_RevertWhen_TheFirstViewIs0() external {
        startDevnet();
        vm.expectRevert(LeaderSchedule.LeaderSchedule__NoTurnZero.selector);
        registry.leaderSchedule(2, RANDOMNESS, 0, 1);
    }

    function test_When_TheCommitteeIsFixed() external {
        _startClipped();
        bytes memory expected = abi.encode(LeaderSchedule.turns(LeaderSchedule.LEADER_TAG, _inputs(2), 5, 40));
        assertEq(abi.encode(registry.leaderSchedule(2, RANDOMNESS, 5, 40)), expected, "leaders");
    }

    /// forge-config: default.fuzz.runs = 64
    function testFuzz_It_StaysWithinTheBoundForTheDevnetsStakes(bytes32 randomness) external {
        startDevnet();
        Member[] memory members = registry.committee(2);
        uint8[] memory leaders = registry.leaderSchedule(2, randomness, 1, 256);
        uint256[4] memory had;
        for (uint256 turn = 1; turn <= 256; ++turn) {
            ++had[leaders[turn - 1]];
            for (uint256 i = 0; i < 4; ++i) {
                uint256 share = turn * members[i].weight;
                assertTrue(100 * had[i] < share + 200 && share < 100 * had[i] + 200, "within two turns");
            }
        }
    }

    function test_When_AskedForPosters() external {
        _startClipped();
        bytes memory expected = abi.encode(LeaderSchedule.turns(LeaderSchedule.POST_TAG, _inputs(2), 1, 40));
        bytes memory posters = abi.encode(registry.postingSchedule(2, RANDOMNESS, 1, 40));
        assertEq(posters, expected, "posters");
        assertTrue(
            keccak256(posters) != keccak256(abi.encode(registry.leaderSchedule(2, RANDOMNESS, 1, 40))),
            "another schedule than the leaders'"
        );
    }

    function _startClipped() private {
        register(0, 1000 * UNIT);
        register(1, 30 * UNIT);
        register(2, 20 * UNIT);
        register(3, 17 * UNIT);
        start();
    }

    function _inputs(uint64 epoch) private view returns (LeaderSchedule.Inputs memory inputs) {
        Member[] memory members = registry.committee(epoch);
        inputs.l1ChainId = 31_337;
        inputs.registry = address(registry);
        inputs.l2ChainId = L2_CHAIN_ID;
        inputs.epoch = epoch;
        inputs.randomness = RANDOMNESS;
        inputs.addresses = new address[](members.length);
        inputs.weights = new uint64[](members.length);
        for (uint256 i = 0; i < members.length; ++i) {
            inputs.addresses[i] = members[i].owner;
            inputs.weights[i] = members[i].weight;
        }
    }
}
