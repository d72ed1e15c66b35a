//! What the node sees of L1 while it moves, stops and comes back.

use std::{sync::Arc, time::Duration};

use alloy_primitives::B256;
use baton_proto::{L1BlockNumber, L1ChainId, L1Origin};
use tokio_util::sync::CancellationToken;

use crate::l1::{
    At, L1Client, L1View, OriginVerdict, Watcher, deploy,
    testing::{PATIENCE, POLL, TestChain, signal},
};

async fn until(watcher: &mut Watcher, what: &str, accept: impl Fn(&L1View) -> bool) -> L1View {
    let view = tokio::time::timeout(PATIENCE, watcher.view.wait_for(|view| accept(view))).await;
    view.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}")).unwrap().clone()
}

#[tokio::test]
async fn the_view_follows_l1_and_says_when_it_is_gone() {
    let chain = TestChain::start().await;
    let client = L1Client::new(
        &[chain.anvil.url().to_owned()],
        L1ChainId::new(chain.anvil.chain_id()),
        Duration::from_millis(300),
    )
    .unwrap();
    let ledger = chain.ledger();
    let cancel = CancellationToken::new();
    let spawn = || Watcher::spawn(client.clone(), Arc::clone(&chain.facts), Arc::clone(&ledger), POLL, cancel.clone());
    let mut watcher = spawn();
    let view = until(&mut watcher, "healthy", |view| view.healthy).await;
    assert_eq!(view.why, "");

    // Finality is four blocks behind; a leader names what has been final for one more.
    deploy::mine(&chain.client, 3).await.unwrap();
    let head = chain.client.existing_block(At::Latest).await.unwrap().origin.number.get();
    let view = until(&mut watcher, "the new head", |view| {
        view.head.is_some_and(|seen| seen.number.get() == head)
            && view.finalized.is_some_and(|(origin, _)| origin.number.get() == head - 4)
    })
    .await;
    let settled = view.settled_origin.unwrap();
    assert_eq!(settled.number.get(), head - 5);
    let block = chain.client.existing_block(At::Number(settled.number)).await.unwrap();
    assert_eq!(block.origin, settled);
    assert_eq!(watcher.origins.judge(&settled), OriginVerdict::Final);
    let forged = L1Origin { hash: B256::repeat_byte(1), ..settled };
    assert_eq!(watcher.origins.judge(&forged), OriginVerdict::Conflicts { have: settled.hash });
    let future = L1Origin { number: L1BlockNumber::new(head), hash: B256::repeat_byte(1) };
    assert_eq!(watcher.origins.judge(&future), OriginVerdict::NotYet);

    // An older one, from before this process watched, is fetched when somebody asks.
    let old = chain.client.existing_block(At::Number(chain.facts.genesis.origin.number.next().unwrap())).await.unwrap();
    let judged = async {
        while watcher.origins.judge(&old.origin) != OriginVerdict::Final {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(PATIENCE, judged).await.expect("an older origin is fetched");

    let pid = chain.anvil.pid().unwrap();
    signal(pid, "STOP");
    let down = until(&mut watcher, "unhealthy", |view| !view.healthy).await;
    signal(pid, "CONT");
    assert!(down.unhealthy_since.is_some() && down.why.contains("did not answer"), "{down:?}");
    assert_eq!((down.settled_origin, down.finalized), (view.settled_origin, view.finalized));
    until(&mut watcher, "healthy again", |view| view.healthy && view.unhealthy_since.is_none()).await;

    // A leader names an origin of the next epoch as soon as it is settled: that ends the running one.
    deploy::mine(&chain.client, 40).await.unwrap();
    let next = chain.facts.epochs().start(chain.facts.first.epoch.next().unwrap());
    let later = |view: &L1View| view.settled_origin.filter(|origin| origin.number >= next);
    until(&mut watcher, "an origin of the next epoch", |view| later(view).is_some()).await;
    cancel.cancel();
    watcher.task.await.unwrap();
    let last = later(&watcher.view.borrow()).unwrap().number;

    // A restart while L1 is down still knows what was final.
    signal(pid, "STOP");
    let cancel = CancellationToken::new();
    let watcher = Watcher::spawn(client.clone(), Arc::clone(&chain.facts), Arc::clone(&ledger), POLL, cancel.clone());
    let view = watcher.view.borrow().clone();
    assert!(!view.healthy && view.settled_origin.is_some_and(|origin| origin.number == last), "{view:?}");
    signal(pid, "CONT");
    cancel.cancel();
    watcher.task.await.unwrap();
}
