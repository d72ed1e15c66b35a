//! Running what the machine asks for, in its order.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use baton_consensus::{Effect, Input, Outgoing, Verdict};
use baton_proto::{
    Block, BlockDigest, BlockHeader, Certificate, Height, MemberIndex, SignedStatement, Statement, View,
    limits::COMPACT_ABOVE_BYTES, wire::ConsensusMessage,
};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::{
    Driver, DriverEnd, DriverError, FETCHED_QUEUE_MAX,
    accounts::{FinalAccounts, base_fee_after},
    broken,
    catching_up::CatchingUp,
    commit::Came,
    fetch, testimony,
    turn::Said,
    waiting::Proposed,
};
use crate::{
    l1::{OriginVerdict, forced_due},
    p2p::Fault,
    proposer::{self, Proposal},
    signer::SignError,
    validity::{self, Judgement, OriginSeen},
};

/// Views below the final one whose statements the sign record keeps: far more than the machine's own window.
const REMEMBERED_VIEWS: u64 = 10_000;

/// How often the sign record is made smaller, in views.
const FORGET_EVERY_VIEWS: u64 = 2_000;

/// How long a block whose missing transactions are being gathered is waited for before it is asked for whole: a few round
/// trips.
const GATHERED_WITHIN: Duration = Duration::from_millis(250);

/// What the machine did with an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offered {
    Taken,
    Refused,
}

impl Driver {
    /// Hands `input` to the machine and runs all that follows from it.
    pub(super) async fn input(&mut self, input: Input) -> Result<(), DriverError> {
        self.offer(input).await.map(|_| ())
    }

