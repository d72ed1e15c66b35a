//! Every bound on what travels, in one place, with its arithmetic.
//!
//! Consensus once stopped on another chain because its messages outgrew the network's limit; here the largest message is
//! the sum of its largest parts, and the sum is checked when this crate is compiled.

/// Most members of one committee: one 256-bit word on L1 holds a bitmap of them with room to spare.
pub const COMMITTEE_MEMBERS_MAX: usize = 128;

/// Most bytes of one transaction in its EIP-2718 encoding: what the pools of L1 clients accept (128 KiB).
pub const TRANSACTION_BYTES_MAX: usize = 128 * 1024;

/// Most gas one transaction may declare: the cap of EIP-7825, 2^24.
pub const TRANSACTION_GAS_MAX: u64 = 1 << 24;

/// Most transaction bytes in one block, for any chain: a chain spec may set less (`blockBytesMax`), never more.
pub const BLOCK_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Most transactions in one block: the smallest signed transfer has about 100 bytes, so 2 MiB hold fewer than this.
pub const BLOCK_TRANSACTIONS_MAX: usize = 32_768;

/// Most bytes of one entry of the forced queue: `contracts/src/ForcedQueue.sol`.
pub const FORCED_ENTRY_BYTES_MAX: usize = 16 * 1024;

/// Most entries of the forced queue in one block: 256 KiB, and 64M gas of a block's 120M.
pub const FORCED_PER_BLOCK_MAX: usize = 16;

/// Gas that a forced entry counts for, whatever its bytes say; one that declares more is skipped.
pub const FORCED_ENTRY_GAS: u64 = 4_000_000;

/// Most calldata bytes of one batch. L1 pools refuse a transaction above 128 KiB; header, certificate and envelope take
/// the rest.
pub const BATCH_DATA_BYTES_MAX: usize = 120 * 1024;

/// Most blobs of one batch: what L1 lets one transaction carry (EIP-7594).
pub const BATCH_BLOBS_MAX: usize = 6;

/// Most data bytes of one batch in blobs: 31 bytes in each of 4,096 elements of each blob, less five in front.
pub const BATCH_BLOB_DATA_BYTES_MAX: usize = BATCH_BLOBS_MAX * 126_976 - 5;

/// Most bytes of a batch of one block beyond its transactions' and the 1/[`BLOCK_DATA_GROWTH`] of those: a header's columns,
/// framing, and room for transactions that are written less tersely there than in their own encoding.
pub const BLOCK_DATA_OVERHEAD_BYTES: u64 = 4_096;

/// By which share of itself compression may make longer what cannot be compressed, at most: zstd's own bound is 1/256 and a
/// few bytes.
pub const BLOCK_DATA_GROWTH: u64 = 128;

/// Most bytes a batch may have after decompression.
pub const BATCH_DECODED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Most blocks in one batch.
pub const BATCH_BLOCKS_MAX: usize = 16_384;

/// Most bytes of one gossip message that carries transactions; one transaction of the largest size always fits.
pub const GOSSIP_BYTES_MAX: usize = 256 * 1024;

/// Most transactions in one gossip message.
pub const GOSSIP_TRANSACTIONS_MAX: usize = 1_024;

/// Most blocks in one answer to a range request.
pub const RANGE_BLOCKS_MAX: usize = 256;

/// Most headers that prove a range: those between its last block and the finalization above it. No honest leader builds
/// on more unfinalized blocks than this, so every final block can be proven in one answer.
pub const RANGE_TAIL_MAX: usize = 4_096;

/// Payload bytes above which a proposal carries its transactions' hashes in place of their bytes.
///
/// A hash has 32 bytes and the smallest transfer some 110, so a compact proposal is less than a third of a whole one, but
/// a receiver that lacks a single transaction waits for one more round trip. At 16 KiB, about 150 transfers, a whole
/// proposal to 127 members is 2 MiB, or 17 ms of a leader's upload at 1 Gbit/s: less than most round trips. Above it the
/// upload soon is what a view waits for: 2 MiB to everybody take two seconds whole and half a second compact.
pub const COMPACT_ABOVE_BYTES: usize = 16 * 1024;

/// Most transactions of a block in one question: at 3 bytes for each index it has 12 KiB.
pub const TRANSACTIONS_ASKED_MAX: usize = 4_096;

/// Bytes of transactions from which an answer takes no more of those asked for.
pub const TRANSACTIONS_BYTES_TARGET: usize = 512 * 1024;

/// Most bytes of transactions in one forwarded message; one transaction of the largest size always fits.
pub const FORWARD_BYTES_MAX: usize = TRANSACTION_BYTES_MAX + ENVELOPE_BYTES;

