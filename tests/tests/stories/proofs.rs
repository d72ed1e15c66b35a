//! A user who trusts no node: every step of its transaction is proven, and nothing that was tampered with is taken for it.

use std::{path::Path, process::Output};

use alloy::{hex, signers::local::PrivateKeySigner};
use anyhow::{Context as _, ensure};
use baton_tests::{
    devnet::{Devnet, until},
    transactions::transfer,
};
use serde_json::{Value, json};

use crate::owners::baton;

/// Steps of a settled transaction, in order.
const STEPS: [&str; 6] = ["accepted", "included", "notarized", "final", "posted", "settled"];

/// Transactions of one account: enough for blocks of several, so that paths have hashes in them.
const SENT: u64 = 40;

/// What was printed, and what was logged.
fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Runs `baton verify` and returns what it printed, if its exit code is 0.
async fn verified(hash: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = baton(&[&["verify", hash], arguments].concat()).await?;
    let (printed, logged) = said(&output);
    ensure!(output.status.code() == Some(0), "{arguments:?}: {:?}: {logged}{printed}", output.status);
    Ok(printed)
}

/// Runs `baton verify`, which must end with exit code 1 and this reason.
async fn refused(hash: &str, arguments: &[&str], reason: &str) -> anyhow::Result<String> {
    let output = baton(&[&["verify", hash], arguments].concat()).await?;
    let (printed, logged) = said(&output);
    ensure!(output.status.code() == Some(1), "{arguments:?}: {:?}: {logged}{printed}", output.status);
    ensure!(logged.starts_with("error: ") && logged.contains(reason), "not \"{reason}\": {logged}");
    Ok(printed)
}

/// Returns the mark before each step.
fn marks(printed: &str) -> String {
    let line = |step: &&str| printed.lines().find(|line| line.split_whitespace().nth(1) == Some(step));
    STEPS.iter().filter_map(line).filter_map(|line| line.trim_start().chars().next()).collect()
}

