//! What the machine and the verifier need of a multi-signature scheme.

use alloy_primitives::B256;
use baton_proto::{BlsPublicKey, BlsSignature};

use crate::bls::BlsError;

/// A scheme whose signatures of one message add up to one signature.
///
/// [`crate::MinSig`] is the only one outside tests. The simulations bring a cheap insecure one of their own, in test
/// code that no other crate can link.
pub trait Scheme: Send + Sync + 'static {
    /// A public key, decoded and checked once.
    type Key: Clone + Send + Sync;

    /// Decodes a key as the registry stores it.
    ///
    /// # Errors
    /// [`BlsError`] if the bytes are not the one canonical form of a valid, non-zero key.
    fn decode_key(key: &BlsPublicKey) -> Result<Self::Key, BlsError>;

    /// Returns whether `signature` is `key`'s over `message`, a statement's digest.
    fn verify(key: &Self::Key, message: &B256, signature: &BlsSignature) -> bool;

    /// Returns whether all of `claims` are true; never so for none. Cheaper than one after the other where a scheme can check
    /// them together.
    fn verify_claims(claims: &[Claim<'_, Self::Key>]) -> bool {
        let is_true =
            |claim: &Claim<'_, Self::Key>| Self::verify_aggregate(&claim.keys, &claim.message, claim.signature);
        !claims.is_empty() && claims.iter().all(is_true)
    }

    /// Adds signatures that are each verified already.
    ///
    /// # Errors
    /// [`BlsError`] if there are none, one does not decode, or the sum is zero.
    fn aggregate(signatures: &[BlsSignature]) -> Result<BlsSignature, BlsError>;

    /// Returns whether `signature` is the sum of all `keys`' signatures over the one `message`; never so for no keys.
    fn verify_aggregate(keys: &[&Self::Key], message: &B256, signature: &BlsSignature) -> bool;
}

/// What is claimed of a signature: that it is the sum of `keys`' signatures over `message`.
#[derive(Clone, Debug)]
pub struct Claim<'a, K> {
    /// Who signed: one for a vote, a quorum for a certificate.
    pub keys: Vec<&'a K>,
    /// A statement's digest.
    pub message: B256,
    /// The signature, as it came.
    pub signature: &'a BlsSignature,
}
