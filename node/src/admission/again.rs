//! Announcing again what still waits: a peer whose budget was used up let the first announcement pass, and gossip never
//! brings it the same message twice.

use std::{
    collections::{HashSet, VecDeque},
    time::{Duration, Instant},
};

use alloy_primitives::TxHash;
use baton_proto::Transaction;

/// Turns in the time after which something is announced again.
pub(super) const TURNS: u32 = 16;

/// Most transactions that one turn announces again: all turns together announce most of a full pool, and one is a small
/// part of what a peer's budget takes at once.
const TURN_MAX: usize = 512;

/// Entries below which nobody looks for those that are settled.
const ENTRIES_MIN: usize = 1_024;

/// Transactions of this node's users, in the order in which they were announced last.
pub(super) struct Unsettled {
    after: Duration,
    entries: VecDeque<(Instant, TxHash)>,
    /// As many entries may stand here before the settled ones among them go.
    entries_max: usize,
}

impl Unsettled {
    /// Starts with none; what is announced is due again `after`, which is not zero.
    pub(super) const fn new(after: Duration) -> Self {
        Self { after, entries: VecDeque::new(), entries_max: ENTRIES_MIN }
    }

    /// Notes what was announced. What does not `wait` any more is forgotten whenever it could be half of what stands here, so
    /// that there are never more entries than twice what a pool holds.
    pub(super) fn announced(
        &mut self,
        hashes: impl IntoIterator<Item = TxHash>,
        now: Instant,
        waits: impl Fn(&TxHash) -> bool,
    ) {
        self.entries.extend(hashes.into_iter().map(|hash| (now, hash)));
        if self.entries.len() > self.entries_max {
            // What left the pool and was accepted again stands here twice.
            let mut known = HashSet::new();
            self.entries.retain(|(_, hash)| waits(hash) && known.insert(*hash));
            self.entries_max = (2 * self.entries.len()).max(ENTRIES_MIN);
        }
    }

    /// Returns what is due and still `waiting`, longest first, a bounded number; it counts as announced now.
    pub(super) fn due(&mut self, now: Instant, waiting: impl Fn(&TxHash) -> Option<Transaction>) -> Vec<Transaction> {
        let mut due = Vec::new();
        while due.len() < TURN_MAX
            && let Some((at, hash)) = self.entries.front().copied()
            && now.duration_since(at) >= self.after
        {
            self.entries.pop_front();
            if let Some(transaction) = waiting(&hash) {
                self.entries.push_back((now, hash));
                due.push(transaction);
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::testing::transfer;

    const AFTER: Duration = Duration::from_secs(100);

    fn hashes(transactions: &[Transaction]) -> Vec<TxHash> {
        transactions.iter().map(|transaction| *transaction.hash()).collect()
    }

    #[test]
    fn what_waits_is_due_again_and_again_and_what_is_settled_never() {
        let (start, mut unsettled) = (Instant::now(), Unsettled::new(AFTER));
        let sent: Vec<Transaction> = (0..3).map(|nonce| transfer(1, nonce, 5)).collect();
        let settled = *sent[1].hash();
        let waiting = |hash: &TxHash| sent.iter().find(|tx| tx.hash() == hash && *hash != settled).cloned();
        unsettled.announced(hashes(&sent), start, |_| true);
        assert!(unsettled.due(start + AFTER / 2, waiting).is_empty());
        for turn in 1..4 {
            let now = start + AFTER * turn;
            let due = unsettled.due(now, waiting);
            assert_eq!(hashes(&due), [*sent[0].hash(), *sent[2].hash()]);
            assert!(unsettled.due(now + AFTER / 2, waiting).is_empty());
        }
    }

    #[test]
    fn a_turn_and_the_memory_are_bounded() {
        let (start, mut unsettled) = (Instant::now(), Unsettled::new(AFTER));
        let one = transfer(1, 0, 5);
        let numbered = |n: u64| TxHash::left_padding_from(&n.to_be_bytes());
        // A hundred thousand go through, of which the last 2,000 wait at any time.
        for n in 0..100_000_u64 {
            unsettled.announced([numbered(n)], start, |hash| *hash > numbered(n.saturating_sub(2_000)));
            assert!(unsettled.entries.len() <= 2 * 2_000 + 1, "{} entries", unsettled.entries.len());
        }
        // What is accepted again and again stands here once.
        for _ in 0..10_000 {
            unsettled.announced([*one.hash()], start, |hash| hash == one.hash());
            assert!(unsettled.entries.len() <= 2 * 2_000 + 1, "{} entries", unsettled.entries.len());
        }
        let mut unsettled = Unsettled::new(AFTER);
        unsettled.announced((0..2 * TURN_MAX as u64).map(numbered), start, |_| true);
        for count in [TURN_MAX, TURN_MAX, 0] {
            assert_eq!(unsettled.due(start + AFTER, |_| Some(one.clone())).len(), count);
        }
    }
}
