//! Final headers and evidence by gossip: judged by the node, then forwarded.

use baton_proto::{
    Certificate, Evidence, SignerSet,
    limits::ANNOUNCEMENT_BYTES_MAX,
    wire::{Announcement, FinalHeader},
};
use libp2p::{gossipsub, swarm::SwarmEvent};
use tokio::sync::oneshot;

use super::{gossip::line, raw::Raw, *};
use crate::p2p::{Acceptance, Fault, behaviour::BehaviourEvent, protocol::ChainProtocols};

fn final_header(view: u64) -> Announcement {
    let ConsensusMessage::Proposal { block, .. } = proposal(vec![]) else { unreachable!() };
    let header = BlockHeader { view: View::new(view), ..block.header };
    let statement = Statement::Finalize { epoch: header.epoch, view: header.view, block: header.digest() };
    let finalization =
        Certificate { statement, signers: SignerSet::from_bits(7), signature: BlsSignature::new([6; 48]) };
    Announcement::Final(FinalHeader { header, finalization })
}

fn evidence() -> Announcement {
    let nullify = Statement::Nullify { epoch: Epoch::new(2), view: View::new(7) };
    let finalize = Statement::Finalize { epoch: Epoch::new(2), view: View::new(7), block: BlockDigest::ZERO };
    let sign = |statement| SignedStatement { statement, signer: index(1), signature: BlsSignature::new([6; 48]) };
    Announcement::Evidence(Evidence::new(sign(nullify), sign(finalize)).unwrap())
}

/// The next announcement, with where its judgement goes.
async fn announced(node: &mut Node) -> (PeerId, Announcement, oneshot::Sender<Acceptance>) {
    node.until(|event| match event {
        NetworkEvent::Announced { from, announcement, verdict } => Some((from, announcement, verdict)),
        _ => None,
    })
    .await
}

/// Publishes one after the other until `to` has taken one: before its neighbour has subscribed, nobody listens.
async fn publish_until_heard(from: &Node, to: &mut Node) -> (PeerId, Announcement, oneshot::Sender<Acceptance>) {
    let publishing = async {
        for view in 1.. {
            from.network.announce(final_header(view));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        unreachable!("an endless range")
    };
    tokio::select! {
        never = publishing => never,
        heard = announced(to) => heard,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_node_accepts_goes_on_and_nothing_else() {
    let (zero, mut one, mut two) = line().await;
    let (from, _, verdict) = publish_until_heard(&zero, &mut one).await;
    assert_eq!(from, peer(0));
    // Ignored, rejected and dropped ones stop here; both kinds go on when accepted.
    verdict.send(Acceptance::Ignore).unwrap();
    let (rejected, dropped, accepted) = (final_header(100_001), final_header(100_002), final_header(100_003));
    for announcement in [&rejected, &dropped, &accepted, &evidence()] {
        zero.network.announce(announcement.clone());
    }
    let mut left = 4;
    while left > 0 {
        let (_, announcement, verdict) = announced(&mut one).await;
        let is_one = [&rejected, &dropped, &accepted, &evidence()].contains(&&announcement);
        left -= usize::from(is_one);
        if announcement == accepted || announcement == evidence() {
            verdict.send(Acceptance::Accept).unwrap();
        } else if announcement == rejected {
            verdict.send(Acceptance::Reject(Fault::InvalidSignature)).unwrap();
        } else {
            drop(verdict);
        }
    }
    let mut heard = vec![announced(&mut two).await.1, announced(&mut two).await.1];
    heard.sort_by_key(|announcement| matches!(announcement, Announcement::Evidence(_)));
    assert_eq!(heard, [accepted, evidence()]);
    assert_eq!(one.network.stats().announcements_accepted.get(), 2);
    // Verdicts are carried out in any order.
    becomes(|| one.network.stats().faults_charged.get() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_decode_is_charged_before_the_node_sees_it() {
    let (_zero, mut one, _two) = line().await;
    let mut liar = Raw::start(3).await;
    liar.connect(one.network.peer_id(), one.address()).await;
    let middle = one.network.peer_id();
    let topics = ChainProtocols::of(&chain(L2)).topics().map(|topic| topic.hash());
    let mut subscribed = vec![];
    while subscribed.len() < topics.len() {
        subscribed.extend(
            liar.until(|event| match event {
                SwarmEvent::Behaviour(BehaviourEvent::Gossip(gossipsub::Event::Subscribed { peer_id, topic })) => {
                    (peer_id == middle).then_some(Some(topic))
                }
                _ => None,
            })
            .await,
        );
    }
    let [_, finals, evidences] = topics;
    let good = final_header(9);
    // Garbage, too long, the other topic's, and then one that decodes.
    let messages = [
        (finals.clone(), vec![0xff; 50]),
        (finals.clone(), vec![0; ANNOUNCEMENT_BYTES_MAX + 1]),
        (finals.clone(), evidence().encode()),
        (evidences, good.encode()),
        (finals, good.encode()),
    ];
    for (topic, message) in messages {
        liar.order(move |swarm| {
            swarm.behaviour_mut().gossip.publish(topic, message).unwrap();
        });
    }
    let (from, announcement, _) = announced(&mut one).await;
    assert!(from == peer(3) && announcement == good);
    becomes(|| one.network.stats().faults_charged.get() == 4).await;
    assert_eq!(one.network.stats().gossip_rejected.get(), 4);
}

/// Waits until `node` is told this; others may have reached it as well once it knows both ends.
async fn hears(node: &mut Node, announcement: &Announcement) {
    while announced(node).await.1 != *announcement {}
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gossip_brought_is_not_published_again() {
    let (zero, mut one, mut two) = line().await;
    let (_, _, verdict) = publish_until_heard(&zero, &mut one).await;
    verdict.send(Acceptance::Ignore).unwrap();
    let (brought, ours) = (final_header(100_001), final_header(100_002));
    zero.network.announce(brought.clone());
    loop {
        let (_, announcement, verdict) = announced(&mut one).await;
        if announcement == brought {
            verdict.send(Acceptance::Accept).unwrap();
            break;
        }
    }
    hears(&mut two, &brought).await;
    for _ in 0..2 {
        for announcement in [&brought, &ours] {
            one.network.announce(announcement.clone());
        }
    }
    hears(&mut two, &ours).await;
    let stats = one.network.stats();
    becomes(|| stats.announcements_known.get() == 3).await;
    assert_eq!((stats.announcements_published.get(), stats.announcements_accepted.get()), (1, 1));
}
