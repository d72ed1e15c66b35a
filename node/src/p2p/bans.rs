//! How long a peer is refused: longer each time.

use std::{
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use libp2p::PeerId;
use lru::LruCache;

use super::backoff::jittered;

/// How long a peer beyond its budget is refused for the first time. Short, because members are needed and everything they
/// send is checked.
const FIRST: Duration = Duration::from_secs(30);

/// Longest refusal: 32 times the first, 16 minutes. A member that was repaired is back after that.
const DOUBLINGS_MAX: u32 = 5;

/// A peer that was not refused for so long after the end of the last refusal starts over.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3_600);

/// Most peers whose refusals are remembered; the one refused longest ago makes room.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(1_024).expect("not zero");

/// Who was refused how often, in memory only.
pub(super) struct Bans(LruCache<PeerId, Ban>);

struct Ban {
    times: u32,
    until: Instant,
}

impl Bans {
    pub(super) fn new() -> Self {
        Self(LruCache::new(REMEMBERED))
    }

    /// Returns how long `peer` is refused this time: twice as long as the last, between three quarters of that and all.
    pub(super) fn refuse(&mut self, peer: PeerId, now: Instant) -> Duration {
        let times = match self.0.get(&peer) {
            Some(ban) if now.saturating_duration_since(ban.until) < FORGOTTEN_AFTER => ban.times,
            _ => 0,
        };
        let longest = FIRST * 2_u32.pow(times.min(DOUBLINGS_MAX));
        let refused = longest / 2 + jittered(longest / 2);
        self.0.put(peer, Ban { times: times.saturating_add(1), until: now + refused });
        refused
    }

    /// Returns how long a peer of another chain is refused: its operator may be about to correct it.
    pub(super) fn other_chain() -> Duration {
        FIRST / 2 + jittered(FIRST / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_grow_to_a_bound_and_are_forgotten() {
        let (mut bans, peer, mut now) = (Bans::new(), PeerId::random(), Instant::now());
        for times in 0..10 {
            let longest = FIRST * 2_u32.pow(times.min(DOUBLINGS_MAX));
            let refused = bans.refuse(peer, now);
            assert!(refused >= longest * 3 / 4 && refused <= longest, "{times}: {refused:?}");
            now += refused + Duration::from_secs(1);
        }
        assert!(bans.refuse(PeerId::random(), now) <= FIRST);
        now += FORGOTTEN_AFTER * 2;
        assert!(bans.refuse(peer, now) <= FIRST);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut bans, now) = (Bans::new(), Instant::now());
        for _ in 0..2 * REMEMBERED.get() {
            bans.refuse(PeerId::random(), now);
        }
        assert_eq!(bans.0.len(), REMEMBERED.get());
    }
}
