use libp2p::multiaddr::Protocol;

use super::*;
use crate::p2p::Outbound as _;

fn quic() -> Multiaddr {
    "/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_speak_over_quic_alone() {
    let mut config = member(1, &[]);
    config.listen = vec![quic()];
    let mut one = Node::start(config).await;
    assert!(one.address().to_string().ends_with("/quic-v1"), "{}", one.address());
    let mut config = member(0, &[(1, &one.address())]);
    config.listen = vec![quic()];
    let mut zero = Node::start(config).await;
    zero.connected(1).await;
    one.connected(0).await;
    let large = proposal((0..16).map(|nonce| transaction(L2, nonce, 128 * 1024 - 160)).collect());
    zero.network.broadcast(large.clone());
    one.network.broadcast(request(2));
    assert!(one.message().await == (index(0), large));
    assert_eq!(zero.message().await, (index(1), request(2)));

    // A restarted peer is found again.
    let address = one.address();
    one.network.shutdown().await;
    zero.disconnected(1).await;
    // A QUIC socket is let go when its connections have said goodbye.
    let Some(Protocol::Udp(port)) = address.iter().nth(1) else { panic!("{address}") };
    becomes(|| std::net::UdpSocket::bind(("127.0.0.1", port)).is_ok()).await;
    let mut config = member(1, &[]);
    config.listen = vec![address];
    let mut one = Node::start(config).await;
    zero.connected(1).await;
    one.connected(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quic_is_used_where_tcp_does_not_answer() {
    let mut config = member(1, &[]);
    config.listen = vec![loopback(), quic()];
    let one = Node::start(config).await;
    let addresses = one.network.listen_addresses();
    let quic = addresses.iter().find(|address| address.to_string().contains("quic")).unwrap();
    assert_eq!(addresses.len(), 2);
    // Nobody listens on the discard port.
    let closed: Multiaddr = "/ip4/127.0.0.1/tcp/9".parse().unwrap();
    let mut zero = Node::start(member(0, &[(1, quic), (1, &closed)])).await;
    zero.connected(1).await;
    assert_eq!(zero.network.peer_count(), 1);
}
