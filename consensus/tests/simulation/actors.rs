//! Liars: real machines whose words are twisted on the way out. They can forge nobody's signature, and know each other.

use std::{
    collections::{BTreeMap, VecDeque},
    rc::Rc,
};

use baton_consensus::Verified;
use baton_proto::{BlockDigest, BlockHeader, SignedStatement, Statement, View};

use crate::{
    clock::Event,
    cluster::Cluster,
    common::{finalize, notarize, nullify},
    disk::LedgerWrite,
    network::Packet,
    node::member,
    plan::{AfterHealing, Craft},
};

/// Declared gas of a block that every honest node judges invalid.
pub(crate) const INVALID_GAS: u64 = u64::MAX;

/// Views whose blocks the liars remember.
const LORE_VIEWS: usize = 16;

/// Messages that a replayer keeps for later.
const ARCHIVE_MAX: usize = 128;

/// Most of the way past the timeouts at which a withholder shows its block after all.
const LATE_MS_MAX: u64 = 1_500;

/// A leader's Notarize, and the header if it is known.
type Led = (Verified<SignedStatement>, Option<BlockHeader>);

/// What the liars know together.
#[derive(Default)]
pub(crate) struct Lore {
    /// Blocks that leaders signed, by view.
    blocks: BTreeMap<View, BTreeMap<BlockDigest, Led>>,
    archive: VecDeque<Rc<Packet>>,
}

impl Lore {
    fn add_block(&mut self, notarize: &Verified<SignedStatement>, header: Option<&BlockHeader>) {
        let (Some(view), Some(block)) = (notarize.statement.view(), notarize.statement.block()) else { return };
        let known = self.blocks.entry(view).or_default().entry(block);
        let entry = known.or_insert_with(|| (notarize.clone(), header.cloned()));
        entry.1 = entry.1.take().or_else(|| header.cloned());
        while self.blocks.len() > LORE_VIEWS {
            self.blocks.pop_first();
        }
    }

    fn archive(&mut self, packet: &Rc<Packet>) {
        self.archive.push_back(Rc::clone(packet));
        if self.archive.len() > ARCHIVE_MAX {
            self.archive.pop_front();
        }
    }
}

impl Cluster {
    /// Whether a member lies now.
    pub(crate) fn lies(&self, at: usize) -> bool {
        self.plan.liars.contains_key(&at) && !(self.healed && self.plan.after_healing == AfterHealing::Reform)
    }

    /// What a liar hears, the others know.
    pub(crate) fn learn(&mut self, at: usize, packet: &Packet) {
        if !self.plan.liars.contains_key(&at) {
            return;
        }
        match packet {
            Packet::Proposal { header, notarize } => self.lore.add_block(notarize, Some(header)),
            Packet::Vote { leader: Some(leader), .. } => self.lore.add_block(leader, None),
            Packet::Certificate(_) => self.lore.archive(&Rc::new(packet.clone())),
            Packet::Vote { .. } | Packet::Request(_) => {}
        }
    }

    /// Says what its craft makes of what its machine wanted to say.
    pub(crate) fn lie(&mut self, at: usize, to: &[usize], packet: Packet) {
        match self.plan.liars.get(&at) {
            Some(Craft::Equivocator) if self.lies(at) => self.equivocate(at, to, packet),
            Some(Craft::Withholder) if self.lies(at) => self.withhold(at, to, packet),
            Some(Craft::Replayer) if self.lies(at) => self.repeat_history(at, to, packet),
            _ => {
                let packet = Rc::new(packet);
                to.iter().for_each(|to| self.send(at, *to, &packet));
            }
        }
    }

