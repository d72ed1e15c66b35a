//! Liars: real machines whose words are twisted on the way out. They can forge nobody's signature, and know each other.

mod censor;
mod equivocator;
mod flatterer;
mod garbage;
mod impersonator;
mod late_leader;
mod nullifier;
mod replayer;
mod spoiler;
mod withholder;

use std::{
    collections::{BTreeMap, VecDeque},
    rc::Rc,
};

use baton_proto::{BlockDigest, BlockHeader, SignedStatement, Statement};

use crate::{
    cluster::Cluster,
    epochs::{Turn, turn_of},
    network::Packet,
    plan::{AfterHealing, Craft},
};

/// Declared gas of a block that every honest node judges invalid.
pub(crate) const INVALID_GAS: u64 = u64::MAX;

/// Views whose blocks the liars remember.
const LORE_VIEWS: usize = 16;

/// Messages that a replayer keeps for later.
const ARCHIVE_MAX: usize = 128;

/// A leader's Notarize, and the header if it is known.
type Led = (SignedStatement, Option<BlockHeader>);

/// What the liars know together.
#[derive(Default)]
pub(crate) struct Lore {
    /// Blocks that leaders signed, by view.
    blocks: BTreeMap<Turn, BTreeMap<BlockDigest, Led>>,
    archive: VecDeque<Rc<Packet>>,
}

impl Lore {
    fn add_block(&mut self, notarize: &SignedStatement, header: Option<&BlockHeader>) {
        let Some(block) = notarize.statement.block() else { return };
        let known = self.blocks.entry(turn_of(&notarize.statement)).or_default().entry(block);
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
        self.plan.craft(at).is_some() && !(self.healed && self.plan.after_healing == AfterHealing::Reform)
    }

    /// What a liar hears, the others know.
    pub(crate) fn learn(&mut self, at: usize, from: usize, packet: &Packet) {
        if self.plan.craft(at).is_none() {
            return;
        }
        if self.plan.craft(at) == Some(Craft::Flatterer) && self.lies(at) {
            self.flatter(at, from, packet);
        }
        match packet {
            Packet::Proposal { header, notarize } => self.lore.add_block(notarize, Some(header)),
            Packet::Vote { leader: Some(leader), .. } => self.lore.add_block(leader, None),
            Packet::Certificate(_) => self.lore.archive(&Rc::new(packet.clone())),
            Packet::Vote { .. } | Packet::Request(_) | Packet::Evidence(_) => {}
        }
    }

    /// Says what its craft makes of what its machine wanted to say.
    pub(crate) fn lie(&mut self, at: usize, to: &[usize], packet: Packet) {
        let keeps_apart = self.plan.lawless && self.plan.craft(at) != Some(Craft::Twin);
        if keeps_apart && matches!(packet, Packet::Certificate(_)) {
            // It would show one side what the other has.
            return;
        }
        match self.plan.craft(at).filter(|_| self.lies(at)) {
            Some(
                craft @ (Craft::Equivocator | Craft::EquivocatingLeader | Craft::EquivocatingVoter | Craft::Conflicter),
            ) => {
                self.equivocate(craft, at, to, packet);
            }
            Some(craft @ Craft::Flatterer) => match packet {
                // Its own votes would stand in the way of those that flatter.
                Packet::Vote { .. } => {}
                packet => self.equivocate(craft, at, to, packet),
            },
            Some(Craft::Withholder) => self.withhold(at, to, packet),
            Some(Craft::LateLeader) => self.propose_late(at, to, packet),
            Some(Craft::Nullifier) => self.nullify_all(at, to, packet),
            Some(Craft::Garbage) => self.babble(at, to, packet),
            Some(Craft::Impersonator) => self.impersonate(at, to, packet),
            Some(Craft::Replayer) => self.repeat_history(at, to, packet),
            Some(Craft::Spoiler) => self.spoil(at, to, packet),
            Some(Craft::Censor) => self.censor(at, to, packet),
            // These two err only in what their record holds.
            Some(Craft::Outdated | Craft::Twin) | None => self.tell(at, to, packet),
        }
    }

    /// Signs whatever a liar wants to say, if it has a seat in that epoch.
    fn own(&self, at: usize, statement: Statement) -> Option<SignedStatement> {
        let epoch = statement.epoch();
        Some(self.world_of(epoch).raw(self.seat(at, epoch)?, statement))
    }

    /// The same to everybody.
    fn tell(&mut self, at: usize, to: &[usize], packet: Packet) {
        let packet = Rc::new(packet);
        to.iter().for_each(|to| self.send(at, *to, &packet));
    }
}
