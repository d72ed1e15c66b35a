//! Acts as if one member were not there: tells it nothing, serves it nothing, and gives its turns up at once.

use std::rc::Rc;

use baton_proto::{SignedStatement, Statement, StatementKind};

use crate::{
    cluster::Cluster,
    epochs::{sequencer, turn_of},
    network::Packet,
    plan::Craft,
};

impl Cluster {
    /// Whom a censor wants out: the next member in order.
    pub(crate) fn victim(&self, at: usize) -> usize {
        (self.plan.owner(at) + 1) % self.plan.weights.len()
    }

    fn leader(&self, statement: &Statement) -> usize {
        let (epoch, view) = turn_of(statement);
        let world = self.world_of(epoch);
        sequencer(world, world.schedule.leader(view))
    }

    pub(super) fn censor(&mut self, at: usize, to: &[usize], packet: Packet) {
        let victim = self.victim(at);
        let is_against = |vote: &SignedStatement, leader: &Option<SignedStatement>| {
            (leader.is_some() || vote.statement.kind() == StatementKind::Finalize)
                && self.leader(&vote.statement) == victim
        };
        let packet = match packet {
            Packet::Vote { vote, leader } if is_against(&vote, &leader) => {
                let (epoch, view) = turn_of(&vote.statement);
                let given_up = self.own(at, Statement::Nullify { epoch, view });
                given_up.map_or(Packet::Vote { vote, leader }, |vote| Packet::Vote { vote, leader: None })
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
