//! Statements and certificates whose signatures are checked, as types of their own.

use std::{ops::Deref, sync::Arc};

use baton_proto::{
    BlsSignature, Certificate, Domain, Epoch, Evidence, MemberIndex, PeerProof, SignedStatement, SignerSet,
};

use crate::{Claim, Committee, MinSig, Scheme, bls::BlsError};

/// Something whose signature has been checked against the committee of its epoch.
///
/// Only [`Verifier`] makes one, [`crate::SecretKey::sign_as`] of a node's own, and the machine when it adds up verified
/// votes; the machine accepts nothing else, so no handler can forget a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    pub(crate) const fn new(checked: T) -> Self {
        Self(checked)
    }

    /// Returns what was checked, for sending or storing.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Why a statement or certificate is not accepted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum VerifyError {
    #[error("statement of epoch {got}, but the committee is that of epoch {expected}")]
    WrongEpoch { expected: Epoch, got: Epoch },
    #[error("member {got} claims to sign, but the committee has {members}")]
    NotAMember { got: MemberIndex, members: usize },
    #[error("bitmap {:#x} has a bit beyond the {members} members", signers.bits())]
    SignerBeyond { signers: SignerSet, members: usize },
    #[error("signers have weight {signed} of {total}, not more than two thirds")]
    BelowQuorum { signed: u128, total: u128 },
    #[error("the signature does not match")]
    InvalidSignature,
}

impl VerifyError {
    /// Returns whether only a faulty or lying peer sends such a thing. A statement of another epoch can just be late.
    #[must_use]
    pub const fn is_peer_fault(&self) -> bool {
        match self {
            Self::WrongEpoch { .. } => false,
            Self::NotAMember { .. } | Self::SignerBeyond { .. } | Self::BelowQuorum { .. } | Self::InvalidSignature => {
                true
            }
        }
    }
}

/// A member of the committee has a key that is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("key of member {member}: {error}")]
pub struct KeyError {
    /// Whose key.
    pub member: MemberIndex,
    /// What is wrong with it.
    pub error: BlsError,
}

/// Checks signatures of one epoch's committee on one chain. Share it by `Arc`; it is for worker threads.
#[derive(Debug)]
pub struct Verifier<S: Scheme = MinSig> {
    domain: Domain,
    committee: Arc<Committee>,
    keys: Vec<S::Key>,
}

impl Verifier {
    /// Decodes and checks every key of the committee, once.
    ///
    /// # Errors
    /// [`KeyError`] names the member whose key is refused; the registry checks keys at registration, so this points at
    /// a false committee.
    pub fn new(domain: Domain, committee: Arc<Committee>) -> Result<Self, KeyError> {
        Self::with_scheme(domain, committee)
    }

    /// Returns whether `signature` is `member`'s over `proof` on this chain; about 1 ms.
    #[must_use]
    pub fn verify_peer(&self, member: MemberIndex, proof: &PeerProof, signature: &BlsSignature) -> bool {
        let key = self.keys.get(member.as_usize());
        key.is_some_and(|key| MinSig::verify_peer(key, &proof.digest(&self.domain), signature))
    }
}

impl<S: Scheme> Verifier<S> {
    /// Like [`Verifier::new`], for any scheme.
    ///
    /// # Errors
    /// See [`Verifier::new`].
    pub fn with_scheme(domain: Domain, committee: Arc<Committee>) -> Result<Self, KeyError> {
        let decode = |(member, entry): (MemberIndex, &crate::CommitteeMember)| {
            S::decode_key(&entry.key).map_err(|error| KeyError { member, error })
        };
        let keys = committee.indices().zip(committee.members()).map(decode).collect::<Result<_, _>>()?;
        Ok(Self { domain, committee, keys })
    }

    /// Returns the chain whose statements are checked.
    #[must_use]
    pub const fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Returns the committee whose statements are checked.
    #[must_use]
    pub const fn committee(&self) -> &Arc<Committee> {
        &self.committee
    }

