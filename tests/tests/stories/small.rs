//! Committees as small as a chain may have them: one sequencer alone, then one with more than two thirds whose companion stops,
//! then that one alone; and a node with an empty disk that learns the chain from it, though whoever founded it has left.

use alloy::signers::local::PrivateKeySigner;
use alloy_primitives::B256;
use anyhow::{Context as _, ensure};
use baton_tests::{
    devnet::{Devnet, until},
    follower::Follower,
    rpc::quantity,
    witness::facts,
};
use serde_json::json;

use crate::{
    load::Load,
    membership::{bond, epoch, exit_founder, hurry_to_epoch, members},
};

/// Who begins alone, with 25 tokens, and who joins with 100.
const FOUNDER: usize = 0;
const JOINER: usize = 1;

/// Blocks that are ordered under each committee.
const BLOCKS: u64 = 20;

/// Has users of one account send to `node` until it has ordered some blocks, and waits until all they sent is final there.
async fn serve(devnet: &Devnet, account: usize, node: usize) -> anyhow::Result<()> {
    let (load, rpc) = (Load::start(devnet, account, &[node])?, devnet.rpc(node));
    let goal = rpc.height().await? + BLOCKS;
    until("some blocks", || async { Ok((rpc.height().await? >= goal).then_some(())) }).await?;
    let sent = load.stop().await?;
    ensure!(sent > 0, "nobody could send anything to node {node}");
    let sender = &devnet.info.accounts[account].address;
    until("all transactions to be final", || async {
        let count = rpc.call("eth_getTransactionCount", json!([sender, "latest"])).await?;
        Ok((quantity(&count)? == sent).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_outlives_its_founder_and_is_learned_from_who_came_after() -> anyhow::Result<()> {
    let epoch_blocks = ["--spec", "epochBlocks=8"];
    let mut devnet = Devnet::start(&[&["--nodes", "1", "--unbonded", "1"][..], &epoch_blocks].concat()).await?;
    let facts = facts(&devnet.info.nodes[FOUNDER].data_dir)?;
    serve(&devnet, 0, FOUNDER).await?;
    hurry_to_epoch(&devnet, FOUNDER, epoch(&devnet, FOUNDER).await? + 1).await?;
    let alone = devnet.rpc(FOUNDER).height().await?;
    let founded = devnet.rpc(FOUNDER).block(alone).await?["hash"].clone();

    // Another one joins with four fifths, and the founder stops.
    let owner = PrivateKeySigner::from_bytes(&B256::repeat_byte(0x4a))?;
    let seat = bond(&devnet, JOINER, &owner, &facts).await?.get();
    devnet.restart(JOINER)?;
    for node in [FOUNDER, JOINER] {
        hurry_to_epoch(&devnet, node, seat).await?;
        let seated = members(&devnet, node).await?.len();
        ensure!(seated == 2, "epoch {seat} has {seated} members on node {node}");
    }
    devnet.signal(devnet.info.nodes[FOUNDER].pid, "KILL").await?;
    serve(&devnet, 1, JOINER).await?;
    ensure!(members(&devnet, JOINER).await?.len() == 2, "L1 knows nothing of a stop");

    // It leaves the committee as well, and nobody of the first epochs is left.
    let left = exit_founder(&devnet, FOUNDER, &facts).await?.get();
    hurry_to_epoch(&devnet, JOINER, left).await?;
    let seated = members(&devnet, JOINER).await?;
    ensure!(seated.len() == 1 && seated[0]["owner"] == json!(format!("{:#x}", owner.address())), "{seated:?}");
    serve(&devnet, 2, JOINER).await?;

    let follower = Follower::start(&devnet).await?;
    let goal = devnet.rpc(JOINER).height().await?;
    until("the newcomer to have the chain", || async { Ok((follower.rpc.height().await? >= goal).then_some(())) })
        .await?;
    for height in 1..=goal {
        let (ours, theirs) = (follower.rpc.block(height).await?, devnet.rpc(JOINER).block(height).await?);
        ensure!(ours["hash"].is_string() && ours["hash"] == theirs["hash"], "block {height}: {ours} and {theirs}");
    }
    let kept = follower.rpc.block(alone).await?;
    ensure!(kept["hash"] == founded, "the founder's block {alone} was {founded}");
    let first = follower.rpc.block(1).await?["miner"].clone();
    let founder = devnet.info.nodes[FOUNDER].owner.to_lowercase();
    ensure!(first.as_str().context("a block has a proposer")?.to_lowercase() == founder, "{first} proposed block 1");
    follower.stop().await?;
    devnet.stop().await
}
