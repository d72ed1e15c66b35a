//! The one thread that adds to the pool.

use std::sync::{MutexGuard, PoisonError};

use baton_mempool::{Added, Pool, PoolError};
use baton_proto::Transaction;
use tokio::sync::mpsc;
use tracing::debug;

use super::{AdmissionContext, Answer, now_ms, recovery::Decoded};
use crate::driver::LedgerNonces;

/// Most batches that wait for the keeper; then recovery waits.
pub(super) const WORK_MAX: usize = 4;

/// Most gossiped transactions that are handed over at once.
pub(super) const GROUP_MAX: usize = 256;

/// What the keeper is asked to add.
pub(super) enum Work {
    /// From users, who wait for an answer.
    Submitted(Vec<Decoded>),
    /// From peers, who do not.
    Gossiped(Vec<Transaction>),
}

/// Owns the way into the pool.
pub(super) struct Keeper {
    context: AdmissionContext,
}

/// A transaction from a user that the pool took.
struct Accepted {
    transaction: Transaction,
    answer: Answer,
}

impl Keeper {
    pub(super) fn new(context: AdmissionContext) -> Self {
        Self { context }
    }

    /// Adds what comes until nothing more can come.
    pub(super) fn run(self, mut inbox: mpsc::Receiver<Work>) {
        while let Some(work) = inbox.blocking_recv() {
            match work {
                Work::Submitted(submitted) => self.submitted(submitted),
                Work::Gossiped(transactions) => self.gossiped(transactions),
            }
        }
    }

    fn submitted(&self, submitted: Vec<Decoded>) {
        let mut accepted = Vec::with_capacity(submitted.len());
        let mut has_executable = false;
        for Decoded { transaction, answer } in submitted {
            let transaction = match transaction {
                Ok(transaction) => transaction,
                Err(error) => {
                    answer.give(Err(error.into()));
                    continue;
                }
            };
            match self.add(&transaction) {
                Ok(added) => {
                    has_executable |= added.executable;
                    accepted.push(Accepted { transaction, answer });
                }
                Err(error) => answer.give(Err(error.into())),
            }
        }
        if has_executable {
            self.context.work.notify_one();
        }
        let mut transactions = Vec::with_capacity(accepted.len());
        for Accepted { transaction, answer } in accepted {
            answer.give(Ok(*transaction.hash()));
            transactions.push(transaction);
        }
        if !transactions.is_empty() {
            (self.context.announce)(transactions);
        }
    }

    fn gossiped(&self, transactions: Vec<Transaction>) {
        let mut has_executable = false;
        for transaction in transactions {
            match self.add(&transaction) {
                Ok(added) => has_executable |= added.executable,
                Err(reason) => debug!(%reason, "a gossiped transaction was not admitted"),
            }
        }
        if has_executable {
            self.context.work.notify_one();
        }
    }

    /// Adds one transaction. Its sender's nonce is read under the pool's lock: a block that becomes final meanwhile is
    /// either seen by this read or told to the pool after it, so nothing that is final is ever let in again.
    fn add(&self, transaction: &Transaction) -> Result<Added, PoolError> {
        self.pool().add(transaction.clone(), now_ms(), &LedgerNonces(self.context.ledger.as_ref()))
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.context.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
