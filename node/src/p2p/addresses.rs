//! Which addresses that others name may be dialled.

use std::net::IpAddr;

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};

/// Most addresses of one peer that are remembered or handed on.
pub(super) const ADDRESSES_PER_PEER_MAX: usize = 8;

/// Most bytes of one address: a DNS name has 253 at most.
pub(super) const ADDRESS_BYTES_MAX: usize = 320;

/// How far an address reaches: a private one means another host in every network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// This host.
    Loopback,
    /// This network.
    Private,
    /// Everywhere.
    Public,
}

impl Reach {
    /// Returns how near the peer at the other end of a connection is. A name that we dialled may stand for a private
    /// address.
    pub(super) fn of_remote(remote: &Multiaddr) -> Self {
        match remote.iter().next() {
            Some(Protocol::Ip4(ip)) => Self::of_ip(ip.into()).unwrap_or(Self::Public),
            Some(Protocol::Ip6(ip)) => Self::of_ip(ip.into()).unwrap_or(Self::Public),
            _ => Self::Private,
        }
    }

    /// Returns how far an IP address reaches; `None` for one that is no single host.
    fn of_ip(ip: IpAddr) -> Option<Self> {
        let is_private = match ip {
            IpAddr::V4(ip) => {
                let [a, b, ..] = ip.octets();
                // 100.64.0.0/10 lies behind carriers' gateways.
                ip.is_private() || ip.is_link_local() || (a == 100 && b & 0xc0 == 64)
            }
            IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
        };
        let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
        match ip {
            ip if ip.is_unspecified() || ip.is_multicast() || is_broadcast => None,
            ip if ip.is_loopback() => Some(Self::Loopback),
            _ if is_private => Some(Self::Private),
            _ => Some(Self::Public),
        }
    }
}

/// Returns `address` without its `/p2p/` part if it may be dialled for `peer`, told by somebody who is as near as `near`.
///
/// It is an IP address or a name, then a TCP port, or a UDP port with QUIC, and nothing more. An address that reaches less
/// far than the way to who tells it would mean another host here, so it is not believed: nobody far away makes us dial
/// into our own network. A name may stand for any address, so only who is on this host is believed one; an operator who
/// writes names into the configuration is not asked.
pub(super) fn dialable(address: &Multiaddr, peer: &PeerId, near: Reach) -> Option<Multiaddr> {
    let mut address = address.clone();
    if address.len() > ADDRESS_BYTES_MAX {
        return None;
    }
    if let Some(Protocol::P2p(named)) = address.iter().last() {
        if named != *peer {
            return None;
        }
        address.pop();
    }
    let mut parts = address.iter();
    let reach = match parts.next()? {
        Protocol::Ip4(ip) => Reach::of_ip(ip.into())?,
        Protocol::Ip6(ip) => Reach::of_ip(ip.into())?,
        // Whoever owns a name decides what it stands for, and may say this host when we ask.
        Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) if !name.is_empty() => Reach::Loopback,
        _ => return None,
    };
    let is_whole = match (parts.next()?, parts.next(), parts.next()) {
        (Protocol::Tcp(port), None, None) => port != 0,
        (Protocol::Udp(port), Some(Protocol::QuicV1), None) => port != 0,
        _ => false,
    };
    (is_whole && reach >= near).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_a_host_and_a_port_and_reaches_as_far_as_its_teller() {
        let peer = PeerId::random();
        let is_dialable = |text: &str, near| dialable(&address(text), &peer, near).is_some();
        for public in ["/ip4/8.8.8.8/tcp/1", "/ip6/2606::1/udp/1/quic-v1"] {
            assert!(
                [Reach::Loopback, Reach::Private, Reach::Public].map(|near| is_dialable(public, near)) == [true; 3]
            );
        }
        for private in ["/ip4/10.0.0.1/tcp/1", "/ip4/172.18.0.2/tcp/1", "/ip4/100.64.0.1/tcp/1", "/ip6/fd00::1/tcp/1"] {
            assert!(is_dialable(private, Reach::Private) && !is_dialable(private, Reach::Public), "{private}");
        }
        // What a name stands for is known only when it is dialled.
        for local in ["/ip4/127.0.0.1/tcp/1", "/dns4/node1/tcp/1", "/dns6/a.b/tcp/1", "/dns/a.b/udp/2/quic-v1"] {
            assert!(is_dialable(local, Reach::Loopback), "{local}");
            assert!(!is_dialable(local, Reach::Private) && !is_dialable(local, Reach::Public), "{local}");
        }
        for none in [
            "/ip4/0.0.0.0/tcp/1",
            "/ip4/255.255.255.255/tcp/1",
            "/ip4/224.0.0.1/udp/1/quic-v1",
            "/ip4/8.8.8.8/tcp/0",
            "/ip4/8.8.8.8",
            "/ip4/8.8.8.8/udp/1",
            "/ip4/8.8.8.8/tcp/1/ws",
            "/dnsaddr/a.b/tcp/1",
            "/tcp/1",
        ] {
            assert!(!is_dialable(none, Reach::Loopback), "{none}");
        }
        let named = address("/ip4/8.8.8.8/tcp/1").with(Protocol::P2p(peer));
        assert_eq!(dialable(&named, &peer, Reach::Public), Some(address("/ip4/8.8.8.8/tcp/1")));
        assert_eq!(dialable(&named, &PeerId::random(), Reach::Public), None);
    }

    #[test]
    fn the_other_end_is_as_near_as_its_address() {
        assert_eq!(Reach::of_remote(&address("/ip4/127.0.0.1/tcp/1")), Reach::Loopback);
        assert_eq!(Reach::of_remote(&address("/ip4/192.168.0.9/tcp/1")), Reach::Private);
        assert_eq!(Reach::of_remote(&address("/dns4/node1/tcp/1")), Reach::Private);
        assert_eq!(Reach::of_remote(&address("/ip6/2606::1/udp/1/quic-v1")), Reach::Public);
    }
}
