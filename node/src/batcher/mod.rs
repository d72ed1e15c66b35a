//! From final blocks to batches on L1: who closes a batch, who attests it, who posts it.
//!
//! ```text
//!   heads (final height) ─┐                              ┌──▶ Outbound: proposal, attestation (repeated until posted)
//!   L1View, InboxView ────┼──▶ task ── rules, round ─────┤
//!   proposals, attests ───┘     │ sign by the Signer     └──▶ Poster: the certified batch, when this rank's time has come
//!                               ▼
//!                            ledger: batch records            recorder ◀── inbox: what was posted, by whomever
//! ```
//! - The node whose posting turn it is closes the next batch when a close rule holds: nothing can join it any more, as it is
//!   full or ends the epoch, or it is old enough. The others compare it with their own final blocks and attest. With a
//!   quorum anyone may post. Each further rank waits POST_BACKOFF L1 blocks for the one before, both to propose and to
//!   post. Source: protocol section 8.
//! - A batch is of one epoch, and its committee closes, attests and posts it, also when the next one decides blocks already.
//!   One epoch is worked on at a time: that of the first block that L1 lacks. What is said about another one is ignored. Once L1
//!   takes the word of the batch's own committee no more, because that is LIVE_EPOCHS back, the running one's stands for it.
//!   An epoch so old that this node has forgotten it is read from L1 again.
//! - All state follows from what L1 holds: when L1 moves, forwards or back, a new round begins after its tip. So an L1
//!   reorg, a lost message or a restart leaves nothing to repair. While L1 is down nothing is closed, attested or posted,
//!   and nothing is lost: the final chain is in the ledger, and the age rule holds when L1 returns.
//! - Everything is sent again until L1 holds the batch, so lost messages heal.

mod blocks;
mod duties;
mod recorder;
mod round;
mod rules;
#[cfg(test)]
mod rules_tests;
mod task;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use alloy::signers::local::PrivateKeySigner;
use baton_proto::{BatchIndex, Epoch, Evidence, Height, MemberIndex, wire::ConsensusMessage};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use recorder::Recording;
pub use rules::{ProposalError, Roots, Situation, block_count, rank};

use crate::{
    epoch::EpochBook,
    l1::{
        AccountConfig, AccountContext, ChainFacts, DataChoice, L1Client, L1View, Poster, PosterStatus, SendError,
        spawn_inbox_watcher,
    },
    ledger::{Ledger, LedgerError},
    p2p::Outbound,
    signer::{OwnKey, SignError},
};

/// A batch proposal or an attestation from a committee's streams; anything else is ignored.
#[derive(Clone, Debug)]
pub struct BatchMessage {
    /// An epoch in which its sender is a member.
    pub epoch: Epoch,
    /// The sender's place there, as its stream proves.
    pub from: MemberIndex,
    /// [`ConsensusMessage::BatchProposal`] or [`ConsensusMessage::Attestation`].
    pub message: ConsensusMessage,
}

/// Told about a member of an epoch that broke a rule no honest member breaks.
pub type Charge = Arc<dyn Fn(Epoch, MemberIndex, &str) + Send + Sync>;

/// How the batcher behaves.
#[derive(Clone, Debug)]
pub struct BatcherConfig {
    /// How often what is not posted yet is sent again.
    pub repeat: Duration,
    /// How long to wait before the inbox is read again after a failure.
    pub retry: Duration,
    /// How the data of the batches that this node closes gets to L1.
    pub data: DataChoice,
}

impl Default for BatcherConfig {
    fn default() -> Self {
        Self { repeat: Duration::from_secs(2), retry: Duration::from_secs(1), data: DataChoice::Auto }
    }
}

