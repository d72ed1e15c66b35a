//! Headers, transactions and blocks.

use alloy_primitives::{Bytes, keccak256};

use super::{KnownTransactions, WireError, check_length, fields, pb};
use crate::{
    Block, BlockDigest, BlockHeader, Epoch, Forced, ForcedEntry, Height, L1BlockNumber, L1Origin, L2ChainId,
    PayloadCommitment, TimestampMs, Transaction, View,
    limits::{BLOCK_BYTES_MAX, BLOCK_TRANSACTIONS_MAX, FORCED_ENTRY_BYTES_MAX, FORCED_PER_BLOCK_MAX},
};

impl From<&L1Origin> for pb::Origin {
    fn from(origin: &L1Origin) -> Self {
        Self { number: origin.number.get(), hash: fields::to_bytes(origin.hash.as_slice()) }
    }
}

pub(super) fn origin(what: &'static str, origin: Option<pb::Origin>) -> Result<L1Origin, WireError> {
    let origin = fields::required(what, origin)?;
    Ok(L1Origin { number: L1BlockNumber::new(origin.number), hash: fields::hash("origin.hash", &origin.hash)? })
}

impl From<&BlockHeader> for pb::BlockHeader {
    fn from(header: &BlockHeader) -> Self {
        Self {
            l2_chain_id: header.l2_chain_id.get(),
            epoch: header.epoch.get(),
            view: header.view.get(),
            height: header.height.get(),
            parent: fields::to_bytes(header.parent.get().as_slice()),
            timestamp_ms: header.timestamp_ms.get(),
            origin: Some((&header.origin).into()),
            forced_position: header.forced_position,
            forced_hash: fields::to_bytes(header.forced_hash.as_slice()),
            payload_root: fields::to_bytes(header.payload_root.as_slice()),
            transaction_count: header.transaction_count,
            payload_bytes: header.payload_bytes,
            declared_gas: header.declared_gas,
            proposer: u32::from(header.proposer.get()),
            fee_recipient: fields::to_bytes(header.fee_recipient.as_slice()),
        }
    }
}

impl TryFrom<pb::BlockHeader> for BlockHeader {
    type Error = WireError;

    fn try_from(header: pb::BlockHeader) -> Result<Self, WireError> {
        Ok(Self {
            l2_chain_id: L2ChainId::new(header.l2_chain_id),
            epoch: Epoch::new(header.epoch),
            view: View::new(header.view),
            height: Height::new(header.height),
            parent: BlockDigest::new(fields::hash("header.parent", &header.parent)?),
            timestamp_ms: TimestampMs::new(header.timestamp_ms),
            origin: origin("header.origin", header.origin)?,
            forced_position: header.forced_position,
            forced_hash: fields::hash("header.forced_hash", &header.forced_hash)?,
            payload_root: fields::hash("header.payload_root", &header.payload_root)?,
            transaction_count: header.transaction_count,
            payload_bytes: header.payload_bytes,
            declared_gas: header.declared_gas,
            proposer: fields::member("header.proposer", header.proposer)?,
            fee_recipient: fields::address("header.fee_recipient", &header.fee_recipient)?,
        })
    }
}

impl From<&Block> for pb::Block {
    fn from(block: &Block) -> Self {
        Self {
            header: Some((&block.header).into()),
            transactions: block.transactions.iter().map(|tx| tx.raw().0.clone()).collect(),
            forced: forced_to_pb(&block.forced),
        }
    }
}

/// Left out where there is none, so that a block without forced entries has the encoding that it always had.
pub(super) fn forced_to_pb(forced: &Forced) -> Option<pb::Forced> {
    (!forced.is_empty()).then(|| pb::Forced {
        before: fields::to_bytes(forced.before.as_slice()),
        entries: forced.entries.iter().map(Into::into).collect(),
    })
}

