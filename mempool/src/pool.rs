//! The pool: admission by state, replacement, bounds, and what finality takes out.

use std::collections::BTreeMap;

use alloy_primitives::{Address, TxHash};
use baton_proto::Transaction;

use crate::{
    Fate, PoolConfig, PoolCounts, PoolError,
    account::{Account, Queued, Worth},
    admission,
    departed::Departed,
};

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

/// The final state, as far as a pool needs it.
pub trait Nonces {
    /// Returns the next nonce of `account` in final state; 0 for an account that never sent. A pool asks about accounts
    /// that it holds nothing of; what changes for the others it hears by [`Pool::on_final`].
    fn nonce(&self, account: Address) -> u64;
}

/// A transaction as it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The transaction.
    pub transaction: Transaction,
    /// When its lifetime began, in milliseconds.
    pub added_ms: u64,
}

/// A transaction has been admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// Its hash.
    pub hash: TxHash,
    /// Whether every nonce before it is used or in the pool; otherwise it waits for them.
    pub executable: bool,
    /// The transaction of the same account and nonce that made way for it.
    pub replaced: Option<Waiting>,
}

/// Whether the account's bound for gapped transactions holds for a newcomer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GapBound {
    Holds,
    Lifted,
}

/// Transactions that wait for a place in a block, within the bounds of a [`PoolConfig`].
///
/// Every call costs O(log n), but for the walks over the accounts in [`Pool::select`] and [`Pool::expire`], over one
/// account's queue when its nonces move or a gap closes, and over the evicted when the pool is full.
#[derive(Clone, Debug)]
pub struct Pool {
    pub(crate) config: PoolConfig,
    /// Accounts with at least one transaction here.
    pub(crate) accounts: BTreeMap<Address, Account>,
    by_hash: BTreeMap<TxHash, (Address, u64)>,
    /// The last transaction of each account, least worth first.
    by_worth: BTreeMap<Worth, Address>,
    /// How many accounts have a transaction whose turn could come now.
    executable_accounts: usize,
    bytes: usize,
    arrivals: u64,
    counts: PoolCounts,
    departed: Departed,
}

impl Pool {
    /// Returns an empty pool.
    #[must_use]
    pub fn new(config: PoolConfig) -> Self {
        Self {
            config,
            accounts: BTreeMap::new(),
            by_hash: BTreeMap::new(),
            by_worth: BTreeMap::new(),
            executable_accounts: 0,
            bytes: 0,
            arrivals: 0,
            counts: PoolCounts::default(),
            departed: Departed::default(),
        }
    }

    /// Returns what it counted since it was made.
    #[must_use]
    pub fn counts(&self) -> PoolCounts {
        self.counts
    }

    /// Admits a transaction. `now_ms` starts its lifetime, in milliseconds on any clock that [`Self::expire`] shares.
    ///
    /// One with the account and nonce of another replaces it if both of its fees are at least a tenth higher (geth's rule:
    /// higher, and not below ⌊1.1 × old⌋). In a full pool it takes the place of what is worth less.
    ///
    /// # Errors
    /// [`PoolError`], with the pool then holding what it held; only nonces that final state has used may have left.
    pub fn add(&mut self, transaction: Transaction, now_ms: u64, nonces: &dyn Nonces) -> Result<Added, PoolError> {
        let added = self.admit(transaction, now_ms, nonces, GapBound::Holds);
        let counts = &mut self.counts;
        match &added {
            Ok(added) => {
                PoolCounts::add(&mut counts.admitted, 1);
                PoolCounts::add(&mut counts.replaced, usize::from(added.replaced.is_some()));
            }
            Err(PoolError::AlreadyKnown) => PoolCounts::add(&mut counts.already_known, 1),
            Err(_) => PoolCounts::add(&mut counts.rejected, 1),
        }
        added
    }

