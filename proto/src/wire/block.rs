//! Headers, transactions and blocks.

use alloy_primitives::{Bytes, keccak256};

use super::{KnownTransactions, WireError, fields, pb};
use crate::{
    Block, BlockDigest, BlockHeader, Epoch, Height, L1BlockNumber, L1Origin, L2ChainId, PayloadCommitment, TimestampMs,
    Transaction, View,
    limits::{BLOCK_BYTES_MAX, BLOCK_TRANSACTIONS_MAX},
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
        }
    }
}

/// Converts a block whose transactions were counted already.
pub(super) fn block(block: pb::Block, known: KnownTransactions<'_>) -> Result<Block, WireError> {
    let header: BlockHeader = fields::required("block.header", block.header)?.try_into()?;
    let got = block.transactions.len();
    if got > BLOCK_TRANSACTIONS_MAX {
        return Err(WireError::TooMany { what: "block.transactions", got, max: BLOCK_TRANSACTIONS_MAX });
    }
    let bytes = block.transactions.iter().map(prost::bytes::Bytes::len).sum();
    if bytes > BLOCK_BYTES_MAX {
        return Err(WireError::Oversize { what: "block.transactions", got: bytes, max: BLOCK_BYTES_MAX });
    }
    let transactions = transactions(block.transactions, known)?;
    let commitment = PayloadCommitment::of(&transactions);
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
    Ok(Block { header, transactions })
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
