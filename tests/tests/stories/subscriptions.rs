//! A subscriber hears of its transactions at every stage, survives the node's crash, and misses and repeats nothing; the
//! node's numbers move along.

use std::collections::BTreeMap;

use alloy::{hex, signers::local::PrivateKeySigner};
use anyhow::{Context as _, ensure};
use baton_tests::{
    devnet::{Devnet, EVENTUALLY, until},
    metrics::Samples,
    rpc::quantity,
    transactions::transfer,
};
use jsonrpsee::{
    core::client::{Subscription, SubscriptionClientT as _},
    rpc_params,
    ws_client::{WsClient, WsClientBuilder},
};
use serde_json::{Value, json};

/// The node that is subscribed to, and killed.
const NODE: usize = 1;

/// Transactions before the crash.
const TRANSACTIONS: u64 = 40;

/// Blocks that must follow once the node is back.
const BLOCKS_AFTER: u64 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_misses_nothing_when_its_node_crashes() -> anyhow::Result<()> {
    let mut devnet = Devnet::start(&[]).await?;
    let before = numbers(&devnet).await?;
    let client = connect(&devnet).await?;
    let mut heads: Subscription<Value> =
        client.subscribe("eth_subscribe", rpc_params!["newHeads"], "eth_unsubscribe").await?;
    let mut stream = Stream::open(&client, json!({})).await?;

    let key: PrivateKeySigner = devnet.info.accounts[0].private_key.parse()?;
    let mut last = String::new();
    for nonce in 0..TRANSACTIONS {
        let raw = hex::encode_prefixed(transfer(&key, devnet.info.chain_id, nonce, 1));
        let node = devnet.rpc(usize::try_from(nonce)? % devnet.info.nodes.len());
        last = node.call("eth_sendRawTransaction", json!([raw])).await?.as_str().context("a hash")?.to_owned();
    }
    let node = devnet.rpc(NODE);
    let status_of = async || node.call("baton_txStatus", json!([last])).await;
    let place = until("the last one to be final", || async {
        let status = status_of().await?;
        Ok(status["height"].as_u64().filter(|_| status["status"] != "skipped"))
    })
    .await?;

    // Every stage of its block, in order.
    while stream.settled < place {
        stream.next().await?;
    }
    let batch = stream.posted_batches.range(place..).next().context("a batch holds it")?;
    ensure!(stream.notarized_before_final > 0, "no block was told as notarized before it was final");
    ensure!(status_of().await?["status"] == "settled", "{}", status_of().await?);
    ensure!(status_of().await?["batchIndex"] == json!(batch.1), "{} is in batch {batch:?}", status_of().await?);

    // Heads are the same blocks, each on the one before.
    let mut parent: Option<Value> = None;
    loop {
        let head = next(&mut heads).await?;
        ensure!(parent.as_ref().is_none_or(|parent| *parent == head["parentHash"]), "a head is missing before {head}");
        if quantity(&head["number"])? >= place {
            break;
        }
        parent = Some(head["hash"].clone());
    }

    let after = numbers(&devnet).await?;
    for series in [
        "baton_consensus_height",
        "baton_consensus_view",
        "baton_consensus_transactions_total",
        "baton_consensus_block_interval_seconds_count",
        "baton_consensus_view_duration_seconds_count",
        "baton_consensus_time_to_final_seconds_count",
        "baton_consensus_block_size_bytes_sum",
        "baton_consensus_proposals_created_total",
        "baton_consensus_proposals_received_total",
        "baton_consensus_votes_received_total",
        "baton_consensus_last_signed_height",
        "baton_mempool_admitted_total",
        "baton_p2p_frames_sent_total",
        "baton_p2p_frames_received_total",
        "baton_p2p_announcements_published_total",
        "baton_p2p_forwarded_taken_total",
        "baton_batcher_posted_height",
        "baton_batcher_settled_height",
        "baton_l1_head",
        "baton_process_cpu_seconds_total",
        "baton_rpc_websockets",
    ] {
        let (was, is) = (before.get(series)?, after.get(series)?);
        ensure!(is > was, "{series} went from {was} to {is}");
    }
    ensure!(
        after.get("baton_consensus_transactions_total")? >= TRANSACTIONS as f64,
        "not all transactions are counted"
    );
    for (series, expected) in [
        ("baton_up", 1.0),
        ("baton_consensus_validators", 4.0),
        ("baton_consensus_missing_validators", 0.0),
        ("baton_consensus_byzantine_validators", 0.0),
    ] {
        ensure!(after.get(series)? == expected, "{series} is {}", after.get(series)?);
    }
    let (missed, skipped) =
        (after.get("baton_consensus_missed_views_total")?, after.get("baton_consensus_skipped_views_total")?);
    ensure!(missed <= skipped, "of {skipped} views without a final block {missed} were this node's own");
    let sent = "baton_rpc_calls_total{method=\"eth_sendRawTransaction\",outcome=\"answered\"}";
    ensure!(after.get(sent)? >= 10.0, "{sent} is {}", after.get(sent)?);
    let unlabelled = |series: &str| !series.contains("peer=") && !series.contains("0x");
    ensure!(after.series().all(unlabelled), "a label names a peer, an account or a hash");

    until("a status line", || async {
        let log = std::fs::read_to_string(&devnet.info.nodes[NODE].log)?;
        let is_status = |line: &str| line.contains("safe_lag") && line.contains("l1_head_age_ms");
        Ok(log.lines().any(is_status).then_some(()))
    })
    .await?;

    // The node crashes. The cursor of the last event is all that the subscriber keeps.
    let cursor = stream.cursor.clone().context("there were events")?;
    let (height, posted, settled) = (stream.height, stream.posted, stream.settled);
    devnet.signal(devnet.info.nodes[NODE].pid, "KILL").await?;
    tokio::time::timeout(EVENTUALLY, client.on_disconnect()).await?;
    devnet.restart(NODE)?;
    let client = until("the node to be back", || async { Ok(connect(&devnet).await.ok()) }).await?;
    let mut stream = Stream::open(&client, json!({"from": cursor})).await?;
    (stream.height, stream.posted, stream.settled) = (height, posted, settled);
    let goal = height.context("blocks were final")? + BLOCKS_AFTER;
    while stream.settled < goal {
        stream.next().await?;
    }
    devnet.stop().await
}

