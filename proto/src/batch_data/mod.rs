//! A batch's data: consecutive blocks of one epoch, as small as they get, for ever readable from L1 alone.
//!
//! # Format, version 1
//! `0x01 ‖ zstd frame of the body`, and nothing after the frame. The body has at most
//! [`BATCH_DECODED_BYTES_MAX`] bytes; what the frame says about its own size is not believed.
//!
//! The body is a list of columns, each holding one field of every block or transaction in order, because like stands next
//! to like that way and compresses best. No column has a length: what was read before says how many entries follow.
//! - **number**: base 128, least significant group first, bit 7 set on all bytes but the last.
//! - **word**: one byte `n` of 0 to 32, then `n` bytes, big-endian, without leading zeros.
//! - **difference**: a number, `new - old` modulo 2^64. The first block's predecessor counts as all zero here, so that the
//!   data does not depend on the batch before.
//!
//! | column | per | entry |
//! | --- | --- | --- |
//! | count | batch | number of blocks, 1 to [`BATCH_BLOCKS_MAX`] |
//! | flags | block | byte: 1 view skipped, 2 new origin, 4 forced queue moved, 8 fee recipient follows, 16 has transactions |
//! | proposer | block | byte, the member's index |
//! | timestamp | block | difference |
//! | view | flag 1 | difference to the predecessor's view plus one |
//! | origin number, origin hash | flag 2 | all differences, then all hashes of 32 bytes |
//! | forced position, forced hash | flag 4 | all differences, then all hashes of 32 bytes |
//! | fee recipient | flag 8 | 20 bytes; without the flag it is that of the same proposer's last block in this batch |
//! | transactions | flag 16 | number, at least 1; forced entries do not count |
//! | kind | transaction | byte: 1 or 2 or 3 for type 1, 2, 4 (0 legacy), plus 4 odd y, 8 creates, 16 has an access list |
//! | nonce | transaction | number |
//! | gas limit | transaction | number |
//! | max fee | transaction | number: `maxFeePerGas`, or `gasPrice` |
//! | priority fee | types 2, 4 | number |
//! | to | unless it creates | 20 bytes |
//! | value | transaction | word |
//! | data length, data | transaction | all numbers, then all bytes |
//! | access list | flag 16 | number of items; each: 20 bytes, number of keys, keys of 32 bytes |
//! | authorizations | type 4 | number; each: word chain id, 20 bytes, number nonce, byte parity, word r, word s |
//! | r, s | transaction | 32 bytes each, all r before all s |
//!
//! Left out because they follow: L2 chain id, epoch, height, parent ([`BatchContext`] and the block before), payload root,
//! count, bytes and gas (the transactions), a transaction's chain id (the block's, always), and senders (the signatures).
//! Forced entries are left out as well: L1 has every byte of them, and the positions say which of them a block takes, all
//! between its predecessor's and its own. Whoever decodes reads them there; the rolling hash proves that they are the ones.
//!
//! A list of blocks has exactly one body, and [`decode`] refuses any other. So whoever holds the blocks compares bodies
//! ([`matches()`]) and needs no decoding to attest.

mod columns;
mod compression;
mod error;
mod headers;
mod prefix;
mod transactions;

use alloy_primitives::{B256, Bytes};

use self::{columns::Reader, headers::HeaderColumns, transactions::TransactionColumns};
use crate::{
    BatchHeader, Block, BlockDigest, BlockHeader, Epoch, Forced, ForcedEntry, Height, L2ChainId, PayloadCommitment,
    Transaction,
    limits::{
        BATCH_BLOCKS_MAX, BATCH_DATA_BYTES_MAX, BATCH_DECODED_BYTES_MAX, BLOCK_BYTES_MAX, BLOCK_TRANSACTIONS_MAX,
        FORCED_PER_BLOCK_MAX,
    },
};

pub use error::BatchDataError;
pub use prefix::encode_prefix;

/// The version byte of the format described above.
pub const VERSION: u8 = 1;

/// What a batch's data builds on: everything that is not in it, from the headers that L1 holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchContext {
    /// The rollup's chain id.
    pub l2_chain_id: L2ChainId,
    /// The batch's epoch.
    pub epoch: Epoch,
    /// Height of the block before the batch's first.
    pub parent_height: Height,
    /// Digest of that block.
    pub parent: BlockDigest,
    /// Where that block left the forced queue.
    pub forced_position: u64,
    /// The queue's rolling hash there.
    pub forced_hash: B256,
}

