//! BLS12-381 with signatures in G1 and keys in G2: sign, prove possession, add up, check.
//!
//! A key travels in the 256-byte form that the registry stores (EIP-2537: x.c0, x.c1, y.c0, y.c1, each left-padded to 64
//! bytes), a signature as a compressed point of 48 bytes. Every point is checked to be in its subgroup and not zero, and
//! only the one canonical encoding of a key is taken: two encodings of one key would be two identities.

use std::{collections::BTreeMap, fmt};

use alloy_primitives::{Address, B256, keccak256};
use baton_proto::{
    BlsPublicKey, BlsSignature, Domain, MemberIndex, PEER_DST, POSSESSION_DST, PeerProof, STATEMENT_DST,
    SignedStatement, Statement,
};
use blst::{BLST_ERROR, MultiPoint as _, blst_p1_affine, blst_p2_affine, min_sig};
use zeroize::Zeroizing;

use crate::{Claim, Scheme, Verified};

/// Bytes of a field element.
const FIELD_BYTES: usize = 48;
/// Zero bytes that EIP-2537 puts before a field element.
const PADDING_BYTES: usize = 16;
/// Bytes of a field element in EIP-2537's form.
const WORD_BYTES: usize = FIELD_BYTES + PADDING_BYTES;

/// Bits of the factors under which signatures are checked together.
const FACTOR_BITS: usize = u128::BITS as usize;

/// Why bytes are not a key or a signature.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum BlsError {
    #[error("the 16 bytes before a key's coordinate are not zero")]
    DirtyPadding,
    #[error("not a point in canonical encoding")]
    Encoding,
    #[error("the point is not in the subgroup")]
    Subgroup,
    #[error("the zero point is neither a key nor a signature")]
    Zero,
    #[error("a secret key is 32 big-endian bytes between 1 and the group's order")]
    SecretKey,
    #[error("no signatures to add up")]
    Nothing,
}

/// A consensus key. Its memory is overwritten when it is dropped, and it prints as `[redacted]`.
///
/// It signs statements, possession proofs and peer proofs and nothing else: there is no way to have it sign a digest of
/// one's choice.
#[derive(Clone)]
pub struct SecretKey(min_sig::SecretKey);

impl SecretKey {
    /// Derives a key from 32 bytes of secret randomness.
    #[must_use]
    pub fn generate(ikm: &[u8; 32]) -> Self {
        Self(min_sig::SecretKey::key_gen(ikm, &[]).expect("32 bytes are enough key material"))
    }

    /// Reads a key from 32 big-endian bytes.
    ///
    /// # Errors
    /// [`BlsError::SecretKey`] if the number is zero or not below the group's order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, BlsError> {
        min_sig::SecretKey::from_bytes(bytes).map(Self).map_err(|_| BlsError::SecretKey)
    }

    /// Returns the 32 big-endian bytes, for the key file.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// Returns the public key as the registry stores it.
    #[must_use]
    pub fn public_key(&self) -> BlsPublicKey {
        encode_key(&self.0.sk_to_pk())
    }

    /// Signs a statement for one chain. Whoever calls this has recorded the statement durably before.
    #[must_use]
    pub fn sign(&self, statement: &Statement, domain: &Domain) -> BlsSignature {
        self.sign_message(&statement.digest(domain), STATEMENT_DST)
    }

    /// Proves to the registry that the caller holds the key on behalf of `owner`.
    #[must_use]
    pub fn prove_possession(&self, domain: &Domain, owner: Address) -> BlsSignature {
        self.sign_message(&domain.possession_message(owner, &self.public_key()), POSSESSION_DST)
    }

    /// Proves to a challenger that the caller speaks through the peer that `proof` names.
    #[must_use]
    pub fn prove_peer(&self, proof: &PeerProof, domain: &Domain) -> BlsSignature {
        self.sign_message(&proof.digest(domain), PEER_DST)
    }

    /// Signs a statement as the committee's member `signer`. What was made here with the key needs no check before it is
    /// counted; whoever calls this has found the key's public half at that place of the committee.
    #[must_use]
    pub fn sign_as(&self, signer: MemberIndex, statement: &Statement, domain: &Domain) -> Verified<SignedStatement> {
        let signature = self.sign(statement, domain);
        Verified::new(SignedStatement { statement: *statement, signer, signature })
    }

    fn sign_message(&self, message: &B256, dst: &[u8]) -> BlsSignature {
        BlsSignature::new(self.0.sign(message.as_slice(), dst, &[]).compress())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey([redacted])")
    }
}

