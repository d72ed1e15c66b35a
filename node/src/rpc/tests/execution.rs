//! What a chain that executes shows: accounts, blocks, transactions and receipts.

use alloy::rpc::types::{Block, EIP1186AccountProofResponse, TransactionReceipt};
use alloy_consensus::proofs::calculate_receipt_root;
use alloy_primitives::{B256, U256, keccak256};
use baton_proto::Height;
use serde_json::{Value, json};

use super::node::{BASE_FEE, KEEPER, LOOPER, REVERTER, RICH, TIP, TestNode, account, header, paying, word};
use crate::ledger::Ledger as _;

#[tokio::test]
async fn accounts_are_those_of_the_state_that_is_meant() {
    let node = TestNode::executing().await;
    node.finalize(vec![paying(1, 0, account(9), 7, vec![])]);
    node.finalize(vec![paying(1, 1, KEEPER, 0, word(5)), paying(1, 2, account(9), 1, vec![])]);
    let ask = async |method: &str, params: Value| node.call(method, params).await;
    for (block, balance, nonce, slot) in [
        (json!("latest"), "0x8", "0x3", 5),
        (json!("0x2"), "0x8", "0x3", 5),
        (json!("0x1"), "0x7", "0x1", 0),
        (json!({"blockHash": header(&node, 1).digest(), "requireCanonical": true}), "0x7", "0x1", 0),
        (json!({"blockNumber": "0x1"}), "0x7", "0x1", 0),
        (json!("earliest"), "0x0", "0x0", 0),
        (json!("safe"), "0x0", "0x0", 0),
    ] {
        assert_eq!(ask("eth_getBalance", json!([account(9), block])).await, balance, "{block}");
        assert_eq!(ask("eth_getTransactionCount", json!([account(1), block])).await, nonce, "{block}");
        for key in ["0x0", "0x00", "0x0000000000000000000000000000000000000000000000000000000000000000"] {
            let stored = ask("eth_getStorageAt", json!([KEEPER, key, block])).await;
            assert_eq!(stored, json!(B256::from(U256::from(slot))), "{block}");
        }
    }
    assert_eq!(ask("eth_getCode", json!([LOOPER, "latest"])).await, "0x5b600056");
    assert_eq!(ask("eth_getCode", json!([account(9), "latest"])).await, "0x");
    node.send(&paying(1, 3, account(9), 1, vec![])).await;
    assert_eq!(ask("eth_getTransactionCount", json!([account(1), "pending"])).await, "0x4");

    for (params, text) in [
        (json!([account(9), "0x3"]), (-32_000, "header not found")),
        (json!([account(9)]), (-32_602, "missing value for required argument 1")),
    ] {
        let (code, message) = node.refused("eth_getBalance", params).await;
        assert_eq!((code, message.as_str()), text);
    }
    for slot in ["0xzz", "5", "0x00000000000000000000000000000000000000000000000000000000000000000"] {
        assert_eq!(node.refused("eth_getStorageAt", json!([KEEPER, slot, "latest"])).await.0, -32_602, "{slot}");
    }
}

#[tokio::test]
async fn proofs_hold_under_the_state_root_that_the_block_shows() {
    let node = TestNode::executing().await;
    node.finalize(vec![paying(1, 0, KEEPER, 0, word(5))]);
    let block: Block =
        serde_json::from_value(node.call("eth_getBlockByNumber", json!(["latest", false])).await).unwrap();
    let full = format!("0x{}", "0".repeat(64));
    let proof = node.call("eth_getProof", json!([KEEPER, ["0x0", full], "latest"])).await;
    // Keys come back as they were asked for.
    assert_eq!((&proof["storageProof"][0]["key"], &proof["storageProof"][1]["key"]), (&json!("0x0"), &json!(full)));
    assert_eq!(proof["storageProof"][0]["value"], "0x5");
    let proof: EIP1186AccountProofResponse = serde_json::from_value(proof).unwrap();
    let keys: Vec<_> = proof.account_proof.iter().map(keccak256).collect();
    assert_eq!(keys[0], block.header.state_root, "the first node is the root");
    assert_eq!(keccak256(&proof.storage_proof[0].proof[0]), proof.storage_hash);
    assert_eq!((proof.nonce, proof.balance), (1, U256::ZERO));
    let nobody = node.call("eth_getProof", json!([account(9), [], "latest"])).await;
    assert_eq!((&nobody["balance"], &nobody["nonce"]), (&json!("0x0"), &json!("0x0")));
    let many: Vec<_> = (0..1_025).map(|slot| format!("{slot:#x}")).collect();
    let refused = node.refused("eth_getProof", json!([KEEPER, many, "latest"])).await;
    assert_eq!(refused, (-32_602, "invalid argument 1: too many slots (max 1024)".to_owned()));
}

