//! Decoding submissions in batches on blocking threads, in order.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use baton_proto::{Transaction, TransactionError};
use futures::{StreamExt as _, stream::FuturesOrdered};
use tokio::{
    sync::mpsc,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use super::{
    Answer, Senders, Submission,
    keeper::{GROUP_MAX, Work},
};
use crate::p2p::DropQueue;

/// Most submissions that one thread decodes before it hands them on: 3 ms, so that the first of them does not wait long
/// for the last.
const BATCH_MAX: usize = 64;

/// Most threads that decode at once, whatever the machine has: twenty thousand senders a second on each.
const THREADS_MAX: usize = 4;

/// A submission after decoding.
pub(super) struct Decoded {
    pub(super) transaction: Result<Transaction, TransactionError>,
    pub(super) answer: Answer,
}

/// Hands submissions, decoded, and gossiped transactions to the keeper, and has it announce again what waits, once a `turn`;
/// ends when the keeper or the door does.
pub(super) async fn run(
    senders: Arc<Senders>,
    mut submitted: mpsc::Receiver<Submission>,
    gossiped: Arc<DropQueue<Transaction>>,
    turn: Duration,
    keeper: mpsc::Sender<Work>,
) {
    let threads = threads();
    let mut decoding = FuturesOrdered::new();
    let mut batch = Vec::new();
    let mut turns = interval(turn);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let work = tokio::select! {
            count = submitted.recv_many(&mut batch, BATCH_MAX), if decoding.len() < threads => {
                if count == 0 {
                    return;
                }
                let (senders, batch) = (Arc::clone(&senders), std::mem::take(&mut batch));
                decoding.push_back(spawn_blocking(move || decode(&senders, batch)));
                continue;
            }
            Some(decoded) = decoding.next() => match decoded {
                Ok(decoded) => Work::Submitted(decoded),
                // Those of the batch hear that the node is stopping, for their answers are gone with it.
                Err(_) => return,
            },
            first = gossiped.pop() => {
                let more = std::iter::from_fn(|| gossiped.try_pop()).take(GROUP_MAX);
                Work::Gossiped(std::iter::once(first).chain(more).collect())
            }
            _ = turns.tick() => Work::AnnounceAgain,
        };
        if keeper.send(work).await.is_err() {
            return;
        }
    }
}

fn decode(senders: &Senders, batch: Vec<Submission>) -> Vec<Decoded> {
    let decoded =
        batch.into_iter().map(|Submission { raw, answer }| Decoded { transaction: senders.decode(raw), answer });
    decoded.collect()
}

/// All cores but one, which is for votes.
fn threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    cores.saturating_sub(1).clamp(1, THREADS_MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use alloy_primitives::Bytes;
    use tokio::sync::{Semaphore, oneshot};

    use super::*;
    use crate::admission::testing::raw_transfer;

    const COUNT: usize = 1_000;

    /// Decodes `raw` in batches of `batch_max`, on as many threads as admission uses, and returns the hashes in order.
    async fn decode_all(raw: &[Bytes], batch_max: usize) -> Vec<alloy_primitives::TxHash> {
        let (senders, room) = (Arc::new(Senders::new()), Arc::new(Semaphore::new(raw.len())));
        let mut batches = futures::stream::iter(raw.chunks(batch_max))
            .map(|batch| {
                let batch = batch.iter().map(|raw| {
                    let room = Arc::clone(&room).try_acquire_owned().unwrap();
                    Submission { raw: raw.clone(), answer: Answer { to: oneshot::channel().0, _room: room } }
                });
                let (senders, batch) = (Arc::clone(&senders), batch.collect());
                spawn_blocking(move || decode(&senders, batch))
            })
            .buffered(threads());
        let mut hashes = Vec::new();
        while let Some(batch) = batches.next().await {
            hashes.extend(batch.unwrap().iter().map(|decoded| *decoded.transaction.as_ref().unwrap().hash()));
        }
        assert_eq!(senders.recovered(), raw.len() as u64);
        hashes
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn batches_change_nothing_but_the_cost_which_is_printed() {
        let raw: Vec<Bytes> = (0..COUNT as u64).map(|nonce| raw_transfer(1, nonce, 5)).collect();
        let started = Instant::now();
        let single = decode_all(&raw, 1).await;
        let alone = started.elapsed();
        let batched = decode_all(&raw, BATCH_MAX).await;
        let together = started.elapsed() - alone;
        assert_eq!(single, batched);
        let ratio = alone.as_secs_f64() / together.as_secs_f64();
        println!("{COUNT} senders recovered in batches of {BATCH_MAX} {ratio:.2} times as fast as one by one");
    }
}
