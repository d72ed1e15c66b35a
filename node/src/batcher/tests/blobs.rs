//! Batches whose data travels in blobs, and what becomes of them where L1 holds blobs back.

use std::collections::BTreeSet;

use alloy::{
    consensus::{TxEnvelope, transaction::SignerRecoverable as _},
    eips::eip2718::Decodable2718 as _,
    rpc::types::Filter,
};
use alloy_primitives::{Address, Bytes, TxHash, U256};
use alloy_sol_types::{SolCall as _, SolEvent as _};
use baton_proto::{BatchIndex, DataKind, Height, limits::BATCH_DATA_BYTES_MAX};
use serde_json::json;

use super::Cluster;
use crate::{
    l1::{
        Broadcast, DataChoice, L1Error, PostedBatch, ReplayError,
        bindings::BatchInbox,
        read_posted_chain,
        testing::{BlobGate, TestChain, account, client_without_beacon, eventually},
    },
    ledger::BatchOnL1,
};

/// Puts an ether into the pool that posters are paid from.
async fn fund(chain: &TestChain) {
    let data: Bytes = BatchInbox::fundCall {}.abi_encode().into();
    let fund = json!({
        "from": account(9).address(), "to": chain.facts.inbox, "value": "0xde0b6b3a7640000", "data": data,
    });
    let hash: TxHash = chain.client.request("eth_sendTransaction", (fund,)).await.unwrap();
    eventually("the pool is funded", || async { chain.client.receipt(hash).await.unwrap().is_some() }).await;
}

/// Checks that whoever posted these batches, and nobody else, was paid for each what its transaction burnt, a little less at the
/// most, and that the pool has the rest.
async fn posters_were_paid_once(chain: &TestChain, batches: &[PostedBatch]) {
    let filter = Filter::new()
        .address(chain.facts.inbox)
        .event_signature(BatchInbox::PostingRefunded::SIGNATURE_HASH)
        .from_block(0);
    let paid: Vec<(u64, U256)> = chain
        .client
        .logs(&filter)
        .await
        .unwrap()
        .iter()
        .map(|log| BatchInbox::PostingRefunded::decode_log_data(log.data()).unwrap())
        .map(|event| (event.index, event.amount))
        .collect();
    assert_eq!(paid.len(), batches.len(), "{paid:?}");
    let mut pool = U256::from(10_u64.pow(18));
    for (batch, (index, amount)) in batches.iter().zip(paid) {
        let receipt = chain.client.receipt(batch.transaction).await.unwrap().unwrap();
        let gas = u128::from(receipt.gas_used) * receipt.effective_gas_price;
        let blobs = u128::from(receipt.blob_gas_used.unwrap_or_default()) * receipt.blob_gas_price.unwrap_or_default();
        let burnt = U256::from(gas + blobs);
        assert_eq!(index, batch.header.index.get());
        assert!(amount <= burnt && amount >= burnt * U256::from(95) / U256::from(100), "{amount} of {burnt} wei");
        pool -= amount;
    }
    let left: U256 = chain.client.request("eth_getBalance", (chain.facts.inbox, "latest")).await.unwrap();
    assert_eq!(left, pool);
}

/// More than calldata holds, so several blobs. What blobs cost on a test's L1 is next to nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_travel_in_blobs_and_come_back_from_them() {
    let mut cluster = Cluster::start(&[]).await;
    fund(&cluster.chain).await;
    cluster.data = DataChoice::Auto;
    for index in 0..4 {
        cluster.join(index);
    }
    let blocks = cluster.chain.blocks_after(&cluster.chain.facts.genesis, 20, 100);
    cluster.finalize(&blocks);
    // Read back from the blobs, and compared.
    cluster.until_posted(&blocks).await;
    let replayed = cluster.replay().await;
    let first = &replayed.batches[0];
    assert!(replayed.batches.iter().all(|batch| batch.header.data_kind == DataKind::Blobs));
    assert!(first.data.len() > BATCH_DATA_BYTES_MAX, "{} bytes", first.data.len());
    posters_were_paid_once(&cluster.chain, &replayed.batches).await;
    cluster.nobody_is_charged();

    // Who was not there reads the data back from the blobs, and without a beacon endpoint all but the data.
    let blind = client_without_beacon(&cluster.chain.anvil);
    let error = read_posted_chain(&blind, &cluster.chain.facts).await.unwrap_err();
    assert!(matches!(error, ReplayError::L1(L1Error::NoBeacon)), "{error}");
    for (client, data) in [(blind, &Bytes::new()), (cluster.chain.client.clone(), &first.data)] {
        cluster.client = client;
        cluster.join(4);
        let late = cluster.members[4].take().unwrap();
        let recorded = late.batcher.recorded.clone();
        eventually("the late node has recorded the batches", || async {
            recorded.borrow().is_some_and(|recorded| recorded.posted.get() == replayed.batches.len() as u64)
        })
        .await;
        let record = late.ledger.batch(BatchIndex::ZERO).unwrap().unwrap();
        assert_eq!((&record.header, record.certificate.as_ref()), (&first.header, Some(&first.certificate)));
        assert!(
            record.data == *data && record.l1 != BatchOnL1::Unposted,
            "{:?}: {} bytes",
            record.l1,
            record.data.len()
        );
        late.cancel.cancel();
    }
}

