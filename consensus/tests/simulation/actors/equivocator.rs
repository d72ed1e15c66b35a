//! Says two things where one may say only one: as a leader, as a voter, or by giving up and finalizing one view.

use std::{collections::BTreeMap, rc::Rc};

use alloy_primitives::keccak256;
use baton_proto::{BlockDigest, BlockHeader, SignedStatement, Statement};

use super::INVALID_GAS;
use crate::{
    cluster::Cluster,
    disk::LedgerWrite,
    epochs::{Turn, turn_of},
    network::Packet,
    plan::Craft,
};

impl Cluster {
    /// Tells some one thing, some another, and some both.
    pub(super) fn equivocate(&mut self, craft: Craft, at: usize, to: &[usize], packet: Packet) {
        let others = match &packet {
            Packet::Proposal { header, notarize } if !matches!(craft, Craft::EquivocatingVoter | Craft::Conflicter) => {
                self.lore.add_block(notarize, Some(header));
                self.second_block(at, turn_of(&notarize.statement), header);
                self.contradictions(craft, at, &notarize.statement)
            }
            Packet::Vote { vote, .. } if craft != Craft::EquivocatingLeader => {
                self.contradictions(craft, at, &vote.statement)
            }
            _ => Vec::new(),
        };
        let packet = Rc::new(packet);
        for to in to {
            let choice = if others.is_empty() { 0 } else { self.random.below(5) };
            if choice < 3 {
                self.send(at, *to, &packet);
            }
            if choice >= 2 {
                self.counts.acts[craft as usize] += 1;
                let other = Rc::clone(&others[self.random.index(others.len())]);
                self.send(at, *to, &other);
            }
        }
    }

    /// Makes a second block of a view: valid, invalid, with an L1 origin that is never final, on a parent that leaves blocks
    /// out, on the block itself, which a handover block never bears, or an old one once more, which only a handover block is.
    fn second_block(&mut self, at: usize, turn: Turn, header: &BlockHeader) {
        let (epoch, view) = turn;
        let head = self.nodes[at].ledger.live().chain().last().unwrap_or(&self.world.genesis).clone();
        let salt = self.clock.coming();
        let world = Rc::clone(self.world_of(epoch));
        let on = |parent: &BlockHeader| world.block(view.get(), parent, salt);
        let old = self.lore.blocks.range(..turn).next_back().and_then(|(_, blocks)| blocks.values().next()?.1.clone());
        let second = match self.random.below(7) {
            0 => BlockHeader { declared_gas: INVALID_GAS, ..header.clone() },
            1 => on(&head),
            2 => on(header),
            3 => old.unwrap_or_else(|| on(&head)),
            4 => BlockHeader { origin: self.lost_origin(), ..header.clone() },
            _ => BlockHeader { payload_root: on(&head).payload_root, ..header.clone() },
        };
        let known = self.lore.blocks.get(&turn).map_or(0, BTreeMap::len);
        let notarize = Statement::Notarize { epoch, view, block: second.digest() };
        if let Some(signed) = self.own(at, notarize).filter(|_| known < 2) {
            self.lore.add_block(&signed, Some(&second));
            self.nodes[at].ledger.write(LedgerWrite::Body(second));
            self.nodes[at].ledger.sync();
        }
    }

    /// What one can sign in the same view against `statement`, or to the same effect for another block.
    fn contradictions(&self, craft: Craft, at: usize, statement: &Statement) -> Vec<Rc<Packet>> {
        let turn = turn_of(statement);
        let (epoch, view) = turn;
        let Some(me) = self.seat(at, epoch) else { return Vec::new() };
        // A digest of nothing: votes for it count for nothing and still convict.
        let nothing = BlockDigest::new(keccak256(self.clock.coming().to_be_bytes()));
        let known = self.lore.blocks.get(&turn).into_iter().flatten();
        let others: Vec<_> = known.filter(|(block, _)| Some(**block) != statement.block()).collect();
        let vote = |statement: Statement, leader: Option<&SignedStatement>| {
            Rc::new(Packet::Vote { vote: self.world_of(epoch).raw(me, statement), leader: leader.cloned() })
        };
        let mut told: Vec<Rc<Packet>> = Vec::new();
        let (same, other) = (craft != Craft::Conflicter, craft != Craft::EquivocatingVoter);
        match statement {
            Statement::Notarize { .. } if !same => {}
            Statement::Notarize { .. } => told.extend(others.iter().map(|(block, (leader, header))| match header {
                Some(header) if leader.signer == me => {
                    Rc::new(Packet::Proposal { header: header.clone(), notarize: leader.clone() })
                }
                _ => vote(Statement::Notarize { epoch, view, block: **block }, Some(leader)),
            })),
            Statement::Finalize { .. } => {
                let others = others.iter().map(|(block, _)| **block).chain([nothing]);
                told.extend(
                    others.filter(|_| same).map(|block| vote(Statement::Finalize { epoch, view, block }, None)),
                );
                told.extend(other.then(|| vote(Statement::Nullify { epoch, view }, None)));
            }
            Statement::Nullify { .. } => {
                let others = others.iter().map(|(block, _)| **block).chain([nothing]);
                told.extend(
                    others.filter(|_| other).map(|block| vote(Statement::Finalize { epoch, view, block }, None)),
                );
            }
            Statement::Attest(_) => {}
        }
        told
    }
}
