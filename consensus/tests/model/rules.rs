//! What an honest member may say (rules R2 to R8 and the handover rule), and what must never come of it.

use std::fmt;

use alloy_primitives::{B256, U256};
use baton_consensus::Committee;
use baton_proto::Offence;

use crate::{
    blocks::{Block, BlockId, Blocks, ROOT},
    common,
    state::{Members, Said, State, VIEWS, Word, blocks},
};

/// A rule taken away, to see that the model notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// In view 1, where there are no more blocks than a state has places for.
    SecondNotarize,
    SecondFinalize,
    FinalizeAfterNullify,
    NullifyAfterFinalize,
    NotarizeAfterNullify,
    NotarizeAfterFinalize,
    FinalizeWithoutNotarization,
    ParentWithoutNotarization,
    GapWithoutNullifications,
    BlockAfterHandover,
    /// A handover block is not proposed again.
    HandoverOnce,
    AgainWithoutNotarization,
    AgainWithoutNullifications,
    /// Any block may be proposed again.
    AnyBlockAgain,
}

/// Which blocks there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Epoch {
    GoesOn,
    /// Any block may be a handover block, and handover blocks may be proposed again.
    MayEnd,
}

/// The rules, for one committee, in one scope.
pub(crate) struct Rules {
    pub(crate) members: Members,
    pub(crate) views: u8,
    pub(crate) epoch: Epoch,
    pub(crate) broken: Option<Broken>,
}

/// What must never be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Two final blocks of which neither descends from the other.
    Fork(BlockId, BlockId),
    /// A final block above the handover block, which is then final too, and which ended the epoch for others.
    PastTheEnd(BlockId, BlockId),
    /// An honest member said two things that are punished.
    Punishable { member: usize, view: u8, offence: Offence },
    /// A view has two certificates that contradict one another (S4).
    Contradiction { view: u8 },
    /// No certificate can end a view any more, though all honest members do what they may.
    Stuck { view: u8 },
    /// All views below are over, and no block could get the votes of the honest members in this one.
    DeadEnd { view: u8 },
    /// All honest members gave a view up when it had no notarization, and yet it may get one.
    Revived { view: u8, block: BlockId },
}

impl Rules {
    /// Returns whether a member may say this now. Certificates are those that can be made: the adversary hands them out.
    pub(crate) fn may(&self, numbers: &Blocks, state: &State, member: usize, word: Word) -> bool {
        let without = |rule| self.broken == Some(rule);
        match word {
            Word::Notarize { view, block } => {
                let said = state.said(member, view);
                let first = said.notarize == [ROOT; 2]
                    || (without(Broken::SecondNotarize)
                        && view == 1
                        && said.notarize[1] == ROOT
                        && !said.notarized(block));
                first
                    && (!said.nullify || without(Broken::NotarizeAfterNullify))
                    && (said.finalize == [ROOT; 2] || without(Broken::NotarizeAfterFinalize))
                    && self.descends(numbers, state, view, block)
            }
            Word::Nullify { view } => {
                let said = state.said(member, view);
                !said.nullify && (said.finalize == [ROOT; 2] || without(Broken::NullifyAfterFinalize))
            }
            Word::Finalize { view, block } => {
                let said = state.said(member, view);
                let first = said.finalize == [ROOT; 2]
                    || (without(Broken::SecondFinalize) && said.finalize[1] == ROOT && !said.finalized(block));
                first
                    && (!said.nullify || without(Broken::FinalizeAfterNullify))
                    && (state.certificates(&self.members, view).notarized(block)
                        || without(Broken::FinalizeWithoutNotarization))
            }
        }
    }

    /// A block stands rightly in a view: a new one on a proven parent that is no handover block, or the handover block
    /// itself once more.
    fn descends(&self, numbers: &Blocks, state: &State, view: u8, number: BlockId) -> bool {
        let block = numbers.get(number);
        let without = |rule| self.broken == Some(rule);
        if block.view < view {
            let lacking = [Broken::AgainWithoutNotarization, Broken::AgainWithoutNullifications];
            let again = (block.last && !without(Broken::HandoverOnce)) || without(Broken::AnyBlockAgain);
            return again && self.is_proven(numbers, state, number, view, lacking);
        }
        let lacking = [Broken::ParentWithoutNotarization, Broken::GapWithoutNullifications];
        let after_the_end = numbers.get(block.parent).last && !without(Broken::BlockAfterHandover);
        block.view == view && !after_the_end && self.is_proven(numbers, state, block.parent, view, lacking)
    }

