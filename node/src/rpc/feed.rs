//! What became true, in order: read from the ledger by whoever asks, a page at a time, and never pushed.
//!
//! A subscription holds a position and asks for what follows it. Nothing waits for a subscriber: one that falls behind
//! reads older pages, and consensus never knows that it exists. The order is a function of the position and of what the
//! ledger holds, so a subscription that was cut off goes on with exactly what it would have heard.
//!
//! ```text
//!   final 1 … final 40, posted 0 (blocks 1–40), final 41 … final 57, settled 0, final 58 … final 80, posted 1, …
//! ```
//! A batch is told as posted once its last block was told as final, and as settled once it was told as posted; whatever of
//! the three can be told, the one that is furthest goes first.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use alloy::rpc::types::{Filter, Log as EthLog};
use alloy_primitives::TxHash;
use baton_execution::ChainExecutor;
use baton_proto::{BatchIndex, BlockDigest, BlockHeader, ChainSpec, Height, L1BlockNumber, View};
use jsonrpsee::core::{JsonRawValue, to_json_raw_value};
use serde::Serialize;
use tokio::sync::{Semaphore, watch};

use super::{
    RpcError,
    cursor::{Cursor, CursorError, Mark, REPLAY_BLOCKS_MAX},
    logs,
    render::{self, Chain},
};
use crate::{
    admission::Arrivals,
    batcher::Recorded,
    driver::{Notarized, NotarizedBlocks},
    ledger::{BatchOnL1, BatchRecord, Ledger, LedgerError},
};

/// Events read at a time.
pub(super) const PAGE_MAX: usize = 64;

/// Pages being read at a time, of all subscriptions together: they share the disk with votes and calls.
const READS_MAX: usize = 2;

/// Newest final blocks kept for subscribers, rendered: some 2 KiB each.
const RECENT_MAX: usize = 256;

/// Most batches that L1 holds and has not settled: many hours of them.
const UNSETTLED_MAX: u64 = 1_024;

/// What the node announces, as the driver and the batcher know it first.
#[derive(Clone)]
pub struct Announcements {
    /// The last final height; the ledger holds it.
    pub heads: watch::Receiver<Height>,
    /// Blocks that a quorum voted for.
    pub notarized: Arc<NotarizedBlocks>,
    /// How far the batches that L1 holds are in the ledger.
    pub recorded: watch::Receiver<Option<Recorded>>,
    /// Transactions that the pool took.
    pub arrivals: Arc<Arrivals>,
}

/// The chain's events.
pub(super) struct Feed {
    ledger: Arc<dyn Ledger>,
    spec: ChainSpec,
    execution: Arc<ChainExecutor>,
    announcements: Announcements,
    reads: Semaphore,
    recent: Mutex<BTreeMap<Height, Arc<FinalBlock>>>,
}

/// A final block as subscribers hear of it.
pub(super) struct FinalBlock {
    pub(super) header: BlockHeader,
    pub(super) digest: BlockDigest,
    /// As `newHeads` shows it.
    pub(super) head: Box<JsonRawValue>,
}

/// What may be told now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Available {
    pub(super) head: Height,
    pub(super) recorded: Option<Recorded>,
}

/// What follows a position.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) events: Vec<Event>,
    /// The position after the last of them.
    pub(super) after: Cursor,
    pub(super) then: Then,
}

/// Whether it is worth reading on at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// The page is full.
    More,
    /// That is all there was to tell.
    Nothing,
}

/// One event of `baton_subscribe`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event {
    /// What became true.
    pub(super) event: Stage,
    /// The block, or the last block of the batch.
    pub(super) height: Height,
    /// Its digest.
    pub(super) digest: BlockDigest,
    /// Its view.
    pub(super) view: View,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(super) batch: Option<BatchPlace>,
    /// Where to go on after this event.
    pub(super) cursor: String,
}

