//! The one task that owns the consensus machine: an input at a time, its effects in order, nothing else in between.
//!
//! ```text
//!  streams ─▶ intake (signatures) ─┤
//!  gossip ──▶ announced ───────────┤
//!  proposals by hash ─▶ rebuild ───┤                       ┌─▶ signer (record, then sign) ─▶ back as input
//!  timers ─────────────────────────┤   ┌─────────┐ effects ├─▶ ledger (synced)
//!  pool, L1 ───────────────────────┼──▶│ machine │────────▶├─▶ network
//!  catch-up, fetched blocks ───────┘   └─────────┘         └─▶ heads: "this height is final"
//! ```
//! Durable before visible: effects run in the order the machine gave them, and what they want said waits until the disk has
//! all that the turn wrote (see `turn.rs`); a failed write ends the process before anything else is sent. What the network
//! has seen is on this disk.

mod accounts;
mod announce;
mod announced;
mod blocks;
mod broken;
mod catching_up;
mod certified;
mod commit;
mod contradiction;
mod effects;
mod epoch_end;
mod fetch;
mod hearing;
mod intake;
mod key_watch;
mod notarized;
mod own_turns;
mod rebuild;
mod testimony;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod timers;
mod turn;
mod waiting;
mod window;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use baton_consensus::{HeardOut, Input, Machine};
use baton_execution::Executor;
use baton_mempool::Pool;
use baton_proto::{
    Block, BlockDigest, BlockHeader, BlsPublicKey, Epoch, Evidence, Height, L1Origin, MemberIndex, TimestampMs, View,
    wire::{Announcement, ConsensusMessage},
};
use tokio::{
    runtime::Handle,
    sync::{Notify, mpsc, watch},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub(crate) use self::{accounts::FinalAccounts, announced::rejected};
pub use self::{
    announced::{ANNOUNCED_QUEUE_MAX, GossipChecks, Heard},
    broken::{HALTED_KEY, marked},
    certified::Certified,
    contradiction::{LateError, contradicted, late_certificate},
    intake::{Checked, INTAKE_QUEUE_MAX, Intake, IntakeContext},
    notarized::{Notarized, NotarizedBlocks},
    own_turns::MissedLines,
    rebuild::Rebuilder,
    testimony::{Testimony, accused, keep_late_word},
    window::ViewWindow,
};
use self::{
    blocks::Blocks,
    catching_up::CatchingUp,
    effects::Offered,
    epoch_end::{Found, Life},
    hearing::{Hearing, Look},
    key_watch::KeyWatch,
    own_turns::OwnTurns,
    timers::Timers,
    turn::{Said, Turn},
    waiting::Waiting,
};
use crate::{
    epoch::{EpochBook, EpochContext},
    l1::{ChainFacts, L1View, Origins, forced_is_due},
    ledger::{EvidenceOnL1, EvidenceRecord, Ledger, LedgerError},
    p2p::{Network, Outbound},
    signer::{self, OwnKey, SignError, SignRecordError, Signer},
    telemetry::metrics::ConsensusMetrics,
};

/// Checked messages that may wait for the driver.
pub const CHECKED_QUEUE_MAX: usize = 256;

/// Checked messages of one turn: what they make us say waits for the last of them.
const TURN_INPUTS_MAX: usize = 16;

/// Fetched blocks that may wait for the driver.
const FETCHED_QUEUE_MAX: usize = 64;

/// Pause between two looks at whether a record that listens may start to.
const LOOK_AT_RECORD_EVERY: Duration = Duration::from_millis(300);

/// How often proposals that wait for a clock or for L1 are judged again.
const JUDGE_AGAIN_EVERY: Duration = Duration::from_millis(50);

/// Why the driver stopped on its own. The process ends with it.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum DriverError {
    #[error("the ledger failed, so nothing more may be sent: {0}")]
    Ledger(#[from] LedgerError),
    #[error("the sign record failed, so nothing more may be signed: {0}")]
    Signer(SignError),
    #[error(
        "evidence against this node's own key was seen at view {view}: another process signs with it; find and stop that process, and start neither before it is gone"
    )]
    OwnKeyEquivocates { view: View },
    #[error(
        "evidence against this node's own key was seen at view {view}: another process signs with it; this could not be written down ({why}), so never start this node with that key again; find and stop the other process"
    )]
    OwnKeyNotGivenUp { view: View, why: String },
    #[error("the sign record failed: {0}")]
    SignRecord(#[from] SignRecordError),
    #[error(
        "this key signed in view {view}, but the sign record does not hold it: the record is older than what was signed, or another process signs with this key; stop that process, and restore the newest record, or import its export (baton keys import-record), or start once with --listen-for-sign-record"
    )]
    StaleSignRecord { view: View },
    #[error("epoch {epoch} cannot start: {why}")]
    NextEpoch { epoch: Epoch, why: String },
    #[error(
        "this key signed in view {view} while this node only listened: another process signs with it; stop that one, export its sign record (baton keys export-record), import it here, and start again"
    )]
    AnotherSpeaker { view: View },
    #[error("execution failed: {0}")]
    Execution(#[from] baton_execution::ExecuteError),
    #[error("block {digest} at height {height} is final, but its body is gone")]
    BodyLost { height: Height, digest: BlockDigest },
    #[error("a stage of the node ended: {0}")]
    StageEnded(&'static str),
}

impl DriverError {
    /// Returns whether the node stopped so as not to sign against itself (exit code 3).
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        match self {
            Self::OwnKeyEquivocates { .. }
            | Self::OwnKeyNotGivenUp { .. }
            | Self::StaleSignRecord { .. }
            | Self::AnotherSpeaker { .. }
            | Self::Ledger(LedgerError::SafetyBroken { .. }) => true,
            Self::Ledger(_)
            | Self::Signer(_)
            | Self::SignRecord(_)
            | Self::NextEpoch { .. }
            | Self::Execution(_)
            | Self::BodyLost { .. }
            | Self::StageEnded(_) => false,
        }
    }
}

