//! What a node told its users is accepted outlives every node's death, gapped ones as well, and becomes final.

use alloy::{hex, signers::local::PrivateKeySigner};
use anyhow::{Context as _, ensure};
use baton_tests::{
    devnet::{Devnet, ONE_EPOCH, until},
    rpc::Rpc,
    transactions::transfer,
};
use serde_json::{Value, json};

/// The node that users talk to; the one with least stake.
const ASKED: usize = 3;

/// Transactions beyond the gap.
const GAPPED: u64 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn accepted_transactions_survive_the_death_of_all_nodes_and_are_included_once_their_gap_closes()
-> anyhow::Result<()> {
    let mut devnet = Devnet::start(&ONE_EPOCH).await?;
    let key: PrivateKeySigner = devnet.info.accounts[0].private_key.parse()?;
    let chain_id = devnet.info.chain_id;
    let send = async |node: &Rpc, nonce: u64, tip: u128| -> anyhow::Result<String> {
        let raw = hex::encode_prefixed(transfer(&key, chain_id, nonce, tip));
        let answer = node.call("eth_sendRawTransaction", json!([raw])).await?;
        Ok(answer.as_str().context("a hash")?.to_owned())
    };

    // One that is final before, one that is replaced, and its replacement behind a gap with others.
    let asked = devnet.rpc(ASKED);
    let settled = send(&asked, 0, 1).await?;
    until("the first to be final", || async { Ok(is_final(&asked, &settled).await?.then_some(())) }).await?;
    // The fee cap must rise by a tenth as well.
    let replaced = send(&asked, 2, 1).await?;
    let mut waiting = vec![send(&asked, 2, 1_000_000_000).await?];
    for nonce in 3..2 + GAPPED {
        waiting.push(send(&asked, nonce, 1).await?);
    }

    // Nobody is left who could tell anybody of them.
    for node in &devnet.info.nodes {
        devnet.signal(node.pid, "KILL").await?;
    }
    for node in 0..devnet.info.nodes.len() {
        until("a node to be gone", || async { Ok(devnet.rpc(node).height().await.err().map(|_| ())) }).await?;
    }
    for node in 0..devnet.info.nodes.len() {
        devnet.restart(node)?;
    }
    until("the node to answer again", || async { Ok(asked.height().await.ok()) }).await?;
    for hash in &waiting {
        let found = by_hash(&asked, hash).await?;
        ensure!(!found.is_null() && found["blockNumber"].is_null(), "{hash} is not pending after the restart: {found}");
    }
    let found = by_hash(&asked, &replaced).await?;
    ensure!(found.is_null(), "what was replaced is back: {found}");
    let found = by_hash(&asked, &settled).await?;
    ensure!(!found["blockNumber"].is_null(), "what was final is not: {found}");

    // Another node closes the gap.
    let other = devnet.rpc(0);
    until("another node to answer again", || async { Ok(other.height().await.ok()) }).await?;
    waiting.push(send(&other, 1, 1).await?);
    for node in [&asked, &other] {
        for hash in &waiting {
            until("all to be final", || async { Ok(is_final(node, hash).await?.then_some(())) }).await?;
        }
    }
    let found = by_hash(&asked, &replaced).await?;
    ensure!(found.is_null(), "what was replaced is back: {found}");
    devnet.stop().await
}

async fn by_hash(node: &Rpc, hash: &str) -> anyhow::Result<Value> {
    node.call("eth_getTransactionByHash", json!([hash])).await
}

async fn is_final(node: &Rpc, hash: &str) -> anyhow::Result<bool> {
    Ok(!by_hash(node, hash).await?["blockNumber"].is_null())
}
