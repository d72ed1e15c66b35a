//! Peers that members told us of: each is tried a few times and counts for nothing until it has proven to be a member.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use libp2p::PeerId;

use super::book::BOOK_PEERS_MAX;

/// Most peers learned and not yet proven.
const LEARNED_MAX: usize = 1_024;

/// Most of them from one source: as many as an honest member can know. A source that tells of nobody but strangers has
/// spent its share until those are forgotten.
const LEARNED_PER_SOURCE_MAX: usize = BOOK_PEERS_MAX;

/// Failed attempts after which a learned peer is given up.
const ATTEMPTS_MAX: u32 = 5;

/// How long a peer that was given up is not learned again.
const GIVEN_UP_FOR: Duration = Duration::from_secs(600);

/// The peers that others told of.
#[derive(Default)]
pub(super) struct Learned {
    peers: HashMap<PeerId, Entry>,
}

struct Entry {
    source: PeerId,
    failed: u32,
    given_up: Option<Instant>,
}

impl Learned {
    /// Takes in that `source` told of `peer`; returns whether it is to be dialled.
    ///
    /// When there are too many, the source with the most makes room, so that one that tells of thousands takes nothing
    /// from the others.
    pub(super) fn learn(&mut self, peer: PeerId, source: PeerId, now: Instant) -> bool {
        self.peers.retain(|_, entry| entry.given_up.is_none_or(|since| now.duration_since(since) < GIVEN_UP_FOR));
        if self.peers.contains_key(&peer) {
            return false;
        }
        let mut shares: HashMap<PeerId, usize> = HashMap::new();
        for entry in self.peers.values() {
            *shares.entry(entry.source).or_default() += 1;
        }
        let own = shares.get(&source).copied().unwrap_or(0);
        if own >= LEARNED_PER_SOURCE_MAX {
            return false;
        }
        if self.peers.len() >= LEARNED_MAX {
            let Some((largest, share)) = shares.into_iter().max_by_key(|(_, share)| *share) else { return false };
            if share <= own {
                return false;
            }
            let Some(goes) = self.peers.iter().find(|(_, entry)| entry.source == largest).map(|(peer, _)| *peer) else {
                return false;
            };
            self.peers.remove(&goes);
        }
        self.peers.insert(peer, Entry { source, failed: 0, given_up: None });
        true
    }

    /// Returns whether `peer` is still to be tried.
    pub(super) fn is_wanted(&self, peer: &PeerId) -> bool {
        self.peers.get(peer).is_some_and(|entry| entry.given_up.is_none())
    }

    /// Counts a failed attempt.
    pub(super) fn failed(&mut self, peer: &PeerId, now: Instant) {
        if let Some(entry) = self.peers.get_mut(peer) {
            entry.failed += 1;
            if entry.failed >= ATTEMPTS_MAX {
                entry.given_up.get_or_insert(now);
            }
        }
    }

    /// Gives up a peer that is no member; returns whether it was learned at all.
    pub(super) fn give_up(&mut self, peer: &PeerId, now: Instant) -> bool {
        self.peers.get_mut(peer).map(|entry| entry.given_up.get_or_insert(now)).is_some()
    }

    /// Forgets a peer that has proven to be a member: the book has it now.
    pub(super) fn proven(&mut self, peer: &PeerId) {
        self.peers.remove(peer);
    }

    /// Takes back that peers were given up: with another committee they may be members.
    pub(super) fn reconsider(&mut self) {
        self.peers.retain(|_, entry| entry.given_up.is_none());
    }

    /// Returns how many there are, those given up included.
    pub(super) fn len(&self) -> usize {
        self.peers.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_tried_a_few_times_and_learned_again_later() {
        let (mut learned, peer, source, now) = (Learned::default(), PeerId::random(), PeerId::random(), Instant::now());
        assert!(learned.learn(peer, source, now) && !learned.learn(peer, source, now));
        for _ in 0..ATTEMPTS_MAX {
            assert!(learned.is_wanted(&peer));
            learned.failed(&peer, now);
        }
        assert!(!learned.is_wanted(&peer));
        assert!(!learned.learn(peer, PeerId::random(), now + GIVEN_UP_FOR / 2));
        assert!(learned.learn(peer, source, now + GIVEN_UP_FOR));
        assert!(learned.give_up(&peer, now) && !learned.learn(peer, source, now));
        learned.reconsider();
        assert!(learned.learn(peer, source, now));
        learned.proven(&peer);
        assert_eq!(learned.len(), 0);
        assert!(!learned.give_up(&peer, now));
    }

    #[test]
    fn sources_that_tell_of_too_many_take_nothing_from_others() {
        let (mut learned, now) = (Learned::default(), Instant::now());
        let tell = |learned: &mut Learned, source: PeerId, count: usize| {
            (0..count).filter(|_| learned.learn(PeerId::random(), source, now)).count()
        };
        for _ in 0..10 {
            assert!(tell(&mut learned, PeerId::random(), 300) <= LEARNED_PER_SOURCE_MAX);
        }
        assert_eq!(learned.len(), LEARNED_MAX);
        assert_eq!(tell(&mut learned, PeerId::random(), 50), 50);
        assert_eq!(learned.len(), LEARNED_MAX);
    }
}
