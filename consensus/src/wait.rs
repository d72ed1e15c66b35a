//! What a voter waits for before it votes for a header that breaks no rule: its own sight of L1, and of time.
//!
//! Nodes see L1 and time differently, so what one has not seen yet is never a reason to vote against a block, nor to give its
//! view up before the timers do (protocol sections 2 and 4).

use baton_proto::{BlockHeader, L1BlockNumber, TimestampMs};

/// What this node has seen of the L1 block that a header names as its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginSeen {
    /// Final, with this hash.
    Final,
    /// Not final as far as this node has seen, or another hash was seen: wait.
    NotYet,
}

/// What a voter waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The named L1 block is not final here yet.
    Origin(L1BlockNumber),
    /// The block's timestamp lies further ahead than clocks may differ.
    Clock(TimestampMs),
}

impl Wait {
    /// Returns what `header` on `parent` has to wait for, or nothing. `latest` is the local clock in milliseconds, and as much
    /// more as clocks may differ.
    ///
    /// An L1 reorganization never reaches consensus, because no quorum votes for an origin that its members have not
    /// seen final.
    #[must_use]
    pub fn of(header: &BlockHeader, parent: &BlockHeader, origin: OriginSeen, latest: TimestampMs) -> Option<Self> {
        if header.timestamp_ms > latest {
            return Some(Self::Clock(header.timestamp_ms));
        }
        // The parent's voters have vouched for an unchanged origin.
        if header.origin != parent.origin && origin == OriginSeen::NotYet {
            return Some(Self::Origin(header.origin.number));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;

    use super::*;
    use crate::testing::World;

    fn wait(header: &BlockHeader, parent: &BlockHeader, origin: OriginSeen) -> Option<Wait> {
        Wait::of(header, parent, origin, header.timestamp_ms)
    }

    #[test]
    fn an_origin_is_waited_for_until_it_is_seen_final() {
        let world = World::new(&[1]);
        let parent = world.genesis.clone();
        let old = world.block(1, &parent, 0);
        assert_eq!(wait(&old, &parent, OriginSeen::NotYet), None, "the parent's voters have seen it");
        let mut later = old.clone();
        later.origin.number = later.origin.number.next().unwrap();
        let mut other = old;
        other.origin.hash = B256::repeat_byte(0xee);
        for header in [later, other] {
            assert_eq!(wait(&header, &parent, OriginSeen::NotYet), Some(Wait::Origin(header.origin.number)));
            assert_eq!(wait(&header, &parent, OriginSeen::Final), None);
        }
    }

    #[test]
    fn a_timestamp_ahead_of_the_clock_is_waited_for() {
        let world = World::new(&[1]);
        let header = world.block(1, &world.genesis, 0);
        let at = header.timestamp_ms;
        let ask = |latest| Wait::of(&header, &world.genesis, OriginSeen::Final, TimestampMs::new(latest));
        assert_eq!((ask(at.get() - 1), ask(at.get())), (Some(Wait::Clock(at)), None));
    }
}
