//! What can go wrong between the node and its ledger.

use std::path::PathBuf;

use alloy_primitives::B256;
use baton_proto::{BlockDigest, Height};

use super::{ChainIdentity, EngineError};

/// Why a step was refused or a question has no answer.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum LedgerError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(
        "{} holds data of {stored}, but this node is configured for {configured}; give it another data folder or correct the configuration",
        path.display()
    )]
    OtherChain { path: PathBuf, stored: Box<ChainIdentity>, configured: Box<ChainIdentity> },
    #[error(
        "damaged entry in {family} at 0x{key}: {detail}; stop the node, move the ledger folder away and let the node catch up from its peers (keep the sign record)"
    )]
    Corrupt { family: &'static str, key: String, detail: String },
    #[error("the chain has no genesis block yet")]
    NoGenesis,
    #[error("the chain starts from {stored}, not from {got}")]
    OtherGenesis { stored: BlockDigest, got: BlockDigest },
    #[error("safety is broken: {stored} is final at height {height}, and a certificate demands {got} there")]
    SafetyBroken { height: Height, stored: BlockDigest, got: BlockDigest },
    #[error("block {got} cannot become final on head {head}: what is between them is missing")]
    Gap { head: Height, got: Height },
    #[error("block {height} names parent {parent}, but the block below it in the step is {below}")]
    Unlinked { height: Height, parent: BlockDigest, below: BlockDigest },
    #[error("the certificate of a final step is not a finalization")]
    NotAFinalization,
    #[error("the step has {results} results for {blocks} blocks")]
    ResultCount { blocks: usize, results: usize },
    #[error("block {height} has {transactions} transactions, but its result has {outcomes} outcomes")]
    OutcomeCount { height: Height, transactions: usize, outcomes: usize },
    #[error("the result of block {height} is not that of this block on the state before it")]
    OtherState { height: Height },
    #[error(
        "the chain starts from state {stored}, not from {got}: the genesis file is not the one that this ledger was made with"
    )]
    OtherGenesisState { stored: B256, got: B256 },
    #[error("the ledger could not be written before, so what it holds is not known; it must be opened again")]
    AfterFailedWrite,
    #[error("{what} cannot be written as JSON: {detail}")]
    Unwritable { what: &'static str, detail: String },
}

impl LedgerError {
    /// Returns whether stored bytes are not what was written. Only a fresh ledger helps.
    #[must_use]
    pub const fn is_corruption(&self) -> bool {
        match self {
            Self::Engine(error) => error.is_corruption(),
            Self::Corrupt { .. } => true,
            Self::OtherChain { .. }
            | Self::NoGenesis
            | Self::OtherGenesis { .. }
            | Self::SafetyBroken { .. }
            | Self::Gap { .. }
            | Self::Unlinked { .. }
            | Self::NotAFinalization
            | Self::ResultCount { .. }
            | Self::OutcomeCount { .. }
            | Self::OtherState { .. }
            | Self::OtherGenesisState { .. }
            | Self::AfterFailedWrite
            | Self::Unwritable { .. } => false,
        }
    }

    /// Returns whether two quorums contradict each other: stop voting and wait for the operator.
    #[must_use]
    pub const fn is_safety_broken(&self) -> bool {
        matches!(self, Self::SafetyBroken { .. })
    }
}
