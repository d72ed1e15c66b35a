//! The libp2p parts that one node runs, with their limits.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use baton_proto::limits::{GOSSIP_BYTES_MAX, RANGE_ANSWER_BYTES_MAX, SYNC_REQUEST_BYTES_MAX};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, Transport as _, allow_block_list, connection_limits,
    core::{
        muxing::StreamMuxerBox,
        transport::{Boxed, ListenerId},
        upgrade,
    },
    dns, gossipsub, identify,
    identity::Keypair,
    multiaddr::Protocol,
    noise, ping, quic, request_response,
    swarm::{self, NetworkBehaviour},
    tcp, yamux,
};
use sha2::{Digest as _, Sha256};

use super::{
    StartError,
    claim::{ANSWER_BYTES_MAX, CHALLENGE_BYTES},
    directory::{self, DIRECTORY_BYTES_MAX},
    frame_codec::FrameCodec,
    members::PEERS_PER_MEMBER_MAX,
    protocol::ChainProtocols,
};

/// Most connections from peers that are neither configured nor known as members, and most handshakes at once each way.
/// What [`Arrivals`](super::arrivals::Arrivals) leaves free of it is for a member that has yet to prove itself.
pub(super) const STRANGERS_MAX: u32 = 128;
const HANDSHAKES_MAX: u32 = 64;

/// Most connections with one stranger.
const CONNECTIONS_PER_STRANGER_MAX: u32 = 2;

/// Most streams on one connection: a consensus stream each way, gossip, identify, ping and requests. Each may make us buffer
/// 256 KiB.
const STREAMS_MAX: usize = 64;

/// Longest time from the first packet to a connection that is encrypted and ready.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Most bytes of a QUIC stream, and of all streams of a connection, that we buffer unread. A stream's are half of the
/// largest proposal, which then takes two round trips; a connection's are what 16 yamux streams start with.
const QUIC_STREAM_BYTES_MAX: u32 = 1024 * 1024;
const QUIC_CONNECTION_BYTES_MAX: u32 = 4 * 1024 * 1024;

/// Most of them in negotiation.
const NEGOTIATING_STREAMS_MAX: usize = 32;

/// Connections of strangers that do nothing end after this. Streams and gossip keep a connection in use.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// A connection whose peer does not answer a ping is closed: its machine may be gone without a word.
const PING_INTERVAL: Duration = Duration::from_secs(3);
const PING_TIMEOUT: Duration = Duration::from_secs(6);

/// Most requests and answers at once on one connection, and how long one may take.
const SYNC_STREAMS_MAX: usize = 16;
pub(super) const SYNC_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a challenge, or a question whom a peer knows, may take: a signature and a round trip, on a
/// machine that is busy with other things.
const PROVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Most of either at once on one connection: one of ours, one of theirs, and one that is being closed.
const PROVE_STREAMS_MAX: usize = 3;

/// Room for the topic and protobuf tags around the largest gossip message.
const GOSSIP_ENVELOPE_BYTES: usize = 1_024;

/// Most gossip messages that wait for one peer: 16 MiB of the largest.
const GOSSIP_QUEUE_MESSAGES_MAX: usize = 64;

/// Bytes of a gossip message's id.
const GOSSIP_ID_BYTES: usize = 20;

/// The gossip of Ethereum's own consensus nodes, which has the same task: to reach thousands within a part of a second
/// over few links. Each node keeps 8 links per topic, takes more below 6 and drops some above 12, and looks after them,
/// and tells what it has, every 700 ms. Source: ethereum/consensus-specs, `phase0/p2p-interface.md`, "The gossip domain".
const GOSSIP_HEARTBEAT: Duration = Duration::from_millis(700);
const MESH_PEERS: usize = 8;
const MESH_PEERS_MIN: usize = 6;
pub(super) const MESH_PEERS_MAX: usize = 12;

/// How long a message id is remembered, so that a message is not taken twice. Gossip offers a message for a few heartbeats,
/// and what is slow has come within seconds; what comes again after this is known to the pool, to the judges of
/// announcements, or by its sender, and costs little. Ids of 20 bytes at a thousand messages a second take some 10 MB.
pub(super) const GOSSIP_SEEN: Duration = Duration::from_secs(120);

