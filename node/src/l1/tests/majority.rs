//! One endpoint of several that lags, runs ahead or lies: what the node takes for L1's newest block, and what it sees there.

use std::sync::Arc;

use alloy_primitives::B256;
use alloy_sol_types::SolCall;
use baton_proto::L1BlockNumber;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::l1::{
    At, InboxTip, L1Client, Watcher,
    bindings::BatchInbox,
    spawn_inbox_watcher,
    testing::{FakeEndpoint, PATIENCE, POLL, TestChain, called, mine_to},
};

fn is_for_newest(question: &Value) -> bool {
    question["method"] == "eth_getBlockByNumber" && question["params"][0] == "latest"
}

/// Whose newest block is this one.
async fn one_that_stops_at(chain: &TestChain, number: u64) -> FakeEndpoint {
    FakeEndpoint::before(&chain.anvil, move |question| {
        if is_for_newest(question) {
            question["params"][0] = json!(format!("{number:#x}"));
        }
        None
    })
    .await
}

/// Which makes up that it has a block of this number.
async fn one_that_claims(chain: &TestChain, number: u64) -> FakeEndpoint {
    let mut block: Value = chain.client.request("eth_getBlockByNumber", ("latest", false)).await.unwrap();
    block["number"] = json!(format!("{number:#x}"));
    FakeEndpoint::before(&chain.anvil, move |question| is_for_newest(question).then(|| block.clone())).await
}

fn client_of(chain: &TestChain, endpoint: &FakeEndpoint, honest: usize) -> L1Client {
    let honest = vec![chain.anvil.url(); honest];
    let urls: Vec<String> =
        [&[endpoint.url.as_str()], honest.as_slice()].concat().iter().map(ToString::to_string).collect();
    L1Client::new(&urls, chain.client.chain_id(), PATIENCE).unwrap()
}

#[tokio::test]
async fn of_three_endpoints_none_alone_moves_the_head_and_of_two_the_slower_one_counts() {
    let chain = TestChain::start().await;
    let head = chain.client.existing_block(At::Latest).await.unwrap().origin.number.get();
    let (slow, liar) = (one_that_stops_at(&chain, head - 9).await, one_that_claims(&chain, head + 1_000).await);
    let seen = async |endpoint, honest| client_of(&chain, endpoint, honest).agreed_head().await.unwrap().get();
    assert_eq!((seen(&slow, 2).await, seen(&liar, 2).await), (head, head));
    assert_eq!((seen(&slow, 1).await, seen(&liar, 1).await), (head - 9, head));
    // Alone it is all there is.
    assert_eq!((seen(&slow, 0).await, seen(&liar, 0).await), (head - 9, head + 1_000));

    // The watcher says the same, and goes on.
    for endpoint in [&slow, &liar] {
        let cancel = CancellationToken::new();
        let (client, facts) = (client_of(&chain, endpoint, 2), Arc::clone(&chain.facts));
        let mut watcher = Watcher::spawn(client, facts, chain.ledger(), POLL, cancel.clone());
        let before = chain.client.existing_block(At::Latest).await.unwrap().origin.number.get();
        mine_to(&chain.client, before + 3).await;
        let reached =
            watcher.view.wait_for(|view| view.healthy && view.head.is_some_and(|head| head.number.get() == before + 3));
        drop(timeout(PATIENCE, reached).await.expect("in time").unwrap());
        cancel.cancel();
        watcher.task.await.unwrap();
    }
}

#[tokio::test]
async fn a_tip_of_the_inbox_that_one_endpoint_makes_up_is_nobodys() {
    let chain = TestChain::start().await;
    let (inbox, last_hash) = (chain.facts.inbox, B256::repeat_byte(7));
    let tip =
        BatchInbox::tipReturn { nextIndex_: 7, epoch: 2, lastHeight: 70, lastBatchHash: last_hash, acceptedAtBlock: 1 };
    let answer = json!(alloy_primitives::hex::encode_prefixed(BatchInbox::tipCall::abi_encode_returns(&tip)));
    let liar = FakeEndpoint::before(&chain.anvil, move |question| {
        let (to, data) = called(question)?;
        (to == inbox && data[..] == BatchInbox::tipCall {}.abi_encode()).then(|| answer.clone())
    })
    .await;
    let cancel = CancellationToken::new();
    let (client, facts) = (client_of(&chain, &liar, 2), Arc::clone(&chain.facts));
    let watcher = Watcher::spawn(client.clone(), Arc::clone(&facts), chain.ledger(), POLL, cancel.clone());
    let (mut seen, task) = spawn_inbox_watcher(client, Arc::clone(&facts), watcher.view, POLL, cancel.clone());
    let view = timeout(PATIENCE, seen.wait_for(Option::is_some)).await.expect("in time").unwrap().unwrap();
    assert_eq!((view.posted, view.settled), (InboxTip::genesis(&facts), InboxTip::genesis(&facts)));
    assert!(view.head > L1BlockNumber::ZERO);
    cancel.cancel();
    task.await.unwrap();
    watcher.task.await.unwrap();
}
