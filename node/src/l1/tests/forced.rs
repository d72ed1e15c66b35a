//! The forced queue read from a real inbox, through endpoints that leave things out, and back out of posted batches.

use std::{sync::Arc, time::Duration};

use alloy_primitives::{B256, keccak256};
use alloy_sol_types::SolCall;
use baton_consensus::DutyTable;
use baton_proto::{
    BlockHeader, DataKind, Forced, ForcedEntry, L1BlockNumber, L1ChainId, PayloadCommitment, batch_data,
    limits::FORCED_ENTRY_BYTES_MAX,
};
use tokio_util::sync::CancellationToken;

use crate::{
    batcher::{Roots, Situation},
    l1::{
        At, InboxTip, L1Client, L1Error, OriginVerdict, Watcher,
        bindings::{BatchInbox, SequencerRegistry, post_call},
        deploy, forced_due, nothing_read, read_entries, read_posted_chain,
        testing::{HastyEndpoint, PATIENCE, POLL, TestChain, account, client_behind, enqueue, transfer},
    },
};

async fn until_final(watcher: &mut Watcher, number: u64) {
    let is_final = |view: &crate::l1::L1View| view.finalized.is_some_and(|(origin, _)| origin.number.get() >= number);
    let seen = tokio::time::timeout(PATIENCE, watcher.view.wait_for(is_final)).await;
    drop(seen.unwrap_or_else(|_| panic!("block {number} is not final within {PATIENCE:?}")).unwrap());
}

#[tokio::test]
async fn what_is_final_has_its_forced_entries_read() {
    let chain = TestChain::start().await;
    let entries =
        [transfer(&account(8), 0).raw().to_vec(), b"no transaction".to_vec(), vec![0xee; FORCED_ENTRY_BYTES_MAX]];
    for entry in &entries {
        enqueue(&chain, entry).await;
    }
    let last = chain.client.existing_block(At::Latest).await.unwrap().origin.number;
    deploy::mine(&chain.client, 5).await.unwrap();

    // One endpoint of three has no logs, and takes everything for final at once.
    let liar = HastyEndpoint::without_logs(&chain.anvil).await;
    let client = client_behind(&liar, &chain.anvil);
    let (ledger, cancel) = (chain.ledger(), CancellationToken::new());
    let spawn = |client: &L1Client, ledger: &Arc<dyn crate::ledger::Ledger>| {
        Watcher::spawn(client.clone(), Arc::clone(&chain.facts), Arc::clone(ledger), POLL, cancel.clone())
    };
    let mut watcher = spawn(&client, &ledger);
    until_final(&mut watcher, last.get()).await;
    let cursor = ledger.forced_cursor().unwrap().unwrap();
    assert!(cursor.length == 3 && cursor.read_to >= last, "{cursor:?}");
    let read: Vec<ForcedEntry> = (0..3).map(|position| ledger.forced_entry(position).unwrap().unwrap()).collect();
    assert!(read.iter().map(ForcedEntry::data).eq(entries.iter()));
    assert!(read.iter().all(|entry| entry.sender() == account(9).address()));
    // The hash is the contract's own.
    let call = BatchInbox::forcedAtCall { position: 3 };
    let on_l1 = chain.client.call(chain.facts.inbox, &call, At::Latest).await.unwrap();
    assert_eq!((on_l1.rollingHash, on_l1.l1Block), (cursor.hash, read[2].l1_block().get()));
    assert_eq!(Forced::new(B256::ZERO, read.clone()).hash_after(0), Some(cursor.hash));
    // Due from the block that brought it on.
    let first = read[0].l1_block();
    let due = |position, origin| forced_due(ledger.as_ref(), position, origin).unwrap();
    assert_eq!(due(0, first.previous().unwrap()), Some(vec![]));
    assert_eq!(due(0, first).unwrap()[0], read[0]);
    assert_eq!(due(1, last), Some(read[1..].to_vec()));
    assert_eq!(due(0, L1BlockNumber::new(1 << 40)), None, "not read so far");

    // What comes later is read from where this ended.
    enqueue(&chain, b"later").await;
    let last = chain.client.existing_block(At::Latest).await.unwrap().origin;
    deploy::mine(&chain.client, 5).await.unwrap();
    until_final(&mut watcher, last.number.get()).await;
    assert_eq!(ledger.forced_entry(3).unwrap().unwrap().data().as_ref(), b"later");
    assert_eq!(ledger.forced_entry(0).unwrap().as_ref(), Some(&read[0]));

    // An endpoint alone that has no logs is not believed: nothing is final here until somebody shows them.
    let alone =
        L1Client::new(std::slice::from_ref(&liar.url), L1ChainId::new(chain.anvil.chain_id()), Duration::from_secs(20))
            .unwrap();
    let refused = read_entries(&alone, &chain.facts, &nothing_read(&chain.facts), last.number).await;
    assert!(matches!(refused, Err(L1Error::Missing { .. })), "{refused:?}");
    let fresh = chain.ledger();
    let mut blind = spawn(&alone, &fresh);
    let why = |view: &crate::l1::L1View| view.why.contains("forced entry 0");
    drop(tokio::time::timeout(PATIENCE, blind.view.wait_for(why)).await.expect("it says why").unwrap());
    assert_eq!(blind.origins.judge(&last), OriginVerdict::NotYet);
    assert_eq!(fresh.forced_cursor().unwrap(), None);

    cancel.cancel();
    watcher.task.await.unwrap();
    blind.task.await.unwrap();

    // A restart that sees nothing of L1 still knows what is due, and what is final.
    let dark = L1Client::new(&["http://127.0.0.1:1".into()], chain.client.chain_id(), Duration::from_secs(1)).unwrap();
    let cancel = CancellationToken::new();
    let restarted = Watcher::spawn(dark, Arc::clone(&chain.facts), Arc::clone(&ledger), POLL, cancel.clone());
    assert_eq!(restarted.origins.judge(&last), OriginVerdict::Final);
    assert_eq!(due(3, last.number).unwrap().len(), 1);
    cancel.cancel();
    restarted.task.await.unwrap();
}

