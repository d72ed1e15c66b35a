//! Acts as if one member were not there: tells it nothing, serves it nothing, and gives its turns up at once.

use std::rc::Rc;

use baton_proto::StatementKind;

use crate::{cluster::Cluster, common::nullify, network::Packet, plan::Craft};

impl Cluster {
    /// Whom a censor wants out: the next member in order.
    pub(crate) fn victim(&self, at: usize) -> usize {
        (self.plan.owner(at) + 1) % self.plan.weights.len()
    }

    pub(super) fn censor(&mut self, at: usize, to: &[usize], packet: Packet) {
        let (victim, me) = (self.victim(at), self.plan.member(at));
        let packet = match packet {
            Packet::Vote { vote, leader }
                if leader.as_ref().is_some_and(|leader| leader.signer.as_usize() == victim)
                    || vote.statement.kind() == StatementKind::Finalize
                        && self.world.schedule.leader(vote.statement.view().unwrap()).as_usize() == victim =>
            {
                let given_up = nullify(vote.statement.view().unwrap().get());
                Packet::Vote { vote: self.world.raw(me, given_up), leader: None }
            }
            packet => packet,
        };
        self.counts.acts[Craft::Censor as usize] += 1;
        let packet = Rc::new(packet);
        for to in to.iter().filter(|to| self.plan.owner(**to) != victim).copied().collect::<Vec<_>>() {
            self.send(at, to, &packet);
        }
    }
}
