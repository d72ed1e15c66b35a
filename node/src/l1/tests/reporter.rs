//! An equivocator loses bond through evidence that honest members submit by themselves, once.

use std::sync::Arc;

use alloy::rpc::types::Filter;
use alloy_primitives::U256;
use alloy_sol_types::SolEvent;
use baton_proto::{Epoch, Evidence, MemberIndex, SignedStatement, Statement, View};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    epoch::EpochBook,
    l1::{
        AccountConfig, AccountContext, At, Watcher,
        bindings::{SequencerRegistry, Slasher},
        deploy, report_rank, spawn_reporter,
        testing::{POLL, TestChain, account, anvil_call, eventually, mine_to, other_digest},
    },
    ledger::{EvidenceOnL1, Ledger},
};

fn equivocation(chain: &TestChain, signer: u8) -> Evidence {
    let vote = |block| {
        let statement =
            Statement::Notarize { epoch: chain.facts.first.epoch, view: View::new(7), block: other_digest(block) };
        let signature = chain.keys[usize::from(signer)].sign(&statement, &chain.facts.domain);
        SignedStatement { statement, signer: MemberIndex::new(signer), signature }
    };
    Evidence::new(vote(1), vote(2)).unwrap()
}

struct Member {
    ledger: Arc<dyn Ledger>,
    evidence: mpsc::Sender<Evidence>,
    cancel: CancellationToken,
    _record: tempfile::TempDir,
}

fn member(chain: &TestChain, index: u8, ledger: Arc<dyn Ledger>) -> Member {
    let record = tempfile::tempdir().unwrap();
    let epochs = chain.epochs(Some(&chain.own_key(&chain.keys[usize::from(index)], record.path())));
    member_in(chain, index, ledger, epochs, record)
}

fn member_in(
    chain: &TestChain,
    index: u8,
    ledger: Arc<dyn Ledger>,
    epochs: EpochBook,
    record: tempfile::TempDir,
) -> Member {
    let cancel = CancellationToken::new();
    let watcher =
        Watcher::spawn(chain.client.clone(), Arc::clone(&chain.facts), Arc::clone(&ledger), POLL, cancel.clone());
    let (evidence, incoming) = mpsc::channel(4);
    let context = AccountContext {
        client: chain.client.clone(),
        facts: Arc::clone(&chain.facts),
        ledger: Arc::clone(&ledger),
        key: account(5 + usize::from(index)),
        config: AccountConfig { poll: POLL, ..AccountConfig::default() },
        l1: watcher.view,
        cancel: cancel.clone(),
    };
    spawn_reporter(context, epochs, incoming).unwrap();
    Member { ledger, evidence, cancel, _record: record }
}

async fn bond(chain: &TestChain, signer: u8) -> U256 {
    let owner = chain.committee.member(MemberIndex::new(signer)).unwrap().owner;
    chain.client.call(chain.deployment.registry, &SequencerRegistry::bondOfCall { owner }, At::Latest).await.unwrap()
}

/// The L1 blocks with a penalty.
async fn slashes(chain: &TestChain) -> Vec<u64> {
    let filter =
        Filter::new().address(chain.facts.slasher).event_signature(Slasher::Slashed::SIGNATURE_HASH).from_block(0);
    chain.client.logs(&filter).await.unwrap().iter().filter_map(|log| log.block_number).collect()
}

async fn transactions(chain: &TestChain) -> u64 {
    let mut sum = 0;
    for index in 0..4 {
        sum += chain.client.transaction_count(account(5 + index).address(), At::Latest).await.unwrap();
    }
    sum
}

