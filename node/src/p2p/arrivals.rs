//! Who came to us, in order: before strangers fill all their places, the oldest of them go.
//!
//! A member is a stranger until it has proven itself, which takes it two round trips and whoever came last is the last to
//! go; so strangers that only sit there keep no member out.

use libp2p::{PeerId, swarm::ConnectionId};

use super::behaviour::STRANGERS_MAX;

/// Strangers' connections that are kept: three quarters of the most there may be. The rest is for those that are being
/// closed, and for whoever comes meanwhile.
pub(super) const STRANGERS_KEPT_MAX: usize = STRANGERS_MAX as usize / 4 * 3;

/// The connections that others opened, the oldest first; the limits on connections bound them.
#[derive(Default)]
pub(super) struct Arrivals(Vec<(ConnectionId, PeerId)>);

impl Arrivals {
    /// Notes that `peer` has connected, and returns strangers' connections that are to be closed: the oldest ones above
    /// [`STRANGERS_KEPT_MAX`]. A stranger is whoever is one now, whatever it was when it came.
    pub(super) fn came(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        is_stranger: impl Fn(&PeerId) -> bool,
    ) -> Vec<ConnectionId> {
        self.0.push((connection, peer));
        let strangers: Vec<ConnectionId> =
            self.0.iter().filter(|(_, peer)| is_stranger(peer)).map(|(connection, _)| *connection).collect();
        let (too_many, _) = strangers.split_at(strangers.len().saturating_sub(STRANGERS_KEPT_MAX));
        self.0.retain(|(connection, _)| !too_many.contains(connection));
        too_many.to_vec()
    }

    /// Forgets a connection that is gone.
    pub(super) fn gone(&mut self, connection: ConnectionId) {
        self.0.retain(|(known, _)| *known != connection);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn connection(n: usize) -> ConnectionId {
        ConnectionId::new_unchecked(n)
    }

    #[test]
    fn the_oldest_strangers_go_and_members_stay() {
        let (mut arrivals, mut members) = (Arrivals::default(), HashSet::new());
        let peers: Vec<PeerId> = (0..STRANGERS_KEPT_MAX + 20).map(|_| PeerId::random()).collect();
        // The first ten have become members since.
        members.extend(peers[..10].iter().copied());
        for (n, peer) in peers.iter().enumerate() {
            let closed = arrivals.came(connection(n), *peer, |peer| !members.contains(peer));
            let expected: Vec<ConnectionId> =
                n.checked_sub(STRANGERS_KEPT_MAX + 10).map(|excess| connection(10 + excess)).into_iter().collect();
            assert_eq!(closed, expected, "{n}");
        }
        // A place comes free with a connection that ends.
        arrivals.gone(connection(50));
        assert_eq!(arrivals.came(connection(1_000), PeerId::random(), |peer| !members.contains(peer)), []);
        // Who is a member no longer is the oldest stranger.
        members.remove(&peers[3]);
        let closed = arrivals.came(connection(1_001), PeerId::random(), |peer| !members.contains(peer));
        assert_eq!(closed, [connection(3), connection(20)]);
    }
}
