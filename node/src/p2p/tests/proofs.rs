use alloy_primitives::B256;
use libp2p::{
    request_response::{Event, Message},
    swarm::SwarmEvent,
};

use super::{
    raw::{Raw, Says},
    *,
};
use crate::p2p::{
    Fault, Outbound as _, Refusal,
    behaviour::BehaviourEvent,
    claim::{self, Claim},
    frame::frame,
    members::Standing,
};

/// A node whose identity says nothing of the member that it is.
async fn member_behind(seed: u8, me: u8, knows: &Node) -> Node {
    let mut config = member(seed, &[]);
    config.speakers = vec![speaker(me)];
    config.peers = vec![(knows.network.peer_id(), knows.address())];
    Node::start(config).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proof_decides_who_a_peer_is() {
    let mut zero = Node::start(member(0, &[])).await;
    let mut node = member_behind(77, 3, &zero).await;
    zero.connected(3).await;
    node.connected(0).await;
    zero.network.send(index(3), request(1));
    node.network.send(index(0), request(2));
    assert_eq!(node.message().await, (index(0), request(1)));
    assert_eq!(zero.message().await, (index(3), request(2)));
    assert_eq!(zero.network.stats().faults_charged.get(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_claim_nothing_and_know_the_members() {
    let mut zero = Node::start(member(0, &[])).await;
    let mut config = member(40, &[(0, &zero.address())]);
    config.speakers = vec![];
    let mut follower = Node::start(config).await;
    follower.connected(0).await;
    becomes(|| zero.network.standing(&peer(40)) == Some(Standing::Stranger)).await;
    // It is no way for consensus messages, in either direction.
    follower.network.broadcast(request(1));
    follower.network.send(index(0), request(1));
    zero.network.broadcast(request(1));
    assert!(zero.network.connected_members().is_empty());
    zero.network.shutdown().await;
    while let Some(event) = zero.events.recv().await {
        assert!(!matches!(event, NetworkEvent::Consensus { .. } | NetworkEvent::MemberConnected { .. }), "{event:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_false_proof_is_a_fault_and_two_are_too_many() {
    let mut zero = Node::start(member(0, &[])).await;
    // Another member's key with our own signature; and no claim at all, but too many bytes for one.
    let claims = [Says::Member(2, 3), Says::Bytes(vec![0; claim::ANSWER_BYTES_MAX + 1])];
    for (n, says) in (1..).zip(claims) {
        let mut liar = Raw::start_saying(30, says).await;
        liar.connect(zero.network.peer_id(), zero.address()).await;
        becomes(|| zero.network.stats().faults_charged.get() == n).await;
        assert!(zero.network.connected_members().is_empty());
        if n == 1 {
            assert_eq!(zero.network.standing(&liar.peer), Some(Standing::Stranger));
            // What it says is not read, and it is not asked again on this connection.
            let mut stream = liar.open_stream(zero.network.peer_id()).await;
            super::raw::write(&mut stream, &frame(&request(1)).unwrap()).await;
            super::raw::closed(stream).await;
            drop(liar);
            becomes(|| zero.network.peer_count() == 0).await;
        }
    }
    let refused = zero.until(|event| match event {
        NetworkEvent::PeerRefused { peer, reason } => Some((peer, reason)),
        NetworkEvent::MemberConnected { .. } | NetworkEvent::Consensus { .. } => panic!("{event:?}"),
        _ => None,
    });
    assert_eq!(refused.await, (peer(30), Refusal::Faults { last: Fault::InvalidProof }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_nobody_is_no_fault() {
    // It may be a member of the next epoch.
    let zero = Node::start(member(0, &[])).await;
    let mut other = Raw::start_saying(30, Says::Member(MEMBERS, MEMBERS)).await;
    other.connect(zero.network.peer_id(), zero.address()).await;
    becomes(|| zero.network.standing(&other.peer) == Some(Standing::Candidate)).await;
    assert_eq!(zero.network.stats().faults_charged.get(), 0);
}

/// The attack that the challenger's peer id in the proof prevents: passing a challenge on to the member it is about.
#[tokio::test(flavor = "multi_thread")]
async fn a_proof_made_for_somebody_else_is_worth_nothing() {
    let zero = Node::start(member(0, &[])).await;
    let one = Node::start(member(1, &[])).await;
    let mut middle = Raw::start_saying(30, Says::Nothing).await;
    middle.dial(one.network.peer_id(), one.address());
    middle.dial(zero.network.peer_id(), zero.address());
    let (nonce, channel) = loop {
        let (challenger, nonce, channel) = middle.challenged().await;
        if challenger == zero.network.peer_id() {
            break (nonce, channel);
        }
    };
    let to = one.network.peer_id();
    middle.order(move |swarm| {
        swarm.behaviour_mut().prove.send_request(&to, nonce);
    });
    let claimed = middle.until(|event| match event {
        SwarmEvent::Behaviour(BehaviourEvent::Prove(Event::Message {
            message: Message::Response { response, .. },
            ..
        })) => Some(response),
        _ => None,
    });
    let claimed = claimed.await;
    assert_eq!(Claim::decode(&claimed).unwrap()[0].key, key(1).public_key());
    middle.answer(channel, claimed);
    becomes(|| zero.network.stats().faults_charged.get() == 1).await;
    assert!(zero.network.connected_members().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_waits_for_its_peers_proof() {
    let mut zero = Node::start(member(0, &[])).await;
    let mut early = Raw::start_saying(2, Says::Nothing).await;
    early.connect(zero.network.peer_id(), zero.address()).await;
    let mut stream = early.open_stream(zero.network.peer_id()).await;
    super::raw::write(&mut stream, &frame(&request(7)).unwrap()).await;
    let (challenger, nonce, channel) = early.challenged().await;
    let proof = claim::statement(&early.peer, &challenger, B256::from_slice(&nonce));
    let signature = key(2).prove_peer(&proof, &chain(L2));
    early.answer(channel, Claim::encode(&[Claim { key: key(2).public_key(), signature }]));
    assert_eq!(zero.message().await, (index(2), request(7)));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_peers_speak_for_a_member_and_the_newest_win() {
    let mut zero = Node::start(member(0, &[])).await;
    let mut nodes = vec![];
    for seed in [51, 52, 53] {
        let mut node = member_behind(seed, 1, &zero).await;
        node.connected(0).await;
        becomes(|| zero.network.standing(&peer(seed)) == speaks_for(1)).await;
        node.network.broadcast(request(seed.into()));
        assert_eq!(zero.message().await, (index(1), request(seed.into())));
        nodes.push(node);
    }
    assert_eq!(zero.network.standing(&peer(51)), Some(Standing::Stranger));
    assert_eq!(zero.network.connected_members(), [index(1)]);

    // What is for the member goes to the two, and only they are heard.
    zero.network.send(index(1), request(100));
    let mut first = nodes.remove(0);
    for node in &mut nodes {
        assert_eq!(node.message().await, (index(0), request(100)));
    }
    first.network.broadcast(request(101));
    becomes(|| zero.network.stats().streams_refused.get() > 0).await;
    first.network.shutdown().await;
    while let Some(event) = first.events.recv().await {
        assert!(!matches!(event, NetworkEvent::Consensus { .. }), "{event:?}");
    }

    // The member is gone when the last of them is.
    let last = nodes.pop().unwrap();
    last.network.shutdown().await;
    becomes(|| zero.network.peer_count() == 1).await;
    assert_eq!(zero.network.connected_members(), [index(1)]);
    nodes[0].network.shutdown().await;
    let gone = zero.until(|event| match event {
        NetworkEvent::Consensus { message, .. } => panic!("{message:?}"),
        NetworkEvent::MemberDisconnected { member, .. } => Some(member),
        _ => None,
    });
    assert_eq!(gone.await, index(1));
    assert!(zero.network.connected_members().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_with_our_own_key_is_not_heard() {
    let mut zero = Node::start(member(0, &[])).await;
    let twin = member_behind(60, 0, &zero).await;
    becomes(|| zero.network.standing(&peer(60)) == Some(Standing::Stranger)).await;
    becomes(|| twin.network.standing(&peer(0)) == Some(Standing::Stranger)).await;
    twin.network.broadcast(request(1));
    zero.network.shutdown().await;
    while let Some(event) = zero.events.recv().await {
        assert!(!matches!(event, NetworkEvent::Consensus { .. } | NetworkEvent::MemberConnected { .. }), "{event:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_has_two_places_in_the_book() {
    let folder = tempfile::tempdir().unwrap();
    let book = folder.path().join("peers.txt");
    let mut config = member(0, &[]);
    config.book = Some(book.clone());
    let zero = Node::start(config).await;
    let mut nodes = vec![];
    for seed in [51, 52, 53] {
        nodes.push(member_behind(seed, 1, &zero).await);
        becomes(|| zero.network.standing(&peer(seed)) == speaks_for(1)).await;
    }
    zero.network.shutdown().await;
    let text = std::fs::read_to_string(&book).unwrap();
    let places = [51, 52, 53].map(|seed| text.contains(&peer(seed).to_string()));
    assert_eq!(places, [false, true, true], "{text}");
}
