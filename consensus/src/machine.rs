//! [`Machine`]: what it remembers, and how an input reaches the rules.

mod answers;
mod broken;
mod counting;
mod delay;
mod handover;
mod healing;
mod rules;
mod signing;

use std::{
    collections::{BTreeMap, BTreeSet},
    marker::PhantomData,
    sync::Arc,
};

use baton_proto::{
    BlockDigest, BlockHeader, Certificate, Epoch, MemberIndex, SignedStatement, SignerSet, Statement, StatementKind,
    View,
};

use crate::{
    Committee, Config, Effect, Input, MinSig, Outgoing, Recovered, Rejected, Schedule, Scheme, Timer, Verdict,
    Verified,
    chain::Chain,
    view::{Own, OwnState, Validation, ViewState},
};

/// Views below the highest finalization whose votes are kept, so that a late second vote still meets the first (R11).
///
/// At 128 members a view's votes take some 90 KiB, so all of them stay near 12 MiB.
pub const RETENTION_VIEWS: u64 = 128;

/// Views ahead of the current one from which votes and proposals are taken (R11).
pub const AHEAD_VIEWS: u64 = 2;

/// Views above the final one whose votes are kept while nothing finalizes. Older ones keep their certificates, which
/// ancestry needs; a Finalize that comes later still follows from any finalization above it.
const UNFINAL_VOTES_VIEWS: u64 = 1_024;

/// Most turns of inactive leaders that are skipped at once before a block must become final. Two thirds of the weight
/// lead most turns, so runs of absent leaders are shorter; if what we believe about them is wrong, the waiting resumes.
const SKIPS_MAX: u32 = 8;

/// One epoch's consensus at one node (protocol section 5; the rules stand in the [crate docs](crate)).
///
/// The same inputs give the same effects everywhere. A machine without a place in the committee (`me` is `None`) follows
/// certificates and says nothing.
#[derive(Debug)]
pub struct Machine<S: Scheme = MinSig> {
    config: Config,
    committee: Arc<Committee>,
    schedule: Schedule,
    me: Option<MemberIndex>,
    epoch: Epoch,
    phase: Phase,
    /// The view we are in; never falls (I6).
    current: View,
    /// What happened in the current view.
    entry: Entry,
    /// Views that something is known about, from [`RETENTION_VIEWS`] below the highest finalization.
    views: BTreeMap<View, ViewState>,
    /// Blocks above the final head.
    chain: Chain,
    /// The highest finalization we hold; its block can lie above the chain's head until its ancestry is here.
    finalization: Option<Verified<Certificate>>,
    /// View of the highest finalization (or of the final head); never falls (I6).
    final_view: View,
    /// The finalization by which the final head became final.
    proof: Option<Verified<Certificate>>,
    /// Certificates that cannot all be true beside our final head: nothing is signed any more.
    broken: Vec<Verified<Certificate>>,
    /// The latest view of any statement of each member.
    heard: Vec<View>,
    /// The first view after the start: before that we cannot know who was silent.
    started: View,
    /// Turns of inactive leaders that may still be skipped before the next finalization.
    skips: u32,
    /// Views entered and retries made since the last finalization; timeouts grow with it.
    stall: u32,
    /// How late it is, as far as we were told.
    now_ms: Option<u64>,
    /// Δ as observed.
    delay: delay::Delay,
    /// What was asked of others in this view since the last retry.
    asked: Asked,
    scheme: PhantomData<fn() -> S>,
}

/// How much a machine remembers; R11 bounds all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Views: those from [`RETENTION_VIEWS`] below the highest finalization, and those that a certificate names.
    pub views: usize,
    /// Votes: at most one of each kind from each member in each of these views.
    pub votes: usize,
    /// Blocks above the final head, by header.
    pub blocks: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting,
    Running,
    /// The handover block is final: nothing is left to sign, but others must learn of it.
    Ended,
    Halted,
}

/// The current view's own story: which moments have passed.
#[derive(Debug, Default)]
struct Entry {
    /// There is work for the leader.
    work: bool,
    /// entry + MIN_BLOCK_MS has passed.
    paced: bool,
    /// entry + IDLE_BLOCK_MS has passed.
    idle: bool,
    /// t_L and t_A are running.
    timing: bool,
    /// t_L has passed.
    leader_late: bool,
    /// t_A has passed.
    advance_late: bool,
    /// The leader is skipped for inactivity.
    skipped: bool,
    /// We lead and cannot build.
    not_built: bool,
    /// We lead and have asked for a block on this parent.
    building: Option<BlockDigest>,
}

