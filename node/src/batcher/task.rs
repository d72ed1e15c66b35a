//! The batcher's one task: takes what others say and what L1 holds, and does what the rules say is due.
//!
//! What it does with others' words is in `hearing` and `judging`, with its own turn in `closing`, and towards L1 in `posting`.

mod ahead;
mod closing;
mod hearing;
mod judging;
mod posting;
mod prices;

use std::{collections::BTreeMap, sync::Arc};

use alloy_primitives::Address;
use baton_proto::{
    BatchHeader, BatchIndex, DataKind, Epoch, Height, L1BlockNumber, MemberIndex, wire::ConsensusMessage,
};
use tokio::{sync::watch, task::JoinHandle, time::MissedTickBehavior};
use tracing::{debug, info, warn};

use self::{ahead::AheadVotes, closing::Size, prices::Unpriced};
use super::{
    BatchStatus, BatcherContext, BatcherError,
    duties::DutyCount,
    round::{Held, Round},
};
use crate::{
    epoch::{EpochContext, epoch_after},
    l1::{CertifiedBatch, Forgotten, InboxTip, InboxView},
    ledger::LedgerError,
};

/// A proposal is long: it is sent again only every so many repeats.
const PROPOSAL_REPEATS: u64 = 4;

/// Batches whose attestations are kept, in order to find who contradicts itself: those of the epochs whose members the book knows,
/// at a batch every second L1 block.
const ATTESTED_BATCHES_KEPT: u64 = 256;

/// The batcher while it runs.
type Running = JoinHandle<Result<(), BatcherError>>;

/// The epoch of a batch, and the one whose committee certifies it.
type Assigned = (Arc<EpochContext>, Arc<EpochContext>);

pub(super) fn spawn(
    context: BatcherContext,
    inbox: watch::Receiver<Option<InboxView>>,
    orders: watch::Sender<Option<Arc<CertifiedBatch>>>,
    broken: watch::Receiver<String>,
) -> Result<(watch::Receiver<BatchStatus>, Running), LedgerError> {
    let epoch = context.epochs.running();
    let duties = DutyCount::open(Arc::clone(&context.ledger), Arc::clone(&epoch))?;
    let (status, receiver) = watch::channel(BatchStatus::default());
    let forgotten = Forgotten::new(
        context.client.clone(),
        Arc::clone(&context.facts),
        Arc::clone(&context.ledger),
        context.config.retry,
    )
    .with_keys(context.keys.clone());
    let work = Work {
        added: context.epochs.changes(),
        by: Arc::clone(&epoch),
        epoch,
        forgotten,
        duties,
        context,
        inbox,
        orders,
        broken,
        status,
        round: None,
        size: Size::default(),
        ahead: BTreeMap::new(),
        ahead_votes: AheadVotes::default(),
        kind: DataKind::Calldata,
        proposed_by_me: None,
        calldata_until: L1BlockNumber::ZERO,
        stuck: false,
        unpriced: Unpriced::default(),
        unknown: None,
    };
    Ok((receiver, tokio::spawn(work.run())))
}

struct Work {
    context: BatcherContext,
    added: watch::Receiver<Vec<Arc<EpochContext>>>,
    /// The epoch of the batch that L1 waits for, as far as this node knows it.
    epoch: Arc<EpochContext>,
    /// Whose committee closes, attests and posts that batch.
    by: Arc<EpochContext>,
    /// Opens `epoch` where the book has it no more.
    forgotten: Forgotten,
    /// Of `epoch`.
    duties: DutyCount,
    inbox: watch::Receiver<Option<InboxView>>,
    orders: watch::Sender<Option<Arc<CertifiedBatch>>>,
    broken: watch::Receiver<String>,
    status: watch::Sender<BatchStatus>,
    /// `None` until L1 was read, and while this node does not know the next batch's epoch.
    round: Option<Round>,
    size: Size,
    /// Proposals for the batch after the one that L1 waits for: others may see L1 move first. One for each proposer, at most
    /// AHEAD_PROPOSALS_MAX.
    ahead: BTreeMap<Address, Held>,
    ahead_votes: AheadVotes,
    /// Of the last batch that was built here, and so how much the next one is expected to hold.
    kind: DataKind,
    /// The batch that this process proposed last.
    proposed_by_me: Option<BatchHeader>,
    /// L1 held blobs back lately: batches are closed for calldata before this L1 block.
    calldata_until: L1BlockNumber,
    /// Whether the operator was told that a block fits no batch.
    stuck: bool,
    unpriced: Unpriced,
    /// The epoch of which the operator was told that it is unknown.
    unknown: Option<Epoch>,
}

