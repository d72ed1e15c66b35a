//! The pool: admission by state, replacement, bounds, and what finality takes out.

use std::collections::{BTreeMap, BTreeSet, btree_map};

use alloy_primitives::{Address, TxHash, U256};
use baton_proto::{ExecutorKind, Transaction};

use crate::{
    AccountCode, AccountFacts, Accounts, Fate, PoolConfig, PoolCounts, PoolError,
    account::{Account, Left, Queued, Worth},
    accounts, admission,
    departed::Departed,
};

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

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
    /// Whether every nonce before it is used or in the pool and the balance covers all of them; otherwise it waits.
    pub executable: bool,
    /// The transaction of the same account and nonce that made way for it.
    pub replaced: Option<Waiting>,
}

/// What finality settled since the pool heard of it last.
#[derive(Clone, Copy, Debug)]
pub struct Settled<'a> {
    /// The accounts that it changed; others are as they were.
    pub touched: &'a [Address],
    /// Transactions that execution refused at their turn for a reason that time does not heal.
    pub refused: &'a [TxHash],
    /// What each unit of gas costs at least in the block after, in wei.
    pub base_fee: u64,
}

/// How a transaction comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// All bounds of its account hold for it.
    New,
    /// It was here before, within those bounds, beside others that may be gone.
    Back,
}

/// Transactions that wait for a place in a block, within the bounds of a [`PoolConfig`].
///
/// Every call costs O(log n), but for the walks over the accounts in [`Pool::select`] and [`Pool::expire`], over one
/// account's queue when its state moves, a gap closes or one of its run is replaced, and over the evicted when the pool is
/// full. So a final block costs no more than what it touches, and one walk over the pool at most.
#[derive(Clone, Debug)]
pub struct Pool {
    pub(crate) config: PoolConfig,
    /// Accounts with at least one transaction here.
    pub(crate) accounts: BTreeMap<Address, Account>,
    by_hash: BTreeMap<TxHash, (Address, u64)>,
    /// The last transaction of each account, least worth first.
    by_worth: BTreeMap<Worth, Address>,
    /// The fee caps of the executable transactions whose turns come first, with their accounts.
    heads: BTreeSet<(u128, Address)>,
    /// How many transactions here an account has signed an authorization in.
    authorities: BTreeMap<Address, usize>,
    /// What each unit of gas costs at least in the next block, in wei.
    base_fee: u64,
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
            heads: BTreeSet::new(),
            authorities: BTreeMap::new(),
            base_fee: 0,
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

    /// Takes what each unit of gas costs at least in the next block, in wei: at a start, before [`Self::on_final`] tells.
    pub fn set_base_fee(&mut self, base_fee: u64) {
        self.base_fee = base_fee;
    }

    /// Admits a transaction. `now_ms` starts its lifetime, in milliseconds on any clock that [`Self::expire`] shares.
    ///
    /// One with the account and nonce of another replaces it if both of its fees are at least a tenth higher (geth's rule:
    /// higher, and not below ⌊1.1 × old⌋). In a full pool it takes the place of what is worth less.
    ///
    /// The balance must cover what the account's executable transactions and this one can cost together. A fee cap below the
    /// base fee is admitted, as by geth, and selected once the base fee has fallen. Of an account whose code is delegated, or
    /// will be by a transaction that waits here, one transaction waits at a time, and a transaction that carries somebody's
    /// authorization is refused while more than one of theirs wait (geth's rules for EIP-7702): others can move such an
    /// account's money and nonce, so one transaction could make any number of waiting ones worthless.
    ///
    /// # Errors
    /// [`PoolError`], with the pool then holding what it held.
    pub fn add(&mut self, transaction: Transaction, now_ms: u64, accounts: &dyn Accounts) -> Result<Added, PoolError> {
        let added = self.admit(transaction, now_ms, accounts, Entry::New);
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
    /// As [`Self::add`], but the account's bounds for gapped transactions, for what they can cost together and for delegated
    /// accounts do not hold: it was executable when it was admitted, perhaps after one that is not here any more but with
    /// others, and may be again. The account's bound for all of its transactions does hold, and what alone costs more than
    /// the balance is refused.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn restore(&mut self, waiting: Waiting, accounts: &dyn Accounts) -> Result<Added, PoolError> {
        self.admit(waiting.transaction, waiting.added_ms, accounts, Entry::Back)
    }

