//! What members say to each other.

use std::collections::HashSet;

use alloy_primitives::{B256, Bytes, TxHash};
use prost::Message;

use super::{KnownTransactions, WireError, block, check_length, count, decode_canonical, fields, pb};
use crate::{
    BatchHeader, Block, BlockHeader, BlsSignature, Certificate, Epoch, Evidence, Forced, SignedStatement, Statement,
    StatementKind, View,
    block::payload_leaves,
    limits::{BLOCK_BYTES_MAX, BLOCK_TRANSACTIONS_MAX, FORCED_PER_BLOCK_MAX, FRAME_BYTES_MAX},
    merkle,
};

/// `ConsensusMessage.proposal`, `Proposal.block`, `Block.transactions` in the schema.
const PROPOSED_TRANSACTIONS: [u64; 3] = [1, 1, 2];

/// `ConsensusMessage.proposal`, `Proposal.block`, `Block.forced`, `Forced.entries`.
const PROPOSED_FORCED: [u64; 4] = [1, 1, 3, 2];

/// `ConsensusMessage.compact_proposal`, `CompactProposal.forced`, `Forced.entries`.
const COMPACT_FORCED: [u64; 3] = [8, 4, 2];

/// One frame of a consensus stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsensusMessage {
    /// A leader's block.
    Proposal {
        /// The block; at most [`crate::limits::BLOCK_BYTES_MAX`] bytes of transactions.
        block: Block,
        /// The leader's Notarize of it. Its view exceeds the header's only for a handover block.
        notarize: SignedStatement,
    },
    /// A leader's block above [`crate::limits::COMPACT_ABOVE_BYTES`]: receivers have most of its transactions, and ask
    /// for the others.
    CompactProposal {
        /// The block's header. Its root and count are those of `forced` and `transactions`; whether its bytes and gas are
        /// theirs shows when the block is whole.
        header: BlockHeader,
        /// The leader's Notarize of the block.
        notarize: SignedStatement,
        /// The block's forced entries, whole: those who take part have read them on L1, but not those who only listen, and
        /// a block has at most 256 KiB of them.
        forced: Forced,
        /// The hashes of the block's transactions, in order, each once; at most [`BLOCK_TRANSACTIONS_MAX`].
        transactions: Vec<TxHash>,
    },
    /// A Notarize, Finalize or Nullify.
    Vote {
        /// The vote.
        vote: SignedStatement,
        /// Beside a Notarize: the view's leader's signature of the same statement.
        leader: Option<BlsSignature>,
    },
    /// A certificate that moves views or makes blocks final.
    Certificate(Certificate),
    /// Asks for the best certificate of a view.
    CertificateRequest {
        /// The epoch.
        epoch: Epoch,
        /// The view.
        view: View,
    },
    /// Two statements that one member must not sign both.
    Evidence(Evidence),
    /// A batch that the poster closed, for members to compare and attest.
    BatchProposal {
        /// Whose members are to attest it: the batch's own epoch, or a later one where that is too old for L1.
        committee_epoch: Epoch,
        /// What to attest.
        header: BatchHeader,
        /// See [`crate::batch_data`]; at most [`DataKind::data_bytes_max`](crate::DataKind::data_bytes_max) bytes of
        /// the header's kind.
        data: Bytes,
    },
    /// A member's Attest.
    Attestation(SignedStatement),
}