    /// Tells some one thing, some another, and some both.
    fn equivocate(&mut self, at: usize, to: &[usize], packet: Packet) {
        let others = match &packet {
            Packet::Proposal { header, notarize } => {
                self.lore.add_block(notarize, Some(header));
                self.twin(at, header);
                self.contradictions(at, &notarize.statement)
            }
            Packet::Vote { vote, .. } => self.contradictions(at, &vote.statement),
            Packet::Certificate(_) | Packet::Request(_) => Vec::new(),
        };
        let packet = Rc::new(packet);
        for to in to {
            let choice = if others.is_empty() { 0 } else { self.random.below(5) };
            if choice < 3 {
                self.send(at, *to, &packet);
            }
            if choice >= 2 {
                self.counts.lies += 1;
                let other = Rc::clone(&others[self.random.index(others.len())]);
                self.send(at, *to, &other);
            }
        }
    }

    /// Makes a second block of a view: valid, invalid, or on a parent that leaves blocks out.
    fn twin(&mut self, at: usize, header: &BlockHeader) {
        let head = self.nodes[at].ledger.live().chain().last().unwrap_or(&self.world.genesis).clone();
        let salt = self.clock.coming();
        let other = self.world.block(header.view.get(), &head, salt);
        let twin = match self.random.below(4) {
            0 => BlockHeader { declared_gas: INVALID_GAS, ..header.clone() },
            1 => BlockHeader { proposer: header.proposer, ..other },
            _ => BlockHeader { payload_root: other.payload_root, ..header.clone() },
        };
        let known = self.lore.blocks.get(&header.view).map_or(0, BTreeMap::len);
        if known < 2 {
            let signed = self.world.sign(member(at), notarize(twin.view.get(), twin.digest()));
            self.lore.add_block(&signed, Some(&twin));
            self.nodes[at].ledger.write(LedgerWrite::Body(twin));
            self.nodes[at].ledger.sync();
        }
    }

    /// What one can sign in the same view against `statement`, or to the same effect for another block.
    fn contradictions(&self, at: usize, statement: &Statement) -> Vec<Rc<Packet>> {
        let Some(view) = statement.view() else { return Vec::new() };
        let known = self.lore.blocks.get(&view).into_iter().flatten();
        let others: Vec<_> = known.filter(|(block, _)| Some(**block) != statement.block()).collect();
        let vote = |statement: Statement, leader: Option<&Verified<SignedStatement>>| {
            Rc::new(Packet::Vote { vote: self.world.sign(member(at), statement), leader: leader.cloned() })
        };
        let mut told: Vec<Rc<Packet>> = Vec::new();
        match statement {
            Statement::Notarize { .. } => told.extend(others.iter().map(|(block, (leader, header))| match header {
                Some(header) if leader.signer == member(at) => {
                    Rc::new(Packet::Proposal { header: header.clone(), notarize: leader.clone() })
                }
                _ => vote(notarize(view.get(), **block), Some(leader)),
            })),
            Statement::Finalize { .. } => {
                told.push(vote(nullify(view.get()), None));
                told.extend(others.iter().map(|(block, _)| vote(finalize(view.get(), **block), None)));
            }
            Statement::Nullify { .. } => {
                told.extend(others.iter().map(|(block, _)| vote(finalize(view.get(), **block), None)));
            }
            Statement::Attest(_) => {}
        }
        told
    }

    /// Shows some nothing, some only late; passes no certificate on.
    fn withhold(&mut self, at: usize, to: &[usize], packet: Packet) {
        if matches!(packet, Packet::Certificate(_)) {
            return;
        }
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

    /// Tells the truth, and old truths beside it.
    fn repeat_history(&mut self, at: usize, to: &[usize], packet: Packet) {
        let packet = Rc::new(packet);
        to.iter().for_each(|to| self.send(at, *to, &packet));
        let is_own = |packet: &Packet| match packet {
            Packet::Proposal { notarize: vote, .. } | Packet::Vote { vote, .. } => vote.signer == member(at),
            Packet::Certificate(_) | Packet::Request(_) => true,
        };
        for to in to {
            if self.lore.archive.is_empty() || !self.random.chance(30) {
                continue;
            }
            let old = Rc::clone(&self.lore.archive[self.random.index(self.lore.archive.len())]);
            if is_own(&old) {
                self.counts.replays += 1;
                self.send(at, *to, &old);
            }
        }
        self.lore.archive(&packet);
    }
}
