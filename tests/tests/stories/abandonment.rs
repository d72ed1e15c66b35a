//! A chain dies: no node is left, no batch comes. Anybody declares it dead, and every bond comes back whole.

use alloy_primitives::{Address, U256};
use anyhow::{Context as _, ensure};
use baton_node::l1::deploy;
use baton_tests::{
    devnet::{Devnet, until},
    witness::facts,
};
use serde_json::json;

use crate::{
    membership::l1_client,
    owners::{ask_as, balance, baton, founder, to_l1, until_released},
};

/// L1 blocks without a batch after which a chain counts as dead.
const ABANDON_BLOCKS: u64 = 64;

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_chain_is_abandoned_and_every_bond_is_withdrawn() -> anyhow::Result<()> {
    let abandon_blocks = format!("abandonBlocks={ABANDON_BLOCKS}");
    let short = ["epochBlocks=8", "evidenceBlocks=16", "correlationEpochs=1", "minCommittee=2", &abandon_blocks];
    let arguments: Vec<&str> = short.iter().flat_map(|parameter| ["--spec", parameter]).collect();
    let devnet = Devnet::start(&arguments).await?;
    let facts = facts(&devnet.info.nodes[0].data_dir)?;
    let client = l1_client(&devnet)?;
    until("a batch", || async {
        let status = devnet.rpc(0).call("baton_status", json!([])).await?;
        Ok((status["postedHeight"].as_u64() > Some(0)).then_some(()))
    })
    .await?;

    // While it lives nobody can declare it dead.
    let file = devnet.folder().join("anybody.key");
    baton_node::config::account_key::write(&file, &devnet.info.accounts[7].private_key.parse()?)?;
    let account = ["--account", file.to_str().context("a path of letters")?, "--l1-rpc", &devnet.info.l1.rpc];
    let abandon = to_l1(&devnet, &[&["abandon"], &account[..]].concat());
    let abandon: Vec<&str> = abandon.iter().map(String::as_str).collect();
    let refused = baton(&abandon).await?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(refused.status.code() == Some(1) && said.contains("BatchInbox__NotDeadYet"), "{said}");

    for pid in devnet.node_pids()? {
        devnet.signal(pid, "KILL").await?;
    }
    for node in 0..devnet.info.nodes.len() {
        until("a node to be gone", || async { Ok(devnet.rpc(node).height().await.err().map(|_| ())) }).await?;
    }
    deploy::mine(&client, ABANDON_BLOCKS + 2).await?;
    let declared = baton(&abandon).await?;
    ensure!(declared.status.success(), "{}", String::from_utf8_lossy(&declared.stderr));

    // All leave, those too without whom the committee is too small, and all are paid in full.
    let founders: Vec<(Address, U256)> =
        (0..devnet.info.nodes.len()).map(|node| founder(&devnet, node)).collect::<anyhow::Result<_>>()?;
    for (owner, _) in &founders {
        ask_as(&devnet, *owner, &["exit"]).await?;
    }
    for (owner, bond) in &founders {
        until_released(&devnet, &client, &facts, *owner).await?;
        ask_as(&devnet, *owner, &["withdraw"]).await?;
        let paid = balance(&devnet, &client, *owner).await?;
        ensure!(paid == *bond, "{owner} was paid {paid} of {bond}");
    }
    let left = balance(&devnet, &client, facts.domain.registry).await?;
    ensure!(left.is_zero(), "the registry keeps {left}");
    devnet.stop().await
}
