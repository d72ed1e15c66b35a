//! What a peer answers to a challenge: which keys it speaks for, with the proofs (protocol section 6).
//!
//! | what | bytes |
//! | --- | --- |
//! | challenge | nonce, 32 |
//! | claim | key 256, signature 48 |
//! | answer | one claim, or two of a sequencer that changes its key |
//! | "I am no member" | a zero byte |

use alloy_primitives::{B256, Bytes};
use baton_proto::{BlsPublicKey, BlsSignature, PeerProof};
use libp2p::PeerId;

use super::SPEAKERS_MAX;

/// Bytes of a challenge.
pub(super) const CHALLENGE_BYTES: usize = 32;

/// Bytes of a claim.
const CLAIM_BYTES: usize = BlsPublicKey::LENGTH + BlsSignature::LENGTH;

/// Most bytes of an answer to a challenge.
pub(super) const ANSWER_BYTES_MAX: usize = SPEAKERS_MAX * CLAIM_BYTES;

/// The answer of a peer that speaks for nobody.
const NO_MEMBER: [u8; 1] = [0];

/// A key, with its signature over the [`PeerProof`] of this peer, this challenger and this challenge.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) key: BlsPublicKey,
    pub(super) signature: BlsSignature,
}

/// An answer that is neither claims nor "I am no member".
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an answer of {got} bytes to a challenge, expected one to {SPEAKERS_MAX} times {CLAIM_BYTES}, or one zero byte"
)]
pub(super) struct MalformedClaim {
    got: usize,
}

impl Claim {
    /// Returns the bytes of an answer: at most [`SPEAKERS_MAX`] claims.
    pub(super) fn encode(claims: &[Self]) -> Vec<u8> {
        if claims.is_empty() {
            return NO_MEMBER.to_vec();
        }
        claims.iter().flat_map(|claim| [&claim.key.as_bytes()[..], claim.signature.as_bytes()].concat()).collect()
    }

    /// Reads an answer; a peer that claims nothing has no claims.
    ///
    /// # Errors
    /// [`MalformedClaim`].
    pub(super) fn decode(bytes: &[u8]) -> Result<Vec<Self>, MalformedClaim> {
        if bytes == NO_MEMBER {
            return Ok(Vec::new());
        }
        let malformed = || MalformedClaim { got: bytes.len() };
        if bytes.is_empty() || bytes.len() > ANSWER_BYTES_MAX {
            return Err(malformed());
        }
        let claim = |bytes: &[u8]| {
            let (key, signature) = bytes.split_at_checked(BlsPublicKey::LENGTH)?;
            Some(Self { key: BlsPublicKey::from_slice(key)?, signature: BlsSignature::from_slice(signature)? })
        };
        bytes.chunks(CLAIM_BYTES).map(|bytes| claim(bytes).ok_or_else(malformed)).collect()
    }
}

/// Returns what `signer` signs for `challenger`.
pub(super) fn statement(signer: &PeerId, challenger: &PeerId, nonce: B256) -> PeerProof {
    let bytes = |peer: &PeerId| Bytes::from(peer.to_bytes());
    PeerProof { signer_peer_id: bytes(signer), challenger_peer_id: bytes(challenger), nonce }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_one_form() {
        let claim = |fill| Claim { key: BlsPublicKey::new([fill; 256]), signature: BlsSignature::new([fill; 48]) };
        let one = Claim::encode(&[claim(7)]);
        let two = Claim::encode(&[claim(7), claim(8)]);
        assert_eq!((one.len(), two.len()), (CLAIM_BYTES, ANSWER_BYTES_MAX));
        assert_eq!(Claim::decode(&one), Ok(vec![claim(7)]));
        assert_eq!(Claim::decode(&two), Ok(vec![claim(7), claim(8)]));
        assert_eq!(Claim::decode(&Claim::encode(&[])), Ok(vec![]));
        let three = [one.as_slice(), &two].concat();
        for wrong in [&one[1..], &[one.as_slice(), &[0]].concat(), &two[1..], &three, &[1], &[0, 0], &[]] {
            assert_eq!(Claim::decode(wrong), Err(MalformedClaim { got: wrong.len() }));
        }
    }
}
