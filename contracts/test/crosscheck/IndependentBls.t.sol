// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Slasher} from "../../src/Slasher.sol";
import {Attestation, BatchHeader, Certificate, Member, Vote, VoteCertificate} from "../../src/Types.sol";
import {Statements} from "../../src/libraries/Statements.sol";
import {RegistryErrors} from "../../src/registry/RegistryErrors.sol";
import {VectorTest} from "../support/VectorTest.sol";
import {vm} from "../support/Vm.sol";

/// Keys, proofs, the certificate and the evidence come from `tools/bls-vectors.mjs`, which computes every digest and
/// point without the contracts or the precompiles.
contract IndependentBlsTest is VectorTest {
    function setUp() public override {
        super.setUp();
        readVectors("test/vectors/bls.json");
        registerMembers();
        start();
    }

    function test_It_RegistersPostsAndSlashesWithWhatAnIndependentImplementationSigned() external {
        assertEq(
            Statements.domainSeparator(address(registry)), vm.parseJsonBytes32(json, ".domain.separator"), "domain"
        );
        (BatchHeader memory header, Certificate memory certificate, bytes memory data) = _batch();
        assertEq(attestation(2, header), vm.parseJsonBytes32(json, ".batch.digest"), "attestation");
        sendPost(header, certificate, data);
        (,,,, bytes32 lastBatchHash) = inbox.tip();
        assertEq(lastBatchHash, vm.parseJsonBytes32(json, ".batch.hash"), "batch hash");

        for (uint256 i = 0; i < 3; ++i) {
            string memory entry = string.concat(".evidence[", vm.toString(i), "]");
            address owner = vm.parseJsonAddress(json, string.concat(entry, ".owner"));
            Vote memory first = _vote(string.concat(entry, ".first"));
            Vote memory second = _vote(string.concat(entry, ".second"));
            bytes memory sum = vm.parseJsonBytes(json, string.concat(entry, ".signatureSum"));
            vm.expectEmit(address(slasher));
            emit Slasher.Slashed(owner, 2, uint8(i + 1), UNIT / 2, address(this));
            slasher.submit(owner, 2, first, second, sum);
        }
    }

    function test_It_SlashesForTheAttestationsThatAnIndependentImplementationSigned() external {
        address owner = vm.parseJsonAddress(json, ".attestedTwice.owner");
        Attestation memory first = abi.decode(vm.parseJsonBytes(json, ".attestedTwice.first"), (Attestation));
        Attestation memory second = abi.decode(vm.parseJsonBytes(json, ".attestedTwice.second"), (Attestation));
        bytes memory sum = vm.parseJsonBytes(json, ".attestedTwice.signatureSum");
        vm.expectEmit(address(slasher));
        emit Slasher.Slashed(owner, 2, 5, UNIT / 2, address(this));
        slasher.submitAttestations(owner, 2, first, second, sum);
    }

    function test_It_SlashesForTheCertificatesThatAnIndependentImplementationSigned() external {
        VoteCertificate[2] memory sides;
        for (uint256 i = 0; i < 2; ++i) {
            string memory entry = string.concat(".finalTwice[", vm.toString(i), "]");
            sides[i] = VoteCertificate(
                finalize(11, vm.parseJsonBytes32(json, string.concat(entry, ".block"))),
                uint256(vm.parseJsonBytes32(json, string.concat(entry, ".bitmap"))),
                vm.parseJsonBytes(json, string.concat(entry, ".signature"))
            );
        }
        slasher.submitCertificates(2, sides[0], sides[1]);
        Member[] memory members = registry.committee(2);
        for (uint256 i = 0; i < 4; ++i) {
            bool both = i == 1 || i == 2;
            assertEq(registry.bondOf(members[i].owner), both ? 0 : 10 * UNIT, "bond");
        }
    }

    function testFuzz_When_AByteOfTheIndependentSignatureDiffers(uint256 position, uint8 difference) external {
        vm.assume(difference != 0);
        (BatchHeader memory header, Certificate memory certificate, bytes memory data) = _batch();
        certificate.signature[position % 128] ^= bytes1(difference);
        vm.expectRevert(RegistryErrors.SequencerRegistry__InvalidSignature.selector);
        sendPost(header, certificate, data);
    }

    function _batch() private view returns (BatchHeader memory, Certificate memory, bytes memory) {
        return (
            abi.decode(vm.parseJsonBytes(json, ".batch.header"), (BatchHeader)),
            Certificate(
                uint64(vm.parseJsonUint(json, ".batch.committeeEpoch")),
                uint256(vm.parseJsonBytes32(json, ".batch.bitmap")),
                vm.parseJsonBytes(json, ".batch.signature")
            ),
            vm.parseJsonBytes(json, ".batch.data")
        );
    }

    function _vote(string memory entry) private view returns (Vote memory vote) {
        vote.kind = uint8(vm.parseJsonUint(json, string.concat(entry, ".kind")));
        vote.viewNumber = uint64(vm.parseJsonUint(json, string.concat(entry, ".viewNumber")));
        vote.blockDigest = vm.parseJsonBytes32(json, string.concat(entry, ".block"));
        assertEq(digestOf(2, vote), vm.parseJsonBytes32(json, string.concat(entry, ".digest")), "digest");
    }
}
