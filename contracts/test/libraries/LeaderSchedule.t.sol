// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {LeaderSchedule} from "../../src/libraries/LeaderSchedule.sol";
import {Assertions} from "../support/Assertions.sol";
import {vm} from "../support/Vm.sol";

contract LeaderScheduleHarness {
    function turns(LeaderSchedule.Inputs memory inputs, uint256 first, uint256 count)
        external
        pure
        returns (uint8[] memory)
    {
        return LeaderSchedule.turns(LeaderSchedule.LEADER_TAG, inputs, first, count);
    }
}

contract LeaderScheduleTest is Assertions {
    LeaderScheduleHarness private harness = new LeaderScheduleHarness();

    function test_RevertWhen_TheFirstTurnIs0() external {
        vm.expectRevert(LeaderSchedule.LeaderSchedule__NoTurnZero.selector);
        harness.turns(_devnet(), 0, 1);
    }

    function test_RevertWhen_ThereIsNoMember() external {
        LeaderSchedule.Inputs memory inputs = _devnet();
        inputs.weights = new uint64[](0);
        inputs.addresses = new address[](0);
        vm.expectRevert(abi.encodeWithSelector(LeaderSchedule.LeaderSchedule__BadCommittee.selector, 0, 0));
        harness.turns(inputs, 1, 1);
    }

    function test_RevertWhen_AddressesAndWeightsDifferInNumber() external {
        LeaderSchedule.Inputs memory inputs = _devnet();
        inputs.addresses = new address[](3);
        vm.expectRevert(abi.encodeWithSelector(LeaderSchedule.LeaderSchedule__BadCommittee.selector, 3, 4));
        harness.turns(inputs, 1, 1);
    }

    function test_When_ThereIsOneMember() external pure {
        LeaderSchedule.Inputs memory inputs = _devnet();
        inputs.weights = new uint64[](1);
        inputs.weights[0] = 9;
        inputs.addresses = new address[](1);
        uint8[] memory schedule = _leaders(inputs, 1, 20);
        for (uint256 i = 0; i < 20; ++i) {
            assertEq(schedule[i], 0, "leader");
        }
    }

    function testFuzz_It_IsTheSameHoweverItIsCutIntoChunks(bytes32 randomness, uint8 cut) external pure {
        LeaderSchedule.Inputs memory inputs = _devnet();
        inputs.randomness = randomness;
        uint256 first = uint256(cut) % 60;
        uint8[] memory whole = _leaders(inputs, 1, 60);
        uint8[] memory head = _leaders(inputs, 1, first);
        uint8[] memory tail = _leaders(inputs, first + 1, 60 - first);
        for (uint256 i = 0; i < 60; ++i) {
            assertEq(whole[i], i < first ? head[i] : tail[i - first], "leader");
        }
    }

    /// Turns minus exact share lies in (-(2 + H(n)), 2); scaled by T and by 840 = lcm(1 … 8) it needs no fraction.
    function testFuzz_It_KeepsEveryMemberWithinTheBoundInEveryPrefix(bytes32 randomness, uint32[8] memory raw, uint8 n)
        external
        pure
    {
        n = 1 + n % 8;
        LeaderSchedule.Inputs memory inputs = _inputs(n, randomness);
        int256 total = 0;
        int256 below = 2 * 840;
        for (uint256 i = 0; i < n; ++i) {
            inputs.weights[i] = 1 + uint64(raw[i]);
            total += int256(uint256(inputs.weights[i]));
            below += 840 / int256(i + 1);
        }
        uint8[] memory schedule = _leaders(inputs, 1, 128);
        int256[] memory had = new int256[](n);
        for (uint256 turn = 1; turn <= 128; ++turn) {
            ++had[schedule[turn - 1]];
            for (uint256 i = 0; i < n; ++i) {
                int256 ahead = had[i] * total - int256(turn * inputs.weights[i]);
                assertTrue(ahead < 2 * total, "less than two turns too many");
                assertTrue(840 * ahead > -below * total, "less than 2 + H(n) turns too few");
            }
        }
    }

    function testFuzz_It_GivesEveryMemberItsExactSharePerRound(bytes32 randomness) external pure {
        LeaderSchedule.Inputs memory inputs = _devnet();
        inputs.randomness = randomness;
        uint8[] memory schedule = _leaders(inputs, 1, 400);
        uint256[4] memory had;
        for (uint256 i = 0; i < 400; ++i) {
            ++had[schedule[i]];
        }
        for (uint256 i = 0; i < 4; ++i) {
            uint256 share = 4 * uint256(inputs.weights[i]);
            uint256 distance = had[i] > share ? had[i] - share : share - had[i];
            assertTrue(distance < 2, "within two turns over four rounds");
        }
    }

    function test_It_DiffersByTagAndByEveryInput() external pure {
        LeaderSchedule.Inputs memory inputs = _devnet();
        bytes32 base = LeaderSchedule.seed(LeaderSchedule.LEADER_TAG, inputs);
        assertTrue(base != LeaderSchedule.seed(LeaderSchedule.POST_TAG, inputs), "tag");
        inputs.l1ChainId++;
        assertTrue(base != LeaderSchedule.seed(LeaderSchedule.LEADER_TAG, inputs), "l1 chain id");
        (inputs = _devnet()).registry = address(2);
        assertTrue(base != LeaderSchedule.seed(LeaderSchedule.LEADER_TAG, inputs), "registry");
        (inputs = _devnet()).l2ChainId++;
        assertTrue(base != LeaderSchedule.seed(LeaderSchedule.LEADER_TAG, inputs), "l2 chain id");
        (inputs = _devnet()).epoch++;
        assertTrue(base != LeaderSchedule.seed(LeaderSchedule.LEADER_TAG, inputs), "epoch");
        (inputs = _devnet()).randomness = bytes32(uint256(1));
        assertTrue(base != LeaderSchedule.seed(LeaderSchedule.LEADER_TAG, inputs), "randomness");
        (inputs = _devnet()).addresses[3] = address(99);
        assertTrue(base != LeaderSchedule.seed(LeaderSchedule.LEADER_TAG, inputs), "addresses");
        (inputs = _devnet()).weights[3]++;
        assertTrue(base != LeaderSchedule.seed(LeaderSchedule.LEADER_TAG, inputs), "weights");
    }

    /// Replays the procedure as the protocol words it, from the priorities on.
    function testFuzz_It_MatchesAScheduleComputedByHand(bytes32 randomness) external pure {
        LeaderSchedule.Inputs memory inputs = _devnet();
        inputs.randomness = randomness;
        bytes32 seed = keccak256(
            abi.encode(
                "BATON_LEADER_V1",
                uint256(31_337),
                address(1),
                uint256(4242),
                uint256(2),
                randomness,
                keccak256(abi.encode(inputs.addresses, inputs.weights))
            )
        );
        int128[4] memory priorities;
        for (uint256 i = 0; i < 4; ++i) {
            // T = 100 rejects a word once in 10^17, so the first is always taken here.
            uint64 word = uint64(bytes8(keccak256(abi.encode(seed, i, uint256(0)))));
            priorities[i] = int128(uint128(word % 100));
        }
        uint8[] memory schedule = _leaders(inputs, 1, 50);
        for (uint256 turn = 0; turn < 50; ++turn) {
            for (uint256 i = 0; i < 4; ++i) {
                priorities[i] += int128(uint128(inputs.weights[i]));
            }
            uint256 leader = 3;
            for (uint256 i = 4; i > 0; --i) {
                if (priorities[i - 1] >= priorities[leader]) leader = i - 1;
            }
            priorities[leader] -= 100;
            assertEq(schedule[turn], leader, "leader");
        }
    }

    function testFuzz_It_StaysBelowTheTotal(bytes32 seed, uint64 total) external pure {
        total = 1 + total % (2 ** 63 - 1);
        int256[] memory priorities = LeaderSchedule.initialPriorities(seed, 16, total);
        for (uint256 i = 0; i < 16; ++i) {
            assertTrue(priorities[i] >= 0 && priorities[i] < int256(uint256(total)), "in range");
        }
    }

    /// The total 2^62 + 1 leaves a quarter of all words over, so that rejection is seen, in some runs of all four words
    /// of a hash.
    function testFuzz_When_WordsMustBeRejected(bytes32 seed) external pure {
        uint256 total = 2 ** 62 + 1;
        int256[] memory priorities = LeaderSchedule.initialPriorities(seed, 8, total);
        for (uint256 i = 0; i < 8; ++i) {
            uint256 position = 0;
            uint256 word;
            for (;; ++position) {
                bytes32 hashed = keccak256(abi.encode(seed, i, position / 4));
                word = uint64(bytes8(hashed << (64 * (position % 4))));
                if (word < 3 * total) break;
            }
            assertEq(uint256(priorities[i]), word % total, "priority");
        }
    }

    function _leaders(LeaderSchedule.Inputs memory inputs, uint256 first, uint256 count)
        private
        pure
        returns (uint8[] memory)
    {
        return LeaderSchedule.turns(LeaderSchedule.LEADER_TAG, inputs, first, count);
    }

    function _inputs(uint256 n, bytes32 randomness) private pure returns (LeaderSchedule.Inputs memory inputs) {
        inputs.l1ChainId = 31_337;
        inputs.registry = address(1);
        inputs.l2ChainId = 4242;
        inputs.epoch = 2;
        inputs.randomness = randomness;
        inputs.addresses = new address[](n);
        inputs.weights = new uint64[](n);
        for (uint256 i = 0; i < n; ++i) {
            inputs.addresses[i] = address(uint160(i + 10));
        }
    }

    function _devnet() private pure returns (LeaderSchedule.Inputs memory inputs) {
        inputs = _inputs(4, keccak256("randomness"));
        inputs.weights[0] = 32;
        inputs.weights[1] = 28;
        inputs.weights[2] = 22;
        inputs.weights[3] = 18;
    }
}
