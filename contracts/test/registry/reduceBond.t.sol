// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {ChainSpec, Stage, Unbonding, Vote, VoteCertificate} from "../../src/Types.sol";
import {RegistryErrors} from "../../src/registry/RegistryErrors.sol";
import {RegistryEvents} from "../../src/registry/RegistryEvents.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {vm} from "../support/Vm.sol";

contract ReduceBondTest is BatonTest {
    address private owner;

    function setUp() public override {
        super.setUp();
        startDevnet();
        owner = ownerOf(0);
    }

    function test_RevertWhen_TheAmountIsZero() external {
        vm.expectRevert(RegistryErrors.SequencerRegistry__NothingToReduce.selector);
        _reduce(0);
    }

    function test_RevertGiven_TheCallerIsNotSeated() external {
        exit(owner);
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__NotSeated.selector, owner));
        _reduce(UNIT);
        owner = address(0x99);
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__NotSeated.selector, owner));
        _reduce(UNIT);
    }

    function test_RevertGiven_ThereIsEvidenceAgainstTheCaller() external {
        deploy(defaultSpec());
        owner = register(0, 9 * UNIT);
        start();
        slashDoubleNotarize(owner, 2);
        assertStage(owner, Stage.Seated);
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__HasOffended.selector, owner));
        _reduce(UNIT);
    }

    function test_RevertWhen_LessThanTheMinimumBondWouldStay() external {
        _expectTooSmall(UNIT - 1);
        _reduce(31 * UNIT + 1);
        _expectTooSmall(0);
        _reduce(32 * UNIT);
        _expectTooSmall(0);
        _reduce(type(uint256).max);
        _reduce(31 * UNIT);
        _expectTooSmall(UNIT - 1);
        _reduce(1);
    }

    function test_When_APartOfTheBondIsTakenBack() external {
        vm.expectEmit(address(registry));
        emit RegistryEvents.BondReduced(owner, 12 * UNIT, 20 * UNIT, 4);
        _reduce(12 * UNIT);
        assertEq(registry.bondOf(owner), 20 * UNIT, "bond");
        assertEq(registry.unbondingOf(owner), 12 * UNIT, "unbonding");
        assertEq(token.balanceOf(owner), 0, "paid");
        rollToEpoch(4);
        assertEq(weightOf(owner, 3), 32, "weight before");
        assertEq(weightOf(owner, 4), 20, "weight");
        assertEq(registry.totalWeight(4), 88, "total");
    }

    function test_When_TheWeightStaysTheSame() external {
        fund(owner, 5);
        vm.prank(owner);
        registry.addBond(5);
        _reduce(5);
        _assertPart(0, 5, 4);
        rollToEpoch(4);
        assertEq(weightOf(owner, 4), 32, "weight");
    }

    function test_When_MoreIsTakenBackInTheSameEpoch() external {
        _reduce(1);
        vm.roll(block.number + EPOCH_BLOCKS - 1);
        _reduce(2);
        assertEq(registry.unbondings(owner).length, 1, "parts");
        _assertPart(0, 3, 4);
        vm.roll(block.number + 1);
        _reduce(4);
        assertEq(registry.unbondings(owner).length, 2, "parts");
        _assertPart(1, 4, 5);
        assertEq(registry.unbondingOf(owner), 7, "unbonding");
    }

    function test_When_APartIsTakenBackInEveryEpoch() external {
        uint64 parts = 100;
        post(2);
        for (uint64 i = 0; i < parts; ++i) {
            rollToEpoch(2 + i);
            _reduce(1 + i);
        }
        _assertPart(parts - 1, parts, parts + 3);
        assertEq(registry.unbondings(owner).length, parts, "parts");
        assertEq(registry.unbondingOf(owner), parts * (parts + 1) / 2, "unbonding");
        // Their epochs close one after the other.
        post(1 + parts);
        inbox.closeSkipped(3, 2);
        vm.roll(slasher.releaseBlockAfter(4));
        vm.prank(owner);
        registry.withdrawUnbonded();
        assertEq(token.balanceOf(owner), 1, "the oldest is paid");
        assertEq(registry.unbondings(owner).length, parts - 1, "parts");
    }

    function test_Given_TheCallerBeginsLater() external {
        for (uint256 i = 4; i < 9; ++i) {
            owner = register(i, 9 * UNIT);
        }
        _reduce(4 * UNIT);
        _assertPart(0, 4 * UNIT, 5);
        rollToEpoch(4);
        assertEq(weightOf(owner, 4), 0, "not yet");
        assertEq(weightOf(owner, 5), 5, "weight");
    }

    function test_When_TheBondIsAddedToAgain() external {
        _reduce(12 * UNIT);
        fund(owner, 12 * UNIT);
        vm.prank(owner);
        registry.addBond(12 * UNIT);
        assertEq(registry.bondOf(owner), 32 * UNIT, "bond");
        assertEq(registry.unbondingOf(owner), 12 * UNIT, "unbonding");
        rollToEpoch(4);
        assertEq(weightOf(owner, 4), 32, "weight");
    }

    function test_RevertWhen_BondAndWhatUnbondsDoNotFitInto128BitsTogether() external {
        _reduce(12 * UNIT);
        uint256 amount = 2 ** 128 - 32 * UNIT;
        fund(owner, amount);
        vm.expectRevert(abi.encodeWithSelector(SafeCast.SafeCastOverflowedUintDowncast.selector, 128, 2 ** 128));
        vm.prank(owner);
        registry.addBond(amount);
        vm.prank(owner);
        registry.addBond(amount - 1);
        slashDoubleNotarize(owner, 2);
        assertEq(registry.bondOf(owner), 2 ** 128 - 1 - registry.burnable(), "punished");
    }

    function test_Given_AnOffenceComesToLightWhileAPartUnbonds() external {
        _reduce(12 * UNIT);
        rollToEpoch(3);
        vm.expectEmit(address(registry));
        emit RegistryEvents.UnbondingEnded(owner, 12 * UNIT);
        slashDoubleNotarize(owner, 2);
        assertEq(registry.burnable(), 32 * UNIT / 20, "a twentieth of all");
        assertEq(registry.bondOf(owner), 32 * UNIT * 19 / 20, "bond");
        assertEq(registry.unbondingOf(owner), 0, "unbonding");
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__NothingUnbonding.selector, owner));
        vm.prank(owner);
        registry.withdrawUnbonded();
        rollToRelease(owner);
        withdraw(owner);
        assertEq(token.balanceOf(owner), 32 * UNIT * 19 / 20, "paid");
        assertEq(token.balanceOf(address(registry)), 68 * UNIT + registry.burnable(), "the rest");
    }

    function test_Given_EverybodyInTwoCertificatesLosesEverything() external {
        _reduce(12 * UNIT);
        VoteCertificate[2] memory pair;
        for (uint256 i = 0; i < 2; ++i) {
            Vote memory vote = finalize(1, keccak256(abi.encode(i)));
            pair[i] = VoteCertificate(vote, 15, aggregate(2, 15, digestOf(2, vote)));
        }
        slasher.submitCertificates(2, pair[0], pair[1]);
        assertEq(registry.bondOf(owner) + registry.unbondingOf(owner), 0, "left");
        assertEq(registry.burnable(), 100 * UNIT, "burnable");
    }

    function test_Given_OthersOffendedAtTheSameTime() external {
        _reduce(30 * UNIT);
        slashDoubleNotarize(owner, 2);
        slashDoubleNotarize(ownerOf(3), 2);
        rollToRelease(owner);
        withdraw(owner);
        // 3 × 32 × 18 / 100 besides the base penalty.
        assertEq(token.balanceOf(owner), 32 * UNIT - 32 * UNIT / 20 - 3 * 32 * UNIT * 18 / 100, "paid");
    }

    function test_Given_TheCallerLeavesWhileAPartUnbonds() external {
        _reduce(12 * UNIT);
        rollToEpoch(3);
        exit(owner);
        (uint256 bond,,) = registry.departure(owner);
        assertEq(bond, 32 * UNIT, "what is released");
        rollToRelease(owner);
        withdraw(owner);
        assertEq(token.balanceOf(owner), 32 * UNIT, "paid");
        assertEq(registry.unbondingOf(owner), 0, "unbonding");
        assertEq(registry.unbondings(owner).length, 0, "parts");
        // A new admission begins with nothing.
        registerWith(owner, 9 * UNIT, 0xabcd);
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__NothingUnbonding.selector, owner));
        vm.prank(owner);
        registry.withdrawUnbonded();
    }

    /// forge-config: default.fuzz.runs = 64
    function testFuzz_It_NeverChangesWhatIsLockedInAll(uint96[4] calldata amounts, uint8[4] calldata blocks) external {
        for (uint256 i = 0; i < 4; ++i) {
            uint256 bond = registry.bondOf(owner);
            uint256 amount = amounts[i] % (bond + UNIT);
            vm.roll(block.number + blocks[i] % 40);
            vm.prank(owner);
            (bool ok,) = address(registry).call(abi.encodeCall(registry.reduceBond, (amount)));
            assertTrue(ok == (amount != 0 && amount + UNIT <= bond), "taken");
            assertEq(registry.bondOf(owner) + registry.unbondingOf(owner), 32 * UNIT, "locked");
            Unbonding[] memory parts = registry.unbondings(owner);
            uint256 sum = 0;
            for (uint256 j = 0; j < parts.length; ++j) {
                sum += parts[j].amount;
                assertTrue(j == 0 || parts[j - 1].untilEpoch < parts[j].untilEpoch, "order");
            }
            assertEq(sum, registry.unbondingOf(owner), "sum of the parts");
        }
        assertEq(token.balanceOf(address(registry)), 100 * UNIT, "balance");
    }

    function _reduce(uint256 amount) private {
        vm.prank(owner);
        registry.reduceBond(amount);
    }

    function _expectTooSmall(uint256 left) private {
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__BondTooSmall.selector, UNIT, left));
    }

    function _assertPart(uint256 i, uint256 amount, uint64 untilEpoch) private view {
        Unbonding memory part = registry.unbondings(owner)[i];
        assertEq(part.amount, amount, "amount");
        assertEq(part.untilEpoch, untilEpoch, "first epoch without it");
    }
}
