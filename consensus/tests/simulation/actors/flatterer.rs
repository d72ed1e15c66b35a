//! Agrees with everybody: whatever an honest member votes, the flatterer votes too, to that member alone.

use std::rc::Rc;

use crate::{cluster::Cluster, network::Packet, plan::Craft};

impl Cluster {
    /// Gives a vote back under its own name.
    pub(super) fn flatter(&mut self, at: usize, from: usize, packet: &Packet) {
        let (vote, leader) = match packet {
            Packet::Proposal { notarize, .. } => (notarize, Some(notarize)),
            Packet::Vote { vote, leader } => (vote, leader.as_ref()),
            Packet::Certificate(_) | Packet::Request(_) | Packet::Evidence(_) => return,
        };
        if self.plan.craft(from).is_none() {
            let Some(own) = self.own(at, vote.statement) else { return };
            self.counts.acts[Craft::Flatterer as usize] += 1;
            self.send(at, from, &Rc::new(Packet::Vote { vote: own, leader: leader.cloned() }));
        }
    }
}
