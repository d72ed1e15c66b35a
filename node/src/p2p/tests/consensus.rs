use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    time::Instant,
};

use alloy_primitives::Bytes;
use baton_proto::{
    BatchHash, BatchHeader, BatchIndex, DataKind,
    limits::{BLOCK_BYTES_MAX, FRAME_BYTES_MAX},
    wire::NOTHING_KNOWN,
};
use futures::StreamExt as _;
use libp2p::swarm::SwarmEvent;

use super::{raw::Raw, *};
use crate::p2p::{
    Fault, Outbound as _, Refusal,
    frame::{frame, prefixed, read_frame},
};

#[tokio::test(flavor = "multi_thread")]
async fn messages_travel_both_ways_in_order() {
    let (mut zero, mut one) = pair().await;
    for n in 0..100 {
        zero.network.broadcast(request(n));
        one.network.send(index(0), request(1_000 + n));
    }
    for n in 0..100 {
        assert_eq!(one.message().await, (index(0), request(n)));
        assert_eq!(zero.message().await, (index(1), request(1_000 + n)));
    }
    zero.network.send(index(9), request(0));
    assert_eq!(zero.network.connected_members(), [index(1)]);
    assert_eq!((zero.network.peer_count(), one.network.peer_count()), (1, 1));
    // The sender counts a frame after the other end may have it already.
    becomes(|| zero.network.stats().frames_sent.get() == 100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_there_in_a_moment() {
    let (mut zero, mut one) = pair().await;
    let mut bare = bare_echo();
    let (mut round_trips, mut bare_round_trips) = (vec![], vec![]);
    for n in 0..200 {
        let start = Instant::now();
        bare.write_all(&[1]).unwrap();
        bare.read_exact(&mut [0]).unwrap();
        bare_round_trips.push(start.elapsed());
        let start = Instant::now();
        zero.network.broadcast(request(n));
        one.message().await;
        one.network.broadcast(request(n));
        zero.message().await;
        round_trips.push(start.elapsed());
    }
    round_trips.sort();
    bare_round_trips.sort();
    let (median, bare) = (round_trips[100], bare_round_trips[100]);
    println!("round trip: median {median:?}, 95 % {:?}; of two bare sockets: median {bare:?}", round_trips[190]);
    // Nagle's algorithm, or a poll on a timer, would make it 40 ms and more. On a machine that is busy with something else
    // two threads that say nothing but a byte to each other wait for their turn as well.
    assert!(median < NAGLE.max(bare * 50), "median {median:?}, of two bare sockets {bare:?}");
}

/// Less than the kernel waits for something to confirm a small segment with.
const NAGLE: Duration = Duration::from_millis(30);

/// A connection whose other end is a thread that says back what it hears, until the connection is dropped.
fn bare_echo() -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut far, _) = listener.accept().unwrap();
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    std::thread::spawn(move || {
        let mut byte = [0];
        while far.read_exact(&mut byte).and_then(|()| far.write_all(&byte)).is_ok() {}
    });
    near
}

