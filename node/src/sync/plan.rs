//! What to ask of whom next, and what of the answers is kept: the decisions of a run, without its I/O.
//!
//! ```text
//!   head ─▶ next span          spans ahead of it                    target, proven final
//!   ───────┤ asked of 2 ├───────┤ held ├───────┤ missing ├───────┤ asked of 0 ├ ─ ─ ─ ─ ┤
//! ```
//! Heights above the head are cut into spans. The lowest missing one is asked for first; an answer that is shorter than its
//! span leaves the rest missing. What is proven ahead of its turn is held, and held bytes and open questions together stay
//! within [`HELD_BYTES_MAX`]: every open question counts with the largest answer that it can get, and one such place is kept
//! for the lowest span, so that what is held can always be handed on.

use std::{collections::BTreeMap, time::Duration};

use baton_proto::{BlockDigest, Height, limits::RANGE_BLOCKS_MAX};
use tokio::time::Instant;

use super::range::{ANSWER_MEMORY_MAX, ProvenRange};
use crate::p2p::{PeerId, Reach};

/// Questions that are open at a time. Each answer holds up to [`RANGE_BLOCKS_MAX`] blocks, so even at a round trip of 200 ms
/// this fetches thousands of blocks a second.
pub(super) const REQUESTS_AT_ONCE: usize = 3;

/// Questions that are open with one peer: the second is on its way while the first is being answered.
pub(super) const REQUESTS_PER_PEER: usize = 2;

/// Most bytes that proven ranges and open questions take together: every question, one more for the lowest span, and
/// 16 MiB of ranges ahead of their turn even then.
pub(super) const HELD_BYTES_MAX: usize = (REQUESTS_AT_ONCE + 1) * ANSWER_MEMORY_MAX + (16 << 20);

/// How long the lowest span may be on its way before another peer is asked for it as well: everything else waits for it.
const HEDGE_AFTER: Duration = Duration::from_secs(2);

/// How long a peer that did not serve is left alone.
const PAUSE: Duration = Duration::from_millis(250);

/// Times in a row that a peer may have nothing, for blocks that are proven to be final, before it is asked no more.
pub(super) const REFUSALS_MAX: u32 = 20;

/// Times that a peer may be too slow before it is asked no more; every answer in time makes up for one.
const STRIKES_MAX: u32 = 3;

/// Peers whose answers are remembered; beyond it those are forgotten that are gone. Far more than are ever connected.
const SERVERS_MAX: usize = 4_096;

/// A question to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) peer: PeerId,
    pub(super) from: Height,
    pub(super) blocks_max: u32,
}

/// What became of a question.
#[derive(Debug)]
pub(super) enum Answer {
    /// Final blocks, from the first that was asked for.
    Proven(Box<ProvenRange>),
    /// Something that no honest peer says.
    Lie,
    /// No answer in time.
    Late,
    /// Nothing now: not there, not connected, or too busy.
    Nothing,
}

/// The state of a run.
#[derive(Debug)]
pub(super) struct Plan {
    head: (Height, BlockDigest),
    /// The highest height that is proven to be final.
    target: Height,
    /// By first height; side by side from the head on.
    spans: BTreeMap<Height, Span>,
    servers: BTreeMap<PeerId, Server>,
    open: usize,
    held: usize,
    turn: u64,
}

#[derive(Debug)]
struct Span {
    last: Height,
    state: SpanState,
}

#[derive(Debug)]
enum SpanState {
    Missing,
    /// Who is asked, and since when; a second one only where the first is slow.
    Asked(Vec<(PeerId, Instant)>),
    Held(Box<ProvenRange>),
}

#[derive(Debug, Default)]
struct Server {
    open: usize,
    /// When it was asked last, in questions of this run.
    turn: u64,
    paused_until: Option<Instant>,
    refusals: u32,
    strikes: u32,
    dropped: bool,
}

impl Plan {
    /// Starts from the final head.
    pub(super) const fn new(head: (Height, BlockDigest)) -> Self {
        Self { head, target: head.0, spans: BTreeMap::new(), servers: BTreeMap::new(), open: 0, held: 0, turn: 0 }
    }

    /// Returns height and digest up to which ranges were handed on.
    pub(super) const fn head(&self) -> (Height, BlockDigest) {
        self.head
    }

    /// Returns the highest height that is proven to be final.
    pub(super) const fn target(&self) -> Height {
        self.target
    }

