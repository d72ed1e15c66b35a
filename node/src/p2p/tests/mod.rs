//! Networks on loopback with real sockets. Every wait is for an event, with one generous overall limit.

mod announcements;
mod budgets;
mod compact;
mod consensus;
mod discovery;
mod floors;
mod gossip;
mod peers;
mod proofs;
mod quic;
mod raw;
mod sync;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use alloy_primitives::{Address, B256, Bytes, TxHash};
use baton_consensus::{Committee, CommitteeMember, SecretKey, Verifier};
use baton_proto::{
    Block, BlockDigest, BlockHeader, BlsSignature, Domain, Epoch, Height, L1BlockNumber, L1ChainId, L1Origin,
    L2ChainId, MemberIndex, SignedStatement, Statement, Transaction, View, Weight, wire::ConsensusMessage,
};
use libp2p::{Multiaddr, PeerId, identity::Keypair};
use tokio::{net::TcpSocket, sync::mpsc};

use super::{KnownLookup, Membership, Network, NetworkConfig, NetworkEvent};
use crate::driver::testing::{block_of, transaction};

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

fn verifier(l2: u64) -> Arc<Verifier> {
    let member = |seed: u8| CommitteeMember {
        owner: Address::repeat_byte(seed + 1),
        fee_recipient: Address::ZERO,
        weight: Weight::new(1),
        key: key(seed).public_key(),
    };
    let committee = Committee::new(Epoch::new(2), (0..MEMBERS).map(member).collect()).unwrap();
    Arc::new(Verifier::new(chain(l2), Arc::new(committee)).unwrap())
}

/// What member `seed` proves itself with, on the tests' chain.
fn membership(seed: u8) -> Membership {
    let (key, chain) = (key(seed), chain(L2));
    Membership { index: index(seed), prove: Arc::new(move |proof| key.prove_peer(proof, &chain)) }
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

/// The configuration of member `seed`, which knows the peers in `others`.
fn member(seed: u8, others: &[(u8, &Multiaddr)]) -> NetworkConfig {
    NetworkConfig {
        identity: identity(seed),
        listen: vec![loopback()],
        announce: vec![],
        book: None,
        verifier: verifier(L2),
        me: Some(membership(seed)),
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
    early: VecDeque<(MemberIndex, ConsensusMessage)>,
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
        within(async move {
            loop {
                match self.events.recv().await.expect("the network runs") {
                    NetworkEvent::MemberConnected(connected) if connected == index(member) => return,
                    NetworkEvent::Consensus { from, message } => self.early.push_back((from, message)),
                    _ => {}
                }
            }
        })
    }

    #[track_caller]
    fn disconnected(&mut self, member: u8) -> impl Future<Output = ()> {
        self.until(move |event| {
            matches!(event, NetworkEvent::MemberDisconnected(m) if m == index(member)).then_some(())
        })
    }

    /// The next consensus message.
    #[track_caller]
    fn message(&mut self) -> impl Future<Output = (MemberIndex, ConsensusMessage)> {
        within(async move {
            if let Some(early) = self.early.pop_front() {
                return early;
            }
            loop {
                let event = self.events.recv().await.expect("the network runs");
                if let NetworkEvent::Consensus { from, message } = event {
                    return (from, message);
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
    ConsensusMessage::CertificateRequest { epoch: Epoch::new(2), view: View::new(n) }
}

/// A proposal of these transactions; its signature says nothing.
fn proposal(transactions: Vec<Transaction>) -> ConsensusMessage {
    let block = block_of(5, 7, transactions);
    let BlockHeader { epoch, view, .. } = block.header;
    let statement = Statement::Notarize { epoch, view, block: block.header.digest() };
    let notarize = SignedStatement { statement, signer: index(0), signature: BlsSignature::new([6; 48]) };
    ConsensusMessage::Proposal { block, notarize }
}
