//! Every method: what it answers, and what it refuses in which words.

use alloy_consensus::{
    SignableTransaction as _, TxEip1559, TxEip4844, TxEnvelope,
    crypto::{SECP256K1N_HALF, secp256k1::sign_message},
};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, U256, hex};
use baton_consensus::{Committee, DutyTable, SecretKey};
use baton_mempool::{Pool, PoolConfig};
use baton_proto::{Duties, Epoch, ForcedEntry, Height, L1BlockNumber, MemberIndex, limits::TRANSACTION_BYTES_MAX};
use serde_json::{Value, json};

use super::node::{TestNode, account, first_epoch, header, legacy, priced, raw, spec, tx, view};
use crate::{
    l1::{LivenessView, SequencerStanding, SettledDuties},
    ledger::{ForcedCursor, Ledger as _},
    rpc::{CommitteeView, DutiesView, MemberDuties, TurnView},
    telemetry::{NodeStatus, NotReady, SyncProgress},
};

const ZERO: &str = "0x0000000000000000000000000000000000000000000000000000000000000000";
const EMPTY_OMMERS: &str = "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347";

#[tokio::test]
async fn identity_of_the_chain_and_the_client() {
    let node = TestNode::start().await;
    assert_eq!(node.call("eth_chainId", json!([])).await, "0x1770");
    assert_eq!(node.call("net_version", json!([])).await, "6000");
    assert_eq!(node.call("eth_blockNumber", json!([])).await, "0x0");
    let version = node.call("web3_clientVersion", json!([])).await;
    assert!(version.as_str().unwrap().starts_with(concat!("Baton/v", env!("CARGO_PKG_VERSION"), "/")), "{version}");
    node.finalize(vec![]);
    assert_eq!(node.call("eth_blockNumber", json!([])).await, "0x1");
}

#[tokio::test]
async fn the_genesis_block_has_every_field_that_clients_need() {
    let node = TestNode::start().await;
    let genesis = header(&node, 0);
    let block = node.call("eth_getBlockByNumber", json!(["0x0", true])).await;
    let expected = json!({
        "number": "0x0", "hash": genesis.digest(), "parentHash": ZERO, "timestamp": "0x6553f100",
        "transactions": [], "uncles": [], "gasLimit": "0x7270e00", "gasUsed": "0x0", "baseFeePerGas": "0x0",
        "miner": "0x0000000000000000000000000000000000000000", "stateRoot": ZERO, "receiptsRoot": ZERO,
        "transactionsRoot": ZERO, "sha3Uncles": EMPTY_OMMERS, "extraData": "0x", "difficulty": "0x0", "size": "0x200",
        "mixHash": ZERO, "nonce": "0x0000000000000000", "logsBloom": format!("0x{}", "0".repeat(512)),
        "baton": {
            "epoch": 2, "view": 0, "proposer": 0, "timestampMs": 1_700_000_000_000_u64, "declaredGas": 0, "payloadBytes": 0,
            "l1Origin": {"number": 1_023, "hash": format!("0x{}", "09".repeat(32))},
        },
    });
    assert_eq!(block, expected);
    // What other programs read it with.
    serde_json::from_value::<alloy::rpc::types::Block>(block).unwrap();
}

