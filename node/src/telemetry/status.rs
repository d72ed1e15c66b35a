//! The node's state in one value: `baton_status` returns it, `/readyz` judges it, the log prints it.

use std::time::Duration;

use alloy_primitives::Address;
use baton_proto::{Epoch, Height, L1BlockNumber, L2ChainId, MemberIndex, View, Weight};
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::NotReady;
use crate::sync::{Line, Pace};

/// Pause between two status lines in the log: often enough to see a stall, rare enough to read.
pub const STATUS_LINE_INTERVAL: Duration = Duration::from_secs(10);

/// What the node knows about itself and the chain, as of one moment. The node publishes it in a watch channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Version of the program.
    pub version: String,
    /// The rollup.
    pub l2_chain_id: L2ChainId,
    /// The running epoch.
    pub epoch: Epoch,
    /// The view the machine is in.
    pub view: View,
    /// Who leads that view; `None` until the committee is known.
    pub leader: Option<MemberIndex>,
    /// Our own place in the committee, if we have one.
    pub me: Option<MemberIndex>,
    /// The owner whose bond our key belongs to, if we are a member.
    pub owner: Option<Address>,
    /// Our peer id, by which others dial us.
    pub peer_id: String,
    /// Height of the last final block.
    pub final_height: Height,
    /// Height of the highest block that a quorum voted for.
    pub notarized_height: Height,
    /// From the last final block's timestamp to the moment we saw it final, in milliseconds; `None` before the first.
    pub time_to_final_ms: Option<u64>,
    /// Weight of the members we are connected to, ourselves included.
    pub seen_weight: Weight,
    /// Weight of the committee.
    pub total_weight: Weight,
    /// Connected peers.
    pub peers: u64,
    /// Transactions in the pool.
    pub pool_transactions: u64,
    /// Their bytes.
    pub pool_bytes: u64,
    /// Height of the last block in a batch that L1 accepted; 0 before the first.
    pub posted_height: Height,
    /// Height of the last block in a batch whose L1 block is finalized; 0 before the first.
    pub settled_height: Height,
    /// Certified batches that L1 does not hold yet.
    pub unposted_batches: u64,
    /// Whether L1 does not say what blobs cost, so that batches travel as calldata.
    pub blobs_have_no_price: bool,
    /// Newest L1 head we have seen.
    pub l1_head: Option<L1BlockNumber>,
    /// Time since we saw it, in milliseconds.
    pub l1_head_age_ms: Option<u64>,
    /// Catching up, if we are.
    pub syncing: Option<SyncProgress>,
    /// Why the node is not ready; empty when it is.
    pub not_ready: Vec<NotReady>,
}

/// How far catching up has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncProgress {
    /// Our final height.
    pub current: Height,
    /// The highest height that is proven to be final; our own until a peer has shown one.
    pub target: Height,
}

impl NodeStatus {
    /// Returns the status of a node that has just started: nothing known, nothing allowed.
    #[must_use]
    pub fn starting(l2_chain_id: L2ChainId) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            l2_chain_id,
            epoch: Epoch::ZERO,
            view: View::ZERO,
            leader: None,
            me: None,
            owner: None,
            peer_id: String::new(),
            final_height: Height::ZERO,
            notarized_height: Height::ZERO,
            time_to_final_ms: None,
            seen_weight: Weight::ZERO,
            total_weight: Weight::ZERO,
            peers: 0,
            pool_transactions: 0,
            pool_bytes: 0,
            posted_height: Height::ZERO,
            settled_height: Height::ZERO,
            unposted_batches: 0,
            blobs_have_no_price: false,
            l1_head: None,
            l1_head_age_ms: None,
            syncing: None,
            not_ready: vec![NotReady::starting()],
        }
    }

    /// Returns whether nothing stands against being ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.not_ready.is_empty()
    }
}

/// Writes one line per [`STATUS_LINE_INTERVAL`] to the log until `stop`.
pub async fn run_status_line(status: watch::Receiver<NodeStatus>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(STATUS_LINE_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    // The first tick comes at once, before there is anything to say.
    ticks.tick().await;
    let mut pace = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {
                let status = status.borrow();
                let sync = sync_line(&mut pace, status.syncing, Instant::now());
                write_status_line(&status, sync);
            }
        }
    }
}

/// Returns how fast catching up went since the line before; `None` for the first line of a run, and without one.
fn sync_line(pace: &mut Option<Pace>, syncing: Option<SyncProgress>, now: Instant) -> Option<Line> {
    let Some(SyncProgress { current, target }) = syncing else {
        *pace = None;
        return None;
    };
    pace.get_or_insert_with(|| Pace::new(current, now)).line(current, target, now)
}

fn write_status_line(status: &NodeStatus, sync: Option<Line>) {
    let leads = status.leader.is_some() && status.leader == status.me;
    info!(
        height = %status.final_height,
        view = %status.view,
        leader = status.leader.map(MemberIndex::get),
        leads,
        weight = %format_args!("{}/{}", status.seen_weight, status.total_weight),
        peers = status.peers,
        pool = status.pool_transactions,
        pool_bytes = status.pool_bytes,
        time_to_final_ms = status.time_to_final_ms,
        safe_lag = status.final_height.get().saturating_sub(status.posted_height.get()),
        finalized_lag = status.final_height.get().saturating_sub(status.settled_height.get()),
        unposted_batches = status.unposted_batches,
        l1_head = status.l1_head.map(L1BlockNumber::get),
        l1_head_age_ms = status.l1_head_age_ms,
        sync_current = status.syncing.map(|progress| progress.current.get()),
        sync_target = status.syncing.map(|progress| progress.target.get()),
        sync_blocks_per_s = sync.map(|line| line.blocks_per_s as u64),
        sync_eta_s = sync.and_then(|line| line.eta).map(|eta| eta.as_secs()),
        ready = status.is_ready(),
        "status"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_ready_when_nothing_stands_against_it() {
        let mut status = NodeStatus::starting(L2ChainId::new(6_000));
        assert!(!status.is_ready());
        status.not_ready = vec![NotReady::l1_stale(None, ""), NotReady::below_quorum(1, 3)];
        assert!(!status.is_ready());
        status.not_ready.clear();
        assert!(status.is_ready());
    }

    #[test]
    fn catching_up_is_timed_from_line_to_line() {
        let start = Instant::now();
        let mut pace = None;
        let mut at = |seconds, progress: Option<(u64, u64)>| {
            let progress = progress
                .map(|(current, target)| SyncProgress { current: Height::new(current), target: Height::new(target) });
            let line = sync_line(&mut pace, progress, start + Duration::from_secs(seconds));
            line.map(|line| (line.blocks_per_s, line.eta.map(|eta| eta.as_secs())))
        };
        assert_eq!(at(0, Some((1_000, 51_000))), None);
        assert_eq!(at(10, Some((6_000, 51_000))), Some((500.0, Some(90))));
        assert_eq!(at(20, Some((6_000, 52_000))), Some((0.0, None)));
        assert_eq!(at(30, None), None);
        assert_eq!(at(40, Some((60_000, 60_001))), None, "another run, which has just begun");
    }

    #[test]
    fn the_status_survives_json() {
        let status = NodeStatus { leader: Some(MemberIndex::new(3)), ..NodeStatus::starting(L2ChainId::new(6_000)) };
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!(json["finalHeight"], 0);
        assert_eq!(json["leader"], 3);
        assert_eq!(serde_json::from_value::<NodeStatus>(json).unwrap(), status);
    }
}
