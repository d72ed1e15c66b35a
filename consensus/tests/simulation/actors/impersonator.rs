//! Signs as others, to frame them or to make up a quorum. Whoever checks a signature refuses it.

use std::rc::Rc;

use alloy_primitives::keccak256;
use baton_proto::{BlockDigest, Certificate, Evidence, MemberIndex, SignedStatement, Statement};

use crate::{cluster::Cluster, epochs::turn_of, network::Packet, plan::Craft};

impl Cluster {
    /// Speaks for itself, and for another member beside it.
    pub(super) fn impersonate(&mut self, at: usize, to: &[usize], packet: Packet) {
        let said = match &packet {
            Packet::Proposal { notarize: vote, .. } | Packet::Vote { vote, .. } => Some(vote.clone()),
            _ => None,
        };
        self.tell(at, to, packet);
        let Some(said) = said else { return };
        self.counts.acts[Craft::Impersonator as usize] += 1;
        let (epoch, view) = turn_of(&said.statement);
        let block = BlockDigest::new(keccak256(self.clock.coming().to_be_bytes()));
        let world = Rc::clone(self.world_of(epoch));
        let (Some(me), members) = (self.seat(at, epoch), world.committee.len()) else { return };
        let victim = (me.as_usize() + 1 + self.random.index(members - 1)) % members;
        let signer = MemberIndex::new(u8::try_from(victim).unwrap());
        let statement = self.random.pick(&[
            Statement::Nullify { epoch, view },
            Statement::Finalize { epoch, view, block },
            Statement::Notarize { epoch, view, block },
        ]);
        // Its own signature under another name, or its own words with it.
        let statement: Statement = if self.random.chance(50) { said.statement } else { statement };
        let signature = world.raw(me, statement).signature;
        let vote = SignedStatement { statement, signer, signature };
        let other = Statement::Finalize { epoch, view, block: BlockDigest::ZERO };
        let second = SignedStatement { statement: other, signer, signature: world.raw(me, other).signature };
        let forged = match (self.random.below(3), Evidence::new(vote.clone(), second)) {
            (0, Some(evidence)) => Packet::Evidence(evidence),
            (1, _) => Packet::Certificate(Certificate { statement, signers: world.everybody(), signature }),
            _ => Packet::Vote { vote, leader: None },
        };
        let packet = Rc::new(forged);
        to.iter().for_each(|to| self.send(at, *to, &packet));
    }
}
