//! A committee that is too large for one transaction is stored in several, by whose turn it is to post.

use std::sync::Arc;

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::SolCall;
use baton_proto::{Attestation, BatchHash, BatchHeader, BatchIndex, DataKind, Epoch, Height, Statement};
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::l1::{
    AccountConfig, AccountContext, At, Call, CertifiedBatch, Poster, Watcher,
    bindings::{BatchInbox, SequencerRegistry},
    data_hash,
    materialize::{STEP_GAS_MAX, next_step},
    read_tip,
    testing::{POLL, TestChain, account, eventually, mine_to, other_digest},
};

/// A first batch of the first epoch, certified by all its members.
fn certified(chain: &TestChain) -> CertifiedBatch {
    let (epoch, data) = (chain.facts.first.epoch, Bytes::from_static(b"data"));
    let header = BatchHeader {
        index: BatchIndex::ZERO,
        prev_batch_hash: BatchHash::ZERO,
        epoch,
        first_height: Height::new(1),
        last_height: Height::new(1),
        last_digest: other_digest(1),
        last_origin: chain.facts.genesis.origin,
        state_root: Default::default(),
        forced_position: 0,
        forced_hash: Default::default(),
        data_kind: DataKind::Calldata,
        data_hash: data_hash(DataKind::Calldata, &data).unwrap(),
        duties_root: Default::default(),
    };
    let all: Vec<u8> = (0..).take(chain.keys.len()).collect();
    let statement = Statement::Attest(Attestation::of(epoch, &header));
    let certificate = chain.certificate(statement, &all, &chain.facts.domain);
    CertifiedBatch { header, certificate, data }
}

/// What `from` sent, to whom, and the gas that it took, in the order of its nonces.
async fn sent_by(chain: &TestChain, from: Address) -> Vec<(Address, Bytes, u64)> {
    let head = chain.client.existing_block(At::Latest).await.unwrap().origin.number.get();
    let mut sent = Vec::new();
    for number in chain.facts.genesis.origin.number.get()..=head {
        let block: Value = chain.client.request("eth_getBlockByNumber", (format!("{number:#x}"), true)).await.unwrap();
        for transaction in block["transactions"].as_array().unwrap() {
            if transaction["from"].as_str().unwrap().parse() == Ok(from) {
                let read = |field: &str| transaction[field].as_str().unwrap();
                let receipt = chain.client.receipt(read("hash").parse().unwrap()).await.unwrap().unwrap();
                assert!(receipt.status());
                sent.push((read("to").parse().unwrap(), read("input").parse().unwrap(), receipt.gas_used));
            }
        }
    }
    sent
}

#[tokio::test]
async fn the_poster_stores_a_large_committee_in_several_steps_and_then_posts() {
    let chain = TestChain::start_large(128).await;
    let (registry, epoch, cancel) = (chain.facts.domain.registry, chain.facts.first.epoch, CancellationToken::new());
    let ledger = chain.ledger();
    let watcher =
        Watcher::spawn(chain.client.clone(), Arc::clone(&chain.facts), Arc::clone(&ledger), POLL, cancel.clone());
    let context = AccountContext {
        client: chain.client.clone(),
        facts: Arc::clone(&chain.facts),
        ledger,
        key: account(5),
        config: AccountConfig { poll: POLL, ..AccountConfig::default() },
        l1: watcher.view,
        cancel: cancel.clone(),
    };
    let batch = certified(&chain);
    let (order, orders) = watch::channel(Some(Arc::new(batch.clone())));
    let poster = Poster::spawn(context, orders).unwrap();
    eventually("the batch is on L1", || async {
        read_tip(&chain.client, &chain.facts, At::Latest).await.unwrap().next_index.get() == 1
    })
    .await;
    order.send_replace(None);
    let from = account(5).address();
    // anvil shows a block's state a moment before the block.
    eventually("its transactions are seen", || async { sent_by(&chain, from).await.len() == 3 }).await;
    let sent = sent_by(&chain, from).await;
    let keys = SequencerRegistry::materializeKeysCall { epoch: epoch.get(), chunk: U256::ZERO };
    let whole = |epoch: Epoch| SequencerRegistry::materializeCall { epoch: epoch.get() }.abi_encode();
    // With half of the keys in place the rest fits into one.
    let storing = [keys.abi_encode(), whole(epoch)];
    for ((to, data, gas), expected) in sent.iter().zip(storing) {
        assert_eq!((*to, data.to_vec()), (registry, expected));
        assert!(*gas <= STEP_GAS_MAX, "{gas} gas");
    }
    assert_eq!((sent[2].0, &sent[2].1[..4]), (chain.facts.inbox, &BatchInbox::postCall::SELECTOR[..]));

    // The next committee has the same keys: one transaction is enough.
    let next = epoch.next().unwrap();
    mine_to(&chain.client, chain.facts.epochs().start(next).get()).await;
    let step = next_step(&chain.client, from, registry, next).await.unwrap();
    assert_eq!(step, Some(Call::plain(registry, whole(next).into())));
    assert_eq!(next_step(&chain.client, from, registry, epoch).await.unwrap(), None);
    cancel.cancel();
    poster.task.await.unwrap().unwrap();
}