/// The inbox takes a batch whose blocks take what is due, and nobody needs more than L1 to read it back; it refuses one that
/// leaves out what is overdue.
#[tokio::test]
async fn batches_with_forced_entries_are_rebuilt_from_l1_alone() {
    let chain = TestChain::start_with(|spec| spec.forced_lag_blocks = 2).await;
    let facts = &chain.facts;
    for entry in [transfer(&account(8), 0).raw().as_ref(), b"no transaction"] {
        enqueue(&chain, entry).await;
    }
    let origin = chain.client.existing_block(At::Latest).await.unwrap().origin;
    deploy::mine(&chain.client, 3).await.unwrap();
    let head = chain.client.existing_block(At::Latest).await.unwrap().origin.number;
    let (entries, cursor) = read_entries(&chain.client, facts, &nothing_read(facts), head).await.unwrap();

    let mut blocks = chain.blocks_after(&facts.genesis, 1, 2);
    let first = &mut blocks[0];
    first.forced = Forced::new(B256::ZERO, entries.clone());
    let commitment = PayloadCommitment::of(&first.forced, &first.transactions);
    first.header = BlockHeader {
        origin,
        forced_position: 2,
        forced_hash: cursor.hash,
        payload_root: commitment.payload_root,
        transaction_count: commitment.transaction_count,
        payload_bytes: commitment.payload_bytes,
        declared_gas: commitment.declared_gas,
        ..first.header.clone()
    };
    blocks.extend(chain.blocks_after(&blocks[0].header.clone(), 3, 1));

    let send =
        async |data: Vec<u8>, to| deploy::send(&chain.client, &account(9), to, data.into(), "a test's call").await;
    send(SequencerRegistry::materializeCall { epoch: 2 }.abi_encode(), chain.deployment.registry).await.unwrap();
    let post = async |blocks: &[baton_proto::Block]| {
        let data = batch_data::encode(blocks).unwrap();
        let mut duties = DutyTable::new(&chain.committee);
        blocks.iter().for_each(|block| assert!(duties.extend(&chain.leaders, &block.header)));
        let tip = InboxTip::genesis(facts);
        let situation = Situation::new(facts, facts.first.epoch, &tip, tip.accepted_at, None);
        let header = situation
            .header((DataKind::Calldata, keccak256(&data)), blocks, Roots { state: B256::ZERO, duties: duties.root() })
            .unwrap();
        let call = post_call(&header, &chain.attested(&header), data.into()).unwrap();
        send(call.abi_encode(), facts.inbox).await
    };
    // The same chain without them, as a committee of censors would post it.
    let mut censored = chain.blocks_after(&facts.genesis, 1, 2);
    let late = L1BlockNumber::new(entries[0].l1_block().get() + 2);
    censored[0].header.origin = chain.client.existing_block(At::Number(late)).await.unwrap().origin;
    let refused = post(&censored).await.unwrap_err().to_string();
    assert!(refused.contains("ForcedQueue__Overdue"), "{refused}");

    post(&blocks).await.unwrap();
    let replayed = read_posted_chain(&chain.client, facts).await.unwrap();
    assert_eq!(replayed.blocks, blocks);
    assert_eq!(replayed.blocks[0].forced.entries, entries);
    let queue = chain.client.call(facts.inbox, &BatchInbox::forcedQueueCall {}, At::Latest).await.unwrap();
    assert_eq!((queue.length, queue.consumed), (2, 2));
}
