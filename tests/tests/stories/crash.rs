//! The node with most stake is killed under load, comes back a thousand blocks later, and contradicts nothing it said.

use anyhow::{Context as _, ensure};
use baton_proto::View;
use baton_tests::{
    devnet::{Devnet, ONE_EPOCH, until},
    witness::{Seat, facts},
};
use serde_json::json;

use crate::load::Load;

/// Blocks that the others make without it.
const MISSED_BLOCKS: u64 = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_node_is_killed_and_catches_up_without_contradicting_itself() -> anyhow::Result<()> {
    let seat = Seat::new();
    let observer = seat.argument();
    // Node 0 has most stake. Blocks come faster than on an ordinary devnet, so that a thousand of them take a minute.
    let mut devnet = Devnet::start(
        &[&["--observer", &observer, "--spec", "minBlockMs=20", "--spec", "idleBlockMs=60"], &ONE_EPOCH[..]].concat(),
    )
    .await?;
    let witness = seat.watch(&devnet).await?;
    let load = Load::start(&devnet, 0, &[1, 2, 3])?;
    until("the chain to run", || async { Ok((devnet.rpc(1).height().await? >= 20).then_some(())) }).await?;

    devnet.signal(devnet.info.nodes[0].pid, "KILL").await?;
    let killed_at = devnet.rpc(1).height().await?;
    let goal = killed_at + MISSED_BLOCKS;
    until("the others to go on without it", || async { Ok((devnet.rpc(1).height().await? >= goal).then_some(())) })
        .await?;

    let view = witness.highest_view();
    devnet.restart(0)?;
    until("it to catch up", || async {
        // It answers only once it is up.
        let Ok(height) = devnet.rpc(0).height().await else { return Ok(None) };
        Ok((height >= goal).then_some(()))
    })
    .await?;
    let owner: alloy::primitives::Address = devnet.info.nodes[0].owner.parse()?;
    let committee = facts(&devnet.info.nodes[0].data_dir)?.first.committee;
    let index = committee.iter().position(|member| member.owner == owner).context("it is a member")?;
    let index = baton_proto::MemberIndex::new(u8::try_from(index)?);
    until("it to vote again", || async { Ok((witness.heard_from(index, view) >= 20).then_some(())) }).await?;
    ensure!(load.stop().await? > 0, "nobody could send anything");

    let common = devnet.rpc(0).height().await?;
    for height in (1..=common).step_by(50).chain([killed_at, goal, common]) {
        let expected = devnet.rpc(1).block(height).await?;
        let root = expected["stateRoot"].as_str().context("a block names the state after it")?;
        ensure!(root.trim_start_matches("0x").bytes().any(|digit| digit != b'0'), "block {height} leads to no state");
        for node in 0..devnet.info.nodes.len() {
            let rpc = devnet.rpc(node);
            until("all to hold the block", || async { Ok((rpc.height().await? >= height).then_some(())) }).await?;
            // The same block, and executed to the same state and receipts, by who was killed in the middle of it too.
            let got = rpc.block(height).await?;
            for field in ["hash", "stateRoot", "receiptsRoot", "gasUsed"] {
                let (got, expected) = (&got[field], &expected[field]);
                ensure!(got == expected, "{field} of block {height} is {got} on node {node}, {expected} on node 1");
            }
        }
    }
    ensure!(witness.heard_from(index, View::ZERO) > 0, "the witness heard nothing of it");
    let punishable = witness.punishable();
    ensure!(punishable.is_empty(), "honest nodes signed {punishable:?}");
    witness.leave().await;

    // SIGTERM ends a node in order.
    let status = devnet.rpc(2).call("baton_status", json!([])).await?;
    ensure!(status["finalHeight"].as_u64() > Some(goal), "node 2 fell back: {status}");
    devnet.stop().await
}
