//! Networks on loopback with real sockets. Every wait is for an event, with one generous overall limit.

mod announcements;
mod budgets;
mod compact;
mod consensus;
mod discovery;
mod epochs;
mod floors;
mod gossip;
mod peers;
mod proofs;
mod quic;
mod raw;
mod sync;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, B256, Bytes, TxHash, TxKind};
use baton_consensus::{CommitteeMember, SecretKey};
use baton_proto::{
    Block, BlockDigest, BlockHeader, BlsSignature, Domain, Epoch, Height, L1BlockNumber, L1ChainId, L1Origin,
    L2ChainId, MemberIndex, SignedStatement, Statement, Transaction, View, Weight, limits::TRANSACTION_GAS_MAX,
    wire::ConsensusMessage,
};
use libp2p::{Multiaddr, PeerId, identity::Keypair};
use tokio::{net::TcpSocket, sync::mpsc};

use super::{KnownLookup, Network, NetworkConfig, NetworkEvent, Speaker, members::Standing};
use crate::{
    driver::testing::{block_of, signed, spec, transaction},
    epoch::{EpochBook, EpochContext},
    l1::EpochFacts,
};

const LIMIT: Duration = Duration::from_secs(60);

const L2: u64 = 778;

/// Members of the tests' committee: their consensus keys and, unless a test says otherwise, identities have seeds 0 to 9.
const MEMBERS: u8 = 10;

/// Waits for `future` within the overall limit.
#[track_caller]
fn within<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let place = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(LIMIT, future).await {
            Ok(output) => output,
            Err(_) => panic!("waited in vain at {place}"),
        }
    }
}

fn chain(l2: u64) -> Domain {
    Domain {
        l1_chain_id: L1ChainId::new(31_337),
        registry: Address::repeat_byte(0x11),
        l2_chain_id: L2ChainId::new(l2),
    }
}

fn identity(seed: u8) -> Keypair {
    Keypair::ed25519_from_bytes([seed; 32]).unwrap()
}

fn key(seed: u8) -> SecretKey {
    SecretKey::generate(&[seed + 1; 32])
}

/// The epoch that runs first in every test.
const EPOCH: Epoch = Epoch::new(2);

/// An epoch whose members have the keys of these seeds, in this order.
fn epoch(l2: u64, epoch: Epoch, seeds: impl IntoIterator<Item = u8>) -> Arc<EpochContext> {
    let member = |(place, seed): (u8, u8)| CommitteeMember {
        owner: Address::repeat_byte(place + 1),
        fee_recipient: Address::ZERO,
        weight: Weight::new(1),
        key: key(seed).public_key(),
    };
    let committee = (0..).zip(seeds).map(member).collect();
    let facts = EpochFacts { epoch, committee, randomness: B256::repeat_byte(1) };
    let origin = L1Origin { number: L1BlockNumber::new(1), hash: B256::ZERO };
    let root = BlockHeader::genesis(L2ChainId::new(l2), origin, 1);
    Arc::new(EpochContext::new(chain(l2), &facts, root, None).unwrap())
}

/// The tests' committee: its members have the seeds 0 to 9 in order.
fn epochs(l2: u64) -> EpochBook {
    EpochBook::new(epoch(l2, EPOCH, 0..MEMBERS))
}

/// What the node with this seed proves its key with, on the tests' chain.
fn speaker(seed: u8) -> Speaker {
    let (key, chain) = (key(seed), chain(L2));
    Speaker { key: key.public_key(), prove: Arc::new(move |proof| key.prove_peer(proof, &chain)) }
}

/// The standing of a peer that has proven the key of this seed.
fn speaks_for(seed: u8) -> Option<Standing> {
    Some(Standing::Speaker(key(seed).public_key()))
}

/// The peer whose identity has this seed; tests give member `i` the seed `i`.
fn peer(seed: u8) -> PeerId {
    identity(seed).public().to_peer_id()
}

fn index(i: u8) -> MemberIndex {
    MemberIndex::new(i)
}

fn loopback() -> Multiaddr {
    "/ip4/127.0.0.1/tcp/0".parse().unwrap()
}

/// A loopback address that nobody else is given while the socket lives. Whoever is told of it may listen there: both
/// sockets allow the address to be used again, and only one of them listens.
fn reserved() -> (TcpSocket, Multiaddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap())
}

fn nothing_known() -> KnownLookup {
    Arc::new(|_: &TxHash| None)
}

fn knows(transactions: &[Transaction]) -> KnownLookup {
    let known: HashMap<TxHash, Transaction> = transactions.iter().map(|tx| (*tx.hash(), tx.clone())).collect();
    Arc::new(move |hash: &TxHash| known.get(hash).cloned())
}

/// Transactions of this chain that no block of it may hold: gas below what it needs, gas above what one may have, a tip
/// above the fee cap, the nonce that never comes.
fn forbidden() -> [Transaction; 4] {
    let good = TxEip1559 {
        chain_id: L2,
        gas_limit: 21_000,
        max_fee_per_gas: 10,
        to: TxKind::Call(Address::repeat_byte(9)),
        ..Default::default()
    };
    [
        signed(TxEip1559 { gas_limit: 20_999, ..good.clone() }),
        signed(TxEip1559 { gas_limit: TRANSACTION_GAS_MAX + 1, ..good.clone() }),
        signed(TxEip1559 { max_priority_fee_per_gas: 11, ..good.clone() }),
        signed(TxEip1559 { nonce: u64::MAX, ..good }),
    ]
}