/// After what time a transaction is worth gossiping again: gossip's memory of the message counts from when it went out, which
/// may be later than when it was given to it.
pub(crate) const GOSSIP_AGAIN_AFTER: Duration = Duration::from_secs(150);

const _: () = assert!(GOSSIP_AGAIN_AFTER.as_secs() > GOSSIP_SEEN.as_secs(), "gossip would still refuse it");

pub(super) type Gossip = gossipsub::Behaviour<gossipsub::IdentityTransform, gossipsub::WhitelistSubscriptionFilter>;

/// Everything a node does on its connections. The refusing parts come first.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    pub(super) refused: allow_block_list::Behaviour<allow_block_list::BlockedPeers>,
    pub(super) limits: connection_limits::Behaviour,
    pub(super) streams: libp2p_stream::Behaviour,
    pub(super) gossip: Gossip,
    pub(super) sync: request_response::Behaviour<FrameCodec>,
    pub(super) prove: request_response::Behaviour<FrameCodec>,
    pub(super) directory: request_response::Behaviour<FrameCodec>,
    pub(super) identify: identify::Behaviour,
    pub(super) ping: ping::Behaviour,
}

/// Makes a swarm that listens nowhere yet, where `seats` keys have a seat. `reserved` are peers that the limits for
/// strangers do not apply to.
///
/// # Errors
/// [`StartError::Dns`]: some address needs a resolver and the system has none. [`StartError::Setup`]: a setting of ours
/// contradicts another.
pub(super) fn swarm<'a>(
    identity: &Keypair,
    protocols: &ChainProtocols,
    seats: usize,
    reserved: impl Iterator<Item = &'a PeerId>,
    addresses: impl Iterator<Item = &'a Multiaddr>,
) -> Result<Swarm<Behaviour>, StartError> {
    let needs_dns = addresses
        .flat_map(Multiaddr::iter)
        .any(|part| matches!(part, Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_) | Protocol::Dnsaddr(_)));
    let transport = transport(identity, needs_dns)?;
    let config = swarm::Config::with_tokio_executor()
        .with_idle_connection_timeout(IDLE_TIMEOUT)
        .with_max_negotiating_inbound_streams(NEGOTIATING_STREAMS_MAX);
    let behaviour = behaviour(identity, protocols, seats, reserved)?;
    Ok(Swarm::new(transport, behaviour, identity.public().to_peer_id(), config))
}

fn transport(identity: &Keypair, needs_dns: bool) -> Result<Boxed<(PeerId, StreamMuxerBox)>, StartError> {
    let noise = noise::Config::new(identity).map_err(|error| StartError::Setup(error.to_string()))?;
    let mut yamux = yamux::Config::default();
    yamux.set_max_num_streams(STREAMS_MAX);
    let tcp = tcp::tokio::Transport::new(tcp::Config::new().nodelay(true))
        .upgrade(upgrade::Version::V1)
        .authenticate(noise)
        .multiplex(yamux)
        .timeout(CONNECT_TIMEOUT)
        .boxed();
    let mut quic = quic::Config::new(identity);
    quic.handshake_timeout = CONNECT_TIMEOUT;
    quic.max_concurrent_stream_limit = STREAMS_MAX as u32;
    quic.max_stream_data = QUIC_STREAM_BYTES_MAX;
    quic.max_connection_data = QUIC_CONNECTION_BYTES_MAX;
    let quic =
        quic::tokio::Transport::new(quic).map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection))).boxed();
    let both = tcp.or_transport(quic).map(|either, _| either.into_inner());
    // A name is resolved only where a name is configured, so that a node without a resolver runs on plain addresses.
    Ok(if needs_dns { dns::tokio::Transport::system(both).map_err(StartError::Dns)?.boxed() } else { both.boxed() })
}

