//! One epoch after another: what nodes see of L1, which committee an epoch has, and the machine that follows a machine.
//!
//! A node runs one process a machine, and when an epoch ends it starts the next one's on the handover block. In some runs the
//! machine of the epoch before stays, to tell those that are late how it ended. Otherwise the ledger tells whoever asks: who
//! hears of a later epoch, and who hears nothing while L1 has gone on.
//!
//! A sequencer has a seat in some epochs; without one its node follows like any other without a key.

use std::rc::Rc;

use alloy_primitives::B256;
use baton_consensus::{Input, OriginSeen, Wait};
use baton_proto::{BlockHeader, Epoch, L1BlockNumber, L1Origin, MemberIndex, Statement, View};

use crate::{
    clock::Event,
    cluster::Cluster,
    common::{EPOCH, World},
    intake::Checked,
    network::Packet,
    node::Process,
    plan::Plan,
};

/// A view of an epoch.
pub(crate) type Turn = (Epoch, View);

/// Returns the view that a statement is about.
pub(crate) fn turn_of(statement: &Statement) -> Turn {
    (statement.epoch(), statement.view().expect("nobody attests here"))
}

/// Pause between two questions how an epoch ended, and members asked at a time (`node/src/driver/epoch_end.rs`).
const ASK_PAUSE_MS: u64 = 200;
const ASKED_MAX: usize = 4;

/// L1 blocks that a leader leaves between the newest one it has seen and the one it names.
const SETTLE_BLOCKS: u64 = 1;

/// The worlds of all epochs that a run can reach.
pub(crate) fn worlds(plan: &Plan) -> Vec<Rc<World>> {
    let world = |after| {
        let members: Vec<(u8, u64)> =
            plan.committee(after).into_iter().map(|(sequencer, weight)| (number(sequencer), weight)).collect();
        Rc::new(World::of_members(Epoch::new(EPOCH.get() + after), &members))
    };
    (0..=plan.epochs()).map(world).collect()
}

/// Returns the number by which committees know a sequencer.
fn number(sequencer: usize) -> u8 {
    u8::try_from(sequencer + 1).expect("few sequencers")
}

/// Returns the sequencer in a seat.
pub(crate) fn sequencer(world: &World, seat: MemberIndex) -> usize {
    usize::from(world.number(seat)) - 1
}

impl Cluster {
    /// Returns the world of an epoch, or of the first one if no honest node can ever be in it.
    pub(crate) fn world_of(&self, epoch: Epoch) -> &Rc<World> {
        let after = epoch.get().checked_sub(EPOCH.get()).and_then(|after| usize::try_from(after).ok());
        after.and_then(|after| self.worlds.get(after)).unwrap_or(&self.world)
    }

    /// Returns the seat that a node's key has in an epoch.
    pub(crate) fn seat(&self, at: usize, epoch: Epoch) -> Option<MemberIndex> {
        self.world_of(epoch).seat(number(self.plan.owner(at)))
    }

    /// Returns the newest L1 block. After healing L1 stands still.
    pub(crate) fn l1_now(&self) -> L1BlockNumber {
        L1BlockNumber::new(self.l1_seen_after(0))
    }

    /// Returns the newest L1 block that a node has seen final. Each sees L1 with a delay of its own.
    fn l1_seen(&self, at: usize) -> u64 {
        self.l1_seen_after(self.l1_lag_ms[at])
    }

    fn l1_seen_after(&self, lag_ms: u64) -> u64 {
        let genesis = self.world.genesis.origin.number.get();
        let until = self.clock.now_ms().saturating_sub(lag_ms).min(self.l1_end_ms);
        let blocks = self.world.config.epochs.blocks * until;
        genesis + blocks.checked_div(self.plan.epoch_ms).unwrap_or_default()
    }

    /// Returns the L1 origin that a leader names.
    pub(crate) fn origin(&self, at: usize, parent: &BlockHeader) -> L1Origin {
        let settled = self.l1_seen(at).saturating_sub(SETTLE_BLOCKS);
        let number = L1BlockNumber::new(settled).max(parent.origin.number);
        L1Origin { number, ..parent.origin }
    }

    /// An L1 block that is never final: one that a reorganization will have replaced.
    pub(crate) fn lost_origin(&self) -> L1Origin {
        L1Origin { number: L1BlockNumber::new(self.l1_now().get() + 1), hash: B256::repeat_byte(0xee) }
    }

    /// Whether a node has to wait before it votes for a block on `parent`, or against it. Timestamps tell nothing here.
    pub(crate) fn has_to_wait(&self, at: usize, header: &BlockHeader, parent: &BlockHeader) -> bool {
        let seen = if self.has_seen_origin(at, header) { OriginSeen::Final } else { OriginSeen::NotYet };
        Wait::of(header, parent, seen, header.timestamp_ms).is_some()
    }