    /// As [`Self::input`]; says whether the machine took it.
    pub(super) async fn offer(&mut self, input: Input) -> Result<Offered, DriverError> {
        let mut offered = None;
        let mut inputs = VecDeque::from([input]);
        let mut effects = Vec::new();
        self.machine.set_clock(u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX));
        while let Some(input) = inputs.pop_front() {
            let result = self.machine.handle(input, &mut effects);
            if let Err(rejected) = &result {
                debug!(%rejected, "the machine refused an input");
            }
            offered.get_or_insert(if result.is_ok() { Offered::Taken } else { Offered::Refused });
            for effect in effects.drain(..) {
                self.run_effect(effect, &mut inputs).await?;
            }
        }
        Ok(offered.unwrap_or(Offered::Refused))
    }

    /// Ends the turn: once the disk has what was written in it, others hear of it.
    ///
    /// # Errors
    /// [`DriverError`] if the disk may not have it: nobody hears of anything any more.
    pub(super) fn end_turn(&mut self) -> Result<(), DriverError> {
        for said in tokio::task::block_in_place(|| self.turn.end())? {
            match said {
                Said::Broadcast(message) => self.context.outbound.broadcast(message),
                Said::Send(member, message) => self.context.outbound.send(member, message),
                Said::Notarized(digest, block, view) => self.context.notarized.on_notarized(digest, block, view),
                Said::Announce(announcement) => self.context.network.announce(announcement),
                Said::Final(blocks) => self.tell_final(blocks),
            }
        }
        self.forget_old_statements()?;
        self.keep_testimony()
    }

    /// Writes down what others signed meanwhile. No word of ours waits for that.
    pub(super) fn keep_testimony(&self) -> Result<(), DriverError> {
        Ok(tokio::task::block_in_place(|| self.context.testimony.keep(self.context.ledger.as_ref()))?)
    }

    /// Runs one effect; answers that are at hand at once are appended to `answers`.
    async fn run_effect(&mut self, effect: Effect, answers: &mut VecDeque<Input>) -> Result<(), DriverError> {
        match effect {
            Effect::Sign(statement) => answers.extend(self.sign(statement)?),
            Effect::Persist(certificate) => {
                self.note_notarized(&certificate)?;
                // No second one is checked while this one is on its way to the disk: if it does not get there, the node ends.
                self.context.certified.insert(&certificate);
                self.turn.store_certificate(&certificate)?;
            }
            Effect::Broadcast(outgoing) => {
                if let Some(message) = self.message(outgoing)? {
                    self.turn.say(Said::Broadcast(message));
                }
            }
            Effect::Send(member, outgoing) => {
                if let Some(message) = self.message(outgoing)? {
                    // What shows a lie about another epoch: a member's place here says nothing there.
                    let is_of_this_epoch = message.epoch() == self.context.epoch.epoch;
                    self.turn.say(if is_of_this_epoch {
                        Said::Send(member, message)
                    } else {
                        Said::Broadcast(message)
                    });
                }
            }
            Effect::Build { view, parent, ancestors } => answers.push_back(self.build(view, &parent, &ancestors)?),
            Effect::Validate { header, parent, ancestors } => {
                answers.extend(self.judge(Proposed { header, parent, ancestors })?);
            }
            Effect::Fetch { block, from, .. } => answers.extend(self.fetch(block, from)?),
            Effect::Finalized { certificate, chain } => {
                self.finalize(&chain, certificate.clone())?;
                let epochs = self.context.facts.epochs();
                self.life.on_final(chain.last().is_some_and(|last| !epochs.ends_with(last)));
                self.announce_final(&chain, &certificate);
            }
            Effect::Behind { certificate } => self.catch_up(&certificate)?,
            Effect::EpochEnded { last, next_epoch } => {
                info!(epoch = %last.epoch, height = %last.height, view = %last.view, %next_epoch, "epoch over");
                // Its members can be connected long after an epoch has ended.
                let unheard = self.unheard || (self.context.listens_first && !self.life.has_lived());
                let delta_ms = self.machine.delta_ms();
                self.ended = Some(DriverEnd::Epoch { last: Box::new(last), next: next_epoch, unheard, delta_ms });
            }
            Effect::SetTimer { timer, after_ms } => self.timers.set(timer, after_ms),
            Effect::Report(evidence) => answers.extend(self.report(evidence)?),
            Effect::SafetyBroken(certificates) => {
                let why = self.safety_broken(&certificates)?;
                // What is on its way may be of the other chain, and the machine takes nothing any more. No epoch follows.
                (self.catching_up, self.ended) = (None, None);
                self.status.halted = Some(why);
            }
            Effect::Entered { view, leader } => {
                self.context.metrics.view_entered();
                if self.own_turns.is_own(self.status.view) {
                    self.own_turns.left(self.status.view, self.is_quorum_connected());
                }
                if self.context.epoch.me() == Some(leader) {
                    self.own_turns.entered(view, Instant::now());
                }
                self.status.view = view;
                self.status.leader = Some(leader);
                self.timers.retain(|timer| timer.view() >= view);
                if self.has_work() {
                    answers.push_back(Input::WorkArrived);
                }
            }
        }
        Ok(())
    }

    /// Records, then signs, once a quorum was heard out. A refusal of the record is the machine's to know; a failure of
    /// the disk ends the node.
    pub(super) fn sign(&mut self, statement: Statement) -> Result<Option<Input>, DriverError> {
        if let Some(hearing) = &mut self.hearing {
            let signer = self.context.epoch.signer.as_ref();
            if !signer.is_some_and(|signer| signer.accounts_for(&statement).is_ok_and(|is_recorded| is_recorded)) {
                hearing.wait(statement, self.machine.view());
                self.own_turns.unsigned(&statement, "no quorum was heard out since the start".into());
                return Ok(None);
            }
        }
        match self.turn.sign(statement) {
            Ok(signed) => {
                if signed.is_some() {
                    self.own_turns.signed(&statement, Instant::now());
                    self.note_signed(&statement)?;
                }
                Ok(signed.map(Input::Signed))
            }
            Err(DriverError::Signer(error)) if error.is_refusal() => {
                self.own_turns.unsigned(&statement, error.to_string());
                // Whoever listens refuses in every view, and said so once.
                if !matches!(error, SignError::Listening { .. }) {
                    warn!(%error, "the sign record refused a statement");
                }
                Ok(Some(Input::SignRefused(statement)))
            }
            Err(error) => Err(error),
        }
    }

    /// Turns what the machine wants to say into a message; a proposal gets its body.
    fn message(&self, outgoing: Outgoing) -> Result<Option<ConsensusMessage>, DriverError> {
        Ok(Some(match outgoing {
            Outgoing::Proposal { header, notarize } => {
                let Some(block) = self.blocks.get(&header.digest())? else {
                    warn!(view = %header.view, "the body of our own proposal is gone");
                    return Ok(None);
                };
                proposal(&block, notarize)
            }
            Outgoing::Vote { vote, leader } => {
                ConsensusMessage::Vote { vote, leader: leader.map(|leader| leader.signature) }
            }
            Outgoing::Certificate(certificate) => ConsensusMessage::Certificate(certificate),
            Outgoing::CertificateRequest { view } => {
                ConsensusMessage::CertificateRequest { epoch: self.context.epoch.committee.epoch(), view }
            }
        }))
    }

    /// Returns whether execution is too far behind finality to build on or vote for a block (protocol section 4,
    /// EXEC_LAG_MAX).
    ///
    /// A block becomes final on this node in the step that executes it ([`Self::commit`]), so the state is never older than
    /// the ledger's head. What can lag is that step, behind what a certificate proves to be final: while ranges are fetched.
    fn execution_lags(&self) -> bool {
        let proven = self.catching_up.as_ref().map_or(Height::ZERO, CatchingUp::target_height);
        proven.get().saturating_sub(self.status.final_height.get()) > self.context.facts.spec.exec_lag_max
    }

    pub(super) fn build(
        &mut self,
        view: View,
        parent: &BlockHeader,
        ancestors: &[BlockHeader],
    ) -> Result<Input, DriverError> {
        let Some((me, member)) =
            self.context.epoch.me().and_then(|me| Some((me, self.context.epoch.committee.member(me)?)))
        else {
            return Ok(Input::NotBuilt { view });
        };
        if self.execution_lags() {
            self.own_turns.not_built(view, "execution is too far behind finality".into());
            return Ok(Input::NotBuilt { view });
        }
        let ahead = match self.blocks.ahead(ancestors) {
            Ok(ahead) => ahead,
            Err(reason) => {
                warn!(%view, %reason, "cannot build a block");
                self.own_turns.not_built(view, reason.to_string());
                return Ok(Input::NotBuilt { view });
            }
        };
        let settled = self.context.l1.borrow().settled_origin;
        let origin = settled.filter(|origin| origin.number > parent.origin.number).unwrap_or(parent.origin);
        let Some(forced) = forced_due(self.context.ledger.as_ref(), parent.forced_position, origin.number)? else {
            let reason = "the forced queue is not read up to its L1 origin";
            warn!(%view, origin = %origin.number, reason, "cannot build a block");
            self.own_turns.not_built(view, reason.into());
            return Ok(Input::NotBuilt { view });
        };
        let base_fee = base_fee_after(self.context.ledger.as_ref(), self.context.executor.as_ref(), ancestors)?;
        let block = proposer::build(
            &Proposal {
                spec: &self.context.facts.spec,
                epoch: self.context.epoch.epoch,
                view,
                parent,
                ahead: &ahead,
                recently_final: &|hash| self.blocks.recently_final_anywhere(hash),
                origin,
                base_fee,
                forced,
                now: self.now(),
                proposer: me,
                fee_recipient: member.fee_recipient,
            },
            &self.context.pool,
            &FinalAccounts::new(self.context.ledger.as_ref()),
        );
        self.turn.store_block(&block)?;
        let header = block.header.clone();
        self.context.metrics.proposals_created.inc();
        debug!(height = %header.height, %view, transactions = header.transaction_count, "block built");
        self.blocks.insert(Arc::new(block));
        Ok(Input::Built { view, header })
    }

    /// Judges a proposal. "Not yet" has no answer now; the proposal is judged again while it waits.
    fn judge(&mut self, proposed: Proposed) -> Result<Option<Input>, DriverError> {
        let digest = proposed.header.digest();
        let Some(block) = self.blocks.get(&digest)? else {
            debug!(view = %proposed.header.view, "the body of a proposal is gone before it was judged");
            return Ok(None);
        };
        if self.execution_lags() {
            debug!(view = %proposed.header.view, "a proposal waits: execution is too far behind finality");
            self.waiting.insert(proposed);
            return Ok(None);
        }
        let ahead = match self.blocks.ahead(&proposed.ancestors) {
            Ok(ahead) => ahead,
            Err(reason) => {
                debug!(view = %proposed.header.view, %reason, "a proposal waits for its ancestors");
                self.waiting.insert(proposed);
                return Ok(None);
            }
        };
        let origin = match self.context.origins.judge(&proposed.header.origin) {
            OriginVerdict::Final => OriginSeen::Final,
            OriginVerdict::Conflicts { .. } | OriginVerdict::NotYet => OriginSeen::NotYet,
        };
        let header = &proposed.header;
        let due = forced_due(self.context.ledger.as_ref(), proposed.parent.forced_position, header.origin.number)?;
        let judgement = validity::judge(
            &block,
            &validity::Context {
                spec: &self.context.facts.spec,
                parent: &proposed.parent,
                epoch: self.context.epoch.epoch,
                now: self.now(),
                origin,
                forced_due: due.as_deref(),
                in_ancestors: &ahead.hashes,
                recently_final: &|hash| self.blocks.recently_final(hash),
            },
        );
        let verdict = match judgement {
            Judgement::Valid => {
                self.turn.store_block(&block)?;
                Verdict::Valid
            }
            Judgement::Wait(reason) => {
                debug!(view = %proposed.header.view, ?reason, "a proposal waits");
                self.waiting.insert(proposed);
                return Ok(None);
            }
            Judgement::Invalid(reason) => {
                self.context.metrics.proposals_invalid.inc();
                warn!(view = %proposed.header.view, proposer = %proposed.header.proposer, %reason, "an invalid block was proposed");
                // Only what is new in its own view is judged, and that view's leader has signed it.
                self.context.network.charge_member(proposed.header.proposer, Fault::InvalidMessage);
                Verdict::Invalid
            }
        };
        Ok(Some(Input::Validated { block: digest, verdict }))
    }

    /// Judges again what waits; answers go to the machine.
    pub(super) async fn judge_waiting(&mut self) -> Result<(), DriverError> {
        for proposed in self.waiting.take() {
            if proposed.header.view < self.status.view {
                continue;
            }
            if let Some(answer) = self.judge(proposed)? {
                self.input(answer).await?;
            }
        }
        Ok(())
    }

    /// Gets a block that a quorum voted for: from memory, or from peers.
    fn fetch(&mut self, digest: BlockDigest, from: Option<MemberIndex>) -> Result<Option<Input>, DriverError> {
        if let Some(block) = self.blocks.get(&digest)? {
            self.turn.store_block(&block)?;
            return Ok(Some(Input::Fetched { header: block.header.clone() }));
        }
        if self.fetching.len() >= FETCHED_QUEUE_MAX || !self.fetching.insert(digest) {
            return Ok(None);
        }
        let others = self.context.epoch.others();
        let order = fetch::order(others, from, &digest);
        let (network, done) = (self.context.network.clone(), self.fetched.0.clone());
        let gathered = self.context.rebuilder.gathered(&digest);
        tokio::spawn(async move {
            // What is missing of it may be little, and on its way.
            if let Ok(Some(block)) = tokio::time::timeout(GATHERED_WITHIN, gathered).await {
                let _ = done.send((digest, Some(Block::clone(&block)))).await;
                return;
            }
            let found = fetch::fetch(&network, &order, digest).await;
            let _ = done.send((digest, found)).await;
        });
        Ok(None)
    }

    /// Takes a fetched block. That its transactions are the header's was checked when its bytes were decoded.
    pub(super) async fn on_fetched(&mut self, digest: BlockDigest, block: Option<Block>) -> Result<(), DriverError> {
        self.fetching.remove(&digest);
        let Some(block) = block else { return Ok(()) };
        let BlockHeader { epoch, view, .. } = block.header;
        if epoch != self.context.epoch.committee.epoch() || self.context.window.is_far_ahead(view) {
            // Finality would never come past it, so it would stay on the disk for ever.
            debug!(%digest, %epoch, %view, "a fetched block is of no view that anybody was in");
            return Ok(());
        }
        self.turn.store_block(&block)?;
        let header = block.header.clone();
        self.blocks.insert(Arc::new(block));
        self.input(Input::Fetched { header }).await
    }

    fn finalize(&mut self, chain: &[BlockHeader], certificate: Certificate) -> Result<(), DriverError> {
        let mut blocks = Vec::with_capacity(chain.len());
        for header in chain.iter().filter(|header| header.height > self.status.final_height) {
            let digest = header.digest();
            let Some(block) = self.blocks.get(&digest)? else {
                return Err(DriverError::BodyLost { height: header.height, digest });
            };
            blocks.push(block);
        }
        self.commit(blocks, certificate, Came::Live)
    }

    /// Writes down, for good, that safety is broken and what shows it, and ends attesting and posting. Returns why.
    pub(super) fn safety_broken(&mut self, certificates: &[Certificate]) -> Result<String, DriverError> {
        let why = if certificates.is_empty() {
            let liars: Vec<String> = self.reported.iter().map(|(_, liar)| liar.to_string()).collect();
            format!("evidence against members {}, a third of the weight or more", liars.join(", "))
        } else {
            broken::reason(certificates)
        };
        let why = self.halt(why, certificates)?;
        for certificate in certificates {
            self.turn.store_certificate(certificate)?;
        }
        error!(why, "safety is broken: a third of the stake lied; this node signs nothing more");
        Ok(why)
    }

    /// Remembers for good that safety was seen broken, and ends attesting and posting.
    pub(super) fn halt(&self, why: String, certificates: &[Certificate]) -> Result<String, DriverError> {
        let ledger = self.context.ledger.as_ref();
        let why = tokio::task::block_in_place(|| broken::mark(ledger, why, certificates))?;
        self.context.halt.cancel();
        Ok(why)
    }

    /// Lets the sign record and the ledger forget what lies so far below the final view that nobody can ask for it again, or
    /// that there is no room for. At the end of a turn: before it, a power cut could take back what makes the view final, and
    /// the restarted node would be in a view in which its record forbids it to sign.
    fn forget_old_statements(&mut self) -> Result<(), DriverError> {
        let final_view = self.machine.final_view().get();
        if final_view < self.forget_at {
            return Ok(());
        }
        self.forget_at = final_view.saturating_add(FORGET_EVERY_VIEWS);
        let (epoch, members) = (self.context.epoch.epoch, self.context.epoch.committee.len());
        let below = |kept| View::new(final_view.saturating_sub(kept));
        let end = (epoch, below(testimony::views_kept(members)));
        tokio::task::block_in_place(|| self.context.ledger.forget_votes((epoch, View::ZERO), end))?;
        let Some(signer) = &self.context.epoch.signer else { return Ok(()) };
        tokio::task::block_in_place(|| signer.forget_below(epoch, below(REMEMBERED_VIEWS))).map_err(DriverError::Signer)
    }

    /// Whether this node holds transactions that are not in a block yet, forced entries are due, or the epoch is to end.
    fn has_work(&self) -> bool {
        self.is_l1_work_due()
            || self.context.pool.lock().unwrap_or_else(std::sync::PoisonError::into_inner).has_executable()
    }

    fn note_signed(&self, statement: &Statement) -> Result<(), DriverError> {
        if let Some(digest) = statement.block()
            && let Some(block) = self.blocks.get(&digest)?
        {
            self.context.metrics.signed(block.header.height);
        }
        Ok(())
    }

    fn note_notarized(&mut self, certificate: &Certificate) -> Result<(), DriverError> {
        if let Statement::Notarize { block: digest, view, .. } = certificate.statement
            && let Some(block) = self.blocks.get(&digest)?
        {
            self.status.notarized_height = self.status.notarized_height.max(block.header.height);
            self.own_turns.notarized(view);
            self.turn.say(Said::Notarized(digest, block, view));
        }
        Ok(())
    }
}

