//! Who is who: which connected peers have proven which consensus keys.
//!
//! A proof holds for the connection, whatever epoch runs. Which member a key is, [`Seats`](super::seats::Seats) knows.

use std::collections::HashMap;

use baton_proto::BlsPublicKey;
use libp2p::PeerId;

/// Most peers that speak for one member at a time: a moved operator is in two places for a while. The newest win.
pub(super) const PEERS_PER_MEMBER_MAX: usize = 2;

/// What a connected peer has shown itself to be. Before it has shown anything it has no standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there are no more of them than peers, and most are of the large kind")]
pub(super) enum Standing {
    /// It has proven to speak for this key, which had a seat then; of several it is the one proven last.
    Speaker(BlsPublicKey),
    /// It names a key that has no seat: whether that is true is checked when the key gets one.
    Candidate,
    /// It names no key, or none that it can have.
    Stranger,
}

/// What changed with a proof.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Proven {
    /// Nobody else spoke for the key before.
    pub(super) is_first: bool,
    /// The peer that speaks for nobody any longer, because newer ones do.
    pub(super) displaced: Option<PeerId>,
}

/// What a connected peer has shown.
#[derive(Debug)]
enum Shown {
    /// The keys that it has proven, the one proven last at the end; never none, and no more than it claims at once.
    Keys(Vec<BlsPublicKey>),
    Candidate,
    Nothing,
}

/// The standing of every connected peer that has shown what it is; bounded by the connections.
#[derive(Debug, Default)]
pub(super) struct Members {
    shown: HashMap<PeerId, Shown>,
    /// Each key's peers, the one proven last at the end; never an empty list.
    peers: HashMap<BlsPublicKey, Vec<PeerId>>,
}

impl Members {
    /// Notes that `peer` has proven to speak for `key`.
    pub(super) fn prove(&mut self, peer: PeerId, key: BlsPublicKey) -> Proven {
        self.unsay(&peer, &key);
        let peers = self.peers.entry(key).or_default();
        let is_first = peers.is_empty();
        peers.push(peer);
        match self.shown.get_mut(&peer) {
            Some(Shown::Keys(keys)) => keys.push(key),
            _ => drop(self.shown.insert(peer, Shown::Keys(vec![key]))),
        }
        let oldest = self.peers.get(&key).filter(|peers| peers.len() > PEERS_PER_MEMBER_MAX).map(|peers| peers[0]);
        let displaced = oldest.filter(|oldest| self.unsay(oldest, &key));
        if let Some(displaced) = displaced {
            self.shown.insert(displaced, Shown::Nothing);
        }
        Proven { is_first, displaced }
    }

    /// Has `peer` speak for `key` no longer; returns whether it spoke for that key alone.
    fn unsay(&mut self, peer: &PeerId, key: &BlsPublicKey) -> bool {
        if let Some(peers) = self.peers.get_mut(key) {
            peers.retain(|other| other != peer);
            if peers.is_empty() {
                self.peers.remove(key);
            }
        }
        let Some(Shown::Keys(keys)) = self.shown.get_mut(peer) else { return false };
        keys.retain(|other| other != key);
        if !keys.is_empty() {
            return false;
        }
        self.shown.remove(peer);
        true
    }

    /// Notes that `peer` names a key without a seat. Nothing happens to one that has proven a key.
    pub(super) fn candidate(&mut self, peer: PeerId) {
        self.unproven(peer, Shown::Candidate);
    }

    /// Notes that `peer` is no member. Nothing happens to one that has proven a key.
    pub(super) fn stranger(&mut self, peer: PeerId) {
        self.unproven(peer, Shown::Nothing);
    }

    fn unproven(&mut self, peer: PeerId, shown: Shown) {
        if self.keys(&peer).is_empty() {
            self.shown.insert(peer, shown);
        }
    }

    /// Forgets a peer that is gone. Returns the keys that it was the last to speak for.
    pub(super) fn leave(&mut self, peer: &PeerId) -> Vec<BlsPublicKey> {
        let keys = self.keys(peer).to_vec();
        for key in &keys {
            self.unsay(peer, key);
        }
        self.shown.remove(peer);
        keys.into_iter().filter(|key| self.peers(key).is_empty()).collect()
    }

