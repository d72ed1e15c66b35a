//! Votes that wait for their check until it can decide something.
//!
//! A signature costs about a millisecond to check, and hardly any vote decides something alone: a certificate needs a
//! quorum, and what comes after the quorum changes nothing. So a vote waits unchecked until one of these is true:
//!
//! - those who said the same would be a quorum if all that wait are right and we say it too: they are checked together;
//! - it is a Nullify or Notarize of the view's leader: a leader that gives its view up is believed alone (R6), and nobody's
//!   Notarize counts without the leader's;
//! - its signer, or the leader whose Notarize came with it, seems to have said something else in its place, or the same under
//!   another signature: the two may be evidence, or one is false;
//! - nothing that its signer said was checked for a few views: the machine must not take it for absent.
//!
//! Nothing is lost by waiting (R9 is untouched): whatever makes the first of these true, a vote that comes in or a statement
//! that was checked elsewhere, hands out everything that it was waited for. The connection has proven who sent a vote, so
//! nobody can make another's wait or seem to contradict itself; one with a wrong signature costs its sender a charge when it
//! is found out, and holds up nobody else's, because the next one to say the same makes the quorum possible again. Once a
//! statement has its certificate, what else is said for it waits for a contradiction that may never come. Where enough was
//! checked for a Notarize or Finalize to have its certificate as soon as we say it too, which we mostly are about to, the
//! others wait for their signers to say it again: if we never say it, those who do spread the certificate.

use std::{collections::BTreeMap, sync::Arc};

use baton_proto::{MemberIndex, SignedStatement, SignerSet, Statement, StatementKind, View};

use crate::Committee;

/// Views whose votes are held at most; of a committee of 128 they take some 30 MiB. The machine's own window is shorter
/// unless nothing becomes final, and then the oldest views matter least.
const VIEWS_HELD_MAX: usize = 256;

/// A vote as it came, with the leader's Notarize of the same block where the vote is one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the type's text says it")]
pub struct Held {
    pub vote: SignedStatement,
    pub leader: Option<SignedStatement>,
}

/// The votes of a window of views, those that wait and who was checked.
///
/// Whoever uses it takes in, and tells of, statements of views near the machine's own alone: the oldest views give way.
#[derive(Debug)]
pub struct HeldVotes {
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
    /// Whose vote the machine has, or gets before anything that is handed on later: the first of each kind, as it counts them.
    counted: BTreeMap<(StatementKind, MemberIndex), Statement>,
}

impl HeldVotes {
    /// Holds nothing yet. After `inactive_views` views without a checked word of it the machine takes a member for absent.
    #[must_use]
    pub fn new(committee: Arc<Committee>, me: Option<MemberIndex>, inactive_views: u64) -> Self {
        let heard = vec![View::ZERO; committee.len()];
        Self { committee, me, heard_every: (inactive_views / 2).max(1), heard, views: BTreeMap::new() }
    }

    /// Takes a vote of `view` in and returns what is to be checked now, which it may or may not be among.
    /// `leader` leads the view; `is_certified` says that a certificate of the vote's statement is known.
    pub fn take_in(&mut self, held: Held, view: View, leader: MemberIndex, is_certified: bool) -> Vec<Held> {
        let (signer, statement) = (held.vote.signer, held.vote.statement);
        let last_heard = self.heard.get(signer.as_usize()).copied().unwrap_or_default();
        let is_quiet = view.get() >= last_heard.get().saturating_add(self.heard_every);
        let votes = self.view(view);
        let said = [Some(&held.vote), held.leader.as_ref()];
        let contradicts = said.into_iter().flatten().any(|signed| votes.contradicts(signed));
        let mut now: Vec<Held> = said.into_iter().flatten().flat_map(|signed| votes.take_rivals(signed)).collect();
        let is_same = |waits: &Held| waits.vote.signer == signer && waits.vote.statement == statement;
        // Of two signatures under the same words one is false, and must not push out the other.
        let signed_otherwise = |waits: &mut Held| is_same(waits) && waits.vote.signature != held.vote.signature;
        now.extend(votes.waiting.extract_if(.., signed_otherwise));
        let speaks_alone = signer == leader && statement.kind() != StatementKind::Finalize;
        let is_due = speaks_alone || is_quiet || contradicts || !now.is_empty();
        // Said again, it replaces what waits: the leader's Notarize may have come with it only now.
        let waited = votes.waiting.len();
        votes.waiting.retain(|waits| !is_same(waits));
        let is_said_again = votes.waiting.len() < waited;
        votes.waiting.push(held);
        if is_said_again || !self.is_enough_with_us(&statement) {
            now.extend(self.completed(view, &statement, is_certified));
        }
        if is_due {
            now.extend(self.view(view).waiting.extract_if(.., |waits| is_same(waits)));
        }
        now
    }