#[tokio::test(flavor = "multi_thread")]
async fn both_may_dial() {
    // Each end gets the other's address, so that both dial at once, time and again.
    for _ in 0..5 {
        let ((_kept_a, a), (_kept_b, b)) = (reserved(), reserved());
        let mut zero = member(0, &[(1, &b)]);
        zero.listen = vec![a.clone()];
        let mut one = member(1, &[(0, &a)]);
        one.listen = vec![b];
        let (mut zero, mut one) = tokio::join!(Node::start(zero), Node::start(one));
        zero.connected(1).await;
        one.connected(0).await;
        zero.network.broadcast(request(1));
        one.network.broadcast(request(2));
        assert_eq!(one.message().await, (index(0), request(1)));
        assert_eq!(zero.message().await, (index(1), request(2)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_to_a_member_that_does_not_know_us_yet_arrives() {
    // Each speaks the moment it knows the other, time and again, so that either is first.
    for _ in 0..5 {
        let mut one = Node::start(member(1, &[])).await;
        let mut zero = Node::start(member(0, &[(1, &one.address())])).await;
        let speak = async |node: &mut Node, to: u8| {
            node.connected(to).await;
            node.network.broadcast(request(to.into()));
            node.message().await
        };
        let (heard, also_heard) = tokio::join!(speak(&mut zero, 1), speak(&mut one, 0));
        assert_eq!((heard, also_heard), ((index(1), request(0)), (index(0), request(1))));
    }
}

/// A proposal with the most transaction bytes that a block can have, or nearly.
fn largest_proposal() -> (ConsensusMessage, Vec<Transaction>) {
    let transactions: Vec<Transaction> = (0..16).map(|nonce| transaction(L2, nonce, 128 * 1024 - 160)).collect();
    let bytes: usize = transactions.iter().map(|tx| tx.raw().len()).sum();
    assert!(bytes <= BLOCK_BYTES_MAX && bytes > BLOCK_BYTES_MAX - 2_048, "{bytes}");
    (proposal(transactions.clone()), transactions)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_proposal_passes() {
    let (zero, mut one) = pair().await;
    let (message, _) = largest_proposal();
    zero.network.broadcast(message.clone());
    zero.network.broadcast(request(1));
    assert!(one.message().await == (index(0), message));
    assert_eq!(one.message().await, (index(0), request(1)));
    assert_eq!(one.network.stats().faults_charged.get(), 0);

    // What would be too large never leaves.
    let data = Bytes::from(vec![1; FRAME_BYTES_MAX + 1]);
    let header = BatchHeader {
        index: BatchIndex::ZERO,
        prev_batch_hash: BatchHash::ZERO,
        epoch: Epoch::new(2),
        first_height: Height::new(1),
        last_height: Height::new(2),
        last_digest: BlockDigest::ZERO,
        last_origin: L1Origin { number: L1BlockNumber::new(12), hash: B256::ZERO },
        state_root: B256::ZERO,
        forced_position: 0,
        forced_hash: B256::ZERO,
        data_kind: DataKind::Calldata,
        data_hash: B256::ZERO,
        duties_root: B256::ZERO,
    };
    zero.network.broadcast(ConsensusMessage::BatchProposal { committee_epoch: EPOCH, header, data });
    zero.network.broadcast(request(2));
    assert_eq!(one.message().await, (index(0), request(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn faulty_frames_are_charged_and_nobody_else_is_disturbed() {
    let mut zero = Node::start(member(0, &[])).await;
    let one = Node::start(member(1, &[(0, &zero.address())])).await;
    zero.connected(1).await;
    let mut liar = Raw::start(2).await;
    liar.connect(zero.network.peer_id(), zero.address()).await;
    zero.connected(2).await;

    // A good message first, so that it is the bad one that closes the stream.
    let oversized = [u32::try_from(FRAME_BYTES_MAX + 1).unwrap().to_be_bytes().as_slice(), &[0; 64]].concat();
    let garbage = prefixed(&[0xff; 100], FRAME_BYTES_MAX).unwrap();
    let large_garbage = prefixed(&vec![0xff; 100_000], FRAME_BYTES_MAX).unwrap();
    for (n, bad) in [&oversized[..], &garbage, &large_garbage].into_iter().enumerate() {
        let n = n as u64;
        let mut stream = liar.open_stream(zero.network.peer_id()).await;
        raw::write(&mut stream, &frame(&request(n)).unwrap()).await;
        assert_eq!(zero.message().await, (index(2), request(n)));
        raw::write(&mut stream, bad).await;
        raw::closed(stream).await;
        assert_eq!(zero.network.stats().faults_charged.get(), n + 1);
        one.network.broadcast(request(100 + n));
        assert_eq!(zero.message().await, (index(1), request(100 + n)));
    }

    // The fourth is one too many.
    let mut stream = liar.open_stream(zero.network.peer_id()).await;
    raw::write(&mut stream, &garbage).await;
    let refused = zero.until(|event| match event {
        NetworkEvent::PeerRefused { peer, reason } => Some((peer, reason)),
        _ => None,
    });
    assert_eq!(refused.await, (liar.peer, Refusal::Faults { last: Fault::UndecodableFrame }));
    zero.disconnected(2).await;
    assert_eq!(zero.network.connected_members(), [index(1)]);
    liar.until(|event| matches!(event, SwarmEvent::ConnectionClosed { .. }).then_some(())).await;

    // It may connect as often as it likes: each time it is dropped, and never becomes a member again.
    liar.dial(zero.network.peer_id(), zero.address());
    liar.until(|event| {
        matches!(event, SwarmEvent::ConnectionClosed { .. } | SwarmEvent::OutgoingConnectionError { .. }).then_some(())
    })
    .await;
    assert_eq!(zero.network.connected_members(), [index(1)]);
    one.network.broadcast(request(200));
    assert_eq!(zero.message().await, (index(1), request(200)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_does_not_read_holds_up_nobody() {
    let mut slow = Raw::start(2).await;
    let (message, transactions) = largest_proposal();
    let mut one = Node::start_knowing(member(1, &[]), knows(&transactions)).await;
    let mut zero = Node::start(member(0, &[(1, &one.address()), (2, &slow.address)])).await;
    zero.connected(1).await;
    let (_, mut stream) = within(slow.incoming.next()).await.unwrap();

    // Twice what may wait for one peer; each is received by the other member before the next is sent.
    let rounds = 8;
    for n in 0..rounds {
        zero.network.broadcast(request(n));
        zero.network.broadcast(message.clone());
        assert_eq!(one.message().await, (index(0), request(n)));
        assert!(one.message().await == (index(0), message.clone()));
    }
    zero.network.broadcast(request(rounds));
    assert_eq!(one.message().await, (index(0), request(rounds)));
    let dropped = zero.network.stats().frames_dropped.get();
    assert!(dropped > 0);

    // When it reads at last, it gets the newest; what is missing is what was dropped.
    let mut read = vec![];
    loop {
        let bytes = within(read_frame(&mut stream, FRAME_BYTES_MAX)).await.unwrap();
        if bytes.len() < 1_000 {
            match ConsensusMessage::decode(&bytes, NOTHING_KNOWN).unwrap() {
                ConsensusMessage::CertificateRequest { view, .. } => read.push(view.get()),
                other => panic!("{other:?}"),
            }
        } else {
            read.push(u64::MAX);
        }
        if read.last() == Some(&rounds) {
            break;
        }
    }
    assert_eq!(read.len() as u64, 2 * rounds + 1 - dropped, "{read:?}");
    assert!(read.contains(&(rounds - 1)), "{read:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_busy_loses_nothing_of_what_members_say() {
    let (zero, mut one) = pair().await;
    // More than the event channel holds; `one` takes none of them until all are on their way.
    let count = 1_000;
    for n in 0..count {
        zero.network.broadcast(request(n));
    }
    for n in 0..count {
        assert_eq!(one.message().await, (index(0), request(n)));
    }
    assert_eq!(zero.network.stats().frames_dropped.get(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_peer_is_connected_again() {
    let (_kept, address) = reserved();
    let mut config = member(1, &[]);
    config.listen = vec![address];
    let mut one = Node::start(config.clone()).await;
    let mut zero = Node::start(member(0, &[(1, &one.address())])).await;
    zero.connected(1).await;
    for round in 0..3 {
        one.network.shutdown().await;
        zero.disconnected(1).await;
        assert!(zero.network.connected_members().is_empty());

        one = Node::start(config.clone()).await;
        zero.connected(1).await;
        one.connected(0).await;
        zero.network.broadcast(request(round));
        one.network.broadcast(request(round + 10));
        assert_eq!(one.message().await, (index(0), request(round)));
        assert_eq!(zero.message().await, (index(1), request(round + 10)));
    }
    // The old handle's events ended with it.
    zero.network.shutdown().await;
    while zero.events.recv().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn observers_get_every_broadcast_and_are_not_heard() {
    let mut config = member(8, &[]);
    config.speakers = vec![];
    let mut observer = Node::start(config).await;
    let mut raw = Raw::start(9).await;
    let mut config = member(0, &[]);
    config.observers = vec![(peer(8), observer.address()), (raw.peer, raw.address.clone())];
    let mut zero = Node::start(config).await;
    observer.connected(0).await;
    zero.network.broadcast(request(1));
    assert_eq!(observer.message().await, (index(0), request(1)));

    // An observer has nothing to say, and what a faulty one says is not read.
    observer.network.broadcast(request(2));
    raw.until(|event| matches!(event, SwarmEvent::ConnectionEstablished { .. }).then_some(())).await;
    let mut stream = raw.open_stream(peer(0)).await;
    raw::write(&mut stream, &frame(&request(3)).unwrap()).await;
    raw::closed(stream).await;
    assert_eq!(zero.network.stats().streams_refused.get(), 1);
    assert_eq!(zero.network.stats().faults_charged.get(), 0);
    zero.network.shutdown().await;
    while let Some(event) = zero.events.recv().await {
        assert!(!matches!(event, NetworkEvent::Consensus { .. }), "{event:?}");
    }
}
