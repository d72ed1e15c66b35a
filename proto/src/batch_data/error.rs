//! Why blocks are no batch, or bytes no batch's data.

use crate::{BlockDigest, Epoch, Height, L2ChainId, MemberIndex, TransactionError};

/// Why blocks cannot be encoded, or data cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum BatchDataError {
    #[error("a batch has at least one block")]
    NoBlocks,
    #[error("{got} blocks, a batch has at most {max}")]
    TooManyBlocks { got: u64, max: usize },
    #[error("{got} transactions in a block, at most {max} are allowed")]
    TooManyTransactions { got: u64, max: usize },
    #[error("block {height}: {got} bytes of transactions, at most {max} are allowed")]
    BlockOversize { height: Height, got: usize, max: usize },
    #[error("height {got} follows height {after}")]
    NotConsecutive { after: Height, got: Height },
    #[error("block {height} has parent {got}, expected {expected}")]
    WrongParent { height: Height, got: BlockDigest, expected: BlockDigest },
    #[error("block {height} is of epoch {got}, the batch of epoch {expected}")]
    WrongEpoch { height: Height, got: Epoch, expected: Epoch },
    #[error("block {height} is of chain {got}, the batch of chain {expected}")]
    WrongChain { height: Height, got: L2ChainId, expected: L2ChainId },
    #[error("block {height}: its header commits to other transactions")]
    PayloadMismatch { height: Height },
    #[error("block {height}: transaction {index} is for chain {got}, the block is of chain {expected}")]
    ForeignTransaction { height: Height, index: usize, got: u64, expected: L2ChainId },
    #[error("the blocks take {got} bytes, at most {max} fit")]
    TooLarge { got: usize, max: usize },
    #[error("block {height} alone takes {got} bytes, at most {max} fit")]
    BlockTooLarge { height: Height, got: usize, max: usize },
    #[error("zstd could not compress: {0}")]
    Compression(String),

    #[error("no bytes, a version byte is expected")]
    NoVersion,
    #[error("version {got}, this node knows version {expected}")]
    UnknownVersion { got: u8, expected: u8 },
    #[error("zstd: {0}")]
    Decompression(String),
    #[error("more than {max} bytes after decompression")]
    DecodedTooLarge { max: usize },
    #[error("{got} bytes after the end")]
    TrailingBytes { got: usize },
    #[error("column {column}: the bytes end before the column does")]
    Truncated { column: &'static str },
    #[error("column {column}: a number does not fit its field")]
    NumberTooLarge { column: &'static str },
    #[error("column {column}: {got:#04x} is not an allowed value")]
    BadByte { column: &'static str, got: u8 },
    #[error("member {proposer} proposes for the first time in the batch, but without a fee recipient")]
    NoFeeRecipient { proposer: MemberIndex },
    #[error("no height is left after the batch's parent")]
    HeightsExhausted,
    #[error("block {height}: transaction {index}: {error}")]
    Transaction { height: Height, index: usize, error: TransactionError },
    #[error("block {height}: no forced entry at position {position} is known")]
    MissingForced { height: Height, position: u64 },
    #[error("block {height}: takes the forced queue from {from} to {to}, which its entries on L1 do not")]
    WrongForced { height: Height, from: u64, to: u64 },
    #[error("not the canonical encoding of its blocks")]
    NotCanonical,
    #[error("the body differs from byte {at} on ({got} bytes, expected {expected})")]
    Differs { at: usize, got: usize, expected: usize },
    #[error("{got} bytes for blocks that take at most {max}")]
    Stretched { got: usize, max: usize },
}

impl BatchDataError {
    /// Returns whether data from a peer is at fault, rather than blocks that we tried to encode ourselves.
    #[must_use]
    pub const fn is_peer_fault(&self) -> bool {
        match self {
            Self::NoBlocks
            | Self::NotConsecutive { .. }
            | Self::WrongParent { .. }
            | Self::WrongEpoch { .. }
            | Self::WrongChain { .. }
            | Self::PayloadMismatch { .. }
            | Self::ForeignTransaction { .. }
            | Self::TooLarge { .. }
            | Self::BlockTooLarge { .. }
            | Self::Compression(_) => false,
            Self::TooManyBlocks { .. }
            | Self::TooManyTransactions { .. }
            | Self::BlockOversize { .. }
            | Self::NoVersion
            | Self::UnknownVersion { .. }
            | Self::Decompression(_)
            | Self::DecodedTooLarge { .. }
            | Self::TrailingBytes { .. }
            | Self::Truncated { .. }
            | Self::NumberTooLarge { .. }
            | Self::BadByte { .. }
            | Self::NoFeeRecipient { .. }
            | Self::HeightsExhausted
            | Self::Transaction { .. }
            | Self::MissingForced { .. }
            | Self::WrongForced { .. }
            | Self::NotCanonical
            | Self::Differs { .. }
            | Self::Stretched { .. } => true,
        }
    }
}