#[tokio::test]
async fn a_block_shows_its_transactions_as_hashes_or_whole() {
    let node = TestNode::start().await;
    let transactions = vec![tx(1, 0, 7), tx(1, 2, 3), tx(2, 0, 1)];
    let digest = node.finalize(transactions.clone());

    let hashes = node.call("eth_getBlockByNumber", json!(["latest", false])).await;
    let expected: Vec<_> = transactions.iter().map(|tx| json!(tx.hash())).collect();
    assert_eq!(hashes["transactions"], json!(expected));
    assert_eq!(hashes["hash"], json!(digest));
    assert_eq!(hashes["parentHash"], json!(header(&node, 0).digest()));
    assert_eq!(hashes["transactionsRoot"], json!(header(&node, 1).payload_root));
    // 1.25 s after the genesis block: the EVM's clock drops the fraction, the protocol's keeps it.
    assert_eq!(hashes["timestamp"], "0x6553f101");
    assert_eq!(hashes["baton"]["timestampMs"], 1_700_000_001_250_u64);
    assert_eq!((&hashes["baton"]["view"], &hashes["baton"]["proposer"]), (&json!(1), &json!(1)));
    assert_eq!(hashes["baton"]["declaredGas"], 63_000);
    assert_eq!(hashes["miner"], format!("0x{}", "fe".repeat(20)));

    let full = node.call("eth_getBlockByNumber", json!(["0x1", true])).await;
    for (index, transaction) in transactions.iter().enumerate() {
        let shown = &full["transactions"][index];
        assert_eq!(shown["hash"], json!(transaction.hash()));
        assert_eq!(shown["from"], json!(transaction.sender()));
        assert_eq!(shown["blockHash"], json!(digest));
        assert_eq!((&shown["blockNumber"], &shown["type"]), (&json!("0x1"), &json!("0x2")));
        assert_eq!(shown["transactionIndex"], format!("0x{index:x}"));
    }
    assert_eq!(full["transactions"][0]["baton"], json!({"status": "executed"}));
    assert_eq!(
        full["transactions"][1]["baton"],
        json!({"status": "skipped", "reason": "nonceTooHigh", "got": 2, "expected": 1})
    );
    assert_eq!(full["transactions"][0]["gasPrice"], "0x7");
    serde_json::from_value::<alloy::rpc::types::Block>(full).unwrap();
}

#[tokio::test]
async fn tags_name_final_posted_settled_and_genesis() {
    let node = TestNode::start().await;
    for _ in 0..4 {
        node.finalize(vec![]);
    }
    node.status.send_modify(|status| {
        status.posted_height = Height::new(3);
        status.settled_height = Height::new(2);
    });
    for (tag, number) in [
        ("latest", "0x4"),
        ("pending", "0x4"),
        ("safe", "0x3"),
        ("finalized", "0x2"),
        ("earliest", "0x0"),
        ("0x1", "0x1"),
    ] {
        assert_eq!(node.call("eth_getBlockByNumber", json!([tag, false])).await["number"], number, "{tag}");
    }
    assert_eq!(node.call("eth_getBlockByNumber", json!(["0x5", false])).await, Value::Null);
    assert_eq!(node.call("eth_getBlockByNumber", json!(["0xffffffffffffffff", true])).await, Value::Null);
    // L1 knows a batch whose blocks this node still lacks.
    node.status.send_modify(|status| status.posted_height = Height::new(9));
    assert_eq!(node.call("eth_getBlockByNumber", json!(["safe", false])).await["number"], "0x4");
}

#[tokio::test]
async fn a_transaction_is_followed_from_the_pool_to_its_block() {
    let node = TestNode::start().await;
    let transaction = tx(1, 0, 7);
    let by_hash = json!([transaction.hash()]);
    assert_eq!(node.call("eth_getTransactionByHash", by_hash.clone()).await, Value::Null);

    assert_eq!(node.send(&transaction).await, json!(transaction.hash()));
    let pooled = node.call("eth_getTransactionByHash", by_hash.clone()).await;
    for field in ["blockHash", "blockNumber", "transactionIndex"] {
        assert_eq!(pooled.get(field), Some(&Value::Null), "{field}");
    }
    assert_eq!(pooled["baton"], json!({"status": "pooled"}));
    assert_eq!(
        (&pooled["nonce"], &pooled["gas"], &pooled["chainId"]),
        (&json!("0x0"), &json!("0x5208"), &json!("0x1770"))
    );
    assert_eq!((&pooled["maxFeePerGas"], &pooled["maxPriorityFeePerGas"]), (&json!("0x64"), &json!("0x7")));

    let digest = node.finalize(vec![transaction.clone()]);
    let included = node.call("eth_getTransactionByHash", by_hash).await;
    assert_eq!((&included["blockHash"], &included["blockNumber"]), (&json!(digest), &json!("0x1")));
    assert_eq!((&included["transactionIndex"], &included["blockTimestamp"]), (&json!("0x0"), &json!("0x6553f101")));
    assert_eq!(included["baton"], json!({"status": "executed"}));
    serde_json::from_value::<alloy::rpc::types::Transaction>(included).unwrap();
}

