//! How far one transaction came, with what shows it: made by a node, checked by anybody who trusts no node.
//!
//! ```text
//!   ledger ──▶ Proof (`baton_getProof`) ──▶ check ──▶ Ladder (`baton verify`)
//!                                             ▲
//!              committees, and what L1 took: OnL1, or else a file, or the proof's own word
//! ```
//! | step | is shown by | rests on |
//! | --- | --- | --- |
//! | accepted | the transaction's bytes, with a good signature of their sender | that they are durable is the node's word |
//! | included | a Merkle path from the bytes to the header's payload root | the header, which the next steps prove |
//! | notarized | a certificate of the header | the committee of its epoch |
//! | final | a finalization of the header, or of a descendant and the headers up to it | the committee of its epoch |
//! | posted | a batch header that ends with a descendant, the headers up to it, the batch's certificate, and the event of the inbox | the committee that attested, and L1 |
//! | settled | that the L1 block with the event is final | L1 |
//!
//! What a transaction *did* is in none of this: headers of blocks carry no receipts root. A batch header carries the state root
//! after its last block, so what an account holds there can be proven with `eth_getProof` against an attested root; that a
//! transaction was executed and not skipped, its receipt and its logs are the node's word, and whoever doubts them executes the
//! chain again from what L1 holds.
//!
//! Source: protocol sections 4, 6, 8 and 10.

mod check;
mod ladder;
mod on_l1;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use alloy_primitives::{B256, Bytes, TxHash, U128};
use baton_consensus::CommitteeMember;
use baton_proto::{
    BatchHeader, BlockHeader, BlsSignature, Certificate, Domain, Epoch, Height, SignerSet, Statement, View,
    limits::{BATCH_BLOCKS_MAX, RANGE_TAIL_MAX},
};
use serde::{Deserialize, Serialize};

pub use check::{Committees, Source, check};
pub use ladder::{AttestedState, Flaw, Found, Ladder, Rung, Signed, Step};
pub use on_l1::{OnL1, OnL1Error, PostOnL1};

use crate::ledger::BatchOnL1;

/// The form that this version writes and reads. Another form has another number.
pub const VERSION: u32 = 1;

/// Most headers of a proof: no batch has more blocks, and no honest leader builds on more unfinalized ones.
pub const HEADERS_MAX: usize = BATCH_BLOCKS_MAX;

/// What a header takes as JSON, at most: four hashes, an address, eleven numbers and the names.
const HEADER_JSON_BYTES: usize = 900;

/// What everything else takes: the transaction in hex, and three committees of 128 keys.
const REST_JSON_BYTES: usize = 1024 * 1024;

/// Most bytes of a proof, 15 MiB: less than what a node answers at most by default.
pub const PROOF_BYTES_MAX: usize = HEADERS_MAX * HEADER_JSON_BYTES + REST_JSON_BYTES;

const _: () = assert!(RANGE_TAIL_MAX <= HEADERS_MAX, "every final block must have a proof");

/// What a node holds of one transaction, for every step that it took.
///
/// No statement is spelled out: whoever checks a signature rebuilds what was signed from the headers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Proof {
    /// [`VERSION`].
    pub version: u32,
    /// The chain: every signature is bound to it.
    pub domain: Domain,
    /// The transaction's hash.
    pub hash: TxHash,
    /// Its EIP-2718 encoding.
    pub raw: Bytes,
    /// Its place; none while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<InBlock>,
    /// The committees that signed, as the node knows them. It forgets those of long ago.
    pub committees: Vec<CommitteeOf>,
}

/// A transaction's place in a block, and what a quorum said of that block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InBlock {
    /// Place in the payload, from 0.
    pub index: u32,
    /// From the leaves up: [`baton_proto::merkle::path`].
    pub path: Vec<B256>,
    /// What became of it there, as the node says; none in a block that is not final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Told>,
    /// The block's header and those above it, up to the last that a certificate is about: ascending, at most [`HEADERS_MAX`].
    pub headers: Vec<BlockHeader>,
    /// A notarization of the block, if the node holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notarization: Option<Votes>,
    /// A finalization of the block or of a descendant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finalization: Option<Votes>,
    /// The batch on L1 that holds the block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<InBatch>,
}

