//! Gathering the node's state in one value, four times a second.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use baton_mempool::Pool;
use baton_proto::{SignerSet, Weight};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    admission::now_ms,
    batcher::BatchStatus,
    driver::DriverStatus,
    epoch::EpochBook,
    l1::{ChainFacts, L1View},
    p2p::Network,
    telemetry::{NodeStatus, NotReady, SyncProgress},
};

/// How often the status is made anew.
const STATUS_EVERY: Duration = Duration::from_millis(250);

/// How often transactions that waited too long are dropped.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);

/// Where the status comes from.
pub(super) struct StatusSources {
    pub(super) facts: Arc<ChainFacts>,
    pub(super) epochs: EpochBook,
    pub(super) network: Network,
    pub(super) pool: Arc<Mutex<Pool>>,
    pub(super) driver: watch::Receiver<DriverStatus>,
    pub(super) l1: watch::Receiver<L1View>,
    pub(super) l1_stale_after: Duration,
    pub(super) batches: watch::Receiver<BatchStatus>,
}

impl StatusSources {
    /// Publishes the status until told to stop; also lets the pool forget what waited too long.
    pub(super) async fn run(
        self,
        status: watch::Sender<NodeStatus>,
        stop: CancellationToken,
    ) -> Result<(), std::convert::Infallible> {
        let mut ticks = tokio::time::interval(STATUS_EVERY);
        let mut expired_at = Instant::now();
        let mut below_quorum = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = ticks.tick() => {}
            }
            if expired_at.elapsed() > EXPIRE_EVERY {
                expired_at = Instant::now();
                self.pool.lock().unwrap_or_else(std::sync::PoisonError::into_inner).expire(now_ms());
            }
            let current = self.current();
            let total = current.total_weight;
            let is_below = u128::from(current.seen_weight.get()) * 3 <= u128::from(total.get()) * 2;
            if is_below && !below_quorum {
                warn!(seen = %current.seen_weight, %total, "less than a quorum of weight is connected: nothing becomes final");
            }
            below_quorum = is_below;
            status.send_replace(current);
        }
    }

    fn current(&self) -> NodeStatus {
        let driver = self.driver.borrow().clone();
        let epoch = self.epochs.running();
        let l1 = self.l1.borrow().clone();
        let batches = self.batches.borrow().clone();
        let (pool_transactions, pool_bytes) = {
            let pool = self.pool.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            (pool.len() as u64, pool.bytes() as u64)
        };
        let seen: SignerSet = self.network.at(epoch.epoch).connected_members().into_iter().chain(epoch.me()).collect();
        let seen_weight = epoch.committee.weight_of(seen).and_then(|weight| u64::try_from(weight).ok()).unwrap_or(0);
        let total = epoch.committee.total_weight();
        let l1_head_age = l1.head.map(|head| head.seen_at.elapsed());

        let mut not_ready = Vec::new();
        if let Some(why) = &driver.halted {
            not_ready.push(NotReady::halted(why));
        }
        if let Some(epoch) = driver.listening {
            not_ready.push(NotReady::listening(epoch.get()));
        }
        let syncing = driver
            .syncing
            .map(|target| SyncProgress { current: driver.final_height, target: target.max(driver.final_height) });
        if let Some(SyncProgress { current, target }) = syncing {
            not_ready.push(NotReady::syncing(current.get(), target.get()));
        }
        if !epoch.committee.is_quorum(seen) {
            not_ready.push(NotReady::below_quorum(seen_weight, total.get()));
        }
        if !l1.healthy || l1_head_age.is_none_or(|age| age > self.l1_stale_after) {
            not_ready.push(NotReady::l1_stale(l1_head_age, &l1.why));
        }
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        NodeStatus {
            epoch: epoch.committee.epoch(),
            view: driver.view,
            leader: driver.leader,
            me: epoch.me(),
            owner: epoch.me().and_then(|me| epoch.committee.member(me)).map(|member| member.owner),
            peer_id: self.network.peer_id().to_string(),
            final_height: driver.final_height,
            notarized_height: driver.notarized_height,
            time_to_final_ms: driver.time_to_final_ms,
            seen_weight: Weight::new(seen_weight),
            total_weight: total,
            peers: self.network.peer_count() as u64,
            pool_transactions,
            pool_bytes,
            posted_height: batches.posted_height,
            settled_height: batches.settled_height,
            unposted_batches: batches.unposted_batches,
            blobs_have_no_price: batches.blobs_have_no_price,
            l1_head: l1.head.map(|head| head.number),
            l1_head_age_ms: l1_head_age.map(millis),
            syncing,
            not_ready,
            ..NodeStatus::starting(self.facts.spec.l2_chain_id)
        }
    }
}