/// Returns the limits on connections where `seats` keys have a seat.
///
/// The library counts members among those who came, though it keeps none of them out: they get places of their own.
pub(super) fn connections(seats: usize) -> connection_limits::ConnectionLimits {
    let members_max = u32::try_from(seats.saturating_mul(PEERS_PER_MEMBER_MAX)).unwrap_or(u32::MAX);
    connection_limits::ConnectionLimits::default()
        .with_max_pending_incoming(Some(HANDSHAKES_MAX))
        .with_max_pending_outgoing(Some(HANDSHAKES_MAX))
        .with_max_established_incoming(Some(STRANGERS_MAX.saturating_add(members_max)))
        .with_max_established_per_peer(Some(CONNECTIONS_PER_STRANGER_MAX))
}

fn behaviour<'a>(
    identity: &Keypair,
    protocols: &ChainProtocols,
    seats: usize,
    reserved: impl Iterator<Item = &'a PeerId>,
) -> Result<Behaviour, StartError> {
    let mut limits = connection_limits::Behaviour::new(connections(seats));
    for peer in reserved {
        limits.bypass_peer_id(peer);
    }
    let requests = |protocol: &StreamProtocol, codec, timeout, streams_max| {
        let config =
            request_response::Config::default().with_request_timeout(timeout).with_max_concurrent_streams(streams_max);
        let protocols = [(protocol.clone(), request_response::ProtocolSupport::Full)];
        request_response::Behaviour::with_codec(codec, protocols, config)
    };
    let sync = FrameCodec { request_max: SYNC_REQUEST_BYTES_MAX, answer_max: RANGE_ANSWER_BYTES_MAX };
    let directory = FrameCodec { request_max: directory::QUESTION.len(), answer_max: DIRECTORY_BYTES_MAX };
    let prove = FrameCodec { request_max: CHALLENGE_BYTES, answer_max: ANSWER_BYTES_MAX };
    let identify = identify::Config::new(protocols.version.clone(), identity.public())
        .with_agent_version(format!("baton/{}", env!("CARGO_PKG_VERSION")))
        // What peers say of themselves is dialled only as `discover` allows, never from the library's own cache.
        .with_cache_size(0);
    Ok(Behaviour {
        refused: allow_block_list::Behaviour::default(),
        limits,
        streams: libp2p_stream::Behaviour::new(),
        gossip: gossip(&protocols.topics()).map_err(StartError::Setup)?,
        sync: requests(&protocols.sync, sync, SYNC_TIMEOUT, SYNC_STREAMS_MAX),
        prove: requests(&protocols.prove, prove, PROVE_TIMEOUT, PROVE_STREAMS_MAX),
        directory: requests(&protocols.directory, directory, PROVE_TIMEOUT, PROVE_STREAMS_MAX),
        identify: identify::Behaviour::new(identify),
        ping: ping::Behaviour::new(ping::Config::new().with_interval(PING_INTERVAL).with_timeout(PING_TIMEOUT)),
    })
}

/// Gossip: anonymous, ids by content, nothing forwarded before it is judged.
///
/// Ids are made of the whole content, also where only a part of it matters (a certificate's statement, not who signed):
/// gossip takes an id for known before the message is judged, so that under an id of the statement alone anybody could
/// send garbage first and keep the true certificate from everyone. What is known already is told after its signature
/// was checked, by whoever judges.
fn gossip(topics: &[&gossipsub::IdentTopic]) -> Result<Gossip, String> {
    let config = gossipsub::ConfigBuilder::default()
        .validation_mode(gossipsub::ValidationMode::Anonymous)
        .validate_messages()
        .message_id_fn(|message| message_id(&message.topic, &message.data))
        .max_transmit_size(GOSSIP_BYTES_MAX + GOSSIP_ENVELOPE_BYTES)
        .duplicate_cache_time(GOSSIP_SEEN)
        .connection_handler_queue_len(GOSSIP_QUEUE_MESSAGES_MAX)
        .heartbeat_initial_delay(GOSSIP_HEARTBEAT)
        .heartbeat_interval(GOSSIP_HEARTBEAT)
        .mesh_n(MESH_PEERS)
        .mesh_n_low(MESH_PEERS_MIN)
        .mesh_n_high(MESH_PEERS_MAX)
        // In a small committee the publisher reaches everybody in one hop.
        .flood_publish(true)
        .build()
        .map_err(|error| error.to_string())?;
    let filter = gossipsub::WhitelistSubscriptionFilter(topics.iter().map(|topic| topic.hash()).collect());
    let mut gossip: Gossip =
        gossipsub::Behaviour::new_with_subscription_filter(gossipsub::MessageAuthenticity::Anonymous, config, filter)?;
    let (params, thresholds) = scores(topics);
    gossip.with_peer_score(params, thresholds)?;
    for topic in topics {
        gossip.subscribe(topic).map_err(|error| error.to_string())?;
    }
    Ok(gossip)
}

