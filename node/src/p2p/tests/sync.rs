use baton_proto::{
    limits::RANGE_ANSWER_BYTES_MAX,
    wire::{SyncRequest, SyncResponse},
};
use libp2p::{request_response, swarm::SwarmEvent};

use super::{raw::Raw, *};
use crate::p2p::{RequestError, behaviour::BehaviourEvent};

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_answered() {
    let (zero, mut one) = pair().await;
    let head = SyncResponse::Head { height: Height::new(9), digest: BlockDigest::new(B256::repeat_byte(2)) };
    let ConsensusMessage::Proposal { block, .. } = proposal(vec![transaction(L2, 1, 5)]) else { unreachable!() };
    let cases = [
        (SyncRequest::Head, head.clone()),
        (SyncRequest::Block(block.header.digest()), SyncResponse::Block(Some(block))),
        (SyncRequest::Block(BlockDigest::ZERO), SyncResponse::Block(None)),
        (SyncRequest::Range { from: Height::new(3), blocks_max: 4 }, SyncResponse::Unavailable),
    ];
    for (question, answer) in cases {
        let asked = zero.network.request(index(1), question);
        let answered = one.until(|event| match event {
            NetworkEvent::SyncRequest { from, request, respond } => {
                assert_eq!((from, request), (peer(0), question));
                respond.send(answer.clone()).unwrap();
                Some(())
            }
            _ => None,
        });
        let (response, ()) = tokio::join!(within(asked), answered);
        assert_eq!(response, Ok(answer));
    }

    // Whoever does not answer is unavailable, not silent.
    let asked = zero.network.request(index(1), SyncRequest::Head);
    let ignored = one.until(|event| matches!(event, NetworkEvent::SyncRequest { .. }).then_some(()));
    let (response, ()) = tokio::join!(within(asked), ignored);
    assert_eq!(response, Ok(SyncResponse::Unavailable));

    // An answer of the wrong kind costs points.
    let asked = zero.network.request(index(1), SyncRequest::Block(BlockDigest::ZERO));
    let answered = one.until(|event| match event {
        NetworkEvent::SyncRequest { respond, .. } => respond.send(head.clone()).ok(),
        _ => None,
    });
    let (response, ()) = tokio::join!(within(asked), answered);
    assert_eq!(response, Err(RequestError::WrongKind));
    assert_eq!(zero.network.stats().faults_charged.get(), 1);
    assert_eq!(one.network.stats().faults_charged.get(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn faulty_answers_and_requests_are_charged() {
    let mut zero = Node::start(member(0, &[(2, None)])).await;
    let mut liar = Raw::start(2).await;
    liar.connect(zero.network.peer_id(), zero.address()).await;
    zero.connected(2).await;
    let largest = vec![0; RANGE_ANSWER_BYTES_MAX];
    let over = vec![0; RANGE_ANSWER_BYTES_MAX + 1];
    for (n, answer) in [over, largest, vec![0xff; 3], vec![]].into_iter().enumerate() {
        let asked = zero.network.request(index(2), SyncRequest::Head);
        let answered = async {
            let channel = liar.until(|event| match event {
                SwarmEvent::Behaviour(BehaviourEvent::Sync(request_response::Event::Message {
                    message: request_response::Message::Request { channel, .. },
                    ..
                })) => Some(channel),
                _ => None,
            });
            let channel = channel.await;
            liar.order(move |swarm| {
                // The other end may hang up in the middle of it.
                let _ = swarm.behaviour_mut().sync.send_response(channel, answer);
            });
        };
        let (response, ()) = tokio::join!(within(asked), answered);
        let error = response.unwrap_err();
        assert!(error.is_peer_fault() && !error.is_retryable(), "{error}");
        assert_eq!(matches!(error, RequestError::WrongLength), n == 0 || n == 3, "{error}");
        assert_eq!(zero.network.stats().faults_charged.get(), n as u64 + 1);
    }

    // A request that is none: charged, and answered by nothing.
    let to = zero.network.peer_id();
    liar.order(move |swarm| {
        swarm.behaviour_mut().sync.send_request(&to, vec![0xff; 10]);
    });
    liar.until(|event| {
        matches!(event, SwarmEvent::Behaviour(BehaviourEvent::Sync(request_response::Event::OutboundFailure { .. })))
            .then_some(())
    })
    .await;
    assert_eq!(zero.network.stats().faults_charged.get(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_cannot_be_sent_say_why() {
    let zero = Node::start(member(0, &[(1, None)])).await;
    let ask = async |member| zero.network.request(index(member), SyncRequest::Head).await;
    assert_eq!(ask(1).await, Err(RequestError::NotConnected));
    assert_eq!(ask(7).await, Err(RequestError::UnknownMember(index(7))));
    assert_eq!(ask(0).await, Err(RequestError::UnknownMember(index(0))));
    zero.network.shutdown().await;
    assert_eq!(ask(1).await, Err(RequestError::ShutDown));
}