/// What can become true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Stage {
    /// A quorum voted for the block. Soft: it is told only while it happens, and another block may become final.
    Notarized,
    /// The block is final.
    Final,
    /// L1 accepted the batch; an L1 reorg can take it back.
    Posted,
    /// L1 took back what was told as posted, from this batch on; what it accepts instead is told again.
    Unposted,
    /// The batch is in a finalized L1 block.
    Settled,
}

/// A batch, and where it is on L1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BatchPlace {
    pub(super) batch_index: BatchIndex,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) first_height: Option<Height>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) l1_block: Option<L1BlockNumber>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) l1_transaction: Option<TxHash>,
}

impl Feed {
    pub(super) fn new(
        ledger: Arc<dyn Ledger>,
        spec: ChainSpec,
        execution: Arc<ChainExecutor>,
        announcements: Announcements,
    ) -> Self {
        Self { ledger, spec, execution, announcements, reads: Semaphore::new(READS_MAX), recent: Mutex::default() }
    }

    pub(super) fn announcements(&self) -> Announcements {
        self.announcements.clone()
    }

    /// Returns the position of a subscriber who hears only what comes from now on.
    pub(super) fn now(&self, available: &Available) -> Result<Cursor, RpcError> {
        let block = self.final_block(available.head)?;
        let (posted, settled) = match available.recorded {
            Some(recorded) => (recorded.posted.get(), recorded.settled.get()),
            None => self.last_recorded()?,
        };
        let batch = self.mark_before(posted)?;
        Ok(Cursor { height: available.head, block: Mark::of_block(block.digest), posted, batch, settled })
    }

    /// Checks that a subscriber can go on from `cursor`.
    pub(super) fn check(&self, cursor: &Cursor, head: Height) -> Result<(), RpcError> {
        if cursor.height > head {
            return Err(CursorError::Ahead { at: cursor.height, head }.into());
        }
        let behind = head.get().saturating_sub(cursor.height.get());
        if behind > REPLAY_BLOCKS_MAX {
            return Err(CursorError::TooOld { behind }.into());
        }
        let here = self.final_block(cursor.height)?.digest;
        if Mark::of_block(here) != cursor.block {
            return Err(CursorError::OtherChain { at: cursor.height, here }.into());
        }
        Ok(())
    }

    /// Returns what follows `cursor`, at most a page.
    pub(super) fn events(&self, mut cursor: Cursor, available: &Available) -> Result<Page, RpcError> {
        let mut events = Vec::new();
        while events.len() < PAGE_MAX {
            let Some(event) = self.event_after(&mut cursor, available)? else {
                return Ok(Page { events, after: cursor, then: Then::Nothing });
            };
            events.push(event);
        }
        Ok(Page { events, after: cursor, then: Then::More })
    }

    fn event_after(&self, cursor: &mut Cursor, available: &Available) -> Result<Option<Event>, RpcError> {
        if let Some(recorded) = available.recorded {
            if cursor.settled < cursor.posted.min(recorded.settled.get())
                && let Some(event) = self.settled_after(cursor)?
            {
                return Ok(Some(event));
            }
            if cursor.posted < recorded.posted.get()
                && let Some(event) = self.posted_after(cursor)?
            {
                return Ok(Some(event));
            }
        }
        let Some(next) = cursor.height.next().filter(|next| *next <= available.head) else { return Ok(None) };
        let block = self.final_block(next)?;
        (cursor.height, cursor.block) = (next, Mark::of_block(block.digest));
        Ok(Some(event(Stage::Final, &block, None, cursor)))
    }

    fn posted_after(&self, cursor: &mut Cursor) -> Result<Option<Event>, RpcError> {
        let Some(record) = self.record(cursor.posted)? else { return Ok(None) };
        // Its blocks come first, also where L1 is ahead of what this node has fetched.
        let Some((place, mark)) = placed(&record).filter(|_| record.header.last_height <= cursor.height) else {
            return Ok(None);
        };
        let block = self.final_block(record.header.last_height)?;
        (cursor.posted, cursor.batch) = (cursor.posted.saturating_add(1), mark);
        Ok(Some(event(Stage::Posted, &block, Some(place), cursor)))
    }

