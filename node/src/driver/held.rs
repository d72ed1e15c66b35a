//! Votes that wait for their check until it can decide something.
//!
//! A signature costs about a millisecond to check, and hardly any vote decides something alone: a certificate needs a
//! quorum, and what comes after the quorum changes nothing. So a vote waits unchecked until one of these is true:
//!
//! - those who said the same would be a quorum if all that wait are right and we say it too: they are checked together;
//! - its signer leads the view: a leader that gives its view up is believed alone (R6);
//! - its signer, or the leader whose Notarize came with it, seems to have said something else in its place: the two may be
//!   evidence;
//! - nothing that its signer said was checked for a few views: the machine must not take it for absent.
//!
//! The connection has proven who sent a vote, so nobody can make another's wait or seem to contradict itself; one with a
//! wrong signature costs its sender a charge when it is found out, and holds up nobody else's. Once a statement has its
//! certificate, what else is said for it waits for a contradiction that may never come.

use std::{collections::BTreeMap, sync::Arc};

use baton_consensus::Committee;
use baton_proto::{MemberIndex, SignedStatement, SignerSet, Statement, StatementKind, View};

/// Views whose votes are held at most; of a committee of 128 they take some 30 MiB. The machine's own window is shorter
/// unless nothing becomes final, and then the oldest views matter least.
const VIEWS_HELD_MAX: usize = 256;

/// A vote as it came, with the leader's Notarize of the same block where the vote is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) vote: SignedStatement,
    pub(super) leader: Option<SignedStatement>,
}

/// The votes of a window of views, those that wait and who was checked.
#[derive(Debug)]
pub(super) struct HeldVotes {
    committee: Arc<Committee>,
    /// Our own place: our votes do not come in here.
    me: Option<MemberIndex>,
    /// Views after which a member whose votes only wait has one checked.
    heard_every: u64,
    /// The latest view of a checked statement of each member.
    heard: Vec<View>,
    views: BTreeMap<View, ViewVotes>,
}

#[derive(Debug, Default)]
struct ViewVotes {
    /// At most one of each kind from each member.
    waiting: Vec<Held>,
    /// Who rightly said what.
    checked: Vec<(Statement, SignerSet)>,
}

impl HeldVotes {
    /// Holds nothing yet. After `inactive_views` views without a checked word of it the machine takes a member for absent.
    pub(super) fn new(committee: Arc<Committee>, me: Option<MemberIndex>, inactive_views: u64) -> Self {
        let heard = vec![View::ZERO; committee.len()];
        Self { committee, me, heard_every: (inactive_views / 4).max(1), heard, views: BTreeMap::new() }
    }

    /// Takes a vote of `view` in and returns what is to be checked now, which it may or may not be among.
    /// `leader` leads the view; `is_certified` says that a certificate of the vote's statement is known.
    pub(super) fn take_in(&mut self, held: Held, view: View, leader: MemberIndex, is_certified: bool) -> Vec<Held> {
        let Held { vote, leader: leaders_own } = &held;
        let (signer, statement) = (vote.signer, vote.statement);
        let last_heard = self.heard.get(signer.as_usize()).copied().unwrap_or_default();
        let is_quiet = view.get() >= last_heard.get().saturating_add(self.heard_every);
        let votes = self.views.entry(view).or_default();
        let mut now = votes.take_rivals(vote);
        let leader_contradicts = leaders_own.as_ref().is_some_and(|own| votes.contradicts(own));
        if signer == leader || is_quiet || leader_contradicts || !now.is_empty() || votes.contradicts(vote) {
            now.push(held);
        } else {
            // Said again, it replaces what waits: the leader's Notarize may have come with it only now.
            votes.waiting.retain(|waits| waits.vote.signer != signer || waits.vote.statement != statement);
            votes.waiting.push(held);
            if !is_certified && self.committee.is_quorum(votes.saying(statement).chain(self.me).collect()) {
                now = votes.take(&statement);
            }
        }
        while self.views.len() > VIEWS_HELD_MAX {
            self.views.pop_first();
        }
        now
    }

