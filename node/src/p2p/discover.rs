//! Finding the committee: members are asked which members' peers they know, and whoever is learned has to prove itself.
//!
//! Asked are proven members only, and they answer with what proven members say of themselves. An address learned is
//! dialled as that peer and no other, a few times, and its peer counts for nothing before it has proven to be a member; a
//! liar wastes a bounded number of attempts. Configured peers are dialled whatever anybody says.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use libp2p::{
    Multiaddr, PeerId, identify,
    request_response::{self, ResponseChannel},
};
use tracing::debug;

use super::{
    Fault,
    addresses::{ADDRESSES_PER_PEER_MAX, Reach, dialable},
    backoff::{Timers, jittered},
    book::Book,
    budget::Taken,
    directory,
    learned::Learned,
    service::{Running, Service},
};

/// Longest pause before a member that was just proven is asked, so that not all ask at once.
const ASK_FIRST: Duration = Duration::from_millis(500);

/// Pause between two questions to a member while some members are missing, and once all are there.
const ASK_WHILE_INCOMPLETE: Duration = Duration::from_secs(10);
const ASK_WHEN_COMPLETE: Duration = Duration::from_secs(300);

/// Longest pause after an epoch's begin in which somebody is missing: time for the others to enter it as well.
const ASK_SOON: Duration = Duration::from_secs(2);

/// Learned peers are dialled one after the other, this far apart at most.
const DIAL_APART: Duration = Duration::from_millis(20);

/// Longest back-off of peers that nobody configured: they may be gone for good.
const KNOWN_BACKOFF: Duration = Duration::from_secs(60);

/// What is known of where peers are.
pub(super) struct Discovery {
    pub(super) book: Book,
    pub(super) learned: Learned,
    /// What connected peers say of themselves, and how near they are.
    announced: HashMap<PeerId, Vec<Multiaddr>>,
    near: HashMap<PeerId, Reach>,
    /// Members' peers that are asked from time to time, each with the number of the timer that it waits for.
    asked: HashMap<PeerId, u64>,
    pub(super) asks: Timers<(PeerId, u64)>,
}

impl Discovery {
    pub(super) fn new(book: Book) -> Self {
        Self {
            book,
            learned: Learned::default(),
            announced: HashMap::new(),
            near: HashMap::new(),
            asked: HashMap::new(),
            asks: Timers::new(),
        }
    }

    /// A connection with `peer` came about.
    pub(super) fn connected(&mut self, peer: PeerId, remote: &Multiaddr) {
        self.near.insert(peer, Reach::of_remote(remote));
    }

    /// Forgets what only matters while `peer` is connected.
    pub(super) fn disconnected(&mut self, peer: &PeerId) {
        self.near.remove(peer);
        self.announced.remove(peer);
    }

    /// Has a peer asked after this time, whatever was planned before.
    fn ask_after(&mut self, wait: Duration, peer: PeerId) {
        let number = self.asked.get(&peer).map_or(0, |number| number.wrapping_add(1));
        self.asked.insert(peer, number);
        self.asks.after(wait, (peer, number));
    }

    fn near(&self, peer: &PeerId) -> Reach {
        self.near.get(peer).copied().unwrap_or(Reach::Public)
    }
}

impl Service {
    /// Makes targets of the peers in the book; they do not count as strangers when they dial us. Those that are configured
    /// are dialled where the configuration says: a name there outlives the addresses that it had.
    pub(super) fn dial_book(&mut self) {
        let ours = *self.swarm.local_peer_id();
        for (peer, addresses) in self.discovery.book.peers() {
            if peer != ours && !self.reserved.contains(&peer) {
                self.swarm.behaviour_mut().limits.bypass_peer_id(&peer);
                self.dialer.add(peer, addresses.to_vec(), KNOWN_BACKOFF, Duration::ZERO);
            }
        }
    }

