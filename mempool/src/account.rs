//! One account's queue: a run of consecutive nonces from the next one, then what lies beyond gaps.

use std::{cmp::Reverse, collections::BTreeMap};

use baton_proto::Transaction;

/// A transaction in its account's queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Queued {
    pub(crate) transaction: Transaction,
    /// When it came, as the caller told, in milliseconds.
    pub(crate) added_ms: u64,
    /// How many came before it, ever: unique in a pool.
    pub(crate) arrival: u64,
    /// The least priority fee on the way to it: its own or that of a smaller nonce in the queue.
    floor: u128,
}

impl Queued {
    pub(crate) fn new(transaction: Transaction, added_ms: u64, arrival: u64) -> Self {
        let floor = transaction.priority_fee();
        Self { transaction, added_ms, arrival, floor }
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

/// ```text
///         next                end
///          │ 4  5  6  7  8  9 │ –  –  12 13 –  15
///          └─── executable ───┘       └─ gapped ─┘
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// The next nonce by final state; nothing below it is in the queue.
    next: u64,
    /// The first nonce from `next` on that is not in the queue.
    end: u64,
    queue: BTreeMap<u64, Queued>,
}

impl Account {
    pub(crate) fn new(next: u64) -> Self {
        Self { next, end: next, queue: BTreeMap::new() }
    }

    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Returns how many lie beyond a gap.
    pub(crate) fn gapped_len(&self) -> usize {
        let executable = usize::try_from(self.end.saturating_sub(self.next)).unwrap_or(usize::MAX);
        self.queue.len().saturating_sub(executable)
    }

    /// Returns whether its next transaction is here.
    pub(crate) fn has_executable(&self) -> bool {
        self.end > self.next
    }

    pub(crate) fn get(&self, nonce: u64) -> Option<&Queued> {
        self.queue.get(&nonce)
    }

    /// Returns all in the order of their nonces.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Queued)> {
        self.queue.iter().map(|(nonce, queued)| (*nonce, queued))
    }

    /// Returns whether a transaction with `nonce` is, or would be, part of the run that starts at the next nonce.
    pub(crate) fn is_executable(&self, nonce: u64) -> bool {
        (self.next..=self.end).contains(&nonce)
    }

    /// Returns whether the transaction with `nonce`, which is here, is part of that run.
    pub(crate) fn runs(&self, nonce: u64) -> bool {
        nonce < self.end
    }

    /// Returns the first nonce at or above both `from` and the next nonce that is not in the queue.
    pub(crate) fn first_gap(&self, from: u64) -> u64 {
        if from <= self.end { self.end } else { first_gap(&self.queue, from) }
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
        if nonce == self.end {
            self.end = first_gap(&self.queue, nonce);
        }
        self.refresh_floors(nonce);
        replaced
    }

    /// Takes the last one out.
    pub(crate) fn pop_last(&mut self) -> Option<Queued> {
        let (nonce, queued) = self.queue.pop_last()?;
        self.end = self.end.min(nonce);
        Some(queued)
    }

    /// Moves to a later next nonce and returns those that it leaves behind; an earlier one changes nothing.
    pub(crate) fn advance(&mut self, next: u64) -> Vec<Queued> {
        if next <= self.next {
            return Vec::new();
        }
        let rest = self.queue.split_off(&next);
        let left = std::mem::replace(&mut self.queue, rest);
        self.next = next;
        self.settle();
        left.into_values().collect()
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

    /// Computes the end and all floors anew.
    fn settle(&mut self) {
        self.end = first_gap(&self.queue, self.next);
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
        assert_eq!(*self, settled, "end or floors have drifted");
        for (nonce, queued) in &self.queue {
            assert_eq!(*nonce, queued.transaction.nonce());
            assert!(*nonce >= self.next, "a used nonce is still queued");
        }
    }
}

fn first_gap(queue: &BTreeMap<u64, Queued>, from: u64) -> u64 {
    let mut gap = from;
    for nonce in queue.range(from..).map(|(nonce, _)| *nonce) {
        if nonce != gap {
            break;
        }
        // No overflow: nonce 2^64 - 1 is never admitted (EIP-2681).
        gap = gap.saturating_add(1);
    }
    gap
}
