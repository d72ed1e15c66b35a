//! A model of the voting rules, and every state that it can reach.
//!
//! Votes are never taken back, and nobody's vote is held against it but those of its own in the same view. So all that a
//! state needs is the set of statements that the honest members have made. Everything else belongs to the adversary: the
//! Byzantine members have said everything, to whom they like; who sees which certificate when is its choice; and it
//! proposes in every view, whatever it likes. (An honest leader does what an adversary may do, so there are no leaders
//! here, and no turns: what is true here is true for every schedule.) A member may say a word when the rules of protocol
//! section 5 and the handover rule of section 2 allow it with *some* of the certificates that can be made from what was
//! said; timers fire when they like. A member here may also speak in views that it has left or not entered, which the
//! machine does not: the model allows more, and is still safe.
//!
//! | in `rules.rs` | is |
//! | --- | --- |
//! | `may`, Notarize | R2, R3: first in the view, nothing given up in it, on a parent that is certified, over nullified views |
//! | `may`, Nullify | R6: at any time, but never after Finalize |
//! | `may`, Finalize | R5: for a notarization, never after Nullify |
//! | `State::certificates` | R4, R7, R8, by the quorum of [`Committee`](baton_consensus::Committee) itself |
//! | `descends` | the handover rule: on a handover block nothing is built, but it is proposed again, unchanged |
//! | `faults`: `Fork`, `PastTheEnd` | agreement, and one last block of an epoch |
//! | `Punishable`, `Contradiction` | no honest member says two things that [`Offence::of`](baton_proto::Offence::of) punishes, and no view has two certificates that do (S1 to S4) |
//! | `Stuck`, `DeadEnd` | whatever was said, the honest members can end a view, and there is a block that can be proposed in the next |
//! | `Revived` | giving up is final: what all honest members gave up without a notarization never gets one |
//!
//! **Orders.** `Order::Any` visits every interleaving. `Order::ViewByView` has all statements of a view made before those
//! of the next, and then remembers only the certificates. That leaves nothing out: what a word in view v needs lies in views
//! up to v, more certificates never forbid it, and what forbids it was said in v by the same member. So the words of any
//! run can be sorted by view, and the sorted run is a run to the same statements. `sorting_leaves_nothing_out` checks it
//! where both are small enough to be compared.
//!
//! **Symmetry.** Members that no quorum tells apart are exchanged into one order (`State::normalize`). A second twin of a
//! block is named only after the first has a vote, and when a view is closed with one of them certified, that is the first
//! (`State::close`).
//!
//! **Left out.** Timers, and R5's abstention from Finalize once the leader is seen to equivocate: both only make a member
//! say less, and nothing here depends on what it does not say.
//!
//! Runs are as long as every change can afford; `make model` visits more, and prints how many states there were: 160
//! thousand in four views, 1.6 million in five.
//!
//! `broken.rs` takes the rules away, one by one; `driven.rs` holds the real machine against the model.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod blocks;
mod broken;
#[path = "../common/mod.rs"]
mod common;
mod driven;
mod explore;
#[path = "../simulation/random.rs"]
mod random;
mod rules;
mod state;

use std::{collections::BTreeSet, time::Instant};

use crate::{
    blocks::{Block, BlockId, Blocks, ROOT},
    common::World,
    explore::{Order, explore},
    rules::{Epoch, Fault, Rules, is_within_bound},
    state::{Counting, Members, Said, State, VIEWS, blocks as in_places},
};

/// The weights of a devnet, and equal ones.
const COMMITTEES: [[u64; 4]; 2] = [[32, 28, 22, 18], [1, 1, 1, 1]];

/// What the states of a run have shown, so that a model in which nothing happens does not pass.
#[derive(Debug, Default, PartialEq, Eq)]
struct Shown {
    /// Views in which a block was final, by bitmap.
    finalized: u8,
    /// A view with a notarization and a nullification.
    split: bool,
    /// A block final on a parent two views below.
    over_a_gap: bool,
    /// A handover block final in a later view than its own.
    again: bool,
}

impl Shown {
    fn look(&mut self, rules: &Rules, numbers: &Blocks, state: &State) {
        for (view, block) in rules.finalized(state) {
            let of = numbers.get(block);
            self.finalized |= 1 << (view - 1);
            self.over_a_gap |= of.view > numbers.get(of.parent).view + 1;
            self.again |= of.view < view;
        }
        let held = (1..=rules.views).map(|view| state.certificates(&rules.members, view));
        self.split |= held.into_iter().any(|held| held.nullify && in_places(held.notarize).count() > 0);
    }
}

/// Visits all states and prints how many there are; what they show is what the scope lets them.
fn check(views: u8, epoch: Epoch, order: Order) {
    let members = Members::new(&[1, 1, 1, 1], &[3], Counting::Weight);
    let rules = Rules { members, views, epoch, broken: None };
    let (mut shown, started) = (Shown::default(), Instant::now());
    let outcome = explore(&rules, order, |numbers, state| {
        shown.look(&rules, numbers, state);
        rules.faults(numbers, state).first().copied()
    });
    let (states, took) = (outcome.states, started.elapsed().as_secs_f64());
    println!("{views} views, {epoch:?}, {order:?}: {states} states in {took:.1} s");
    assert_eq!(outcome.fault.map(|(_, story)| story), None);
    let again = epoch == Epoch::MayEnd;
    assert_eq!(shown, Shown { finalized: (1 << views) - 1, split: true, over_a_gap: true, again });
}

