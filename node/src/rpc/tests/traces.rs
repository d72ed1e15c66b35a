//! What a transaction did, as `debug_trace…` tells it.

use serde_json::{Value, json};

use super::node::{KEEPER, REVERTER, TestNode, account, paying, word};

#[tokio::test]
async fn transactions_blocks_and_calls_are_traced() {
    let node = TestNode::executing().await;
    let sent = [
        paying(1, 0, KEEPER, 0, word(1)),
        paying(2, 5, KEEPER, 0, word(2)),
        paying(1, 1, REVERTER, 0, word(3)),
        paying(3, 0, KEEPER, 0, word(4)),
    ];
    let digest = node.finalize(sent.to_vec());
    let calls = json!({"tracer": "callTracer", "tracerConfig": {"withLog": true}});
    let first = node.call("debug_traceTransaction", json!([sent[0].hash(), calls])).await;
    assert_eq!((&first["type"], &first["from"], &first["to"]), (&json!("CALL"), &json!(account(1)), &json!(KEEPER)));
    assert_eq!((&first["output"], &first["logs"][0]["address"]), (&json!(word(1)), &json!(KEEPER)));
    let reverted = node.call("debug_traceTransaction", json!([sent[2].hash(), calls])).await;
    assert_eq!((&reverted["error"], &reverted["output"]), (&json!("execution reverted"), &json!(word(3))));
    let steps = node.call("debug_traceTransaction", json!([sent[3].hash()])).await;
    assert_eq!((&steps["failed"], &steps["structLogs"][0]["op"]), (&json!(false), &json!("PUSH1")));
    // What was there before the block's own transactions took their turns: the slot holds 1 by then.
    let gas = node.call("eth_getTransactionReceipt", json!([sent[3].hash()])).await["gasUsed"].clone();
    assert_eq!(format!("{:#x}", steps["gas"].as_u64().unwrap()), gas.as_str().unwrap());

    for (method, block) in [("Number", json!("0x1")), ("Number", json!("latest")), ("Hash", json!(digest))] {
        let traced = node.call(&format!("debug_traceBlockBy{method}"), json!([block, calls])).await;
        let hashes: Vec<&Value> = traced.as_array().unwrap().iter().map(|traced| &traced["txHash"]).collect();
        assert_eq!(hashes, [&json!(sent[0].hash()), &json!(sent[2].hash()), &json!(sent[3].hash())]);
        assert_eq!((&traced[0]["result"], &traced[1]["result"]), (&first, &reverted));
    }
    let whole = node.call("debug_traceBlockByNumber", json!(["0x1"])).await;
    assert_eq!(whole[2]["result"], steps);

    let call = json!({"from": account(1), "to": account(9)});
    let with =
        json!({"tracer": "callTracer", "stateOverrides": {account(9).to_string(): {"code": "0x60005260206000f3"}}});
    let traced = node.call("debug_traceCall", json!([call, "latest", with])).await;
    assert_eq!((&traced["type"], &traced["error"]), (&json!("CALL"), &json!("stack underflow")));

    let unknown = node.refused("debug_traceTransaction", json!([sent[1].hash()])).await;
    assert_eq!(unknown, (-32_000, "transaction not found".to_owned()), "it was skipped");
    assert_eq!(node.refused("debug_traceBlockByNumber", json!(["0x0"])).await.1, "genesis is not traceable");
    assert_eq!(node.refused("debug_traceBlockByNumber", json!(["0x9"])).await.1, "header not found");
    let (code, message) = node.refused("debug_traceCall", json!([call, "latest", {"tracer": "prestateTracer"}])).await;
    assert!(code == -32_602 && message.contains("tracer prestateTracer is not supported"), "{message}");
    let (code, message) = node.refused("debug_traceCall", json!([call, "latest", {"blockOverrides": {}}])).await;
    assert!(code == -32_602 && message.contains("block overrides are not supported"), "{message}");
}
