//! What waits, as `txpool_…` tells it.

use serde_json::json;

use super::node::{TestNode, account, tx};

#[tokio::test]
async fn what_waits_is_told_by_account_and_nonce() {
    let node = TestNode::start().await;
    assert_eq!(node.call("txpool_status", json!([])).await, json!({"pending": "0x0", "queued": "0x0"}));
    assert_eq!(node.call("txpool_content", json!([])).await, json!({"pending": {}, "queued": {}}));
    for transaction in [tx(1, 0, 7), tx(1, 1, 7), tx(1, 9, 7), tx(2, 0, 7)] {
        node.send(&transaction).await;
    }
    assert_eq!(node.call("txpool_status", json!([])).await, json!({"pending": "0x3", "queued": "0x1"}));

    let [first, second] = [1, 2].map(|key| account(key).to_checksum(None));
    let content = node.call("txpool_content", json!([])).await;
    assert_eq!(content["pending"].as_object().unwrap().len(), 2);
    for (place, transaction) in [
        (&content["pending"][&first]["0"], tx(1, 0, 7)),
        (&content["pending"][&first]["1"], tx(1, 1, 7)),
        (&content["pending"][&second]["0"], tx(2, 0, 7)),
        (&content["queued"][&first]["9"], tx(1, 9, 7)),
    ] {
        assert_eq!(*place, node.call("eth_getTransactionByHash", json!([transaction.hash()])).await);
        assert_eq!(place["hash"], json!(transaction.hash()));
    }

    let of_one = node.call("txpool_contentFrom", json!([account(1)])).await;
    assert_eq!(of_one["pending"], content["pending"][&first]);
    assert_eq!(of_one["queued"], content["queued"][&first]);
    let nobody = node.call("txpool_contentFrom", json!([account(3)])).await;
    assert_eq!(nobody, json!({"pending": {}, "queued": {}}));

    let lines = node.call("txpool_inspect", json!([])).await;
    let line = "0xEeeeeEeeeEeEeeEeEeEeeEEEeeeeEeeeeeeeEEeE: 0 wei + 21000 gas × 100 wei";
    assert_eq!(lines["queued"], json!({ first.as_str(): {"9": line} }));
}
