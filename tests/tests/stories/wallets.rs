//! What people use unchanged works: `cast` sends, deploys, calls, estimates, finds logs and reads blocks and receipts.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use baton_tests::{
    devnet::{Devnet, contracts_tool, until},
    rpc::quantity,
};
use serde_json::{Value, json};
use tokio::process::Command;

/// Where money goes to; nobody else sends there.
const RECIPIENT: &str = "0x4242424242424242424242424242424242424242";

/// Creates a contract that keeps the first word of its input, logs it with itself as topic, and returns it.
const KEEPER: &str = "0x601f80600b6000396000f360003560005560003560005260003560206000a160005460005260206000f3";

/// 7 as input, as topic and as answer.
const SEVEN: &str = "0x0000000000000000000000000000000000000000000000000000000000000007";

#[tokio::test(flavor = "multi_thread")]
async fn cast_sends_deploys_calls_and_reads() -> anyhow::Result<()> {
    let devnet = Devnet::start(&[]).await?;
    let (rpc, key) = (&devnet.info.nodes[0].rpc, &devnet.info.accounts[0].private_key);
    let send = async |arguments: &[&str]| -> anyhow::Result<Value> {
        let with = [&["send", "--json", "--private-key", key.as_str()], arguments].concat();
        Ok(serde_json::from_str(&cast(rpc, &with).await?)?)
    };

    // By polling, and by one call that answers with the receipt.
    let sent = send(&["--value", "1ether", RECIPIENT]).await?;
    ensure!(sent["status"] == "0x1" && sent["gasUsed"] == "0x5208", "{sent}");
    let before = Instant::now();
    let synced = send(&["--sync", "--value", "1ether", RECIPIENT]).await?;
    println!("cast send --sync took {:?}", before.elapsed());
    ensure!(synced["status"] == "0x1", "{synced}");
    ensure!(quantity(&synced["blockNumber"])? > quantity(&sent["blockNumber"])?, "{synced} after {sent}");
    ensure!(cast(rpc, &["balance", "--ether", RECIPIENT]).await?.starts_with('2'), "two were sent");

    let created = send(&["--create", KEEPER]).await?;
    let contract = created["contractAddress"].as_str().context("a contract")?;
    ensure!(cast(rpc, &["code", contract]).await?.ends_with("6000f3"), "the contract has its code");
    ensure!(cast(rpc, &["call", contract, SEVEN]).await? == SEVEN, "the call returns what it was given");
    let from = devnet.info.accounts[0].address.to_string();
    let estimate: u64 = cast(rpc, &["estimate", "--from", &from, contract, SEVEN]).await?.parse()?;
    let kept = send(&[contract, SEVEN]).await?;
    let used = quantity(&kept["gasUsed"])?;
    ensure!((used..used + used / 20).contains(&estimate), "estimated {estimate}, used {used}");
    ensure!(cast(rpc, &["storage", contract, "0"]).await? == SEVEN, "it is kept");

    let logs = cast(rpc, &["logs", "--json", "--from-block", "0", "--address", contract, SEVEN]).await?;
    let logs: Vec<Value> = serde_json::from_str(&logs)?;
    ensure!(logs.len() == 1 && logs[0]["transactionHash"] == kept["transactionHash"], "{logs:?}");
    let hash = kept["transactionHash"].as_str().context("a hash")?;
    let receipt: Value = serde_json::from_str(&cast(rpc, &["receipt", "--json", hash]).await?)?;
    ensure!(receipt["logs"] == json!(logs), "{receipt}");
    let last = quantity(&kept["blockNumber"])?;

    // A refusal says why, in words that wallets match.
    let poor = cast(rpc, &["send", "--private-key", SEVEN, "--value", "1", "--gas-limit", "21000", RECIPIENT]).await;
    let poor = poor.err().context("nobody has given that account anything")?.to_string();
    ensure!(poor.contains("insufficient funds for gas * price + value"), "{poor}");

    // Other nodes tell the same, and in time it is on L1 for good.
    let other = &devnet.info.nodes[1].rpc;
    until("the other node to have the receipt", || async {
        let there = devnet.rpc(1).call("eth_getTransactionReceipt", json!([hash])).await?;
        Ok((!there.is_null()).then_some(there))
    })
    .await
    .and_then(|there| {
        ensure!(there == receipt, "{there} on another node");
        Ok(())
    })?;
    until("the block to be finalized on L1", || async {
        let block: Value = serde_json::from_str(&cast(other, &["block", "--json", "finalized"]).await?)?;
        Ok((quantity(&block["number"])? >= last).then_some(()))
    })
    .await?;
    devnet.stop().await
}

/// Runs `cast` against an endpoint and returns what it printed.
async fn cast(rpc: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let (command, rest) = arguments.split_first().context("a command")?;
    // What follows `--create CODE` counts as the constructor's arguments.
    let output = Command::new(contracts_tool("cast")).args([command, "--rpc-url", rpc]).args(rest).output().await?;
    ensure!(output.status.success(), "cast {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
