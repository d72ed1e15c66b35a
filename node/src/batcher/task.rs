//! The batcher's one task: takes what others say and what L1 holds, and does what the rules say is due.

use std::{collections::BTreeMap, sync::Arc};

use alloy_primitives::{Address, B256};
use baton_consensus::Verified;
use baton_proto::{
    Attestation, BatchHeader, Block, DataKind, Epoch, Evidence, Height, MemberIndex, SignedStatement, Statement,
    batch_data::{self, BatchDataError},
    limits::COMMITTEE_MEMBERS_MAX,
    wire::ConsensusMessage,
};
use tokio::{
    sync::watch,
    task::{JoinHandle, spawn_blocking},
    time::MissedTickBehavior,
};
use tracing::{debug, error, info, warn};

use super::{
    BatchMessage, BatchStatus, BatcherContext, BatcherError, Charge,
    blocks::{final_blocks, unposted_blocks},
    duties::{Counted, DutyCount},
    round::{Held, Progress, Round},
    rules::{BLOCK_OVERHEAD_BYTES, ProposalError, Situation, rank},
};
use crate::{
    epoch::{EpochContext, epoch_after},
    l1::{
        At, CertifiedBatch, ChainFacts, DataChoice, DataPrices, Forgotten, InboxTip, InboxView, KzgError, cheaper,
        data_hash,
    },
    ledger::{BatchOnL1, BatchRecord, LedgerError},
};

/// A proposal is long: it is sent again only every so many repeats.
const PROPOSAL_REPEATS: u64 = 4;

/// Proposals kept for the batch after the one that L1 waits for: one for each member.
const AHEAD_PROPOSALS_MAX: usize = COMMITTEE_MEMBERS_MAX;

/// Attestations kept for the batch after the one that L1 waits for: four for each member, as for the present one.
const AHEAD_VOTES_MAX: usize = 4 * COMMITTEE_MEMBERS_MAX;

/// How much the unposted bytes must grow before it is tried again whether they fill a batch, in percent.
const FULL_RETRY_PERCENT: u64 = 125;

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
    );
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
        ahead_votes: Vec::new(),
        kind: DataKind::Calldata,
        proposed_by_me: None,
        stuck: false,
        unknown: None,
    };
    Ok((receiver, tokio::spawn(work.run())))
}