impl From<&ForcedEntry> for pb::ForcedEntry {
    fn from(entry: &ForcedEntry) -> Self {
        Self {
            l1_block: entry.l1_block().get(),
            sender: fields::to_bytes(entry.sender().as_slice()),
            kind: u32::from(entry.kind()),
            data: entry.data().0.clone(),
        }
    }
}

impl TryFrom<pb::ForcedEntry> for ForcedEntry {
    type Error = WireError;

    fn try_from(entry: pb::ForcedEntry) -> Result<Self, WireError> {
        let what = "forced_entry.kind";
        let kind = u8::try_from(entry.kind).map_err(|_| WireError::OutOfRange {
            what,
            got: u64::from(entry.kind),
            min: 0,
            max: u64::from(u8::MAX),
        })?;
        let sender = fields::address("forced_entry.sender", &entry.sender)?;
        check_length("forced_entry.data", &entry.data, FORCED_ENTRY_BYTES_MAX)?;
        Ok(Self::new(L1BlockNumber::new(entry.l1_block), sender, kind, Bytes(entry.data)))
    }
}

/// Converts the forced entries of the block that `header` is of: the one list that its rolling hash allows.
pub(super) fn forced(header: &BlockHeader, forced: Option<pb::Forced>) -> Result<Forced, WireError> {
    let Some(forced) = forced else { return Ok(Forced::default()) };
    let what = "forced.entries";
    let got = forced.entries.len();
    if got > FORCED_PER_BLOCK_MAX {
        return Err(WireError::TooMany { what, got, max: FORCED_PER_BLOCK_MAX });
    }
    if got == 0 {
        return Err(WireError::Empty { what });
    }
    let before = fields::hash("forced.before", &forced.before)?;
    let entries = forced.entries.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
    let forced = Forced::new(before, entries);
    if !forced.leads_to(header.forced_position, header.forced_hash) {
        return Err(WireError::WrongForced { position: header.forced_position, expected: header.forced_hash });
    }
    Ok(forced)
}

/// Converts a block whose transactions were counted already.
pub(super) fn block(block: pb::Block, known: KnownTransactions<'_>) -> Result<Block, WireError> {
    let header: BlockHeader = fields::required("block.header", block.header)?.try_into()?;
    let got = block.transactions.len();
    if got > BLOCK_TRANSACTIONS_MAX {
        return Err(WireError::TooMany { what: "block.transactions", got, max: BLOCK_TRANSACTIONS_MAX });
    }
    let forced = forced(&header, block.forced)?;
    let bytes = block.transactions.iter().map(prost::bytes::Bytes::len).sum::<usize>().saturating_add(forced.bytes());
    if bytes > BLOCK_BYTES_MAX {
        return Err(WireError::Oversize { what: "block.transactions", got: bytes, max: BLOCK_BYTES_MAX });
    }
    let transactions = transactions(block.transactions, known)?;
    let commitment = PayloadCommitment::of(&forced, &transactions);
    if !commitment.matches(&header) {
        return Err(WireError::PayloadMismatch {
            height: header.height,
            got: Box::new(commitment),
            expected: Box::new(PayloadCommitment {
                payload_root: header.payload_root,
                transaction_count: header.transaction_count,
                payload_bytes: header.payload_bytes,
                declared_gas: header.declared_gas,
            }),
        });
    }
    Ok(Block { header, forced, transactions })
}

/// Decodes raw transactions; the index in an error is the position in `raw`.
pub(super) fn transactions(
    raw: Vec<prost::bytes::Bytes>,
    known: KnownTransactions<'_>,
) -> Result<Vec<Transaction>, WireError> {
    raw.into_iter()
        .enumerate()
        .map(|(index, raw)| {
            let hash = keccak256(&raw);
            // Equal hashes are equal bytes, so a known transaction was decoded from exactly these.
            if let Some(transaction) = known.transaction(&hash).filter(|transaction| *transaction.hash() == hash) {
                return Ok(transaction);
            }
            known.decode(Bytes(raw)).map_err(|error| WireError::Transaction { index, error })
        })
        .collect()
}
