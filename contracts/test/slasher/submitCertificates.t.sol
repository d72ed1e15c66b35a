// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Slasher} from "../../src/Slasher.sol";
import {Member, Stage, Vote, VoteCertificate} from "../../src/Types.sol";
import {RegistryErrors} from "../../src/registry/RegistryErrors.sol";
import {RegistryEvents} from "../../src/registry/RegistryEvents.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {vm} from "../support/Vm.sol";

contract SubmitCertificatesTest is BatonTest {
    bytes32 private constant A = keccak256("block a");
    bytes32 private constant B = keccak256("block b");
    uint256 private constant EVERYBODY = 15;

    function setUp() public override {
        super.setUp();
        startDevnet();
    }

    function test_RevertWhen_TheTwoMayBothBe() external {
        _assertNotPunishable(notarize(1, A), notarize(2, B));
        _assertNotPunishable(notarize(1, A), finalize(1, B));
        _assertNotPunishable(notarize(1, A), nullify(1));
        _assertNotPunishable(nullify(1), nullify(1));
    }

    function test_RevertWhen_BothAreOfOneStatement() external {
        VoteCertificate memory first = _certificate(2, finalize(1, A), _without(0));
        VoteCertificate memory second = _certificate(2, finalize(1, A), _without(1));
        vm.expectRevert(abi.encodeWithSelector(Slasher.Slasher__SameStatement.selector, digestOf(2, finalize(1, A))));
        slasher.submitCertificates(2, first, second);
    }

    function test_RevertGiven_TheCommitteeIsNotStored() external {
        VoteCertificate memory first = _certificate(3, finalize(1, A), EVERYBODY);
        VoteCertificate memory second = _certificate(3, finalize(1, B), EVERYBODY);
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__NotMaterialized.selector, 3));
        slasher.submitCertificates(3, first, second);
    }

    function test_RevertGiven_TheWindowOfTheEpochIsOver() external {
        post(2);
        rollToEpoch(3);
        post(3);
        uint256 lastBlock = block.number + 512;
        VoteCertificate memory first = _certificate(2, finalize(1, A), EVERYBODY);
        VoteCertificate memory second = _certificate(2, finalize(1, B), EVERYBODY);
        vm.roll(lastBlock + 1);
        vm.expectRevert(abi.encodeWithSelector(Slasher.Slasher__WindowClosed.selector, lastBlock, lastBlock + 1));
        slasher.submitCertificates(2, first, second);
        vm.roll(lastBlock);
        slasher.submitCertificates(2, first, second);
    }

    function test_RevertWhen_OneOfThemIsNoQuorum() external {
        VoteCertificate memory good = _certificate(2, finalize(1, A), EVERYBODY);
        // 32 + 28 of 100.
        uint256 two = EVERYBODY & ~(1 << _indexOf(2)) & ~(1 << _indexOf(3));
        VoteCertificate memory light = _certificate(2, finalize(1, B), two);
        bytes memory refusal =
            abi.encodeWithSelector(RegistryErrors.SequencerRegistry__InsufficientWeight.selector, 60, 100);
        vm.expectRevert(refusal);
        slasher.submitCertificates(2, good, light);
        vm.expectRevert(refusal);
        slasher.submitCertificates(2, light, good);
    }

    function test_RevertWhen_OneOfThemIsForged() external {
        VoteCertificate memory good = _certificate(2, finalize(1, A), EVERYBODY);
        VoteCertificate memory forged = _certificate(2, finalize(1, B), _without(0));
        forged.bitmap = EVERYBODY;
        _assertInvalid(2, good, forged);
        _assertInvalid(2, forged, good);
    }

    function test_RevertWhen_TheyAreOfAnotherEpoch() external {
        rollToEpoch(3);
        registry.materialize(3);
        VoteCertificate memory first = _certificate(2, finalize(1, A), EVERYBODY);
        VoteCertificate memory second = _certificate(2, finalize(1, B), EVERYBODY);
        _assertInvalid(3, first, second);
    }

    function test_When_TwoBlocksAreNotarizedInOneView() external {
        VoteCertificate memory first = _certificate(2, notarize(7, A), _without(0));
        VoteCertificate memory second = _certificate(2, notarize(7, B), _without(1));
        vm.expectEmit(address(registry));
        emit RegistryEvents.Ejected(_first(_without(0) & _without(1)), 4);
        slasher.submitCertificates(2, first, second);
        for (uint256 i = 0; i < 4; ++i) {
            bool both = i > 1;
            uint256 bond = [uint256(32), 28, 22, 18][i] * UNIT;
            assertEq(registry.bondOf(ownerOf(i)), both ? 0 : bond, "bond");
            assertTrue(slasher.hasOffended(ownerOf(i), 2) == both, "recorded");
            assertStage(ownerOf(i), both ? Stage.Left : Stage.Seated);
        }
        assertEq(registry.burnable(), 40 * UNIT, "burnable");
    }

    function test_When_TwoBlocksAreFinalizedInOneView() external {
        _assertTaken(finalize(7, A), finalize(7, B));
    }

    function test_When_AViewIsFinalizedAndNullified() external {
        _assertTaken(finalize(7, A), nullify(7));
        deploy(defaultSpec());
        startDevnet();
        _assertTaken(nullify(7), finalize(7, A));
    }

    function test_Given_OneOfThemPaidTheBasePenaltyBefore() external {
        slashDoubleNotarize(ownerOf(2), 2);
        _submit(_without(0), _without(1));
        assertEq(registry.bondOf(ownerOf(2)), 0, "bond");
        assertEq(registry.burnable(), 40 * UNIT, "all of both");
        assertEq(registry.memberCount(), 2, "members");
    }

    function test_Given_OneOfThemHasLeft() external {
        exit(ownerOf(2));
        rollToEpoch(9);
        _submit(_without(0), _without(1));
        assertEq(registry.bondOf(ownerOf(2)), 0, "bond");
        assertStage(ownerOf(2), Stage.Left);
    }

    function test_When_ItIsSubmittedTwice() external {
        _submit(_without(0), _without(1));
        uint256 burnable = registry.burnable();
        _submit(_without(0), _without(1));
        assertEq(registry.burnable(), burnable, "burnable");
        assertEq(registry.memberCount(), 2, "members");
    }

    function test_Given_TheReporterCommittedToIt() external {
        VoteCertificate memory first = _certificate(2, finalize(7, A), _without(0));
        VoteCertificate memory second = _certificate(2, finalize(7, B), _without(1));
        bytes memory call = abi.encodeCall(slasher.submitCertificates, (2, first, second));
        address reporter = address(0xa11);
        slasher.commit(keccak256(abi.encode(reporter, keccak256(call))));
        vm.roll(block.number + 1);
        vm.prank(reporter);
        slasher.submitCertificates(2, first, second);
        // A tenth of a twentieth.
        assertEq(registry.claimable(reporter), 40 * UNIT / 200, "claimable");
        assertEq(registry.burnable(), 40 * UNIT - 40 * UNIT / 200, "burnable");
    }

    /// forge-config: default.fuzz.runs = 32
    function test_When_ItIsSubmittedInParts() external {
        VoteCertificate memory first = _certificate(2, finalize(7, A), _without(0));
        VoteCertificate memory second = _certificate(2, finalize(7, B), EVERYBODY);
        address reporter = address(0xa11);
        // Somebody commits to the part of one member, and another is faster with that of another, and with both of them.
        uint256[2] memory parts = [1 << _indexOf(2), 1 << _indexOf(1) | 1 << _indexOf(0) | 1 << 200];
        bytes memory call = abi.encodeCall(slasher.submitCertificatesOf, (2, first, second, parts[0]));
        slasher.commit(keccak256(abi.encode(reporter, keccak256(call))));
        vm.roll(block.number + 1);
        slasher.submitCertificatesOf(2, first, second, parts[1]);
        assertEq(registry.bondOf(ownerOf(0)), 32 * UNIT, "in one only");
        assertEq(registry.bondOf(ownerOf(1)), 0, "in the part");
        assertEq(registry.bondOf(ownerOf(2)), 22 * UNIT, "in no part yet");
        assertTrue(!slasher.hasOffended(ownerOf(2), 2), "not recorded yet");
        vm.prank(reporter);
        slasher.submitCertificatesOf(2, first, second, parts[0]);
        assertEq(registry.bondOf(ownerOf(2)), 0, "in the next part");
        assertEq(registry.claimable(reporter), 22 * UNIT / 200, "of the reporter's part");
        assertEq(registry.bondOf(ownerOf(3)), 18 * UNIT, "in no part");
        slasher.submitCertificatesOf(2, first, second, EVERYBODY);
        assertEq(registry.bondOf(ownerOf(3)), 0, "the last");
        uint256 taken = (28 + 22 + 18) * UNIT;
        assertEq(registry.burnable(), taken - 22 * UNIT / 200, "each once");
        slasher.submitCertificates(2, first, second);
        assertEq(registry.burnable(), taken - 22 * UNIT / 200, "nothing is left");
        for (uint256 i = 0; i < 4; ++i) {
            assertTrue(slasher.hasOffended(ownerOf(i), 2) == (i != 0), "recorded");
        }
    }

    function test_RevertWhen_NobodyInBothIsInThePart() external {
        VoteCertificate memory first = _certificate(2, finalize(7, A), _without(0));
        VoteCertificate memory second = _certificate(2, finalize(7, B), EVERYBODY);
        uint256[3] memory parts = [0, 1 << _indexOf(0), uint256(1) << 200];
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Slasher.Slasher__NobodyInPart.selector, _without(0), parts[i]));
            slasher.submitCertificatesOf(2, first, second, parts[i]);
        }
    }

    function testFuzz_It_AlwaysTakesMoreThanAThirdOfTheWeight(uint8 a, uint8 b) external {
        (uint256 first, uint256 second) = (a % 16, b % 16);
        bool quorums = 3 * _weight(first) > 200 && 3 * _weight(second) > 200;
        vm.assume(quorums);
        _submit(first, second);
        assertTrue(3 * registry.burnable() > 100 * UNIT, "more than a third");
        assertEq(registry.burnable(), _weight(first & second) * UNIT, "of those in both");
    }

    function _submit(uint256 first, uint256 second) private {
        slasher.submitCertificates(2, _certificate(2, finalize(7, A), first), _certificate(2, finalize(7, B), second));
    }

    function _certificate(uint64 epoch, Vote memory vote, uint256 bitmap)
        private
        view
        returns (VoteCertificate memory)
    {
        return VoteCertificate(vote, bitmap, aggregate(2, bitmap, digestOf(epoch, vote)));
    }

    function _indexOf(uint256 i) private view returns (uint256 index) {
        Member[] memory members = registry.committee(2);
        while (members[index].owner != ownerOf(i)) ++index;
    }

    function _without(uint256 i) private view returns (uint256) {
        return EVERYBODY & ~(1 << _indexOf(i));
    }

    function _first(uint256 bitmap) private view returns (address) {
        uint256 index = 0;
        while (bitmap & (1 << index) == 0) ++index;
        return registry.committee(2)[index].owner;
    }

    function _weight(uint256 bitmap) private view returns (uint256 weight) {
        Member[] memory members = registry.committee(2);
        for (uint256 i = 0; i < 4; ++i) {
            if (bitmap & (1 << i) != 0) weight += members[i].weight;
        }
    }

    function _assertTaken(Vote memory a, Vote memory b) private {
        slasher.submitCertificates(2, _certificate(2, a, EVERYBODY), _certificate(2, b, _without(3)));
        for (uint256 i = 0; i < 3; ++i) {
            assertEq(registry.bondOf(ownerOf(i)), 0, "bond");
        }
        assertEq(registry.bondOf(ownerOf(3)), 18 * UNIT, "in one only");
    }

    function _assertNotPunishable(Vote memory a, Vote memory b) private {
        VoteCertificate memory first = _certificate(2, a, EVERYBODY);
        VoteCertificate memory second = _certificate(2, b, EVERYBODY);
        vm.expectRevert(abi.encodeWithSelector(Slasher.Slasher__NotPunishable.selector, a, b));
        slasher.submitCertificates(2, first, second);
    }

    function _assertInvalid(uint64 epoch, VoteCertificate memory first, VoteCertificate memory second) private {
        vm.expectRevert(RegistryErrors.SequencerRegistry__InvalidSignature.selector);
        slasher.submitCertificates(epoch, first, second);
    }
}