async fn connect(devnet: &Devnet) -> anyhow::Result<WsClient> {
    let url = devnet.info.nodes[NODE].rpc.replace("http://", "ws://");
    Ok(WsClientBuilder::new().max_buffer_capacity_per_subscription(16_384).build(url).await?)
}

async fn next(subscription: &mut Subscription<Value>) -> anyhow::Result<Value> {
    let next = tokio::time::timeout(EVENTUALLY, subscription.next()).await.context("nothing was told any more")?;
    Ok(next.context("the subscription ended")??)
}

async fn numbers(devnet: &Devnet) -> anyhow::Result<Samples> {
    Samples::fetch(&devnet.info.nodes[NODE].health).await
}

/// The events of `baton_subscribe`, each checked against those before it.
struct Stream {
    events: Subscription<Value>,
    cursor: Option<String>,
    /// The last height told as final.
    height: Option<u64>,
    /// The next batches to be told as posted and settled, and the last settled height.
    posted: Option<u64>,
    settled: u64,
    posted_batches: BTreeMap<u64, u64>,
    notarized: Option<u64>,
    notarized_before_final: u64,
}

impl Stream {
    async fn open(client: &WsClient, options: Value) -> anyhow::Result<Self> {
        let events = client.subscribe("baton_subscribe", rpc_params![options], "baton_unsubscribe").await?;
        Ok(Self {
            events,
            cursor: None,
            height: None,
            posted: None,
            settled: 0,
            posted_batches: BTreeMap::new(),
            notarized: None,
            notarized_before_final: 0,
        })
    }

    async fn next(&mut self) -> anyhow::Result<()> {
        let event = next(&mut self.events).await?;
        let field = |name: &str| event[name].as_u64().with_context(|| format!("{name} of {event}"));
        let (height, known) = (field("height")?, self.height);
        match event["event"].as_str().context("an event has a name")? {
            "notarized" => {
                ensure!(known.is_none_or(|known| height > known), "{event} after block {known:?} was final");
                self.notarized = Some(height);
            }
            "final" => {
                ensure!(known.is_none_or(|known| height == known + 1), "{event} after block {known:?}");
                self.notarized_before_final += u64::from(self.notarized == Some(height));
                self.height = Some(height);
            }
            "posted" => {
                let index = field("batchIndex")?;
                ensure!(self.posted.is_none_or(|posted| index == posted), "{event}, expected {:?}", self.posted);
                ensure!(known >= Some(height), "{event} before its last block was final");
                field("l1Block")?;
                self.posted = Some(index + 1);
                self.posted_batches.insert(height, index);
            }
            "settled" => {
                let index = field("batchIndex")?;
                ensure!(self.posted.is_none_or(|posted| index < posted), "{event} before it was posted");
                ensure!(height > self.settled, "{event} after height {} was settled", self.settled);
                self.settled = height;
            }
            other => anyhow::bail!("{other} on an L1 without reorgs: {event}"),
        }
        self.cursor = Some(event["cursor"].as_str().context("an event has a cursor")?.to_owned());
        Ok(())
    }
}
