//! Statements, certificates and evidence.

use super::{WireError, fields, pb};
use crate::{
    Attestation, BatchHash, BatchIndex, BlockDigest, Certificate, Epoch, Evidence, Height, SignedStatement, SignerSet,
    Statement, View,
};

impl From<&Statement> for pb::Statement {
    fn from(statement: &Statement) -> Self {
        use pb::statement::Kind;
        let block_vote = |epoch: Epoch, view: View, block: BlockDigest| pb::BlockVote {
            epoch: epoch.get(),
            view: view.get(),
            block: fields::to_bytes(block.get().as_slice()),
        };
        let kind = match *statement {
            Statement::Notarize { epoch, view, block } => Kind::Notarize(block_vote(epoch, view, block)),
            Statement::Finalize { epoch, view, block } => Kind::Finalize(block_vote(epoch, view, block)),
            Statement::Nullify { epoch, view } => Kind::Nullify(pb::ViewVote { epoch: epoch.get(), view: view.get() }),
            Statement::Attest(attestation) => Kind::Attest(pb::Attestation {
                committee_epoch: attestation.committee_epoch.get(),
                batch_index: attestation.batch_index.get(),
                prev_batch_hash: fields::to_bytes(attestation.prev_batch_hash.get().as_slice()),
                header_hash: fields::to_bytes(attestation.header_hash.get().as_slice()),
                last_height: attestation.last_height.get(),
                last_digest: fields::to_bytes(attestation.last_digest.get().as_slice()),
                state_root: fields::to_bytes(attestation.state_root.as_slice()),
            }),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<pb::Statement> for Statement {
    type Error = WireError;

    fn try_from(statement: pb::Statement) -> Result<Self, WireError> {
        use pb::statement::Kind;
        let block = |vote: &pb::BlockVote| fields::hash("statement.block", &vote.block).map(BlockDigest::new);
        Ok(match fields::required("statement.kind", statement.kind)? {
            Kind::Notarize(vote) => {
                Self::Notarize { epoch: Epoch::new(vote.epoch), view: View::new(vote.view), block: block(&vote)? }
            }
            Kind::Finalize(vote) => {
                Self::Finalize { epoch: Epoch::new(vote.epoch), view: View::new(vote.view), block: block(&vote)? }
            }
            Kind::Nullify(vote) => Self::Nullify { epoch: Epoch::new(vote.epoch), view: View::new(vote.view) },
            Kind::Attest(a) => Self::Attest(Attestation {
                committee_epoch: Epoch::new(a.committee_epoch),
                batch_index: BatchIndex::new(a.batch_index),
                prev_batch_hash: BatchHash::new(fields::hash("attestation.prev_batch_hash", &a.prev_batch_hash)?),
                header_hash: BatchHash::new(fields::hash("attestation.header_hash", &a.header_hash)?),
                last_height: Height::new(a.last_height),
                last_digest: BlockDigest::new(fields::hash("attestation.last_digest", &a.last_digest)?),
                state_root: fields::hash("attestation.state_root", &a.state_root)?,
            }),
        })
    }
}

impl From<&SignedStatement> for pb::SignedStatement {
    fn from(signed: &SignedStatement) -> Self {
        Self {
            statement: Some((&signed.statement).into()),
            signer: u32::from(signed.signer.get()),
            signature: fields::to_bytes(signed.signature.as_bytes()),
        }
    }
}

impl TryFrom<pb::SignedStatement> for SignedStatement {
    type Error = WireError;

    fn try_from(signed: pb::SignedStatement) -> Result<Self, WireError> {
        Ok(Self {
            statement: fields::required("signed_statement.statement", signed.statement)?.try_into()?,
            signer: fields::member("signed_statement.signer", signed.signer)?,
            signature: fields::signature("signed_statement.signature", &signed.signature)?,
        })
    }
}

impl From<&Certificate> for pb::Certificate {
    fn from(certificate: &Certificate) -> Self {
        Self {
            statement: Some((&certificate.statement).into()),
            signers: fields::to_bytes(&certificate.signers.bits().to_be_bytes()),
            signature: fields::to_bytes(certificate.signature.as_bytes()),
        }
    }
}

impl TryFrom<pb::Certificate> for Certificate {
    type Error = WireError;

    fn try_from(certificate: pb::Certificate) -> Result<Self, WireError> {
        let bits = u128::from_be_bytes(fields::array("certificate.signers", &certificate.signers)?);
        Ok(Self {
            statement: fields::required("certificate.statement", certificate.statement)?.try_into()?,
            signers: SignerSet::from_bits(bits),
            signature: fields::signature("certificate.signature", &certificate.signature)?,
        })
    }
}

impl From<&Evidence> for pb::Evidence {
    fn from(evidence: &Evidence) -> Self {
        Self { first: Some(evidence.first().into()), second: Some(evidence.second().into()) }
    }
}

impl TryFrom<pb::Evidence> for Evidence {
    type Error = WireError;

    fn try_from(evidence: pb::Evidence) -> Result<Self, WireError> {
        let first = fields::required("evidence.first", evidence.first)?.try_into()?;
        let second = fields::required("evidence.second", evidence.second)?.try_into()?;
        Self::new(first, second).ok_or(WireError::NotAnOffence)
    }
}