    /// Says why [`Self::add`] would refuse a transaction, as far as that does not depend on who signed its authorizations or
    /// on room. Cheap: whoever shares the pool asks this before it recovers [`Transaction::authorities`], and recovers them
    /// before it adds, so that nobody waits for that.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn check(&self, transaction: &Transaction, accounts: &dyn Accounts) -> Result<(), PoolError> {
        self.judge(transaction, accounts, Entry::New).map(|_| ())
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
        accounts: &dyn Accounts,
        entry: Entry,
    ) -> Result<Added, PoolError> {
        let facts = self.judge(&transaction, accounts, entry)?;
        if entry == Entry::New {
            self.reserves(&transaction)?;
        }
        let (hash, sender, nonce) = (*transaction.hash(), transaction.sender(), transaction.nonce());
        let cost = self.cost(&transaction);
        let queued = Queued::new(transaction, added_ms, self.arrivals, cost);
        self.arrivals = self.arrivals.saturating_add(1);
        let replaced = self.insert(facts, queued);
        self.make_room(&hash, facts, replaced.as_ref())?;
        self.departed.forget(&hash);
        if let Some(old) = &replaced {
            self.departed.note(*old.transaction.hash(), Fate::Replaced { by: hash });
        }
        Ok(Added {
            hash,
            executable: self.accounts.get(&sender).is_some_and(|account| account.runs(nonce)),
            replaced: replaced.map(|Queued { transaction, added_ms, .. }| Waiting { transaction, added_ms }),
        })
    }

    /// Checks all but [`Self::reserves`] and room, and returns what final state says of the sender.
    fn judge(
        &self,
        transaction: &Transaction,
        accounts: &dyn Accounts,
        entry: Entry,
    ) -> Result<AccountFacts, PoolError> {
        // First of all, because gossip brings everything more than once.
        if self.contains(transaction.hash()) {
            return Err(PoolError::AlreadyKnown);
        }
        admission::check(transaction, &self.config)?;
        let (sender, nonce) = (transaction.sender(), transaction.nonce());
        let account = self.accounts.get(&sender);
        // What is final here already is told by `on_final`, so an account that is known needs no look at the state.
        let facts = match account {
            Some(account) => *account.facts(),
            None => self.facts(sender, accounts).ok_or(PoolError::StateUnreadable)?,
        };
        if nonce < facts.nonce {
            return Err(PoolError::NonceTooLow { next: facts.nonce, got: nonce });
        }
        if facts.code == AccountCode::Contract {
            return Err(PoolError::SenderNotEoa { sender });
        }
        let cost = self.cost(transaction);
        if cost > facts.balance {
            return Err(PoolError::InsufficientFunds { balance: facts.balance, cost });
        }
        if entry == Entry::New {
            covers(&facts, account, nonce, cost)?;
            self.has_turn(&facts, account, transaction)?;
        }
        if let Some(account) = account {
            match account.get(nonce) {
                Some(old) => outbids(transaction, &old.transaction)?,
                None => self.has_place(account, nonce, entry)?,
            }
        }
        Ok(facts)
    }

    /// Returns what final state says of an account that the pool does not know; on a chain that charges nobody, that it can
    /// pay for everything.
    fn facts(&self, account: Address, accounts: &dyn Accounts) -> Option<AccountFacts> {
        let facts = accounts.account(account)?;
        Some(match self.config.executor {
            ExecutorKind::None => AccountFacts { balance: U256::MAX, ..facts },
            ExecutorKind::Embedded => facts,
        })
    }

    fn cost(&self, transaction: &Transaction) -> U256 {
        match self.config.executor {
            ExecutorKind::None => U256::ZERO,
            ExecutorKind::Embedded => accounts::cost(transaction),
        }
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

    /// Returns the least `maxPriorityFeePerGas` that the pool admits, in wei.
    #[must_use]
    pub const fn priority_fee_min(&self) -> u128 {
        self.config.priority_fee_min
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

    /// Returns whether some transaction could take its turn now, as far as the pool knows the final state: one that is
    /// executable and offers the base fee.
    #[must_use]
    pub fn has_executable(&self) -> bool {
        self.heads.last().is_some_and(|(max_fee, _)| *max_fee >= u128::from(self.base_fee))
    }

    /// Returns the first nonce that `account`, whose next one is `next` in final state, has neither used nor among its
    /// executable transactions here: what the tag `pending` counts.
    #[must_use]
    pub fn pending_nonce(&self, account: Address, next: u64) -> u64 {
        self.accounts.get(&account).map_or(next, |queue| queue.first_gap(next))
    }

    /// Takes out what finality has settled: transactions whose nonces are used, those that were refused at their turn, and
    /// those that their accounts can pay for no more. What the balance covers no longer beside those before it waits until it
    /// does again, within the account's bound for gapped ones.
    ///
    /// One that a leader included before its turn, or below the base fee, stays, for its turn is still to come; otherwise a
    /// leader could empty everybody's pool of an account by including its transactions in the wrong order.
    pub fn on_final(&mut self, settled: &Settled<'_>, accounts: &dyn Accounts) {
        self.base_fee = settled.base_fee;
        for account in settled.touched {
            if self.accounts.contains_key(account)
                && let Some(facts) = self.facts(*account, accounts)
            {
                self.update(*account, facts);
            }
        }
        for hash in settled.refused {
            self.discard(hash);
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
    fn has_place(&self, account: &Account, nonce: u64, entry: Entry) -> Result<(), PoolError> {
        let (pooled, gapped) = (account.len(), account.gapped_len());
        let is_gap_full = match entry {
            Entry::New => !account.is_next(nonce) && gapped >= self.config.account_gapped_max,
            Entry::Back => false,
        };
        if pooled >= self.config.account_transactions_max || is_gap_full {
            return Err(PoolError::AccountLimit { pooled });
        }
        Ok(())
    }

    /// Checks that an account whose code is delegated, or will be, has no more than one transaction that waits, and that its
    /// turn could come now. Source: geth's `checkDelegationLimit`.
    fn has_turn(
        &self,
        facts: &AccountFacts,
        account: Option<&Account>,
        transaction: &Transaction,
    ) -> Result<(), PoolError> {
        if facts.code == AccountCode::Absent && !self.authorities.contains_key(&transaction.sender()) {
            return Ok(());
        }
        let nonce = transaction.nonce();
        match account.filter(|account| account.has_executable()) {
            None if nonce == facts.nonce => Ok(()),
            None => Err(PoolError::GappedFromDelegated),
            Some(account) if account.runs(nonce) => Ok(()),
            Some(_) => Err(PoolError::InflightLimit),
        }
    }

    /// Checks that nobody whose authorization `transaction` carries has more than one transaction that waits. Source: geth's
    /// `validateAuth`.
    fn reserves(&self, transaction: &Transaction) -> Result<(), PoolError> {
        let waits = |account: &Address| self.accounts.get(account).map_or(0, Account::len);
        match transaction.authorities().iter().any(|authority| waits(authority) > 1) {
            true => Err(PoolError::AuthorityReserved),
            false => Ok(()),
        }
    }

    /// Evicts what is worth least until the pool is within its bounds again. If that is the newcomer, puts all back.
    ///
    /// The newcomer is in the pool already, so its queue is judged with it: a nonce that closes a gap may push out the
    /// end of its own queue, never a more valuable one of somebody else's.
    fn make_room(
        &mut self,
        newcomer: &TxHash,
        facts: AccountFacts,
        replaced: Option<&Queued>,
    ) -> Result<(), PoolError> {
        let mut evicted: Vec<(AccountFacts, Queued)> = Vec::new();
        while self.len() > self.config.transactions_max || self.bytes > self.config.bytes_max {
            let Some(account) = self.by_worth.first_key_value().map(|(_, account)| *account) else {
                break;
            };
            let facts_of_account = self.accounts.get(&account).map_or(facts, |account| *account.facts());
            let Some(victim) = self.pop_last(account) else {
                break;
            };
            let is_refused = victim.transaction.hash() == newcomer;
            if !is_refused {
                evicted.push((facts_of_account, victim));
                continue;
            }
            for (facts, queued) in replaced.map(|old| (facts, old.clone())).into_iter().chain(evicted) {
                self.insert(facts, queued);
            }
            return Err(PoolError::Full);
        }
        PoolCounts::add(&mut self.counts.evicted, evicted.len());
        for (_, victim) in &evicted {
            self.departed.note(*victim.transaction.hash(), Fate::Evicted);
        }
        Ok(())
    }

    /// Puts `queued` into its account, of which final state says `facts`, and returns the one that had its place.
    fn insert(&mut self, facts: AccountFacts, queued: Queued) -> Option<Queued> {
        let (sender, nonce) = (queued.transaction.sender(), queued.transaction.nonce());
        self.by_hash.insert(*queued.transaction.hash(), (sender, nonce));
        self.bytes = self.bytes.saturating_add(queued.transaction.raw().len());
        for authority in queued.transaction.authorities() {
            *self.authorities.entry(*authority).or_default() += 1;
        }
        let replaced = self.edit(sender, facts, |account| account.insert(queued));
        self.forget(replaced.as_ref());
        replaced
    }

    /// Takes what final state says of an account that is here.
    fn update(&mut self, account: Address, facts: AccountFacts) {
        let gapped_max = self.config.account_gapped_max;
        let Left { used, unfunded } = self.edit(account, facts, |queue| queue.update(facts, gapped_max));
        self.forget(used.iter().chain(&unfunded));
        PoolCounts::add(&mut self.counts.unfunded, unfunded.len());
        unfunded.iter().for_each(|queued| self.departed.note(*queued.transaction.hash(), Fate::Unfunded));
    }

    fn pop_last(&mut self, account: Address) -> Option<Queued> {
        let last = self.edit(account, AccountFacts::default(), Account::pop_last);
        self.forget(last.as_ref());
        last
    }

    fn remove(&mut self, account: Address, leaves: impl Fn(&Queued) -> bool) -> Vec<TxHash> {
        let gapped_max = self.config.account_gapped_max;
        let removed = self.edit(account, AccountFacts::default(), |queue| queue.remove(gapped_max, leaves));
        self.forget(&removed);
        removed.iter().map(|queued| *queued.transaction.hash()).collect()
    }

    /// Changes one account and keeps the indices of last and of first transactions in step; an empty account goes, a missing
    /// one is made with `facts`.
    fn edit<T>(&mut self, address: Address, facts: AccountFacts, change: impl FnOnce(&mut Account) -> T) -> T {
        let head = |account: &Account| account.head().map(|queued| (queued.transaction.max_fee(), address));
        let account = self.accounts.entry(address).or_insert_with(|| Account::new(facts));
        if let Some(worth) = account.worth() {
            self.by_worth.remove(&worth);
        }
        if let Some(head) = head(account) {
            self.heads.remove(&head);
        }
        let result = change(account);
        self.heads.extend(head(account));
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

    /// Drops what has left its account from the indices by hash and by authority, and from the byte count.
    fn forget<'a>(&mut self, gone: impl IntoIterator<Item = &'a Queued>) {
        for queued in gone {
            self.by_hash.remove(queued.transaction.hash());
            self.bytes = self.bytes.saturating_sub(queued.transaction.raw().len());
            for authority in queued.transaction.authorities() {
                if let btree_map::Entry::Occupied(mut count) = self.authorities.entry(*authority) {
                    *count.get_mut() -= 1;
                    if *count.get() == 0 {
                        count.remove();
                    }
                }
            }
        }
    }
}

/// Checks that the balance covers a newcomer of `cost` beside the account's executable transactions, whether it joins them,
/// replaces one of them or waits beyond. Source: geth's `ValidateTransactionWithState`.
fn covers(facts: &AccountFacts, account: Option<&Account>, nonce: u64, cost: U256) -> Result<(), PoolError> {
    let (balance, queued) = (facts.balance, account.map_or(U256::ZERO, Account::spent));
    let replaced = account.filter(|account| account.runs(nonce)).and_then(|account| account.get(nonce));
    // Both are at most the balance. A sum beyond the largest number overshoots any balance by at least this much.
    let needed = queued.saturating_sub(replaced.map_or(U256::ZERO, |old| old.cost)).saturating_add(cost);
    if needed <= balance {
        return Ok(());
    }
    Err(match replaced {
        Some(old) => PoolError::OverdraftByReplacement { balance, queued, bump: cost.saturating_sub(old.cost) },
        None => PoolError::Overdraft { balance, queued, cost },
    })
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