    /// Takes note of a statement whose signature holds.
    pub(super) fn on_checked(&mut self, signed: &SignedStatement) {
        let Some(view) = signed.statement.view() else { return };
        if let Some(heard) = self.heard.get_mut(signed.signer.as_usize()) {
            *heard = view.max(*heard);
        }
        let checked = &mut self.views.entry(view).or_default().checked;
        match checked.iter_mut().find(|(statement, _)| *statement == signed.statement) {
            Some((_, signers)) => {
                signers.insert(signed.signer);
            }
            None => checked.push((signed.statement, [signed.signer].into_iter().collect())),
        }
    }
}

impl ViewVotes {
    /// Everybody who said `statement`, checked or not.
    fn saying(&self, statement: Statement) -> impl Iterator<Item = MemberIndex> {
        let waiting = self.waiting.iter().filter(move |held| held.vote.statement == statement);
        let waiting = waiting.map(|held| held.vote.signer);
        let checked = self.checked.iter().filter(move |(said, _)| *said == statement);
        let checked = checked.flat_map(|(_, signers)| signers.iter());
        waiting.chain(checked)
    }

    /// Whether the signer was checked to have said something else in the place of `signed`.
    fn contradicts(&self, signed: &SignedStatement) -> bool {
        let mut checked = self.checked.iter();
        checked.any(|(said, signers)| signers.contains(signed.signer) && are_rivals(said, &signed.statement))
    }

    /// Takes out what waits of the same signer in the place of `vote`.
    fn take_rivals(&mut self, vote: &SignedStatement) -> Vec<Held> {
        let is_rival =
            |held: &mut Held| held.vote.signer == vote.signer && are_rivals(&held.vote.statement, &vote.statement);
        self.waiting.extract_if(.., is_rival).collect()
    }

    fn take(&mut self, statement: &Statement) -> Vec<Held> {
        self.waiting.extract_if(.., |held| held.vote.statement == *statement).collect()
    }
}

