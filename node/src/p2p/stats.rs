//! What the network counted since it started.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Returns the number.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }
}

/// Counters of one [`Network`](super::Network); each counts from its start.
#[derive(Debug, Default)]
pub struct NetworkStats {
    /// Connections that came about, whoever dialled.
    pub connections_opened: Counter,
    /// Frames written whole to consensus streams, one per receiver.
    pub frames_sent: Counter,
    /// Frames read whole from members' consensus streams.
    pub frames_received: Counter,
    /// Times that a consensus stream was read slower because its peer was above its budget.
    pub reads_delayed: Counter,
    /// Frames that never left because their queue was full, or because they had waited too long.
    pub frames_dropped: Counter,
    /// Outbound consensus streams opened, the first ones included.
    pub streams_opened: Counter,
    /// Inbound consensus streams refused because the peer has not proven to be a member.
    pub streams_refused: Counter,
    /// Gossip messages published.
    pub gossip_published: Counter,
    /// Gossip messages that no peer took because all queues were full, and transactions that went stale before that.
    pub gossip_unsent: Counter,
    /// Gossip messages accepted and forwarded.
    pub gossip_accepted: Counter,
    /// Gossip messages refused as their sender's fault.
    pub gossip_rejected: Counter,
    /// Gossip messages dropped because too many waited, because they were above their peer's budget, or say nothing new.
    pub gossip_ignored: Counter,
    /// Final headers and evidence published.
    pub announcements_published: Counter,
    /// Final headers and evidence that were not published because gossip knew them already.
    pub announcements_known: Counter,
    /// Final headers and evidence of others, accepted and forwarded.
    pub announcements_accepted: Counter,
    /// Transactions that peers handed over directly and that were taken in.
    pub forwarded_taken: Counter,
    /// Accepted gossip messages, and notices to the node, that were dropped because nobody took them in time.
    pub events_dropped: Counter,
    /// Requests answered.
    pub requests_answered: Counter,
    /// Questions of peers above their budget, answered with "unavailable" or not at all.
    pub requests_over_budget: Counter,
    /// Faults charged to peers.
    pub faults_charged: Counter,
    /// Times that a peer was disconnected and refused for a while.
    pub peers_refused: Counter,
}