impl ConsensusMessage {
    /// Returns the epoch that it is about, in which its sender speaks as a member.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        match self {
            Self::Proposal { notarize, .. } | Self::CompactProposal { notarize, .. } => notarize.statement.epoch(),
            Self::Vote { vote, .. } | Self::Attestation(vote) => vote.statement.epoch(),
            Self::Certificate(certificate) => certificate.statement.epoch(),
            Self::CertificateRequest { epoch, .. } => *epoch,
            Self::Evidence(evidence) => evidence.epoch(),
            Self::BatchProposal { committee_epoch, .. } => *committee_epoch,
        }
    }

    /// Returns the one encoding that [`Self::decode`] accepts; at most [`FRAME_BYTES_MAX`] bytes if the parts keep to
    /// their own bounds.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        use pb::consensus_message::Message as Kind;
        let message = match self {
            Self::Proposal { block, notarize } => {
                Kind::Proposal(pb::Proposal { block: Some(block.into()), notarize: Some(notarize.into()) })
            }
            Self::CompactProposal { header, notarize, forced, transactions } => {
                Kind::CompactProposal(pb::CompactProposal {
                    header: Some(header.into()),
                    notarize: Some(notarize.into()),
                    transactions: transactions.iter().flat_map(|hash| hash.0).collect::<Vec<u8>>().into(),
                    forced: block::forced_to_pb(forced),
                })
            }
            Self::Vote { vote, leader } => Kind::Vote(pb::Vote {
                vote: Some(vote.into()),
                leader: leader.map(|signature| fields::to_bytes(signature.as_bytes())).unwrap_or_default(),
            }),
            Self::Certificate(certificate) => Kind::Certificate(certificate.into()),
            Self::CertificateRequest { epoch, view } => {
                Kind::CertificateRequest(pb::CertificateRequest { epoch: epoch.get(), view: view.get() })
            }
            Self::Evidence(evidence) => Kind::Evidence(evidence.into()),
            Self::BatchProposal { committee_epoch, header, data } => Kind::BatchProposal(pb::BatchProposal {
                header: Some(header.into()),
                data: data.0.clone(),
                committee_epoch: committee_epoch.get(),
            }),
            Self::Attestation(attestation) => Kind::Attestation(attestation.into()),
        };
        pb::ConsensusMessage { message: Some(message) }.encode_to_vec()
    }

    /// Decodes one frame.
    ///
    /// # Errors
    /// [`WireError`], always the sender's fault.
    pub fn decode(bytes: &[u8], known: KnownTransactions<'_>) -> Result<Self, WireError> {
        use pb::consensus_message::Message as Kind;
        const WHAT: &str = "consensus_message";
        check_length(WHAT, bytes, FRAME_BYTES_MAX)?;
        count::at_most("block.transactions", bytes, &PROPOSED_TRANSACTIONS, BLOCK_TRANSACTIONS_MAX)?;
        count::at_most("block.forced", bytes, &PROPOSED_FORCED, FORCED_PER_BLOCK_MAX)?;
        count::at_most("compact_proposal.forced", bytes, &COMPACT_FORCED, FORCED_PER_BLOCK_MAX)?;
        let message: pb::ConsensusMessage = decode_canonical(WHAT, bytes, FRAME_BYTES_MAX)?;
        Ok(match fields::required("consensus_message.message", message.message)? {
            Kind::Proposal(proposal) => {
                // The signature's shape is cheaper to check than the block.
                let notarize = fields::required("proposal.notarize", proposal.notarize)?.try_into()?;
                let block = block::block(fields::required("proposal.block", proposal.block)?, known)?;
                names_block(&notarize, &block.header)?;
                Self::Proposal { block, notarize }
            }
            Kind::CompactProposal(proposal) => {
                let notarize = fields::required("compact_proposal.notarize", proposal.notarize)?.try_into()?;
                let header: BlockHeader = fields::required("compact_proposal.header", proposal.header)?.try_into()?;
                names_block(&notarize, &header)?;
                let forced = block::forced(&header, proposal.forced)?;
                let transactions = hashes(&header, &forced, &proposal.transactions)?;
                Self::CompactProposal { header, notarize, forced, transactions }
            }
            Kind::Vote(vote) => {
                let leader = match vote.leader.len() {
                    0 => None,
                    _ => Some(fields::signature("vote.leader", &vote.leader)?),
                };
                let vote: SignedStatement = fields::required("vote.vote", vote.vote)?.try_into()?;
                match (vote.statement.kind(), leader) {
                    (StatementKind::Notarize, _) | (StatementKind::Finalize | StatementKind::Nullify, None) => {}
                    (got, Some(_)) => {
                        return Err(WireError::WrongStatement { what: "vote.leader", got, expected: "Notarize" });
                    }
                    (got @ StatementKind::Attest, None) => {
                        return Err(WireError::WrongStatement { what: "vote.vote", got, expected: "a vote" });
                    }
                }
                Self::Vote { vote, leader }
            }
            Kind::Certificate(certificate) => Self::Certificate(certificate.try_into()?),
            Kind::CertificateRequest(request) => {
                Self::CertificateRequest { epoch: Epoch::new(request.epoch), view: View::new(request.view) }
            }
            Kind::Evidence(evidence) => Self::Evidence(evidence.try_into()?),
            Kind::BatchProposal(proposal) => {
                let header: BatchHeader = fields::required("batch_proposal.header", proposal.header)?.try_into()?;
                check_length("batch_proposal.data", &proposal.data, header.data_kind.data_bytes_max())?;
                let committee_epoch = Epoch::new(proposal.committee_epoch);
                Self::BatchProposal { committee_epoch, header, data: Bytes(proposal.data) }
            }
            Kind::Attestation(attestation) => {
                let attestation: SignedStatement = attestation.try_into()?;
                match attestation.statement.kind() {
                    StatementKind::Attest => Self::Attestation(attestation),
                    got @ (StatementKind::Notarize | StatementKind::Finalize | StatementKind::Nullify) => {
                        return Err(WireError::WrongStatement { what: "attestation", got, expected: "Attest" });
                    }
                }
            }
        })
    }
}

