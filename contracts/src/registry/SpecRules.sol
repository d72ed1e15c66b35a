// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ChainSpec} from "../Types.sol";
import {RegistryErrors} from "./RegistryErrors.sol";

/// @title SpecRules
/// @notice Which chain specs a registry takes.
library SpecRules {
    /// Most members of a committee, and fewest of one that is not allowed to be small.
    uint256 private constant MEMBERS_MAX = 128;
    uint256 private constant ACTIVATION_MEMBERS = 4;
    uint256 private constant BPS = 10_000;
    /// 128 weights of at most 2^56 - 1 add up to less than 2^63, which the leader schedule needs.
    uint256 private constant WEIGHT_CAP_MAX = 2 ** 56 - 1;
    /// What is allowed for numbers of blocks and epochs, so that sums of them never overflow 64 bits.
    uint256 private constant SPAN_MAX = 2 ** 48;
    /// A settlement looks at every epoch within this distance of an offence.
    uint256 private constant CORRELATION_EPOCHS_MAX = 1024;

    /// @notice Refuses a spec under which the contracts would not keep their promises. What only nodes use is theirs to
    /// judge.
    function check(ChainSpec memory spec) internal view {
        _require(spec.l2ChainId != 0, "l2ChainId");
        _require(spec.epochBlocks != 0 && spec.epochBlocks <= SPAN_MAX, "epochBlocks");
        _require(spec.abandonBlocks != 0 && spec.abandonBlocks <= SPAN_MAX, "abandonBlocks");
        _require(spec.maxOriginAge != 0 && spec.maxOriginAge <= SPAN_MAX, "maxOriginAge");
        _require(spec.liveEpochs != 0 && spec.liveEpochs <= SPAN_MAX, "liveEpochs");
        _require(spec.correlationEpochs <= CORRELATION_EPOCHS_MAX, "correlationEpochs");
        _require(spec.evidenceBlocks != 0 && spec.evidenceBlocks <= SPAN_MAX, "evidenceBlocks");
        _require(spec.jailEpochs <= SPAN_MAX, "jailEpochs");
        _require(spec.batchBytesMax != 0, "batchBytesMax");
        _require(spec.baseSlashBps != 0 && spec.baseSlashBps <= BPS, "baseSlashBps");
        // An offender that reports itself must lose, so less may be paid than is burned.
        _require(spec.reporterBps < BPS / 2, "reporterBps");
        _require(spec.jailMissBps <= BPS, "jailMissBps");
        // With as many as there are seats nobody could ever leave, since nobody could come.
        _require(spec.minCommittee != 0 && spec.minCommittee < MEMBERS_MAX, "minCommittee");
        _require(spec.allowSmall || spec.minCommittee >= ACTIVATION_MEMBERS, "minCommittee");
        _require(spec.orderingRule <= 1, "orderingRule");
        _require(spec.executor <= 1, "executor");
        _require(spec.weightUnit != 0, "weightUnit");
        _require(spec.weightCap != 0 && spec.weightCap <= WEIGHT_CAP_MAX, "weightCap");
        // Otherwise a member could have no weight at all.
        _require(spec.minBond >= spec.weightUnit && spec.minBond <= type(uint128).max, "minBond");
        _require(spec.bondToken.code.length != 0, "bondToken");
    }

    function _require(bool holds, string memory field) private pure {
        if (!holds) revert RegistryErrors.SequencerRegistry__InvalidSpec(field);
    }
}
