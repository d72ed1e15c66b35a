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

/// Most calldata bytes of one batch. L1 pools refuse a transaction above 128 KiB; header, certificate and envelope take the rest.
pub const BATCH_DATA_BYTES_MAX: usize = 120 * 1024;

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

/// Most headers that prove a range: those between its last block and the finalization above it.
pub const RANGE_TAIL_MAX: usize = 256;

/// Most bytes of a question about final blocks: a digest, or a height and a count, with their tags.
pub const SYNC_REQUEST_BYTES_MAX: usize = 64;

/// Most bytes of one stored record that holds no transactions: a header, a statement, a certificate or evidence.
pub const RECORD_BYTES_MAX: usize = ENVELOPE_BYTES;

/// Bytes kept free in a frame for header, statements, signatures and protobuf tags, per block or message.
const ENVELOPE_BYTES: usize = 4 * 1024;

/// Protobuf spends at most this much on the tag and length of one transaction.
const ITEM_OVERHEAD_BYTES: usize = 8;

/// Most bytes of one frame on a consensus stream: a proposal with the largest block.
pub const FRAME_BYTES_MAX: usize = BLOCK_BYTES_MAX + BLOCK_TRANSACTIONS_MAX * ITEM_OVERHEAD_BYTES + ENVELOPE_BYTES;

/// Most bytes of transactions in one answer to a range request; a single larger block is still sent alone.
pub const RANGE_BYTES_TARGET: usize = 2 * 1024 * 1024;

/// Most transactions in one answer to a range request; a single larger block is still sent alone.
pub const RANGE_TRANSACTIONS_TARGET: usize = BLOCK_TRANSACTIONS_MAX;

/// Most bytes of one answer to a range request: the targets, one more block, and an envelope for each block and header.
pub const RANGE_ANSWER_BYTES_MAX: usize = RANGE_BYTES_TARGET
    + RANGE_TRANSACTIONS_TARGET * ITEM_OVERHEAD_BYTES
    + FRAME_BYTES_MAX
    + (RANGE_BLOCKS_MAX + RANGE_TAIL_MAX) * ENVELOPE_BYTES;

const _: () = assert!(FRAME_BYTES_MAX < 4 * 1024 * 1024, "a proposal must fit a frame");
const _: () = assert!(BATCH_DATA_BYTES_MAX + ENVELOPE_BYTES <= FRAME_BYTES_MAX, "a batch must fit a frame");
const _: () =
    assert!(TRANSACTION_BYTES_MAX + ENVELOPE_BYTES <= GOSSIP_BYTES_MAX, "a transaction must fit a gossip message");
