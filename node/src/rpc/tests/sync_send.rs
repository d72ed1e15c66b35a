//! Sending and waiting for the receipt (EIP-7966).

use alloy_primitives::{Bytes, hex};
use serde_json::{Value, json};

use super::{
    node::{KEEPER, TestNode, paying, raw, tx, word},
    websocket::EVENTUALLY,
};

/// Calls and returns the whole answer.
async fn send(node: &TestNode, params: Value) -> Value {
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransactionSync", "params": params});
    serde_json::from_str(&node.post(request.to_string()).await.1).unwrap()
}

/// Waits until the pool holds so many.
async fn pooled(node: &TestNode, count: u64) {
    let mut arrivals = node.arrivals.subscribe();
    tokio::time::timeout(EVENTUALLY, arrivals.wait_for(|seen| *seen >= count)).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_answer_is_the_receipt_once_the_block_is_final() {
    let node = TestNode::executing().await;
    let (first, second) = (paying(1, 0, KEEPER, 0, word(1)), paying(2, 0, KEEPER, 0, word(2)));
    let both = async {
        pooled(&node, 2).await;
        node.finalize(vec![]);
        node.finalize(vec![second.clone(), first.clone()]);
    };
    let wait = json!(60_000);
    let (one, two, ()) =
        tokio::join!(send(&node, json!([raw(&first), wait])), send(&node, json!([raw(&second), "0xea60"])), both);
    for (answer, transaction) in [(one, &first), (two, &second)] {
        let receipt = node.call("eth_getTransactionReceipt", json!([transaction.hash()])).await;
        assert_eq!(answer["result"], receipt, "{answer}");
        assert_eq!((&receipt["status"], &receipt["blockNumber"]), (&json!("0x1"), &json!("0x2")));
    }
}

#[tokio::test]
async fn whoever_waits_too_long_gets_the_hash_and_a_gap_is_not_pooled() {
    let node = TestNode::executing().await;
    let first = paying(1, 0, KEEPER, 0, word(1));
    let late = send(&node, json!([raw(&first), 1])).await;
    let message = "the transaction was added to the pool, but was in no final block within 1 ms";
    assert_eq!(late["error"], json!({"code": 4, "message": message, "data": first.hash()}));
    assert!(node.pool.lock().unwrap().contains(first.hash()));

    let gapped = paying(1, 3, KEEPER, 0, word(1));
    let refused = send(&node, json!([raw(&gapped)])).await;
    assert_eq!(
        refused["error"],
        json!({"code": 6, "message": "nonce too high: next nonce 1, tx nonce 3", "data": "0x1"})
    );
    assert!(!node.pool.lock().unwrap().contains(gapped.hash()));

    // What the pool refuses is refused as ever.
    for (params, code, text) in [
        (json!([raw(&first)]), -32_000, "already known"),
        (json!([hex::encode_prefixed(Bytes::from(vec![3]))]), -32_000, ""),
        (json!([raw(&gapped), 0]), -32_602, "invalid argument 1: timeout must be positive"),
        (json!([]), -32_602, "missing value for required argument 0"),
    ] {
        let error = send(&node, params).await["error"].clone();
        assert_eq!(error["code"], code, "{error}");
        assert!(error["message"].as_str().unwrap().starts_with(text), "{error}");
    }
}

#[tokio::test]
async fn one_that_is_skipped_at_its_turn_is_told_why() {
    let node = TestNode::executing().await;
    // It offers less than the base fee, which only execution finds out here.
    let poor = tx(1, 0, 1);
    let passing = async {
        pooled(&node, 1).await;
        // While the pool keeps it, another turn may come.
        node.finalize(vec![poor.clone()]);
        node.pool.lock().unwrap().discard(poor.hash());
        node.finalize(vec![poor.clone()]);
    };
    let (answer, ()) = tokio::join!(send(&node, json!([raw(&poor), 60_000])), passing);
    assert_eq!((&answer["error"]["code"], &answer["error"]["data"]), (&json!(5), &json!(poor.hash())));
    let message = answer["error"]["message"].as_str().unwrap();
    let text = "the transaction was skipped at its turn: max fee per gas less than block base fee";
    assert!(message.starts_with(text), "{message}");
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_nothing_behind() {
    let node = TestNode::executing().await;
    let (first, second) = (paying(1, 0, KEEPER, 0, word(1)), paying(2, 0, KEEPER, 0, word(2)));
    // Dropped while it waits: the connection goes with it.
    tokio::select! {
        answer = send(&node, json!([raw(&first), 60_000])) => panic!("{answer}"),
        () = pooled(&node, 1) => {}
    }
    let passing = async {
        pooled(&node, 2).await;
        node.finalize(vec![first.clone(), second.clone()]);
    };
    let (answer, ()) = tokio::join!(send(&node, json!([raw(&second), 60_000])), passing);
    assert_eq!(answer["result"]["transactionIndex"], "0x1", "{answer}");
}
