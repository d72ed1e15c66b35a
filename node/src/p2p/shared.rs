//! What the network's tasks and its handles have in common.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicUsize},
    time::Instant,
};

use baton_proto::{Transaction, wire::Announcement};
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::warn;

use super::{
    Fault, NetworkStats, RequestError,
    charges::{Charges, Verdict},
    lane::Lane,
    members::Members,
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
    /// Which keys the connected peers have proven; only the network's own task changes it.
    pub(super) members: watch::Sender<Members>,
    pub(super) stats: NetworkStats,
    pub(super) commands: mpsc::Sender<Command>,
    /// The configured observers.
    pub(super) observers: HashSet<PeerId>,
    /// Transactions that wait to be published; when full, the stalest go.
    pub(super) publish: DropQueue<Transaction>,
    pub(super) peer_count: AtomicUsize,
    /// Connected peers that have named our chain and version; only the network's own task changes it.
    introduced: Mutex<BTreeSet<PeerId>>,
    lanes: Mutex<HashMap<PeerId, Arc<Lane>>>,
    listen: Mutex<Vec<Multiaddr>>,
    charges: Mutex<Charges>,
}

/// Most transactions that wait to be published, and their most bytes: one second at several thousand per second.
const PUBLISH_TRANSACTIONS_MAX: usize = 8_192;
const PUBLISH_BYTES_MAX: usize = 16 * 1024 * 1024;

impl Shared {
    pub(super) fn new(commands: mpsc::Sender<Command>, observers: HashSet<PeerId>) -> Self {
        Self {
            members: watch::Sender::default(),
            stats: NetworkStats::default(),
            commands,
            observers,
            publish: DropQueue::new(PUBLISH_TRANSACTIONS_MAX, PUBLISH_BYTES_MAX),
            peer_count: AtomicUsize::new(0),
            introduced: Mutex::default(),
            lanes: Mutex::default(),
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

    /// The ways to connected members and observers.
    pub(super) fn lanes(&self) -> MutexGuard<'_, HashMap<PeerId, Arc<Lane>>> {
        lock(&self.lanes)
    }

    /// Connected peers that are on our chain.
    pub(super) fn introduced(&self) -> MutexGuard<'_, BTreeSet<PeerId>> {
        lock(&self.introduced)
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