/// A node's memory that is empty, and that answers to a question for one of `slow` only when the sender is dropped. The
/// receiver is told of each such question.
fn slow_to_know(slow: &[Transaction]) -> (KnownLookup, mpsc::UnboundedReceiver<TxHash>, std::sync::mpsc::Sender<()>) {
    let (release, held) = std::sync::mpsc::channel();
    let (asked, seen) = mpsc::unbounded_channel();
    let (slow, held): (HashSet<TxHash>, _) = (slow.iter().map(|tx| *tx.hash()).collect(), Mutex::new(held));
    let known = move |hash: &TxHash| {
        if slow.contains(hash) {
            let _ = asked.send(*hash);
            let _ = held.lock().unwrap().recv();
        }
        None
    };
    (Arc::new(known), seen, release)
}

/// The configuration of member `seed`, which knows the peers in `others`.
fn member(seed: u8, others: &[(u8, &Multiaddr)]) -> NetworkConfig {
    NetworkConfig {
        identity: identity(seed),
        listen: vec![loopback()],
        announce: vec![],
        book: None,
        epochs: epochs(L2),
        spec: spec(),
        speakers: vec![speaker(seed)],
        peers: others.iter().map(|(other, address)| (peer(*other), (*address).clone())).collect(),
        observers: vec![],
    }
}

/// Waits for `is_so`, which no event tells of.
#[track_caller]
fn becomes(is_so: impl Fn() -> bool) -> impl Future<Output = ()> {
    within(async move {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
}

/// A running network with its events.
struct Node {
    network: Network,
    events: mpsc::Receiver<NetworkEvent>,
    /// What members said before we were told that they are connected: messages and notices go separate ways.
    early: VecDeque<(Epoch, MemberIndex, ConsensusMessage)>,
}

impl Node {
    async fn start(config: NetworkConfig) -> Self {
        Self::start_knowing(config, nothing_known()).await
    }

    async fn start_knowing(config: NetworkConfig, known: KnownLookup) -> Self {
        let (network, events) = within(Network::start(config, known)).await.unwrap();
        Self { network, events, early: VecDeque::new() }
    }

    fn address(&self) -> Multiaddr {
        self.network.listen_addresses()[0].clone()
    }

    /// Waits for the first event that `pick` takes; passes over the others.
    #[track_caller]
    fn until<T>(&mut self, mut pick: impl FnMut(NetworkEvent) -> Option<T>) -> impl Future<Output = T> {
        within(async move {
            loop {
                let event = self.events.recv().await.expect("the network runs");
                if let Some(picked) = pick(event) {
                    return picked;
                }
            }
        })
    }

    #[track_caller]
    fn connected(&mut self, member: u8) -> impl Future<Output = ()> {
        self.is_told_of(move |_, connected| connected == index(member))
    }

    /// Waits until this member of this very epoch is told to be connected.
    #[track_caller]
    fn connected_in(&mut self, epoch: Epoch, member: u8) -> impl Future<Output = ()> {
        self.is_told_of(move |e, connected| (e, connected) == (epoch, index(member)))
    }

    #[track_caller]
    fn is_told_of(&mut self, is_it: impl Fn(Epoch, MemberIndex) -> bool) -> impl Future<Output = ()> {
        within(async move {
            loop {
                match self.events.recv().await.expect("the network runs") {
                    NetworkEvent::MemberConnected { epoch, member } if is_it(epoch, member) => return,
                    NetworkEvent::Consensus { epoch, from, message } => self.early.push_back((epoch, from, message)),
                    _ => {}
                }
            }
        })
    }

    #[track_caller]
    fn disconnected(&mut self, member: u8) -> impl Future<Output = ()> {
        self.until(move |event| {
            matches!(event, NetworkEvent::MemberDisconnected { member: m, .. } if m == index(member)).then_some(())
        })
    }

    /// The next consensus message.
    #[track_caller]
    fn message(&mut self) -> impl Future<Output = (MemberIndex, ConsensusMessage)> {
        let said = self.said();
        async move {
            let (_, from, message) = said.await;
            (from, message)
        }
    }

    /// The next consensus message, with the epoch of its sender.
    #[track_caller]
    fn said(&mut self) -> impl Future<Output = (Epoch, MemberIndex, ConsensusMessage)> {
        within(async move {
            if let Some(early) = self.early.pop_front() {
                return early;
            }
            loop {
                let event = self.events.recv().await.expect("the network runs");
                if let NetworkEvent::Consensus { epoch, from, message } = event {
                    return (epoch, from, message);
                }
            }
        })
    }

    /// The next gossiped transactions.
    #[track_caller]
    fn transactions(&mut self) -> impl Future<Output = Vec<Transaction>> {
        self.until(|event| match event {
            NetworkEvent::Transactions { transactions, .. } => Some(transactions),
            _ => None,
        })
    }
}

/// Members 0 and 1, connected.
async fn pair() -> (Node, Node) {
    let mut one = Node::start(member(1, &[])).await;
    let mut zero = Node::start(member(0, &[(1, &one.address())])).await;
    zero.connected(1).await;
    one.connected(0).await;
    (zero, one)
}

/// A small message; `n` tells one from another.
fn request(n: u64) -> ConsensusMessage {
    ConsensusMessage::CertificateRequest { epoch: EPOCH, view: View::new(n) }
}

/// A proposal of these transactions; its signature says nothing.
fn proposal(transactions: Vec<Transaction>) -> ConsensusMessage {
    let block = block_of(5, 7, transactions);
    let BlockHeader { epoch, view, .. } = block.header;
    let statement = Statement::Notarize { epoch, view, block: block.header.digest() };
    let notarize = SignedStatement { statement, signer: index(0), signature: BlsSignature::new([6; 48]) };
    ConsensusMessage::Proposal { block, notarize }
}
