//! Bytes from peers and from disk become this crate's types here, and nowhere else.
//!
//! The schema is `proto/baton/v1/*.proto`; the code generated from it stays private. Every conversion checks, in this
//! order and before it allocates for what it checks: the message's length, the number of its repeated parts (counted on
//! the bytes, in `count.rs`), then that the encoding is the canonical one (so nothing unknown, doubled or trailing is
//! accepted, and equal values have equal bytes), then every field's length and range, and last what ties parts together:
//! a block's transactions, or the hashes that stand for them, are those its header commits to, a proposal's signature
//! names its block, a range is linked by parent digests, and evidence is an offence.
//!
//! Nothing here checks a BLS signature, and a transaction's own signature is checked because recovering its sender needs
//! it.

mod announcement;
mod batch;
mod block;
mod consensus;
mod count;
mod error;
mod fields;
mod gossip;
mod known;
mod statement;
mod storage;
mod sync;

use prost::Message;

pub use announcement::{Announcement, FinalHeader};
pub use consensus::ConsensusMessage;
pub use error::WireError;
pub use gossip::TransactionGossip;
pub use known::{Known, KnownTransactions, NOTHING_KNOWN};
pub use storage::{
    batch_header_from_bytes, batch_header_to_bytes, block_from_bytes, block_to_bytes, certificate_from_bytes,
    certificate_to_bytes, evidence_from_bytes, evidence_to_bytes, header_from_bytes, header_of_block_bytes,
    header_to_bytes, signed_statement_from_bytes, signed_statement_to_bytes, statement_from_bytes, statement_to_bytes,
};
pub use sync::{FinalRange, SyncRequest, SyncResponse};

#[expect(unreachable_pub, reason = "generated code")]
mod pb {
    include!(concat!(env!("OUT_DIR"), "/baton.v1.rs"));
}

/// Decodes a protobuf message of at most `max` bytes, and refuses every encoding but the canonical one.
fn decode_canonical<M: Message + Default>(what: &'static str, bytes: &[u8], max: usize) -> Result<M, WireError> {
    check_length(what, bytes, max)?;
    let message = M::decode(bytes).map_err(WireError::Undecodable)?;
    let canonical = message.encoded_len();
    if canonical != bytes.len() || message.encode_to_vec() != bytes {
        return Err(WireError::NotCanonical { what, got: bytes.len(), canonical });
    }
    Ok(message)
}

const fn check_length(what: &'static str, bytes: &[u8], max: usize) -> Result<(), WireError> {
    if bytes.len() > max {
        return Err(WireError::Oversize { what, got: bytes.len(), max });
    }
    Ok(())
}
