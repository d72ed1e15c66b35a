//! Ordered blocks in; outcomes, nonce changes and the state root out.
//!
//! Baton orders first and executes after finality, so an executor only ever sees final blocks, each once and in order.
//! A transaction that is not valid at its turn is skipped with a recorded reason and charged nothing; it never changes
//! what another transaction does.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256};
use baton_proto::{Block, ExecutorKind, ForcedFlaw};
use serde::{Deserialize, Serialize};

pub mod genesis;
mod none;
pub mod state;
pub mod trie;

pub use none::NonceExecutor;

/// What an executor reads: the state after the block before.
pub trait StateView {
    /// Returns the next nonce of `account`; 0 for an account that never sent.
    ///
    /// # Errors
    /// [`StateError`] when the state cannot be read.
    fn nonce(&self, account: Address) -> Result<u64, StateError>;
}

/// The state could not be read; the block can be executed again once it can.
#[derive(Debug, thiserror::Error)]
#[error("state unreadable: {0}")]
pub struct StateError(pub String);

/// What became of one item of a final block's payload: of a transaction, or of a forced entry.
///
/// A skipped one is charged nothing and changes nothing; its signature stays good, so it can still execute in a later
/// block, once, when its nonce is next. A forced entry has had its place in the queue all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "status")]
pub enum Outcome {
    /// It took its turn.
    Executed,
    /// Its nonce was already used.
    #[serde(rename_all = "camelCase")]
    SkippedReplay {
        /// The sender's next nonce at that point.
        expected: u64,
    },
    /// An earlier nonce of its sender was missing.
    #[serde(rename_all = "camelCase")]
    SkippedGap {
        /// The sender's next nonce at that point.
        expected: u64,
    },
    /// A forced entry whose bytes are no transaction, or are not one by their kind.
    SkippedMalformed,
    /// A forced entry with a transaction of another chain.
    #[serde(rename_all = "camelCase")]
    SkippedForeignChain {
        /// The chain that it names.
        got: u64,
    },
    /// A forced entry with a transaction that declares more gas than every forced entry counts for.
    #[serde(rename_all = "camelCase")]
    SkippedTooMuchGas {
        /// The gas that it declares.
        got: u64,
    },
}

impl From<&ForcedFlaw> for Outcome {
    fn from(flaw: &ForcedFlaw) -> Self {
        match *flaw {
            ForcedFlaw::UnknownKind { .. } | ForcedFlaw::NotATransaction(_) => Self::SkippedMalformed,
            ForcedFlaw::ForeignChain { got, .. } => Self::SkippedForeignChain { got },
            ForcedFlaw::TooMuchGas { got } => Self::SkippedTooMuchGas { got },
        }
    }
}

/// The result of one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// One outcome for each item of the payload, in its order: for forced entries first, then for transactions.
    pub outcomes: Vec<Outcome>,
    /// Next nonces of the accounts that executed something, after the block.
    pub nonces: BTreeMap<Address, u64>,
    /// State root after the block; zero for [`ExecutorKind::None`].
    pub state_root: B256,
}

/// Turns one final block into its results, as a pure function of the block and the state before it.
///
/// Blocks come in the order of their heights, each with the state that the one before left, and nothing is kept between
/// calls: after a crash the same block on the same state gives the same results.
pub trait Executor: Send + Sync {
    /// Returns which executor the chain spec must name for this one.
    fn kind(&self) -> ExecutorKind;

    /// Executes `block` on `state`, changing neither.
    ///
    /// # Errors
    /// [`StateError`] when the state cannot be read.
    fn execute(&self, block: &Block, state: &dyn StateView) -> Result<Executed, StateError>;
}
