// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {BatchInbox} from "../src/BatchInbox.sol";
import {BatchHeader, Certificate, ChainSpec, Stage, Vote} from "../src/Types.sol";
import {DevToken} from "../src/devnet/DevToken.sol";
import {Bls12381} from "../src/libraries/Bls12381.sol";
import {BatonTest} from "./support/BatonTest.sol";
import {HookToken, IssuedToken} from "./support/Tokens.sol";
import {vm} from "./support/Vm.sol";

/// What hostile tokens, hostile members and a hostile L1 can do to all contracts together. What one function refuses by itself
/// is in that function's file.
contract AdversarialTest is BatonTest {
    address private constant REPORTER = address(0xa11);

    // ---------------------------------------------------------------------------------------------- the token

    function test_Given_TheTokenIsPaused() external {
        IssuedToken issued = _onIssuedToken();
        startDevnet();
        issued.pause(true);
        _report(ownerOf(0), REPORTER);
        exit(ownerOf(1));
        rollToRelease(ownerOf(1));
        _closeCorrelated(ownerOf(0));
        for (uint256 i = 0; i < 2; ++i) {
            vm.expectRevert(IssuedToken.IssuedToken__Paused.selector);
            withdraw(ownerOf(i));
            assertStage(ownerOf(i), Stage.Left);
        }
        vm.expectRevert(IssuedToken.IssuedToken__Paused.selector);
        registry.burn();
        vm.expectRevert(IssuedToken.IssuedToken__Paused.selector);
        vm.prank(REPORTER);
        registry.claim();

        issued.pause(false);
        withdraw(ownerOf(0));
        withdraw(ownerOf(1));
        registry.burn();
        vm.prank(REPORTER);
        registry.claim();
        assertEq(token.balanceOf(ownerOf(0)), 32 * UNIT * 95 / 100, "the offender");
        assertEq(token.balanceOf(ownerOf(1)), 28 * UNIT, "who left");
        assertEq(token.balanceOf(REPORTER), 32 * UNIT / 200, "the reporter");
        assertEq(token.balanceOf(address(registry)), 40 * UNIT, "who stays");
        vm.expectRevert();
        withdraw(ownerOf(1));
    }

    function test_Given_TheTokenRefusesAnOwner() external {
        IssuedToken issued = _onIssuedToken();
        startDevnet();
        exit(ownerOf(0));
        exit(ownerOf(1));
        rollToRelease(ownerOf(0));
        issued.refuse(ownerOf(0), true);
        vm.expectRevert(IssuedToken.IssuedToken__Refused.selector);
        withdraw(ownerOf(0));
        withdraw(ownerOf(1));
        assertEq(token.balanceOf(ownerOf(1)), 28 * UNIT, "another");
        assertEq(registry.bondOf(ownerOf(0)), 32 * UNIT, "kept");
        issued.refuse(ownerOf(0), false);
        withdraw(ownerOf(0));
        assertEq(token.balanceOf(ownerOf(0)), 32 * UNIT, "paid later");
    }

    function test_Given_TheTokenRefusesAReporter() external {
        IssuedToken issued = _onIssuedToken();
        startDevnet();
        _report(ownerOf(0), REPORTER);
        issued.refuse(REPORTER, true);
        vm.expectRevert(IssuedToken.IssuedToken__Refused.selector);
        vm.prank(REPORTER);
        registry.claim();
        registry.burn();
        rollToRelease(ownerOf(0));
        withdraw(ownerOf(0));
        assertEq(token.balanceOf(ownerOf(0)), 32 * UNIT * 95 / 100, "the offender");
        assertEq(registry.claimable(REPORTER), 32 * UNIT / 200, "kept");
    }

    function test_RevertWhen_APaymentCallsBackIntoAnotherPayment() external {
        HookToken hook = new HookToken();
        _onToken(address(hook));
        startDevnet();
        _report(ownerOf(0), REPORTER);
        exit(ownerOf(1));
        rollToRelease(ownerOf(1));
        bytes[5] memory calls = [
            abi.encodeCall(registry.burn, ()),
            abi.encodeCall(registry.claim, ()),
            abi.encodeCall(registry.withdraw, ()),
            abi.encodeCall(registry.addBond, (UNIT)),
            abi.encodeCall(registry.register, (REPORTER, UNIT, new bytes(256), new bytes(128)))
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            hook.arm(address(registry), calls[i]);
            vm.expectRevert(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
            withdraw(ownerOf(1));
            vm.expectRevert(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
            registry.burn();
            vm.expectRevert(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
            vm.prank(REPORTER);
            registry.claim();
        }
        hook.arm(address(0), "");
        withdraw(ownerOf(1));
    }

    // -------------------------------------------------------------------------------------------------- the L1

    function test_Given_AnL1ThatLostItsPrecompiles() external {
        startDevnet();
        Vote memory first = notarize(1, keccak256("a"));
        Vote memory second = notarize(1, keccak256("b"));
        bytes memory sum = evidence(ownerOf(0), 2, first, second);
        BatchHeader memory header = nextHeader(2, "x");
        Certificate memory certificate = certify(2, 15, header);
        vm.mockCall(Bls12381.PAIRING, "", "");
        bytes memory failed = abi.encodeWithSelector(Bls12381.Bls12381__PrecompileFailed.selector, Bls12381.PAIRING);
        vm.expectRevert(failed);
        slasher.submit(ownerOf(0), 2, first, second, sum);
        vm.expectRevert(failed);
        sendPost(header, certificate, "x");

        vm.roll(registry.epochStart(2) + registry.params().abandonBlocks + 1);
        inbox.abandon();
        for (uint256 i = 0; i < 4; ++i) {
            exit(ownerOf(i));
        }
        vm.roll(slasher.releaseBlock(ownerOf(0)));
        for (uint256 i = 0; i < 4; ++i) {
            withdraw(ownerOf(i));
        }
        assertEq(token.balanceOf(address(registry)), 0, "everybody has left with everything");
    }

    function test_Given_TheEpochBesideTheOffenceNeverHadABatch() external {
        startDevnet();
        post(2);
        slashDoubleNotarize(ownerOf(0), 2);
        rollToEpoch(20);
        // Epochs 3 to 19 have none; the last that is correlated with the offence is one of them.
        post(20);
        (, uint64 untilEpoch,) = registry.departure(ownerOf(0));
        vm.expectRevert(abi.encodeWithSelector(BatchInbox.BatchInbox__SkippedAndNotNamed.selector, untilEpoch - 1));
        slasher.releaseBlock(ownerOf(0));
        uint256 closed = block.number;
        vm.roll(block.number + 1000);
        inbox.closeSkipped(untilEpoch - 1, 2);
        inbox.closeSkipped(untilEpoch - 1 + 8, 2);
        assertEq(slasher.releaseBlock(ownerOf(0)), closed + 512 + 8 * EPOCH_BLOCKS + 64 + 1, "since the close");
        withdraw(ownerOf(0));
    }

    // ----------------------------------------------------------------------------------------------- the money

    function testFuzz_When_AnOffenderReportsItselfForTheReward(uint128 bond) external {
        bond = uint128(UNIT + bond % (2 ** 120));
        address owner = register(0, bond);
        register(1, UNIT);
        start();
        _report(owner, owner);
        vm.prank(owner);
        registry.claim();
        rollToRelease(owner);
        withdraw(owner);
        uint256 penalty = uint256(bond) * 500 / 10_000;
        uint256 lost = bond - token.balanceOf(owner);
        assertEq(lost, penalty - penalty / 10, "lost");
        assertTrue(2 * lost > penalty, "more than half");
    }

    function test_Given_BondsOfOneBaseUnit() external {
        ChainSpec memory spec = defaultSpec();
        (spec.weightUnit, spec.minBond) = (1, 1);
        deploy(spec);
        for (uint256 i = 0; i < 5; ++i) {
            register(i, 1);
        }
        start();
        _report(ownerOf(0), REPORTER);
        assertStage(ownerOf(0), Stage.Left);
        assertEq(registry.burnable(), 0, "a twentieth of one, rounded down");
        assertEq(registry.claimable(REPORTER), 0, "claimable");
        rollToEpoch(4);
        assertEq(registry.committee(4).length, 4, "ejected");
        rollToRelease(ownerOf(0));
        withdraw(ownerOf(0));
        assertEq(token.balanceOf(ownerOf(0)), 1, "paid back");
        assertEq(token.balanceOf(address(registry)), 4, "the others'");
    }

    function test_Given_WeightsAndBondsAtTheirLimits() external {
        ChainSpec memory spec = defaultSpec();
        (spec.weightUnit, spec.minBond, spec.weightCap) = (1, 1, 2 ** 56 - 1);
        deploy(spec);
        uint256 bond = type(uint128).max;
        for (uint256 i = 0; i < 5; ++i) {
            register(i, bond);
        }
        start();
        assertEq(registry.totalWeight(2), 5 * (2 ** 56 - 1), "total");
        post(2);
        for (uint256 i = 0; i < 3; ++i) {
            slashDoubleNotarize(ownerOf(i), 2);
        }
        uint256 burned = 3 * (bond * 500 / 10_000);
        assertEq(registry.burnable(), burned, "base penalties");
        for (uint256 i = 0; i < 2; ++i) {
            // What waits to be burned is kept in 128 bits, and these bonds fill as many.
            registry.burn();
            rollToRelease(ownerOf(i));
            withdraw(ownerOf(i));
            // Two of five others: more than a third.
            assertEq(token.balanceOf(ownerOf(i)), 0, "paid");
        }
    }

    /// forge-config: default.fuzz.runs = 32
    function testFuzz_Given_ALoneOffender(uint64[4] memory bonds, uint8 guilty) external {
        uint256[4] memory bonded = _bondFour(bonds);
        address owner = ownerOf(guilty % 4);
        slashDoubleNotarize(owner, 2);
        rollToRelease(owner);
        withdraw(owner);
        uint256 bond = bonded[guilty % 4];
        assertEq(token.balanceOf(owner), bond - bond * 500 / 10_000, "paid");
        assertEq(registry.burnable(), bond * 500 / 10_000, "to be burned");
    }

    /// forge-config: default.fuzz.runs = 32
    function testFuzz_Given_SeveralOffenders(uint64[4] memory bonds) external {
        uint256[4] memory bonded = _bondFour(bonds);
        uint256 total = registry.totalWeight(2);
        uint256 lostBefore;
        uint256 others;
        for (uint256 n = 1; n <= 4; ++n) {
            slashDoubleNotarize(ownerOf(n - 1), 2);
            if (n > 1) others += weightOf(ownerOf(n - 1), 2);
            uint256 snapshot = vm.snapshotState();
            uint256 lostFirst;
            for (uint256 i = 0; i < n; ++i) {
                rollToRelease(ownerOf(i));
                withdraw(ownerOf(i));
                uint256 paid = token.balanceOf(ownerOf(i));
                assertAtMost(paid, bonded[i] - bonded[i] * 500 / 10_000, "paid");
                if (i == 0) lostFirst = bonded[0] - paid;
            }
            uint256 locked;
            for (uint256 i = 0; i < 5; ++i) {
                locked += registry.bondOf(ownerOf(i));
            }
            assertEq(token.balanceOf(address(registry)), locked + registry.burnable(), "bonds and what is burned");
            assertAtMost(lostBefore, lostFirst, "no less with more");
            if (3 * others >= total) assertEq(lostFirst, bonded[0], "everything");
            lostBefore = lostFirst;
            vm.revertToState(snapshot);
        }
        assertEq(lostBefore, bonded[0], "all four");
    }

    // ------------------------------------------------------------------------------------------------- helpers

    /// Four members with bonds of 1 to 19 million units, and a fifth, in their first epoch.
    function _bondFour(uint64[4] memory bonds) private returns (uint256[4] memory bonded) {
        for (uint256 i = 0; i < 4; ++i) {
            bonded[i] = UNIT + bonds[i];
            register(i, bonded[i]);
        }
        // One that never offends: the last member's ejection would wait.
        register(4, UNIT);
        start();
        post(2);
    }

    function _onIssuedToken() private returns (IssuedToken issued) {
        issued = new IssuedToken();
        _onToken(address(issued));
    }

    function _onToken(address bondToken) private {
        ChainSpec memory spec = defaultSpec();
        spec.bondToken = bondToken;
        deploy(spec);
        token = DevToken(bondToken);
    }

    /// By a reporter that committed in the block before.
    function _report(address owner, address reporter) private {
        Vote memory first = notarize(1, keccak256("a"));
        Vote memory second = notarize(1, keccak256("b"));
        bytes memory call = abi.encodeCall(slasher.submit, (owner, 2, first, second, evidence(owner, 2, first, second)));
        slasher.commit(keccak256(abi.encode(reporter, keccak256(call))));
        vm.roll(block.number + 1);
        vm.prank(reporter);
        (bool ok,) = address(slasher).call(call);
        assertTrue(ok, "the report");
    }

    /// Moves on until the bond of an offender is released, too.
    function _closeCorrelated(address owner) private {
        uint256 reached = block.number;
        rollToRelease(owner);
        if (block.number < reached) vm.roll(reached);
    }
}
