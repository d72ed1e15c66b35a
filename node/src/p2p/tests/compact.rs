//! Large proposals over real connections: hashes go out, what a voter lacks it asks for, and only then votes.

use std::{sync::Mutex, thread};

use baton_consensus::HeardOut;
use baton_proto::{
    Epochs,
    wire::{SyncRequest, SyncResponse},
};

use super::*;
use crate::{
    driver::{
        Certified, Checked, Intake, IntakeContext, Rebuilder, ViewWindow,
        testing::{World, block_of, transfer},
    },
    ledger::{ChainIdentity, Ledger, MemoryLedger},
    p2p::Outbound as _,
    sync::answer,
};

/// The view that member 0 leads.
const VIEW: u64 = 2;

/// One epoch has all L1 blocks that these headers name.
const EPOCHS: Epochs = Epochs { genesis: L1BlockNumber::ZERO, blocks: 1_000 };

/// A voter: its network, the checks behind it, and what they let through.
struct Voter {
    network: Network,
    rebuilder: Rebuilder,
    checked: mpsc::Receiver<Checked>,
}

impl Voter {
    /// Puts the node's own stages behind a network: everything that it hears is checked as in a running node.
    fn of(world: &World, node: Node, me: u8, known: KnownLookup) -> Self {
        let Node { network, mut events, .. } = node;
        let (window, (checked_out, checked)) = (Arc::new(ViewWindow::default()), mpsc::channel(64));
        let others = world.committee.indices().filter(|member| *member != index(me)).collect();
        let rebuilder = Rebuilder::new(network.clone(), known, window.clone(), others, checked_out.clone());
        let identity = ChainIdentity { domain: world.domain, inbox: Address::ZERO, slasher: Address::ZERO };
        let intake = Intake::new(IntakeContext {
            ledger: Arc::new(MemoryLedger::new(&identity).unwrap()),
            testimony: Arc::default(),
            epoch: world.epoch_led_by_the_first(View::new(VIEW)),
            epochs: EPOCHS,
            inactive_views: 20,
            window,
            certified: Arc::new(Certified::new(Some(index(me)))),
            heard: Arc::new(Mutex::new(HeardOut::new(Arc::clone(&world.committee), Some(index(me))))),
            network: network.clone(),
            rebuilder: rebuilder.clone(),
        });
        let (messages, inbox) = mpsc::channel(64);
        thread::spawn(move || intake.run(inbox, &checked_out));
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                if let NetworkEvent::Consensus { from, message, .. } = event {
                    let _ = messages.send((from, message)).await;
                }
            }
        });
        Self { network, rebuilder, checked }
    }

    /// The next whole proposal; the leader's Notarize alone may come before it.
    #[track_caller]
    fn proposal(&mut self) -> impl Future<Output = Arc<Block>> {
        within(async move {
            loop {
                match self.checked.recv().await.expect("the checks run") {
                    Checked::Proposal { block, notarize } => {
                        assert_eq!(notarize.signer, index(0));
                        return block;
                    }
                    Checked::Vote { vote, leader: None } => assert_eq!(vote.signer, index(0)),
                    other => panic!("{other:?}"),
                }
            }
        })
    }
}

/// Answers what peers ask out of `ledger`, and returns who asked for transactions and how many.
fn serve(node: Node, ledger: Arc<MemoryLedger>) -> (Network, mpsc::UnboundedReceiver<(PeerId, usize)>) {
    let Node { network, mut events, .. } = node;
    let (asked, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            if let NetworkEvent::SyncRequest { from, request, respond } = event {
                if let SyncRequest::Transactions { indices, .. } = &request {
                    let _ = asked.send((from, indices.len()));
                }
                let _ = respond.send(answer(ledger.as_ref(), EPOCHS, request).unwrap_or(SyncResponse::Unavailable));
            }
        }
    });
    (network, seen)
}

fn ledger(world: &World, blocks: &[&Block]) -> Arc<MemoryLedger> {
    let (inbox, slasher) = (Address::repeat_byte(1), Address::repeat_byte(2));
    let ledger = MemoryLedger::new(&ChainIdentity { domain: world.domain, inbox, slasher }).unwrap();
    blocks.iter().for_each(|block| ledger.store_block(block).unwrap());
    Arc::new(ledger)
}

fn compact(world: &World, block: &Block) -> ConsensusMessage {
    let BlockHeader { epoch, view, .. } = block.header;
    let notarize = world.sign(0, Statement::Notarize { epoch, view, block: block.header.digest() });
    let transactions = block.transactions.iter().map(|tx| *tx.hash()).collect();
    ConsensusMessage::CompactProposal {
        header: block.header.clone(),
        notarize,
        forced: block.forced.clone(),
        transactions,
    }
}

