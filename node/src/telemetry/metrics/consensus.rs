//! What the driver and the checks before it count.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use baton_proto::{BlockHeader, Epoch, Height, View};
use prometheus_client::{
    metrics::{
        counter::Counter,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use super::register;

/// Seconds between blocks and within views: 10 ms, doubling, to 82 s. Views grow to 30 s while nothing becomes final.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.01, 2.0, 14))
}

/// Bytes of a block: 256, in fours, to 4 MiB, the most that a chain may allow.
fn block_bytes() -> Histogram {
    Histogram::new(exponential_buckets(256.0, 4.0, 8))
}

/// Transactions of a block: 1, in fours, to 16,384.
fn block_transactions() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 4.0, 8))
}

/// Numbers of consensus.
#[derive(Clone, Debug)]
pub struct ConsensusMetrics {
    /// Proposals from others that passed the checks.
    pub proposals_received: Counter,
    /// Of those, proposals that came with their transactions' hashes alone.
    pub compact_proposals_received: Counter,
    /// Of all, blocks that break a rule.
    pub proposals_invalid: Counter,
    /// Blocks built here.
    pub proposals_created: Counter,
    /// Votes from others, whatever became of them.
    pub votes_received: Counter,
    /// Votes for views that were over.
    pub votes_late: Counter,
    /// Votes that had come before; members repeat themselves until they are heard.
    pub votes_duplicate: Counter,
    /// Members that signed two conflicting statements.
    pub byzantine_validators: Gauge,
    transactions: Counter,
    skipped_views: Counter,
    missed_views: Counter,
    last_signed_height: Gauge,
    num_txs: Gauge,
    block_transactions: Histogram,
    block_size: Histogram,
    block_interval: Histogram,
    time_to_final: Histogram,
    view_duration: Histogram,
    before: Arc<Mutex<Before>>,
}

/// What durations are measured from.
#[derive(Debug, Default)]
struct Before {
    entered: Option<Instant>,
    /// Timestamp in milliseconds, epoch and view.
    final_block: Option<(u64, Epoch, View)>,
}