/// Returns whether `proof` shows that `owner` holds `key`, as `SequencerRegistry.register` checks it.
#[must_use]
pub fn verify_possession(domain: &Domain, owner: Address, key: &BlsPublicKey, proof: &BlsSignature) -> bool {
    let Ok(point) = decode_key(key) else { return false };
    verify_message(&point, &domain.possession_message(owner, key), POSSESSION_DST, proof)
}

/// Adds up signatures: of one statement for a certificate, of two for evidence.
///
/// # Errors
/// [`BlsError`] if there are none, one is not a valid point, or the sum is zero.
pub fn aggregate(signatures: &[BlsSignature]) -> Result<BlsSignature, BlsError> {
    sum(signatures, decode_signature)
}

/// Adds up what `decode` makes of the signatures; a sum of points of the subgroup is one too.
fn sum(
    signatures: &[BlsSignature],
    decode: impl Fn(&BlsSignature) -> Result<min_sig::Signature, BlsError>,
) -> Result<BlsSignature, BlsError> {
    let points = signatures.iter().map(decode).collect::<Result<Vec<_>, _>>()?;
    let points: Vec<&min_sig::Signature> = points.iter().collect();
    if points.is_empty() {
        return Err(BlsError::Nothing);
    }
    let sum = min_sig::AggregateSignature::aggregate(&points, false).map_err(|error| named(&error))?;
    let sum = sum.to_signature();
    if blst_p1_affine::from(sum) == blst_p1_affine::default() {
        return Err(BlsError::Zero);
    }
    Ok(BlsSignature::new(sum.compress()))
}

/// Returns the 128 bytes that the contracts take: x and y, each left-padded to 64.
///
/// # Errors
/// [`BlsError`] if the signature is not a valid point.
pub fn to_eip2537(signature: &BlsSignature) -> Result<[u8; 128], BlsError> {
    let point = decode_signature(signature)?.serialize();
    let mut bytes = [0; 128];
    for (word, element) in bytes.chunks_exact_mut(WORD_BYTES).zip(point.chunks_exact(FIELD_BYTES)) {
        for (byte, value) in word.iter_mut().skip(PADDING_BYTES).zip(element) {
            *byte = *value;
        }
    }
    Ok(bytes)
}

/// BLS12-381, signatures in G1: half the size of the other choice, and cheaper to check on L1.
#[derive(Clone, Copy, Debug)]
pub struct MinSig;

/// A decoded public key: on the curve, in the subgroup, not zero.
#[derive(Clone, Debug)]
pub struct DecodedKey(min_sig::PublicKey);

impl MinSig {
    /// Returns whether `signature` is `key`'s over `digest`, a peer proof's digest.
    pub(crate) fn verify_peer(key: &DecodedKey, digest: &B256, signature: &BlsSignature) -> bool {
        verify_message(&key.0, digest, PEER_DST, signature)
    }
}

impl Scheme for MinSig {
    type Key = DecodedKey;

    fn decode_key(key: &BlsPublicKey) -> Result<DecodedKey, BlsError> {
        decode_key(key).map(DecodedKey)
    }

    fn verify(key: &DecodedKey, message: &B256, signature: &BlsSignature) -> bool {
        verify_message(&key.0, message, STATEMENT_DST, signature)
    }

