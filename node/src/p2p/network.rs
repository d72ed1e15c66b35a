//! The handle by which the rest of the node uses the network.

use std::{
    collections::{BTreeSet, HashSet},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use baton_mempool::TransactionRules;
use baton_proto::{
    Epoch, MemberIndex, Transaction,
    wire::{Announcement, ConsensusMessage, SyncRequest, SyncResponse},
};
use libp2p::{Multiaddr, PeerId};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::spawn_blocking,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, error};

use super::{
    Fault, KnownLookup, NetworkConfig, NetworkEvent, NetworkStats, Outbound, RequestError, StartError, behaviour,
    book::Book,
    dialer::{self, Dialer},
    discover::Discovery,
    forwarded::Forwarded,
    frame::{Frame, frame},
    inbound::Inbound,
    lane::Lanes,
    protocol::ChainProtocols,
    reports::Reports,
    request::answers,
    seats::Seats,
    seen::Seen,
    service::Service,
    shared::{Command, Shared},
};
use crate::epoch::EpochContext;

/// Most events that wait for the node. Beyond it members' streams are not read and transactions are dropped.
const EVENTS_MAX: usize = 256;

/// Most commands that wait for the network's task.
const COMMANDS_MAX: usize = 256;

/// Most requests of ours without an answer yet.
const REQUESTS_MAX: usize = 64;

/// Longest wait for all listeners to have an address.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Connected peers that are on our chain: who can be asked for what proves itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Those who speak for members of an epoch, in the order of their places.
    pub members: Vec<PeerId>,
    /// Those of the others whom the operator configured.
    pub configured: Vec<PeerId>,
    /// The rest, members of other epochs and followers among them.
    pub others: Vec<PeerId>,
}

impl Reach {
    /// Returns all of them, members first, then those whom the operator configured.
    pub fn all(&self) -> impl Iterator<Item = &PeerId> {
        self.members.iter().chain(&self.configured).chain(&self.others)
    }
}

/// A running network. Clones share it; it stops when the last one is dropped.
///
/// A handle is of one epoch: the members that [`Self::request`], [`Self::charge_member`] and [`Self::connected_members`]
/// speak of are those of that epoch, whichever runs, as long as it is remembered. The first handle is of the epoch that
/// ran at the start; [`Self::at`] makes others.
#[derive(Clone)]
pub struct Network {
    inner: Arc<Inner>,
    epoch: Epoch,
}