#[tokio::test]
async fn a_state_that_is_not_kept_is_refused_in_the_words_that_clients_match() {
    let node = TestNode::executing().await;
    let kept = crate::ledger::STATES_MAX;
    for _ in 0..=kept {
        node.finalize(vec![]);
    }
    assert_eq!(node.call("eth_getBalance", json!([account(9), "0x1"])).await, "0x0");
    let (code, message) = node.refused("eth_getBalance", json!([account(9), "earliest"])).await;
    assert_eq!(code, -32_000);
    assert!(message.starts_with("missing trie node 0x") && message.contains("is not available"), "{message}");
    assert!(message.ends_with(&format!("not kept, only those of the last {kept} blocks")), "{message}");
}

#[tokio::test]
async fn a_block_shows_what_executing_it_gave() {
    let node = TestNode::executing().await;
    let genesis = node.call("eth_getBlockByNumber", json!(["0x0", false])).await;
    assert_eq!(genesis["baseFeePerGas"], json!(format!("{BASE_FEE:#x}")));
    assert_ne!(genesis["stateRoot"], json!(B256::ZERO));

    // The second has a gap before it; it is passed over.
    let sent =
        [paying(1, 0, KEEPER, 0, word(7)), paying(2, 3, KEEPER, 0, word(8)), paying(3, 0, account(9), 1, vec![])];
    let digest = node.finalize(sent.to_vec());
    let value = node.call("eth_getBlockByNumber", json!(["latest", true])).await;
    let results = node.ledger.results(Height::new(1)).unwrap().unwrap();
    let skipped = json!([{"hash": sent[1].hash(), "index": 1, "status": "skipped", "reason": "nonceTooHigh", "got": 3, "expected": 0}]);
    assert_eq!(value["baton"]["skipped"], skipped);
    let block: Block = serde_json::from_value(value).unwrap();
    assert_eq!((block.header.hash, block.header.gas_used), (digest.get(), results.gas_used));
    assert_eq!(block.header.base_fee_per_gas, Some(results.base_fee));
    assert!(results.base_fee < BASE_FEE, "the genesis block was empty");
    assert_eq!((block.header.state_root, block.header.logs_bloom), (results.state_root, results.logs_bloom));
    assert_eq!((block.header.blob_gas_used, block.header.excess_blob_gas), (Some(0), Some(0)));
    assert_eq!(block.header.parent_beacon_block_root, Some(B256::repeat_byte(9)), "the L1 origin");
    let shown = block.transactions.as_transactions().unwrap();
    assert_eq!(shown.len(), 2);
    for (at, (shown, sent)) in shown.iter().zip([&sent[0], &sent[2]]).enumerate() {
        assert_eq!((shown.inner.tx_hash(), shown.transaction_index), (sent.hash(), Some(at as u64)));
        assert_eq!(shown.effective_gas_price, Some(u128::from(results.base_fee) + TIP));
        let by_hash = node.call("eth_getTransactionByHash", json!([sent.hash()])).await;
        assert_eq!(by_hash["transactionIndex"], json!(format!("{at:#x}")));
        assert_eq!(by_hash["gasPrice"], json!(format!("{:#x}", u128::from(results.base_fee) + TIP)));
    }
    let hashes = node.call("eth_getBlockByHash", json!([digest, false])).await;
    assert_eq!(hashes["transactions"], json!([sent[0].hash(), sent[2].hash()]));
    assert_eq!(node.call("eth_getBlockTransactionCountByNumber", json!(["latest"])).await, "0x2");

    let receipts = node.call("eth_getBlockReceipts", json!(["latest"])).await;
    let receipts: Vec<TransactionReceipt> = serde_json::from_value(receipts).unwrap();
    let envelopes: Vec<_> = receipts.iter().map(|receipt| receipt.inner.clone().into_primitives_receipt()).collect();
    assert_eq!(calculate_receipt_root(&envelopes), block.header.receipts_root);
}

