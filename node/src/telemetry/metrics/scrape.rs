//! What others keep anyway, read when somebody asks.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use alloy_primitives::{Address, U256};
use baton_mempool::Pool;
use baton_proto::SignerSet;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};
use tokio::sync::watch;

use crate::{
    epoch::EpochBook,
    l1::LivenessView,
    ledger::{IntentState, Ledger},
    p2p::Network,
    telemetry::NodeStatus,
};

/// Writes single numbers under their full names.
pub(super) struct Scrape<'a>(DescriptorEncoder<'a>);

impl<'a> Scrape<'a> {
    pub(super) fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self(encoder)
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> Result<(), fmt::Error> {
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(encoder)
    }

    /// The name is without its `_total`.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: impl EncodeCounterValue) -> Result<(), fmt::Error> {
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(encoder)
    }
}

/// The node's status.
#[derive(Debug)]
pub(super) struct StatusSource {
    pub(super) status: watch::Receiver<NodeStatus>,
}

impl Collector for StatusSource {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let status = self.status.borrow().clone();
        let behind = |height: baton_proto::Height| status.final_height.get().saturating_sub(height.get());
        let mut s = Scrape::new(encoder);
        s.gauge("node_ready", "1 if nothing stands against any duty", u64::from(status.is_ready()))?;
        s.gauge("consensus_height", "Height of the last final block", status.final_height.get())?;
        s.gauge("consensus_notarized_height", "Highest block that a quorum voted for", status.notarized_height.get())?;
        s.gauge("consensus_epoch", "Running epoch", status.epoch.get())?;
        s.gauge("consensus_view", "Current view", status.view.get())?;
        let leads = status.leader.is_some() && status.leader == status.me;
        s.gauge("consensus_leads", "1 if this node leads the current view", u64::from(leads))?;
        s.gauge("consensus_validators_weight", "Weight of the committee", status.total_weight.get())?;
        let missing = status.total_weight.get().saturating_sub(status.seen_weight.get());
        s.gauge("consensus_missing_validators_weight", "Weight of members that are not connected", missing)?;
        s.gauge("mempool_size", "Transactions in the pool", status.pool_transactions)?;
        s.gauge("mempool_size_bytes", "Bytes of the transactions in the pool", status.pool_bytes)?;
        s.gauge("batcher_posted_height", "Last block in a batch that L1 accepted", status.posted_height.get())?;
        s.gauge(
            "batcher_settled_height",
            "Last block in a batch in a finalized L1 block",
            status.settled_height.get(),
        )?;
        s.gauge("batcher_unposted_blocks", "Final blocks that L1 does not hold", behind(status.posted_height))?;
        s.gauge("batcher_unsettled_blocks", "Final blocks that L1 has not settled", behind(status.settled_height))?;
        s.gauge("batcher_unposted_batches", "Certified batches that L1 does not hold", status.unposted_batches)?;
        let no_price = u64::from(status.blobs_have_no_price);
        s.gauge("batcher_blobs_without_price", "1 while L1 does not say what blobs cost", no_price)?;
        if let (Some(head), Some(age_ms)) = (status.l1_head, status.l1_head_age_ms) {
            s.gauge("l1_head", "Number of the newest L1 block seen", head.get())?;
            s.gauge("l1_head_age_seconds", "Time since it was first seen", age_ms as f64 / 1_000.0)?;
        }
        s.gauge("sync_active", "1 while final blocks are fetched from peers", u64::from(status.syncing.is_some()))?;
        if let Some(progress) = status.syncing {
            s.gauge("sync_current_height", "Height that catching up has come to", progress.current.get())?;
            s.gauge("sync_target_height", "Height that catching up aims at", progress.target.get())?;
        }
        Ok(())
    }
}

/// The network's counters and whom of the committee it is connected to.
pub(super) struct NetworkSource {
    pub(super) network: Network,
    pub(super) epochs: EpochBook,
}

impl fmt::Debug for NetworkSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkSource").finish_non_exhaustive()
    }
}

