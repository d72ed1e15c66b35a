//! One account's queue: a run of consecutive nonces from the next one that the balance covers, then what waits beyond it.

use std::{cmp::Reverse, collections::BTreeMap};

use alloy_primitives::U256;
use baton_proto::Transaction;

use crate::AccountFacts;

/// A transaction in its account's queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Queued {
    pub(crate) transaction: Transaction,
    /// When it came, as the caller told, in milliseconds.
    pub(crate) added_ms: u64,
    /// How many came before it, ever: unique in a pool.
    pub(crate) arrival: u64,
    /// What it can cost its account, in wei; 0 where the chain charges nothing.
    pub(crate) cost: U256,
    /// The least priority fee on the way to it: its own or that of a smaller nonce in the queue.
    floor: u128,
}

impl Queued {
    pub(crate) fn new(transaction: Transaction, added_ms: u64, arrival: u64, cost: U256) -> Self {
        let floor = transaction.priority_fee();
        Self { transaction, added_ms, arrival, cost, floor }
    }
}

/// What the last transaction of a queue is worth; the least of all is evicted first. Only last ones are candidates, so
/// that an eviction never tears a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Worth {
    is_executable: bool,
    floor: u128,
    /// Of equals the newest goes, so a newcomer must offer more than what is there.
    arrival: Reverse<u64>,
}

/// What an account lost when final state moved.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// Their nonces are used.
    pub(crate) used: Vec<Queued>,
    /// The account can pay for them no more.
    pub(crate) unfunded: Vec<Queued>,
}

/// ```text
///         next                end
///          │ 4  5  6  7  8  9 │ 10 11 –  –  14 15
///          └─── executable ───┘ └───── gapped ────┘
/// ```
/// The run ends at a gap, or at a transaction that the balance does not cover beside those before it: what comes then waits
/// for the missing nonce or for money alike, and counts as gapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// Final state, as the pool heard of it last; nothing below its nonce is in the queue, and nothing that alone costs more
    /// than its balance.
    facts: AccountFacts,
    /// The first nonce from the next one on that is not in the queue or not covered.
    end: u64,
    /// What those before `end` can cost together; the balance covers it.
    spent: U256,
    queue: BTreeMap<u64, Queued>,
}

impl Account {
    pub(crate) fn new(facts: AccountFacts) -> Self {
        Self { facts, end: facts.nonce, spent: U256::ZERO, queue: BTreeMap::new() }
    }

    /// Returns final state, as the pool heard of it last.
    pub(crate) fn facts(&self) -> &AccountFacts {
        &self.facts
    }

    pub(crate) fn next(&self) -> u64 {
        self.facts.nonce
    }

    /// Returns what the executable ones can cost together.
    pub(crate) fn spent(&self) -> U256 {
        self.spent
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Returns how many lie beyond the executable ones.
    pub(crate) fn gapped_len(&self) -> usize {
        let executable = usize::try_from(self.end.saturating_sub(self.next())).unwrap_or(usize::MAX);
        self.queue.len().saturating_sub(executable)
    }

    /// Returns the executable transaction whose turn comes first.
    pub(crate) fn head(&self) -> Option<&Queued> {
        self.get(self.next()).filter(|_| self.has_executable())
    }

    /// Returns whether its next transaction is here.
    pub(crate) fn has_executable(&self) -> bool {
        self.end > self.next()
    }

    pub(crate) fn get(&self, nonce: u64) -> Option<&Queued> {
        self.queue.get(&nonce)
    }

    /// Returns all in the order of their nonces.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Queued)> {
        self.queue.iter().map(|(nonce, queued)| (*nonce, queued))
    }

    /// Returns whether a transaction with `nonce`, which is not here, would stand at the end of that run.
    pub(crate) fn is_next(&self, nonce: u64) -> bool {
        nonce == self.end
    }

    /// Returns whether the transaction with `nonce`, which is here, is part of that run.
    pub(crate) fn runs(&self, nonce: u64) -> bool {
        nonce < self.end
    }

    /// Returns the first nonce at or above both `from` and the next nonce that no executable transaction has.
    pub(crate) fn first_gap(&self, from: u64) -> u64 {
        if from <= self.end { self.end } else { self.run(from, U256::ZERO).0 }
    }

    /// Returns the last transaction.
    pub(crate) fn last(&self) -> Option<(u64, &Queued)> {
        self.queue.last_key_value().map(|(nonce, queued)| (*nonce, queued))
    }

    /// Returns what the last transaction is worth; unique in a pool.
    pub(crate) fn worth(&self) -> Option<Worth> {
        self.last().map(|(nonce, queued)| Worth {
            is_executable: nonce < self.end,
            floor: queued.floor,
            arrival: Reverse(queued.arrival),
        })
    }

