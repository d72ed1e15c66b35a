//! The door: whatever reaches the pool comes through here, off the async loop.
//!
//! ```text
//!  users ──▶ room ──▶ recovery ───────────────┐            ┌──▶ pool
//!            none:     batches on blocking    ├──▶ keeper ─┼──▶ journal, one sync for many
//!            Busy      threads, in order      │            ├──▶ answers to users
//!  gossip (decoded by the network) ──▶ queue ─┘            └──▶ announced to peers, again and again while it waits
//!                       stalest dropped
//! ```
//! - **Recovery** decodes submissions and recovers their senders, in the order in which they came, so that what one user
//!   sends in a row is not taken for gapped. [`Senders`] remembers every sender for gossip, proposals and sync too.
//! - The **keeper** is one thread, and the only one that adds to the pool. It holds the pool's lock for one transaction at a
//!   time: the driver takes the same lock to build a block.
//! - The [`Journal`] holds what users were told is accepted. They are told after it is on the disk; if it cannot be put
//!   there, they are refused.

mod again;
mod arrivals;
mod error;
mod journal;
mod keeper;
mod recovery;
mod restore;
mod senders;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use alloy_primitives::{Bytes, TxHash};
use baton_mempool::Pool;
use baton_proto::{Transaction, TransactionError, limits::TRANSACTION_BYTES_MAX};
use futures::future::BoxFuture;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

pub use arrivals::{ARRIVALS_MAX, Arrivals};
pub use error::SubmitError;
pub use journal::{Journal, JournalBounds, JournalError, Kept};
pub use restore::open_pool;
pub use senders::{PoolAndSenders, SENDERS_MAX, Senders};

use self::keeper::Keeper;
use crate::{ledger::Ledger, p2p::DropQueue, rpc::Submit};

/// Most bytes of submissions that wait for their answer, as encoded: 64 of the largest, or [`SUBMISSIONS_MAX`] transfers,
/// which take a quarter of a second of one core to recover. Whoever comes then is told to retry at once.
const SUBMISSION_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What a submission counts for at least: its task, channel and indices.
const SUBMISSION_BYTES_MIN: usize = 1_024;

/// Most submissions that wait for their answer.
const SUBMISSIONS_MAX: usize = SUBMISSION_BYTES_MAX / SUBMISSION_BYTES_MIN;

/// Most gossiped transactions that wait for the keeper, and their most bytes; when more come, the stalest go.
const GOSSIPED_MAX: usize = 8_192;
const GOSSIPED_BYTES_MAX: usize = 8 * 1024 * 1024;

const _: () = assert!(TRANSACTION_BYTES_MAX <= SUBMISSION_BYTES_MAX, "the largest transaction must have room");

/// What the door leads to.
pub struct AdmissionContext {
    /// Transactions that wait.
    pub pool: Arc<Mutex<Pool>>,
    /// The final state.
    pub ledger: Arc<dyn Ledger>,
    /// Senders seen before.
    pub senders: Arc<Senders>,
    /// Told whenever an executable transaction came in.
    pub work: Arc<Notify>,
    /// Tells others of transactions that this node accepted from its users, now or before a restart. Must not wait.
    pub announce: Box<dyn Fn(Vec<Transaction>) + Send>,
    /// How long such a transaction waits in the pool until others are told of it again.
    pub announce_again_after: Duration,
    /// What the pool took last, for subscribers.
    pub arrivals: Arc<Arrivals>,
}

/// The pool's door.
pub struct Admission {
    submissions: mpsc::Sender<Submission>,
    room: Arc<Semaphore>,
    gossiped: Arc<DropQueue<Transaction>>,
}

/// A transaction as a user sent it.
struct Submission {
    raw: Bytes,
    answer: Answer,
}

/// Whom to answer; holds the submission's room until then.
struct Answer {
    to: oneshot::Sender<Result<TxHash, SubmitError>>,
    _room: OwnedSemaphorePermit,
}

impl Answer {
    /// Answers, if anybody still listens.
    fn give(self, result: Result<TxHash, SubmitError>) {
        let _ = self.to.send(result);
    }
}

impl Admission {
    /// Returns the door and the task that works behind it, which ends when `stop` is cancelled, or with a reason if the
    /// keeper fails.
    pub fn new(
        context: AdmissionContext,
        journal: Journal,
        stop: CancellationToken,
    ) -> (Arc<Self>, impl Future<Output = Result<(), &'static str>>) {
        let (submissions, submitted) = mpsc::channel(SUBMISSIONS_MAX);
        let gossiped = Arc::new(DropQueue::new(GOSSIPED_MAX, GOSSIPED_BYTES_MAX));
        let admission = Arc::new(Self {
            submissions,
            room: Arc::new(Semaphore::new(SUBMISSION_BYTES_MAX)),
            gossiped: Arc::clone(&gossiped),
        });
        let (senders, turn) = (Arc::clone(&context.senders), context.announce_again_after / again::TURNS);
        let keeper = Keeper::new(context, journal);
        let task = async move {
            let (work, inbox) = mpsc::channel(keeper::WORK_MAX);
            let kept = tokio::task::spawn_blocking(move || keeper.run(inbox));
            let recovery = recovery::run(senders, submitted, gossiped, turn, work);
            let ended = stop.run_until_cancelled(recovery).await;
            // Without recovery nothing more can come: the keeper finishes what it has begun.
            match (kept.await, ended) {
                (Err(_), _) => Err("the keeper of the pool panicked"),
                (Ok(()), Some(())) => Err("recovery ended"),
                (Ok(()), None) => Ok(()),
            }
        };
        (admission, task)
    }

    /// Takes transactions that peers brought; never waits. The stalest are dropped when too many wait, as gossip may.
    pub fn gossiped(&self, transactions: Vec<Transaction>) {
        for transaction in transactions {
            let weight = transaction.raw().len();
            self.gossiped.push(transaction, weight);
        }
    }
}

impl Submit for Admission {
    fn submit(&self, raw: Bytes) -> BoxFuture<'_, Result<TxHash, SubmitError>> {
        Box::pin(async move {
            if raw.len() > TRANSACTION_BYTES_MAX {
                return Err(TransactionError::Oversized { got: raw.len() }.into());
            }
            let weight = u32::try_from(raw.len().max(SUBMISSION_BYTES_MIN)).map_err(|_| SubmitError::Busy)?;
            let room = Arc::clone(&self.room).try_acquire_many_owned(weight).map_err(|_| SubmitError::Busy)?;
            let (to, answer) = oneshot::channel();
            let submission = Submission { raw, answer: Answer { to, _room: room } };
            self.submissions.try_send(submission).map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => SubmitError::Busy,
                mpsc::error::TrySendError::Closed(_) => SubmitError::Stopping,
            })?;
            answer.await.unwrap_or(Err(SubmitError::Stopping))
        })
    }
}

/// Returns the wall clock in milliseconds, by which a transaction's age is counted across restarts.
pub(crate) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
