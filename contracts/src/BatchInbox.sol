// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {SequencerRegistry} from "./SequencerRegistry.sol";
import {BatchHeader, Certificate, ChainSpec} from "./Types.sol";
import {Statements} from "./libraries/Statements.sol";

/// @title BatchInbox
/// @notice The list of posted batches: each follows the one before it and carries a committee's certificate.
/// @dev Writes O(1) storage for a batch. Nobody's permission is needed to post: the certificate is the permission.
contract BatchInbox {
    /// @notice Data kinds of a batch header.
    uint8 public constant BLOBS = 0;
    uint8 public constant CALLDATA = 1;

    /// @notice The registry whose committees certify.
    SequencerRegistry public immutable REGISTRY;

    uint64 private immutable L2_CHAIN_ID;
    uint64 private immutable LIVE_EPOCHS;
    uint64 private immutable MAX_ORIGIN_AGE;
    uint64 private immutable BATCH_BYTES_MAX;
    bool private immutable EXECUTES;
    uint64 private immutable FIRST_EPOCH;

    struct Tip {
        uint64 nextIndex;
        uint64 lastHeight;
        uint64 epoch;
        uint64 acceptedAtBlock;
        bytes32 lastBatchHash;
    }

    /// The first batch of an epoch: it closes every epoch before.
    struct Opening {
        uint64 epoch;
        uint64 acceptedAtBlock;
    }

    Tip private _tip;
    /// One for each epoch with a batch, in ascending order.
    Opening[] private _openings;

    /// @notice A batch was accepted.
    event BatchPosted(
        uint64 indexed index,
        bytes32 indexed batchHash,
        uint64 epoch,
        uint64 firstHeight,
        uint64 lastHeight,
        uint8 dataKind,
        bytes32 dataHash
    );
    /// @notice A batch was accepted whose last L1 origin is older than `oldestRewarded`: its epoch earns no reward.
    event OriginTooOld(uint64 indexed index, uint64 lastOriginNumber, uint64 oldestRewarded);

    error BatchInbox__NotTheRegistrysInbox(address inbox, address self);
    error BatchInbox__UnsupportedDataKind(uint8 kind);
    error BatchInbox__NotNextBatch(uint64 expected, uint64 got);
    error BatchInbox__WrongPreviousHash(bytes32 expected, bytes32 got);
    error BatchInbox__WrongFirstHeight(uint64 expected, uint64 got);
    error BatchInbox__WrongLastHeight(uint64 firstHeight, uint64 got);
    error BatchInbox__EpochNotRunning(uint64 oldest, uint64 newest, uint64 got);
    error BatchInbox__OriginNotPast(uint256 currentBlock, uint64 got);
    error BatchInbox__WrongStateRoot(bool executes, bytes32 got);
    error BatchInbox__WrongForcedPosition(uint64 expected, uint64 got);
    error BatchInbox__WrongForcedHash(bytes32 expected, bytes32 got);
    error BatchInbox__WrongCommitteeEpoch(uint64 oldest, uint64 newest, uint64 got);
    error BatchInbox__DataTooLong(uint64 bytesMax, uint256 got);
    error BatchInbox__WrongDataHash(bytes32 expected, bytes32 got);

    /// @param registry A registry that was deployed with this contract's address as its inbox.
    constructor(SequencerRegistry registry) {
        if (registry.INBOX() != address(this)) {
            revert BatchInbox__NotTheRegistrysInbox(registry.INBOX(), address(this));
        }
        ChainSpec memory spec = registry.params();
        REGISTRY = registry;
        L2_CHAIN_ID = spec.l2ChainId;
        LIVE_EPOCHS = spec.liveEpochs;
        MAX_ORIGIN_AGE = spec.maxOriginAge;
        BATCH_BYTES_MAX = spec.batchBytesMax;
        EXECUTES = spec.executor != 0;
        FIRST_EPOCH = registry.FIRST_EPOCH();
    }

    /// @notice Accepts the next batch. Anyone may call; the committee of `certificate.committeeEpoch` must be
    /// materialized.
    /// @param header The batch.
    /// @param certificate A quorum's signature on the batch's attestation.
    /// @param data What `header.dataHash` is the keccak256 of.
    function post(BatchHeader calldata header, Certificate calldata certificate, bytes calldata data) external {
        Tip memory tip_ = _tip;
        uint64 currentEpoch = REGISTRY.epochOf(block.number);
        _checkOrder(header, tip_);
        _checkEpochs(header, certificate.committeeEpoch, tip_, currentEpoch);
        _checkContent(header, data);

        bytes32 batchHash = Statements.batchHash(header);
        REGISTRY.verifyQuorum(
            certificate.committeeEpoch,
            Statements.attestDigest(address(REGISTRY), L2_CHAIN_ID, certificate.committeeEpoch, header, batchHash),
            certificate.bitmap,
            certificate.signature
        );

        // Block numbers stay below 2^64.
        uint64 blockNumber = uint64(block.number);
        // The first batch of all opens its epoch too: what came before it had no batch and is closed.
        if (header.epoch > tip_.epoch) _openings.push(Opening(header.epoch, blockNumber));
        _tip = Tip(header.index + 1, header.lastHeight, header.epoch, blockNumber, batchHash);
        emit BatchPosted(
            header.index,
            batchHash,
            header.epoch,
            header.firstHeight,
            header.lastHeight,
            header.dataKind,
            header.dataHash
        );
        if (uint256(header.lastOriginNumber) + MAX_ORIGIN_AGE < blockNumber) {
            emit OriginTooOld(header.index, header.lastOriginNumber, blockNumber - MAX_ORIGIN_AGE);
        }
    }

    /// @notice Index that the next batch must have.
    function nextIndex() external view returns (uint64) {
        return _tip.nextIndex;
    }

    /// @notice Where the chain of batches stands. All zero before the first batch.
    function tip()
        external
        view
        returns (uint64 nextIndex_, uint64 lastHeight, uint64 epoch, uint64 acceptedAtBlock, bytes32 lastBatchHash)
    {
        Tip memory tip_ = _tip;
        return (tip_.nextIndex, tip_.lastHeight, tip_.epoch, tip_.acceptedAtBlock, tip_.lastBatchHash);
    }

    /// @notice L1 block at which the first batch of an epoch later than `epoch` was accepted; 0 while there is none,
    /// that is while `epoch` is open.
    function closedAt(uint64 epoch) external view returns (uint64) {
        return _openingAfter(epoch).acceptedAtBlock;
    }

    /// @notice The first epoch later than `epoch` that has a batch; 0 while there is none.
    function nextEpochAfter(uint64 epoch) external view returns (uint64) {
        return _openingAfter(epoch).epoch;
    }

    function _openingAfter(uint64 epoch) private view returns (Opening memory opening) {
        uint256 low = 0;
        uint256 count = _openings.length;
        uint256 high = count;
        while (low < high) {
            uint256 middle = (low + high) / 2;
            if (_openings[middle].epoch <= epoch) low = middle + 1;
            else high = middle;
        }
        if (low != count) opening = _openings[low];
    }

    function _checkOrder(BatchHeader calldata header, Tip memory tip_) private pure {
        if (header.index != tip_.nextIndex) revert BatchInbox__NotNextBatch(tip_.nextIndex, header.index);
        if (header.prevBatchHash != tip_.lastBatchHash) {
            revert BatchInbox__WrongPreviousHash(tip_.lastBatchHash, header.prevBatchHash);
        }
        if (header.firstHeight != tip_.lastHeight + 1) {
            revert BatchInbox__WrongFirstHeight(tip_.lastHeight + 1, header.firstHeight);
        }
        if (header.lastHeight < header.firstHeight) {
            revert BatchInbox__WrongLastHeight(header.firstHeight, header.lastHeight);
        }
    }

    /// @dev Batches go through epochs in order and never ahead of L1. A batch is certified by its own epoch's
    /// committee; where that has been gone for more than LIVE_EPOCHS, by any committee of the recent epochs, so that
    /// what it finalized can still be posted.
    function _checkEpochs(BatchHeader calldata header, uint64 committeeEpoch, Tip memory tip_, uint64 currentEpoch)
        private
        view
    {
        uint64 oldest = tip_.epoch > FIRST_EPOCH ? tip_.epoch : FIRST_EPOCH;
        if (header.epoch < oldest || header.epoch > currentEpoch) {
            revert BatchInbox__EpochNotRunning(oldest, currentEpoch, header.epoch);
        }
        (uint64 from, uint64 to) = currentEpoch - header.epoch <= LIVE_EPOCHS
            ? (header.epoch, header.epoch)
            : (currentEpoch - LIVE_EPOCHS, currentEpoch);
        if (committeeEpoch < from || committeeEpoch > to) {
            revert BatchInbox__WrongCommitteeEpoch(from, to, committeeEpoch);
        }
    }

    function _checkContent(BatchHeader calldata header, bytes calldata data) private view {
        if (header.dataKind != CALLDATA) revert BatchInbox__UnsupportedDataKind(header.dataKind);
        if (data.length > BATCH_BYTES_MAX) revert BatchInbox__DataTooLong(BATCH_BYTES_MAX, data.length);
        if (keccak256(data) != header.dataHash) {
            revert BatchInbox__WrongDataHash(header.dataHash, keccak256(data));
        }
        if (header.lastOriginNumber >= block.number) {
            revert BatchInbox__OriginNotPast(block.number, header.lastOriginNumber);
        }
        if ((header.stateRoot != 0) != EXECUTES) revert BatchInbox__WrongStateRoot(EXECUTES, header.stateRoot);
        // There is no forced queue in this version: its position and its hash are those of an empty queue.
        if (header.forcedPosition != 0) revert BatchInbox__WrongForcedPosition(0, header.forcedPosition);
        if (header.forcedHash != 0) revert BatchInbox__WrongForcedHash(0, header.forcedHash);
    }
}