    /// One product of pairings for all, with one term for each message: claims of one message are added up, each but the first
    /// multiplied by a factor of its own, and so are the messages. Plain sums would not do, for two members together could
    /// shift their signatures so that the errors cancel.
    ///
    /// The factors are a hash of all that is checked, so the answer is the same everywhere, and whoever wants a batch with a
    /// wrong signature to pass has to find one among 2¹²⁷ (small exponents: Bellare, Garay and Rabin 1998).
    fn verify_claims(claims: &[Claim<'_, DecodedKey>]) -> bool {
        match claims {
            [] => false,
            [claim] => Self::verify_aggregate(&claim.keys, &claim.message, claim.signature),
            _ => verify_together(claims).is_some_and(|holds| holds),
        }
    }

    /// That each lies in its subgroup was found when it was verified, so their bytes are only decoded.
    fn aggregate(signatures: &[BlsSignature]) -> Result<BlsSignature, BlsError> {
        sum(signatures, |signature| min_sig::Signature::uncompress(signature.as_bytes()).map_err(|error| named(&error)))
    }

    fn verify_aggregate(keys: &[&DecodedKey], message: &B256, signature: &BlsSignature) -> bool {
        sum_of_keys(keys).is_some_and(|sum| verify_message(&sum, message, STATEMENT_DST, signature))
    }
}

/// Returns the key under which the sum of `keys`' signatures holds: none for no keys, or for keys that cancel out.
fn sum_of_keys(keys: &[&DecodedKey]) -> Option<min_sig::PublicKey> {
    let keys: Vec<&min_sig::PublicKey> = keys.iter().map(|key| &key.0).collect();
    let sum = min_sig::AggregatePublicKey::aggregate(&keys, false).ok()?.to_public_key();
    (blst_p2_affine::from(sum) != blst_p2_affine::default()).then_some(sum)
}

/// Returns whether all claims are true; `None` if one is not even of points that could make it so.
fn verify_together(claims: &[Claim<'_, DecodedKey>]) -> Option<bool> {
    let mut factors = Factors::of(claims.len());
    let mut messages: BTreeMap<B256, (Vec<min_sig::PublicKey>, Vec<min_sig::Signature>)> = BTreeMap::new();
    for claim in claims {
        let key = sum_of_keys(&claim.keys)?;
        factors.cover(&[claim.message.as_slice(), &key.serialize(), claim.signature.as_bytes()]);
        let (keys, signatures) = messages.entry(claim.message).or_default();
        keys.push(key);
        signatures.push(decode_signature(claim.signature).ok()?);
    }
    let mut pairing = blst::Pairing::new(true, STATEMENT_DST);
    for (place, (message, (keys, signatures))) in messages.iter().enumerate() {
        let (key, signature) = add_up(keys, signatures, &mut factors)?;
        let (key, signature) = (blst_p2_affine::from(key), blst_p1_affine::from(signature));
        let added = match place {
            0 => pairing.aggregate(&key, false, &signature, false, message.as_slice(), &[]),
            _ => {
                let factor = factors.next(1);
                pairing.mul_n_aggregate(&key, false, &signature, false, &factor, FACTOR_BITS, message.as_slice(), &[])
            }
        };
        if added != BLST_ERROR::BLST_SUCCESS {
            return None;
        }
    }
    pairing.commit();
    Some(pairing.finalverify(None))
}

/// Adds up keys and signatures of one message, each but the first multiplied by a factor of its own.
fn add_up(
    keys: &[min_sig::PublicKey],
    signatures: &[min_sig::Signature],
    factors: &mut Factors,
) -> Option<(min_sig::PublicKey, min_sig::Signature)> {
    let ((first_key, keys), (first, signatures)) = (keys.split_first()?, signatures.split_first()?);
    if keys.is_empty() {
        return Some((*first_key, *first));
    }
    let factors = factors.next(keys.len());
    let mut key = keys.mult(&factors, FACTOR_BITS);
    let mut signature = signatures.mult(&factors, FACTOR_BITS);
    key.add_public_key(first_key, false).ok()?;
    signature.add_signature(first, false).ok()?;
    Some((key.to_public_key(), signature.to_signature()))
}

/// Numbers of [`FACTOR_BITS`], little-endian, none of them zero, that depend on all that is checked with them.
struct Factors {
    covered: Vec<u8>,
    drawn: u64,
}

impl Factors {
    fn of(claims: usize) -> Self {
        Self { covered: (claims as u64).to_le_bytes().to_vec(), drawn: 0 }
    }

    /// Makes all numbers that are drawn from now on depend on `parts`.
    fn cover(&mut self, parts: &[&[u8]]) {
        let all = [&[self.covered.as_slice()], parts].concat().concat();
        self.covered = keccak256(all).to_vec();
    }

    fn next(&mut self, count: usize) -> Vec<u8> {
        let factor = |place: u64| {
            let [first, rest @ ..] = keccak256([self.covered.as_slice(), &place.to_le_bytes()].concat()).0;
            std::iter::once(first | 1).chain(rest).take(FACTOR_BITS / 8)
        };
        let factors = (self.drawn..).take(count).flat_map(factor).collect();
        self.drawn = self.drawn.saturating_add(count as u64);
        factors
    }
}

fn verify_message(key: &min_sig::PublicKey, message: &B256, dst: &[u8], signature: &BlsSignature) -> bool {
    decode_signature(signature).is_ok_and(|point| holds(key, message, dst, &point))
}

/// Checks the pairing equation for points of their subgroups. Several members can hold keys that cancel out: their sum is no
/// key, and nothing holds under it.
fn holds(key: &min_sig::PublicKey, message: &B256, dst: &[u8], signature: &min_sig::Signature) -> bool {
    blst_p2_affine::from(*key) != blst_p2_affine::default()
        && signature.verify(false, message.as_slice(), dst, &[], key, false) == BLST_ERROR::BLST_SUCCESS
}

fn decode_signature(signature: &BlsSignature) -> Result<min_sig::Signature, BlsError> {
    let point = min_sig::Signature::uncompress(signature.as_bytes()).map_err(|error| named(&error))?;
    point.validate(true).map_err(|error| named(&error))?;
    Ok(point)
}

fn decode_key(key: &BlsPublicKey) -> Result<min_sig::PublicKey, BlsError> {
    let mut elements = [[0_u8; FIELD_BYTES]; 4];
    for (element, word) in elements.iter_mut().zip(key.as_bytes().chunks_exact(WORD_BYTES)) {
        let (padding, value) = word.split_at(PADDING_BYTES);
        if padding.iter().any(|byte| *byte != 0) {
            return Err(BlsError::DirtyPadding);
        }
        element.copy_from_slice(value);
    }
    // EIP-2537 writes c0 before c1; the usual serialization, which blst reads, has c1 first.
    let [x_c0, x_c1, y_c0, y_c1] = elements;
    if elements == [[0; FIELD_BYTES]; 4] {
        return Err(BlsError::Zero);
    }
    let bytes = [x_c1, x_c0, y_c1, y_c0].concat();
    let point = min_sig::PublicKey::deserialize(&bytes).map_err(|error| named(&error))?;
    point.validate().map_err(|error| named(&error))?;
    // The top bits of the first byte are flags to blst; here they would be a second encoding.
    if encode_key(&point) != *key {
        return Err(BlsError::Encoding);
    }
    Ok(point)
}

fn encode_key(point: &min_sig::PublicKey) -> BlsPublicKey {
    let mut words = [[0_u8; WORD_BYTES]; 4];
    for (word, element) in words.iter_mut().zip(point.serialize().chunks_exact(FIELD_BYTES)) {
        for (byte, value) in word.iter_mut().skip(PADDING_BYTES).zip(element) {
            *byte = *value;
        }
    }
    let [x_c1, x_c0, y_c1, y_c0] = words;
    BlsPublicKey::from_slice(&[x_c0, x_c1, y_c0, y_c1].concat()).expect("four words are 256 bytes")
}

fn named(error: &BLST_ERROR) -> BlsError {
    match error {
        BLST_ERROR::BLST_POINT_NOT_IN_GROUP => BlsError::Subgroup,
        BLST_ERROR::BLST_PK_IS_INFINITY => BlsError::Zero,
        _ => BlsError::Encoding,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::Bytes;
    use baton_proto::{BlockDigest, Epoch, L1ChainId, L2ChainId, View};

    fn domain() -> Domain {
        Domain {
            l1_chain_id: L1ChainId::new(31_337),
            registry: Address::repeat_byte(0x52),
            l2_chain_id: L2ChainId::new(42_069),
        }
    }

    fn key(number: u8) -> SecretKey {
        SecretKey::generate(&[number; 32])
    }

    fn statement(number: u8) -> Statement {
        let block = BlockDigest::new(B256::repeat_byte(number));
        Statement::Finalize { epoch: Epoch::new(2), view: View::new(1), block }
    }

    fn decoded(number: u8) -> DecodedKey {
        MinSig::decode_key(&key(number).public_key()).unwrap()
    }

    fn digest(number: u8) -> B256 {
        statement(number).digest(&domain())
    }

    /// The first x from 1 on that lies on the curve; hardly any point outside the subgroup's cofactor lies in it.
    fn on_curve<const N: usize, T>(decode: impl Fn(&[u8; N]) -> Option<T>) -> T {
        let candidates = (1..=u8::MAX).map(|x| {
            let mut bytes = [0; N];
            bytes[0] = 0x80;
            bytes[N - 1] = x;
            bytes
        });
        candidates.into_iter().find_map(|bytes| decode(&bytes)).unwrap()
    }

    #[test]
    fn a_signature_holds_for_its_key_statement_and_chain_only() {
        let signature = key(1).sign(&statement(1), &domain());
        assert_eq!(signature, key(1).sign(&statement(1), &domain()), "the identical bytes after a crash");
        assert!(MinSig::verify(&decoded(1), &digest(1), &signature));
        assert!(!MinSig::verify(&decoded(2), &digest(1), &signature), "wrong key");
        assert!(!MinSig::verify(&decoded(1), &digest(2), &signature), "wrong statement");
        let elsewhere = Domain { l2_chain_id: L2ChainId::new(1), ..domain() };
        assert!(!MinSig::verify(&decoded(1), &statement(1).digest(&elsewhere), &signature), "wrong chain");
    }

    #[test]
    fn signatures_of_one_statement_add_up() {
        let parts: Vec<BlsSignature> = (1..=4).map(|n| key(n).sign(&statement(1), &domain())).collect();
        let sum = aggregate(&parts).unwrap();
        let keys: Vec<DecodedKey> = (1..=5).map(decoded).collect();
        let refs: Vec<&DecodedKey> = keys.iter().collect();
        assert!(MinSig::verify_aggregate(&refs[..4], &digest(1), &sum));
        assert!(!MinSig::verify_aggregate(&refs[..3], &digest(1), &sum), "one signer too few");
        assert!(!MinSig::verify_aggregate(&refs[..5], &digest(1), &sum), "one signer too many");
        assert!(!MinSig::verify_aggregate(&refs[..4], &digest(2), &sum), "another statement");
        assert!(!MinSig::verify_aggregate(&[], &digest(1), &sum), "nobody");
        assert_eq!(aggregate(&[]), Err(BlsError::Nothing));
    }

    /// That member `signer` said what `message` stands for.
    fn claim<'a>(key: &'a DecodedKey, message: u8, signature: &'a BlsSignature) -> Claim<'a, DecodedKey> {
        Claim { keys: vec![key], message: digest(message), signature }
    }

    #[test]
    fn many_are_checked_together_and_each_counts() {
        let keys: Vec<DecodedKey> = (1..=9).map(decoded).collect();
        // All say the same; each says something else; two, two and five say the same.
        for said in [[1; 9], [1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 1, 2, 3, 3, 3, 3, 3]] {
            let sign = |(n, said): (u8, u8)| key(n).sign(&statement(said), &domain());
            let good: Vec<BlsSignature> = (1..=9).zip(said).map(sign).collect();
            let holds = |signatures: &[BlsSignature]| {
                let claims: Vec<_> = keys
                    .iter()
                    .zip(said)
                    .zip(signatures)
                    .map(|((key, said), signature)| claim(key, said, signature))
                    .collect();
                MinSig::verify_claims(&claims)
            };
            for count in 1..=9 {
                assert!(holds(&good[..count]), "{said:?}: {count}");
            }
            for place in 0..9 {
                let mut bad = good.clone();
                bad[place] = key(1 + place as u8).sign(&statement(10), &domain());
                assert!(!holds(&bad), "{said:?}: a wrong one at {place}");
            }
            // The sum of all is right, and neither of the two is.
            let mut swapped = good.clone();
            swapped.swap(3, 4);
            assert_eq!(aggregate(&swapped), aggregate(&good));
            assert!(!holds(&swapped), "{said:?}");
        }
        assert!(!MinSig::verify_claims(&[]), "no claim at all");
    }

    #[test]
    fn certificates_and_votes_are_checked_together() {
        let keys: Vec<DecodedKey> = (1..=4).map(decoded).collect();
        let sum = aggregate(&[1, 2, 3].map(|n| key(n).sign(&statement(1), &domain()))).unwrap();
        let quorum = |message| Claim { keys: keys[..3].iter().collect(), message: digest(message), signature: &sum };
        let same = key(4).sign(&statement(1), &domain());
        let other = key(4).sign(&statement(2), &domain());
        assert!(MinSig::verify_claims(&[quorum(1), claim(&keys[3], 1, &same), claim(&keys[3], 2, &other)]));
        assert!(!MinSig::verify_claims(&[quorum(2), claim(&keys[3], 1, &same)]));
        assert!(!MinSig::verify_claims(&[quorum(1), claim(&keys[3], 1, &other)]));
        let nobody = Claim { keys: Vec::new(), message: digest(1), signature: &sum };
        assert!(!MinSig::verify_claims(&[nobody, claim(&keys[3], 2, &other)]), "nobody signs nothing");
    }

    #[test]
    fn a_proof_of_possession_is_no_statement_and_no_statement_is_a_proof() {
        let owner = Address::repeat_byte(7);
        let public = key(1).public_key();
        let proof = key(1).prove_possession(&domain(), owner);
        assert!(verify_possession(&domain(), owner, &public, &proof));
        assert!(!verify_possession(&domain(), Address::repeat_byte(8), &public, &proof), "another owner");
        assert!(!verify_possession(&domain(), owner, &key(2).public_key(), &proof), "another key");
        let elsewhere = Domain { registry: Address::ZERO, ..domain() };
        assert!(!verify_possession(&elsewhere, owner, &public, &proof), "another registry");
        // Even over the very same 32 bytes: the ciphersuites differ.
        let message = domain().possession_message(owner, &public);
        assert!(!MinSig::verify(&decoded(1), &message, &proof));
        let as_statement = key(1).sign_message(&message, STATEMENT_DST);
        assert!(MinSig::verify(&decoded(1), &message, &as_statement));
        assert!(!verify_possession(&domain(), owner, &public, &as_statement));
    }

    #[test]
    fn a_peer_proof_names_both_ends_the_nonce_and_the_chain() {
        let peer = |byte| Bytes::from(vec![byte; 38]);
        let proof = PeerProof { signer_peer_id: peer(1), challenger_peer_id: peer(2), nonce: B256::repeat_byte(3) };
        let signature = key(1).prove_peer(&proof, &domain());
        let holds =
            |proof: &PeerProof, domain: &Domain| MinSig::verify_peer(&decoded(1), &proof.digest(domain), &signature);
        assert!(holds(&proof, &domain()));
        assert!(!MinSig::verify_peer(&decoded(2), &proof.digest(&domain()), &signature), "another member");
        assert!(!holds(&PeerProof { signer_peer_id: peer(9), ..proof.clone() }, &domain()), "another signer");
        assert!(!holds(&PeerProof { challenger_peer_id: peer(9), ..proof.clone() }, &domain()), "another challenger");
        let turned = PeerProof { signer_peer_id: peer(2), challenger_peer_id: peer(1), nonce: B256::repeat_byte(3) };
        assert!(!holds(&turned, &domain()), "the other way round");
        assert!(!holds(&PeerProof { nonce: B256::ZERO, ..proof.clone() }, &domain()), "another nonce");
        assert!(!holds(&proof, &Domain { l2_chain_id: L2ChainId::new(1), ..domain() }), "another chain");
    }

    /// Over the very same 32 bytes, so that only the ciphersuites tell the three uses of a key apart.
    #[test]
    fn statements_possession_and_peer_proofs_never_pass_for_each_other() {
        let owner = Address::repeat_byte(7);
        let public = key(1).public_key();
        let message = domain().possession_message(owner, &public);
        let under = |dst| key(1).sign_message(&message, dst);
        for dst in [STATEMENT_DST, POSSESSION_DST, PEER_DST] {
            let signature = under(dst);
            assert_eq!(MinSig::verify(&decoded(1), &message, &signature), dst == STATEMENT_DST);
            assert_eq!(verify_possession(&domain(), owner, &public, &signature), dst == POSSESSION_DST);
            assert_eq!(MinSig::verify_peer(&decoded(1), &message, &signature), dst == PEER_DST);
        }
        // And as they are made: a proof's own digest, a statement's own digest.
        let peer = Bytes::from(vec![1; 38]);
        let proof = PeerProof { signer_peer_id: peer.clone(), challenger_peer_id: peer, nonce: message };
        let proven = key(1).prove_peer(&proof, &domain());
        assert!(!MinSig::verify(&decoded(1), &proof.digest(&domain()), &proven));
        assert!(!verify_possession(&domain(), owner, &public, &proven));
        let signed = key(1).sign(&statement(1), &domain());
        assert!(!MinSig::verify_peer(&decoded(1), &digest(1), &signed));
    }

    #[test]
    fn points_outside_the_subgroup_are_refused() {
        let stray = on_curve(|bytes: &[u8; 48]| min_sig::Signature::uncompress(bytes).ok());
        let stray = BlsSignature::new(stray.compress());
        assert_eq!(aggregate(&[stray]), Err(BlsError::Subgroup));
        assert_eq!(to_eip2537(&stray), Err(BlsError::Subgroup));
        assert!(!MinSig::verify(&decoded(1), &digest(1), &stray));
        let stray = on_curve(|bytes: &[u8; 96]| min_sig::PublicKey::uncompress(bytes).ok());
        assert_eq!(MinSig::decode_key(&encode_key(&stray)).unwrap_err(), BlsError::Subgroup);
    }

    #[test]
    fn zero_is_neither_key_nor_signature() {
        let mut zero = [0; 48];
        zero[0] = 0xc0;
        let zero = BlsSignature::new(zero);
        assert_eq!(aggregate(&[zero]), Err(BlsError::Zero));
        assert!(!MinSig::verify(&decoded(1), &digest(1), &zero));
        assert_eq!(MinSig::decode_key(&BlsPublicKey::new([0; 256])).unwrap_err(), BlsError::Zero);
        assert_eq!(SecretKey::from_bytes(&[0; 32]).unwrap_err(), BlsError::SecretKey);
        assert_eq!(SecretKey::from_bytes(&[0xff; 32]).unwrap_err(), BlsError::SecretKey);
    }

    #[test]
    fn keys_that_cancel_out_certify_nothing() {
        let own = decoded(1);
        let mut compressed = own.0.compress();
        compressed[0] ^= 0x20;
        let negative = min_sig::PublicKey::uncompress(&compressed).unwrap();
        assert!(negative.validate().is_ok());
        let mut zero = [0; 48];
        zero[0] = 0xc0;
        assert!(!MinSig::verify_aggregate(&[&own, &DecodedKey(negative)], &digest(1), &BlsSignature::new(zero)));
        let mut opposite = *key(1).sign(&statement(1), &domain()).as_bytes();
        opposite[0] ^= 0x20;
        let pair = [key(1).sign(&statement(1), &domain()), BlsSignature::new(opposite)];
        assert_eq!(aggregate(&pair), Err(BlsError::Zero));
    }

    #[test]
    fn a_key_has_one_encoding() {
        let good = *key(1).public_key().as_bytes();
        for place in [0, 15, 64, 128 + 3, 192 + 15] {
            let mut dirty = good;
            dirty[place] = 1;
            assert_eq!(MinSig::decode_key(&BlsPublicKey::new(dirty)).unwrap_err(), BlsError::DirtyPadding);
        }
        // Flags of the usual serialization stand in the top bits of x.c1, the second word.
        for flag in [0x20, 0x40, 0x80] {
            let mut flagged = good;
            flagged[64 + 16] |= flag;
            assert!(MinSig::decode_key(&BlsPublicKey::new(flagged)).is_err(), "flag {flag:#x}");
        }
        let mut swapped = good;
        swapped.rotate_left(64);
        assert!(MinSig::decode_key(&BlsPublicKey::new(swapped)).is_err());
        let mut beyond = good;
        beyond[16..64].fill(0xff);
        assert!(MinSig::decode_key(&BlsPublicKey::new(beyond)).is_err(), "a coordinate above the field's order");
        assert_eq!(encode_key(&decoded(1).0), key(1).public_key());
    }

    #[test]
    fn the_contracts_form_of_a_signature_is_padded() {
        let signature = key(1).sign(&statement(1), &domain());
        let long = to_eip2537(&signature).unwrap();
        assert_eq!((&long[..16], &long[64..80]), ([0; 16].as_slice(), [0; 16].as_slice()));
        // The flags of the compressed form stand before x.
        assert_eq!(long[17..64], signature.as_bytes()[1..]);
        assert_eq!(long[16], signature.as_bytes()[0] & 0x1f);
        assert_eq!(to_eip2537(&BlsSignature::new([0; 48])), Err(BlsError::Encoding));
    }

    #[test]
    fn a_secret_key_survives_its_file_and_never_prints() {
        let key = key(1);
        let again = SecretKey::from_bytes(&key.to_bytes()).unwrap();
        assert_eq!(again.public_key(), key.public_key());
        assert_eq!(format!("{key:?}"), "SecretKey([redacted])");
    }
}