/// What the driver works with.
pub struct DriverContext {
    /// The chain as L1 describes it.
    pub facts: Arc<ChainFacts>,
    /// The epoch that the machine runs.
    pub epoch: Arc<EpochContext>,
    /// Those before it, for what was signed in them.
    pub book: EpochBook,
    /// The keys that this node has, with a seat or without.
    pub keys: Vec<Arc<OwnKey>>,
    /// Blocks, certificates and state.
    pub ledger: Arc<dyn Ledger>,
    /// Executes final blocks.
    pub executor: Arc<dyn Executor>,
    /// Transactions that wait.
    pub pool: Arc<Mutex<Pool>>,
    /// Told whenever the pool gained an executable transaction.
    pub work: Arc<Notify>,
    /// Where messages go.
    pub outbound: Arc<dyn Outbound>,
    /// Where blocks are asked for, and where final ones are announced.
    pub network: Network,
    /// Makes compact proposals whole.
    pub rebuilder: Rebuilder,
    /// What this node sees of L1.
    pub l1: watch::Receiver<L1View>,
    /// Which L1 blocks this node has seen final.
    pub origins: Origins,
    /// Told when the ledger got new evidence: the reporter takes it to L1 in its own time.
    pub evidence_found: Arc<Notify>,
    /// Tells the checks which views matter.
    pub window: Arc<ViewWindow>,
    /// Tells the checks which statements have their certificate.
    pub certified: Arc<Certified>,
    /// How far members say that they are.
    pub heard: Arc<Mutex<HeardOut>>,
    /// What others signed, to be written down.
    pub testimony: Arc<Testimony>,
    /// Cancelled when safety is seen broken: nothing is attested or posted from then on.
    pub halt: CancellationToken,
    /// Blocks that a quorum voted for, each announced before its height is announced as final.
    pub notarized: Arc<NotarizedBlocks>,
    /// Announces final heights.
    pub heads: watch::Sender<Height>,
    /// Announces what the node is doing.
    pub progress: watch::Sender<DriverStatus>,
    /// Counts what only the driver sees.
    pub metrics: ConsensusMetrics,
    /// Bounds what the log says of missed turns.
    pub missed_lines: MissedLines,
    /// Whether to hear a quorum out first: after a start, when an old copy of the folders may have been restored.
    pub listens_first: bool,
}

