//! What the methods read, and the one thing they may ask for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_primitives::{Bytes, TxHash};
use baton_execution::ChainExecutor;
use baton_mempool::Pool;
use futures::future::BoxFuture;
use tokio::sync::watch;

use super::{Announcements, render::Chain};
use crate::{
    admission::SubmitError,
    epoch::EpochBook,
    l1::{ChainFacts, LivenessView},
    ledger::Ledger,
    telemetry::{NodeStatus, metrics::RpcMetrics},
};

/// Takes transactions into the node: into the pool, to the peers, and to whoever waits for work.
pub trait Submit: Send + Sync {
    /// Takes one transaction in its EIP-2718 encoding and returns its hash once this node holds it durably. Never blocks.
    ///
    /// # Errors
    /// [`SubmitError`] with the text that the client gets.
    fn submit(&self, raw: Bytes) -> BoxFuture<'_, Result<TxHash, SubmitError>>;
}

impl<F: Fn(Bytes) -> Result<TxHash, SubmitError> + Send + Sync> Submit for F {
    fn submit(&self, raw: Bytes) -> BoxFuture<'_, Result<TxHash, SubmitError>> {
        Box::pin(std::future::ready(self(raw)))
    }
}

/// What the server needs of the node. It changes nothing but by [`Submit`].
#[derive(Clone)]
pub struct RpcContext {
    /// The chain as L1 describes it.
    pub facts: Arc<ChainFacts>,
    /// What executes the chain's blocks.
    pub execution: Arc<ChainExecutor>,
    /// The final chain.
    pub ledger: Arc<dyn Ledger>,
    /// Transactions that wait.
    pub pool: Arc<Mutex<Pool>>,
    /// Where transactions go.
    pub submit: Arc<dyn Submit>,
    /// What the node knows about itself.
    pub status: watch::Receiver<NodeStatus>,
    /// The running epoch, and in time those after it.
    pub epochs: EpochBook,
    /// Rewards and jail on L1, once they were read.
    pub liveness: watch::Receiver<Option<LivenessView>>,
    /// Counts calls and connections.
    pub metrics: RpcMetrics,
    /// What the node announces, for subscriptions.
    pub announcements: Announcements,
}

impl RpcContext {
    /// Returns the pool. A thread that panicked with it held left it whole: every change to it is made last.
    pub(super) fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what blocks are shown by.
    pub(super) fn chain(&self) -> Chain<'_> {
        Chain { spec: &self.facts.spec, evm: self.execution.evm() }
    }
}
