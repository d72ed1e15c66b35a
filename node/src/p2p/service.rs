//! The network's own task: owns the swarm, and does nothing itself that takes long.

mod gossiped;
mod requests;

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroUsize,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use baton_mempool::TransactionRules;
use baton_proto::{Epoch, wire::Announcement};
use futures::StreamExt as _;
use libp2p::{
    PeerId, Swarm,
    core::transport::ListenerId,
    gossipsub, identify, ping,
    request_response::{OutboundRequestId, ResponseChannel},
    swarm::{ConnectionId, DialError, SwarmEvent},
};
use lru::LruCache;
use tokio::{
    sync::{Semaphore, mpsc, oneshot, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::{
    Fault, KnownLookup, NetworkEvent, Refusal, RequestError, Speaker,
    announcements::Announced,
    arrivals::Arrivals,
    backoff::Timers,
    bans::Bans,
    behaviour::{Behaviour, BehaviourEvent},
    budget::{AskBudget, StrangersBudget, Taken},
    dialer::Dialer,
    discover::Discovery,
    forwarded::Forwarded,
    gossip::Judge,
    lane::Lanes,
    protocol::{ChainProtocols, VERSION_PREFIX},
    prove::Proofs,
    reports::Reports,
    seats::Seats,
    seen::Seen,
    shared::{Command, Shared},
};
use crate::epoch::EpochContext;

/// Most questions of peers that have not proven to be members, all together, that are answered at once: an answer may hold
/// megabytes that are read, checked and encoded for it, and voters ask too.
pub(super) const STRANGERS_ANSWERED_MAX: usize = 3;

/// Most peers refused at once; those above are only disconnected.
const REFUSED_MAX: usize = 1_024;

/// Most connections with one peer, whoever it is: each end may dial while the other does, and once more after a break.
const CONNECTIONS_PER_PEER_MAX: u32 = 4;

/// Most peers whose questions are counted.
const BUDGETS_MAX: NonZeroUsize = NonZeroUsize::new(1_024).expect("not zero");

/// How often the peer book is written, if it changed; and once more at the end.
const SAVE_EVERY: Duration = Duration::from_secs(5);

/// A peer of another chain stays connected this long, so that its operator reads the same reason in its own log.
const INTRODUCTION: Duration = Duration::from_millis(500);

/// The state of the network's own task.
pub(super) struct Service {
    pub(super) swarm: Swarm<Behaviour>,
    pub(super) rules: TransactionRules,
    pub(super) known: KnownLookup,
    pub(super) protocols: ChainProtocols,
    pub(super) seats: Seats,
    /// Told when there is another epoch.
    pub(super) changes: watch::Receiver<Vec<Arc<EpochContext>>>,
    /// The epoch that the node was told the members of.
    pub(super) epoch: Epoch,
    pub(super) speakers: Vec<Speaker>,
    pub(super) shared: Arc<Shared>,
    pub(super) lanes: Lanes,
    pub(super) reports: Arc<Reports>,
    /// Takes in transactions that peers hand over.
    pub(super) forwarded: Arc<Forwarded>,
    /// The configured peers and observers.
    pub(super) reserved: HashSet<PeerId>,
    /// Proven members that gossip goes to whatever their score.
    pub(super) explicit: HashSet<PeerId>,
    /// What need not be published again.
    pub(super) seen: Seen,
    pub(super) discovery: Discovery,
    pub(super) dialer: Dialer,
    pub(super) commands: mpsc::Receiver<Command>,
    /// Listeners without an address yet, and whom to tell when there are none left.
    pub(super) listening: (HashSet<ListenerId>, Option<oneshot::Sender<()>>),
}

/// What only the running loop needs.
pub(super) struct Running {
    pub(super) proofs: Proofs,
    budgets: LruCache<PeerId, AskBudget>,
    strangers: StrangersBudget,
    bans: Bans,
    arrivals: Arrivals,
    /// At most one write of the peer book.
    saving: JoinSet<()>,
    judge: Judge,
    announced: Announced,
    requests: HashMap<OutboundRequestId, oneshot::Sender<Result<Vec<u8>, RequestError>>>,
    answers: JoinSet<(ResponseChannel<Vec<u8>>, Vec<u8>)>,
    strangers_answered: Arc<Semaphore>,
    forgiven: Timers<PeerId>,
    /// Connected peers that take transactions.
    subscribers: HashSet<PeerId>,
    /// Peers of another chain that are about to be refused.
    unwelcome: (HashSet<PeerId>, Timers<PeerId>),
}

impl Running {
    /// What `peer` may ask; the account of the peer that asked longest ago makes room.
    pub(super) fn budget(&mut self, peer: PeerId) -> &mut AskBudget {
        self.budgets.get_or_insert_mut(peer, || AskBudget::new(Instant::now()))
    }

    /// Takes a message of `count` transactions out of the budgets of who brought it; returns whether it is within them.
    fn try_take_transactions(&mut self, peer: PeerId, is_member: bool, count: usize) -> bool {
        let now = Instant::now();
        let budget = self.budgets.get_or_insert_mut(peer, || AskBudget::new(now));
        budget.try_take_transactions(count, (!is_member).then_some(&mut self.strangers), now)
    }
}

impl Service {
    /// Runs until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut running = Running {
            proofs: Proofs::new(),
            budgets: LruCache::new(BUDGETS_MAX),
            strangers: StrangersBudget::new(Instant::now()),
            bans: Bans::new(),
            arrivals: Arrivals::default(),
            saving: JoinSet::new(),
            judge: Judge::new(self.rules, self.known.clone()),
            announced: Announced::default(),
            requests: HashMap::new(),
            answers: JoinSet::new(),
            strangers_answered: Arc::new(Semaphore::new(STRANGERS_ANSWERED_MAX)),
            forgiven: Timers::new(),
            subscribers: HashSet::new(),
            unwelcome: (HashSet::new(), Timers::new()),
        };
        self.dial_book();
        let mut save = tokio::time::interval(SAVE_EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                event = self.swarm.select_next_some() => self.on_event(event, &mut running),
                Ok(()) = self.changes.changed() => self.on_epochs(&mut running),
                Some(command) = self.commands.recv() => self.on_command(command, &mut running),
                // Without anybody to take them, transactions wait, and the stalest go.
                first = self.shared.publish.pop(), if !running.subscribers.is_empty() => self.publish(first),
                step = running.proofs.next() => self.on_proof_step(step, &mut running),
                Some(judged) = running.judge.next() => self.on_judged(judged),
                Some(weighed) = running.announced.next() => self.on_weighed(weighed),
                Some(answered) = running.answers.join_next() => self.on_answered(answered),
                (peer, options) = self.dialer.due() => self.dial(peer, options),
                due = self.discovery.asks.next() => self.ask_directory(due),
                _ = save.tick(), if running.saving.is_empty() => self.save_book(&mut running),
                Some(_) = running.saving.join_next() => {}
                peer = running.forgiven.next() => {
                    self.swarm.behaviour_mut().refused.unblock_peer(peer);
                    self.dialer.retry(peer);
                }
                peer = running.unwelcome.1.next() => {
                    running.unwelcome.0.remove(&peer);
                    self.refuse(peer, Bans::other_chain(), &mut running);
                }
            }
        }
        while running.saving.join_next().await.is_some() {}
        self.save_book(&mut running);
        while running.saving.join_next().await.is_some() {}
    }

    fn save_book(&mut self, running: &mut Running) {
        if let Some(write) = self.discovery.book.save() {
            running.saving.spawn_blocking(write);
        }
    }

    /// Counts a question above its budget, and charges one far above it.
    pub(super) fn within_budget(&self, from: PeerId, taken: Taken) -> Taken {
        match taken {
            Taken::Within => {}
            Taken::Over => self.shared.stats.requests_over_budget.add(1),
            Taken::FarOver => {
                self.shared.stats.requests_over_budget.add(1);
                self.shared.charge(from, Fault::Flood);
            }
        }
        taken
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>, running: &mut Running) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event, running),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, num_established, endpoint, .. } => {
                self.shared.stats.connections_opened.add(1);
                self.discovery.connected(peer_id, endpoint.get_remote_address());
                debug!(peer = %peer_id, connections = num_established, "connected");
                if num_established.get() > CONNECTIONS_PER_PEER_MAX {
                    self.swarm.close_connection(connection_id);
                }
                if endpoint.is_listener() {
                    self.make_room(peer_id, connection_id, running);
                }
                if self.shared.observers.contains(&peer_id) {
                    self.settle_observer(peer_id);
                }
                self.count_peers();
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, num_established, cause, .. } => {
                running.arrivals.gone(connection_id);
                if num_established == 0 {
                    running.subscribers.remove(&peer_id);
                    self.on_disconnected(peer_id, &cause.map_or_else(String::new, |cause| cause.to_string()), running);
                }
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), error, .. } => {
                match &error {
                    DialError::WrongPeerId { obtained, address } if self.reserved.contains(&peer) => {
                        warn!(expected = %peer, %obtained, %address, "another peer answers at a configured address");
                    }
                    error => debug!(%peer, %error, "not connected"),
                }
                if !self.swarm.is_connected(&peer) {
                    self.on_dial_failed(peer);
                    self.dialer.retry(peer);
                }
            }
            SwarmEvent::IncomingConnectionError { error, send_back_addr, .. } => {
                debug!(from = %send_back_addr, %error, "incoming connection failed");
            }
            SwarmEvent::NewListenAddr { listener_id, address } => {
                info!(%address, "listening");
                self.shared.listen().push(address);
                self.listening.0.remove(&listener_id);
                if self.listening.0.is_empty()
                    && let Some(done) = self.listening.1.take()
                {
                    // Whoever started us may have given up waiting.
                    let _ = done.send(());
                }
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => self.shared.listen().retain(|known| *known != address),
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                error!(?addresses, ?reason, "no longer listening");
                self.shared.listen().retain(|known| !addresses.contains(known));
            }
            SwarmEvent::ListenerError { error, .. } => warn!(%error, "listener failed"),
            _ => {}
        }
    }

    fn on_behaviour(&mut self, event: BehaviourEvent, running: &mut Running) {
        match event {
            BehaviourEvent::Gossip(gossipsub::Event::Message { propagation_source, message_id, message })
                if message.topic != self.protocols.transactions.hash() =>
            {
                self.seen.note(message_id.clone(), Instant::now());
                let decoded = if message.topic == self.protocols.finals.hash() {
                    Announcement::decode_final(&message.data)
                } else {
                    Announcement::decode_evidence(&message.data)
                };
                self.on_announced(message_id, propagation_source, decoded, running);
            }
            BehaviourEvent::Gossip(gossipsub::Event::Message { propagation_source, message_id, message }) => {
                self.seen.note(message_id.clone(), Instant::now());
                self.on_gossiped(message_id, propagation_source, message.data, running);
            }
            BehaviourEvent::Gossip(gossipsub::Event::Subscribed { peer_id, topic }) => {
                if topic == self.protocols.transactions.hash() {
                    running.subscribers.insert(peer_id);
                }
            }
            BehaviourEvent::Gossip(gossipsub::Event::Unsubscribed { peer_id, topic }) => {
                if topic == self.protocols.transactions.hash() {
                    running.subscribers.remove(&peer_id);
                }
            }
            BehaviourEvent::Gossip(_) => {}
            BehaviourEvent::Sync(event) => self.on_sync(event, running),
            BehaviourEvent::Prove(event) => self.on_prove(event, running),
            BehaviourEvent::Directory(event) => self.on_directory(event, running),
            BehaviourEvent::Identify(event) => self.on_identify(event, running),
            BehaviourEvent::Ping(ping::Event { peer, connection, result: Err(failure) }) => {
                // A peer without the ping protocol is not a dead one.
                if !matches!(failure, ping::Failure::Unsupported) {
                    debug!(%peer, %failure, "closing a connection that does not answer");
                    self.swarm.close_connection(connection);
                }
            }
            BehaviourEvent::Ping(_) | BehaviourEvent::Streams(()) => {}
            BehaviourEvent::Refused(never) | BehaviourEvent::Limits(never) => match never {},
        }
    }

    // Connections

    fn dial(&mut self, peer: PeerId, options: libp2p::swarm::dial_opts::DialOpts) {
        match self.swarm.dial(options) {
            // Connected, or about to be: the end of that brings us back.
            Ok(()) | Err(DialError::DialPeerConditionFalse(_)) => {}
            Err(error) => {
                debug!(%peer, %error, "not dialled");
                self.dialer.retry(peer);
            }
        }
    }

    /// A peer came to us: the oldest strangers go where there are too many with it.
    fn make_room(&mut self, peer: PeerId, connection: ConnectionId, running: &mut Running) {
        let is_stranger = |peer: &PeerId| !self.is_no_stranger(peer);
        let too_many = running.arrivals.came(connection, peer, is_stranger);
        for connection in too_many {
            debug!(?connection, "closing a stranger's connection: others came");
            self.swarm.close_connection(connection);
        }
    }

    fn on_disconnected(&mut self, peer: PeerId, cause: &str, running: &mut Running) {
        debug!(%peer, %cause, "disconnected");
        self.forget_standing(&peer, cause, running);
        self.shared.introduced().remove(&peer);
        self.lanes.close(&peer);
        self.discovery.disconnected(&peer);
        self.dialer.retry(peer);
        self.count_peers();
    }

    fn on_identify(&mut self, event: identify::Event, running: &mut Running) {
        match event {
            identify::Event::Received { peer_id, info, .. } if info.protocol_version == self.protocols.version => {
                self.dialer.succeeded(&peer_id);
                if self.swarm.is_connected(&peer_id) {
                    self.shared.introduced().insert(peer_id);
                }
                self.on_introduced(peer_id, &info);
                self.challenge(peer_id, running);
            }
            identify::Event::Received { peer_id, info, .. } if !self.is_of_another_chain(&peer_id, &info) => {
                debug!(peer = %peer_id, version = %printable(&info.protocol_version), "a stranger of another kind");
            }
            identify::Event::Received { peer_id, info, .. } => {
                let (unwelcome, timers) = &mut running.unwelcome;
                if unwelcome.insert(peer_id) {
                    timers.after(INTRODUCTION, peer_id);
                    let theirs = printable(&info.protocol_version);
                    let reason = Refusal::OtherChain { ours: self.protocols.version.clone(), theirs };
                    warn!(peer = %peer_id, %reason, "peer refused");
                    self.notice(NetworkEvent::PeerRefused { peer: peer_id, reason });
                }
            }
            identify::Event::Error { peer_id, error, .. } => debug!(peer = %peer_id, %error, "not identified"),
            identify::Event::Sent { .. } | identify::Event::Pushed { .. } => {}
        }
    }

    /// Returns whether a peer that does not say what we say is to be refused: it is one of ours by configuration, or it is
    /// a Baton node. Other programs are borne within the limits for strangers.
    fn is_of_another_chain(&self, peer: &PeerId, info: &identify::Info) -> bool {
        self.reserved.contains(peer) || info.protocol_version.starts_with(VERSION_PREFIX)
    }

    fn refuse(&mut self, peer: PeerId, wait: Duration, running: &mut Running) {
        self.shared.stats.peers_refused.add(1);
        let refused = &mut self.swarm.behaviour_mut().refused;
        if refused.blocked_peers().len() >= REFUSED_MAX {
            // Not connected any more is as well.
            let _ = self.swarm.disconnect_peer_id(peer);
        } else if refused.block_peer(peer) {
            running.forgiven.after(wait, peer);
        }
    }

    fn count_peers(&self) {
        self.shared.peer_count.store(self.swarm.connected_peers().count(), Ordering::Relaxed);
    }

    pub(super) fn notice(&self, notice: NetworkEvent) {
        self.shared.stats.events_dropped.add(self.reports.notices.push(notice, 1));
    }

    fn on_command(&mut self, command: Command, running: &mut Running) {
        match command {
            Command::Request { to, request, answer } => {
                if self.swarm.is_connected(&to) {
                    let id = self.swarm.behaviour_mut().sync.send_request(&to, request);
                    running.requests.insert(id, answer);
                } else {
                    // Whoever asked may be gone; so for every answer below.
                    let _ = answer.send(Err(RequestError::NotConnected));
                }
            }
            Command::Announce(announcement) => self.publish_announcement(&announcement),
            Command::Refuse { peer, last } => {
                if self.swarm.behaviour().refused.blocked_peers().contains(&peer) {
                    return;
                }
                let reason = Refusal::Faults { last };
                let wait = running.bans.refuse(peer, Instant::now());
                warn!(%peer, %reason, ?wait, "peer refused");
                self.notice(NetworkEvent::PeerRefused { peer, reason });
                self.refuse(peer, wait, running);
            }
        }
    }
}

/// Returns what a peer wrote about itself in a form that fits a log line.
fn printable(text: &str) -> String {
    const CHARS_MAX: usize = 128;
    text.chars().take(CHARS_MAX).map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_peers_write_about_themselves_fits_a_log_line() {
        assert_eq!(printable("baton/1/x"), "baton/1/x");
        assert_eq!(printable("a\nb\u{1b}[31m\u{e9}"), "a?b?[31m?");
        assert_eq!(printable(&"x".repeat(1_000)).len(), 128);
    }
}
