//! What goes into the ledger and comes out of it.

use std::fmt;

use alloy_primitives::{Address, B256, Bloom, Bytes, TxHash};
use baton_execution::{ExecutedBlock, Outcome};
use baton_proto::{
    BatchHeader, Block, BlockDigest, Certificate, Domain, Evidence, Height, L1BlockNumber, SignedStatement,
};
use serde::{Deserialize, Serialize};

/// What makes one chain's data useless to every other: the signing domain and the contracts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChainIdentity {
    /// L1 chain id, registry and L2 chain id.
    pub domain: Domain,
    /// Address of `BatchInbox`.
    pub inbox: Address,
    /// Address of `Slasher`.
    pub slasher: Address,
}

impl fmt::Display for ChainIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { domain, inbox, slasher } = self;
        write!(
            f,
            "L2 chain {} on L1 chain {} (registry {}, inbox {inbox}, slasher {slasher})",
            domain.l2_chain_id, domain.l1_chain_id, domain.registry
        )
    }
}

/// The last final block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Its height.
    pub height: Height,
    /// Its digest.
    pub digest: BlockDigest,
}

/// Blocks that become final together.
#[derive(Clone, Debug)]
pub struct FinalStep {
    /// Consecutive blocks, ascending; at least one.
    pub blocks: Vec<Block>,
    /// A Finalize certificate of the last block or of a descendant.
    pub certificate: Certificate,
    /// One result per block. Those of blocks that are final already are ignored.
    pub results: Vec<ExecutedBlock>,
}

/// What executing one final block gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockResults {
    /// State root after the block; zero for the executor `none`.
    pub state_root: B256,
    /// Root of the trie over the receipts; zero for the executor `none`.
    pub receipts_root: B256,
    /// Wei that each unit of gas cost at least.
    pub base_fee: u64,
    /// Gas that was used.
    pub gas_used: u64,
    /// Bloom over all logs.
    pub logs_bloom: Bloom,
    /// One for each item of the payload, forced entries first.
    pub outcomes: Vec<Outcome>,
}

/// Where a transaction is in the final chain, and what became of it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionRecord {
    /// Height of the block.
    pub block: Height,
    /// Position in the block, from 0.
    pub index: u32,
    /// What became of it.
    pub outcome: Outcome,
}

/// What this node knows of one batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchRecord {
    /// The header.
    pub header: BatchHeader,
    /// The data that the header commits to; empty if this node does not hold it.
    #[serde(skip)]
    pub data: Bytes,
    /// The committee's attestation, once there is one.
    pub certificate: Option<Certificate>,
    /// How far it got on L1.
    pub l1: BatchOnL1,
}

/// How far a batch got on L1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "stage")]
pub enum BatchOnL1 {
    /// The inbox has not accepted it, as far as this node has seen.
    Unposted,
    /// The inbox accepted it in an L1 block that may still be reorganized away.
    Posted {
        /// The posting transaction.
        tx: TxHash,
        /// The L1 block that holds it.
        block: L1BlockNumber,
    },
    /// The inbox accepted it in a finalized L1 block.
    Settled {
        /// The posting transaction.
        tx: TxHash,
        /// The L1 block that holds it.
        block: L1BlockNumber,
    },
}

/// A transaction that this node means to get into L1, from before it is first sent until it is final there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PostIntent {
    /// The sending account.
    pub account: Address,
    /// The account's nonce that it takes.
    pub nonce: u64,
    /// Keccak-256 that tells whether two intents want the same thing.
    pub payload_digest: B256,
    /// The newest signed transaction, EIP-2718.
    pub raw: Bytes,
    /// Hashes of all transactions that were signed for this nonce, the newest last.
    pub hashes: Vec<TxHash>,
    /// `maxFeePerGas` of the newest, in wei.
    pub max_fee_wei: u128,
    /// `maxPriorityFeePerGas` of the newest, in wei.
    pub priority_fee_wei: u128,
    /// How far it got.
    pub state: IntentState,
}

/// How far an intent got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum IntentState {
    /// Durable here; perhaps never sent.
    Fresh,
    /// An endpoint took it.
    Sent,
    /// In an L1 block that may still be reorganized away.
    Mined,
    /// In a finalized L1 block.
    Final,
}

/// What another member said in a view, kept because an honest member repeats itself and one that lies does not: it is half
/// of an offence as soon as its signer says something else there, also after a restart or in an epoch that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptVote {
    /// What is said: a Notarize, a Finalize or a Nullify.
    pub signed: SignedStatement,
    /// Whether its signature is known to hold.
    pub check: VoteCheck,
}

/// Whether a vote's signature is known to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum VoteCheck {
    /// Nobody has looked: the connection proves who sent it, and it has decided nothing yet.
    Unchecked,
    /// It holds.
    Checked,
}

/// Evidence and what became of it on L1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EvidenceRecord {
    /// The two statements.
    pub evidence: Evidence,
    /// How far it got on L1.
    pub l1: EvidenceOnL1,
}

/// How far evidence got on L1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "stage")]
pub enum EvidenceOnL1 {
    /// The slasher has not charged it, as far as this node has seen.
    Open,
    /// The slasher charged it, whoever submitted it, in an L1 block that may still be reorganized away.
    Charged {
        /// The L1 block.
        block: L1BlockNumber,
    },
    /// Nothing is left to do: charged in a finalized L1 block, charged before for the same admission, or expired.
    Closed,
}