#[tokio::test]
async fn a_receipt_tells_what_a_transaction_did() {
    let node = TestNode::executing().await;
    let create = paying(3, 0, None, 0, alloy_primitives::bytes!("0x60016000f3"));
    let sent = [
        paying(1, 0, KEEPER, 0, word(7)),
        paying(2, 1, KEEPER, 0, word(8)),
        paying(1, 1, REVERTER, 0, word(1)),
        create,
        paying(4, 0, KEEPER, 0, word(9)),
    ];
    node.send(&sent[0]).await;
    assert_eq!(node.call("eth_getTransactionReceipt", json!([sent[0].hash()])).await, Value::Null, "it waits");
    let digest = node.finalize(sent.to_vec());
    let receipt = async |at: usize| node.call("eth_getTransactionReceipt", json!([sent[at].hash()])).await;
    let base_fee = node.ledger.results(Height::new(1)).unwrap().unwrap().base_fee;

    let kept = receipt(0).await;
    let gas = kept["gasUsed"].clone();
    let topic = json!(B256::from(U256::from(7)));
    let log = json!({
        "address": KEEPER, "topics": [topic], "data": topic, "blockHash": digest, "blockNumber": "0x1",
        "blockTimestamp": "0x6553f101", "transactionHash": sent[0].hash(), "transactionIndex": "0x0", "logIndex": "0x0",
        "removed": false,
    });
    let expected = json!({
        "type": "0x2", "status": "0x1", "cumulativeGasUsed": gas, "logs": [log], "logsBloom": kept["logsBloom"],
        "transactionHash": sent[0].hash(), "transactionIndex": "0x0", "blockHash": digest, "blockNumber": "0x1",
        "gasUsed": gas, "effectiveGasPrice": format!("{:#x}", u128::from(base_fee) + TIP), "from": account(1),
        "to": KEEPER, "contractAddress": null,
    });
    assert_eq!(kept, expected);
    assert_eq!(receipt(1).await, Value::Null, "it was skipped");
    let status = node.call("baton_txStatus", json!([sent[1].hash()])).await;
    assert_eq!((&status["status"], &status["outcome"]["reason"]), (&json!("skipped"), &json!("nonceTooHigh")));
    let reverted = receipt(2).await;
    assert_eq!((&reverted["status"], &reverted["transactionIndex"]), (&json!("0x0"), &json!("0x1")));
    let created = receipt(3).await;
    assert_eq!((&created["to"], &created["contractAddress"]), (&Value::Null, &json!(account(3).create(0))));
    let last = receipt(4).await;
    assert_eq!((&last["logs"][0]["logIndex"], &last["transactionIndex"]), (&json!("0x1"), &json!("0x3")));

    let all = json!([kept, reverted, created, last]);
    for block in [json!("latest"), json!("0x1"), json!(digest), json!({"blockHash": digest})] {
        assert_eq!(node.call("eth_getBlockReceipts", json!([block])).await, all, "{block}");
    }
    assert_eq!(node.call("eth_getBlockReceipts", json!(["0x2"])).await, Value::Null);
    assert_eq!(node.call("eth_getBlockReceipts", json!(["0x0"])).await, json!([]));
    assert_eq!(node.call("eth_getTransactionReceipt", json!([B256::ZERO])).await, Value::Null);
    let spent = U256::from(RICH)
        - node.call("eth_getBalance", json!([account(4), "latest"])).await.as_str().unwrap().parse::<U256>().unwrap();
    assert_eq!(
        spent,
        last["gasUsed"].as_str().unwrap().parse::<U256>().unwrap() * U256::from(u128::from(base_fee) + TIP)
    );
}

#[tokio::test]
async fn a_chain_that_only_orders_says_so() {
    let node = TestNode::start().await;
    node.finalize(vec![]);
    let call = json!({"to": KEEPER});
    for (method, params) in [
        ("eth_getBalance", json!([KEEPER, "latest"])),
        ("eth_getCode", json!([KEEPER, "latest"])),
        ("eth_getStorageAt", json!([KEEPER, "0x0", "latest"])),
        ("eth_getProof", json!([KEEPER, [], "latest"])),
        ("eth_call", json!([call])),
        ("eth_estimateGas", json!([call])),
        ("eth_createAccessList", json!([call])),
        ("eth_fillTransaction", json!([call])),
        ("eth_gasPrice", json!([])),
        ("eth_maxPriorityFeePerGas", json!([])),
        ("eth_feeHistory", json!(["0x1", "latest", []])),
        ("eth_blobBaseFee", json!([])),
        ("eth_getLogs", json!([{}])),
        ("eth_newFilter", json!([{}])),
        ("eth_getTransactionReceipt", json!([B256::ZERO])),
        ("eth_getBlockReceipts", json!(["latest"])),
        ("eth_sendRawTransactionSync", json!(["0x00"])),
        ("debug_traceTransaction", json!([B256::ZERO])),
        ("debug_traceBlockByNumber", json!(["0x1"])),
        ("debug_traceCall", json!([call, "latest"])),
    ] {
        let (code, message) = node.refused(method, params).await;
        assert!(code == -32_004 && message.starts_with("this chain only orders transactions"), "{method}: {message}");
    }
}
