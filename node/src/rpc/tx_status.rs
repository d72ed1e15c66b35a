//! `baton_txStatus`: how far one transaction came.

use alloy_primitives::TxHash;
use baton_execution::Outcome;
use baton_mempool::Fate;
use baton_proto::{BlockDigest, Height};
use serde::Serialize;

use super::{
    RpcContext, RpcError,
    arguments::Arguments,
    feed::{BatchPlace, placed},
};
use crate::ledger::{BatchOnL1, BatchRecord};

/// What `baton_txStatus` returns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TxStatus {
    status: Stage,
    /// The one that replaced it.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced_by: Option<TxHash>,
    /// Why it was skipped; of one that waits again, why it was skipped before.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
    /// The block that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<Height>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<BlockDigest>,
    /// Its place in the block.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
    /// The batch that holds the block, once L1 does.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    batch: Option<BatchPlace>,
}

/// How far a transaction can come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Stage {
    /// This node has never seen it, or has forgotten it.
    Unknown,
    /// It waits for a block; every nonce before it is used or waits too, and the balance covers all of them.
    Pending,
    /// It waits for an earlier nonce of its sender, or for money.
    Gapped,
    /// It is in a block that a quorum voted for; another block may become final instead.
    Notarized,
    /// It took its turn in a final block.
    Final,
    /// L1 accepted the batch that holds it.
    Posted,
    /// That batch is in a finalized L1 block.
    Settled,
    /// It is in a final block and was passed over there.
    Skipped,
    /// Another one of its account and nonce took its place here.
    Replaced,
    /// It made room in a full pool for what was worth more.
    Evicted,
    /// It waited too long.
    Expired,
    /// Its account could not pay for it any more.
    Unfunded,
}

impl TxStatus {
    const fn of(status: Stage) -> Self {
        Self { status, replaced_by: None, outcome: None, height: None, digest: None, index: None, batch: None }
    }
}

/// `baton_txStatus`.
pub(super) fn tx_status(context: &RpcContext, arguments: &Arguments) -> Result<TxStatus, RpcError> {
    let hash = arguments.hash(0)?;
    // The ledger last: a transaction leaves the pool and the notarized blocks only after the ledger has it, so one of them
    // always knows.
    let waits = waits(context, &hash)?;
    let notarized = context.announcements.notarized.find(&hash);
    let Some(record) = context.ledger.transaction(&hash)? else {
        return Ok(match (notarized, waits) {
            (Some((height, digest, index)), _) => TxStatus {
                height: Some(height),
                digest: Some(digest),
                index: Some(index),
                ..TxStatus::of(Stage::Notarized)
            },
            (None, Some(stage)) => TxStatus::of(stage),
            (None, None) => departed(context.pool().fate(&hash)),
        });
    };
    let header = context.ledger.header(record.block)?;
    let header = header.ok_or(RpcError::IndexWithoutBlock { hash, block: record.block })?;
    let mut status = TxStatus {
        height: Some(record.block),
        digest: Some(header.digest()),
        index: Some(record.index),
        ..TxStatus::of(Stage::Final)
    };
    let batch = batch_of(context, record.block)?;
    status.batch = batch.as_ref().and_then(placed).map(|(place, _)| place);
    status.status = match batch.map(|batch| batch.l1) {
        Some(BatchOnL1::Settled { .. }) => Stage::Settled,
        Some(BatchOnL1::Posted { .. }) => Stage::Posted,
        Some(BatchOnL1::Unposted) | None => Stage::Final,
    };
    if record.outcome != Outcome::Executed {
        status.outcome = Some(record.outcome);
        status.status = waits.unwrap_or(Stage::Skipped);
    }
    Ok(status)
}

/// The status of one that neither waits nor is in a block.
fn departed(fate: Option<Fate>) -> TxStatus {
    match fate {
        Some(Fate::Replaced { by }) => TxStatus { replaced_by: Some(by), ..TxStatus::of(Stage::Replaced) },
        Some(Fate::Evicted) => TxStatus::of(Stage::Evicted),
        Some(Fate::Expired) => TxStatus::of(Stage::Expired),
        Some(Fate::Unfunded) => TxStatus::of(Stage::Unfunded),
        None => TxStatus::of(Stage::Unknown),
    }
}

/// Returns how a transaction waits, if it does.
fn waits(context: &RpcContext, hash: &TxHash) -> Result<Option<Stage>, RpcError> {
    let Some(transaction) = context.pool().get(hash) else { return Ok(None) };
    let nonce = context.ledger.nonce(transaction.sender())?;
    let next = context.pool().pending_nonce(transaction.sender(), nonce);
    Ok(Some(if transaction.nonce() < next { Stage::Pending } else { Stage::Gapped }))
}

/// Returns the batch on L1 that holds the block at `height`, by bisection: batches are consecutive.
pub(super) fn batch_of(context: &RpcContext, height: Height) -> Result<Option<BatchRecord>, RpcError> {
    let recorded = *context.announcements.recorded.borrow();
    let (mut low, mut high) = (0, recorded.map_or(0, |recorded| recorded.posted.get()));
    while low < high {
        let middle = low.midpoint(high);
        let Some(record) = context.ledger.batch_without_data(baton_proto::BatchIndex::new(middle))? else {
            return Ok(None);
        };
        if record.header.last_height < height {
            low = middle.saturating_add(1);
        } else if record.header.first_height > height {
            high = middle;
        } else {
            return Ok(Some(record));
        }
    }
    Ok(None)
}
