//! Two epochs and more on the same connections.

use baton_proto::{
    Certificate,
    wire::{SyncRequest, SyncResponse},
};
use libp2p::swarm::SwarmEvent;

use super::{
    raw::{Raw, Says},
    *,
};
use crate::{
    epoch::EPOCHS_KEPT,
    p2p::{Fault, Outbound as _, RequestError, arrivals::STRANGERS_KEPT_MAX, frame::frame},
};

/// The seed of who has a key and no seat in the first epoch.
const JOINER: u8 = MEMBERS;

const NEXT: Epoch = Epoch::new(3);

/// A small message about an epoch; `n` tells one from another.
fn about(epoch: Epoch, n: u64) -> ConsensusMessage {
    ConsensusMessage::CertificateRequest { epoch, view: View::new(n) }
}

/// A node of which the test keeps the epochs.
async fn start(config: NetworkConfig) -> (Node, EpochBook) {
    let epochs = config.epochs.clone();
    (Node::start(config).await, epochs)
}

/// The members of [`NEXT`] in order: one joins, three move, and all others leave.
const MEMBERS_NEXT: [u8; 4] = [JOINER, 3, 0, 1];

#[tokio::test(flavor = "multi_thread")]
async fn members_stay_move_leave_and_join_on_their_connections() {
    let next = || epoch(L2, NEXT, MEMBERS_NEXT);
    let (mut zero, zero_epochs) = start(member(0, &[])).await;
    let mut others = HashMap::new();
    for seed in [1, 2, 3, JOINER] {
        let (mut node, epochs) = start(member(seed, &[(0, &zero.address())])).await;
        node.connected_in(EPOCH, 0).await;
        if seed != JOINER {
            zero.connected_in(EPOCH, seed).await;
        }
        others.insert(seed, (node, epochs));
    }
    becomes(|| zero.network.standing(&peer(JOINER)) == Some(Standing::Candidate)).await;
    assert_eq!(zero.network.connected_members(), [1, 2, 3].map(index));
    zero.network.broadcast(about(EPOCH, 1));
    zero.network.send(index(1), about(EPOCH, 2));
    for seed in [1, 2, 3] {
        assert_eq!(others.get_mut(&seed).unwrap().0.said().await, (EPOCH, index(0), about(EPOCH, 1)));
    }
    assert_eq!(others.get_mut(&1).unwrap().0.said().await, (EPOCH, index(0), about(EPOCH, 2)));
    // Who has no seat says nothing.
    others[&JOINER].0.network.broadcast(about(EPOCH, 3));
    assert_eq!(others[&JOINER].0.network.stats().streams_opened.get(), 0);
    let connections = zero.network.stats().connections_opened.get();

    // The first to enter speaks of an epoch that the others do not know: they are told as whom they know it.
    zero_epochs.add(next());
    for member in [1, 3, 0] {
        zero.connected_in(NEXT, member).await;
    }
    zero.network.send(index(3), about(NEXT, 4));
    assert_eq!(others.get_mut(&1).unwrap().0.said().await, (EPOCH, index(0), about(NEXT, 4)));
    for (node, epochs) in others.values_mut() {
        epochs.add(next());
        node.connected_in(NEXT, 2).await;
    }
    assert_eq!(zero.network.at(NEXT).connected_members(), [0, 1, 3].map(index));
    assert_eq!(zero.network.connected_members(), [1, 2, 3].map(index));

    // An index means another member now.
    let at_next = [(0, JOINER), (1, 3), (3, 1)];
    for (place, seed) in at_next {
        zero.network.send(index(place), about(NEXT, 10 + u64::from(place)));
        let (node, _) = others.get_mut(&seed).unwrap();
        assert_eq!(node.said().await, (NEXT, index(2), about(NEXT, 10 + u64::from(place))));
        node.network.send(index(2), about(NEXT, 20 + u64::from(place)));
        assert_eq!(zero.said().await, (NEXT, index(place), about(NEXT, 20 + u64::from(place))));
    }
    // Those who left hear nothing of it, and are heard about their own epoch only.
    zero.network.broadcast(about(NEXT, 30));
    for (_, seed) in at_next {
        assert_eq!(others.get_mut(&seed).unwrap().0.said().await, (NEXT, index(2), about(NEXT, 30)));
    }
    zero.network.broadcast(about(EPOCH, 31));
    for seed in [1, 2, 3] {
        assert_eq!(others.get_mut(&seed).unwrap().0.said().await, (EPOCH, index(0), about(EPOCH, 31)));
    }
    let (two, _) = &others[&2];
    two.network.broadcast(about(NEXT, 32));
    two.network.broadcast(about(EPOCH, 33));
    assert_eq!(zero.said().await, (EPOCH, index(2), about(EPOCH, 33)));

    // A certificate carries its own proof: who decides now hears of those of earlier epochs, from whoever decides now.
    let statement = Statement::Nullify { epoch: EPOCH, view: View::new(1) };
    let signature = key(0).sign(&statement, &chain(L2));
    let signers = [0, 1, 2].map(MemberIndex::new).into_iter().collect();
    let old = ConsensusMessage::Certificate(Certificate { statement, signers, signature });
    others[&JOINER].0.network.broadcast(old.clone());
    assert_eq!(zero.said().await, (NEXT, index(0), old.clone()));
    zero.network.broadcast(old.clone());
    for seed in [1, 2, 3, JOINER] {
        assert_eq!(others.get_mut(&seed).unwrap().0.said().await, (EPOCH, index(0), old.clone()));
    }

    // Questions go where the handle's epoch says.
    for (epoch, place, seed) in [(EPOCH, 1, 1), (NEXT, 1, 3), (NEXT, 0, JOINER)] {
        let asking = zero.network.at(epoch);
        let answer = tokio::spawn(async move { asking.request(index(place), SyncRequest::Head).await });
        let asked = others.get_mut(&seed).unwrap().0.until(|event| match event {
            NetworkEvent::SyncRequest { from, respond, .. } => Some((from, respond)),
            _ => None,
        });
        let (from, respond) = asked.await;
        assert_eq!(from, peer(0));
        let head = SyncResponse::Head { height: Height::new(seed.into()), digest: BlockDigest::ZERO };
        respond.send(head.clone()).unwrap();
        assert_eq!(answer.await.unwrap(), Ok(head));
    }
    for (epoch, place) in [(NEXT, 2), (NEXT, 4), (Epoch::new(1), 1)] {
        let unknown = zero.network.at(epoch).request(index(place), SyncRequest::Head).await;
        assert_eq!(unknown, Err(RequestError::UnknownMember(index(place))));
    }

    assert_eq!(zero.network.peer_count(), 4);
    assert_eq!(zero.network.stats().connections_opened.get(), connections);
}