/// Below this score a peer gets no gossip about messages: four invalid ones (4² = 16) are enough.
const GOSSIP_THRESHOLD: f64 = -10.0;

/// Below this it gets none of our own messages: eight invalid ones (8² = 64).
const PUBLISH_THRESHOLD: f64 = -50.0;

/// Below this nothing of it is taken: nine invalid ones (9² = 81). By then it is refused for its faults as well.
pub(super) const GRAYLIST_THRESHOLD: f64 = -80.0;

/// Peers beyond this number at one address cost each of them the square of the excess, five times: fifteen are
/// graylisted. Proven members are not held to it, so that many behind one gateway do no harm; nor is loopback.
const PEERS_PER_IP: f64 = 10.0;
const IP_COLOCATION_WEIGHT: f64 = -5.0;

/// What is left of a peer's invalid messages after each second: half of them are forgotten in seven.
const INVALID_MESSAGES_DECAY: f64 = 0.9;

/// Scores count invalid messages (the square law), broken gossip promises and crowds behind one address, nothing else: a
/// quiet peer is a good peer.
fn scores(topics: &[&gossipsub::IdentTopic]) -> (gossipsub::PeerScoreParams, gossipsub::PeerScoreThresholds) {
    let topic_params = gossipsub::TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.0,
        first_message_deliveries_weight: 0.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: -1.0,
        invalid_message_deliveries_decay: INVALID_MESSAGES_DECAY,
        ..Default::default()
    };
    let params = gossipsub::PeerScoreParams {
        topics: topics.iter().map(|topic| (topic.hash(), topic_params.clone())).collect(),
        ip_colocation_factor_weight: IP_COLOCATION_WEIGHT,
        ip_colocation_factor_threshold: PEERS_PER_IP,
        // Members of a devnet share an address.
        ip_colocation_factor_whitelist: [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()].into(),
        // What a slow peer misses is dropped for it alone; it has done no wrong.
        slow_peer_weight: 0.0,
        ..Default::default()
    };
    let thresholds = gossipsub::PeerScoreThresholds {
        gossip_threshold: GOSSIP_THRESHOLD,
        publish_threshold: PUBLISH_THRESHOLD,
        graylist_threshold: GRAYLIST_THRESHOLD,
        ..Default::default()
    };
    (params, thresholds)
}

/// The id of a gossip message: the first 20 bytes of SHA-256 over the topic, which names the chain, and the data.
pub(super) fn message_id(topic: &gossipsub::TopicHash, data: &[u8]) -> gossipsub::MessageId {
    let digest = Sha256::new().chain_update(topic.as_str()).chain_update(data).finalize();
    gossipsub::MessageId::new(&digest[..GOSSIP_ID_BYTES])
}

