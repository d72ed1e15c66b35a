//! A member that is down is jailed by what the chain itself shows, while users go on sending; its owner asks, and it leads again.

use alloy_primitives::Address;
use anyhow::{Context as _, ensure};
use baton_node::l1::{At, bindings::SequencerRegistry};
use baton_tests::{
    devnet::{Devnet, until},
    metrics::Samples,
    rpc::quantity,
    witness::facts,
};
use serde_json::{Value, json};

use crate::{
    load::Load,
    membership::{l1_client, members, until_epoch},
    owners::ask_as,
};

/// The member with the least stake: a quorum and a quiet epoch need neither its votes nor its turns.
const SMALLEST: usize = 4;

/// Blocks that are ordered without it.
const BLOCKS_WITHOUT: u64 = 20;

/// What a node says of turns, rewards and jail.
async fn duties(devnet: &Devnet, node: usize) -> anyhow::Result<Value> {
    devnet.rpc(node).call("baton_duties", json!([])).await
}

/// A member's row in a table of turns.
fn row<'a>(table: &'a Value, owner: &str) -> Option<&'a Value> {
    table.as_array()?.iter().find(|row| row["owner"] == owner)
}

async fn is_seated(devnet: &Devnet, owner: &str) -> anyhow::Result<bool> {
    Ok(members(devnet, 0).await?.iter().any(|member| member["owner"] == owner))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_down_is_jailed_and_leads_again_once_its_owner_asks() -> anyhow::Result<()> {
    // So many views in an epoch that even the smallest has turns in each, also on a machine that is busy with other things.
    let spec = ["epochBlocks=16", "idleBlockMs=150", "jailMinViews=1"];
    let mut arguments = vec!["--stakes", "28,24,22,18,8"];
    arguments.extend(spec.iter().flat_map(|parameter| ["--spec", parameter]));
    let mut devnet = Devnet::start(&arguments).await?;
    let chain = facts(&devnet.info.nodes[0].data_dir)?;
    let client = l1_client(&devnet)?;
    let owner = devnet.info.nodes[SMALLEST].owner.to_lowercase();
    let address: Address = owner.parse()?;
    let load = Load::start(&devnet, 0, &[0, 1, 2])?;
    ensure!(is_seated(&devnet, &owner).await?, "it begins as a member");

    devnet.signal(devnet.info.nodes[SMALLEST].pid, "KILL").await?;
    let jailed = until("it to be jailed", || async {
        let jailed = duties(&devnet, 0).await?["sequencers"][&owner]["jailed"].clone();
        Ok((!jailed.is_null()).then_some(jailed))
    })
    .await?;
    let term = |name: &str| jailed[name].as_u64().with_context(|| format!("{jailed} has no {name}"));
    let (since, free) = (term("since")?, term("until")?);

    // What was settled is what the chain shows: that it missed its turns, and that others led.
    let settled = until("an epoch that was settled without it", || async {
        let settled = duties(&devnet, 0).await?["settled"].clone();
        let missed = row(&settled, &owner).is_some_and(|row| row["missed"].as_u64() > row["led"].as_u64());
        Ok(missed.then_some(settled))
    })
    .await?;
    let first = devnet.info.nodes[0].owner.to_lowercase();
    let led = row(&settled, &first).and_then(|row| row["led"].as_u64());
    ensure!(led > Some(0), "the largest led nothing in {settled}");

    until_epoch(&devnet, 0, since).await?;
    until("the committee without it", || async { Ok((!is_seated(&devnet, &owner).await?).then_some(())) }).await?;
    ensure!(members(&devnet, 0).await?.len() == 4, "the others are members");

    // The chain goes on, and pays those who lead it.
    let height = devnet.rpc(0).height().await?;
    until("the chain to go on", || async {
        Ok((devnet.rpc(0).height().await? >= height + BLOCKS_WITHOUT).then_some(()))
    })
    .await?;
    let earned = duties(&devnet, 0).await?["sequencers"][&first]["pendingRewards"].clone();
    ensure!(quantity(&earned)? > 0, "the largest earned {earned}");

    // It is started again, follows as one that has no seat, and says why: for its turns as for the jail.
    devnet.restart(SMALLEST)?;
    until("it to follow", || async {
        let Ok(head) = devnet.rpc(SMALLEST).height().await else { return Ok(None) };
        Ok((head >= height).then_some(()))
    })
    .await?;
    let log = devnet.info.nodes[SMALLEST].config.with_file_name("restarted-0.log");
    for line in ["this sequencer is jailed", "missed a turn of our own", "this node was not in the view"] {
        until(line, || async { Ok(tokio::fs::read_to_string(&log).await?.contains(line).then_some(())) }).await?;
    }
    let health = devnet.info.nodes[SMALLEST].health.clone();
    until("its metrics to say so", || async {
        Ok((Samples::fetch(&health).await?.get("baton_duties_jailed").ok() == Some(1.0)).then_some(()))
    })
    .await?;

    // Its owner asks for it, once L1 lets it: what is asked in one epoch counts from the second after it on.
    until_epoch(&devnet, 0, free.saturating_sub(2)).await?;
    ask_as(&devnet, address, &["unjail"]).await?;
    let question = SequencerRegistry::sequencerCall { owner: address };
    let back = client.call(chain.domain.registry, &question, At::Latest).await?.effectiveEpoch;
    ensure!(back >= free, "back in epoch {back}, before {free}");
    until_epoch(&devnet, 0, back).await?;
    until("its seat", || async { Ok(is_seated(&devnet, &owner).await?.then_some(())) }).await?;
    ensure!(members(&devnet, 0).await?.len() == 5, "all five are members");
    until("it to lead again", || async {
        let duties = duties(&devnet, 0).await?;
        let led = row(&duties["members"], &owner).and_then(|row| row["led"].as_u64());
        Ok(led.filter(|led| *led > 0))
    })
    .await?;
    ensure!(duties(&devnet, 0).await?["sequencers"][&owner]["jailed"].is_null(), "it leads from jail");

    // All that was accepted is final, and the same everywhere.
    let sent = load.stop().await?;
    ensure!(sent > 0, "nobody could send anything");
    let sender = &devnet.info.accounts[0].address;
    for node in 0..=SMALLEST {
        let rpc = devnet.rpc(node);
        until("all transactions to be final", || async {
            let count = rpc.call("eth_getTransactionCount", json!([sender, "latest"])).await?;
            Ok((quantity(&count)? == sent).then_some(()))
        })
        .await?;
    }
    devnet.stop().await
}