/// Who left signs the last batches of its epoch, until that is forgotten; should it come back, it is known.
#[tokio::test(flavor = "multi_thread")]
async fn who_left_is_heard_until_its_epoch_is_forgotten_and_again_when_it_is_back() {
    let (mut zero, mut one) = (member(0, &[]), member(1, &[]));
    // One node leaves, as both see it.
    let book = epochs(L2);
    zero.epochs = book.clone();
    one.epochs = book.clone();
    let mut zero = Node::start(zero).await;
    one.peers = vec![(peer(0), zero.address())];
    let mut one = Node::start(one).await;
    zero.connected_in(EPOCH, 1).await;
    one.connected_in(EPOCH, 0).await;

    let later = |n: usize| Epoch::new(EPOCH.get() + n as u64);
    for n in 1..EPOCHS_KEPT {
        book.add(epoch(L2, later(n), [0, 2, 3]));
        one.connected_in(later(n), 0).await;
        zero.network.send(index(1), about(EPOCH, n as u64));
        assert_eq!(one.said().await, (EPOCH, index(0), about(EPOCH, n as u64)));
        one.network.send(index(0), about(EPOCH, n as u64));
        assert_eq!(zero.said().await, (EPOCH, index(1), about(EPOCH, n as u64)));
        assert_eq!(zero.network.at(later(n)).connected_members(), []);
        // About an epoch in which it has no seat it says nothing.
        one.network.broadcast(about(later(n), 0));
    }
    let (opened, refused) = (one.network.stats().streams_opened.get(), zero.network.stats().streams_refused.get());
    book.add(epoch(L2, later(EPOCHS_KEPT), [0, 2, 3]));
    one.connected_in(later(EPOCHS_KEPT), 0).await;
    assert_eq!(zero.network.connected_members(), []);
    for (from, to) in [(&zero, index(1)), (&one, index(0))] {
        from.network.send(to, about(EPOCH, 100));
        from.network.broadcast(about(later(EPOCHS_KEPT), 101));
    }
    assert_eq!(zero.network.standing(&peer(1)), speaks_for(1));

    let back = later(EPOCHS_KEPT + 1);
    book.add(epoch(L2, back, [1, 0]));
    zero.connected_in(back, 0).await;
    one.connected_in(back, 1).await;
    zero.network.send(index(0), about(back, 102));
    assert_eq!(one.said().await, (back, index(1), about(back, 102)));
    one.network.send(index(1), about(back, 103));
    assert_eq!(zero.said().await, (back, index(0), about(back, 103)));
    assert!(one.network.stats().streams_opened.get() > opened);
    // Once in each epoch that was remembered, and now; what is said first is counted first.
    becomes(|| one.network.stats().frames_sent.get() >= EPOCHS_KEPT as u64).await;
    assert_eq!(one.network.stats().frames_sent.get(), EPOCHS_KEPT as u64);
    assert_eq!(zero.network.stats().streams_refused.get(), refused);
    for node in [&zero, &one] {
        assert_eq!(node.network.stats().connections_opened.get(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_charge_meets_who_it_is_about() {
    let (mut zero, epochs) = start(member(0, &[])).await;
    let mut nodes = vec![];
    for seed in [1, 2] {
        nodes.push(Node::start(member(seed, &[(0, &zero.address())])).await);
        zero.connected_in(EPOCH, seed).await;
    }
    let before = zero.network.clone();
    // They change places.
    epochs.add(epoch(L2, NEXT, [0, 2, 1]));
    zero.connected_in(NEXT, 2).await;
    before.at(Epoch::new(1)).charge_member(index(1), Fault::InvalidProof);
    before.at(NEXT).charge_member(index(3), Fault::InvalidProof);
    assert_eq!(zero.network.stats().faults_charged.get(), 0);
    for _ in 0..2 {
        before.charge_member(index(1), Fault::InvalidProof);
    }
    let refused = zero.until(|event| match event {
        NetworkEvent::PeerRefused { peer, .. } => Some(peer),
        _ => None,
    });
    assert_eq!(refused.await, peer(1));
    let gone = zero.until(|event| match event {
        NetworkEvent::MemberDisconnected { epoch, member } => Some((epoch, member)),
        _ => None,
    });
    assert_eq!(gone.await, (NEXT, index(2)));
    assert_eq!(zero.network.at(NEXT).connected_members(), [index(1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_who_joins_says_waits_for_the_epoch() {
    let (mut zero, epochs) = start(member(0, &[])).await;
    let mut joiner = Raw::start(JOINER).await;
    joiner.connect(zero.network.peer_id(), zero.address()).await;
    becomes(|| zero.network.standing(&joiner.peer) == Some(Standing::Candidate)).await;
    let mut stream = joiner.open_stream(zero.network.peer_id()).await;
    raw::write(&mut stream, &frame(&about(Epoch::new(4), 1)).unwrap()).await;
    // Another epoch without it is not the one.
    epochs.add(epoch(L2, NEXT, [0, 1]));
    epochs.add(epoch(L2, Epoch::new(4), [0, JOINER]));
    zero.connected_in(Epoch::new(4), 1).await;
    assert_eq!(zero.said().await, (Epoch::new(4), index(1), about(Epoch::new(4), 1)));
    // What it says about an epoch yet to come is its word as who it is now; of one in which it had no seat it has none.
    for (epoch, n) in [(NEXT, 2), (Epoch::new(1), 2), (Epoch::new(9), 2)] {
        raw::write(&mut stream, &frame(&about(epoch, n)).unwrap()).await;
    }
    assert_eq!(zero.said().await, (Epoch::new(4), index(1), about(Epoch::new(9), 2)));
    // Once it has left, it is heard about its own epoch and no other.
    epochs.add(epoch(L2, Epoch::new(5), [0, 1]));
    for (epoch, n) in [(Epoch::new(5), 3), (Epoch::new(9), 4), (NEXT, 5), (Epoch::new(4), 6)] {
        raw::write(&mut stream, &frame(&about(epoch, n)).unwrap()).await;
    }
    assert_eq!(zero.said().await, (Epoch::new(4), index(1), about(Epoch::new(4), 6)));
    assert_eq!(zero.network.stats().streams_refused.get(), 0);
    assert_eq!(zero.network.stats().faults_charged.get(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_false_claim_to_a_key_shows_when_the_key_gets_a_seat() {
    let (zero, epochs) = start(member(0, &[])).await;
    let mut liar = Raw::start_saying(30, Says::Member(JOINER, JOINER + 1)).await;
    liar.connect(zero.network.peer_id(), zero.address()).await;
    becomes(|| zero.network.standing(&liar.peer) == Some(Standing::Candidate)).await;
    epochs.add(epoch(L2, NEXT, MEMBERS_NEXT));
    becomes(|| zero.network.standing(&liar.peer) == Some(Standing::Stranger)).await;
    becomes(|| zero.network.stats().faults_charged.get() == 1).await;
    assert_eq!(zero.network.at(NEXT).connected_members(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_changes_its_key_is_the_same_member_on_its_connections() {
    let (mut zero, epochs) = start(member(0, &[])).await;
    let mut config = member(1, &[(0, &zero.address())]);
    config.speakers.push(speaker(JOINER));
    let (mut one, one_epochs) = start(config).await;
    zero.connected_in(EPOCH, 1).await;
    one.connected_in(EPOCH, 0).await;
    assert_eq!(zero.network.standing(&peer(1)), speaks_for(1));
    one.network.broadcast(about(EPOCH, 1));
    assert_eq!(zero.said().await, (EPOCH, index(1), about(EPOCH, 1)));
    let opened = zero.network.stats().connections_opened.get();

    // The other key takes the seat.
    let next = || epoch(L2, NEXT, [0, JOINER]);
    one_epochs.add(next());
    epochs.add(next());
    zero.connected_in(NEXT, 1).await;
    one.network.broadcast(about(NEXT, 2));
    assert_eq!(zero.said().await, (NEXT, index(1), about(NEXT, 2)));
    // What is left to say about the epoch before is said as the same member, and heard as its word.
    one.network.broadcast(about(EPOCH, 3));
    assert_eq!(zero.said().await, (EPOCH, index(1), about(EPOCH, 3)));
    for (epoch, n) in [(NEXT, 4), (EPOCH, 5)] {
        zero.network.at(epoch).send(index(1), about(epoch, n));
        assert_eq!(one.said().await, (epoch, index(0), about(epoch, n)));
        assert_eq!(zero.network.at(epoch).connected_members(), [index(1)]);
    }
    // Once nobody remembers the old key, it is the new one's alone.
    for n in 1..EPOCHS_KEPT as u64 {
        epochs.add(epoch(L2, Epoch::new(NEXT.get() + n), [0, JOINER]));
    }
    zero.connected_in(Epoch::new(NEXT.get() + EPOCHS_KEPT as u64 - 1), 1).await;
    one.network.broadcast(about(NEXT, 6));
    assert_eq!(zero.said().await, (NEXT, index(1), about(NEXT, 6)));
    assert_eq!(zero.network.stats().connections_opened.get(), opened);
    assert_eq!(zero.network.stats().faults_charged.get(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_key_that_is_not_its_own_makes_a_liar_of_a_member() {
    let (zero, epochs) = start(member(0, &[])).await;
    let mut config = member(1, &[(0, &zero.address())]);
    let (stolen, own) = (speaker(JOINER), speaker(1));
    config.speakers.push(Speaker { key: stolen.key, prove: own.prove });
    let (_one, _) = start(config).await;
    becomes(|| zero.network.standing(&peer(1)) == speaks_for(1)).await;
    epochs.add(epoch(L2, NEXT, [0, JOINER]));
    becomes(|| zero.network.stats().faults_charged.get() == 1).await;
    assert_eq!(zero.network.at(NEXT).connected_members(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn observers_of_who_joins_hear_it_from_then_on() {
    let mut config = member(40, &[]);
    config.speakers = vec![];
    let (mut observer, observer_epochs) = start(config).await;
    let mut config = member(JOINER, &[]);
    config.observers = vec![(peer(40), observer.address())];
    let (joiner, joiner_epochs) = start(config).await;
    becomes(|| observer.network.standing(&peer(JOINER)) == Some(Standing::Candidate)).await;
    let next = || epoch(L2, NEXT, MEMBERS_NEXT);
    observer_epochs.add(next());
    observer.connected_in(NEXT, 0).await;
    assert_eq!(joiner.network.stats().streams_opened.get(), 0);
    joiner_epochs.add(next());
    becomes(|| joiner.network.stats().streams_opened.get() == 1).await;
    joiner.network.broadcast(about(NEXT, 1));
    assert_eq!(observer.said().await, (NEXT, index(0), about(NEXT, 1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joined_has_a_place_of_its_own_and_who_left_for_good_has_none() {
    let (mut zero, epochs) = start(member(0, &[])).await;
    let (to, address) = (zero.network.peer_id(), zero.address());
    let mut raws = vec![];
    for seed in [JOINER, 1] {
        let mut raw = Raw::start(seed).await;
        raw.connect(to, address.clone()).await;
        becomes(|| zero.network.standing(&raw.peer).is_some()).await;
        raws.push(raw);
    }
    for n in 0..EPOCHS_KEPT as u64 {
        epochs.add(epoch(L2, Epoch::new(NEXT.get() + n), [0, JOINER]));
    }
    zero.connected_in(Epoch::new(NEXT.get() + EPOCHS_KEPT as u64 - 1), 1).await;
    // They came before all strangers. One more than there is room for, who left being one of them.
    let mut strangers = vec![];
    for seed in 0..u8::try_from(STRANGERS_KEPT_MAX).unwrap() {
        let mut stranger = Raw::start_saying(100 + seed, Says::NoMember).await;
        stranger.connect(to, address.clone()).await;
        strangers.push(stranger);
    }
    raws[1].until(|event| matches!(event, SwarmEvent::ConnectionClosed { .. }).then_some(())).await;
    becomes(|| zero.network.peer_count() == STRANGERS_KEPT_MAX + 1).await;
    assert_eq!(zero.network.standing(&peer(JOINER)), speaks_for(JOINER));
    assert_eq!(zero.network.at(Epoch::new(NEXT.get())).connected_members(), [index(1)]);
    for raw in strangers.iter().chain(&raws[..1]) {
        becomes(|| zero.network.standing(&raw.peer).is_some()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_left_for_good_leaves_the_book() {
    let folder = tempfile::tempdir().unwrap();
    let book = folder.path().join("peers.txt");
    let mut config = member(0, &[]);
    config.book = Some(book.clone());
    let (mut zero, epochs) = start(config).await;
    let mut nodes = vec![];
    for seed in [1, 2] {
        nodes.push(Node::start(member(seed, &[(0, &zero.address())])).await);
        zero.connected_in(EPOCH, seed).await;
    }
    let last = Epoch::new(EPOCH.get() + EPOCHS_KEPT as u64);
    for n in (NEXT.get()..=last.get()).map(Epoch::new) {
        epochs.add(epoch(L2, n, [0, 2]));
        zero.connected_in(n, 1).await;
    }
    // It is connected all the same.
    assert_eq!(zero.network.standing(&peer(1)), speaks_for(1));
    zero.network.shutdown().await;
    let text = std::fs::read_to_string(&book).unwrap();
    assert_eq!([1, 2].map(|seed| text.contains(&peer(seed).to_string())), [false, true], "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_of_before_its_epoch_began_here_stays_if_it_is_coming() {
    let (mut zero, zero_epochs) = start(member(0, &[])).await;
    let (mut one, one_epochs) = start(member(1, &[(0, &zero.address())])).await;
    zero.connected_in(EPOCH, 1).await;
    let facts = |seeds: [u8; 3]| {
        let context = epoch(L2, NEXT, seeds);
        let committee = context.committee.members().to_vec();
        (context, EpochFacts { epoch: NEXT, committee, randomness: B256::ZERO })
    };
    let (next, coming) = facts([0, 1, JOINER]);
    zero_epochs.announce(&coming);
    // The other one has entered that epoch, and tells of who joined and of a stranger to us.
    let mut raws = vec![];
    for seed in [JOINER, JOINER + 1] {
        let mut raw = Raw::start(seed).await;
        raw.connect(one.network.peer_id(), one.address()).await;
        raws.push(raw);
    }
    one_epochs.add(epoch(L2, NEXT, [0, 1, JOINER, JOINER + 1]));
    for place in [2, 3] {
        one.connected_in(NEXT, place).await;
    }
    let told = |raw: &Raw| zero.network.standing(&raw.peer) == Some(Standing::Candidate);
    becomes(|| told(&raws[0])).await;
    raws[1].until(|event| matches!(event, SwarmEvent::ConnectionClosed { .. }).then_some(())).await;
    assert!(told(&raws[0]), "it is about to join");
    let opened = zero.network.stats().connections_opened.get();
    zero_epochs.add(next);
    zero.connected_in(NEXT, 2).await;
    assert_eq!(zero.network.stats().connections_opened.get(), opened);
}
