//! Batches travel in blobs: L1 holds them, pays for them, and gives them back to who was not there.

use std::time::Duration;

use alloy::sol_types::{SolCall as _, SolEvent as _};
use alloy::{hex, rpc::types::Filter, signers::local::PrivateKeySigner};
use alloy_primitives::{Address, U256};
use anyhow::{Context as _, ensure};
use baton_node::{
    l1::{L1Client, ReplayError, bindings::BatchInbox, read_posted_chain},
    ledger::{BatchOnL1, ChainIdentity, Ledger as _, RocksLedger},
};
use baton_proto::{Block, DataKind};
use baton_tests::{
    devnet::{Devnet, until},
    transactions::transfer,
    witness::facts,
};
use serde_json::json;

/// The node that joins late: with 18 of 100 the others are a quorum without it.
const LATE: usize = 3;

/// Batches that are on L1 before it joins.
const BATCHES: u64 = 2;

/// Transactions of the first batches.
const TRANSACTIONS: u64 = 50;

#[tokio::test(flavor = "multi_thread")]
async fn batches_in_blobs_are_paid_for_and_read_back_by_who_was_not_there() -> anyhow::Result<()> {
    let late = LATE.to_string();
    let mut devnet = Devnet::start_with(&["--absent", &late], &[("BATON_L1_BATCH_DATA", "blobs")]).await?;
    let facts = facts(&devnet.info.nodes[0].data_dir)?;
    let urls = std::slice::from_ref(&devnet.info.l1.rpc);
    let l1 = L1Client::new(urls, facts.domain.l1_chain_id, Duration::from_secs(30))?.with_beacon(urls)?;

    // Whoever posts is paid from a pool that anyone may fund.
    let funded = U256::from(10_u64.pow(18));
    let from = devnet.l1().call("eth_accounts", json!([])).await?[0].clone();
    let data = hex::encode_prefixed(BatchInbox::fundCall {}.abi_encode());
    let fund = json!({ "from": from, "to": facts.inbox, "value": funded, "data": data });
    devnet.l1().call("eth_sendTransaction", json!([fund])).await?;
    let balance =
        async |of: Address| -> anyhow::Result<U256> { Ok(l1.request("eth_getBalance", (of, "latest")).await?) };
    until("the pool to be funded", || async { Ok((!balance(facts.inbox).await?.is_zero()).then_some(())) }).await?;
    let key: PrivateKeySigner = devnet.info.accounts[0].private_key.parse()?;
    let mut last = json!(null);
    for nonce in 0..TRANSACTIONS {
        let raw = hex::encode_prefixed(transfer(&key, devnet.info.chain_id, nonce, 1));
        last = devnet.rpc(0).call("eth_sendRawTransaction", json!([raw])).await?;
    }

    // From L1 alone: the blobs hold the chain.
    let held = until("batches to be on L1 and readable", || async {
        match read_posted_chain(&l1, &facts).await {
            Ok(chain) => {
                let posted: usize = chain.blocks.iter().map(|block| block.transactions.len()).sum();
                let is_enough = chain.batches.len() as u64 >= BATCHES && posted as u64 >= TRANSACTIONS;
                Ok(is_enough.then_some(chain))
            }
            Err(ReplayError::L1(error)) if error.is_retryable() => Ok(None),
            Err(error) => Err(error.into()),
        }
    })
    .await?;
    for block in &held.blocks {
        let height = block.header.height.get();
        let shown = devnet.rpc(0).block(height).await?;
        ensure!(shown["hash"] == json!(block.header.digest().to_string()), "block {height} differs from L1's");
    }
    let filter =
        Filter::new().address(facts.inbox).event_signature(BatchInbox::PostingRefunded::SIGNATURE_HASH).from_block(0);
    let refunds = l1.logs(&filter).await?;
    for batch in &held.batches {
        let index = batch.header.index;
        ensure!(batch.header.data_kind == DataKind::Blobs, "batch {index} is calldata");
        let receipt = l1.receipt(batch.transaction).await?.context("a posted batch has a receipt")?;
        let blob_gas = receipt.blob_gas_used.context("it carries blobs")?;
        ensure!(blob_gas > 0 && blob_gas.is_multiple_of(131_072), "blobs are paid for whole, not {blob_gas} of gas");
        let gas = u128::from(receipt.gas_used) * receipt.effective_gas_price;
        let burnt = U256::from(gas + u128::from(blob_gas) * receipt.blob_gas_price.unwrap_or_default());
        let paid: Vec<U256> = refunds
            .iter()
            .filter(|log| log.transaction_hash == Some(batch.transaction))
            .map(|log| Ok(BatchInbox::PostingRefunded::decode_log_data(log.data())?.amount))
            .collect::<anyhow::Result<_>>()?;
        let [paid] = paid[..] else { anyhow::bail!("batch {index} was paid for as {paid:?}") };
        ensure!(paid <= burnt && paid * U256::from(100) >= burnt * U256::from(95), "{paid} wei for {burnt}");
    }

    // Who was not there gets the blocks from its peers, and the batches of that time from the blobs.
    let pid = devnet.restart(LATE)?;
    until("the late node to know where they are settled", || async {
        let status = devnet.rpc(LATE).call("baton_txStatus", json!([last])).await;
        Ok(status.is_ok_and(|status| status["status"] == "settled").then_some(()))
    })
    .await?;
    devnet.signal(pid, "TERM").await?;
    let folder = devnet.info.nodes[LATE].data_dir.join("ledger");
    let identity = ChainIdentity { domain: facts.domain, inbox: facts.inbox, slasher: facts.slasher };
    let ledger =
        until("it to let go of its ledger", || async { Ok(RocksLedger::open(&folder, &identity).ok()) }).await?;
    // It records one after the other, and the last of these transactions is in one of them.
    let is_last = |block: &Block| block.transactions.iter().any(|transaction| json!(transaction.hash()) == last);
    let height = held.blocks.iter().find(|block| is_last(block)).context("it is posted")?.header.height;
    for batch in held.batches.iter().filter(|batch| batch.header.first_height <= height) {
        let index = batch.header.index;
        let kept = ledger.batch(index)?.with_context(|| format!("batch {index} is not recorded"))?;
        ensure!(kept.header == batch.header && kept.data == batch.data, "batch {index} was read back as another");
        ensure!(!kept.data.is_empty() && matches!(kept.l1, BatchOnL1::Settled { .. }), "batch {index}: {:?}", kept.l1);
    }
    devnet.stop().await
}
