use baton_proto::{limits::GOSSIP_TRANSACTIONS_MAX, wire::TransactionGossip};
use libp2p::{gossipsub, swarm::SwarmEvent};
use tokio::sync::oneshot;

use super::{
    raw::{Raw, Says},
    *,
};
use crate::p2p::{
    behaviour::{BehaviourEvent, GRAYLIST_THRESHOLD},
    protocol::ChainProtocols,
};

/// Members 0, 1 and 2 in a line: only the middle one knows both ends, and the ends listen nowhere, so that they never find each
/// other through it.
pub(super) async fn line() -> (Node, Node, Node) {
    let mut one = Node::start(member(1, &[])).await;
    let middle = one.address();
    let end = |seed| Node::start(NetworkConfig { listen: vec![], ..member(seed, &[(1, &middle)]) });
    let (mut zero, mut two) = (end(0).await, end(2).await);
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
}

/// Waits until `to` takes the transactions that `raw` gossips.
async fn heard_by(raw: &mut Raw, to: PeerId) {
    let transactions = ChainProtocols::of(&chain(L2)).transactions.hash();
    raw.until(|event| match event {
        SwarmEvent::Behaviour(BehaviourEvent::Gossip(gossipsub::Event::Subscribed { peer_id, topic })) => {
            (peer_id == to && topic == transactions).then_some(())
        }
        _ => None,
    })
    .await;
}

fn publish(raw: &Raw, message: Vec<u8>) {
    raw.order(move |swarm| {
        let topic = ChainProtocols::of(&chain(L2)).transactions;
        swarm.behaviour_mut().gossip.publish(topic, message).unwrap();
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_two_peers_bring_is_taken_once() {
    let message = |nonces: std::ops::Range<u64>| {
        let transactions: Vec<Transaction> = nonces.map(|nonce| transaction(L2, nonce, 0)).collect();
        TransactionGossip::encode(&transactions).remove(0)
    };
    // While the node looks at what the first one brings, it hands nothing on, so the second one says it on its own.
    let (known, mut asked, release) = slow_to_know(&[transaction(L2, 0, 0)]);
    let mut node = Node::start_knowing(member(0, &[]), known).await;
    let to = node.network.peer_id();
    let (mut first, mut second) = (Raw::start(3).await, Raw::start(4).await);
    for (raw, seed) in [(&mut first, 3), (&mut second, 4)] {
        raw.connect(to, node.address()).await;
        heard_by(raw, to).await;
        node.connected(seed).await;
    }
    publish(&first, message(0..100));
    within(asked.recv()).await.unwrap();
    publish(&second, message(0..100));
    publish(&second, message(5_000..5_001));
    // What was said later has arrived, so has the repeat before it.
    assert_eq!(nonces(&mut node, 1).await, [5_000]);
    drop(release);
    assert_eq!(nonces(&mut node, 100).await, (0..100).collect::<Vec<_>>());
    publish(&second, message(6_000..6_001));
    assert_eq!(nonces(&mut node, 1).await, [6_000]);
    assert_eq!(node.network.stats().gossip_accepted.get(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stranger_gossips_above_its_budget_is_ignored_and_a_members_is_not() {
    let mut node = Node::start(member(0, &[])).await;
    let to = node.network.peer_id();
    let mut stranger = Raw::start_saying(30, Says::NoMember).await;
    let mut voter = Raw::start(2).await;
    for raw in [&mut stranger, &mut voter] {
        raw.connect(to, node.address()).await;
        heard_by(raw, to).await;
    }
    node.connected(2).await;
    // Twice what may come at once, of the cheapest kind: entries of one byte, which are no transactions.
    for n in 0..8 {
        publish(&stranger, [0x0a, 1, n].repeat(GOSSIP_TRANSACTIONS_MAX));
    }
    let stats = node.network.stats();
    becomes(|| stats.gossip_rejected.get() + stats.gossip_ignored.get() == 8).await;
    let (rejected, ignored) = (stats.gossip_rejected.get(), stats.gossip_ignored.get());
    assert!(rejected >= 4 && ignored > 0, "{rejected} were looked at, {ignored} were not");
    // To send too much is no fault of who hands on what others send.
    becomes(|| stats.faults_charged.get() == rejected).await;
    publish(&voter, TransactionGossip::encode(&[transaction(L2, 1, 0)]).remove(0));
    assert_eq!(nonces(&mut node, 1).await, [1]);
    let stats = node.network.stats();
    assert_eq!((stats.gossip_ignored.get(), stats.faults_charged.get()), (ignored, rejected));
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_transactions_stop_at_the_first_node() {
    let (_zero, mut one, mut two) = line().await;
    let mut liar = Raw::start(3).await;
    liar.connect(one.network.peer_id(), one.address()).await;
    heard_by(&mut liar, one.network.peer_id()).await;

    let good = transaction(L2, 1, 10);
    let beside_good = |bad: Transaction| TransactionGossip::encode(&[good.clone(), bad]).remove(0);
    let bad = forbidden().into_iter().chain([transaction(L2 + 1, 2, 10)]).map(beside_good);
    let messages = [vec![0xff; 100]].into_iter().chain(bad);
    let lies = 6;
    messages.chain([TransactionGossip::encode(std::slice::from_ref(&good)).remove(0)]).for_each(|message| {
        publish(&liar, message);
    });
    assert_eq!(one.transactions().await, std::slice::from_ref(&good));
    assert_eq!(two.transactions().await, [good]);
    // Each was judged on its own, in parallel: the good one may be first.
    let stats = one.network.stats();
    assert_eq!(stats.gossip_accepted.get(), 1);
    // The charge is the last that comes of a message.
    becomes(|| stats.faults_charged.get() == lies).await;
    assert_eq!(stats.gossip_rejected.get(), lies);
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