impl BatchContext {
    /// Returns the context of a batch of `epoch` whose first block builds on `parent`.
    #[must_use]
    pub fn after_block(parent: &BlockHeader, epoch: Epoch) -> Self {
        Self {
            l2_chain_id: parent.l2_chain_id,
            epoch,
            parent_height: parent.height,
            parent: parent.digest(),
            forced_position: parent.forced_position,
            forced_hash: parent.forced_hash,
        }
    }

    /// Returns the context of a batch of `epoch` that follows the batch `previous`.
    #[must_use]
    pub const fn after_batch(l2_chain_id: L2ChainId, previous: &BatchHeader, epoch: Epoch) -> Self {
        Self {
            l2_chain_id,
            epoch,
            parent_height: previous.last_height,
            parent: previous.last_digest,
            forced_position: previous.forced_position,
            forced_hash: previous.forced_hash,
        }
    }
}

/// What another release of the compressor may need more than this one: one byte in so many, and some of a frame's head.
const STRETCH_PART_MAX: usize = 32;
const STRETCH_BYTES_MAX: usize = 64;

/// Returns the data of a batch of `blocks`: at most [`BATCH_DATA_BYTES_MAX`] bytes.
///
/// # Errors
/// [`BatchDataError`] if the blocks are no batch (none, too many, not linked, of several epochs, with transactions other
/// than the headers say or of another chain) or too large together; [`encode_prefix`] takes as many as fit.
pub fn encode(blocks: &[Block]) -> Result<Vec<u8>, BatchDataError> {
    let data = encode_unbounded(blocks)?;
    if data.len() > BATCH_DATA_BYTES_MAX {
        return Err(BatchDataError::TooLarge { got: data.len(), max: BATCH_DATA_BYTES_MAX });
    }
    Ok(data)
}

fn encode_unbounded(blocks: &[Block]) -> Result<Vec<u8>, BatchDataError> {
    compression::compress(&body(blocks)?)
}

/// Returns the blocks that `data` holds: headers and raw transactions exactly as they were, senders recovered (about 40 µs
/// for each transaction).
///
/// `data` may have any length; the caller bounds it by what L1 accepted. `entry_at` gives the forced queue's entries by
/// position: all that L1 has. It is asked for those that the blocks take.
///
/// # Errors
/// [`BatchDataError`]; [`BatchDataError::is_peer_fault`] for all of them.
pub fn decode(
    data: &[u8],
    context: &BatchContext,
    entry_at: impl Fn(u64) -> Option<ForcedEntry>,
) -> Result<Vec<Block>, BatchDataError> {
    let body = compression::decompress(data)?;
    let blocks = read_body(&body, context, entry_at)?;
    if self::body(&blocks)? != body {
        return Err(BatchDataError::NotCanonical);
    }
    Ok(blocks)
}

/// Checks that `data` holds exactly `blocks`, without decoding what somebody else wrote, and that it is hardly longer than
/// [`encode`] makes it: a frame can be stretched at will, and everybody would pay for the bytes.
///
/// # Errors
/// [`BatchDataError::Differs`] if it holds anything else; [`BatchDataError::Stretched`]; other errors as of [`decode`] and
/// [`encode`].
pub fn matches(data: &[u8], blocks: &[Block]) -> Result<(), BatchDataError> {
    let got = compression::decompress(data)?;
    let expected = body(blocks)?;
    if got != expected {
        let common = got.iter().zip(&expected).take_while(|(a, b)| a == b).count();
        return Err(BatchDataError::Differs { at: common, got: got.len(), expected: expected.len() });
    }
    let ours = compression::compress(&expected)?.len();
    let max = ours.saturating_add(ours / STRETCH_PART_MAX).saturating_add(STRETCH_BYTES_MAX);
    if data.len() > max {
        return Err(BatchDataError::Stretched { got: data.len(), max });
    }
    Ok(())
}

/// The columns of a growing list of blocks.
#[derive(Default)]
struct Columns {
    headers: HeaderColumns,
    transactions: TransactionColumns,
}

impl Columns {
    fn push(&mut self, block: &Block) -> Result<(), BatchDataError> {
        let header = &block.header;
        check_size(header, &block.forced, &block.transactions)?;
        if !PayloadCommitment::of(&block.forced, &block.transactions).matches(header)
            || !block.forced.leads_to(header.forced_position, header.forced_hash)
        {
            return Err(BatchDataError::PayloadMismatch { height: header.height });
        }
        self.headers.push(block)?;
        for (index, transaction) in block.transactions.iter().enumerate() {
            if transaction.chain_id() != header.l2_chain_id.get() {
                return Err(BatchDataError::ForeignTransaction {
                    height: header.height,
                    index,
                    got: transaction.chain_id(),
                    expected: header.l2_chain_id,
                });
            }
            self.transactions.push(transaction);
        }
        Ok(())
    }

