// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ChainSpec} from "./Types.sol";

/// @title ForcedQueue
/// @notice Entries that users put on L1 themselves, first in, first out, so that no leader and no majority of leaders can
/// leave them out: a batch that leaves out what is overdue is refused.
/// @dev Entries are opaque. The contract keeps only what `post` checks, in two slots for each: when the entry came, and the
/// rolling hash up to it,
///
///     hash(0) = 0
///     hash(i + 1) = keccak256(abi.encode(hash(i), uint64 i, uint64 l1Block, address sender, uint8 kind, keccak256(entry)))
///
/// for the entry at position i. The bytes are in the event alone; whoever reads those of all entries can prove by the hash
/// that none is missing and none is altered.
abstract contract ForcedQueue {
    /// @notice The kind of an entry that holds a signed L2 transaction in its EIP-2718 encoding, if it holds what it should.
    uint8 public constant RAW_TRANSACTION = 0;
    /// @notice Most bytes of an entry.
    uint256 public constant FORCED_ENTRY_BYTES_MAX = 16_384;
    /// @notice Most entries that a block takes, and as many as a batch must take if so many are overdue.
    uint256 public constant FORCED_PER_BLOCK_MAX = 16;
    /// @notice L2 gas that an entry counts for in a block, whatever its bytes say. One that declares more is skipped.
    uint256 public constant FORCED_ENTRY_GAS = 4_000_000;
    /// @notice Fee in wei for an entry when none waits. Each that waits adds as much.
    uint256 public constant FORCED_FEE_BASE = 0.0001 ether;

    uint64 private immutable FORCED_LAG;

    struct Entry {
        /// The rolling hash after this entry.
        bytes32 rollingHash;
        /// The L1 block that brought it; never below that of the entry before.
        uint64 l1Block;
    }

    /// One slot: all that `post` needs while the queue is empty.
    struct Ends {
        /// Entries ever put in.
        uint64 length;
        /// Of those, entries that posted batches have taken.
        uint64 consumed;
    }

    Ends private _ends;
    mapping(uint64 position => Entry) private _entries;

    /// @notice An entry joined the queue, in the L1 block of this event. `rollingHash` is the one after it.
    event ForcedEntryEnqueued(
        uint64 indexed position, address indexed sender, uint8 kind, bytes32 rollingHash, uint256 fee, bytes entry
    );
    /// @notice A batch took the entries from position `from` up to, but without, `to`.
    event ForcedEntriesConsumed(uint64 from, uint64 to);

    error ForcedQueue__BlocksTooSmall(uint256 gas, uint64 got);
    error ForcedQueue__UnsupportedKind(uint8 kind);
    error ForcedQueue__WrongLength(uint256 bytesMax, uint256 got);
    error ForcedQueue__FeeTooLow(uint256 fee, uint256 got);
    error ForcedQueue__ExcessNotTaken(address sender, uint256 excess);
    error ForcedQueue__NoSuchPosition(uint64 consumed, uint64 length, uint64 got);
    error ForcedQueue__WrongHash(bytes32 expected, bytes32 got);
    error ForcedQueue__NewerThanOrigin(uint64 position, uint64 l1Block, uint64 lastOriginNumber);
    error ForcedQueue__Overdue(uint64 position, uint64 l1Block, uint64 lastOriginNumber);

    /// @param spec Of a chain whose blocks have gas for the entries of one block. Their bytes need no room: every node has them
    /// from here, no batch carries them again, and `spec.blockBytesMax` bounds what a leader chooses. `spec.forcedLag` counts
    /// L1 blocks from an entry's own to the last origin of the batch that must have it.
    constructor(ChainSpec memory spec) {
        uint256 gas = FORCED_PER_BLOCK_MAX * FORCED_ENTRY_GAS;
        if (spec.blockGasLimit < gas) revert ForcedQueue__BlocksTooSmall(gas, spec.blockGasLimit);
        FORCED_LAG = spec.forcedLag;
    }

    /// @notice Puts an entry at the end of the queue, for `forcedFee()` wei. What is sent beyond that comes back; the fee
    /// stays with this contract. Anyone may call.
    /// @param kind `RAW_TRANSACTION`; no other is known yet.
    /// @param entry 1 to `FORCED_ENTRY_BYTES_MAX` bytes. Nothing is asked of them here: an entry that is no transaction, or
    /// one that cannot be executed, is taken in its turn, and skipped.
    /// @return position Its place in the queue, counted from 0.
    function enqueue(uint8 kind, bytes calldata entry) external payable returns (uint64 position) {
        _requireOpen();
        if (kind != RAW_TRANSACTION) revert ForcedQueue__UnsupportedKind(kind);
        if (entry.length == 0 || entry.length > FORCED_ENTRY_BYTES_MAX) {
            revert ForcedQueue__WrongLength(FORCED_ENTRY_BYTES_MAX, entry.length);
        }
        Ends memory ends = _ends;
        uint256 fee = _feeAt(ends);
        if (msg.value < fee) revert ForcedQueue__FeeTooLow(fee, msg.value);

        position = ends.length;
        uint64 l1Block = uint64(block.number);
        bytes32 rollingHash =
            keccak256(abi.encode(_hashAt(position), position, l1Block, msg.sender, kind, keccak256(entry)));
        _entries[position] = Entry(rollingHash, l1Block);
        _ends.length = position + 1;
        emit ForcedEntryEnqueued(position, msg.sender, kind, rollingHash, fee, entry);

        // Last, so that whoever is called finds the entry in its place.
        uint256 excess = msg.value - fee;
        if (excess != 0) {
            (bool taken,) = msg.sender.call{value: excess}("");
            if (!taken) revert ForcedQueue__ExcessNotTaken(msg.sender, excess);
        }
    }

    /// @notice Wei that the next entry costs: `FORCED_FEE_BASE` for itself and for each that waits, so that filling the
    /// queue costs the square of what it is filled with.
    function forcedFee() external view returns (uint256) {
        return _feeAt(_ends);
    }

    /// @notice How many entries were ever put in, and how many of them posted batches have taken.
    function forcedQueue() external view returns (uint64 length, uint64 consumed) {
        return (_ends.length, _ends.consumed);
    }

    /// @notice The rolling hash over the first `position` entries, and the L1 block of the last of them. Zero at 0, and
    /// beyond the end.
    function forcedAt(uint64 position) external view returns (bytes32 rollingHash, uint64 l1Block) {
        if (position == 0) return (0, 0);
        Entry memory entry = _entries[position - 1];
        return (entry.rollingHash, entry.l1Block);
    }

    /// @dev Reverts when nothing may join the queue.
    function _requireOpen() internal view virtual;

    /// @dev Moves the queue to where a batch says it is, if that is a place to be: at or beyond where the batch before left
    /// it, with the queue's hash there, not beyond what the batch's last origin could know, and not short of what is overdue.
    /// The first entry that is left says whether more are, because entries stand in the order of their L1 blocks.
    function _consumeForced(uint64 position, bytes32 rollingHash, uint64 lastOriginNumber) internal {
        Ends memory ends = _ends;
        if (position < ends.consumed || position > ends.length) {
            revert ForcedQueue__NoSuchPosition(ends.consumed, ends.length, position);
        }
        bytes32 expected = _hashAt(position);
        if (rollingHash != expected) revert ForcedQueue__WrongHash(expected, rollingHash);
        if (position < ends.length && position - ends.consumed < FORCED_PER_BLOCK_MAX) {
            uint64 l1Block = _entries[position].l1Block;
            if (uint256(l1Block) + FORCED_LAG <= lastOriginNumber) {
                revert ForcedQueue__Overdue(position, l1Block, lastOriginNumber);
            }
        }
        if (position == ends.consumed) return;
        uint64 newest = _entries[position - 1].l1Block;
        if (newest > lastOriginNumber) {
            revert ForcedQueue__NewerThanOrigin(position - 1, newest, lastOriginNumber);
        }
        _ends.consumed = position;
        emit ForcedEntriesConsumed(ends.consumed, position);
    }

    function _feeAt(Ends memory ends) private pure returns (uint256) {
        return FORCED_FEE_BASE * (uint256(ends.length - ends.consumed) + 1);
    }

    function _hashAt(uint64 position) private view returns (bytes32) {
        return position == 0 ? bytes32(0) : _entries[position - 1].rollingHash;
    }
}
