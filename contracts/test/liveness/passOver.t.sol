// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Liveness} from "../../src/Liveness.sol";
import {LivenessTest} from "../support/LivenessTest.sol";
import {vm} from "../support/Vm.sol";

contract PassOverTest is LivenessTest {
    function setUp() public override {
        super.setUp();
        uint8[5] memory stakes = [28, 24, 22, 18, 8];
        for (uint256 i = 0; i < 5; ++i) {
            register(i, stakes[i] * UNIT);
        }
        start();
        fundPool(10_000);
    }

    function test_RevertGiven_NoEpochCanBeSettled() external {
        vm.expectRevert(abi.encodeWithSelector(Liveness.Liveness__EpochIsOpen.selector, 0));
        liveness.passOver();
        runAll(2);
        vm.roll(block.number + 2000);
        vm.expectRevert(abi.encodeWithSelector(Liveness.Liveness__EpochIsOpen.selector, 2));
        liveness.passOver();
    }

    function test_RevertGiven_TheWindowOfTheNextEpochIsNotOver() external {
        runAll(2);
        runAll(3);
        uint256 closed = block.number;
        vm.roll(closed + 512);
        vm.expectRevert(
            abi.encodeWithSelector(Liveness.Liveness__StillToBeSettled.selector, closed + 513, closed + 512)
        );
        liveness.passOver();
    }

    function test_Given_NobodySettledTheNextEpochInTime() external {
        for (uint64 epoch = 2; epoch < 5; ++epoch) {
            runAll(epoch);
        }
        vm.roll(block.number + 513);
        vm.expectEmit(address(liveness));
        emit Liveness.EpochPassedOver(2);
        vm.prank(address(0xa11));
        liveness.passOver();
        assertEq(liveness.lastSettled(), 2, "passed over");
        assertEq(liveness.pool(), 10_000, "nothing is paid");
        settle(3);
        assertEq(liveness.pool(), 9000, "the next is");
    }

    function test_Given_NothingWasPosted() external view {
        _assertNext(0, 0);
    }

    function test_Given_TheNextIsOpen() external {
        runAll(2);
        _assertNext(2, 0);
    }

    function test_Given_TheNextIsClosed() external {
        runAll(2);
        runAll(4);
        _assertNext(2, block.number);
        settle(2);
        _assertNext(4, 0);
    }

    function test_Given_OwnersInEveryState() external {
        for (uint64 epoch = 2; epoch < 5; ++epoch) {
            runWithout(epoch, ownerOf(4));
        }
        settle(2);
        settle(3);
        address[] memory owners = new address[](3);
        (owners[0], owners[1], owners[2]) = (ownerOf(4), ownerOf(0), address(0x99));
        Liveness.Standing[] memory standings = liveness.standings(owners);
        assertEq(standings.length, 3, "as many");
        assertEq(standings[0].pending, 0, "led nothing");
        assertEq(standings[0].absentIn, 3, "away");
        assertEq(standings[0].jailedSince, 6, "out from");
        assertEq(standings[0].jailedUntil, 8, "at least until");
        assertEq(standings[1].pending, 500, "a quarter, twice");
        assertEq(standings[1].absentIn + standings[1].jailedSince + standings[1].jailedUntil, 0, "free");
        assertEq(standings[2].pending + standings[2].absentIn + standings[2].jailedSince, 0, "unknown");
    }

    function _assertNext(uint64 epoch, uint256 closedAt) private view {
        (uint64 next, uint64 at_) = liveness.next();
        assertEq(next, epoch, "next");
        assertEq(at_, closedAt, "closed at");
    }
}
