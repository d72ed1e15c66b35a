// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BatchInbox} from "../../src/BatchInbox.sol";
import {Slasher} from "../../src/Slasher.sol";
import {ChainSpec, Vote} from "../../src/Types.sol";
import {Bls12381} from "../../src/libraries/Bls12381.sol";
import {Statements} from "../../src/libraries/Statements.sol";
import {RegistryErrors} from "../../src/registry/RegistryErrors.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {Bls} from "../support/Bls.sol";
import {vm} from "../support/Vm.sol";

contract SubmitTest is BatonTest {
    bytes32 private constant A = keccak256("block a");
    bytes32 private constant B = keccak256("block b");

    address private offender;

    function setUp() public override {
        super.setUp();
        startDevnet();
        offender = ownerOf(0);
    }

    function test_RevertWhen_TheViewsDiffer() external {
        _assertNotPunishable(notarize(1, A), notarize(2, B));
        _assertNotPunishable(finalize(1, A), finalize(2, B));
        _assertNotPunishable(nullify(1), finalize(2, B));
        _assertNotPunishable(finalize(1, A), nullify(2));
    }

    function test_RevertWhen_TheKindsAreLegalTogether() external {
        _assertNotPunishable(notarize(1, A), nullify(1));
        _assertNotPunishable(nullify(1), notarize(1, A));
        _assertNotPunishable(notarize(1, A), finalize(1, A));
        _assertNotPunishable(finalize(1, B), notarize(1, A));
        _assertNotPunishable(nullify(1), nullify(1));
    }

    function test_RevertWhen_AKindIsUnknown() external {
        Vote memory unknown = Vote(3, 1, A);
        bytes memory sum = evidence(offender, 2, notarize(1, A), notarize(1, B));
        _expect(abi.encodeWithSelector(Slasher.Slasher__NotPunishable.selector, unknown, unknown));
        slasher.submit(offender, 2, unknown, unknown, sum);
        _expect(abi.encodeWithSelector(Slasher.Slasher__NotPunishable.selector, finalize(1, A), unknown));
        slasher.submit(offender, 2, finalize(1, A), unknown, sum);
    }

    function test_RevertWhen_BothStatementsAreTheSame() external {
        // Twice the signature on one statement would satisfy the pairing.
        Vote memory vote = notarize(1, A);
        bytes memory sum = evidence(offender, 2, vote, vote);
        _expect(abi.encodeWithSelector(Slasher.Slasher__SameStatement.selector, digestOf(2, vote)));
        slasher.submit(offender, 2, vote, vote, sum);
    }

    function test_RevertWhen_ANullifyNamesABlock() external {
        Vote memory bad = Vote(Statements.NULLIFY, 1, A);
        bytes memory sum = evidence(offender, 2, nullify(1), finalize(1, A));
        _expect(abi.encodeWithSelector(Statements.Statements__NullifyNamesBlock.selector, A));
        slasher.submit(offender, 2, bad, finalize(1, A), sum);
    }

    function test_RevertWhen_TheOwnerWasNoMemberOfTheEpoch() external {
        address later = register(4, UNIT);
        rollToEpoch(4);
        bytes memory sum = evidence(later, 3, notarize(1, A), notarize(1, B));
        _expect(abi.encodeWithSelector(Slasher.Slasher__NotAMember.selector, later, 3));
        slasher.submit(later, 3, notarize(1, A), notarize(1, B), sum);
        slashDoubleNotarize(later, 4);
    }

    function test_RevertWhen_TheEpochsCommitteeIsNotFixed() external {
        bytes memory sum = evidence(offender, 4, notarize(1, A), notarize(1, B));
        _expect(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__CommitteeNotFixed.selector, 3, 4));
        slasher.submit(offender, 4, notarize(1, A), notarize(1, B), sum);
    }

    function test_RevertGiven_EvidenceForThisOwnerAndEpochWasAccepted() external {
        slashDoubleNotarize(offender, 2);
        bytes memory again = abi.encodeWithSelector(Slasher.Slasher__AlreadySlashed.selector, offender, 2);
        Vote[4] memory votes = [notarize(1, keccak256("a")), notarize(1, keccak256("b")), finalize(9, A), nullify(9)];
        bytes memory first = evidence(offender, 2, votes[0], votes[1]);
        bytes memory other = evidence(offender, 2, votes[2], votes[3]);
        _expect(again);
        slasher.submit(offender, 2, votes[0], votes[1], first);
        _expect(again);
        slasher.submit(offender, 2, votes[1], votes[0], first);
        _expect(again);
        slasher.submit(offender, 2, votes[2], votes[3], other);
    }

    function test_RevertGiven_TheWindowOfTheEpochIsOver() external {
        uint256 lastBlock = _closeEpoch2();
        vm.roll(lastBlock + 1);
        bytes memory sum = evidence(offender, 2, notarize(1, A), notarize(1, B));
        _expect(abi.encodeWithSelector(Slasher.Slasher__WindowClosed.selector, lastBlock, lastBlock + 1));
        slasher.submit(offender, 2, notarize(1, A), notarize(1, B), sum);
    }

    function test_Given_TheWindowOfTheEpochIsNotOver() external {
        vm.roll(_closeEpoch2());
        slashDoubleNotarize(offender, 2);
        assertTrue(slasher.hasOffended(offender, 2), "accepted");
    }

    function test_Given_TheEpochWasSkipped() external {
        post(2);
        rollToEpoch(4);
        post(4);
        uint256 lastBlock = block.number + 512;
        bytes memory sum = evidence(offender, 3, notarize(1, A), notarize(1, B));
        bytes memory unnamed = abi.encodeWithSelector(BatchInbox.BatchInbox__SkippedAndNotNamed.selector, 3);
        _expect(unnamed);
        slasher.submit(offender, 3, notarize(1, A), notarize(1, B), sum);
        vm.roll(lastBlock + 1);
        _expect(unnamed);
        slasher.submit(offender, 3, notarize(1, A), notarize(1, B), sum);
        inbox.closeSkipped(3, inbox.closedBefore(3));
        _expect(abi.encodeWithSelector(Slasher.Slasher__WindowClosed.selector, lastBlock, lastBlock + 1));
        slasher.submit(offender, 3, notarize(1, A), notarize(1, B), sum);
        vm.roll(lastBlock);
        slasher.submit(offender, 3, notarize(1, A), notarize(1, B), sum);
    }

    function test_Given_TheEpochIsOpen() external {
        post(2);
        vm.roll(block.number + 100 * 512);
        slashDoubleNotarize(offender, 2);
        assertTrue(slasher.hasOffended(offender, 2), "accepted");
    }

    function test_RevertWhen_TheSignatureIsByAnotherMember() external {
        _assertInvalid(notarize(1, A), notarize(1, B), evidence(ownerOf(1), 2, notarize(1, A), notarize(1, B)));
        // One signature each: two members that disagree are no offence.
        _assertInvalid(
            notarize(1, A),
            notarize(1, B),
            Bls12381.addG1(signVote(offender, 2, notarize(1, A)), signVote(ownerOf(1), 2, notarize(1, B)))
        );
    }

    function test_RevertWhen_OnlyOneStatementWasSigned() external {
        bytes memory signed = signVote(offender, 2, notarize(1, A));
        _assertInvalid(notarize(1, A), notarize(1, B), signed);
        _assertInvalid(notarize(1, A), notarize(1, B), Bls12381.addG1(signed, signed));
    }

    function test_RevertWhen_TheStatementsWereMadeForAnotherEpoch() external {
        _assertInvalid(notarize(1, A), notarize(1, B), evidence(offender, 3, notarize(1, A), notarize(1, B)));
        _assertInvalid(
            notarize(1, A),
            notarize(1, B),
            Bls12381.addG1(signVote(offender, 2, notarize(1, A)), signVote(offender, 3, notarize(1, B)))
        );
    }

    function test_RevertWhen_TheStatementsWereMadeOnAnotherChain() external {
        bytes memory sum = evidence(offender, 2, notarize(1, A), notarize(1, B));
        vm.chainId(1);
        _assertInvalid(notarize(1, A), notarize(1, B), sum);
        // Made here for another L2.
        vm.chainId(31_337);
        bytes32 first = Statements.voteDigest(address(registry), L2_CHAIN_ID + 1, 2, notarize(1, A));
        bytes32 second = Statements.voteDigest(address(registry), L2_CHAIN_ID + 1, 2, notarize(1, B));
        _assertInvalid(notarize(1, A), notarize(1, B), _sign(first, second));
    }

    function test_RevertWhen_TheStatementsWereMadeForAnotherRegistry() external {
        bytes32 first = Statements.voteDigest(address(0x99), L2_CHAIN_ID, 2, notarize(1, A));
        bytes32 second = Statements.voteDigest(address(0x99), L2_CHAIN_ID, 2, notarize(1, B));
        _assertInvalid(notarize(1, A), notarize(1, B), _sign(first, second));
    }

    function test_RevertWhen_TheStatementsWereSignedUnderAnotherSuite() external {
        uint256 secret = secretOf(offender);
        bytes memory sum = Bls12381.addG1(
            Bls.sign(secret, Bls12381.POSSESSION_DST, digestOf(2, notarize(1, A))),
            Bls.sign(secret, Bls12381.POSSESSION_DST, digestOf(2, notarize(1, B)))
        );
        _assertInvalid(notarize(1, A), notarize(1, B), sum);
    }

    /// A member may notarize one block and finalize another one of the same view: that is no pair of Finalize.
    function test_RevertWhen_TheKindsInTheEvidenceAreNotThoseSigned() external {
        bytes memory sum = evidence(offender, 2, notarize(1, A), finalize(1, B));
        _assertInvalid(finalize(1, A), finalize(1, B), sum);
        _assertInvalid(notarize(1, A), notarize(1, B), sum);
        sum = evidence(offender, 2, notarize(1, A), nullify(1));
        _assertInvalid(finalize(1, A), nullify(1), sum);
    }

    function test_RevertWhen_TheSumIsInfinity() external {
        _assertInvalid(notarize(1, A), notarize(1, B), new bytes(128));
        _assertInvalid(notarize(1, A), notarize(1, B), "");
    }

    function test_RevertWhen_TheSumIsNotInTheGroup() external {
        bytes memory bad = evidence(offender, 2, notarize(1, A), notarize(1, B));
        bytes memory offSubgroup = Bls12381.addG1(bad, Bls.G1_OFF_SUBGROUP);
        bad[127] ^= 0x01;
        uint256 gasBefore = gasleft();
        _assertInvalid(notarize(1, A), notarize(1, B), bad);
        _assertInvalid(notarize(1, A), notarize(1, B), offSubgroup);
        assertAtMost(gasBefore - gasleft(), 2 * 600_000, "gas of two refusals");
    }

    function test_When_TheOwnerNotarizedTwoBlocksInOneView() external {
        bytes memory sum = evidence(offender, 2, notarize(7, A), notarize(7, B));
        vm.expectEmit(address(slasher));
        emit Slasher.Slashed(offender, 2, 1, 32 * UNIT / 20, address(0xa11));
        vm.prank(address(0xa11));
        slasher.submit(offender, 2, notarize(7, A), notarize(7, B), sum);
        assertEq(registry.bondOf(offender), 32 * UNIT * 95 / 100, "bond");
        assertEq(registry.burnable(), 32 * UNIT * 5 / 100, "burnable");
        assertTrue(slasher.isPenalized(offender, 1), "penalized");
        assertTrue(slasher.hasOffended(offender, 2), "offended");
        assertTrue(!slasher.hasOffended(offender, 3), "not in another epoch");
        rollToEpoch(4);
        assertEq(weightOf(offender, 4), 0, "ejected");
    }

    function test_When_TheOwnerFinalizedTwoBlocksInOneView() external {
        _assertPunished(offender, 2, finalize(7, A), finalize(7, B), 32 * UNIT / 20);
    }

    function test_When_TheOwnerNullifiedAndFinalizedOneView() external {
        _assertPunished(offender, 3, nullify(7), finalize(7, B), 32 * UNIT / 20);
        _assertPunished(ownerOf(1), 3, finalize(7, B), nullify(7), 28 * UNIT / 20);
    }

    function test_Given_TheAdmissionWasPenalizedForAnotherEpoch() external {
        slashDoubleNotarize(offender, 2);
        uint256 bond = registry.bondOf(offender);
        rollToEpoch(3);
        bytes memory sum = evidence(offender, 3, finalize(7, A), finalize(7, B));
        vm.expectEmit(address(slasher));
        emit Slasher.Slashed(offender, 3, 2, 0, address(this));
        slasher.submit(offender, 3, finalize(7, A), finalize(7, B), sum);
        assertEq(registry.bondOf(offender), bond, "bond");
        assertTrue(slasher.hasOffended(offender, 3), "recorded");
    }

    function test_Given_TheOffenderReportsItself() external {
        bytes memory sum = evidence(offender, 2, notarize(7, A), notarize(7, B));
        vm.prank(offender);
        slasher.submit(offender, 2, notarize(7, A), notarize(7, B), sum);
        assertEq(registry.bondOf(offender), 32 * UNIT * 95 / 100, "bond");
        assertEq(token.balanceOf(offender), 0, "nothing comes back");
        assertEq(registry.burnable(), 32 * UNIT / 20, "burnable");
    }

    function test_Given_TheOffenderIsTheLastMember() external {
        ChainSpec memory spec = defaultSpec();
        spec.allowSmall = true;
        deploy(spec);
        register(0, 32 * UNIT);
        start();
        slashDoubleNotarize(offender, 2);
        assertEq(registry.bondOf(offender), 32 * UNIT * 95 / 100, "bond");
        rollToEpoch(4);
        assertEq(registry.committee(4).length, 1, "stays until another registers");
    }

    function testFuzz_It_NeverTouchesAnyoneElsesBond(uint8 guilty, uint64 viewNumber, bytes32 a, bytes32 b) external {
        vm.assume(a != b);
        address owner = ownerOf(guilty % 4);
        uint256[4] memory bonds;
        for (uint256 i = 0; i < 4; ++i) {
            bonds[i] = registry.bondOf(ownerOf(i));
        }
        bytes memory sum = evidence(owner, 2, notarize(viewNumber, a), notarize(viewNumber, b));
        slasher.submit(owner, 2, notarize(viewNumber, a), notarize(viewNumber, b), sum);
        for (uint256 i = 0; i < 4; ++i) {
            uint256 expected = i == guilty % 4 ? bonds[i] - bonds[i] / 20 : bonds[i];
            assertEq(registry.bondOf(ownerOf(i)), expected, "bond");
        }
    }

    /// What one honest member may sign in two views: Notarize and Finalize of one block, or Notarize and Nullify.
    /// forge-config: default.fuzz.runs = 64
    function testFuzz_It_NeverAcceptsWhatAnHonestMemberSigns(
        uint64 firstView,
        uint64 secondView,
        bytes32 a,
        bytes32 b,
        bool finalizesFirst,
        bool finalizesSecond
    ) external {
        vm.assume(firstView != secondView);
        Vote[4] memory signed = [
            notarize(firstView, a),
            finalizesFirst ? finalize(firstView, a) : nullify(firstView),
            notarize(secondView, b),
            finalizesSecond ? finalize(secondView, b) : nullify(secondView)
        ];
        for (uint256 i = 0; i < 4; ++i) {
            for (uint256 j = 0; j < 4; ++j) {
                bytes memory sum = evidence(offender, 2, signed[i], signed[j]);
                try slasher.submit(offender, 2, signed[i], signed[j], sum) {
                    assertTrue(false, "an honest member was slashed");
                } catch {}
            }
        }
        assertEq(registry.bondOf(offender), 32 * UNIT, "bond");
    }

    function _closeEpoch2() private returns (uint256 lastBlock) {
        post(2);
        rollToEpoch(3);
        post(3);
        return block.number + 512;
    }

    function _sign(bytes32 first, bytes32 second) private view returns (bytes memory) {
        uint256 secret = secretOf(offender);
        return Bls12381.addG1(Bls.sign(secret, first), Bls.sign(secret, second));
    }

    function _expect(bytes memory reason) private {
        vm.expectRevert(reason);
    }

    function _assertPunished(address owner, uint8 offence, Vote memory first, Vote memory second, uint256 amount)
        private
    {
        bytes memory sum = evidence(owner, 2, first, second);
        vm.expectEmit(address(slasher));
        emit Slasher.Slashed(owner, 2, offence, amount, address(this));
        slasher.submit(owner, 2, first, second, sum);
    }

    function _assertNotPunishable(Vote memory first, Vote memory second) private {
        bytes memory sum = evidence(offender, 2, first, second);
        _expect(abi.encodeWithSelector(Slasher.Slasher__NotPunishable.selector, first, second));
        slasher.submit(offender, 2, first, second, sum);
    }

    function _assertInvalid(Vote memory first, Vote memory second, bytes memory sum) private {
        _expect(abi.encodeWithSelector(Slasher.Slasher__InvalidSignature.selector));
        slasher.submit(offender, 2, first, second, sum);
    }
}
