//! The transactions that the pool took last, for whoever wants to hear of them.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use alloy_primitives::TxHash;
use tokio::sync::watch;

/// Most hashes that are remembered: 512 KiB, and some seconds of a full load. Whoever falls further behind misses some, as
/// with any pool.
pub const ARRIVALS_MAX: usize = 16_384;

/// Hashes of transactions, numbered from 0 in the order in which the pool took them. Nothing ever waits for a reader.
#[derive(Debug)]
pub struct Arrivals {
    recent: Mutex<Recent>,
    count: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Recent {
    hashes: VecDeque<TxHash>,
    /// The number of the one that comes next.
    next: u64,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self { recent: Mutex::default(), count: watch::Sender::new(0) }
    }
}

impl Arrivals {
    /// Adds what the pool took.
    pub fn note(&self, hashes: impl IntoIterator<Item = TxHash>) {
        let mut recent = self.recent();
        let before = recent.next;
        for hash in hashes {
            if recent.hashes.len() == ARRIVALS_MAX {
                recent.hashes.pop_front();
            }
            recent.hashes.push_back(hash);
            recent.next = recent.next.saturating_add(1);
        }
        let next = recent.next;
        drop(recent);
        if next != before {
            // Two threads may come here in the other order; the count only wakes, and never falls.
            self.count.send_if_modified(|count| next > std::mem::replace(count, next.max(*count)));
        }
    }

    /// Returns how many there were so far, and hears of every change from then on.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }

    /// Returns how many there were so far: the number of the one that comes next.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.recent().next
    }

    /// Returns those from number `from` on, as far as they are remembered, at most `most`, and the number to go on from.
    #[must_use]
    pub fn since(&self, from: u64, most: usize) -> (Vec<TxHash>, u64) {
        let recent = self.recent();
        let oldest = recent.next.saturating_sub(recent.hashes.len() as u64);
        let from = from.clamp(oldest, recent.next);
        let skipped = usize::try_from(from.saturating_sub(oldest)).unwrap_or(usize::MAX);
        let hashes: Vec<_> = recent.hashes.iter().skip(skipped).take(most).copied().collect();
        let next = from.saturating_add(hashes.len() as u64);
        (hashes, next)
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(numbers: std::ops::Range<u64>) -> Vec<TxHash> {
        numbers.map(|number| TxHash::left_padding_from(&number.to_be_bytes())).collect()
    }

    #[test]
    fn a_reader_gets_each_once_and_in_order() {
        let arrivals = Arrivals::default();
        let mut seen = arrivals.subscribe();
        assert_eq!(arrivals.since(0, 9), (vec![], 0));
        arrivals.note(hashes(0..3));
        assert!(seen.has_changed().unwrap());
        assert_eq!(*seen.borrow_and_update(), 3);
        assert_eq!(arrivals.since(0, 2), (hashes(0..2), 2));
        assert_eq!(arrivals.since(2, 2), (hashes(2..3), 3));
        arrivals.note([]);
        assert!(!seen.has_changed().unwrap());
        assert_eq!(arrivals.since(3, 2), (vec![], 3));
        // From a number that was never given out, it is what comes next.
        assert_eq!(arrivals.since(77, 2), (vec![], 3));
    }

    #[test]
    fn who_is_too_slow_misses_the_oldest() {
        let arrivals = Arrivals::default();
        let total = ARRIVALS_MAX as u64 + 10;
        arrivals.note(hashes(0..total));
        assert_eq!(arrivals.count(), total);
        assert_eq!(arrivals.since(3, 2), (hashes(10..12), 12));
        assert_eq!(arrivals.since(0, usize::MAX).0.len(), ARRIVALS_MAX);
    }
}