#[derive(Debug, Default)]
struct Asked {
    views: BTreeSet<View>,
    blocks: BTreeSet<BlockDigest>,
    behind: Option<View>,
}

impl Machine {
    /// Creates the machine of the committee's epoch at `me`'s node, on top of `root`: the genesis block, or the last
    /// block of the epoch before. It does nothing until [`Input::Started`].
    ///
    /// After a restart `recovered` makes it take up where it was: one past the highest certificate, bound by every
    /// statement in the sign record (R12).
    #[must_use]
    pub fn new(
        config: Config,
        committee: Arc<Committee>,
        schedule: Schedule,
        me: Option<MemberIndex>,
        root: &BlockHeader,
        recovered: Recovered,
    ) -> Self {
        Self::with_scheme(config, committee, schedule, me, root, recovered)
    }
}

impl<S: Scheme> Machine<S> {
    /// Like [`Machine::new`], for any scheme.
    #[must_use]
    pub fn with_scheme(
        config: Config,
        committee: Arc<Committee>,
        schedule: Schedule,
        me: Option<MemberIndex>,
        root: &BlockHeader,
        recovered: Recovered,
    ) -> Self {
        let Recovered { head, statements, certificates, headers } = recovered;
        let mut machine = Self {
            epoch: committee.epoch(),
            heard: vec![View::ZERO; committee.len()],
            config,
            committee,
            schedule,
            me,
            phase: Phase::Waiting,
            current: View::ZERO,
            entry: Entry::default(),
            views: BTreeMap::new(),
            final_view: View::ZERO,
            chain: Chain::new(root, head),
            finalization: None,
            proof: None,
            broken: Vec::new(),
            started: View::ZERO,
            skips: SKIPS_MAX,
            stall: 0,
            now_ms: None,
            delay: delay::Delay::new(config.delta_ms),
            asked: Asked::default(),
            scheme: PhantomData,
        };
        machine.final_view = machine.chain.head_view();
        for header in headers {
            machine.chain.insert(header.digest(), header, true);
        }
        for certificate in certificates {
            machine.restore(certificate);
        }
        machine.proof = machine.stored_proof();
        for statement in statements {
            machine.remember(statement);
        }
        machine
    }

    /// Tells how late it is, in milliseconds on any clock that does not go back. The driver says it before each input, and
    /// the machine measures with it how long votes take; to a machine that is told nothing Δ is what is configured.
    pub const fn set_clock(&mut self, now_ms: u64) {
        self.now_ms = Some(now_ms);
    }

    /// Applies one input and appends what the node must do, in order, to `effects`.
    ///
    /// Time enters only as [`Input::TimerFired`] and by [`Machine::set_clock`].
    ///
    /// # Errors
    /// [`Rejected`] when a rule is broken; the machine is then as it was before the call and `effects` unchanged.
    pub fn handle(&mut self, input: Input, effects: &mut Vec<Effect>) -> Result<(), Rejected> {
        match (self.phase, &input) {
            (Phase::Waiting, Input::Started) => {}
            // Others learn from us that safety is broken, and what they said against each other is still evidence.
            (
                Phase::Halted,
                Input::Vote { .. }
                | Input::Proposal { .. }
                | Input::Certificate(_)
                | Input::Connected(_)
                | Input::CertificateWanted { .. },
            ) => {}
            (Phase::Waiting, _) => return Err(Rejected::NotStarted),
            (Phase::Running | Phase::Ended, Input::Started) => return Err(Rejected::AlreadyStarted),
            (Phase::Running | Phase::Ended, _) => {}
            (Phase::Halted, _) => return Err(Rejected::Halted),
        }
        match input {
            Input::Started => self.on_started(effects),
            Input::Proposal { header, notarize } => self.on_proposal(header, &notarize, effects)?,
            Input::Vote { vote, leader } => self.on_vote(&vote, leader.as_ref(), effects)?,
            Input::Certificate(certificate) => self.on_certificate(certificate, effects)?,
            Input::Validated { block, verdict } => self.on_validated(block, verdict),
            Input::Fetched { header } => self.on_fetched(header, effects),
            Input::Synced { header, certificate } => self.on_synced(header, certificate, effects)?,
            Input::Built { view, header } => self.on_built(view, header, effects)?,
            Input::NotBuilt { view } => self.on_not_built(view),
            Input::Signed(signed) => self.on_signed(signed, effects)?,
            Input::SignRefused(statement) => self.on_sign_refused(&statement)?,
            Input::SafetyBroken(certificates) => self.halt(certificates, effects),
            Input::TimerFired(timer) => self.on_timer(timer, effects),
            Input::WorkArrived => self.on_work(effects),
            Input::Connected(member) => self.on_connected(member, effects),
            Input::CertificateWanted { view, from } => self.serve(view, from, effects),
        }
        self.settle(effects);
        Ok(())
    }

