//! Which L1 blocks this node has seen final: what leaders may name as origins and voters accept.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alloy_primitives::B256;
use baton_proto::{L1BlockNumber, L1Origin};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// Most numbers whose hashes are kept in memory: 16 epochs of 512 blocks, 48 bytes each.
const ORIGINS_MAX: usize = 8_192;

/// Most numbers that wait to be fetched; votes that name others wait until these are answered.
const WANTED_MAX: usize = 256;

/// How many of the newest origins outlive a restart.
const ORIGINS_STORED: usize = 256;

/// What this node can say about an origin that a header names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginVerdict {
    /// It has seen that block final.
    Final,
    /// It has seen another block final at that number; `have` is its hash.
    Conflicts {
        /// Hash of the block that is final here.
        have: B256,
    },
    /// It has not seen that number final, or not yet asked: wait.
    NotYet,
}

/// Final L1 blocks by number, shared between the watcher, which fills it, and everyone who asks. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Origins {
    inner: Arc<Mutex<Inner>>,
    wanted: Arc<Notify>,
}

#[derive(Debug)]
struct Inner {
    /// Never dropped: every header's origin chain starts here.
    first: L1Origin,
    known: BTreeMap<L1BlockNumber, B256>,
    newest: L1BlockNumber,
    wanted: BTreeSet<L1BlockNumber>,
}

/// What becomes of a final block that is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noted {
    Fresh,
    Known,
    /// L1 had called another block final at that number. The first one is kept.
    Contradicts {
        have: B256,
    },
}

#[derive(Serialize, Deserialize)]
struct Stored {
    origins: Vec<L1Origin>,
}

impl Origins {
    /// Starts with the one origin that every node knows: the genesis block's.
    #[must_use]
    pub fn new(first: L1Origin) -> Self {
        let inner = Inner { first, known: BTreeMap::new(), newest: first.number, wanted: BTreeSet::new() };
        Self { inner: Arc::new(Mutex::new(inner)), wanted: Arc::new(Notify::new()) }
    }

    /// Returns what this node has seen at the origin's number. An older number that it does not hold is fetched in the
    /// background, so that a later question has an answer.
    #[must_use]
    pub fn judge(&self, origin: &L1Origin) -> OriginVerdict {
        let mut inner = self.lock();
        match inner.hash(origin.number) {
            Some(have) if have == origin.hash => OriginVerdict::Final,
            Some(have) => OriginVerdict::Conflicts { have },
            None => {
                if origin.number > inner.first.number && origin.number <= inner.newest {
                    inner.want(origin.number);
                    self.wanted.notify_one();
                }
                OriginVerdict::NotYet
            }
        }
    }

    /// Returns the newest final number seen, at least the genesis block's origin.
    #[must_use]
    pub fn newest(&self) -> L1BlockNumber {
        self.lock().newest
    }

    /// Returns the origin at `number` if its hash is known; else asks for it in the background.
    #[must_use]
    pub fn at(&self, number: L1BlockNumber) -> Option<L1Origin> {
        let mut inner = self.lock();
        let hash = inner.hash(number);
        if hash.is_none() && number <= inner.newest && number > inner.first.number {
            inner.want(number);
            self.wanted.notify_one();
        }
        hash.map(|hash| L1Origin { number, hash })
    }

    pub(super) fn note(&self, origin: L1Origin) -> Noted {
        let mut inner = self.lock();
        inner.wanted.remove(&origin.number);
        if let Some(have) = inner.hash(origin.number) {
            return if have == origin.hash { Noted::Known } else { Noted::Contradicts { have } };
        }
        inner.newest = inner.newest.max(origin.number);
        inner.known.insert(origin.number, origin.hash);
        while inner.known.len() > ORIGINS_MAX {
            inner.known.pop_first();
        }
        Noted::Fresh
    }

    /// Takes the numbers that somebody asked for.
    pub(super) fn take_wanted(&self) -> Vec<L1BlockNumber> {
        std::mem::take(&mut self.lock().wanted).into_iter().collect()
    }

    /// Completes when somebody asked for a number that is not known.
    pub(super) async fn wait_wanted(&self) {
        self.wanted.notified().await;
    }

