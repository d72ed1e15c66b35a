use libp2p::swarm::{
    SwarmEvent,
    dial_opts::{DialOpts, PeerCondition},
};

use super::{
    raw::{Raw, Says},
    *,
};
use crate::p2p::{
    Outbound as _, Refusal, StartError,
    arrivals::STRANGERS_KEPT_MAX,
    behaviour::STRANGERS_MAX,
    members::{PEERS_PER_MEMBER_MAX, Standing},
    protocol::ChainProtocols,
};

#[tokio::test(flavor = "multi_thread")]
async fn another_chain_is_refused_and_both_sides_say_why() {
    let mut one = Node::start(member(1, &[])).await;
    let mut config = member(0, &[(1, &one.address())]);
    config.epochs = epochs(L2 + 1);
    let mut zero = Node::start(config).await;
    zero.network.broadcast(request(1));
    one.network.broadcast(request(1));
    let version = |l2| ChainProtocols::of(&chain(l2)).version;
    for (node, other, ours, theirs) in [(&mut zero, 1, L2 + 1, L2), (&mut one, 0, L2, L2 + 1)] {
        let refused = node.until(|event| match event {
            NetworkEvent::PeerRefused { peer, reason } => Some((peer, reason)),
            NetworkEvent::MemberConnected { .. } | NetworkEvent::Consensus { .. } => panic!("{event:?}"),
            _ => None,
        });
        let reason = Refusal::OtherChain { ours: version(ours), theirs: version(theirs) };
        assert_eq!(refused.await, (peer(other), reason));
        assert!(node.network.connected_members().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_version_of_the_protocol_is_refused_by_name() {
    let next = ChainProtocols::of_version(3, &chain(L2));
    let theirs = next.version.clone();
    assert_eq!(theirs, format!("baton/3/31337/0x{}/{L2}", "11".repeat(20)));
    // A configured peer, and one that comes by itself.
    let mut configured = Raw::start_speaking(1, Says::Member(1, 1), next.clone()).await;
    let mut zero = Node::start(member(0, &[(1, &configured.address)])).await;
    let mut other = Raw::start_speaking(2, Says::Member(2, 2), next).await;
    other.dial(zero.network.peer_id(), zero.address());
    let mut refused = vec![];
    for _ in 0..2 {
        let refusal = zero.until(|event| match event {
            NetworkEvent::PeerRefused { peer, reason } => Some((peer, reason)),
            NetworkEvent::MemberConnected { .. } | NetworkEvent::Consensus { .. } => panic!("{event:?}"),
            _ => None,
        });
        let (peer, reason) = refusal.await;
        let ours = ChainProtocols::of(&chain(L2)).version;
        assert_eq!(reason.to_string(), format!("it speaks {theirs}, we speak {ours}"));
        assert_eq!(reason, Refusal::OtherChain { ours, theirs: theirs.clone() });
        refused.push(peer);
    }
    assert!(refused.contains(&peer(1)) && refused.contains(&peer(2)), "{refused:?}");
    for raw in [&mut configured, &mut other] {
        raw.until(|event| matches!(event, SwarmEvent::ConnectionClosed { .. }).then_some(())).await;
    }
    assert!(zero.network.connected_members().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_may_connect_but_not_speak_for_members() {
    let mut zero = Node::start(member(0, &[])).await;
    let mut stranger = Raw::start_saying(7, Says::NoMember).await;
    stranger.connect(zero.network.peer_id(), zero.address()).await;
    let mut stream = stranger.open_stream(zero.network.peer_id()).await;
    raw::write(&mut stream, &crate::p2p::frame::frame(&request(1)).unwrap()).await;
    raw::closed(stream).await;

    // Nor does somebody at a member's address become that member: the key decides.
    let mut other = Raw::start(8).await;
    let five = Node::start(member(5, &[(1, &other.address)])).await;
    other
        .until(|event| {
            matches!(event, SwarmEvent::ConnectionClosed { .. } | SwarmEvent::IncomingConnectionError { .. })
                .then_some(())
        })
        .await;
    assert!(five.network.connected_members().is_empty());

    let mut one = Node::start(member(1, &[(0, &zero.address())])).await;
    one.connected(0).await;
    one.network.broadcast(request(2));
    assert_eq!(zero.message().await, (index(1), request(2)));
    assert_eq!(zero.network.stats().streams_refused.get(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn contradictions_do_not_start() {
    let fails = async |config| match Network::start(config, nothing_known()).await {
        Ok(_) => panic!("started"),
        Err(error) => error,
    };
    for observers in [vec![(peer(0), loopback())], vec![(peer(1), loopback())], vec![(peer(2), loopback()); 2]] {
        let mut config = member(0, &[(1, &loopback())]);
        let twice = observers[0].0;
        config.observers = observers;
        assert!(matches!(fails(config).await, StartError::DuplicatePeer(p) if p == twice));
    }

    let zero = Node::start(member(0, &[])).await;
    let mut config = member(1, &[]);
    config.listen = vec![zero.address()];
    let error = fails(config).await;
    assert!(matches!(&error, StartError::Listen { address, .. } if *address == zero.address()), "{error}");
    let mut config = member(1, &[]);
    config.listen = vec!["/ip4/127.0.0.1/udp/0".parse().unwrap()];
    assert!(matches!(fails(config).await, StartError::Listen { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_address_may_be_in_the_list() {
    let mut zero = Node::start(member(0, &[(0, &loopback())])).await;
    let _one = Node::start(member(1, &[(0, &zero.address())])).await;
    zero.connected(1).await;
    assert_eq!(zero.network.connected_members(), [index(1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_that_only_sit_there_keep_no_member_out() {
    // The committee that has places is not the one of the start.
    let mut config = member(0, &[]);
    config.epochs = EpochBook::new(epoch(L2, EPOCH, [0]));
    let epochs = config.epochs.clone();
    let mut zero = Node::start(config).await;
    let seats = MEMBERS + 2;
    epochs.add(epoch(L2, Epoch::new(3), 0..seats));
    let (to, address) = (zero.network.peer_id(), zero.address());
    // All members but one are there, each as two peers with two connections: more than strangers have to spare.
    let mut members = vec![];
    for seed in 2..seats {
        for peer in [seed, seed + 40] {
            let mut raw = Raw::start_saying(peer, Says::Member(seed, seed)).await;
            raw.connect(to, address.clone()).await;
            becomes(|| zero.network.standing(&raw.peer) == speaks_for(seed)).await;
            let again = DialOpts::peer_id(to).addresses(vec![address.clone()]).condition(PeerCondition::Always).build();
            raw.order(move |swarm| swarm.dial(again).unwrap());
            raw.until(|event| matches!(event, SwarmEvent::ConnectionEstablished { .. }).then_some(())).await;
            members.push(raw);
        }
    }
    assert!(2 * members.len() + STRANGERS_KEPT_MAX > STRANGERS_MAX as usize + PEERS_PER_MEMBER_MAX);
    // More than there are places for, for all who come.
    let mut strangers = vec![];
    for seed in 0..u8::try_from(STRANGERS_MAX).unwrap() + 2 * MEMBERS + 2 {
        let mut stranger = Raw::start_saying(100 + seed, Says::NoMember).await;
        stranger.connect(to, address.clone()).await;
        strangers.push(stranger);
    }
    let newest = strangers.last().unwrap().peer;
    becomes(|| zero.network.standing(&newest) == Some(Standing::Stranger)).await;
    becomes(|| zero.network.peer_count() <= STRANGERS_KEPT_MAX + members.len()).await;
    assert_eq!(zero.network.standing(&strangers[0].peer), None);

    // A member that nobody knew gets in, and those who came before all strangers are still there.
    let mut config = member(1, &[(0, &address)]);
    config.epochs = epochs;
    let _one = Node::start(config).await;
    zero.connected(1).await;
    assert_eq!(zero.network.at(Epoch::new(3)).connected_members(), (1..seats).map(index).collect::<Vec<_>>());
}
