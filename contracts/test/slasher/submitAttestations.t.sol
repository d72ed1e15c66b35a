// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Slasher} from "../../src/Slasher.sol";
import {Attestation, BatchHeader} from "../../src/Types.sol";
import {Bls12381} from "../../src/libraries/Bls12381.sol";
import {Statements} from "../../src/libraries/Statements.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {Bls} from "../support/Bls.sol";
import {vm} from "../support/Vm.sol";

contract SubmitAttestationsTest is BatonTest {
    address private offender;
    Attestation private a;
    Attestation private b;

    function setUp() public override {
        super.setUp();
        startDevnet();
        offender = ownerOf(0);
        a = Attestation(2, 5, keccak256("before"), keccak256("header a"), 90, keccak256("block a"), 0);
        b = a;
        b.headerHash = keccak256("header b");
        b.lastDigest = keccak256("block b");
    }

    function test_RevertWhen_TheyAreAboutDifferentBatches() external {
        b.batchIndex = 6;
        _assertNoConflict();
    }

    function test_RevertWhen_TheBatchesBeforeDiffer() external {
        b.prevBatchHash = keccak256("another before");
        _assertNoConflict();
    }

    function test_RevertWhen_TheHeightsDiffer() external {
        b.lastHeight = 91;
        _assertNoConflict();
    }

    function test_RevertWhen_BlockAndStateAreTheSame() external {
        // Another batching, another data kind, another committee: an honest member may sign all of them.
        b = a;
        _assertNoConflict();
        b.headerHash = keccak256("header b");
        b.committeeEpoch = 3;
        _assertNoConflict();
    }

    function test_When_AHeightHasTwoBlocks() external {
        bytes memory sum = _sum(secretOf(offender));
        vm.expectEmit(address(slasher));
        emit Slasher.Slashed(offender, 2, 5, 32 * UNIT / 20, address(this));
        slasher.submitAttestations(offender, 2, a, b, sum);
        assertEq(registry.bondOf(offender), 32 * UNIT * 95 / 100, "bond");
        rollToEpoch(4);
        assertEq(weightOf(offender, 4), 0, "ejected");
    }

    function test_When_ABlockHasTwoStates() external {
        b.lastDigest = a.lastDigest;
        b.stateRoot = keccak256("state");
        slasher.submitAttestations(offender, 2, a, b, _sum(secretOf(offender)));
        assertEq(registry.bondOf(offender), 32 * UNIT * 95 / 100, "bond");
    }

    function test_When_TheCommitteesThatTheyNameDiffer() external {
        b.committeeEpoch = 3;
        bytes memory sum = _sum(secretOf(offender));
        slasher.submitAttestations(offender, 3, a, b, sum);
        assertTrue(slasher.hasOffended(offender, 3), "recorded for the second");
        slasher.submitAttestations(offender, 2, a, b, sum);
        assertTrue(slasher.hasOffended(offender, 2), "and for the first");
        assertEq(registry.bondOf(offender), 32 * UNIT * 95 / 100, "one base penalty");
    }

    /// Otherwise one pair could be recorded in every epoch of its key, to be near the offences of others.
    function test_RevertWhen_TheEpochIsThatOfNeither() external {
        rollToEpoch(9);
        b.committeeEpoch = 5;
        bytes memory sum = _sum(secretOf(offender));
        uint64[4] memory others = [uint64(3), 4, 6, 10];
        for (uint256 i = 0; i < 4; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Slasher.Slasher__NotTheirEpoch.selector, 2, 5, others[i]));
            slasher.submitAttestations(offender, others[i], a, b, sum);
        }
        slasher.submitAttestations(offender, 5, a, b, sum);
    }

    function test_RevertWhen_TheSignatureIsByAnotherMember() external {
        bytes memory sum = _sum(secretOf(ownerOf(1)));
        vm.expectRevert(Slasher.Slasher__InvalidSignature.selector);
        slasher.submitAttestations(offender, 2, a, b, sum);
    }

    function test_RevertWhen_TheKeyWasNotTheOwnersInThatEpoch() external {
        rotate(offender, 0x2e4);
        rollToEpoch(4);
        a.committeeEpoch = 4;
        b.committeeEpoch = 3;
        bytes memory sum = _sum(secretOf(offender));
        vm.expectRevert(Slasher.Slasher__InvalidSignature.selector);
        slasher.submitAttestations(offender, 4, a, b, sum);
        slasher.submitAttestations(offender, 3, a, b, sum);
    }

    function test_RevertGiven_EvidenceForThisOwnerAndEpochWasAccepted() external {
        slashDoubleNotarize(offender, 2);
        bytes memory sum = _sum(secretOf(offender));
        vm.expectRevert(abi.encodeWithSelector(Slasher.Slasher__AlreadySlashed.selector, offender, 2));
        slasher.submitAttestations(offender, 2, a, b, sum);
    }

    function test_RevertGiven_TheWindowOfTheEpochIsOver() external {
        post(2);
        rollToEpoch(3);
        post(3);
        uint256 lastBlock = block.number + 512;
        vm.roll(lastBlock + 1);
        bytes memory sum = _sum(secretOf(offender));
        vm.expectRevert(abi.encodeWithSelector(Slasher.Slasher__WindowClosed.selector, lastBlock, lastBlock + 1));
        slasher.submitAttestations(offender, 2, a, b, sum);
    }

    function test_It_KnowsTheAttestationThatTheInboxChecks() external view {
        BatchHeader memory header = nextHeader(2, "data");
        bytes32 hash = Statements.batchHash(header);
        Attestation memory attestation_ = Attestation(
            7, header.index, header.prevBatchHash, hash, header.lastHeight, header.lastDigest, header.stateRoot
        );
        assertEq(
            Statements.attestDigest(address(registry), L2_CHAIN_ID, attestation_), attestation(7, header), "digest"
        );
    }

    function _sum(uint256 secret) private view returns (bytes memory) {
        return Bls12381.addG1(
            Bls.sign(secret, Statements.attestDigest(address(registry), L2_CHAIN_ID, a)),
            Bls.sign(secret, Statements.attestDigest(address(registry), L2_CHAIN_ID, b))
        );
    }

    function _assertNoConflict() private {
        bytes memory sum = _sum(secretOf(offender));
        vm.expectRevert(abi.encodeWithSelector(Slasher.Slasher__NoConflict.selector, a, b));
        slasher.submitAttestations(offender, 2, a, b, sum);
    }
}
