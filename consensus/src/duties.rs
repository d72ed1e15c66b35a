//! Who led and who missed its turn, as the final chain shows it.

use alloy_primitives::B256;
use baton_proto::{BlockHeader, Duties, Epoch, View, duties_root};

use crate::{Committee, Schedule};

/// Turns led and missed in one epoch up to some block of its final chain.
///
/// A block in the final chain is a turn led by its leader. The views between a block's parent and the block were skipped:
/// each is a turn missed by the leader the schedule names. Views above the last block count for nobody yet, and those
/// above the epoch's handover block never, in whatever view it became final. Pure, so that whoever has the chain computes the
/// same table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DutyTable {
    epoch: Epoch,
    rows: Vec<Duties>,
    last_view: View,
}

impl DutyTable {
    /// Starts the table of the committee's epoch at its root, where nobody has led yet.
    #[must_use]
    pub fn new(committee: &Committee) -> Self {
        Self { epoch: committee.epoch(), rows: vec![Duties::default(); committee.len()], last_view: View::ZERO }
    }

    /// Goes on with the rows of a table that was counted up to the block of `last`, without counting its blocks again. `None`
    /// if that block is of another epoch than the committee, or the rows are of another number of members.
    #[must_use]
    pub fn resume(committee: &Committee, rows: Vec<Duties>, last: &BlockHeader) -> Option<Self> {
        let epoch = committee.epoch();
        (last.epoch == epoch && rows.len() == committee.len()).then_some(Self { epoch, rows, last_view: last.view })
    }

    /// Counts the next final block of the epoch; blocks come in the order of their heights.
    ///
    /// `leaders` is the epoch's schedule. A header that does not follow (another epoch, a view not above the last) is
    /// not counted and gives `false`: the caller has mixed up its chain.
    pub fn extend(&mut self, leaders: &Schedule, header: &BlockHeader) -> bool {
        if header.epoch != self.epoch || header.view <= self.last_view {
            return false;
        }
        let mut view = self.last_view;
        while let Some(next) = view.next().filter(|next| *next < header.view) {
            self.row(leaders, next, |row| row.missed = row.missed.saturating_add(1));
            view = next;
        }
        self.row(leaders, header.view, |row| row.led = row.led.saturating_add(1));
        self.last_view = header.view;
        true
    }

    /// Returns one row per member in address order.
    #[must_use]
    pub fn rows(&self) -> &[Duties] {
        &self.rows
    }

    /// Returns the commitment that a batch header carries.
    #[must_use]
    pub fn root(&self) -> B256 {
        duties_root(self.epoch, &self.rows)
    }

    fn row(&mut self, leaders: &Schedule, view: View, count: impl FnOnce(&mut Duties)) {
        if let Some(row) = self.rows.get_mut(leaders.leader(view).as_usize()) {
            count(row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CommitteeMember;
    use alloy_primitives::Address;
    use baton_proto::{BlsPublicKey, Domain, L1BlockNumber, L1ChainId, L1Origin, L2ChainId, MemberIndex, Weight};

    #[test]
    fn final_blocks_count_for_their_leaders_and_skipped_views_against_theirs() {
        let member = |number: u8| CommitteeMember {
            owner: Address::repeat_byte(number),
            fee_recipient: Address::ZERO,
            weight: Weight::new(u64::from(number)),
            key: BlsPublicKey::new([number; 256]),
        };
        let committee = Committee::new(Epoch::new(2), vec![member(1), member(2), member(3)]).unwrap();
        let domain = Domain { l1_chain_id: L1ChainId::new(1), registry: Address::ZERO, l2_chain_id: L2ChainId::new(2) };
        let leaders = Schedule::leaders(&domain, &committee, B256::ZERO);
        let origin = L1Origin { number: L1BlockNumber::new(1), hash: B256::ZERO };
        let block = |epoch: u64, view: u64| BlockHeader {
            epoch: Epoch::new(epoch),
            view: View::new(view),
            ..BlockHeader::genesis(domain.l2_chain_id, origin, 0)
        };

        let mut table = DutyTable::new(&committee);
        // Views 1, 2, 5 and 6 made it; 3 and 4 were skipped; 7 is still open.
        assert!([1, 2, 5, 6].into_iter().all(|view| table.extend(&leaders, &block(2, view))));
        let of = |member: u8, views: &[u64]| {
            views.iter().filter(|view| leaders.leader(View::new(**view)) == MemberIndex::new(member)).count() as u64
        };
        for (member, row) in (0..3).zip(table.rows()) {
            assert_eq!(*row, Duties { led: of(member, &[1, 2, 5, 6]), missed: of(member, &[3, 4]) });
        }
        assert_eq!(table.root(), duties_root(Epoch::new(2), table.rows()));

        let last = block(2, 6);
        let resumed = DutyTable::resume(&committee, table.rows().to_vec(), &last).unwrap();
        assert_eq!(resumed, table);
        assert_eq!(DutyTable::resume(&committee, table.rows()[1..].to_vec(), &last), None);
        assert_eq!(DutyTable::resume(&committee, table.rows().to_vec(), &block(3, 6)), None);

        let before = table.clone();
        assert!(!table.extend(&leaders, &block(2, 6)), "a view twice");
        assert!(!table.extend(&leaders, &block(3, 9)), "another epoch");
        assert_eq!(table, before);
    }
}
