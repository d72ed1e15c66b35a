//! Reading a chain from L1, and refusing everything else.

use std::{sync::Arc, time::Duration};

use alloy_primitives::Address;
use baton_proto::{Epoch, L1BlockNumber, L1ChainId, View};
use tokio_util::sync::CancellationToken;

use crate::l1::{
    At, ChainFacts, FactsError, L1Client, L1Error, OriginVerdict, Watcher,
    bindings::SequencerRegistry,
    chain_facts, read_chain_facts, read_epoch_facts,
    testing::{POLL, TestChain, client_of, eventually, mine_to, start_anvil},
};

#[tokio::test]
async fn facts_come_from_l1_and_agree_with_what_it_computes() {
    let chain = TestChain::start().await;
    let facts = &chain.facts;
    assert_eq!(facts.first.committee.len(), 4);
    assert!(facts.first.committee.is_sorted_by_key(|member| member.owner));
    let weights: Vec<u64> = facts.first.committee.iter().map(|member| member.weight.get()).collect();
    let mut sorted = weights.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [18_000_000, 22_000_000, 28_000_000, 32_000_000]);

    let first = facts.genesis_l1.get() + 2 * 16;
    assert_eq!(facts.genesis.origin.number, L1BlockNumber::new(first - 1));
    assert_eq!(facts.epochs().start(Epoch::new(3)), L1BlockNumber::new(first + 16));
    let origin = chain.client.existing_block(At::Number(facts.genesis.origin.number)).await.unwrap();
    assert_eq!(origin.origin, facts.genesis.origin);
    assert_eq!(facts.genesis.timestamp_ms.get(), origin.timestamp_s * 1_000);

    // Solidity draws the same turns from the same seed.
    for (schedule, posting) in [(&chain.leaders, false), (&chain.posters, true)] {
        let (epoch, randomness) = (2, facts.first.randomness);
        let turns: Vec<u8> = if posting {
            let call = SequencerRegistry::postingScheduleCall { epoch, randomness, firstTurn: 1, count: 64 };
            chain.client.call(chain.deployment.registry, &call, At::Latest).await.unwrap()
        } else {
            let call = SequencerRegistry::leaderScheduleCall { epoch, randomness, firstView: 1, count: 64 };
            chain.client.call(chain.deployment.registry, &call, At::Latest).await.unwrap()
        };
        let ours: Vec<u8> = (1..=64).map(|view| schedule.leader(View::new(view)).get()).collect();
        assert_eq!(turns, ours);
    }

    // A batch of epoch 2 is its own committee's until L1 is more than LIVE_EPOCHS further.
    let mut short = ChainFacts::clone(facts);
    short.spec.live_epochs = 3;
    let certifiers = |of: u64, at: u64| {
        let epochs = short.certifiers(Epoch::new(of), L1BlockNumber::new(at));
        (epochs.start().get(), epochs.end().get())
    };
    let start = |epoch| short.epochs().start(Epoch::new(epoch)).get();
    assert_eq!(
        [start(2), start(6) - 1, start(6), start(7)].map(|at| certifiers(2, at)),
        [(2, 2), (2, 2), (3, 6), (4, 7)]
    );
    assert_eq!([start(2), start(6)].map(|at| certifiers(3, at)), [(3, 3), (3, 3)]);

    // What the ledger keeps is the same again, and L1 is compared with it.
    let stored = ChainFacts::from_json(&facts.to_json().unwrap()).unwrap();
    assert_eq!(&stored, facts.as_ref());
    let again = chain_facts(&chain.client, chain.deployment.registry, Some(stored.clone()), POLL).await.unwrap();
    assert_eq!(&again, facts.as_ref());

    let mut other = stored.clone();
    other.first.committee[1].weight = baton_proto::Weight::new(7);
    let error = chain_facts(&chain.client, chain.deployment.registry, Some(other), POLL).await.unwrap_err();
    let FactsError::Changed { field, stored: was, got } = error else { panic!("{error}") };
    assert_eq!((field.as_str(), was.as_str()), ("chain.first.committee[1].weight", "7"));
    assert_eq!(got, facts.first.committee[1].weight.to_string());

    let error = chain_facts(&chain.client, Address::repeat_byte(1), Some(stored.clone()), POLL).await.unwrap_err();
    assert!(matches!(error, FactsError::OtherRegistry { .. }), "{error}");

    // L1 is gone: what is stored is enough.
    let dead = L1Client::new(&["http://127.0.0.1:1".into()], chain.client.chain_id(), Duration::from_secs(5)).unwrap();
    let offline = chain_facts(&dead, chain.deployment.registry, Some(stored), POLL).await.unwrap();
    assert_eq!(&offline, facts.as_ref());
}