    fn settled_after(&self, cursor: &mut Cursor) -> Result<Option<Event>, RpcError> {
        let Some(record) = self.record(cursor.settled)? else { return Ok(None) };
        let BatchOnL1::Settled { .. } = record.l1 else { return Ok(None) };
        let Some((place, _)) = placed(&record).filter(|_| record.header.last_height <= cursor.height) else {
            return Ok(None);
        };
        let block = self.final_block(record.header.last_height)?;
        cursor.settled = cursor.settled.saturating_add(1);
        Ok(Some(event(Stage::Settled, &block, Some(place), cursor)))
    }

    /// Moves `cursor` back when L1 no longer holds what it says was posted, and returns what tells so.
    ///
    /// `before` is what this subscriber was judged by last: if L1's own count fell since then, that much is gone. A count
    /// that is merely below the cursor's means that this node still has to see what another one saw.
    pub(super) fn take_back(
        &self,
        cursor: &mut Cursor,
        before: Option<Recorded>,
        recorded: &Recorded,
    ) -> Result<Option<Event>, RpcError> {
        let (posted, settled) = (recorded.posted.get(), cursor.settled);
        let fell = before.is_some_and(|before| posted < before.posted.get()) && posted < cursor.posted;
        let left = if fell {
            posted.max(settled)
        } else if settled < cursor.posted && cursor.posted <= posted {
            let last = self.record_before(cursor.posted)?;
            match last.as_ref().and_then(placed) {
                Some((_, mark)) if mark != cursor.batch => settled,
                _ => return Ok(None),
            }
        } else {
            return Ok(None);
        };
        let height = self.record_before(left)?.map_or(Height::ZERO, |record| record.header.last_height);
        let block = self.final_block(height.min(cursor.height))?;
        cursor.posted = left;
        cursor.batch = self.mark_before(left)?;
        let place =
            BatchPlace { batch_index: BatchIndex::new(left), first_height: None, l1_block: None, l1_transaction: None };
        Ok(Some(event(Stage::Unposted, &block, Some(place), cursor)))
    }

    /// Returns the final blocks after `height`, at most a page.
    pub(super) fn heads(&self, height: Height, head: Height) -> Result<Vec<Arc<FinalBlock>>, RpcError> {
        let mut heads = Vec::new();
        let mut at = height;
        while heads.len() < PAGE_MAX {
            let Some(next) = at.next().filter(|next| *next <= head) else { break };
            heads.push(self.final_block(next)?);
            at = next;
        }
        Ok(heads)
    }

    /// Returns the logs that `filter` wants of the final blocks after `height`, at most those of a page, and the last block that
    /// was searched. A single block's logs are never divided.
    pub(super) fn logs(
        &self,
        filter: &Filter,
        height: Height,
        head: Height,
    ) -> Result<(Vec<EthLog>, Height), RpcError> {
        let (mut logs, mut at) = (Vec::new(), height);
        let last = Height::new(height.get().saturating_add(PAGE_MAX as u64)).min(head);
        while let Some(next) = at.next().filter(|next| *next <= last && logs.len() < PAGE_MAX) {
            logs.extend(logs::of_block(&*self.ledger, filter, next)?);
            at = next;
        }
        Ok((logs, at))
    }

