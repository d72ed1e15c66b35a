//! Writes down what L1 accepted, by whomever it was posted, and compares it with this node's own final chain.

use std::sync::Arc;

use baton_proto::{BatchHeader, Height, L1BlockNumber};
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use super::{BatcherContext, BatcherError, Recorded, blocks::state_root};
use crate::{
    l1::{ChainFacts, Had, InboxView, L1Client, L1Error, PostedBatch, ReplayError, posted_batches},
    ledger::{BatchOnL1, BatchRecord, Ledger},
};

/// Key under which the ledger keeps how far settled batches are recorded.
const CURSOR_KEY: &str = "settled_batches";

/// Most batches that wait for this node's final chain to reach them before they are compared: those of a long catch-up
/// beyond this are compared when they are needed, by the certificate of the batch after.
const UNCOMPARED_MAX: usize = 1_024;

/// Batches up to here are recorded as settled.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Cursor {
    /// The first L1 block that may hold a batch that is not recorded as settled.
    from: L1BlockNumber,
}

/// A running recorder.
pub(super) struct Recording {
    /// Why L1's chain is not this node's; empty when it is.
    pub(super) broken: watch::Receiver<String>,
    /// How far the ledger holds what L1 does.
    pub(super) recorded: watch::Receiver<Option<Recorded>>,
    pub(super) task: JoinHandle<Result<(), BatcherError>>,
}

pub(super) fn spawn(context: &BatcherContext, inbox: watch::Receiver<Option<InboxView>>) -> Recording {
    let (broken, broken_seen) = watch::channel(String::new());
    let (recorded, recorded_seen) = watch::channel(None);
    let recorder = Recorder {
        client: context.client.clone(),
        facts: Arc::clone(&context.facts),
        ledger: Arc::clone(&context.ledger),
        broken,
        recorded,
        uncompared: Vec::new(),
        said: String::new(),
    };
    let task = tokio::spawn(recorder.run(inbox, context.heads.clone(), context.config.retry, context.cancel.clone()));
    Recording { broken: broken_seen, recorded: recorded_seen, task }
}

struct Recorder {
    client: L1Client,
    facts: Arc<ChainFacts>,
    ledger: Arc<dyn Ledger>,
    broken: watch::Sender<String>,
    recorded: watch::Sender<Option<Recorded>>,
    /// Accepted batches that end above this node's final chain.
    uncompared: Vec<BatchHeader>,
    /// What the operator was told last.
    said: String,
}

