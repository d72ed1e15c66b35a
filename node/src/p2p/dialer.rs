//! Keeps the configured peers connected: dials for ever, with jittered back-off, one attempt per peer at a time.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use libp2p::{
    Multiaddr, PeerId,
    swarm::dial_opts::{DialOpts, PeerCondition},
};

use super::backoff::{Backoff, Timers};

/// The peers to keep connected and when to try next.
pub(super) struct Dialer {
    targets: HashMap<PeerId, Target>,
    timers: Timers<PeerId>,
    /// Peers with a timer: each has one at most.
    waiting: HashSet<PeerId>,
}

struct Target {
    addresses: Vec<Multiaddr>,
    backoff: Backoff,
}

impl Dialer {
    /// Starts with an attempt for every target.
    pub(super) fn new(targets: HashMap<PeerId, Vec<Multiaddr>>) -> Self {
        let targets: HashMap<PeerId, Target> = targets
            .into_iter()
            .map(|(peer, addresses)| (peer, Target { addresses, backoff: Backoff::new() }))
            .collect();
        let mut dialer = Self { waiting: targets.keys().copied().collect(), targets, timers: Timers::new() };
        for peer in &dialer.waiting {
            dialer.timers.after(Duration::ZERO, *peer);
        }
        dialer
    }

    /// Plans another attempt, after a failed one or a lost connection; nothing happens for peers that are no targets.
    pub(super) fn retry(&mut self, peer: PeerId) {
        if let Some(target) = self.targets.get_mut(&peer)
            && self.waiting.insert(peer)
        {
            self.timers.after(target.backoff.wait(), peer);
        }
    }

    /// Forgets the failures so far: the peer is the one we meant and speaks for our chain.
    pub(super) fn succeeded(&mut self, peer: &PeerId) {
        if let Some(target) = self.targets.get_mut(peer) {
            target.backoff.reset();
        }
    }

    /// Returns the next peer to dial, with how. Nothing is lost when the future is dropped.
    pub(super) async fn due(&mut self) -> (PeerId, DialOpts) {
        loop {
            let peer = self.timers.next().await;
            self.waiting.remove(&peer);
            if let Some(target) = self.targets.get(&peer) {
                let options = DialOpts::peer_id(peer)
                    .addresses(target.addresses.clone())
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