#[tokio::test]
async fn a_block_is_found_by_its_digest_once_it_is_final() {
    let node = TestNode::start().await;
    let digest = node.finalize(vec![tx(1, 0, 7)]);
    for full in [false, true] {
        let by_hash = node.call("eth_getBlockByHash", json!([digest, full])).await;
        assert_eq!(by_hash, node.call("eth_getBlockByNumber", json!(["0x1", full])).await);
    }
    let genesis = node.call("eth_getBlockByHash", json!([header(&node, 0).digest(), false])).await;
    assert_eq!(genesis["number"], "0x0");
    assert_eq!(node.call("eth_getBlockByHash", json!([account(1).into_word(), false])).await, Value::Null);
    // Stored, and perhaps voted for, but not final.
    let mut rival = node.ledger.block(Height::new(1)).unwrap().unwrap();
    rival.header.height = Height::new(2);
    rival.header.parent = digest;
    node.ledger.store_block(&rival).unwrap();
    assert_eq!(node.call("eth_getBlockByHash", json!([rival.header.digest(), false])).await, Value::Null);
}

#[tokio::test]
async fn what_wallets_ask_of_any_node_is_answered_honestly() {
    let node = TestNode::start().await;
    node.status.send_modify(|status| status.peers = 17);
    assert_eq!(node.call("net_listening", json!([])).await, true);
    assert_eq!(node.call("net_peerCount", json!([])).await, "0x11");
    assert_eq!(node.call("eth_accounts", json!([])).await, json!([]));
    assert_eq!(node.call("eth_syncing", json!([])).await, false);
    let modules = json!({"baton": "1.0", "debug": "1.0", "eth": "1.0", "net": "1.0", "rpc": "1.0", "txpool": "1.0", "web3": "1.0"});
    assert_eq!(node.call("rpc_modules", json!([])).await, modules);
    node.status.send_modify(|status| {
        status.syncing = Some(SyncProgress { current: Height::new(3), target: Height::new(31) });
    });
    assert_eq!(node.call("eth_syncing", json!([])).await, json!({"currentBlock": "0x3", "highestBlock": "0x1f"}));
}

#[tokio::test]
async fn the_leader_schedule_is_the_one_that_leaders_are_taken_from() {
    let node = TestNode::start().await;
    node.status.send_modify(|status| status.view = view(41));
    let turns = async |params: Value| -> Vec<TurnView> {
        serde_json::from_value(node.call("baton_leaderSchedule", params).await).unwrap()
    };
    let next = turns(json!([])).await;
    assert_eq!(next.iter().map(|turn| turn.view.get()).collect::<Vec<_>>(), (41..51).collect::<Vec<_>>());
    let all = turns(json!([200, 1])).await;
    assert_eq!(all[40..50], next);
    assert_eq!(turns(json!(["0x2", "0x29"])).await, next[..2]);
    assert_eq!(turns(json!([0])).await, []);
    // In 200 turns each member leads in proportion to its weight of 100, less than two turns more.
    let committee: CommitteeView = serde_json::from_value(node.call("baton_committee", json!([])).await).unwrap();
    for member in committee.members {
        let led = all.iter().filter(|turn| turn.leader == member.index).count() as u64;
        assert!(led.abs_diff(2 * member.weight.get()) < 4, "member {} led {led}", member.index);
        assert!(all.iter().all(|turn| (turn.leader == member.index) == (turn.owner == member.owner)));
    }
    let cases = [
        (json!([1_001]), "invalid argument 0: 1001 views asked, at most 1000"),
        (json!([1, 0]), "invalid argument 1: view 0 is not between 1 and 100041"),
        (json!([1, "0xffffffffffffffff"]), "invalid argument 1: view 18446744073709551615 is not between"),
        (json!([-1]), "invalid argument 0: "),
        (json!(["ten"]), "invalid argument 0: "),
    ];
    for (params, text) in cases {
        let (code, message) = node.refused("baton_leaderSchedule", params).await;
        assert!(code == -32_602 && message.starts_with(text), "{message}");
    }
}