/// Members 0, 1 and 2, all connected with each other.
async fn triangle() -> (Node, Node, Node) {
    let mut zero = Node::start(member(0, &[])).await;
    let mut one = Node::start(member(1, &[(0, &zero.address())])).await;
    let (to_zero, to_one) = (zero.address(), one.address());
    let mut two = Node::start(member(2, &[(0, &to_zero), (1, &to_one)])).await;
    for node in [&mut zero, &mut one, &mut two] {
        for _ in 0..2 {
            node.until(|event| matches!(event, NetworkEvent::MemberConnected { .. }).then_some(())).await;
        }
    }
    (zero, one, two)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_asks_the_leader_for_what_its_pool_lacks() {
    let world = World::new(&[1, 1, 1, 1]);
    let block = block_of(5, VIEW, (0..300).map(|nonce| transfer(nonce, 0)).collect());
    let (zero, one, two) = triangle().await;
    let (leader, mut asked) = serve(zero, ledger(&world, &[&block]));
    // One voter lacks some, the other everything.
    let pool: Vec<Transaction> = block.transactions.iter().step_by(2).cloned().collect();
    let mut one = Voter::of(&world, one, 1, knows(&pool));
    let mut two = Voter::of(&world, two, 2, nothing_known());
    leader.broadcast(compact(&world, &block));
    assert_eq!(*one.proposal().await, block);
    assert_eq!(*two.proposal().await, block);
    let mut who = [within(asked.recv()).await.unwrap(), within(asked.recv()).await.unwrap()];
    who.sort_by_key(|(_, count)| *count);
    assert_eq!(who, [(peer(1), 150), (peer(2), 300)]);
    for network in [&leader, &one.network, &two.network] {
        assert_eq!(network.stats().faults_charged.get(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_has_voted_serves_what_the_leader_withholds() {
    let world = World::new(&[1, 1, 1, 1]);
    let block = block_of(5, VIEW, (0..300).map(|nonce| transfer(nonce, 0)).collect());
    let (zero, one, two) = triangle().await;
    // The leader's proposal is in nobody's pool, and it serves nothing of it.
    let (leader, mut refused) = serve(zero, ledger(&world, &[]));
    let (_two, mut served) = serve(two, ledger(&world, &[&block]));
    let mut one = Voter::of(&world, one, 1, nothing_known());
    leader.broadcast(compact(&world, &block));
    assert_eq!(*one.proposal().await, block);
    assert_eq!(within(refused.recv()).await.unwrap(), (peer(1), 300));
    assert_eq!(within(served.recv()).await.unwrap(), (peer(1), 300));
    assert_eq!(one.network.stats().faults_charged.get(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_belies_its_header_costs_its_leader_and_nobody_votes() {
    let world = World::new(&[1, 1, 1, 1]);
    let good = block_of(5, VIEW, (0..300).map(|nonce| transfer(nonce, 0)).collect());
    let mut lie = good.clone();
    lie.header.declared_gas -= 1;
    let (zero, one, two) = triangle().await;
    // Both answer for the digest with the transactions that its header names.
    let leader = answering(zero, good.clone());
    let _two = answering(two, good);
    let mut one = Voter::of(&world, one, 1, nothing_known());
    leader.broadcast(compact(&world, &lie));
    // The leader's signature counts, the block does not.
    let first = within(one.checked.recv()).await.unwrap();
    assert!(matches!(first, Checked::Vote { vote, leader: None } if vote.signer == index(0)));
    // It was made whole, which shows what is wrong with it; nothing more comes of it then.
    assert!(within(one.rebuilder.gathered(&lie.header.digest())).await.is_none());
    assert_eq!(one.network.stats().faults_charged.get(), 1);
    assert!(one.checked.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_cannot_take_another_views_place() {
    let world = World::new(&[1, 1, 1, 1]);
    let pool: Vec<Transaction> = (0..300).map(|nonce| transfer(nonce, 0)).collect();
    let (leader, one, _two) = triangle().await;
    let mut one = Voter::of(&world, one, 1, knows(&pool));
    // Signed for the view that it leads, over a header of the one after.
    let stray = block_of(5, VIEW + 1, pool[..200].to_vec());
    let ConsensusMessage::CompactProposal { header, forced, transactions, .. } = compact(&world, &stray) else {
        unreachable!()
    };
    let statement = Statement::Notarize { epoch: header.epoch, view: View::new(VIEW), block: header.digest() };
    let notarize = world.sign(0, statement);
    leader.network.broadcast(ConsensusMessage::CompactProposal { header, notarize, forced, transactions });
    // Nothing came of it when the view's own block is there.
    let block = block_of(5, VIEW, pool.clone());
    leader.network.broadcast(compact(&world, &block));
    let first = within(one.checked.recv()).await.unwrap();
    assert!(matches!(first, Checked::Proposal { block: whole, .. } if *whole == block));
}

/// Serves `block`'s transactions whatever block is asked for.
fn answering(node: Node, block: Block) -> Network {
    let Node { network, mut events, .. } = node;
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            if let NetworkEvent::SyncRequest { request: SyncRequest::Transactions { indices, .. }, respond, .. } = event
            {
                let raw = indices.iter().map(|index| block.transactions[*index as usize].raw().clone()).collect();
                let _ = respond.send(SyncResponse::Transactions(raw));
            }
        }
    });
    network
}