    /// Takes note of a statement whose signature holds, and returns what is to be checked now because of it.
    /// `is_certified` says that a certificate of it is known.
    pub fn on_checked(&mut self, signed: &SignedStatement, is_certified: bool) -> Vec<Held> {
        let Some(view) = signed.statement.view() else { return Vec::new() };
        if let Some(heard) = self.heard.get_mut(signed.signer.as_usize()) {
            *heard = view.max(*heard);
        }
        let votes = self.view(view);
        match votes.checked.iter_mut().find(|(statement, _)| *statement == signed.statement) {
            Some((_, signers)) => {
                signers.insert(signed.signer);
            }
            None => votes.checked.push((signed.statement, [signed.signer].into_iter().collect())),
        }
        let mut now = votes.take_rivals(signed);
        now.extend(self.completed(view, &signed.statement, is_certified));
        now
    }

    /// Takes note of what is handed on to the machine: a vote whose signatures hold. `leader` leads its view.
    ///
    /// Only what the machine will count is noted: the first of its kind from its signer, and a Notarize only with the leader's
    /// own. Whoever counted more here could be made to wait for a certificate that nobody can make.
    pub fn on_handed_on(&mut self, vote: &SignedStatement, leaders: Option<&SignedStatement>, leader: MemberIndex) {
        let Some(view) = vote.statement.view() else { return };
        let kind = vote.statement.kind();
        let needs_leader = kind == StatementKind::Notarize && vote.signer != leader;
        if needs_leader && leaders.is_none() {
            return;
        }
        let counted = &mut self.view(view).counted;
        for signed in [leaders, Some(vote)].into_iter().flatten() {
            counted.entry((signed.statement.kind(), signed.signer)).or_insert(signed.statement);
        }
    }

    /// Returns how much is kept: views, and in them votes that wait, statements that were checked, and votes that count. For a
    /// look now and then.
    #[must_use]
    pub fn remembered(&self) -> (usize, usize) {
        let of_view = |votes: &ViewVotes| {
            votes.waiting.len().saturating_add(votes.checked.len()).saturating_add(votes.counted.len())
        };
        (self.views.len(), self.views.values().map(of_view).sum())
    }

    /// Whether the machine counts enough for `statement` to have its certificate once we say it too. A Nullify is never
    /// enough: we say it later than others as a rule, when our own timer fires.
    fn is_enough_with_us(&self, statement: &Statement) -> bool {
        let votes = statement.view().and_then(|view| self.views.get(&view));
        let (Some(me), Some(votes)) = (self.me, votes) else { return false };
        let counted = votes.counted.iter().filter(|(_, said)| *said == statement).map(|((_, signer), _)| *signer);
        statement.kind() != StatementKind::Nullify && self.committee.is_quorum(counted.chain([me]).collect())
    }

    /// Takes out what waits for `statement` if those who said it, and we, could be a quorum.
    fn completed(&mut self, view: View, statement: &Statement, is_certified: bool) -> Vec<Held> {
        let Some(votes) = self.views.get_mut(&view).filter(|_| !is_certified) else { return Vec::new() };
        if !self.committee.is_quorum(votes.saying(*statement).chain(self.me).collect()) {
            return Vec::new();
        }
        votes.waiting.extract_if(.., |held| held.vote.statement == *statement).collect()
    }

    fn view(&mut self, view: View) -> &mut ViewVotes {
        while self.views.len() >= VIEWS_HELD_MAX && !self.views.contains_key(&view) {
            self.views.pop_first();
        }
        self.views.entry(view).or_default()
    }
}

impl ViewVotes {
    /// Everybody who said `statement`, checked or not, the leader in others' votes included.
    fn saying(&self, statement: Statement) -> impl Iterator<Item = MemberIndex> {
        let waiting = self.waiting.iter().filter(move |held| held.vote.statement == statement);
        let waiting = waiting.flat_map(|held| [Some(&held.vote), held.leader.as_ref()]).flatten();
        let checked = self.checked.iter().filter(move |(said, _)| *said == statement);
        waiting.map(|signed| signed.signer).chain(checked.flat_map(|(_, signers)| signers.iter()))
    }