/// Returns the message that proposes `block`: with its transactions' hashes alone where it is large.
fn proposal(block: &Block, notarize: SignedStatement) -> ConsensusMessage {
    if block.header.payload_bytes as usize <= COMPACT_ABOVE_BYTES {
        return ConsensusMessage::Proposal { block: block.clone(), notarize };
    }
    let transactions = block.transactions.iter().map(|transaction| *transaction.hash()).collect();
    let Block { header, forced, .. } = block.clone();
    ConsensusMessage::CompactProposal { header, notarize, forced, transactions }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::testing::{World, block_of, transfer};

    #[test]
    fn a_block_above_the_bound_travels_as_hashes() {
        let world = World::new(&[1]);
        let statement = Statement::Nullify { epoch: world.committee.epoch(), view: View::new(7) };
        let notarize = world.sign(0, statement);
        let envelope = transfer(0, COMPACT_ABOVE_BYTES).raw().len() - COMPACT_ABOVE_BYTES;
        let at = block_of(5, 7, vec![transfer(0, COMPACT_ABOVE_BYTES - envelope)]);
        assert_eq!(at.header.payload_bytes as usize, COMPACT_ABOVE_BYTES);
        let message = proposal(&at, notarize.clone());
        assert_eq!(message, ConsensusMessage::Proposal { block: at, notarize: notarize.clone() });

        let above = block_of(5, 7, vec![transfer(0, COMPACT_ABOVE_BYTES - envelope + 1)]);
        let transactions = vec![*above.transactions[0].hash()];
        let header = above.header.clone();
        assert_eq!(
            proposal(&above, notarize.clone()),
            ConsensusMessage::CompactProposal { header, notarize, forced: above.forced, transactions }
        );
    }
}