    /// Runs `read` off the async loop, a few at a time.
    pub(super) async fn read<R: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Self) -> Result<R, RpcError> + Send + 'static,
    ) -> Result<R, RpcError> {
        let internal = |error: &dyn std::fmt::Display| RpcError::Internal(error.to_string());
        let _permit = self.reads.acquire().await.map_err(|error| internal(&error))?;
        let feed = Arc::clone(self);
        tokio::task::spawn_blocking(move || read(&feed)).await.map_err(|error| internal(&error))?
    }

    fn final_block(&self, height: Height) -> Result<Arc<FinalBlock>, RpcError> {
        if let Some(block) = self.recent.lock().unwrap_or_else(PoisonError::into_inner).get(&height) {
            return Ok(Arc::clone(block));
        }
        let header = self.ledger.header(height)?.ok_or(RpcError::HeaderNotFound)?;
        let results = self.ledger.results(height)?.ok_or(RpcError::HeaderNotFound)?;
        let digest = header.digest();
        let chain = Chain { spec: &self.spec, evm: self.execution.evm() };
        let head = to_json_raw_value(&render::head(&header, &chain, &results))
            .map_err(|error| RpcError::Internal(error.to_string()))?;
        let block = Arc::new(FinalBlock { header, digest, head });
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        // A replay of old blocks must not push out what everybody is about to ask for.
        let oldest = self.announcements.heads.borrow().get().saturating_sub(RECENT_MAX as u64);
        if height.get() > oldest {
            recent.insert(height, Arc::clone(&block));
            while recent.len() > RECENT_MAX {
                recent.pop_first();
            }
        }
        Ok(block)
    }

    /// Returns how many batches were posted and settled when this node last saw L1, perhaps in an earlier process.
    fn last_recorded(&self) -> Result<(u64, u64), LedgerError> {
        let Some(last) = self.ledger.last_batch()? else { return Ok((0, 0)) };
        let last = last.header.index.get();
        let lowest = last.saturating_sub(UNSETTLED_MAX);
        let (mut posted, mut settled) = (lowest, lowest);
        for index in lowest..=last {
            match self.record(index)?.map(|record| record.l1) {
                Some(BatchOnL1::Settled { .. }) => {
                    (posted, settled) = (index.saturating_add(1), index.saturating_add(1))
                }
                Some(BatchOnL1::Posted { .. }) => posted = index.saturating_add(1),
                Some(BatchOnL1::Unposted) | None => {}
            }
        }
        Ok((posted, settled))
    }

    /// Returns the mark of the last of `count` posted batches.
    fn mark_before(&self, count: u64) -> Result<Mark, LedgerError> {
        let record = self.record_before(count)?;
        Ok(record.as_ref().and_then(placed).map(|(_, mark)| mark).unwrap_or_default())
    }

    fn record(&self, index: u64) -> Result<Option<BatchRecord>, LedgerError> {
        self.ledger.batch_without_data(BatchIndex::new(index))
    }

    fn record_before(&self, index: u64) -> Result<Option<BatchRecord>, LedgerError> {
        index.checked_sub(1).map_or(Ok(None), |index| self.record(index))
    }
}

/// Where a batch is on L1, if it is there.
pub(super) fn placed(record: &BatchRecord) -> Option<(BatchPlace, Mark)> {
    let (BatchOnL1::Posted { tx, block } | BatchOnL1::Settled { tx, block }) = record.l1 else { return None };
    let place = BatchPlace {
        batch_index: record.header.index,
        first_height: Some(record.header.first_height),
        l1_block: Some(block),
        l1_transaction: Some(tx),
    };
    Some((place, Mark::of_posted(record.header.hash(), tx, block)))
}

fn event(stage: Stage, block: &FinalBlock, batch: Option<BatchPlace>, cursor: &Cursor) -> Event {
    Event {
        event: stage,
        height: block.header.height,
        digest: block.digest,
        view: block.header.view,
        batch,
        cursor: cursor.to_string(),
    }
}

/// A block that a quorum voted for, to a subscriber at `cursor`.
pub(super) fn notarized(notarized: &Notarized, cursor: &Cursor) -> Event {
    let Notarized { height, digest, view } = *notarized;
    Event { event: Stage::Notarized, height, digest, view, batch: None, cursor: cursor.to_string() }
}
