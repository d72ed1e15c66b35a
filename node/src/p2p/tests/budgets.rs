use baton_proto::wire::{SyncRequest, SyncResponse};
use libp2p::{
    request_response::{Event, Message},
    swarm::SwarmEvent,
};

use super::{raw::Raw, *};
use crate::p2p::{Fault, Refusal, behaviour::BehaviourEvent, budget::MESSAGES_PER_SECOND, frame::frame};

/// Twice what may come at once: all of it arrives, the rest only slower.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_above_its_budget_is_read_slower_and_loses_nothing() {
    let mut zero = Node::start(member(0, &[])).await;
    let mut loud = Raw::start(2).await;
    loud.connect(zero.network.peer_id(), zero.address()).await;
    let mut stream = loud.open_stream(zero.network.peer_id()).await;
    let count = 20_000_u64;
    let frames: Vec<u8> = (0..count).flat_map(|n| frame(&request(n)).unwrap().to_vec()).collect();
    let start = std::time::Instant::now();
    let writing = tokio::spawn(async move {
        raw::write(&mut stream, &frames).await;
        stream
    });
    for n in 0..count {
        assert_eq!(zero.message().await, (index(2), request(n)));
    }
    let _stream = within(writing).await.unwrap();
    assert_eq!(zero.network.stats().faults_charged.get(), 0);
    // What exceeds the burst is read at the rate; a slow machine only takes longer.
    let above_burst = count - 1 - u64::from(MESSAGES_PER_SECOND);
    let least = Duration::from_millis(above_burst * 1_000 / u64::from(MESSAGES_PER_SECOND));
    assert!(start.elapsed() >= least, "read faster than the budget allows");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_asks_without_end_is_told_no_then_refused() {
    let mut zero = Node::start(member(0, &[])).await;
    let mut greedy = Raw::start(2).await;
    greedy.connect(zero.network.peer_id(), zero.address()).await;
    zero.connected(2).await;
    // The node answers what reaches it; the network says no for it above the budget.
    let head = SyncResponse::Head { height: Height::new(1), digest: BlockDigest::ZERO };
    let (to, answer) = (zero.network.peer_id(), head.clone());
    let refused = tokio::spawn(async move {
        zero.until(|event| match event {
            NetworkEvent::SyncRequest { respond, .. } => {
                let _ = respond.send(answer.clone());
                None
            }
            NetworkEvent::PeerRefused { peer, reason } => Some((peer, reason)),
            _ => None,
        })
        .await
    });
    let ask = move |greedy: &Raw| {
        greedy.order(move |swarm| {
            swarm.behaviour_mut().sync.send_request(&to, SyncRequest::Head.encode());
        });
    };
    // Sixteen at a time, as many as one connection may have, until the connection is gone.
    for _ in 0..16 {
        ask(&greedy);
    }
    let (mut answered, mut unavailable) = (0, 0);
    loop {
        let next = greedy.until(|event| match event {
            SwarmEvent::Behaviour(BehaviourEvent::Sync(Event::Message {
                message: Message::Response { response, .. },
                ..
            })) => Some(Some(response)),
            SwarmEvent::Behaviour(BehaviourEvent::Sync(Event::OutboundFailure { .. })) => Some(None),
            SwarmEvent::ConnectionClosed { .. } => Some(Some(vec![])),
            _ => None,
        });
        match next.await {
            Some(response) if response.is_empty() => break,
            Some(response) if response == head.encode() => answered += 1,
            Some(response) if response == SyncResponse::Unavailable.encode() => unavailable += 1,
            Some(response) => panic!("{response:?}"),
            None => {}
        }
        ask(&greedy);
    }
    assert!(answered >= 512 && unavailable > 0, "{answered} answered, {unavailable} not");
    assert_eq!(within(refused).await.unwrap(), (greedy.peer, Refusal::Faults { last: Fault::Flood }));
}
