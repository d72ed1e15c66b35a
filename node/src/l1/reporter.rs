//! Takes evidence to L1, from an account of its own, so that a stuck batch never protects an offender.
//!
//! Every node that holds a pair stores it and submits it, one after the other: the rank says how many turns to wait while
//! somebody else may do it. A pair is about the committee of the epoch in which it was signed, which may be over long
//! since; L1 knows it always. Stored evidence is taken up again after a restart, an outage or a reorg, until L1 has the
//! penalty in a final block or refuses the pair for good. A node that has halted starts for nothing else any more
//! ([`report_rest`]).
//!
//! A submission that everybody sees in the mempool can be copied. So the reporter first commits to it, which shows nothing,
//! and submits in a later block: the reward is its own. What it commits to follows from the pair and the account alone, so a
//! restart in between finds on L1 how far it came. When the window is about to end there is no time for that.
//!
//! Of what is due, that goes first whose window ends first. What the slasher refuses waits, for longer each time, and what L1 does not
//! answer about comes after the rest: neither holds up another case. Where no reward is left to earn, nothing is announced.
//!
//! While there is nothing to submit, the account settles closed epochs ([`Settler`]).

mod conflict;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use alloy_primitives::{Address, B256, keccak256};
use alloy_sol_types::{SolCall, SolValue};
use baton_proto::{Epoch, Evidence, L1BlockNumber, MemberIndex};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::{
    account::AccountContext,
    bindings::{BatchInbox, RevertReason, SequencerRegistry, Slasher, submission},
    client::{At, L1Client},
    committees::Committees,
    error::L1Error,
    facts::ChainFacts,
    sender::{Call, SendError, Sender},
    settler::Settler,
    watcher::L1View,
};
use crate::{
    epoch::EpochBook,
    ledger::{EvidenceOnL1, EvidenceRecord, Ledger},
};

/// Key under which the ledger keeps two certificates of one view that contradict each other, from the halt that they caused on.
pub const CONFLICT_KEY: &str = "conflict";

/// Most pairs that are looked at in one round: a whole committee's. The ledger keeps those that wait for a place.
const CASES_MAX: usize = 128;

/// L1 blocks of a turn: one for the commitment, one for the submission, and one in which the others see it.
const TURN_BLOCKS: u64 = 3;

/// With no more L1 blocks than these left for evidence, nobody waits for a turn or for a reward: three minutes in which an
/// L1 that is full may keep a transaction waiting.
pub(super) const HURRY_BLOCKS: u64 = 16;

/// After a refusal the next attempt waits twice as long as the last one did, up to so many doublings of a turn: two and a half hours.
const DOUBLINGS_MAX: u32 = 8;

/// How many cases L1 may fail to answer about before a round leaves the rest for the next one: each may take as long as a call does.
const FAILURES_MAX: usize = 4;

/// Returns how many turns member `me` leaves to others before it submits `evidence`: its distance from a member that
/// the pair's own hash picks, so that no one member can prepare to be first. An observer comes after all members.
#[must_use]
pub fn rank(evidence: &Evidence, members: usize, me: Option<MemberIndex>) -> u64 {
    turn(&case_id(evidence), members, me)
}

pub(super) fn turn(id: &B256, members: usize, me: Option<MemberIndex>) -> u64 {
    let members = members.max(1) as u64;
    let first = id.as_slice().iter().fold(0_u64, |sum, byte| (sum * 256 + u64::from(*byte)) % members);
    match me {
        Some(me) => (u64::from(me.get()) % members + members - first) % members,
        None => members,
    }
}

/// One case for each member and epoch: whatever the pair, L1 punishes it once.
pub(super) fn case_id(evidence: &Evidence) -> B256 {
    let epoch = evidence.epoch().get().to_be_bytes();
    keccak256([epoch.as_slice(), &[evidence.signer().get()]].concat())
}

/// Starts taking evidence to L1, and the duties of closed epochs. Whoever finds and verifies a pair puts it into the ledger
/// and tells `found`, and waits for nobody: a round here takes as long as L1 does. `halted` is cancelled when safety was seen
/// broken: what shows it is in the ledger by then, and no epoch is settled any more.
///
/// # Errors
/// [`SendError`] when stored evidence or intents cannot be read.
pub fn spawn_reporter(
    account: AccountContext,
    epochs: EpochBook,
    found: Arc<Notify>,
    halted: CancellationToken,
) -> Result<JoinHandle<Result<(), SendError>>, SendError> {
    let (poll, l1, cancel) = (account.config.poll, account.l1.clone(), account.cancel.clone());
    let work = Work::new(account, epochs)?;
    Ok(tokio::spawn(work.run(poll, found, l1, halted, cancel)))
}