/// The hash of a transaction as it travels; blobs do not count for it.
fn hash_of(raw: &Bytes) -> TxHash {
    *TxEnvelope::decode_2718(&mut raw.as_ref()).unwrap().tx_hash()
}

/// Blobs that L1 takes and never includes, and blobs that cost more than any poster may offer: either way the same blocks get there
/// as calldata. Should L1 include the blobs after all, nothing is posted or paid for a second time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_l1_holds_back_in_blobs_gets_there_once_as_calldata() {
    for asks_wei in [None, Some(501_000_000_000)] {
        let mut cluster = Cluster::start(&[]).await;
        fund(&cluster.chain).await;
        let gate = match asks_wei {
            None => BlobGate::that_keeps_them(&cluster.chain.anvil).await,
            Some(wei) => BlobGate::that_asks_for(&cluster.chain.anvil, wei).await,
        };
        (cluster.data, cluster.client) = (DataChoice::Blobs, gate.client(&cluster.chain.anvil));
        for index in 0..4 {
            cluster.join(index);
        }
        let blocks = cluster.chain.blocks_after(&cluster.chain.facts.genesis, 6, 1);
        cluster.finalize(&blocks);
        let poster = cluster.members[usize::from(cluster.poster(0))].as_ref().unwrap();
        let seen = poster.batcher.poster.clone().unwrap();
        // The batch is due by its age already, and no L1 block comes.
        eventually("L1 holds the blobs back", || async {
            match asks_wei {
                None => !gate.held.lock().unwrap().is_empty(),
                Some(_) => seen.borrow().trouble.contains("ceiling"),
            }
        })
        .await;
        assert_eq!(cluster.posted_height().await, Height::ZERO);
        cluster.until_posted(&blocks).await;
        let batches = cluster.replay().await.batches;
        assert!(batches.iter().all(|batch| batch.header.data_kind == DataKind::Calldata));
        posters_were_paid_once(&cluster.chain, &batches).await;
        // For a while nobody sends blobs again: each time they would occupy other members' accounts.
        let senders = || -> BTreeSet<Address> {
            let sender = |raw: &Bytes| TxEnvelope::decode_2718(&mut raw.as_ref()).unwrap().recover_signer().unwrap();
            gate.held.lock().unwrap().iter().map(sender).collect()
        };
        let occupied = senders();
        let more = cluster.chain.blocks_after(&blocks.last().unwrap().header, 6, 1);
        cluster.finalize(&more);
        cluster.until_posted(&[blocks, more].concat()).await;
        assert_eq!(senders(), occupied);
        let batches = cluster.replay().await.batches;
        assert!(batches.iter().all(|batch| batch.header.data_kind == DataKind::Calldata));
        cluster.nobody_is_charged();

        // L1 changes its mind.
        for member in cluster.running() {
            member.cancel.cancel();
        }
        let held = gate.held.lock().unwrap().clone();
        assert_eq!(held.is_empty(), asks_wei.is_some());
        if let Some(raw) = held.first() {
            assert_eq!(cluster.chain.client.broadcast(raw).await.unwrap(), Broadcast::Accepted);
            let receipt = async || cluster.chain.client.receipt(hash_of(raw)).await.unwrap();
            eventually("the blobs are in a block", || async { receipt().await.is_some() }).await;
            assert!(!receipt().await.unwrap().status(), "the inbox took the blocks twice");
        }
        assert_eq!(cluster.replay().await.batches, batches);
        posters_were_paid_once(&cluster.chain, &batches).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_l1_keeps_the_price_of_blobs_to_itself_batches_travel_as_calldata() {
    let mut cluster = Cluster::start(&[]).await;
    let gate = BlobGate::that_prices_nothing(&cluster.chain.anvil).await;
    (cluster.data, cluster.client) = (DataChoice::Auto, gate.client(&cluster.chain.anvil));
    for index in 0..4 {
        cluster.join(index);
    }
    // Where blobs have a price this much travels in them.
    let blocks = cluster.chain.blocks_after(&cluster.chain.facts.genesis, 20, 10);
    cluster.finalize(&blocks);
    cluster.until_posted(&blocks).await;
    let batches = cluster.replay().await.batches;
    assert!(batches.iter().all(|batch| batch.header.data_kind == DataKind::Calldata));
    assert!(cluster.running().any(|member| member.batcher.status.borrow().blobs_have_no_price));
    cluster.nobody_is_charged();
}
