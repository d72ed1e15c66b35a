//! Everybody's transactions are final exactly once, at the same place everywhere, and L1 holds the same list.

use std::collections::{BTreeMap, BTreeSet};

use alloy::{hex, signers::local::PrivateKeySigner};
use alloy_primitives::{Address, U256};
use anyhow::{Context as _, ensure};
use baton_execution::{evm::EvmExecutor, genesis::Genesis, state::EvmState as _};
use baton_node::l1::{L1Client, ReplayError, execute_posted, read_posted_chain};
use baton_tests::{
    devnet::{Devnet, contracts_tool, until},
    metrics::Samples,
    rpc::quantity,
    transactions::{TRANSFER_GAS, transfer},
    witness::facts,
};
use serde_json::{Value, json};
use tokio::process::Command;

/// Who receives a wei with each transaction.
const RECEIVER: Address = Address::repeat_byte(0x42);

/// Accounts that send.
const ACCOUNTS: usize = 5;

/// Transactions of each account.
const EACH: u64 = 100;

/// Of those, how many come through `cast`.
const BY_CAST: u64 = 10;

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_transactions_are_final_once_and_l1_holds_them() -> anyhow::Result<()> {
    let devnet = Devnet::start(&[]).await?;
    let senders = (0..ACCOUNTS).map(|account| send_all(&devnet, account));
    let mut sent = BTreeSet::new();
    for hashes in futures::future::try_join_all(senders).await? {
        sent.extend(hashes);
    }
    ensure!(sent.len() == ACCOUNTS * usize::try_from(EACH)?, "{} different transactions were sent", sent.len());

    // Final everywhere, at one place.
    let mut places: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for index in 0..devnet.info.nodes.len() {
        let node = devnet.rpc(index);
        for hash in &sent {
            let place = until("a transaction to be final", || async {
                let found = node.call("eth_getTransactionByHash", json!([hash])).await?;
                if found["blockNumber"].is_null() {
                    return Ok(None);
                }
                Ok(Some((quantity(&found["blockNumber"])?, quantity(&found["transactionIndex"])?)))
            })
            .await?;
            let first = *places.entry(hash.clone()).or_insert(place);
            ensure!(first == place, "{hash} is at {place:?} on node {index}, at {first:?} elsewhere");
        }
    }
    let last = places.values().map(|(height, _)| *height).max().context("there are transactions")?;

    // Exactly once in the chain, and nothing else: one list on all nodes.
    let chain = list(&devnet, 0, last).await?;
    for index in 1..devnet.info.nodes.len() {
        ensure!(list(&devnet, index, last).await? == chain, "node {index} has another list than node 0");
    }
    let once: BTreeSet<&String> = chain.iter().collect();
    ensure!(
        once.len() == chain.len() && once == sent.iter().collect(),
        "the chain does not hold each transaction once"
    );

    // Nonces are counted by execution.
    for account in &devnet.info.accounts[..ACCOUNTS] {
        let count = devnet.rpc(0).call("eth_getTransactionCount", json!([account.address, "latest"])).await?;
        ensure!(quantity(&count)? == EACH, "account {} has nonce {count}", account.address);
    }

    // Besides by gossip, they went straight to those who lead next.
    let mut handed_over = 0.0;
    for node in &devnet.info.nodes {
        handed_over += Samples::fetch(&node.health).await?.get("baton_p2p_forwarded_taken_total")?;
    }
    ensure!(handed_over > 0.0, "no node took a transaction that another handed over");

    // From L1 alone: certificates checked, data decoded, the same list.
    until("L1 to hold the last of them", || async {
        let status = devnet.rpc(0).call("baton_status", json!([])).await?;
        Ok((status["postedHeight"].as_u64() >= Some(last)).then_some(()))
    })
    .await?;
    let facts = facts(&devnet.info.nodes[0].data_dir)?;
    let l1 = L1Client::new(
        std::slice::from_ref(&devnet.info.l1.rpc),
        facts.domain.l1_chain_id,
        std::time::Duration::from_secs(30),
    )?;
    // anvil shows a block's state a moment before its transactions.
    let posted_chain = until("what L1 holds to be readable", || async {
        match read_posted_chain(&l1, &facts).await {
            Ok(chain) => Ok((chain.blocks.len() as u64 >= last).then_some(chain)),
            Err(ReplayError::L1(error)) if error.is_retryable() => Ok(None),
            Err(error) => Err(error.into()),
        }
    })
    .await?;
    let blocks = &posted_chain.blocks;
    let posted: Vec<String> = blocks
        .iter()
        .filter(|block| block.header.height.get() <= last)
        .flat_map(|block| &block.transactions)
        .map(|transaction| transaction.hash().to_string())
        .collect();
    ensure!(posted == chain, "L1 holds {} transactions that are not the chain's {}", posted.len(), chain.len());
    for block in blocks.iter().take(usize::try_from(last)?) {
        let height = block.header.height.get();
        let shown = devnet.rpc(0).block(height).await?;
        ensure!(shown["hash"] == json!(block.header.digest().to_string()), "block {height} differs from L1's");
    }
    // From L1 and the genesis file alone: every batch names the state that its blocks lead to, and the money is where it went.
    let genesis = std::fs::read_to_string(devnet.info.nodes[0].config.with_file_name("genesis.json"))?;
    let genesis = Genesis::parse(&genesis)?;
    let state = execute_posted(&posted_chain, &EvmExecutor::new(&genesis), &genesis.changes(&facts.genesis)?)?;
    for account in &devnet.info.accounts[..ACCOUNTS] {
        let found = state.account(account.address.parse()?)?.context("it has money")?;
        ensure!(found.nonce == EACH, "account {} executed {} transactions", account.address, found.nonce);
    }
    let receiver = state.account(RECEIVER)?.context("it received")?;
    ensure!(receiver.balance == U256::from(sent.len()), "{} wei were received", receiver.balance);
    let said = std::fs::read_to_string(devnet.folder().join("devnet.log"))?;
    ensure!(said.contains("registry activated"), "a headless devnet logs nothing of what it does: {said}");
    devnet.stop().await
}

