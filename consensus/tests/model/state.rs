//! What the honest members have said: all that the model remembers.

use std::{
    hash::{Hash, Hasher},
    ops::Range,
};

use baton_consensus::Committee;
use baton_proto::SignerSet;

use crate::{
    blocks::{Block, BlockId, Blocks, ROOT},
    common::World,
};

/// Most views of a run.
pub(crate) const VIEWS: usize = 5;

/// Most honest members of a run.
pub(crate) const HONEST: usize = 4;

/// Statements of one view: those of one member, or those for which a certificate can be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Said {
    /// Two places, so that broken rules can be shown to fill the second.
    pub(crate) notarize: [BlockId; 2],
    pub(crate) finalize: [BlockId; 2],
    pub(crate) nullify: bool,
}

impl Said {
    pub(crate) fn notarized(&self, block: BlockId) -> bool {
        block != ROOT && self.notarize.contains(&block)
    }

    pub(crate) fn finalized(&self, block: BlockId) -> bool {
        block != ROOT && self.finalize.contains(&block)
    }

    fn packed(&self) -> [u64; 2] {
        let [n, m, f, g] = [self.notarize[0], self.notarize[1], self.finalize[0], self.finalize[1]].map(u64::from);
        [(n << 48) | (m << 32) | (f << 16) | g, u64::from(self.nullify)]
    }
}

/// Returns the blocks in two places.
pub(crate) fn blocks(places: [BlockId; 2]) -> impl Iterator<Item = BlockId> {
    places.into_iter().filter(|block| *block != ROOT)
}

/// Puts a block into the first free place.
pub(crate) fn put(places: &mut [BlockId; 2], block: BlockId) {
    if !places.contains(&block) {
        let free = places.iter_mut().find(|place| **place == ROOT).expect("no rule, broken or not, allows a third");
        *free = block;
    }
}

/// One thing that an honest member says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Notarize { view: u8, block: BlockId },
    Nullify { view: u8 },
    Finalize { view: u8, block: BlockId },
}

/// What every honest member has said, and in views that are closed only what certificates came of it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct State {
    said: [[Said; VIEWS]; HONEST],
    closed: [Said; VIEWS],
    /// The lowest view in which something may still be said.
    pub(crate) open: u8,
}

impl State {
    pub(crate) fn new() -> Self {
        Self { said: Default::default(), closed: Default::default(), open: 1 }
    }

    pub(crate) fn said(&self, member: usize, view: u8) -> &Said {
        &self.said[member][usize::from(view) - 1]
    }

    pub(crate) fn say(&mut self, member: usize, word: Word) {
        let (Word::Notarize { view, .. } | Word::Finalize { view, .. } | Word::Nullify { view }) = word;
        let said = &mut self.said[member][usize::from(view) - 1];
        match word {
            Word::Notarize { block, .. } => put(&mut said.notarize, block),
            Word::Finalize { block, .. } => put(&mut said.finalize, block),
            Word::Nullify { .. } => said.nullify = true,
        }
    }

    /// Forgets who said what in the open view, and keeps the certificates. What is certified without its twin takes the
    /// first name, for nobody has spoken of either outside this view yet.
    pub(crate) fn close(&mut self, members: &Members, numbers: &mut Blocks) {
        let view = self.open;
        let held = self.certificates(members, view);
        let mut rename = |block: BlockId| {
            let of = numbers.get(block);
            let first = numbers.number(Block { twin: 0, ..of });
            let alone = of.view == view && !held.notarized(first) && !held.finalized(first);
            if block != ROOT && alone { first } else { block }
        };
        let at = usize::from(view) - 1;
        let (notarize, finalize) = (held.notarize.map(&mut rename), held.finalize.map(&mut rename));
        self.closed[at] = Said { notarize, finalize, ..held };
        for said in &mut self.said {
            said[at] = Said::default();
        }
        self.open += 1;
    }

    /// Returns what has a quorum in a view, when every Byzantine member says everything.
    pub(crate) fn certificates(&self, members: &Members, view: u8) -> Said {
        let at = usize::from(view) - 1;
        if view < self.open {
            return self.closed[at];
        }
        let by = |says: &dyn Fn(&Said) -> bool| members.is_quorum(|member| says(&self.said[member][at]));
        let mut quorums = Said { nullify: by(&|said| said.nullify), ..Said::default() };
        for member in 0..members.honest.len() {
            let said = self.said[member][at];
            for block in blocks(said.notarize) {
                if !quorums.notarized(block) && by(&|said| said.notarized(block)) {
                    put(&mut quorums.notarize, block);
                }
            }
            for block in blocks(said.finalize) {
                if !quorums.finalized(block) && by(&|said| said.finalized(block)) {
                    put(&mut quorums.finalize, block);
                }
            }
        }
        quorums
    }

