//! Building the block that this node proposes when it leads.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
    sync::{Mutex, PoisonError},
};

use alloy_primitives::{Address, TxHash, U256};
use baton_mempool::{Accounts, InFlight, Pool, Selection, cost};
use baton_proto::{
    Block, BlockHeader, ChainSpec, Epoch, Forced, ForcedEntry, L1Origin, L2ChainId, MemberIndex, PayloadCommitment,
    TimestampMs, Transaction, View,
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
    /// The L1 block that it names: the newest that is settled, or the parent's.
    pub origin: L1Origin,
    /// The most that each unit of gas can cost at least in the block, in wei.
    pub base_fee: u64,
    /// The forced entries that are due there.
    pub forced: Vec<ForcedEntry>,
    /// The local clock.
    pub now: TimestampMs,
    /// This node's index in the committee.
    pub proposer: MemberIndex,
    /// Who receives the fees.
    pub fee_recipient: Address,
}

/// What unfinalized ancestors already hold: their transactions, and what these leave of the accounts that send them.
#[derive(Clone, Debug, Default)]
pub struct Ahead {
    /// Hashes of the transactions.
    pub hashes: HashSet<TxHash>,
    /// Each sender after the ancestors.
    pub accounts: BTreeMap<Address, InFlight>,
}

impl Ahead {
    /// Adds what a block orders. Of forced entries only what they do to accounts counts: nobody may keep another's transaction out of a block
    /// by having put it into the queue before its turn.
    pub fn extend(&mut self, block: &Block, state: &dyn Accounts) {
        self.take_forced(&block.forced, block.header.l2_chain_id, state);
        for transaction in &block.transactions {
            self.hashes.insert(*transaction.hash());
            self.take_turn(transaction, state);
        }
    }

    /// Adds the nonces that forced entries use up, and what they can cost.
    pub fn take_forced(&mut self, forced: &Forced, l2_chain_id: L2ChainId, state: &dyn Accounts) {
        for entry in &forced.entries {
            if let Ok(transaction) = entry.content(l2_chain_id) {
                self.take_turn(transaction, state);
            }
        }
    }

    /// A transaction counts only where its nonce is the sender's next one: a gapped one in an ancestor will be skipped, and
    /// must not hide what its sender can still send.
    fn take_turn(&mut self, transaction: &Transaction, state: &dyn Accounts) {
        let account = self.accounts.entry(transaction.sender()).or_insert_with(|| {
            // Of an account that cannot be read nothing is selected.
            let next = state.account(transaction.sender()).map_or(u64::MAX, |facts| facts.nonce);
            InFlight { next, spent: U256::ZERO }
        });
        if transaction.nonce() == account.next {
            account.next = account.next.saturating_add(1);
            account.spent = account.spent.saturating_add(cost(transaction));
        }
    }
}

/// Builds a block of the forced entries that are due, and from `pool` the best transactions that fit beside them, each the next
/// of its sender after final state, ancestors and those entries and paid for by what these leave, in the chain's order.
///
/// The pool is held only while transactions are chosen, not while their commitment is computed.
pub fn build(proposal: &Proposal<'_>, pool: &Mutex<Pool>, state: &dyn Accounts) -> Block {
    let spec = proposal.spec;
    let parent = proposal.parent;
    let forced = Forced::new(parent.forced_hash, proposal.forced.clone());
    let mut ahead = Cow::Borrowed(&proposal.ahead.accounts);
    if !forced.is_empty() {
        let mut all = proposal.ahead.clone();
        all.take_forced(&forced, spec.l2_chain_id, state);
        ahead = Cow::Owned(all.accounts);
    }
    let room = BLOCK_BYTES_MAX.saturating_sub(forced.bytes());
    let skip = |hash: &TxHash| proposal.ahead.hashes.contains(hash) || (proposal.recently_final)(hash);
    let transactions = pool.lock().unwrap_or_else(PoisonError::into_inner).select(
        &Selection {
            bytes_max: usize::try_from(spec.block_bytes_max).unwrap_or(usize::MAX).min(room),
            gas_max: spec.block_gas_limit.saturating_sub(forced.gas()),
            count_max: BLOCK_TRANSACTIONS_MAX.saturating_sub(forced.len()),
            base_fee: proposal.base_fee,
            ahead: &ahead,
            skip: &skip,
        },
        state,
    );
    let PayloadCommitment { payload_root, transaction_count, payload_bytes, declared_gas } =
        PayloadCommitment::of(&forced, &transactions);
    let header = BlockHeader {
        l2_chain_id: spec.l2_chain_id,
        epoch: proposal.epoch,
        view: proposal.view,
        height: parent.height.next().unwrap_or(parent.height),
        parent: parent.digest(),
        timestamp_ms: proposal.now.max(TimestampMs::new(parent.timestamp_ms.get().saturating_add(1))),
        origin: proposal.origin,
        forced_position: parent.forced_position.saturating_add(forced.len() as u64),
        forced_hash: forced.hash_after(parent.forced_position).unwrap_or(parent.forced_hash),
        payload_root,
        transaction_count,
        payload_bytes,
        declared_gas,
        proposer: proposal.proposer,
        fee_recipient: proposal.fee_recipient,
    };
    Block { header, forced, transactions }
}

#[cfg(test)]
mod tests;