#[tokio::test]
async fn the_status_of_a_transaction_goes_from_unknown_to_settled() {
    let node = TestNode::start().await;
    let (first, third) = (tx(1, 0, 7), tx(1, 2, 7));
    let status =
        async |transaction: &baton_proto::Transaction| node.call("baton_txStatus", json!([transaction.hash()])).await;
    assert_eq!(status(&first).await, json!({"status": "unknown"}));
    node.send(&first).await;
    node.send(&third).await;
    assert_eq!(status(&first).await, json!({"status": "pending"}));
    assert_eq!(status(&third).await, json!({"status": "gapped"}));

    for _ in 0..4 {
        node.finalize(vec![]);
    }
    let digest = node.finalize(vec![tx(2, 0, 1), first.clone(), third.clone()]);
    let place = json!({"status": "final", "height": 5, "digest": digest, "index": 1});
    assert_eq!(status(&first).await, place);
    node.finalize(vec![]);
    // It waits for another turn, and why it was passed over is told with it.
    let skipped = status(&third).await;
    assert_eq!((&skipped["status"], &skipped["height"], &skipped["index"]), (&json!("gapped"), &json!(5), &json!(2)));
    assert_eq!(skipped["outcome"], json!({"status": "skipped", "reason": "nonceTooHigh", "got": 2, "expected": 1}));
    let replayed = tx(2, 0, 2);
    node.finalize(vec![replayed.clone()]);
    let skipped = status(&replayed).await;
    assert_eq!((&skipped["status"], &skipped["outcome"]["reason"]), (&json!("skipped"), &json!("nonceTooLow")));

    node.record_batch(0, 1..=4, 30, true);
    node.record_batch(1, 5..=6, 31, false);
    assert_eq!(status(&first).await, place, "what was written before L1 was read may be out of date");
    node.announce_recorded(2, 1);
    let posted = status(&first).await;
    assert_eq!(
        (&posted["status"], &posted["batchIndex"], &posted["l1Block"]),
        (&json!("posted"), &json!(1), &json!(31))
    );
    assert_eq!((&posted["firstHeight"], &posted["height"]), (&json!(5), &json!(5)));
    node.record_batch(1, 5..=6, 31, true);
    node.announce_recorded(2, 2);
    assert_eq!(status(&first).await["status"], "settled");
    assert_eq!(status(&replayed).await["status"], "skipped");
    assert_eq!(node.refused("baton_txStatus", json!(["0x12"])).await.0, -32_602);
}

#[tokio::test]
async fn what_became_of_a_forced_entry_is_told() {
    let node = TestNode::start().await;
    let status = async |position: u64| node.call("baton_forcedStatus", json!([position])).await;
    assert_eq!(status(0).await, json!({"position": 0, "status": "unknown"}));
    let entry = |l1_block, data: &[u8]| {
        let (l1_block, sender) = (L1BlockNumber::new(l1_block), Address::repeat_byte(0xaa));
        ForcedEntry::new(l1_block, sender, 0, data.to_vec().into())
    };
    let (good, other) = (tx(1, 0, 7), tx(2, 0, 7));
    let entries = [entry(40, b"none"), entry(40, good.raw()), entry(41, good.raw()), entry(42, tx(3, 0, 1).raw())];
    let read = ForcedCursor { read_to: L1BlockNumber::new(50), length: 4, hash: B256::ZERO };
    node.ledger.put_forced(&entries, &read).unwrap();
    let waiting = status(1).await;
    assert_eq!(
        waiting,
        json!({"position": 1, "status": "waiting", "l1Block": 40, "sender": Address::repeat_byte(0xaa), "hash": good.hash()})
    );

    node.finalize(vec![]);
    let digest = node.finalize_with(entries[..2].to_vec(), vec![other.clone()]);
    let second = node.finalize_with(entries[2..3].to_vec(), vec![]);
    node.finalize(vec![]);
    let told = async |position: u64| {
        let status = status(position).await;
        json!([status["status"], status["height"], status["digest"], status["index"], status["outcome"]["reason"]])
    };
    assert_eq!(told(0).await, json!(["skipped", 2, digest, 0, "malformed"]));
    assert_eq!(told(1).await, json!(["executed", 2, digest, 1, null]));
    assert_eq!(told(2).await, json!(["skipped", 3, second, 0, "nonceTooLow"]));
    assert_eq!(told(3).await, json!(["waiting", null, null, null, null]));
    assert_eq!(told(4).await, json!(["unknown", null, null, null, null]));

    // As any other, the transaction is found by its hash, at its place behind the entry that is none.
    let place = json!({"status": "final", "height": 2, "digest": digest, "index": 1});
    assert_eq!(node.call("baton_txStatus", json!([good.hash()])).await, place);
    let found = node.call("eth_getTransactionByHash", json!([good.hash()])).await;
    assert_eq!((&found["blockNumber"], &found["transactionIndex"]), (&json!("0x2"), &json!("0x1")));
    let block = node.call("eth_getBlockByNumber", json!(["0x2", false])).await;
    assert_eq!(block["transactions"], json!([good.hash(), other.hash()]));
    let full = node.call("eth_getBlockByNumber", json!(["0x2", true])).await;
    let last = &full["transactions"][1];
    assert_eq!((&last["transactionIndex"], &last["baton"]["status"]), (&json!("0x2"), &json!("executed")));
    assert_eq!(node.refused("baton_forcedStatus", json!([])).await.0, -32_602);
}

