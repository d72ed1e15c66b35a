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
    ledger::LedgerError,
};

/// Proposals kept for the batch after the one that L1 waits for: one for each member.
const AHEAD_PROPOSALS_MAX: usize = COMMITTEE_MEMBERS_MAX;

/// Attestations kept for the batch after the one that L1 waits for: four for each member, as for the present one.
const AHEAD_VOTES_MAX: usize = 4 * COMMITTEE_MEMBERS_MAX;

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
        // A later previous hash cannot be judged yet; the statement is kept as long as there is room.
        let counts = if is_next {
            self.ahead_votes.len() < AHEAD_VOTES_MAX && !self.ahead_votes.contains(&signed)
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
            Ok(verified) => {
                self.hold_against(&key, &verified)?;
                match &mut self.round {
                    _ if counts && is_next => self.ahead_votes.push(verified.into_inner()),
                    Some(round) if counts => round.attest(&verified),
                    _ => {}
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

    /// Keeps a true attestation and compares it with what its key attested of the same batch before: in an earlier life of this
    /// process as well, and for whichever committee.
    fn hold_against(&self, key: &BlsPublicKey, signed: &SignedStatement) -> Result<(), LedgerError> {
        let Statement::Attest(attestation) = &signed.statement else { return Ok(()) };
        let ledger = &self.context.ledger;
        let kept = ledger.attestations(attestation.batch_index, key)?;
        if let Some(evidence) = kept.into_iter().find_map(|said| pair(said, signed.clone())) {
            self.accuse(evidence);
        }
        ledger.keep_attestation(key, signed)
    }

    /// Hands evidence on. Whoever has so much of it that there is no room is busy with the same offenders.
    fn accuse(&self, evidence: Evidence) {
        warn!(member = %evidence.signer(), epoch = %evidence.epoch(), "a member attested two ends of one batch");
        if self.context.evidence.try_send(evidence).is_err() {
            debug!("nobody takes the evidence");
        }
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
fn pair(said: SignedStatement, now: SignedStatement) -> Option<Evidence> {
    let (first, mut second) = if said.statement.epoch() < now.statement.epoch() { (now, said) } else { (said, now) };
    second.signer = first.signer;
    Evidence::new(first, second)
}
