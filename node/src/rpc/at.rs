//! Which block, which state and which executor a call means.

use std::sync::Arc;

use alloy::eips::{BlockId, BlockNumberOrTag};
use baton_execution::{evm::EvmExecutor, state::EvmState};
use baton_proto::{BlockHeader, Height};

use super::{RpcContext, RpcError, chain};
use crate::ledger::{BlockResults, STATES_MAX};

/// A final block and the state after it. It holds on to that state, so it lives for one call.
pub(super) struct At {
    pub(super) header: BlockHeader,
    pub(super) state: Arc<dyn EvmState>,
}

impl RpcContext {
    /// Returns the EVM of the chain.
    ///
    /// # Errors
    /// [`RpcError::NotExecuted`] on a pure ordering chain.
    pub(super) fn evm(&self) -> Result<&EvmExecutor, RpcError> {
        self.execution.evm().ok_or(RpcError::NotExecuted)
    }
}

/// Returns the final block that `asked` means now, and the state after it.
///
/// # Errors
/// [`RpcError::HeaderNotFound`] if no final block is meant, [`RpcError::StateNotKept`] if its state is too old.
pub(super) fn at(context: &RpcContext, asked: BlockId) -> Result<At, RpcError> {
    if let BlockId::Number(BlockNumberOrTag::Latest | BlockNumberOrTag::Pending) = asked {
        let state = context.ledger.state()?;
        let head = state.head()?.ok_or(RpcError::HeaderNotFound)?;
        let header = context.ledger.header(head.height)?.ok_or(RpcError::HeaderNotFound)?;
        return Ok(At { header, state });
    }
    let height = chain::height_of(context, asked)?;
    let header = context.ledger.header(height)?.ok_or(RpcError::HeaderNotFound)?;
    match context.ledger.state_at(height)? {
        Some(state) => Ok(At { header, state }),
        None => {
            let root = results(context, height)?.state_root;
            Err(RpcError::StateNotKept { root, asked: height, kept: STATES_MAX })
        }
    }
}

/// Returns what executing the final block at `height` gave.
pub(super) fn results(context: &RpcContext, height: Height) -> Result<BlockResults, RpcError> {
    context.ledger.results(height)?.ok_or(RpcError::HeaderNotFound)
}
