//! What the checks make of votes that were heard before: in an earlier life of the process, or in views long past.

use baton_proto::{MemberIndex, SignedStatement, StatementKind, wire::ConsensusMessage};
use tracing::warn;

use super::{
    super::testimony::{accused, views_kept},
    Checked, Intake,
};
use crate::ledger::{KeptVote, VoteCheck};

impl Intake {
    /// Returns, once, what members said before this process started, as if they said it again now: what was missed by a hair is
    /// completed, and what anybody says against it finds it waiting.
    pub(super) fn said_before(&mut self) -> Vec<(MemberIndex, ConsensusMessage)> {
        // Before that nothing is known of which views matter.
        if self.has_recalled || !self.window.is_set() {
            return Vec::new();
        }
        self.has_recalled = true;
        let mut said = Vec::new();
        for view in self.window.recent() {
            let kept = match self.ledger.votes(self.epoch, view) {
                Ok(kept) => kept,
                Err(error) => {
                    warn!(%error, "what was heard before the start could not be read");
                    break;
                }
            };
            let leader = if kept.is_empty() { continue } else { self.schedule.leader(view) };
            let leaders: Vec<SignedStatement> =
                kept.iter().filter(|kept| is_leaders(kept, leader)).cloned().map(|kept| kept.signed).collect();
            said.extend(kept.into_iter().map(|KeptVote { signed: vote, .. }| {
                let beside =
                    leaders.iter().find(|leaders| leaders.statement == vote.statement && vote.signer != leader);
                (vote.signer, ConsensusMessage::Vote { leader: beside.map(|leaders| leaders.signature), vote })
            }));
        }
        said
    }

    /// Finds the offences that a message about a view long past proves with what was heard then. The machine has forgotten
    /// that view, or may have. What is new about it is kept, for who lies may say the other half later still.
    pub(super) fn accuse(&mut self, from: MemberIndex, message: &ConsensusMessage, found: &mut Vec<Checked>) {
        let view = match message {
            ConsensusMessage::Vote { vote, .. } => vote.statement.view(),
            ConsensusMessage::Proposal { notarize, .. } | ConsensusMessage::CompactProposal { notarize, .. } => {
                notarize.statement.view()
            }
            _ => None,
        };
        if message.epoch() != self.epoch || !view.is_some_and(|view| self.window.is_old(view)) {
            return;
        }
        let pairs = accused(self.ledger.as_ref(), &self.context, from, message).unwrap_or_else(|error| {
            warn!(%error, "what was heard long ago could not be read");
            Vec::new()
        });
        let own = match message {
            ConsensusMessage::Vote { vote: own, .. }
            | ConsensusMessage::Proposal { notarize: own, .. }
            | ConsensusMessage::CompactProposal { notarize: own, .. } => Some(own),
            _ => None,
        };
        let oldest = self.window.final_view().get().saturating_sub(views_kept(self.context.committee.len()));
        let is_kept = |own: &SignedStatement| own.statement.view().is_some_and(|view| view.get() >= oldest);
        if let Some(own) = own.filter(|own| own.signer == from && is_kept(own)) {
            self.testimony.note(own, VoteCheck::Unchecked);
        }
        for evidence in pairs {
            // One pair for each member is all that L1 punishes.
            if self.convicted.contains(&evidence.signer()) {
                continue;
            }
            let mut holds = |signed: &SignedStatement| self.statement(signed.clone()).is_some();
            if holds(evidence.first()) && holds(evidence.second()) {
                self.convicted.insert(evidence.signer());
                found.push(Checked::Evidence(evidence));
            } else {
                self.refuse(from, "a late vote with an invalid signature");
            }
        }
    }
}

fn is_leaders(kept: &KeptVote, leader: MemberIndex) -> bool {
    let KeptVote { signed, check } = kept;
    // What nobody has checked of the leader must not make a voter look like a liar.
    signed.signer == leader && signed.statement.kind() == StatementKind::Notarize && *check == VoteCheck::Checked
}