    /// Takes in what a peer says of itself.
    pub(super) fn on_introduced(&mut self, peer: PeerId, info: &identify::Info) {
        let near = self.discovery.near(&peer);
        let addresses: Vec<Multiaddr> = info
            .listen_addrs
            .iter()
            .filter_map(|address| dialable(address, &peer, near))
            .take(ADDRESSES_PER_PEER_MAX)
            .collect();
        self.discovery.announced.insert(peer, addresses);
        if self.is_member(&peer) {
            self.note_in_book(peer);
        }
    }

    /// A peer has proven to be a member: it stays known, and is asked whom it knows.
    pub(super) fn on_found(&mut self, peer: PeerId) {
        self.discovery.learned.proven(&peer);
        self.note_in_book(peer);
        if !self.discovery.asked.contains_key(&peer) {
            self.discovery.ask_after(jittered(ASK_FIRST), peer);
        }
    }

    fn note_in_book(&mut self, peer: PeerId) {
        let Some(addresses) = self.discovery.announced.get(&peer).filter(|addresses| !addresses.is_empty()) else {
            return;
        };
        let addresses = addresses.clone();
        let displaced = self.discovery.book.note(peer, addresses.clone(), &self.shared.members.borrow());
        if let Some(displaced) = displaced {
            self.forget_target(&displaced);
        }
        if !self.reserved.contains(&peer) {
            self.dialer.add(peer, addresses, KNOWN_BACKOFF, Duration::ZERO);
        }
    }

    /// A peer has shown that it is no member: if we only know it as one, it is let go.
    pub(super) fn on_not_found(&mut self, peer: PeerId) {
        let was_in_book = self.discovery.book.addresses(&peer).is_some();
        self.discovery.book.forget(&peer);
        self.let_go(peer, was_in_book);
    }

    /// A peer names a key that has no seat, or none that we know of: to a node that is behind, whoever it needs may be such
    /// a one, so that the book keeps it.
    pub(super) fn on_not_found_yet(&mut self, peer: PeerId) {
        if self.discovery.book.addresses(&peer).is_none() {
            self.let_go(peer, false);
        }
    }

