//! Messages of an epoch that has not begun here: who is a moment ahead proposes and votes already, and says it only once.
//!
//! They cannot be checked before the epoch's committee is known, so they wait for that, a few of each member. Who sent one is
//! kept as a key, because the next epoch may have that member in another place.

use std::collections::VecDeque;

use baton_proto::{BlsPublicKey, Epoch, wire::ConsensusMessage};

/// Messages that wait, of all members together. Each takes a megabyte at the most, and only members' messages wait.
const EARLY_MAX: usize = 64;

/// Messages of one member that wait: a proposal, votes and certificates of the first two views.
const OF_A_MEMBER_MAX: usize = 8;

/// What came too early.
#[derive(Debug, Default)]
pub(super) struct Early {
    waiting: VecDeque<(BlsPublicKey, ConsensusMessage)>,
}

impl Early {
    /// Keeps a message from who has `key`, if it is one that matters later and there is room.
    pub(super) fn keep(&mut self, key: BlsPublicKey, message: &ConsensusMessage) {
        let matters = matches!(
            message,
            ConsensusMessage::Proposal { .. }
                | ConsensusMessage::CompactProposal { .. }
                | ConsensusMessage::Vote { .. }
                | ConsensusMessage::Certificate(_)
        );
        let of_member = self.waiting.iter().filter(|(from, _)| *from == key).count();
        if matters && of_member < OF_A_MEMBER_MAX && self.waiting.len() < EARLY_MAX {
            self.waiting.push_back((key, message.clone()));
        }
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
    }
}