#[tokio::test]
async fn what_happens_to_a_transaction_before_it_is_final_is_told_too() {
    let node = TestNode::start().await;
    let status =
        async |transaction: &baton_proto::Transaction| node.call("baton_txStatus", json!([transaction.hash()])).await;
    let (first, second, rival) = (tx(1, 0, 7), tx(1, 1, 7), tx(2, 0, 7));
    for transaction in [&first, &second, &rival] {
        node.send(transaction).await;
    }
    // A quorum votes for one block, and another of the same height becomes final.
    let digest = node.notarize(vec![rival.clone(), first.clone()]);
    let notarized = json!({"status": "notarized", "height": 1, "digest": digest, "index": 1});
    assert_eq!(status(&first).await, notarized);
    assert_eq!(status(&second).await, json!({"status": "pending"}));
    let digest = node.finalize(vec![rival.clone()]);
    assert_eq!(status(&first).await, json!({"status": "pending"}));
    assert_eq!(status(&rival).await, json!({"status": "final", "height": 1, "digest": digest, "index": 0}));

    // Who was replaced, by whom; and who took that one's place in turn.
    let (better, best) = (priced(1, 0, 8, 110), priced(1, 0, 9, 121));
    node.send(&better).await;
    assert_eq!(status(&first).await, json!({"status": "replaced", "replacedBy": better.hash()}));
    node.send(&best).await;
    assert_eq!(status(&first).await, json!({"status": "replaced", "replacedBy": better.hash()}));
    assert_eq!(status(&better).await, json!({"status": "replaced", "replacedBy": best.hash()}));

    // The pool's clock starts at 0 here.
    node.pool.lock().unwrap().expire(PoolConfig::LIFETIME_MS);
    for transaction in [&best, &second] {
        assert_eq!(status(transaction).await, json!({"status": "expired"}));
    }
    node.send(&second).await;
    assert_eq!(status(&second).await, json!({"status": "gapped"}), "it is back");
    // What became of it counts, also where this node believed otherwise: another node had kept it.
    let digest = node.notarize(vec![first.clone()]);
    assert_eq!(status(&first).await, json!({"status": "notarized", "height": 2, "digest": digest, "index": 0}));
    node.finalize(vec![first.clone()]);
    assert_eq!(status(&first).await["status"], "final");

    let config = PoolConfig { transactions_max: 1, ..PoolConfig::of(&spec()) };
    *node.pool.lock().unwrap() = Pool::new(config);
    node.send(&tx(3, 0, 1)).await;
    node.send(&tx(4, 0, 9)).await;
    assert_eq!(status(&tx(3, 0, 1)).await, json!({"status": "evicted"}));
}

