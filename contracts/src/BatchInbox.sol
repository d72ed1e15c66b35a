// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Certificates} from "./Certificates.sol";
import {ForcedQueue} from "./ForcedQueue.sol";
import {PostingRefund} from "./PostingRefund.sol";
import {SequencerRegistry} from "./SequencerRegistry.sol";
import {BatchHeader, Certificate, ChainSpec} from "./Types.sol";
import {Statements} from "./libraries/Statements.sol";

/// @title BatchInbox
/// @notice The list of posted batches: each follows the one before it and carries a committee's certificate.
/// @dev Writes O(1) storage for a batch. Nobody's permission is needed to post: the certificate is the permission.
///
/// Every window of the slasher and of the registry is counted from an epoch's close: the first batch of a later epoch. A
/// chain without a batch for `abandonBlocks`, or whose batches have stayed behind for twice as long, can be abandoned by
/// anyone, which closes what is open: nobody's bond is locked by a dead chain.
contract BatchInbox is ForcedQueue, PostingRefund {
    /// @notice Data kinds of a batch header.
    uint8 public constant BLOBS = 0;
    uint8 public constant CALLDATA = 1;

    /// @notice The registry whose committees certify.
    SequencerRegistry public immutable REGISTRY;

    /// The registry's, asked directly: one contract to call for a post.
    Certificates private immutable CERTIFICATES;
    uint64 private immutable L2_CHAIN_ID;
    uint64 private immutable LIVE_EPOCHS;
    uint64 private immutable MAX_ORIGIN_AGE;
    uint64 private immutable BATCH_BYTES_MAX;
    uint64 private immutable BATCH_BLOBS_MAX;
    uint64 private immutable ABANDON_BLOCKS;
    /// Where the parts of a call of `post` lie: selector, fourteen words of header and two offsets; the certificate's epoch,
    /// bitmap and offset, the length of its signature and that; the length of the data; the data, in whole words.
    uint256 private constant CERTIFICATE_AT = 516;
    uint256 private constant DATA_AT = 804;
    /// Tokens of a call without data, or less: four hashes and two coordinates of 48 bytes are random.
    uint256 private constant CALL_TOKENS = 1500;

    bool private immutable EXECUTES;
    uint64 private immutable FIRST_EPOCH;

    /// Two slots. Indexes, epochs and block numbers stay far below 2^40: L1 would need four hundred thousand years.
    struct Tip {
        uint48 nextIndex;
        uint40 epoch;
        uint48 acceptedAtBlock;
        /// 0 while the chain lives.
        uint48 abandonedAtBlock;
        /// Whether a batch of `epoch` came too late for a reward.
        bool isUnrewarded;
        uint64 lastHeight;
        bytes32 lastBatchHash;
    }

    /// What ended an epoch: the first batch of a later one; and how the epoch stood then. One slot, so that remembering how
    /// it stood costs no batch anything.
    struct Closing {
        uint40 nextEpoch;
        uint48 atBlock;
        /// Whether one of its batches came too late for a reward.
        bool isUnrewarded;
        /// The first 20 bytes of the hash of its last batch; zero for a skipped epoch. Two headers that share them are as
        /// hard to find as two accounts with one address, and each names the batch before it, so that nobody can begin to
        /// search before that is posted.
        bytes20 lastBatch;
    }

    Tip private _tip;
    /// For each epoch with a batch whose successor is known; under 0 for what came before the first batch of all; and for
    /// those skipped epochs that somebody named.
    mapping(uint64 epoch => Closing) private _closings;

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
    /// @notice An epoch without a batch closed with the one before it that has one.
    event SkippedEpochClosed(uint64 indexed epoch, uint64 nextEpoch, uint64 atBlock);
    /// @notice No batch will be accepted any more; every open epoch is closed.
    event Abandoned(uint64 atBlock);

    error BatchInbox__NotTheRegistrysInbox(address inbox, address self);
    error BatchInbox__NotAPlainAccount(address caller);
    error BatchInbox__OddCalldata();
    error BatchInbox__UnknownDataKind(uint8 kind);
    error BatchInbox__NoBlobs();
    error BatchInbox__TooManyBlobs(uint64 blobsMax);
    error BatchInbox__DataBesidesBlobs(uint256 got);
    error BatchInbox__BlobsBesidesData();
    error BatchInbox__NotNextBatch(uint64 expected, uint64 got);
    error BatchInbox__WrongPreviousHash(bytes32 expected, bytes32 got);
    error BatchInbox__WrongFirstHeight(uint64 expected, uint64 got);
    error BatchInbox__WrongLastHeight(uint64 firstHeight, uint64 got);
    error BatchInbox__EpochNotRunning(uint64 oldest, uint64 newest, uint64 got);
    error BatchInbox__OriginNotPast(uint256 currentBlock, uint64 got);
    error BatchInbox__WrongStateRoot(bool executes, bytes32 got);
    error BatchInbox__WrongCommitteeEpoch(uint64 oldest, uint64 newest, uint64 got);
    error BatchInbox__DataTooLong(uint64 bytesMax, uint256 got);
    error BatchInbox__WrongDataHash(bytes32 expected, bytes32 got);
    error BatchInbox__SkippedAndNotNamed(uint64 epoch);
    error BatchInbox__NotSkipped(uint64 before, uint64 nextEpoch, uint64 epoch);
    error BatchInbox__ChainIsAbandoned(uint64 atBlock);
    error BatchInbox__NotDeadYet(uint256 firstBlock, uint256 currentBlock);

    /// @param registry A registry that was deployed with this contract's address as its inbox.
    constructor(SequencerRegistry registry) ForcedQueue(registry.params()) {
        if (registry.INBOX() != address(this)) {
            revert BatchInbox__NotTheRegistrysInbox(registry.INBOX(), address(this));
        }
        ChainSpec memory spec = registry.params();
        REGISTRY = registry;
        CERTIFICATES = registry.CERTIFICATES();
        L2_CHAIN_ID = spec.l2ChainId;
        LIVE_EPOCHS = spec.liveEpochs;
        MAX_ORIGIN_AGE = spec.maxOriginAge;
        BATCH_BYTES_MAX = spec.batchBytesMax;
        BATCH_BLOBS_MAX = spec.batchBlobsMax;
        ABANDON_BLOCKS = spec.abandonBlocks;
        EXECUTES = spec.executor != 0;
        FIRST_EPOCH = registry.FIRST_EPOCH();
    }

    /// @notice Accepts the next batch. Any account without code may call, in a transaction that is nothing but the call; the
    /// committee of `certificate.committeeEpoch` must be materialized.
    /// @param header The batch.
    /// @param certificate A quorum's signature on the batch's attestation.
    /// @param data Empty when blobs carry the batch: then `header.dataHash` is keccak256 of the versioned hashes of all blobs
    /// of this transaction, in their order, 32 bytes each. Otherwise what `header.dataHash` is the keccak256 of.
    function post(BatchHeader calldata header, Certificate calldata certificate, bytes calldata data) external {
        uint256 gasAtStart = gasleft();
        _checkCall(certificate, data);
        Tip memory tip_ = _tip;
        if (tip_.abandonedAtBlock != 0) revert BatchInbox__ChainIsAbandoned(tip_.abandonedAtBlock);
        uint64 currentEpoch = CERTIFICATES.epochOf(block.number);
        _checkOrder(header, tip_);
        _checkEpochs(header, certificate.committeeEpoch, tip_, currentEpoch);
        _checkContent(header, data);
        _consumeForced(header.forcedPosition, header.forcedHash, header.lastOriginNumber);

        (bytes32 attestation, bytes32 batchHash) =
            Statements.postedDigests(address(REGISTRY), L2_CHAIN_ID, certificate.committeeEpoch, header);
        CERTIFICATES.verifyQuorum(certificate.committeeEpoch, attestation, certificate.bitmap, certificate.signature);

        _advance(header, tip_, batchHash);
        emit BatchPosted(
            header.index,
            batchHash,
            header.epoch,
            header.firstHeight,
            header.lastHeight,
            header.dataKind,
            header.dataHash
        );
        if (uint256(header.lastOriginNumber) + MAX_ORIGIN_AGE >= block.number) {
            _refund(header.index, gasAtStart, CALL_TOKENS, data);
        }
    }

    /// @notice Records when `epoch`, which has no batch although a later one has, was closed. Anyone may call.
    /// @dev `closedAt` answers in O(1), so it knows skipped epochs only once they were named here.
    /// @param before The last epoch before `epoch` that has a batch; 0 when there is none.
    function closeSkipped(uint64 epoch, uint64 before) external {
        Closing memory closing = _closings[before];
        if (before >= epoch || closing.nextEpoch <= epoch) {
            revert BatchInbox__NotSkipped(before, closing.nextEpoch, epoch);
        }
        closing.lastBatch = 0;
        _closings[epoch] = closing;
        emit SkippedEpochClosed(epoch, closing.nextEpoch, closing.atBlock);
    }

    /// @notice Declares the chain dead: `post` refuses everything from now on, and every open epoch counts as closed at
    /// this block. Anyone may call when no batch was accepted for `abandonBlocks` L1 blocks, counted from the last batch,
    /// or from the start of the first epoch when there is none; or when the last batch is of an epoch that ended more than
    /// twice as long ago, so that a batch now and then of an epoch that never closes holds nobody's bond.
    function abandon() external {
        Tip memory tip_ = _tip;
        if (tip_.abandonedAtBlock != 0) revert BatchInbox__ChainIsAbandoned(tip_.abandonedAtBlock);
        uint256 since = tip_.nextIndex == 0 ? REGISTRY.epochStart(FIRST_EPOCH) : tip_.acceptedAtBlock;
        uint256 firstBlock = since + ABANDON_BLOCKS + 1;
        if (tip_.nextIndex != 0) {
            uint256 behind = REGISTRY.epochStart(tip_.epoch + 1) + 2 * uint256(ABANDON_BLOCKS) + 1;
            if (behind < firstBlock) firstBlock = behind;
        }
        if (block.number < firstBlock) revert BatchInbox__NotDeadYet(firstBlock, block.number);
        _tip.abandonedAtBlock = uint48(block.number);
        emit Abandoned(uint64(block.number));
    }

    /// @notice L1 block at which the chain was abandoned; 0 while it lives.
    function abandonedAt() external view returns (uint64) {
        return _tip.abandonedAtBlock;
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

    /// @notice L1 block at which `epoch` closed: that of the first batch of a later epoch, or of the abandonment. 0 while it
    /// is open, and for a skipped epoch until `closeSkipped` names it.
    function closedAt(uint64 epoch) public view returns (uint64) {
        (uint64 tipEpoch, uint64 abandonedAtBlock) = (_tip.epoch, _tip.abandonedAtBlock);
        // What closes an epoch is a later tip.
        return epoch < tipEpoch ? _closings[epoch].atBlock : abandonedAtBlock;
    }

    /// @notice As `closedAt`, for who counts a window from it: reverts for a skipped epoch until `closeSkipped` names it,
    /// since 0 would mean that the window has no end yet.
    function windowStart(uint64 epoch) external view returns (uint64 atBlock) {
        atBlock = closedAt(epoch);
        if (atBlock == 0 && epoch < _tip.epoch) revert BatchInbox__SkippedAndNotNamed(epoch);
    }

    /// @notice What `closeSkipped` wants to be told: the last epoch before `epoch` that has a batch or was named; 0 when
    /// there is none. For callers off chain: it looks at one epoch after the other.
    function closedBefore(uint64 epoch) external view returns (uint64 before) {
        before = epoch;
        while (before != 0 && _closings[--before].atBlock == 0) {}
    }

    /// @notice Epoch of the batch that closed `epoch`; 0 when none did, and for a skipped epoch until `closeSkipped` names
    /// it. `nextEpochAfter(0)` is the first epoch of all that has a batch.
    function nextEpochAfter(uint64 epoch) external view returns (uint64) {
        return _closings[epoch].nextEpoch;
    }

    /// @notice The first 20 bytes of the hash of the last batch of `epoch`, and whether the epoch earns a reward: none of
    /// its batches had an origin that was too old. Zero while the epoch is open, and where it has no batch.
    function lastBatchOf(uint64 epoch) external view returns (bytes20 lastBatch, bool isRewarded) {
        Closing memory closing = _closings[epoch];
        if (closing.atBlock != 0) return (closing.lastBatch, closing.lastBatch != 0 && !closing.isUnrewarded);
        Tip memory tip_ = _tip;
        if (tip_.abandonedAtBlock == 0 || tip_.nextIndex == 0 || epoch != tip_.epoch) return (0, false);
        return (bytes20(tip_.lastBatchHash), !tip_.isUnrewarded);
    }

    /// @dev Entries count from the registry's activation, where nodes begin to read, until nothing takes them any more.
    function _requireOpen() internal view override {
        uint48 abandonedAtBlock = _tip.abandonedAtBlock;
        if (abandonedAtBlock != 0) revert BatchInbox__ChainIsAbandoned(abandonedAtBlock);
        REGISTRY.epochOf(block.number);
    }

    /// @dev Whoever rebuilds the chain has header, certificate and data from the transaction's own calldata, which L1 keeps and
    /// every endpoint shows. Were they passed on by a contract, or by an account that EIP-7702 gave code, they would not be
    /// there; and where an offset points to another place than an encoder's, not every decoder finds them. One such batch
    /// would end the chain for whoever reads it from L1.
    function _checkCall(Certificate calldata certificate, bytes calldata data) private view {
        if (msg.sender != tx.origin || msg.sender.code.length != 0) revert BatchInbox__NotAPlainAccount(msg.sender);
        bool isOdd;
        assembly ("memory-safe") {
            isOdd := or(xor(certificate, CERTIFICATE_AT), xor(data.offset, DATA_AT))
            // The offset of the signature, in the certificate, and its length.
            isOdd := or(isOdd, xor(calldataload(add(CERTIFICATE_AT, 0x40)), 0x60))
            isOdd := or(isOdd, xor(calldataload(add(CERTIFICATE_AT, 0x60)), 0x80))
            let end := add(data.offset, data.length)
            let padding := sub(calldatasize(), end)
            // Whole words, and nothing after them. Beyond the calldata zeros are read.
            isOdd := or(isOdd, or(gt(padding, 0x1f), and(sub(calldatasize(), DATA_AT), 0x1f)))
            isOdd := iszero(iszero(or(isOdd, calldataload(end))))
        }
        if (isOdd) revert BatchInbox__OddCalldata();
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

    /// @dev Moves the tip to a batch that was checked, and closes the epoch before if it is the first of another.
    function _advance(BatchHeader calldata header, Tip memory tip_, bytes32 batchHash) private {
        // None of the casts can lose anything: see `Tip`. The index and the epoch were checked against the tip and L1.
        (uint48 blockNumber, uint40 epoch) = (uint48(block.number), uint40(header.epoch));
        bool isUnrewarded = uint256(header.lastOriginNumber) + MAX_ORIGIN_AGE < blockNumber;
        if (isUnrewarded) emit OriginTooOld(header.index, header.lastOriginNumber, blockNumber - MAX_ORIGIN_AGE);
        if (epoch > tip_.epoch) {
            // The first batch of all closes what came before it.
            _closings[tip_.epoch] = Closing(epoch, blockNumber, tip_.isUnrewarded, bytes20(tip_.lastBatchHash));
        } else if (tip_.isUnrewarded) {
            isUnrewarded = true;
        }
        _tip = Tip(uint48(header.index + 1), epoch, blockNumber, 0, isUnrewarded, header.lastHeight, batchHash);
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
        bytes32 dataHash = header.dataKind == BLOBS ? _blobsHash(data) : _calldataHash(header.dataKind, data);
        if (dataHash != header.dataHash) revert BatchInbox__WrongDataHash(header.dataHash, dataHash);
        if (header.lastOriginNumber >= block.number) {
            revert BatchInbox__OriginNotPast(block.number, header.lastOriginNumber);
        }
        if ((header.stateRoot != 0) != EXECUTES) revert BatchInbox__WrongStateRoot(EXECUTES, header.stateRoot);
    }

    /// @dev Of every blob that the transaction carries: none is left that nobody attested and somebody pays for.
    function _blobsHash(bytes calldata data) private view returns (bytes32 hash) {
        if (data.length != 0) revert BatchInbox__DataBesidesBlobs(data.length);
        if (blobhash(0) == 0) revert BatchInbox__NoBlobs();
        uint256 blobsMax = BATCH_BLOBS_MAX;
        if (blobhash(blobsMax) != 0) revert BatchInbox__TooManyBlobs(BATCH_BLOBS_MAX);
        assembly ("memory-safe") {
            // Scratch beyond the free memory: it is hashed and forgotten.
            let start := mload(0x40)
            let end := start
            for { let i := 0 } lt(i, blobsMax) { i := add(i, 1) } {
                let blob := blobhash(i)
                if iszero(blob) { break }
                mstore(end, blob)
                end := add(end, 0x20)
            }
            hash := keccak256(start, sub(end, start))
        }
    }

    function _calldataHash(uint8 kind, bytes calldata data) private view returns (bytes32) {
        if (kind != CALLDATA) revert BatchInbox__UnknownDataKind(kind);
        if (blobhash(0) != 0) revert BatchInbox__BlobsBesidesData();
        if (data.length > BATCH_BYTES_MAX) revert BatchInbox__DataTooLong(BATCH_BYTES_MAX, data.length);
        return keccak256(data);
    }
}
