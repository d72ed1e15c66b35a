//! Blocks and transactions in the shape that Ethereum clients read.
//!
//! What Ethereum has no field for stands together under one key, `baton`, as plain numbers.

use alloy::rpc::types::{Block as EthBlock, BlockTransactions, Header as EthHeader, Transaction as EthTransaction};
use alloy_consensus::{
    Transaction as _,
    constants::{EMPTY_OMMER_ROOT_HASH, EMPTY_WITHDRAWALS},
    transaction::Recovered,
};
use alloy_eips::{eip4895::Withdrawals, eip7685::EMPTY_REQUESTS_HASH};
use alloy_primitives::{TxHash, U256};
use baton_execution::{Outcome, evm::EvmExecutor};
use baton_proto::{
    Block, BlockDigest, BlockHeader, ChainSpec, Epoch, Height, L1Origin, MemberIndex, TimestampMs, Transaction, View,
};
use serde::Serialize;

use crate::ledger::BlockResults;

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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    skipped: Vec<Skipped>,
}

/// A transaction that a block orders and that was passed over.
#[derive(Clone, Debug, Serialize)]
struct Skipped {
    hash: TxHash,
    /// Its place in the payload.
    index: u32,
    #[serde(flatten)]
    outcome: Outcome,
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

/// What blocks are shown by.
#[derive(Clone, Copy)]
pub(super) struct Chain<'a> {
    pub(super) spec: &'a ChainSpec,
    /// None on a pure ordering chain.
    pub(super) evm: Option<&'a EvmExecutor>,
}

/// Renders a final block, with its transactions in full or as hashes.
///
/// `hash` is the block digest that the committee signed, not the hash of an Ethereum header. `transactionsRoot` is the
/// payload root (a binary Merkle tree).
///
/// Where there is execution, the transactions are those that took their turn: each has a receipt, and its index there. What
/// was passed over stands under `baton`. Otherwise they are all that the block orders, those of forced entries first; an entry
/// that holds none has a place, and so an index that is missing here. `stateRoot` and `receiptsRoot` are zero then, `gasUsed` is
/// 0, and so is the base fee, because none is charged.
pub(super) fn block(block: &Block, chain: &Chain<'_>, full: bool, results: &BlockResults) -> RpcBlock {
    let header = &block.header;
    let transactions = if full {
        BlockTransactions::Full(transactions(block, chain, results))
    } else {
        let shown = shown(block, chain, results);
        BlockTransactions::Hashes(shown.map(|(_, _, transaction)| *transaction.hash()).collect())
    };
    let withdrawals = chain.evm.map(|_| Withdrawals::default());
    RpcBlock {
        block: EthBlock { header: eth_header(header, chain, results), uncles: Vec::new(), transactions, withdrawals },
        baton: BlockExtra { skipped: passed_over(block, chain, results), ..extra(header) },
    }
}

/// Renders the transactions of a final block, as [`block`] does.
pub(super) fn transactions(block: &Block, chain: &Chain<'_>, results: &BlockResults) -> Vec<RpcTransaction> {
    let header = &block.header;
    let (digest, timestamp_s) = (header.digest(), timestamp_s(header));
    let rendered = shown(block, chain, results).map(|(item, index, transaction)| {
        let place = Place { number: header.height, hash: digest, index, timestamp_s };
        included(transaction, &place, results.outcomes.get(item as usize).cloned(), results.base_fee)
    });
    rendered.collect()
}

/// Returns the transactions that a block is shown with: the payload's item, the index to show, and the transaction.
fn shown<'a>(
    block: &'a Block,
    chain: &Chain<'_>,
    results: &'a BlockResults,
) -> impl Iterator<Item = (u32, u32, &'a Transaction)> {
    let is_executed = chain.evm.is_some();
    let ordered = block.ordered().filter(move |(item, _)| {
        !is_executed || results.outcomes.get(*item as usize).is_none_or(|outcome| *outcome == Outcome::Executed)
    });
    ordered
        .zip(0_u32..)
        .map(move |((item, transaction), index)| (item, if is_executed { index } else { item }, transaction))
}

/// Returns the index under which the payload's item number `item`, which took its turn, is shown.
pub(super) fn index_of(item: u32, chain: &Chain<'_>, results: &BlockResults) -> u32 {
    match chain.evm {
        None => item,
        Some(_) => {
            let before = results.outcomes.iter().take(item as usize);
            u32::try_from(before.filter(|outcome| **outcome == Outcome::Executed).count()).unwrap_or(u32::MAX)
        }
    }
}

/// Returns what a block is not shown with because it was passed over.
fn passed_over(block: &Block, chain: &Chain<'_>, results: &BlockResults) -> Vec<Skipped> {
    if chain.evm.is_none() {
        return Vec::new();
    }
    let skipped = block.ordered().filter_map(|(item, transaction)| {
        let outcome = results.outcomes.get(item as usize).filter(|outcome| **outcome != Outcome::Executed)?;
        Some(Skipped { hash: *transaction.hash(), index: item, outcome: outcome.clone() })
    });
    skipped.collect()
}

/// Renders the header of a final block as [`block`] does.
pub(super) fn head(header: &BlockHeader, chain: &Chain<'_>, results: &BlockResults) -> RpcHead {
    RpcHead { header: eth_header(header, chain, results), baton: extra(header) }
}

fn eth_header(header: &BlockHeader, chain: &Chain<'_>, results: &BlockResults) -> EthHeader {
    let mut inner = alloy_consensus::Header {
        parent_hash: header.parent.get(),
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        beneficiary: header.fee_recipient,
        state_root: results.state_root,
        transactions_root: header.payload_root,
        receipts_root: results.receipts_root,
        logs_bloom: results.logs_bloom,
        number: header.height.get(),
        gas_limit: chain.spec.block_gas_limit,
        gas_used: results.gas_used,
        timestamp: timestamp_s(header),
        base_fee_per_gas: Some(results.base_fee),
        ..Default::default()
    };
    if let Some(evm) = chain.evm {
        // What the block's code sees, and of what there is none here: withdrawals, blobs and requests belong to L1.
        let environment = evm.environment(header, results.base_fee);
        inner.mix_hash = environment.prev_randao;
        inner.parent_beacon_block_root = Some(environment.origin);
        inner.withdrawals_root = Some(EMPTY_WITHDRAWALS);
        inner.blob_gas_used = Some(0);
        inner.excess_blob_gas = Some(0);
        inner.requests_hash = Some(EMPTY_REQUESTS_HASH);
    }
    EthHeader {
        hash: header.digest().get(),
        inner,
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
        skipped: Vec::new(),
    }
}

/// Renders a transaction at its place in a final block, whose gas cost at least `base_fee` wei.
pub(super) fn included(
    transaction: &Transaction,
    place: &Place,
    outcome: Option<Outcome>,
    base_fee: u64,
) -> RpcTransaction {
    let price = transaction.envelope().effective_gas_price(Some(base_fee));
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
pub(super) fn timestamp_s(header: &BlockHeader) -> u64 {
    header.timestamp_ms.get() / 1_000
}
