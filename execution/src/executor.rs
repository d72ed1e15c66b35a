//! What every executor does, and what comes of it.

use alloy_primitives::{B256, Bloom};
use baton_proto::{Block, ExecutorKind, Height, Transaction};

use crate::{
    NonceExecutor, Outcome, SkipReason, StateError, TransactionReceipt,
    evm::EvmExecutor,
    state::{ChangeSet, EvmState, Head, Overlay},
};

/// Why a block cannot be executed. Nothing of it was.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum ExecuteError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error("there is no genesis state yet")]
    NoGenesis,
    #[error("block {got} does not follow block {head}, which the state is the state after")]
    NotNext { got: Height, head: Height },
    #[error("block {height} has parent {parent}, but the state is the state after {head}")]
    OtherParent { height: Height, parent: B256, head: B256 },
    #[error("a block of chain {got}, the genesis is that of chain {expected}")]
    OtherChain { got: u64, expected: u64 },
    #[error("the EVM failed: {0}")]
    Fault(String),
}

/// The results of one block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecutedBlock {
    /// One for each item of the payload, forced entries first.
    pub outcomes: Vec<Outcome>,
    /// Those of the executed ones, in order; none from the executor `none`.
    pub receipts: Vec<TransactionReceipt>,
    /// Wei that each unit of gas cost at least.
    pub base_fee: u64,
    /// Gas that the executed ones used.
    pub gas_used: u64,
    /// Root of the trie over the receipts, as Ethereum's headers have it; zero from the executor `none`.
    pub receipts_root: B256,
    /// Bloom over all logs.
    pub logs_bloom: Bloom,
    /// Root of the trie over all accounts after the block; zero from the executor `none`.
    pub state_root: B256,
    /// What changes; to be applied with the block.
    pub changes: ChangeSet,
}

/// Turns one final block into its results, as a pure function of the block and the state before it.
///
/// Blocks come in the order of their heights, each with the state that the one before left, and nothing is kept between
/// calls: after a crash the same block on the same state gives the same results.
pub trait Executor: Send + Sync {
    /// Returns which executor the chain spec must name for this one.
    fn kind(&self) -> ExecutorKind;

    /// Executes `block`, which is final, on the state after its parent, changing neither. Its items take their turns in order,
    /// forced entries first.
    ///
    /// # Errors
    /// [`ExecuteError`] when the state cannot be read or is not the parent's. No transaction causes one.
    fn execute(&self, block: &Block, state: &dyn EvmState) -> Result<ExecutedBlock, ExecuteError>;

    /// Returns the wei that each unit of gas costs at least in the block after `head`; 0 where gas costs nothing.
    fn next_base_fee(&self, head: &Head) -> u64;
}

/// The executor that a chain's spec names.
#[derive(Clone, Debug)]
pub enum ChainExecutor {
    /// Nonces only.
    None,
    /// The embedded EVM.
    Embedded(EvmExecutor),
}

impl ChainExecutor {
    /// Returns the EVM, if the chain has one.
    #[must_use]
    pub const fn evm(&self) -> Option<&EvmExecutor> {
        match self {
            Self::None => None,
            Self::Embedded(evm) => Some(evm),
        }
    }
}

impl Executor for ChainExecutor {
    fn kind(&self) -> ExecutorKind {
        match self {
            Self::None => NonceExecutor.kind(),
            Self::Embedded(evm) => evm.kind(),
        }
    }

    fn execute(&self, block: &Block, state: &dyn EvmState) -> Result<ExecutedBlock, ExecuteError> {
        match self {
            Self::None => NonceExecutor.execute(block, state),
            Self::Embedded(evm) => evm.execute(block, state),
        }
    }

    fn next_base_fee(&self, head: &Head) -> u64 {
        match self {
            Self::None => NonceExecutor.next_base_fee(head),
            Self::Embedded(evm) => evm.next_base_fee(head),
        }
    }
}

/// Executes consecutive blocks, the first on `state` and each other one on the state after the one before.
///
/// # Errors
/// See [`Executor::execute`].
pub fn execute_all<'a>(
    executor: &dyn Executor,
    blocks: impl IntoIterator<Item = &'a Block>,
    state: &dyn EvmState,
) -> Result<Vec<ExecutedBlock>, ExecuteError> {
    let mut overlay = Overlay::new(state);
    let mut results = Vec::new();
    for block in blocks {
        let executed = executor.execute(block, &overlay)?;
        overlay.absorb(&executed.changes)?;
        results.push(executed);
    }
    Ok(results)
}

/// Returns the head that `state` is the state after, if `block` is the next one.
pub(crate) fn parent_of(block: &Block, state: &dyn EvmState) -> Result<Head, ExecuteError> {
    let header = &block.header;
    let head = state.head()?.ok_or(ExecuteError::NoGenesis)?;
    if head.height.next() != Some(header.height) {
        return Err(ExecuteError::NotNext { got: header.height, head: head.height });
    }
    if head.digest != header.parent {
        let (parent, head) = (header.parent.get(), head.digest.get());
        return Err(ExecuteError::OtherParent { height: header.height, parent, head });
    }
    Ok(head)
}

/// Returns a block's items in order: transactions, or why there is none.
pub(crate) fn items(block: &Block) -> impl Iterator<Item = Result<&Transaction, SkipReason>> {
    let chain = block.header.l2_chain_id;
    let forced = block.forced.entries.iter();
    let forced = forced.map(move |entry| entry.content(chain).map_err(|flaw| SkipReason::from(&flaw)));
    forced.chain(block.transactions.iter().map(Ok))
}
