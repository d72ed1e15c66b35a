//! Shows its blocks and votes to some, late or never; passes nothing on and serves nobody.

use std::rc::Rc;

use crate::{clock::Event, cluster::Cluster, network::Packet, plan::Craft};

/// Most of the way past the timeouts at which it shows its words after all.
const LATE_MS_MAX: u64 = 1_500;

impl Cluster {
    /// Shows some nothing, some only late; passes no certificate on.
    pub(super) fn withhold(&mut self, at: usize, to: &[usize], packet: Packet) {
        if matches!(packet, Packet::Certificate(_)) {
            return;
        }
        self.counts.acts[Craft::Withholder as usize] += 1;
        let packet = Rc::new(packet);
        for to in to {
            match self.random.below(4) {
                0 => {}
                1 => {
                    let late = self.random.below(LATE_MS_MAX);
                    let packet = Rc::clone(&packet);
                    self.clock.after(late, Event::Arrive { from: at, to: *to, packet });
                }
                _ => self.send(at, *to, &packet),
            }
        }
    }
}
