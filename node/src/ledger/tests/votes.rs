//! What other members said, kept by member, view and kind.

use baton_proto::{MemberIndex, SignedStatement};

use super::*;

on_every_ledger!(
    a_vote_is_kept_once_and_the_second_of_its_place_beside_it,
    an_unchecked_vote_gives_way_and_a_checked_one_stays,
    votes_are_of_their_view_and_epoch,
    forgotten_votes_are_those_of_the_views_that_are_named,
);

const VIEW: View = View::new(7);

fn vote(signer: u8, statement: Statement, check: VoteCheck) -> KeptVote {
    let signature = BlsSignature::new([signer; 48]);
    KeptVote { signed: SignedStatement { statement, signer: MemberIndex::new(signer), signature }, check }
}

fn finalize(block: u8) -> Statement {
    Statement::Finalize { epoch: EPOCH, view: VIEW, block: BlockDigest::new(B256::repeat_byte(block)) }
}

fn nullify(epoch: u64, view: u64) -> Statement {
    Statement::Nullify { epoch: Epoch::new(epoch), view: View::new(view) }
}

fn checked(signer: u8, statement: Statement) -> KeptVote {
    vote(signer, statement, VoteCheck::Checked)
}

fn unchecked(signer: u8, statement: Statement) -> KeptVote {
    vote(signer, statement, VoteCheck::Unchecked)
}

/// What is kept of the view after these came one by one, or all at once: that makes no difference.
fn kept(fixture: &mut dyn Fixture, votes: &[KeptVote]) -> Vec<KeptVote> {
    let forget = |fixture: &dyn Fixture| {
        fixture.ledger().forget_votes((EPOCH, VIEW), (EPOCH, VIEW.next().unwrap())).unwrap();
        assert_eq!(fixture.ledger().votes(EPOCH, VIEW).unwrap(), []);
    };
    forget(fixture);
    fixture.ledger().keep_votes(votes).unwrap();
    let at_once = fixture.ledger().votes(EPOCH, VIEW).unwrap();
    forget(fixture);
    for vote in votes {
        fixture.ledger().keep_votes(std::slice::from_ref(vote)).unwrap();
    }
    fixture.reopen();
    let one_by_one = fixture.ledger().votes(EPOCH, VIEW).unwrap();
    assert_eq!(at_once, one_by_one);
    one_by_one
}

fn a_vote_is_kept_once_and_the_second_of_its_place_beside_it(fixture: &mut dyn Fixture) {
    let (first, second, third) = (checked(1, finalize(1)), checked(1, finalize(2)), checked(1, finalize(3)));
    assert_eq!(kept(fixture, &[first.clone(), first.clone()]), std::slice::from_ref(&first));
    let all = [first.clone(), second.clone(), third, unchecked(1, finalize(4))];
    assert_eq!(kept(fixture, &all), [first.clone(), second]);
    // Places are those of one member and one kind.
    let (other_kind, other_member) = (checked(1, nullify(2, 7)), checked(0, finalize(2)));
    let expected = [other_member.clone(), first.clone(), other_kind.clone()];
    assert_eq!(kept(fixture, &[first, other_kind, other_member]), expected);
}

fn an_unchecked_vote_gives_way_and_a_checked_one_stays(fixture: &mut dyn Fixture) {
    let [first, second, third, fourth] = [1, 2, 3, 4].map(|block| unchecked(1, finalize(block)));
    let all = [first.clone(), second, third.clone(), fourth.clone()];
    assert_eq!(kept(fixture, &all), [third.clone(), fourth.clone()]);
    // It turned out to hold.
    let held = checked(1, finalize(3));
    assert_eq!(
        kept(fixture, &[third.clone(), held.clone(), third, fourth.clone(), first]),
        [held.clone(), unchecked(1, finalize(1))]
    );
    // The same under another signature is another vote: one of them is false.
    let mut false_one = fourth.clone();
    false_one.signed.signature = BlsSignature::new([9; 48]);
    assert_eq!(kept(fixture, &[fourth.clone(), false_one.clone()]), [fourth.clone(), false_one.clone()]);
    assert_eq!(kept(fixture, &[false_one, held.clone(), fourth.clone()]), [held, fourth]);
}

fn votes_are_of_their_view_and_epoch(fixture: &mut dyn Fixture) {
    // Keys must not sort as text.
    let places = [(2, 255), (2, 256), (2, 1 << 40), (3, 256), (256, 256)];
    let votes = places.map(|(epoch, view)| checked(127, nullify(epoch, view)));
    fixture.ledger().keep_votes(&votes).unwrap();
    fixture.reopen();
    for ((epoch, view), vote) in places.into_iter().zip(votes) {
        assert_eq!(fixture.ledger().votes(Epoch::new(epoch), View::new(view)).unwrap(), [vote]);
    }
    assert_eq!(fixture.ledger().votes(Epoch::new(2), View::new(257)).unwrap(), []);
}

fn forgotten_votes_are_those_of_the_views_that_are_named(fixture: &mut dyn Fixture) {
    let places = [(2, 1), (2, 300), (3, 0), (3, 9), (3, 10), (4, 1)];
    let votes = places.map(|(epoch, view)| checked(2, nullify(epoch, view)));
    fixture.ledger().keep_votes(&votes).unwrap();
    fixture.ledger().forget_votes((Epoch::new(2), View::new(300)), (Epoch::new(3), View::new(10))).unwrap();
    fixture.reopen();
    let is_there = |(epoch, view)| !fixture.ledger().votes(Epoch::new(epoch), View::new(view)).unwrap().is_empty();
    assert_eq!(places.map(is_there), [true, false, false, false, true, true]);
    // Nothing else is.
    assert_eq!(fixture.ledger().head().unwrap(), head_of(&genesis()));
}