    /// Admits a transaction that this pool held before, with the time at which its lifetime began then.
    ///
    /// As [`Self::add`], but the account's bound for gapped transactions does not hold: it was executable when it was
    /// admitted, perhaps after one that is not here any more but with others, and will be again. The account's bound for
    /// all of its transactions does hold.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn restore(&mut self, waiting: Waiting, nonces: &dyn Nonces) -> Result<Added, PoolError> {
        self.admit(waiting.transaction, waiting.added_ms, nonces, GapBound::Lifted)
    }

    /// Takes out the transaction with this hash and returns whether it was here. What followed it is gapped then.
    pub fn discard(&mut self, hash: &TxHash) -> bool {
        let Some((sender, nonce)) = self.by_hash.get(hash).copied() else { return false };
        !self.remove(sender, |queued| queued.transaction.nonce() == nonce).is_empty()
    }

    fn admit(
        &mut self,
        transaction: Transaction,
        added_ms: u64,
        nonces: &dyn Nonces,
        gap_bound: GapBound,
    ) -> Result<Added, PoolError> {
        // First of all, because gossip brings everything more than once.
        if self.contains(transaction.hash()) {
            return Err(PoolError::AlreadyKnown);
        }
        admission::check(&transaction, &self.config)?;
        let (hash, sender, nonce) = (*transaction.hash(), transaction.sender(), transaction.nonce());
        // What is final here already is told by `on_final`, so an account that is known needs no look at the state.
        let next = self.accounts.get(&sender).map_or_else(|| nonces.nonce(sender), Account::next);
        if nonce < next {
            return Err(PoolError::NonceTooLow { next, got: nonce });
        }
        if let Some(account) = self.accounts.get(&sender) {
            match account.get(nonce) {
                Some(old) => outbids(&transaction, &old.transaction)?,
                None => self.has_place(account, nonce, gap_bound)?,
            }
        }
        let queued = Queued::new(transaction, added_ms, self.arrivals);
        self.arrivals = self.arrivals.saturating_add(1);
        let replaced = self.insert(next, queued);
        self.make_room(&hash, next, replaced.as_ref())?;
        self.departed.forget(&hash);
        if let Some(old) = &replaced {
            self.departed.note(*old.transaction.hash(), Fate::Replaced { by: hash });
        }
        Ok(Added {
            hash,
            executable: self.accounts.get(&sender).is_some_and(|account| account.is_executable(nonce)),
            replaced: replaced.map(|Queued { transaction, added_ms, .. }| Waiting { transaction, added_ms }),
        })
    }

    /// Returns the transaction with this hash.
    #[must_use]
    pub fn get(&self, hash: &TxHash) -> Option<Transaction> {
        self.queued(hash).map(|queued| queued.transaction.clone())
    }

    /// Returns when the lifetime of the transaction with this hash began, in milliseconds.
    #[must_use]
    pub fn added_ms(&self, hash: &TxHash) -> Option<u64> {
        self.queued(hash).map(|queued| queued.added_ms)
    }

    fn queued(&self, hash: &TxHash) -> Option<&Queued> {
        let (sender, nonce) = self.by_hash.get(hash)?;
        self.accounts.get(sender)?.get(*nonce)
    }

    /// Returns why a transaction that was here left before its turn; `None` of one that is here, left otherwise, or left
    /// long ago.
    #[must_use]
    pub fn fate(&self, hash: &TxHash) -> Option<Fate> {
        self.departed.fate(hash)
    }

    /// Returns whether the pool holds the transaction with this hash.
    #[must_use]
    pub fn contains(&self, hash: &TxHash) -> bool {
        self.by_hash.contains_key(hash)
    }

    /// Returns how many transactions the pool holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_hash.len()
    }

    /// Returns whether the pool holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }

    /// Returns the bytes of all transactions, as encoded.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns all transactions, by account and nonce.
    pub fn transactions(&self) -> impl Iterator<Item = &Transaction> {
        self.accounts.values().flat_map(Account::iter).map(|(_, queued)| &queued.transaction)
    }

    /// Returns whether some transaction could take its turn now, as far as the pool knows the final state.
    #[must_use]
    pub fn has_executable(&self) -> bool {
        self.executable_accounts > 0
    }

    /// Returns the first nonce that `account` has neither used nor in the pool: what the tag `pending` counts.
    #[must_use]
    pub fn pending_nonce(&self, account: Address, nonces: &dyn Nonces) -> u64 {
        let next = nonces.nonce(account);
        self.accounts.get(&account).map_or(next, |queue| queue.first_gap(next))
    }

    /// Takes out what a final block has settled: `nonces` are the accounts' next nonces after it, as far as they changed,
    /// and `included` its transactions. Called once per block, in order.
    ///
    /// An included transaction leaves if its turn had come: its nonce is used, or it was the next one and execution
    /// refused it. One that a leader included before its turn stays, for that turn is still to come; otherwise a leader
    /// could empty everybody's pool of an account by including its transactions in the wrong order.
    pub fn on_final(&mut self, nonces: &BTreeMap<Address, u64>, included: &[TxHash]) {
        for (account, next) in nonces {
            self.advance(*account, *next);
        }
        for hash in included {
            if let Some((sender, nonce)) = self.by_hash.get(hash).copied()
                && self.accounts.get(&sender).is_some_and(|account| nonce <= account.next())
            {
                self.remove(sender, |queued| queued.transaction.nonce() == nonce);
            }
        }
    }

    /// Takes out and returns what has waited for the whole lifetime, and what that leaves without a place: gapped
    /// transactions above the account's bound.
    pub fn expire(&mut self, now_ms: u64) -> Vec<TxHash> {
        let lifetime_ms = self.config.lifetime_ms;
        let is_old = |queued: &Queued| now_ms.saturating_sub(queued.added_ms) >= lifetime_ms;
        let accounts: Vec<_> = self
            .accounts
            .iter()
            .filter(|(_, account)| account.iter().any(|(_, queued)| is_old(queued)))
            .map(|(address, _)| *address)
            .collect();
        let expired: Vec<_> = accounts.into_iter().flat_map(|account| self.remove(account, is_old)).collect();
        PoolCounts::add(&mut self.counts.expired, expired.len());
        expired.iter().for_each(|hash| self.departed.note(*hash, Fate::Expired));
        expired
    }

    /// Checks the bounds of one account for a nonce that it does not have yet.
    fn has_place(&self, account: &Account, nonce: u64, gap_bound: GapBound) -> Result<(), PoolError> {
        let (pooled, gapped) = (account.len(), account.gapped_len());
        let is_gap_full = match gap_bound {
            GapBound::Holds => !account.is_executable(nonce) && gapped >= self.config.account_gapped_max,
            GapBound::Lifted => false,
        };
        if pooled >= self.config.account_transactions_max || is_gap_full {
            return Err(PoolError::AccountLimit { pooled });
        }
        Ok(())
    }

    /// Evicts what is worth least until the pool is within its bounds again. If that is the newcomer, puts all back.
    ///
    /// The newcomer is in the pool already, so its queue is judged with it: a nonce that closes a gap may push out the
    /// end of its own queue, never a more valuable one of somebody else's.
    fn make_room(&mut self, newcomer: &TxHash, next: u64, replaced: Option<&Queued>) -> Result<(), PoolError> {
        let mut evicted: Vec<(u64, Queued)> = Vec::new();
        while self.len() > self.config.transactions_max || self.bytes > self.config.bytes_max {
            let Some(account) = self.by_worth.first_key_value().map(|(_, account)| *account) else {
                break;
            };
            let next_of_account = self.accounts.get(&account).map_or(next, Account::next);
            let Some(victim) = self.pop_last(account) else {
                break;
            };
            let is_refused = victim.transaction.hash() == newcomer;
            if !is_refused {
                evicted.push((next_of_account, victim));
                continue;
            }
            for (next, queued) in replaced.map(|old| (next, old.clone())).into_iter().chain(evicted) {
                self.insert(next, queued);
            }
            return Err(PoolError::Full);
        }
        PoolCounts::add(&mut self.counts.evicted, evicted.len());
        for (_, victim) in &evicted {
            self.departed.note(*victim.transaction.hash(), Fate::Evicted);
        }
        Ok(())
    }

    /// Puts `queued` into its account, whose next nonce is `next`, and returns the one that had its place.
    fn insert(&mut self, next: u64, queued: Queued) -> Option<Queued> {
        let (sender, nonce) = (queued.transaction.sender(), queued.transaction.nonce());
        self.by_hash.insert(*queued.transaction.hash(), (sender, nonce));
        self.bytes = self.bytes.saturating_add(queued.transaction.raw().len());
        let replaced = self.edit(sender, next, |account| account.insert(queued));
        self.forget(replaced.as_ref());
        replaced
    }

    fn advance(&mut self, account: Address, next: u64) {
        if self.accounts.get(&account).is_some_and(|queue| queue.next() < next) {
            let used = self.edit(account, next, |queue| queue.advance(next));
            self.forget(&used);
        }
    }

    fn pop_last(&mut self, account: Address) -> Option<Queued> {
        let last = self.edit(account, 0, Account::pop_last);
        self.forget(last.as_ref());
        last
    }

    fn remove(&mut self, account: Address, leaves: impl Fn(&Queued) -> bool) -> Vec<TxHash> {
        let gapped_max = self.config.account_gapped_max;
        let removed = self.edit(account, 0, |queue| queue.remove(gapped_max, leaves));
        self.forget(&removed);
        removed.iter().map(|queued| *queued.transaction.hash()).collect()
    }

    /// Changes one account and keeps the index of last transactions and the count of accounts whose turn could come in
    /// step; an empty account goes, a missing one is made with `next`.
    fn edit<T>(&mut self, address: Address, next: u64, change: impl FnOnce(&mut Account) -> T) -> T {
        let account = self.accounts.entry(address).or_insert_with(|| Account::new(next));
        if let Some(worth) = account.worth() {
            self.by_worth.remove(&worth);
        }
        self.executable_accounts -= usize::from(account.has_executable());
        let result = change(account);
        self.executable_accounts += usize::from(account.has_executable());
        match account.worth() {
            Some(worth) => {
                self.by_worth.insert(worth, address);
            }
            None => {
                self.accounts.remove(&address);
            }
        }
        result
    }

    /// Drops what has left its account from hash index and byte count.
    fn forget<'a>(&mut self, gone: impl IntoIterator<Item = &'a Queued>) {
        for queued in gone {
            self.by_hash.remove(queued.transaction.hash());
            self.bytes = self.bytes.saturating_sub(queued.transaction.raw().len());
        }
    }
}

/// Checks that `new` pays at least a tenth more than `old`, in priority fee and in fee cap.
fn outbids(new: &Transaction, old: &Transaction) -> Result<(), PoolError> {
    // geth: strictly more, and at least floor(old * 110 / 100) = old + floor(old / 10).
    let needed = |old: u128| old.saturating_add((old / 10).max(1));
    let (priority_fee_needed, max_fee_needed) = (needed(old.priority_fee()), needed(old.max_fee()));
    // At the very top of the range nothing is strictly more.
    let is_more = new.priority_fee() > old.priority_fee() && new.max_fee() > old.max_fee();
    if is_more && new.priority_fee() >= priority_fee_needed && new.max_fee() >= max_fee_needed {
        return Ok(());
    }
    Err(PoolError::ReplacementUnderpriced { priority_fee_needed, max_fee_needed })
}