    /// A vertex of `block` below `view` is certified, and every view between is nullified: unless the one or the other is
    /// the broken rule.
    fn is_proven(&self, numbers: &Blocks, state: &State, block: BlockId, view: u8, lacking: [Broken; 2]) -> bool {
        let [unproven, over_a_gap] = lacking.map(|rule| self.broken == Some(rule));
        let first = numbers.get(block).view;
        (first..view).any(|at| {
            let known = (block == ROOT && at == 0) || (unproven && at == first);
            (known || (at > 0 && self.certified(state, at).any(|held| held == block)))
                && (at + 1..view).all(|between| over_a_gap || state.certificates(&self.members, between).nullify)
        })
    }

    fn certified(&self, state: &State, view: u8) -> impl Iterator<Item = BlockId> {
        let held = state.certificates(&self.members, view);
        blocks(held.notarize).chain(blocks(held.finalize))
    }

    /// Returns everything that a member may say in the views that are open, up to `until`.
    pub(crate) fn words(&self, numbers: &mut Blocks, state: &State, member: usize, until: u8) -> Vec<Word> {
        let mut words = Vec::new();
        for view in state.open..=until {
            words.push(Word::Nullify { view });
            words.extend(self.proposals(numbers, state, view).into_iter().map(|block| Word::Notarize { view, block }));
            let mut said: Vec<BlockId> = self.certified(state, view).collect();
            if self.broken == Some(Broken::FinalizeWithoutNotarization) {
                said.extend(self.voted(state, view));
            }
            said.sort_unstable();
            said.dedup();
            words.extend(said.into_iter().map(|block| Word::Finalize { view, block }));
        }
        words.retain(|word| self.may(numbers, state, member, *word));
        words
    }

    /// Blocks that can be proposed in a view and are worth it. The leader is left out: the adversary proposes in every
    /// view, which an honest leader does no better. A second twin comes after the first, for names do not matter.
    fn proposals(&self, numbers: &mut Blocks, state: &State, view: u8) -> Vec<BlockId> {
        let mut parents = vec![ROOT];
        for below in 1..view {
            parents.extend(self.certified(state, below));
            if matches!(self.broken, Some(Broken::ParentWithoutNotarization | Broken::AgainWithoutNotarization)) {
                parents.extend(self.voted(state, below));
            }
        }
        parents.sort_unstable();
        parents.dedup();
        let voted: Vec<BlockId> = self.voted(state, view).collect();
        // A twin of an old block is not named, and `may` says whether any of these may be proposed again.
        let mut proposals = parents.clone();
        let ends: &[bool] = if self.epoch == Epoch::MayEnd { &[false, true] } else { &[false] };
        for (parent, last) in parents.iter().flat_map(|parent| ends.iter().map(|last| (*parent, *last))) {
            if numbers.get(parent).last && self.broken != Some(Broken::BlockAfterHandover) {
                continue;
            }
            let first = numbers.number(Block { view, parent, twin: 0, last });
            proposals.push(first);
            if voted.contains(&first) {
                proposals.push(numbers.number(Block { view, parent, twin: 1, last }));
            }
        }
        proposals.retain(|block| *block != ROOT);
        proposals
    }

    fn voted(&self, state: &State, view: u8) -> impl Iterator<Item = BlockId> {
        let places = 0..self.members.honest.len();
        let of = move |member| if view < state.open { Said::default() } else { *state.said(member, view) };
        places.flat_map(move |member| blocks(of(member).notarize))
    }

    /// Returns the blocks that have a finalization, with its view.
    pub(crate) fn finalized(&self, state: &State) -> Vec<(u8, BlockId)> {
        let of = |view| blocks(state.certificates(&self.members, view).finalize).map(move |block| (view, block));
        (1..=self.views).flat_map(of).collect()
    }

    /// Looks for what must never be.
    pub(crate) fn faults(&self, numbers: &mut Blocks, state: &State) -> Vec<Fault> {
        let mut faults = Vec::new();
        let finalized: Vec<BlockId> = self.finalized(state).into_iter().map(|(_, block)| block).collect();
        for (place, block) in finalized.iter().enumerate() {
            let others = finalized.iter().skip(place + 1).filter(|other| numbers.conflict(*block, **other));
            faults.extend(others.map(|other| Fault::Fork(*block, *other)));
            faults.extend(numbers.past_the_end(*block).map(|end| Fault::PastTheEnd(end, *block)));
        }
        for view in state.open..=self.views {
            for member in 0..self.members.honest.len() {
                let offence = punishable(view, state.said(member, view));
                faults.extend(offence.map(|offence| Fault::Punishable { member, view, offence }));
            }
        }
        for view in 1..=self.views {
            if self.has_contradiction(state, view) {
                faults.push(Fault::Contradiction { view });
            }
        }
        if state.open <= self.views {
            faults.extend(self.obstacle(numbers, state, state.open));
        }
        faults
    }

