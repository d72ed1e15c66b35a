//! What the network's tasks and its handles have in common.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicUsize},
    time::Instant,
};

use baton_proto::{MemberIndex, Transaction, wire::Announcement};
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use super::{
    Fault, NetworkStats, RequestError,
    charges::{Charges, Verdict},
    peers::Peers,
    queue::DropQueue,
};

/// What the network's own task is asked to do.
pub(super) enum Command {
    /// Send an encoded request and hand back the encoded answer.
    Request { to: PeerId, request: Vec<u8>, answer: oneshot::Sender<Result<Vec<u8>, RequestError>> },
    /// Gossip something about a view.
    Announce(Box<Announcement>),
    /// Disconnect a peer that is over its budget and refuse it for a while.
    Refuse { peer: PeerId, last: Fault },
}

/// State that outlives any one task.
pub(super) struct Shared {
    pub(super) peers: Peers,
    pub(super) stats: NetworkStats,
    pub(super) commands: mpsc::Sender<Command>,
    /// Transactions that wait to be published; when full, the stalest go.
    pub(super) publish: DropQueue<Transaction>,
    pub(super) peer_count: AtomicUsize,
    connected: Mutex<BTreeSet<MemberIndex>>,
    listen: Mutex<Vec<Multiaddr>>,
    charges: Mutex<Charges>,
}

/// Most transactions that wait to be published, and their most bytes: one second at several thousand per second.
const PUBLISH_TRANSACTIONS_MAX: usize = 8_192;
const PUBLISH_BYTES_MAX: usize = 16 * 1024 * 1024;

impl Shared {
    pub(super) fn new(peers: Peers, commands: mpsc::Sender<Command>) -> Self {
        Self {
            peers,
            stats: NetworkStats::default(),
            commands,
            publish: DropQueue::new(PUBLISH_TRANSACTIONS_MAX, PUBLISH_BYTES_MAX),
            peer_count: AtomicUsize::new(0),
            connected: Mutex::default(),
            listen: Mutex::default(),
            charges: Mutex::default(),
        }
    }

    /// Charges `fault` to `peer`; a peer over its budget is disconnected and refused for a while. Never waits.
    pub(super) fn charge(&self, peer: PeerId, fault: Fault) {
        self.stats.faults_charged.add(1);
        match lock(&self.charges).charge(peer, fault, Instant::now()) {
            Verdict::Tolerated => {}
            Verdict::OverBudget => {
                // A full queue means that many are being refused already; the next faults of this one come up again.
                if self.commands.try_send(Command::Refuse { peer, last: fault }).is_err() {
                    warn!(%peer, "peer over its budget not refused: too many commands wait");
                }
            }
        }
    }

    /// Members that are connected and speak for this chain.
    pub(super) fn connected(&self) -> MutexGuard<'_, BTreeSet<MemberIndex>> {
        lock(&self.connected)
    }

    /// Addresses that we listen on.
    pub(super) fn listen(&self) -> MutexGuard<'_, Vec<Multiaddr>> {
        lock(&self.listen)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nobody panics while holding one of these, and each is changed by a single call.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
