//! Making compact proposals whole: transactions come from the pool, then from the leader, then from other members.
//!
//! ```text
//!  compact proposal ─▶ leader, view, signature (intake) ─▶ all in the pool? ──yes──▶ Checked::Proposal
//!                                                              │ no                        ▲
//!                                     leader's Notarize alone ◀┤                           │ whole, and as committed
//!                                                              └─▶ ask leader, then others ┘
//! ```
//! What a leader can gain by withholding transactions is its own view, which the machine's timers give up: one block is
//! gathered for each of the few views that matter ([`ViewWindow::rebuilds`]), only the first that the view's leader
//! signed, off the driver's loop, and for no longer than [`REBUILD_WITHIN`]. Until a block is whole the machine knows of it
//! only the leader's Notarize, which counts (and convicts) on its own.
//!
//! Every transaction is known by its hash before its sender is recovered, so whoever serves can neither put anything in
//! nor make us work for what nobody ordered.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use alloy_primitives::{Bytes, TxHash, keccak256};
use baton_consensus::Verified;
use baton_proto::{
    Block, BlockDigest, BlockHeader, Forced, MemberIndex, PayloadCommitment, SignedStatement, Transaction, View,
    limits::{BLOCK_BYTES_MAX, TRANSACTIONS_ASKED_MAX},
    wire::{SyncRequest, SyncResponse},
};
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use super::{intake::Checked, window::ViewWindow};
use crate::p2p::{Fault, KnownLookup, Network, RequestError};

/// Longest time for which one block is gathered. A view that stalls grows its timeouts up to 30 s, but whoever serves
/// answers in far less than this or not at all.
const REBUILD_WITHIN: Duration = Duration::from_secs(10);

/// Longest wait for one answer: a round trip around the world and half a megabyte at 10 Mbit/s.
const ANSWER_WITHIN: Duration = Duration::from_millis(1_000);

/// Members asked after the leader in each round. Only those that have voted can serve, and who has not says so at once.
const OTHERS_PER_ROUND: usize = 2;

/// Pause between two rounds: meanwhile gossip brings transactions, and others vote.
const ROUND_PAUSE: Duration = Duration::from_millis(100);

/// Who is asked for missing transactions.
pub trait Servers: Send + Sync + 'static {
    /// Asks a member.
    fn ask(
        &self,
        member: MemberIndex,
        request: SyncRequest,
    ) -> impl Future<Output = Result<SyncResponse, RequestError>> + Send;

    /// Charges a fault to a member.
    fn charge(&self, member: MemberIndex, fault: Fault);
}

impl Servers for Network {
    fn ask(
        &self,
        member: MemberIndex,
        request: SyncRequest,
    ) -> impl Future<Output = Result<SyncResponse, RequestError>> + Send {
        self.request(member, request)
    }

    fn charge(&self, member: MemberIndex, fault: Fault) {
        self.charge_member(member, fault);
    }
}

/// Why a block can never be whole: its leader's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Flaw {
    #[error("its transactions give {got:?}, but the header commits to other bytes or gas")]
    Commitment { got: Box<PayloadCommitment> },
    #[error("its transaction {index} is none: {why}")]
    Transaction { index: usize, why: String },
    #[error("its transactions have more than {BLOCK_BYTES_MAX} bytes")]
    TooLarge,
}

/// Why an answer is of no use.
#[derive(Debug, PartialEq, Eq)]
enum Unusable {
    /// It holds something else than was asked for: the server's fault.
    Answer,
    /// It holds what was asked for, and that shows what is wrong with the block.
    Block(Flaw),
}

/// A block with gaps.
struct Draft {
    /// The view in which it is proposed.
    view: View,
    header: BlockHeader,
    forced: Forced,
    hashes: Vec<TxHash>,
    transactions: Vec<Option<Transaction>>,
    /// Of forced entries and of the transactions that are here.
    bytes: usize,
}

impl Draft {
    /// `forced` and `hashes` are those that the header commits to: their root and count were checked where they were decoded.
    fn new(view: View, header: BlockHeader, forced: Forced, hashes: Vec<TxHash>) -> Self {
        let (transactions, bytes) = (vec![None; hashes.len()], forced.bytes());
        Self { view, header, forced, hashes, transactions, bytes }
    }

    /// Puts in what the node holds.
    fn fill(&mut self, known: &KnownLookup) {
        for (place, hash) in self.transactions.iter_mut().zip(&self.hashes).filter(|(place, _)| place.is_none()) {
            *place = known.transaction(hash).filter(|transaction| transaction.hash() == hash);
            self.bytes += place.as_ref().map_or(0, |transaction| transaction.raw().len());
        }
    }

    /// Returns the first places that are empty, at most as many as one question may name.
    fn missing(&self) -> Vec<u32> {
        let gaps = (0..).zip(&self.transactions).filter(|(_, place)| place.is_none());
        gaps.map(|(index, _)| index).take(TRANSACTIONS_ASKED_MAX).collect()
    }

