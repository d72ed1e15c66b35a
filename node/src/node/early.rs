//! Messages of an epoch that has not begun here: who is a moment ahead proposes and votes already, and says it only once.
//!
//! They cannot be checked before the epoch's committee is known, so they wait for that, a few of each member. Who sent one is
//! kept as a key, because the next epoch may have that member in another place. Anybody can name any epoch: what is of the
//! furthest one makes room for what is nearer, and where all are as near, who has most waiting makes room for the others.

use std::collections::VecDeque;

use baton_proto::{BlsPublicKey, Epoch, limits::COMPACT_ABOVE_BYTES, wire::ConsensusMessage};

/// Messages that wait, of all members together. A block above [`COMPACT_ABOVE_BYTES`], which honest leaders propose by its
/// transactions' hashes, does not wait, so they take a few megabytes in all.
const EARLY_MAX: usize = 64;

/// Messages of one member that wait: a proposal, votes and certificates of the first two views.
const OF_A_MEMBER_MAX: usize = 8;

/// What came too early.
#[derive(Debug, Default)]
pub(super) struct Early {
    waiting: VecDeque<(BlsPublicKey, ConsensusMessage)>,
}

impl Early {
    /// Keeps a message from who has `key`, if it is one that matters later and there is room or something makes room for it.
    pub(super) fn keep(&mut self, key: BlsPublicKey, message: &ConsensusMessage) {
        let matters = match message {
            ConsensusMessage::Proposal { block, .. } => block.header.payload_bytes as usize <= COMPACT_ABOVE_BYTES,
            ConsensusMessage::CompactProposal { .. }
            | ConsensusMessage::Vote { .. }
            | ConsensusMessage::Certificate(_) => true,
            ConsensusMessage::CertificateRequest { .. }
            | ConsensusMessage::Evidence(_)
            | ConsensusMessage::BatchProposal { .. }
            | ConsensusMessage::Attestation(_) => false,
        };
        if matters && self.place_for(&key, message.epoch()) {
            self.waiting.push_back((key, message.clone()));
        }
    }

    /// Has room for one more message of `key` about `epoch`, if there is a reason to.
    fn place_for(&mut self, key: &BlsPublicKey, epoch: Epoch) -> bool {
        let share = |of: &BlsPublicKey| self.waiting.iter().filter(|(from, _)| from == of).count();
        let own = share(key);
        let among = |is_meant: &dyn Fn(&BlsPublicKey) -> bool| {
            let entries = self.waiting.iter().enumerate().filter(|(_, (from, _))| is_meant(from));
            entries.map(|(place, (from, message))| (message.epoch(), share(from), place)).max()
        };
        let goes = if own >= OF_A_MEMBER_MAX {
            among(&|from| from == key).filter(|(furthest, ..)| *furthest > epoch)
        } else if self.waiting.len() >= EARLY_MAX {
            among(&|_| true).filter(|(furthest, most, _)| (*furthest, *most) > (epoch, own.saturating_add(1)))
        } else {
            return true;
        };
        let gone = goes.and_then(|(.., place)| self.waiting.remove(place));
        gone.is_some()
    }

    /// Takes out what is of `epoch`, which begins, in the order in which it came. What is of an earlier one is dropped.
    pub(super) fn take(&mut self, epoch: Epoch) -> Vec<(BlsPublicKey, ConsensusMessage)> {
        let (now, later): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .filter(|(_, message)| message.epoch() >= epoch)
            .partition(|(_, message)| message.epoch() == epoch);
        self.waiting = later;
        now.into()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use baton_proto::{Statement, View};

    use super::*;
    use crate::driver::testing::World;

    fn key(n: u8) -> BlsPublicKey {
        BlsPublicKey::new([n; 256])
    }

    fn vote(epoch: u64, view: u64) -> ConsensusMessage {
        let statement = Statement::Nullify { epoch: Epoch::new(epoch), view: View::new(view) };
        ConsensusMessage::Vote { vote: World::new(&[1]).sign(0, statement), leader: None }
    }

    #[test]
    fn what_is_of_the_epoch_that_begins_comes_out_in_order_and_what_is_older_never() {
        let mut early = Early::default();
        for (member, message) in [(1, vote(3, 1)), (2, vote(4, 1)), (1, vote(5, 1)), (2, vote(4, 2)), (3, vote(4, 1))] {
            early.keep(key(member), &message);
        }
        let now = early.take(Epoch::new(4));
        assert_eq!(now, [(key(2), vote(4, 1)), (key(2), vote(4, 2)), (key(3), vote(4, 1))]);
        assert_eq!(early.take(Epoch::new(5)), [(key(1), vote(5, 1))]);
        assert!(early.take(Epoch::new(3)).is_empty());
    }

    #[test]
    fn nobody_takes_more_than_its_share_and_questions_do_not_wait() {
        let mut early = Early::default();
        early.keep(key(0), &ConsensusMessage::CertificateRequest { epoch: Epoch::new(3), view: View::new(1) });
        assert!(early.waiting.is_empty());
        let message = vote(3, 1);
        for _ in 0..2 * OF_A_MEMBER_MAX {
            early.keep(key(1), &message);
        }
        assert_eq!(early.waiting.len(), OF_A_MEMBER_MAX);
        for member in 0..2 * EARLY_MAX {
            early.keep(key(u8::try_from(member).unwrap()), &message);
        }
        assert_eq!(early.waiting.len(), EARLY_MAX);
        // All are as near, so who had most gave to the others, down to what each of those has.
        let taken = early.take(Epoch::new(3));
        assert_eq!(taken.iter().filter(|(from, _)| *from == key(1)).count(), 1);
        assert_eq!(taken.iter().map(|(from, _)| from).collect::<HashSet<_>>().len(), EARLY_MAX);
    }

    #[test]
    fn what_is_of_far_epochs_makes_room_for_what_is_near() {
        let mut early = Early::default();
        let epochs = |early: &Early, member| {
            let of_member = early.waiting.iter().filter(|(from, _)| *from == key(member));
            of_member.map(|(_, message)| message.epoch().get()).collect::<Vec<_>>()
        };
        // Eight liars take all places with epochs that never come.
        for liar in 0..8 {
            for n in 0..2 * OF_A_MEMBER_MAX as u64 {
                early.keep(key(liar), &vote(u64::MAX - n, 1));
            }
        }
        assert_eq!(early.waiting.len(), EARLY_MAX);
        // The nearest of theirs are kept, and even a liar's own word on the next epoch.
        assert!(epochs(&early, 0).iter().all(|epoch| *epoch <= u64::MAX - OF_A_MEMBER_MAX as u64));
        early.keep(key(0), &vote(3, 1));
        assert_eq!(epochs(&early, 0).len(), OF_A_MEMBER_MAX);
        for member in 8..15 {
            for view in 0..2 * OF_A_MEMBER_MAX as u64 {
                early.keep(key(member), &vote(3, view));
            }
            assert_eq!(epochs(&early, member).len(), OF_A_MEMBER_MAX);
        }
        assert_eq!(epochs(&early, 0), [3]);
        early.keep(key(20), &vote(u64::MAX, 1));
        assert!(epochs(&early, 20).is_empty(), "for what is as far nothing gives way");
        assert_eq!(early.waiting.len(), EARLY_MAX);
    }
}