impl Work {
    async fn run(mut self) -> Result<(), BatcherError> {
        let mut repeat = tokio::time::interval(self.context.config.repeat);
        repeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let cancel = self.context.cancel.clone();
        let mut repeats = 0_u64;
        loop {
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                message = self.context.messages.recv() => match message {
                    Some(message) => self.on_message(message).await?,
                    None => return Ok(()),
                },
                changed = self.context.heads.changed() => if changed.is_err() { return Ok(()) },
                changed = self.context.l1.changed() => if changed.is_err() { return Ok(()) },
                changed = self.inbox.changed() => if changed.is_err() { return Ok(()) },
                changed = self.broken.changed() => if changed.is_err() { return Ok(()) },
                changed = self.added.changed() => if changed.is_err() { return Ok(()) },
                _ = repeat.tick() => {
                    self.repeat(repeats.is_multiple_of(PROPOSAL_REPEATS));
                    repeats = repeats.wrapping_add(1);
                }
            }
            self.advance().await?;
        }
    }

    fn final_height(&mut self) -> Height {
        *self.context.heads.borrow_and_update()
    }

    /// Does whatever is due now.
    async fn advance(&mut self) -> Result<(), BatcherError> {
        let final_height = self.final_height();
        let Some(view) = *self.inbox.borrow_and_update() else { return Ok(()) };
        let cancel = self.context.cancel.clone();
        // It can wait for L1.
        let Some(followed) = cancel.run_until_cancelled(self.follow(&view)).await else { return Ok(()) };
        followed?;
        let healthy = self.context.l1.borrow_and_update().healthy;
        let broken = self.broken.borrow_and_update().clone();
        if healthy && broken.is_empty() {
            self.judge_waiting(&view, final_height).await?;
            self.certify(&view)?;
            self.hold_back(&view);
            self.propose(&view, final_height).await?;
            self.certify(&view)?;
        }
        self.order(&view, &broken);
        self.publish(&view, final_height, broken);
        Ok(())
    }

    /// Begins anew when L1 waits for another batch than before, or when another committee has to certify it.
    async fn follow(&mut self, view: &InboxView) -> Result<(), BatcherError> {
        let Some((epoch, by)) = self.assigned(view).await? else {
            self.round = None;
            return Ok(());
        };
        let (same_epoch, same_committee) = (Arc::ptr_eq(&epoch, &self.epoch), Arc::ptr_eq(&by, &self.by));
        if same_epoch && same_committee && self.round.as_ref().is_some_and(|round| round.follows(&view.posted)) {
            return Ok(());
        }
        if !same_epoch {
            self.duties = DutyCount::open(Arc::clone(&self.context.ledger), Arc::clone(&epoch))?;
        }
        if !(same_epoch && same_committee) {
            info!(epoch = %epoch.epoch, committee = %by.epoch, member = by.me().map(MemberIndex::get),
                first_height = %view.posted.last_height.next().unwrap_or_default(), "batches of another epoch are next");
        }
        (self.epoch, self.by) = (epoch, by);
        self.enter(view.posted).await
    }

    /// Returns the epoch of the batch that L1 waits for and the one whose committee certifies it; `None` if this node does not
    /// know one of them.
    async fn assigned(&mut self, view: &InboxView) -> Result<Option<Assigned>, LedgerError> {
        let (facts, running) = (&self.context.facts, self.context.epochs.running());
        let wanted = match self.context.ledger.header(view.posted.last_height)? {
            Some(last) => epoch_after(&facts.epochs(), &last),
            // Where L1 is ahead of this node there is nothing to do but to follow.
            None => self.epoch.epoch,
        };
        // What is certified now is in a later L1 block.
        let certifiers = facts.certifiers(wanted, view.head.next().unwrap_or(view.head));
        let epoch = match self.context.epochs.of(wanted) {
            None if wanted < running.epoch => {
                let opened = self.forgotten.open(wanted).await?;
                // So that the network hears its members, and speaks to them.
                opened.iter().for_each(|opened| self.context.epochs.recall(Arc::clone(opened)));
                opened
            }
            known => known,
        };
        let by = match &epoch {
            Some(epoch) if certifiers.contains(&wanted) => Some(Arc::clone(epoch)),
            _ => Some(&running).filter(|running| certifiers.contains(&running.epoch)).cloned(),
        };
        let assigned = epoch.zip(by);
        if assigned.is_none() && self.unknown != Some(wanted) {
            warn!(epoch = %wanted, running = %running.epoch,
                "nobody whom this node knows can certify the next batch: it attests and posts nothing until L1 has moved on");
        }
        self.unknown = assigned.is_none().then_some(wanted);
        Ok(assigned)
    }

    /// Begins with the batch that follows `tip`, with what is known of it already.
    async fn enter(&mut self, tip: InboxTip) -> Result<(), BatcherError> {
        let mut round = Round::new(tip);
        self.size = Size::after(tip.last_height);
        self.unpriced.is_over();
        if let Some(record) = self.context.ledger.batch(tip.next_index)?
            && record.header.prev_batch_hash == tip.last_hash
            && let Some(certificate) = record.certificate
            && certificate.statement.epoch() == self.by.epoch
        {
            let head = self.context.l1.borrow().head.map_or(tip.accepted_at, |head| head.number);
            debug!(index = %tip.next_index, "the batch was certified before");
            round.restore(CertifiedBatch { header: record.header, certificate, data: record.data }, head);
        }
        self.round = Some(round);
        for (from, held) in std::mem::take(&mut self.ahead) {
            self.on_proposal(from, held);
        }
        self.catch_up_with_votes(tip).await?;
        let oldest = tip.next_index.get().saturating_sub(ATTESTED_BATCHES_KEPT);
        Ok(self.context.ledger.forget_attestations(BatchIndex::new(oldest))?)
    }

    /// Sends again what the others may have missed.
    fn repeat(&self, with_proposal: bool) {
        let Some(round) = &self.round else { return };
        if !self.context.l1.borrow().healthy {
            return;
        }
        if with_proposal
            && let Some(me) = self.by.me()
            && let Some(held) = round.proposal_of(me)
        {
            self.tell_proposal(held);
        }
        for signed in &round.mine {
            self.context.outbound.broadcast(ConsensusMessage::Attestation(signed.clone()));
        }
    }

    fn publish(&self, view: &InboxView, final_height: Height, broken: String) {
        let status = BatchStatus {
            posted_height: view.posted.last_height,
            posted_index: view.posted.next_index.previous(),
            settled_height: view.settled.last_height,
            unposted_blocks: final_height.get().saturating_sub(view.posted.last_height.get()),
            unposted_batches: u64::from(self.round.as_ref().is_some_and(|round| round.certified().is_some())),
            attested_weight: self.round.as_ref().map(|round| round.best_weight(&self.by.committee)).unwrap_or_default(),
            blobs_have_no_price: self.blobs_have_no_price(),
            broken,
        };
        self.status.send_if_modified(|current| {
            let modified = *current != status;
            *current = status;
            modified
        });
    }
}
