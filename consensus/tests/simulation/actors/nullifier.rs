//! Gives up every view as soon as it is in it, and votes for nothing.

use baton_proto::Statement;

use crate::{cluster::Cluster, epochs::Turn, network::Packet, plan::Craft};

impl Cluster {
    /// A machine has entered a view.
    pub(crate) fn entered(&mut self, at: usize, (epoch, view): Turn) {
        if self.plan.craft(at) == Some(Craft::Nullifier) && self.lies(at) {
            let Some(vote) = self.own(at, Statement::Nullify { epoch, view }) else { return };
            self.counts.acts[Craft::Nullifier as usize] += 1;
            let others: Vec<usize> = (0..self.nodes.len()).filter(|to| *to != at).collect();
            self.tell(at, &others, Packet::Vote { vote, leader: None });
        }
    }

    pub(super) fn nullify_all(&mut self, at: usize, to: &[usize], packet: Packet) {
        if matches!(packet, Packet::Certificate(_) | Packet::Request(_) | Packet::Evidence(_)) {
            self.tell(at, to, packet);
        }
    }
}
