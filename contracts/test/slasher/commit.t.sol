// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Slasher} from "../../src/Slasher.sol";
import {Vote} from "../../src/Types.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {vm} from "../support/Vm.sol";

contract CommitTest is BatonTest {
    address private constant REPORTER = address(0xa11);
    uint256 private constant PENALTY = 32 * UNIT / 20;

    address private offender;
    bytes private call;

    function setUp() public override {
        super.setUp();
        startDevnet();
        offender = ownerOf(0);
        call = _call(2, notarize(1, keccak256("a")));
    }

    function test_Given_TheReporterCommittedInAnEarlierBlock() external {
        bytes32 commitment = _commitment(REPORTER, call);
        vm.expectEmit(address(slasher));
        emit Slasher.Committed(commitment, address(this));
        slasher.commit(commitment);
        vm.roll(block.number + 1);
        _submit(REPORTER);
        assertEq(registry.claimable(REPORTER), PENALTY / 10, "claimable");
        assertEq(registry.burnable(), PENALTY - PENALTY / 10, "burnable");
        assertEq(registry.bondOf(offender), 32 * UNIT - PENALTY, "bond");
    }

    function test_Given_TheReporterCommittedInTheSameBlock() external {
        slasher.commit(_commitment(REPORTER, call));
        _submit(REPORTER);
        _assertNothing();
    }

    function test_Given_AnotherCommittedToTheSameCall() external {
        slasher.commit(_commitment(address(0xb0b), call));
        vm.roll(block.number + 1);
        _submit(REPORTER);
        _assertNothing();
    }

    function test_Given_TheReporterCommittedToAnotherPair() external {
        slasher.commit(_commitment(REPORTER, _call(2, notarize(1, keccak256("c")))));
        vm.roll(block.number + 1);
        _submit(REPORTER);
        _assertNothing();
    }

    /// Who sees a commitment can repeat it, but it names the reporter.
    function test_Given_AThiefRepeatsTheCommitment() external {
        bytes32 commitment = _commitment(REPORTER, call);
        slasher.commit(commitment);
        vm.roll(block.number + 1);
        vm.prank(address(0xbad));
        slasher.commit(commitment);
        _submit(REPORTER);
        assertEq(registry.claimable(REPORTER), PENALTY / 10, "claimable");
    }

    function test_Given_TheOffenderHadPaidBefore() external {
        slasher.commit(_commitment(REPORTER, call));
        rollToEpoch(3);
        slashDoubleNotarize(offender, 3);
        _submit(REPORTER);
        assertEq(registry.claimable(REPORTER), 0, "claimable");
        assertEq(registry.burnable(), PENALTY, "burnable");
    }

    function test_Given_TheOffenderCommitsToItsOwnOffence() external {
        slasher.commit(_commitment(offender, call));
        vm.roll(block.number + 1);
        _submit(offender);
        assertEq(registry.bondOf(offender) + registry.claimable(offender), 32 * UNIT - PENALTY * 9 / 10, "what is left");
    }

    function test_When_ItIsMadeTwice() external {
        bytes32 commitment = _commitment(REPORTER, call);
        uint256 begin = block.number;
        slasher.commit(commitment);
        vm.roll(begin + 5);
        vm.recordLogs();
        slasher.commit(commitment);
        assertEq(vm.getRecordedLogs().length, 0, "events");
        assertEq(slasher.committedAt(commitment), begin, "block");
    }

    function _call(uint64 epoch, Vote memory first) private view returns (bytes memory) {
        Vote memory second = notarize(1, keccak256("b"));
        bytes memory sum = evidence(offender, epoch, first, second);
        return abi.encodeCall(slasher.submit, (offender, epoch, first, second, sum));
    }

    function _commitment(address reporter, bytes memory what) private pure returns (bytes32) {
        return keccak256(abi.encode(reporter, keccak256(what)));
    }

    function _submit(address caller) private {
        vm.prank(caller);
        (bool ok,) = address(slasher).call(call);
        assertTrue(ok, "accepted");
    }

    function _assertNothing() private view {
        assertEq(registry.claimable(REPORTER) + registry.claimable(address(0xb0b)), 0, "claimable");
        assertEq(registry.burnable(), PENALTY, "burnable");
    }
}