/// Most transactions in one forwarded message.
pub const FORWARD_TRANSACTIONS_MAX: usize = 512;

/// Most bytes of a question: forwarded transactions with their tags and lengths are the largest.
pub const SYNC_REQUEST_BYTES_MAX: usize = FORWARD_BYTES_MAX + (FORWARD_TRANSACTIONS_MAX + 1) * ITEM_OVERHEAD_BYTES;

/// Most bytes of one gossip message about a view: a final header with its certificate, or evidence.
pub const ANNOUNCEMENT_BYTES_MAX: usize = ENVELOPE_BYTES;

/// Most bytes of one stored record that holds no transactions: a header, a statement, a certificate or evidence.
pub const RECORD_BYTES_MAX: usize = ENVELOPE_BYTES;

/// Bytes kept free in a frame for header, statements, signatures and protobuf tags, per block or message.
const ENVELOPE_BYTES: usize = 4 * 1024;

/// Most bytes of one header, or of a block without its transactions, in an answer to a range request: four hashes, an
/// address and a dozen numbers have 300 bytes with their tags.
const HEADER_BYTES: usize = 512;

/// Protobuf spends at most this much on the tag and length of one transaction.
const ITEM_OVERHEAD_BYTES: usize = 8;

/// Most bytes that a block spends on its forced entries beside their own: a hash before them, and for each a number, an
/// address, a kind and protobuf's tags and lengths.
const FORCED_OVERHEAD_BYTES: usize = 64 + FORCED_PER_BLOCK_MAX * 64;

/// Most bytes of one frame on a consensus stream: a proposal with the largest block.
pub const FRAME_BYTES_MAX: usize =
    BLOCK_BYTES_MAX + BLOCK_TRANSACTIONS_MAX * ITEM_OVERHEAD_BYTES + FORCED_OVERHEAD_BYTES + ENVELOPE_BYTES;

/// Most bytes of transactions in one answer to a range request; a single larger block is still sent alone.
pub const RANGE_BYTES_TARGET: usize = 2 * 1024 * 1024;

/// Most transactions in one answer to a range request; a single larger block is still sent alone.
pub const RANGE_TRANSACTIONS_TARGET: usize = BLOCK_TRANSACTIONS_MAX;

/// Most bytes of one answer to a range request: the targets, one more block, and every header: 6.8 MiB.
pub const RANGE_ANSWER_BYTES_MAX: usize = RANGE_BYTES_TARGET
    + RANGE_TRANSACTIONS_TARGET * ITEM_OVERHEAD_BYTES
    + FRAME_BYTES_MAX
    + RANGE_BLOCKS_MAX * FORCED_OVERHEAD_BYTES
    + (RANGE_BLOCKS_MAX + RANGE_TAIL_MAX) * HEADER_BYTES;

const _: () = assert!(FRAME_BYTES_MAX < 4 * 1024 * 1024, "a proposal must fit a frame");
const _: () = assert!(
    32 * BLOCK_TRANSACTIONS_MAX
        + FORCED_PER_BLOCK_MAX * FORCED_ENTRY_BYTES_MAX
        + FORCED_OVERHEAD_BYTES
        + ENVELOPE_BYTES
        <= FRAME_BYTES_MAX,
    "hashes and forced entries must fit a frame"
);
const _: () =
    assert!(FORCED_PER_BLOCK_MAX * FORCED_ENTRY_BYTES_MAX <= BLOCK_BYTES_MAX, "forced entries must fit a block");
const _: () = assert!(
    TRANSACTIONS_ASKED_MAX * 3 + ENVELOPE_BYTES <= SYNC_REQUEST_BYTES_MAX,
    "a question for transactions must fit a request"
);
const _: () = assert!(
    TRANSACTIONS_BYTES_TARGET + TRANSACTION_BYTES_MAX + TRANSACTIONS_ASKED_MAX * ITEM_OVERHEAD_BYTES + ENVELOPE_BYTES
        <= RANGE_ANSWER_BYTES_MAX,
    "an answer with transactions must fit an answer"
);
const _: () = assert!(BATCH_DATA_BYTES_MAX <= BATCH_BLOB_DATA_BYTES_MAX, "blobs must hold what calldata does");
const _: () = assert!(BATCH_BLOB_DATA_BYTES_MAX + ENVELOPE_BYTES <= FRAME_BYTES_MAX, "a batch must fit a frame");
const _: () =
    assert!(TRANSACTION_BYTES_MAX + ENVELOPE_BYTES <= GOSSIP_BYTES_MAX, "a transaction must fit a gossip message");
