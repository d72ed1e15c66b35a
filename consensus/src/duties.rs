//! Who led and who missed its turn, as the final chain shows it.

use baton_proto::{BlockHeader, Duties, Epoch, View, duties_root};

use crate::{Committee, Schedule};
use alloy_primitives::B256;

/// Turns led and missed in one epoch up to some block of its final chain.
///
/// A block in the final chain is a turn led by its leader. The views between a block's parent and the block were skipped:
/// each is a turn missed by the leader the schedule names. Views above the last block count for nobody yet. Pure, so that
/// whoever has the chain computes the same table.
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
