//! What gas costs.

use alloy::rpc::types::FeeHistory;
use alloy_primitives::U256;
use baton_proto::Height;
use serde_json::json;

use super::node::{KEEPER, TIP, TestNode, account, paying, word};
use crate::ledger::Ledger as _;

#[tokio::test]
async fn a_wallet_is_told_what_the_next_block_costs_and_what_others_tipped() {
    let node = TestNode::executing().await;
    let number = async |method: &str| -> u128 {
        node.call(method, json!([])).await.as_str().unwrap().parse::<U256>().unwrap().to()
    };
    assert_eq!(number("eth_maxPriorityFeePerGas").await, 1_000_000, "nobody has paid any");
    assert_eq!(node.call("eth_blobBaseFee", json!([])).await, "0x1");
    node.finalize(vec![paying(1, 0, account(9), 1, vec![])]);
    assert_eq!(number("eth_maxPriorityFeePerGas").await, TIP);
    let told = number("eth_gasPrice").await - TIP;
    node.finalize(vec![]);
    let [last, next] = [1, 2].map(|height| node.ledger.results(Height::new(height)).unwrap().unwrap().base_fee);
    assert_eq!(told, last.max(next).into(), "it does for a call at the last block and for the block after");
    assert!(next < last, "after a block that is nearly empty");
    // Twenty blocks later nobody remembers.
    for _ in 0..20 {
        node.finalize(vec![]);
    }
    assert_eq!(number("eth_maxPriorityFeePerGas").await, 1_000_000);
}

#[tokio::test]
async fn the_history_of_fees_is_what_the_blocks_say() {
    let node = TestNode::executing().await;
    node.finalize(vec![paying(1, 0, KEEPER, 0, word(7)), paying(2, 0, account(9), 1, vec![])]);
    node.finalize(vec![]);
    let history =
        async |params| -> FeeHistory { serde_json::from_value(node.call("eth_feeHistory", params).await).unwrap() };
    let of = |height| node.ledger.results(Height::new(height)).unwrap().unwrap();
    let told = history(json!(["0xa", "latest", [20.0, 50]])).await;
    assert_eq!((told.oldest_block, told.gas_used_ratio.len()), (0, 3));
    let fees: Vec<u128> = (0..3).map(|height| of(height).base_fee.into()).collect();
    assert_eq!(told.base_fee_per_gas[..3], fees);
    node.finalize(vec![]);
    assert_eq!(told.base_fee_per_gas[3], u128::from(of(3).base_fee), "the next one is told ahead");
    assert_eq!(told.reward.unwrap(), [vec![0, 0], vec![TIP, TIP], vec![0, 0]]);
    let limit = node.call("eth_getBlockByNumber", json!(["latest", false])).await["gasLimit"].clone();
    let limit: u64 = limit.as_str().unwrap().parse::<U256>().unwrap().to();
    assert_eq!(told.gas_used_ratio, [0.0, of(1).gas_used as f64 / limit as f64, 0.0]);
    let without = history(json!([1, "0x1"])).await;
    assert_eq!((without.oldest_block, without.base_fee_per_gas.len(), without.reward), (1, 2, None));
    assert_eq!(history(json!(["0x0", "latest"])).await.gas_used_ratio, [0.0; 0]);

    for (params, expected) in [
        (json!(["0x1", "0x9", []]), (-32_000, "request beyond head block: requested 9, head 3")),
        (json!(["0x1", "latest", [101]]), (-32_602, "invalid argument 2: invalid reward percentile: 101")),
        (json!(["0x1", "latest", [-1]]), (-32_602, "invalid argument 2: invalid reward percentile: -1")),
        (
            json!(["0x1", "latest", [50, 20]]),
            (-32_602, "invalid argument 2: invalid reward percentile: 20 is not above 50"),
        ),
        (json!(["0x1"]), (-32_602, "missing value for required argument 1")),
    ] {
        let (code, message) = node.refused("eth_feeHistory", params).await;
        assert_eq!((code, message.as_str()), expected);
    }
}
