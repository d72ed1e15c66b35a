// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {ChainSpec, Member, Stage} from "../../src/Types.sol";
import {Bls12381} from "../../src/libraries/Bls12381.sol";
import {Statements} from "../../src/libraries/Statements.sol";
import {RegistryErrors} from "../../src/registry/RegistryErrors.sol";
import {RegistryEvents} from "../../src/registry/RegistryEvents.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {Bls} from "../support/Bls.sol";
import {FalseToken, FeeToken, HookToken} from "../support/Tokens.sol";
import {vm} from "../support/Vm.sol";

contract RegisterTest is BatonTest {
    address private constant OWNER = address(0x0123);
    address private constant RECIPIENT = address(0x0456);
    uint256 private constant SECRET = 0xba5eba11;
    uint256 private constant BOND = 10 * UNIT;

    bytes private key;
    bytes private possession;

    function setUp() public override {
        super.setUp();
        key = Bls.publicKey(SECRET);
        possession = possessionOf(OWNER, SECRET);
        fund(OWNER, 100 * BOND);
    }

    function test_RevertWhen_TheFeeRecipientIsZero() external {
        _expect(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__ZeroAddress.selector));
        registry.register(address(0), BOND, key, possession);
    }

    function test_RevertWhen_TheBondIsBelowTheMinimum() external {
        _expect(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__BondTooSmall.selector, UNIT, UNIT - 1));
        registry.register(RECIPIENT, UNIT - 1, key, possession);
    }

    function test_RevertWhen_TheBondDoesNotFitInto128Bits() external {
        _expect(abi.encodeWithSelector(SafeCast.SafeCastOverflowedUintDowncast.selector, 128, 2 ** 128));
        registry.register(RECIPIENT, 2 ** 128, key, possession);
    }

    function test_RevertGiven_TheOwnerIsRegistered() external {
        _register();
        bytes memory other = Bls.publicKey(SECRET + 1);
        bytes memory proof = possessionOf(OWNER, SECRET + 1);
        _expect(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__AlreadyRegistered.selector, OWNER));
        registry.register(RECIPIENT, BOND, other, proof);
    }

    function test_RevertGiven_TheOwnerWasEjected() external {
        startDevnet();
        address owner = ownerOf(0);
        slashDoubleNotarize(owner, 2);
        rollToEpoch(9);
        bytes memory other = Bls.publicKey(SECRET + 1);
        bytes memory proof = possessionOf(owner, SECRET + 1);
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__AlreadyRegistered.selector, owner));
        vm.prank(owner);
        registry.register(RECIPIENT, BOND, other, proof);
    }

    function test_RevertWhen_TheKeyHasAnotherLength() external {
        _expect(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__InvalidKeyLength.selector, 256, 257));
        registry.register(RECIPIENT, BOND, bytes.concat(key, hex"00"), possession);
        _expect(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__InvalidKeyLength.selector, 256, 0));
        registry.register(RECIPIENT, BOND, "", possession);
    }

    function test_RevertWhen_TheKeyIsInfinity() external {
        _expect(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__ZeroKey.selector));
        registry.register(RECIPIENT, BOND, new bytes(256), new bytes(128));
    }

    function test_RevertGiven_AnotherOwnerHasTheKey() external {
        registerWith(address(0x99), BOND, SECRET);
        // The proof is the owner's own and valid: sharing a key would let one operator sign for two seats.
        _expect(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__DuplicateKey.selector, keccak256(key)));
        registry.register(RECIPIENT, BOND, key, possession);
    }

    function test_RevertWhen_TheProofIsByAnotherKey() external {
        bytes32 message = Statements.possessionMessage(address(registry), OWNER, key);
        _assertRefused(key, Bls.sign(SECRET + 1, Bls12381.POSSESSION_DST, message));
    }

    function test_RevertWhen_TheProofWasMadeForAnotherOwner() external {
        _assertRefused(key, possessionOf(address(0x99), SECRET));
    }

    function test_RevertWhen_TheProofWasMadeForAnotherRegistry() external {
        bytes32 message = Statements.possessionMessage(address(0x99), OWNER, key);
        _assertRefused(key, Bls.sign(SECRET, Bls12381.POSSESSION_DST, message));
    }

    function test_RevertWhen_TheProofWasMadeOnAnotherChain() external {
        vm.chainId(1);
        bytes memory proof = possessionOf(OWNER, SECRET);
        vm.chainId(31_337);
        _assertRefused(key, proof);
    }

    function test_RevertWhen_TheProofWasMadeUnderTheSuiteOfStatements() external {
        bytes32 message = Statements.possessionMessage(address(registry), OWNER, key);
        _assertRefused(key, Bls.sign(SECRET, message));
    }

    /// The rogue key is the attacker's minus the victim's: with it, "both" would sign whatever the attacker signs.
    function test_RevertWhen_TheKeyCancelsTheKeysOfOthers() external {
        address victim = register(0, BOND);
        bytes memory minusVictim = Bls.mulG2(Bls.publicKey(secretOf(victim)), Bls.R - 1);
        bytes memory rogue = Bls12381.addG2(key, minusVictim);
        bytes32 message = Statements.possessionMessage(address(registry), OWNER, rogue);
        _assertRefused(rogue, Bls.sign(SECRET, Bls12381.POSSESSION_DST, message));
        // What it would have won: together with the victim's key it is a key that the attacker holds alone.
        assertEq(Bls12381.addG2(rogue, Bls.publicKey(secretOf(victim))), key, "aggregate");
    }

    function test_RevertWhen_TheKeyIsOutsideTheSubgroup() external {
        bytes memory bad = vm.parseJsonBytes(vm.readFile("test/vectors/bls.json"), ".g2OffSubgroup");
        _assertRefusedCheaply(bad, possession);
        _assertRefusedCheaply(Bls12381.addG2(bad, key), possession);
    }

    function test_RevertWhen_TheKeyIsNotOnTheCurve() external {
        bytes memory bad = bytes.concat(key);
        bad[200] ^= 0x01;
        _assertRefusedCheaply(bad, possession);
    }

    function test_RevertWhen_TheKeyHasItsCoordinatesInTheOtherOrder() external {
        bytes memory swapped = new bytes(256);
        for (uint256 i = 0; i < 256; ++i) {
            swapped[i] = key[i ^ 64];
        }
        bytes32 message = Statements.possessionMessage(address(registry), OWNER, swapped);
        _assertRefused(swapped, Bls.sign(SECRET, Bls12381.POSSESSION_DST, message));
    }

    function test_RevertWhen_TheProofIsOutsideTheSubgroup() external {
        _assertRefusedCheaply(key, Bls.G1_OFF_SUBGROUP);
        _assertRefusedCheaply(key, Bls12381.addG1(possession, Bls.G1_OFF_SUBGROUP));
    }

    function test_RevertWhen_TheProofIsInfinityOrOfAnotherLength() external {
        _assertRefused(key, new bytes(128));
        _assertRefused(key, "");
        _assertRefused(key, bytes.concat(possession, hex"00"));
    }

    function test_RevertGiven_128SequencersAreSeated() external {
        for (uint256 i = 0; i < 128; ++i) {
            registerWith(ownerOf(i), UNIT, i + 1);
        }
        assertEq(registry.memberCount(), 128, "members");
        _expect(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__CommitteeFull.selector, 128));
        registry.register(RECIPIENT, BOND, key, possession);
    }

    function test_RevertGiven_TheCallerApprovedTooLittle() external {
        vm.prank(OWNER);
        token.approve(address(registry), BOND - 1);
        _expect(
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(registry), BOND - 1, BOND)
        );
        registry.register(RECIPIENT, BOND, key, possession);
        assertEq(registry.memberCount(), 0, "nothing is left behind");
    }

    function test_RevertGiven_TheTokenTakesAFee() external {
        FeeToken fee = new FeeToken();
        fee.mint(OWNER, BOND);
        _deployWith(address(fee));
        vm.prank(OWNER);
        fee.approve(address(registry), BOND);
        _expect(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__TransferMismatch.selector, BOND, BOND - 1));
        registry.register(RECIPIENT, BOND, key, possession);
    }

    function test_RevertGiven_TheChainIsAbandoned() external {
        startDevnet();
        uint256 deadAt = registry.epochStart(2) + 2048 + 1;
        vm.roll(deadAt);
        address owner = ownerOf(9);
        fund(owner, UNIT);
        uint256 start = vm.snapshotState();
        registerFunded(owner, UNIT);
        vm.revertToState(start);
        inbox.abandon();
        (key, possession) = (Bls.publicKey(secretOf(owner)), possessionOf(owner, secretOf(owner)));
        vm.expectRevert(
            abi.encodeWithSelector(RegistryErrors.SequencerRegistry__ChainIsAbandoned.selector, uint64(deadAt))
        );
        vm.prank(owner);
        registry.register(owner, UNIT, key, possession);
    }

    function test_RevertGiven_TheTokenAnswersFalse() external {
        address falseToken = address(new FalseToken());
        _deployWith(falseToken);
        _expect(abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, falseToken));
        registry.register(RECIPIENT, BOND, key, possession);
    }

    /// Within the outer call's transfer the inner one would pay for both.
    function test_RevertWhen_TheTokenCallsBackIntoRegister() external {
        HookToken hook = new HookToken();
        hook.mint(OWNER, BOND);
        _deployWith(address(hook));
        vm.prank(OWNER);
        hook.approve(address(registry), BOND);
        hook.arm(address(registry), abi.encodeCall(registry.register, (RECIPIENT, BOND, key, possession)));
        _expect(abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector));
        registry.register(RECIPIENT, BOND, key, possession);
    }

    function test_Given_TheChainIsNotActive() external {
        vm.expectEmit(address(registry));
        emit RegistryEvents.Registered(OWNER, RECIPIENT, BOND, 1, 2, keccak256(key));
        _register();
        (uint256 bond, uint64 admission, Stage stage, address recipient, uint64 weight, uint64 effectiveEpoch) =
            registry.sequencer(OWNER);
        assertEq(bond, BOND, "bond");
        assertEq(admission, 1, "admission");
        assertTrue(stage == Stage.Seated, "stage");
        assertEq(recipient, RECIPIENT, "fee recipient");
        assertEq(weight, 10, "weight");
        assertEq(effectiveEpoch, 2, "effective epoch");
        assertEq(registry.bondOf(OWNER), BOND, "bondOf");
        assertEq(token.balanceOf(address(registry)), BOND, "locked");
        assertEq(token.balanceOf(OWNER), 99 * BOND, "paid");
        assertEq(registry.memberCount(), 1, "members");
    }

    function test_Given_TheChainWasActivatedInThisBlock() external {
        _registerFour();
        registry.activate();
        _register();
        rollToEpoch(1);
        assertEq(weightOf(OWNER, 2), 10, "weight in epoch 2");
    }

    function test_Given_TheChainIsInALaterEpoch() external {
        _registerFour();
        registry.activate();
        // The last block of epoch 5: from the next one on, the change would be late for epoch 7.
        vm.roll(registry.epochStart(6) - 1);
        _register();
        rollToEpoch(7);
        assertEq(weightOf(OWNER, 6), 0, "epoch 6");
        assertEq(weightOf(OWNER, 7), 10, "epoch 7");
        assertEq(registry.committee(6).length, 4, "members of epoch 6");
        assertEq(registry.committee(7).length, 5, "members of epoch 7");
    }

    function test_Given_FourOthersBeginInThatEpoch() external {
        startDevnet();
        assertEq(registry.entryEpoch(), 4, "before");
        for (uint256 i = 4; i < 13; ++i) {
            uint64 expected = 4 + uint64(i - 4) / 4;
            assertEq(registry.entryEpoch(), expected, "told before");
            (,,,,, uint64 begins) = registry.sequencer(register(i, UNIT));
            assertEq(begins, expected, "begins");
        }
        // What the late ones change counts from their first epoch on.
        fund(ownerOf(12), UNIT);
        vm.prank(ownerOf(12));
        registry.addBond(UNIT);
        rotate(ownerOf(11), 0x2e4);
        rollToEpoch(5);
        register(13, UNIT);
        assertEq(registry.committee(3).length, 4, "epoch 3");
        assertEq(registry.committee(4).length, 8, "epoch 4");
        assertEq(registry.committee(5).length, 12, "epoch 5");
        assertEq(registry.committee(6).length, 13, "epoch 6");
        assertEq(weightOf(ownerOf(12), 6), 2, "weight");
        (bytes memory key_,,) = registry.keyOf(ownerOf(11), 5);
        assertEq(key_, Bls.publicKey(0x2e4), "key");
        rollToEpoch(6);
        assertEq(registry.committee(7).length, 14, "epoch 7");
        assertEq(registry.entryEpoch(), 8, "nobody waits");
    }

    function test_When_TheBondIsNoMultipleOfTheWeightUnit() external {
        vm.prank(OWNER);
        registry.register(RECIPIENT, 3 * UNIT - 1, key, possession);
        (uint256 bond,,,, uint64 weight,) = registry.sequencer(OWNER);
        assertEq(bond, 3 * UNIT - 1, "bond");
        assertEq(weight, 2, "weight");
    }

    function test_When_TheBondIsWorthMoreThanTheWeightCap() external {
        uint256 bond = 2 ** 40 * UNIT + 5 * UNIT;
        fund(OWNER, bond);
        vm.prank(OWNER);
        registry.register(RECIPIENT, bond, key, possession);
        (,,,, uint64 weight,) = registry.sequencer(OWNER);
        assertEq(weight, 2 ** 40, "weight");
        assertEq(registry.bondOf(OWNER), bond, "the bond is locked whole");
    }

    function test_Given_TheLastMemberIsToBeEjected() external {
        ChainSpec memory spec = defaultSpec();
        spec.allowSmall = true;
        deploy(spec);
        address last = register(0, BOND);
        registry.activate();
        rollToEpoch(2);
        slashDoubleNotarize(last, 2);
        rollToEpoch(8);
        assertEq(weightOf(last, 9), 10, "stays until replaced");

        address next = register(1, BOND);
        rollToEpoch(9);
        Member[] memory before = registry.committee(9);
        Member[] memory afterwards = registry.committee(10);
        assertEq(before.length, 1, "members of epoch 9");
        assertEq(before[0].owner, last, "member of epoch 9");
        assertEq(afterwards.length, 1, "members of epoch 10");
        assertEq(afterwards[0].owner, next, "member of epoch 10");
        assertStage(last, Stage.Left);
        assertEq(registry.memberCount(), 1, "seated");
        // The rule was used up: the next registration ejects nobody.
        register(2, BOND);
        assertEq(registry.memberCount(), 2, "seated");
    }

    function _register() private {
        vm.prank(OWNER);
        registry.register(RECIPIENT, BOND, key, possession);
    }

    function _registerFour() private {
        for (uint256 i = 0; i < 4; ++i) {
            register(i, BOND);
        }
    }

    /// A registry with another bond token: its address differs, so the proof is made anew.
    function _deployWith(address bondToken) private {
        ChainSpec memory spec = defaultSpec();
        spec.bondToken = bondToken;
        deploy(spec);
        possession = possessionOf(OWNER, SECRET);
    }

    function _expect(bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(OWNER);
    }

    function _assertRefused(bytes memory badKey, bytes memory proof) private {
        _expect(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__InvalidPossession.selector, OWNER));
        registry.register(RECIPIENT, BOND, badKey, proof);
    }

    function _assertRefusedCheaply(bytes memory badKey, bytes memory proof) private {
        uint256 gasBefore = gasleft();
        _assertRefused(badKey, proof);
        assertAtMost(gasBefore - gasleft(), 700_000, "gas of a refused registration");
    }
}