/// Takes to L1 what the ledger of a halted node holds against others, the certificates that it halted for among it. Returns when
/// L1 has all of it in a final block, or never will; or when the account's token is cancelled.
///
/// # Errors
/// [`SendError`] when the ledger fails.
pub async fn report_rest(account: AccountContext, epochs: EpochBook) -> Result<(), SendError> {
    let (poll, mut l1, cancel) = (account.config.poll, account.l1.clone(), account.cancel.clone());
    let mut work = Work::new(account, epochs)?;
    work.is_halted = true;
    work.take_conflict()?;
    while work.is_busy() {
        let Some(looked) = cancel.run_until_cancelled(work.look(&mut l1)).await else { return Ok(()) };
        let healthy = looked?;
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            changed = l1.changed() => if changed.is_err() { return Ok(()) },
            () = tokio::time::sleep(poll), if healthy => {}
        }
    }
    Ok(())
}

struct Case {
    evidence: Evidence,
    /// Newest L1 block when this process took the case up.
    since: Option<L1BlockNumber>,
    /// The contract's last refusal, which was logged.
    refusal: Option<RevertReason>,
    /// How often it was refused.
    refusals: u32,
    /// No attempt before this L1 block.
    not_before: u64,
    /// Whether L1 failed to answer about it last time.
    is_troubled: bool,
    /// Whether L1 was seen to have it.
    charged: bool,
}

/// A case whose time has come.
struct Due {
    id: B256,
    evidence: Evidence,
    /// Whom it is against.
    owner: Address,
    window: Window,
    /// Whether L1 failed to answer about it last time.
    is_troubled: bool,
}

impl Due {
    /// What is to go first is the smallest: the earliest end.
    const fn order(&self) -> (bool, u64) {
        (self.is_troubled, self.window.last_block())
    }
}

/// Until when L1 takes evidence of an epoch.
#[derive(Clone, Copy)]
enum Window {
    /// The epoch is open, so there is no end yet.
    Open,
    /// Up to this L1 block.
    Until(u64),
    /// It has no batch, and nobody has named it to the inbox: the slasher takes nothing of it before.
    Unnamed,
}

impl Window {
    /// L1 blocks of a turn. Of a window that nobody has named an end may be near.
    const fn turn_blocks(self) -> u64 {
        if matches!(self, Self::Unnamed) { 1 } else { TURN_BLOCKS }
    }

    const fn is_ending(self, head: u64) -> bool {
        matches!(self, Self::Until(last) if head.saturating_add(HURRY_BLOCKS) >= last)
    }

    /// The last L1 block in which the slasher takes it. Of one that nobody has named it may be near, and naming it shows that.
    const fn last_block(self) -> u64 {
        match self {
            Self::Unnamed => 0,
            Self::Until(last) => last,
            Self::Open => u64::MAX,
        }
    }

    /// The L1 block from which on a case is tried again that was refused so often; at each block of a window that is about to end.
    fn retry_from(self, head: u64, refusals: u32) -> u64 {
        let later = head.saturating_add(TURN_BLOCKS << refusals.min(DOUBLINGS_MAX));
        match self {
            Self::Until(last) => later.min(last.saturating_sub(HURRY_BLOCKS)).max(head.saturating_add(1)),
            Self::Open | Self::Unnamed => later,
        }
    }
}

/// What L1 says about a case.
enum Verdict {
    /// The penalty is in a final block.
    Settled,
    /// Somebody's transaction has it, not yet final.
    Charged,
    Open,
}

struct Work {
    client: L1Client,
    facts: Arc<ChainFacts>,
    committees: Committees,
    ledger: Arc<dyn Ledger>,
    sender: Sender,
    /// What the account does while there is no evidence.
    settler: Settler,
    cases: BTreeMap<B256, Case>,
    /// Whether the ledger holds more pairs than there was room for.
    are_some_left: bool,
    /// Two certificates that contradict each other: a node that has some halts, so there is one such case.
    conflict: Option<conflict::Case>,
    /// Whether safety was seen broken: then this node's chain may not be the one whose duties count.
    is_halted: bool,
}

