//! Taking transactions in, from users and from peers.

use std::{
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use alloy_primitives::TxHash;
use baton_mempool::{Pool, PoolError};
use baton_proto::Transaction;
use tokio::sync::Notify;

use crate::{driver::LedgerNonces, ledger::Ledger, p2p::Network, rpc::Submit};

/// The pool's door.
pub(super) struct Admission {
    pool: Arc<Mutex<Pool>>,
    ledger: Arc<dyn Ledger>,
    network: Network,
    work: Arc<Notify>,
}

impl Admission {
    pub(super) fn new(pool: Arc<Mutex<Pool>>, ledger: Arc<dyn Ledger>, network: Network) -> Self {
        Self { pool, ledger, network, work: Arc::new(Notify::new()) }
    }

    /// Told whenever an executable transaction came in.
    pub(super) fn work(&self) -> Arc<Notify> {
        Arc::clone(&self.work)
    }

    /// Puts a transaction into the pool; says whether a leader has something to do.
    pub(super) fn admit(&self, transaction: Transaction) -> Result<TxHash, PoolError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let mut pool = self.pool.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let added = pool.add(transaction, now_ms, &LedgerNonces(self.ledger.as_ref()))?;
        drop(pool);
        if added.executable {
            self.work.notify_one();
        }
        Ok(added.hash)
    }
}

impl Submit for Admission {
    fn submit(&self, transaction: Transaction) -> Result<TxHash, PoolError> {
        let hash = self.admit(transaction.clone())?;
        self.network.gossip(vec![transaction]);
        Ok(hash)
    }
}
