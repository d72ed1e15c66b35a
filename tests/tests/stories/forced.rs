//! A user whom no node has ever heard of puts a transaction into the queue on L1, and every leader has to take it: once, in the
//! first block that may know of it, and in a batch. What else is in the queue is passed over, and everybody can see why.

use alloy::{hex, primitives::keccak256, signers::local::PrivateKeySigner};
use anyhow::{Context as _, ensure};
use baton_node::l1::{At, L1Client, ReplayError, bindings::BatchInbox, read_posted_chain};
use baton_tests::{
    devnet::{Devnet, contracts_tool, until},
    rpc::quantity,
    transactions::transfer,
    witness::facts,
};
use serde_json::{Value, json};
use tokio::process::Command;

/// Whose transaction it is, and who pays for its way on L1.
const USER: usize = 6;
const L1_PAYER: usize = 7;

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_no_leader_was_given_is_final_once_by_way_of_l1() -> anyhow::Result<()> {
    let devnet = Devnet::start(&[]).await?;
    let facts = facts(&devnet.info.nodes[0].data_dir)?;
    let user = &devnet.info.accounts[USER];
    let key: PrivateKeySigner = user.private_key.parse()?;
    let raw = transfer(&key, devnet.info.chain_id, 0, 1);
    let hash = keccak256(&raw).to_string();

    // The transaction, what is none, and the transaction again.
    for entry in [raw.as_slice(), b"no transaction", raw.as_slice()] {
        enqueue(&devnet, entry).await?;
    }
    for index in 0..devnet.info.nodes.len() {
        let told = until("the whole queue to be taken", || async {
            let told =
                futures::future::try_join_all((0..3).map(|position| forced_status(&devnet, index, position))).await?;
            let are_taken = told.iter().all(|status| !status["height"].is_null());
            Ok(are_taken.then_some(told))
        })
        .await?;
        let became: Vec<&Value> = told.iter().map(|status| &status["status"]).collect();
        ensure!(became == ["executed", "skipped", "skipped"], "node {index}: {told:?}");
        ensure!(told[0]["hash"] == json!(hash), "node {index}: {told:?}");
        ensure!(told[1]["outcome"] == json!({"status": "skipped", "reason": "malformed"}), "node {index}: {told:?}");
        ensure!(
            told[2]["outcome"] == json!({"status": "skipped", "reason": "nonceTooLow", "got": 0, "expected": 1}),
            "node {index}: {told:?}"
        );

        // The bound: no block before it named an L1 block that knew of it.
        for status in &told {
            let height = status["height"].as_u64().context("a height")?;
            let before = devnet.rpc(index).block(height - 1).await?["baton"]["l1Origin"]["number"].clone();
            ensure!(before.as_u64() < status["l1Block"].as_u64(), "height {height} is not the first with {status}");
        }

        let node = devnet.rpc(index);
        let nonce = quantity(&node.call("eth_getTransactionCount", json!([user.address, "latest"])).await?)?;
        ensure!(nonce == 1, "node {index}: the user's next nonce is {nonce}");
        let found = node.call("eth_getTransactionByHash", json!([hash])).await?;
        ensure!(quantity(&found["blockNumber"])? == told[0]["height"].as_u64().context("a height")?, "{found}");
    }

    // L1 has it in a batch, and needs nobody to tell of it.
    let last = forced_status(&devnet, 0, 2).await?["height"].as_u64().context("a height")?;
    let l1 = L1Client::new(
        std::slice::from_ref(&devnet.info.l1.rpc),
        facts.domain.l1_chain_id,
        std::time::Duration::from_secs(30),
    )?;
    until("batches to have taken all entries", || async {
        let queue = l1.call(facts.inbox, &BatchInbox::forcedQueueCall {}, At::Latest).await?;
        ensure!(queue.length == 3, "{} entries are on L1", queue.length);
        Ok((queue.consumed == 3).then_some(()))
    })
    .await?;
    // anvil shows a block's state a moment before its transactions.
    let blocks = until("what L1 holds to be readable", || async {
        match read_posted_chain(&l1, &facts).await {
            Ok(chain) => Ok((chain.blocks.len() as u64 >= last).then_some(chain.blocks)),
            Err(ReplayError::L1(error)) if error.is_retryable() => Ok(None),
            Err(error) => Err(error.into()),
        }
    })
    .await?;
    let mut taken = Vec::new();
    for block in &blocks[..usize::try_from(last)?] {
        let height = block.header.height.get();
        let shown = devnet.rpc(0).block(height).await?["hash"].clone();
        ensure!(shown == json!(block.header.digest().to_string()), "block {height} differs from L1's");
        taken.extend(block.forced.entries.iter().map(|entry| entry.data().to_vec()));
    }
    ensure!(taken == [raw.clone(), b"no transaction".to_vec(), raw], "L1's blocks take {taken:?}");
    devnet.stop().await
}

/// As the contracts' page tells users to.
async fn enqueue(devnet: &Devnet, entry: &[u8]) -> anyhow::Result<()> {
    let (inbox, rpc) = (&devnet.info.l1.inbox, &devnet.info.l1.rpc);
    let entry = hex::encode_prefixed(entry);
    // What is sent beyond the fee comes back.
    let mut arguments = vec!["send", inbox, "enqueue(uint8,bytes)", "0", &entry, "--value", "0.01ether"];
    arguments.extend(["--rpc-url", rpc, "--private-key", &devnet.info.accounts[L1_PAYER].private_key]);
    let output = Command::new(contracts_tool("cast")).args(arguments).output().await?;
    ensure!(output.status.success(), "cast send: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

async fn forced_status(devnet: &Devnet, node: usize, position: u64) -> anyhow::Result<Value> {
    devnet.rpc(node).call("baton_forcedStatus", json!([position])).await
}
