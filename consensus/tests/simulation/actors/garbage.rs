//! Sends what makes no sense: views and heights that nobody is at, blocks in another's turn, certificates of too few.

use std::rc::Rc;

use alloy_primitives::keccak256;
use baton_proto::{BlockDigest, BlockHeader, Certificate, Epoch, Height, MemberIndex, SignerSet, Statement, View};

use crate::{cluster::Cluster, common::EPOCH, network::Packet, plan::Craft};

/// Messages of which one is followed by garbage, in percent.
const GARBAGE_PERCENT: u64 = 30;

impl Cluster {
    /// Tells the truth, and nonsense beside it.
    pub(super) fn babble(&mut self, at: usize, to: &[usize], packet: Packet) {
        self.tell(at, to, packet);
        if self.random.chance(GARBAGE_PERCENT) {
            self.counts.acts[Craft::Garbage as usize] += 1;
            let garbage = Rc::new(self.garbage(at));
            to.iter().for_each(|to| self.send(at, *to, &garbage));
        }
    }

    fn garbage(&mut self, at: usize) -> Packet {
        let (epoch, now) = self.watch.top_turn();
        let now = now.get();
        let view = self.random.pick(&[0, 1, now.saturating_sub(3), now, now + 1, now + 2, now + 60, u64::MAX]);
        let block = BlockDigest::new(keccak256(self.clock.coming().to_be_bytes()));
        let near = self.random.pick(&[epoch, epoch, epoch, EPOCH, Epoch::new(epoch.get() + 1)]);
        // Without a seat in that epoch it speaks as its first member.
        let (world, me) = (Rc::clone(self.world_of(near)), self.seat(at, near).unwrap_or(MemberIndex::new(0)));
        let nullify = |view| Statement::Nullify { epoch: near, view: View::new(view) };
        let finalize = |view, block| Statement::Finalize { epoch: near, view: View::new(view), block };
        let notarize = |view, block| Statement::Notarize { epoch: near, view: View::new(view), block };
        match self.random.below(6) {
            0 | 1 => Packet::Proposal { header: self.garbled(view), notarize: world.raw(me, notarize(view, block)) },
            2 => {
                let header = self.garbled(view);
                let notarize = world.raw(me, notarize(header.view.get(), header.digest()));
                Packet::Proposal { header, notarize }
            }
            3 => {
                let statement = self.random.pick(&[nullify(view), finalize(view, block), notarize(view, block)]);
                let leader = self.random.chance(50).then(|| world.raw(me, nullify(view)));
                Packet::Vote { vote: world.raw(me, statement), leader }
            }
            4 => Packet::Request((near, View::new(view))),
            _ => {
                let statement = self.random.pick(&[
                    nullify(view),
                    finalize(view, block),
                    Statement::Nullify { epoch: Epoch::new(9), view: View::new(view) },
                ]);
                let signature = world.raw(me, statement).signature;
                let bits = [u128::MAX, 0, 1 << me.get(), world.everybody().bits()];
                let signers = SignerSet::from_bits(self.random.pick(&bits));
                Packet::Certificate(Certificate { statement, signers, signature })
            }
        }
    }

    /// A header that fits nowhere.
    fn garbled(&mut self, view: u64) -> BlockHeader {
        let salt = self.clock.coming();
        let genesis = self.world.genesis.clone();
        let (epoch, top) = self.watch.top_turn();
        let near = view.clamp(1, top.get() + 1);
        let header = self.world_of(epoch).block(near, &genesis, salt);
        match self.random.below(5) {
            0 => BlockHeader { height: Height::new(u64::MAX), ..header },
            1 => BlockHeader { view: View::new(view), ..header },
            2 => BlockHeader { epoch: Epoch::new(3), ..header },
            3 => BlockHeader {
                parent: BlockDigest::new(keccak256(salt.to_le_bytes())),
                height: Height::new(2),
                ..header
            },
            _ => BlockHeader { proposer: MemberIndex::new(127), ..header },
        }
    }
}
