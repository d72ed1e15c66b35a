//! What other members sign, kept so that whoever signs against itself is found out however late it does.
//!
//! ```text
//!   checks ─▶ Testimony ─▶ driver, at the end of a turn ─▶ ledger (not synced)
//!                                                            │
//!      after a start: taken in as if it were said again ◀────┤
//!      of an epoch, or of a view, that is over: compared ◀───┘
//! ```
//! An honest member says again what it said, and one that lies does not. The machine forgets a vote when the process or the
//! epoch ends, or when its view lies far back; so whoever had said one half of an offence before could say the other with
//! nobody to hold both. What came over a member's own stream is kept whether it was checked or not: most votes wait unchecked
//! for ever, and who lies can see to it that its own do. A signature is checked when it makes a pair.
//!
//! A power cut may take the votes of the last moment, which then count as never heard. What is kept is bounded by the views
//! that are worth checking, two votes in each place, [`views_kept`] of the running epoch, and as many epochs as
//! [`EpochBook`](crate::epoch::EpochBook) knows: of older ones nobody here could check a signature.

use std::{
    cmp::Reverse,
    sync::{Mutex, MutexGuard, PoisonError},
};

use baton_consensus::{AHEAD_VIEWS, Committee};
use baton_proto::{Epoch, Evidence, MemberIndex, SignedStatement, StatementKind, View, wire::ConsensusMessage};

use crate::{
    epoch::EpochContext,
    ledger::{KeptVote, Ledger, LedgerError, VoteCheck, root_of_epoch},
};

/// Votes that may wait for the end of a turn, some 1.5 MiB. While the driver stands still for so long, what comes is not kept.
const WAITING_MAX: usize = 8_192;

/// Votes of one epoch that are kept: some 100 MiB. Honest members sign three statements in a view at most.
const KEPT_MAX: u64 = 1 << 20;

/// Views in which a member is shown what it said itself.
const RETURNED_VIEWS: u64 = 64;

/// Returns how many views below the final one the votes of `members` are kept: 87,381 of four members, 2,730 of 128.
pub(super) const fn views_kept(members: usize) -> u64 {
    KEPT_MAX / (3 * if members == 0 { 1 } else { members as u64 })
}

/// Votes on their way to the ledger; the checks and the driver share them.
#[derive(Debug, Default)]
pub struct Testimony {
    waiting: Mutex<Vec<KeptVote>>,
}

impl Testimony {
    /// Takes note of a vote. An unchecked one has come over the stream of its signer.
    pub(super) fn note(&self, signed: &SignedStatement, check: VoteCheck) {
        let mut waiting = self.waiting();
        if waiting.len() < WAITING_MAX {
            waiting.push(KeptVote { signed: signed.clone(), check });
        }
    }

