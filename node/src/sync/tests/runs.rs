//! Runs against members that serve honestly, each as well as it can.

use std::sync::Arc;

use baton_proto::{Block, BlockDigest, Certificate, Height};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use super::{
    Chain, EPOCHS, L2_CHAIN, child, finalization, genesis, head_of, identity, peer,
    servers::{Servers, Way},
    take, transaction, verifier,
};
use crate::{
    ledger::{Ledger as _, LedgerError, MemoryLedger, RocksLedger, tests::crash},
    sync::{CatchUp, ProvenRange, prove_range},
};

/// A run on its way.
pub(super) struct Running {
    pub(super) ranges: mpsc::Receiver<Box<ProvenRange>>,
    target: watch::Sender<BlockDigest>,
    target_height: watch::Receiver<Height>,
    task: JoinHandle<BlockDigest>,
}

/// Starts a run from `head` towards the chain's head.
pub(super) fn start(servers: &Servers, head: (Height, BlockDigest)) -> Running {
    start_towards(servers, head, servers.chain().head().digest())
}

fn start_towards(servers: &Servers, head: (Height, BlockDigest), target: BlockDigest) -> Running {
    let (sender, ranges) = mpsc::channel(1);
    let (target, target_seen) = watch::channel(target);
    let (height, target_height) = watch::channel(head.0);
    let run = CatchUp {
        source: servers.clone(),
        verifier: verifier(),
        epochs: EPOCHS,
        head,
        target: target_seen,
        target_height: height,
    };
    Running { ranges, target, target_height, task: tokio::spawn(run.run(sender)) }
}

pub(super) fn from_genesis() -> (Height, BlockDigest) {
    (Height::ZERO, genesis().digest())
}

/// Everything that the run hands on, in its order, until it ends.
pub(super) async fn all(mut running: Running) -> Vec<Block> {
    let mut blocks = Vec::new();
    while let Some(range) = running.ranges.recv().await {
        blocks.extend(range.blocks);
    }
    running.task.await.unwrap();
    blocks
}

