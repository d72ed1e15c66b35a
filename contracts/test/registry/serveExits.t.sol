// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ChainSpec, Stage} from "../../src/Types.sol";
import {RegistryEvents} from "../../src/registry/RegistryEvents.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {vm} from "../support/Vm.sol";

contract ServeExitsTest is BatonTest {
    /// Eight members, of whom all must stay.
    function setUp() public override {
        super.setUp();
        ChainSpec memory spec = defaultSpec();
        spec.minCommittee = 8;
        deploy(spec);
        for (uint256 i = 0; i < 8; ++i) {
            register(i, UNIT);
        }
        start();
    }

    function test_Given_NobodyWaits() external {
        vm.recordLogs();
        registry.serveExits(type(uint256).max);
        assertEq(vm.getRecordedLogs().length, 0, "events");
    }

    function test_Given_TooFewMembersWouldStay() external {
        exit(ownerOf(0));
        vm.recordLogs();
        registry.serveExits(type(uint256).max);
        assertEq(vm.getRecordedLogs().length, 0, "events");
        _assertQueue(0, 1);
    }

    function test_Given_WhoReplacesThemHasBegun() external {
        _replaceFourAndThree();
        vm.prank(address(0xca));
        registry.serveExits(0);
        _assertQueue(4, 8);
        vm.expectEmit(address(registry));
        emit RegistryEvents.Exited(ownerOf(4), 5);
        vm.prank(address(0xca));
        registry.serveExits(1);
        assertStage(ownerOf(4), Stage.Left);
        _assertQueue(5, 8);
        registry.serveExits(type(uint256).max);
        _assertQueue(7, 8);
        assertStage(ownerOf(6), Stage.Left);
        assertStage(ownerOf(7), Stage.Leaving);
        assertEq(registry.memberCount(), 8, "members");
    }

    function test_Given_SomebodyThatWaitedWasEjected() external {
        _replaceFourAndThree();
        slashDoubleNotarize(ownerOf(4), 2);
        registry.serveExits(1);
        _assertQueue(5, 8);
        assertStage(ownerOf(5), Stage.Leaving);
        registry.serveExits(1);
        assertStage(ownerOf(5), Stage.Left);
    }

    /// All ask to leave. Four newcomers begin in epoch 4 and replace as many, three in epoch 5, which is the next that can be
    /// changed now.
    function _replaceFourAndThree() private {
        for (uint256 i = 0; i < 8; ++i) {
            exit(ownerOf(i));
        }
        for (uint256 i = 8; i < 15; ++i) {
            register(i, UNIT);
        }
        _assertQueue(4, 8);
        rollToEpoch(3);
    }

    function _assertQueue(uint256 served, uint256 queued) private view {
        (uint32 servedNow, uint32 queuedNow) = registry.exitQueue();
        assertEq(servedNow, served, "served");
        assertEq(queuedNow, queued, "queued");
    }
}
