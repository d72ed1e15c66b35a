//! Calls that nobody signed.

use std::time::Duration;

use alloy_primitives::{Bytes, U256, hex};
use alloy_sol_types::{Panic, Revert, SolError as _};
use serde_json::{Value, json};

use super::node::{BASE_FEE, KEEPER, LOOPER, REVERTER, RICH, TIP, TestNode, account, paying, word};

/// The answer's error, whole.
async fn error(node: &TestNode, method: &str, params: Value) -> Value {
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let (_, answer) = node.post(request.to_string()).await;
    serde_json::from_str::<Value>(&answer).unwrap()["error"].take()
}

#[tokio::test]
async fn a_call_returns_what_the_contract_returns_and_changes_nothing() {
    let node = TestNode::executing().await;
    let call = json!({"from": account(1), "to": KEEPER, "input": word(7)});
    for params in [json!([call]), json!([call, "latest"]), json!([call, "0x0", null]), json!([call, null, {}])] {
        assert_eq!(node.call("eth_call", params).await, json!(word(7)));
    }
    assert_eq!(node.call("eth_getStorageAt", json!([KEEPER, "0x0", "latest"])).await, json!(word(0)));
    // Where nobody lives, nothing is returned; nobody has to be rich to ask.
    assert_eq!(node.call("eth_call", json!([{"to": account(9), "data": "0x1234"}])).await, "0x");

    // An account as it is not: code that returns its own balance, which it does not have.
    let with = json!({ account(9).to_string(): {"balance": "0x2a", "code": "0x4760005260206000f3"} });
    assert_eq!(node.call("eth_call", json!([{"to": account(9)}, "latest", with])).await, json!(word(42)));
    let from = json!({"from": account(9), "to": KEEPER, "input": word(1), "value": "0x29"});
    assert_eq!(node.call("eth_call", json!([from, "latest", with])).await, json!(word(1)));
    let (code, message) = node.refused("eth_call", json!([from, "latest"])).await;
    assert!(code == -32_000 && message.starts_with("insufficient funds for gas * price + value"), "{message}");

    for (params, text) in [
        (json!([call, "latest", {}, {"number": "0x1"}]), "invalid argument 3: block overrides are not supported"),
        (json!([call, "latest", {"0x12": {}}]), "invalid argument 2: "),
        (
            json!([call, "latest", {account(9).to_string(): {"blance": "0x1"}}]),
            "invalid argument 2: unknown field `blance`",
        ),
        (json!([{"to": "0x12"}]), "invalid argument 0: "),
        (json!([]), "missing value for required argument 0"),
    ] {
        let (code, message) = node.refused("eth_call", params).await;
        assert!(code == -32_602 && message.starts_with(text), "{message}");
    }
    assert_eq!(node.refused("eth_call", json!([call, "0x1"])).await, (-32_000, "header not found".to_owned()));
}

#[tokio::test]
async fn a_revert_is_told_with_its_reason_and_its_data() {
    let node = TestNode::executing().await;
    let reason = Revert { reason: "too late".into() }.abi_encode();
    let panic = Panic { code: U256::from(0x11) }.abi_encode();
    for (data, text) in [
        (reason, "execution reverted: too late"),
        (panic, "execution reverted: arithmetic underflow or overflow"),
        (vec![0xde, 0xad, 0xbe, 0xef], "execution reverted"),
        (vec![], "execution reverted"),
    ] {
        let expected = json!({"code": 3, "message": text, "data": hex::encode_prefixed(&data)});
        let call = json!({"to": REVERTER, "input": Bytes::from(data)});
        for method in ["eth_call", "eth_estimateGas"] {
            assert_eq!(error(&node, method, json!([call])).await, expected, "{method}");
        }
    }
    // Without a reason that is its own.
    let gas = json!([{"to": LOOPER, "gas": "0x100000"}]);
    assert_eq!(error(&node, "eth_call", gas.clone()).await, json!({"code": -32_000, "message": "out of gas"}));
    let allowance = json!({"code": -32_000, "message": "gas required exceeds allowance (1048576)"});
    assert_eq!(error(&node, "eth_estimateGas", gas).await, allowance);
}

