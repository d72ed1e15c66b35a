//! A leader that orders by its own taste on a chain whose rule is `priority_fee`: nobody votes for its blocks, and the
//! next leader puts what was in them where the rule does.

use std::collections::{BTreeMap, BTreeSet};

use alloy::{hex, signers::local::PrivateKeySigner};
use anyhow::{Context as _, ensure};
use baton_mempool::order;
use baton_proto::{OrderingRule, Transaction};
use baton_tests::{
    devnet::{Devnet, EVENTUALLY, ONE_EPOCH, program, until},
    metrics::Samples,
    rpc::quantity,
    transactions::transfer,
    witness::facts,
};
use serde_json::{Value, json};

/// The node that does as it likes, and those that do not: a quorum.
const LIAR: usize = 3;
const HONEST: [usize; 3] = [0, 1, 2];

/// Accounts that send at a time, each offering more than the one before it.
const ACCOUNTS: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_reorders_loses_its_view_and_the_next_one_keeps_the_rule() -> anyhow::Result<()> {
    let absent = LIAR.to_string();
    let [epoch, blocks] = ONE_EPOCH;
    let arguments = ["--absent", &absent, epoch, blocks, "--spec", "orderingRule=1"];
    let mut devnet = Devnet::start_with(&arguments, &[("BATON_LOG_FORMAT", "json")]).await?;
    ensure!(facts(&devnet.info.nodes[0].data_dir)?.spec.ordering_rule == OrderingRule::PriorityFee);
    devnet.start_node(LIAR, &program("baton-byzantine"), &["--lie", "reorder"])?;
    let liar = devnet.rpc(LIAR);
    until("the liar to follow", || async {
        let answer = liar.try_call("eth_blockNumber", json!([])).await;
        Ok(matches!(answer, Ok(Ok(height)) if quantity(&height)? > 0).then_some(()))
    })
    .await?;

    // Those who offer least come first, so a block in the order of arrival breaks the rule.
    let keys: Vec<PrivateKeySigner> =
        devnet.info.accounts[..ACCOUNTS].iter().map(|account| account.private_key.parse()).collect::<Result<_, _>>()?;
    let mut sent: BTreeMap<String, Transaction> = BTreeMap::new();
    let started = std::time::Instant::now();
    for nonce in 0.. {
        ensure!(started.elapsed() < EVENTUALLY, "nobody refused a block in the order of arrival");
        for (key, tip) in keys.iter().zip(1..) {
            let raw = transfer(key, devnet.info.chain_id, nonce, tip);
            let transaction = Transaction::decode(raw.clone().into())?;
            sent.insert(transaction.hash().to_string(), transaction);
            let raw = json!([hex::encode_prefixed(raw)]);
            // Once the others have had enough of it, the liar may be alone with what it knows.
            let _ = liar.try_call("eth_sendRawTransaction", raw.clone()).await;
            let answer = devnet.rpc(HONEST[0]).try_call("eth_sendRawTransaction", raw).await?;
            let is_known = answer.as_ref().is_err_and(|error| error.to_string().contains("already known"));
            ensure!(answer.is_ok() || is_known, "{answer:?}");
        }
        if refused_views(&devnet).await?.len() >= 2 {
            break;
        }
    }

    // All of it is final, in the rule's order, and no block is of a view that was refused.
    let refused = refused_views(&devnet).await?;
    let node = devnet.rpc(HONEST[1]);
    let mut last = 0;
    for hash in sent.keys() {
        let height = until("a transaction to be final", || async {
            let found = node.call("eth_getTransactionByHash", json!([hash])).await?;
            if found["blockNumber"].is_null() { Ok(None) } else { quantity(&found["blockNumber"]).map(Some) }
        })
        .await?;
        last = last.max(height);
    }
    let (mut found, mut most) = (0, 0);
    for height in 1..=last {
        let block = node.block(height).await?;
        let view = block["baton"]["view"].as_u64().with_context(|| format!("a block has a view: {block}"))?;
        ensure!(!refused.contains(&view), "block {height} is final in view {view}, which was refused");
        let shown = block["transactions"].as_array().context("a block has transactions")?;
        let transactions: Vec<Transaction> = shown
            .iter()
            .map(|shown| sent.get(shown["hash"].as_str().unwrap_or_default()).cloned().context("one of ours"))
            .collect::<Result<_, _>>()?;
        ensure!(order::obeys(OrderingRule::PriorityFee, &transactions), "block {height} is out of order: {shown:?}");
        (found, most) = (found + transactions.len(), most.max(transactions.len()));
    }
    ensure!(found == sent.len(), "{found} of {} are in the chain once", sent.len());
    ensure!(most > 1, "no block has an order");
    devnet.stop().await
}

/// Returns the views whose blocks all honest nodes refused for their order. There is nothing else to refuse.
async fn refused_views(devnet: &Devnet) -> anyhow::Result<BTreeSet<u64>> {
    let mut refused: Option<BTreeSet<u64>> = None;
    for node in HONEST {
        let log = std::fs::read_to_string(&devnet.info.nodes[node].log)?;
        let mut views = BTreeSet::new();
        for line in log.lines() {
            let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
            let fields = &line["fields"];
            if fields["message"] != "an invalid block was proposed" {
                continue;
            }
            let reason = fields["reason"].as_str().unwrap_or_default();
            ensure!(reason == "the transactions do not stand in the chain's order", "node {node} refused: {line}");
            let view = &fields["view"];
            let number = view.as_u64().or_else(|| view.as_str().and_then(|view| view.parse().ok()));
            views.insert(number.with_context(|| format!("a view: {line}"))?);
        }
        let counted = Samples::fetch(&devnet.info.nodes[node].health).await?;
        ensure!(counted.get("baton_consensus_proposals_invalid_total")? >= views.len() as f64);
        refused = Some(match refused {
            Some(refused) => refused.intersection(&views).copied().collect(),
            None => views,
        });
    }
    Ok(refused.unwrap_or_default())
}