/// Views of the longest runs: few for every change, more on demand (`make model`).
fn views(variable: &str, usual: u8) -> u8 {
    let asked = std::env::var(variable).map(|views| views.parse().expect("a number of views"));
    let views = asked.unwrap_or(usual);
    assert!((2..=VIEWS as u8).contains(&views), "{variable}: 2 to {VIEWS} views");
    views
}

#[test]
fn no_interleaving_of_two_views_breaks_a_rule() {
    check(views("BATON_MODEL_VIEWS_IN_ANY_ORDER", 2), Epoch::MayEnd, Order::Any);
}

#[test]
fn four_views_break_no_rule() {
    check(views("BATON_MODEL_VIEWS", 4), Epoch::MayEnd, Order::ViewByView);
}

/// Of four members whose weights the registry has clipped any three are a quorum and no two, whoever of them lies. So what
/// is visited for one committee and one liar is visited for all.
#[test]
fn all_clipped_committees_of_four_are_alike() {
    let one = Members::new(&[1, 1, 1, 1], &[3], Counting::Weight);
    let mut committees = 0;
    for number in 0..8_u64.pow(4) {
        let weights = [1, 8, 64, 512].map(|digit| number / digit % 8 + 1);
        if weights.iter().all(|weight| 3 * weight < weights.iter().sum()) {
            committees += 1;
            for liar in 0..4 {
                let members = Members::new(&weights, &[liar], Counting::Weight);
                assert!(is_within_bound(&World::new(&weights).committee, &members.byzantine));
                assert_eq!(members.quorums, one.quorums, "{weights:?}");
                assert_eq!(members.without_liars, one.without_liars, "{weights:?}");
            }
        }
    }
    assert!(committees > 100, "{committees}");
}

/// What both orders lead to: the certificates of each view, by name. A twin is named so only beside its twin.
fn certificates(rules: &Rules, order: Order) -> BTreeSet<Vec<String>> {
    let mut all = BTreeSet::new();
    explore(rules, order, |numbers, state| {
        let held: Vec<Said> = (1..=rules.views).map(|view| state.certificates(&rules.members, view)).collect();
        let certified: Vec<BlockId> =
            held.iter().flat_map(|held| in_places(held.notarize).chain(in_places(held.finalize))).collect();
        let of_view = |held: &Said| {
            let mut names = |places| {
                let named: Vec<_> = in_places(places).map(|block| full_name(numbers, &certified, block)).collect();
                named.join(", ")
            };
            format!("{} | {} | {}", names(held.notarize), names(held.finalize), held.nullify)
        };
        all.insert(held.iter().map(of_view).collect());
        None
    });
    all
}

fn full_name(numbers: &mut Blocks, certified: &[BlockId], block: BlockId) -> String {
    let of = numbers.get(block);
    let first = numbers.number(Block { twin: 0, ..of });
    let twin = if of.twin == 1 && certified.contains(&first) { "b" } else { "a" };
    let parent = if of.parent == ROOT { String::new() } else { full_name(numbers, certified, of.parent) };
    format!("{}{twin}{}{parent}", of.view, if of.last { "!" } else { "" })
}

#[test]
fn sorting_leaves_nothing_out() {
    let members = Members::new(&[1, 1, 1, 1], &[3], Counting::Weight);
    let rules = Rules { members, views: 2, epoch: Epoch::MayEnd, broken: None };
    let sorted = certificates(&rules, Order::ViewByView);
    assert_eq!(certificates(&rules, Order::Any), sorted);
    println!("{} sets of certificates", sorted.len());
    assert!(sorted.len() > 30, "{}", sorted.len());
}

/// With a third to two thirds of the weight lying, the chain can fork; but never without two certificates of one view that
/// contradict one another. Whoever signed both, more than a third of the weight, is convicted by them (S4); and no honest
/// member is among those, for however many lie, none says two things that are punished.
#[test]
fn who_breaks_agreement_is_named_by_certificates_of_one_view() {
    let members = Members::new(&[1, 1, 1, 1], &[2, 3], Counting::Weight);
    let rules = Rules { members, views: 3, epoch: Epoch::MayEnd, broken: None };
    let mut forks = 0;
    let outcome = explore(&rules, Order::ViewByView, |numbers, state| {
        let faults = rules.faults(numbers, state);
        let fork = faults.iter().find(|fault| matches!(fault, Fault::Fork(..) | Fault::PastTheEnd(..)));
        let contradicted = faults.iter().any(|fault| matches!(fault, Fault::Contradiction { .. }));
        forks += usize::from(fork.is_some());
        let punished = faults.iter().find(|fault| matches!(fault, Fault::Punishable { .. }));
        punished.or(fork.filter(|_| !contradicted)).copied()
    });
    println!("half the weight lies: {} states, {forks} of them forked", outcome.states);
    assert_eq!(outcome.fault.map(|(_, story)| story), None);
    assert!(forks > 0);
}