    /// Checks one member's statement; about 1 ms.
    ///
    /// # Errors
    /// [`VerifyError`] says what is wrong.
    pub fn verify(&self, signed: SignedStatement) -> Result<Verified<SignedStatement>, VerifyError> {
        if !S::verify_claims(&[self.claim(&signed)?]) {
            return Err(VerifyError::InvalidSignature);
        }
        Ok(Verified(signed))
    }

    /// Checks that one key signed both statements of `evidence`, that of its signer in its epoch; about 1 ms. The second may be an
    /// attestation for another committee.
    ///
    /// # Errors
    /// [`VerifyError`] says what is wrong.
    pub fn verify_evidence(&self, evidence: &Evidence) -> Result<(), VerifyError> {
        self.check_epoch(evidence.epoch())?;
        let claims = [self.claim_by_place(evidence.first())?, self.claim_by_place(evidence.second())?];
        if S::verify_claims(&claims) { Ok(()) } else { Err(VerifyError::InvalidSignature) }
    }

    /// Checks a certificate: bitmap, weight, then the one signature; about 1 ms, however many signed.
    ///
    /// # Errors
    /// [`VerifyError`] says what is wrong.
    pub fn verify_certificate(&self, certificate: Certificate) -> Result<Verified<Certificate>, VerifyError> {
        if !S::verify_claims(&[self.claim_of_quorum(&certificate)?]) {
            return Err(VerifyError::InvalidSignature);
        }
        Ok(Verified(certificate))
    }

