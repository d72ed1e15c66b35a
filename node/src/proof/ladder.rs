//! What was found of each step, in order.

use std::fmt;

use alloy_primitives::{Address, B256, TxHash};
use baton_consensus::VerifyError;
use baton_proto::{
    BatchHash, BatchIndex, BlockDigest, Domain, Epoch, Height, L1BlockNumber, L1Origin, L2ChainId, MemberIndex,
    TransactionError,
};
use serde::{Serialize, Serializer};

use super::{Source, Told};

/// The steps, each of which means the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// A node holds it.
    Accepted,
    /// It has a place in a block.
    Included,
    /// A quorum voted for the block.
    Notarized,
    /// A quorum finalized the block.
    Final,
    /// L1 accepted a batch that holds the block.
    Posted,
    /// That L1 block is final.
    Settled,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Accepted => "accepted",
            Self::Included => "included",
            Self::Notarized => "notarized",
            Self::Final => "final",
            Self::Posted => "posted",
            Self::Settled => "settled",
        })
    }
}

/// One transaction's steps.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ladder {
    /// The transaction.
    pub hash: TxHash,
    /// The chain.
    pub domain: Domain,
    /// Who says who the members are.
    pub committees: Source,
    /// One for each step, in order.
    pub rungs: Vec<Rung>,
    /// What became of it in its block, as the node says: nobody signs for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Told>,
    /// The attested state root after the batch's last block, if the chain has one and the attestation holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<AttestedState>,
}

/// A state that a quorum attested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AttestedState {
    /// After this block.
    pub height: Height,
    /// What `eth_getProof` proves accounts against.
    pub root: B256,
}

/// One step.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Rung {
    /// Which.
    pub step: Step,
    /// What was found.
    #[serde(flatten)]
    pub found: Found,
}

/// What was found of a step.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum Found {
    /// It is proven.
    Holds {
        /// By what.
        by: String,
        /// By whom, where members signed.
        #[serde(skip_serializing_if = "Option::is_none")]
        signed: Option<Signed>,
    },
    /// It is claimed, nothing speaks against it, and something of it was not checked.
    Unchecked {
        /// By what it is proven so far.
        by: String,
        /// By whom, where members signed.
        #[serde(skip_serializing_if = "Option::is_none")]
        signed: Option<Signed>,
        /// What would tell.
        needs: String,
    },
    /// It is not claimed.
    Missing {
        /// What is missing.
        what: String,
    },
    /// It is claimed and does not hold.
    Fails {
        /// Why.
        why: Flaw,
    },
}

/// Who signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Signed {
    /// Members of this epoch.
    pub epoch: Epoch,
    /// Their weight together.
    pub weight: u64,
    /// The weight of all.
    pub total: u64,
    /// Who they are, ascending.
    pub members: Vec<MemberIndex>,
    /// How many members there are.
    pub of: usize,
}

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epoch, weight, total, members, of } = self;
        // Rounded down: never more than it is.
        let thousandths = u128::from(*weight).saturating_mul(1_000).checked_div(u128::from(*total)).unwrap_or_default();
        let (whole, tenth) = (thousandths / 10, thousandths % 10);
        write!(f, "{whole}.{tenth} % of weight ({} of {of} members of epoch {epoch})", members.len())
    }
}

/// Why a claim does not hold.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum Flaw {
    #[error("the proof is of transaction {got}, asked was {asked}")]
    OtherTransaction { asked: TxHash, got: TxHash },
    #[error("the bytes have the hash {got}")]
    OtherBytes { got: B256 },
    #[error("the bytes are no transaction that this chain orders: {0}")]
    NotATransaction(#[from] TransactionError),
    #[error("it is of chain {got}, not of {expected}")]
    OtherChain { expected: L2ChainId, got: u64 },
    #[error("there is no header")]
    NoHeader,
    #[error("the path does not lead from it, at place {index}, to the payload root of block {height}")]
    NotInBlock { index: u32, height: Height },
    #[error("the header after block {below} does not build on it")]
    NotLinked { below: Height },
    #[error("it is about block {asked}, but the headers are those of blocks {first} to {last}")]
    NoHeaderAt { asked: Height, first: Height, last: Height },
    #[error("the votes are for block {got}, not for block {expected}")]
    OtherVotes { expected: Height, got: Height },
    #[error("L1 has no committee of epoch {epoch}")]
    NoCommittee { epoch: Epoch },
    #[error("the committee of epoch {epoch} is not the one that {trusted} has")]
    OtherCommittee { epoch: Epoch, trusted: Source },
    #[error("{0}")]
    UnusableCommittee(String),
    #[error("the committee of epoch {epoch} did not sign this: {error}")]
    Certificate { epoch: Epoch, error: VerifyError },
    #[error("batch {index} holds blocks {first} to {last}, not block {height}")]
    OutsideBatch { index: BatchIndex, first: Height, last: Height, height: Height },
    #[error("batch {index} ends with block {expected}, but the header at height {height} is of block {got}")]
    OtherLastBlock { index: BatchIndex, height: Height, expected: BlockDigest, got: BlockDigest },
    #[error("L1 has no successful transaction {0}")]
    NoL1Transaction(TxHash),
    #[error("L1 has the transaction in block {got}, not in block {expected}")]
    OtherL1Block { expected: L1BlockNumber, got: L1BlockNumber },
    #[error("in that transaction {inbox} accepted no batch {index} with hash {hash}")]
    NotAccepted { inbox: Address, index: BatchIndex, hash: BatchHash },
    #[error("L1 block {block} is not final: L1's last final block is {}", finalized.number)]
    NotFinal { block: L1BlockNumber, finalized: L1Origin },
}

impl Serialize for Flaw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Ladder {
    /// Returns the first step that is claimed and does not hold.
    #[must_use]
    pub fn flaw(&self) -> Option<(Step, &Flaw)> {
        self.rungs.iter().find_map(|rung| match &rung.found {
            Found::Fails { why } => Some((rung.step, why)),
            Found::Holds { .. } | Found::Unchecked { .. } | Found::Missing { .. } => None,
        })
    }

    /// Returns whether nothing that is claimed was left to somebody's word: the committees are L1's, and so is what L1 holds.
    /// Of what no block holds nothing rests on them.
    #[must_use]
    pub fn is_checked(&self) -> bool {
        let rests_on_committees = |rung: &Rung| matches!(&rung.found, Found::Holds { signed: Some(_), .. });
        let is_unchecked = |rung: &Rung| matches!(rung.found, Found::Unchecked { .. });
        !self.rungs.iter().any(is_unchecked)
            && (self.committees == Source::L1 || !self.rungs.iter().any(rests_on_committees))
    }

    /// Returns what was found of `step`.
    #[must_use]
    pub fn found(&self, step: Step) -> Option<&Found> {
        self.rungs.iter().find(|rung| rung.step == step).map(|rung| &rung.found)
    }
}
