//! What a leader takes into its block.

use std::collections::{BTreeMap, BinaryHeap};

use alloy_primitives::{Address, TxHash};
use baton_proto::{OrderingRule, Transaction};

use crate::{
    Nonces, Pool,
    account::Queued,
    order::{Rank, priority_fee_order},
};

/// The least gas of any transaction: with less left in a block nothing fits any more.
const GAS_MIN: u64 = 21_000;

/// The block that transactions are wanted for.
#[derive(Clone, Copy)]
pub struct Selection<'a> {
    /// Most bytes of transactions.
    pub bytes_max: usize,
    /// Most declared gas.
    pub gas_max: u64,
    /// Most transactions.
    pub count_max: usize,
    /// Next nonces after the unfinalized ancestors of the block, for the accounts that these change.
    pub ahead: &'a BTreeMap<Address, u64>,
    /// Which transactions must not be taken: those in an unfinalized ancestor or in the last `DUP_WINDOW` final blocks.
    /// What follows one in its account is not taken either.
    pub skip: &'a dyn Fn(&TxHash) -> bool,
}

/// An account's next transaction. The derived order is the order of ranks, for no two ranks are equal.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    rank: Rank,
    sender: Address,
    nonce: u64,
    /// Whether the nonce has been compared with final state.
    is_checked: bool,
}

impl Pool {
    /// Returns transactions for a block, within its bounds and in the chain's ordering rule; each sender's begin at its
    /// next nonce after `ahead` and are consecutive. Those that offer more are taken first, and of equals the oldest.
    ///
    /// One that does not fit leaves room for smaller ones of others. O(accounts + n log accounts), and one read of final
    /// state for each sender that comes to its turn. Accounts for which final state is ahead of [`Pool::on_final`] sit out
    /// until the pool has heard of it.
    #[must_use]
    pub fn select(&self, selection: &Selection<'_>, nonces: &dyn Nonces) -> Vec<Transaction> {
        let mut turns: BinaryHeap<Turn> = self
            .accounts
            .iter()
            .filter_map(|(sender, account)| {
                let ahead = selection.ahead.get(sender).copied().unwrap_or_default();
                self.turn(*sender, account.next().max(ahead), false)
            })
            .collect();
        let (mut bytes_left, mut gas_left) = (selection.bytes_max, selection.gas_max);
        let mut selected = Vec::new();
        while selected.len() < selection.count_max
            && gas_left >= GAS_MIN
            && let Some(turn) = turns.pop()
        {
            // An account whose nonce has moved since we last heard of it competed with the fee of a used transaction. Its
            // right next one may have belonged before what is selected already, so it sits this block out. Reading final
            // state for every account beforehand would cost more than all the rest.
            if !turn.is_checked && nonces.nonce(turn.sender) > turn.nonce {
                continue;
            }
            let Some(Queued { transaction, .. }) = self.queued_at(turn.sender, turn.nonce) else {
                continue;
            };
            let (bytes, gas) = (transaction.raw().len(), transaction.gas_limit());
            if bytes > bytes_left || gas > gas_left || (selection.skip)(transaction.hash()) {
                continue;
            }
            bytes_left -= bytes;
            gas_left -= gas;
            selected.push(transaction.clone());
            turns.extend(turn.nonce.checked_add(1).and_then(|nonce| self.turn(turn.sender, nonce, true)));
        }
        match self.config.ordering_rule {
            OrderingRule::PriorityFee => priority_fee_order(selected),
            OrderingRule::FirstSeen => selected,
        }
    }

    fn turn(&self, sender: Address, nonce: u64, is_checked: bool) -> Option<Turn> {
        let queued = self.queued_at(sender, nonce)?;
        let rank = Rank::for_choice(self.config.ordering_rule, &queued.transaction, queued.arrival);
        Some(Turn { rank, sender, nonce, is_checked })
    }

    fn queued_at(&self, sender: Address, nonce: u64) -> Option<&Queued> {
        self.accounts.get(&sender)?.get(nonce)
    }
}
