//! Speaks the truth, and all that it ever heard or said again and again.

use std::rc::Rc;

use crate::{cluster::Cluster, network::Packet, plan::Craft};

impl Cluster {
    /// Tells the truth, and old truths beside it.
    pub(super) fn repeat_history(&mut self, at: usize, to: &[usize], packet: Packet) {
        let packet = Rc::new(packet);
        to.iter().for_each(|to| self.send(at, *to, &packet));
        for to in to {
            if self.lore.archive.is_empty() || !self.random.chance(30) {
                continue;
            }
            let old = Rc::clone(&self.lore.archive[self.random.index(self.lore.archive.len())]);
            let is_own = match &*old {
                Packet::Proposal { notarize: vote, .. } | Packet::Vote { vote, .. } => {
                    self.seat(at, old.epoch()) == Some(vote.signer)
                }
                Packet::Certificate(_) | Packet::Request(_) | Packet::Evidence(_) => true,
            };
            if is_own {
                self.counts.acts[Craft::Replayer as usize] += 1;
                self.send(at, *to, &old);
            }
        }
        self.lore.archive(&packet);
    }
}
