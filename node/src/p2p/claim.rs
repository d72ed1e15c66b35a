//! What a peer answers to a challenge: which key it speaks for, with the proof (protocol section 6).
//!
//! | what | bytes |
//! | --- | --- |
//! | challenge | nonce, 32 |
//! | claim | key 256, signature 48 |
//! | "I am no member" | a zero byte |

use alloy_primitives::{B256, Bytes};
use baton_proto::{BlsPublicKey, BlsSignature, PeerProof};
use libp2p::PeerId;

/// Bytes of a challenge.
pub(super) const CHALLENGE_BYTES: usize = 32;

/// Most bytes of an answer to one.
pub(super) const CLAIM_BYTES_MAX: usize = BlsPublicKey::LENGTH + BlsSignature::LENGTH;

/// The answer of a peer that speaks for nobody.
const NO_MEMBER: [u8; 1] = [0];

/// A key, with its signature over the [`PeerProof`] of this peer, this challenger and this challenge.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) key: BlsPublicKey,
    pub(super) signature: BlsSignature,
}

/// An answer that is neither a claim nor "I am no member".
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an answer of {got} bytes to a challenge, expected {CLAIM_BYTES_MAX}, or one zero byte")]
pub(super) struct MalformedClaim {
    got: usize,
}

impl Claim {
    /// Returns the bytes of an answer.
    pub(super) fn encode(claim: Option<&Self>) -> Vec<u8> {
        match claim {
            None => NO_MEMBER.to_vec(),
            Some(claim) => [&claim.key.as_bytes()[..], claim.signature.as_bytes()].concat(),
        }
    }

    /// Reads an answer; `None` is a peer that claims nothing.
    ///
    /// # Errors
    /// [`MalformedClaim`].
    pub(super) fn decode(bytes: &[u8]) -> Result<Option<Self>, MalformedClaim> {
        if bytes == NO_MEMBER {
            return Ok(None);
        }
        let malformed = || MalformedClaim { got: bytes.len() };
        let (key, signature) = bytes.split_at_checked(BlsPublicKey::LENGTH).ok_or_else(malformed)?;
        let key = BlsPublicKey::from_slice(key).ok_or_else(malformed)?;
        let signature = BlsSignature::from_slice(signature).ok_or_else(malformed)?;
        Ok(Some(Self { key, signature }))
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
        let claim = Claim { key: BlsPublicKey::new([7; 256]), signature: BlsSignature::new([9; 48]) };
        let bytes = Claim::encode(Some(&claim));
        assert_eq!(bytes.len(), CLAIM_BYTES_MAX);
        assert_eq!(Claim::decode(&bytes), Ok(Some(claim)));
        assert_eq!(Claim::decode(&Claim::encode(None)), Ok(None));
        for wrong in [&bytes[1..], &[bytes.as_slice(), &[0]].concat(), &[1], &[0, 0], &[]] {
            assert_eq!(Claim::decode(wrong), Err(MalformedClaim { got: wrong.len() }));
        }
    }
}
