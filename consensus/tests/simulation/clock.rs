//! Virtual time: what happens when. Nothing here waits, and nothing reads a real clock.

use std::{collections::BTreeMap, rc::Rc};

use baton_consensus::{Input, Timer};
use baton_proto::BlockDigest;

use crate::{network::Packet, trouble::Trouble};

/// Something that will happen at a node, unless the process it was meant for (`life`) is gone by then.
pub(crate) enum Event {
    /// A message arrives.
    Arrive { from: usize, to: usize, packet: Rc<Packet> },
    /// A connection (re)opens.
    Connected { at: usize, peer: usize },
    /// A timer runs out, unless it was set again since (`set`).
    Timer { at: usize, life: u64, timer: Timer, set: u64 },
    /// No more inputs join a turn, unless it has ended already (`set`).
    TurnEnd { at: usize, life: u64, set: u64 },
    /// The driver has an answer for the machine.
    Answer { at: usize, life: u64, input: Box<Input> },
    /// A proposal that waits is judged again.
    Judge { at: usize, life: u64, block: BlockDigest },
    /// Peers have answered a request for a block.
    Fetched { at: usize, life: u64, block: BlockDigest, first: Option<usize> },
    /// Peers have answered a request for a range of final blocks.
    Range { at: usize, life: u64 },
    /// Members have answered the question how the running epoch ended.
    EpochEnd { at: usize, life: u64 },
    /// A node whose record may lack statements looks whether it has heard everybody.
    Look { at: usize, life: u64 },
    /// A transaction comes.
    Work { at: usize, life: u64 },
    /// A process that has started looks whether it has heard a quorum out.
    Hear { at: usize, life: u64 },
    /// A dead process comes back.
    Restart { at: usize, life: u64 },
    /// Something goes wrong, or right again.
    Trouble(Trouble),
    /// The time of faults is over. Something happens then even if every process is dead for good.
    FaultsEnd,
}

/// The time, and what is still to come, in order.
#[derive(Default)]
pub(crate) struct Clock {
    now_ms: u64,
    sequence: u64,
    events: BTreeMap<(u64, u64), Event>,
}

impl Event {
    /// Returns the process that it is meant for, if it is meant for one alone.
    pub(crate) const fn process(&self) -> Option<(usize, u64)> {
        match self {
            Self::Timer { at, life, .. }
            | Self::TurnEnd { at, life, .. }
            | Self::Answer { at, life, .. }
            | Self::Judge { at, life, .. }
            | Self::Fetched { at, life, .. }
            | Self::Range { at, life }
            | Self::EpochEnd { at, life }
            | Self::Look { at, life }
            | Self::Work { at, life }
            | Self::Hear { at, life } => Some((*at, *life)),
            Self::Arrive { .. }
            | Self::Connected { .. }
            | Self::Restart { .. }
            | Self::Trouble(_)
            | Self::FaultsEnd => None,
        }
    }
}

impl Clock {
    pub(crate) const fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Schedules an event and returns its number. Events of one moment happen in the order in which they were scheduled.
    pub(crate) fn after(&mut self, delay_ms: u64, event: Event) -> u64 {
        let set = self.next_number();
        self.events.insert((self.now_ms + delay_ms, set), event);
        set
    }

    /// Returns the number that the next scheduled event will have.
    pub(crate) const fn coming(&self) -> u64 {
        self.sequence + 1
    }

    /// Moves on to the next event.
    pub(crate) fn next(&mut self) -> Option<Event> {
        let ((at, _), event) = self.events.pop_first()?;
        self.now_ms = at;
        Some(event)
    }

    fn next_number(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }
}
