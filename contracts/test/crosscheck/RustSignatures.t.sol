// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Slasher} from "../../src/Slasher.sol";
import {Attestation, BatchHeader, Vote} from "../../src/Types.sol";
import {Bls12381} from "../../src/libraries/Bls12381.sol";
import {Statements} from "../../src/libraries/Statements.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {vm} from "../support/Vm.sol";

/// Reads what the node's own keys signed; a missing file fails in `setUp`.
contract RustSignaturesTest is BatonTest {
    string private json;
    address private signedFor;
    uint64 private l2ChainId;

    function setUp() public override {
        super.setUp();
        json = vm.readFile("test/vectors/signatures.json");
        signedFor = vm.parseJsonAddress(json, ".certificates[0].registry");
        l2ChainId = _u64(".certificates[0].l2ChainId");
        vm.chainId(_u64(".certificates[0].l1ChainId"));
    }

    function test_It_AcceptsEverySignatureThatRustMade() external view {
        uint256 count = 0;
        for (; vm.keyExistsJson(json, _entry("signatures", count)); ++count) {
            string memory entry = _entry("signatures", count);
            bytes32 message = _word(string.concat(entry, ".message"));
            assertEq(_digest(string.concat(entry, ".statement")), message, "digest");
            assertTrue(_verifies(Bls12381.SIGNATURE_DST, entry, message), entry);
            assertTrue(!_verifies(Bls12381.POSSESSION_DST, entry, message), "only under its own tag");
        }
        assertTrue(count >= 4, "signatures");
    }

    function test_It_AcceptsEveryProofOfPossessionThatRustMade() external view {
        uint256 count = 0;
        for (; vm.keyExistsJson(json, _entry("possession", count)); ++count) {
            string memory entry = _entry("possession", count);
            address owner = vm.parseJsonAddress(json, string.concat(entry, ".owner"));
            bytes32 message = Statements.possessionMessage(signedFor, owner, _bytes(string.concat(entry, ".key")));
            assertEq(message, _word(string.concat(entry, ".message")), "message");
            assertTrue(_verifies(Bls12381.POSSESSION_DST, entry, message), entry);
        }
        assertTrue(count >= 3, "proofs");
    }

    function test_It_AcceptsEveryCertificateThatRustMade() external view {
        uint256 count = 0;
        for (; vm.keyExistsJson(json, _entry("certificates", count)); ++count) {
            string memory entry = _entry("certificates", count);
            uint256 bitmap = uint256(_word(string.concat(entry, ".bitmap")));
            uint256[] memory weights = vm.parseJsonUintArray(json, string.concat(entry, ".weights"));
            bytes memory keys;
            uint256 signed = 0;
            uint256 total = 0;
            for (uint256 i = 0; i < weights.length; ++i) {
                keys = bytes.concat(keys, _bytes(string.concat(entry, ".keys[", vm.toString(i), "]")));
                total += weights[i];
                if ((bitmap >> i) & 1 == 1) signed += weights[i];
            }
            assertEq(signed, vm.parseJsonUint(json, string.concat(entry, ".signedWeight")), "signed weight");
            assertEq(total, vm.parseJsonUint(json, string.concat(entry, ".totalWeight")), "total weight");
            assertTrue(3 * signed > 2 * total, "quorum");

            bytes memory sum = new bytes(2 * Bls12381.G2_BYTES);
            Bls12381.addSelected(sum, keys, bitmap);
            bytes32 digest = _digest(string.concat(entry, ".statement"));
            bytes memory signature = _bytes(string.concat(entry, ".signature"));
            assertTrue(Bls12381.verify(Bls12381.SIGNATURE_DST, digest, signature, Bls12381.finishSum(sum)), entry);
        }
        assertTrue(count >= 3, "certificates");
    }

    function test_It_JudgesEveryPairOfStatementsAsRustDoes() external {
        uint256 legal = 0;
        uint256 punishable = 0;
        for (uint256 i = 0; vm.keyExistsJson(json, _entry("evidence", i)); ++i) {
            string memory entry = _entry("evidence", i);
            address owner = vm.parseJsonAddress(json, string.concat(entry, ".owner"));
            Vote memory first = _vote(string.concat(entry, ".first"));
            Vote memory second = _vote(string.concat(entry, ".second"));
            bytes memory sum = _sumOfBoth(entry);

            // The kinds are judged before the owner is looked up, and nobody is registered here.
            _startOnce();
            bytes32 name = keccak256(bytes(vm.parseJsonString(json, string.concat(entry, ".name"))));
            if (_isLegal(name)) {
                ++legal;
                vm.expectRevert(abi.encodeWithSelector(Slasher.Slasher__NotPunishable.selector, first, second));
            } else {
                ++punishable;
                vm.expectRevert(abi.encodeWithSelector(Slasher.Slasher__NotAMember.selector, owner, 2));
            }
            slasher.submit(owner, 2, first, second, sum);
        }
        assertTrue(legal >= 3 && punishable >= 4, "pairs");
    }

    function test_It_JudgesEveryPairOfAttestationsAsRustDoes() external {
        startDevnet();
        uint256 legal = 0;
        uint256 punishable = 0;
        for (uint256 i = 0; vm.keyExistsJson(json, _entry("attestations", i)); ++i) {
            string memory entry = _entry("attestations", i);
            address owner = vm.parseJsonAddress(json, string.concat(entry, ".owner"));
            Attestation memory first = _attestation(string.concat(entry, ".first"));
            Attestation memory second = _attestation(string.concat(entry, ".second"));
            bytes memory sum = _sumOfBoth(entry);

            // What they say is judged before the owner is looked up, and this one is not registered here.
            if (bytes5(bytes(vm.parseJsonString(json, string.concat(entry, ".name")))) == "legal") {
                ++legal;
                vm.expectRevert(abi.encodeWithSelector(Slasher.Slasher__NoConflict.selector, first, second));
            } else {
                ++punishable;
                vm.expectRevert(abi.encodeWithSelector(Slasher.Slasher__NotAMember.selector, owner, 2));
            }
            slasher.submitAttestations(owner, 2, first, second, sum);
        }
        assertTrue(legal >= 2 && punishable >= 2, "pairs");
    }

    /// The sum of the signatures of a pair, which is one on both digests as they are rebuilt here.
    function _sumOfBoth(string memory entry) private view returns (bytes memory sum) {
        sum = _bytes(string.concat(entry, ".signatureSum"));
        bytes memory hashSum = Bls12381.addG1(
            _hash(_digest(string.concat(entry, ".first"))), _hash(_digest(string.concat(entry, ".second")))
        );
        assertTrue(Bls12381.pairingHolds(sum, hashSum, _bytes(string.concat(entry, ".key"))), entry);
    }

    function _startOnce() private {
        if (registry.genesisL1Block() == 0) startDevnet();
    }

    function _isLegal(bytes32 name) private pure returns (bool) {
        return name == keccak256("legal: notarize then nullify") || name == keccak256("legal: notarize and finalize")
            || name == keccak256("legal: different views");
    }

    function _verifies(bytes memory dst, string memory entry, bytes32 message) private view returns (bool) {
        return
            Bls12381.verify(
                dst, message, _bytes(string.concat(entry, ".signature")), _bytes(string.concat(entry, ".key"))
            );
    }

    /// The digest of a statement rebuilt from its fields, which must be the one that Rust states.
    function _digest(string memory entry) private view returns (bytes32 digest) {
        if (keccak256(bytes(vm.parseJsonString(json, string.concat(entry, ".kind")))) == keccak256("attest")) {
            BatchHeader memory header;
            header.index = _u64(string.concat(entry, ".batchIndex"));
            header.prevBatchHash = _word(string.concat(entry, ".prevBatchHash"));
            header.lastHeight = _u64(string.concat(entry, ".lastHeight"));
            header.lastDigest = _word(string.concat(entry, ".lastDigest"));
            header.stateRoot = _word(string.concat(entry, ".stateRoot"));
            digest = Statements.attestDigest(
                signedFor,
                l2ChainId,
                _u64(string.concat(entry, ".committeeEpoch")),
                header,
                _word(string.concat(entry, ".headerHash"))
            );
        } else {
            digest = Statements.voteDigest(signedFor, l2ChainId, _u64(string.concat(entry, ".epoch")), _vote(entry));
        }
        assertEq(digest, _word(string.concat(entry, ".digest")), entry);
    }

    function _vote(string memory entry) private view returns (Vote memory vote) {
        vote.kind = uint8(_u64(string.concat(entry, ".code")));
        vote.viewNumber = _u64(string.concat(entry, ".view"));
        if (vote.kind != Statements.NULLIFY) vote.blockDigest = _word(string.concat(entry, ".block"));
    }

    function _attestation(string memory entry) private view returns (Attestation memory) {
        return Attestation({
            committeeEpoch: _u64(string.concat(entry, ".committeeEpoch")),
            batchIndex: _u64(string.concat(entry, ".batchIndex")),
            prevBatchHash: _word(string.concat(entry, ".prevBatchHash")),
            headerHash: _word(string.concat(entry, ".headerHash")),
            lastHeight: _u64(string.concat(entry, ".lastHeight")),
            lastDigest: _word(string.concat(entry, ".lastDigest")),
            stateRoot: _word(string.concat(entry, ".stateRoot"))
        });
    }

    function _hash(bytes32 digest) private view returns (bytes memory) {
        return Bls12381.hashToG1(Bls12381.SIGNATURE_DST, bytes.concat(digest));
    }

    function _entry(string memory list, uint256 i) private pure returns (string memory) {
        return string.concat(".", list, "[", vm.toString(i), "]");
    }

    function _bytes(string memory key) private view returns (bytes memory) {
        return vm.parseJsonBytes(json, key);
    }

    function _word(string memory key) private view returns (bytes32) {
        return vm.parseJsonBytes32(json, key);
    }

    function _u64(string memory key) private view returns (uint64) {
        return uint64(vm.parseJsonUint(json, key));
    }
}
