//! Shows its block just when the others are about to give it up: some see it in time, some too late.

use std::rc::Rc;

use crate::{clock::Event, cluster::Cluster, network::Packet, plan::Craft};

/// Around t_L, which is 3Δ = 300 ms past the pace while timeouts have not grown.
const LATE_MS: (u64, u64) = (200, 600);

impl Cluster {
    pub(super) fn propose_late(&mut self, at: usize, to: &[usize], packet: Packet) {
        if !matches!(packet, Packet::Proposal { .. }) {
            return self.tell(at, to, packet);
        }
        self.counts.acts[Craft::LateLeader as usize] += 1;
        self.watch.lies(self.plan.owner(at), &packet);
        let packet = Rc::new(packet);
        for to in to {
            let late = LATE_MS.0 + self.random.below(LATE_MS.1 - LATE_MS.0);
            self.clock.after(late, Event::Arrive { from: at, to: *to, packet: Rc::clone(&packet) });
        }
    }
}
