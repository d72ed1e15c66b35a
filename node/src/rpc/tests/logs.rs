//! Logs: searched for, filtered, told.

use alloy_primitives::{B256, U256};
use jsonrpsee::{core::client::SubscriptionClientT as _, rpc_params};
use serde_json::{Value, json};

use super::{
    node::{KEEPER, TestNode, account, paying, word},
    websocket::{EVENTUALLY, connect},
};

/// A chain whose blocks 1 to 3 log 1, then 2 and 3, then nothing, and whose block 4 logs 1.
async fn chain() -> TestNode {
    let node = TestNode::executing().await;
    node.finalize(vec![paying(1, 0, KEEPER, 0, word(1))]);
    node.finalize(vec![
        paying(1, 1, KEEPER, 0, word(2)),
        paying(2, 0, account(9), 1, vec![]),
        paying(1, 2, KEEPER, 0, word(3)),
    ]);
    node.finalize(vec![]);
    node.finalize(vec![paying(1, 3, KEEPER, 0, word(1))]);
    node
}

fn topic(number: u64) -> B256 {
    B256::from(U256::from(number))
}

/// The topics that were told, as numbers.
fn topics(logs: &Value) -> Vec<u64> {
    let topics = logs.as_array().unwrap().iter().map(|log| log["topics"][0].as_str().unwrap());
    topics.map(|topic| topic.parse::<U256>().unwrap().to()).collect()
}

#[tokio::test]
async fn logs_are_found_by_block_address_and_topic() {
    let node = chain().await;
    let digest = node.call("eth_getBlockByNumber", json!(["0x2", false])).await["hash"].clone();
    for (filter, expected) in [
        (json!({"fromBlock": "earliest", "toBlock": "latest"}), vec![1, 2, 3, 1]),
        (json!({"fromBlock": "0x2", "toBlock": "0x3"}), vec![2, 3]),
        (json!({"blockHash": digest}), vec![2, 3]),
        (json!({}), vec![1]),
        (json!({"fromBlock": "0x0"}), vec![1, 2, 3, 1]),
        (json!({"fromBlock": "0x0", "address": KEEPER}), vec![1, 2, 3, 1]),
        (json!({"fromBlock": "0x0", "address": [account(9), KEEPER], "topics": [topic(1)]}), vec![1, 1]),
        (json!({"fromBlock": "0x0", "address": account(9)}), vec![]),
        (json!({"fromBlock": "0x0", "topics": [[topic(1), topic(3)]]}), vec![1, 3, 1]),
        (json!({"fromBlock": "0x0", "topics": [null]}), vec![1, 2, 3, 1]),
        (json!({"fromBlock": "0x0", "topics": [null, topic(1)]}), vec![]),
        (json!({"fromBlock": "0x3", "toBlock": "0x99"}), vec![1]),
        (json!({"fromBlock": "0x98", "toBlock": "0x99"}), vec![]),
    ] {
        assert_eq!(topics(&node.call("eth_getLogs", json!([filter])).await), expected, "{filter}");
    }
    let logs = node.call("eth_getLogs", json!([{"blockHash": digest}])).await;
    let receipts = node.call("eth_getBlockReceipts", json!(["0x2"])).await;
    assert_eq!((&logs[0], &logs[1]), (&receipts[0]["logs"][0], &receipts[2]["logs"][0]));
    assert_eq!((&logs[1]["logIndex"], &logs[1]["transactionIndex"]), (&json!("0x1"), &json!("0x2")));

    let many: Vec<_> = (0..1_001).map(topic).collect();
    for (filter, code, text) in [
        (json!({"fromBlock": "0x3", "toBlock": "0x2"}), -32_602, "invalid block range params"),
        (json!({"blockHash": topic(1)}), -32_000, "unknown block"),
        (
            json!({"blockHash": digest, "fromBlock": "0x1"}),
            -32_602,
            "invalid argument 0: cannot specify both blockHash",
        ),
        (json!({"topics": [many]}), -32_602, "invalid argument 0: exceed max addresses and topics of a filter (1000)"),
    ] {
        let refused = node.refused("eth_getLogs", json!([filter])).await;
        assert!(refused.0 == code && refused.1.starts_with(text), "{refused:?}");
    }
}

#[tokio::test]
async fn a_filter_and_a_subscription_tell_the_logs_of_each_new_block_once() {
    let node = chain().await;
    let client = connect(&node).await;
    let filter = json!({"address": KEEPER, "topics": [[topic(5), topic(6), topic(7)]]});
    let mut told =
        client.subscribe::<Value, _>("eth_subscribe", rpc_params!["logs", &filter], "eth_unsubscribe").await.unwrap();
    let id = node.call("eth_newFilter", json!([filter])).await;
    let all = node.call("eth_newFilter", json!([{"fromBlock": "0x1", "toBlock": "0x2"}])).await;
    assert_eq!(node.call("eth_getFilterChanges", json!([id])).await, json!([]));
    assert_eq!(topics(&node.call("eth_getFilterLogs", json!([all])).await), [1, 2, 3]);

    node.finalize((5..8).map(|number| paying(1, number - 1, KEEPER, 0, word(number))).collect());
    for _ in 0..70 {
        node.finalize(vec![]);
    }
    node.finalize(vec![paying(1, 7, KEEPER, 0, word(1)), paying(1, 8, KEEPER, 0, word(7))]);
    let changes = node.call("eth_getFilterChanges", json!([id])).await;
    assert_eq!(topics(&changes), [5, 6, 7, 7]);
    assert_eq!(node.call("eth_getFilterChanges", json!([id])).await, json!([]));
    for expected in changes.as_array().unwrap() {
        let log = tokio::time::timeout(EVENTUALLY, told.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(log, *expected);
    }
    let blocks = node.call("eth_newBlockFilter", json!([])).await;
    assert_eq!(node.refused("eth_getFilterLogs", json!([blocks])).await, (-32_000, "filter not found".to_owned()));
}
