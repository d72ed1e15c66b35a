//! `baton_forcedStatus`: how far one entry of the forced queue came.

use alloy_primitives::{Address, TxHash};
use baton_execution::Outcome;
use baton_proto::{BlockDigest, Height, L1BlockNumber};
use serde::Serialize;

use super::{RpcContext, RpcError, arguments::Arguments};
use crate::ledger::Ledger;

/// What `baton_forcedStatus` returns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ForcedStatus {
    position: u64,
    status: Stage,
    /// The L1 block that brought it, and the L1 account that put it in.
    #[serde(skip_serializing_if = "Option::is_none")]
    l1_block: Option<L1BlockNumber>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<Address>,
    /// keccak256 of its bytes: the hash of its transaction, if it holds one.
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<TxHash>,
    /// The final block that took it, and its place there.
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<Height>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<BlockDigest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
    /// What became of it there: executed, or why it was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
}

/// How far an entry can come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Stage {
    /// L1 has no such entry in a final block, as far as this node has read.
    Unknown,
    /// It is in a final L1 block, and in no final block of this chain yet.
    Waiting,
    /// It is in a final block and took its turn.
    Executed,
    /// It is in a final block and was passed over there.
    Skipped,
}

/// `baton_forcedStatus(position)`: positions count from 0, as `ForcedEntryEnqueued` on L1 tells them.
pub(super) fn forced_status(context: &RpcContext, arguments: &Arguments) -> Result<ForcedStatus, RpcError> {
    let position = arguments.optional_number(0)?.ok_or(RpcError::MissingArgument(0))?;
    let mut status = ForcedStatus {
        position,
        status: Stage::Unknown,
        l1_block: None,
        sender: None,
        hash: None,
        height: None,
        digest: None,
        index: None,
        outcome: None,
    };
    let ledger = context.ledger.as_ref();
    let taken = taken_at(ledger, position)?;
    let mut entry = ledger.forced_entry(position)?;
    if entry.is_some() {
        status.status = Stage::Waiting;
    }
    if let Some((height, index)) = taken
        && let Some(block) = ledger.block(height)?
    {
        // The block has the entry even if this node never read L1 so far.
        entry = block.forced.entries.get(index as usize).cloned().or(entry);
        let outcomes = ledger.results(height)?.map(|results| results.outcomes).unwrap_or_default();
        let outcome = outcomes.get(index as usize).cloned();
        status.status = if outcome == Some(Outcome::Executed) { Stage::Executed } else { Stage::Skipped };
        (status.height, status.digest) = (Some(height), Some(block.header.digest()));
        (status.index, status.outcome) = (Some(index), outcome);
    }
    if let Some(entry) = entry {
        (status.l1_block, status.sender) = (Some(entry.l1_block()), Some(entry.sender()));
        status.hash = Some(entry.leaf());
    }
    Ok(status)
}

/// Returns the height of the final block that took the entry at `position`, and its place there, by bisection: the position
/// that headers name never falls.
fn taken_at(ledger: &dyn Ledger, position: u64) -> Result<Option<(Height, u32)>, RpcError> {
    let head = ledger.head()?.height;
    let left_at = |height: u64| -> Result<u64, RpcError> {
        let height = Height::new(height);
        Ok(ledger.header(height)?.ok_or(RpcError::HeaderNotFound)?.forced_position)
    };
    if left_at(head.get())? <= position {
        return Ok(None);
    }
    // The lowest height at which the queue is beyond it; the genesis block takes nothing.
    let (mut low, mut high) = (0_u64, head.get());
    while low.saturating_add(1) < high {
        let middle = low.midpoint(high);
        if left_at(middle)? > position {
            high = middle;
        } else {
            low = middle;
        }
    }
    let index = u32::try_from(position.saturating_sub(left_at(low)?)).unwrap_or(u32::MAX);
    Ok(Some((Height::new(high), index)))
}