/// What the driver tells about itself.
#[derive(Clone, Debug, Default)]
pub struct DriverStatus {
    /// Current view.
    pub view: View,
    /// Who leads it.
    pub leader: Option<MemberIndex>,
    /// Final height.
    pub final_height: Height,
    /// Highest notarized height seen.
    pub notarized_height: Height,
    /// Milliseconds from the last final block's timestamp until it was final here.
    pub time_to_final_ms: Option<u64>,
    /// The height to which final blocks are being fetched from peers, while they are.
    pub syncing: Option<Height>,
    /// The epoch in which this node signs nothing, because its sign record may lack statements.
    pub listening: Option<Epoch>,
    /// Why this node signs nothing any more, if safety was seen broken.
    pub halted: Option<String>,
}

/// A block that was asked for, and what became of it.
type Fetched = (BlockDigest, Option<Block>);

/// Why the driver's work is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DriverEnd {
    /// It was told to stop.
    Stopped,
    /// The epoch is over: its last block is final, and durable here.
    Epoch {
        /// The epoch's last block.
        last: Box<BlockHeader>,
        /// The epoch that starts from it.
        next: Epoch,
        /// Whether no quorum was heard out since the start: the next epoch's has to be.
        unheard: bool,
        /// Δ as it was observed, from which the next epoch goes on.
        delta_ms: u64,
    },
}

/// The driver; see the module's text.
pub struct Driver {
    context: DriverContext,
    machine: Machine,
    turn: Turn,
    blocks: Blocks,
    timers: Timers,
    waiting: Waiting,
    own_turns: OwnTurns,
    fetching: BTreeSet<BlockDigest>,
    fetched: (mpsc::Sender<Fetched>, mpsc::Receiver<Fetched>),
    catching_up: Option<CatchingUp>,
    /// The question how this epoch ended, while it is being asked.
    asking_for_end: Option<JoinHandle<Found>>,
    /// How this epoch ended, once it has.
    ended: Option<DriverEnd>,
    life: Life,
    key_watch: KeyWatch,
    /// After a start, until a quorum was heard out: nothing is signed.
    hearing: Option<Hearing>,
    /// Whether no quorum was heard out since the start, by this node in this epoch or an earlier one.
    unheard: bool,
    /// Members that evidence was found against: one pair is all that L1 punishes.
    reported: BTreeSet<(Epoch, MemberIndex)>,
    /// Final view from which the sign record is made smaller again.
    forget_at: u64,
    status: DriverStatus,
    /// From when on the machine's clock counts.
    born: Instant,
}

impl Driver {
    /// Prepares the driver around a machine that was made from what ledger and sign record hold.
    ///
    /// # Errors
    /// [`LedgerError`] when the last final blocks cannot be read.
    pub fn new(context: DriverContext, machine: Machine) -> Result<Self, LedgerError> {
        let blocks = Blocks::new(Arc::clone(&context.ledger))?;
        let key_watch = KeyWatch::new(context.epoch.signer.clone(), context.epoch.epoch, context.listens_first);
        if key_watch.is_arriving() && !context.epoch.committee.is_quorum(context.epoch.others().collect()) {
            warn!(
                "the other members are no quorum without this key: nothing becomes final while it listens, and it listens until something does; if nobody else signs with it, start once with --accept-missing-sign-record"
            );
        }
        let status = DriverStatus { final_height: context.ledger.head()?.height, ..DriverStatus::default() };
        if let Some(head) = context.ledger.header(status.final_height)? {
            context.metrics.go_on_from(&head);
        }
        Ok(Self {
            key_watch,
            unheard: context.listens_first,
            hearing: (context.listens_first && context.epoch.signer.is_some()).then(|| Hearing::new(Instant::now())),
            turn: Turn::new(
                Arc::clone(&context.ledger),
                context.epoch.signer.clone(),
                context.epoch.me(),
                Handle::current(),
            ),
            machine,
            blocks,
            timers: Timers::default(),
            waiting: Waiting::default(),
            own_turns: OwnTurns::new(context.missed_lines.clone()),
            fetching: BTreeSet::new(),
            fetched: mpsc::channel(FETCHED_QUEUE_MAX),
            catching_up: None,
            asking_for_end: None,
            ended: None,
            life: Life::default(),
            reported: context.ledger.evidence()?.iter().map(|record| place_of(&record.evidence)).collect(),
            forget_at: 0,
            status,
            born: Instant::now(),
            context,
        })
    }

