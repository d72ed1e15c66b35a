//! One view: what its leader proposed, who voted, what we said, which certificates we hold.

use std::collections::BTreeMap;

use baton_proto::{BlockDigest, Certificate, MemberIndex, Offence, SignedStatement, Statement, StatementKind};

use crate::{Verdict, Verified, tally::Tally};

/// Everything known about one view.
#[derive(Debug)]
pub(crate) struct ViewState {
    /// L(v).
    pub(crate) leader: MemberIndex,
    /// The first header from the leader: the only one we may vote for.
    pub(crate) proposal: Option<BlockDigest>,
    /// A different second one. A third is refused: nothing more is to be learned from it.
    pub(crate) second: Option<BlockDigest>,
    /// The driver is judging `proposal`, or has.
    pub(crate) validation: Validation,
    /// Everybody's votes.
    pub(crate) votes: Tally,
    /// Our own statements, by kind: at most one each (I1, I2).
    pub(crate) own: BTreeMap<StatementKind, Own>,
    /// When we decided to finalize.
    pub(crate) finalizing_since_ms: Option<u64>,
    /// A quorum of Notarize.
    pub(crate) notarization: Option<Verified<Certificate>>,
    /// A quorum of Nullify.
    pub(crate) nullification: Option<Verified<Certificate>>,
    /// A quorum of Finalize.
    pub(crate) finalization: Option<Verified<Certificate>>,
    /// The notarized block, once its body is stored and its parent is certified or final: blocks may be built on it.
    pub(crate) certified: Option<BlockDigest>,
}

/// Where the judgement of a proposal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validation {
    NotAsked,
    Asked,
    Done(Verdict),
}

/// One statement of our own.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    pub(crate) statement: Statement,
    pub(crate) state: OwnState,
}

/// How far a statement of our own has come.
#[derive(Clone, Debug)]
pub(crate) enum OwnState {
    /// The sign record holds it from before a restart; not said again yet.
    Recorded,
    /// [`crate::Effect::Sign`] is out.
    Asked,
    /// Durable and signed: it may be sent.
    Signed(Box<Verified<SignedStatement>>),
    /// The sign record forbade it: we are silent about this for good.
    Refused,
}

impl ViewState {
    pub(crate) fn new(leader: MemberIndex) -> Self {
        Self {
            leader,
            proposal: None,
            second: None,
            validation: Validation::NotAsked,
            votes: Tally::default(),
            own: BTreeMap::new(),
            finalizing_since_ms: None,
            notarization: None,
            nullification: None,
            finalization: None,
            certified: None,
        }
    }

    /// Returns whether the leader was seen to propose twice.
    pub(crate) fn is_equivocated(&self) -> bool {
        self.second.is_some() || self.votes.is_caught(self.leader, Offence::DoubleNotarize)
    }

    /// Returns whether the leader itself gave the view up.
    pub(crate) fn is_given_up_by_leader(&self) -> bool {
        self.votes.vote(StatementKind::Nullify, self.leader).is_some()
    }

    /// Returns whether we said, or asked to say, something of this kind. What the sign record refused was not said.
    pub(crate) fn has_said(&self, kind: StatementKind) -> bool {
        self.own.get(&kind).is_some_and(|own| !matches!(own.state, OwnState::Refused))
    }

    /// Returns our statement of this kind if it may be sent.
    pub(crate) fn signed(&self, kind: StatementKind) -> Option<&Verified<SignedStatement>> {
        match self.own.get(&kind).map(|own| &own.state) {
            Some(OwnState::Signed(signed)) => Some(signed),
            _ => None,
        }
    }

    /// Returns the place for a certificate of this kind; attestations have none here.
    pub(crate) fn slot(&mut self, kind: StatementKind) -> Option<&mut Option<Verified<Certificate>>> {
        match kind {
            StatementKind::Notarize => Some(&mut self.notarization),
            StatementKind::Nullify => Some(&mut self.nullification),
            StatementKind::Finalize => Some(&mut self.finalization),
            StatementKind::Attest => None,
        }
    }

    /// Returns the block that a quorum notarized in this view: a quorum of Finalize says so as well.
    pub(crate) fn notarized(&self) -> Option<BlockDigest> {
        let certificate = self.notarization.as_ref().or(self.finalization.as_ref());
        certificate.and_then(|certificate| certificate.statement.block())
    }

    /// Returns a held certificate that cannot stand beside `got` while less than a third is Byzantine (S4).
    pub(crate) fn contradicted(&self, got: &Certificate) -> Option<&Verified<Certificate>> {
        let other_block = |held: &&Verified<Certificate>| held.statement.block() != got.statement.block();
        match got.statement.kind() {
            StatementKind::Notarize => self.notarization.as_ref().filter(other_block),
            StatementKind::Nullify => self.finalization.as_ref(),
            StatementKind::Finalize => self.finalization.as_ref().filter(other_block).or(self.nullification.as_ref()),
            StatementKind::Attest => None,
        }
    }
}