    /// Whether the signer was checked to have said something else in the place of `signed`.
    fn contradicts(&self, signed: &SignedStatement) -> bool {
        let mut checked = self.checked.iter();
        checked.any(|(said, signers)| signers.contains(signed.signer) && are_rivals(said, &signed.statement))
    }

    /// Takes out what waits and holds something that the same signer said in the place of `signed`.
    fn take_rivals(&mut self, signed: &SignedStatement) -> Vec<Held> {
        let is_rival =
            |other: &SignedStatement| other.signer == signed.signer && are_rivals(&other.statement, &signed.statement);
        self.waiting.extract_if(.., |held| is_rival(&held.vote) || held.leader.as_ref().is_some_and(is_rival)).collect()
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
    use crate::testing::World;
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
            votes.on_checked(&by(signer, Statement::Nullify { epoch: Epoch::new(2), view: View::new(4) }), true);
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
            votes.on_checked(&by(signer, finalize(1)), false);
        }
        assert_eq!(take_in(&mut votes, by(4, finalize(1))), [4]);
    }

    /// Checks and hands on what 1 to `last` say; member 0 leads.
    fn hand_on(votes: &mut HeldVotes, last: u8, statement: Statement, leaders: Option<&SignedStatement>) {
        for signer in 1..=last {
            let vote = by(signer, statement);
            votes.on_checked(&vote, false);
            votes.on_handed_on(&vote, leaders, MemberIndex::new(0));
        }
    }

    #[test]
    fn what_comes_after_enough_waits_until_it_is_said_again() {
        let leaders = by(0, notarize(1));
        for (statement, leaders, last) in [(notarize(1), Some(&leaders), 3), (finalize(1), None, 4)] {
            let mut votes = votes();
            hand_on(&mut votes, last - 1, statement, leaders);
            assert!(!votes.is_enough_with_us(&statement));
            hand_on(&mut votes, last, statement, leaders);
            assert!(votes.is_enough_with_us(&statement), "with ours they are five");
            assert!(take_in(&mut votes, by(5, statement)).is_empty());
            assert_eq!(take_in(&mut votes, by(5, statement)), [5], "we do not say it: without us they are five too");
        }
        let mut votes = votes();
        hand_on(&mut votes, 4, NULLIFY, None);
        assert_eq!(take_in(&mut votes, by(5, NULLIFY)), [5], "our own timer may fire much later");
    }

    #[test]
    fn what_the_machine_does_not_count_is_never_enough() {
        // Without the leader's own.
        let mut votes = votes();
        hand_on(&mut votes, 4, notarize(1), None);
        assert_eq!(take_in(&mut votes, by(5, notarize(1))), [5]);
        // Second statements of their signers.
        let mut votes = super::tests::votes();
        hand_on(&mut votes, 1, finalize(2), None);
        hand_on(&mut votes, 4, finalize(1), None);
        assert_eq!(take_in(&mut votes, by(5, finalize(1))), [5]);
        // Of nobody's concern: we have no place in the committee.
        let mut votes = HeldVotes::new(World::new(&[1; 7]).committee, None, 20);
        hand_on(&mut votes, 5, finalize(1), None);
        assert_eq!(take_in(&mut votes, by(5, finalize(1))), [5]);
    }

    #[test]
    fn what_comes_after_the_certificate_waits() {
        let mut votes = votes();
        for signer in 1..5 {
            votes.on_checked(&by(signer, finalize(1)), false);
        }
        let late = Held { vote: by(5, finalize(1)), leader: None };
        assert!(votes.take_in(late, VIEW, MemberIndex::new(0), true).is_empty());
        // But it is at hand if its signer says something else.
        assert_eq!(take_in(&mut votes, by(5, NULLIFY)), [5, 5]);
    }

    #[test]
    fn a_leader_is_checked_at_once_where_it_counts_alone() {
        for (statement, checked) in [(NULLIFY, &[0][..]), (notarize(1), &[0]), (finalize(1), &[])] {
            assert_eq!(take_in(&mut votes(), by(0, statement)), checked);
        }
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
            votes.on_checked(&by(3, first), false);
            assert_eq!(take_in(&mut votes, by(3, second)), [3]);
        }
        let mut votes = votes();
        for statement in [notarize(1), NULLIFY] {
            assert!(take_in(&mut votes, by(1, statement)).is_empty(), "nothing is wrong with {statement:?}");
        }
        assert!(take_in(&mut votes, by(1, notarize(1))).is_empty());
    }

    #[test]
    fn a_false_signature_does_not_push_out_a_true_one() {
        let mut votes = votes();
        let (vote, leader) = (by(1, finalize(1)), MemberIndex::new(0));
        let resigned = SignedStatement { signature: BlsSignature::new([9; 48]), ..vote.clone() };
        assert!(take_in(&mut votes, vote.clone()).is_empty());
        let now = votes.take_in(Held { vote: resigned.clone(), leader: None }, VIEW, leader, true);
        assert_eq!(now.into_iter().map(|held| held.vote).collect::<Vec<_>>(), [vote, resigned]);
    }

    #[test]
    fn whoever_is_checked_at_once_brings_along_those_that_waited_for_it() {
        // The leader gives up last; somebody quiet comes last; what completes the quorum was checked with its proposal.
        let mut with_leader = votes();
        let mut with_quiet = votes();
        let mut with_proposal = votes();
        for votes in [&mut with_leader, &mut with_quiet, &mut with_proposal] {
            for signer in [1, 2, 3] {
                assert!(take_in(votes, by(signer, finalize(1))).is_empty());
            }
        }
        assert_eq!(take_in(&mut with_leader, by(0, finalize(1))), [1, 2, 3, 0]);
        with_quiet.heard[4] = View::ZERO;
        assert_eq!(take_in(&mut with_quiet, by(4, finalize(1))), [1, 2, 3, 4]);
        let now = with_proposal.on_checked(&by(0, finalize(1)), false);
        assert_eq!(now.iter().map(|held| held.vote.signer.get()).collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn the_leader_in_others_votes_counts() {
        let mut votes = votes();
        for signer in [1, 2] {
            let held = Held { vote: by(signer, notarize(1)), leader: Some(by(0, notarize(1))) };
            assert!(votes.take_in(held, VIEW, MemberIndex::new(0), false).is_empty());
        }
        let held = Held { vote: by(3, notarize(1)), leader: None };
        assert_eq!(votes.take_in(held, VIEW, MemberIndex::new(0), false).len(), 3, "0, 1, 2, 3 and we");
    }

    #[test]
    fn a_leader_that_contradicts_itself_between_others_votes_is_checked_at_once() {
        let leader = MemberIndex::new(0);
        let one = Held { vote: by(1, notarize(1)), leader: Some(by(0, notarize(1))) };
        let other = Held { vote: by(2, notarize(2)), leader: Some(by(0, notarize(2))) };
        let mut waiting = votes();
        assert!(waiting.take_in(one.clone(), VIEW, leader, false).is_empty());
        assert_eq!(waiting.take_in(other.clone(), VIEW, leader, false), [one, other.clone()]);
        // The proposal of the first comes after a vote for the second.
        let mut proposed = votes();
        assert!(proposed.take_in(other.clone(), VIEW, leader, false).is_empty());
        assert_eq!(proposed.on_checked(&by(0, notarize(1)), false), [other]);
    }

    #[test]
    fn a_leader_that_contradicts_itself_in_others_votes_is_checked_at_once() {
        let mut votes = votes();
        votes.on_checked(&by(0, notarize(1)), false);
        let leader = MemberIndex::new(0);
        let same = Held { vote: by(1, notarize(1)), leader: Some(by(0, notarize(1))) };
        assert!(votes.take_in(same.clone(), VIEW, leader, false).is_empty());
        let other = Held { vote: by(2, notarize(2)), leader: Some(by(0, notarize(2))) };
        assert_eq!(votes.take_in(other.clone(), VIEW, leader, false), [same, other]);
    }

    #[test]
    fn a_member_that_is_always_late_is_heard_all_the_same() {
        let mut votes = HeldVotes::new(World::new(&[1; 7]).committee, None, 20);
        let mut checked = Vec::new();
        for view in 1..=20 {
            let statement = Statement::Nullify { epoch: Epoch::new(2), view: View::new(view) };
            let held = Held { vote: by(1, statement), leader: None };
            for held in votes.take_in(held, View::new(view), MemberIndex::new(0), true) {
                votes.on_checked(&held.vote, true);
                checked.push(view);
            }
        }
        assert_eq!(checked, [10, 20]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut votes = votes();
        for view in (1..10_000).rev() {
            for kind in [NULLIFY, finalize(1)] {
                let held = Held { vote: by(1, kind), leader: None };
                votes.take_in(held, View::new(view), MemberIndex::new(0), true);
            }
            votes.on_checked(&by(2, Statement::Nullify { epoch: Epoch::new(2), view: View::new(view + 20_000) }), true);
            assert!(votes.views.len() <= VIEWS_HELD_MAX);
        }
    }
}
