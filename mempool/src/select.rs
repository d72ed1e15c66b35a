//! What a leader takes into its block.

use std::collections::{BTreeMap, BinaryHeap};

use alloy_primitives::{Address, TxHash, U256};
use baton_proto::{OrderingRule, Transaction};

use crate::{
    Accounts, Pool,
    account::Account,
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
    /// The most that each unit of gas can cost at least in that block, in wei.
    pub base_fee: u64,
    /// What the unfinalized ancestors of the block leave of the accounts that send in them.
    pub ahead: &'a BTreeMap<Address, InFlight>,
    /// Which transactions must not be taken: those in an unfinalized ancestor or in the last `DUP_WINDOW` final blocks.
    /// What follows one in its account is not taken either.
    pub skip: &'a dyn Fn(&TxHash) -> bool,
}

/// What blocks that are not final hold of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InFlight {
    /// Its next nonce after them.
    pub next: u64,
    /// What its transactions in them can cost together, in wei.
    pub spent: U256,
}

/// An account's next transaction. The derived order is the order of ranks, for no two ranks are equal.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    rank: Rank,
    sender: Address,
    nonce: u64,
    /// What those before it can cost.
    spent: U256,
    /// Whether the nonce has been compared with final state.
    is_checked: bool,
}

impl Pool {
    /// Returns transactions for a block, within its bounds and in the chain's ordering rule; each sender's begin at its
    /// next nonce after `ahead` and are consecutive, and its balance covers all of them and those ahead. Those that offer more
    /// are taken first, and of equals the oldest.
    ///
    /// One that does not fit leaves room for smaller ones of others; one that offers less than the base fee waits, and what
    /// follows it in its account with it. O(accounts + n log accounts), and one read of final state for each sender that comes
    /// to its turn. Accounts for which final state is ahead of [`Pool::on_final`] sit out until the pool has heard of it.
    #[must_use]
    pub fn select(&self, selection: &Selection<'_>, accounts: &dyn Accounts) -> Vec<Transaction> {
        let mut turns: BinaryHeap<Turn> = self
            .accounts
            .iter()
            .filter_map(|(sender, account)| {
                let InFlight { next, spent } = selection.ahead.get(sender).copied().unwrap_or_default();
                self.turn(*sender, account, account.next().max(next), spent, false)
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
            if !turn.is_checked && accounts.account(turn.sender).is_none_or(|facts| facts.nonce > turn.nonce) {
                continue;
            }
            let Some(account) = self.accounts.get(&turn.sender) else { continue };
            let Some(queued) = account.get(turn.nonce) else { continue };
            let transaction = &queued.transaction;
            let (bytes, gas) = (transaction.raw().len(), transaction.gas_limit());
            // Each of these would be skipped when the block is executed.
            let Some(spent) = turn.spent.checked_add(queued.cost).filter(|spent| *spent <= account.facts().balance)
            else {
                continue;
            };
            if transaction.max_fee() < u128::from(selection.base_fee) {
                continue;
            }
            if bytes > bytes_left || gas > gas_left || (selection.skip)(transaction.hash()) {
                continue;
            }
            bytes_left -= bytes;
            gas_left -= gas;
            selected.push(transaction.clone());
            let next = turn.nonce.checked_add(1);
            turns.extend(next.and_then(|nonce| self.turn(turn.sender, account, nonce, spent, true)));
        }
        match self.config.ordering_rule {
            OrderingRule::PriorityFee => priority_fee_order(selected),
            OrderingRule::FirstSeen => selected,
        }
    }

    fn turn(&self, sender: Address, account: &Account, nonce: u64, spent: U256, is_checked: bool) -> Option<Turn> {
        let queued = account.get(nonce)?;
        let rank = Rank::for_choice(self.config.ordering_rule, &queued.transaction, queued.arrival);
        Some(Turn { rank, sender, nonce, spent, is_checked })
    }
}