    /// Takes note that the chain is final up to `height`, or further.
    pub(super) fn raise_target(&mut self, height: Height) {
        self.target = self.target.max(height);
    }

    /// Returns how many questions are open.
    pub(super) const fn open(&self) -> usize {
        self.open
    }

    /// Returns how many bytes are held.
    #[cfg(test)]
    pub(super) const fn held(&self) -> usize {
        self.held
    }

    /// Returns whether somebody is within reach, and nobody of them is left to ask.
    pub(super) fn is_deserted(&self, reach: &Reach) -> bool {
        let mut within = reach.all().peekable();
        within.peek().is_some() && within.all(|peer| self.servers.get(peer).is_some_and(|server| server.dropped))
    }

    /// Returns the next question to ask, and counts it as open; `reach` is who can be asked.
    pub(super) fn next_ask(&mut self, reach: &Reach, now: Instant) -> Option<Ask> {
        if self.open >= REQUESTS_AT_ONCE {
            return None;
        }
        let lowest = self.head.0.next()?;
        self.open_span(lowest);
        if self.servers.len() >= SERVERS_MAX {
            self.servers.retain(|peer, server| server.open > 0 || reach.all().any(|near| near == peer));
        }
        let (from, peer) = self.hedge(lowest, reach, now).or_else(|| {
            let missing = self.spans.iter().find(|(_, span)| matches!(span.state, SpanState::Missing));
            let (from, _) = missing.filter(|(from, _)| **from == lowest || self.has_room())?;
            Some((*from, self.choose(reach, None, now)?))
        })?;
        let span = self.spans.get_mut(&from)?;
        match &mut span.state {
            SpanState::Asked(askers) => askers.push((peer, now)),
            state => *state = SpanState::Asked(vec![(peer, now)]),
        }
        let count = span.last.get().saturating_sub(from.get()).saturating_add(1);
        self.open += 1;
        self.turn += 1;
        let server = self.servers.entry(peer).or_default();
        server.open += 1;
        server.turn = self.turn;
        Some(Ask { peer, from, blocks_max: u32::try_from(count).unwrap_or(u32::MAX) })
    }

    /// Returns who can be asked something beside the spans.
    pub(super) fn anybody(&mut self, reach: &Reach, now: Instant) -> Option<PeerId> {
        let peer = self.choose(reach, None, now)?;
        self.turn += 1;
        self.servers.entry(peer).or_default().turn = self.turn;
        Some(peer)
    }

    /// Asks a peer no more in this run.
    pub(super) fn drop_peer(&mut self, peer: PeerId) {
        self.servers.entry(peer).or_default().dropped = true;
    }

    /// Leaves a peer alone for a moment.
    pub(super) fn pause_peer(&mut self, peer: PeerId, now: Instant) {
        self.servers.entry(peer).or_default().paused_until = Some(now + PAUSE);
    }

    /// Takes the answer to a question.
    pub(super) fn on_answer(&mut self, ask: &Ask, answer: Answer, now: Instant) {
        self.open = self.open.saturating_sub(1);
        let was_awaited = self.leave(ask);
        let server = self.servers.entry(ask.peer).or_default();
        server.open = server.open.saturating_sub(1);
        match answer {
            Answer::Proven(range) => {
                server.refusals = 0;
                if was_awaited {
                    server.strikes = server.strikes.saturating_sub(1);
                }
                self.keep(ask.from, range, now);
            }
            Answer::Lie => server.dropped = true,
            Answer::Late => server.strike(now),
            Answer::Nothing => {
                server.paused_until = Some(now + PAUSE);
                server.refusals = server.refusals.saturating_add(1);
                server.dropped |= server.refusals >= REFUSALS_MAX;
            }
        }
    }

    /// Returns whether the range that follows the head is here.
    pub(super) fn has_next(&self) -> bool {
        let next = self.head.0.next().and_then(|lowest| self.spans.get(&lowest));
        next.is_some_and(|span| matches!(span.state, SpanState::Held(_)))
    }

    /// Hands on the range that follows the head.
    pub(super) fn take_next(&mut self) -> Option<Box<ProvenRange>> {
        let lowest = self.head.0.next().filter(|_| self.has_next())?;
        match self.spans.remove(&lowest)?.state {
            SpanState::Held(range) => {
                self.held = self.held.saturating_sub(range.memory());
                self.head = range.last();
                Some(range)
            }
            SpanState::Missing | SpanState::Asked(_) => None,
        }
    }

