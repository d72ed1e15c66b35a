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
    /// It has proven to speak for this key, which had a seat then.
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
    /// The peer that speaks for it no longer, because newer ones do.
    pub(super) displaced: Option<PeerId>,
}

/// The standing of every connected peer that has shown what it is; bounded by the connections.
#[derive(Debug, Default)]
pub(super) struct Members {
    standings: HashMap<PeerId, Standing>,
    /// Each key's peers, the one proven last at the end; never an empty list.
    peers: HashMap<BlsPublicKey, Vec<PeerId>>,
}

impl Members {
    /// Notes that `peer` has proven to speak for `key`.
    pub(super) fn prove(&mut self, peer: PeerId, key: BlsPublicKey) -> Proven {
        self.leave(&peer);
        let peers = self.peers.entry(key).or_default();
        let is_first = peers.is_empty();
        peers.push(peer);
        let displaced = (peers.len() > PEERS_PER_MEMBER_MAX).then(|| peers.remove(0));
        self.standings.insert(peer, Standing::Speaker(key));
        if let Some(displaced) = displaced {
            self.standings.insert(displaced, Standing::Stranger);
        }
        Proven { is_first, displaced }
    }

    /// Notes that `peer` names a key without a seat. Nothing happens to one that has proven a key.
    pub(super) fn candidate(&mut self, peer: PeerId) {
        self.unproven(peer, Standing::Candidate);
    }

    /// Notes that `peer` is no member. Nothing happens to one that has proven a key.
    pub(super) fn stranger(&mut self, peer: PeerId) {
        self.unproven(peer, Standing::Stranger);
    }

    fn unproven(&mut self, peer: PeerId, standing: Standing) {
        if self.key(&peer).is_none() {
            self.standings.insert(peer, standing);
        }
    }

    /// Forgets a peer that is gone. Returns the key that it was the last to speak for, if it was.
    pub(super) fn leave(&mut self, peer: &PeerId) -> Option<BlsPublicKey> {
        let Standing::Speaker(key) = self.standings.remove(peer)? else { return None };
        let peers = self.peers.get_mut(&key)?;
        peers.retain(|other| other != peer);
        if !peers.is_empty() {
            return None;
        }
        self.peers.remove(&key);
        Some(key)
    }

    /// Returns what `peer` has shown itself to be.
    pub(super) fn standing(&self, peer: &PeerId) -> Option<Standing> {
        self.standings.get(peer).copied()
    }

    /// Returns which key `peer` has proven to speak for.
    pub(super) fn key(&self, peer: &PeerId) -> Option<BlsPublicKey> {
        match self.standings.get(peer)? {
            Standing::Speaker(key) => Some(*key),
            Standing::Candidate | Standing::Stranger => None,
        }
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
        assert_eq!((members.key(&a), members.standing(&a)), (None, Some(Standing::Stranger)));
        // The same proof again makes it the newest.
        assert_eq!(members.prove(b, key(1)), Proven { is_first: false, displaced: None });
        assert_eq!(members.peers(&key(1)), [c, b]);
        assert_eq!(members.leave(&a), None);
        assert_eq!(members.leave(&b), None);
        assert_eq!(members.leave(&c), Some(key(1)));
        assert_eq!(members.speakers().count(), 0);
    }

    #[test]
    fn a_proven_peer_is_no_stranger_and_speaks_for_one_key() {
        let mut members = Members::default();
        let peer = PeerId::random();
        members.candidate(peer);
        assert_eq!(members.standing(&peer), Some(Standing::Candidate));
        members.stranger(peer);
        assert_eq!(members.standing(&peer), Some(Standing::Stranger));
        members.prove(peer, key(1));
        members.stranger(peer);
        members.candidate(peer);
        assert_eq!(members.key(&peer), Some(key(1)));
        assert_eq!(members.prove(peer, key(2)), Proven { is_first: true, displaced: None });
        assert_eq!((members.peers(&key(1)), members.peers(&key(2))), (&[][..], &[peer][..]));
        assert_eq!(members.leave(&peer), Some(key(2)));
        assert_eq!(members.standing(&peer), None);
    }
}