/// What became of a transaction in its block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "status")]
pub enum Told {
    /// It took its turn; where there are receipts, its own says whether it succeeded.
    Executed,
    /// It was passed over and changed nothing.
    Skipped {
        /// Why.
        why: String,
    },
}

/// A certificate of votes for one of the headers, by the committee of its epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Votes {
    /// Which header.
    pub height: Height,
    /// The view in which they voted: a later one than the header's where an epoch's last block was proposed again.
    pub view: View,
    /// Bitmap of members.
    pub signers: U128,
    /// Sum of their signatures.
    pub signature: BlsSignature,
}

/// A batch, who attested it, and where L1 has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InBatch {
    /// What was attested.
    pub header: BatchHeader,
    /// The epoch whose committee did.
    pub epoch: Epoch,
    /// Bitmap of members.
    pub signers: U128,
    /// Sum of their signatures.
    pub signature: BlsSignature,
    /// How far it got on L1, as the node has seen.
    pub l1: BatchOnL1,
}

/// Who sat in an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CommitteeOf {
    /// The epoch.
    pub epoch: Epoch,
    /// Its members in address order.
    pub members: Vec<CommitteeMember>,
}

/// Why bytes are no proof.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum ProofError {
    #[error("{got} bytes, a proof has at most {PROOF_BYTES_MAX}")]
    TooLong { got: u64 },
    #[error("a proof of version {got}, this program reads version {VERSION}")]
    OtherVersion { got: u32 },
    #[error("not a proof: {0}")]
    Malformed(#[from] serde_json::Error),
}

impl Proof {
    /// Reads a proof as JSON. Nothing of what it claims is checked.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, ProofError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        if bytes.len() > PROOF_BYTES_MAX {
            return Err(ProofError::TooLong { got: bytes.len() as u64 });
        }
        let Versioned { version } = serde_json::from_slice(bytes)?;
        if version != VERSION {
            return Err(ProofError::OtherVersion { got: version });
        }
        Ok(serde_json::from_slice(bytes)?)
    }

    /// Returns the epochs whose committees signed something here: at most three.
    #[must_use]
    pub fn epochs(&self) -> BTreeSet<Epoch> {
        let Some(block) = &self.block else { return BTreeSet::new() };
        let of_votes = |votes: &Option<Votes>| block.header_at(votes.as_ref()?.height).map(|header| header.epoch);
        let of_batch = block.batch.as_ref().map(|batch| batch.epoch);
        [of_votes(&block.notarization), of_votes(&block.finalization), of_batch].into_iter().flatten().collect()
    }
}

impl InBlock {
    /// Returns the header at `height`, if it is here. Whether it links to the others is for [`check()`] to say.
    #[must_use]
    pub fn header_at(&self, height: Height) -> Option<&BlockHeader> {
        let first = self.headers.first()?.height;
        let place = usize::try_from(height.get().checked_sub(first.get())?).ok()?;
        self.headers.get(place)
    }
}

impl Votes {
    /// Takes what a certificate says beside its statement, which is about the header at `height`.
    #[must_use]
    pub fn of(height: Height, certificate: &Certificate) -> Self {
        Self {
            height,
            view: certificate.statement.view().unwrap_or_default(),
            signers: bitmap(certificate.signers),
            signature: certificate.signature,
        }
    }
}

impl InBatch {
    /// Takes what a batch's certificate says beside its statement.
    #[must_use]
    pub fn of(header: BatchHeader, certificate: &Certificate, l1: BatchOnL1) -> Self {
        Self {
            header,
            epoch: certificate.statement.epoch(),
            signers: bitmap(certificate.signers),
            signature: certificate.signature,
            l1,
        }
    }
}

fn bitmap(signers: SignerSet) -> U128 {
    U128::from(signers.bits())
}

/// Puts a certificate together again.
fn certificate(statement: Statement, signers: U128, signature: BlsSignature) -> Certificate {
    Certificate { statement, signers: SignerSet::from_bits(signers.to()), signature }
}
