//! Blocks and transactions in the shape that Ethereum clients read.
//!
//! What Ethereum has no field for stands together under one key, `baton`, as plain numbers.

use alloy::rpc::types::{Block as EthBlock, BlockTransactions, Header as EthHeader, Transaction as EthTransaction};
use alloy_consensus::{constants::EMPTY_OMMER_ROOT_HASH, transaction::Recovered};
use alloy_primitives::{B256, U256};
use baton_execution::Outcome;
use baton_proto::{
    Block, BlockDigest, BlockHeader, ChainSpec, Epoch, Height, L1Origin, MemberIndex, TimestampMs, Transaction, View,
};
use serde::Serialize;

/// Bytes of a header's ABI encoding, for a block's `size`.
const HEADER_BYTES: u64 = 512;

/// A block as `eth_getBlockByNumber` returns it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct RpcBlock {
    #[serde(flatten)]
    block: EthBlock<RpcTransaction>,
    baton: BlockExtra,
}

/// A header as a subscriber to `newHeads` gets it: a block without what is in it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct RpcHead {
    #[serde(flatten)]
    header: EthHeader,
    baton: BlockExtra,
}

/// What Ethereum's block has no field for.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BlockExtra {
    epoch: Epoch,
    view: View,
    proposer: MemberIndex,
    timestamp_ms: TimestampMs,
    l1_origin: L1Origin,
    declared_gas: u64,
    payload_bytes: u32,
}

/// A transaction as `eth_getTransactionByHash` and a block with full transactions return it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct RpcTransaction {
    #[serde(flatten)]
    transaction: EthTransaction,
    #[serde(skip_serializing_if = "Option::is_none")]
    baton: Option<TransactionExtra>,
}

/// How far a transaction came.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
enum TransactionExtra {
    /// It waits in the pool.
    Pooled { status: &'static str },
    /// It is in a final block and took its turn, or was skipped where `block` says.
    Final {
        #[serde(flatten)]
        outcome: Outcome,
        #[serde(skip_serializing_if = "Option::is_none")]
        block: Option<Place>,
    },
}

/// A place in the final chain.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Place {
    number: Height,
    hash: BlockDigest,
    index: u32,
    #[serde(skip)]
    timestamp_s: u64,
}

impl Place {
    pub(super) fn of(header: &BlockHeader, index: u32) -> Self {
        Self { number: header.height, hash: header.digest(), index, timestamp_s: timestamp_s(header) }
    }
}

/// Renders a final block, with its transactions in full or as hashes. `outcomes` may be empty. Transactions of forced entries
/// come first; an entry that holds none has a place, and so an index that is missing here.
///
/// `hash` is the block digest that the committee signed, not the hash of an Ethereum header. `transactionsRoot` is the
/// payload root (a binary Merkle tree). Where there is no execution `stateRoot` and `receiptsRoot` are zero and
/// `gasUsed` is 0; the base fee is 0 because none is charged.
pub(super) fn block(block: &Block, spec: &ChainSpec, full: bool, outcomes: &[Outcome]) -> RpcBlock {
    let header = &block.header;
    let transactions = if full {
        BlockTransactions::Full(transactions(block, outcomes))
    } else {
        BlockTransactions::Hashes(block.ordered().map(|(_, transaction)| *transaction.hash()).collect())
    };
    RpcBlock {
        block: EthBlock { header: eth_header(header, spec), uncles: Vec::new(), transactions, withdrawals: None },
        baton: extra(header),
    }
}

/// Renders the transactions of a final block, as [`block`] does.
pub(super) fn transactions(block: &Block, outcomes: &[Outcome]) -> Vec<RpcTransaction> {
    let header = &block.header;
    let digest = header.digest();
    let rendered = block.ordered().map(|(index, transaction)| {
        let place = Place { number: header.height, hash: digest, index, timestamp_s: timestamp_s(header) };
        included(transaction, &place, outcomes.get(index as usize).cloned())
    });
    rendered.collect()
}

/// Renders the header of a final block as [`block`] does.
pub(super) fn head(header: &BlockHeader, spec: &ChainSpec) -> RpcHead {
    RpcHead { header: eth_header(header, spec), baton: extra(header) }
}

fn eth_header(header: &BlockHeader, spec: &ChainSpec) -> EthHeader {
    EthHeader {
        hash: header.digest().get(),
        inner: alloy_consensus::Header {
            parent_hash: header.parent.get(),
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            beneficiary: header.fee_recipient,
            state_root: B256::ZERO,
            transactions_root: header.payload_root,
            receipts_root: B256::ZERO,
            number: header.height.get(),
            gas_limit: spec.block_gas_limit,
            gas_used: 0,
            timestamp: timestamp_s(header),
            base_fee_per_gas: Some(0),
            ..Default::default()
        },
        total_difficulty: None,
        size: Some(U256::from(HEADER_BYTES + u64::from(header.payload_bytes))),
    }
}

fn extra(header: &BlockHeader) -> BlockExtra {
    BlockExtra {
        epoch: header.epoch,
        view: header.view,
        proposer: header.proposer,
        timestamp_ms: header.timestamp_ms,
        l1_origin: header.origin,
        declared_gas: header.declared_gas,
        payload_bytes: header.payload_bytes,
    }
}

/// Renders a transaction at its place in a final block.
pub(super) fn included(transaction: &Transaction, place: &Place, outcome: Option<Outcome>) -> RpcTransaction {
    // With a base fee of 0 the tip alone is paid.
    let price = transaction.priority_fee().min(transaction.max_fee());
    let mut rendered = eth_transaction(transaction, price);
    rendered.block_hash = Some(place.hash.get());
    rendered.block_number = Some(place.number.get());
    rendered.transaction_index = Some(place.index.into());
    rendered.block_timestamp = Some(place.timestamp_s);
    let baton = outcome.map(|outcome| TransactionExtra::Final { outcome, block: None });
    RpcTransaction { transaction: rendered, baton }
}

/// Renders a transaction that was passed over at `place`.
pub(super) fn skipped(transaction: &Transaction, place: &Place, outcome: Outcome) -> RpcTransaction {
    RpcTransaction {
        transaction: eth_transaction(transaction, transaction.max_fee()),
        baton: Some(TransactionExtra::Final { outcome, block: Some(*place) }),
    }
}

/// Renders a transaction that waits in the pool.
pub(super) fn pooled(transaction: &Transaction) -> RpcTransaction {
    RpcTransaction {
        transaction: eth_transaction(transaction, transaction.max_fee()),
        baton: Some(TransactionExtra::Pooled { status: "pooled" }),
    }
}

fn eth_transaction(transaction: &Transaction, effective_gas_price: u128) -> EthTransaction {
    EthTransaction {
        inner: Recovered::new_unchecked(transaction.envelope().clone(), transaction.sender()),
        block_hash: None,
        block_number: None,
        transaction_index: None,
        effective_gas_price: Some(effective_gas_price),
        block_timestamp: None,
    }
}

/// The EVM's clock counts seconds (protocol section 4).
fn timestamp_s(header: &BlockHeader) -> u64 {
    header.timestamp_ms.get() / 1_000
}
