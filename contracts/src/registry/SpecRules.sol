// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ChainSpec} from "../Types.sol";
import {RegistryErrors} from "./RegistryErrors.sol";

/// @title SpecRules
/// @notice Which chain specs a registry takes.
library SpecRules {
    /// Most members of a committee, and fewest of one that is not allowed to be small.
    uint256 private constant MEMBERS_MAX = 128;
    uint256 private constant MEMBERS_MIN = 4;
    uint256 private constant BPS = 10_000;
    /// 128 weights of at most 2^56 - 1 add up to less than 2^63, which the leader schedule needs.
    uint256 private constant WEIGHT_CAP_MAX = 2 ** 56 - 1;
    /// What is allowed for numbers of blocks and epochs, so that sums of them never overflow 64 bits.
    uint256 private constant SPAN_MAX = 2 ** 48;
    /// A settlement looks at every epoch within this distance of an offence.
    uint256 private constant CORRELATION_EPOCHS_MAX = 1024;
    /// L1's nodes take no transaction of more than 128 KiB into their pools; the rest is for what surrounds the data.
    uint256 private constant BATCH_BYTES_MAX = 120 * 1024;
    /// What L1 lets one transaction carry (EIP-7594).
    uint256 private constant BATCH_BLOBS_MAX = 6;
    /// Data that a blob carries, 31 bytes in each of its elements, and what stands in front of it in the first.
    uint256 private constant BLOB_DATA_BYTES = 126_976;
    uint256 private constant BLOB_HEAD_BYTES = 5;
    /// What a block's data has at most beyond its transactions' bytes, and a 128th of those, as compression makes longer
    /// what cannot be compressed: a header's columns, framing, and room for transactions that are written less tersely
    /// there. Forced entries are on L1 already.
    uint256 private constant BLOCK_OVERHEAD_BYTES = 4096;
    uint256 private constant GROWTH = 128;

    /// @notice Refuses a spec under which the contracts would not keep their promises. What only nodes use is theirs to
    /// judge.
    function check(ChainSpec memory spec) internal view {
        _require("l2ChainId", spec.l2ChainId, 1, type(uint64).max);
        _require("epochBlocks", spec.epochBlocks, 1, SPAN_MAX);
        _require("abandonBlocks", spec.abandonBlocks, 1, SPAN_MAX);
        _require("maxOriginAge", spec.maxOriginAge, 1, SPAN_MAX);
        _require("liveEpochs", spec.liveEpochs, 1, SPAN_MAX);
        _require("correlationEpochs", spec.correlationEpochs, 0, CORRELATION_EPOCHS_MAX);
        _require("evidenceBlocks", spec.evidenceBlocks, 1, SPAN_MAX);
        _require("jailEpochs", spec.jailEpochs, 0, SPAN_MAX);
        // A final block that fits no batch could never be posted, nor anything after it.
        _require("batchBlobsMax", spec.batchBlobsMax, 0, BATCH_BLOBS_MAX);
        uint256 batchBytesMin = spec.batchBlobsMax == 0 ? BLOCK_OVERHEAD_BYTES : 1;
        _require("batchBytesMax", spec.batchBytesMax, batchBytesMin, BATCH_BYTES_MAX);
        _require("blockBytesMax", spec.blockBytesMax, 0, _largestBlock(spec));
        _require("baseSlashBps", spec.baseSlashBps, 1, BPS);
        // An offender that reports itself must lose, so less may be paid than is burned.
        _require("reporterBps", spec.reporterBps, 0, BPS / 2 - 1);
        _require("jailMissBps", spec.jailMissBps, 0, BPS);
        // With as many as there are seats nobody could ever leave, since nobody could come.
        _require("minCommittee", spec.minCommittee, spec.allowSmall ? 1 : MEMBERS_MIN, MEMBERS_MAX - 1);
        _require("orderingRule", spec.orderingRule, 0, 1);
        _require("executor", spec.executor, 0, 1);
        _require("weightUnit", spec.weightUnit, 1, type(uint128).max);
        _require("weightCap", spec.weightCap, 1, WEIGHT_CAP_MAX);
        // Otherwise a member could have no weight at all.
        _require("minBond", spec.minBond, spec.weightUnit, type(uint128).max);
        _require("bondToken", spec.bondToken.code.length, 1, type(uint256).max);
        // Without it nodes could start from different states, and without an executor there is no state to start from.
        (uint256 least, uint256 most) = spec.executor == 0 ? (uint256(0), uint256(0)) : (1, type(uint256).max);
        _require("genesisHash", uint256(spec.genesisHash), least, most);
    }

    /// @dev Returns the largest `bytesMax` of which `bytesMax + bytesMax / GROWTH + BLOCK_OVERHEAD_BYTES` fits calldata or blobs,
    /// whichever hold more; `check` has seen to it that the overhead does. Of `GROWTH + 1` bytes of room a block has all but
    /// one.
    function _largestBlock(ChainSpec memory spec) private pure returns (uint256) {
        uint256 room = spec.batchBytesMax;
        if (spec.batchBlobsMax != 0) {
            uint256 blobsRoom = spec.batchBlobsMax * BLOB_DATA_BYTES - BLOB_HEAD_BYTES;
            if (blobsRoom > room) room = blobsRoom;
        }
        return (GROWTH * (room - BLOCK_OVERHEAD_BYTES) + GROWTH - 1) / (GROWTH + 1);
    }

    function _require(string memory field, uint256 got, uint256 least, uint256 most) private pure {
        if (got < least || got > most) revert RegistryErrors.SequencerRegistry__InvalidSpec(field, got, least, most);
    }
}
