//! The stage between network and driver: signatures are checked here, on a thread of their own, and nowhere else.
//!
//! A pairing costs about a millisecond, so it must not run on the driver's loop; and the same statements arrive again and
//! again by design (every certificate from every member, every vote re-sent until a view ends), so what was checked once is
//! remembered. Votes that decide nothing yet wait unchecked ([`HeldVotes`]). What comes while a check runs is checked together
//! with what came with it, for a third of the price. Otherwise order per peer is kept, but for proposals whose transactions
//! have to be asked for. When this stage falls behind, the streams it reads from wait.

mod past;

use std::{
    collections::BTreeSet,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use baton_consensus::{HeardOut, Held, HeldVotes, RETENTION_VIEWS, Schedule, Verified, Verifier};
use baton_proto::{
    Block, BlockHeader, BlsPublicKey, BlsSignature, Certificate, Epoch, Epochs, Evidence, MemberIndex, Offence,
    SignedStatement, Statement, StatementKind, View, wire::ConsensusMessage,
};
use lru::LruCache;
use tokio::sync::{mpsc, mpsc::error::SendError};
use tracing::{debug, warn};

use super::{
    certified::Certified, contradiction::is_of_no_use, epoch_end::LaterEpochs, rebuild::Rebuilder,
    testimony::Testimony, window::ViewWindow,
};
use crate::{
    epoch::EpochContext,
    ledger::{Ledger, VoteCheck},
    p2p::{Fault, Network},
    signer::Signer,
    telemetry::metrics::ConsensusMetrics,
};

/// Messages that may wait for the checks: about a second of the busiest committee.
pub const INTAKE_QUEUE_MAX: usize = 1_024;

/// Messages whose signatures are checked together at most: all that a turn of the driver takes.
const CHECKED_TOGETHER_MAX: usize = 64;

/// Checked statements that are remembered: all members' votes of about ten views.
const STATEMENTS_REMEMBERED: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// Members, views and kinds whose statements are remembered: those of 128 members in some hundred views.
const KINDS_REMEMBERED: NonZeroUsize = NonZeroUsize::new(32_768).expect("not zero");

/// Questions that are remembered, so that none is answered too often.
const QUESTIONS_REMEMBERED: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// Votes of ours that are remembered to have been shown: three of each view that a member shows.
const SHOWN_REMEMBERED: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");

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
    /// Our own vote, which our record lacks.
    Ours(Verified<SignedStatement>),
    /// A certificate of the running epoch.
    Certificate(Verified<Certificate>),
    /// Certificates of an epoch that has ended which cannot be true beside each other, or one that cannot beside the final chain.
    Contradiction(Vec<Verified<Certificate>>),
    /// A member asks for the best certificate of a view.
    Wanted {
        /// The view.
        view: View,
        /// Who asks.
        from: MemberIndex,
    },
    /// Two statements of one member that are an offence, both with valid signatures.
    Evidence(Evidence),
    /// The same about an epoch that the book of epochs does not know any more.
    BygoneEvidence {
        /// The statements.
        evidence: Evidence,
        /// The key that signed both.
        against: Box<BlsPublicKey>,
    },
    /// A member is connected: it may have missed what was said before.
    Connected(MemberIndex),
    /// Somebody speaks of a later epoch: this one may be over.
    LaterEpoch,
}

impl Checked {
    /// Returns what somebody said, as it came, with who vouches for it; who that is matters only where a signature does not hold,
    /// and here all do.
    pub(crate) fn into_message(self) -> Option<(MemberIndex, ConsensusMessage)> {
        let anybody = MemberIndex::new(0);
        match self {
            Self::Proposal { notarize, .. } => {
                Some((notarize.signer, ConsensusMessage::Vote { vote: notarize.into_inner(), leader: None }))
            }
            Self::Vote { vote, leader } => {
                let leader = leader.map(|leader| leader.signature);
                Some((vote.signer, ConsensusMessage::Vote { vote: vote.into_inner(), leader }))
            }
            Self::Certificate(certificate) => Some((anybody, ConsensusMessage::Certificate(certificate.into_inner()))),
            Self::Evidence(evidence) => Some((anybody, ConsensusMessage::Evidence(evidence))),
            // Marked already, said again by who is asked, or of no use to anybody later.
            Self::Contradiction(_)
            | Self::Ours(_)
            | Self::Wanted { .. }
            | Self::BygoneEvidence { .. }
            | Self::Connected(_)
            | Self::LaterEpoch => None,
        }
    }
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
    /// How far members say that they are.
    pub heard: Arc<Mutex<HeardOut>>,
    /// What was heard before.
    pub ledger: Arc<dyn Ledger>,
    /// Where votes are kept from now on.
    pub testimony: Arc<Testimony>,
    /// Who sends what must not be sent is charged there.
    pub network: Network,
    /// Makes compact proposals whole.
    pub rebuilder: Rebuilder,
}

