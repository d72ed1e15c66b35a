//! Clients that others wrote find on a Baton chain what they find on any other: ethers, viem and web3.py at work, and the
//! answers themselves beside those of anvil.

use std::{path::Path, process::Stdio};

use alloy::primitives::hex;
use anyhow::{Context as _, ensure};
use baton_tests::{
    devnet::{AccountInfo, Devnet, EVENTUALLY, contracts_tool, until},
    rpc::Rpc,
};
use serde_json::json;
use tokio::{
    process::{Child, Command},
    time::timeout,
};

/// Where the scripts are.
const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients");

/// Accounts from here on send nothing else: each client has its own.
const FIRST_ACCOUNT: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn ethers_works_unchanged() -> anyhow::Result<()> {
    let devnet = Devnet::start(&[]).await?;
    script(&devnet, "with-ethers.mjs", FIRST_ACCOUNT, &[]).await?;
    devnet.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn viem_works_unchanged() -> anyhow::Result<()> {
    let devnet = Devnet::start(&[]).await?;
    script(&devnet, "with-viem.mjs", FIRST_ACCOUNT, &[]).await?;
    devnet.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn web3_py_works_unchanged() -> anyhow::Result<()> {
    let devnet = Devnet::start(&[]).await?;
    let python = Path::new(CLIENTS).join("venv/bin/python");
    ensure!(python.exists(), "{} is not installed: run `make setup`", python.display());
    let compiled = Command::new("node").arg("probe.mjs").current_dir(CLIENTS).output().await?;
    ensure!(compiled.status.success(), "Probe.sol does not compile: {}", String::from_utf8_lossy(&compiled.stderr));
    let contract = devnet.folder().join("probe.json");
    tokio::fs::write(&contract, compiled.stdout).await?;
    let mut command = Command::new(python);
    command.arg("with_web3.py").stdin(Stdio::from(std::fs::File::open(contract)?));
    run(&devnet, &mut command, FIRST_ACCOUNT, &[]).await?;
    devnet.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_as_anvils_but_for_what_is_intended() -> anyhow::Result<()> {
    let devnet = Devnet::start(&[]).await?;
    let (_anvil, url) = anvil(devnet.info.chain_id).await?;
    script(&devnet, "beside-anvil.mjs", FIRST_ACCOUNT, &[("ANVIL_RPC", &url)]).await?;
    devnet.stop().await
}

/// Starts an anvil with the same funded accounts, which ends when it is dropped.
async fn anvil(chain_id: u64) -> anyhow::Result<(Child, String)> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let child = Command::new(contracts_tool("anvil"))
        .args(["--silent", "--hardfork", "osaka"])
        .args(["--port", &port.to_string()])
        .args(["--chain-id", &chain_id.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start anvil")?;
    let url = format!("http://127.0.0.1:{port}");
    let client = Rpc::new(&url);
    until("anvil", || async { Ok(client.call("eth_chainId", json!([])).await.ok()) }).await?;
    Ok((child, url))
}

async fn script(devnet: &Devnet, name: &str, account: usize, environment: &[(&str, &str)]) -> anyhow::Result<()> {
    run(devnet, Command::new("node").arg(name), account, environment).await
}

/// Runs a client against the first node, with an account of its own, until it has done all its steps.
async fn run(
    devnet: &Devnet,
    command: &mut Command,
    account: usize,
    environment: &[(&str, &str)],
) -> anyhow::Result<()> {
    let http = &devnet.info.nodes[0].rpc;
    let AccountInfo { private_key, .. } = &devnet.info.accounts[account];
    let key = hex::encode_prefixed(hex::decode(private_key)?);
    let command = command
        .current_dir(CLIENTS)
        .env("BATON_RPC", http)
        .env("BATON_WS", http.replacen("http", "ws", 1))
        .env("BATON_KEY", key)
        .envs(environment.iter().copied())
        .kill_on_drop(true);
    let output = timeout(EVENTUALLY, command.output()).await.context("the client does not end")??;
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "the client failed:\n{said}\n{errors}");
    println!("{said}");
    Ok(())
}
