//! What others say: proposals and attestations, each kept where it belongs.

use std::sync::Arc;

use alloy_primitives::Address;
use baton_proto::{
    Attestation, BlsPublicKey, Evidence, SignedStatement, Statement, limits::COMMITTEE_MEMBERS_MAX,
    wire::ConsensusMessage,
};
use tokio::task::spawn_blocking;
use tracing::{debug, warn};

use super::{Work, judging::refuse};
use crate::{
    batcher::{BatchMessage, BatcherError, round::Held, rules::Situation},
    l1::InboxTip,
    ledger::{EvidenceOnL1, EvidenceRecord, LedgerError},
};

/// Proposals kept for the batch after the one that L1 waits for: one for each member.
const AHEAD_PROPOSALS_MAX: usize = COMMITTEE_MEMBERS_MAX;

impl Work {
    pub(super) async fn on_message(&mut self, message: BatchMessage) -> Result<(), BatcherError> {
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

    pub(super) fn on_proposal(&mut self, from: Address, held: Held) {
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
        let is_of_round = self.by.epoch == attestation.committee_epoch;
        let committee =
            if is_of_round { Some(Arc::clone(&self.by)) } else { self.context.epochs.of(attestation.committee_epoch) };
        let Some((committee, from)) =
            committee.and_then(|epoch| epoch.committee.index_of(from).map(|from| (epoch, from)))
        else {
            return Ok(());
        };
        let Some(key) = committee.committee.member(from).map(|member| member.key) else { return Ok(()) };
        let counts = if is_next {
            self.ahead_votes.wants(&key, &signed)
        } else {
            is_of_round && round.wants(&attestation, signed.signer)
        };
        // Another epoch's or batch's is none of this round's business, unless it shows that its signer lies.
        if !counts && !is_news_of_a_lie(&self.context.ledger.attestations(attestation.batch_index, &key)?, &attestation)
        {
            return Ok(());
        }
        if signed.signer != from {
            (self.context.charge)(committee.epoch, from, "an attestation of another member");
            return Ok(());
        }
        let verifier = Arc::clone(&committee.verifier);
        match spawn_blocking(move || verifier.verify(signed)).await? {
            // A later previous hash cannot be judged yet.
            Ok(verified) if counts && is_next => {
                if let Some(evidence) = self.ahead_votes.keep(&key, verified.into_inner()) {
                    self.accuse(evidence).await?;
                }
            }
            Ok(verified) => {
                self.hold_against(&key, &verified).await?;
                if counts && let Some(round) = &mut self.round {
                    round.attest(&verified);
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

    /// Counts what was attested ahead of L1 and is about the batch that L1 waits for by now.
    pub(super) async fn catch_up_with_votes(&mut self, tip: InboxTip) -> Result<(), BatcherError> {
        for (key, vote) in self.ahead_votes.take() {
            let is_next = |attestation: &Attestation| {
                (attestation.batch_index, attestation.prev_batch_hash) == (tip.next_index, tip.last_hash)
            };
            if !attestation_in(&vote.statement).is_some_and(is_next) {
                continue;
            }
            // Verified when it came.
            self.hold_against(&key, &vote).await?;
            if vote.statement.epoch() == self.by.epoch
                && let Some(round) = &mut self.round
            {
                round.attest(&vote);
            }
        }
        Ok(())
    }

    /// Keeps a true attestation and compares it with what its key attested of the same batch before: in an earlier life of this
    /// process as well, and for whichever committee. As many are kept as are ever counted, so whatever else its signer attests, two
    /// that contradict each other meet here.
    async fn hold_against(&self, key: &BlsPublicKey, signed: &SignedStatement) -> Result<(), BatcherError> {
        let Statement::Attest(attestation) = &signed.statement else { return Ok(()) };
        let ledger = &self.context.ledger;
        let kept = ledger.attestations(attestation.batch_index, key)?;
        if is_news_of_a_lie(&kept, attestation)
            && let Some(evidence) = kept.into_iter().find_map(|said| pair(said, signed.clone()))
        {
            self.accuse(evidence).await?;
        }
        Ok(ledger.keep_attestation(key, signed)?)
    }

    /// Hands evidence on, once it is on the disk: neither the end of this process nor a driver that is busy loses it. Of a member
    /// and an epoch L1 wants to see one pair.
    async fn accuse(&self, evidence: Evidence) -> Result<(), BatcherError> {
        let (ledger, found) = (Arc::clone(&self.context.ledger), evidence.clone());
        let is_new = spawn_blocking(move || -> Result<bool, LedgerError> {
            let place = |of: &Evidence| (of.epoch(), of.signer(), of.offence());
            if ledger.evidence()?.iter().any(|known| place(&known.evidence) == place(&found)) {
                return Ok(false);
            }
            ledger.put_evidence(&EvidenceRecord { evidence: found, l1: EvidenceOnL1::Open })?;
            Ok(true)
        });
        if !is_new.await?? {
            return Ok(());
        }
        warn!(member = %evidence.signer(), epoch = %evidence.epoch(), "a member attested two ends of one batch");
        // Its taker waits for the driver of whatever epoch runs, and no driver waits for this task.
        let told = self.context.cancel.run_until_cancelled(self.context.evidence.send(evidence)).await;
        if !matches!(told, Some(Ok(()))) {
            debug!("the node stops: the evidence is taken up at its next start");
        }
        Ok(())
    }
}

/// Whether `attestation` contradicts what is `kept` of the same key and batch, and nothing of that contradicts the rest already: one
/// pair is all that L1 punishes.
fn is_news_of_a_lie(kept: &[SignedStatement], attestation: &Attestation) -> bool {
    let said: Vec<&Attestation> = kept.iter().filter_map(|kept| attestation_in(&kept.statement)).collect();
    let contradicts = |one: &Attestation| said.iter().any(|said| said.conflicts_with(one));
    contradicts(attestation) && !said.iter().any(|said| contradicts(said))
}

const fn attestation_in(statement: &Statement) -> Option<&Attestation> {
    match statement {
        Statement::Attest(attestation) => Some(attestation),
        _ => None,
    }
}

/// Pairs two attestations of one key, if they contradict each other. The later committee says whose they are: L1 takes evidence of
/// its epoch for longer.
pub(super) fn pair(said: SignedStatement, now: SignedStatement) -> Option<Evidence> {
    let (first, mut second) = if said.statement.epoch() < now.statement.epoch() { (now, said) } else { (said, now) };
    second.signer = first.signer;
    Evidence::new(first, second)
}
