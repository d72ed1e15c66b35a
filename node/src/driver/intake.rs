//! The stage between network and driver: signatures are checked here, on a thread of their own, and nowhere else.
//!
//! A pairing costs about a millisecond, so it must not run on the driver's loop; and the same statements arrive again and
//! again by design (every certificate from every member, every vote re-sent until a view ends), so what was checked once is
//! remembered. Votes that decide nothing yet wait unchecked ([`HeldVotes`]). Otherwise order per peer is kept, but for
//! proposals whose transactions have to be asked for. When this stage falls behind, the streams it reads from wait.

use std::{
    collections::BTreeSet,
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

use baton_consensus::{Held, HeldVotes, RETENTION_VIEWS, Schedule, Verified, Verifier};
use baton_proto::{
    Block, BlockHeader, BlsSignature, Certificate, Epoch, Epochs, Evidence, MemberIndex, SignedStatement, Statement,
    StatementKind, View, wire::ConsensusMessage,
};
use lru::LruCache;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::{certified::Certified, epoch_end::LaterEpochs, rebuild::Rebuilder, window::ViewWindow};
use crate::{
    epoch::EpochContext,
    p2p::{Fault, Network},
    telemetry::metrics::ConsensusMetrics,
};

/// Messages that may wait for the checks: about a second of the busiest committee.
pub const INTAKE_QUEUE_MAX: usize = 1_024;

/// Checked statements that are remembered: all members' votes of about ten views.
const STATEMENTS_REMEMBERED: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// Members, views and kinds whose statements are remembered: those of 128 members in some hundred views.
const KINDS_REMEMBERED: NonZeroUsize = NonZeroUsize::new(32_768).expect("not zero");

/// Questions that are remembered, so that none is answered too often.
const QUESTIONS_REMEMBERED: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// How long a member must wait before its question about a view is answered again.
const ASK_PAUSE: Duration = Duration::from_millis(200);

/// A consensus message whose signatures hold.
#[derive(Debug)]
pub enum Checked {
    /// A whole block with its leader's Notarize.
    Proposal {
        /// The block; its transactions are the ones its header commits to.
        block: Arc<Block>,
        /// The sender's Notarize of it.
        notarize: Verified<SignedStatement>,
    },
    /// A vote, and the leader's own Notarize of the same block where the vote is one.
    Vote {
        /// The sender's vote.
        vote: Verified<SignedStatement>,
        /// The leader's Notarize.
        leader: Option<Verified<SignedStatement>>,
    },
    /// A certificate of the running epoch.
    Certificate(Verified<Certificate>),
    /// A member asks for the best certificate of a view.
    Wanted {
        /// The view.
        view: View,
        /// Who asks.
        from: MemberIndex,
    },
    /// Two statements of one member that are an offence, both with valid signatures.
    Evidence(Evidence),
    /// A member is connected: it may have missed what was said before.
    Connected(MemberIndex),
    /// Somebody speaks of a later epoch: this one may be over.
    LaterEpoch,
}

/// What the checks work with.
pub struct IntakeContext {
    /// The epoch whose messages are checked.
    pub epoch: Arc<EpochContext>,
    /// Which L1 blocks make up which epoch.
    pub epochs: Epochs,
    /// Views after which the machine takes a member for absent of whom it heard nothing.
    pub inactive_views: u64,
    /// Which views matter.
    pub window: Arc<ViewWindow>,
    /// Which statements have a certificate here.
    pub certified: Arc<Certified>,
    /// Who sends what must not be sent is charged there.
    pub network: Network,
    /// Makes compact proposals whole.
    pub rebuilder: Rebuilder,
}

/// Checks signatures and remembers what it checked.
pub struct Intake {
    epoch: Epoch,
    epochs: Epochs,
    later: LaterEpochs,
    window: Arc<ViewWindow>,
    schedule: Schedule,
    verifier: Arc<Verifier>,
    network: Network,
    rebuilder: Rebuilder,
    statements: LruCache<SignedStatement, Verified<SignedStatement>>,
    /// The first two valid statements of each member, view and kind: they are evidence, and a third says nothing new.
    made: LruCache<(MemberIndex, View, StatementKind), [Option<Statement>; 2]>,
    /// Members that valid evidence was seen against; the driver takes one for each.
    convicted: BTreeSet<MemberIndex>,
    certified: Arc<Certified>,
    held: HeldVotes,
    /// Votes that waited for what was checked just now.
    released: Vec<Held>,
    asked: LruCache<(MemberIndex, View), Instant>,
    metrics: Option<ConsensusMetrics>,
}

impl Intake {
    /// Makes the stage for the committee's epoch.
    #[must_use]
    pub fn new(context: IntakeContext) -> Self {
        // Where we only listen, our vote never comes.
        let speaks = context.epoch.signer.as_ref().is_some_and(|signer| !signer.listens_in(context.epoch.epoch));
        let IntakeContext { epoch, epochs, inactive_views, window, certified, network, rebuilder } = context;
        Self {
            epoch: epoch.epoch,
            epochs,
            later: LaterEpochs::default(),
            window,
            schedule: epoch.leaders.clone(),
            verifier: Arc::clone(&epoch.verifier),
            network,
            rebuilder,
            certified,
            held: HeldVotes::new(Arc::clone(&epoch.committee), epoch.me().filter(|_| speaks), inactive_views),
            statements: LruCache::new(STATEMENTS_REMEMBERED),
            made: LruCache::new(KINDS_REMEMBERED),
            convicted: BTreeSet::new(),
            released: Vec::new(),
            asked: LruCache::new(QUESTIONS_REMEMBERED),
            metrics: None,
        }
    }

    /// Counts votes from now on.
    #[must_use]
    pub fn counting(self, metrics: ConsensusMetrics) -> Self {
        Self { metrics: Some(metrics), ..self }
    }

    fn count_vote(&self, vote: &SignedStatement) {
        let Some(metrics) = &self.metrics else { return };
        metrics.votes_received.inc();
        if vote.statement.view().is_some_and(|view| self.window.is_over(view)) {
            metrics.votes_late.inc();
        }
        if self.statements.contains(vote) {
            metrics.votes_duplicate.inc();
        }
    }

    /// Checks messages until either channel closes; runs on a thread of its own.
    pub fn run(
        mut self,
        mut messages: mpsc::Receiver<(MemberIndex, ConsensusMessage)>,
        checked: &mpsc::Sender<Checked>,
    ) {
        let mut found = Vec::new();
        while let Some((from, message)) = messages.blocking_recv() {
            if let Err(reason) = self.check(from, message, &mut found) {
                self.refuse(from, reason);
            }
            self.hand_on_released(&mut found);
            for message in found.drain(..) {
                if checked.blocking_send(message).is_err() {
                    return;
                }
            }
        }
    }

    fn refuse(&self, from: MemberIndex, reason: &'static str) {
        warn!(%from, reason, "refused a consensus message");
        self.network.charge_member(from, Fault::InvalidMessage);
    }

    /// Appends what is worth handing on to `found`: nothing if the message is harmless but of no use, or waits.
    ///
    /// # Errors
    /// What is wrong with it if it is the sender's fault.
    fn check(
        &mut self,
        from: MemberIndex,
        message: ConsensusMessage,
        found: &mut Vec<Checked>,
    ) -> Result<(), &'static str> {
        if message.epoch() > self.epoch {
            found.extend(self.later.is_news().then_some(Checked::LaterEpoch));
            return Ok(());
        }
        match message {
            ConsensusMessage::Proposal { block, notarize } => {
                let notarize = self.proposal(from, &block.header, notarize)?;
                found.extend(notarize.map(|notarize| Checked::Proposal { block: Arc::new(block), notarize }));
            }
            ConsensusMessage::CompactProposal { header, notarize, transactions } => {
                if let Some(notarize) = self.proposal(from, &header, notarize)? {
                    if let Some(metrics) = &self.metrics {
                        metrics.compact_proposals_received.inc();
                    }
                    found.push(self.rebuilder.begin(header, notarize, transactions)?);
                }
            }
            ConsensusMessage::Vote { vote, leader } => {
                if vote.signer != from {
                    return Err("a vote that another member signed");
                }
                self.count_vote(&vote);
                self.vote(vote, leader, found);
            }
            ConsensusMessage::Certificate(certificate) => {
                let Some(view) = certificate.statement.view() else { return Ok(()) };
                // Old ones are valid, and there is no end of them.
                let is_past = view.get() < self.window.final_view().get().saturating_sub(RETENTION_VIEWS);
                if certificate.statement.epoch() != self.epoch || is_past || self.certified.covers(&certificate) {
                    return Ok(());
                }
                let verified = self.verifier.verify_certificate(certificate).map_err(|_| "an invalid certificate")?;
                self.certified.insert(&verified);
                found.push(Checked::Certificate(verified));
            }
            ConsensusMessage::CertificateRequest { epoch, view } => {
                if epoch == self.epoch && self.window.contains(view) && !self.asked_lately(from, view) {
                    found.push(Checked::Wanted { view, from });
                }
            }
            ConsensusMessage::Evidence(evidence) => {
                // Evidence is small to send and dear to check: one pair for each member is all that L1 punishes.
                let matters = evidence.epoch() == self.epoch && self.window.contains(evidence.view());
                if !matters || self.convicted.contains(&evidence.signer()) {
                    return Ok(());
                }
                let holds = self.statement(evidence.first().clone()).is_some()
                    && self.statement(evidence.second().clone()).is_some();
                if !holds {
                    return Err("evidence with an invalid signature");
                }
                self.convicted.insert(evidence.signer());
                found.push(Checked::Evidence(evidence));
            }
            ConsensusMessage::BatchProposal { .. } | ConsensusMessage::Attestation(_) => {
                debug!(%from, "a batch message reached consensus");
            }
        }
        Ok(())
    }

    /// Holds a vote, or checks it and what waited for it.
    fn vote(&mut self, vote: SignedStatement, leader: Option<BlsSignature>, found: &mut Vec<Checked>) {
        let Some(view) = vote.statement.view().filter(|view| self.window.contains(*view)) else { return };
        if vote.statement.epoch() != self.epoch || self.is_one_too_many(&vote) {
            return;
        }
        let leads = self.schedule.leader(view);
        let is_notarize = vote.statement.kind() == StatementKind::Notarize;
        let leader = leader.filter(|_| is_notarize).map(|signature| SignedStatement {
            statement: vote.statement,
            signer: leads,
            signature,
        });
        let leader = leader.filter(|leader| !self.is_one_too_many(leader));
        if self.statements.contains(&vote) {
            // Said again: what it stands for was handed on, and may have been refused then.
            return self.hand_on(vec![Held { vote, leader }], found);
        }
        let is_certified = self.certified.contains(&vote.statement);
        let now = self.held.take_in(Held { vote, leader }, view, leads, is_certified);
        self.hand_on(now, found);
    }

    /// Checks votes, together where they say the same, and hands on those that hold. A vote whose leader's Notarize does
    /// not hold goes with it.
    fn hand_on(&mut self, votes: Vec<Held>, found: &mut Vec<Checked>) {
        let mut known: Vec<Verified<SignedStatement>> = Vec::new();
        let mut unchecked: Vec<SignedStatement> = Vec::new();
        for signed in votes.iter().flat_map(|held| [Some(&held.vote), held.leader.as_ref()]).flatten() {
            match self.statements.get(signed) {
                Some(verified) => known.push(verified.clone()),
                None if unchecked.contains(signed) => {}
                None => unchecked.push(signed.clone()),
            }
        }
        for verified in self.verifier.verify_all(unchecked).into_iter().flatten() {
            known.push(verified.clone());
            self.remember(verified);
        }
        let holds = |signed: &SignedStatement| known.iter().find(|verified| ***verified == *signed).cloned();
        for Held { vote, leader } in votes {
            let from = vote.signer;
            match (holds(&vote), leader.as_ref().map(holds)) {
                (None, _) => self.refuse(from, "a vote with an invalid signature"),
                (_, Some(None)) => self.refuse(from, "a vote with an invalid leader signature"),
                (Some(vote), leader) => {
                    let leader = leader.flatten();
                    if let Some(view) = vote.statement.view() {
                        self.held.on_handed_on(&vote, leader.as_deref(), self.schedule.leader(view));
                    }
                    found.push(Checked::Vote { vote, leader });
                }
            }
        }
    }

    /// Checks and hands on what waited for what was checked just now, and what waited for that.
    fn hand_on_released(&mut self, found: &mut Vec<Checked>) {
        while !self.released.is_empty() {
            let released = std::mem::take(&mut self.released);
            self.hand_on(released, found);
        }
    }

    /// Returns whether `member` asked for this view a moment ago, and remembers that it asks now.
    fn asked_lately(&mut self, member: MemberIndex, view: View) -> bool {
        let now = Instant::now();
        match self.asked.put((member, view), now) {
            Some(before) => now.duration_since(before) < ASK_PAUSE,
            None => false,
        }
    }

    /// Returns the leader's Notarize of its block, verified, if the block is of any use.
    fn proposal(
        &mut self,
        from: MemberIndex,
        header: &BlockHeader,
        notarize: SignedStatement,
    ) -> Result<Option<Verified<SignedStatement>>, &'static str> {
        let Statement::Notarize { epoch, view, block: digest } = notarize.statement else {
            return Err("a proposal without a Notarize");
        };
        if notarize.signer != from {
            return Err("a proposal that another member signed");
        }
        if epoch != self.epoch || !self.window.contains(view) {
            return Ok(None);
        }
        if self.schedule.leader(view) != from {
            return Err("a proposal from a member that does not lead the view");
        }
        if header.digest() != digest {
            return Err("a proposal whose Notarize names another block");
        }
        let is_new = header.view == view;
        if is_new && header.proposer != from {
            return Err("a proposal of a block that names another proposer");
        }
        // Only a handover block is proposed again, in a later view than its own: the block of the leader of its own view. A
        // leader must not take up the place of another view's block.
        let is_again = header.view < view
            && header.view > View::ZERO
            && self.epochs.ends_with(header)
            && self.schedule.leader(header.view) == header.proposer;
        if !is_new && !is_again {
            return Ok(None);
        }
        if self.is_one_too_many(&notarize) {
            return Ok(None);
        }
        self.statement(notarize).map(Some).ok_or("a proposal with an invalid signature")
    }

    /// Returns whether a statement need not be checked: its signer has made enough others in its place. A member that signs
    /// on and on would otherwise keep the checks from everybody's votes.
    fn is_one_too_many(&self, signed: &SignedStatement) -> bool {
        let Some(view) = signed.statement.view() else { return false };
        let made = self.made.peek(&(signed.signer, view, signed.statement.kind()));
        made.is_some_and(|made| made.iter().all(|made| made.is_some_and(|made| made != signed.statement)))
    }

    fn statement(&mut self, signed: SignedStatement) -> Option<Verified<SignedStatement>> {
        if let Some(known) = self.statements.get(&signed) {
            return Some(known.clone());
        }
        let verified = self.verifier.verify(signed).ok()?;
        self.remember(verified.clone());
        Some(verified)
    }

    fn remember(&mut self, verified: Verified<SignedStatement>) {
        // What lies elsewhere must not push out the votes of views that matter.
        if verified.statement.view().is_some_and(|view| self.window.contains(view)) {
            let is_certified = self.certified.contains(&verified.statement);
            self.released.extend(self.held.on_checked(&verified, is_certified));
        }
        // Only what verifies counts, so that nobody can use up another's place.
        if let Some(view) = verified.statement.view() {
            let kind = (verified.signer, view, verified.statement.kind());
            let made = self.made.get_or_insert_mut(kind, Default::default);
            if !made.contains(&Some(verified.statement))
                && let Some(place) = made.iter_mut().find(|place| place.is_none())
            {
                *place = Some(verified.statement);
            }
        }
        self.statements.put((*verified).clone(), verified);
    }
}

#[cfg(test)]
mod tests;
