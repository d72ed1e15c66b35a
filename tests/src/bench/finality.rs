//! When transfers were sent, and when a client saw them in a final block.

use std::{
    collections::HashMap,
    ops::Range,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use alloy_primitives::TxHash;
use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde_json::json;

use super::samples::Samples;
use crate::{devnet::EVENTUALLY, rpc::Rpc};

/// Pause between two questions for the next block while there is none.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Pause between two looks at whether all is final.
const DRAIN_LOOK_EVERY: Duration = Duration::from_millis(20);

/// Transfers of one phase on their way.
#[derive(Debug)]
pub struct Flight {
    start: Instant,
    numbers: HashMap<TxHash, usize>,
    /// Microseconds from the start, plus one; zero is "not yet".
    sent: Vec<AtomicU64>,
    seen: Vec<AtomicU64>,
    sent_count: AtomicUsize,
    seen_count: AtomicUsize,
}

/// The part of a block that is looked at.
#[derive(Deserialize)]
struct Answer {
    result: Option<Final>,
}

#[derive(Deserialize)]
struct Final {
    transactions: Vec<TxHash>,
}

impl Flight {
    /// Begins a phase; times are counted from now.
    #[must_use]
    pub fn new(hashes: &[TxHash]) -> Self {
        let zeros = || (0..hashes.len()).map(|_| AtomicU64::new(0)).collect();
        Self {
            start: Instant::now(),
            numbers: hashes.iter().copied().zip(0..).collect(),
            sent: zeros(),
            seen: zeros(),
            sent_count: AtomicUsize::new(0),
            seen_count: AtomicUsize::new(0),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Notes that these are being sent now.
    pub fn on_sending(&self, transfers: Range<usize>) {
        let now = self.now();
        self.sent_count.fetch_add(transfers.len(), Ordering::Relaxed);
        for sent in &self.sent[transfers] {
            sent.store(now, Ordering::Relaxed);
        }
    }

    fn on_final(&self, hashes: &[TxHash]) {
        let now = self.now();
        for number in hashes.iter().filter_map(|hash| self.numbers.get(hash)) {
            self.seen[*number].store(now, Ordering::Relaxed);
            self.seen_count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns how many were sent and not yet seen final.
    #[must_use]
    pub fn unfinal(&self) -> usize {
        self.sent_count.load(Ordering::Relaxed).saturating_sub(self.seen_count.load(Ordering::Relaxed))
    }

    /// Returns the time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Returns how many were seen final within a part of the phase.
    #[must_use]
    pub fn final_within(&self, window: &Range<Duration>) -> usize {
        self.seen.iter().filter(|seen| within(seen, window)).count()
    }

    /// Returns the times from sending to final of those that were sent within a part of the phase.
    #[must_use]
    pub fn times_of_sent_within(&self, window: &Range<Duration>) -> Samples {
        let times = self.sent.iter().zip(&self.seen).filter(|(sent, _)| within(sent, window));
        times
            .filter_map(|(sent, seen)| seen.load(Ordering::Relaxed).checked_sub(sent.load(Ordering::Relaxed)))
            .map(Duration::from_micros)
            .collect()
    }

    /// Follows the chain at `rpc` from height `from` on, as a client that asks for the next block until it is there.
    ///
    /// # Errors
    /// When the node does not answer. Never returns otherwise.
    pub async fn watch(&self, rpc: &Rpc, from: u64) -> anyhow::Result<std::convert::Infallible> {
        let mut height = from;
        loop {
            let params = json!([format!("{height:#x}"), false]);
            let call = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber", "params": params});
            let answer = rpc.post(serde_json::to_vec(&call)?).await?;
            let answer: Answer = serde_json::from_slice(&answer).context("a block is not what it should be")?;
            match answer.result {
                Some(block) => {
                    self.on_final(&block.transactions);
                    height += 1;
                }
                None => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    /// Waits until everything that was sent is final.
    ///
    /// # Errors
    /// When some of it never is.
    pub async fn drained(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + EVENTUALLY;
        while self.unfinal() > 0 {
            ensure!(Instant::now() < deadline, "{} accepted transfers never became final", self.unfinal());
            tokio::time::sleep(DRAIN_LOOK_EVERY).await;
        }
        Ok(())
    }
}

fn within(at: &AtomicU64, window: &Range<Duration>) -> bool {
    let at = at.load(Ordering::Relaxed);
    at > 0 && window.contains(&Duration::from_micros(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_sent_and_seen_counts() {
        let hashes: Vec<TxHash> = (1..=3).map(TxHash::repeat_byte).collect();
        let flight = Flight::new(&hashes);
        let always = Duration::ZERO..Duration::MAX;
        flight.on_sending(0..2);
        assert_eq!((flight.unfinal(), flight.final_within(&always)), (2, 0));
        flight.on_final(&[hashes[1], TxHash::ZERO]);
        assert_eq!((flight.unfinal(), flight.final_within(&always)), (1, 1));
        assert_eq!(flight.times_of_sent_within(&always).len(), 1);
        assert_eq!(flight.final_within(&(Duration::MAX..Duration::MAX)), 0);
    }
}
