//! What owners ask of L1, as the command line tells them to, and when their bonds come back.

use std::process::Output;

use alloy::sol_types::SolCall;
use alloy_primitives::{Address, U256};
use anyhow::{Context as _, bail, ensure};
use baton_node::l1::{
    At, ChainFacts, L1Client, RevertReason,
    bindings::{BatchInbox, DevToken, Slasher},
    deploy,
};
use baton_tests::devnet::{Devnet, program, until};
use serde_json::{Value, json};
use tokio::process::Command;

/// Most L1 blocks that are mined in one step, so that nodes see epochs pass and can end them with batches.
const MINED_AT_ONCE: u64 = 4;

/// Runs `baton` with these arguments.
pub(crate) async fn baton(arguments: &[&str]) -> anyhow::Result<Output> {
    Ok(Command::new(program("baton")).args(arguments).output().await?)
}

/// Runs it, and returns what it printed if it ended well.
pub(crate) async fn printed(arguments: &[&str]) -> anyhow::Result<String> {
    let output = baton(arguments).await?;
    ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Returns the arguments of `baton send` for this devnet, after those of the call.
pub(crate) fn to_l1(devnet: &Devnet, arguments: &[&str]) -> Vec<String> {
    let l1 = &devnet.info.l1;
    let chain = l1.chain_id.to_string();
    let contract: &[&str] = match arguments.first() {
        Some(&"abandon") => &["--l1-inbox", &l1.inbox],
        Some(&"claim-from-vault") => &[],
        _ => &["--l1-registry", &l1.registry],
    };
    let common = ["--l1-chain-id", &chain];
    ["send"].iter().chain(arguments).chain(&common).chain(contract).map(|argument| (*argument).to_owned()).collect()
}

/// Asks as `owner` what `baton send` prints for these arguments. The devnet keeps its founders' keys to itself, so L1 takes
/// the story's word for who sends. Returns the L1 block that holds it.
pub(crate) async fn ask_as(devnet: &Devnet, owner: Address, arguments: &[&str]) -> anyhow::Result<u64> {
    let arguments = to_l1(devnet, arguments);
    let printed = printed(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let call: toml::Table = printed.parse()?;
    let call = json!({ "from": owner, "to": call["to"].as_str(), "data": call["data"].as_str() });
    let receipt = transact(devnet, owner, call).await.with_context(|| format!("{arguments:?}"))?;
    baton_tests::rpc::quantity(&receipt["blockNumber"])
}

/// Sends `call` as its sender, whose key nobody needs on this L1, and returns the receipt of its success.
///
/// With a quarter more gas than L1 estimates, as `baton send` has: an epoch that begins between makes a change of a bond dearer.
pub(crate) async fn transact(devnet: &Devnet, from: Address, mut call: Value) -> anyhow::Result<Value> {
    devnet.l1().call("anvil_impersonateAccount", json!([from])).await?;
    let gas = baton_tests::rpc::quantity(&devnet.l1().call("eth_estimateGas", json!([call])).await?)?;
    call["gas"] = json!(format!("{:#x}", gas + gas / 4));
    let hash = devnet.l1().call("eth_sendTransaction", json!([call])).await?;
    let receipt = until("a receipt", || async {
        let receipt = devnet.l1().call("eth_getTransactionReceipt", json!([hash])).await?;
        Ok((!receipt.is_null()).then_some(receipt))
    })
    .await?;
    ensure!(receipt["status"] == "0x1", "{receipt}");
    Ok(receipt)
}

/// Returns the L1 block at which the bond of `owner` is released; `None` while an epoch is open for which it is kept. Names
/// one that was skipped to the inbox, as anybody may.
pub(crate) async fn release_block(
    devnet: &Devnet,
    client: &L1Client,
    facts: &ChainFacts,
    owner: Address,
) -> anyhow::Result<Option<u64>> {
    let error = match client.call(facts.slasher, &Slasher::releaseBlockCall { owner }, At::Latest).await {
        Ok(block) => return Ok(Some(block.saturating_to())),
        Err(error) => error,
    };
    match error.revert() {
        Some(RevertReason::Inbox(BatchInbox::BatchInboxErrors::BatchInbox__SkippedAndNotNamed(skipped))) => {
            name_skipped(devnet, client, facts, skipped.epoch).await?;
            Ok(None)
        }
        Some(RevertReason::Slasher(error)) if matches!(**error, Slasher::SlasherErrors::Slasher__EpochIsOpen(_)) => {
            Ok(None)
        }
        _ => bail!("{error}"),
    }
}

/// Waits, with an L1 in a hurry, until the bond of `owner` is released.
pub(crate) async fn until_released(
    devnet: &Devnet,
    client: &L1Client,
    facts: &ChainFacts,
    owner: Address,
) -> anyhow::Result<()> {
    until("the release of a bond", || async {
        let head = client.existing_block(At::Latest).await?.origin.number.get();
        let left = release_block(devnet, client, facts, owner).await?.map_or(1, |block| block.saturating_sub(head));
        if left == 0 {
            return Ok(Some(()));
        }
        deploy::mine(client, left.min(MINED_AT_ONCE)).await?;
        Ok(None)
    })
    .await
}

async fn name_skipped(devnet: &Devnet, client: &L1Client, facts: &ChainFacts, epoch: u64) -> anyhow::Result<()> {
    let anybody: alloy::signers::local::PrivateKeySigner = devnet.info.accounts[8].private_key.parse()?;
    let before = client.call(facts.inbox, &BatchInbox::closedBeforeCall { epoch }, At::Latest).await?;
    let call = BatchInbox::closeSkippedCall { epoch, before }.abi_encode();
    deploy::send(client, &anybody, facts.inbox, call.into(), "naming a skipped epoch").await?;
    Ok(())
}

/// Returns what `owner` has of the bond token, in base units.
pub(crate) async fn balance(devnet: &Devnet, client: &L1Client, owner: Address) -> anyhow::Result<U256> {
    let token: Address = devnet.info.l1.token.parse()?;
    Ok(client.call(token, &DevToken::balanceOfCall { account: owner }, At::Latest).await?)
}

/// Returns who owns a founder, and its bond in base units.
pub(crate) fn founder(devnet: &Devnet, node: usize) -> anyhow::Result<(Address, U256)> {
    let node = devnet.info.nodes.get(node).context("there is this node")?;
    Ok((node.owner.parse()?, node.bond.parse()?))
}