impl Collector for NetworkSource {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let epoch = self.epochs.running();
        let seen: SignerSet = self.network.at(epoch.epoch).connected_members().into_iter().chain(epoch.me()).collect();
        let members = epoch.committee.len() as u64;
        let missing = members.saturating_sub(seen.len() as u64);
        let stats = self.network.stats();
        let mut s = Scrape::new(encoder);
        s.gauge("consensus_validators", "Members of the committee", members)?;
        s.gauge("consensus_missing_validators", "Members that are not connected", missing)?;
        s.gauge("p2p_peers", "Connected peers", self.network.peer_count() as u64)?;
        for (name, help, counter) in [
            ("p2p_connections_opened", "Connections with peers that came about", &stats.connections_opened),
            ("p2p_frames_sent", "Frames written to consensus streams", &stats.frames_sent),
            ("p2p_frames_received", "Frames read from consensus streams", &stats.frames_received),
            ("p2p_frames_dropped", "Frames that never left: full queue, or stale", &stats.frames_dropped),
            ("p2p_streams_opened", "Consensus streams opened", &stats.streams_opened),
            ("p2p_streams_refused", "Consensus streams refused: the peer is no member", &stats.streams_refused),
            ("p2p_gossip_published", "Gossip messages published", &stats.gossip_published),
            ("p2p_gossip_unsent", "Gossip messages that nobody took in time", &stats.gossip_unsent),
            ("p2p_gossip_accepted", "Gossip messages accepted and forwarded", &stats.gossip_accepted),
            ("p2p_gossip_rejected", "Gossip messages refused as their sender's fault", &stats.gossip_rejected),
            ("p2p_gossip_ignored", "Gossip messages dropped: too many waited, or nothing new", &stats.gossip_ignored),
            ("p2p_events_dropped", "Messages and notices that the node did not take in time", &stats.events_dropped),
            ("p2p_requests_answered", "Peers' questions answered", &stats.requests_answered),
            ("p2p_faults_charged", "Faults charged to peers", &stats.faults_charged),
            ("p2p_reads_delayed", "Times that a member was read slower: above its budget", &stats.reads_delayed),
            ("p2p_requests_over_budget", "Questions above their peer's budget", &stats.requests_over_budget),
            ("p2p_announcements_published", "Final headers and evidence published", &stats.announcements_published),
            (
                "p2p_announcements_known",
                "Final headers and evidence not published because gossip knew them already",
                &stats.announcements_known,
            ),
            (
                "p2p_announcements_accepted",
                "Final headers and evidence of others, forwarded",
                &stats.announcements_accepted,
            ),
            ("p2p_forwarded_taken", "Transactions that peers handed over directly", &stats.forwarded_taken),
            ("p2p_peers_refused", "Times that a peer was refused for a while", &stats.peers_refused),
        ] {
            s.counter(name, help, counter.get())?;
        }
        Ok(())
    }
}

/// Rewards and jail on L1, once they were read. Amounts are base units of the bond token.
#[derive(Debug)]
pub(super) struct LivenessSource {
    pub(super) liveness: watch::Receiver<Option<LivenessView>>,
}

impl Collector for LivenessSource {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(view) = self.liveness.borrow().clone() else { return Ok(()) };
        let amount = |amount: U256| u128::try_from(amount).unwrap_or(u128::MAX) as f64;
        let last_settled = view.last_settled.unwrap_or_default().get();
        let mut s = Scrape::new(encoder);
        s.gauge("duties_settled_epoch", "Epoch whose duties L1 applied last; 0 for none", last_settled)?;
        s.gauge("duties_reward_pool", "What L1 has left for rewards", amount(view.pool))?;
        if let Some(own) = view.own_standing() {
            s.gauge("duties_jailed", "1 while this node's sequencer is jailed", u64::from(own.jailed.is_some()))?;
            s.gauge("duties_pending_rewards", "What waits for this node's owner on L1", amount(own.pending))?;
        }
        Ok(())
    }
}

/// The pool's counters.
#[derive(Debug)]
pub(super) struct PoolSource {
    pub(super) pool: Arc<Mutex<Pool>>,
}

impl Collector for PoolSource {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counts = self.pool.lock().unwrap_or_else(PoisonError::into_inner).counts();
        let mut s = Scrape::new(encoder);
        for (name, help, count) in [
            ("mempool_admitted", "Transactions admitted, replacements among them", counts.admitted),
            ("mempool_replaced", "Transactions replaced by ones that pay more", counts.replaced),
            ("mempool_rejected", "Transactions refused", counts.rejected),
            ("mempool_already_known", "Transactions that came again while they waited", counts.already_known),
            ("mempool_evicted", "Transactions that made room for what is worth more", counts.evicted),
            ("mempool_expired", "Transactions that waited too long", counts.expired),
            ("mempool_unfunded", "Transactions that their accounts could not pay for any more", counts.unfunded),
        ] {
            s.counter(name, help, count)?;
        }
        Ok(())
    }
}

/// What the posting account has on its way.
pub(super) struct PostingSource {
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) account: Address,
}

impl fmt::Debug for PostingSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostingSource").field("account", &self.account).finish_non_exhaustive()
    }
}

impl Collector for PostingSource {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        // What cannot be read is left out; a ledger that cannot be read ends the node anyway.
        let Ok(intents) = self.ledger.intents() else { return Ok(()) };
        let ours = || intents.iter().filter(|intent| intent.account == self.account);
        let pending = ours().filter(|intent| matches!(intent.state, IntentState::Fresh | IntentState::Sent));
        let mut s = Scrape::new(encoder);
        s.gauge("l1_pending_posts", "Transactions of the posting account that are not mined", pending.count() as u64)?;
        if let Some(newest) = ours().last() {
            s.gauge("l1_post_nonce", "Nonce of its newest transaction", newest.nonce)?;
            s.gauge("l1_post_max_fee_wei", "Its maxFeePerGas", newest.max_fee_wei as f64)?;
            s.gauge("l1_post_priority_fee_wei", "Its maxPriorityFeePerGas", newest.priority_fee_wei as f64)?;
        }
        Ok(())
    }
}
