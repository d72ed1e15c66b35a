//! Counts and single transactions of a block.

use serde_json::{Value, json};

use super::node::{TestNode, account, tx};

#[tokio::test]
async fn transactions_of_a_block_are_counted_and_found_by_place() {
    let node = TestNode::start().await;
    let digest = node.finalize(vec![tx(1, 0, 7), tx(2, 0, 3)]);
    let unknown = json!(account(1).into_word());
    for (method, block) in [("Number", json!("0x1")), ("Number", json!("latest")), ("Hash", json!(digest))] {
        let count = format!("eth_getBlockTransactionCountBy{method}");
        assert_eq!(node.call(&count, json!([block])).await, "0x2");
        assert_eq!(node.call(&format!("eth_getUncleCountByBlock{method}"), json!([block])).await, "0x0");
        let single = format!("eth_getTransactionByBlock{method}AndIndex");
        let full = node.call("eth_getBlockByNumber", json!(["0x1", true])).await;
        assert_eq!(node.call(&single, json!([block, "0x1"])).await, full["transactions"][1]);
        assert_eq!(node.call(&single, json!([block, "0x2"])).await, Value::Null);
        assert_eq!(node.refused(&single, json!([block])).await.0, -32_602);
        let uncle = format!("eth_getUncleByBlock{method}AndIndex");
        assert_eq!(node.call(&uncle, json!([block, "0x0"])).await, Value::Null);
    }
    for (method, block) in [("Number", json!("0x2")), ("Hash", unknown)] {
        assert_eq!(node.call(&format!("eth_getBlockTransactionCountBy{method}"), json!([block])).await, Value::Null);
        assert_eq!(node.call(&format!("eth_getUncleCountByBlock{method}"), json!([block])).await, Value::Null);
        let single = format!("eth_getTransactionByBlock{method}AndIndex");
        assert_eq!(node.call(&single, json!([block, "0x0"])).await, Value::Null);
    }
    assert_eq!(node.call("eth_getBlockTransactionCountByNumber", json!(["0x0"])).await, "0x0");
}

#[tokio::test]
async fn sha3_is_keccak() {
    let node = TestNode::start().await;
    let hash = "0x47173285a8d7341e5e972fc677286384f802f8ef42a5ec5f03bbfa254cb01fad";
    assert_eq!(node.call("web3_sha3", json!(["0x68656c6c6f20776f726c64"])).await, hash);
    assert_eq!(node.refused("web3_sha3", json!(["hello"])).await.0, -32_602);
}
