//! Signs wrongly now and then: its vote, or the leader's signature that goes with it. Whoever adds up what several members
//! said has to find out who spoilt the sum, and to lose nobody else's vote over it.

use std::rc::Rc;

use baton_proto::{BlsSignature, SignedStatement};

use crate::{cluster::Cluster, network::Packet, plan::Craft};

/// Votes that are spoilt, in percent, and how many of these come right after all.
const SPOILT_PERCENT: u64 = 50;
const MENDED_PERCENT: u64 = 30;

impl Cluster {
    pub(super) fn spoil(&mut self, at: usize, to: &[usize], packet: Packet) {
        let wrong =
            |signed: &SignedStatement| SignedStatement { signature: BlsSignature::new([7; 48]), ..signed.clone() };
        let right = Rc::new(packet);
        for to in to {
            let spoilt = match &*right {
                Packet::Vote { vote, leader: Some(leader) } if self.random.chance(50) => {
                    Packet::Vote { vote: vote.clone(), leader: Some(wrong(leader)) }
                }
                Packet::Vote { vote, leader } => Packet::Vote { vote: wrong(vote), leader: leader.clone() },
                Packet::Proposal { header, notarize } => {
                    Packet::Proposal { header: header.clone(), notarize: wrong(notarize) }
                }
                Packet::Certificate(_) | Packet::Request(_) | Packet::Evidence(_) => {
                    self.send(at, *to, &right);
                    continue;
                }
            };
            let spoils = self.random.chance(SPOILT_PERCENT);
            if spoils {
                self.counts.acts[Craft::Spoiler as usize] += 1;
                self.send(at, *to, &Rc::new(spoilt));
            }
            if !spoils || self.random.chance(MENDED_PERCENT) {
                self.send(at, *to, &right);
            }
        }
    }
}
