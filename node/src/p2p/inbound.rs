//! What members say to us: one stream each, read one frame at a time, decoded off the network's own task.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use baton_proto::{MemberIndex, limits::FRAME_BYTES_MAX, wire::ConsensusMessage};
use futures::StreamExt as _;
use libp2p::{PeerId, Stream};
use libp2p_stream::IncomingStreams;
use tokio::{
    sync::{Semaphore, mpsc},
    task::{AbortHandle, JoinSet, spawn_blocking},
    time::{sleep, timeout},
};
use tracing::{debug, error, warn};

use super::{Fault, KnownLookup, NetworkEvent, budget::StreamBudget, frame::read_frame, shared::Shared};

/// Most large frames that are decoded at once, of all members together.
const DECODES_MAX: usize = 4;

/// Frames up to this size hold at most a handful of signatures to recover and are decoded where they are read:
/// every vote is smaller, and a change of thread would cost more than its decoding.
const DECODED_IN_PLACE_BYTES_MAX: usize = 1_024;

/// Most streams that are open or wait for their peer's proof: two peers for each of 128 members, and as many strangers.
const READERS_MAX: usize = 512;

/// How long a stream waits for its peer's proof: two challenges that time out and one that does not.
const PROOF_WAIT: Duration = Duration::from_secs(30);

/// The task that reads a peer's latest stream, and what the peer may say.
struct Reader {
    task: AbortHandle,
    budget: Arc<Mutex<StreamBudget>>,
}

/// Takes the streams that peers open, and reads those of members.
pub(super) struct Inbound {
    shared: Arc<Shared>,
    known: KnownLookup,
    events: mpsc::Sender<NetworkEvent>,
    decodes: Arc<Semaphore>,
}

impl Inbound {
    pub(super) fn new(shared: Arc<Shared>, known: KnownLookup, events: mpsc::Sender<NetworkEvent>) -> Arc<Self> {
        Arc::new(Self { shared, known, events, decodes: Arc::new(Semaphore::new(DECODES_MAX)) })
    }

    /// Accepts streams until `incoming` ends. The latest stream of a peer replaces the one before.
    pub(super) async fn accept(self: Arc<Self>, mut incoming: IncomingStreams) {
        let mut readers = JoinSet::new();
        let mut latest: HashMap<PeerId, Reader> = HashMap::new();
        loop {
            let (peer, stream) = tokio::select! {
                next = incoming.next() => match next {
                    Some(next) => next,
                    None => return,
                },
                Some(_) = readers.join_next() => continue,
            };
            // The budget stays: a new stream is no new allowance.
            let former = latest.remove(&peer).map(|former| {
                former.task.abort();
                former.budget
            });
            if latest.len() >= READERS_MAX {
                latest.retain(|_, reader| !reader.task.is_finished());
            }
            if latest.len() >= READERS_MAX {
                self.refuse(&peer, "too many streams");
                continue;
            }
            let budget = former.unwrap_or_else(|| Arc::new(Mutex::new(StreamBudget::new(Instant::now()))));
            let task = readers.spawn(self.clone().read(peer, stream, budget.clone()));
            latest.insert(peer, Reader { task, budget });
        }
    }

    /// Returns which member `peer` is. One that is about to prove it is waited for: each end proves itself on its own, so
    /// that the other may know us, and speak, before we know it.
    async fn member(&self, peer: &PeerId) -> Option<MemberIndex> {
        let mut members = self.shared.members.subscribe();
        let known = members.wait_for(|members| members.standing(peer).is_some());
        let known = timeout(PROOF_WAIT, known).await.ok()?.ok()?;
        known.member(peer)
    }

    fn refuse(&self, peer: &PeerId, why: &str) {
        self.shared.stats.streams_refused.add(1);
        debug!(%peer, why, "consensus stream refused");
    }

    /// Reads `stream` to its end, to the first frame that no honest member sends, or until the peer speaks for the member
    /// no longer.
    async fn read(self: Arc<Self>, peer: PeerId, mut stream: Stream, budget: Arc<Mutex<StreamBudget>>) {
        let Some(member) = self.member(&peer).await else { return self.refuse(&peer, "not a member") };
        let mut members = self.shared.members.subscribe();
        loop {
            let frame = tokio::select! {
                frame = read_frame(&mut stream, FRAME_BYTES_MAX) => frame,
                _ = members.wait_for(|members| members.member(&peer) != Some(member)) => return,
            };
            let bytes = match frame {
                Ok(bytes) => bytes,
                Err(reason) => {
                    if reason.is_peer_fault() {
                        warn!(%member, %peer, %reason, "consensus stream closed");
                        self.shared.charge(peer, Fault::OversizedFrame);
                    } else {
                        debug!(%member, %peer, %reason, "consensus stream ended");
                    }
                    return;
                }
            };
            self.shared.stats.frames_received.add(1);
            let received = bytes.len();
            let Some(message) = self.decode(member, peer, bytes).await else { return };
            // While the node does not keep up, nothing more is read: the peer's queue, not our memory, takes the rest.
            if self.events.send(NetworkEvent::Consensus { from: member, message }).await.is_err() {
                return;
            }
            let wait = budget.lock().unwrap_or_else(PoisonError::into_inner).take(received, Instant::now());
            if !wait.is_zero() {
                self.shared.stats.reads_delayed.add(1);
                debug!(%member, %peer, ?wait, "reading slower: above the budget");
                sleep(wait).await;
            }
        }
    }

    /// Decodes a frame; `None` closes the stream.
    async fn decode(&self, member: MemberIndex, peer: PeerId, bytes: Vec<u8>) -> Option<ConsensusMessage> {
        let decoded = if bytes.len() <= DECODED_IN_PLACE_BYTES_MAX {
            ConsensusMessage::decode(&bytes, &*self.known)
        } else {
            // The permit moves into the work, so that a stream that ends meanwhile does not free the thread's place early.
            let permit = self.decodes.clone().acquire_owned().await.ok()?;
            let known = self.known.clone();
            let work = spawn_blocking(move || {
                let decoded = ConsensusMessage::decode(&bytes, &*known);
                drop(permit);
                decoded
            });
            match work.await {
                Ok(decoded) => decoded,
                Err(failure) => {
                    error!(%member, %failure, "decoding a consensus message failed");
                    return None;
                }
            }
        };
        match decoded {
            Ok(message) => Some(message),
            Err(reason) => {
                warn!(%member, %peer, %reason, "consensus stream closed: undecodable frame");
                if reason.is_peer_fault() {
                    self.shared.charge(peer, Fault::UndecodableFrame);
                }
                None
            }
        }
    }
}