    fn let_go(&mut self, peer: PeerId, was_in_book: bool) {
        let was_learned = self.discovery.learned.give_up(&peer, Instant::now());
        if !was_in_book && !was_learned {
            return;
        }
        self.forget_target(&peer);
        if was_learned && !self.reserved.contains(&peer) {
            debug!(%peer, "a peer that a member told of is no member");
            // Not connected any more is as well.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }

    /// An attempt to reach `peer` failed.
    pub(super) fn on_dial_failed(&mut self, peer: PeerId) {
        self.discovery.learned.failed(&peer, Instant::now());
        let is_known = self.reserved.contains(&peer) || self.discovery.book.addresses(&peer).is_some();
        if !is_known && !self.discovery.learned.is_wanted(&peer) {
            self.dialer.remove(&peer);
        }
    }

    pub(super) fn forget_target(&mut self, peer: &PeerId) {
        if !self.reserved.contains(peer) {
            self.dialer.remove(peer);
            if !self.is_member(peer) {
                self.swarm.behaviour_mut().limits.remove_peer_id(peer);
            }
        }
    }

    /// Asks a member whom it knows, and plans the next time.
    pub(super) fn ask_directory(&mut self, (peer, number): (PeerId, u64)) {
        if self.discovery.asked.get(&peer) != Some(&number) {
            return;
        }
        if !self.is_member(&peer) {
            self.discovery.asked.remove(&peer);
            return;
        }
        self.swarm.behaviour_mut().directory.send_request(&peer, directory::QUESTION.to_vec());
        let pause = if self.is_complete() { ASK_WHEN_COMPLETE } else { ASK_WHILE_INCOMPLETE };
        self.discovery.ask_after(jittered(pause), peer);
    }

    /// Returns whether all other members of the running epoch are connected.
    fn is_complete(&self) -> bool {
        let context = self.seats.running();
        let members = self.shared.members.borrow();
        let found = context.committee.members().iter().filter(|member| !members.peers(&member.key).is_empty()).count();
        found >= context.committee.len() - usize::from(self.seats.ours_in(&context).is_some())
    }

    /// Asks whom the members know soon, not when their next time has come, if somebody is missing in a new epoch.
    pub(super) fn ask_directories_soon(&mut self) {
        if self.is_complete() {
            return;
        }
        let asked: Vec<PeerId> = self.discovery.asked.keys().copied().collect();
        for peer in asked {
            self.discovery.ask_after(jittered(ASK_SOON), peer);
        }
    }

    pub(super) fn on_directory(&mut self, event: request_response::Event<Vec<u8>, Vec<u8>>, running: &mut Running) {
        use request_response::{Event, Message};
        match event {
            Event::Message { peer, message: Message::Request { request, channel, .. }, .. } => {
                self.on_directory_question(peer, &request, channel, running);
            }
            Event::Message { peer, message: Message::Response { response, .. }, .. } => self.on_told(peer, &response),
            Event::OutboundFailure { peer, error, .. } => debug!(%peer, %error, "not told whom it knows"),
            Event::InboundFailure { peer, error, .. } => debug!(%peer, %error, "a question for members failed"),
            Event::ResponseSent { .. } => {}
        }
    }

    fn on_directory_question(
        &mut self,
        from: PeerId,
        question: &[u8],
        channel: ResponseChannel<Vec<u8>>,
        running: &mut Running,
    ) {
        if question != directory::QUESTION {
            self.shared.charge(from, Fault::InvalidRequest);
            return;
        }
        // Without an answer the stream is closed, which says that we are busy.
        if self.within_budget(from, running.budget(from).directory.try_take(Instant::now())) != Taken::Within {
            return;
        }
        let members = self.shared.members.borrow();
        let peers: HashSet<PeerId> = members
            .speakers()
            .filter(|(key, _)| self.seats.has(key))
            .flat_map(|(_, peers)| peers)
            .copied()
            .filter(|peer| *peer != from)
            .collect();
        drop(members);
        let book = &self.discovery.book;
        let known = peers
            .iter()
            .flat_map(|peer| book.addresses(peer).unwrap_or_default().iter().map(|address| (*peer, address)));
        let answer = directory::encode(known);
        // It may have hung up.
        let _ = self.swarm.behaviour_mut().directory.send_response(channel, answer);
    }

    /// What a member says whom it knows.
    fn on_told(&mut self, source: PeerId, answer: &[u8]) {
        let told = match directory::decode(answer) {
            Ok(told) => told,
            Err(reason) => {
                debug!(peer = %source, %reason, "a directory is none");
                self.shared.charge(source, Fault::InvalidAnswer);
                return;
            }
        };
        // It may have ceased to be one while it answered.
        if !self.is_member(&source) {
            return;
        }
        let (near, now) = (self.discovery.near(&source), Instant::now());
        let mut by_peer: HashMap<PeerId, Vec<Multiaddr>> = HashMap::new();
        for (peer, address) in told {
            let addresses = by_peer.entry(peer).or_default();
            if addresses.len() < ADDRESSES_PER_PEER_MAX
                && let Some(address) = dialable(&address, &peer, near)
            {
                addresses.push(address);
            }
        }
        let ours = *self.swarm.local_peer_id();
        for (peer, addresses) in by_peer {
            let is_known = peer == ours
                || addresses.is_empty()
                || self.reserved.contains(&peer)
                || self.discovery.book.addresses(&peer).is_some()
                || self.swarm.is_connected(&peer);
            if !is_known && self.discovery.learned.learn(peer, source, now) {
                debug!(%peer, %source, "learned of a peer");
                let learned = u32::try_from(self.discovery.learned.len()).unwrap_or(u32::MAX);
                self.dialer.add(peer, addresses, KNOWN_BACKOFF, jittered(DIAL_APART * learned));
            }
        }
    }
}