    /// Length of the body so far.
    fn len(&self) -> usize {
        self.headers.len() + self.transactions.len()
    }

    fn into_body(self) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.len());
        self.headers.append_to(&mut body);
        self.transactions.append_to(&mut body);
        body
    }
}

fn body(blocks: &[Block]) -> Result<Vec<u8>, BatchDataError> {
    if blocks.is_empty() {
        return Err(BatchDataError::NoBlocks);
    }
    if blocks.len() > BATCH_BLOCKS_MAX {
        return Err(BatchDataError::TooManyBlocks { got: blocks.len() as u64, max: BATCH_BLOCKS_MAX });
    }
    let mut columns = Columns::default();
    for block in blocks {
        columns.push(block)?;
        if columns.len() > BATCH_DECODED_BYTES_MAX {
            return Err(BatchDataError::DecodedTooLarge { max: BATCH_DECODED_BYTES_MAX });
        }
    }
    Ok(columns.into_body())
}

fn read_body(
    body: &[u8],
    context: &BatchContext,
    entry_at: impl Fn(u64) -> Option<ForcedEntry>,
) -> Result<Vec<Block>, BatchDataError> {
    let mut reader = Reader::new(body);
    let headers = headers::read(&mut reader)?;
    let total = headers.iter().map(|header| header.transaction_count).sum();
    let mut raw = transactions::read(&mut reader, total, context.l2_chain_id)?.into_iter();
    reader.finish()?;

    let mut blocks = Vec::with_capacity(headers.len());
    let (mut parent_height, mut parent) = (context.parent_height, context.parent);
    let mut queue = (context.forced_position, context.forced_hash);
    for row in headers {
        let height = parent_height.next().ok_or(BatchDataError::HeightsExhausted)?;
        let forced = forced_between(height, queue, (row.forced_position, row.forced_hash), &entry_at)?;
        queue = (row.forced_position, row.forced_hash);
        let transactions = raw
            .by_ref()
            .take(row.transaction_count)
            .enumerate()
            .map(|(index, raw)| {
                Transaction::decode(Bytes::from(raw)).map_err(|error| BatchDataError::Transaction {
                    height,
                    index,
                    error,
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let commitment = PayloadCommitment::of(&forced, &transactions);
        let header = BlockHeader {
            l2_chain_id: context.l2_chain_id,
            epoch: context.epoch,
            view: row.view,
            height,
            parent,
            timestamp_ms: row.timestamp_ms,
            origin: row.origin,
            forced_position: row.forced_position,
            forced_hash: row.forced_hash,
            payload_root: commitment.payload_root,
            transaction_count: commitment.transaction_count,
            payload_bytes: commitment.payload_bytes,
            declared_gas: commitment.declared_gas,
            proposer: row.proposer,
            fee_recipient: row.fee_recipient,
        };
        check_size(&header, &forced, &transactions)?;
        (parent_height, parent) = (height, header.digest());
        blocks.push(Block { header, forced, transactions });
    }
    Ok(blocks)
}

/// Returns the forced entries of the block at `height`, which takes the queue from one position and rolling hash to another.
fn forced_between(
    height: Height,
    (from, before): (u64, B256),
    (to, after): (u64, B256),
    entry_at: impl Fn(u64) -> Option<ForcedEntry>,
) -> Result<Forced, BatchDataError> {
    let wrong = BatchDataError::WrongForced { height, from, to };
    if to.checked_sub(from).is_none_or(|count| count > FORCED_PER_BLOCK_MAX as u64) {
        return Err(wrong);
    }
    let entry = |position| entry_at(position).ok_or(BatchDataError::MissingForced { height, position });
    let forced = Forced::new(before, (from..to).map(entry).collect::<Result<_, _>>()?);
    let leads = forced.hash_after(from).unwrap_or(before) == after && forced.leads_to(to, after);
    if leads { Ok(forced) } else { Err(wrong) }
}

/// Checks a block against the bounds that every block keeps.
fn check_size(header: &BlockHeader, forced: &Forced, transactions: &[Transaction]) -> Result<(), BatchDataError> {
    if transactions.len() > BLOCK_TRANSACTIONS_MAX {
        return Err(BatchDataError::TooManyTransactions {
            got: transactions.len() as u64,
            max: BLOCK_TRANSACTIONS_MAX,
        });
    }
    let bytes =
        transactions.iter().fold(forced.bytes(), |sum, transaction| sum.saturating_add(transaction.raw().len()));
    if bytes > BLOCK_BYTES_MAX {
        return Err(BatchDataError::BlockOversize { height: header.height, got: bytes, max: BLOCK_BYTES_MAX });
    }
    Ok(())
}
