//! The votes of one view, counted by weight. A second, conflicting statement becomes evidence here.

use std::collections::{BTreeMap, BTreeSet};

use baton_proto::{BlsSignature, Evidence, MemberIndex, Offence, SignedStatement, SignerSet, Statement, StatementKind};

use crate::Verified;

/// The first statement of each kind that each member made in one view (R11), with what it was caught at.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    votes: BTreeMap<(StatementKind, MemberIndex), Verified<SignedStatement>>,
    reported: BTreeSet<(MemberIndex, Offence)>,
}

/// What a vote did to the tally.
#[derive(Debug, Default)]
pub(crate) struct Added {
    /// It is the member's first of its kind, and counts.
    pub(crate) counted: bool,
    /// Pairs that it completes: at most two, each reported for the first time.
    pub(crate) evidence: Vec<Evidence>,
}

impl Tally {
    /// Takes a vote. Only the first of each (signer, kind) counts; a different second one is evidence and is not kept.
    pub(crate) fn add(&mut self, vote: &Verified<SignedStatement>) -> Added {
        let (signer, kind) = (vote.signer, vote.statement.kind());
        let rivals = match kind {
            StatementKind::Notarize | StatementKind::Attest => [kind, kind],
            // Nullify beside Finalize is as punishable as two different Finalize.
            StatementKind::Finalize => [kind, StatementKind::Nullify],
            StatementKind::Nullify => [kind, StatementKind::Finalize],
        };
        let mut added = Added::default();
        for rival in rivals {
            let held = self.votes.get(&(rival, signer));
            let pair = held.and_then(|held| Evidence::new((**held).clone(), (**vote).clone()));
            if let Some(pair) = pair.filter(|pair| self.reported.insert((signer, pair.offence()))) {
                added.evidence.push(pair);
            }
        }
        self.votes.entry((kind, signer)).or_insert_with(|| {
            added.counted = true;
            vote.clone()
        });
        added
    }

    /// Returns the vote of this kind that counts for `signer`.
    pub(crate) fn vote(&self, kind: StatementKind, signer: MemberIndex) -> Option<&Verified<SignedStatement>> {
        self.votes.get(&(kind, signer))
    }

    /// Returns whether `signer` was caught at `offence` in this view.
    pub(crate) fn is_caught(&self, signer: MemberIndex, offence: Offence) -> bool {
        self.reported.contains(&(signer, offence))
    }

    /// Returns who made exactly this statement, and their signatures in the same order.
    pub(crate) fn signers(&self, statement: &Statement) -> (SignerSet, Vec<BlsSignature>) {
        let votes = self.votes.values().filter(|vote| vote.statement == *statement);
        votes.map(|vote| (vote.signer, vote.signature)).fold(
            (SignerSet::EMPTY, Vec::new()),
            |(mut set, mut list), vote| {
                set.insert(vote.0);
                list.push(vote.1);
                (set, list)
            },
        )
    }

    /// Returns how many votes are kept.
    pub(crate) fn len(&self) -> usize {
        self.votes.len()
    }

    /// Forgets the votes, and remembers who was caught at what.
    pub(crate) fn forget_votes(&mut self) {
        self.votes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use baton_proto::{BlockDigest, Epoch, View};

    fn block(number: u8) -> BlockDigest {
        BlockDigest::new([number; 32].into())
    }

    fn vote(signer: u8, statement: Statement) -> Verified<SignedStatement> {
        let signature = BlsSignature::new([signer; 48]);
        Verified::new(SignedStatement { statement, signer: MemberIndex::new(signer), signature })
    }

    fn notarize(number: u8) -> Statement {
        Statement::Notarize { epoch: Epoch::new(2), view: View::new(5), block: block(number) }
    }

    fn finalize(number: u8) -> Statement {
        Statement::Finalize { epoch: Epoch::new(2), view: View::new(5), block: block(number) }
    }

    const NULLIFY: Statement = Statement::Nullify { epoch: Epoch::new(2), view: View::new(5) };

    fn offences(added: &Added) -> Vec<Offence> {
        added.evidence.iter().map(Evidence::offence).collect()
    }

    #[test]
    fn a_vote_counts_once() {
        let mut tally = Tally::default();
        assert!(tally.add(&vote(1, notarize(1))).counted);
        assert!(!tally.add(&vote(1, notarize(1))).counted);
        assert!(tally.add(&vote(3, notarize(1))).counted);
        let (signers, signatures) = tally.signers(&notarize(1));
        assert_eq!((signers.bits(), signatures.len()), (0b1010, 2));
        assert!(tally.signers(&finalize(1)).0.is_empty());
    }

    #[test]
    fn two_notarizes_are_evidence_once_and_the_first_keeps_counting() {
        let mut tally = Tally::default();
        tally.add(&vote(1, notarize(1)));
        let second = tally.add(&vote(1, notarize(2)));
        assert_eq!((second.counted, offences(&second)), (false, vec![Offence::DoubleNotarize]));
        assert!(offences(&tally.add(&vote(1, notarize(3)))).is_empty());
        assert_eq!(tally.signers(&notarize(1)).0.len(), 1);
        assert!(tally.signers(&notarize(2)).0.is_empty());
        assert!(tally.is_caught(MemberIndex::new(1), Offence::DoubleNotarize));
    }

    #[test]
    fn nullify_and_finalize_are_evidence_in_either_order() {
        let mut tally = Tally::default();
        tally.add(&vote(1, NULLIFY));
        assert_eq!(offences(&tally.add(&vote(1, finalize(1)))), [Offence::NullifyFinalize]);
        assert_eq!(offences(&tally.add(&vote(1, finalize(2)))), [Offence::DoubleFinalize]);
        tally.add(&vote(2, finalize(1)));
        assert_eq!(offences(&tally.add(&vote(2, NULLIFY))), [Offence::NullifyFinalize]);
        assert!(offences(&tally.add(&vote(2, NULLIFY))).is_empty());
    }

    #[test]
    fn notarize_then_nullify_is_legal() {
        let mut tally = Tally::default();
        tally.add(&vote(1, notarize(1)));
        let added = tally.add(&vote(1, NULLIFY));
        assert!(added.counted && added.evidence.is_empty());
    }

    #[test]
    fn different_members_are_no_pair() {
        let mut tally = Tally::default();
        tally.add(&vote(1, notarize(1)));
        assert!(tally.add(&vote(2, notarize(2))).evidence.is_empty());
    }
}