    /// Returns whether a view has two certificates that cannot both be there while less than a third lies (S4).
    fn has_contradiction(&self, state: &State, view: u8) -> bool {
        let held = state.certificates(&self.members, view);
        let finalizations = blocks(held.finalize).count();
        blocks(held.notarize).count() > 1 || finalizations > 1 || (finalizations > 0 && held.nullify)
    }

    /// What keeps the honest members from going on by themselves, the Byzantine ones silent or not, in the lowest view that
    /// is open; and what would reopen it once they have given it up.
    fn obstacle(&self, numbers: &mut Blocks, state: &State, view: u8) -> Option<Fault> {
        let held = state.certificates(&self.members, view);
        let may = |place, word| self.may(numbers, state, place, word);
        let can_end = self
            .members
            .is_quorum_of_honest(|place| state.said(place, view).nullify || may(place, Word::Nullify { view }));
        if held.notarize == [ROOT; 2] && !can_end {
            return Some(Fault::Stuck { view });
        }
        let proposals = self.proposals(numbers, state, view);
        let honest = 0..self.members.honest.len();
        if honest.clone().all(|place| *state.said(place, view) == Said::default()) {
            let fits = |block: &&BlockId| self.descends(numbers, state, view, **block);
            if self.ended_below(state, view) && !proposals.iter().any(|block| fits(&block)) {
                return Some(Fault::DeadEnd { view });
            }
        }
        if held.notarize == [ROOT; 2] && honest.clone().all(|place| state.said(place, view).nullify) {
            let revived = proposals.into_iter().find(|block| {
                let word = Word::Notarize { view, block: *block };
                self.members.is_quorum(|place| {
                    state.said(place, view).notarized(*block) || self.may(numbers, state, place, word)
                })
            });
            return revived.map(|block| Fault::Revived { view, block });
        }
        None
    }

    /// Every view below is over: by a notarization or a nullification.
    fn ended_below(&self, state: &State, view: u8) -> bool {
        let ended = |below| {
            let held = state.certificates(&self.members, below);
            held.nullify || held.notarize != [ROOT; 2]
        };
        (1..view).all(ended)
    }
}

/// Asks the definition that the node convicts by.
fn punishable(view: u8, said: &Said) -> Option<Offence> {
    // Most members said at most one thing that could be half of an offence.
    if said.notarize[1] == ROOT && said.finalize[1] == ROOT && !(said.nullify && said.finalize[0] != ROOT) {
        return None;
    }
    let digest = |block: BlockId| baton_proto::BlockDigest::new(B256::from(U256::from(block)));
    let view = u64::from(view);
    let notarized = blocks(said.notarize).map(|block| common::notarize(view, digest(block)));
    let finalized = blocks(said.finalize).map(|block| common::finalize(view, digest(block)));
    let nullified = said.nullify.then(|| common::nullify(view));
    let all: Vec<_> = notarized.chain(finalized).chain(nullified).collect();
    let mut pairs = all.iter().flat_map(|first| all.iter().map(move |second| (first, second)));
    pairs.find_map(|(first, second)| Offence::of(first, second))
}

/// Returns the honest share's bound: whether the Byzantine members weigh less than a third.
pub(crate) fn is_within_bound(committee: &Committee, byzantine: &[u8]) -> bool {
    let weight: u64 = byzantine.iter().map(|member| committee.members()[usize::from(*member)].weight.get()).sum();
    3 * weight < committee.total_weight().get()
}

/// Says a fault in words, with the names that a trace uses.
pub(crate) struct Told<'a>(pub(crate) &'a Blocks, pub(crate) Fault);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(numbers, fault) = self;
        match fault {
            Fault::Fork(a, b) => write!(f, "{} and {} are both final", numbers.name(*a), numbers.name(*b)),
            Fault::PastTheEnd(end, block) => {
                write!(f, "{} is final, but the epoch ended with {}", numbers.name(*block), numbers.name(*end))
            }
            Fault::Punishable { member, view, offence } => {
                write!(f, "honest {member} is punished in {view}: {offence:?}")
            }
            Fault::Contradiction { view } => write!(f, "view {view} has certificates that contradict one another"),
            Fault::Stuck { view } => write!(f, "view {view} cannot end"),
            Fault::DeadEnd { view } => write!(f, "no block can be proposed in view {view}"),
            Fault::Revived { view, block } => {
                write!(f, "view {view} was given up by all, and {} may still be notarized in it", numbers.name(*block))
            }
        }
    }
}

const _: () = assert!(VIEWS < 10, "names have one digit");