/// Whether two statements of one view can be an offence if one member made both.
fn are_rivals(one: &Statement, other: &Statement) -> bool {
    let is_nullify = |statement: &Statement| statement.kind() == StatementKind::Nullify;
    let is_finalize = |statement: &Statement| statement.kind() == StatementKind::Finalize;
    let crossed = (is_nullify(one) && is_finalize(other)) || (is_finalize(one) && is_nullify(other));
    crossed || (one.kind() == other.kind() && one != other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::testing::World;
    use alloy_primitives::B256;
    use baton_proto::{BlockDigest, BlsSignature, Epoch};

    const VIEW: View = View::new(5);

    fn notarize(block: u8) -> Statement {
        Statement::Notarize { epoch: Epoch::new(2), view: VIEW, block: BlockDigest::new(B256::repeat_byte(block)) }
    }

    fn finalize(block: u8) -> Statement {
        Statement::Finalize { epoch: Epoch::new(2), view: VIEW, block: BlockDigest::new(B256::repeat_byte(block)) }
    }

    const NULLIFY: Statement = Statement::Nullify { epoch: Epoch::new(2), view: VIEW };

    fn by(signer: u8, statement: Statement) -> SignedStatement {
        SignedStatement { statement, signer: MemberIndex::new(signer), signature: BlsSignature::new([signer; 48]) }
    }

    /// Seven members of the same weight, five of whom are a quorum; we are the last. All were heard in the view before.
    fn votes() -> HeldVotes {
        let mut votes = HeldVotes::new(World::new(&[1; 7]).committee, Some(MemberIndex::new(6)), 20);
        for signer in 0..7 {
            votes.on_checked(&by(signer, Statement::Nullify { epoch: Epoch::new(2), view: View::new(4) }));
        }
        votes
    }

    /// Member 0 leads. Returns who is to be checked now.
    fn take_in(votes: &mut HeldVotes, vote: SignedStatement) -> Vec<u8> {
        let now = votes.take_in(Held { vote, leader: None }, VIEW, MemberIndex::new(0), false);
        now.iter().map(|held| held.vote.signer.get()).collect()
    }

    #[test]
    fn a_vote_waits_until_it_can_complete_a_quorum() {
        let mut votes = votes();
        assert!(take_in(&mut votes, by(1, finalize(1))).is_empty());
        assert!(take_in(&mut votes, by(2, finalize(1))).is_empty());
        assert!(take_in(&mut votes, by(2, finalize(1))).is_empty(), "said again, it counts once");
        assert!(take_in(&mut votes, by(5, finalize(2))).is_empty(), "another block");
        assert!(take_in(&mut votes, by(3, finalize(1))).is_empty());
        assert_eq!(take_in(&mut votes, by(4, finalize(1))), [1, 2, 3, 4], "with ours they are five");
        // One of them had a wrong signature: whoever comes next can make up for it.
        for signer in 1..4 {
            votes.on_checked(&by(signer, finalize(1)));
        }
        assert_eq!(take_in(&mut votes, by(4, finalize(1))), [4]);
    }

    #[test]
    fn what_comes_after_the_certificate_waits() {
        let mut votes = votes();
        for signer in 1..5 {
            votes.on_checked(&by(signer, finalize(1)));
        }
        let late = Held { vote: by(5, finalize(1)), leader: None };
        assert!(votes.take_in(late, VIEW, MemberIndex::new(0), true).is_empty());
        // But it is at hand if its signer says something else.
        assert_eq!(take_in(&mut votes, by(5, NULLIFY)), [5, 5]);
    }

    #[test]
    fn the_leader_is_checked_at_once() {
        assert_eq!(take_in(&mut votes(), by(0, NULLIFY)), [0]);
    }

    #[test]
    fn a_contradiction_is_checked_at_once() {
        for (first, second) in
            [(notarize(1), notarize(2)), (finalize(1), finalize(2)), (finalize(1), NULLIFY), (NULLIFY, finalize(1))]
        {
            let mut votes = votes();
            assert!(take_in(&mut votes, by(1, first)).is_empty());
            assert!(take_in(&mut votes, by(2, second)).is_empty(), "another member's");
            assert_eq!(take_in(&mut votes, by(1, second)), [1, 1], "{first:?}, {second:?}");
            // And where the first was checked already.
            votes.on_checked(&by(3, first));
            assert_eq!(take_in(&mut votes, by(3, second)), [3]);
        }
        let mut votes = votes();
        for statement in [notarize(1), NULLIFY] {
            assert!(take_in(&mut votes, by(1, statement)).is_empty(), "nothing is wrong with {statement:?}");
        }
        assert!(take_in(&mut votes, by(1, notarize(1))).is_empty());
    }

    #[test]
    fn a_leader_that_contradicts_itself_in_others_votes_is_checked_at_once() {
        let mut votes = votes();
        votes.on_checked(&by(0, notarize(1)));
        let leader = MemberIndex::new(0);
        let same = Held { vote: by(1, notarize(1)), leader: Some(by(0, notarize(1))) };
        assert!(votes.take_in(same, VIEW, leader, false).is_empty());
        let other = Held { vote: by(2, notarize(2)), leader: Some(by(0, notarize(2))) };
        assert_eq!(votes.take_in(other.clone(), VIEW, leader, false), [other]);
    }

    #[test]
    fn a_member_that_is_always_late_is_heard_all_the_same() {
        let mut votes = HeldVotes::new(World::new(&[1; 7]).committee, None, 20);
        let mut checked = Vec::new();
        for view in 1..=20 {
            let statement = Statement::Nullify { epoch: Epoch::new(2), view: View::new(view) };
            let held = Held { vote: by(1, statement), leader: None };
            for held in votes.take_in(held, View::new(view), MemberIndex::new(0), true) {
                votes.on_checked(&held.vote);
                checked.push(view);
            }
        }
        assert_eq!(checked, [5, 10, 15, 20]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut votes = votes();
        for view in (1..10_000).rev() {
            for kind in [NULLIFY, finalize(1)] {
                let held = Held { vote: by(1, kind), leader: None };
                votes.take_in(held, View::new(view), MemberIndex::new(0), true);
            }
            assert!(votes.views.len() <= VIEWS_HELD_MAX);
        }
    }
}
