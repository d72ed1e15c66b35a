//! One epoch after another, while transactions flow: who was away walks through the epochs it missed, who bonds joins at the
//! committee that L1 names, and who exits leaves with the committee that L1 fixes next.

use alloy::signers::local::PrivateKeySigner;
use alloy_primitives::B256;
use anyhow::ensure;
use baton_tests::{
    devnet::{Devnet, until},
    rpc::quantity,
    witness::facts,
};
use serde_json::{Value, json};

use crate::{
    load::Load,
    membership::{bond, epoch, exit, members, until_epoch},
};

/// L1 blocks of an epoch, and so about as many seconds.
const EPOCH_BLOCKS: u64 = 8;

/// The node that joins. It bonds as much as all others together: what it leads is seen soon.
const JOINER: usize = 4;

/// Epochs that a node misses.
const MISSED: u64 = 2;

/// How far, in percent of all blocks, a member may be from its share of them: a view that it misses under load, and epochs that
/// end in the middle of a turn.
const SHARE_WITHIN: u64 = 12;

/// Blocks that are looked at after the leaver's last epoch.
const BLOCKS_AFTER: u64 = 10;

#[tokio::test(flavor = "multi_thread")]
async fn epochs_follow_one_another_and_a_sequencer_joins_and_leaves_while_transactions_flow() -> anyhow::Result<()> {
    let epoch_blocks = format!("epochBlocks={EPOCH_BLOCKS}");
    let mut devnet = Devnet::start(&["--spec", &epoch_blocks, "--unbonded", "1"]).await?;
    let facts = facts(&devnet.info.nodes[0].data_dir)?;
    let load = Load::start(&devnet, 0, &[0, 1, 2])?;
    until_epoch(&devnet, 0, 3).await?;

    // A node that is away for whole epochs learns of each one's end from those who were there.
    devnet.signal(devnet.info.nodes[3].pid, "KILL").await?;
    let left_in = epoch(&devnet, 0).await?;
    let owner = PrivateKeySigner::from_bytes(&B256::repeat_byte(0x4a))?;
    let seat = bond(&devnet, JOINER, &owner, &facts).await?;
    until_epoch(&devnet, 0, left_in + MISSED).await?;
    devnet.restart(3)?;
    until_epoch(&devnet, 3, left_in + MISSED).await?;

    // It is told of its seat an epoch ahead, follows until then, and decides from there on.
    devnet.restart(JOINER)?;
    until_epoch(&devnet, 0, seat.get()).await?;
    let seated = members(&devnet, 0).await?;
    ensure!(seated.len() == 5, "epoch {seat} has {} members", seated.len());
    let newcomer = format!("{:#x}", owner.address());
    let weight = |member: &Value| member["weight"].as_u64().unwrap_or_default();
    let seats = seated.iter().filter(|member| member["owner"] == json!(newcomer));
    let share_percent = seats.map(weight).sum::<u64>() * 100 / seated.iter().map(weight).sum::<u64>().max(1);
    ensure!(share_percent > 0, "the newcomer has no weight in {seated:?}");
    until_epoch(&devnet, JOINER, seat.get()).await?;
    let joined_at = devnet.rpc(0).height().await?;
    let led = until("a block of the newcomer", || async {
        let rpc = devnet.rpc(0);
        for height in joined_at..=rpc.height().await? {
            if rpc.block(height).await?["miner"] == json!(newcomer) {
                return Ok(Some(height));
            }
        }
        Ok(None)
    })
    .await?;

    // It leaves as it came: with a committee that L1 fixed before. From then on it follows, and the others go on.
    let left = exit(&devnet, &owner, &facts).await?;
    until_epoch(&devnet, 0, left.get()).await?;
    until_epoch(&devnet, JOINER, left.get()).await?;
    let seated = members(&devnet, JOINER).await?;
    ensure!(seated.len() == 4, "epoch {left} has {} members", seated.len());
    ensure!(seated.iter().all(|member| member["owner"] != json!(newcomer)), "the leaver has a seat in epoch {left}");
    let left_at = devnet.rpc(JOINER).height().await?;
    until("blocks without the leaver", || async {
        Ok((devnet.rpc(JOINER).height().await? >= left_at + BLOCKS_AFTER).then_some(()))
    })
    .await?;
    // While it sat there it led its share.
    let (mut blocks, mut led_blocks) = (0, 0);
    for height in joined_at + 1..left_at {
        blocks += 1;
        led_blocks += u64::from(devnet.rpc(0).block(height).await?["miner"] == json!(newcomer));
    }
    let led_percent: u64 = led_blocks * 100 / blocks.max(1);
    ensure!(
        led_percent.abs_diff(share_percent) <= SHARE_WITHIN,
        "the newcomer led {led_blocks} of {blocks} blocks, and has {share_percent} percent of the weight"
    );

    // The block at `left_at` may be the last of the epoch before.
    for height in left_at + 1..=left_at + BLOCKS_AFTER {
        let block = devnet.rpc(JOINER).block(height).await?;
        ensure!(block["miner"] != json!(newcomer), "the leaver led block {height}");
    }

    // All that was accepted is final, and the same everywhere.
    let sent = load.stop().await?;
    ensure!(sent > 0, "nobody could send anything");
    let sender = &devnet.info.accounts[0].address;
    for node in 0..=JOINER {
        let rpc = devnet.rpc(node);
        until("all transactions to be final", || async {
            let count = rpc.call("eth_getTransactionCount", json!([sender, "latest"])).await?;
            Ok((quantity(&count)? == sent).then_some(()))
        })
        .await?;
        let got = rpc.block(led).await?["hash"].clone();
        ensure!(got == devnet.rpc(0).block(led).await?["hash"], "node {node} has another block {led}");
    }

    // L1 takes the batches of one epoch after another.
    let goal = devnet.rpc(0).height().await?;
    until("L1 to hold all of it", || async {
        let status = devnet.rpc(0).call("baton_status", json!([])).await?;
        Ok((status["postedHeight"].as_u64() >= Some(goal)).then_some(()))
    })
    .await?;
    devnet.stop().await
}
