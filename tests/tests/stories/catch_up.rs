//! A node with an empty disk joins a chain of fifty thousand blocks, is killed on its way, and votes in the end.

use std::{cell::Cell, time::Instant};

use alloy::signers::local::PrivateKeySigner;
use anyhow::{Context as _, ensure};
use baton_consensus::Committee;
use baton_node::{
    config::{Config, NodeKeys},
    l1::{At, ChainFacts, L1Client, read_chain_facts},
    signer::keyfile,
    sync::HELD_BYTES_MAX,
    telemetry::{NodeStatus, NotReadyCode},
};
use baton_proto::{BlockHeader, Epoch, Height, L1BlockNumber, L1ChainId, MemberIndex};
use baton_tests::{
    devnet::{Devnet, ONE_EPOCH, ORDERING_ONLY, until},
    history::{Recipe, copy},
    witness::Seat,
};
use serde_json::json;

/// Blocks that are there before any node starts.
const BLOCKS: u64 = 50_000;

/// Height at which the node is killed: once ranges have reached its disk, long before the end.
const KILLED_FROM: u64 = 5_000;

/// What the joining process may grow by while it catches up: what a run of catching up may hold, what the ledger keeps of its
/// files and of what it has not written out yet (16 + 32 MiB), and a batch of 16,384 blocks that is compared with what L1 is
/// asked to take (64 MiB).
const GROWTH_BYTES_MAX: u64 = HELD_BYTES_MAX as u64 + (16 << 20) + (32 << 20) + (64 << 20);

/// The node that joins: with 18 of 100 the others are a quorum without it.
const LATE: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_node_catches_up_with_fifty_thousand_blocks_though_killed_on_its_way() -> anyhow::Result<()> {
    let seat = Seat::new();
    let observer = seat.argument();
    let absent: Vec<String> = (0..4).map(|node| node.to_string()).collect();
    let mut arguments = vec!["--observer", &observer, "--spec", "idleBlockMs=500"];
    arguments.extend(ONE_EPOCH);
    // What is written beforehand was ordered, and never executed.
    arguments.extend(ORDERING_ONLY);
    arguments.extend(absent.iter().flat_map(|node| ["--absent", node]));
    let mut devnet = Devnet::start(&arguments).await?;

    let began = Instant::now();
    let head = write_history(&devnet).await?;
    println!("{BLOCKS} blocks written in {:.1} s", began.elapsed().as_secs_f64());
    let began = Instant::now();
    for node in 0..LATE {
        devnet.restart(node)?;
    }
    until("the others to open the chain as their own and go on", || async {
        let Ok(height) = devnet.rpc(0).height().await else { return Ok(None) };
        Ok((height >= BLOCKS + 3).then_some(()))
    })
    .await?;
    println!("opened by three nodes, and gone on, in {:.1} s", began.elapsed().as_secs_f64());
    let witness = seat.watch(&devnet).await?;

    // Killed in the middle.
    let began = Instant::now();
    let first = devnet.restart(LATE)?;
    let status = until("ranges to reach its disk", || async {
        Ok(late_status(&devnet).await.filter(|status| status.final_height.get() >= KILLED_FROM))
    })
    .await?;
    devnet.signal(first, "KILL").await?;
    let progress = status.syncing.context("it catches up")?;
    ensure!(progress.target.get() >= BLOCKS && progress.current == status.final_height, "{progress:?}");
    let reason = status.not_ready.iter().find(|reason| reason.code == NotReadyCode::Syncing);
    let reason = reason.context("a node that catches up is not ready")?.to_string();
    ensure!(reason == format!("catching up: height {} of {}", progress.current, progress.target), "{reason}");
    ensure!(status.final_height.get() < BLOCKS - 5_000, "killed too late: {}", status.final_height);

    // Again from where it was, with everything that had reached the disk.
    let second = devnet.restart(LATE)?;
    let seen = Seen::default();
    let goal = devnet.rpc(0).height().await?;
    until("it to catch up", || async {
        let Some(now) = late_status(&devnet).await else { return Ok(None) };
        seen.look(second, &now)?;
        Ok((now.final_height.get() >= goal && now.syncing.is_none()).then_some(()))
    })
    .await?;
    let seconds = began.elapsed().as_secs_f64();
    let (lowest, growth) = (seen.lowest.get(), seen.growth());
    println!("caught up in {seconds:.1} s, the kill included: {:.0} blocks/s", BLOCKS as f64 / seconds);
    println!(
        "killed at {}, back at {lowest:?}; grew by {} MiB to {} MiB",
        status.final_height,
        growth >> 20,
        seen.most.get() >> 20
    );
    let lowest = lowest.context("it was seen while it caught up")?;
    ensure!(lowest >= status.final_height, "it had {} and began again at {lowest}", status.final_height);
    ensure!(growth <= GROWTH_BYTES_MAX, "grew by {growth} bytes, allowed are {GROWTH_BYTES_MAX}");

    // It votes, and it holds the same chain.
    let facts = baton_tests::witness::facts(&devnet.info.nodes[0].data_dir)?;
    let me = member(&devnet, &facts, LATE)?;
    let view = witness.highest_view();
    ensure!(view > head.view, "the chain stood still");
    until("it to vote", || async { Ok((witness.heard_from(me, view) >= 10).then_some(())) }).await?;
    ensure!(witness.punishable().is_empty(), "honest nodes signed {:?}", witness.punishable());
    let common = devnet.rpc(LATE).height().await?;
    for height in (1..=common).step_by(997).chain([BLOCKS, BLOCKS + 1, goal]) {
        let (ours, theirs) = (devnet.rpc(LATE).block(height).await?, devnet.rpc(0).block(height).await?);
        ensure!(ours["hash"].is_string() && ours["hash"] == theirs["hash"], "block {height}: {ours} and {theirs}");
        ensure!(ours["transactions"] == theirs["transactions"], "transactions of block {height}");
    }
    let sender = &devnet.info.accounts[0].address;
    let nonce = devnet.rpc(LATE).call("eth_getTransactionCount", json!([sender, "latest"])).await?;
    ensure!(nonce == devnet.rpc(0).call("eth_getTransactionCount", json!([sender, "latest"])).await?, "nonce {nonce}");
    witness.leave().await;
    devnet.stop().await
}

