//! What a member signs to show which peer speaks for it (protocol section 6).

use alloy_primitives::{B256, Bytes, keccak256};
use alloy_sol_types::SolValue;

use crate::Domain;

const PEER_PROOF_TYPE: &str = "PeerProof(uint64 l2ChainId,bytes signerPeerId,bytes challengerPeerId,bytes32 nonce)";

/// "I speak through this peer", said to one challenger, once.
///
/// Both ends are named, so that an answer serves nobody else: who passes a challenge on to the real member gets back a
/// proof that names itself as the challenger. Peer ids are the bytes of their multihash; they are of different lengths,
/// so EIP-712 has them hashed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeerProof {
    /// The peer that the signer speaks through.
    pub signer_peer_id: Bytes,
    /// The peer that asked.
    pub challenger_peer_id: Bytes,
    /// What the challenger picked at random, for this one answer.
    pub nonce: B256,
}

impl PeerProof {
    /// Returns the EIP-712 digest that is signed, under [`PEER_DST`](crate::PEER_DST) and no other ciphersuite.
    #[must_use]
    pub fn digest(&self, domain: &Domain) -> B256 {
        let fields = (
            keccak256(PEER_PROOF_TYPE),
            domain.l2_chain_id.get(),
            keccak256(&self.signer_peer_id),
            keccak256(&self.challenger_peer_id),
            self.nonce,
        );
        domain.typed(keccak256(fields.abi_encode_params()))
    }
}
