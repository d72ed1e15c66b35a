//! Building the block that this node proposes when it leads.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Mutex, PoisonError},
};

use alloy_primitives::{Address, TxHash};
use baton_mempool::{Nonces, Pool, Selection};
use baton_proto::{
    Block, BlockHeader, ChainSpec, Epoch, L1Origin, MemberIndex, PayloadCommitment, TimestampMs, Transaction, View,
    limits::{BLOCK_BYTES_MAX, BLOCK_TRANSACTIONS_MAX},
};

/// What a proposal is built on.
pub struct Proposal<'a> {
    /// The chain's parameters.
    pub spec: &'a ChainSpec,
    /// The epoch that votes on it.
    pub epoch: Epoch,
    /// The view that this node leads.
    pub view: View,
    /// The block to build on.
    pub parent: &'a BlockHeader,
    /// Transactions of the unfinalized ancestors, in chain order.
    pub ahead: &'a Ahead,
    /// Whether a transaction is in one of the last final blocks that may not be repeated.
    pub recently_final: &'a dyn Fn(&TxHash) -> bool,
    /// The newest L1 block that may be named, if one is settled.
    pub origin: Option<L1Origin>,
    /// The local clock.
    pub now: TimestampMs,
    /// This node's index in the committee.
    pub proposer: MemberIndex,
    /// Who receives the fees.
    pub fee_recipient: Address,
}

/// What unfinalized ancestors already hold: their transactions, and the next nonces after them.
#[derive(Clone, Debug, Default)]
pub struct Ahead {
    /// Hashes of the transactions.
    pub hashes: HashSet<TxHash>,
    /// Next nonce of each sender after the ancestors.
    pub nonces: BTreeMap<Address, u64>,
}

impl Ahead {
    /// Adds a block's transactions. A nonce counts only where it is the sender's next one: a gapped transaction in an
    /// ancestor will be skipped, and must not hide what its sender can still send.
    pub fn extend(&mut self, transactions: &[Transaction], state: &dyn Nonces) {
        for transaction in transactions {
            self.hashes.insert(*transaction.hash());
            let next = self.nonces.entry(transaction.sender()).or_insert_with(|| state.nonce(transaction.sender()));
            if transaction.nonce() == *next {
                *next = next.saturating_add(1);
            }
        }
    }
}

/// Builds a block from `pool`: the best transactions that fit, each the next of its sender after final state and
/// ancestors, in the chain's order.
///
/// The pool is held only while transactions are chosen, not while their commitment is computed.
pub fn build(proposal: &Proposal<'_>, pool: &Mutex<Pool>, state: &dyn Nonces) -> Block {
    let spec = proposal.spec;
    let skip = |hash: &TxHash| proposal.ahead.hashes.contains(hash) || (proposal.recently_final)(hash);
    let transactions = pool.lock().unwrap_or_else(PoisonError::into_inner).select(
        &Selection {
            bytes_max: usize::try_from(spec.block_bytes_max).unwrap_or(usize::MAX).min(BLOCK_BYTES_MAX),
            gas_max: spec.block_gas_limit,
            count_max: BLOCK_TRANSACTIONS_MAX,
            ahead: &proposal.ahead.nonces,
            skip: &skip,
        },
        state,
    );
    let PayloadCommitment { payload_root, transaction_count, payload_bytes, declared_gas } =
        PayloadCommitment::of(&transactions);
    let parent = proposal.parent;
    let header = BlockHeader {
        l2_chain_id: spec.l2_chain_id,
        epoch: proposal.epoch,
        view: proposal.view,
        height: parent.height.next().unwrap_or(parent.height),
        parent: parent.digest(),
        timestamp_ms: proposal.now.max(TimestampMs::new(parent.timestamp_ms.get().saturating_add(1))),
        origin: proposal.origin.filter(|origin| origin.number > parent.origin.number).unwrap_or(parent.origin),
        forced_position: parent.forced_position,
        forced_hash: parent.forced_hash,
        payload_root,
        transaction_count,
        payload_bytes,
        declared_gas,
        proposer: proposal.proposer,
        fee_recipient: proposal.fee_recipient,
    };
    Block { header, transactions }
}