struct Inner {
    peer: PeerId,
    /// The configured peers and observers.
    reserved: HashSet<PeerId>,
    seats: Seats,
    shared: Arc<Shared>,
    known: KnownLookup,
    requests: Semaphore,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Network {
    /// Starts a network, and returns once it listens on all its addresses. Must be called within a tokio runtime.
    ///
    /// `known` answers with transactions that the node holds already; it is called from many threads and must be quick.
    ///
    /// # Errors
    /// [`StartError`]: the configuration contradicts itself or our identity, or an address cannot be listened on.
    pub async fn start(
        config: NetworkConfig,
        known: KnownLookup,
    ) -> Result<(Self, mpsc::Receiver<NetworkEvent>), StartError> {
        let seats = Seats::new(config.epochs.clone(), config.speakers.iter().map(|speaker| speaker.key).collect());
        // Before anything depends on which epoch runs, so that none is missed.
        let changes = seats.changes();
        let first = seats.running();
        let domain = *first.verifier.domain();
        let protocols = ChainProtocols::of(&domain);
        let targets = dialer::configured(&config)?;
        let book = config.book.clone();
        let book = spawn_blocking(move || Book::load(book)).await.map_err(|e| StartError::Setup(e.to_string()))?;
        let reserved: HashSet<PeerId> = targets.keys().copied().collect();
        let addresses = config.listen.iter().chain(targets.values().flatten());
        let mut swarm = behaviour::swarm(&config.identity, &protocols, seats.count(), reserved.iter(), addresses)?;

        let (commands, command_inbox) = mpsc::channel(COMMANDS_MAX);
        let (events, event_inbox) = mpsc::channel(EVENTS_MAX);
        let shared = Arc::new(Shared::new(commands, config.observers.iter().map(|(peer, _)| *peer).collect()));
        let reports = Reports::new();

        for address in &config.announce {
            swarm.add_external_address(address.clone());
        }
        let mut streams = swarm.behaviour().streams.new_control();
        let incoming = streams.accept(protocols.consensus.clone()).map_err(|e| StartError::Setup(e.to_string()))?;
        let mut listeners = HashSet::new();
        for address in &config.listen {
            listeners.insert(behaviour::listen(&mut swarm, address)?);
        }
        let (listening, all_listen) = oneshot::channel();
        let listening = (!listeners.is_empty()).then_some(listening);
        let waits = listening.is_some();

        let inner = Arc::new(Inner {
            peer: config.identity.public().to_peer_id(),
            reserved: reserved.clone(),
            seats: seats.clone(),
            shared: shared.clone(),
            known: known.clone(),
            requests: Semaphore::new(REQUESTS_MAX),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        let network = Self { inner, epoch: first.epoch };
        let inbound = Inbound::new(shared.clone(), seats.clone(), known.clone(), events.clone());
        network.spawn(inbound.accept(incoming));
        network.spawn(reports.clone().forward(events));
        let dialer = Dialer::new(targets);
        let lanes = Lanes {
            shared: shared.clone(),
            streams,
            protocol: protocols.consensus.clone(),
            stop: network.inner.stop.clone(),
            tasks: network.inner.tasks.clone(),
        };
        let rules = TransactionRules::of(&config.spec);
        let service = Service {
            swarm,
            forwarded: Forwarded::new(rules, known.clone(), shared.clone(), reports.clone()),
            rules,
            known,
            protocols,
            seats,
            changes,
            epoch: first.epoch,
            speakers: config.speakers.clone(),
            shared,
            lanes,
            reports,
            reserved,
            explicit: HashSet::new(),
            seen: Seen::new(),
            discovery: Discovery::new(book),
            dialer,
            commands: command_inbox,
            listening: (listeners, listening),
        };
        // If the service ends in any way, even by a panic, everything else here does, and the node hears of it.
        let ends_with_it = network.inner.stop.clone().drop_guard();
        let running = service.run(network.inner.stop.clone());
        network.inner.tasks.spawn(async move {
            let _ends_with_it = ends_with_it;
            running.await;
        });

        if waits && timeout(LISTEN_TIMEOUT, all_listen).await.is_err() {
            return Err(StartError::ListenTimeout(LISTEN_TIMEOUT));
        }
        Ok((network, event_inbox))
    }

    /// Returns a handle that speaks of the members of `epoch`.
    #[must_use]
    pub fn at(&self, epoch: Epoch) -> Self {
        Self { inner: Arc::clone(&self.inner), epoch }
    }

    /// Runs `task` until it ends or the network stops.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.inner.stop.clone();
        self.inner.tasks.spawn(async move {
            stop.run_until_cancelled_owned(task).await;
        });
    }

    /// Gossips transactions of our own: those that clients gave us, not those that gossip brought. Never waits; they
    /// wait for a peer that takes transactions, and when too many do, the stalest go.
    pub fn gossip(&self, transactions: Vec<Transaction>) {
        for transaction in transactions {
            let weight = transaction.raw().len();
            self.inner.shared.stats.gossip_unsent.add(self.inner.shared.publish.push(transaction, weight));
        }
    }

    /// Gossips that a block is final, or evidence; both were checked by us. Never waits: if too much does, this is dropped,
    /// for the next block says as much, and evidence reaches others from everyone who holds it.
    pub fn announce(&self, announcement: Announcement) {
        if self.inner.shared.commands.try_send(Command::Announce(Box::new(announcement))).is_err() {
            debug!("an announcement was dropped: too many commands wait");
        }
    }

    /// Asks a member, and returns its answer decoded and of the kind asked for; whether it is true, the caller checks.
    ///
    /// # Errors
    /// [`RequestError`]; a faulty answer is charged to the member already.
    pub async fn request(&self, to: MemberIndex, request: SyncRequest) -> Result<SyncResponse, RequestError> {
        let key = self.inner.seats.key(self.epoch, to).filter(|key| !self.inner.seats.is_ours(key));
        let key = key.ok_or(RequestError::UnknownMember(to))?;
        if self.inner.stop.is_cancelled() {
            return Err(RequestError::ShutDown);
        }
        // The peer proven last: if the operator moved, that is where it moved to.
        let peer = self.inner.shared.members.borrow().peers(&key).last().copied().ok_or(RequestError::NotConnected)?;
        self.request_of(peer, request).await
    }

    /// Asks any connected peer, as [`Self::request`]; whoever it is, only what proves itself may be asked of it.
    ///
    /// # Errors
    /// [`RequestError`]; a faulty answer is charged to the peer already.
    pub async fn request_of(&self, peer: PeerId, request: SyncRequest) -> Result<SyncResponse, RequestError> {
        if self.inner.stop.is_cancelled() {
            return Err(RequestError::ShutDown);
        }
        let _slot = self.inner.requests.try_acquire().map_err(|_| RequestError::Busy)?;
        let result = self.ask(peer, request).await;
        if result.as_ref().is_err_and(RequestError::is_peer_fault) {
            self.charge(peer, Fault::InvalidAnswer);
        }
        result
    }

    async fn ask(&self, to: PeerId, request: SyncRequest) -> Result<SyncResponse, RequestError> {
        let (answer, response) = oneshot::channel();
        let command = Command::Request { to, request: request.encode(), answer };
        self.inner.shared.commands.send(command).await.map_err(|_| RequestError::ShutDown)?;
        let bytes = response.await.map_err(|_| RequestError::ShutDown)??;
        let known = self.inner.known.clone();
        let decoded = spawn_blocking(move || SyncResponse::decode(&bytes, &*known)).await;
        let response = decoded.map_err(|_| RequestError::ShutDown)??;
        if answers(&request, &response) { Ok(response) } else { Err(RequestError::WrongKind) }
    }

    /// Charges a fault to a peer: beyond its budget it is disconnected and refused for a while. Never waits.
    pub fn charge(&self, peer: PeerId, fault: Fault) {
        self.inner.shared.charge(peer, fault);
    }

    /// Charges a fault to every peer that speaks for a member, as [`Self::charge`]; nothing happens if none does. Who was that
    /// member in this handle's epoch is charged, whoever it is now.
    pub fn charge_member(&self, member: MemberIndex, fault: Fault) {
        let Some(key) = self.inner.seats.key(self.epoch, member) else { return };
        let peers = self.inner.shared.members.borrow().peers(&key).to_vec();
        for peer in peers {
            self.charge(peer, fault);
        }
    }

    /// Returns the members that a connected peer has proven to speak for, in order, without ourselves.
    #[must_use]
    pub fn connected_members(&self) -> Vec<MemberIndex> {
        let Some(context) = self.inner.seats.of(self.epoch) else { return Vec::new() };
        let members = self.inner.shared.members.borrow();
        let is_connected = |index: &MemberIndex| {
            context.committee.member(*index).is_some_and(|member| !members.peers(&member.key).is_empty())
        };
        context.committee.indices().filter(is_connected).collect()
    }

    /// Returns the connected peers that are on our chain; the members are those of this handle's epoch.
    #[must_use]
    pub fn reach(&self) -> Reach {
        let introduced = self.inner.shared.introduced().clone();
        let context = self.inner.seats.of(self.epoch);
        let seats = context.iter().flat_map(|context| context.committee.members());
        let speakers = self.inner.shared.members.borrow();
        let members: Vec<PeerId> = seats
            .filter_map(|member| speakers.peers(&member.key).last())
            .filter(|peer| introduced.contains(peer))
            .copied()
            .collect();
        let (configured, others) = introduced
            .into_iter()
            .filter(|peer| !members.contains(peer))
            .partition(|peer| self.inner.reserved.contains(peer));
        Reach { members, configured, others }
    }

    /// Returns how many peers of any kind are connected.
    #[must_use]
    pub fn peer_count(&self) -> usize {
        self.inner.shared.peer_count.load(Ordering::Relaxed)
    }

    /// Returns the addresses that we listen on, with the ports that were taken.
    #[must_use]
    pub fn listen_addresses(&self) -> Vec<Multiaddr> {
        self.inner.shared.listen().clone()
    }

    /// Returns what `peer` has shown itself to be.
    #[cfg(test)]
    pub(super) fn standing(&self, peer: &PeerId) -> Option<super::members::Standing> {
        self.inner.shared.members.borrow().standing(peer)
    }

    /// Returns our peer id.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.inner.peer
    }

    /// Returns what was counted since the start.
    #[must_use]
    pub fn stats(&self) -> &NetworkStats {
        &self.inner.shared.stats
    }

    /// Stops the network: when this returns, its tasks have ended and nothing is accepted. The event channel ends. The port
    /// of a QUIC address is free a moment later, when its connections have been told.
    pub async fn shutdown(&self) {
        self.inner.stop.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }
}

impl Outbound for Network {
    fn broadcast(&self, message: ConsensusMessage) {
        let running = self.inner.seats.running();
        // What shows a lie about an epoch that is over concerns those who decide now, too.
        let is_old_news = matches!(message, ConsensusMessage::Certificate(_)) && message.epoch() < running.epoch;
        let told = [Some(message.epoch()), is_old_news.then_some(running.epoch)];
        let contexts: Vec<_> = told.into_iter().flatten().filter_map(|epoch| self.spoken_in(epoch)).collect();
        if contexts.is_empty() {
            return;
        }
        let members = self.inner.shared.members.borrow();
        let keys: BTreeSet<_> =
            contexts.iter().flat_map(|context| context.committee.members()).map(|of| of.key).collect();
        let to = keys.iter().flat_map(|key| members.peers(key));
        let peers: Vec<PeerId> = to.chain(&self.inner.shared.observers).copied().collect();
        drop(members);
        self.say(&peers, &message);
    }