#[tokio::test]
async fn a_skipped_transaction_is_found_but_never_looks_done() {
    let node = TestNode::start().await;
    let early = tx(1, 5, 7);
    let digest = node.finalize(vec![tx(2, 0, 1), early.clone()]);
    let by_hash = json!([early.hash()]);
    let skipped = node.call("eth_getTransactionByHash", by_hash.clone()).await;
    assert_eq!(skipped["hash"], json!(early.hash()));
    for field in ["blockHash", "blockNumber", "transactionIndex"] {
        assert_eq!(skipped.get(field), Some(&Value::Null), "{field}");
    }
    assert_eq!(
        skipped["baton"],
        json!({"status": "skipped", "reason": "nonceTooHigh", "got": 5, "expected": 0, "block": {"number": 1, "hash": digest, "index": 1}})
    );

    // Waiting for another turn, and at last taking it.
    node.send(&early).await;
    assert_eq!(node.call("eth_getTransactionByHash", by_hash.clone()).await["baton"]["status"], "pooled");
    node.finalize((0..=5).map(|nonce| tx(1, nonce, 7)).collect());
    let done = node.call("eth_getTransactionByHash", by_hash).await;
    assert_eq!((&done["blockNumber"], &done["transactionIndex"]), (&json!("0x2"), &json!("0x5")));
    assert_eq!(done["baton"]["status"], "executed");
}

#[tokio::test]
async fn nonces_are_those_of_the_state_that_is_meant() {
    let node = TestNode::start().await;
    let address = account(1);
    let count = |tag: Value| node.call("eth_getTransactionCount", json!([address, tag]));
    node.finalize(vec![tx(1, 0, 1), tx(1, 1, 1)]);
    let second = node.finalize(vec![tx(1, 2, 1)]);
    node.send(&tx(1, 3, 1)).await;
    node.send(&tx(1, 4, 1)).await;
    node.send(&tx(1, 6, 1)).await;

    assert_eq!(count(json!("latest")).await, "0x3");
    assert_eq!(count(json!("pending")).await, "0x5");
    assert_eq!(count(json!("earliest")).await, "0x0");
    assert_eq!(count(json!("0x2")).await, "0x3");
    assert_eq!(count(json!({"blockHash": second})).await, "0x3");
    assert_eq!(count(json!({"blockNumber": "0x2"})).await, "0x3");
    assert_eq!(count(json!({"blockHash": header(&node, 0).digest()})).await, "0x0");
    // Nothing is posted yet, so both are the genesis block, where nobody has sent anything.
    assert_eq!(count(json!("safe")).await, "0x0");
    assert_eq!(node.call("eth_getTransactionCount", json!([account(9), "latest"])).await, "0x0");
    assert_eq!(node.call("eth_getTransactionCount", json!([account(9), "pending"])).await, "0x0");

    node.status.send_modify(|status| {
        status.posted_height = Height::new(2);
        status.settled_height = Height::new(1);
    });
    assert_eq!(count(json!("safe")).await, "0x3");
    // Older ones too, as long as they are kept.
    for tag in [json!("finalized"), json!("0x1"), json!({"blockHash": header(&node, 1).digest()})] {
        assert_eq!(count(tag.clone()).await, "0x2", "{tag}");
    }
    for tag in [json!("0x3"), json!({"blockHash": account(1).into_word()})] {
        let refused = node.refused("eth_getTransactionCount", json!([address, tag])).await;
        assert_eq!(refused, (-32_000, "header not found".to_owned()), "{tag}");
    }
}