/// Writes the chain into the folders of all nodes but the late one.
async fn write_history(devnet: &Devnet) -> anyhow::Result<BlockHeader> {
    let l1 = &devnet.info.l1;
    let patience = std::time::Duration::from_secs(30);
    let client = L1Client::new(std::slice::from_ref(&l1.rpc), L1ChainId::new(l1.chain_id), patience)?;
    let facts = read_chain_facts(&client, l1.registry.parse()?, patience).await?;
    let newest = client.existing_block(At::Finalized).await?.origin.number.get();
    let mut origins = Vec::new();
    for number in facts.genesis.origin.number.get() + 1..=newest.min(facts.epochs().start(Epoch::new(3)).get() - 1) {
        origins.push(client.existing_block(At::Number(L1BlockNumber::new(number))).await?.origin);
    }
    let mut keys = Vec::new();
    for node in 0..LATE {
        let config = Config::load(Some(&devnet.info.nodes[node].config), NodeKeys::default())?;
        keys.push((
            member(devnet, &facts, node)?,
            keyfile::load(config.consensus_key.as_deref().context("a member has a consensus key")?)?,
        ));
    }
    let senders = devnet.info.accounts.iter().map(|account| account.private_key.parse());
    let senders = senders.collect::<Result<Vec<PrivateKeySigner>, _>>()?;
    let folders: Vec<_> = devnet.info.nodes.iter().take(LATE).map(|node| node.data_dir.join("ledger")).collect();
    tokio::task::spawn_blocking(move || {
        let recipe = Recipe { facts: &facts, keys, senders, origins };
        let head = recipe.write(&folders[0], BLOCKS)?;
        ensure!(head.height == Height::new(BLOCKS), "wrote up to {}", head.height);
        for folder in &folders[1..] {
            copy(&folders[0], folder)?;
        }
        Ok(head)
    })
    .await?
}

fn member(devnet: &Devnet, facts: &ChainFacts, node: usize) -> anyhow::Result<MemberIndex> {
    let committee = Committee::new(facts.first.epoch, facts.first.committee.clone())?;
    committee.index_of(devnet.info.nodes[node].owner.parse()?).context("it is a member")
}

/// What the late node says of itself, once it answers.
async fn late_status(devnet: &Devnet) -> Option<NodeStatus> {
    let answer = devnet.rpc(LATE).call("baton_status", json!([])).await.ok()?;
    serde_json::from_value(answer).ok()
}

/// What the restarted process showed of itself.
#[derive(Debug, Default)]
struct Seen {
    /// The first height that it spoke of.
    lowest: Cell<Option<Height>>,
    /// Resident bytes, at first and at the most.
    first: Cell<u64>,
    most: Cell<u64>,
}

impl Seen {
    fn look(&self, pid: u32, status: &NodeStatus) -> anyhow::Result<()> {
        // Before the driver has spoken for the first time the status knows no height.
        if self.lowest.get().is_none() && status.final_height > Height::ZERO {
            self.lowest.set(Some(status.final_height));
        }
        let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let bytes = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).context("a process has memory")?;
            let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
            anyhow::Ok(kib << 10)
        };
        if self.first.get() == 0 {
            self.first.set(bytes("VmRSS:")?);
        }
        // The kernel keeps the highest value itself, so nothing between two looks is missed.
        self.most.set(bytes("VmHWM:")?);
        Ok(())
    }

    const fn growth(&self) -> u64 {
        self.most.get().saturating_sub(self.first.get())
    }
}
