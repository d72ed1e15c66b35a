//! What subscribers hear, in which order, and how they go on after a cut.

use std::sync::Arc;

use baton_execution::ChainExecutor;
use baton_proto::Height;
use jsonrpsee::{
    core::client::{ClientT as _, Subscription, SubscriptionClientT as _, SubscriptionKind},
    rpc_params,
    types::SubscriptionId,
    ws_client::WsClient,
};
use serde_json::{Value, json};

use super::{
    node::{TestNode, header, spec, tx},
    websocket::{EVENTUALLY, connect, refused},
};
use crate::{
    ledger::MemoryLedger,
    rpc::{
        Announcements,
        feed::{Available, Feed, Then},
    },
};

async fn new_heads(client: &WsClient) -> Subscription<Value> {
    client.subscribe("eth_subscribe", rpc_params!["newHeads"], "eth_unsubscribe").await.unwrap()
}

async fn events(client: &WsClient, options: Value) -> Subscription<Value> {
    client.subscribe("baton_subscribe", rpc_params![options], "baton_unsubscribe").await.unwrap()
}

async fn next(subscription: &mut Subscription<Value>) -> Value {
    tokio::time::timeout(EVENTUALLY, subscription.next()).await.unwrap().unwrap().unwrap()
}

/// The events up to and with the one that `last` names, as `event height[/batch]`.
async fn until(subscription: &mut Subscription<Value>, last: &str) -> (Vec<String>, String) {
    let mut told = Vec::new();
    loop {
        let event = next(subscription).await;
        let batch = event.get("batchIndex").map(|index| format!("/{index}")).unwrap_or_default();
        told.push(format!("{} {}{batch}", event["event"].as_str().unwrap(), event["height"]));
        if told.last().unwrap() == last {
            return (told, event["cursor"].as_str().unwrap().to_owned());
        }
    }
}

#[tokio::test]
async fn new_heads_are_the_final_blocks_in_order_without_their_bodies() {
    let node = TestNode::start().await;
    node.finalize(vec![]);
    let client = connect(&node).await;
    let mut heads = new_heads(&client).await;
    // More than a page, before anybody reads.
    for _ in 0..200 {
        node.finalize(vec![]);
    }
    for height in 2..=201_u64 {
        let mut block = node.call("eth_getBlockByNumber", json!([format!("{height:#x}"), false])).await;
        for field in ["transactions", "uncles"] {
            block.as_object_mut().unwrap().remove(field).unwrap();
        }
        assert_eq!(next(&mut heads).await, block);
    }
    // Their id is one of geth's, and known only to this connection.
    let SubscriptionKind::Subscription(id) = heads.kind().clone() else { panic!("it is a subscription") };
    assert!(matches!(&id, SubscriptionId::Str(id) if id.starts_with("0x")), "{id:?}");
    let stranger = connect(&node).await;
    let not_found = (-32_000, "subscription not found".to_owned());
    assert_eq!(refused(stranger.request::<Value, _>("eth_unsubscribe", rpc_params![&id]).await), not_found);
    assert_eq!(client.request::<Value, _>("eth_unsubscribe", rpc_params![&id]).await.unwrap(), true);
    assert_eq!(refused(client.request::<Value, _>("eth_unsubscribe", rpc_params![&id]).await), not_found);
}

#[tokio::test]
async fn what_cannot_be_subscribed_to_is_said_in_geths_words() {
    let node = TestNode::start().await;
    let client = connect(&node).await;
    for name in ["syncing", ""] {
        let error = refused(client.request::<Value, _>("eth_subscribe", rpc_params![name]).await);
        assert_eq!(error, (-32_601, format!("no \"{name}\" subscription in eth namespace")));
    }
    for params in [rpc_params![], rpc_params![7]] {
        let error = refused(client.request::<Value, _>("eth_subscribe", params).await);
        assert_eq!(error, (-32_602, "expected subscription name as first argument".to_owned()));
    }
    let (code, message) =
        refused(client.request::<Value, _>("baton_subscribe", rpc_params![json!({"since": 1})]).await);
    assert!(code == -32_602 && message.starts_with("invalid argument 0: unknown field `since`"), "{code} {message}");
    // HTTP has no way to notify anybody.
    for method in ["eth_subscribe", "baton_subscribe", "eth_unsubscribe"] {
        let refused = node.refused(method, json!(["newHeads"])).await;
        assert_eq!(refused, (-32_601, "notifications not supported".to_owned()));
    }
}