    /// Returns the newest origins as they are stored.
    pub(super) fn to_json(&self) -> Vec<u8> {
        let inner = self.lock();
        let origins = inner
            .known
            .iter()
            .rev()
            .take(ORIGINS_STORED)
            .map(|(number, hash)| L1Origin { number: *number, hash: *hash })
            .collect();
        serde_json::to_vec(&Stored { origins }).unwrap_or_default()
    }

    /// Adds origins that [`Self::to_json`] wrote; anything unreadable is left out, as L1 has it too.
    pub(super) fn restore(&self, bytes: &[u8]) {
        let Ok(stored) = serde_json::from_slice::<Stored>(bytes) else { return };
        for origin in stored.origins.into_iter().take(ORIGINS_STORED) {
            self.note(origin);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // The map is whole after every statement, so a panic elsewhere leaves nothing half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn hash(&self, number: L1BlockNumber) -> Option<B256> {
        if number == self.first.number { Some(self.first.hash) } else { self.known.get(&number).copied() }
    }

    fn want(&mut self, number: L1BlockNumber) {
        if self.wanted.len() < WANTED_MAX {
            self.wanted.insert(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(number: u64) -> L1Origin {
        L1Origin { number: L1BlockNumber::new(number), hash: B256::with_last_byte(number as u8) }
    }

    #[test]
    fn an_origin_is_final_once_seen_and_another_hash_conflicts() {
        let origins = Origins::new(origin(10));
        assert_eq!(origins.judge(&origin(10)), OriginVerdict::Final);
        assert_eq!(origins.judge(&origin(11)), OriginVerdict::NotYet);
        assert_eq!(origins.note(origin(11)), Noted::Fresh);
        assert_eq!(origins.judge(&origin(11)), OriginVerdict::Final);
        let other = L1Origin { hash: B256::repeat_byte(9), ..origin(11) };
        assert_eq!(origins.judge(&other), OriginVerdict::Conflicts { have: origin(11).hash });
    }

    #[test]
    fn the_first_final_hash_is_kept_when_l1_contradicts_itself() {
        let origins = Origins::new(origin(10));
        origins.note(origin(11));
        let other = L1Origin { hash: B256::repeat_byte(9), ..origin(11) };
        assert_eq!(origins.note(other), Noted::Contradicts { have: origin(11).hash });
        assert_eq!(origins.judge(&origin(11)), OriginVerdict::Final);
    }

    #[test]
    fn only_older_numbers_that_are_unknown_are_asked_for() {
        let origins = Origins::new(origin(10));
        origins.note(origin(20));
        assert_eq!(origins.judge(&origin(15)), OriginVerdict::NotYet);
        assert_eq!(origins.judge(&origin(25)), OriginVerdict::NotYet);
        assert_eq!(origins.judge(&origin(5)), OriginVerdict::NotYet);
        assert_eq!(origins.take_wanted(), vec![L1BlockNumber::new(15)]);
        origins.note(origin(15));
        assert_eq!(origins.judge(&origin(15)), OriginVerdict::Final);
        assert_eq!(origins.newest(), L1BlockNumber::new(20));
    }

    #[test]
    fn memory_is_bounded_and_the_genesis_origin_stays() {
        let origins = Origins::new(origin(0));
        for number in 1..=(ORIGINS_MAX as u64 + 100) {
            origins.note(origin(number));
        }
        assert_eq!(origins.lock().known.len(), ORIGINS_MAX);
        assert_eq!(origins.judge(&origin(0)), OriginVerdict::Final);
        for number in 1..=100 {
            let _ = origins.judge(&origin(number));
        }
        assert!(origins.take_wanted().len() <= WANTED_MAX);
    }

    #[test]
    fn the_newest_survive_a_restart() {
        let origins = Origins::new(origin(0));
        for number in 1..=ORIGINS_STORED as u64 + 10 {
            origins.note(origin(number));
        }
        let again = Origins::new(origin(0));
        again.restore(&origins.to_json());
        assert_eq!(again.newest(), origins.newest());
        assert_eq!(again.judge(&origin(ORIGINS_STORED as u64 + 10)), OriginVerdict::Final);
        assert_eq!(again.judge(&origin(1)), OriginVerdict::NotYet);
        again.restore(b"not json");
    }
}
