//! What members say to us: one stream each, read one frame at a time, decoded off the network's own task.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use baton_proto::{
    Epoch, MemberIndex,
    limits::{COMMITTEE_MEMBERS_MAX, FRAME_BYTES_MAX},
    wire::ConsensusMessage,
};
use futures::StreamExt as _;
use libp2p::{PeerId, Stream};
use libp2p_stream::IncomingStreams;
use tokio::{
    sync::{Semaphore, mpsc},
    task::{AbortHandle, JoinSet, spawn_blocking},
    time::{sleep, timeout},
};
use tracing::{debug, error, warn};

use super::{
    Fault, KnownLookup, NetworkEvent,
    behaviour::STRANGERS_MAX,
    budget::StreamBudget,
    frame::read_frame,
    members::{Members, PEERS_PER_MEMBER_MAX, Standing},
    seats::Seats,
    shared::Shared,
};
use crate::epoch::EPOCHS_KEPT;

/// Most large frames that are decoded at once, of all members together.
const DECODES_MAX: usize = 4;

/// Frames up to this size hold at most a handful of signatures to recover and are decoded where they are read:
/// every vote is smaller, and a change of thread would cost more than its decoding.
const DECODED_IN_PLACE_BYTES_MAX: usize = 1_024;

/// Most streams that are open or wait for their peer's proof: those of every member of all epochs that are remembered, were
/// they all different ones, and of strangers.
const READERS_MAX: usize = EPOCHS_KEPT * COMMITTEE_MEMBERS_MAX * PEERS_PER_MEMBER_MAX + STRANGERS_MAX as usize;

/// How long a stream waits for its peer's proof: two challenges that time out and one that does not. So long one waits too
/// whose peer names a key without a seat: it may know of an epoch that has not begun here, and its end tries again.
const PROOF_WAIT: Duration = Duration::from_secs(30);

/// The task that reads a peer's latest stream, and what the peer may say.
struct Reader {
    task: AbortHandle,
    budget: Arc<Mutex<StreamBudget>>,
}

/// Takes the streams that peers open, and reads those of members.
pub(super) struct Inbound {
    shared: Arc<Shared>,
    seats: Seats,
    known: KnownLookup,
    events: mpsc::Sender<NetworkEvent>,
    decodes: Arc<Semaphore>,
}

impl Inbound {
    pub(super) fn new(
        shared: Arc<Shared>,
        seats: Seats,
        known: KnownLookup,
        events: mpsc::Sender<NetworkEvent>,
    ) -> Arc<Self> {
        Arc::new(Self { shared, seats, known, events, decodes: Arc::new(Semaphore::new(DECODES_MAX)) })
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

    /// Returns whether `peer` speaks for a member. One that is about to prove it, or to get a seat, is waited for: each end
    /// proves itself, and enters an epoch, on its own, so that the other may know us, and speak, before we know it.
    async fn is_heard(&self, peer: &PeerId) -> bool {
        let is_seated = |members: &Members| match members.standing(peer) {
            Some(Standing::Stranger) => Some(false),
            _ if self.is_member(members, peer) => Some(true),
            _ => None,
        };
        timeout(PROOF_WAIT, self.until(is_seated)).await.is_ok_and(|is_heard| is_heard == Some(true))
    }

    /// Waits until `peer` speaks for no member any more.
    async fn falls_silent(&self, peer: &PeerId) {
        self.until(|members| (!self.is_member(members, peer)).then_some(())).await;
    }

    /// Waits for what `look` finds in who has proven what, at every change of it and of the epochs; `None` when the network
    /// ends.
    async fn until<T>(&self, look: impl Fn(&Members) -> Option<T>) -> Option<T> {
        let (mut members, mut epochs) = (self.shared.members.subscribe(), self.seats.changes());
        loop {
            // The look asks for the epochs while it holds the members, and nobody does so the other way round.
            let found = look(&members.borrow_and_update());
            if found.is_some() {
                return found;
            }
            tokio::select! {
                changed = members.changed() => changed.ok()?,
                changed = epochs.changed() => changed.ok()?,
            }
        }
    }

    fn is_member(&self, members: &Members, peer: &PeerId) -> bool {
        members.keys(peer).iter().any(|key| self.seats.has(key))
    }

    fn refuse(&self, peer: &PeerId, why: &str) {
        self.shared.stats.streams_refused.add(1);
        debug!(%peer, why, "consensus stream refused");
    }

    /// Reads `stream` to its end, to the first frame that no honest member sends, or until the peer speaks for no member any
    /// more.
    async fn read(self: Arc<Self>, peer: PeerId, mut stream: Stream, budget: Arc<Mutex<StreamBudget>>) {
        if !self.is_heard(&peer).await {
            return self.refuse(&peer, "not a member");
        }
        let silent = self.falls_silent(&peer);
        tokio::pin!(silent);
        loop {
            let frame = tokio::select! {
                frame = read_frame(&mut stream, FRAME_BYTES_MAX) => frame,
                () = &mut silent => return,
            };
            let bytes = match frame {
                Ok(bytes) => bytes,
                Err(reason) => {
                    if reason.is_peer_fault() {
                        warn!(%peer, %reason, "consensus stream closed");
                        self.shared.charge(peer, Fault::OversizedFrame);
                    } else {
                        debug!(%peer, %reason, "consensus stream ended");
                    }
                    return;
                }
            };
            self.shared.stats.frames_received.add(1);
            let received = bytes.len();
            let Some(message) = self.decode(peer, bytes).await else { return };
            // A certificate carries its own proof: who decides now may bring those of epochs in which it did not sit.
            let is_certificate = matches!(message, ConsensusMessage::Certificate(_));
            let brings = || self.running_place(&peer).filter(|_| is_certificate);
            let place = self.place(&peer, message.epoch()).or_else(brings);
            match place {
                // While the node does not keep up, nothing more is read: the peer's queue, not our memory, takes the rest.
                Some((epoch, from)) => {
                    if self.events.send(NetworkEvent::Consensus { epoch, from, message }).await.is_err() {
                        return;
                    }
                }
                None => debug!(%peer, epoch = %message.epoch(), "passed over: its sender is no member there"),
            }
            let wait = budget.lock().unwrap_or_else(PoisonError::into_inner).take(received, Instant::now());
            if !wait.is_zero() {
                self.shared.stats.reads_delayed.add(1);
                debug!(%peer, ?wait, "reading slower: above the budget");
                sleep(wait).await;
            }
        }
    }

    /// Returns as whom `peer` says something about `epoch`: with another key it may sit elsewhere.
    fn place(&self, peer: &PeerId, epoch: Epoch) -> Option<(Epoch, MemberIndex)> {
        let members = self.shared.members.borrow();
        members.keys(peer).iter().find_map(|key| self.seats.place(epoch, key))
    }

    fn running_place(&self, peer: &PeerId) -> Option<(Epoch, MemberIndex)> {
        let members = self.shared.members.borrow();
        members.keys(peer).iter().find_map(|key| self.seats.running_place(key))
    }

    /// Decodes a frame; `None` closes the stream.
    async fn decode(&self, peer: PeerId, bytes: Vec<u8>) -> Option<ConsensusMessage> {
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
                    error!(%peer, %failure, "decoding a consensus message failed");
                    return None;
                }
            }
        };
        match decoded {
            Ok(message) => Some(message),
            Err(reason) => {
                warn!(%peer, %reason, "consensus stream closed: undecodable frame");
                if reason.is_peer_fault() {
                    self.shared.charge(peer, Fault::UndecodableFrame);
                }
                None
            }
        }
    }
}
