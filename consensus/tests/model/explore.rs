//! Every state that the rules allow, breadth first, so that the first fault found has a shortest story.

use std::{
    collections::{HashMap, VecDeque},
    fmt::Write as _,
    hash::{BuildHasherDefault, Hasher},
};

use crate::{
    blocks::Blocks,
    rules::{Fault, Rules, Told},
    state::{State, Word},
};

/// In which order statements of different views are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Any. What the protocol does.
    Any,
    /// All of a view's before those of the next. See the crate's page for why this leaves nothing out.
    ViewByView,
}

/// One step of a run.
#[derive(Clone, Copy, Debug)]
enum Step {
    Say(usize, Word),
    Close,
}

/// What was found.
pub(crate) struct Outcome {
    pub(crate) states: usize,
    /// The first fault, and how it came about.
    pub(crate) fault: Option<(Fault, String)>,
}

/// Shows every state to `look`, and stops at the first in which it finds something.
pub(crate) fn explore(
    rules: &Rules,
    order: Order,
    mut look: impl FnMut(&mut Blocks, &State) -> Option<Fault>,
) -> Outcome {
    let mut outcome = Outcome { states: 0, fault: None };
    let mut numbers = Blocks::new();
    let mut seen: HashMap<State, u32, BuildHasherDefault<Fold>> = HashMap::default();
    let mut links: Vec<(u32, Step)> = Vec::new();
    let mut queue = VecDeque::from([(State::new(), 0_u32)]);
    seen.insert(State::new(), 0);
    links.push((0, Step::Close));
    while let Some((state, number)) = queue.pop_front() {
        if let Some(fault) = look(&mut numbers, &state) {
            let story = story(rules, &mut numbers, &links, number, fault);
            outcome.fault = Some((fault, story));
            break;
        }
        let until = if order == Order::Any { rules.views } else { state.open.min(rules.views) };
        let mut steps: Vec<Step> = Vec::new();
        for member in 0..rules.members.honest.len() {
            let words = rules.words(&mut numbers, &state, member, until);
            steps.extend(words.into_iter().map(|word| Step::Say(member, word)));
        }
        if order == Order::ViewByView && state.open <= rules.views {
            steps.push(Step::Close);
        }
        for step in steps {
            let mut next = state.clone();
            match step {
                Step::Say(member, word) => next.say(member, word),
                Step::Close => next.close(&rules.members, &mut numbers),
            }
            next.normalize(&rules.members);
            let fresh = u32::try_from(links.len()).expect("fewer states than that fit the memory");
            let entry = seen.entry(next.clone()).or_insert(fresh);
            if *entry == fresh {
                links.push((number, step));
                queue.push_back((next, fresh));
            }
        }
    }
    outcome.states = seen.len();
    outcome
}

/// Plays the way to a state again, and tells it by the members' own names.
fn story(rules: &Rules, numbers: &mut Blocks, links: &[(u32, Step)], number: u32, fault: Fault) -> String {
    let mut steps = Vec::new();
    let mut at = number;
    while at != 0 {
        let (before, step) = links[at as usize];
        steps.push(step);
        at = before;
    }
    let mut text = String::new();
    let mut state = State::new();
    // Who stands where: `normalize` exchanges members.
    let mut names: [usize; crate::state::HONEST] = [0, 1, 2, 3];
    for step in steps.into_iter().rev() {
        let before: Vec<_> = (1..=rules.views).map(|view| state.certificates(&rules.members, view)).collect();
        match step {
            Step::Close => state.close(&rules.members, numbers),
            Step::Say(member, word) => {
                state.say(member, word);
                let said = match word {
                    Word::Notarize { view, block } => format!("Notarize({view}, {})", numbers.name(block)),
                    Word::Finalize { view, block } => format!("Finalize({view}, {})", numbers.name(block)),
                    Word::Nullify { view } => format!("Nullify({view})"),
                };
                write!(text, "\n  honest {}: {said}", names[member]).expect("writing to a string");
            }
        }
        for (view, held) in (1..=rules.views).zip(before) {
            if state.certificates(&rules.members, view) != held {
                write!(text, "   -> a certificate of view {view}").expect("writing to a string");
            }
        }
        names = state.normalize(&rules.members).map(|place| names[place]);
    }
    let fault = match fault {
        Fault::Punishable { member, view, offence } => Fault::Punishable { member: names[member], view, offence },
        other => other,
    };
    format!("{}{text}", Told(numbers, fault))
}

/// A fast hash: states come from no adversary.
#[derive(Default)]
struct Fold(u64);

impl Hasher for Fold {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u8(*byte));
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 32;
    }
}
