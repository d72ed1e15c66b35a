//! Telling those who have no stream of ours that a block is final.

use baton_consensus::Schedule;
use baton_proto::{
    BlockHeader, Certificate, MemberIndex, View,
    wire::{Announcement, FinalHeader},
};

use super::{Driver, turn::Said};

/// Returns whether `me` is one of the two who publish the finalization of `view`: its leader, and the leader of the view
/// after it.
///
/// Every member gathers the certificate on its own, each under a bitmap of its own, so that if all published it, gossip
/// would carry as many copies as there are members. Two are enough: should both be away, the next final block, which
/// comes within an idle view, says as much.
fn publishes(me: MemberIndex, view: View, leaders: &Schedule) -> bool {
    [Some(view), view.next()].into_iter().flatten().any(|view| leaders.leader(view) == me)
}

impl Driver {
    /// Gossips the finalization of the last block of `chain` at the end of the turn, if that is ours to do.
    pub(super) fn announce_final(&mut self, chain: &[BlockHeader], certificate: &Certificate) {
        let (Some(me), Some(header)) = (self.context.epoch.me(), chain.last()) else { return };
        let (Some(block), Some(view)) = (certificate.statement.block(), certificate.statement.view()) else { return };
        if block == header.digest() && publishes(me, view, &self.context.epoch.leaders) {
            let announced = FinalHeader { header: header.clone(), finalization: certificate.clone() };
            self.turn.say(Said::Announce(Announcement::Final(announced)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use alloy_primitives::B256;

    use super::*;
    use crate::driver::testing::World;

    #[test]
    fn a_view_has_one_or_two_publishers() {
        let world = World::new(&[32, 28, 22, 18]);
        let committee = Arc::clone(&world.committee);
        let leaders = Schedule::leaders(&world.domain, &committee, B256::repeat_byte(1));
        for view in (1..500).map(View::new) {
            let who: Vec<_> = committee.indices().filter(|me| publishes(*me, view, &leaders)).collect();
            assert!(who.contains(&leaders.leader(view)) && who.len() <= 2, "{who:?}");
        }
    }
}
