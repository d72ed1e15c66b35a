//! Where the chain of batches stands, as endpoints tell it that differ about what is final.

use std::sync::Arc;

use alloy_primitives::B256;
use alloy_sol_types::SolCall;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::l1::{
    InboxTip, Watcher,
    bindings::BatchInbox,
    deploy, spawn_inbox_watcher,
    testing::{HastyEndpoint, PATIENCE, POLL, TestChain, anvil_call, client_behind, code_that_answers},
};

#[tokio::test]
async fn what_is_settled_most_endpoints_say() {
    let chain = TestChain::start().await;
    let hasty = HastyEndpoint::before(&chain.anvil).await;
    let (client, cancel) = (client_behind(&hasty, &chain.anvil), CancellationToken::new());
    let facts = Arc::clone(&chain.facts);
    let watcher = Watcher::spawn(client.clone(), Arc::clone(&facts), chain.ledger(), POLL, cancel.clone());
    // From the next block on the inbox holds seven batches.
    let last_hash = B256::repeat_byte(7);
    let tip =
        BatchInbox::tipReturn { nextIndex_: 7, epoch: 2, lastHeight: 70, lastBatchHash: last_hash, acceptedAtBlock: 1 };
    let code = code_that_answers(BatchInbox::tipCall::SELECTOR, &BatchInbox::tipCall::abi_encode_returns(&tip));
    anvil_call(&chain.client, "anvil_setCode", (facts.inbox, code)).await;
    deploy::mine(&chain.client, 1).await.unwrap();
    let (mut seen, task) = spawn_inbox_watcher(client, Arc::clone(&facts), watcher.view, POLL, cancel.clone());
    let posted = timeout(PATIENCE, seen.wait_for(Option::is_some)).await.expect("in time").unwrap().unwrap();
    assert_eq!(posted.posted.next_index.get(), 7);
    assert_eq!(posted.settled, InboxTip::genesis(&facts), "final is four blocks behind");
    deploy::mine(&chain.client, 5).await.unwrap();
    let settled = seen.wait_for(|view| view.is_some_and(|view| view.settled == view.posted));
    drop(timeout(PATIENCE, settled).await.expect("in time").unwrap());
    cancel.cancel();
    task.await.unwrap();
}