    /// Exchanges members into one order where no quorum tells them apart, only what they said. Returns where each place's
    /// member stood before.
    pub(crate) fn normalize(&mut self, members: &Members) -> [usize; HONEST] {
        let mut order = [0, 1, 2, 3];
        for alike in &members.alike {
            order[alike.clone()].sort_by_key(|member| self.said[*member]);
        }
        self.said = order.map(|member| self.said[member]);
        order
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for said in self.said.iter().flatten().chain(&self.closed) {
            said.packed().into_iter().for_each(|word| state.write_u64(word));
        }
        state.write_u8(self.open);
    }
}

/// By what a quorum is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counting {
    Weight,
    Heads,
}

/// A committee, of which some members are Byzantine.
pub(crate) struct Members {
    /// The honest ones' places in the committee, at most [`HONEST`].
    pub(crate) honest: Vec<u8>,
    pub(crate) byzantine: Vec<u8>,
    /// Whether these honest members, by bitmap, and all the Byzantine ones are a quorum.
    pub(crate) quorums: Vec<bool>,
    /// Whether these honest members are one by themselves.
    pub(crate) without_liars: Vec<bool>,
    /// Runs of honest members, by place, that may stand in for one another in any quorum.
    alike: Vec<Range<usize>>,
}

impl Members {
    pub(crate) fn new(weights: &[u64], byzantine: &[u8], counting: Counting) -> Self {
        let committee = World::new(weights).committee;
        let everyone: Vec<u8> = (0..).take(weights.len()).collect();
        let honest: Vec<u8> = everyone.iter().copied().filter(|member| !byzantine.contains(member)).collect();
        let quorums_with = |others: &[u8]| -> Vec<bool> {
            let is_quorum_of = |map: usize| {
                let signers = (0..honest.len()).filter(|place| (map >> place) & 1 == 1).map(|place| &honest[place]);
                let bits = signers.chain(others).fold(0_u128, |bits, member| bits | (1 << member));
                is_quorum(&committee, bits, counting)
            };
            (0..1 << honest.len()).map(is_quorum_of).collect()
        };
        let (quorums, without_liars) = (quorums_with(byzantine), quorums_with(&[]));
        let exchanged = |map: usize, place: usize| {
            let (this, next) = ((map >> place) & 1, (map >> (place + 1)) & 1);
            (map & !(0b11 << place)) | (next << place) | (this << (place + 1))
        };
        let mut alike: Vec<Range<usize>> = Vec::new();
        for place in 0..honest.len() {
            let is_like = |before: usize| {
                let same = |table: &[bool]| (0..table.len()).all(|map| table[map] == table[exchanged(map, before)]);
                same(&quorums) && same(&without_liars)
            };
            match alike.last_mut() {
                Some(run) if is_like(place - 1) => run.end += 1,
                _ => alike.push(place..place + 1),
            }
        }
        Self { byzantine: byzantine.to_vec(), quorums, without_liars, alike, honest }
    }

    /// Returns whether those of whom this is so, by place, are a quorum with the liars.
    pub(crate) fn is_quorum(&self, says: impl Fn(usize) -> bool) -> bool {
        self.quorums[self.map(says)]
    }

    /// Returns whether those of whom this is so, by place, are a quorum without the liars.
    pub(crate) fn is_quorum_of_honest(&self, says: impl Fn(usize) -> bool) -> bool {
        self.without_liars[self.map(says)]
    }

    fn map(&self, says: impl Fn(usize) -> bool) -> usize {
        (0..self.honest.len()).filter(|place| says(*place)).fold(0, |map, place| map | (1 << place))
    }
}

fn is_quorum(committee: &Committee, bits: u128, counting: Counting) -> bool {
    match counting {
        Counting::Weight => committee.is_quorum(SignerSet::from_bits(bits)),
        Counting::Heads => 3 * u64::from(bits.count_ones()) > 2 * committee.len() as u64,
    }
}