#[tokio::test]
async fn what_a_call_needs_is_found() {
    let node = TestNode::executing().await;
    let transfer = json!({"from": account(1), "to": account(9), "value": "0x1"});
    assert_eq!(node.call("eth_estimateGas", json!([transfer])).await, "0x5208");
    let keep = json!({"from": account(1), "to": KEEPER, "input": word(7)});
    let estimate = node.call("eth_estimateGas", json!([keep, "latest"])).await;
    let estimate: u64 = estimate.as_str().unwrap().parse::<U256>().unwrap().to();
    node.finalize(vec![paying(1, 0, KEEPER, 0, word(7))]);
    let used = node.call("eth_getBlockByNumber", json!(["latest", false])).await["gasUsed"].clone();
    let used: u64 = used.as_str().unwrap().parse::<U256>().unwrap().to();
    assert!((used..used + used / 50).contains(&estimate), "{estimate} for {used}");

    let list = node.call("eth_createAccessList", json!([keep])).await;
    assert_eq!(list["accessList"], json!([{"address": KEEPER, "storageKeys": [word(0)]}]));
    assert!(list.get("error").is_none());
    let reverted = node.call("eth_createAccessList", json!([{"to": REVERTER}])).await;
    assert_eq!(reverted["error"], "execution reverted");
}

#[tokio::test]
async fn a_call_ends_when_its_time_is_over_and_light_reads_do_not_wait_for_it() {
    let node = TestNode::executing_within(|_, limits| limits.heavy.run_max = Duration::ZERO).await;
    for (method, params) in [
        ("eth_call", json!([{"to": LOOPER}])),
        ("eth_estimateGas", json!([{"to": LOOPER}])),
        ("eth_getLogs", json!([{"fromBlock": "earliest"}])),
        ("debug_traceCall", json!([{"to": LOOPER}, "latest"])),
    ] {
        let refused = node.refused(method, params).await;
        assert_eq!(refused, (-32_000, "execution aborted (timeout = 0s)".to_owned()), "{method}");
    }
    let busy = TestNode::executing_within(|_, limits| {
        limits.heavy.running_max = 0;
        limits.heavy.waiting_max = 1;
        limits.heavy.wait_max = Duration::ZERO;
    })
    .await;
    let told = error(&busy, "eth_call", json!([{"to": KEEPER}])).await;
    assert_eq!(told, json!({"code": -32_005, "message": "too many requests: no turn came within 0 seconds"}));
    assert_eq!(busy.call("eth_blockNumber", json!([])).await, "0x0");
    assert_eq!(busy.call("eth_getBalance", json!([account(1), "latest"])).await, json!(format!("{RICH:#x}")));
}

#[tokio::test]
async fn a_transaction_is_filled_with_what_its_sender_left_out() {
    let node = TestNode::executing().await;
    node.finalize(vec![paying(1, 0, KEEPER, 0, word(7))]);
    node.send(&paying(1, 1, KEEPER, 0, word(8))).await;
    let base_fee = node.call("eth_getBlockByNumber", json!(["latest", false])).await["baseFeePerGas"].clone();
    let base_fee: u128 = base_fee.as_str().unwrap().parse::<U256>().unwrap().to();
    let filled = node.call("eth_fillTransaction", json!([{"from": account(1), "to": KEEPER, "data": word(9)}])).await;
    let tx = &filled["tx"];
    assert_eq!((&tx["type"], &tx["nonce"], &tx["chainId"]), (&json!("0x2"), &json!("0x2"), &json!("0x1770")));
    assert_eq!((&tx["to"], &tx["input"], &tx["value"]), (&json!(KEEPER), &json!(word(9)), &json!("0x0")));
    // What the last block's only transaction tipped.
    assert_eq!(tx["maxPriorityFeePerGas"], json!(format!("{TIP:#x}")));
    let max_fee: u128 = tx["maxFeePerGas"].as_str().unwrap().parse::<U256>().unwrap().to();
    assert!((2 * (base_fee - base_fee / 100) + TIP..=2 * base_fee + TIP).contains(&max_fee), "{max_fee}");
    let keep = json!([{"from": account(1), "to": KEEPER, "input": word(9)}]);
    assert_eq!(tx["gas"], node.call("eth_estimateGas", keep).await);
    assert!(filled["raw"].as_str().unwrap().starts_with("0x02"), "{filled}");

    // What is there stays.
    let given =
        json!([{"from": account(1), "to": KEEPER, "nonce": "0x9", "gas": "0x100000", "gasPrice": "0x77359400"}]);
    let tx = node.call("eth_fillTransaction", given).await["tx"].clone();
    let told = [&tx["type"], &tx["nonce"], &tx["gas"], &tx["gasPrice"]];
    assert_eq!(told, [&json!("0x0"), &json!("0x9"), &json!("0x100000"), &json!("0x77359400")]);
    let reverts = error(&node, "eth_fillTransaction", json!([{"to": REVERTER, "data": "0xdeadbeef"}])).await;
    assert_eq!(reverts, json!({"code": 3, "message": "execution reverted", "data": "0xdeadbeef"}));
    let nothing = node.refused("eth_fillTransaction", json!([{"from": account(1)}])).await;
    assert_eq!(nothing, (-32_000, "contract creation without any data provided".to_owned()));
    assert!(base_fee < u128::from(BASE_FEE));
}