impl ConsensusMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let r = registry;
        Self {
            proposals_received: register(
                r,
                "proposals_received",
                "Proposals that passed the checks",
                Counter::default(),
            ),
            compact_proposals_received: register(
                r,
                "compact_proposals_received",
                "Proposals that passed the checks and came with their transactions' hashes alone",
                Counter::default(),
            ),
            proposals_invalid: register(
                r,
                "proposals_invalid",
                "Proposed blocks that break a rule",
                Counter::default(),
            ),
            proposals_created: register(r, "proposals_created", "Blocks built here", Counter::default()),
            votes_received: register(r, "votes_received", "Votes of other members", Counter::default()),
            votes_late: register(r, "votes_late", "Votes for views that were over", Counter::default()),
            votes_duplicate: register(r, "votes_duplicate", "Votes that had come before", Counter::default()),
            byzantine_validators: register(
                r,
                "byzantine_validators",
                "Members that signed two conflicting statements",
                Gauge::default(),
            ),
            transactions: register(r, "transactions", "Transactions in final blocks", Counter::default()),
            skipped_views: register(r, "skipped_views", "Views without a final block", Counter::default()),
            missed_views: register(
                r,
                "missed_views",
                "Views without a final block that this node led",
                Counter::default(),
            ),
            last_signed_height: register(
                r,
                "last_signed_height",
                "Height of the highest block that this node signed for since its start",
                Gauge::default(),
            ),
            num_txs: register(r, "num_txs", "Transactions in the last final block", Gauge::default()),
            block_transactions: register(
                r,
                "block_transactions",
                "Transactions of a final block",
                block_transactions(),
            ),
            block_size: register(r, "block_size_bytes", "Bytes of a final block's transactions", block_bytes()),
            block_interval: register(
                r,
                "block_interval_seconds",
                "From one final block's timestamp to the next one's",
                seconds(),
            ),
            time_to_final: register(
                r,
                "time_to_final_seconds",
                "From a block's timestamp until it was final here, of blocks that were not caught up with",
                seconds(),
            ),
            view_duration: register(r, "view_duration_seconds", "Time spent in a view", seconds()),
            before: Arc::default(),
        }
    }

    /// A view begins, and the one before ends.
    pub fn view_entered(&self) {
        let now = Instant::now();
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entered) = before.entered.replace(now) {
            self.view_duration.observe(now.duration_since(entered).as_secs_f64());
        }
    }

    /// This node signed for a block of this height.
    pub fn signed(&self, height: Height) {
        let height = i64::try_from(height.get()).unwrap_or(i64::MAX);
        self.last_signed_height.set(self.last_signed_height.get().max(height));
    }

    /// Returns the height of the highest block that this node signed for; 0 for none.
    #[cfg(test)]
    pub(crate) fn last_signed_height(&self) -> i64 {
        self.last_signed_height.get()
    }

    /// The block is final since before the start, unless one became final since then.
    pub fn go_on_from(&self, head: &BlockHeader) {
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        before.final_block.get_or_insert((head.timestamp_ms.get(), head.epoch, head.view));
    }

    /// A block is final; `is_ours` says which views of its epoch this node leads, and is asked once about each that was
    /// skipped since the block before.
    pub fn block_final(&self, header: &BlockHeader, mut is_ours: impl FnMut(View) -> bool) {
        let transactions = header.transaction_count;
        self.transactions.inc_by(transactions.into());
        self.num_txs.set(transactions.into());
        self.block_transactions.observe(transactions.into());
        self.block_size.observe(header.payload_bytes.into());
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        let (timestamp_ms, view) = (header.timestamp_ms.get(), header.view.get());
        if let Some((last_ms, epoch, last_view)) = before.final_block.replace((timestamp_ms, header.epoch, header.view))
        {
            self.block_interval.observe(timestamp_ms.saturating_sub(last_ms) as f64 / 1_000.0);
            // Views count from one in every epoch.
            let last_view = if epoch == header.epoch { last_view.get() } else { 0 };
            self.skipped_views.inc_by(view.saturating_sub(last_view).saturating_sub(1));
            let missed = (last_view.saturating_add(1)..view).filter(|view| is_ours(View::new(*view)));
            self.missed_views.inc_by(missed.count() as u64);
        }
    }

    /// The newest block was final this long after its timestamp.
    pub fn final_after(&self, milliseconds: u64) {
        self.time_to_final.observe(milliseconds as f64 / 1_000.0);
    }
}

#[cfg(test)]
mod tests {
    use baton_proto::{L1BlockNumber, L1Origin, L2ChainId};

    use super::*;

    #[test]
    fn views_between_final_blocks_are_skipped_and_our_own_of_them_missed() {
        let metrics = ConsensusMetrics::new(&mut Registry::default());
        let origin = L1Origin { number: L1BlockNumber::new(1), hash: Default::default() };
        let genesis = BlockHeader::genesis(L2ChainId::new(7), origin, 1);
        let block_final = |epoch, view| {
            let header = BlockHeader { epoch: Epoch::new(epoch), view: View::new(view), ..genesis.clone() };
            metrics.block_final(&header, |view| view.get().is_multiple_of(3));
            (metrics.skipped_views.get(), metrics.missed_views.get())
        };
        // What was before the block that the ledger ends with has been told before the start.
        metrics.go_on_from(&BlockHeader { epoch: Epoch::new(2), view: View::new(7), ..genesis.clone() });
        assert_eq!(block_final(2, 10), (2, 1));
        metrics.go_on_from(&genesis);
        assert_eq!(block_final(2, 11), (2, 1));
        assert_eq!(block_final(2, 13), (3, 2));
        assert_eq!(block_final(2, 20), (9, 4));
        // Another epoch starts anew, with two views that were skipped.
        assert_eq!(block_final(3, 3), (11, 4));
        assert_eq!(block_final(3, 7), (14, 5));
    }

    #[test]
    fn the_highest_height_signed_for_stays() {
        let metrics = ConsensusMetrics::new(&mut Registry::default());
        for (height, highest) in [(5, 5), (4, 5), (6, 6)] {
            metrics.signed(Height::new(height));
            assert_eq!(metrics.last_signed_height(), highest);
        }
    }
}