    /// Puts in the answer to a question for `asked`: the first of them, in their order. Recovers their senders.
    fn take(&mut self, asked: &[u32], answer: Vec<Bytes>, known: &KnownLookup) -> Result<(), Unusable> {
        if answer.is_empty() || answer.len() > asked.len() {
            return Err(Unusable::Answer);
        }
        for (index, raw) in asked.iter().map(|index| *index as usize).zip(answer) {
            let (Some(place), Some(hash)) = (self.transactions.get_mut(index), self.hashes.get(index)) else {
                return Err(Unusable::Answer);
            };
            if keccak256(&raw) != *hash {
                return Err(Unusable::Answer);
            }
            self.bytes += raw.len();
            if self.bytes > BLOCK_BYTES_MAX {
                return Err(Unusable::Block(Flaw::TooLarge));
            }
            let transaction = known
                .decode(raw)
                .map_err(|error| Unusable::Block(Flaw::Transaction { index, why: error.to_string() }))?;
            *place = Some(transaction);
        }
        Ok(())
    }

    /// Returns the block, if no gap is left, or what is wrong with it.
    fn finish(&self) -> Result<Option<Arc<Block>>, Flaw> {
        if self.bytes > BLOCK_BYTES_MAX {
            return Err(Flaw::TooLarge);
        }
        let Some(transactions) = self.transactions.iter().cloned().collect::<Option<Vec<Transaction>>>() else {
            return Ok(None);
        };
        let commitment = PayloadCommitment::of(&self.forced, &transactions);
        if !commitment.matches(&self.header) {
            return Err(Flaw::Commitment { got: Box::new(commitment) });
        }
        Ok(Some(Arc::new(Block { header: self.header.clone(), forced: self.forced.clone(), transactions })))
    }
}

/// How far the block of a view is.
#[derive(Clone, Debug)]
enum Progress {
    Gathering,
    Whole(Arc<Block>),
    /// In vain; the leader may send its proposal again.
    Ended,
}

/// The one block of a view that is made whole: the first that its leader signed.
struct Slot {
    block: BlockDigest,
    progress: watch::Receiver<Progress>,
}

/// Makes compact proposals whole. A cheap handle.
pub struct Rebuilder<S = Network>(Arc<Inner<S>>);

struct Inner<S> {
    servers: S,
    known: KnownLookup,
    window: Arc<ViewWindow>,
    others: Vec<MemberIndex>,
    checked: mpsc::Sender<Checked>,
    runtime: Handle,
    slots: Mutex<BTreeMap<View, Slot>>,
}

impl<S> Clone for Rebuilder<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: Servers> Rebuilder<S> {
    /// `others` are the committee's other members; whole blocks go to `checked`. Must be called within a tokio runtime,
    /// which gathers the blocks.
    #[must_use]
    pub fn new(
        servers: S,
        known: KnownLookup,
        window: Arc<ViewWindow>,
        others: Vec<MemberIndex>,
        checked: mpsc::Sender<Checked>,
    ) -> Self {
        let (runtime, slots) = (Handle::current(), Mutex::default());
        Self(Arc::new(Inner { servers, known, window, others, checked, runtime, slots }))
    }

