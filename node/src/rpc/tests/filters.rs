//! Filters: what their clients are told, once.

use serde_json::{Value, json};

use super::node::{TestNode, tx};

#[tokio::test]
async fn a_filter_tells_what_is_new_since_it_was_asked_last() {
    let node = TestNode::start().await;
    node.finalize(vec![]);
    node.send(&tx(1, 0, 1)).await;
    let blocks = node.call("eth_newBlockFilter", json!([])).await;
    let transactions = node.call("eth_newPendingTransactionFilter", json!([])).await;
    let whole = node.call("eth_newPendingTransactionFilter", json!([true])).await;
    let changes = async |id: &Value| node.call("eth_getFilterChanges", json!([id])).await;
    for id in [&blocks, &transactions, &whole] {
        assert_eq!(changes(id).await, json!([]));
    }
    let digests = [node.finalize(vec![]), node.finalize(vec![])];
    let sent = [tx(1, 1, 1), tx(1, 2, 1)];
    for transaction in &sent {
        node.send(transaction).await;
    }
    assert_eq!(changes(&blocks).await, json!(digests));
    assert_eq!(changes(&transactions).await, json!([sent[0].hash(), sent[1].hash()]));
    let told = changes(&whole).await;
    assert_eq!((&told[1]["hash"], &told[1]["nonce"]), (&json!(sent[1].hash()), &json!("0x2")));
    for id in [&blocks, &transactions, &whole] {
        assert_eq!(changes(id).await, json!([]));
    }

    assert_eq!(node.call("eth_uninstallFilter", json!([blocks])).await, true);
    assert_eq!(node.call("eth_uninstallFilter", json!([blocks])).await, false);
    for unknown in [&blocks, &json!("0x1")] {
        let refused = node.refused("eth_getFilterChanges", json!([unknown])).await;
        assert_eq!(refused, (-32_000, "filter not found".to_owned()));
    }
}

#[tokio::test]
async fn more_filters_than_a_node_keeps_are_refused() {
    let node = TestNode::within(|_, limits| limits.filters_max = 2).await;
    for _ in 0..2 {
        node.call("eth_newBlockFilter", json!([])).await;
    }
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_newBlockFilter", "params": []}).to_string();
    let (status, answer) = node.post(body).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((status, &answer["error"]["code"]), (429, &json!(-32_005)));
    assert_eq!(answer["error"]["message"], "too many filters on this node: at most 2");
}