    /// Checks what several members said: for little more than one costs where all say the same, and for a third otherwise. Each
    /// result holds for its own statement all the same, because who spoils such a check is looked for by halves.
    pub fn verify_all(&self, signed: Vec<SignedStatement>) -> Vec<Result<Verified<SignedStatement>, VerifyError>> {
        let mut found: Vec<Result<(), VerifyError>> = Vec::new();
        let mut claims: Vec<(usize, Claim<'_, S::Key>)> = Vec::new();
        for (place, signed) in signed.iter().enumerate() {
            found.push(self.claim(signed).map(|claim| claims.push((place, claim))));
        }
        // Halves fall between statements, so that a lie about one leaves the others together.
        claims.sort_by_key(|(_, claim)| claim.message);
        let (places, claims): (Vec<usize>, Vec<_>) = claims.into_iter().unzip();
        for false_one in false_claims::<S>(&claims) {
            if let Some(found) = places.get(false_one).and_then(|place| found.get_mut(*place)) {
                *found = Err(VerifyError::InvalidSignature);
            }
        }
        signed.into_iter().zip(found).map(|(signed, found)| found.map(|()| Verified(signed))).collect()
    }

    /// Checks statements and certificates in one go: for each but the first it costs a third of what it costs alone. None if
    /// any of them does not hold; who spoils it is not looked for, so that many lies cost one such check and no more.
    #[must_use]
    pub fn verify_together(&self, signed: Vec<SignedStatement>, certificates: Vec<Certificate>) -> Option<Together> {
        let claims = signed.iter().map(|signed| self.claim(signed));
        let claims = claims.chain(certificates.iter().map(|certificate| self.claim_of_quorum(certificate)));
        let claims = claims.collect::<Result<Vec<_>, VerifyError>>().ok()?;
        let signed_and_certificates = |_| {
            let certificates = certificates.iter().cloned().map(Verified).collect();
            (signed.iter().cloned().map(Verified).collect(), certificates)
        };
        S::verify_claims(&claims).then_some(()).map(signed_and_certificates)
    }

    fn claim<'a>(&'a self, signed: &'a SignedStatement) -> Result<Claim<'a, S::Key>, VerifyError> {
        self.check_epoch(signed.statement.epoch())?;
        self.claim_by_place(signed)
    }

    fn claim_by_place<'a>(&'a self, signed: &'a SignedStatement) -> Result<Claim<'a, S::Key>, VerifyError> {
        let key = self.keys.get(signed.signer.as_usize());
        let key = key.ok_or(VerifyError::NotAMember { got: signed.signer, members: self.keys.len() })?;
        Ok(Claim { keys: vec![key], message: signed.statement.digest(&self.domain), signature: &signed.signature })
    }

    fn claim_of_quorum<'a>(&'a self, certificate: &'a Certificate) -> Result<Claim<'a, S::Key>, VerifyError> {
        self.check_epoch(certificate.statement.epoch())?;
        let signers = certificate.signers;
        let members = self.keys.len();
        let signed = self.committee.weight_of(signers).ok_or(VerifyError::SignerBeyond { signers, members })?;
        if !self.committee.is_quorum(signers) {
            let total = u128::from(self.committee.total_weight().get());
            return Err(VerifyError::BelowQuorum { signed, total });
        }
        let keys = signers.iter().filter_map(|index| self.keys.get(index.as_usize())).collect();
        Ok(Claim { keys, message: certificate.statement.digest(&self.domain), signature: &certificate.signature })
    }

    fn check_epoch(&self, got: Epoch) -> Result<(), VerifyError> {
        let expected = self.committee.epoch();
        if got == expected { Ok(()) } else { Err(VerifyError::WrongEpoch { expected, got }) }
    }
}

/// Statements and certificates that were checked in one go.
pub type Together = (Vec<Verified<SignedStatement>>, Vec<Verified<Certificate>>);

/// Returns the places of the claims that are false: all are checked together, and by halves if that fails.
fn false_claims<S: Scheme>(claims: &[Claim<'_, S::Key>]) -> Vec<usize> {
    if claims.is_empty() || S::verify_claims(claims) {
        return Vec::new();
    }
    if claims.len() == 1 {
        return vec![0];
    }
    let middle = claims.len().div_ceil(2);
    let (first, second) = claims.split_at(middle);
    let second = false_claims::<S>(second).into_iter().map(|place| middle.saturating_add(place));
    false_claims::<S>(first).into_iter().chain(second).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CommitteeMember, SecretKey, aggregate};
    use alloy_primitives::{Address, B256};
    use baton_proto::{
        Attestation, BatchHash, BatchIndex, BlockDigest, BlsPublicKey, BlsSignature, Height, L1ChainId, L2ChainId,
        Statement, View, Weight,
    };

    fn domain() -> Domain {
        Domain {
            l1_chain_id: L1ChainId::new(31_337),
            registry: Address::repeat_byte(0x52),
            l2_chain_id: L2ChainId::new(42_069),
        }
    }

    fn key(index: u8) -> SecretKey {
        SecretKey::generate(&[index.wrapping_add(1); 32])
    }

    fn committee(weights: &[u64]) -> Committee {
        let member = |(weight, index): (&u64, u8)| CommitteeMember {
            owner: Address::repeat_byte(index),
            fee_recipient: Address::ZERO,
            weight: Weight::new(*weight),
            key: key(index).public_key(),
        };
        Committee::new(Epoch::new(2), weights.iter().zip(0..).map(member).collect()).unwrap()
    }

    fn verifier() -> Verifier {
        Verifier::new(domain(), Arc::new(committee(&[32, 28, 22, 18]))).unwrap()
    }

    fn nullify(epoch: u64) -> Statement {
        Statement::Nullify { epoch: Epoch::new(epoch), view: View::new(3) }
    }

    fn signed(signer: u8, statement: Statement) -> SignedStatement {
        SignedStatement {
            statement,
            signer: MemberIndex::new(signer),
            signature: key(signer).sign(&statement, &domain()),
        }
    }

    fn certificate(signers: &[u8], statement: Statement) -> Certificate {
        let parts: Vec<BlsSignature> = signers.iter().map(|signer| signed(*signer, statement).signature).collect();
        let signers: SignerSet = signers.iter().copied().map(MemberIndex::new).collect();
        Certificate { statement, signers, signature: aggregate(&parts).unwrap() }
    }

    #[test]
    fn a_statement_is_its_signers_own_in_this_epoch() {
        let verifier = verifier();
        assert!(verifier.verify(signed(0, nullify(2))).is_ok());
        let stolen = SignedStatement { signer: MemberIndex::new(1), ..signed(0, nullify(2)) };
        assert_eq!(verifier.verify(stolen), Err(VerifyError::InvalidSignature));
        let nobody = SignedStatement { signer: MemberIndex::new(4), ..signed(0, nullify(2)) };
        assert_eq!(verifier.verify(nobody), Err(VerifyError::NotAMember { got: MemberIndex::new(4), members: 4 }));
        let late = verifier.verify(signed(0, nullify(1))).unwrap_err();
        assert_eq!(late, VerifyError::WrongEpoch { expected: Epoch::new(2), got: Epoch::new(1) });
        assert!(!late.is_peer_fault() && VerifyError::InvalidSignature.is_peer_fault());
    }

    #[test]
    fn two_attestations_for_two_committees_are_evidence_under_one_key() {
        let verifier = verifier();
        let attest = |epoch, block| {
            Statement::Attest(Attestation {
                committee_epoch: Epoch::new(epoch),
                batch_index: BatchIndex::new(5),
                prev_batch_hash: BatchHash::ZERO,
                header_hash: BatchHash::ZERO,
                last_height: Height::new(9),
                last_digest: BlockDigest::new(B256::repeat_byte(block)),
                state_root: B256::ZERO,
            })
        };
        let pair = |first, second| Evidence::new(signed(1, first), signed(1, second)).unwrap();
        assert_eq!(verifier.verify_evidence(&pair(attest(2, 1), attest(2, 2))), Ok(()));
        assert_eq!(verifier.verify_evidence(&pair(attest(2, 1), attest(19, 2))), Ok(()));
        // The place is one in the committee of the first.
        let other_way = verifier.verify_evidence(&pair(attest(19, 1), attest(2, 2)));
        assert_eq!(other_way, Err(VerifyError::WrongEpoch { expected: Epoch::new(2), got: Epoch::new(19) }));
        for bad in 0..2 {
            let mut said = [signed(1, attest(2, 1)), signed(1, attest(19, 2))];
            said[bad].signature = signed(2, said[bad].statement).signature;
            let [first, second] = said;
            let forged = Evidence::new(first, second).unwrap();
            assert_eq!(verifier.verify_evidence(&forged), Err(VerifyError::InvalidSignature));
        }
        let nobodys = |block| SignedStatement { signer: MemberIndex::new(4), ..signed(1, attest(2, block)) };
        let nobody = VerifyError::NotAMember { got: MemberIndex::new(4), members: 4 };
        assert_eq!(verifier.verify_evidence(&Evidence::new(nobodys(1), nobodys(2)).unwrap()), Err(nobody));
    }

    #[test]
    fn among_many_each_gets_its_own_answer() {
        let verifier = verifier();
        let good: Vec<SignedStatement> = (0..4).map(|signer| signed(signer, nullify(2))).collect();
        assert!(verifier.verify_all(good.clone()).iter().all(Result::is_ok));
        assert!(verifier.verify_all(Vec::new()).is_empty());
        for bad in 0..4 {
            let mut one_bad = good.clone();
            one_bad[bad].signature = good[(bad + 1) % 4].signature;
            let results = verifier.verify_all(one_bad);
            let refused: Vec<usize> = (0..4).filter(|place| results[*place].is_err()).collect();
            assert_eq!(refused, [bad]);
            assert_eq!(results[bad], Err(VerifyError::InvalidSignature));
        }
        let nobody = SignedStatement { signer: MemberIndex::new(4), ..signed(0, nullify(2)) };
        let mixed = vec![signed(0, nullify(2)), signed(1, nullify(1)), nobody, signed(3, nullify(2))];
        let results: Vec<bool> = verifier.verify_all(mixed).iter().map(Result::is_ok).collect();
        assert_eq!(results, [true, false, false, true]);
    }

    #[test]
    fn statements_and_certificates_hold_together_or_none_of_them_does() {
        let verifier = verifier();
        let other = |view| Statement::Nullify { epoch: Epoch::new(2), view: View::new(view) };
        let good = certificate(&[1, 2, 3], nullify(2));
        let said = vec![signed(0, other(4)), signed(0, nullify(2)), signed(1, other(4))];
        let (statements, certificates) = verifier.verify_together(said.clone(), vec![good.clone()]).unwrap();
        assert_eq!(statements.into_iter().map(Verified::into_inner).collect::<Vec<_>>(), said);
        assert_eq!(certificates.into_iter().map(Verified::into_inner).collect::<Vec<_>>(), std::slice::from_ref(&good));

        let false_one = Certificate { statement: other(7), ..good.clone() };
        for bad in [false_one, certificate(&[0, 1], nullify(2)), certificate(&[1, 2, 3], nullify(3))] {
            assert!(verifier.verify_together(said.clone(), vec![good.clone(), bad]).is_none());
        }
        for bad in [SignedStatement { statement: other(5), ..signed(1, other(4)) }, signed(1, nullify(3))] {
            assert!(verifier.verify_together([said.clone(), vec![bad]].concat(), vec![good.clone()]).is_none());
        }
    }

    #[test]
    fn a_certificate_needs_a_quorum_by_weight_and_the_sum_of_exactly_its_signers() {
        let verifier = verifier();
        let verify = |certificate| verifier.verify_certificate(certificate);
        assert!(verify(certificate(&[1, 2, 3], nullify(2))).is_ok());
        let light = VerifyError::BelowQuorum { signed: 60, total: 100 };
        assert_eq!(verify(certificate(&[0, 1], nullify(2))), Err(light));
        let good = certificate(&[1, 2, 3], nullify(2));
        let more = Certificate { signers: SignerSet::from_bits(0b1111), ..good.clone() };
        assert_eq!(verify(more), Err(VerifyError::InvalidSignature));
        let signers = SignerSet::from_bits(0b1_1110);
        let beyond = Certificate { signers, ..good.clone() };
        assert_eq!(verify(beyond), Err(VerifyError::SignerBeyond { signers, members: 4 }));
        let none = Certificate { signers: SignerSet::EMPTY, ..good.clone() };
        assert_eq!(verify(none), Err(VerifyError::BelowQuorum { signed: 0, total: 100 }));
        let other = Certificate { statement: Statement::Nullify { epoch: Epoch::new(2), view: View::new(4) }, ..good };
        assert_eq!(verify(other), Err(VerifyError::InvalidSignature));
        assert!(matches!(verify(certificate(&[1, 2, 3], nullify(3))), Err(VerifyError::WrongEpoch { .. })));
    }

    #[test]
    fn a_peer_proof_is_of_the_member_that_signed_it() {
        let peer = |byte: u8| alloy_primitives::Bytes::from(vec![byte; 38]);
        let nonce = alloy_primitives::B256::repeat_byte(5);
        let proof = PeerProof { signer_peer_id: peer(1), challenger_peer_id: peer(2), nonce };
        let signature = key(2).prove_peer(&proof, &domain());
        let proven = [0, 1, 2, 3, 4].map(|member| verifier().verify_peer(MemberIndex::new(member), &proof, &signature));
        assert_eq!(proven, [false, false, true, false, false]);
    }

    #[test]
    fn a_committee_with_a_bad_key_has_no_verifier() {
        let mut members = committee(&[1, 1]).members().to_vec();
        members[1].key = BlsPublicKey::new([0; 256]);
        let committee = Arc::new(Committee::new(Epoch::new(2), members).unwrap());
        let error = Verifier::new(domain(), committee).unwrap_err();
        assert_eq!((error.member, error.error), (MemberIndex::new(1), BlsError::Zero));
    }
}
