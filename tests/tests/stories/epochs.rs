//! One epoch after another, while transactions flow: who was away walks through the epochs it missed, who bonds joins at the
//! committee that L1 names, and who exits leaves with the committee that L1 fixes next.

use std::time::Duration;

use alloy::{signers::local::PrivateKeySigner, sol_types::SolCall};
use alloy_primitives::{Address, B256, U256};
use anyhow::{Context as _, ensure};
use baton_node::{
    config::{Config, NodeKeys},
    l1::{
        ChainFacts, L1Client,
        bindings::SequencerRegistry,
        coming_committees,
        deploy::{self, Founder, register},
    },
    signer::keyfile,
};
use baton_proto::{Epoch, L1ChainId};
use baton_tests::{
    devnet::{Devnet, until},
    rpc::quantity,
    witness::facts,
};
use serde_json::{Value, json};

use crate::load::Load;

/// L1 blocks of an epoch, and so about as many seconds.
const EPOCH_BLOCKS: u64 = 8;

/// The node that joins.
const JOINER: usize = 4;

/// Epochs that a node misses.
const MISSED: u64 = 2;

/// How far, in percent of all blocks, a member may be from its share of them: a view that it misses under load, and epochs that
/// end in the middle of a turn.
const SHARE_WITHIN: u64 = 12;

/// Blocks that are looked at after the leaver's last epoch.
const BLOCKS_AFTER: u64 = 10;

/// How long one question to L1 may take.
const L1_WITHIN: Duration = Duration::from_secs(30);

async fn committee(devnet: &Devnet, node: usize) -> anyhow::Result<Value> {
    devnet.rpc(node).call("baton_committee", json!([])).await
}

async fn epoch(devnet: &Devnet, node: usize) -> anyhow::Result<u64> {
    committee(devnet, node).await?["epoch"].as_u64().context("an epoch is a number")
}

async fn until_epoch(devnet: &Devnet, node: usize, goal: u64) -> anyhow::Result<()> {
    until("a later epoch", || async {
        // A node that was just started does not answer yet.
        let Ok(epoch) = epoch(devnet, node).await else { return Ok(None) };
        Ok((epoch >= goal).then_some(()))
    })
    .await
}

fn l1_client(devnet: &Devnet) -> anyhow::Result<L1Client> {
    let l1 = &devnet.info.l1;
    Ok(L1Client::new(std::slice::from_ref(&l1.rpc), L1ChainId::new(l1.chain_id), L1_WITHIN)?)
}

/// Returns the first epoch that L1 shows whose committee has `owner`, or has it not.
async fn first_committee(client: &L1Client, facts: &ChainFacts, owner: Address, seated: bool) -> anyhow::Result<Epoch> {
    until("a committee as it was asked for", || async {
        let mut coming = coming_committees(client, facts).await?.into_iter();
        let found = coming.find(|(_, members)| members.iter().any(|member| member.owner == owner) == seated);
        Ok(found.map(|(epoch, _)| epoch))
    })
    .await
}

/// Bonds the joiner as `owner` and returns the first epoch whose committee has it.
async fn bond(devnet: &Devnet, owner: &PrivateKeySigner, facts: &ChainFacts) -> anyhow::Result<Epoch> {
    let client = l1_client(devnet)?;
    let balance = json!([owner.address(), U256::from(10_u64.pow(18))]);
    devnet.l1().call("anvil_setBalance", balance).await?;
    let config = Config::load(Some(&devnet.info.nodes[JOINER].config), NodeKeys::default())?;
    let key = keyfile::load(config.consensus_key.as_deref().context("it has a key")?)?;
    // As much as all others together: what it leads is seen soon.
    let bond = U256::from(100) * U256::from(10_u64.pow(18));
    let founder = Founder { owner, fee_recipient: owner.address(), key: &key, bond };
    register(&client, &facts.domain, devnet.info.l1.token.parse()?, &founder).await?;
    first_committee(&client, facts, owner.address(), true).await
}

/// Asks for the exit of `owner` and returns the first epoch whose committee is without it.
async fn exit(devnet: &Devnet, owner: &PrivateKeySigner, facts: &ChainFacts) -> anyhow::Result<Epoch> {
    let client = l1_client(devnet)?;
    let exit = SequencerRegistry::exitCall {}.abi_encode();
    deploy::send(&client, owner, facts.domain.registry, exit.into(), "an exit").await?;
    first_committee(&client, facts, owner.address(), false).await
}

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
    let seat = bond(&devnet, &owner, &facts).await?;
    until_epoch(&devnet, 0, left_in + MISSED).await?;
    devnet.restart(3)?;
    until_epoch(&devnet, 3, left_in + MISSED).await?;

    // It is told of its seat an epoch ahead, follows until then, and decides from there on.
    devnet.restart(JOINER)?;
    until_epoch(&devnet, 0, seat.get()).await?;
    let members = committee(&devnet, 0).await?["members"].as_array().context("members are a list")?.clone();
    ensure!(members.len() == 5, "epoch {seat} has {} members", members.len());
    let newcomer = format!("{:#x}", owner.address());
    let weight = |member: &Value| member["weight"].as_u64().unwrap_or_default();
    let seats = members.iter().filter(|member| member["owner"] == json!(newcomer));
    let share_percent = seats.map(weight).sum::<u64>() * 100 / members.iter().map(weight).sum::<u64>().max(1);
    ensure!(share_percent > 0, "the newcomer has no weight in {members:?}");
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
    let members = committee(&devnet, JOINER).await?["members"].as_array().context("members are a list")?.clone();
    ensure!(members.len() == 4, "epoch {left} has {} members", members.len());
    ensure!(members.iter().all(|member| member["owner"] != json!(newcomer)), "the leaver has a seat in epoch {left}");
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
