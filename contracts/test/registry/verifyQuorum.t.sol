// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ChainSpec, Member} from "../../src/Types.sol";
import {Bls12381} from "../../src/libraries/Bls12381.sol";
import {RegistryErrors} from "../../src/registry/RegistryErrors.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {Bls} from "../support/Bls.sol";
import {vm} from "../support/Vm.sol";

contract VerifyQuorumTest is BatonTest {
    bytes32 private constant DIGEST = keccak256("digest");

    function test_RevertGiven_TheEpochIsNotMaterialized() external {
        startDevnet();
        bytes memory signature = aggregate(3, 15, DIGEST);
        _expect(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__NotMaterialized.selector, 3));
        registry.verifyQuorum(3, DIGEST, 15, signature);
    }

    function test_RevertWhen_NobodySigned() external {
        startDevnet();
        _expect(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__EmptyBitmap.selector));
        registry.verifyQuorum(2, DIGEST, 0, new bytes(128));
    }

    function test_RevertWhen_ABitBeyondTheLastMemberIsSet() external {
        startDevnet();
        bytes memory signature = aggregate(2, 15, DIGEST);
        uint256[4] memory beyond = [uint256(4), 63, 128, 255];
        for (uint256 i = 0; i < 4; ++i) {
            uint256 bitmap = 15 | (1 << beyond[i]);
            _expect(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__SignerOutOfRange.selector, bitmap, 4));
            registry.verifyQuorum(2, DIGEST, bitmap, signature);
        }
    }

    function test_RevertWhen_TheSignersHoldTwoThirdsExactly() external {
        for (uint256 i = 0; i < 6; ++i) {
            register(i, 5 * UNIT);
        }
        start();
        bytes memory signature = aggregate(2, 15, DIGEST);
        _expect(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__InsufficientWeight.selector, 20, 30));
        registry.verifyQuorum(2, DIGEST, 15, signature);
        registry.verifyQuorum(2, DIGEST, 31, aggregate(2, 31, DIGEST));
    }

    function test_RevertWhen_TheSignersAreManyButLight() external {
        for (uint256 i = 0; i < 4; ++i) {
            register(i, 100 * UNIT);
        }
        for (uint256 i = 4; i < 12; ++i) {
            register(i, UNIT);
        }
        start();
        (uint256 light, uint256 heavy) = _splitByWeight(2, 50);
        bytes memory signature = aggregate(2, light, DIGEST);
        _expect(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__InsufficientWeight.selector, 8, 408));
        registry.verifyQuorum(2, DIGEST, light, signature);
        registry.verifyQuorum(2, DIGEST, heavy, aggregate(2, heavy, DIGEST));
    }

    function test_RevertWhen_TheWeightIsThereOnlyBeforeClipping() external {
        register(0, 1000 * UNIT);
        register(1, 30 * UNIT);
        register(2, 20 * UNIT);
        register(3, 17 * UNIT);
        start();
        // 1000 of 1067 before clipping, 33 of 100 after.
        (, uint256 whale) = _splitByWeight(2, 31);
        bytes memory signature = aggregate(2, whale, DIGEST);
        _expect(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__InsufficientWeight.selector, 33, 100));
        registry.verifyQuorum(2, DIGEST, whale, signature);
    }

    function test_RevertWhen_TheKeysOfTheSignersCancel() external {
        ChainSpec memory spec = defaultSpec();
        spec.allowSmall = true;
        deploy(spec);
        // Both keys have honest proofs: one operator may well know a secret and its negative.
        registerWith(ownerOf(0), UNIT, 7);
        registerWith(ownerOf(1), UNIT, Bls.R - 7);
        start();
        _expect(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__ZeroAggregateKey.selector, 3));
        registry.verifyQuorum(2, DIGEST, 3, new bytes(128));
    }

    /// The sum of the absent is infinity then, which is taken from the sum of all.
    function test_When_TheKeysOfTheAbsentCancel() external {
        registerWith(ownerOf(0), UNIT, 7);
        registerWith(ownerOf(1), UNIT, Bls.R - 7);
        for (uint256 i = 2; i < 9; ++i) {
            register(i, UNIT);
        }
        start();
        Member[] memory members = registry.committee(2);
        uint256 bitmap = 511;
        for (uint256 i = 0; i < 9; ++i) {
            if (members[i].owner == ownerOf(0) || members[i].owner == ownerOf(1)) bitmap ^= 1 << i;
        }
        registry.verifyQuorum(2, DIGEST, bitmap, aggregate(2, bitmap, DIGEST));
        _assertInvalid(511, aggregate(2, bitmap ^ 1, DIGEST));
    }

    function test_When_MembersOfBothChunksAreAbsent() external {
        for (uint256 i = 0; i < 70; ++i) {
            register(i, UNIT);
        }
        start();
        uint256 all = (1 << 70) - 1;
        uint256[4] memory absent = [uint256(1) << 69, 1 << 63, (1 << 64) | 1, ((1 << 67) - 1) ^ ((1 << 45) - 1)];
        for (uint256 i = 0; i < 4; ++i) {
            uint256 bitmap = all ^ absent[i];
            bytes memory signature = aggregate(2, bitmap, DIGEST);
            registry.verifyQuorum(2, DIGEST, bitmap, signature);
            _assertInvalid(all, signature);
        }
    }

    /// Fewer signed than did not.
    function test_When_AFewHeavyMembersSigned() external {
        for (uint256 i = 0; i < 9; ++i) {
            register(i, i < 4 ? 100 * UNIT : UNIT);
        }
        start();
        (, uint256 heavy) = _splitByWeight(2, 50);
        registry.verifyQuorum(2, DIGEST, heavy, aggregate(2, heavy, DIGEST));
        _assertInvalid(heavy, aggregate(2, heavy | 511, DIGEST));
    }

    function test_RevertWhen_AnotherDigestWasSigned() external {
        startDevnet();
        _assertInvalid(15, aggregate(2, 15, keccak256("another digest")));
    }

    function test_RevertWhen_OthersSignedThanTheBitmapSays() external {
        startDevnet();
        _assertInvalid(15, aggregate(2, 7, DIGEST));
        _assertInvalid(7, aggregate(2, 15, DIGEST));
        _assertInvalid(13, aggregate(2, 14, DIGEST));
    }

    function test_RevertWhen_TheSignatureIsOfAnotherEpochsCommittee() external {
        startDevnet();
        slashDoubleNotarize(ownerOf(3), 2);
        register(4, 18 * UNIT);
        rollToEpoch(4);
        registry.materialize(4);
        bytes memory signature = aggregate(4, 15, DIGEST);
        registry.verifyQuorum(4, DIGEST, 15, signature);
        _assertInvalid(15, signature);
    }

    function test_RevertWhen_TheSignatureIsInfinity() external {
        startDevnet();
        _assertInvalid(15, new bytes(128));
    }

    function test_RevertWhen_TheSignatureHasAnotherLength() external {
        startDevnet();
        bytes memory signature = aggregate(2, 15, DIGEST);
        _assertInvalid(15, "");
        _assertInvalid(15, bytes.concat(signature, hex"00"));
        _assertInvalid(15, bytes.concat(hex"00", signature));
    }

    function test_RevertWhen_TheSignatureIsNotInTheGroup() external {
        startDevnet();
        bytes memory offCurve = aggregate(2, 15, DIGEST);
        bytes memory offSubgroup = Bls12381.addG1(offCurve, Bls.G1_OFF_SUBGROUP);
        offCurve[127] ^= 0x01;
        uint256 gasBefore = gasleft();
        _assertInvalid(15, offCurve);
        _assertInvalid(15, offSubgroup);
        assertAtMost(gasBefore - gasleft(), 2 * 600_000, "gas of two refusals");
    }

    function test_RevertWhen_ThePrecompilesAreMissing() external {
        startDevnet();
        bytes memory signature = aggregate(2, 15, DIGEST);
        vm.mockCall(Bls12381.PAIRING, "", "");
        _expect(abi.encodeWithSelector(Bls12381.Bls12381__PrecompileFailed.selector, Bls12381.PAIRING));
        registry.verifyQuorum(2, DIGEST, 15, signature);
    }

    function test_RevertWhen_TooLittleGasIsGiven() external {
        startDevnet();
        bytes memory signature = aggregate(2, 15, DIGEST);
        _expect(abi.encodeWithSelector(Bls12381.Bls12381__NotEnoughGas.selector, Bls12381.PAIRING));
        registry.verifyQuorum{gas: 120_000}(2, DIGEST, 15, signature);
        registry.verifyQuorum{gas: 250_000}(2, DIGEST, 15, signature);
    }

    function test_When_MoreThanTwoThirdsSigned() external {
        startDevnet();
        for (uint256 absent = 0; absent < 4; ++absent) {
            uint256 bitmap = 15 ^ (1 << absent);
            registry.verifyQuorum(2, DIGEST, bitmap, aggregate(2, bitmap, DIGEST));
        }
    }

    function test_Given_TheSignersWereEjectedSince() external {
        startDevnet();
        bytes memory signature = aggregate(2, 15, DIGEST);
        slashDoubleNotarize(ownerOf(0), 2);
        slashDoubleNotarize(ownerOf(1), 2);
        rollToEpoch(40);
        registry.verifyQuorum(2, DIGEST, 15, signature);
    }

    function testFuzz_It_AgreesWithExactArithmeticForEveryBitmap(uint16[7] memory bonds, uint8 count, uint8 bitmap)
        external
    {
        uint256 members = 4 + count % 4;
        for (uint256 i = 0; i < members; ++i) {
            register(i, (1 + uint256(bonds[i])) * UNIT);
        }
        start();
        uint256 mask = uint256(bitmap) & ((1 << members) - 1);
        Member[] memory committee = registry.committee(2);
        uint256 signed = 0;
        uint256 absent = 0;
        for (uint256 i = 0; i < members; ++i) {
            if ((mask >> i) & 1 == 1) signed += committee[i].weight;
            else absent += committee[i].weight;
        }
        bytes memory signature = mask == 0 ? new bytes(128) : aggregate(2, mask, DIGEST);
        // More than two thirds signed means that they outweigh the absent more than twice.
        if (mask == 0) {
            _expect(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__EmptyBitmap.selector));
        } else if (signed <= 2 * absent) {
            _expect(
                abi.encodeWithSelector(
                    RegistryErrors.SequencerRegistry__InsufficientWeight.selector, signed, signed + absent
                )
            );
        }
        registry.verifyQuorum(2, DIGEST, mask, signature);
    }

    function _splitByWeight(uint64 epoch, uint64 border) private view returns (uint256 light, uint256 heavy) {
        Member[] memory members = registry.committee(epoch);
        for (uint256 i = 0; i < members.length; ++i) {
            if (members[i].weight < border) light |= 1 << i;
            else heavy |= 1 << i;
        }
    }

    function _expect(bytes memory reason) private {
        vm.expectRevert(reason);
    }

    function _assertInvalid(uint256 bitmap, bytes memory signature) private {
        vm.expectRevert(RegistryErrors.SequencerRegistry__InvalidSignature.selector);
        registry.verifyQuorum(2, DIGEST, bitmap, signature);
    }
}
