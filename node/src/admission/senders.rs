//! Who signed what, remembered by hash: recovering a sender costs forty times as much as all other decoding, and a
//! transaction comes by RPC, by gossip from several peers, in a proposal, and in a range of blocks.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use alloy_primitives::{Address, Bytes, TxHash};
use baton_mempool::Pool;
use baton_proto::{Transaction, TransactionError, wire::Known};
use lru::LruCache;

/// Senders remembered, those used last: six full pools. One takes about 120 bytes with the map's own, 8 MB in all.
pub const SENDERS_MAX: NonZeroUsize = NonZeroUsize::new(65_536).expect("it is not zero");

/// Senders by the hash of the whole transaction, whether the pool took it or not.
#[derive(Debug)]
pub struct Senders {
    known: Mutex<LruCache<TxHash, Address>>,
    recovered: AtomicU64,
}

impl Senders {
    /// Returns an empty memory for [`SENDERS_MAX`] senders.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(SENDERS_MAX)
    }

    fn with_capacity(senders_max: NonZeroUsize) -> Self {
        Self { known: Mutex::new(LruCache::new(senders_max)), recovered: AtomicU64::new(0) }
    }

    /// Decodes a transaction; recovers its sender only if that is not remembered, and remembers it then.
    ///
    /// # Errors
    /// See [`Transaction::decode`].
    pub fn decode(&self, raw: Bytes) -> Result<Transaction, TransactionError> {
        let mut is_new = false;
        let transaction = Transaction::decode_with(raw, |hash| {
            let sender = self.lock().get(hash).copied();
            is_new = sender.is_none();
            sender
        })?;
        if is_new {
            self.recovered.fetch_add(1, Relaxed);
            self.lock().put(*transaction.hash(), transaction.sender());
        }
        Ok(transaction)
    }

    /// Returns how many senders were recovered since the start.
    #[must_use]
    pub fn recovered(&self) -> u64 {
        self.recovered.load(Relaxed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, LruCache<TxHash, Address>> {
        // Each change is one call of the map.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Senders {
    fn default() -> Self {
        Self::new()
    }
}

/// What the node knows when bytes arrive: the transactions of its pool, and the senders of many more.
pub struct PoolAndSenders {
    /// Transactions that wait.
    pub pool: Arc<Mutex<Pool>>,
    /// Senders seen before.
    pub senders: Arc<Senders>,
}

impl Known for PoolAndSenders {
    fn transaction(&self, hash: &TxHash) -> Option<Transaction> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).get(hash)
    }

    fn decode(&self, raw: Bytes) -> Result<Transaction, TransactionError> {
        self.senders.decode(raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::testing::{raw_transfer, transfer};

    #[test]
    fn a_sender_is_recovered_once() {
        let senders = Senders::new();
        let expected = transfer(1, 0, 5);
        for _ in 0..3 {
            let decoded = senders.decode(expected.raw().clone()).unwrap();
            assert_eq!((decoded.sender(), decoded.hash()), (expected.sender(), expected.hash()));
        }
        assert_eq!(senders.recovered(), 1);
    }

    #[test]
    fn a_remembered_sender_says_nothing_of_other_bytes() {
        let senders = Senders::new();
        let mut raw = raw_transfer(1, 0, 5).to_vec();
        senders.decode(raw.clone().into()).unwrap();
        // The same body under another signature is another transaction, of somebody else or of nobody.
        let last = raw.len() - 1;
        raw[last] ^= 1;
        let other = senders.decode(raw.clone().into());
        assert_eq!(other.as_ref().ok(), Transaction::decode(raw.clone().into()).as_ref().ok());
        assert!(other.is_ok_and(|other| other.sender() != transfer(1, 0, 5).sender()) || senders.recovered() == 1);
        // Nor does it make another encoding of the same transaction acceptable.
        raw[last] ^= 1;
        raw.push(0);
        assert_eq!(senders.decode(raw.clone().into()), Transaction::decode(raw.into()));
    }

    #[test]
    fn what_was_not_used_for_longest_is_forgotten() {
        let senders = Senders::with_capacity(NonZeroUsize::new(2).unwrap());
        let raw: Vec<Bytes> = (0..3).map(|nonce| raw_transfer(1, nonce, 5)).collect();
        for index in [0, 1, 0, 2, 0] {
            senders.decode(raw[index].clone()).unwrap();
        }
        assert_eq!(senders.recovered(), 3);
        senders.decode(raw[1].clone()).unwrap();
        assert_eq!(senders.recovered(), 4);
    }
}