/// Checks signatures and remembers what it checked.
pub struct Intake {
    epoch: Epoch,
    context: Arc<EpochContext>,
    epochs: Epochs,
    /// Our seat and record, if we have one.
    own: Option<Arc<Signer>>,
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
    heard: Arc<Mutex<HeardOut>>,
    ledger: Arc<dyn Ledger>,
    testimony: Arc<Testimony>,
    /// Whether what was heard before the start was taken in again.
    has_recalled: bool,
    held: HeldVotes,
    /// Votes that waited for what was checked just now.
    released: Vec<Held>,
    /// Certificates that were checked together with what came with them.
    certificates: Vec<Verified<Certificate>>,
    asked: LruCache<(MemberIndex, View), Instant>,
    /// Votes of ours that others have shown us.
    shown: LruCache<Statement, ()>,
    metrics: Option<ConsensusMetrics>,
}

impl Intake {
    /// Makes the stage for the committee's epoch.
    #[must_use]
    pub fn new(context: IntakeContext) -> Self {
        // Where we only listen, our vote never comes.
        let speaks = context.epoch.signer.as_ref().is_some_and(|signer| !signer.listens_in(context.epoch.epoch));
        let IntakeContext {
            epoch,
            epochs,
            inactive_views,
            window,
            certified,
            heard,
            ledger,
            testimony,
            network,
            rebuilder,
        } = context;
        Self {
            epoch: epoch.epoch,
            epochs,
            own: epoch.signer.clone(),
            later: LaterEpochs::default(),
            window,
            schedule: epoch.leaders.clone(),
            verifier: Arc::clone(&epoch.verifier),
            network,
            rebuilder,
            certified,
            heard,
            ledger,
            testimony,
            has_recalled: false,
            held: HeldVotes::new(Arc::clone(&epoch.committee), epoch.me().filter(|_| speaks), inactive_views),
            statements: LruCache::new(STATEMENTS_REMEMBERED),
            made: LruCache::new(KINDS_REMEMBERED),
            convicted: BTreeSet::new(),
            released: Vec::new(),
            certificates: Vec::new(),
            asked: LruCache::new(QUESTIONS_REMEMBERED),
            shown: LruCache::new(SHOWN_REMEMBERED),
            metrics: None,
            context: epoch,
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

    /// Checks messages until either channel closes, on a thread of its own; returns those that the driver did not hear.
    pub fn run(
        mut self,
        mut messages: mpsc::Receiver<(MemberIndex, ConsensusMessage)>,
        checked: &mpsc::Sender<Checked>,
    ) -> Vec<(MemberIndex, ConsensusMessage)> {
        let (mut came, mut unheard) = (Vec::new(), Vec::new());
        'running: while messages.blocking_recv_many(&mut came, CHECKED_TOGETHER_MAX) > 0 {
            came.iter().for_each(|(from, message)| self.note_word(*from, message));
            let mut all = self.said_before();
            all.append(&mut came);
            while !all.is_empty() {
                let later = all.split_off(all.len().min(CHECKED_TOGETHER_MAX));
                let mut found = self.take_in(std::mem::replace(&mut all, later)).into_iter();
                while let Some(message) = found.next() {
                    if let Err(SendError(message)) = checked.blocking_send(message) {
                        unheard.extend([message].into_iter().chain(found).filter_map(Checked::into_message));
                        unheard.append(&mut all);
                        break 'running;
                    }
                }
            }
        }
        messages.close();
        while let Ok(message) = messages.try_recv() {
            unheard.push(message);
        }
        // The driver writes nothing more.
        if let Err(error) = self.testimony.keep(self.ledger.as_ref()) {
            warn!(%error, "the last votes were not kept");
        }
        unheard
    }

    /// Checks what came meanwhile, together, and returns what is worth handing on, in order.
    fn take_in(&mut self, came: Vec<(MemberIndex, ConsensusMessage)>) -> Vec<Checked> {
        let mut found = Vec::new();
        for (from, message) in &came {
            self.accuse(*from, message, &mut found);
        }
        let sorted: Vec<(MemberIndex, Sorted)> =
            came.into_iter().map(|(from, message)| (from, self.sort(from, message))).collect();
        self.check_ahead(&sorted);
        for (from, sorted) in sorted {
            if let Err(reason) = self.check(from, sorted, &mut found) {
                self.refuse(from, reason);
            }
        }
        self.hand_on_released(&mut found);
        self.certificates.clear();
        found
    }

    /// Notes which view a member says that it has come to: it asks or votes in it, or leads it. A Finalize is mostly of an
    /// earlier one. What comes from our own ledger does not count: nobody says it now.
    fn note_word(&self, from: MemberIndex, message: &ConsensusMessage) {
        let view = match message {
            ConsensusMessage::CertificateRequest { view, .. } => Some(*view),
            ConsensusMessage::Proposal { notarize: said, .. }
            | ConsensusMessage::CompactProposal { notarize: said, .. }
            | ConsensusMessage::Vote { vote: said, .. }
                if said.signer == from && said.statement.kind() != StatementKind::Finalize =>
            {
                said.statement.view()
            }
            _ => None,
        };
        if let Some(view) = view.filter(|_| message.epoch() == self.epoch) {
            self.heard.lock().unwrap_or_else(PoisonError::into_inner).on_word(from, view);
        }
    }

    /// Finds the votes that a vote makes due; says nothing of other messages.
    fn sort(&mut self, from: MemberIndex, message: ConsensusMessage) -> Sorted {
        match message {
            ConsensusMessage::Vote { vote, .. } if self.own.as_ref().is_some_and(|own| own.me() == vote.signer) => {
                Sorted::Ours(vote)
            }
            ConsensusMessage::Vote { vote, .. } if vote.signer != from => {
                Sorted::Refused("a vote that another member signed")
            }
            ConsensusMessage::Vote { vote, leader } if vote.statement.epoch() == self.epoch => {
                self.count_vote(&vote);
                Sorted::Votes(self.vote(vote, leader))
            }
            message => Sorted::Other(message),
        }
    }

    /// Checks all signatures that are new in what came, in one go. Nothing is decided here: if all hold, that is known
    /// when their messages' turn comes, and else each is checked then.
    fn check_ahead(&mut self, sorted: &[(MemberIndex, Sorted)]) {
        let mut statements: Vec<SignedStatement> = Vec::new();
        let mut certificates: Vec<Certificate> = Vec::new();
        for (from, sorted) in sorted {
            match sorted {
                Sorted::Votes(votes) => statements.extend(self.unchecked(votes)),
                Sorted::Other(
                    ConsensusMessage::Proposal { block: Block { header, .. }, notarize }
                    | ConsensusMessage::CompactProposal { header, notarize, .. },
                ) => {
                    let is_of_use = self.is_proposal_of_use(*from, header, notarize).is_ok_and(|is_of_use| is_of_use);
                    if is_of_use && !self.statements.contains(notarize) {
                        statements.push(notarize.clone());
                    }
                }
                Sorted::Other(ConsensusMessage::Certificate(certificate)) => {
                    let is_first = certificates.iter().all(|other| other.statement != certificate.statement);
                    if is_first && self.is_certificate_of_use(certificate) {
                        certificates.push(certificate.clone());
                    }
                }
                Sorted::Other(_) | Sorted::Ours(_) | Sorted::Refused(_) => {}
            }
        }
        keep_two_of_a_kind(&mut statements);
        if statements.len() + certificates.len() < 2 {
            return;
        }
        if let Some((statements, certificates)) = self.verifier.verify_together(statements, certificates) {
            for verified in statements {
                self.remember(verified);
            }
            self.certificates = certificates;
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
    fn check(&mut self, from: MemberIndex, sorted: Sorted, found: &mut Vec<Checked>) -> Result<(), &'static str> {
        let message = match sorted {
            Sorted::Votes(votes) => {
                self.hand_on(votes, found);
                return Ok(());
            }
            Sorted::Ours(vote) => {
                found.extend(self.ours(vote)?.map(Checked::Ours));
                return Ok(());
            }
            Sorted::Refused(reason) => return Err(reason),
            Sorted::Other(message) => message,
        };
        if message.epoch() > self.epoch {
            found.extend(self.later.is_news().then_some(Checked::LaterEpoch));
            return Ok(());
        }
        match message {
            ConsensusMessage::Proposal { block, notarize } => {
                let notarize = self.proposal(from, &block.header, notarize)?;
                found.extend(notarize.map(|notarize| Checked::Proposal { block: Arc::new(block), notarize }));
            }
            ConsensusMessage::CompactProposal { header, notarize, forced, transactions } => {
                if let Some(notarize) = self.proposal(from, &header, notarize)? {
                    if let Some(metrics) = &self.metrics {
                        metrics.compact_proposals_received.inc();
                    }
                    found.push(self.rebuilder.begin(header, notarize, forced, transactions)?);
                }
            }
            ConsensusMessage::Certificate(certificate) => {
                if !self.is_certificate_of_use(&certificate) {
                    return Ok(());
                }
                let verified = match self.certificates.iter().find(|ahead| ***ahead == certificate) {
                    Some(ahead) => ahead.clone(),
                    None => self.verifier.verify_certificate(certificate).map_err(|_| "an invalid certificate")?,
                };
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
                let matters = evidence.epoch() == self.epoch && evidence.concerns(|view| self.window.contains(view));
                if !matters || self.convicted.contains(&evidence.signer()) {
                    return Ok(());
                }
                let holds = match evidence.offence() {
                    // They may be for two committees, and nothing else is ever asked about them here.
                    Offence::ConflictingAttestations => self.verifier.verify_evidence(&evidence).is_ok(),
                    _ => {
                        self.statement(evidence.first().clone()).is_some()
                            && self.statement(evidence.second().clone()).is_some()
                    }
                };
                if !holds {
                    return Err("evidence with an invalid signature");
                }
                self.convicted.insert(evidence.signer());
                found.push(Checked::Evidence(evidence));
            }
            // Votes were sorted out; these are of another epoch.
            ConsensusMessage::Vote { .. } => {}
            ConsensusMessage::BatchProposal { .. } | ConsensusMessage::Attestation(_) => {
                debug!(%from, "a batch message reached consensus");
            }
        }
        Ok(())
    }

    /// Returns a vote of ours that somebody shows us, if it is of use: above the final view, and none that our record has.
    fn ours(&mut self, vote: SignedStatement) -> Result<Option<Verified<SignedStatement>>, &'static str> {
        let view = vote.statement.view().filter(|view| *view > self.window.final_view() && self.window.contains(*view));
        let is_news = !self.shown.contains(&vote.statement) && !self.is_recorded(&vote.statement);
        if vote.statement.epoch() != self.epoch || view.is_none() || !is_news {
            return Ok(None);
        }
        let verified = self.verifier.verify(vote).map_err(|_| "a vote of ours with an invalid signature")?;
        self.shown.put(verified.statement, ());
        Ok(Some(verified))
    }

    fn is_recorded(&self, statement: &Statement) -> bool {
        self.own.as_ref().is_some_and(|own| own.accounts_for(statement).is_ok_and(|is_recorded| is_recorded))
    }

    /// Holds a vote, and returns those that are to be checked now.
    fn vote(&mut self, vote: SignedStatement, leader: Option<BlsSignature>) -> Vec<Held> {
        let Some(view) = vote.statement.view().filter(|view| self.window.contains(*view)) else { return Vec::new() };
        let leads = self.schedule.leader(view);
        let is_notarize = vote.statement.kind() == StatementKind::Notarize;
        let leader = leader.filter(|_| is_notarize).map(|signature| SignedStatement {
            statement: vote.statement,
            signer: leads,
            signature,
        });
        let Some(held) = self.without_one_too_many(Held { vote, leader }) else { return Vec::new() };
        // Said again: what it stands for was handed on, and may have been refused then.
        if self.statements.contains(&held.vote) || self.is_beside_our_record(&held) {
            return vec![held];
        }
        // At or below the final view no certificate moves anything.
        let is_certified = view <= self.window.final_view() || self.certified.contains(&held.vote.statement);
        let vote = held.vote.clone();
        let now = self.held.take_in(held, view, leads, is_certified);
        if now.iter().all(|held| held.vote != vote) {
            self.testimony.note(&vote, VoteCheck::Unchecked);
        }
        now
    }

    /// Checks votes, together where they say the same, and hands on those that hold. A vote whose leader's Notarize does
    /// not hold goes with it.
    fn hand_on(&mut self, votes: Vec<Held>, found: &mut Vec<Checked>) {
        let votes: Vec<Held> = votes.into_iter().filter_map(|held| self.without_one_too_many(held)).collect();
        let known = said_in(&votes).filter_map(|signed| self.statements.get(signed).cloned());
        let mut known: Vec<Verified<SignedStatement>> = known.collect();
        for verified in self.verifier.verify_all(self.unchecked(&votes)).into_iter().flatten() {
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

    /// Returns what of `votes` was not checked yet, each statement once.
    fn unchecked(&self, votes: &[Held]) -> Vec<SignedStatement> {
        let mut unchecked: Vec<SignedStatement> = Vec::new();
        for signed in said_in(votes) {
            if !self.statements.contains(signed) && !unchecked.contains(signed) {
                unchecked.push(signed.clone());
            }
        }
        unchecked
    }

    /// Takes away what need not be checked.
    fn without_one_too_many(&self, Held { vote, leader }: Held) -> Option<Held> {
        let leader = leader.filter(|leader| !self.is_one_too_many(leader));
        (!self.is_one_too_many(&vote)).then_some(Held { vote, leader })
    }

    /// Checks and hands on what waited for what was checked just now, and what waited for that.
    fn hand_on_released(&mut self, found: &mut Vec<Checked>) {
        while !self.released.is_empty() {
            let released = std::mem::take(&mut self.released);
            self.hand_on(released, found);
        }
    }

    /// Returns whether a vote brings a Notarize of ours that our record lacks: somebody must look at that at once.
    fn is_beside_our_record(&self, held: &Held) -> bool {
        let (Some(own), Some(leader)) = (&self.own, &held.leader) else { return false };
        leader.signer == own.me() && !self.is_recorded(&leader.statement)
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
        if !self.is_proposal_of_use(from, header, &notarize)? {
            return Ok(None);
        }
        self.statement(notarize).map(Some).ok_or("a proposal with an invalid signature")
    }

    /// Returns whether a proposal is of any use if its signature holds.
    fn is_proposal_of_use(
        &self,
        from: MemberIndex,
        header: &BlockHeader,
        notarize: &SignedStatement,
    ) -> Result<bool, &'static str> {
        let Statement::Notarize { epoch, view, block: digest } = notarize.statement else {
            return Err("a proposal without a Notarize");
        };
        if notarize.signer != from {
            return Err("a proposal that another member signed");
        }
        if epoch != self.epoch || !self.window.contains(view) {
            return Ok(false);
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
        Ok((is_new || is_again) && !self.is_one_too_many(notarize))
    }

    fn is_certificate_of_use(&self, certificate: &Certificate) -> bool {
        let Some(view) = certificate.statement.view() else { return false };
        if certificate.statement.epoch() != self.epoch || self.certified.covers(certificate) {
            return false;
        }
        // Old ones move nothing, but may be half of a lie: each statement is worth one check, and is held from then on.
        let is_past = view.get() < self.window.final_view().get().saturating_sub(RETENTION_VIEWS);
        !is_past || is_of_no_use(self.ledger.as_ref(), self.epoch, certificate).is_ok_and(|is_of_no_use| !is_of_no_use)
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
            self.testimony.note(&verified, VoteCheck::Checked);
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

/// A message, or the votes that it made due.
#[expect(clippy::large_enum_variant, reason = "a few at a time, and each is moved on at once")]
enum Sorted {
    Votes(Vec<Held>),
    /// What carries our own signature.
    Ours(SignedStatement),
    Refused(&'static str),
    Other(ConsensusMessage),
}

fn said_in(votes: &[Held]) -> impl Iterator<Item = &SignedStatement> {
    votes.iter().flat_map(|held| [Some(&held.vote), held.leader.as_ref()]).flatten()
}

/// Keeps at most two statements of each member, view and kind: they are evidence, and a third would be checked in vain.
fn keep_two_of_a_kind(statements: &mut Vec<SignedStatement>) {
    let mut kept: Vec<SignedStatement> = Vec::with_capacity(statements.len());
    for signed in statements.drain(..) {
        let place = |other: &SignedStatement| (other.signer, other.statement.view(), other.statement.kind());
        if !kept.contains(&signed) && kept.iter().filter(|other| place(other) == place(&signed)).count() < 2 {
            kept.push(signed);
        }
    }
    *statements = kept;
}

#[cfg(test)]
mod tests;