#[tokio::test]
async fn events_come_in_the_order_in_which_they_can_be_relied_on() {
    let node = TestNode::start().await;
    let client = connect(&node).await;
    let mut stream = events(&client, json!({})).await;
    let digest = node.notarize_and_finalize();
    let first = next(&mut stream).await;
    let cursor = first["cursor"].clone();
    assert_eq!(first, json!({"event": "notarized", "height": 1, "digest": digest, "view": 1, "cursor": cursor}));
    let second = next(&mut stream).await;
    let cursor = second["cursor"].clone();
    assert_eq!(second, json!({"event": "final", "height": 1, "digest": digest, "view": 1, "cursor": cursor}));

    node.notarize_and_finalize();
    node.record_batch(0, 1..=2, 30, false);
    node.announce_recorded(1, 0);
    let (told, _) = until(&mut stream, "posted 2/0").await;
    assert_eq!(told, ["notarized 2", "final 2", "posted 2/0"]);

    node.record_batch(0, 1..=2, 30, true);
    node.announce_recorded(1, 1);
    let settled = next(&mut stream).await;
    let last = header(&node, 2);
    let expected = json!({
        "event": "settled", "height": 2, "digest": last.digest(), "view": 2, "batchIndex": 0, "firstHeight": 1,
        "l1Block": 30, "l1Transaction": format!("0x{:064x}", 30), "cursor": settled["cursor"],
    });
    assert_eq!(settled, expected);
}

#[tokio::test]
async fn pending_transactions_are_told_as_the_pool_takes_them() {
    let node = TestNode::start().await;
    node.send(&tx(1, 0, 1)).await;
    let client = connect(&node).await;
    let subscribe = async |params| -> Subscription<Value> {
        client.subscribe("eth_subscribe", params, "eth_unsubscribe").await.unwrap()
    };
    let mut hashes = subscribe(rpc_params!["newPendingTransactions"]).await;
    let mut whole = subscribe(rpc_params!["newPendingTransactions", true]).await;
    // More than a page, one that waits for an earlier nonce among them.
    let sent: Vec<_> = (1..100).chain([200]).map(|nonce| tx(1, nonce, 1)).collect();
    for transaction in &sent {
        node.send(transaction).await;
    }
    for transaction in &sent {
        assert_eq!(next(&mut hashes).await, json!(transaction.hash()));
        let shown = next(&mut whole).await;
        assert_eq!((&shown["hash"], &shown["blockHash"]), (&json!(transaction.hash()), &Value::Null));
    }
}

#[tokio::test]
async fn a_short_page_says_that_nothing_follows() {
    let node = TestNode::start().await;
    let announcements = Announcements {
        heads: node.heads.subscribe(),
        notarized: Arc::clone(&node.notarized),
        recorded: node.recorded.subscribe(),
        arrivals: Arc::clone(&node.arrivals),
    };
    let feed = Feed::new(Arc::<MemoryLedger>::clone(&node.ledger), spec(), ChainExecutor::None.into(), announcements);
    let available = |head| Available { head: Height::new(head), recorded: None };
    let start = feed.now(&available(0)).unwrap();
    for _ in 0..100 {
        node.finalize(vec![]);
    }
    let mut at = start;
    for (head, told, then) in [(100, 64, Then::More), (100, 36, Then::Nothing), (100, 0, Then::Nothing)] {
        let page = feed.events(at, &available(head)).unwrap();
        assert_eq!((page.events.len(), page.then), (told, then));
        at = page.after;
    }
    // A full page may be the last one: only reading on tells.
    assert_eq!(feed.events(start, &available(64)).unwrap().then, Then::More);
    assert_eq!(feed.events(start, &available(63)).unwrap().then, Then::Nothing);
}

