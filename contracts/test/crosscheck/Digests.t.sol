// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BatchHeader, BlockHeader, Vote} from "../../src/Types.sol";
import {Statements} from "../../src/libraries/Statements.sol";
import {Assertions} from "../support/Assertions.sol";
import {vm} from "../support/Vm.sol";

contract StatementsHarness {
    function voteDigest(address registry, uint64 l2ChainId, uint64 epoch, Vote memory vote)
        external
        view
        returns (bytes32)
    {
        return Statements.voteDigest(registry, l2ChainId, epoch, vote);
    }
}

/// Reads what the Rust side wrote; a missing file fails in `setUp`.
contract DigestsTest is Assertions {
    string private json;
    address private registry;
    uint64 private l2ChainId;

    function setUp() external {
        json = vm.readFile("test/vectors/digests.json");
        vm.chainId(_uint(".domain.l1ChainId"));
        registry = vm.parseJsonAddress(json, ".domain.registry");
        l2ChainId = uint64(_uint(".domain.l2ChainId"));
        assertEq(Statements.domainSeparator(registry), _word(".domain.separator"), "domain separator");
    }

    function test_It_MakesTheBlockDigestsThatRustMakes() external view {
        uint256 count = 0;
        for (; vm.keyExistsJson(json, _entry("blockHeaders", count)); ++count) {
            string memory entry = _entry("blockHeaders", count);
            string memory header = string.concat(entry, ".header");
            BlockHeader memory built = BlockHeader({
                l2ChainId: _u64(header, "l2ChainId"),
                epoch: _u64(header, "epoch"),
                viewNumber: _u64(header, "viewNumber"),
                height: _u64(header, "height"),
                parent: _word(string.concat(header, ".parent")),
                timestampMs: _u64(header, "timestampMs"),
                originNumber: _u64(header, "originNumber"),
                originHash: _word(string.concat(header, ".originHash")),
                forcedPosition: _u64(header, "forcedPosition"),
                forcedHash: _word(string.concat(header, ".forcedHash")),
                payloadRoot: _word(string.concat(header, ".payloadRoot")),
                transactionCount: uint32(_uint(string.concat(header, ".transactionCount"))),
                payloadBytes: uint32(_uint(string.concat(header, ".payloadBytes"))),
                declaredGas: _u64(header, "declaredGas"),
                proposer: uint8(_uint(string.concat(header, ".proposer"))),
                feeRecipient: vm.parseJsonAddress(json, string.concat(header, ".feeRecipient"))
            });
            bytes memory encoded = vm.parseJsonBytes(json, string.concat(entry, ".encoded"));
            assertEq(encoded.length, 16 * 32, "sixteen words");
            assertEq(abi.encode(built), encoded, "encoding");
            assertEq(abi.encode(abi.decode(encoded, (BlockHeader))), encoded, "decode and encode");
            assertEq(Statements.blockDigest(built), _word(string.concat(entry, ".digest")), "digest");
        }
        assertTrue(count >= 3, "block headers");
    }

    function test_It_MakesTheBatchHashesThatRustMakes() external view {
        uint256 count = 0;
        for (; vm.keyExistsJson(json, _entry("batchHeaders", count)); ++count) {
            string memory entry = _entry("batchHeaders", count);
            string memory header = string.concat(entry, ".header");
            BatchHeader memory built = BatchHeader({
                index: _u64(header, "index"),
                prevBatchHash: _word(string.concat(header, ".prevBatchHash")),
                epoch: _u64(header, "epoch"),
                firstHeight: _u64(header, "firstHeight"),
                lastHeight: _u64(header, "lastHeight"),
                lastDigest: _word(string.concat(header, ".lastDigest")),
                lastOriginNumber: _u64(header, "lastOriginNumber"),
                lastOriginHash: _word(string.concat(header, ".lastOriginHash")),
                stateRoot: _word(string.concat(header, ".stateRoot")),
                forcedPosition: _u64(header, "forcedPosition"),
                forcedHash: _word(string.concat(header, ".forcedHash")),
                dataKind: uint8(_uint(string.concat(header, ".dataKind"))),
                dataHash: _word(string.concat(header, ".dataHash")),
                dutiesRoot: _word(string.concat(header, ".dutiesRoot"))
            });
            bytes memory encoded = vm.parseJsonBytes(json, string.concat(entry, ".encoded"));
            assertEq(encoded.length, 14 * 32, "fourteen words");
            assertEq(abi.encode(built), encoded, "encoding");
            assertEq(abi.encode(abi.decode(encoded, (BatchHeader))), encoded, "decode and encode");
            assertEq(Statements.batchHash(built), _word(string.concat(entry, ".hash")), "hash");
        }
        assertTrue(count >= 3, "batch headers");
    }

    function test_It_MakesTheStatementDigestsThatRustMakes() external view {
        uint256[4] memory seen;
        for (uint256 i = 0; vm.keyExistsJson(json, _entry("statements", i)); ++i) {
            string memory entry = _entry("statements", i);
            (uint256 kind, bytes32 digest) = _statement(entry);
            assertEq(digest, _word(string.concat(entry, ".digest")), entry);
            ++seen[kind];
        }
        for (uint256 kind = 0; kind < 4; ++kind) {
            assertTrue(seen[kind] >= 3, "statements of every kind");
        }
    }

    function test_It_MakesThePossessionMessagesThatRustMakes() external view {
        uint256 count = 0;
        for (; vm.keyExistsJson(json, _entry("possession", count)); ++count) {
            string memory entry = _entry("possession", count);
            address owner = vm.parseJsonAddress(json, string.concat(entry, ".owner"));
            bytes memory key = vm.parseJsonBytes(json, string.concat(entry, ".blsKey"));
            assertEq(key.length, 256, "key");
            assertEq(Statements.possessionMessage(registry, owner, key), _word(string.concat(entry, ".message")), entry);
        }
        assertTrue(count >= 2, "possession messages");
    }

    function test_It_MakesTheDutiesRootsThatRustMakes() external view {
        uint256 count = 0;
        for (; vm.keyExistsJson(json, _entry("dutiesRoots", count)); ++count) {
            string memory entry = _entry("dutiesRoots", count);
            bytes32 root = Statements.dutiesRoot(_u64(entry, "epoch"), _u64s(entry, "led"), _u64s(entry, "missed"));
            assertEq(root, _word(string.concat(entry, ".root")), "root");
        }
        assertTrue(count >= 4, "vectors");
    }

    function testFuzz_It_DiffersForEveryFieldOfAVote(uint64 epoch, uint64 viewNumber, bytes32 digest, uint64 step)
        external
        view
    {
        vm.assume(step != 0);
        unchecked {
            bytes32[7] memory digests = [
                _vote(l2ChainId, epoch, Vote(0, viewNumber, digest)),
                _vote(l2ChainId, epoch, Vote(1, viewNumber, digest)),
                _vote(l2ChainId, epoch, Vote(2, viewNumber, 0)),
                _vote(l2ChainId + step, epoch, Vote(0, viewNumber, digest)),
                _vote(l2ChainId, epoch + step, Vote(0, viewNumber, digest)),
                _vote(l2ChainId, epoch, Vote(0, viewNumber + step, digest)),
                _vote(l2ChainId, epoch, Vote(0, viewNumber, keccak256(abi.encode(digest))))
            ];
            for (uint256 i = 0; i < 7; ++i) {
                for (uint256 j = 0; j < i; ++j) {
                    assertTrue(digests[i] != digests[j], "two statements, two digests");
                }
            }
        }
    }

    function test_It_TakesTheChainIdAtCallTime() external {
        bytes32 here = _vote(l2ChainId, 2, Vote(0, 1, bytes32(0)));
        vm.chainId(1);
        assertTrue(here != _vote(l2ChainId, 2, Vote(0, 1, bytes32(0))), "another chain");
    }

    function test_RevertWhen_TheKindOfAVoteIsUnknown() external {
        StatementsHarness harness = new StatementsHarness();
        vm.expectRevert(abi.encodeWithSelector(Statements.Statements__UnknownKind.selector, 3));
        harness.voteDigest(registry, l2ChainId, 2, Vote(3, 1, 0));
    }

    function test_RevertWhen_ANullifyNamesABlock() external {
        StatementsHarness harness = new StatementsHarness();
        vm.expectRevert(abi.encodeWithSelector(Statements.Statements__NullifyNamesBlock.selector, bytes32(uint256(1))));
        harness.voteDigest(registry, l2ChainId, 2, Vote(2, 1, bytes32(uint256(1))));
    }

    function _statement(string memory entry) private view returns (uint256 kind, bytes32 digest) {
        bytes32 name = keccak256(bytes(vm.parseJsonString(json, string.concat(entry, ".kind"))));
        if (name == keccak256("Attest")) {
            BatchHeader memory header;
            header.index = _u64(entry, "batchIndex");
            header.prevBatchHash = _word(string.concat(entry, ".prevBatchHash"));
            header.lastHeight = _u64(entry, "lastHeight");
            header.lastDigest = _word(string.concat(entry, ".lastDigest"));
            header.stateRoot = _word(string.concat(entry, ".stateRoot"));
            bytes32 headerHash = _word(string.concat(entry, ".headerHash"));
            return (3, Statements.attestDigest(registry, l2ChainId, _u64(entry, "committeeEpoch"), header, headerHash));
        }
        Vote memory vote;
        vote.viewNumber = _u64(entry, "view");
        if (name == keccak256("Nullify")) {
            vote.kind = 2;
        } else {
            assertTrue(name == keccak256("Notarize") || name == keccak256("Finalize"), "a known kind");
            vote.kind = name == keccak256("Finalize") ? 1 : 0;
            vote.blockDigest = _word(string.concat(entry, ".blockDigest"));
        }
        return (vote.kind, _vote(l2ChainId, _u64(entry, "epoch"), vote));
    }

    function _vote(uint64 chain, uint64 epoch, Vote memory vote) private view returns (bytes32) {
        return Statements.voteDigest(registry, chain, epoch, vote);
    }

    function _entry(string memory list, uint256 i) private pure returns (string memory) {
        return string.concat(".", list, "[", vm.toString(i), "]");
    }

    function _uint(string memory key) private view returns (uint256) {
        return vm.parseJsonUint(json, key);
    }

    function _u64(string memory entry, string memory field) private view returns (uint64) {
        return uint64(_uint(string.concat(entry, ".", field)));
    }

    function _u64s(string memory entry, string memory field) private view returns (uint64[] memory list) {
        uint256[] memory wide = vm.parseJsonUintArray(json, string.concat(entry, ".", field));
        list = new uint64[](wide.length);
        for (uint256 i = 0; i < wide.length; ++i) {
            assertAtMost(wide[i], type(uint64).max, "fits");
            list[i] = uint64(wide[i]);
        }
    }

    function _word(string memory key) private view returns (bytes32) {
        return vm.parseJsonBytes32(json, key);
    }
}
