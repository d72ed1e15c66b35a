//! Each rule taken away in turn: the model finds what then goes wrong, and tells how.

use crate::{
    common::World,
    explore::{Order, Outcome, explore},
    rules::{Broken, Epoch, Fault, Rules, is_within_bound},
    state::{Counting, Members},
};

fn without(broken: Broken, epoch: Epoch, is_sought: impl Fn(&Fault) -> bool) -> Outcome {
    let members = Members::new(&[1, 1, 1, 1], &[3], Counting::Weight);
    seek(&Rules { members, views: 3, epoch, broken: Some(broken) }, Order::ViewByView, is_sought)
}

/// For a rule about certificates that are not there: a block with too few votes is forgotten when its view is closed, so
/// here no view is.
fn without_in_any_order(broken: Broken, epoch: Epoch, is_sought: impl Fn(&Fault) -> bool) -> Outcome {
    let members = Members::new(&[1, 1, 1, 1], &[3], Counting::Weight);
    seek(&Rules { members, views: 2, epoch, broken: Some(broken) }, Order::Any, is_sought)
}

fn seek(rules: &Rules, order: Order, is_sought: impl Fn(&Fault) -> bool) -> Outcome {
    explore(rules, order, |numbers, state| rules.faults(numbers, state).into_iter().find(&is_sought))
}

/// Prints the story, and returns its lines, the fault first.
fn told(what: &str, outcome: Outcome) -> Vec<String> {
    let (_, story) = outcome.fault.unwrap_or_else(|| panic!("{what}: no fault in {} states", outcome.states));
    println!("{what}, after {} states: {story}", outcome.states);
    story.lines().map(|line| line.trim().to_owned()).collect()
}

fn is_fork(fault: &Fault) -> bool {
    matches!(fault, Fault::Fork(..))
}

fn is_punishable(fault: &Fault) -> bool {
    matches!(fault, Fault::Punishable { .. })
}

#[test]
fn a_second_statement_in_a_view_forks_the_chain_and_is_punished() {
    for (broken, offence) in [
        (Broken::SecondNotarize, "DoubleNotarize"),
        (Broken::FinalizeAfterNullify, "NullifyFinalize"),
        (Broken::NullifyAfterFinalize, "NullifyFinalize"),
    ] {
        let what = format!("{broken:?}");
        assert!(told(&what, without(broken, Epoch::GoesOn, is_punishable))[0].ends_with(offence), "{what}");
        assert!(told(&what, without(broken, Epoch::GoesOn, is_fork))[0].ends_with("are both final"), "{what}");
    }
}

#[test]
fn a_finalize_for_what_nobody_notarized_forks_the_chain_and_stops_it() {
    let broken = Broken::FinalizeWithoutNotarization;
    told("FinalizeWithoutNotarization", without(broken, Epoch::GoesOn, is_fork));
    let stuck = |fault: &Fault| matches!(fault, Fault::Stuck { .. });
    told("FinalizeWithoutNotarization", without(broken, Epoch::GoesOn, stuck));
}

/// Rules that agreement, penalties and progress can do without.
///
/// One Finalize in a view is only as good as the one notarization that it is for: a second is allowed only where there is a
/// second notarization, and there never is one. A Notarize after the own Finalize leads nowhere that the two in the other
/// order would not. Both rules cost nothing, and the first stands between a member and a penalty (S2), should another be
/// broken. A block of the running epoch that is proposed again would stay the same block; the rule against it keeps a
/// certificate's view equal to its header's, by which duties are counted.
#[test]
fn a_second_finalize_a_notarize_after_finalize_or_any_block_again_is_harmless() {
    let all = states(None);
    for broken in [Broken::SecondFinalize, Broken::NotarizeAfterFinalize, Broken::AnyBlockAgain] {
        let outcome = without(broken, Epoch::MayEnd, |_| true);
        println!("{broken:?}: nothing in {} states, {all} with the rule", outcome.states);
        assert_eq!(outcome.fault.map(|(_, story)| story), None, "{broken:?}");
        assert_eq!(outcome.states > all, broken == Broken::AnyBlockAgain);
    }
}

fn states(broken: Option<Broken>) -> usize {
    let members = Members::new(&[1, 1, 1, 1], &[3], Counting::Weight);
    seek(&Rules { members, views: 3, epoch: Epoch::MayEnd, broken }, Order::ViewByView, |_| false).states
}