#[tokio::test]
async fn a_cursor_goes_on_without_gap_or_repeat_also_in_a_new_process() {
    let node = TestNode::start().await;
    let client = connect(&node).await;
    let mut stream = events(&client, json!({})).await;
    for height in 1..=300 {
        node.finalize(vec![]);
        if height % 100 == 0 {
            let index = height / 100 - 1;
            node.record_batch(index, height - 99..=height, 30 + height / 100, index == 0);
            node.announce_recorded(index + 1, 1);
        }
    }
    let (mut whole, _) = until(&mut stream, "posted 300/2").await;
    let position = |told: &[String], what: &str| told.iter().position(|event| event == what).unwrap();
    assert_eq!(whole.len(), 304, "300 final, 3 posted, 1 settled");
    assert!(position(&whole, "final 100") < position(&whole, "posted 100/0"));
    assert!(position(&whole, "posted 100/0") < position(&whole, "settled 100/0"));

    // Cut anywhere, and anywhere again: the pieces are the whole.
    let mut pieces = Vec::new();
    let mut cursor = String::new();
    let mut again = connect(&node).await;
    let genesis = format!("b1-0-{}-0-00000000-0", &header(&node, 0).digest().to_string()[2..10]);
    for last in ["final 77", "final 78", "posted 100/0", "settled 100/0", "final 201", "final 202", "posted 300/2"] {
        let from = if cursor.is_empty() { &genesis } else { &cursor };
        let mut stream = events(&again, json!({"from": from})).await;
        let (told, at) = until(&mut stream, last).await;
        pieces.extend(told);
        cursor = at;
        again = connect(&node).await;
    }
    let finals = |told: &[String]| told.iter().filter(|event| event.starts_with("final")).cloned().collect::<Vec<_>>();
    assert_eq!(finals(&pieces), finals(&whole));
    whole.sort();
    pieces.sort();
    assert_eq!(pieces, whole);

    // A new process: nothing is known of L1 at first, and the cursor is as good as before.
    let ledger = Arc::clone(&node.ledger);
    node.server.stop().await;
    let node = TestNode::over(ledger, |_, _| {}).await;
    let client = connect(&node).await;
    let mut stream = events(&client, json!({"from": cursor})).await;
    node.finalize(vec![]);
    assert_eq!(until(&mut stream, "final 301").await.0, ["final 301"]);
    node.record_batch(1, 101..=200, 32, true);
    node.announce_recorded(3, 2);
    assert_eq!(until(&mut stream, "settled 200/1").await.0, ["settled 200/1"]);
    node.notarize_and_finalize();
    assert_eq!(until(&mut stream, "final 302").await.0, ["notarized 302", "final 302"]);
}

#[tokio::test]
async fn what_l1_takes_back_is_said_and_told_again() {
    let node = TestNode::start().await;
    let client = connect(&node).await;
    let mut stream = events(&client, json!({})).await;
    for _ in 0..6 {
        node.finalize(vec![]);
    }
    for index in 0..3 {
        node.record_batch(index, index * 2 + 1..=index * 2 + 2, 30 + index, index == 0);
    }
    node.announce_recorded(3, 1);
    let (_, cursor) = until(&mut stream, "posted 6/2").await;

    // The last two are gone, and come back in other L1 blocks.
    node.announce_recorded(1, 1);
    assert_eq!(until(&mut stream, "unposted 2/1").await.0, ["unposted 2/1"]);
    node.record_batch(1, 3..=4, 40, false);
    node.record_batch(2, 5..=6, 41, false);
    node.announce_recorded(3, 1);
    assert_eq!(until(&mut stream, "posted 6/2").await.0, ["posted 4/1", "posted 6/2"]);

    // Whoever was away meanwhile hears the same, and one whose node has yet to see L1 hears nothing wrong.
    let mut resumed = events(&client, json!({"from": cursor})).await;
    assert_eq!(until(&mut resumed, "posted 6/2").await.0, ["unposted 2/1", "posted 4/1", "posted 6/2"]);
    let late = TestNode::over(Arc::clone(&node.ledger), |_, _| {}).await;
    late.announce_recorded(2, 1);
    let client = connect(&late).await;
    let (_, cursor) = {
        // A client that is dropped takes its subscriptions along.
        let client = connect(&node).await;
        let mut stream = events(&client, json!({"from": cursor})).await;
        until(&mut stream, "posted 6/2").await
    };
    let mut stream = events(&client, json!({"from": cursor})).await;
    late.finalize(vec![]);
    assert_eq!(until(&mut stream, "final 7").await.0, ["final 7"]);
}

#[tokio::test]
async fn a_cursor_that_cannot_be_gone_on_from_is_refused_with_the_reason() {
    let node = TestNode::start().await;
    node.finalize(vec![]);
    let client = connect(&node).await;
    let mark = &header(&node, 1).digest().to_string()[2..10];
    let cases = [
        ("nonsense".to_owned(), "cursor is malformed: expected what an event of this stream carried".to_owned()),
        (format!("b1-9-{mark}-0-00000000-0"), "cursor is ahead of this node: it is at block 9".to_owned()),
        ("b1-1-00000000-0-00000000-0".to_owned(), "cursor is of another chain: block 1 is 0x".to_owned()),
    ];
    for (cursor, text) in cases {
        let (code, message) =
            refused(client.request::<Value, _>("baton_subscribe", rpc_params![json!({"from": cursor})]).await);
        assert_eq!(code, -32_602, "{message}");
        assert!(message.starts_with(&text), "{message}");
    }
}