    /// Takes a proposal that its view's leader signed, and returns what can be told of it now: the whole block, or the
    /// leader's Notarize alone, while the block is gathered or because it is not worth it.
    ///
    /// # Errors
    /// The leader's fault: the block can never be whole.
    pub(super) fn begin(
        &self,
        header: BlockHeader,
        notarize: Verified<SignedStatement>,
        forced: Forced,
        hashes: Vec<TxHash>,
    ) -> Result<Checked, &'static str> {
        // A handover block that is proposed again is wanted in the view that proposes it, not in the one it names.
        let Some(view) = notarize.statement.view() else { return Err("a proposal without a view") };
        let block = header.digest();
        let alone = Checked::Vote { vote: notarize.clone(), leader: None };
        if !self.0.window.rebuilds(view) {
            return Ok(alone);
        }
        if let Some(slot) = self.slots().get(&view) {
            // A second block of a view is evidence at most, and that the two Notarize are.
            if slot.block != block {
                return Ok(alone);
            }
            match &*slot.progress.borrow() {
                Progress::Gathering => return Ok(alone),
                Progress::Whole(block) => return Ok(Checked::Proposal { block: Arc::clone(block), notarize }),
                Progress::Ended => {}
            }
        }
        let mut draft = Draft::new(view, header, forced, hashes);
        draft.fill(&self.0.known);
        let finished = draft.finish().map_err(|flaw| {
            warn!(%view, %flaw, "a compact proposal is no block");
            "a compact proposal whose transactions are not what its header commits to"
        })?;
        let (progress, seen) = watch::channel(match &finished {
            Some(block) => Progress::Whole(Arc::clone(block)),
            None => Progress::Gathering,
        });
        self.slots().insert(view, Slot { block, progress: seen });
        match finished {
            Some(block) => Ok(Checked::Proposal { block, notarize }),
            None => {
                let this = self.clone();
                self.0.runtime.spawn(async move { this.run(draft, notarize, progress).await });
                Ok(alone)
            }
        }
    }

    /// Waits while `block` is being gathered, and returns it if that gave it whole.
    pub(crate) fn gathered(&self, block: &BlockDigest) -> impl Future<Output = Option<Arc<Block>>> + Send + use<S> {
        let progress = self.slots().values().find(|slot| slot.block == *block).map(|slot| slot.progress.clone());
        async move {
            let mut progress = progress?;
            match &*progress.wait_for(|progress| !matches!(progress, Progress::Gathering)).await.ok()? {
                Progress::Whole(block) => Some(Arc::clone(block)),
                Progress::Gathering | Progress::Ended => None,
            }
        }
    }

    async fn run(&self, draft: Draft, notarize: Verified<SignedStatement>, progress: watch::Sender<Progress>) {
        let (view, leader) = (draft.view, notarize.signer);
        let (missing, all) = (draft.transactions.iter().filter(|place| place.is_none()).count(), draft.hashes.len());
        debug!(%view, missing, of = all, "asking for a proposal's transactions");
        match timeout(REBUILD_WITHIN, self.gather(draft, leader)).await {
            Ok(Ok(Some(block))) => {
                progress.send_replace(Progress::Whole(Arc::clone(&block)));
                // The driver's end is the node's end.
                let _ = self.0.checked.send(Checked::Proposal { block, notarize }).await;
                return;
            }
            Ok(Ok(None)) => debug!(%view, missing, "a proposal's view ended before it was whole"),
            Ok(Err(flaw)) => {
                warn!(%view, %leader, %flaw, "a compact proposal is no block");
                self.0.servers.charge(leader, Fault::InvalidMessage);
            }
            Err(_) => debug!(%view, missing, "nobody has a proposal's transactions"),
        }
        progress.send_replace(Progress::Ended);
    }

    /// Asks round after round until the block is whole or its view is over.
    async fn gather(&self, mut draft: Draft, leader: MemberIndex) -> Result<Option<Arc<Block>>, Flaw> {
        let (view, block) = (draft.view, draft.header.digest());
        for round in 0_usize.. {
            for member in self.order(leader, view, round) {
                loop {
                    if !self.0.window.rebuilds(view) {
                        return Ok(None);
                    }
                    let indices = draft.missing();
                    if indices.is_empty() {
                        return draft.finish();
                    }
                    let request = SyncRequest::Transactions { block, indices: indices.clone() };
                    let Ok(Ok(SyncResponse::Transactions(raw))) =
                        timeout(ANSWER_WITHIN, self.0.servers.ask(member, request)).await
                    else {
                        break;
                    };
                    let known = self.0.known.clone();
                    let work = tokio::task::spawn_blocking(move || {
                        let taken = draft.take(&indices, raw, &known);
                        (draft, taken)
                    });
                    let Ok((back, taken)) = work.await else { return Ok(None) };
                    draft = back;
                    match taken {
                        Ok(()) => {}
                        Err(Unusable::Answer) => {
                            warn!(%member, %view, "a member served other transactions than asked for");
                            self.0.servers.charge(member, Fault::InvalidAnswer);
                            break;
                        }
                        Err(Unusable::Block(flaw)) => return Err(flaw),
                    }
                }
            }
            sleep(ROUND_PAUSE).await;
            draft.fill(&self.0.known);
        }
        Ok(None)
    }

    /// Whom to ask in a round: the leader, which has the block for certain, then some of the others in turn, from one on
    /// that differs from view to view.
    fn order(&self, leader: MemberIndex, view: View, round: usize) -> Vec<MemberIndex> {
        let others: Vec<MemberIndex> = self.0.others.iter().copied().filter(|member| *member != leader).collect();
        let start = usize::try_from(view.get() % 128).unwrap_or(0);
        let first = round.saturating_mul(OTHERS_PER_ROUND).saturating_add(start).checked_rem(others.len()).unwrap_or(0);
        let some = others.iter().cycle().skip(first).take(OTHERS_PER_ROUND.min(others.len())).copied();
        [leader].into_iter().chain(some).collect()
    }

    /// The slots of the views that still matter.
    fn slots(&self) -> MutexGuard<'_, BTreeMap<View, Slot>> {
        // Each change is a single call, so a panic elsewhere leaves the map whole.
        let mut slots = self.0.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|view, _| self.0.window.rebuilds(*view));
        slots
    }
}

#[cfg(test)]
mod tests;
