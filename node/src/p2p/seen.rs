//! Which gossip messages came or went lately: to publish one of them again is no use, and gossip would warn of each.

use std::{num::NonZeroUsize, time::Instant};

use libp2p::gossipsub::MessageId;
use lru::LruCache;

use super::behaviour::GOSSIP_SEEN;

/// Messages that are remembered, 20 bytes each: those of two minutes of a busy network.
const SEEN_MAX: NonZeroUsize = NonZeroUsize::new(32_768).expect("not zero");

/// What gossip itself holds for known.
pub(super) struct Seen(LruCache<MessageId, Instant>);

impl Seen {
    pub(super) fn new() -> Self {
        Self(LruCache::new(SEEN_MAX))
    }

    /// Notes that a message came or went.
    pub(super) fn note(&mut self, id: MessageId, now: Instant) {
        let known = self.0.get_or_insert_mut(id, || now);
        if now.duration_since(*known) >= GOSSIP_SEEN {
            *known = now;
        }
    }

    /// Returns whether gossip still knows a message.
    pub(super) fn contains(&self, id: &MessageId, now: Instant) -> bool {
        self.0.peek(id).is_some_and(|since| now.duration_since(*since) < GOSSIP_SEEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_known_for_as_long_as_gossip_knows_it() {
        let (mut seen, id, now) = (Seen::new(), MessageId::new(b"a"), Instant::now());
        assert!(!seen.contains(&id, now));
        seen.note(id.clone(), now);
        seen.note(id.clone(), now + GOSSIP_SEEN / 2);
        assert!(seen.contains(&id, now + GOSSIP_SEEN / 2) && !seen.contains(&id, now + GOSSIP_SEEN));
        for n in 0..SEEN_MAX.get() as u64 {
            seen.note(MessageId::new(&n.to_be_bytes()), now);
        }
        assert!(seen.0.len() == SEEN_MAX.get() && !seen.contains(&id, now));
    }
}
