//! Keeps peers connected: dials those configured for ever and others as long as they are wanted, with jittered back-off,
//! one attempt per peer at a time.

use std::{collections::HashMap, time::Duration};

use libp2p::{
    Multiaddr, PeerId,
    multiaddr::Protocol,
    swarm::dial_opts::{DialOpts, PeerCondition},
};

use super::{
    NetworkConfig, StartError,
    backoff::{Backoff, Timers, jittered},
};

/// Returns the configured peers and observers with their addresses, ourselves left out.
///
/// # Errors
/// [`StartError::DuplicatePeer`]: an observer occurs twice, or is a peer as well.
pub(super) fn configured(config: &NetworkConfig) -> Result<HashMap<PeerId, Vec<Multiaddr>>, StartError> {
    let ours = config.identity.public().to_peer_id();
    let mut targets: HashMap<PeerId, Vec<Multiaddr>> = HashMap::new();
    for (peer, address) in config.peers.iter().filter(|(peer, _)| *peer != ours) {
        let addresses = targets.entry(*peer).or_default();
        if !addresses.contains(address) {
            addresses.push(address.clone());
        }
    }
    for (observer, address) in &config.observers {
        if *observer == ours || targets.insert(*observer, vec![address.clone()]).is_some() {
            return Err(StartError::DuplicatePeer(*observer));
        }
    }
    Ok(targets)
}

/// The peers to keep connected and when to try next.
pub(super) struct Dialer {
    targets: HashMap<PeerId, Target>,
    timers: Timers<(PeerId, u64)>,
    /// Peers that wait for a timer, each for the one that was set with this number: earlier ones do nothing.
    waiting: HashMap<PeerId, u64>,
    /// Timers that were set so far.
    set: u64,
}

struct Target {
    /// Addresses of one kind each: tried in turns, one kind at a time, so that it does not depend on a race which
    /// connection comes about. TCP comes first; never empty.
    turns: Vec<Vec<Multiaddr>>,
    attempts: usize,
    backoff: Backoff,
}

impl Target {
    fn new(addresses: Vec<Multiaddr>, backoff: Backoff) -> Self {
        let is_quic = |address: &Multiaddr| address.iter().any(|part| matches!(part, Protocol::QuicV1));
        let (quic, tcp): (Vec<_>, Vec<_>) = addresses.into_iter().partition(is_quic);
        let turns = [tcp, quic].into_iter().filter(|turn| !turn.is_empty()).collect();
        Self { turns, attempts: 0, backoff }
    }

    /// Returns the addresses to try now.
    fn turn(&mut self) -> Vec<Multiaddr> {
        let turn = self.turns.get(self.attempts.checked_rem(self.turns.len()).unwrap_or(0)).cloned();
        self.attempts = self.attempts.wrapping_add(1);
        turn.unwrap_or_default()
    }
}

impl Dialer {
    /// Starts with an attempt for every target.
    pub(super) fn new(targets: HashMap<PeerId, Vec<Multiaddr>>) -> Self {
        let targets: HashMap<PeerId, Target> =
            targets.into_iter().map(|(peer, addresses)| (peer, Target::new(addresses, Backoff::new()))).collect();
        let mut dialer = Self { waiting: HashMap::new(), targets, timers: Timers::new(), set: 0 };
        dialer.hurry(Duration::ZERO);
        dialer
    }

    /// Has every target dialled within this time, as if no attempt had failed before. Who is connected is not dialled then.
    pub(super) fn hurry(&mut self, within: Duration) {
        let peers: Vec<PeerId> = self.targets.keys().copied().collect();
        for peer in peers {
            self.succeeded(&peer);
            self.set(peer, jittered(within));
        }
    }

    /// Sets the timer that `peer` waits for.
    fn set(&mut self, peer: PeerId, wait: Duration) {
        self.set = self.set.wrapping_add(1);
        self.waiting.insert(peer, self.set);
        self.timers.after(wait, (peer, self.set));
    }

    /// Adds a target that is dialled after `wait` and backs off up to `longest`; a known one gets these addresses.
    pub(super) fn add(&mut self, peer: PeerId, addresses: Vec<Multiaddr>, longest: Duration, wait: Duration) {
        self.targets.insert(peer, Target::new(addresses, Backoff::up_to(longest)));
        if !self.waiting.contains_key(&peer) {
            self.set(peer, wait);
        }
    }

    /// Removes a target. Its timer, if it has one, does nothing when it fires.
    pub(super) fn remove(&mut self, peer: &PeerId) {
        self.targets.remove(peer);
    }

    /// Plans another attempt, after a failed one or a lost connection; nothing happens for peers that are no targets.
    pub(super) fn retry(&mut self, peer: PeerId) {
        if let Some(target) = self.targets.get_mut(&peer)
            && !self.waiting.contains_key(&peer)
        {
            let wait = target.backoff.wait();
            self.set(peer, wait);
        }
    }

    /// Forgets the failures so far: the peer is the one we meant and speaks for our chain.
    pub(super) fn succeeded(&mut self, peer: &PeerId) {
        if let Some(target) = self.targets.get_mut(peer) {
            target.backoff.reset();
            target.attempts = 0;
        }
    }

    /// Returns the next peer to dial, with how. Nothing is lost when the future is dropped.
    pub(super) async fn due(&mut self) -> (PeerId, DialOpts) {
        loop {
            let (peer, number) = self.timers.next().await;
            if self.waiting.get(&peer) != Some(&number) {
                continue;
            }
            self.waiting.remove(&peer);
            if let Some(target) = self.targets.get_mut(&peer) {
                let options = DialOpts::peer_id(peer)
                    .addresses(target.turn())
                    .condition(PeerCondition::DisconnectedAndNotDialing)
                    // Were both ends to dial from their listening ports, TCP would join the two attempts into one
                    // connection with two dialers, and both handshakes would fail.
                    .allocate_new_port()
                    .build();
                return (peer, options);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn in_a_hurry_nobody_waits_for_the_end_of_a_back_off() {
        let peer = PeerId::random();
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        let mut dialer = Dialer::new(HashMap::new());
        let long = Duration::from_secs(3_600);
        dialer.add(peer, vec![address], long, long);
        for _ in 0..30 {
            dialer.waiting.clear();
            dialer.retry(peer);
        }
        dialer.hurry(Duration::from_millis(1));
        let due = tokio::time::timeout(Duration::from_secs(60), dialer.due()).await;
        assert_eq!(due.expect("it is dialled now").0, peer);
        // And after that as soon as after a first failure; the timers from before do nothing.
        dialer.retry(peer);
        let due = tokio::time::timeout(Duration::from_secs(60), dialer.due()).await;
        assert_eq!(due.expect("the back-off begins anew").0, peer);
        assert!(dialer.waiting.is_empty());
    }

    #[test]
    fn tcp_and_quic_take_turns_and_tcp_is_first() {
        let address = |text: &str| text.parse::<Multiaddr>().unwrap();
        let [quic, tcp] = [address("/ip4/127.0.0.1/udp/1/quic-v1"), address("/ip4/127.0.0.1/tcp/1")];
        let other = address("/dns4/node1/tcp/2");
        let mut both = Target::new(vec![quic.clone(), tcp.clone(), other.clone()], Backoff::new());
        for _ in 0..2 {
            assert_eq!(both.turn(), [tcp.clone(), other.clone()]);
            assert_eq!(both.turn(), std::slice::from_ref(&quic));
        }
        let mut one = Target::new(vec![quic.clone()], Backoff::new());
        assert_eq!([one.turn(), one.turn()], [vec![quic.clone()], vec![quic]]);
    }
}
