//! Checking one range of final blocks.

use baton_consensus::{Verified, Verifier, VerifyError};
use baton_proto::{
    Block, BlockDigest, BlockHeader, Certificate, Epoch, Epochs, Height, Statement,
    limits::{
        BLOCK_BYTES_MAX, BLOCK_TRANSACTIONS_MAX, RANGE_ANSWER_BYTES_MAX, RANGE_BLOCKS_MAX, RANGE_BYTES_TARGET,
        RANGE_TAIL_MAX, RANGE_TRANSACTIONS_TARGET,
    },
    wire::FinalRange,
};

/// What a header, decoded, takes in memory at the most.
const HEADER_MEMORY: usize = 512;

/// What a transaction, decoded, takes in memory beside its bytes; those are there twice, as sent and as decoded.
const TRANSACTION_MEMORY: usize = 512;

/// What one answer can take in memory while it is decoded and checked: the bytes as they came, and all that they decode
/// to. The targets can be passed by one largest block.
pub(super) const ANSWER_MEMORY_MAX: usize = RANGE_ANSWER_BYTES_MAX
    + (RANGE_BLOCKS_MAX + RANGE_TAIL_MAX) * HEADER_MEMORY
    + (RANGE_TRANSACTIONS_TARGET + BLOCK_TRANSACTIONS_MAX) * TRANSACTION_MEMORY
    + 2 * (RANGE_BYTES_TARGET + BLOCK_BYTES_MAX);

/// Consecutive blocks that are proven final; whether they are the next ones, whoever takes them knows.
#[derive(Clone, Debug)]
pub struct ProvenRange {
    /// The blocks, ascending; at least one.
    pub blocks: Vec<Block>,
    /// The header that the certificate names: the last block's, or a descendant's.
    pub certified: BlockHeader,
    /// The finalization.
    pub certificate: Verified<Certificate>,
    last: (Height, BlockDigest),
}

impl ProvenRange {
    /// Returns height and digest of the last block.
    #[must_use]
    pub const fn last(&self) -> (Height, BlockDigest) {
        self.last
    }

    /// Returns the digest that the first block builds on.
    #[must_use]
    pub fn parent(&self) -> BlockDigest {
        self.blocks.first().map_or(self.last.1, |block| block.header.parent)
    }

    /// The same proof over other blocks up to `last`, for tests of what is held rather than of what is proven.
    #[cfg(test)]
    pub(super) fn with_blocks(self, blocks: Vec<Block>, last: Height) -> Self {
        Self { blocks, last: (last, self.last.1), ..self }
    }

    /// Returns about how many bytes of memory it takes, rather more than less.
    #[must_use]
    pub(super) fn memory(&self) -> usize {
        let of_transactions = |block: &Block| {
            let raw =
                block.transactions.iter().fold(block.forced.bytes(), |sum, tx| sum.saturating_add(tx.raw().len()));
            2 * raw + (block.forced.len() + block.transactions.len()) * TRANSACTION_MEMORY
        };
        self.blocks.iter().map(|block| HEADER_MEMORY + of_transactions(block)).sum()
    }
}

/// Why a range proves nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum RangeError {
    #[error("the range is empty")]
    Empty,
    #[error("the range starts at height {got}, asked was {asked}")]
    NotAsked { got: Height, asked: Height },
    #[error("the range has {got} blocks, asked were at most {asked}")]
    TooMany { got: usize, asked: u32 },
    #[error("height {height} does not build on the one below it")]
    Broken { height: Height },
    #[error("height {height} is of epoch {got}, asked was for epoch {expected}")]
    OtherEpoch { height: Height, got: Epoch, expected: Epoch },
    #[error("height {end} ends its epoch, but blocks of that epoch follow")]
    PastTheEnd { end: Height },
    #[error("the certificate is no finalization of {expected}")]
    WrongCertificate { expected: BlockDigest },
    #[error("the certificate is invalid: {0}")]
    InvalidCertificate(VerifyError),
}

impl RangeError {
    /// Returns whether no honest server gives such an answer.
    #[must_use]
    pub const fn is_peer_fault(&self) -> bool {
        match self {
            Self::Empty
            | Self::NotAsked { .. }
            | Self::TooMany { .. }
            | Self::Broken { .. }
            | Self::PastTheEnd { .. }
            | Self::WrongCertificate { .. } => true,
            // Whoever is further along than we are serves what it has.
            Self::OtherEpoch { .. } => false,
            Self::InvalidCertificate(error) => error.is_peer_fault(),
        }
    }
}

/// Checks that `range` answers the question for at most `blocks_max` blocks from `from` on, and that it is final: every
/// block is an ancestor of one that a quorum finalized. Costs one aggregate check (about 1 ms) and a digest per header.
///
/// All of them are of the verifier's epoch: a range that goes on after the epoch's last block is refused.
///
/// What a quorum finalized is *the* chain, so a range proven here links to every other one, whichever came first. Where two
/// do not link, two quorums contradict each other, and the ledger says so when the second one comes.
///
/// # Errors
/// [`RangeError`] names what is wrong; nothing of the range may be used then.
pub fn prove_range(
    range: FinalRange,
    from: Height,
    blocks_max: u32,
    verifier: &Verifier,
    epochs: Epochs,
) -> Result<ProvenRange, RangeError> {
    let first = range.blocks.first().ok_or(RangeError::Empty)?;
    if first.header.height != from {
        return Err(RangeError::NotAsked { got: first.header.height, asked: from });
    }
    if range.blocks.len() > usize::try_from(blocks_max).unwrap_or(usize::MAX) {
        return Err(RangeError::TooMany { got: range.blocks.len(), asked: blocks_max });
    }
    let mut last = (first.header.height, first.header.digest());
    let next = |header: &BlockHeader, below: (Height, BlockDigest)| {
        if below.0.next() != Some(header.height) || header.parent != below.1 {
            return Err(RangeError::Broken { height: header.height });
        }
        Ok((header.height, header.digest()))
    };
    for block in range.blocks.iter().skip(1) {
        last = next(&block.header, last)?;
    }
    let top = range.tail.iter().try_fold(last, |below, header| next(header, below))?;
    let headers = || range.blocks.iter().map(|block| &block.header).chain(&range.tail);
    // The blocks of one epoch, for one committee's certificate proves them; its last block is the last of all.
    let epoch = verifier.committee().epoch();
    if let Some(other) = headers().find(|header| header.epoch != epoch) {
        return Err(RangeError::OtherEpoch { height: other.height, got: other.epoch, expected: epoch });
    }
    if let Some(end) = headers().find(|header| header.height < top.0 && epochs.ends_with(header)) {
        return Err(RangeError::PastTheEnd { end: end.height });
    }
    let newest = range.blocks.last().map_or(&first.header, |block| &block.header);
    let certified = range.tail.last().unwrap_or(newest).clone();
    match range.finalization.statement {
        // In a later view than its own only an epoch's last block becomes final: proposed again.
        Statement::Finalize { epoch, view, block }
            if block == top.1
                && epoch == certified.epoch
                && (view == certified.view || (view > certified.view && epochs.ends_with(&certified))) => {}
        _ => return Err(RangeError::WrongCertificate { expected: top.1 }),
    }
    let certificate = verifier.verify_certificate(range.finalization).map_err(RangeError::InvalidCertificate)?;
    Ok(ProvenRange { blocks: range.blocks, certified, certificate, last })
}