/// An upper bound of the bytes that the unposted blocks need, kept without reading a block twice.
#[derive(Clone, Copy, Default)]
struct Size {
    up_to: Height,
    bytes: u64,
    /// Whether the epoch's last block is among them. None beyond it counts.
    ends_epoch: bool,
    /// Bytes from which it is worth trying whether they fill a batch.
    try_at: u64,
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
    ahead_votes: Vec<SignedStatement>,
    /// Of the last batch that was built here, and so how much the next one is expected to hold.
    kind: DataKind,
    /// The batch that this process proposed last.
    proposed_by_me: Option<BatchHeader>,
    /// Whether the operator was told that a block fits no batch.
    stuck: bool,
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
            self.propose(&view, final_height).await?;
            self.certify(&view)?;
        }
        self.order(&view, &broken);
        self.publish(&view, final_height, broken);
        Ok(())
    }

    /// Begins anew when L1 waits for another batch than before, or when another committee has to certify it.
    async fn follow(&mut self, view: &InboxView) -> Result<(), LedgerError> {
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
        self.enter(view.posted)
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
            None if wanted < running.epoch => self.forgotten.open(wanted).await?,
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
    fn enter(&mut self, tip: InboxTip) -> Result<(), LedgerError> {
        let mut round = Round::new(tip);
        self.size = Size { up_to: tip.last_height, ..Size::default() };
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
        let votes = std::mem::take(&mut self.ahead_votes);
        for vote in votes.iter().filter(|vote| vote.statement.epoch() == self.by.epoch) {
            // Verified when it came.
            if let Some(evidence) = self.round.as_mut().and_then(|round| round.attest(vote)) {
                self.accuse(evidence);
            }
        }
        Ok(())
    }

    async fn on_message(&mut self, message: BatchMessage) -> Result<(), BatcherError> {
        let sender = self.context.epochs.of(message.epoch);
        let Some(from) = sender.and_then(|epoch| epoch.committee.member(message.from).map(|member| member.owner))
        else {
            return Ok(());
        };
        match message.message {
            ConsensusMessage::BatchProposal { header, data, .. } => {
                self.on_proposal(from, Held::new(header, data));
                Ok(())
            }
            ConsensusMessage::Attestation(signed) => self.on_attestation(from, signed).await,
            _ => Ok(()),
        }
    }

    fn on_proposal(&mut self, from: Address, held: Held) {
        let Some(view) = *self.inbox.borrow() else { return };
        let Some(round) = &mut self.round else { return };
        if Some(held.header.index) == round.tip.next_index.next() {
            if self.ahead.len() < AHEAD_PROPOSALS_MAX || self.ahead.contains_key(&from) {
                self.ahead.insert(from, held);
            }
            return;
        }
        let Some(from) = self.by.committee.index_of(from) else { return };
        let (epoch, since) = (self.epoch.epoch, round.complete_since);
        let situation = Situation::new(&self.context.facts, epoch, &round.tip, view.head, since);
        match situation.check_header(&held.header, &held.data) {
            Ok(()) => {
                if round.propose(from, held) {
                    debug!(%from, index = %round.tip.next_index, "batch proposed");
                }
            }
            Err(error) => refuse(&self.context.charge, self.by.epoch, from, &error),
        }
    }

    async fn on_attestation(&mut self, from: Address, signed: SignedStatement) -> Result<(), BatcherError> {
        let Statement::Attest(attestation) = signed.statement else { return Ok(()) };
        let Some(round) = &self.round else { return Ok(()) };
        let is_next = Some(attestation.batch_index) == round.tip.next_index.next();
        let committee = if is_next {
            self.context.epochs.of(attestation.committee_epoch)
        } else {
            Some(Arc::clone(&self.by)).filter(|by| by.epoch == attestation.committee_epoch)
        };
        // Another epoch's is none of this round's business.
        let Some((committee, from)) =
            committee.and_then(|epoch| epoch.committee.index_of(from).map(|from| (epoch, from)))
        else {
            return Ok(());
        };
        // A later previous hash cannot be judged yet; the statement is kept as long as there is room.
        let wanted = if is_next {
            self.ahead_votes.len() < AHEAD_VOTES_MAX && !self.ahead_votes.contains(&signed)
        } else {
            round.wants(&attestation, signed.signer)
        };
        if !wanted {
            return Ok(());
        }
        if signed.signer != from {
            (self.context.charge)(committee.epoch, from, "an attestation of another member");
            return Ok(());
        }
        let verifier = Arc::clone(&committee.verifier);
        match spawn_blocking(move || verifier.verify(signed)).await? {
            Ok(verified) if is_next => self.ahead_votes.push(verified.into_inner()),
            Ok(verified) => {
                if let Some(evidence) = self.round.as_mut().and_then(|round| round.attest(&verified)) {
                    self.accuse(evidence);
                }
            }
            Err(error) => {
                debug!(%from, %error, "attestation refused");
                if error.is_peer_fault() {
                    (self.context.charge)(committee.epoch, from, "an attestation that does not verify");
                }
            }
        }
        Ok(())
    }

    /// Hands evidence on. Whoever has so much of it that there is no room is busy with the same offenders.
    fn accuse(&self, evidence: Evidence) {
        warn!(member = %evidence.signer(), epoch = %evidence.epoch(), "a member attested two ends of one batch");
        if self.context.evidence.try_send(evidence).is_err() {
            debug!("nobody takes the evidence");
        }
    }

    /// Judges proposals whose time may have come, and attests what is right.
    async fn judge_waiting(&mut self, view: &InboxView, final_height: Height) -> Result<(), BatcherError> {
        let waiting = self.round.as_ref().map(Round::waiting).unwrap_or_default();
        for (from, held) in waiting {
            match self.judge(view, final_height, from, &held).await? {
                Ok(()) => self.attest(from, &held).await?,
                Err(error) if error.can_pass() => {}
                Err(error) => {
                    refuse(&self.context.charge, self.by.epoch, from, &error);
                    if let Some(round) = &mut self.round {
                        round.judge(from, held.hash, Progress::Refused);
                    }
                }
            }
        }
        Ok(())
    }

    async fn judge(
        &mut self,
        view: &InboxView,
        final_height: Height,
        from: MemberIndex,
        held: &Held,
    ) -> Result<Result<(), ProposalError>, BatcherError> {
        let header = &held.header;
        if header.last_height > final_height {
            return Ok(Err(ProposalError::NotFinalHere { last: header.last_height, head: final_height }));
        }
        let ledger = Arc::clone(&self.context.ledger);
        let last = ledger.header(header.last_height)?.ok_or(BatcherError::MissingBlock(header.last_height))?;
        let next = match header.last_height.next() {
            Some(next) if next <= final_height => ledger.header(next)?,
            _ => None,
        };
        let Some(round) = &mut self.round else { return Ok(Ok(())) };
        let (tip, epoch) = (round.tip, self.epoch.epoch);
        let facts = Arc::clone(&self.context.facts);
        let situation = Situation::new(&facts, epoch, &tip, view.head, round.complete_since);
        if let Err(error) = situation.check_span(&last) {
            return Ok(Err(error));
        }
        let size = (header.data_kind, held.data.len());
        let is_complete = situation.is_complete(size, super::block_count(header), &last, next.as_ref());
        if is_complete {
            round.complete_since.get_or_insert(view.head);
        }
        let rank = rank(&self.by.posters, self.by.committee.len(), header.index, from);
        if let Err(error) = situation.check_turn(from, rank, is_complete) {
            return Ok(Err(error));
        }
        let counted = self.duties.up_to(tip.last_height, view.settled.last_height)?;
        let (context, held, head) = (Arc::clone(&self.epoch), held.clone(), view.head);
        spawn_blocking(move || {
            let own = final_blocks(&*ledger, held.header.first_height, held.header.last_height)?;
            let root = counted.root_with(&context.leaders, own.iter().map(|block| &block.header))?;
            let situation = Situation::new(&facts, epoch, &tip, head, None);
            Ok(situation.check_content(&held.header, &held.data, &own, root))
        })
        .await?
    }

    /// Signs what was judged right, makes the batch durable and tells everybody.
    async fn attest(&mut self, from: MemberIndex, held: &Held) -> Result<(), BatcherError> {
        let Some(signer) = self.by.signer.clone() else {
            if let Some(round) = &mut self.round {
                round.judge(from, held.hash, Progress::Attested);
            }
            return Ok(());
        };
        let statement = Statement::Attest(Attestation::of(self.by.epoch, &held.header));
        self.store(&held.header, &held.data, None)?;
        let signed = match spawn_blocking(move || signer.sign(&[statement])).await? {
            Ok(signed) => signed,
            Err(error) if error.is_refusal() => {
                warn!(index = %held.header.index, %error, "the sign record forbids attesting this batch");
                if let Some(round) = &mut self.round {
                    round.judge(from, held.hash, Progress::Refused);
                }
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let Some(round) = &mut self.round else { return Ok(()) };
        round.judge(from, held.hash, Progress::Attested);
        for signed in signed.into_iter().map(Verified::into_inner) {
            debug!(index = %held.header.index, last_height = %held.header.last_height, "batch attested");
            // Against itself this node signs nothing: its record forbids it.
            let _ = round.attest(&signed);
            round.mine.push(signed.clone());
            self.context.outbound.broadcast(ConsensusMessage::Attestation(signed));
        }
        Ok(())
    }

    fn store(
        &self,
        header: &BatchHeader,
        data: &alloy_primitives::Bytes,
        certificate: Option<baton_proto::Certificate>,
    ) -> Result<(), LedgerError> {
        if certificate.is_none()
            && self.context.ledger.batch(header.index)?.is_some_and(|record| {
                record.certificate.is_some() && record.header.prev_batch_hash == header.prev_batch_hash
            })
        {
            // What a quorum stands behind is worth more than another proposal for the same place.
            return Ok(());
        }
        // Another may have posted it before our certificate was complete.
        let known = self.context.ledger.batch_without_data(header.index)?.filter(|known| known.header == *header);
        let l1 = known.map_or(BatchOnL1::Unposted, |known| known.l1);
        self.context.ledger.put_batch(&BatchRecord { header: header.clone(), data: data.clone(), certificate, l1 })
    }

    fn certify(&mut self, view: &InboxView) -> Result<(), BatcherError> {
        let Some(round) = &mut self.round else { return Ok(()) };
        let Some(certified) = round.try_certify(&self.by.committee, view.head).cloned() else { return Ok(()) };
        info!(
            index = %certified.header.index,
            first_height = %certified.header.first_height,
            last_height = %certified.header.last_height,
            bytes = certified.data.len(),
            signers = certified.certificate.signers.len(),
            "batch certified"
        );
        self.store(&certified.header, &certified.data, Some(certified.certificate))?;
        Ok(())
    }

    /// Closes a batch if it is this node's turn, or that of nobody before it any more.
    async fn propose(&mut self, view: &InboxView, final_height: Height) -> Result<(), BatcherError> {
        let Some(me) = self.by.me() else { return Ok(()) };
        let Some(round) = &self.round else { return Ok(()) };
        let tip = round.tip;
        if round.certified().is_some() || round.proposal_of(me).is_some() || final_height <= tip.last_height {
            return Ok(());
        }
        let (facts, epoch) = (Arc::clone(&self.context.facts), self.epoch.epoch);
        let situation = Situation::new(&facts, epoch, &tip, view.head, round.complete_since);
        let rank = rank(&self.by.posters, self.by.committee.len(), tip.next_index, me);
        let by_age = situation.may_propose(false, rank);
        let first_look = round.complete_since.is_none();
        self.grow_size(final_height)?;
        let limit = situation.data_bytes_max(self.kind) as u64;
        if self.size.try_at == 0 {
            self.size.try_at = limit;
        }
        let can_be_complete = self.size.ends_epoch || self.size.bytes >= self.size.try_at;
        let may_be_complete = can_be_complete && (first_look || situation.may_propose(true, rank));
        if !by_age && !may_be_complete {
            return Ok(());
        }
        let counted = self.duties.up_to(tip.last_height, view.settled.last_height)?;
        let Some(candidate) = self.build(&facts, tip, counted, view, final_height).await? else { return Ok(()) };
        self.kind = candidate.kind;
        if candidate.is_complete {
            if let Some(round) = &mut self.round {
                round.complete_since.get_or_insert(view.head);
            }
        } else {
            self.size.try_at = (self.size.bytes.max(limit) / 100).saturating_mul(FULL_RETRY_PERCENT);
        }
        let complete_since = self.round.as_ref().and_then(|round| round.complete_since);
        let situation = Situation::new(&facts, epoch, &tip, view.head, complete_since);
        if !situation.may_propose(candidate.is_complete, rank) {
            return Ok(());
        }
        let is_complete = candidate.is_complete;
        let Some(held) = self.close(&facts, tip, candidate, view).await? else { return Ok(()) };
        info!(
            index = %held.header.index,
            first_height = %held.header.first_height,
            last_height = %held.header.last_height,
            kind = ?held.header.data_kind,
            bytes = held.data.len(),
            rank,
            complete = is_complete,
            "batch closed"
        );
        if let Some(round) = &mut self.round {
            round.propose(me, held.clone());
        }
        self.proposed_by_me = Some(held.header.clone());
        // Durable with the attestation, before it is sent.
        self.store(&held.header, &held.data, None)?;
        self.tell_proposal(&held);
        self.attest(me, &held).await
    }

    fn tell_proposal(&self, Held { header, data, .. }: &Held) {
        self.context.outbound.broadcast(ConsensusMessage::BatchProposal {
            committee_epoch: self.by.epoch,
            header: header.clone(),
            data: data.clone(),
        });
    }

    async fn build(
        &mut self,
        facts: &Arc<ChainFacts>,
        tip: InboxTip,
        counted: Counted,
        view: &InboxView,
        final_height: Height,
    ) -> Result<Option<Candidate>, BatcherError> {
        let Some(prices) = self.prices(facts).await else { return Ok(None) };
        let (ledger, context) = (Arc::clone(&self.context.ledger), Arc::clone(&self.epoch));
        let (facts, head) = (Arc::clone(facts), view.head);
        let built = spawn_blocking(move || -> Result<Result<Candidate, BatchDataError>, BatcherError> {
            let situation = Situation::new(&facts, context.epoch, &tip, head, None);
            let first = tip.last_height.next().unwrap_or_default();
            let blocks = unposted_blocks(&*ledger, context.epoch, first, final_height)?;
            let (kind, (data, count)) = match encode(&situation, prices, &blocks) {
                Ok(encoded) => encoded,
                Err(error) => return Ok(Err(error)),
            };
            let mut own = blocks;
            own.truncate(count);
            let next = match own.last().and_then(|block| block.header.height.next()) {
                Some(next) if next <= final_height => ledger.header(next)?,
                _ => None,
            };
            let root = counted.root_with(&context.leaders, own.iter().map(|block| &block.header))?;
            let is_complete = own.last().is_some_and(|last| {
                situation.is_complete((kind, data.len()), own.len() as u64, &last.header, next.as_ref())
            });
            Ok(Ok(Candidate { kind, data: data.into(), own, root, is_complete }))
        })
        .await??;
        match built {
            Ok(candidate) => {
                self.stuck = false;
                Ok(Some(candidate))
            }
            Err(error) => {
                // The chain spec lets blocks be larger than a batch: nothing can be posted any more.
                if !self.stuck {
                    error!(%error, height = %tip.last_height, "the next final blocks make no batch");
                    self.stuck = true;
                }
                Ok(None)
            }
        }
    }

    /// Asks what the ways to L1 cost now, where that decides. `None` if L1 does not say.
    async fn prices(&self, facts: &ChainFacts) -> Option<Prices> {
        match self.context.config.data {
            _ if facts.spec.batch_blobs_max == 0 => Some(Prices::Fixed(DataKind::Calldata)),
            DataChoice::Blobs => Some(Prices::Fixed(DataKind::Blobs)),
            DataChoice::Calldata => Some(Prices::Fixed(DataKind::Calldata)),
            DataChoice::Auto => {
                let client = &self.context.client;
                let both = async { tokio::try_join!(client.existing_block(At::Latest), client.blob_base_fee()) };
                match self.context.cancel.run_until_cancelled(both).await? {
                    Ok((block, blob_base_fee_wei)) => {
                        Some(Prices::Now(DataPrices { base_fee_wei: block.base_fee_wei, blob_base_fee_wei }))
                    }
                    Err(error) => {
                        debug!(%error, "L1 does not say what it asks for; the batch waits");
                        None
                    }
                }
            }
        }
    }

    /// Commits to the data, which takes long for blobs, and makes the batch. `None` if there is none.
    async fn close(
        &self,
        facts: &Arc<ChainFacts>,
        tip: InboxTip,
        candidate: Candidate,
        view: &InboxView,
    ) -> Result<Option<Held>, BatcherError> {
        let (facts, epoch, head) = (Arc::clone(facts), self.epoch.epoch, view.head);
        let Candidate { kind, data, own, root, .. } = candidate;
        let closed = spawn_blocking(move || {
            let hash = data_hash(kind, &data)?;
            let header = Situation::new(&facts, epoch, &tip, head, None).header((kind, hash), &own, root);
            Ok::<_, KzgError>(header.map(|header| Held::new(header, data)))
        })
        .await?;
        Ok(closed.unwrap_or_else(|error| {
            // The data was cut to what its kind holds.
            error!(%error, height = %tip.last_height, "the next batch's data cannot be committed to");
            None
        }))
    }

    /// Tells the poster what to post, when this node's rank has waited long enough for those before it.
    fn order(&mut self, view: &InboxView, broken: &str) {
        let Some(round) = &self.round else { return };
        let order = match (round.certified(), round.certified_at) {
            (Some(certified), Some(since)) if broken.is_empty() => {
                let wait =
                    self.posting_rank(&certified.header).saturating_mul(self.context.facts.spec.post_backoff_blocks);
                (view.head.get() >= since.get().saturating_add(wait)).then_some(certified)
            }
            _ => None,
        };
        self.orders.send_if_modified(|current| {
            if current.as_deref() == order {
                return false;
            }
            *current = order.map(|order| Arc::new(order.clone()));
            true
        });
    }

    fn posting_rank(&self, header: &BatchHeader) -> u64 {
        let members = self.by.committee.len();
        match self.by.me() {
            Some(_) if self.proposed_by_me.as_ref() == Some(header) => 0,
            Some(me) => rank(&self.by.posters, members, header.index, me),
            None => members as u64,
        }
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
            broken,
        };
        self.status.send_if_modified(|current| {
            let modified = *current != status;
            *current = status;
            modified
        });
    }

    fn grow_size(&mut self, final_height: Height) -> Result<(), BatcherError> {
        let limit = self.context.facts.spec.batch_bytes_max.saturating_mul(64);
        while self.size.up_to < final_height && self.size.bytes < limit && !self.size.ends_epoch {
            let next = self.size.up_to.next().unwrap_or(final_height);
            let header = self.context.ledger.header(next)?.ok_or(BatcherError::MissingBlock(next))?;
            let bytes = u64::from(header.payload_bytes).saturating_add(BLOCK_OVERHEAD_BYTES);
            self.size.bytes = self.size.bytes.saturating_add(bytes);
            self.size.up_to = next;
            self.size.ends_epoch = self.context.facts.epochs().ends_with(&header);
        }
        Ok(())
    }
}

/// What the next batch would be.
struct Candidate {
    kind: DataKind,
    data: alloy_primitives::Bytes,
    /// Its blocks.
    own: Vec<Block>,
    /// Of the duties up to its last block.
    root: B256,
    is_complete: bool,
}

/// What decides on the way to L1.
#[derive(Clone, Copy)]
enum Prices {
    Now(DataPrices),
    /// The operator, or the chain, has decided.
    Fixed(DataKind),
}

/// Returns the way that the next batch takes, its data, and how many of `blocks` it holds.
fn encode(
    situation: &Situation<'_>,
    prices: Prices,
    blocks: &[Block],
) -> Result<(DataKind, (Vec<u8>, usize)), BatchDataError> {
    let encode = |kind| batch_data::encode_prefix(blocks, situation.data_bytes_max(kind));
    let prices = match prices {
        Prices::Fixed(kind) => return Ok((kind, encode(kind)?)),
        Prices::Now(prices) => prices,
    };
    let encoded = encode(DataKind::Blobs)?;
    let calldata_max = situation.data_bytes_max(DataKind::Calldata);
    Ok(match cheaper(prices, encoded.0.len(), calldata_max) {
        DataKind::Calldata if encoded.0.len() <= calldata_max => (DataKind::Calldata, encoded),
        DataKind::Calldata => match encode(DataKind::Calldata) {
            Ok(shorter) => (DataKind::Calldata, shorter),
            // A block that calldata cannot hold travels in blobs, whatever they cost.
            Err(_) => (DataKind::Blobs, encoded),
        },
        DataKind::Blobs => (DataKind::Blobs, encoded),
    })
}

fn refuse(charge: &Charge, epoch: Epoch, from: MemberIndex, error: &ProposalError) {
    if error.is_peer_fault() {
        warn!(%epoch, %from, %error, "proposed batch refused");
        charge(epoch, from, "a batch that no honest member proposes");
    } else {
        debug!(%epoch, %from, %error, "proposed batch passed over");
    }
}
