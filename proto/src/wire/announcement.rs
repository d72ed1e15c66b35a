//! What gossip says about views: final headers with their certificates, and evidence.

use prost::Message;

use super::{WireError, decode_canonical, evidence_from_bytes, evidence_to_bytes, fields, pb};
use crate::{BlockHeader, Certificate, Evidence, Statement, limits::ANNOUNCEMENT_BYTES_MAX};

/// A final block's header with the proof: what a follower needs to know that the chain has moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalHeader {
    /// The header.
    pub header: BlockHeader,
    /// A Finalize certificate of that block; its signature is not checked.
    pub finalization: Certificate,
}

/// One gossip message about a view; which of the two it is, the topic says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Announcement {
    /// A block is final.
    Final(FinalHeader),
    /// A member signed two statements that it must not sign both; the signatures are not checked.
    Evidence(Evidence),
}

impl FinalHeader {
    /// Returns the one encoding that [`Self::decode`] accepts; at most [`ANNOUNCEMENT_BYTES_MAX`] bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        pb::FinalHeader::from(self).encode_to_vec()
    }

    /// Decodes a message of the topic of final headers.
    ///
    /// # Errors
    /// [`WireError`], always the fault of who sent or forwarded it: bytes that are no such message, or a certificate that
    /// is no finalization of the header's block.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let message: pb::FinalHeader = decode_canonical("final_header", bytes, ANNOUNCEMENT_BYTES_MAX)?;
        message.try_into()
    }
}

impl From<&FinalHeader> for pb::FinalHeader {
    fn from(last: &FinalHeader) -> Self {
        Self { header: Some((&last.header).into()), finalization: Some((&last.finalization).into()) }
    }
}

impl TryFrom<pb::FinalHeader> for FinalHeader {
    type Error = WireError;

    fn try_from(message: pb::FinalHeader) -> Result<Self, WireError> {
        let header: BlockHeader = fields::required("final_header.header", message.header)?.try_into()?;
        let finalization: Certificate =
            fields::required("final_header.finalization", message.finalization)?.try_into()?;
        let what = "final_header.finalization";
        let Statement::Finalize { block: got, .. } = finalization.statement else {
            return Err(WireError::WrongStatement { what, got: finalization.statement.kind(), expected: "Finalize" });
        };
        let expected = header.digest();
        if got != expected {
            return Err(WireError::WrongBlock { what, got, expected });
        }
        Ok(Self { header, finalization })
    }
}

impl Announcement {
    /// Returns the message's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Final(header) => header.encode(),
            Self::Evidence(evidence) => evidence_to_bytes(evidence),
        }
    }

    /// Decodes a message of the topic of evidence.
    ///
    /// # Errors
    /// [`WireError`], always the fault of who sent or forwarded it.
    pub fn decode_evidence(bytes: &[u8]) -> Result<Self, WireError> {
        evidence_from_bytes(bytes).map(Self::Evidence)
    }

    /// Decodes a message of the topic of final headers.
    ///
    /// # Errors
    /// See [`FinalHeader::decode`].
    pub fn decode_final(bytes: &[u8]) -> Result<Self, WireError> {
        FinalHeader::decode(bytes).map(Self::Final)
    }
}