    /// Cuts one more span off what nobody was asked for, unless something is missing already.
    fn open_span(&mut self, lowest: Height) {
        if self.spans.values().any(|span| matches!(span.state, SpanState::Missing)) {
            return;
        }
        let from = self.spans.last_key_value().map_or(Some(lowest), |(_, span)| span.last.next());
        let Some(from) = from.filter(|from| *from <= self.target || *from == lowest) else { return };
        let full = Height::new(from.get().saturating_add(RANGE_BLOCKS_MAX as u64 - 1));
        // Without a target, as with a new one that nobody could tell us the height of, the next blocks are asked for blindly.
        let last = if from <= self.target { full.min(self.target) } else { full };
        self.spans.insert(from, Span { last, state: SpanState::Missing });
    }

    /// Whether one more answer fits, beside one for the lowest span.
    const fn has_room(&self) -> bool {
        self.held + (self.open + 2) * ANSWER_MEMORY_MAX <= HELD_BYTES_MAX
    }

    /// A second peer for the lowest span, if the first is slow.
    fn hedge(&self, lowest: Height, reach: &Reach, now: Instant) -> Option<(Height, PeerId)> {
        let SpanState::Asked(askers) = &self.spans.get(&lowest)?.state else { return None };
        match askers.as_slice() {
            [(slow, since)] if *since + HEDGE_AFTER <= now && self.has_room() => {
                Some((lowest, self.choose(reach, Some(*slow), now)?))
            }
            _ => None,
        }
    }

    /// The peer with the fewest open questions that was asked the longest ago: a member, if one can be asked. Where no member
    /// can serve it is one whom the operator configured, and where none of these can either, anybody: strangers come for
    /// nothing, and each can waste an answer's time. Who is only busy for a moment can serve; who was late lately may not.
    fn choose(&self, reach: &Reach, except: Option<PeerId>, now: Instant) -> Option<PeerId> {
        let fresh = Server::default();
        let server = |peer: &PeerId| self.servers.get(peer).unwrap_or(&fresh);
        for kind in [&reach.members, &reach.configured, &reach.others] {
            let left = || kind.iter().filter(|peer| !server(peer).dropped && Some(**peer) != except);
            let free = left().filter(|peer| {
                let server = server(peer);
                server.open < REQUESTS_PER_PEER && server.paused_until.is_none_or(|until| until <= now)
            });
            let best = free.min_by_key(|peer| (server(peer).open, server(peer).turn));
            if best.is_some() || left().any(|peer| server(peer).strikes == 0) {
                return best.copied();
            }
        }
        None
    }

    /// Takes the peer off its span, and returns whether the span still waited for it.
    fn leave(&mut self, ask: &Ask) -> bool {
        let Some(span) = self.spans.get_mut(&ask.from) else { return false };
        let SpanState::Asked(askers) = &mut span.state else { return false };
        let before = askers.len();
        askers.retain(|(peer, _)| *peer != ask.peer);
        let was_awaited = askers.len() < before;
        if askers.is_empty() {
            span.state = SpanState::Missing;
        }
        was_awaited
    }

    /// Holds a proven range in its span. Whoever was asked for it long before is slow.
    fn keep(&mut self, from: Height, range: Box<ProvenRange>, now: Instant) {
        let Some(span) = self.spans.get_mut(&from) else { return };
        let beaten = match &mut span.state {
            SpanState::Missing => Vec::new(),
            SpanState::Asked(askers) => std::mem::take(askers),
            SpanState::Held(_) => return,
        };
        let (last, planned) = (range.last().0, span.last);
        self.target = self.target.max(range.certified.height);
        self.held += range.memory();
        *span = Span { last, state: SpanState::Held(range) };
        if let Some(rest) = last.next().filter(|rest| *rest <= planned) {
            self.spans.insert(rest, Span { last: planned, state: SpanState::Missing });
        }
        for (peer, since) in beaten {
            if since + HEDGE_AFTER <= now {
                self.servers.entry(peer).or_default().strike(now);
            }
        }
    }
}

impl Server {
    fn strike(&mut self, now: Instant) {
        self.paused_until = Some(now + PAUSE);
        self.strikes = self.strikes.saturating_add(1);
        self.dropped |= self.strikes >= STRIKES_MAX;
    }
}
