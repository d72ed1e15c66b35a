use baton_proto::{limits::GOSSIP_TRANSACTIONS_MAX, wire::TransactionGossip};
use libp2p::{gossipsub, swarm::SwarmEvent};
use tokio::sync::oneshot;

use super::{raw::Raw, *};
use crate::p2p::{
    behaviour::{BehaviourEvent, GRAYLIST_THRESHOLD},
    protocol::ChainProtocols,
};

/// Members 0, 1 and 2 in a line: only the middle one knows both ends.
pub(super) async fn line() -> (Node, Node, Node) {
    let mut zero = Node::start(member(0, &[])).await;
    let mut two = Node::start(member(2, &[])).await;
    let (left, right) = (zero.address(), two.address());
    let mut one = Node::start(member(1, &[(0, &left), (2, &right)])).await;
    zero.connected(1).await;
    two.connected(1).await;
    one.until(|event| matches!(event, NetworkEvent::MemberConnected { .. }).then_some(())).await;
    one.until(|event| matches!(event, NetworkEvent::MemberConnected { .. }).then_some(())).await;
    (zero, one, two)
}

/// Takes transactions from events until there are `count`, and returns their nonces in order.
async fn nonces(node: &mut Node, count: usize) -> Vec<u64> {
    let mut nonces = vec![];
    while nonces.len() < count {
        nonces.extend(node.transactions().await.iter().map(Transaction::nonce));
    }
    nonces.sort_unstable();
    nonces
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_reach_nodes_that_the_sender_does_not_know() {
    let (zero, mut one, mut two) = line().await;
    // More than one message takes, and given before anybody may have subscribed.
    let count = GOSSIP_TRANSACTIONS_MAX + 10;
    let transactions: Vec<Transaction> = (0..count as u64).map(|nonce| transaction(L2, nonce, 0)).collect();
    zero.network.gossip(transactions.clone());
    let expected: Vec<u64> = (0..count as u64).collect();
    assert_eq!(nonces(&mut one, count).await, expected);
    assert_eq!(nonces(&mut two, count).await, expected);
    assert!(zero.network.stats().gossip_published.get() >= 2);

    // The same message again is no news: the next thing that arrives is something else.
    zero.network.gossip(transactions[..1].to_vec());
    zero.network.gossip(vec![transaction(L2, 5_000, 128 * 1024 - 200)]);
    let next = two.transactions().await;
    assert!(next.iter().any(|tx| tx.nonce() == 5_000 || tx.nonce() == 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_transactions_stop_at_the_first_node() {
    let (_zero, mut one, mut two) = line().await;
    let mut liar = Raw::start(3).await;
    liar.connect(one.network.peer_id(), one.address()).await;
    let middle = one.network.peer_id();
    liar.until(|event| match event {
        SwarmEvent::Behaviour(BehaviourEvent::Gossip(gossipsub::Event::Subscribed { peer_id, .. })) => {
            (peer_id == middle).then_some(())
        }
        _ => None,
    })
    .await;

    let good = transaction(L2, 1, 10);
    let other_chain = transaction(L2 + 1, 2, 10);
    let messages = [
        vec![0xff; 100],
        TransactionGossip::encode(&[good.clone(), other_chain]).remove(0),
        TransactionGossip::encode(std::slice::from_ref(&good)).remove(0),
    ];
    for message in messages {
        liar.order(move |swarm| {
            let topic = ChainProtocols::of(&chain(L2)).transactions;
            swarm.behaviour_mut().gossip.publish(topic, message).unwrap();
        });
    }
    assert_eq!(one.transactions().await, std::slice::from_ref(&good));
    assert_eq!(two.transactions().await, [good]);
    // Each was judged on its own, in parallel: the good one may be first.
    let stats = one.network.stats();
    assert_eq!(stats.gossip_accepted.get(), 1);
    // The charge is the last that comes of a message.
    becomes(|| stats.faults_charged.get() == 2).await;
    assert_eq!(stats.gossip_rejected.get(), 2);
    assert_eq!(two.network.stats().gossip_rejected.get(), 0);
    assert_eq!(two.network.stats().gossip_accepted.get(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_wait_for_somebody_to_take_them() {
    let mut zero = Node::start(member(0, &[])).await;
    zero.network.gossip(vec![transaction(L2, 1, 0)]);
    let mut one = Node::start(member(1, &[(0, &zero.address())])).await;
    assert_eq!(nonces(&mut one, 1).await, [1]);
    one.network.gossip(vec![transaction(L2, 2, 0)]);
    assert_eq!(nonces(&mut zero, 1).await, [2]);
}

/// Has `from` publish `data`, and `to` judge it; returns the score that `from` then has there.
async fn judged(from: &Raw, to: &mut Raw, data: Vec<u8>, acceptance: gossipsub::MessageAcceptance) -> f64 {
    from.order(move |swarm| {
        swarm.behaviour_mut().gossip.publish(ChainProtocols::of(&chain(L2)).transactions, data).unwrap();
    });
    let received = to.until(|event| match event {
        SwarmEvent::Behaviour(BehaviourEvent::Gossip(gossipsub::Event::Message {
            propagation_source,
            message_id,
            ..
        })) => Some((message_id, propagation_source)),
        _ => None,
    });
    let (id, source) = received.await;
    assert_eq!(source, from.peer);
    let (score, told) = oneshot::channel();
    to.order(move |swarm| {
        let gossip = &mut swarm.behaviour_mut().gossip;
        assert!(gossip.report_message_validation_result(&id, &source, acceptance));
        score.send(gossip.peer_score(&source).unwrap()).unwrap();
    });
    within(told).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_keeps_sending_invalid_messages_is_graylisted() {
    // Both without a node on top, which would refuse the peer for its faults.
    let (mut honest, mut liar, mut to) = (Raw::start(1).await, Raw::start(2).await, Raw::start(0).await);
    for from in [&mut honest, &mut liar] {
        from.connect(to.peer, to.address.clone()).await;
        from.until(|event| {
            matches!(event, SwarmEvent::Behaviour(BehaviourEvent::Gossip(gossipsub::Event::Subscribed { .. })))
                .then_some(())
        })
        .await;
    }
    let mut scores = vec![];
    // A few more than nine, for what is forgotten in between.
    for n in 0..50_u8 {
        let good = judged(&honest, &mut to, vec![1, n], gossipsub::MessageAcceptance::Accept).await;
        assert_eq!(good, 0.0, "nothing is earned");
        scores.push(judged(&liar, &mut to, vec![2, n], gossipsub::MessageAcceptance::Reject).await);
        if scores.last().is_some_and(|score| *score < GRAYLIST_THRESHOLD) {
            break;
        }
    }
    assert!(scores.last().is_some_and(|score| *score < GRAYLIST_THRESHOLD), "{scores:?}");
    assert!(scores.len() >= 9, "{scores:?}");
}