    fn has_seen_origin(&self, at: usize, header: &BlockHeader) -> bool {
        header.origin.number.get() <= self.l1_seen(at) && self.is_on_l1(header)
    }

    /// Whether a block's origin is, or will be, a final L1 block; their hashes are all alike.
    fn is_on_l1(&self, header: &BlockHeader) -> bool {
        header.origin.hash == self.world.genesis.origin.hash
    }

    /// Whether a block's origin is final by now, whoever has seen it.
    pub(crate) fn is_origin_final(&self, header: &BlockHeader) -> bool {
        header.origin.number <= self.l1_now() && self.is_on_l1(header)
    }

    /// Whether the running epoch is over on L1, as far as a node knows.
    pub(crate) fn is_epoch_due(&self, at: usize) -> bool {
        let settled = L1BlockNumber::new(self.l1_seen(at).saturating_sub(SETTLE_BLOCKS));
        let running = self.nodes[at].process.as_ref().map(|process| process.epoch);
        running.is_some_and(|running| self.world.config.epochs.of(settled) > running)
    }

    /// The machine of the running epoch is done: the next one's starts at once.
    pub(crate) fn follow(&mut self, at: usize) {
        let Some(process) = &mut self.nodes[at].process else { return };
        if process.follow.take().is_none() {
            return;
        }
        self.counts.handovers += 1;
        let (fuse, end_fuse) = (process.fuse.take(), process.end_fuse.take());
        // The machine that stays has nothing more to sign.
        let has_lived = process.key_watch.has_lived();
        let is_unheard = process.hearing.take().is_some() || process.listens_first && !has_lived;
        let delta_ms = process.machine.delta_ms();
        let mut process = Process { fuse, end_fuse, ..self.process(at) };
        process.machine.resume_delta(delta_ms);
        let node = &mut self.nodes[at];
        node.past = node.process.replace(process).filter(|_| self.plan.keeps_past).map(Box::new);
        if is_unheard {
            self.begin_to_hear(at);
        }
        self.begin_to_look(at);
        let _ = self.offer(at, Input::Started);
    }

    /// Lets the machine of the epoch before act as if it were the only one.
    pub(crate) fn in_the_past(&mut self, at: usize, act: impl FnOnce(&mut Self)) {
        self.swap(at);
        act(self);
        self.swap(at);
    }

    fn swap(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let process = node.process.take();
        node.process = node.past.take().map(|past| *past);
        node.past = process.map(Box::new);
    }

    /// A message arrives, for the machine of its epoch.
    pub(crate) fn arrive(&mut self, at: usize, from: usize, packet: &Packet) {
        let node = &self.nodes[at];
        let Some(running) = node.process.as_ref().map(|process| process.epoch) else { return };
        let epoch = packet.epoch();
        if epoch == running {
            self.take(at, from, packet);
        } else if node.past.as_ref().is_some_and(|past| past.epoch == epoch) {
            self.in_the_past(at, |cluster| cluster.take(at, from, packet));
        } else if epoch > running {
            if let Some(process) = &mut self.nodes[at].process {
                process.key_watch.on_later_epoch();
            }
            self.ask_how_it_ended(at);
        }
        // Nothing is kept of an epoch that has not begun here: it is said again.
    }

    /// Asks how the running epoch ended: somebody speaks of a later one, or it is over on L1 and nothing goes on here. The last
    /// matters where those that know have no seat any more, and say nothing.
    pub(crate) fn ask_how_it_ended(&mut self, at: usize) {
        let (now, wait) = (self.clock.now_ms(), self.round_trip());
        let Some(process) = &mut self.nodes[at].process else { return };
        let lately = process.asked_for_end.is_some_and(|asked| now < asked + ASK_PAUSE_MS);
        if !lately && !process.machine.has_ended() {
            process.asked_for_end = Some(now);
            process.is_asking = true;
            let life = process.life;
            self.clock.after(wait, Event::EpochEnd { at, life });
        }
    }

    /// Members have been asked: the first that knows how the epoch ended and says so.
    pub(crate) fn hear_how_it_ended(&mut self, at: usize) {
        let Some(epoch) = self.nodes[at].process.as_ref().map(|process| process.epoch) else { return };
        let (nodes, first) = (self.nodes.len(), self.random.index(self.nodes.len()));
        let members = (0..nodes).map(|next| (first + next) % nodes).filter(|peer| self.serves(*peer, at));
        let end = members.take(ASKED_MAX).find_map(|peer| self.nodes[peer].ledger.live().end_of(epoch).cloned());
        if let Some(process) = &mut self.nodes[at].process {
            process.is_asking = false;
            if end.is_none() {
                process.key_watch.on_denied();
            }
        }
        if let Some(certificate) = end {
            self.counts.latecomers += 1;
            self.hear(at, Checked::Certificate(certificate));
        }
    }
}