#[tokio::test]
async fn refused_transactions_get_the_texts_that_clients_match() {
    let node = TestNode::start().await;
    let node = &node;
    let refused = |raw: String| async move { node.refused("eth_sendRawTransaction", json!([raw])).await };
    let plain = |nonce, chain_id, input: Vec<u8>| {
        hex::encode_prefixed(legacy(1, nonce, chain_id, Bytes::from(input)).encoded_2718())
    };
    node.finalize(vec![tx(1, 0, 5)]);
    node.send(&tx(1, 1, 5)).await;
    let blob = TxEip4844 { chain_id: 6_000, nonce: 2, gas_limit: 21_000, ..Default::default() };
    let signature = sign_message(B256::with_last_byte(1), blob.signature_hash()).unwrap();
    let blob = hex::encode_prefixed(TxEnvelope::Eip4844(blob.into_signed(signature).convert()).encoded_2718());
    // The same signature in its other form, which anybody can make of it (EIP-2).
    let order = SECP256K1N_HALF * U256::from(2) + U256::from(1);
    let plain_tx = TxEip1559 { chain_id: 6_000, nonce: 2, gas_limit: 100_000, ..Default::default() };
    let low = sign_message(B256::with_last_byte(1), plain_tx.signature_hash()).unwrap();
    let encoded =
        |signature| hex::encode_prefixed(TxEnvelope::from(plain_tx.clone().into_signed(signature)).encoded_2718());
    let high_s = encoded(Signature::new(low.r(), order - low.s(), !low.v()));

    let cases = [
        (raw(&tx(1, 1, 5)), "already known"),
        (raw(&tx(1, 0, 5)), "nonce too low: next nonce 1, tx nonce 0"),
        (raw(&tx(1, 1, 6)), "replacement transaction underpriced"),
        (plain(2, Some(1), vec![]), "invalid chain id for signer: have 1 want 6000"),
        (plain(2, None, vec![]), "only replay-protected (EIP-155) transactions allowed over RPC"),
        (plain(2, Some(6_000), vec![0; TRANSACTION_BYTES_MAX]), "oversized data: transaction size"),
        (raw(&tx(1, u64::MAX, 5)), "nonce has max value"),
        (blob, "transaction type not supported"),
        (high_s, "invalid sender"),
        ("0x".to_owned(), ""),
        ("0x03c0".to_owned(), ""),
        ("0x05aabb".to_owned(), ""),
    ];
    for (transaction, text) in cases {
        let (code, message) = refused(transaction).await;
        assert_eq!(code, -32_000, "{message}");
        assert!(!message.is_empty() && message.starts_with(text), "{message}");
    }
    assert_eq!(node.pool.lock().unwrap().len(), 1);
    node.call("eth_sendRawTransaction", json!([encoded(low)])).await;
    assert_eq!(node.pool.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn wrong_arguments_are_named_by_place() {
    let node = TestNode::start().await;
    let address = json!(account(1));
    let cases = [
        ("eth_sendRawTransaction", json!([]), "missing value for required argument 0"),
        ("eth_sendRawTransaction", json!([null]), "missing value for required argument 0"),
        ("eth_sendRawTransaction", json!(["abcd"]), "invalid argument 0: hex string without 0x prefix"),
        ("eth_sendRawTransaction", json!(["0xzz"]), "invalid argument 0: "),
        ("eth_sendRawTransaction", json!(["0xabc"]), "invalid argument 0: "),
        ("eth_sendRawTransaction", json!([7]), "invalid argument 0: "),
        ("eth_sendRawTransaction", json!({"raw": "0x"}), "non-array args"),
        ("eth_sendRawTransaction", json!(["0x00", 1]), "too many arguments, want at most 1"),
        ("eth_getTransactionByHash", json!(["0x12"]), "invalid argument 0: "),
        ("eth_getBlockByNumber", json!(["latest"]), "missing value for required argument 1"),
        ("eth_getBlockByNumber", json!(["latest", "yes"]), "invalid argument 1: "),
        ("eth_getBlockByNumber", json!(["newest", false]), "invalid argument 0: "),
        ("eth_getBlockByNumber", json!(["0x10000000000000000", false]), "invalid argument 0: "),
        ("eth_getTransactionCount", json!([address]), "missing value for required argument 1"),
        ("eth_getTransactionCount", json!(["0x12", "latest"]), "invalid argument 0: "),
        ("eth_getTransactionCount", json!([address, "latest", 1]), "too many arguments, want at most 2"),
        ("eth_chainId", json!([1]), "too many arguments, want at most 0"),
    ];
    for (method, params, text) in cases {
        let (code, message) = node.refused(method, params.clone()).await;
        assert_eq!(code, -32_602, "{method} {params}: {message}");
        assert!(message.starts_with(text), "{method} {params}: {message}");
    }
    // Trailing nulls count as left out, as client libraries send them.
    assert_eq!(node.call("eth_chainId", json!([null])).await, "0x1770");
}

#[tokio::test]
async fn duties_are_the_turns_of_the_running_epoch_and_what_l1_has_settled() {
    let node = TestNode::start().await;
    let duties = async || -> DutiesView { serde_json::from_value(node.call("baton_duties", json!([])).await).unwrap() };
    let nothing = duties().await;
    assert_eq!((nothing.epoch, nothing.height, nothing.members.len()), (Epoch::new(2), Height::ZERO, 4));
    assert!(nothing.last_settled.is_none() && nothing.settled.is_none() && nothing.sequencers.is_empty());
    for _ in 0..3 {
        node.finalize(vec![]);
    }
    let members = duties().await.members;
    assert_eq!(
        members.iter().map(|member| (member.led, member.missed)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)),
        (3, 0)
    );

    // Another epoch is the one that L1 settled last.
    let committee = Committee::new(Epoch::new(1), first_epoch().committee).unwrap();
    let last = header(&node, 3);
    let last = baton_proto::BlockHeader { epoch: Epoch::new(1), ..last };
    let rows = (0..4).map(|member| Duties { led: 10 - member, missed: member }).collect();
    let table = DutyTable::resume(&committee, rows, &last).unwrap();
    let [second, third] = [2, 3].map(Address::repeat_byte);
    let standing = |owner, pending, jailed| SequencerStanding { owner, pending: U256::from(pending), jailed };
    node.liveness.send_replace(Some(LivenessView {
        last_settled: Some(Epoch::new(1)),
        settled: Some(SettledDuties { committee: committee.into(), table }.into()),
        pool: U256::from(77),
        own: Some(second),
        sequencers: vec![standing(second, 5, None), standing(third, 0, Some((Epoch::new(3), Epoch::new(11))))],
    }));
    let duties = duties().await;
    assert_eq!((duties.last_settled, duties.reward_pool), (Some(Epoch::new(1)), Some(U256::from(77))));
    let (owner, index) = (Address::repeat_byte(4), MemberIndex::new(3));
    assert_eq!(duties.settled.unwrap()[3], MemberDuties { index, owner, led: 7, missed: 3 });
    assert_eq!(duties.members, members);
    let free = &duties.sequencers[&second];
    assert!(free.pending_rewards == U256::from(5) && free.jailed.is_none());
    let term = duties.sequencers[&third].jailed.unwrap();
    assert_eq!((term.since, term.until), (Epoch::new(3), Epoch::new(11)));
}

#[tokio::test]
async fn status_and_committee_are_what_the_node_published() {
    let node = TestNode::start().await;
    node.status.send_modify(|status| {
        status.view = view(17);
        status.leader = Some(MemberIndex::new(2));
        status.not_ready = vec![NotReady::below_quorum(60, 100)];
    });
    let status = node.call("baton_status", json!([])).await;
    assert_eq!(serde_json::from_value::<NodeStatus>(status).unwrap(), *node.status.borrow());

    let committee = node.call("baton_committee", json!([])).await;
    assert_eq!((&committee["epoch"], &committee["totalWeight"]), (&json!(2), &json!(100)));
    assert_eq!((&committee["view"], &committee["leader"]), (&json!(17), &json!(2)));
    let first = &committee["members"][0];
    assert_eq!(first["owner"], format!("0x{}", "01".repeat(20)));
    assert_eq!(first["feeRecipient"], format!("0x{}", "fe".repeat(20)));
    assert_eq!((&first["index"], &first["weight"], &first["share"]), (&json!(0), &json!(32), &json!(0.32)));
    let key = SecretKey::generate(&[1; 32]).public_key();
    assert_eq!(first["blsKey"], hex::encode_prefixed(key.as_bytes()));
    assert_eq!(serde_json::from_value::<CommitteeView>(committee).unwrap().members.len(), 4);
}