#[tokio::test]
async fn all_members_hold_the_pair_and_one_transaction_punishes_it() {
    let chain = TestChain::start().await;
    let evidence = equivocation(&chain, 2);
    let before = bond(&chain, 2).await;
    let members: Vec<Member> = (0..4).map(|index| member(&chain, index, chain.ledger())).collect();
    for member in &members {
        member.evidence.send(evidence.clone()).await.unwrap();
    }
    // Blocks pass, as ranks are counted in them.
    eventually("the penalty", || async {
        deploy::mine(&chain.client, 1).await.unwrap();
        bond(&chain, 2).await < before
    })
    .await;
    assert_eq!(bond(&chain, 2).await, before - before / U256::from(20));
    eventually("all honest members close the case", || async {
        deploy::mine(&chain.client, 1).await.unwrap();
        members
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != 2)
            .all(|(_, member)| member.ledger.evidence().unwrap().iter().all(|record| record.l1 == EvidenceOnL1::Closed))
    })
    .await;
    assert_eq!(slashes(&chain).await.len(), 1);
    for member in members {
        member.cancel.cancel();
    }
}

#[tokio::test]
async fn evidence_survives_a_restart_and_a_reorg() {
    let chain = TestChain::start().await;
    let evidence = equivocation(&chain, 1);
    let before = bond(&chain, 1).await;
    // The one whose turn comes first, apart from the offender.
    let first = (0..4_u8)
        .filter(|index| *index != 1)
        .min_by_key(|index| report_rank(&evidence, 4, Some(MemberIndex::new(*index))))
        .unwrap();
    let ledger = chain.ledger();
    let reporter = member(&chain, first, Arc::clone(&ledger));
    anvil_call(&chain.client, "evm_setAutomine", (false,)).await;
    reporter.evidence.send(evidence.clone()).await.unwrap();
    eventually("stored", || async { !ledger.evidence().unwrap().is_empty() }).await;
    reporter.cancel.cancel();
    anvil_call(&chain.client, "evm_setAutomine", (true,)).await;

    let reporter = member(&chain, first, Arc::clone(&ledger));
    eventually("the penalty after a restart", || async {
        deploy::mine(&chain.client, 1).await.unwrap();
        bond(&chain, 1).await < before
    })
    .await;
    let head = chain.client.existing_block(At::Latest).await.unwrap().origin.number.get();
    // anvil shows a block's state a moment before its logs.
    eventually("the penalty's log", || async { !slashes(&chain).await.is_empty() }).await;
    let depth = head + 1 - slashes(&chain).await[0];
    anvil_call(&chain.client, "anvil_reorg", (depth, Vec::<(String, u64)>::new())).await;
    eventually("the penalty is final after a reorg", || async {
        deploy::mine(&chain.client, 1).await.unwrap();
        ledger.evidence().unwrap()[0].l1 == EvidenceOnL1::Closed
    })
    .await;
    assert!(bond(&chain, 1).await < before);
    assert_eq!((slashes(&chain).await.len(), transactions(&chain).await), (1, 1));
    reporter.cancel.cancel();
}

#[tokio::test]
async fn evidence_of_an_epoch_that_is_forgotten_here_is_judged_by_what_l1_knows_of_it() {
    let chain = TestChain::start_growing(|_| {}).await;
    let (evidence, own) = (equivocation(&chain, 1), equivocation(&chain, 2));
    let before = [bond(&chain, 1).await, bond(&chain, 2).await];
    mine_to(&chain.client, chain.facts.epochs().start(Epoch::new(9)).get() + 4).await;
    // The committee of this epoch has another member at each of these places.
    let record = tempfile::tempdir().unwrap();
    let key = chain.own_key(&chain.keys[2], record.path());
    let epoch = chain.epoch(Epoch::new(9), &chain.facts.genesis, Some(&key)).await;
    assert_eq!((epoch.committee.len(), epoch.me()), (5, Some(MemberIndex::new(3))));
    let reporter = member_in(&chain, 2, chain.ledger(), EpochBook::new(epoch), record);
    for pair in [&own, &evidence] {
        reporter.evidence.send(pair.clone()).await.unwrap();
    }
    eventually("the penalty is final", || async {
        deploy::mine(&chain.client, 1).await.unwrap();
        let records = reporter.ledger.evidence().unwrap();
        records.iter().any(|record| record.evidence == evidence && record.l1 == EvidenceOnL1::Closed)
    })
    .await;
    assert!(bond(&chain, 1).await < before[0]);
    // Who it is itself in that epoch it finds by its key.
    assert_eq!((bond(&chain, 2).await, slashes(&chain).await.len()), (before[1], 1));
    reporter.cancel.cancel();
}
