//! Who is who: the peers that the configuration names.

use std::collections::{BTreeMap, HashMap};

use baton_proto::MemberIndex;
use libp2p::{Multiaddr, PeerId};

use super::{NetworkConfig, StartError};

/// The configured peers other than ourselves.
pub(super) struct Peers {
    by_peer: HashMap<PeerId, MemberIndex>,
    by_member: BTreeMap<MemberIndex, PeerId>,
}

impl Peers {
    /// Checks the configuration's peers against each other and against our own identity.
    ///
    /// # Errors
    /// [`StartError`]: an index or a peer id occurs twice, or the configuration gives our index another identity.
    pub(super) fn of(config: &NetworkConfig) -> Result<Self, StartError> {
        let ours = config.identity.public().to_peer_id();
        let mut peers = Self { by_peer: HashMap::new(), by_member: BTreeMap::new() };
        for member in &config.members {
            if Some(member.index) == config.me {
                if member.peer != ours {
                    let (configured, ours) = (Box::new(member.peer), Box::new(ours));
                    return Err(StartError::OtherIdentity { me: member.index, configured, ours });
                }
                continue;
            }
            if member.peer == ours {
                return Err(StartError::OurIdentity { member: member.index, ours });
            }
            if peers.by_member.insert(member.index, member.peer).is_some() {
                return Err(StartError::DuplicateMember(member.index));
            }
            if peers.by_peer.insert(member.peer, member.index).is_some() {
                return Err(StartError::DuplicatePeer(member.peer));
            }
        }
        for (index, (observer, _)) in config.observers.iter().enumerate() {
            let twice = config.observers.iter().skip(index + 1).any(|(other, _)| other == observer);
            if *observer == ours || twice || peers.by_peer.contains_key(observer) {
                return Err(StartError::DuplicatePeer(*observer));
            }
        }
        Ok(peers)
    }

    /// Returns which member `peer` is.
    pub(super) fn member(&self, peer: &PeerId) -> Option<MemberIndex> {
        self.by_peer.get(peer).copied()
    }

    /// Returns the peer that `member` is.
    pub(super) fn peer(&self, member: MemberIndex) -> Option<PeerId> {
        self.by_member.get(&member).copied()
    }

    /// Returns all members in order.
    pub(super) fn members(&self) -> impl Iterator<Item = (MemberIndex, PeerId)> {
        self.by_member.iter().map(|(member, peer)| (*member, *peer))
    }
}

/// Returns the peers to keep connected, with their addresses; a peer without one is waited for.
pub(super) fn dial_targets(config: &NetworkConfig) -> HashMap<PeerId, Vec<Multiaddr>> {
    let ours = config.identity.public().to_peer_id();
    let members = config.members.iter().map(|member| (member.peer, member.addresses.clone()));
    let observers = config.observers.iter().map(|(peer, address)| (*peer, vec![address.clone()]));
    members.chain(observers).filter(|(peer, addresses)| *peer != ours && !addresses.is_empty()).collect()
}