/// Nobody is punished for a Notarize after Nullify: nobody can tell in which order two statements were signed. For the same
/// reason it leads nowhere that Notarize before Nullify does not. What the rule does is to make giving up final: once all
/// honest members have given up a view that has no notarization, it never gets one, so none of its blocks need be kept or
/// fetched any more, and Nullify is the last thing that a record holds of a view.
#[test]
fn a_notarize_after_a_nullify_revives_a_view_and_does_nothing_worse() {
    let revived = |fault: &Fault| matches!(fault, Fault::Revived { .. });
    told("NotarizeAfterNullify", without(Broken::NotarizeAfterNullify, Epoch::MayEnd, revived));
    let worse = without(Broken::NotarizeAfterNullify, Epoch::MayEnd, |fault| !revived(fault));
    assert_eq!(worse.fault.map(|(_, story)| story), None);
    assert_eq!(worse.states, states(None));
}

#[test]
fn a_parent_that_nobody_notarized_or_a_gap_that_nobody_nullified_forks_the_chain() {
    let what = "ParentWithoutNotarization";
    told(what, without_in_any_order(Broken::ParentWithoutNotarization, Epoch::GoesOn, is_fork));
    let story = told("GapWithoutNullifications", without(Broken::GapWithoutNullifications, Epoch::GoesOn, is_fork));
    // A shortest one: two views, each finalized by two honest members and the liar.
    assert_eq!(story.len(), 9, "{story:#?}");
}

#[test]
fn a_block_on_a_handover_block_goes_past_the_end_of_the_epoch() {
    let past = |fault: &Fault| matches!(fault, Fault::PastTheEnd(..));
    let story = told("BlockAfterHandover", without(Broken::BlockAfterHandover, Epoch::MayEnd, past));
    assert_eq!(story[0], "2a on 1a! is final, but the epoch ended with 1a! on root");
}

/// Notarized, but neither final nor given up by anybody who could: nothing may stand on it, and it cannot be passed by.
#[test]
fn a_handover_block_that_is_not_proposed_again_is_a_dead_end() {
    let story = told("HandoverOnce", without(Broken::HandoverOnce, Epoch::MayEnd, |_| true));
    assert_eq!(story[0], "no block can be proposed in view 2");
}

#[test]
fn a_handover_block_that_is_proposed_again_without_proof_forks_the_chain() {
    let what = "AgainWithoutNotarization";
    told(what, without_in_any_order(Broken::AgainWithoutNotarization, Epoch::MayEnd, is_fork));
    told("AgainWithoutNullifications", without(Broken::AgainWithoutNullifications, Epoch::MayEnd, is_fork));
}

/// Of four members whose weights the registry has clipped any three are a quorum, by heads as by weight. Of seven it is not
/// so: three small ones can lie, and by heads they make a quorum with any two of the others.
#[test]
fn a_quorum_by_heads_forks_the_chain() {
    let (weights, liars) = ([20, 20, 20, 20, 7, 7, 6], [4, 5, 6]);
    assert!(is_within_bound(&World::new(&weights).committee, &liars));
    let rules = |counting| {
        let members = Members::new(&weights, &liars, counting);
        Rules { members, views: 1, epoch: Epoch::GoesOn, broken: None }
    };
    let story = told("quorum by heads", seek(&rules(Counting::Heads), Order::ViewByView, is_fork));
    assert_eq!(story[0], "1a on root and 1b on root are both final");
    assert_eq!(seek(&rules(Counting::Weight), Order::ViewByView, |_| true).fault.map(|(_, story)| story), None);
}

#[test]
fn a_third_of_the_weight_stops_the_chain_and_half_of_it_forks_it() {
    let members = Members::new(&[1, 1, 1], &[2], Counting::Weight);
    assert!(!is_within_bound(&World::new(&[1, 1, 1]).committee, &[2]), "exactly a third");
    // With all three needed for a quorum, a third can stop the chain but not fork it.
    let rules = Rules { members, views: 2, epoch: Epoch::GoesOn, broken: None };
    let stuck = |fault: &Fault| matches!(fault, Fault::Stuck { .. });
    told("a third of the weight lies", seek(&rules, Order::ViewByView, stuck));
    assert_eq!(seek(&rules, Order::ViewByView, |fault| !stuck(fault)).fault.map(|(_, story)| story), None);
    let members = Members::new(&[1, 1, 1, 1], &[2, 3], Counting::Weight);
    let rules = Rules { members, views: 1, epoch: Epoch::GoesOn, broken: None };
    told("half the weight lies", seek(&rules, Order::ViewByView, is_fork));
}
