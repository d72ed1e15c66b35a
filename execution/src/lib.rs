//! Ordered blocks in; outcomes, state changes and the state root out.
//!
//! Baton orders first and executes after finality, so an executor only ever sees final blocks, each once and in order.
//! A transaction that is not valid at its turn is skipped with a recorded reason and charged nothing; it never changes
//! what another transaction does.
//!
//! # How the pieces fit
//! Which [`Executor`] a chain has its spec on L1 says. A pure ordering chain runs [`NonceExecutor`]; a chain with a [`genesis`]
//! file runs the embedded EVM ([`evm`]), which computes the root of its [`state`] over [`trie`]s. Both read and change the same
//! kind of state, so what stores it does not ask which of them it was.
//!
//! ```text
//!  genesis file ──▶ Genesis::changes ──┐
//!                                      ▼
//!  final block ──▶  Executor  ──▶ ChangeSet ──▶ the ledger            one atomic step, with the block and its receipts
//!                      ▲               │
//!                  EvmState ◀──────────┴──▶ Overlay                   blocks that are final but not stored; older states
//!                      ▼
//!                Reader, prove, trace ──▶ JSON-RPC                    on their own threads, bounded by gas and by time
//! ```
//!
//! - **Pure.** `Executor::execute` takes a block and a state and gives results, changing neither. What the next block needs
//!   of the one before (base fee, gas used, digest, root) is part of the state ([`state::Head`]), so there is nothing else to
//!   restore after a crash: a block whose results were not stored is executed again and gives the same.
//! - **Atomic.** A [`state::ChangeSet`] names the head that it starts from and the one that it leads to; a store refuses any
//!   that does not start where it stands. The ledger writes it in the same batch as the block, its receipts and the head.
//! - **In several blocks at once.** When one certificate makes many blocks final, each is executed on an [`state::Overlay`] of
//!   those before it.
//! - **Older states.** Change sets hold what was there before ([`state::Undo`]), so a store that keeps that of its last blocks
//!   answers for the state after each of them, proofs included, through an overlay that takes blocks back.
//! - **Keys for a database.** Accounts by address, slots by address and slot, code by hash, digests by height, trie nodes by
//!   [`trie::NodeKey::to_bytes`]. Reads of a block go to accounts and slots; trie nodes are read by nobody but the root
//!   computation and proofs.
//! - **Parallel reads.** States are `Sync` and readers only borrow them: a reader on a database snapshot never waits for a
//!   block, nor a block for it.

pub mod evm;
mod executor;
pub mod genesis;
mod none;
mod outcome;
mod receipt;
mod skip;
pub mod state;
pub mod trie;

pub use executor::{ChainExecutor, ExecuteError, ExecutedBlock, Executor, execute_all};
pub use none::NonceExecutor;
pub use outcome::Outcome;
pub use receipt::TransactionReceipt;
pub use skip::SkipReason;

/// The state could not be read; the block can be executed again once it can.
#[derive(Debug, thiserror::Error)]
#[error("state unreadable: {0}")]
pub struct StateError(pub String);
