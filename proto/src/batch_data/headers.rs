//! The columns of headers.

use alloy_primitives::{Address, B256};

use super::{
    BatchDataError,
    columns::{Reader, put_number},
};
use crate::{
    Block, BlockDigest, BlockHeader, Epoch, Height, L1BlockNumber, L1Origin, L2ChainId, MemberIndex, TimestampMs, View,
    limits::{BATCH_BLOCKS_MAX, BLOCK_TRANSACTIONS_MAX, COMMITTEE_MEMBERS_MAX},
};

const VIEW_SKIPPED: u8 = 1;
const NEW_ORIGIN: u8 = 2;
const FORCED_MOVED: u8 = 4;
const FEE_RECIPIENT_FOLLOWS: u8 = 8;
const HAS_TRANSACTIONS: u8 = 16;
const FLAGS: u8 = VIEW_SKIPPED | NEW_ORIGIN | FORCED_MOVED | FEE_RECIPIENT_FOLLOWS | HAS_TRANSACTIONS;

/// Flags, proposer and timestamp: what every block takes.
const ENTRY_BYTES_MIN: usize = 3;

/// The fields of one header that neither context nor transactions give.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) view: View,
    pub(super) timestamp_ms: TimestampMs,
    pub(super) origin: L1Origin,
    pub(super) forced_position: u64,
    pub(super) forced_hash: B256,
    pub(super) proposer: MemberIndex,
    pub(super) fee_recipient: Address,
    pub(super) transaction_count: usize,
}

/// What a header's differences refer to.
struct Predecessor {
    view: u64,
    timestamp_ms: u64,
    origin: L1Origin,
    forced_position: u64,
    forced_hash: B256,
    /// Each proposer's last fee recipient.
    fee_recipients: [Option<Address>; COMMITTEE_MEMBERS_MAX],
}

impl Default for Predecessor {
    fn default() -> Self {
        Self {
            view: 0,
            timestamp_ms: 0,
            origin: L1Origin { number: L1BlockNumber::ZERO, hash: B256::ZERO },
            forced_position: 0,
            forced_hash: B256::ZERO,
            fee_recipients: [None; COMMITTEE_MEMBERS_MAX],
        }
    }
}

/// What makes blocks of one batch: each builds on the one before.
#[derive(Clone, Copy)]
struct Link {
    l2_chain_id: L2ChainId,
    epoch: Epoch,
    height: Height,
    digest: BlockDigest,
}

impl Link {
    fn check(&self, next: &BlockHeader) -> Result<(), BatchDataError> {
        let height = next.height;
        if self.height.next() != Some(height) {
            return Err(BatchDataError::NotConsecutive { after: self.height, got: height });
        }
        if next.parent != self.digest {
            return Err(BatchDataError::WrongParent { height, got: next.parent, expected: self.digest });
        }
        if next.epoch != self.epoch {
            return Err(BatchDataError::WrongEpoch { height, got: next.epoch, expected: self.epoch });
        }
        if next.l2_chain_id != self.l2_chain_id {
            return Err(BatchDataError::WrongChain { height, got: next.l2_chain_id, expected: self.l2_chain_id });
        }
        Ok(())
    }
}

#[derive(Default)]
pub(super) struct HeaderColumns {
    link: Option<Link>,
    predecessor: Predecessor,
    flags: Vec<u8>,
    proposers: Vec<u8>,
    timestamps: Vec<u8>,
    views: Vec<u8>,
    origin_numbers: Vec<u8>,
    origin_hashes: Vec<u8>,
    forced_positions: Vec<u8>,
    forced_hashes: Vec<u8>,
    fee_recipients: Vec<u8>,
    transaction_counts: Vec<u8>,
}