impl Work {
    /// With the stored pairs that L1 does not have.
    fn new(account: AccountContext, epochs: EpochBook) -> Result<Self, SendError> {
        let sender = account.open("evidence")?;
        let AccountContext { client, facts, ledger, .. } = account;
        let settler = Settler::new(client.clone(), Arc::clone(&facts), Arc::clone(&ledger), epochs.clone());
        let committees = Committees::new(client.clone(), Arc::clone(&facts), epochs);
        let mut work = Self {
            client,
            facts,
            committees,
            ledger,
            sender,
            settler,
            cases: BTreeMap::new(),
            are_some_left: false,
            conflict: None,
            is_halted: false,
        };
        work.take_up()?;
        Ok(work)
    }

    async fn run(
        mut self,
        poll: Duration,
        found: Arc<Notify>,
        mut l1: watch::Receiver<L1View>,
        halted: CancellationToken,
        cancel: CancellationToken,
    ) -> Result<(), SendError> {
        loop {
            let Some(looked) = cancel.run_until_cancelled(self.look(&mut l1)).await else { return Ok(()) };
            let (healthy, busy) = (looked?, self.is_busy());
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                () = halted.cancelled(), if !self.is_halted => {
                    self.is_halted = true;
                    self.take_conflict()?;
                }
                () = found.notified() => self.take_up()?,
                changed = l1.changed() => if changed.is_err() { return Ok(()) },
                () = tokio::time::sleep(poll), if busy && healthy => {}
            }
        }
    }

    /// One round, if L1 can be seen. Returns whether it can.
    async fn look(&mut self, l1: &mut watch::Receiver<L1View>) -> Result<bool, SendError> {
        let (head, finalized, healthy) = {
            let view = l1.borrow_and_update();
            (view.head, view.finalized, view.healthy)
        };
        if let (true, Some(head), Some((finalized, _))) = (healthy, head, finalized) {
            match self.round(head.number, finalized.number).await {
                Ok(()) => {}
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => debug!(%error, "what is to be sent waits"),
            }
            if self.are_some_left && self.cases.len() < CASES_MAX {
                self.take_up()?;
            }
        }
        Ok(healthy)
    }

    fn is_busy(&self) -> bool {
        !self.cases.is_empty() || self.conflict.is_some() || self.sender.unfinal() > 0
    }

    /// Opens the cases that the ledger holds, the latest epochs first: whoever lies now does harm, and of what was signed
    /// long ago a former member can make as much as it likes.
    fn take_up(&mut self) -> Result<(), SendError> {
        self.are_some_left = false;
        let stored = self.ledger.evidence()?;
        for record in stored.into_iter().rev().filter(|record| record.l1 != EvidenceOnL1::Closed) {
            let id = case_id(&record.evidence);
            if self.cases.contains_key(&id) {
                continue;
            }
            if self.cases.len() >= CASES_MAX {
                warn!(
                    cases = self.cases.len(),
                    "more pairs than are taken to L1 at a time; the others wait in the ledger"
                );
                self.are_some_left = true;
                break;
            }
            self.open(id, record.evidence);
        }
        Ok(())
    }

    fn open(&mut self, id: B256, evidence: Evidence) {
        let committee = self.committees.known(evidence.epoch());
        warn!(
            member = %evidence.signer(),
            owner = ?committee.and_then(|of| of.member(evidence.signer()).map(|member| member.owner)),
            epoch = %evidence.epoch(),
            view = %evidence.view(),
            offence = ?evidence.offence(),
            "evidence of a punishable pair"
        );
        let case = Case {
            evidence,
            since: None,
            refusal: None,
            refusals: 0,
            not_before: 0,
            is_troubled: false,
            charged: false,
        };
        self.cases.insert(id, case);
    }

    /// One look at all cases, with L1's newest block and the newest that most endpoints call final, and one step for the first
    /// that can take one.
    async fn round(&mut self, head: L1BlockNumber, finalized: L1BlockNumber) -> Result<(), SendError> {
        let (mut due, mut windows, mut failures) = (Vec::new(), BTreeMap::new(), Vec::new());
        for id in self.in_turn() {
            match self.examine(&id, &mut windows, head, finalized).await {
                Ok(found) => due.extend(found),
                Err(error) => self.troubled(&id, error, &mut failures)?,
            }
            if failures.len() >= FAILURES_MAX {
                break;
            }
        }
        let conflict = self.conflict.as_ref().map(conflict::Case::epoch);
        let needed = self.cases.values().map(|case| case.evidence.epoch()).chain(conflict);
        self.committees.keep(&needed.collect());
        due.sort_by_key(Due::order);
        for due in due {
            match self.advance(&due, head).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => self.troubled(&due.id, error, &mut failures)?,
            }
            if failures.len() >= FAILURES_MAX {
                break;
            }
        }
        match self.conflict {
            Some(_) => self.conflict_round(head, finalized).await?,
            None => self.settle(head, finalized).await?,
        }
        failures.into_iter().next().map_or(Ok(()), Err)
    }

    /// All cases, those last about which L1 gave no answer before.
    fn in_turn(&self) -> Vec<B256> {
        let mut ids: Vec<B256> = self.cases.keys().copied().collect();
        ids.sort_by_key(|id| self.cases.get(id).is_some_and(|case| case.is_troubled));
        ids
    }

    /// Takes note that nothing can be done for a case now.
    ///
    /// # Errors
    /// The same error where it is about this node itself.
    fn troubled(&mut self, id: &B256, error: SendError, failures: &mut Vec<SendError>) -> Result<(), SendError> {
        if error.is_fatal() {
            return Err(error);
        }
        if let Some(case) = self.cases.get_mut(id) {
            debug!(%error, member = %case.evidence.signer(), epoch = %case.evidence.epoch(), "a case waits for L1");
            case.is_troubled = true;
        }
        failures.push(error);
        Ok(())
    }

    /// Finds out where a case stands, and closes it when nothing is left to do. Returns it if its time has come.
    async fn examine(
        &mut self,
        id: &B256,
        windows: &mut BTreeMap<Epoch, Window>,
        head: L1BlockNumber,
        finalized: L1BlockNumber,
    ) -> Result<Option<Due>, SendError> {
        let Some(case) = self.cases.get_mut(id) else { return Ok(None) };
        let since = *case.since.get_or_insert(head);
        let (evidence, not_before, is_troubled) = (case.evidence.clone(), case.not_before, case.is_troubled);
        let epoch = evidence.epoch();
        let committee = self.committees.of(epoch).await?;
        let me = self.committees.own_place(&committee);
        if me == Some(evidence.signer()) {
            error!(%epoch, "the evidence is against this node's own key");
            self.close(id, &evidence, "it is left to others")?;
            return Ok(None);
        }
        let Some(owner) = committee.member(evidence.signer()).map(|member| member.owner) else {
            self.close(id, &evidence, "nobody has this index in its epoch")?;
            return Ok(None);
        };
        match self.verdict(&evidence, owner, finalized).await? {
            Verdict::Settled => {
                self.close(id, &evidence, "the penalty is in a final block")?;
                return Ok(None);
            }
            Verdict::Charged => {
                self.charged(id, &evidence, head)?;
                return Ok(None);
            }
            Verdict::Open => {}
        }
        let window = match windows.get(&epoch) {
            Some(window) => *window,
            None => *windows.entry(epoch).or_insert(self.window(epoch).await?),
        };
        if let Some(case) = self.cases.get_mut(id) {
            // An L1 reorg can take the penalty back.
            (case.charged, case.is_troubled) = (false, false);
        }
        let turns = rank(&evidence, committee.len(), me);
        let turn = since.get().saturating_add(turns.saturating_mul(window.turn_blocks()));
        let is_due = head.get() >= not_before && (head.get() >= turn || window.is_ending(head.get()));
        Ok(is_due.then_some(Due { id: *id, evidence, owner, window, is_troubled }))
    }

    /// Takes the next step of a case. Returns whether it is on its way, and so whether others have to wait.
    async fn advance(&mut self, due: &Due, head: L1BlockNumber) -> Result<bool, SendError> {
        let Some(call) = self.next_call(due, head).await? else {
            self.close(&due.id, &due.evidence, "its signatures add up to nothing")?;
            return Ok(false);
        };
        match self.sender.drive(Some(&call)).await {
            Ok(_) => Ok(true),
            Err(SendError::Refused(reason)) => {
                let is_for_good = is_final_refusal(&reason) && self.is_refused_for_good(&call).await?;
                self.refused(due, reason, is_for_good, head)?;
                Ok(false)
            }
            Err(SendError::KeepsFailing(times)) => {
                error!(times, "the slasher keeps refusing what its simulation accepts; giving the case up");
                self.close(&due.id, &due.evidence, "the slasher keeps refusing it")?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Settles the next epoch, if that is due. What is on its way is looked after in any case.
    async fn settle(&mut self, head: L1BlockNumber, finalized: L1BlockNumber) -> Result<(), SendError> {
        let due = if self.is_halted { Ok(None) } else { self.settler.due(head, finalized).await };
        let call = due.as_ref().ok().and_then(Option::as_ref);
        match (self.sender.drive(call).await, call) {
            (Err(error), Some(_)) => self.settler.not_sent(error, head),
            (Err(error), None) => Err(error),
            (Ok(_), _) => due.map(drop),
        }
    }

    async fn verdict(
        &self,
        evidence: &Evidence,
        owner: Address,
        finalized: L1BlockNumber,
    ) -> Result<Verdict, SendError> {
        let question = Slasher::hasOffendedCall { owner, epoch: evidence.epoch().get() };
        // A case that is closed is never looked at again, so one endpoint alone closes none.
        if self.client.agreed_call(self.facts.slasher, &question, At::Number(finalized)).await? {
            return Ok(Verdict::Settled);
        }
        let charged = self.client.call(self.facts.slasher, &question, At::Latest).await?;
        Ok(if charged { Verdict::Charged } else { Verdict::Open })
    }

    /// Whether most endpoints say that the slasher will never take this.
    async fn is_refused_for_good(&self, call: &Call) -> Result<bool, SendError> {
        match self.client.agreed_simulation(call.to, &call.data).await {
            Err(L1Error::Reverted { reason, .. }) => Ok(is_final_refusal(&reason)),
            Ok(()) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn window(&self, epoch: Epoch) -> Result<Window, SendError> {
        let question = BatchInbox::windowStartCall { epoch: epoch.get() };
        match self.client.call(self.facts.inbox, &question, At::Latest).await {
            Ok(0) => Ok(Window::Open),
            Ok(start) => Ok(Window::Until(start.saturating_add(self.facts.spec.evidence_blocks))),
            Err(error) if error.revert().is_some_and(RevertReason::is_skipped_epoch) => Ok(Window::Unnamed),
            Err(error) => Err(error.into()),
        }
    }

    /// The slasher takes evidence of an epoch without a batch only after the inbox was told when that epoch closed. Then
    /// comes the commitment, if it earns anything, and when that is in the chain the submission.
    async fn next_call(&self, due: &Due, head: L1BlockNumber) -> Result<Option<Call>, SendError> {
        let epoch = due.evidence.epoch();
        if matches!(due.window, Window::Unnamed) {
            return self.naming(epoch).await.map(Some);
        }
        let Some(data) = submission(&due.evidence, due.owner) else { return Ok(None) };
        let submission = Call::plain(self.facts.slasher, data);
        if !self.earns(due.owner, epoch).await? {
            return Ok(Some(submission));
        }
        self.commit_or_show(submission, due.window, head).await.map(Some)
    }

    /// Whether evidence against `owner` in `epoch` can earn a reward: the base penalty is taken once for each admission, and only
    /// of the present one.
    ///
    /// Source: `penalize` in `contracts/src/registry/Penalties.sol`.
    async fn earns(&self, owner: Address, epoch: Epoch) -> Result<bool, SendError> {
        let registry = self.facts.domain.registry;
        let question = SequencerRegistry::memberAtCall { owner, epoch: epoch.get() };
        let admission = self.client.call(registry, &question, At::Latest).await?.admission;
        let now = self.client.call(registry, &SequencerRegistry::sequencerCall { owner }, At::Latest).await?;
        if now.admission != admission || now.bond.is_zero() {
            return Ok(false);
        }
        let question = Slasher::isPenalizedCall { owner, admission };
        Ok(!self.client.call(self.facts.slasher, &question, At::Latest).await?)
    }

    /// Tells the inbox when a skipped epoch closed.
    async fn naming(&self, epoch: Epoch) -> Result<Call, SendError> {
        let epoch = epoch.get();
        let before = self.client.call(self.facts.inbox, &BatchInbox::closedBeforeCall { epoch }, At::Latest).await?;
        let data = BatchInbox::closeSkippedCall { epoch, before }.abi_encode().into();
        Ok(Call::plain(self.facts.inbox, data))
    }

    async fn commit_or_show(&self, submission: Call, window: Window, head: L1BlockNumber) -> Result<Call, SendError> {
        if window.is_ending(head.get()) {
            return Ok(submission);
        }
        let commitment = commitment(self.sender.account(), &submission.data);
        let question = Slasher::committedAtCall { commitment };
        let committed_at = self.client.call(self.facts.slasher, &question, At::Latest).await?;
        // What is mined next comes in a later block than what L1 shows. And there is no use in committing to what is
        // refused: the sender finds out why.
        let is_refused = || self.client.simulate(self.sender.account(), &submission);
        if !committed_at.is_zero() || is_refused().await.is_err() {
            return Ok(submission);
        }
        let data = Slasher::commitCall { commitment }.abi_encode().into();
        Ok(Call::plain(self.facts.slasher, data))
    }

    fn refused(
        &mut self,
        due: &Due,
        reason: RevertReason,
        is_for_good: bool,
        head: L1BlockNumber,
    ) -> Result<(), SendError> {
        use Slasher::SlasherErrors as E;
        let member = due.evidence.signer();
        if is_for_good {
            error!(%reason, %member, "the slasher refuses the evidence for good");
            return self.close(&due.id, &due.evidence, "the slasher refuses it for good");
        }
        let Some(case) = self.cases.get_mut(&due.id) else { return Ok(()) };
        // Somebody was faster, and the next round sees it; anything else is told once and tried again, more and more rarely.
        if matches!(&reason, RevertReason::Slasher(error) if matches!(**error, E::Slasher__AlreadySlashed(_))) {
            return Ok(());
        }
        case.refusals = case.refusals.saturating_add(1);
        case.not_before = due.window.retry_from(head.get(), case.refusals);
        if case.refusal.as_ref() != Some(&reason) {
            warn!(%reason, %member, refusals = case.refusals, "the slasher does not take the evidence now");
            case.refusal = Some(reason);
        }
        Ok(())
    }

    fn charged(&mut self, id: &B256, evidence: &Evidence, head: L1BlockNumber) -> Result<(), SendError> {
        let Some(case) = self.cases.get_mut(id).filter(|case| !case.charged) else { return Ok(()) };
        case.charged = true;
        info!(member = %evidence.signer(), l1_block = %head, "the offender is penalized; waiting for finality");
        let l1 = EvidenceOnL1::Charged { block: head };
        self.ledger.put_evidence(&EvidenceRecord { evidence: evidence.clone(), l1 })?;
        Ok(())
    }

    fn close(&mut self, id: &B256, evidence: &Evidence, why: &'static str) -> Result<(), SendError> {
        info!(member = %evidence.signer(), why, "case closed");
        self.ledger.put_evidence(&EvidenceRecord { evidence: evidence.clone(), l1: EvidenceOnL1::Closed })?;
        self.cases.remove(id);
        Ok(())
    }
}

/// What `reporter` commits to before it submits `calldata`: keccak256(abi.encode(reporter, keccak256(calldata))).
///
/// Source: `Slasher.commit`.
#[must_use]
pub(super) fn commitment(reporter: Address, calldata: &[u8]) -> B256 {
    keccak256((reporter, keccak256(calldata)).abi_encode_params())
}

/// Whether no later block can make the slasher take the pair.
fn is_final_refusal(reason: &RevertReason) -> bool {
    use Slasher::SlasherErrors as E;
    let RevertReason::Slasher(error) = reason else { return false };
    matches!(
        **error,
        E::Slasher__WindowClosed(_)
            | E::Slasher__NotPunishable(_)
            | E::Slasher__NoConflict(_)
            | E::Slasher__SameStatement(_)
            | E::Slasher__NotAMember(_)
            | E::Slasher__InvalidSignature(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_tried_more_and_more_rarely_and_at_each_block_of_the_end() {
        for window in [Window::Open, Window::Unnamed, Window::Until(u64::MAX)] {
            let mut waited = 0;
            for refusals in 1..=DOUBLINGS_MAX {
                let wait = window.retry_from(100, refusals) - 100;
                assert!(wait > waited, "{waited}, then {wait}");
                waited = wait;
            }
            assert_eq!(window.retry_from(100, u32::MAX) - 100, waited);
        }
        // However often: from the end's beginning on, it is tried at every block.
        let last = 100 + TURN_BLOCKS + HURRY_BLOCKS;
        assert_eq!(Window::Until(last).retry_from(100, u32::MAX), 100 + TURN_BLOCKS);
        assert!(Window::Until(last).is_ending(100 + TURN_BLOCKS));
        for head in [last - HURRY_BLOCKS, last - 1, last] {
            assert_eq!(Window::Until(last).retry_from(head, u32::MAX), head + 1);
        }
    }
}