/// Starts to listen on `address`.
///
/// # Errors
/// [`StartError::Listen`]: the address is in use, not ours, or of a kind that we do not speak.
pub(super) fn listen(swarm: &mut Swarm<Behaviour>, address: &Multiaddr) -> Result<ListenerId, StartError> {
    let failed = |source| StartError::Listen { address: address.clone(), source };
    // libp2p lets several processes share a port, and each would then get some of the connections: ask without sharing.
    match socket_address(address) {
        Some(Socket::Tcp(socket)) => drop(std::net::TcpListener::bind(socket).map_err(failed)?),
        Some(Socket::Udp(socket)) => drop(std::net::UdpSocket::bind(socket).map_err(failed)?),
        None => {}
    }
    swarm.listen_on(address.clone()).map_err(|error| {
        failed(match error {
            libp2p::TransportError::Other(source) => source,
            libp2p::TransportError::MultiaddrNotSupported(_) => {
                io::Error::new(io::ErrorKind::Unsupported, "only /ip4 or /ip6 with /tcp/PORT or /udp/PORT/quic-v1")
            }
        })
    })
}

enum Socket {
    Tcp(SocketAddr),
    Udp(SocketAddr),
}

fn socket_address(address: &Multiaddr) -> Option<Socket> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::V4(ip),
        Protocol::Ip6(ip) => IpAddr::V6(ip),
        _ => return None,
    };
    match parts.next()? {
        Protocol::Tcp(port) => Some(Socket::Tcp(SocketAddr::new(ip, port))),
        Protocol::Udp(port) => Some(Socket::Udp(SocketAddr::new(ip, port))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::hex;

    use super::*;

    #[test]
    fn a_messages_id_is_made_of_its_topic_and_its_data() {
        let topic = "/baton/transactions/1/31337/0xabababababababababababababababababababab/778";
        let id = |topic: &str, data: &[u8]| message_id(&gossipsub::TopicHash::from_raw(topic), data);
        assert_eq!(hex::encode(id(topic, b"data").0), "0b1bad4fd193055f8e4f5a84591388ae22f9252d");
        assert_ne!(id(topic, b"data"), id(topic, b"Data"));
        assert_ne!(id(topic, b"data"), id(&topic.replace("778", "779"), b"data"));
    }

    #[test]
    fn no_topic_but_the_chains_own_is_taken() {
        let own = ["a", "b"].map(gossipsub::IdentTopic::new);
        let mut gossip = gossip(&own.each_ref()).unwrap();
        assert_eq!(gossip.topics().count(), own.len());
        for other in ["c", "A", ""] {
            let refused = gossip.subscribe(&gossipsub::IdentTopic::new(other));
            assert!(matches!(refused, Err(gossipsub::SubscriptionError::NotAllowed)), "{other}: {refused:?}");
        }
        assert_eq!(gossip.topics().count(), own.len());
    }

    #[test]
    fn scores_only_fall_and_as_fast_as_the_thresholds_say() {
        let topics = ["a", "b"].map(gossipsub::IdentTopic::new);
        let (params, thresholds) = scores(&topics.each_ref());
        params.validate().unwrap();
        thresholds.validate().unwrap();
        assert_eq!(params.topics.len(), topics.len());
        for topic in params.topics.values() {
            // Nothing is earned, so nothing can be saved up for later misdeeds, and silence costs nothing.
            let neutral = [
                topic.time_in_mesh_weight,
                topic.first_message_deliveries_weight,
                topic.mesh_message_deliveries_weight,
                topic.mesh_failure_penalty_weight,
            ];
            assert_eq!(neutral, [0.0; 4]);
            let decay = topic.invalid_message_deliveries_decay;
            assert!(decay > 0.0 && decay < 1.0, "{decay}");
            let score_of =
                |invalid: f64| topic.topic_weight * topic.invalid_message_deliveries_weight * invalid * invalid;
            for (invalid, threshold) in [(4.0, GOSSIP_THRESHOLD), (8.0, PUBLISH_THRESHOLD), (9.0, GRAYLIST_THRESHOLD)] {
                assert!(score_of(invalid) < threshold && score_of(invalid - 1.0) >= threshold, "{invalid}");
            }
        }
        assert_eq!(params.slow_peer_weight, 0.0);
        assert!(params.ip_colocation_factor_weight < 0.0 && params.behaviour_penalty_weight < 0.0);
        let crowd = 5.0 * 5.0 * params.ip_colocation_factor_weight;
        assert!(crowd < GRAYLIST_THRESHOLD, "fifteen behind one address: {crowd}");
    }
}