    /// Runs until the epoch is over, `stop`, or going on would not be safe. The turn that is running is always finished.
    ///
    /// # Errors
    /// [`DriverError`] says why the node must end.
    pub async fn run(
        mut self,
        mut checked: mpsc::Receiver<Checked>,
        stop: CancellationToken,
    ) -> Result<DriverEnd, DriverError> {
        self.input(Input::Started).await?;
        // What was found while no driver listened.
        if marked(self.context.ledger.as_ref())?.is_some() {
            let kept = broken::kept(self.context.ledger.as_ref(), &self.context.book)?;
            self.input(Input::SafetyBroken(kept)).await?;
        } else if self.is_a_third_lying() {
            self.input(Input::SafetyBroken(Vec::new())).await?;
        }
        self.end_turn()?;
        // After a restart the checks must know at once which views matter now.
        self.publish();
        let mut judge_again = tokio::time::interval(JUDGE_AGAIN_EVERY);
        let mut look = tokio::time::interval(LOOK_AT_RECORD_EVERY);
        // Two looks tell something only with time between them.
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut hear = tokio::time::interval(hearing::LOOK_EVERY);
        let mut seek_end = tokio::time::interval(epoch_end::SEEK_EVERY);
        seek_end.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let work = Arc::clone(&self.context.work);
        let mut l1 = self.context.l1.clone();
        loop {
            if let Some(ended) = self.ended.take() {
                self.take_last_evidence(&mut checked)?;
                return Ok(ended);
            }
            let deadline = self.timers.next_deadline();
            let catching_up = async {
                match self.catching_up.as_mut() {
                    Some(running) => running.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => {
                    self.take_last_evidence(&mut checked)?;
                    self.keep_testimony()?;
                    info!("consensus stopped");
                    return Ok(DriverEnd::Stopped);
                }
                () = sleep_until(deadline) => {
                    for timer in self.timers.take_due() {
                        self.input(Input::TimerFired(timer)).await?;
                    }
                }
                message = checked.recv() => {
                    let message = message.ok_or(DriverError::StageEnded("message checks"))?;
                    self.on_checked(message).await?;
                }
                Some((digest, block)) = self.fetched.1.recv() => self.on_fetched(digest, block).await?,
                range = catching_up => self.on_range(range).await?,
                found = answer_to(&mut self.asking_for_end) => self.on_end_found(found).await?,
                () = work.notified() => self.input(Input::WorkArrived).await?,
                // When the watcher has ended, the node is ending.
                Ok(()) = l1.changed() => if self.is_l1_work_due() { self.input(Input::WorkArrived).await? },
                _ = look.tick(), if self.key_watch.is_arriving() => {
                    let is_settled = self.has_caught_up() && self.life.is_sure(self.asking_for_end.is_some())
                        && self.is_quorum_connected() && self.catching_up.is_none() && checked.is_empty();
                    tokio::task::block_in_place(|| self.key_watch.look(is_settled, self.machine.view()))?;
                }
                _ = hear.tick(), if self.hearing.is_some() => self.hear(checked.is_empty()).await?,
                _ = seek_end.tick() => if self.life.must_ask(self.is_epoch_due(), self.status.final_height) {
                    self.ask_for_end();
                },
                _ = judge_again.tick(), if !self.waiting.is_empty() => self.judge_waiting().await?,
            }
            // What waits already shares this turn's syncs.
            for _ in 1..TURN_INPUTS_MAX {
                if self.ended.is_some() {
                    break;
                }
                let Ok(message) = checked.try_recv() else { break };
                self.on_checked(message).await?;
            }
            self.end_turn()?;
            self.publish();
        }
    }

    /// Takes up the evidence that still waits when no more turns follow: who brought it takes it for delivered. If safety is seen
    /// broken the marks are left for who runs next.
    fn take_last_evidence(&mut self, checked: &mut mpsc::Receiver<Checked>) -> Result<(), DriverError> {
        checked.close();
        while let Ok(message) = checked.try_recv() {
            match message {
                Checked::Evidence(evidence) => self.report(evidence)?,
                Checked::BygoneEvidence { evidence, against } => self.report_against(Some(*against), evidence)?,
                Checked::Certificate(certificate) => {
                    if self.contradictions(&certificate)?.is_empty() {
                        self.turn.store_certificate(&certificate)?;
                    }
                    None
                }
                _ => None,
            };
        }
        self.end_turn()
    }

    /// Looks at whether a quorum was heard out, and signs what waited for that. `is_taken` says that nothing waits
    /// which it said.
    async fn hear(&mut self, is_taken: bool) -> Result<(), DriverError> {
        let is_connected = self.is_quorum_connected();
        let is_elsewhere = self.life.may_be_over() || self.asking_for_end.is_some();
        let has_arrived = self.has_caught_up() && self.catching_up.is_none() && !self.machine.is_behind();
        let Some(hearing) = &mut self.hearing else { return Ok(()) };
        match hearing.look(is_connected, has_arrived, is_taken && !is_elsewhere, Instant::now()) {
            Look::NotYet => {}
            Look::Ask => {
                let (epoch, view) = (self.context.epoch.epoch, self.machine.view());
                self.turn.say(Said::Broadcast(ConsensusMessage::CertificateRequest { epoch, view }));
                self.end_turn()?;
            }
            Look::Nobody => warn!("no quorum is connected: this node signs nothing until one is"),
            Look::Out => {
                self.unheard = false;
                self.key_watch.on_heard_out();
                let waiting = self.hearing.take().map(|hearing| hearing.into_waiting(self.machine.view()));
                for statement in waiting.unwrap_or_default() {
                    if self.ended.is_some() || self.status.halted.is_some() {
                        break;
                    }
                    if let Some(answer) = self.sign(statement)? {
                        self.input(answer).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a quorum was heard, and this node has come as far as it had.
    fn has_caught_up(&self) -> bool {
        let mut heard = self.context.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.has_caught_up(self.machine.view(), u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn is_quorum_connected(&self) -> bool {
        let seen = self.context.network.connected_members().into_iter().chain(self.context.epoch.me()).collect();
        self.context.epoch.committee.is_quorum(seen)
    }

    async fn on_checked(&mut self, message: Checked) -> Result<(), DriverError> {
        match message {
            Checked::Proposal { block, notarize } => {
                self.key_watch.on_statement(&notarize, self.machine.final_view())?;
                self.context.metrics.proposals_received.inc();
                let (header, digest) = (block.header.clone(), block.header.digest());
                let was_known = self.blocks.contains(&digest);
                self.blocks.insert(block);
                if self.offer(Input::Proposal { header, notarize }).await? == Offered::Refused && !was_known {
                    self.blocks.remove(&digest);
                }
                Ok(())
            }
            Checked::Vote { vote, leader } => {
                for signed in [Some(&vote), leader.as_ref()].into_iter().flatten() {
                    self.key_watch.on_statement(signed, self.machine.final_view())?;
                }
                self.input(Input::Vote { vote, leader }).await
            }
            Checked::Certificate(certificate) => {
                self.key_watch.on_certificate(&certificate, self.machine.final_view())?;
                let broken = self.contradictions(&certificate)?;
                if !broken.is_empty() {
                    return self.input(Input::SafetyBroken(broken)).await;
                }
                // The machine keeps what is of use to it. One of a view that is over may be half of a lie that is told later.
                if certificate.statement.view().is_some_and(|view| view <= self.machine.final_view()) {
                    self.turn.store_certificate(&certificate)?;
                }
                self.input(Input::Certificate(certificate)).await
            }
            Checked::Contradiction(broken) if self.status.halted.is_none() => {
                self.input(Input::SafetyBroken(broken)).await
            }
            Checked::Contradiction(_) => Ok(()),
            Checked::Wanted { view, from } => {
                self.show_own_words(from)?;
                self.input(Input::CertificateWanted { view, from }).await
            }
            Checked::Evidence(evidence) => match self.report(evidence)? {
                Some(answer) => self.input(answer).await,
                None => Ok(()),
            },
            Checked::BygoneEvidence { evidence, against } => match self.report_against(Some(*against), evidence)? {
                Some(answer) => self.input(answer).await,
                None => Ok(()),
            },
            Checked::Ours(signed) => self.key_watch.on_statement(&signed, self.machine.final_view()),
            Checked::Connected(member) => {
                self.show_own_words(member)?;
                self.input(Input::Connected(member)).await
            }
            Checked::LaterEpoch => {
                self.life.on_later_epoch();
                self.ask_for_end();
                Ok(())
            }
        }
    }

    /// Shows a member that connects or asks what it said itself: its record may lack it, and its next words must not contradict
    /// it.
    fn show_own_words(&self, member: MemberIndex) -> Result<(), DriverError> {
        let (ledger, place) = (self.context.ledger.as_ref(), (self.context.epoch.epoch, member));
        let (final_view, current) = (self.machine.final_view(), self.machine.view());
        for vote in tokio::task::block_in_place(|| testimony::said_by(ledger, place, final_view, current))? {
            self.context.outbound.send(member, ConsensusMessage::Vote { vote, leader: None });
        }
        Ok(())
    }

    /// Asks how this epoch ended, unless that is being asked already.
    fn ask_for_end(&mut self) {
        if self.asking_for_end.is_some() {
            return;
        }
        let (network, verifier) = (self.context.network.clone(), Arc::clone(&self.context.epoch.verifier));
        let (epochs, turn, head) = (self.context.facts.epochs(), self.life.next_question(), self.status.final_height);
        self.asking_for_end =
            Some(tokio::spawn(async move { epoch_end::find(&network, turn, head, &verifier, epochs).await }));
    }

    async fn on_end_found(&mut self, found: Found) -> Result<(), DriverError> {
        let end = match found {
            Found::End(end) => end,
            Found::Denied => {
                self.life.on_denied();
                return Ok(());
            }
            Found::Silence => {
                self.life.on_silence();
                return Ok(());
            }
        };
        info!(epoch = %self.context.epoch.epoch, "the others have gone on to a later epoch; following");
        self.key_watch.on_certificate(&end, self.machine.final_view())?;
        self.input(Input::Certificate(end)).await
    }

    /// Whether what L1 holds is work for a leader: an epoch that is to end, or a forced entry that the final chain lacks.
    fn is_l1_work_due(&self) -> bool {
        let settled = self.context.l1.borrow().settled_origin;
        let is_due = |origin: L1Origin| {
            // What cannot be read is not work; the next read that matters ends the node.
            forced_is_due(self.context.ledger.as_ref(), self.blocks.forced_position(), origin.number).unwrap_or(false)
        };
        self.is_epoch_due() || settled.is_some_and(is_due)
    }

    /// Whether the next block of this node would end the epoch: L1 has gone on.
    fn is_epoch_due(&self) -> bool {
        let settled = self.context.l1.borrow().settled_origin;
        settled.is_some_and(|origin| self.context.facts.epochs().of(origin.number) > self.context.epoch.epoch)
    }

    /// Stores evidence for the reporter, unless it is against ourselves: then another process signs with our key, and
    /// the only safe thing is to stop, for good. Returns what the machine has to hear of it.
    fn report(&mut self, evidence: Evidence) -> Result<Option<Input>, DriverError> {
        // An index is a place in the epoch in which it signed.
        let epoch = self.context.book.of(evidence.epoch());
        let against = epoch.and_then(|epoch| epoch.committee.member(evidence.signer()).map(|member| member.key));
        self.report_against(against, evidence)
    }

    /// As [`Self::report`]; `against` is whose key signed both statements, as far as that is known.
    fn report_against(
        &mut self,
        against: Option<BlsPublicKey>,
        evidence: Evidence,
    ) -> Result<Option<Input>, DriverError> {
        // Also one that has no seat now: it may have one again.
        if let Some(own) = self.context.keys.iter().find(|own| Some(own.public_key()) == against) {
            let signer = own.seated(evidence.signer());
            return Err(give_up_key(self.context.ledger.as_ref(), &signer, evidence));
        }
        if !self.reported.insert(place_of(&evidence)) {
            return Ok(None);
        }
        self.context.metrics.byzantine_validators.inc();
        warn!(offender = %evidence.signer(), epoch = %evidence.epoch(), view = %evidence.view(), offence = ?evidence.offence(),
            "a member signed two conflicting statements");
        // Here and now, for nobody may hear of it before the disk has it, and consensus waits for no L1.
        let record = EvidenceRecord { evidence: evidence.clone(), l1: EvidenceOnL1::Open };
        tokio::task::block_in_place(|| self.context.ledger.put_evidence(&record))?;
        self.context.evidence_found.notify_one();
        self.turn.say(Said::Announce(Announcement::Evidence(evidence.clone())));
        self.turn.say(Said::Broadcast(ConsensusMessage::Evidence(evidence)));
        Ok(self.is_a_third_lying().then(|| Input::SafetyBroken(Vec::new())))
    }

    /// Whether there is evidence against a third of the weight of this epoch or more. What less than that lies about is safe,
    /// nothing is beyond it.
    fn is_a_third_lying(&self) -> bool {
        let committee = &self.context.epoch.committee;
        let liars = self.reported.iter().filter(|(epoch, _)| *epoch == committee.epoch()).map(|(_, member)| *member);
        let lying = committee.weight_of(liars.collect()).unwrap_or_default();
        lying.saturating_mul(3) >= u128::from(committee.total_weight().get())
    }

    fn publish(&mut self) {
        self.context.window.set(self.machine.final_view(), self.machine.view());
        self.status.listening = self.key_watch.listens_in();
        self.status.syncing = self.catching_up.as_ref().map(CatchingUp::target_height);
        self.context.progress.send_replace(self.status.clone());
    }

    fn now(&self) -> TimestampMs {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        TimestampMs::new(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Under which the ledger keeps that a key is given up: of which epoch the evidence is may be known no more at the next start.
#[must_use]
pub fn given_up_key(key: &BlsPublicKey) -> String {
    format!("given_up/{key}")
}

/// Sees to it that the key of `signer` is never used again, also not after a restart; returns why the node ends. Either of the
/// two files is enough for that: a node refuses to start with a key that its ledger says is given up.
fn give_up_key(ledger: &dyn Ledger, signer: &Signer, evidence: Evidence) -> DriverError {
    let (view, why) = (evidence.view(), signer::reason_to_condemn(&evidence));
    let record = EvidenceRecord { evidence, l1: EvidenceOnL1::Open };
    let (kept, condemned) = tokio::task::block_in_place(|| {
        let given_up = ledger.put_l1_fact(&given_up_key(&signer.public_key()), why.as_bytes());
        (ledger.put_evidence(&record).and(given_up), signer.condemn(&why))
    });
    match (kept, condemned) {
        (Err(kept), Err(condemned)) => DriverError::OwnKeyNotGivenUp { view, why: format!("{kept}; {condemned}") },
        (kept, condemned) => {
            if let Some(error) =
                kept.err().map(|error| error.to_string()).or(condemned.err().map(|error| error.to_string()))
            {
                warn!(error, "one of the two marks that this key is given up was not written");
            }
            DriverError::OwnKeyEquivocates { view }
        }
    }
}

/// Whom evidence is against: the member of one epoch.
fn place_of(evidence: &Evidence) -> (Epoch, MemberIndex) {
    (evidence.epoch(), evidence.signer())
}

/// Waits for the answer to a question that was asked in the background; for ever if there is none.
async fn answer_to(asking: &mut Option<JoinHandle<Found>>) -> Found {
    let Some(task) = asking.as_mut() else { return std::future::pending().await };
    let answer = task.await;
    *asking = None;
    answer.unwrap_or(Found::Silence)
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        // Tokio's timers count whole milliseconds and would let even this one wait for the next.
        Some(deadline) if deadline <= Instant::now() => {}
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
