//! Checking one range of final blocks.

use baton_consensus::{Verified, Verifier};
use baton_proto::{Block, BlockDigest, BlockHeader, Certificate, Height, Statement, wire::FinalRange};

/// Consecutive blocks that are proven final.
#[derive(Clone, Debug)]
pub struct VerifiedRange {
    /// The blocks, ascending; the first builds on the head that the range was checked against. Never empty.
    pub blocks: Vec<Block>,
    /// The header that the certificate names: the last block's, or a descendant's.
    pub certified: BlockHeader,
    /// The finalization.
    pub certificate: Verified<Certificate>,
}

/// Why a range proves nothing. All of these are the server's fault.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum RangeError {
    #[error("the range is empty")]
    Empty,
    #[error("the range starts at height {got} on {got_parent}, expected height {expected} on {expected_parent}")]
    NotNext { got: Height, got_parent: BlockDigest, expected: Height, expected_parent: BlockDigest },
    #[error("height {height} does not build on the one below it")]
    Broken { height: Height },
    #[error("the certificate is no finalization of {expected}")]
    WrongCertificate { expected: BlockDigest },
    #[error("the certificate is invalid: {0}")]
    InvalidCertificate(String),
}

/// Checks that `range` extends the final block `head` and is final itself. Costs one aggregate check (about 1 ms).
///
/// # Errors
/// [`RangeError`] names what is wrong; nothing of the range may be used then.
pub fn verify_range(
    range: FinalRange,
    head: (Height, BlockDigest),
    verifier: &Verifier,
) -> Result<VerifiedRange, RangeError> {
    let headers = range.blocks.iter().map(|block| &block.header).chain(&range.tail);
    let (mut height, mut digest) = head;
    for header in headers {
        let expected = height.next().ok_or(RangeError::Broken { height })?;
        if header.height != expected || header.parent != digest {
            if height == head.0 {
                return Err(RangeError::NotNext {
                    got: header.height,
                    got_parent: header.parent,
                    expected,
                    expected_parent: digest,
                });
            }
            return Err(RangeError::Broken { height: header.height });
        }
        (height, digest) = (header.height, header.digest());
    }
    let last = range.blocks.last().ok_or(RangeError::Empty)?;
    let certified = range.tail.last().unwrap_or(&last.header).clone();
    match range.finalization.statement {
        Statement::Finalize { epoch, block, .. } if block == digest && epoch == certified.epoch => {}
        _ => return Err(RangeError::WrongCertificate { expected: digest }),
    }
    let certificate = verifier
        .verify_certificate(range.finalization)
        .map_err(|error| RangeError::InvalidCertificate(error.to_string()))?;
    Ok(VerifiedRange { blocks: range.blocks, certified, certificate })
}
