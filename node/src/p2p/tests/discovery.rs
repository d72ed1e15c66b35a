use std::collections::HashSet;

use libp2p::{
    request_response::{Event, Message},
    swarm::SwarmEvent,
};

use super::{
    raw::{Raw, Says},
    *,
};
use crate::p2p::{Outbound as _, RequestError, behaviour::BehaviourEvent, directory};

/// Pause between two times that all say the same.
const SAY_AGAIN_AFTER: Duration = Duration::from_millis(100);

fn all_but(member: u8, count: u8) -> Vec<MemberIndex> {
    (0..count).filter(|other| *other != member).map(index).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_nodes_that_each_know_one_becomes_a_mesh() {
    let mut nodes: Vec<Node> = vec![];
    for seed in 0..5 {
        let known = nodes.last().map(Node::address);
        let config = match &known {
            Some(address) => member(seed, &[(seed - 1, address)]),
            None => member(seed, &[]),
        };
        nodes.push(Node::start(config).await);
    }
    for (seed, node) in (0..).zip(&nodes) {
        becomes(|| node.network.connected_members() == all_but(seed, 5)).await;
    }
    // All reach all: the two ends, which nobody introduced by configuration, too.
    // While both ends of a pair dial, one of two connections goes, and what was on it; members say things again.
    let networks: Vec<_> = nodes.iter().map(|node| node.network.clone()).collect();
    let saying = tokio::spawn(async move {
        loop {
            for (seed, network) in (0..).zip(&networks) {
                network.broadcast(request(seed));
            }
            tokio::time::sleep(SAY_AGAIN_AFTER).await;
        }
    });
    for (seed, node) in (0..).zip(&mut nodes) {
        let mut heard = HashSet::new();
        while heard.len() < 4 {
            let (from, message) = node.message().await;
            assert_eq!(message, request(from.get().into()));
            assert_ne!(from, index(seed));
            heard.insert(from);
        }
    }
    saying.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configured_peer_is_dialled_where_it_is_configured_whatever_the_book_says() {
    let folder = tempfile::tempdir().unwrap();
    let book = folder.path().join("peers.txt");
    let mut one = Node::start(member(1, &[])).await;
    // Where it was before it moved: nobody answers there any more.
    let gone = TcpSocket::new_v4().unwrap();
    gone.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = gone.local_addr().unwrap().port();
    let peer = one.network.peer_id();
    std::fs::write(&book, format!("baton peers 1\n/ip4/127.0.0.1/tcp/{port}/p2p/{peer}\n")).unwrap();
    let mut config = member(0, &[(1, &one.address())]);
    config.book = Some(book);
    let zero = Node::start(config).await;
    becomes(|| zero.network.connected_members() == [index(1)]).await;
    one.connected(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_book_finds_members_after_a_restart_without_any_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let book = folder.path().join("peers.txt");
    let mut one = Node::start(member(1, &[])).await;
    let mut config = member(0, &[(1, &one.address())]);
    config.book = Some(book.clone());
    let mut zero = Node::start(config).await;
    zero.connected(1).await;
    one.connected(0).await;
    zero.network.shutdown().await;
    one.disconnected(0).await;
    let text = std::fs::read_to_string(&book).unwrap();
    assert!(text.contains(&format!("{}/p2p/{}", one.address(), peer(1))), "{text}");

    // Who it met is enough; a damaged book is nobody, and is no reason not to start.
    let mut config = member(0, &[]);
    config.book = Some(book.clone());
    let mut zero = Node::start(config.clone()).await;
    zero.connected(1).await;
    zero.network.shutdown().await;
    std::fs::write(&book, "nonsense").unwrap();
    let zero = Node::start(config).await;
    assert_eq!(
        zero.network.request(index(1), baton_proto::wire::SyncRequest::Head).await,
        Err(RequestError::NotConnected)
    );
}

/// What a liar makes us dial has to prove itself like anybody else, and is let go when it does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_learned_peer_counts_for_nothing_until_it_has_proven_itself() {
    let zero = Node::start(member(0, &[])).await;
    let mut stranger = Raw::start_saying(30, Says::NoMember).await;
    let mut false_member = Raw::start_saying(31, Says::Member(4, 5)).await;
    let mut liar = Raw::start(2).await;
    liar.connect(zero.network.peer_id(), zero.address()).await;
    let asked = async |raw: &mut Raw| {
        let request = raw.until(|event| match event {
            SwarmEvent::Behaviour(BehaviourEvent::Directory(Event::Message {
                message: Message::Request { request, channel, .. },
                ..
            })) => Some((request, channel)),
            _ => None,
        });
        request.await
    };
    let (question, channel) = asked(&mut liar).await;
    assert_eq!(question, directory::QUESTION);
    let nobody: Multiaddr = "/ip4/127.0.0.1/tcp/9".parse().unwrap();
    let told = [(stranger.peer, &stranger.address), (false_member.peer, &false_member.address), (peer(9), &nobody)];
    let answer = directory::encode(told.into_iter());
    liar.order(move |swarm| swarm.behaviour_mut().directory.send_response(channel, answer).unwrap());

    for raw in [&mut stranger, &mut false_member] {
        raw.until(|event| matches!(event, SwarmEvent::ConnectionEstablished { .. }).then_some(())).await;
        raw.until(|event| matches!(event, SwarmEvent::ConnectionClosed { .. }).then_some(())).await;
    }
    assert_eq!(zero.network.connected_members(), [index(2)]);
    becomes(|| zero.network.peer_count() == 1).await;
    assert_eq!(zero.network.standing(&peer(9)), None);
    assert_eq!(zero.network.standing(&liar.peer), speaks_for(2));

    // A directory that is none is the liar's fault.
    let faults = zero.network.stats().faults_charged.get();
    let (_, channel) = asked(&mut liar).await;
    liar.order(move |swarm| swarm.behaviour_mut().directory.send_response(channel, vec![1, 2, 3]).unwrap());
    becomes(|| zero.network.stats().faults_charged.get() == faults + 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn announced_addresses_are_told_beside_those_listened_on() {
    let announced: Multiaddr = "/ip4/203.0.113.7/tcp/30303".parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let book = folder.path().join("peers.txt");
    let mut config = member(1, &[]);
    config.announce = vec![announced.clone()];
    let one = Node::start(config).await;
    let mut config = member(0, &[(1, &one.address())]);
    config.book = Some(book.clone());
    let mut zero = Node::start(config).await;
    zero.connected(1).await;
    zero.network.shutdown().await;
    let text = std::fs::read_to_string(&book).unwrap();
    assert!(text.contains(&format!("{announced}/p2p/{}", peer(1))), "{text}");
    assert!(text.contains(&format!("{}/p2p/{}", one.address(), peer(1))), "{text}");
}
