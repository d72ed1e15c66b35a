//! L1 is gone when an epoch should end: ordering goes on in the running one, a node that restarts meanwhile joins in, and the
//! epoch ends when L1 is back.

use anyhow::{Context as _, ensure};
use baton_tests::{
    devnet::{Devnet, until},
    rpc::quantity,
};
use serde_json::json;

use crate::{
    load::Load,
    membership::{epoch, until_epoch},
};

/// L1 blocks of an epoch, and so about as many seconds.
const EPOCH_BLOCKS: u64 = 8;

/// Blocks that are ordered before anybody looks: what L1 said before it was gone has had its effect.
const BLOCKS_UNTIL_QUIET: u64 = 20;

/// Blocks that are ordered without L1 after that, at least a tenth of a second each: the epoch is long due to end.
const BLOCKS_WITHOUT: u64 = 15 * EPOCH_BLOCKS;

/// The node that restarts: with 18 of 100 the others are a quorum without it.
const RESTARTED: usize = 3;

/// An L1 that answers nobody until this is dropped.
struct Outage(u32);

impl Outage {
    async fn begin(devnet: &Devnet) -> anyhow::Result<Self> {
        let pid = devnet.info.l1.pid.context("the devnet started its L1")?;
        devnet.signal(pid, "STOP").await?;
        Ok(Self(pid))
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        // Whatever becomes of the story: a process that is stopped cannot be told to end.
        let _ = std::process::Command::new("kill").arg("-CONT").arg(self.0.to_string()).status();
    }
}

async fn until_height(devnet: &Devnet, node: usize, goal: u64) -> anyhow::Result<()> {
    until("more blocks", || async {
        let Ok(height) = devnet.rpc(node).height().await else { return Ok(None) };
        Ok((height >= goal).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn ordering_goes_on_without_l1_and_the_epoch_ends_when_it_is_back() -> anyhow::Result<()> {
    let mut devnet = Devnet::start(&["--spec", &format!("epochBlocks={EPOCH_BLOCKS}")]).await?;
    let load = Load::start(&devnet, 0, &[0, 1, 2])?;
    let outage = Outage::begin(&devnet).await?;
    let quiet = devnet.rpc(0).height().await? + BLOCKS_UNTIL_QUIET;
    until_height(&devnet, 0, quiet).await?;
    let running = epoch(&devnet, 0).await?;
    devnet.signal(devnet.info.nodes[RESTARTED].pid, "KILL").await?;
    devnet.restart(RESTARTED)?;
    for node in 0..4 {
        until_height(&devnet, node, quiet + BLOCKS_WITHOUT).await?;
        ensure!(epoch(&devnet, node).await? == running, "node {node} went on to another epoch without L1");
    }
    drop(outage);
    for node in 0..4 {
        until_epoch(&devnet, node, running + 1).await?;
    }

    // All that was accepted before, meanwhile and after is final everywhere, and L1 gets all of it.
    let sent = load.stop().await?;
    ensure!(sent > 0, "nobody could send anything");
    let sender = &devnet.info.accounts[0].address;
    for node in 0..4 {
        let rpc = devnet.rpc(node);
        until("all transactions to be final", || async {
            let count = rpc.call("eth_getTransactionCount", json!([sender, "latest"])).await?;
            Ok((quantity(&count)? == sent).then_some(()))
        })
        .await?;
    }
    let goal = devnet.rpc(0).height().await?;
    until("L1 to hold all of it", || async {
        let status = devnet.rpc(0).call("baton_status", json!([])).await?;
        Ok((status["postedHeight"].as_u64() >= Some(goal)).then_some(()))
    })
    .await?;
    devnet.stop().await
}