/// What the batcher needs of the node.
pub struct BatcherContext {
    /// L1.
    pub client: L1Client,
    /// The chain.
    pub facts: Arc<ChainFacts>,
    /// Who leads, attests and posts. Without a seat in the batch's epoch this node only watches, and posts what others
    /// certified.
    pub epochs: EpochBook,
    /// This node's consensus keys, for an epoch that the book has forgotten; none of a follower.
    pub keys: Vec<Arc<OwnKey>>,
    /// The final chain, and where batches and intents are kept.
    pub ledger: Arc<dyn Ledger>,
    /// The committee's streams.
    pub outbound: Arc<dyn Outbound>,
    /// Height of the last final block.
    pub heads: watch::Receiver<Height>,
    /// What this node sees of L1.
    pub l1: watch::Receiver<L1View>,
    /// Proposals and attestations from others.
    pub messages: mpsc::Receiver<BatchMessage>,
    /// Told about faulty members.
    pub charge: Charge,
    /// Takes evidence against who attests two blocks or two states for one height.
    pub evidence: mpsc::Sender<Evidence>,
    /// The posting account; without it the node attests and never posts.
    pub poster: Option<(PrivateKeySigner, AccountConfig)>,
    /// Timings.
    pub config: BatcherConfig,
    /// Ends all tasks.
    pub cancel: CancellationToken,
}

/// How far the final chain got on L1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchStatus {
    /// Last height in a batch that L1 accepted; a reorg of L1 can take it back.
    pub posted_height: Height,
    /// Index of that batch; `None` before the first.
    pub posted_index: Option<BatchIndex>,
    /// Last height in a batch in a final L1 block.
    pub settled_height: Height,
    /// Final blocks that L1 does not hold yet.
    pub unposted_blocks: u64,
    /// Certified batches that L1 does not hold yet: none or one, because each is closed on the one before.
    pub unposted_batches: u64,
    /// Weight that attested the batch L1 waits for.
    pub attested_weight: u128,
    /// Whether L1 does not say what blobs cost, so that batches travel as calldata.
    pub blobs_have_no_price: bool,
    /// Why this node attests nothing more, though it could: L1 holds another chain than this node. Empty when all is well.
    pub broken: String,
}

/// How far the batches that L1 holds are in the ledger, by index of the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Batches before this one are accepted; an L1 reorg can lower it.
    pub posted: BatchIndex,
    /// Batches before this one are in finalized L1 blocks.
    pub settled: BatchIndex,
}

/// Why the batcher stopped. The node must stop too.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum BatcherError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Sign(#[from] SignError),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("a task of the batcher panicked: {0}")]
    Panicked(#[from] tokio::task::JoinError),
    #[error("the final block at height {0} is not in the ledger")]
    MissingBlock(Height),
    #[error("the final chain's views do not ascend at height {0}")]
    Views(Height),
}

/// A running batcher.
#[derive(Debug)]
pub struct Batcher {
    /// How far the chain got on L1.
    pub status: watch::Receiver<BatchStatus>,
    /// What of it the ledger holds already; `None` until L1 was read once.
    pub recorded: watch::Receiver<Option<Recorded>>,
    /// What the posting account is doing; `None` without one.
    pub poster: Option<watch::Receiver<PosterStatus>>,
    /// Ends when the token is cancelled; with an error when the node must stop.
    pub tasks: Vec<JoinHandle<Result<(), BatcherError>>>,
}

impl Batcher {
    /// Starts the batcher with its inbox watcher, recorder and poster.
    ///
    /// # Errors
    /// [`BatcherError::Send`] or [`BatcherError::Ledger`] when what an earlier process stored cannot be read.
    pub fn spawn(context: BatcherContext) -> Result<Self, BatcherError> {
        let (inbox, inbox_task) = spawn_inbox_watcher(
            context.client.clone(),
            Arc::clone(&context.facts),
            context.l1.clone(),
            context.config.retry,
            context.cancel.clone(),
        );
        let (orders, ordered) = watch::channel(None);
        let mut tasks = vec![tokio::spawn(async move { Ok(inbox_task.await?) })];
        let poster = match context.poster.clone() {
            Some((key, config)) => {
                let account = AccountContext {
                    client: context.client.clone(),
                    facts: Arc::clone(&context.facts),
                    ledger: Arc::clone(&context.ledger),
                    key,
                    config,
                    l1: context.l1.clone(),
                    cancel: context.cancel.clone(),
                };
                let poster = Poster::spawn(account, ordered)?;
                tasks.push(tokio::spawn(async move { Ok(poster.task.await??) }));
                Some(poster.status)
            }
            None => None,
        };
        let Recording { broken, recorded, task: recorder } = recorder::spawn(&context, inbox.clone());
        tasks.push(recorder);
        let (status, task) = task::spawn(context, inbox, orders, broken)?;
        tasks.push(task);
        Ok(Self { status, recorded, poster, tasks })
    }
}
