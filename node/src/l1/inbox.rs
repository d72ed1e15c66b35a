//! Where the chain of batches stands on L1: at the newest block, for progress, and at the final one, for settlement.

use std::{sync::Arc, time::Duration};

use baton_proto::{BatchHash, BatchIndex, Height, L1BlockNumber};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::{
    bindings::BatchInbox,
    client::{At, L1Client},
    error::L1Error,
    facts::ChainFacts,
    watcher::L1View,
};

/// `BatchInbox.tip()` at some L1 block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InboxTip {
    /// The index that the next batch must have.
    pub next_index: BatchIndex,
    /// The last posted height; 0 before the first batch.
    pub last_height: Height,
    /// Hash of the last batch; zero before the first.
    pub last_hash: BatchHash,
    /// L1 block that accepted the last batch; before the first, the origin of the genesis block.
    pub accepted_at: L1BlockNumber,
}

impl InboxTip {
    /// Returns where a chain stands before its first batch.
    #[must_use]
    pub fn genesis(facts: &ChainFacts) -> Self {
        Self {
            next_index: BatchIndex::ZERO,
            last_height: Height::ZERO,
            last_hash: BatchHash::ZERO,
            accepted_at: facts.genesis.origin.number,
        }
    }
}

/// What the inbox says at two blocks of one L1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InboxView {
    /// At the newest L1 block; an L1 reorg can take it back.
    pub posted: InboxTip,
    /// At the newest final L1 block.
    pub settled: InboxTip,
    /// The L1 block that `posted` was read at.
    pub head: L1BlockNumber,
}

/// Reads the tip at `at`, as the first endpoint has it that answers.
///
/// # Errors
/// [`L1Error`].
pub async fn read_tip(client: &L1Client, facts: &ChainFacts, at: At) -> Result<InboxTip, L1Error> {
    client.call(facts.inbox, &BatchInbox::tipCall {}, at).await.map(|tip| tip_of(tip, facts))
}

/// Reads the tip at a block, as most endpoints have it: a false one would have this node close a batch on batches or blocks that
/// are not there.
async fn read_agreed(client: &L1Client, facts: &ChainFacts, number: L1BlockNumber) -> Result<InboxTip, L1Error> {
    let tip = client.agreed_call(facts.inbox, &BatchInbox::tipCall {}, At::Number(number)).await;
    tip.map(|tip| tip_of(tip, facts))
}

fn tip_of(tip: BatchInbox::tipReturn, facts: &ChainFacts) -> InboxTip {
    if tip.nextIndex_ == 0 {
        return InboxTip::genesis(facts);
    }
    InboxTip {
        next_index: BatchIndex::new(tip.nextIndex_),
        last_height: Height::new(tip.lastHeight),
        last_hash: BatchHash::new(tip.lastBatchHash),
        accepted_at: L1BlockNumber::new(tip.acceptedAtBlock),
    }
}

/// Follows the inbox: reads it whenever L1 moves. `None` until it was read once.
pub fn spawn_inbox_watcher(
    client: L1Client,
    facts: Arc<ChainFacts>,
    mut l1: watch::Receiver<L1View>,
    retry: Duration,
    cancel: CancellationToken,
) -> (watch::Receiver<Option<InboxView>>, JoinHandle<()>) {
    let (publish, receiver) = watch::channel(None);
    let task = tokio::spawn(async move {
        loop {
            let (head, finalized, healthy) = {
                let view = l1.borrow_and_update();
                (view.head, view.finalized, view.healthy)
            };
            let read = match (healthy, head, finalized) {
                (true, Some(head), Some((finalized, _))) => {
                    let both = async {
                        let posted = read_agreed(&client, &facts, head.number).await?;
                        let settled = read_agreed(&client, &facts, finalized.number).await?;
                        Ok::<_, L1Error>(InboxView { posted, settled, head: head.number })
                    };
                    tokio::select! {
                        () = cancel.cancelled() => return,
                        result = both => Some(result),
                    }
                }
                _ => None,
            };
            let failed = match read {
                Some(Ok(view)) => {
                    announce(&publish, view);
                    false
                }
                Some(Err(error)) => {
                    debug!(%error, "the inbox cannot be read now");
                    true
                }
                None => false,
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                changed = l1.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(retry), if failed => {}
            }
        }
    });
    (receiver, task)
}

fn announce(publish: &watch::Sender<Option<InboxView>>, view: InboxView) {
    publish.send_if_modified(|current| {
        let before = current.map(|view| view.posted);
        if before.is_some_and(|before| before.next_index > view.posted.next_index) {
            info!(from = ?before.map(|tip| tip.next_index.get()), to = %view.posted.next_index, "L1 took batches back");
        } else if before.is_some_and(|before| before.next_index < view.posted.next_index) {
            info!(
                batches = %view.posted.next_index,
                height = %view.posted.last_height,
                l1_block = %view.posted.accepted_at,
                "batch accepted on L1"
            );
        }
        let modified = *current != Some(view);
        *current = Some(view);
        modified
    });
}
