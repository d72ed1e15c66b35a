// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {RegistryErrors} from "../../src/registry/RegistryErrors.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {vm} from "../support/Vm.sol";

contract EpochsTest is BatonTest {
    function test_RevertGiven_TheChainIsNotActiveYet() external {
        vm.expectRevert(RegistryErrors.SequencerRegistry__NotActivated.selector);
        registry.epochOf(100);
    }

    function test_RevertWhen_TheBlockIsBeforeGenesis() external {
        startDevnet();
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__BeforeGenesis.selector, 101, 100));
        registry.epochOf(100);
    }

    /// forge-config: default.fuzz.runs = 64
    function testFuzz_It_InvertsEpochStart(uint32 epoch, uint256 offset) external {
        startDevnet();
        offset %= EPOCH_BLOCKS;
        assertEq(registry.epochOf(registry.epochStart(epoch) + offset), epoch, "epoch");
    }

    function test_RevertGiven_ThereIsNoGenesis() external {
        vm.expectRevert(RegistryErrors.SequencerRegistry__NotActivated.selector);
        registry.epochStart(0);
    }

    function test_Given_ThereIsAGenesis() external {
        startDevnet();
        assertEq(registry.epochStart(0), 101, "epoch 0");
        assertEq(registry.epochStart(1), 117, "epoch 1");
        assertEq(registry.epochStart(type(uint64).max), 101 + uint256(type(uint64).max) * 16, "the last epoch");
    }
}
