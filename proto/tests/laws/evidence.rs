//! Which two statements are an offence, and sets of signers.

use alloy_primitives::B256;
use baton_proto::{
    Attestation, BatchHash, BatchIndex, BlockDigest, BlsSignature, Certificate, Conflict, Epoch, Evidence, Height,
    MemberIndex, Offence, SignedStatement, SignerSet, Statement, View,
};
use proptest::prelude::*;

use crate::strategies::{config, evidence, sign_with, statement};

/// Every kind of statement, of two epochs, two views and two blocks.
fn all() -> Vec<Statement> {
    let mut all = Vec::new();
    for epoch in [2, 3].map(Epoch::new) {
        for view in [7, 8].map(View::new) {
            all.push(Statement::Nullify { epoch, view });
            for block in [1, 2].map(|fill| BlockDigest::new(B256::repeat_byte(fill))) {
                all.push(Statement::Notarize { epoch, view, block });
                all.push(Statement::Finalize { epoch, view, block });
            }
        }
        for (index, previous, header, height, block, state) in [
            (7, 0, 0, 9, 1, 0),
            (7, 0, 0, 9, 2, 0),
            (7, 0, 0, 9, 1, 1),
            // Whatever else differs, it is another batch, another end of it, or another encoding.
            (8, 0, 0, 9, 2, 1),
            (7, 1, 0, 9, 2, 1),
            (7, 0, 0, 8, 2, 1),
            (7, 0, 1, 9, 1, 0),
        ] {
            all.push(Statement::Attest(Attestation {
                committee_epoch: epoch,
                batch_index: BatchIndex::new(index),
                prev_batch_hash: BatchHash::new(B256::repeat_byte(previous)),
                header_hash: BatchHash::new(B256::repeat_byte(header)),
                last_height: Height::new(height),
                last_digest: BlockDigest::new(B256::repeat_byte(block)),
                state_root: B256::repeat_byte(state),
            }));
        }
    }
    all
}

/// The rule in other words than the code's: within one epoch and view, votes of one kind differ in their block, or one gives
/// the view up and the other finalizes it; and two attestations agree on the batch before and on the height, whatever their
/// committees, and on nothing more.
fn expected(a: &Statement, b: &Statement) -> Option<Offence> {
    if let (Statement::Attest(a), Statement::Attest(b)) = (a, b) {
        let told = |of: &Attestation| (of.batch_index, of.prev_batch_hash, of.last_height);
        let claimed = |of: &Attestation| (of.last_digest, of.state_root);
        return (told(a) == told(b) && claimed(a) != claimed(b)).then_some(Offence::ConflictingAttestations);
    }
    let same_view = a.epoch() == b.epoch() && a.view().is_some() && a.view() == b.view();
    let kinds = (a.kind().code().min(b.kind().code()), a.kind().code().max(b.kind().code()));
    match (same_view, kinds) {
        (true, (0, 0)) if a.block() != b.block() => Some(Offence::DoubleNotarize),
        (true, (1, 1)) if a.block() != b.block() => Some(Offence::DoubleFinalize),
        (true, (1, 2)) => Some(Offence::NullifyFinalize),
        _ => None,
    }
}

#[test]
fn every_pair_is_judged_by_the_rule() {
    let mut counts = [0; 4];
    for a in all() {
        for b in all() {
            let offence = Offence::of(&a, &b);
            assert_eq!(offence, expected(&a, &b), "{a:?} and {b:?}");
            if let Some(offence) = offence {
                counts[offence as usize] += 1;
            }
        }
    }
    // Per view: two orders of two blocks for S1 and S2; two orders of nullify with two blocks for S3. Four views. Three claims
    // about one height, one of them in two encodings, in two orders, each for either of two committees.
    assert_eq!(counts, [8, 8, 16, 40]);
}

#[test]
fn the_legal_pairs_are_legal() {
    let (epoch, view, block) = (Epoch::new(2), View::new(7), BlockDigest::new(B256::repeat_byte(1)));
    let notarize = Statement::Notarize { epoch, view, block };
    let nullify = Statement::Nullify { epoch, view };
    let finalize = Statement::Finalize { epoch, view, block };
    // Notarize, then a timeout; notarize, then finalize; the same vote twice.
    for (a, b) in [(notarize, nullify), (notarize, finalize), (notarize, notarize), (nullify, nullify)] {
        assert_eq!(Offence::of(&a, &b), None);
        assert_eq!(Offence::of(&b, &a), None);
    }
}

