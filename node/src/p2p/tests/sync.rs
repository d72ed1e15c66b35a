use baton_proto::{
    limits::{FORWARD_TRANSACTIONS_MAX, RANGE_ANSWER_BYTES_MAX},
    wire::{SyncRequest, SyncResponse},
};
use libp2p::{request_response, swarm::SwarmEvent};
use tokio::sync::oneshot;

use super::{
    raw::{Raw, Says},
    *,
};
use crate::p2p::{Reach, RequestError, behaviour::BehaviourEvent, service::STRANGERS_ANSWERED_MAX};

/// Has a raw peer ask `to`.
fn ask(asker: &Raw, to: PeerId, request: &SyncRequest) {
    let request = request.encode();
    asker.order(move |swarm| {
        swarm.behaviour_mut().sync.send_request(&to, request);
    });
}

/// The next answer that a raw peer gets.
#[track_caller]
fn answer(asker: &mut Raw) -> impl Future<Output = SyncResponse> {
    let answer = asker.until(|event| match event {
        SwarmEvent::Behaviour(BehaviourEvent::Sync(request_response::Event::Message {
            message: request_response::Message::Response { response, .. },
            ..
        })) => Some(response),
        _ => None,
    });
    async move { SyncResponse::decode(&answer.await, &*nothing_known()).unwrap() }
}

/// The next question that a node has to answer.
#[track_caller]
fn question(node: &mut Node) -> impl Future<Output = (PeerId, SyncRequest, oneshot::Sender<SyncResponse>)> {
    node.until(|event| match event {
        NetworkEvent::SyncRequest { from, request, respond } => Some((from, request, respond)),
        _ => None,
    })
}