    /// Writes down what was noted.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be written.
    pub(super) fn keep(&self, ledger: &dyn Ledger) -> Result<(), LedgerError> {
        let votes = std::mem::take(&mut *self.waiting());
        if votes.is_empty() { Ok(()) } else { ledger.keep_votes(&votes) }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<KeptVote>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the offences that a message of `from` and kept votes prove together if all signatures hold: at most six. None is
/// checked here. Whichever does not hold is `from`'s: its own word, now or then, or a leader's that it vouches for.
///
/// # Errors
/// [`LedgerError`] if the ledger cannot be read.
pub fn accused(
    ledger: &dyn Ledger,
    epoch: &EpochContext,
    from: MemberIndex,
    message: &ConsensusMessage,
) -> Result<Vec<Evidence>, LedgerError> {
    let (own, leader) = match message {
        ConsensusMessage::Vote { vote, leader } => (vote, *leader),
        ConsensusMessage::Proposal { notarize, .. } | ConsensusMessage::CompactProposal { notarize, .. } => {
            (notarize, None)
        }
        _ => return Ok(Vec::new()),
    };
    let statement = own.statement;
    let Some(view) = statement.view().filter(|_| own.signer == from && statement.epoch() == epoch.epoch) else {
        return Ok(Vec::new());
    };
    let mut kept = ledger.votes(epoch.epoch, view)?;
    // Nobody makes us compute the leader of a view that never was.
    if kept.is_empty() {
        return Ok(Vec::new());
    }
    kept.sort_by_key(|kept| Reverse(kept.check));
    let leader = leader.filter(|_| statement.kind() == StatementKind::Notarize);
    let leader = leader.map(|signature| (epoch.asked.leader(view), signature)).filter(|(leader, _)| *leader != from);
    let leaders = leader.map(|(signer, signature)| SignedStatement { statement, signer, signature });
    let against_itself = kept.iter().filter_map(|kept| Evidence::new(kept.signed.clone(), own.clone()));
    let against_leader = leaders.iter().flat_map(|leaders| {
        let checked = kept.iter().filter(|kept| kept.check == VoteCheck::Checked);
        checked.filter_map(|kept| Evidence::new(kept.signed.clone(), leaders.clone()))
    });
    Ok(against_itself.chain(against_leader).collect())
}

/// Keeps what `from` says of a view that is over, unchecked, beside what it said before: who lies may say the other half later
/// still. Only of views that the epoch can have had, up to those that members may have been in when it ended here, and of as many
/// of them as are kept of the running one.
///
/// # Errors
/// [`LedgerError`] if the ledger cannot be read or written.
pub fn keep_late_word(
    ledger: &dyn Ledger,
    committee: &Committee,
    from: MemberIndex,
    message: &ConsensusMessage,
) -> Result<(), LedgerError> {
    let epoch = committee.epoch();
    let (ConsensusMessage::Vote { vote: own, .. }
    | ConsensusMessage::Proposal { notarize: own, .. }
    | ConsensusMessage::CompactProposal { notarize: own, .. }) = message
    else {
        return Ok(());
    };
    let Some(view) = own.statement.view().filter(|_| own.signer == from && own.statement.epoch() == epoch) else {
        return Ok(());
    };
    let Some(next) = epoch.next() else { return Ok(()) };
    let last = root_of_epoch(ledger, next)?;
    let oldest = last.view.get().saturating_sub(views_kept(committee.len()));
    if last.epoch != epoch || view.get() < oldest || view.get() > last.view.get().saturating_add(AHEAD_VIEWS) {
        return Ok(());
    }
    ledger.keep_votes(&[KeptVote { signed: own.clone(), check: VoteCheck::Unchecked }])
}

/// Returns what `member` said in views above `final_view`, as far as it was heard: at most six statements of each of
/// the latest [`RETURNED_VIEWS`], and three if it is honest. A member that is back may have lost its record of them,
/// and votes that no certificate holds are shown to it by nobody else. `current` is the view that the machine is in.
///
/// # Errors
/// [`LedgerError`] if the ledger cannot be read.
pub(super) fn said_by(
    ledger: &dyn Ledger,
    (epoch, member): (Epoch, MemberIndex),
    final_view: View,
    current: View,
) -> Result<Vec<SignedStatement>, LedgerError> {
    let newest = current.get().saturating_add(AHEAD_VIEWS);
    let oldest = final_view.get().max(newest.saturating_sub(RETURNED_VIEWS)).saturating_add(1);
    let mut said = Vec::new();
    for view in (oldest..=newest).map(View::new) {
        said.extend(ledger.votes_by(epoch, view, member)?.into_iter().map(|kept| kept.signed));
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, B256};
    use baton_proto::{BlockDigest, Offence, Statement};

    use super::*;
    use crate::{
        driver::testing::{World, block_of},
        ledger::{ChainIdentity, MemoryLedger},
    };

    const VIEW: View = View::new(9);

    fn notarize(block: u8) -> Statement {
        Statement::Notarize { epoch: Epoch::new(2), view: VIEW, block: BlockDigest::new(B256::repeat_byte(block)) }
    }

    fn finalize(block: u8) -> Statement {
        Statement::Finalize { epoch: Epoch::new(2), view: VIEW, block: BlockDigest::new(B256::repeat_byte(block)) }
    }

    const NULLIFY: Statement = Statement::Nullify { epoch: Epoch::new(2), view: VIEW };

    /// What member 2, or who else is named, is accused of when it says something after what is kept here.
    struct Court {
        world: World,
        ledger: MemoryLedger,
    }

    impl Court {
        fn new() -> Self {
            let world = World::new(&[1, 1, 1, 1]);
            let identity = ChainIdentity { domain: world.domain, inbox: Address::ZERO, slasher: Address::ZERO };
            Self { ledger: MemoryLedger::new(&identity).unwrap(), world }
        }

        fn keeps(&self, signer: u8, statement: Statement, check: VoteCheck) -> SignedStatement {
            let (testimony, signed) = (Testimony::default(), self.world.sign(signer, statement));
            testimony.note(&signed, check);
            testimony.keep(&self.ledger).unwrap();
            signed
        }

        fn accused(&self, from: u8, message: &ConsensusMessage) -> Vec<(u8, Offence)> {
            let epoch = self.world.epoch_led_by_the_first(VIEW);
            let found = accused(&self.ledger, &epoch, MemberIndex::new(from), message).unwrap();
            found.iter().map(|evidence| (evidence.signer().get(), evidence.offence())).collect()
        }

        fn votes(&self, statement: Statement) -> Vec<(u8, Offence)> {
            self.accused(2, &ConsensusMessage::Vote { vote: self.world.sign(2, statement), leader: None })
        }
    }

    #[test]
    fn what_contradicts_a_kept_vote_of_the_same_member_is_an_accusation() {
        let court = Court::new();
        assert_eq!(court.votes(NULLIFY), [], "nothing is kept yet");
        court.keeps(2, finalize(1), VoteCheck::Unchecked);
        court.keeps(2, notarize(1), VoteCheck::Checked);
        court.keeps(1, notarize(7), VoteCheck::Checked);
        assert_eq!(court.votes(NULLIFY), [(2, Offence::NullifyFinalize)]);
        assert_eq!(court.votes(finalize(2)), [(2, Offence::DoubleFinalize)]);
        assert_eq!(court.votes(notarize(2)), [(2, Offence::DoubleNotarize)]);
        assert_eq!((court.votes(finalize(1)), court.votes(notarize(1))), (vec![], vec![]), "said again");
        let elsewhere = Statement::Nullify { epoch: Epoch::new(2), view: View::new(8) };
        let later = Statement::Nullify { epoch: Epoch::new(3), view: VIEW };
        assert_eq!((court.votes(elsewhere), court.votes(later)), (vec![], vec![]));
        // In the name of another, and in another's stream.
        let vote = court.world.sign(2, NULLIFY);
        assert_eq!(court.accused(1, &ConsensusMessage::Vote { vote, leader: None }), []);
    }

    #[test]
    fn every_pair_is_tried_what_was_checked_first() {
        let court = Court::new();
        court.keeps(2, finalize(1), VoteCheck::Unchecked);
        let true_one = court.keeps(2, finalize(2), VoteCheck::Checked);
        let epoch = court.world.epoch();
        let vote = court.world.sign(2, NULLIFY);
        let message = ConsensusMessage::Vote { vote: vote.clone(), leader: None };
        let found = accused(&court.ledger, &epoch, MemberIndex::new(2), &message).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], Evidence::new(true_one, vote).unwrap());
    }

