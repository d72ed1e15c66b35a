//! Acts as if one member were not there: tells it nothing, serves it nothing, and gives its turns up at once.

use std::rc::Rc;

use baton_proto::{MemberIndex, Statement, StatementKind};

use crate::{cluster::Cluster, epochs::turn_of, network::Packet, plan::Craft};

impl Cluster {
    /// Whom a censor wants out: the next member in order.
    pub(crate) fn victim(&self, at: usize) -> usize {
        (self.plan.owner(at) + 1) % self.plan.weights.len()
    }

    fn leader(&self, statement: &Statement) -> MemberIndex {
        let (epoch, view) = turn_of(statement);
        self.world_of(epoch).schedule.leader(view)
    }

    pub(super) fn censor(&mut self, at: usize, to: &[usize], packet: Packet) {
        let (victim, me) = (self.victim(at), self.plan.member(at));
        let packet = match packet {
            Packet::Vote { vote, leader }
                if leader.as_ref().is_some_and(|leader| leader.signer.as_usize() == victim)
                    || vote.statement.kind() == StatementKind::Finalize
                        && self.leader(&vote.statement).as_usize() == victim =>
            {
                let (epoch, view) = turn_of(&vote.statement);
                let given_up = Statement::Nullify { epoch, view };
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
