// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Attestation, BatchHeader, BlockHeader, Vote} from "../Types.sol";

/// @title Statements
/// @notice The digests of everything that is signed with a BLS key, by EIP-712 and possession rule.
/// @dev The domain is {name "Baton", version "1", chain id, registry}. The chain id is the one at call time: after a
/// fork of the L1, what was signed for one side is nothing on the other.
library Statements {
    uint8 internal constant NOTARIZE = 0;
    uint8 internal constant FINALIZE = 1;
    uint8 internal constant NULLIFY = 2;

    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant NAME_HASH = keccak256("Baton");
    bytes32 private constant VERSION_HASH = keccak256("1");
    bytes32 private constant NOTARIZE_TYPEHASH =
        keccak256("Notarize(uint64 l2ChainId,uint64 epoch,uint64 view,bytes32 blockDigest)");
    bytes32 private constant FINALIZE_TYPEHASH =
        keccak256("Finalize(uint64 l2ChainId,uint64 epoch,uint64 view,bytes32 blockDigest)");
    bytes32 private constant NULLIFY_TYPEHASH = keccak256("Nullify(uint64 l2ChainId,uint64 epoch,uint64 view)");
    bytes32 private constant ATTEST_TYPEHASH = keccak256(
        "Attest(uint64 l2ChainId,uint64 committeeEpoch,uint64 batchIndex,bytes32 prevBatchHash,bytes32 headerHash,uint64 lastHeight,bytes32 lastDigest,bytes32 stateRoot)"
    );

    /// Fourteen words.
    uint256 private constant BATCH_HEADER_BYTES = 448;

    /// @notice A consensus statement is of kind 0 (Notarize), 1 (Finalize) or 2 (Nullify).
    error Statements__UnknownKind(uint8 kind);
    /// @notice Nullify is about a view and names no block, so its digest field must be zero.
    error Statements__NullifyNamesBlock(bytes32 blockDigest);

    /// @notice The EIP-712 domain separator of the chain whose registry this is, on the L1 that runs this call.
    function domainSeparator(address registry) internal view returns (bytes32) {
        return keccak256(abi.encode(DOMAIN_TYPEHASH, NAME_HASH, VERSION_HASH, block.chainid, registry));
    }

    /// @notice The message that a member signs to cast `vote` in `epoch`.
    function voteDigest(address registry, uint64 l2ChainId, uint64 epoch, Vote memory vote)
        internal
        view
        returns (bytes32)
    {
        bytes32 structHash;
        if (vote.kind == NOTARIZE) {
            structHash = keccak256(abi.encode(NOTARIZE_TYPEHASH, l2ChainId, epoch, vote.viewNumber, vote.blockDigest));
        } else if (vote.kind == FINALIZE) {
            structHash = keccak256(abi.encode(FINALIZE_TYPEHASH, l2ChainId, epoch, vote.viewNumber, vote.blockDigest));
        } else if (vote.kind == NULLIFY) {
            if (vote.blockDigest != 0) revert Statements__NullifyNamesBlock(vote.blockDigest);
            structHash = keccak256(abi.encode(NULLIFY_TYPEHASH, l2ChainId, epoch, vote.viewNumber));
        } else {
            revert Statements__UnknownKind(vote.kind);
        }
        return _digest(registry, structHash);
    }

    /// @notice The message that a member of `committeeEpoch` signs to attest a batch; `headerHash` is `batchHash(header)`.
    function attestDigest(
        address registry,
        uint64 l2ChainId,
        uint64 committeeEpoch,
        BatchHeader memory header,
        bytes32 headerHash
    ) internal view returns (bytes32) {
        Attestation memory attestation = Attestation(
            committeeEpoch,
            header.index,
            header.prevBatchHash,
            headerHash,
            header.lastHeight,
            header.lastDigest,
            header.stateRoot
        );
        return attestDigest(registry, l2ChainId, attestation);
    }

    /// @notice As `attestDigest` of a header in calldata, with its hash, which is the second answer.
    /// @dev The encoding of a header is its calldata, so it is hashed as it came. The caller must read every field that is
    /// shorter than a word before it rests anything on this: only reading refuses what does not fit.
    function postedDigests(address registry, uint64 l2ChainId, uint64 committeeEpoch, BatchHeader calldata header)
        internal
        view
        returns (bytes32 attestation, bytes32 headerHash)
    {
        assembly ("memory-safe") {
            let encoded := mload(0x40)
            calldatacopy(encoded, header, BATCH_HEADER_BYTES)
            headerHash := keccak256(encoded, BATCH_HEADER_BYTES)
        }
        attestation = _digest(
            registry,
            keccak256(
                abi.encode(
                    ATTEST_TYPEHASH,
                    l2ChainId,
                    committeeEpoch,
                    header.index,
                    header.prevBatchHash,
                    headerHash,
                    header.lastHeight,
                    header.lastDigest,
                    header.stateRoot
                )
            )
        );
    }

    /// @notice The message of an attestation whose batch is not at hand.
    function attestDigest(address registry, uint64 l2ChainId, Attestation memory attestation)
        internal
        view
        returns (bytes32)
    {
        return _digest(registry, keccak256(abi.encode(ATTEST_TYPEHASH, l2ChainId, attestation)));
    }

    /// @notice The message that proves possession of `blsKey`'s secret to `registry`, for `owner` alone.
    /// @dev Binds chain, registry and owner, so that a proof cannot be copied to another chain or by another operator.
    function possessionMessage(address registry, address owner, bytes memory blsKey) internal view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, registry, owner, keccak256(blsKey)));
    }

    /// @notice The digest of a block.
    function blockDigest(BlockHeader memory header) internal pure returns (bytes32) {
        return keccak256(abi.encode(header));
    }

    /// @notice The hash of a batch.
    function batchHash(BatchHeader memory header) internal pure returns (bytes32) {
        return keccak256(abi.encode(header));
    }

    /// @notice What a batch header commits to as its epoch's duties: one entry per member, in the committee's order.
    function dutiesRoot(uint64 epoch, uint64[] memory led, uint64[] memory missed) internal pure returns (bytes32) {
        return keccak256(abi.encode(epoch, led, missed));
    }

    function _digest(address registry, bytes32 structHash) private view returns (bytes32 digest) {
        bytes32 separator = domainSeparator(registry);
        assembly ("memory-safe") {
            let encoded := mload(0x40)
            mstore(encoded, shl(240, 0x1901))
            mstore(add(encoded, 2), separator)
            mstore(add(encoded, 34), structHash)
            digest := keccak256(encoded, 66)
        }
    }
}