impl Recorder {
    async fn run(
        mut self,
        mut inbox: watch::Receiver<Option<InboxView>>,
        mut heads: watch::Receiver<Height>,
        retry: std::time::Duration,
        cancel: CancellationToken,
    ) -> Result<(), BatcherError> {
        let mut cursor = match self.ledger.l1_fact(CURSOR_KEY)? {
            Some(bytes) => serde_json::from_slice(&bytes).unwrap_or(Cursor { from: self.facts.genesis_l1 }),
            None => Cursor { from: self.facts.genesis_l1 },
        };
        let mut seen: Option<InboxView> = None;
        loop {
            let view = *inbox.borrow_and_update();
            let moved =
                view.filter(|view| seen.is_none_or(|seen| (seen.posted, seen.settled) != (view.posted, view.settled)));
            let mut failed = false;
            if let Some(view) = moved {
                let round = tokio::select! {
                    () = cancel.cancelled() => return Ok(()),
                    round = self.record(&mut cursor, &view) => round,
                };
                match round {
                    Ok(()) => {
                        seen = Some(view);
                        self.said.clear();
                        let (posted, settled) = (view.posted.next_index, view.settled.next_index);
                        self.recorded.send_replace(Some(Recorded { posted, settled }));
                    }
                    Err(RecordError::Batcher(error)) => return Err(error),
                    Err(RecordError::Replay(error)) => {
                        self.tell(&error);
                        failed = true;
                    }
                }
            }
            let head = *heads.borrow_and_update();
            self.compare(head)?;
            let waits = !self.uncompared.is_empty();
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                changed = inbox.changed() => if changed.is_err() { return Ok(()) },
                changed = heads.changed(), if waits => if changed.is_err() { return Ok(()) },
                () = tokio::time::sleep(retry), if failed => {}
            }
        }
    }

    /// Tells the operator, once, of what no waiting mends: until then nothing that L1 holds counts as posted or settled here.
    fn tell(&mut self, error: &ReplayError) {
        if error.is_retryable() {
            debug!(%error, "posted batches cannot be read now");
            return;
        }
        let why = error.to_string();
        if self.said != why {
            error!(%error, "a batch that L1 accepted cannot be read: from it on nothing counts as posted or settled here");
            self.said = why;
        }
    }

    async fn record(&mut self, cursor: &mut Cursor, view: &InboxView) -> Result<(), RecordError> {
        let ledger = Arc::clone(&self.ledger);
        let had = |index, hash| match ledger.batch(index) {
            Ok(Some(record)) if record.header.hash() == hash => match record.l1 {
                BatchOnL1::Settled { .. } => Had::All,
                // Its data was checked against the hash when it was attested, or when it was read.
                BatchOnL1::Posted { .. } | BatchOnL1::Unposted => Had::Record(Box::new(record)),
            },
            // Unreadable is like unknown: then it is read from L1 and written again.
            Ok(_) | Err(_) => Had::Nothing,
        };
        let batches = posted_batches(&self.client, &self.facts, cursor.from, view.head, had).await?;
        let settled = |batch: &PostedBatch| batch.header.index < view.settled.next_index;
        for batch in &batches {
            let (tx, block) = (batch.transaction, batch.l1_block);
            let l1 = if settled(batch) { BatchOnL1::Settled { tx, block } } else { BatchOnL1::Posted { tx, block } };
            let record = BatchRecord {
                header: batch.header.clone(),
                data: batch.data.clone(),
                certificate: Some(batch.certificate.clone()),
                l1,
            };
            if self.ledger.batch(batch.header.index).map_err(BatcherError::from)?.as_ref() == Some(&record) {
                continue;
            }
            self.ledger.put_batch(&record).map_err(BatcherError::from)?;
            if self.uncompared.len() < UNCOMPARED_MAX {
                self.uncompared.push(batch.header.clone());
            }
        }
        // Endpoints can know a block before its events.
        if let Some(last) = view.posted.next_index.previous() {
            let record = self.ledger.batch(last).map_err(BatcherError::from)?;
            // One that was certified here is kept already, but as one that L1 has not.
            let is_recorded = |record: &BatchRecord| {
                record.header.hash() == view.posted.last_hash && record.l1 != BatchOnL1::Unposted
            };
            if !record.as_ref().is_some_and(is_recorded) {
                let what = format!("event of batch {last} up to block {}", view.head);
                return Err(ReplayError::L1(L1Error::Missing { what }).into());
            }
        }
        if let Some(last) = batches.iter().filter(|batch| settled(batch)).map(|batch| batch.l1_block).max() {
            // The block itself can hold further batches, which are then asked for again and skipped.
            *cursor = Cursor { from: last };
            let bytes = serde_json::to_vec(cursor).unwrap_or_default();
            self.ledger.put_l1_fact(CURSOR_KEY, &bytes).map_err(BatcherError::from)?;
        }
        Ok(())
    }

    /// L1 only accepts what a quorum certified. If that differs from what is final here, more than a third of the weight
    /// signed both; if it names another state, this node or that quorum executed wrongly, whoever came by its blocks how ever.
    fn compare(&mut self, head: Height) -> Result<(), BatcherError> {
        let (ready, later) = self.uncompared.drain(..).partition(|header: &BatchHeader| header.last_height <= head);
        self.uncompared = later;
        let ready: Vec<BatchHeader> = ready;
        for header in ready {
            let Some(own) = self.ledger.header(header.last_height)? else { continue };
            let own = own.digest();
            let root = state_root(&*self.ledger, header.last_height)?;
            if own == header.last_digest && root != header.state_root {
                error!(
                    index = %header.index, height = %header.last_height, posted = %header.state_root, own = %root,
                    "L1 accepted a batch that names another state than its blocks lead to here: either this node or a quorum executes wrongly"
                );
                self.broken.send_replace(format!(
                    "batch {} on L1 names state root {} after block {}, but execution here leads to {root}",
                    header.index, header.state_root, header.last_height
                ));
            }
            if own != header.last_digest {
                error!(
                    index = %header.index, height = %header.last_height, posted = %header.last_digest, %own,
                    "L1 accepted a batch of another chain than the one that is final here: safety is broken"
                );
                self.broken.send_replace(format!(
                    "batch {} on L1 ends with block {} at height {}, but {own} is final here",
                    header.index, header.last_digest, header.last_height
                ));
            }
        }
        Ok(())
    }
}

enum RecordError {
    Batcher(BatcherError),
    Replay(ReplayError),
}

impl From<BatcherError> for RecordError {
    fn from(error: BatcherError) -> Self {
        Self::Batcher(error)
    }
}

impl From<ReplayError> for RecordError {
    fn from(error: ReplayError) -> Self {
        Self::Replay(error)
    }
}
