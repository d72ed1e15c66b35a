//! A sequencer changes its consensus key while the chain runs: it signs each epoch with the key that L1 has there, as the same
//! member on the same connections, and through restarts; nobody else can sign with either.

use std::path::Path;

use alloy_primitives::U256;
use anyhow::{Context as _, ensure};
use baton_node::{
    l1::{At, bindings::SequencerRegistry, coming_committees},
    signer::keyfile,
};
use baton_proto::BlsPublicKey;
use baton_tests::{
    devnet::{Devnet, program, until},
    witness::facts,
};
use serde_json::json;
use tokio::process::Command;

use crate::{
    membership::{l1_client, members, until_epoch},
    owners::{ask_as, printed},
};

/// Who changes its key.
const CHANGES: usize = 3;

/// Its place among the owners, in each epoch the same.
async fn place(devnet: &Devnet, key: &BlsPublicKey) -> anyhow::Result<Option<u64>> {
    let key = json!(key);
    let members = members(devnet, 0).await?;
    Ok(members.iter().position(|member| member["blsKey"] == key).map(|place| place as u64))
}

/// Waits for a final block that the member proposes from now on.
async fn until_it_leads(devnet: &Devnet, place: u64) -> anyhow::Result<()> {
    let before = devnet.rpc(0).height().await?;
    until("a block of the member that changed its key", || async {
        for height in before + 1..=devnet.rpc(0).height().await? {
            if devnet.rpc(0).block(height).await?["baton"]["proposer"].as_u64() == Some(place) {
                return Ok(Some(()));
            }
        }
        Ok(None)
    })
    .await
}

fn configure(config: &Path, change: impl FnOnce(&mut toml::Table)) -> anyhow::Result<()> {
    let mut table: toml::Table = std::fs::read_to_string(config)?.parse()?;
    change(&mut table);
    Ok(std::fs::write(config, table.to_string())?)
}

/// Stops a node in order, and returns once its folders are free.
pub(crate) async fn stop(devnet: &Devnet, pid: u32) -> anyhow::Result<()> {
    devnet.signal(pid, "TERM").await?;
    until("the node to end", || async {
        let state = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().await?.stdout;
        // Who has ended stays in the table until its parent looks.
        Ok((state.trim_ascii().is_empty() || state.starts_with(b"Z")).then_some(()))
    })
    .await
}

/// Stops the node in order and starts it again as its configuration has it now.
async fn restart(devnet: &mut Devnet, pid: u32) -> anyhow::Result<u32> {
    stop(devnet, pid).await?;
    devnet.restart(CHANGES)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequencer_changes_its_key_while_the_chain_runs() -> anyhow::Result<()> {
    let mut devnet = Devnet::start(&["--spec", "epochBlocks=8"]).await?;
    let facts = facts(&devnet.info.nodes[0].data_dir)?;
    let client = l1_client(&devnet)?;
    let (config, owner) = (devnet.info.nodes[CHANGES].config.clone(), devnet.info.nodes[CHANGES].owner.clone());
    let next = devnet.folder().join("next");
    let next = next.to_str().context("a path of letters")?;
    printed(&["keys", "next", "--dir", next]).await?;
    let key_file = Path::new(next).join("consensus.key");
    let new = keyfile::load(&key_file)?.public_key();
    let next_key = key_file.display().to_string();
    configure(&config, |table| drop(table.insert("next_consensus_key".into(), next_key.clone().into())))?;
    let pid = devnet.info.nodes[CHANGES].pid.context("it was started")?;
    let pid = restart(&mut devnet, pid).await?;

    // The owner's key is in a wallet, to which the command says what to send.
    ask_as(&devnet, owner.parse()?, &["rotate-key", "--dir", next, "--owner", &owner]).await?;
    let effective = until("a committee with the new key", || async {
        let mut coming = coming_committees(&client, &facts).await?.into_iter();
        Ok(coming.find(|(_, members)| members.iter().any(|member| member.key == new)).map(|(epoch, _)| epoch))
    })
    .await?;

    // Until then it is its old key that counts, though the node has both.
    ensure!(place(&devnet, &new).await?.is_none(), "the new key has a seat at once");
    until_epoch(&devnet, 0, effective.get()).await?;
    let index = place(&devnet, &new).await?.context("the new key has its seat")?;
    until_it_leads(&devnet, index).await?;

    // Each key has one speaker on this machine.
    let second = devnet.folder().join("second.toml");
    std::fs::copy(&config, &second)?;
    let data = devnet.folder().join("second").display().to_string();
    configure(&second, |table| {
        table.insert("consensus_key".into(), next_key.clone().into());
        for key in ["next_consensus_key", "sign_record_dir"] {
            table.remove(key);
        }
        table.insert("data_dir".into(), data.into());
    })?;
    let refused = Command::new(program("baton")).args(["node", "--config"]).arg(&second).output().await?;
    let said = String::from_utf8_lossy(&refused.stderr);
    ensure!(refused.status.code() == Some(3) && said.contains("in use by another process"), "{said}");

    // A restart finds the right one of both keys; then the new key is the one in use.
    let pid = restart(&mut devnet, pid).await?;
    until_it_leads(&devnet, index).await?;
    configure(&config, |table| {
        table.insert("consensus_key".into(), next_key.into());
        for key in ["next_consensus_key", "sign_record_dir"] {
            table.remove(key);
        }
    })?;
    restart(&mut devnet, pid).await?;
    until_it_leads(&devnet, index).await?;

    // The committees of both keys have their batches on L1, and neither key signed what could be held against it.
    let height = devnet.rpc(0).height().await?;
    until("all of that to be posted", || async {
        let status = devnet.rpc(0).call("baton_status", json!([])).await?;
        Ok((status["postedHeight"].as_u64() >= Some(height)).then_some(()))
    })
    .await?;
    let question = SequencerRegistry::bondOfCall { owner: owner.parse()? };
    let bond = client.call(facts.domain.registry, &question, At::Latest).await?;
    ensure!(bond == devnet.info.nodes[CHANGES].bond.parse::<U256>()?, "it has {bond} left");
    devnet.stop().await
}