fn head(n: u64) -> SyncResponse {
    SyncResponse::Head { height: Height::new(n), digest: BlockDigest::new(B256::repeat_byte(2)) }
}

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
        let asked = zero.network.request(index(1), question.clone());
        let answered = one.until(|event| match event {
            NetworkEvent::SyncRequest { from, request, respond } => {
                assert_eq!((from, &request), (peer(0), &question));
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
    let mut zero = Node::start(member(0, &[])).await;
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
    let zero = Node::start(member(0, &[])).await;
    let ask = async |member| zero.network.request(index(member), SyncRequest::Head).await;
    assert_eq!(ask(1).await, Err(RequestError::NotConnected));
    assert_eq!(ask(MEMBERS).await, Err(RequestError::UnknownMember(index(MEMBERS))));
    assert_eq!(ask(0).await, Err(RequestError::UnknownMember(index(0))));
    zero.network.shutdown().await;
    assert_eq!(ask(1).await, Err(RequestError::ShutDown));
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_can_be_handed_over_directly() {
    let fresh: Vec<Transaction> = (0..3).map(|nonce| transaction(L2, nonce, 10)).collect();
    let known = transaction(L2, 9, 10);
    let mut one = Node::start_knowing(member(1, &[]), knows(std::slice::from_ref(&known))).await;
    let mut zero = Node::start(member(0, &[(1, &one.address())])).await;
    zero.connected(1).await;
    let raw = |transactions: &[Transaction]| transactions.iter().map(|tx| tx.raw().clone()).collect::<Vec<Bytes>>();
    let give = async |raw: Vec<Bytes>| within(zero.network.request(index(1), SyncRequest::Take(raw))).await;

    // Those that the receiver holds count as taken, and are not news.
    let all = [&fresh[..], std::slice::from_ref(&known)].concat();
    assert_eq!(give(raw(&all)).await, Ok(SyncResponse::Taken(4)));
    let taken = one.until(|event| match event {
        NetworkEvent::Transactions { from, transactions } => Some((from, transactions)),
        _ => None,
    });
    assert_eq!(taken.await, (peer(0), fresh.clone()));
    assert_eq!(give(raw(&[known])).await, Ok(SyncResponse::Taken(1)));
    assert_eq!(one.network.stats().forwarded_taken.get(), 5);

    // One bad transaction spoils the message, and is charged to whoever hands it over.
    let beside = |bad: Bytes| vec![fresh[0].raw().clone(), bad];
    let forbidden = forbidden().map(|transaction| transaction.raw().clone());
    let bad = forbidden.into_iter().chain([transaction(L2 + 1, 4, 10).raw().clone(), Bytes::from_static(b"junk")]);
    for (charged, raw) in (1..).zip(bad.map(beside)) {
        assert_eq!(give(raw).await, Ok(SyncResponse::Unavailable));
        assert_eq!(one.network.stats().faults_charged.get(), charged);
    }
    assert_eq!(one.network.stats().forwarded_taken.get(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_strangers_transactions_are_decoded_a_members_are_taken_and_other_strangers_are_not() {
    let slow = [1, 2].map(|nonce| transaction(L2, nonce, 0));
    let (known, mut asked, release) = slow_to_know(&slow);
    let mut zero = Node::start_knowing(member(0, &[]), known).await;
    let to = zero.network.peer_id();
    let mut strangers = vec![];
    for seed in [30, 31] {
        let mut stranger = Raw::start_saying(seed, Says::NoMember).await;
        stranger.connect(to, zero.address()).await;
        strangers.push(stranger);
    }
    let mut voter = Raw::start(2).await;
    voter.connect(to, zero.address()).await;
    zero.connected(2).await;

    let take = |transaction: &Transaction| SyncRequest::Take(vec![transaction.raw().clone()]);
    ask(&strangers[0], to, &take(&slow[0]));
    assert_eq!(within(asked.recv()).await.as_ref(), Some(slow[0].hash()));
    for stranger in &mut strangers[1..] {
        ask(stranger, to, &take(&slow[1]));
        assert_eq!(answer(stranger).await, SyncResponse::Unavailable);
    }
    ask(&voter, to, &take(&transaction(L2, 3, 0)));
    assert_eq!(answer(&mut voter).await, SyncResponse::Taken(1));
    drop(release);
    assert_eq!(answer(&mut strangers[0]).await, SyncResponse::Taken(1));
    assert_eq!(zero.network.stats().faults_charged.get(), 0, "to be refused is no fault");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_that_hands_over_without_end_is_told_no_and_a_member_is_still_heard() {
    let many: Vec<Transaction> = (0..FORWARD_TRANSACTIONS_MAX as u64).map(|nonce| transaction(L2, nonce, 0)).collect();
    let count = u32::try_from(many.len()).unwrap();
    let mut zero = Node::start_knowing(member(0, &[]), knows(&many)).await;
    let to = zero.network.peer_id();
    let mut stranger = Raw::start_saying(30, Says::NoMember).await;
    stranger.connect(to, zero.address()).await;
    let mut voter = Raw::start(2).await;
    voter.connect(to, zero.address()).await;
    zero.connected(2).await;
    let take = SyncRequest::Take(many.iter().map(|transaction| transaction.raw().clone()).collect());
    let stats = zero.network.stats();
    let mut taken = 0;
    // As many as one connection may have on their way, again and again: however slow the machine, it asks faster than it may.
    while stats.requests_over_budget.get() == 0 {
        for _ in 0..16 {
            ask(&stranger, to, &take);
        }
        for _ in 0..16 {
            let answer = answer(&mut stranger).await;
            assert!([SyncResponse::Taken(count), SyncResponse::Unavailable].contains(&answer), "{answer:?}");
            taken += u32::from(answer == SyncResponse::Taken(count));
        }
    }
    assert!(taken > 0, "a stranger has a share");
    assert_eq!(stats.faults_charged.get(), 0, "a peer may have more to hand over than we take");
    ask(&voter, to, &take);
    assert_eq!(answer(&mut voter).await, SyncResponse::Taken(count));
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_have_few_places_and_a_place_comes_free_with_an_answer() {
    let mut zero = Node::start(member(0, &[])).await;
    let to = zero.network.peer_id();
    let mut strangers = vec![];
    for seed in [30, 31] {
        let mut stranger = Raw::start_saying(seed, Says::NoMember).await;
        stranger.connect(to, zero.address()).await;
        strangers.push(stranger);
    }
    let mut voter = Raw::start(2).await;
    voter.connect(to, zero.address()).await;
    zero.connected(2).await;

    // The places are those of all strangers together.
    let mut held = vec![];
    for n in 0..STRANGERS_ANSWERED_MAX {
        let stranger = &strangers[n % 2];
        ask(stranger, to, &SyncRequest::Head);
        let (from, _, respond) = question(&mut zero).await;
        assert_eq!(from, stranger.peer);
        held.push(respond);
    }
    for stranger in &mut strangers {
        ask(stranger, to, &SyncRequest::Head);
        assert_eq!(answer(stranger).await, SyncResponse::Unavailable);
    }
    // The next question that the node has to answer is a member's: those of the strangers never reached it.
    ask(&voter, to, &SyncRequest::Head);
    let (from, _, respond) = question(&mut zero).await;
    assert_eq!(from, voter.peer);
    respond.send(head(9)).unwrap();
    assert_eq!(answer(&mut voter).await, head(9));

    // One answer, one place.
    held.remove(0).send(head(1)).unwrap();
    assert_eq!(answer(&mut strangers[0]).await, head(1));
    ask(&strangers[1], to, &SyncRequest::Head);
    let (from, _, _respond) = question(&mut zero).await;
    assert_eq!(from, strangers[1].peer);
    ask(&strangers[0], to, &SyncRequest::Head);
    assert_eq!(answer(&mut strangers[0]).await, SyncResponse::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_a_proposal_are_for_proven_members_only() {
    let mut zero = Node::start(member(0, &[])).await;
    let to = zero.network.peer_id();
    let parts = SyncRequest::Transactions { block: BlockDigest::new(B256::repeat_byte(3)), indices: vec![0, 2] };
    // Neither one that is no member nor one that has yet to say who it is.
    for (seed, says) in [(30, Says::NoMember), (3, Says::Nothing)] {
        let mut stranger = Raw::start_saying(seed, says).await;
        stranger.connect(to, zero.address()).await;
        ask(&stranger, to, &parts);
        assert_eq!(answer(&mut stranger).await, SyncResponse::Unavailable);
        // Blocks it may ask for.
        ask(&stranger, to, &SyncRequest::Head);
        let (from, request, respond) = question(&mut zero).await;
        assert_eq!((from, request), (stranger.peer, SyncRequest::Head));
        respond.send(head(9)).unwrap();
        assert_eq!(answer(&mut stranger).await, head(9));
    }
    let mut voter = Raw::start(2).await;
    voter.connect(to, zero.address()).await;
    zero.connected(2).await;
    ask(&voter, to, &parts);
    let (from, request, respond) = question(&mut zero).await;
    assert_eq!((from, request), (voter.peer, parts));
    let served = SyncResponse::Transactions(vec![Bytes::from_static(b"raw")]);
    respond.send(served.clone()).unwrap();
    assert_eq!(answer(&mut voter).await, served);
    assert_eq!(zero.network.stats().faults_charged.get(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_on_our_chain_can_be_asked_for_what_proves_itself() {
    // Its operator knows a node of another that is no member.
    let mut friend = member(41, &[]);
    friend.speakers = vec![];
    let friend = Node::start(friend).await;
    let mut zero = Node::start(member(0, &[(41, &friend.address())])).await;
    let one = Node::start(member(1, &[(0, &zero.address())])).await;
    zero.connected(1).await;
    // A follower, and who has a key that no epoch knows here.
    let mut follower = member(40, &[(0, &zero.address())]);
    follower.speakers = vec![];
    let mut follower = Node::start(follower).await;
    let later = Node::start(member(MEMBERS, &[(0, &zero.address())])).await;
    let mut others = vec![peer(40), peer(MEMBERS)];
    others.sort_unstable();
    let expected = Reach { members: vec![peer(1)], configured: vec![peer(41)], others };
    becomes(|| zero.network.reach() == expected).await;
    // In an epoch that nobody knows there are no members.
    assert_eq!(zero.network.at(Epoch::new(9)).reach().others.len(), 3);

    let asked = zero.network.request_of(peer(40), SyncRequest::Head);
    let answered = async {
        let (from, request, respond) = question(&mut follower).await;
        assert_eq!((from, request), (peer(0), SyncRequest::Head));
        respond.send(head(7)).unwrap();
    };
    let (response, ()) = tokio::join!(within(asked), answered);
    assert_eq!(response, Ok(head(7)));

    for gone in [&one, &later, &follower, &friend] {
        gone.network.shutdown().await;
    }
    becomes(|| zero.network.reach() == Reach::default()).await;
    assert_eq!(zero.network.request_of(peer(40), SyncRequest::Head).await, Err(RequestError::NotConnected));
}