/// A proposal is signed by a Notarize of its own block.
fn names_block(notarize: &SignedStatement, header: &BlockHeader) -> Result<(), WireError> {
    let what = "proposal.notarize";
    let Statement::Notarize { block: got, .. } = notarize.statement else {
        return Err(WireError::WrongStatement { what, got: notarize.statement.kind(), expected: "Notarize" });
    };
    let expected = header.digest();
    if got != expected {
        return Err(WireError::WrongBlock { what, got, expected });
    }
    Ok(())
}

/// Reads the hashes that stand for the transactions of `header`'s block, after its forced entries. Their number and root are
/// the header's, so that only their bytes and gas can still be wrong.
fn hashes(header: &BlockHeader, forced: &Forced, bytes: &[u8]) -> Result<Vec<TxHash>, WireError> {
    let what = "compact_proposal.transactions";
    let count = header.transaction_count as usize;
    if count > BLOCK_TRANSACTIONS_MAX {
        return Err(WireError::TooMany { what, got: count, max: BLOCK_TRANSACTIONS_MAX });
    }
    let Some(count) = count.checked_sub(forced.len()) else {
        return Err(WireError::TooMany { what: "forced.entries", got: forced.len(), max: count });
    };
    let payload_bytes = header.payload_bytes as usize;
    if payload_bytes > BLOCK_BYTES_MAX {
        return Err(WireError::Oversize { what: "compact_proposal.header", got: payload_bytes, max: BLOCK_BYTES_MAX });
    }
    let expected = count * B256::len_bytes();
    if bytes.len() != expected {
        return Err(WireError::WrongLength { what, got: bytes.len(), expected });
    }
    let hashes: Vec<TxHash> = bytes.chunks_exact(B256::len_bytes()).map(B256::from_slice).collect();
    let mut seen = HashSet::with_capacity(count);
    if let Some(index) = hashes.iter().position(|hash| !seen.insert(*hash)) {
        return Err(WireError::Repeated { what, index });
    }
    let root = merkle::root(&payload_leaves(forced, hashes.iter().copied()));
    if root != header.payload_root {
        return Err(WireError::WrongRoot { what, got: root, expected: header.payload_root });
    }
    Ok(hashes)
}
