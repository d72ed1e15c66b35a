//! Protocol names: they carry a version and the chain, so that peers of another chain cannot even open a stream.

use baton_proto::Domain;
use libp2p::{StreamProtocol, gossipsub::IdentTopic};

/// How every Baton node's version begins.
pub(super) const VERSION_PREFIX: &str = "baton/";

/// The version of the protocol between nodes that this node speaks. Nodes of unlike versions refuse each other.
const VERSION: u32 = 2;

/// The names under which this chain's nodes speak.
#[derive(Clone, Debug)]
pub(super) struct ChainProtocols {
    /// Consensus streams.
    pub(super) consensus: StreamProtocol,
    /// Requests for blocks.
    pub(super) sync: StreamProtocol,
    /// Challenges: who a peer is.
    pub(super) prove: StreamProtocol,
    /// Questions whom a peer knows.
    pub(super) directory: StreamProtocol,
    /// Gossip topic of transactions.
    pub(super) transactions: IdentTopic,
    /// Gossip topic of final headers with their certificates.
    pub(super) finals: IdentTopic,
    /// Gossip topic of evidence.
    pub(super) evidence: IdentTopic,
    /// What a node says about itself in `identify`: unequal strings mean another chain or an unknown version.
    pub(super) version: String,
}

impl ChainProtocols {
    /// Returns the names for the chain that `domain` describes.
    pub(super) fn of(domain: &Domain) -> Self {
        Self::of_version(VERSION, domain)
    }

    /// Returns the names that nodes of another version have for it.
    pub(super) fn of_version(version: u32, domain: &Domain) -> Self {
        let chain = format!("{}/{:#x}/{}", domain.l1_chain_id, domain.registry, domain.l2_chain_id);
        let stream = |kind: &str| {
            StreamProtocol::try_from_owned(format!("/baton/{kind}/{version}/{chain}"))
                .expect("the name starts with a slash")
        };
        let topic = |kind: &str| IdentTopic::new(format!("/baton/{kind}/{version}/{chain}"));
        Self {
            consensus: stream("consensus"),
            sync: stream("sync"),
            prove: stream("prove"),
            directory: stream("peers"),
            transactions: topic("transactions"),
            finals: topic("finals"),
            evidence: topic("evidence"),
            version: format!("{VERSION_PREFIX}{version}/{chain}"),
        }
    }

    /// Returns every gossip topic of this chain.
    pub(super) const fn topics(&self) -> [&IdentTopic; 3] {
        [&self.transactions, &self.finals, &self.evidence]
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;
    use baton_proto::{L1ChainId, L2ChainId};

    use super::*;

    #[test]
    fn every_part_of_the_domain_is_in_every_name() {
        let domain = Domain {
            l1_chain_id: L1ChainId::new(31_337),
            registry: Address::repeat_byte(0xab),
            l2_chain_id: L2ChainId::new(778),
        };
        let names = ChainProtocols::of(&domain);
        let chain = format!("{VERSION}/31337/0x{}/778", "ab".repeat(20));
        assert_eq!(names.consensus.as_ref(), format!("/baton/consensus/{chain}"));
        assert_eq!(names.sync.as_ref(), format!("/baton/sync/{chain}"));
        assert_eq!(names.prove.as_ref(), format!("/baton/prove/{chain}"));
        assert_eq!(names.directory.as_ref(), format!("/baton/peers/{chain}"));
        let topics = names.topics().map(|topic| topic.hash().into_string());
        assert_eq!(topics, ["transactions", "finals", "evidence"].map(|kind| format!("/baton/{kind}/{chain}")));
        assert_eq!(names.version, format!("baton/{chain}"));
    }
}