    /// Puts `queued` in its place and returns the one that had it.
    pub(crate) fn insert(&mut self, queued: Queued) -> Option<Queued> {
        let nonce = queued.transaction.nonce();
        let replaced = self.queue.insert(nonce, queued);
        if nonce < self.end {
            self.run_again();
        } else if nonce == self.end {
            self.run_on();
        }
        self.refresh_floors(nonce);
        replaced
    }

    /// Takes the last one out.
    pub(crate) fn pop_last(&mut self) -> Option<Queued> {
        let (nonce, queued) = self.queue.pop_last()?;
        if nonce < self.end {
            self.end = nonce;
            self.spent = self.spent.saturating_sub(queued.cost);
        }
        Some(queued)
    }

    /// Takes a later final state and returns what it leaves without a place: used nonces, what alone costs more than the
    /// balance, and the highest of those that wait for money above `gapped_max`. An earlier state changes nothing.
    pub(crate) fn update(&mut self, facts: AccountFacts, gapped_max: usize) -> Left {
        if facts.nonce < self.next() {
            return Left::default();
        }
        let gapped_max = gapped_max.max(self.gapped_len());
        self.facts = facts;
        let rest = self.queue.split_off(&facts.nonce);
        let used = std::mem::replace(&mut self.queue, rest).into_values().collect();
        let mut unfunded: Vec<_> =
            self.queue.extract_if(.., |_, queued| queued.cost > facts.balance).map(|(_, gone)| gone).collect();
        self.settle();
        while self.gapped_len() > gapped_max {
            unfunded.extend(self.pop_last());
        }
        Left { used, unfunded }
    }

    /// Takes out those that `leaves` names, then the highest gapped ones above `gapped_max`, and returns them.
    pub(crate) fn remove(&mut self, gapped_max: usize, leaves: impl Fn(&Queued) -> bool) -> Vec<Queued> {
        let mut removed: Vec<_> = self.queue.extract_if(.., |_, queued| leaves(queued)).map(|(_, gone)| gone).collect();
        if !removed.is_empty() {
            self.settle();
        }
        while self.gapped_len() > gapped_max {
            removed.extend(self.pop_last());
        }
        removed
    }

    /// Finds the end of the run anew.
    fn run_again(&mut self) {
        (self.end, self.spent) = self.run(self.next(), U256::ZERO);
    }

    /// Moves the end as far as nonces follow and the balance covers them.
    fn run_on(&mut self) {
        (self.end, self.spent) = self.run(self.end, self.spent);
    }

    /// Returns how far nonces follow `from` and the balance covers them when `spent` of it is gone, and what is gone then.
    fn run(&self, from: u64, mut spent: U256) -> (u64, U256) {
        let mut end = from;
        for (nonce, queued) in self.queue.range(from..) {
            let Some(sum) = spent.checked_add(queued.cost).filter(|sum| *sum <= self.facts.balance) else { break };
            if *nonce != end {
                break;
            }
            spent = sum;
            // No overflow: nonce 2^64 - 1 is never admitted (EIP-2681).
            end = end.saturating_add(1);
        }
        (end, spent)
    }

    /// Computes the end and all floors anew.
    fn settle(&mut self) {
        self.run_again();
        let mut floor = u128::MAX;
        for queued in self.queue.values_mut() {
            floor = floor.min(queued.transaction.priority_fee());
            queued.floor = floor;
        }
    }

    /// Computes the floors from `nonce` on, as far as they change.
    fn refresh_floors(&mut self, nonce: u64) {
        let before = self.queue.range(..nonce).next_back();
        let mut floor = before.map_or(u128::MAX, |(_, queued)| queued.floor);
        for (at, queued) in self.queue.range_mut(nonce..) {
            floor = floor.min(queued.transaction.priority_fee());
            if *at != nonce && queued.floor == floor {
                return;
            }
            queued.floor = floor;
        }
    }

    /// Checks what every other method relies on, the long way round.
    #[cfg(test)]
    pub(crate) fn assert_consistent(&self) {
        let mut settled = self.clone();
        settled.settle();
        assert_eq!(*self, settled, "end, costs or floors have drifted");
        for (nonce, queued) in &self.queue {
            assert_eq!(*nonce, queued.transaction.nonce());
            assert!(*nonce >= self.next(), "a used nonce is still queued");
            assert!(queued.cost <= self.facts.balance, "one that cannot be paid for is still queued");
        }
        let run = self.queue.range(self.next()..self.end);
        let spent = run.fold(U256::ZERO, |spent, (_, queued)| spent + queued.cost);
        assert!(spent == self.spent && spent <= self.facts.balance, "the run costs {spent} of {}", self.facts.balance);
    }
}