#[test]
fn evidence_is_of_one_signer() {
    let (epoch, view) = (Epoch::new(2), View::new(7));
    let sign = |statement, signer| SignedStatement {
        statement,
        signer: MemberIndex::new(signer),
        signature: BlsSignature::new([signer; 48]),
    };
    let nullify = Statement::Nullify { epoch, view };
    let finalize = Statement::Finalize { epoch, view, block: BlockDigest::ZERO };
    assert_eq!(Evidence::new(sign(nullify, 1), sign(finalize, 2)), None);
    let evidence = Evidence::new(sign(nullify, 1), sign(finalize, 1)).unwrap();
    assert_eq!(evidence.offence(), Offence::NullifyFinalize);
    assert_eq!((evidence.signer(), evidence.epoch(), evidence.view()), (MemberIndex::new(1), epoch, view));
    assert_eq!((evidence.first().statement, evidence.second().statement), (nullify, finalize));
}

#[test]
fn two_certificates_conflict_where_two_votes_do() {
    let certificate = |statement, bits| Certificate {
        statement,
        signers: SignerSet::from_bits(bits),
        signature: BlsSignature::new([1; 48]),
    };
    for a in all() {
        for b in all() {
            let conflict = Conflict::new(certificate(a, 0b0111), certificate(b, 0b1110));
            let is_vote = a.view().is_some();
            assert_eq!(conflict.is_some(), is_vote && expected(&a, &b).is_some(), "{a:?} and {b:?}");
            if let Some(conflict) = conflict {
                assert_eq!((conflict.signers().bits(), conflict.epoch()), (0b0110, a.epoch()));
                let among = [certificate(a, 0b0111), certificate(a, 1), certificate(b, 0b1110)];
                assert_eq!(Conflict::among(&among), Some(conflict));
            }
        }
    }
    let other_view = Statement::Nullify { epoch: Epoch::new(2), view: View::new(9) };
    assert_eq!(Conflict::among(&[certificate(other_view, 1), certificate(other_view, 2)]), None);
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn order_does_not_matter(a in statement(), b in statement()) {
        prop_assert_eq!(Offence::of(&a, &b), Offence::of(&b, &a));
        prop_assert_eq!(Offence::of(&a, &a), None);
    }

    #[test]
    fn evidence_names_what_both_share(evidence in evidence(), other in sign_with(statement())) {
        for signed in [evidence.first(), evidence.second()] {
            prop_assert_eq!(signed.signer, evidence.signer());
            prop_assert_eq!(signed.statement.epoch(), evidence.epoch());
            prop_assert_eq!(signed.statement.view().unwrap_or_default(), evidence.view());
        }
        let swapped = Evidence::new(evidence.second().clone(), evidence.first().clone());
        prop_assert_eq!(swapped.map(|swapped| swapped.offence()), Some(evidence.offence()));
        if other.signer != evidence.signer() {
            prop_assert_eq!(Evidence::new(evidence.first().clone(), other), None);
        }
    }

    #[test]
    fn a_signer_set_is_a_set(members in prop::collection::vec(0..=255_u8, 0..40)) {
        let mut set = SignerSet::EMPTY;
        let mut model = std::collections::BTreeSet::new();
        for &member in &members {
            // Only 128 members can be; a larger index is never added.
            prop_assert_eq!(set.insert(MemberIndex::new(member)), member < 128 && model.insert(member));
        }
        prop_assert_eq!(set.len() as usize, model.len());
        prop_assert_eq!(set.is_empty(), model.is_empty());
        prop_assert!(set.iter().map(MemberIndex::get).eq(model.iter().copied()));
        for member in 0..=255 {
            prop_assert_eq!(set.contains(MemberIndex::new(member)), model.contains(&member));
        }
        prop_assert_eq!(members.iter().copied().map(MemberIndex::new).collect::<SignerSet>(), set);
        prop_assert_eq!(SignerSet::from_bits(set.bits()), set);
    }
}

#[test]
fn bit_i_is_member_i() {
    let set: SignerSet = [0, 3, 127].map(MemberIndex::new).into_iter().collect();
    assert_eq!(set.bits(), 1 | 1 << 3 | 1 << 127);
    assert_eq!(SignerSet::from_bits(u128::MAX).len(), 128);
}
