//! One epoch after another: what nodes see of L1, which committee an epoch has, and the machine that follows a machine.
//!
//! A node runs one process a machine, and when an epoch ends it starts the next one's on the handover block. The machine of
//! the epoch before stays, to tell those that are late how it ended. Of epochs further back, and after a restart, the ledger
//! tells: whoever still speaks in one is sent the finalization that ended it.

use std::rc::Rc;

use baton_consensus::Input;
use baton_proto::{BlockHeader, Epoch, L1BlockNumber, L1Origin, Statement, View};

use crate::{
    cluster::Cluster,
    common::{EPOCH, World},
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

/// How long a member must wait before it is told again how the same epoch ended.
const TELL_PAUSE_MS: u64 = 200;

/// L1 blocks that a leader leaves between the newest one it has seen and the one it names.
const SETTLE_BLOCKS: u64 = 1;

/// The worlds of all epochs that a run can reach: the same members, liars with the same weight in all of them, and the weights
/// of the others change places.
pub(crate) fn worlds(plan: &Plan) -> Vec<Rc<World>> {
    let honest: Vec<usize> = (0..plan.weights.len()).filter(|member| !plan.liars.contains_key(member)).collect();
    let last = plan.faults_ms.checked_div(plan.epoch_ms).map_or(0, |epochs| epochs + 1);
    let weights = |epoch: u64| {
        let mut weights = plan.weights.clone();
        for (place, member) in honest.iter().enumerate() {
            weights[*member] = plan.weights[honest[(place + usize::try_from(epoch).unwrap()) % honest.len()]];
        }
        weights
    };
    (0..=last).map(|after| Rc::new(World::of_epoch(Epoch::new(EPOCH.get() + after), &weights(after)))).collect()
}

impl Cluster {
    /// Returns the world of an epoch, or of the first one if no honest node can ever be in it.
    pub(crate) fn world_of(&self, epoch: Epoch) -> &Rc<World> {
        let after = epoch.get().checked_sub(EPOCH.get()).and_then(|after| usize::try_from(after).ok());
        after.and_then(|after| self.worlds.get(after)).unwrap_or(&self.world)
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

    /// Whether a node has seen a block's origin final: before that it neither votes for it nor against it.
    pub(crate) fn has_seen_origin(&self, at: usize, header: &BlockHeader) -> bool {
        header.origin.number.get() <= self.l1_seen(at)
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
        let fuse = process.fuse.take();
        let process = Process { fuse, ..self.process(at) };
        let node = &mut self.nodes[at];
        node.past = node.process.replace(process).map(Box::new);
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
        } else if epoch < running {
            self.tell_how_it_ended(at, from, epoch);
        }
        // Nothing is kept of an epoch that has not begun here: it is said again.
    }

    fn tell_how_it_ended(&mut self, at: usize, to: usize, epoch: Epoch) {
        let now = self.clock.now_ms();
        let node = &mut self.nodes[at];
        let (Some(process), Some(certificate)) = (&mut node.process, node.ledger.live().end_of(epoch)) else { return };
        if process.listening.is_some() || process.told.get(&(to, epoch)).is_some_and(|told| now < told + TELL_PAUSE_MS)
        {
            return;
        }
        process.told.insert((to, epoch), now);
        self.counts.latecomers += 1;
        let packet = Rc::new(Packet::Certificate((**certificate).clone()));
        self.send(at, to, &packet);
    }
}