    fn send(&self, to: MemberIndex, message: ConsensusMessage) {
        let Some(context) = self.spoken_in(message.epoch()) else { return };
        let key = context.committee.member(to).map(|member| member.key);
        let peers = key.map_or_else(Vec::new, |key| self.inner.shared.members.borrow().peers(&key).to_vec());
        if peers.is_empty() {
            debug!(%to, "no way to this member: it is not connected, or ourselves");
            return;
        }
        self.say(&peers, &message);
    }
}

impl Network {
    /// Returns an epoch in which we have a say.
    fn spoken_in(&self, epoch: Epoch) -> Option<Arc<EpochContext>> {
        let context = self.inner.seats.of(epoch).filter(|context| self.inner.seats.ours_in(context).is_some());
        if context.is_none() {
            debug!(%epoch, "nothing said: we have no seat in this epoch, or do not know it");
        }
        context
    }

    fn say(&self, peers: &[PeerId], message: &ConsensusMessage) {
        if let Some(frame) = encoded(message) {
            let lanes = self.inner.shared.lanes();
            let lanes = peers.iter().filter_map(|peer| lanes.get(peer));
            lanes.for_each(|lane| lane.push(frame.clone(), &self.inner.shared));
        }
    }
}

fn encoded(message: &ConsensusMessage) -> Option<Frame> {
    frame(message).inspect_err(|reason| error!(%reason, "our message cannot be sent")).ok()
}
