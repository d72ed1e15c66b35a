//! Going along when epochs change: who joins, leaves or moves does so on the connection that it has.

use std::time::Duration;

use libp2p::PeerId;
use tracing::info;

use super::{
    NetworkEvent,
    behaviour::connections,
    service::{Running, Service},
};

/// How long after an epoch's begin all who are not connected are dialled: others enter it in the same moment.
const DIAL_WITHIN: Duration = Duration::from_millis(500);

impl Service {
    /// There is another epoch. Proofs stay; what follows from them does not.
    pub(super) fn on_epochs(&mut self, running: &mut Running) {
        *self.swarm.behaviour_mut().limits.limits_mut() = connections(self.seats.count());
        self.discovery.learned.reconsider();
        for peer in self.discovery.book.forget_unless(|key| self.seats.has(key)) {
            self.forget_target(&peer);
        }
        let proven: Vec<PeerId> = self.shared.members.borrow().proven().copied().collect();
        for peer in proven {
            self.settle(peer);
        }
        let observers: Vec<PeerId> = self.shared.observers.iter().copied().collect();
        for observer in observers {
            self.settle_observer(observer);
        }
        self.check_candidates(running);
        self.begin_epoch();
    }

    /// Tells the node who of a new epoch's members is there.
    fn begin_epoch(&mut self) {
        let context = self.seats.running();
        if context.epoch <= self.epoch {
            return;
        }
        self.epoch = context.epoch;
        // Whoever joins may have been told of too early, or have waited for us to know it.
        self.dialer.hurry(DIAL_WITHIN);
        self.ask_directories_soon();
        let (epoch, me) = (context.epoch, self.seats.ours_in(&context));
        info!(%epoch, members = context.committee.len(), ?me, "the network is in another epoch");
        for (member, key) in
            context.committee.indices().zip(context.committee.members().iter().map(|member| member.key))
        {
            if !self.shared.members.borrow().peers(&key).is_empty() {
                self.notice(NetworkEvent::MemberConnected { epoch, member });
            }
        }
    }

    /// Gives a peer that has proven a key what is due to a member's, or ends that.
    pub(super) fn settle(&mut self, peer: PeerId) {
        if !self.is_member(&peer) {
            return self.silence(&peer);
        }
        self.welcome(peer);
        self.on_found(peer);
        self.settle_lane(peer);
    }

    /// Has a lane to a connected observer as long as we have something to say.
    pub(super) fn settle_observer(&mut self, observer: PeerId) {
        if self.swarm.is_connected(&observer) {
            self.settle_lane(observer);
        }
    }

    fn settle_lane(&mut self, peer: PeerId) {
        if self.seats.has_ours() {
            self.lanes.open(peer);
        } else {
            self.lanes.close(&peer);
        }
    }

    /// Returns whether `peer` has proven a key that has a seat in an epoch that is remembered.
    pub(super) fn is_member(&self, peer: &PeerId) -> bool {
        let members = self.shared.members.borrow();
        members.keys(peer).iter().any(|key| self.seats.has(key))
    }
}