/// Sends all transactions of one account, each to another node than the one before, and returns their hashes.
async fn send_all(devnet: &Devnet, account: usize) -> anyhow::Result<Vec<String>> {
    let account_info = &devnet.info.accounts[account];
    let key: PrivateKeySigner = account_info.private_key.parse()?;
    let mut hashes = Vec::new();
    for nonce in 0..EACH {
        let node = (account + usize::try_from(nonce)?) % devnet.info.nodes.len();
        let tip = u128::from(nonce % 7 + 1);
        let hash = if nonce < EACH - BY_CAST {
            let raw = hex::encode_prefixed(transfer(&key, devnet.info.chain_id, nonce, tip));
            let answer = devnet.rpc(node).call("eth_sendRawTransaction", json!([raw])).await?;
            answer.as_str().context("a hash")?.to_owned()
        } else {
            cast(devnet, node, &account_info.private_key, nonce).await?
        };
        hashes.push(hash);
    }
    Ok(hashes)
}

/// `cast mktx`, then `cast publish --async`.
async fn cast(devnet: &Devnet, node: usize, key: &str, nonce: u64) -> anyhow::Result<String> {
    let run = async |arguments: &[&str]| -> anyhow::Result<String> {
        let output = Command::new(contracts_tool("cast")).args(arguments).output().await?;
        ensure!(output.status.success(), "cast {}: {}", arguments[0], String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    let (chain, nonce, gas) = (devnet.info.chain_id.to_string(), nonce.to_string(), TRANSFER_GAS.to_string());
    let rpc = &devnet.info.nodes[node].rpc;
    let recipient = RECEIVER.to_string();
    let mut arguments = vec!["mktx", "--private-key", key, "--chain", &chain, "--nonce", &nonce, "--gas-limit", &gas];
    arguments.extend(["--gas-price", "1000000000", "--priority-gas-price", "1", "--value", "1", "--rpc-url", rpc]);
    arguments.push(&recipient);
    let raw = run(&arguments).await?;
    let published = run(&["publish", "--async", "--rpc-url", rpc, &raw]).await?;
    Ok(published.trim_matches('"').to_owned())
}

/// Returns the hashes of all transactions up to `last`, in chain order, as a node shows them.
async fn list(devnet: &Devnet, node: usize, last: u64) -> anyhow::Result<Vec<String>> {
    let node = devnet.rpc(node);
    let mut hashes = Vec::new();
    for height in 1..=last {
        let block: Value = node.call("eth_getBlockByNumber", json!([format!("{height:#x}"), false])).await?;
        let transactions = block["transactions"].as_array().with_context(|| format!("block {height}"))?;
        hashes.extend(transactions.iter().filter_map(Value::as_str).map(str::to_owned));
    }
    Ok(hashes)
}