    /// Returns the view the machine is in; zero before the start.
    #[must_use]
    pub const fn view(&self) -> View {
        self.current
    }

    /// Returns the view of the highest finalization known; its block may still have to be fetched.
    #[must_use]
    pub const fn final_view(&self) -> View {
        self.final_view
    }

    /// Returns the final head: what the driver was last told to make final.
    #[must_use]
    pub const fn head(&self) -> &BlockHeader {
        self.chain.head()
    }

    /// Returns Δ as this node observes it: between half of what is configured and eight times as much, in milliseconds.
    #[must_use]
    pub const fn delta_ms(&self) -> u64 {
        self.delay.estimate_ms()
    }

    /// Goes on from the Δ that the machine of an earlier epoch observed, where that was longer than what is configured: a slow
    /// network does not get quicker with the committee. For a machine that has not started.
    pub fn resume_delta(&mut self, observed_ms: u64) {
        self.delay.resume(observed_ms);
    }

    /// Returns whether a finalization is known whose block is not the final head yet.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        // The handover block can be final in a later view than its own, and nothing comes after it.
        self.final_view > self.chain.head_view() && !self.is_handover(self.chain.head())
    }

    /// Returns whether the epoch has ended: its handover block is the final head.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// Returns the weight of the members heard of within the last `inactive_views` views, our own included.
    #[must_use]
    pub fn seen_weight(&self) -> u128 {
        self.committee.weight_of(self.recently_heard()).unwrap_or(0)
    }

    /// Returns how much the machine remembers. Counts the votes of every view, so it is for a look now and then.
    #[must_use]
    pub fn remembered(&self) -> Remembered {
        Remembered {
            views: self.views.len(),
            votes: self.views.values().map(|state| state.votes.len()).sum(),
            blocks: self.chain.len(),
        }
    }

    fn on_proposal(
        &mut self,
        header: BlockHeader,
        notarize: &Verified<SignedStatement>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Rejected> {
        let (built, block) = (header.view, header.digest());
        let Some(view) = notarize.statement.view() else { return Err(Rejected::ProposalMismatch) };
        self.check_epoch(notarize.statement.epoch())?;
        if notarize.statement != (Statement::Notarize { epoch: self.epoch, view, block }) {
            return Err(Rejected::ProposalMismatch);
        }
        if header.epoch != self.epoch || header.l2_chain_id != self.chain.head().l2_chain_id {
            return Err(Rejected::WrongChain);
        }
        // Before anything is taken from it: a leader must not take up the place of another view's block.
        if !self.can_stand(&header, view) {
            return Err(Rejected::WrongView { got: built, view });
        }
        self.check_window(view)?;
        for (view, got) in [(view, notarize.signer), (built, header.proposer)] {
            let expected = self.schedule.leader(view);
            if got != expected {
                return Err(Rejected::NotLeader { view, expected, got });
            }
        }
        // At most one block of each view can become final, so a header further up has no ancestry that anybody could show.
        let (head, head_view) = (self.chain.head().height, self.chain.head_view());
        let room = built.get().saturating_sub(head_view.get());
        if built > head_view && header.height.get().saturating_sub(head.get()) > room {
            return Err(Rejected::HeightTooFar { got: header.height, view: built, head });
        }
        let state = self.state(view);
        let is_late = state.proposal.is_none() && state.has_said(StatementKind::Nullify);
        match (state.proposal, state.second) {
            (None, _) => state.proposal = Some(block),
            (Some(first), _) if first == block => {}
            (Some(_), None) => state.second = Some(block),
            (Some(_), Some(second)) if second == block => {}
            (Some(_), Some(_)) => return Err(Rejected::TooManyProposals(view)),
        }
        if is_late {
            self.delay.on_late();
        }
        if built > self.chain.head_view() {
            self.chain.insert(block, header, false);
        }
        self.count(notarize, effects);
        Ok(())
    }

    fn on_vote(
        &mut self,
        vote: &Verified<SignedStatement>,
        leader: Option<&Verified<SignedStatement>>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Rejected> {
        let Some(view) = vote.statement.view() else { return Err(Rejected::NotAVote(vote.statement.kind())) };
        self.check_epoch(vote.statement.epoch())?;
        self.check_window(view)?;
        if vote.statement.kind() == StatementKind::Notarize && vote.signer != self.schedule.leader(view) {
            let expected = self.schedule.leader(view);
            let fits = |own: &&Verified<SignedStatement>| own.signer == expected && own.statement == vote.statement;
            let missing = Rejected::LeaderVoteMissing { view, signer: vote.signer };
            let own = leader.filter(fits).ok_or(missing)?;
            self.count(own, effects);
        }
        self.count(vote, effects);
        Ok(())
    }

    fn on_certificate(
        &mut self,
        certificate: Verified<Certificate>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Rejected> {
        self.check_epoch(certificate.statement.epoch())?;
        match certificate.statement.view() {
            None => return Err(Rejected::NotAVote(certificate.statement.kind())),
            Some(View::ZERO) => return Err(Rejected::StaleView { got: View::ZERO, oldest: View::new(1) }),
            Some(view) if self.phase == Phase::Halted => self.look_ahead(view),
            Some(_) => self.hold(certificate, effects),
        }
        Ok(())
    }

    fn on_timer(&mut self, timer: Timer, effects: &mut Vec<Effect>) {
        if timer.view() != self.current || (self.phase == Phase::Ended && timer != Timer::Retry(self.current)) {
            return;
        }
        match timer {
            Timer::Pace(_) => self.entry.paced = true,
            Timer::Idle(_) => self.entry.idle = true,
            Timer::Leader(_) => self.entry.leader_late = true,
            Timer::Advance(_) => {
                self.entry.advance_late = true;
                // Not if nothing came at all: nobody waits longer for the dead.
                if self.views.get(&self.current).is_some_and(|state| state.proposal.is_some()) {
                    self.delay.on_late();
                }
            }
            Timer::Retry(_) => return self.retry(effects),
        }
        self.time_leader(effects);
    }

    fn on_work(&mut self, effects: &mut Vec<Effect>) {
        self.entry.work = true;
        self.time_leader(effects);
    }

    /// Refuses what was signed in another epoch: around a handover a node hears both committees, with indices of their own.
    fn check_epoch(&self, got: Epoch) -> Result<(), Rejected> {
        let epoch = self.epoch;
        if got == epoch { Ok(()) } else { Err(Rejected::WrongEpoch { got, epoch }) }
    }

    /// Refuses views outside (final − retention, current + 2] (R11).
    fn check_window(&self, got: View) -> Result<(), Rejected> {
        let below_final = self.final_view.get().saturating_sub(RETENTION_VIEWS);
        let below_current = self.current.get().saturating_sub(UNFINAL_VOTES_VIEWS);
        let oldest = View::new(below_final.max(below_current).saturating_add(1));
        let newest = View::new(self.current.get().saturating_add(AHEAD_VIEWS));
        if got < oldest {
            return Err(Rejected::StaleView { got, oldest });
        }
        if got > newest {
            return Err(Rejected::FutureView { got, newest });
        }
        Ok(())
    }

    /// Forgets what lies too far back.
    fn prune(&mut self) {
        let below_final = View::new(self.final_view.get().saturating_sub(RETENTION_VIEWS).saturating_add(1));
        let below_current = View::new(self.current.get().saturating_sub(UNFINAL_VOTES_VIEWS).saturating_add(1));
        // Once safety is broken nothing becomes final any more, and certificates of old views serve nobody.
        let oldest = if self.phase == Phase::Halted { below_final.max(below_current) } else { below_final };
        self.views = self.views.split_off(&oldest);
        self.chain.forget_before(oldest);
        for (_, state) in self.views.range_mut(..below_current) {
            state.votes.forget_votes();
        }
    }

    fn state(&mut self, view: View) -> &mut ViewState {
        let schedule = &self.schedule;
        self.views.entry(view).or_insert_with(|| ViewState::new(schedule.leader(view)))
    }

    /// The lowest view above the final head's.
    fn above_head(&self) -> View {
        self.chain.head_view().next().unwrap_or(View::new(u64::MAX))
    }

    fn recently_heard(&self) -> SignerSet {
        let oldest = View::new(self.current.get().saturating_sub(self.config.inactive_views));
        let recent = |member: &MemberIndex| {
            Some(*member) == self.me
                || self.heard.get(member.as_usize()).is_some_and(|at| *at > View::ZERO && *at >= oldest)
        };
        self.committee.indices().filter(recent).collect()
    }
}

#[cfg(test)]
mod tests {
    use baton_proto::Height;

    use super::*;
    use crate::testing::{Insecure, World, finalize, notarize, nullify};

    fn started(world: &World, me: u8) -> Machine<Insecure> {
        let (committee, schedule) = (Arc::clone(&world.committee), world.schedule.clone());
        let recovered = Recovered::fresh(world.genesis.clone());
        let me = Some(MemberIndex::new(me));
        let mut machine = Machine::with_scheme(world.config, committee, schedule, me, &world.genesis, recovered);
        machine.handle(Input::Started, &mut Vec::new()).unwrap();
        machine
    }

    fn tell(machine: &mut Machine<Insecure>, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        machine.handle(input, &mut effects).unwrap();
        effects
    }

    #[test]
    fn memory_stays_bounded_while_nothing_is_final_and_after() {
        let world = World::new(&[1, 1, 1, 1]);
        let mut machine = started(&world, 0);
        let last = UNFINAL_VOTES_VIEWS + 500;
        for view in 1..=last {
            for signer in 1..4 {
                let vote = world.sign(MemberIndex::new(signer), nullify(view));
                tell(&mut machine, Input::Vote { vote, leader: None });
            }
        }
        assert_eq!(machine.view(), View::new(last + 1));
        let voted = machine.views.values().filter(|state| !state.votes.signers(&state_nullify(state)).0.is_empty());
        assert_eq!(voted.count() as u64, UNFINAL_VOTES_VIEWS - 1);
        assert!(machine.views.values().filter(|state| state.nullification.is_some()).count() as u64 == last);

        let block = world.block(last + 1, &world.genesis, 0);
        let certificate = world.certify(&[1, 2, 3], finalize(last + 1, block.digest()));
        tell(&mut machine, Input::Certificate(certificate));
        assert!(machine.views.len() as u64 <= RETENTION_VIEWS + 1);
    }

    fn state_nullify(state: &ViewState) -> Statement {
        state.nullification.as_ref().map_or(nullify(0), |held| held.statement)
    }

    #[test]
    fn junk_ahead_of_every_view_is_not_remembered() {
        let world = World::new(&[1, 1, 1, 1]);
        let mut machine = started(&world, 1);
        // The leader names a parent that only it can serve, and whose view never comes.
        let junk = BlockHeader { view: View::new(u64::MAX), ..world.block(1, &world.genesis, 7) };
        let header =
            BlockHeader { parent: junk.digest(), height: junk.height.next().unwrap(), ..world.block(2, &junk, 0) };
        tell(&mut machine, Input::Certificate(world.certify(&[0, 2, 3], nullify(1))));
        let notarize = world.sign(world.leader(2), notarize(2, header.digest()));
        let effects = tell(&mut machine, Input::Proposal { header, notarize });
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Fetch { .. })));
        tell(&mut machine, Input::Fetched { header: junk.clone() });
        assert!(machine.chain.header(junk.digest()).is_none());
    }

    #[test]
    fn a_height_that_the_views_have_no_room_for_is_refused() {
        let world = World::new(&[1, 1, 1, 1]);
        let mut machine = started(&world, 1);
        let header = BlockHeader { height: Height::new(2), ..world.block(1, &world.genesis, 0) };
        let notarize = world.sign(world.leader(1), notarize(1, header.digest()));
        let refused = machine.handle(Input::Proposal { header, notarize }, &mut Vec::new());
        let (got, view, head) = (Height::new(2), View::new(1), Height::ZERO);
        assert_eq!(refused, Err(Rejected::HeightTooFar { got, view, head }));
    }

    #[test]
    fn what_another_epoch_signed_is_refused() {
        let world = World::new(&[1, 1, 1, 1]);
        let mut machine = started(&world, 1);
        let (got, epoch) = (Epoch::new(3), world.committee.epoch());
        let statement = Statement::Nullify { epoch: got, view: View::new(1) };
        let ours = world.certify(&[0, 2, 3], nullify(1)).into_inner();
        let certificate = Verified::new(Certificate { statement, ..ours });
        let refused = machine.handle(Input::Certificate(certificate.clone()), &mut Vec::new());
        assert_eq!(refused, Err(Rejected::WrongEpoch { got, epoch }));
        let vote = world.sign(MemberIndex::new(0), nullify(1)).into_inner();
        let vote = Verified::new(SignedStatement { statement, ..vote });
        let refused = machine.handle(Input::Vote { vote, leader: None }, &mut Vec::new());
        assert_eq!(refused, Err(Rejected::WrongEpoch { got, epoch }));

        let block = world.block(1, &world.genesis, 0);
        let statement = Statement::Notarize { epoch: got, view: View::new(1), block: block.digest() };
        let lead = world.sign(world.leader(1), notarize(1, block.digest())).into_inner();
        let proposal = Input::Proposal {
            header: BlockHeader { epoch: got, ..block.clone() },
            notarize: Verified::new(SignedStatement { statement, ..lead }),
        };
        let late = machine.handle(proposal, &mut Vec::new()).unwrap_err();
        assert_eq!((late.is_peer_fault(), late), (false, Rejected::WrongEpoch { got, epoch }));
        let proof = world.certify(&[0, 2, 3], finalize(1, block.digest())).into_inner();
        let statement = Statement::Finalize { epoch: got, view: View::new(1), block: block.digest() };
        let proof = Verified::new(Certificate { statement, ..proof });
        let synced = Input::Synced { header: block, certificate: proof.clone() };
        assert_eq!(machine.handle(synced, &mut Vec::new()), Err(Rejected::NotAFinalization));

        // Nor does it count after a restart: the highest finalization in the ledger can be that of the epoch before.
        let recovered = Recovered { certificates: vec![certificate, proof], ..Recovered::fresh(world.genesis.clone()) };
        let (committee, schedule) = (Arc::clone(&world.committee), world.schedule.clone());
        let mut machine =
            Machine::<Insecure>::with_scheme(world.config, committee, schedule, None, &world.genesis, recovered);
        tell(&mut machine, Input::Started);
        assert_eq!((machine.view(), machine.final_view()), (View::new(1), View::ZERO));
    }

    /// The sign record outlives a chain folder that was restored from an older copy, and with it the notarization that our
    /// Finalize was for. Nullify beside that Finalize would be punished (S3), however late the view gets.
    #[test]
    fn a_recorded_finalize_forbids_nullify_when_its_notarization_is_lost() {
        let world = World::new(&[1, 1, 1, 1]);
        let (committee, schedule) = (Arc::clone(&world.committee), world.schedule.clone());
        let block = world.block(1, &world.genesis, 0).digest();
        let statements = vec![finalize(1, block)];
        let recovered = Recovered { statements, ..Recovered::fresh(world.genesis.clone()) };
        let me = Some(MemberIndex::new(1));
        let mut machine: Machine<Insecure> =
            Machine::with_scheme(world.config, committee, schedule, me, &world.genesis, recovered);
        tell(&mut machine, Input::Started);
        assert_eq!(machine.view(), View::new(1));
        for timer in [Timer::Idle(View::new(1)), Timer::Leader(View::new(1)), Timer::Advance(View::new(1))] {
            let effects = tell(&mut machine, Input::TimerFired(timer));
            assert!(!effects.contains(&Effect::Sign(nullify(1))), "{effects:?}");
        }
    }

    #[test]
    fn skips_are_few_between_two_finalizations() {
        // Only member 0's turns are skipped; it weighs so much that it leads often, and so little that a quorum remains.
        let world = World::new(&[32, 28, 22, 18]);
        let mut machine = started(&world, 1);
        let mut skipped = 0;
        for view in 1..200 {
            let certificate = world.certify(&[1, 2, 3], nullify(view));
            let effects = tell(&mut machine, Input::Certificate(certificate));
            skipped += u32::from(effects.contains(&Effect::Sign(nullify(view + 1))));
        }
        assert_eq!(skipped, SKIPS_MAX);
    }

    #[test]
    fn the_weight_that_was_seen_is_ours_and_that_of_whoever_spoke() {
        let world = World::new(&[4, 3, 2, 1]);
        let mut machine = started(&world, 1);
        assert_eq!(machine.seen_weight(), 3);
        tell(&mut machine, Input::Vote { vote: world.sign(MemberIndex::new(0), nullify(1)), leader: None });
        assert_eq!(machine.seen_weight(), 7);
        tell(&mut machine, Input::Certificate(world.certify(&[0, 1, 2], nullify(1))));
        assert_eq!(machine.seen_weight(), 9);
    }
}