impl HeaderColumns {
    /// Appends the header of a block whose payload was compared with it already.
    pub(super) fn push(&mut self, Block { header, forced, transactions }: &Block) -> Result<(), BatchDataError> {
        if let Some(link) = self.link {
            link.check(header)?;
            // What comes back between two blocks is what lies between their positions on L1, and nothing else.
            let from = self.predecessor.forced_position;
            let starts = if forced.is_empty() { header.forced_hash } else { forced.before };
            if from.checked_add(forced.len() as u64) != Some(header.forced_position)
                || starts != self.predecessor.forced_hash
            {
                let (height, to) = (header.height, header.forced_position);
                return Err(BatchDataError::WrongForced { height, from, to });
            }
        }
        let before = &mut self.predecessor;
        let Some(known_recipient) = before.fee_recipients.get_mut(header.proposer.as_usize()) else {
            return Err(BatchDataError::BadByte { column: "proposer", got: header.proposer.get() });
        };

        let mut flags = 0;
        let expected_view = before.view.wrapping_add(1);
        if header.view.get() != expected_view {
            flags |= VIEW_SKIPPED;
            put_number(&mut self.views, header.view.get().wrapping_sub(expected_view));
        }
        if header.origin != before.origin {
            flags |= NEW_ORIGIN;
            let difference = header.origin.number.get().wrapping_sub(before.origin.number.get());
            put_number(&mut self.origin_numbers, difference);
            self.origin_hashes.extend_from_slice(header.origin.hash.as_slice());
        }
        if (header.forced_position, header.forced_hash) != (before.forced_position, before.forced_hash) {
            flags |= FORCED_MOVED;
            put_number(&mut self.forced_positions, header.forced_position.wrapping_sub(before.forced_position));
            self.forced_hashes.extend_from_slice(header.forced_hash.as_slice());
        }
        if *known_recipient != Some(header.fee_recipient) {
            flags |= FEE_RECIPIENT_FOLLOWS;
            self.fee_recipients.extend_from_slice(header.fee_recipient.as_slice());
            *known_recipient = Some(header.fee_recipient);
        }
        if !transactions.is_empty() {
            flags |= HAS_TRANSACTIONS;
            put_number(&mut self.transaction_counts, transactions.len() as u64);
        }
        self.flags.push(flags);
        self.proposers.push(header.proposer.get());
        put_number(&mut self.timestamps, header.timestamp_ms.get().wrapping_sub(before.timestamp_ms));

        before.view = header.view.get();
        before.timestamp_ms = header.timestamp_ms.get();
        before.origin = header.origin;
        before.forced_position = header.forced_position;
        before.forced_hash = header.forced_hash;
        self.link = Some(Link {
            l2_chain_id: header.l2_chain_id,
            epoch: header.epoch,
            height: header.height,
            digest: header.digest(),
        });
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.count().len() + self.columns().iter().map(|column| column.len()).sum::<usize>()
    }

    pub(super) fn append_to(&self, body: &mut Vec<u8>) {
        body.extend_from_slice(&self.count());
        for column in self.columns() {
            body.extend_from_slice(column);
        }
    }

    fn count(&self) -> Vec<u8> {
        let mut count = Vec::new();
        put_number(&mut count, self.flags.len() as u64);
        count
    }

    /// The columns in the order of the format.
    const fn columns(&self) -> [&Vec<u8>; 10] {
        [
            &self.flags,
            &self.proposers,
            &self.timestamps,
            &self.views,
            &self.origin_numbers,
            &self.origin_hashes,
            &self.forced_positions,
            &self.forced_hashes,
            &self.fee_recipients,
            &self.transaction_counts,
        ]
    }
}

