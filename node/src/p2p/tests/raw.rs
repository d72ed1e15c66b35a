//! A peer that speaks the protocols and keeps none of the rules: libp2p without our network on top.

use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use libp2p::{
    Multiaddr, PeerId, Stream, StreamProtocol, Swarm,
    swarm::{SwarmEvent, dial_opts::DialOpts},
};
use libp2p_stream::{Control, IncomingStreams};
use tokio::{sync::mpsc, task::JoinHandle};

use alloy_primitives::B256;
use libp2p::request_response::{Event, Message, ResponseChannel};

use super::{L2, MEMBERS, chain, identity, key, loopback, peer, within};
use crate::p2p::{
    behaviour::{self, Behaviour, BehaviourEvent},
    claim::{self, Claim},
    protocol::ChainProtocols,
};

/// What a raw peer answers when it is asked who it is.
#[derive(Clone, Debug)]
pub(super) enum Says {
    /// That it is the member with the first seed, proven with the key of the second.
    Member(u8, u8),
    /// That it is none.
    NoMember,
    /// These bytes.
    Bytes(Vec<u8>),
    /// Nothing: the challenge is left to the test, as an event.
    Nothing,
}

impl Says {
    fn answer(&self, signer: PeerId, challenger: PeerId, nonce: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Member(member, signed_by) => {
                let proof = claim::statement(&signer, &challenger, B256::from_slice(nonce));
                let signature = key(*signed_by).prove_peer(&proof, &chain(L2));
                Some(Claim::encode(&[Claim { key: key(*member).public_key(), signature }]))
            }
            Self::NoMember => Some(Claim::encode(&[])),
            Self::Bytes(bytes) => Some(bytes.clone()),
            Self::Nothing => None,
        }
    }
}

type Order = Box<dyn FnOnce(&mut Swarm<Behaviour>) + Send>;

pub(super) struct Raw {
    pub(super) peer: PeerId,
    pub(super) address: Multiaddr,
    pub(super) incoming: IncomingStreams,
    control: Control,
    protocol: StreamProtocol,
    orders: mpsc::UnboundedSender<Order>,
    events: mpsc::UnboundedReceiver<SwarmEvent<BehaviourEvent>>,
    task: JoinHandle<()>,
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Raw {
    /// Starts the peer with this identity, which proves to be the member of the same seed, and waits until it listens.
    pub(super) async fn start(seed: u8) -> Self {
        Self::start_saying(seed, Says::Member(seed, seed)).await
    }

    /// Starts the peer with this identity, which answers challenges with `says`, and waits until it listens.
    pub(super) async fn start_saying(seed: u8, says: Says) -> Self {
        Self::start_speaking(seed, says, ChainProtocols::of(&chain(L2))).await
    }

    /// The same, of a peer that has these names for everything.
    pub(super) async fn start_speaking(seed: u8, says: Says, protocols: ChainProtocols) -> Self {
        let none = (std::iter::empty(), std::iter::empty());
        let mut swarm = behaviour::swarm(&identity(seed), &protocols, MEMBERS.into(), none.0, none.1).unwrap();
        let mut control = swarm.behaviour().streams.new_control();
        let incoming = control.accept(protocols.consensus.clone()).unwrap();
        behaviour::listen(&mut swarm, &loopback()).unwrap();
        let address = within(async {
            loop {
                if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                    return address;
                }
            }
        })
        .await;
        let (orders, mut order_inbox) = mpsc::unbounded_channel::<Order>();
        let (report, events) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    event = swarm.select_next_some() => {
                        let event = match event {
                            SwarmEvent::Behaviour(BehaviourEvent::Prove(Event::Message {
                                peer: challenger,
                                connection_id,
                                message: Message::Request { request_id, request, channel },
                            })) => match says.answer(peer(seed), challenger, &request) {
                                Some(answer) => {
                                    // The other end may have hung up.
                                    let _ = swarm.behaviour_mut().prove.send_response(channel, answer);
                                    continue;
                                }
                                None => SwarmEvent::Behaviour(BehaviourEvent::Prove(Event::Message {
                                    peer: challenger,
                                    connection_id,
                                    message: Message::Request { request_id, request, channel },
                                })),
                            },
                            event => event,
                        };
                        if report.send(event).is_err() {
                            return;
                        }
                    }
                    Some(order) = order_inbox.recv() => order(&mut swarm),
                }
            }
        });
        let protocol = protocols.consensus;
        Self { peer: peer(seed), address, incoming, control, protocol, orders, events, task }
    }

    /// Has `order` done by the task that owns the swarm.
    pub(super) fn order(&self, order: impl FnOnce(&mut Swarm<Behaviour>) + Send + 'static) {
        assert!(self.orders.send(Box::new(order)).is_ok(), "the peer runs");
    }

    pub(super) fn dial(&self, to: PeerId, address: Multiaddr) {
        self.order(move |swarm| {
            // Without a condition: the refused dials of a refused peer are part of what is tested.
            let _ = swarm.dial(DialOpts::peer_id(to).addresses(vec![address]).allocate_new_port().build());
        });
    }

    #[track_caller]
    pub(super) fn until<T>(
        &mut self,
        mut pick: impl FnMut(SwarmEvent<BehaviourEvent>) -> Option<T>,
    ) -> impl Future<Output = T> {
        within(async move {
            loop {
                let event = self.events.recv().await.expect("the peer runs");
                if let Some(picked) = pick(event) {
                    return picked;
                }
            }
        })
    }

    pub(super) async fn connect(&mut self, to: PeerId, address: Multiaddr) {
        self.dial(to, address);
        self.until(|event| matches!(event, SwarmEvent::ConnectionEstablished { .. }).then_some(())).await;
    }

    /// Waits for a challenge; only of a peer that [says nothing](Says::Nothing).
    #[track_caller]
    pub(super) fn challenged(&mut self) -> impl Future<Output = (PeerId, Vec<u8>, ResponseChannel<Vec<u8>>)> {
        self.until(|event| match event {
            SwarmEvent::Behaviour(BehaviourEvent::Prove(Event::Message {
                peer,
                message: Message::Request { request, channel, .. },
                ..
            })) => Some((peer, request, channel)),
            _ => None,
        })
    }

    /// Answers a challenge.
    pub(super) fn answer(&self, channel: ResponseChannel<Vec<u8>>, answer: Vec<u8>) {
        self.order(move |swarm| {
            let _ = swarm.behaviour_mut().prove.send_response(channel, answer);
        });
    }

    pub(super) async fn open_stream(&mut self, to: PeerId) -> Stream {
        within(self.control.open_stream(to, self.protocol.clone())).await.unwrap()
    }
}

/// Writes bytes as they are. The other end may have closed the stream already; tests look there for what must arrive.
pub(super) async fn write(stream: &mut Stream, bytes: &[u8]) {
    let written = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    if let Err(error) = within(written).await {
        println!("not written: {error}");
    }
}

/// Waits until the other end closes the stream.
#[track_caller]
pub(super) fn closed(mut stream: Stream) -> impl Future<Output = ()> {
    within(async move {
        // Both a clean end and a reset will do.
        let read = stream.read(&mut [0]).await;
        assert!(!matches!(read, Ok(1..)), "nothing is ever written there");
    })
}