#[tokio::test(flavor = "multi_thread")]
async fn several_members_serve_at_once_and_every_block_comes_in_order() {
    let servers = Servers::new(Chain::new(3_000), &[Way::Honest; 3]);
    let running = start(&servers, from_genesis());
    let mut known = running.target_height.clone();
    assert_eq!(all(running).await, servers.chain().0);
    assert_eq!(*known.borrow_and_update(), Height::new(3_000));
    let seen = servers.seen();
    assert!(seen.charges.is_empty(), "{seen:?}");
    assert!(seen.most_open >= 2, "one after the other: {seen:?}");
    assert!(seen.asked.values().all(|asked| asked.len() >= 2), "not spread: {seen:?}");
    assert_eq!(seen.asked.values().map(Vec::len).sum::<usize>(), 3_000_usize.div_ceil(256), "asked twice: {seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_shorter_than_asked_leave_no_gap() {
    let servers = Servers::new(Chain::new(700), &[Way::InSmallBites(100), Way::Honest, Way::InSmallBites(7)]);
    assert_eq!(all(start(&servers, from_genesis())).await, servers.chain().0);
    assert!(servers.seen().charges.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_behind_is_not_at_fault() {
    let servers = Servers::new(Chain::new(900), &[Way::Behind(300), Way::Honest]);
    assert_eq!(all(start(&servers, from_genesis())).await, servers.chain().0);
    assert!(servers.seen().charges.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_the_blocks_serves_them_though_no_member_does() {
    // The members are gone, or have nothing any more.
    for members in [&[][..], &[Way::PromisesOnly, Way::Behind(100)]] {
        let servers = Servers::beside(Chain::new(700), members, &[Way::ForgedCertificate, Way::Honest]);
        assert_eq!(all(start(&servers, from_genesis())).await, servers.chain().0);
        let liar = peer(members.len() as u8);
        assert!(servers.seen().charges.keys().all(|charged| *charged == liar));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_to_a_newer_target() {
    let servers = Servers::new(Chain::new(1_200), &[Way::Honest; 2]);
    let first = servers.chain().block(300).unwrap().header.digest();
    let mut running = start_towards(&servers, from_genesis(), first);
    running.target_height.wait_for(|height| *height == Height::new(300)).await.unwrap();
    // Nothing was taken from it yet, and two ranges lie before the older target, so it cannot be over.
    running.target.send_replace(servers.chain().head().digest());
    assert_eq!(all(running).await, servers.chain().0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_says_which_target_it_looked_at_last() {
    let servers = Servers::new(Chain::new(300), &[Way::Honest; 2]);
    let first = servers.chain().block(200).unwrap().header.digest();
    let mut running = start_towards(&servers, from_genesis(), first);
    while running.ranges.recv().await.is_some() {}
    // Whatever is named now comes too late, and whoever names it can tell.
    running.target.send_replace(servers.chain().head().digest());
    assert_eq!(running.task.await.unwrap(), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_dropped_is_followed_by_one_from_the_head() {
    let servers = Servers::new(Chain::new(2_000), &[Way::Honest; 3]);
    let mut running = start(&servers, from_genesis());
    let mut taken = Vec::new();
    for _ in 0..2 {
        taken.extend(running.ranges.recv().await.unwrap().blocks);
    }
    let task = running.task;
    drop((running.ranges, running.target));
    task.await.unwrap();

    let again = Servers::new(Chain::new(2_000), &[Way::Honest; 3]);
    let head = &taken.last().unwrap().header;
    taken.extend(all(start(&again, (head.height, head.digest()))).await);
    assert_eq!(taken, servers.chain().0);
    let lowest = again.seen().asked.into_values().flatten().min();
    assert_eq!(lowest, Some(513), "two ranges were in the ledger already");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_any_two_ranges_goes_on_from_the_ledger() {
    let chain = Chain::new(1_100);
    let servers = Servers::new(chain, &[Way::Honest; 3]);
    let mut folder = tempfile::tempdir().unwrap();
    let mut steps = 0;
    loop {
        let ledger = RocksLedger::open(folder.path(), &identity()).unwrap();
        ledger.init_genesis(&genesis()).unwrap();
        let head = head_of(&ledger);
        if head.0 == Height::new(1_100) {
            break;
        }
        // One range reaches the disk; then the machine stops with everything that was held ahead.
        let mut running = start(&servers, head);
        let range = running.ranges.recv().await.unwrap();
        take(&ledger, &range.blocks, Certificate::clone(&range.certificate)).unwrap();
        assert_eq!(head_of(&ledger), range.last());
        // The fourth opening begins to compact what each of them wrote out.
        ledger.wait_until_still();
        folder = crash(folder.path());
        steps += 1;
    }
    assert_eq!(steps, 1_100_usize.div_ceil(256));
    let ledger = RocksLedger::open(folder.path(), &identity()).unwrap();
    assert_eq!(head_of(&ledger).1, servers.chain().head().digest());
    // State went along: eleven blocks held one transaction each.
    let sender = servers.chain().block(100).unwrap().transactions[0].sender();
    assert_eq!(ledger.nonce(sender).unwrap(), 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_chains_with_a_quorum_each_are_broken_safety_and_no_member_is_blamed() {
    // The ledger took a block that a quorum finalized; the members prove another one at its height.
    let servers = Servers::new(Chain::new(600), &[Way::Honest; 2]);
    let ledger = MemoryLedger::new(&identity()).unwrap();
    ledger.init_genesis(&genesis()).unwrap();
    let other = child(&child(&genesis(), vec![]).header, vec![transaction(L2_CHAIN, 0, 1)]);
    let first = servers.chain().block(1).unwrap().clone();
    take(&ledger, &[first, other.clone()], finalization(&other.header)).unwrap();

    let mut running = start(&servers, head_of(&ledger));
    let range = running.ranges.recv().await.unwrap();
    assert_ne!(range.parent(), other.header.digest());
    let refused = take(&ledger, &range.blocks, Certificate::clone(&range.certificate)).unwrap_err();
    assert!(matches!(refused, LedgerError::SafetyBroken { .. }), "{refused}");
    assert!(servers.seen().charges.is_empty(), "both sides are proven");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_a_caught_up_node_serves_is_proven_again() {
    // What a node stores while it catches up is enough for the next one: a finalization per range.
    let servers = Servers::new(Chain::new(1_000), &[Way::Honest; 2]);
    let ledger = Arc::new(MemoryLedger::new(&identity()).unwrap());
    ledger.init_genesis(&genesis()).unwrap();
    let mut running = start(&servers, from_genesis());
    while let Some(range) = running.ranges.recv().await {
        take(ledger.as_ref(), &range.blocks, Certificate::clone(&range.certificate)).unwrap();
    }
    let verifier = verifier();
    for from in [1, 2, 200, 256, 257, 700, 999, 1_000] {
        let request = baton_proto::wire::SyncRequest::Range { from: Height::new(from), blocks_max: 256 };
        let baton_proto::wire::SyncResponse::Range(range) =
            crate::sync::answer(ledger.as_ref(), EPOCHS, request).unwrap()
        else {
            panic!("nothing from {from}");
        };
        let proven = prove_range(range, Height::new(from), 256, &verifier, EPOCHS).unwrap();
        assert_eq!(proven.last().0.get(), (from + 255).min(1_000));
    }
}
