//! Who is who: which connected peers have proven to be which members.

use std::collections::{BTreeMap, HashMap};

use baton_proto::MemberIndex;
use libp2p::PeerId;

/// Most peers that speak for one member at a time: a moved operator is in two places for a while. The newest win.
pub(super) const PEERS_PER_MEMBER_MAX: usize = 2;

/// What a connected peer has shown itself to be. Before it has shown anything it has no standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has proven to speak for this member.
    Member(MemberIndex),
    /// It claims nothing, or nothing that holds.
    Stranger,
}

/// What changed with a proof.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Proven {
    /// Nobody else spoke for the member before.
    pub(super) is_first: bool,
    /// The peer that speaks for it no longer, because newer ones do.
    pub(super) displaced: Option<PeerId>,
}

/// The standing of every connected peer that has shown what it is; bounded by the connections.
#[derive(Debug, Default)]
pub(super) struct Members {
    standings: HashMap<PeerId, Standing>,
    /// Each member's peers, the one proven last at the end; never an empty list.
    peers: BTreeMap<MemberIndex, Vec<PeerId>>,
}

impl Members {
    /// Notes that `peer` has proven to be `member`.
    pub(super) fn prove(&mut self, peer: PeerId, member: MemberIndex) -> Proven {
        self.leave(&peer);
        let peers = self.peers.entry(member).or_default();
        let is_first = peers.is_empty();
        peers.push(peer);
        let displaced = (peers.len() > PEERS_PER_MEMBER_MAX).then(|| peers.remove(0));
        self.standings.insert(peer, Standing::Member(member));
        if let Some(displaced) = displaced {
            self.standings.insert(displaced, Standing::Stranger);
        }
        Proven { is_first, displaced }
    }

    /// Notes that `peer` is no member. Nothing happens to one that has proven to be one.
    pub(super) fn stranger(&mut self, peer: PeerId) {
        self.standings.entry(peer).or_insert(Standing::Stranger);
    }

    /// Forgets a peer that is gone. Returns the member that it was the last to speak for, if it was.
    pub(super) fn leave(&mut self, peer: &PeerId) -> Option<MemberIndex> {
        let Standing::Member(member) = self.standings.remove(peer)? else { return None };
        let peers = self.peers.get_mut(&member)?;
        peers.retain(|other| other != peer);
        if !peers.is_empty() {
            return None;
        }
        self.peers.remove(&member);
        Some(member)
    }

    /// Returns what `peer` has shown itself to be.
    pub(super) fn standing(&self, peer: &PeerId) -> Option<Standing> {
        self.standings.get(peer).copied()
    }

    /// Returns which member `peer` has proven to be.
    pub(super) fn member(&self, peer: &PeerId) -> Option<MemberIndex> {
        match self.standing(peer)? {
            Standing::Member(member) => Some(member),
            Standing::Stranger => None,
        }
    }

    /// Returns the peers that speak for `member`, the one proven last at the end; at most [`PEERS_PER_MEMBER_MAX`].
    pub(super) fn peers(&self, member: MemberIndex) -> &[PeerId] {
        self.peers.get(&member).map_or(&[], Vec::as_slice)
    }

    /// Returns the members that somebody connected speaks for, in order.
    pub(super) fn connected(&self) -> impl Iterator<Item = MemberIndex> {
        self.peers.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(index: u8) -> MemberIndex {
        MemberIndex::new(index)
    }

    #[test]
    fn two_peers_speak_for_a_member_and_the_newest_win() {
        let mut members = Members::default();
        let [a, b, c] = [(); 3].map(|()| PeerId::random());
        assert_eq!(members.prove(a, member(1)), Proven { is_first: true, displaced: None });
        assert_eq!(members.prove(b, member(1)), Proven { is_first: false, displaced: None });
        assert_eq!(members.prove(c, member(1)), Proven { is_first: false, displaced: Some(a) });
        assert_eq!(members.peers(member(1)), [b, c]);
        assert_eq!((members.member(&a), members.standing(&a)), (None, Some(Standing::Stranger)));
        // The same proof again makes it the newest.
        assert_eq!(members.prove(b, member(1)), Proven { is_first: false, displaced: None });
        assert_eq!(members.peers(member(1)), [c, b]);
        assert_eq!(members.leave(&a), None);
        assert_eq!(members.leave(&b), None);
        assert_eq!(members.leave(&c), Some(member(1)));
        assert_eq!(members.connected().count(), 0);
    }

    #[test]
    fn a_proven_peer_is_no_stranger_and_speaks_for_one_member() {
        let mut members = Members::default();
        let peer = PeerId::random();
        members.stranger(peer);
        assert_eq!(members.standing(&peer), Some(Standing::Stranger));
        members.prove(peer, member(1));
        members.stranger(peer);
        assert_eq!(members.member(&peer), Some(member(1)));
        assert_eq!(members.prove(peer, member(2)), Proven { is_first: true, displaced: None });
        assert_eq!((members.peers(member(1)), members.peers(member(2))), (&[][..], &[peer][..]));
        assert_eq!(members.leave(&peer), Some(member(2)));
        assert_eq!(members.standing(&peer), None);
    }
}
