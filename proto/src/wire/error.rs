//! Why bytes were refused.

use alloy_primitives::B256;

use crate::{BlockDigest, Height, PayloadCommitment, StatementKind, TransactionError};

/// Why bytes are not a value of this crate. `what` names the message or field as the schema does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum WireError {
    #[error("{what}: {got} bytes, at most {max} are allowed")]
    Oversize { what: &'static str, got: usize, max: usize },
    #[error("{what}: {got} entries, at most {max} are allowed")]
    TooMany { what: &'static str, got: usize, max: usize },
    #[error("{what}: empty, at least one entry is expected")]
    Empty { what: &'static str },
    #[error("{what}: the bytes end or break off inside a field")]
    Truncated { what: &'static str },
    #[error("not protobuf: {0}")]
    Undecodable(prost::DecodeError),
    #[error("{what}: {got} bytes that are not the canonical encoding of their value ({canonical} bytes)")]
    NotCanonical { what: &'static str, got: usize, canonical: usize },
    #[error("{what} is missing")]
    Missing { what: &'static str },
    #[error("{what}: {got} bytes, expected {expected}")]
    WrongLength { what: &'static str, got: usize, expected: usize },
    #[error("{what}: {got} is outside {min}..={max}")]
    OutOfRange { what: &'static str, got: u64, min: u64, max: u64 },
    #[error("transaction {index}: {error}")]
    Transaction { index: usize, error: TransactionError },
    #[error("block {height}: the transactions give {got:?}, but the header commits to {expected:?}")]
    PayloadMismatch { height: Height, got: Box<PayloadCommitment>, expected: Box<PayloadCommitment> },
    #[error("the forced entries do not lead to position {position} and rolling hash {expected} of the header")]
    WrongForced { position: u64, expected: B256 },
    #[error("{what}: a {got:?} statement, expected {expected}")]
    WrongStatement { what: &'static str, got: StatementKind, expected: &'static str },
    #[error("{what} names block {got}, expected {expected}")]
    WrongBlock { what: &'static str, got: BlockDigest, expected: BlockDigest },
    #[error("{what} give the root {got}, but the header commits to {expected}")]
    WrongRoot { what: &'static str, got: B256, expected: B256 },
    #[error("{what}: entry {index} stands there twice")]
    Repeated { what: &'static str, index: usize },
    #[error("{what}: {got} follows {after}, but entries ascend")]
    NotAscending { what: &'static str, after: u32, got: u32 },
    #[error("height {got} follows height {after}")]
    NotConsecutive { after: Height, got: Height },
    #[error("the two statements are not an offence of one signer")]
    NotAnOffence,
}

impl WireError {
    /// Returns whether a peer that sent such bytes broke the protocol.
    ///
    /// All of them are: stream and topic names carry the version, so an honest peer never sends what we cannot read.
    #[must_use]
    pub const fn is_peer_fault(&self) -> bool {
        match self {
            Self::Oversize { .. }
            | Self::TooMany { .. }
            | Self::Empty { .. }
            | Self::Truncated { .. }
            | Self::Undecodable(_)
            | Self::NotCanonical { .. }
            | Self::Missing { .. }
            | Self::WrongLength { .. }
            | Self::OutOfRange { .. }
            | Self::Transaction { .. }
            | Self::PayloadMismatch { .. }
            | Self::WrongForced { .. }
            | Self::WrongStatement { .. }
            | Self::WrongBlock { .. }
            | Self::WrongRoot { .. }
            | Self::Repeated { .. }
            | Self::NotAscending { .. }
            | Self::NotConsecutive { .. }
            | Self::NotAnOffence => true,
        }
    }
}
