//! Ordered blocks in; outcomes, state changes and the state root out.
//!
//! Baton orders first and executes after finality, so an executor only ever sees final blocks, each once and in order.
//! A transaction that is not valid at its turn is skipped with a recorded reason and charged nothing; it never changes
//! what another transaction does.
//!
//! # How the pieces fit
//! A pure ordering chain runs [`NonceExecutor`]. A chain with a [`genesis`] file runs the embedded EVM ([`evm`]),
//! which reads a [`state`] and computes its root over [`trie`]s.
//!
//! ```text
//!  genesis file ──▶ Genesis::changes ──┐
//!                                      ▼
//!  final block ──▶ EvmExecutor ──▶ ChangeSet ──▶ EvmStore::apply      one atomic step, with the block and its receipts
//!                      ▲               │
//!                  EvmState ◀──────────┴──▶ Overlay                   blocks that are final but not stored; older states
//!                      ▼
//!                Reader, prove, trace ──▶ JSON-RPC                    on their own threads, bounded by gas and by time
//! ```
//!
//! - **Pure.** `EvmExecutor::execute` takes a block and a state and gives results, changing neither. What the next block needs
//!   of the one before (base fee, gas used, digest, root) is part of the state ([`state::Head`]), so there is nothing else to
//!   restore after a crash: a block whose results were not stored is executed again and gives the same.
//! - **Atomic.** A [`state::ChangeSet`] names the head that it starts from and the one that it leads to; a store refuses any
//!   that does not start where it stands. The ledger writes it in the same batch as the block, its receipts and the head.
//! - **In several blocks at once.** When one certificate makes many blocks final, each is executed on an [`state::Overlay`] of
//!   those before it.
//! - **Older states.** Change sets hold what was there before, so a store that keeps those of its last blocks answers for the
//!   state after each of them, proofs included, through an overlay of reversed ones.
//! - **Keys for a database.** Accounts by address, slots by address and slot, code by hash, digests by height, trie nodes by
//!   [`trie::NodeKey::to_bytes`]. Reads of a block go to accounts and slots; trie nodes are read by nobody but the root
//!   computation and proofs.
//! - **Parallel reads.** States are `Sync` and readers only borrow them: a reader on a database snapshot never waits for a
//!   block, nor a block for it.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256};
use baton_proto::{Block, ExecutorKind, ForcedFlaw};
use serde::{Deserialize, Serialize};

pub mod evm;
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