    /// Returns what `peer` has shown itself to be.
    pub(super) fn standing(&self, peer: &PeerId) -> Option<Standing> {
        Some(match self.shown.get(peer)? {
            Shown::Keys(keys) => Standing::Speaker(*keys.last()?),
            Shown::Candidate => Standing::Candidate,
            Shown::Nothing => Standing::Stranger,
        })
    }

    /// Returns which keys `peer` has proven to speak for, the one proven last at the end.
    pub(super) fn keys(&self, peer: &PeerId) -> &[BlsPublicKey] {
        match self.shown.get(peer) {
            Some(Shown::Keys(keys)) => keys,
            Some(Shown::Candidate | Shown::Nothing) | None => &[],
        }
    }

    /// Returns every connected peer that has proven a key, in no order.
    pub(super) fn proven(&self) -> impl Iterator<Item = &PeerId> {
        self.shown.iter().filter(|(_, shown)| matches!(shown, Shown::Keys(_))).map(|(peer, _)| peer)
    }

    /// Returns the peers that speak for `key`, the one proven last at the end; at most [`PEERS_PER_MEMBER_MAX`].
    pub(super) fn peers(&self, key: &BlsPublicKey) -> &[PeerId] {
        self.peers.get(key).map_or(&[], Vec::as_slice)
    }

    /// Returns every key that somebody connected speaks for, with its peers, in no order.
    pub(super) fn speakers(&self) -> impl Iterator<Item = (&BlsPublicKey, &[PeerId])> {
        self.peers.iter().map(|(key, peers)| (key, peers.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> BlsPublicKey {
        BlsPublicKey::new([n; 256])
    }

    #[test]
    fn two_peers_speak_for_a_key_and_the_newest_win() {
        let mut members = Members::default();
        let [a, b, c] = [(); 3].map(|()| PeerId::random());
        assert_eq!(members.prove(a, key(1)), Proven { is_first: true, displaced: None });
        assert_eq!(members.prove(b, key(1)), Proven { is_first: false, displaced: None });
        assert_eq!(members.prove(c, key(1)), Proven { is_first: false, displaced: Some(a) });
        assert_eq!(members.peers(&key(1)), [b, c]);
        assert_eq!((members.keys(&a), members.standing(&a)), (&[][..], Some(Standing::Stranger)));
        // The same proof again makes it the newest.
        assert_eq!(members.prove(b, key(1)), Proven { is_first: false, displaced: None });
        assert_eq!(members.peers(&key(1)), [c, b]);
        assert_eq!(members.leave(&a), []);
        assert_eq!(members.leave(&b), []);
        assert_eq!(members.leave(&c), [key(1)]);
        assert_eq!(members.speakers().count(), 0);
    }

    #[test]
    fn a_proven_peer_is_no_stranger_and_speaks_for_every_key_that_it_has_proven() {
        let mut members = Members::default();
        let peer = PeerId::random();
        members.candidate(peer);
        assert_eq!(members.standing(&peer), Some(Standing::Candidate));
        members.stranger(peer);
        assert_eq!(members.standing(&peer), Some(Standing::Stranger));
        members.prove(peer, key(1));
        members.stranger(peer);
        members.candidate(peer);
        assert_eq!(members.keys(&peer), [key(1)]);
        assert_eq!(members.prove(peer, key(2)), Proven { is_first: true, displaced: None });
        assert_eq!((members.peers(&key(1)), members.peers(&key(2))), (&[peer][..], &[peer][..]));
        assert_eq!(members.standing(&peer), Some(Standing::Speaker(key(2))));
        assert_eq!(members.proven().collect::<Vec<_>>(), [&peer]);
        // Newer peers of one key leave it the other.
        let newer = [(); 2].map(|()| PeerId::random());
        assert_eq!(members.prove(newer[0], key(1)), Proven { is_first: false, displaced: None });
        assert_eq!(members.prove(newer[1], key(1)), Proven { is_first: false, displaced: None });
        assert_eq!((members.keys(&peer), members.peers(&key(1))), (&[key(2)][..], &newer[..]));
        assert_eq!(members.leave(&peer), [key(2)]);
        assert_eq!((members.standing(&peer), members.peers(&key(2))), (None, &[][..]));
    }
}