/// Writes `proof` with a change.
fn tampered(path: &Path, proof: &Value, change: impl FnOnce(&mut Value)) -> anyhow::Result<String> {
    let mut proof = proof.clone();
    change(&mut proof);
    std::fs::write(path, serde_json::to_vec(&proof)?)?;
    Ok(path.to_str().context("a path of this story")?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_checks_each_step_of_a_transaction_and_is_told_no_tale() -> anyhow::Result<()> {
    let devnet = Devnet::start(&[]).await?;
    let account = &devnet.info.accounts[0];
    let key: PrivateKeySigner = account.private_key.parse()?;
    let mut hashes = Vec::new();
    for nonce in 0..SENT {
        let raw = hex::encode_prefixed(transfer(&key, devnet.info.chain_id, nonce, 1));
        let answer = devnet.rpc(0).call("eth_sendRawTransaction", json!([raw])).await?;
        hashes.push(answer.as_str().context("a hash")?.to_owned());
    }
    let (rpc, l1, registry) =
        (devnet.info.nodes[0].rpc.as_str(), devnet.info.l1.rpc.as_str(), devnet.info.l1.registry.as_str());
    // Wherever it is now: nothing that is claimed is wrong.
    let early = verified(&hashes[0], &["--rpc", rpc, "--l1", l1]).await?;
    ensure!(early.contains("✓ accepted") && early.contains("All that is claimed holds."), "{early}");

    // One that shares its block with others.
    let hash = until("a transaction that shares its block to be final", || async {
        for hash in &hashes {
            let proof = devnet.rpc(0).call("baton_getProof", json!([hash])).await?;
            if proof["block"]["path"].as_array().is_some_and(|path| !path.is_empty()) {
                return Ok(Some(hash.clone()));
            }
        }
        Ok(None)
    })
    .await?;
    for index in 0..devnet.info.nodes.len() {
        until("a transaction to be settled", || async {
            let status = devnet.rpc(index).call("baton_txStatus", json!([hash])).await?;
            Ok((status["status"] == "settled").then_some(()))
        })
        .await?;
    }

    // The whole ladder, from each node, down to L1.
    let file = devnet.folder().join("proof.json");
    let saved = file.to_str().context("a path of this story")?;
    for node in &devnet.info.nodes {
        let arguments = ["--rpc", &node.rpc, "--l1", l1, "--l1-registry", registry, "--save", saved];
        let printed = verified(&hash, &arguments).await?;
        ensure!(marks(&printed) == "✓✓✓✓✓✓", "{printed}");
        ensure!(printed.contains("All that is claimed holds.") && !printed.contains('\u{1b}'), "{printed}");
        ensure!(printed.contains(" % of weight (") && printed.contains("as the registry on L1 has them"), "{printed}");
    }
    let whole = verified(&hash, &["--proof", saved, "--l1", l1]).await?;
    println!("{whole}");

    // From the file alone: what rests on whose word is told.
    let alone = verified(&hash, &["--proof", saved]).await?;
    ensure!(marks(&alone) == "✓✓✓✓??" && alone.contains("not checked against L1"), "{alone}");
    let proof: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    let committee = tampered(&devnet.folder().join("committees.json"), &proof["committees"], |_| {})?;
    let by_file = verified(&hash, &["--proof", saved, "--committee", &committee, "--json"]).await?;
    let by_file: Value = serde_json::from_str(&by_file)?;
    ensure!(by_file["holds"] == true && by_file["checked"] == false && by_file["committees"] == "file", "{by_file}");
    let by_l1: Value = serde_json::from_str(&verified(&hash, &["--proof", saved, "--l1", l1, "--json"]).await?)?;
    ensure!(by_l1["checked"] == true && by_l1["committees"] == "l1", "{by_l1}");
    let signed = &by_l1["rungs"][3]["signed"];
    let (weight, total) = (&signed["weight"], &signed["total"]);
    ensure!(weight.as_u64().zip(total.as_u64()).is_some_and(|(weight, total)| 3 * weight > 2 * total), "{by_l1}");

    // Nothing of it can be another.
    let lie = devnet.folder().join("lie.json");
    let other = hashes.iter().find(|other| **other != hash).context("there are others")?;
    refused(other, &["--proof", saved], "accepted: the proof is of transaction").await?;
    let wrong = tampered(&lie, &proof, |proof| proof["block"]["path"][0] = json!(format!("0x{}", "77".repeat(32))))?;
    let printed = refused(&hash, &["--proof", &wrong], "included: the path does not lead").await?;
    ensure!(marks(&printed) == "✓✗····", "{printed}");
    let wrong = tampered(&lie, &proof, |proof| proof["block"]["finalization"]["signers"] = json!("0x1"))?;
    refused(&hash, &["--proof", &wrong], "final: the committee of epoch").await?;
    let wrong = tampered(&lie, &proof, |proof| proof["block"]["batch"]["header"]["index"] = json!(999))?;
    refused(&hash, &["--proof", &wrong], "posted: the committee of epoch").await?;
    let made_up = format!("0x{}", "99".repeat(32));
    let wrong = tampered(&lie, &proof, |proof| proof["block"]["batch"]["l1"]["tx"] = json!(made_up))?;
    verified(&hash, &["--proof", &wrong]).await?;
    refused(&hash, &["--proof", &wrong, "--l1", l1], "posted: L1 has no successful transaction 0x9999").await?;
    // Of another batch, which L1 has too.
    let others: Vec<Value> = devnet
        .l1()
        .call(
            "eth_getLogs",
            json!([{
                "address": devnet.info.l1.inbox, "fromBlock": "0x0", "topics": [],
            }]),
        )
        .await?
        .as_array()
        .context("logs")?
        .clone();
    let posted = &proof["block"]["batch"]["l1"]["tx"];
    if let Some(other) = others.iter().find(|log| log["transactionHash"] != *posted) {
        let wrong = tampered(&lie, &proof, |proof| {
            let l1 = &mut proof["block"]["batch"]["l1"];
            l1["tx"] = other["transactionHash"].clone();
            l1["block"] = json!(baton_tests::rpc::quantity(&other["blockNumber"]).unwrap_or_default());
        })?;
        refused(&hash, &["--proof", &wrong, "--l1", l1], "posted: in that transaction").await?;
    }
    let wrong = tampered(&lie, &proof, |proof| proof["committees"][0]["members"][0]["weight"] = json!(99))?;
    refused(&hash, &["--proof", &wrong, "--l1", l1], "is not the one that L1 has").await?;
    let wrong = tampered(&lie, &proof, |proof| proof["version"] = json!(2))?;
    refused(&hash, &["--proof", &wrong], "a proof of version 2").await?;

    // Nor another chain, nor what nobody sent.
    refused(&hash, &["--proof", saved, "--l1-registry", &devnet.info.l1.inbox], "of the chain of registry").await?;
    refused(&made_up, &["--rpc", rpc], "does not know transaction").await?;
    let wrong = tampered(&lie, &proof, |proof| proof["domain"]["registry"] = json!(devnet.info.l1.inbox))?;
    refused(&hash, &["--proof", &wrong, "--l1", l1], "there is no sequencer registry").await?;
    devnet.stop().await
}