#[tokio::test]
async fn another_chain_and_another_contract_are_refused_with_both_values() {
    let anvil = start_anvil().await;
    let wrong = L1Client::new(&[anvil.url().to_owned()], L1ChainId::new(5), Duration::from_secs(10)).unwrap();
    let error = read_chain_facts(&wrong, Address::repeat_byte(1), POLL).await.unwrap_err();
    let FactsError::L1(L1Error::WrongChain { expected, got, .. }) = &error else { panic!("{error}") };
    assert_eq!((*expected, *got), (L1ChainId::new(5), L1ChainId::new(31_337)));
    assert!(!error.is_retryable());

    let right = L1Client::new(&[anvil.url().to_owned()], L1ChainId::new(31_337), Duration::from_secs(10)).unwrap();
    let error = read_chain_facts(&right, Address::repeat_byte(1), POLL).await.unwrap_err();
    assert!(matches!(error, FactsError::NotARegistry { .. }) && !error.is_retryable(), "{error}");

    // One endpoint that is down and one that is up make one that is up.
    let urls = ["http://127.0.0.1:1".to_owned(), anvil.url().to_owned()];
    let both = L1Client::new(&urls, L1ChainId::new(31_337), Duration::from_secs(10)).unwrap();
    both.check_chain().await.unwrap();
    assert!(both.block(At::Latest).await.unwrap().is_some());
    // Yet no majority of two stands behind its finality.
    assert!(both.agreed_final().await.unwrap_err().is_retryable());

    assert!(matches!(L1Client::new(&[], L1ChainId::new(1), Duration::ZERO), Err(L1Error::EndpointCount { got: 0 })));
    let error = L1Client::new(&["not a url".into()], L1ChainId::new(1), Duration::ZERO).unwrap_err();
    assert_eq!(error, L1Error::BadUrl("not a url".into()));
}

#[tokio::test]
async fn an_endpoint_that_never_answers_holds_up_nobody() {
    let chain = TestChain::start().await;
    // It takes connections, and that is all.
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let deaf = format!("http://{}", deaf.local_addr().unwrap());
    let urls = [deaf.as_str(), chain.anvil.url(), chain.anvil.url()].map(ToOwned::to_owned);
    let client = L1Client::new(&urls, chain.client.chain_id(), Duration::from_secs(3_600)).unwrap();
    let origin = chain.facts.genesis.origin;
    let asked = async { (client.agreed_block(origin.number).await.unwrap(), client.agreed_final().await.unwrap()) };
    let (agreed, newest) = tokio::time::timeout(Duration::from_secs(60), asked).await.expect("the two others agree");
    assert!(agreed.origin == origin && newest.origin.number >= origin.number);
    // What one alone calls wrong for good may be right.
    let both = L1Client::new(&urls[..2], L1ChainId::new(5), Duration::from_millis(500)).unwrap();
    assert!(both.agreed_block(origin.number).await.unwrap_err().is_retryable());
    let wrong = L1Client::new(&urls[1..], L1ChainId::new(5), Duration::from_secs(20)).unwrap();
    assert!(matches!(wrong.agreed_block(origin.number).await, Err(L1Error::WrongChain { .. })));
}

#[tokio::test]
async fn what_most_endpoints_say_counts_whichever_is_asked_first() {
    let chain = TestChain::start().await;
    // Another L1 under the same chain id, as far as this one.
    let liar = start_anvil().await;
    let head = chain.client.existing_block(At::Latest).await.unwrap().origin.number.get();
    mine_to(&client_of(&liar), head).await;
    let urls = [liar.url(), chain.anvil.url(), chain.anvil.url()].map(ToOwned::to_owned);
    let client = L1Client::new(&urls, chain.client.chain_id(), Duration::from_secs(20)).unwrap();
    let old = chain.facts.genesis.origin.number.previous().unwrap();
    let truth = chain.client.existing_block(At::Number(old)).await.unwrap();
    assert_ne!(client.existing_block(At::Number(old)).await.unwrap(), truth);
    assert_eq!(client.agreed_block(old).await.unwrap(), truth);
    assert_eq!(read_chain_facts(&client, chain.deployment.registry, POLL).await.unwrap(), *chain.facts);
    let next = chain.facts.first.epoch.next().unwrap();
    mine_to(&chain.client, chain.facts.epochs().start(next).get()).await;
    let facts = async |client| read_epoch_facts(client, &chain.facts, next, POLL).await.unwrap();
    assert_eq!(facts(&client).await, facts(&chain.client).await);

    let cancel = CancellationToken::new();
    let watcher = Watcher::spawn(client, Arc::clone(&chain.facts), chain.ledger(), POLL, cancel.clone());
    let above = chain.facts.genesis.origin.number.next().unwrap();
    let above = chain.client.existing_block(At::Number(above)).await.unwrap().origin;
    eventually("an older final block is known by its hash", || async {
        watcher.origins.judge(&above) == OriginVerdict::Final
    })
    .await;
    cancel.cancel();
    watcher.task.await.unwrap();

    // One against one is nothing to go by.
    let both = L1Client::new(&urls[..2], chain.client.chain_id(), Duration::from_secs(20)).unwrap();
    let error = both.agreed_block(old).await.unwrap_err();
    assert!(matches!(error, L1Error::Disagree { .. }) && error.is_retryable(), "{error}");
}