    #[test]
    fn a_leader_is_accused_by_its_late_proposal_and_by_what_others_show_of_it() {
        let court = Court::new();
        let block = block_of(5, VIEW.get(), vec![]);
        let statement = Statement::Notarize { epoch: Epoch::new(2), view: VIEW, block: block.header.digest() };
        let proposal = ConsensusMessage::Proposal { block, notarize: court.world.sign(0, statement) };
        let vote = |leader| ConsensusMessage::Vote { vote: court.world.sign(3, notarize(5)), leader };
        let shown = vote(Some(court.world.sign(0, notarize(5)).signature));
        assert_eq!((court.accused(0, &proposal), court.accused(3, &shown)), (vec![], vec![]));
        // What nobody has checked of the leader must not make a voter look like a liar.
        court.keeps(0, notarize(1), VoteCheck::Unchecked);
        assert_eq!(court.accused(3, &shown), []);
        court.keeps(0, notarize(1), VoteCheck::Checked);
        let offence = vec![(0, Offence::DoubleNotarize)];
        assert_eq!((court.accused(0, &proposal), court.accused(3, &shown)), (offence.clone(), offence));
        assert_eq!(court.accused(3, &vote(None)), []);
    }

    #[test]
    fn what_waits_is_bounded() {
        let court = Court::new();
        let (testimony, vote) = (Testimony::default(), court.world.sign(1, NULLIFY));
        for _ in 0..WAITING_MAX + 5 {
            testimony.note(&vote, VoteCheck::Unchecked);
        }
        assert_eq!(testimony.waiting().len(), WAITING_MAX);
        testimony.keep(&court.ledger).unwrap();
        assert_eq!(testimony.waiting().len(), 0);
        assert_eq!(court.ledger.votes(Epoch::new(2), VIEW).unwrap().len(), 1);
        assert_eq!([4, 128].map(views_kept), [87_381, 2_730]);
    }
}