/// Reads all columns of headers.
pub(super) fn read(reader: &mut Reader<'_>) -> Result<Vec<Row>, BatchDataError> {
    let count = reader.count("count", ENTRY_BYTES_MIN)?;
    if count == 0 {
        return Err(BatchDataError::Truncated { column: "count" });
    }
    if count > BATCH_BLOCKS_MAX {
        return Err(BatchDataError::TooManyBlocks { got: count as u64, max: BATCH_BLOCKS_MAX });
    }
    let flags = reader.bytes("flags", count)?;
    if let Some(&got) = flags.iter().find(|flags| **flags & !FLAGS != 0) {
        return Err(BatchDataError::BadByte { column: "flags", got });
    }
    let proposers = reader.bytes("proposer", count)?;
    let timestamps = numbers(reader, "timestamp", flags, 0)?;
    let views = numbers(reader, "view", flags, VIEW_SKIPPED)?;
    let origin_numbers = numbers(reader, "origin number", flags, NEW_ORIGIN)?;
    let origin_hashes: Vec<[u8; 32]> = arrays(reader, "origin hash", flags, NEW_ORIGIN)?;
    let forced_positions = numbers(reader, "forced position", flags, FORCED_MOVED)?;
    let forced_hashes: Vec<[u8; 32]> = arrays(reader, "forced hash", flags, FORCED_MOVED)?;
    let fee_recipients: Vec<[u8; 20]> = arrays(reader, "fee recipient", flags, FEE_RECIPIENT_FOLLOWS)?;
    let transaction_counts = numbers(reader, "transactions", flags, HAS_TRANSACTIONS)?;

    let mut before = Predecessor::default();
    let (mut timestamps, mut views) = (timestamps.into_iter(), views.into_iter());
    let mut origins = origin_numbers.into_iter().zip(origin_hashes);
    let mut forced = forced_positions.into_iter().zip(forced_hashes);
    let (mut fee_recipients, mut transaction_counts) = (fee_recipients.into_iter(), transaction_counts.into_iter());
    let mut rows = Vec::with_capacity(count);
    for (&flags, &proposer) in flags.iter().zip(proposers) {
        let follows = |flag: u8| flags & flag != 0;
        // Every iterator below has one entry for each block with its flag, so none ends early.
        let skipped = if follows(VIEW_SKIPPED) { views.next().unwrap_or_default() } else { 0 };
        before.view = before.view.wrapping_add(1).wrapping_add(skipped);
        before.timestamp_ms = before.timestamp_ms.wrapping_add(timestamps.next().unwrap_or_default());
        if follows(NEW_ORIGIN)
            && let Some((difference, hash)) = origins.next()
        {
            let number = L1BlockNumber::new(before.origin.number.get().wrapping_add(difference));
            before.origin = L1Origin { number, hash: B256::new(hash) };
        }
        if follows(FORCED_MOVED)
            && let Some((difference, hash)) = forced.next()
        {
            before.forced_position = before.forced_position.wrapping_add(difference);
            before.forced_hash = B256::new(hash);
        }
        let Some(recipient) = before.fee_recipients.get_mut(usize::from(proposer)) else {
            return Err(BatchDataError::BadByte { column: "proposer", got: proposer });
        };
        if follows(FEE_RECIPIENT_FOLLOWS) {
            *recipient = fee_recipients.next().map(Address::new);
        }
        let proposer = MemberIndex::new(proposer);
        let transaction_count =
            if follows(HAS_TRANSACTIONS) { transaction_counts.next().unwrap_or_default() } else { 0 };
        if transaction_count > BLOCK_TRANSACTIONS_MAX as u64 {
            return Err(BatchDataError::TooManyTransactions { got: transaction_count, max: BLOCK_TRANSACTIONS_MAX });
        }
        rows.push(Row {
            view: View::new(before.view),
            timestamp_ms: TimestampMs::new(before.timestamp_ms),
            origin: before.origin,
            forced_position: before.forced_position,
            forced_hash: before.forced_hash,
            proposer,
            fee_recipient: recipient.ok_or(BatchDataError::NoFeeRecipient { proposer })?,
            transaction_count: transaction_count as usize,
        });
    }
    Ok(rows)
}

/// Reads a number for every block that has `flag`, or for every block if `flag` is 0.
fn numbers(reader: &mut Reader<'_>, column: &'static str, flags: &[u8], flag: u8) -> Result<Vec<u64>, BatchDataError> {
    having(flags, flag).map(|_| reader.number_u64(column)).collect()
}

/// Reads `N` bytes for every block that has `flag`.
fn arrays<const N: usize>(
    reader: &mut Reader<'_>,
    column: &'static str,
    flags: &[u8],
    flag: u8,
) -> Result<Vec<[u8; N]>, BatchDataError> {
    having(flags, flag).map(|_| reader.array(column)).collect()
}

fn having(flags: &[u8], flag: u8) -> impl Iterator<Item = &u8> {
    flags.iter().filter(move |flags| **flags & flag == flag)
}
