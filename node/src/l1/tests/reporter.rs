//! An equivocator loses bond through evidence that honest members submit by themselves, once.

use std::{sync::Arc, time::Duration};

use alloy::rpc::types::Filter;
use alloy_primitives::{B256, Bytes, U256, keccak256};
use alloy_sol_types::{SolCall, SolError, SolEvent};
use baton_proto::{
    Attestation, BatchHash, BatchHeader, BatchIndex, Conflict, DataKind, Epoch, Evidence, Height, MemberIndex,
    SignedStatement, Statement, View,
};
use tokio::{sync::Notify, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    epoch::EpochBook,
    l1::{
        AccountConfig, AccountContext, At, CONFLICT_KEY, L1Client, Watcher,
        bindings::{BatchInbox, SequencerRegistry, Slasher, post_call},
        deploy, report_rank, report_rest,
        reporter::HURRY_BLOCKS,
        spawn_reporter,
        testing::{
            HastyEndpoint, PATIENCE, POLL, TestChain, account, anvil_call, client_behind, client_of, eventually,
            mine_to, other_digest, start_anvil,
        },
    },
    ledger::{EvidenceOnL1, EvidenceRecord, Ledger},
};

pub(super) fn equivocation(chain: &TestChain, signer: u8) -> Evidence {
    equivocation_in(chain, chain.facts.first.epoch, signer)
}

/// The same in an epoch in which everybody has the same place.
pub(super) fn equivocation_in(chain: &TestChain, epoch: Epoch, signer: u8) -> Evidence {
    let vote = |block| {
        let statement = Statement::Notarize { epoch, view: View::new(7), block: other_digest(block) };
        let signature = chain.keys[usize::from(signer)].sign(&statement, &chain.facts.domain);
        SignedStatement { statement, signer: MemberIndex::new(signer), signature }
    };
    Evidence::new(vote(1), vote(2)).unwrap()
}

pub(super) struct Member {
    pub(super) ledger: Arc<dyn Ledger>,
    found: Arc<Notify>,
    halted: CancellationToken,
    pub(super) cancel: CancellationToken,
    _record: tempfile::TempDir,
}

impl Member {
    /// Puts a pair where the driver puts it.
    pub(super) fn finds(&self, evidence: Evidence) {
        self.ledger.put_evidence(&EvidenceRecord { evidence, l1: EvidenceOnL1::Open }).unwrap();
        self.found.notify_one();
    }
}

fn member(chain: &TestChain, index: u8, ledger: Arc<dyn Ledger>) -> Member {
    let record = tempfile::tempdir().unwrap();
    let epochs = chain.epochs(Some(&chain.own_key(&chain.keys[usize::from(index)], record.path())));
    member_in(chain, index, ledger, epochs, record)
}

pub(super) fn member_in(
    chain: &TestChain,
    index: u8,
    ledger: Arc<dyn Ledger>,
    epochs: EpochBook,
    record: tempfile::TempDir,
) -> Member {
    member_through(&chain.client, chain, index, ledger, epochs, record)
}

pub(super) fn member_through(
    client: &L1Client,
    chain: &TestChain,
    index: u8,
    ledger: Arc<dyn Ledger>,
    epochs: EpochBook,
    record: tempfile::TempDir,
) -> Member {
    let (cancel, halted) = (CancellationToken::new(), CancellationToken::new());
    let watcher = Watcher::spawn(client.clone(), Arc::clone(&chain.facts), Arc::clone(&ledger), POLL, cancel.clone());
    let found = Arc::new(Notify::new());
    let context = AccountContext {
        client: client.clone(),
        facts: Arc::clone(&chain.facts),
        ledger: Arc::clone(&ledger),
        key: account(5 + usize::from(index)),
        config: AccountConfig { poll: POLL, ..AccountConfig::default() },
        l1: watcher.view,
        cancel: cancel.clone(),
    };
    spawn_reporter(context, epochs, Arc::clone(&found), halted.clone()).unwrap();
    Member { ledger, found, halted, cancel, _record: record }
}

pub(super) async fn bond(chain: &TestChain, signer: u8) -> U256 {
    let owner = chain.committee.member(MemberIndex::new(signer)).unwrap().owner;
    chain.client.call(chain.deployment.registry, &SequencerRegistry::bondOfCall { owner }, At::Latest).await.unwrap()
}

/// What the accounts for evidence have earned.
pub(super) async fn rewards(chain: &TestChain) -> U256 {
    let mut sum = U256::ZERO;
    for index in 0..4 {
        let question = SequencerRegistry::claimableCall { reporter: account(5 + index).address() };
        sum += chain.client.call(chain.deployment.registry, &question, At::Latest).await.unwrap();
    }
    sum
}

/// How often somebody committed to evidence.
pub(super) async fn commitments(chain: &TestChain) -> usize {
    let filter =
        Filter::new().address(chain.facts.slasher).event_signature(Slasher::Committed::SIGNATURE_HASH).from_block(0);
    chain.client.logs(&filter).await.unwrap().len()
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
        member.finds(evidence.clone());
    }
    // Blocks pass, as ranks are counted in them.
    eventually("the penalty", || async {
        deploy::mine(&chain.client, 1).await.unwrap();
        bond(&chain, 2).await < before
    })
    .await;
    assert_eq!(bond(&chain, 2).await, before - before / U256::from(20));
    // Whoever it was had committed to it before.
    assert_eq!(rewards(&chain).await, before / U256::from(200));
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
async fn what_there_was_no_room_for_is_taken_up_when_other_cases_are_closed() {
    let chain = TestChain::start().await;
    let evidence = equivocation(&chain, 1);
    let (epoch, before) = (evidence.epoch(), bond(&chain, 1).await);
    let reporter = member(&chain, 2, chain.ledger());
    // Nobody has these seats, and the latest come first: more of them than are looked at in one round.
    for signer in 4..200 {
        let vote = |block| SignedStatement {
            statement: Statement::Notarize { epoch, view: View::new(8), block: other_digest(block) },
            signer: MemberIndex::new(signer),
            signature: evidence.first().signature,
        };
        let pair = Evidence::new(vote(1), vote(2)).unwrap();
        reporter.ledger.put_evidence(&EvidenceRecord { evidence: pair, l1: EvidenceOnL1::Open }).unwrap();
    }
    reporter.finds(evidence);
    eventually("the penalty", || async {
        deploy::mine(&chain.client, 1).await.unwrap();
        bond(&chain, 1).await < before
    })
    .await;
    eventually("no case is open", || async {
        deploy::mine(&chain.client, 1).await.unwrap();
        reporter.ledger.evidence().unwrap().iter().all(|record| record.l1 == EvidenceOnL1::Closed)
    })
    .await;
    reporter.cancel.cancel();
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
    reporter.finds(evidence.clone());
    eventually("stored", || async { !ledger.evidence().unwrap().is_empty() }).await;
    reporter.cancel.cancel();
    anvil_call(&chain.client, "evm_setAutomine", (true,)).await;

    let reporter = member(&chain, first, Arc::clone(&ledger));
    anvil_call(&chain.client, "evm_setAutomine", (false,)).await;
    eventually("the commitment after a restart", || async {
        deploy::mine(&chain.client, 1).await.unwrap();
        commitments(&chain).await == 1
    })
    .await;
    // Between the two steps it ends once more.
    reporter.cancel.cancel();
    let reporter = member(&chain, first, Arc::clone(&ledger));
    anvil_call(&chain.client, "evm_setAutomine", (true,)).await;
    eventually("the penalty after another", || async {
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
    assert_eq!((slashes(&chain).await.len(), transactions(&chain).await), (1, 2));
    assert_eq!((commitments(&chain).await, rewards(&chain).await), (1, before / U256::from(200)));
    reporter.cancel.cancel();
}

/// Makes the first batch of all one of `epoch`, so that every epoch before is skipped.
pub(super) async fn post_in(chain: &TestChain, epoch: Epoch) {
    let data = Bytes::from_static(b"data");
    let header = BatchHeader {
        index: BatchIndex::ZERO,
        prev_batch_hash: BatchHash::new(B256::ZERO),
        epoch,
        first_height: Height::new(1),
        last_height: Height::new(1),
        last_digest: other_digest(1),
        last_origin: chain.facts.genesis.origin,
        state_root: B256::ZERO,
        forced_position: 0,
        forced_hash: B256::ZERO,
        data_kind: DataKind::Calldata,
        data_hash: keccak256(&data),
        duties_root: B256::ZERO,
    };
    let statement = Statement::Attest(Attestation::of(epoch, &header));
    let certificate = chain.certificate(statement, &[0, 1, 2, 3], &chain.facts.domain);
    let materialize = SequencerRegistry::materializeCall { epoch: epoch.get() }.abi_encode();
    let post = post_call(&header, &certificate, data).unwrap().abi_encode();
    for (to, data) in [(chain.deployment.registry, materialize), (chain.facts.inbox, post)] {
        deploy::send(&chain.client, &account(9), to, data.into(), "a test's call").await.unwrap();
    }
}

#[tokio::test]
async fn evidence_of_a_skipped_epoch_is_taken_after_the_reporter_has_named_that_epoch() {
    let chain = TestChain::start().await;
    let evidence = equivocation(&chain, 1);
    let before = bond(&chain, 1).await;
    let later = Epoch::new(evidence.epoch().get() + 1);
    mine_to(&chain.client, chain.facts.epochs().start(later).get() + 1).await;
    post_in(&chain, later).await;
    let closed = BatchInbox::closedAtCall { epoch: evidence.epoch().get() };
    assert_eq!(chain.client.call(chain.facts.inbox, &closed, At::Latest).await.unwrap(), 0);
    let reporter = member(&chain, 2, chain.ledger());
    reporter.finds(evidence);
    eventually("the penalty", || async {
        deploy::mine(&chain.client, 1).await.unwrap();
        bond(&chain, 1).await < before
    })
    .await;
    assert_ne!(chain.client.call(chain.facts.inbox, &closed, At::Latest).await.unwrap(), 0);
    reporter.cancel.cancel();
}

#[tokio::test]
async fn two_ends_of_one_batch_cost_bond_also_for_two_committees() {
    let chain = TestChain::start().await;
    let attest = |committee_epoch, block| {
        let last_digest = other_digest(block);
        let statement = Statement::Attest(Attestation {
            committee_epoch,
            batch_index: BatchIndex::new(5),
            prev_batch_hash: BatchHash::new(B256::repeat_byte(7)),
            header_hash: BatchHash::new(last_digest.get()),
            last_height: Height::new(9),
            last_digest,
            state_root: B256::ZERO,
        });
        let signature = chain.keys[2].sign(&statement, &chain.facts.domain);
        SignedStatement { statement, signer: MemberIndex::new(2), signature }
    };
    let before = bond(&chain, 2).await;
    let reporter = member(&chain, 0, chain.ledger());
    // For a later committee as well, under the key's place in the first one's.
    let epoch = chain.facts.first.epoch;
    let later = attest(Epoch::new(epoch.get() + 3), 2);
    reporter.finds(Evidence::new(attest(epoch, 1), later).unwrap());
    eventually("the penalty is final", || async {
        deploy::mine(&chain.client, 1).await.unwrap();
        reporter.ledger.evidence().unwrap().first().is_some_and(|record| record.l1 == EvidenceOnL1::Closed)
    })
    .await;
    assert_eq!(bond(&chain, 2).await, before - before / U256::from(20));
    assert_eq!(rewards(&chain).await, before / U256::from(200));
    reporter.cancel.cancel();
}

/// Two finalizations of one view by these members each.
fn conflict_of(chain: &TestChain, first: [u8; 3], second: [u8; 3]) -> Conflict {
    let finalize =
        |block| Statement::Finalize { epoch: chain.facts.first.epoch, view: View::new(7), block: other_digest(block) };
    let certificates = [(1, first), (2, second)]
        .map(|(block, signers)| chain.certificate(finalize(block), &signers, &chain.facts.domain));
    Conflict::among(&certificates).unwrap()
}

#[tokio::test]
async fn whoever_is_in_two_certificates_that_contradict_each_other_loses_everything() {
    let chain = TestChain::start().await;
    let conflict = conflict_of(&chain, [0, 1, 2], [1, 2, 3]);
    let before = [bond(&chain, 0).await, bond(&chain, 3).await];
    let reporter = member(&chain, 0, chain.ledger());
    // As the driver does it: what it halts for is in the ledger first.
    reporter.ledger.put_l1_fact(CONFLICT_KEY, &serde_json::to_vec(&conflict).unwrap()).unwrap();
    reporter.halted.cancel();
    eventually("both bonds are gone", || async {
        deploy::mine(&chain.client, 1).await.unwrap();
        bond(&chain, 1).await.is_zero() && bond(&chain, 2).await.is_zero()
    })
    .await;
    assert_eq!([bond(&chain, 0).await, bond(&chain, 3).await], before);
    assert!(!rewards(&chain).await.is_zero());
    assert_eq!(commitments(&chain).await, 1);
    reporter.cancel.cancel();
}

/// What a halted node's last process left in the ledger, taken to L1 by the next, by member 0.
async fn rest_of(chain: &TestChain, ledger: &Arc<dyn Ledger>) {
    let record = tempfile::tempdir().unwrap();
    let epochs = chain.epochs(Some(&chain.own_key(&chain.keys[0], record.path())));
    let cancel = CancellationToken::new();
    let watcher =
        Watcher::spawn(chain.client.clone(), Arc::clone(&chain.facts), Arc::clone(ledger), POLL, cancel.clone());
    let context = AccountContext {
        client: chain.client.clone(),
        facts: Arc::clone(&chain.facts),
        ledger: Arc::clone(ledger),
        key: account(5),
        config: AccountConfig { poll: POLL, ..AccountConfig::default() },
        l1: watcher.view,
        cancel: cancel.clone(),
    };
    let all = report_rest(context, epochs);
    tokio::pin!(all);
    let mining = async {
        loop {
            tokio::select! {
                ended = &mut all => return ended.unwrap(),
                () = tokio::time::sleep(POLL) => deploy::mine(&chain.client, 1).await.unwrap(),
            }
        }
    };
    timeout(PATIENCE, mining).await.expect("it ends when nothing is left to do");
    cancel.cancel();
}

#[tokio::test]
async fn what_a_halted_node_holds_is_taken_to_l1_after_its_restart() {
    let chain = TestChain::start().await;
    let conflict = conflict_of(&chain, [0, 1, 2], [1, 2, 3]);
    let ledger = chain.ledger();
    ledger.put_l1_fact(CONFLICT_KEY, &serde_json::to_vec(&conflict).unwrap()).unwrap();
    // It ends when it has announced the certificates and not shown them yet.
    let first = member(&chain, 0, Arc::clone(&ledger));
    first.halted.cancel();
    eventually("the commitment", || async {
        deploy::mine(&chain.client, 1).await.unwrap();
        commitments(&chain).await == 1
    })
    .await;
    first.cancel.cancel();
    let shown = async || bond(&chain, 1).await.is_zero() && bond(&chain, 2).await.is_zero();
    let before = [bond(&chain, 0).await, bond(&chain, 3).await];
    rest_of(&chain, &ledger).await;
    assert!(shown().await);
    assert_eq!([bond(&chain, 0).await, bond(&chain, 3).await], before);
    assert_eq!(commitments(&chain).await, 1);
    // L1 has it in a final block: whoever starts again finds nothing to do.
    let sent = transactions(&chain).await;
    rest_of(&chain, &ledger).await;
    assert_eq!(transactions(&chain).await, sent);
}

#[tokio::test]
async fn certificates_that_l1_takes_no_more_hold_nobody_up() {
    let chain = TestChain::start_with(|spec| spec.evidence_blocks = 20).await;
    let conflict = conflict_of(&chain, [0, 1, 2], [1, 2, 3]);
    let later = Epoch::new(conflict.epoch().get() + 1);
    mine_to(&chain.client, chain.facts.epochs().start(later).get() + 1).await;
    post_in(&chain, later).await;
    let reporter = chain.ledger();
    let naming = BatchInbox::closeSkippedCall { epoch: conflict.epoch().get(), before: 0 }.abi_encode().into();
    deploy::send(&chain.client, &account(9), chain.facts.inbox, naming, "a test's call").await.unwrap();
    deploy::mine(&chain.client, 40).await.unwrap();
    reporter.put_l1_fact(CONFLICT_KEY, &serde_json::to_vec(&conflict).unwrap()).unwrap();
    let before = bond(&chain, 1).await;
    rest_of(&chain, &reporter).await;
    assert_eq!((bond(&chain, 1).await, slashes(&chain).await), (before, vec![]));
}

#[tokio::test]
async fn when_the_window_is_about_to_end_nobody_waits_for_a_turn_or_a_reward() {
    let chain = TestChain::start_with(|spec| spec.evidence_blocks = HURRY_BLOCKS).await;
    let evidence = equivocation(&chain, 1);
    let before = bond(&chain, 1).await;
    let later = Epoch::new(evidence.epoch().get() + 1);
    mine_to(&chain.client, chain.facts.epochs().start(later).get() + 1).await;
    post_in(&chain, later).await;
    // The one whose turn comes last. No block passes but for what it sends itself.
    let last = (0..4_u8)
        .filter(|index| *index != 1)
        .max_by_key(|index| report_rank(&evidence, 4, Some(MemberIndex::new(*index))))
        .unwrap();
    let epoch = evidence.epoch().get();
    let name = BatchInbox::closeSkippedCall { epoch, before: 0 }.abi_encode();
    deploy::send(&chain.client, &account(9), chain.facts.inbox, name.into(), "naming the epoch").await.unwrap();
    let reporter = member(&chain, last, chain.ledger());
    reporter.finds(evidence);
    eventually("the penalty", || async { bond(&chain, 1).await < before }).await;
    assert_eq!((commitments(&chain).await, rewards(&chain).await), (0, U256::ZERO));
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
        reporter.finds(pair.clone());
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

#[tokio::test]
async fn a_case_is_closed_when_most_endpoints_hold_it_for_final() {
    let chain = TestChain::start().await;
    let hasty = HastyEndpoint::before(&chain.anvil).await;
    let evidence = equivocation(&chain, 2);
    let before = bond(&chain, 2).await;
    let record = tempfile::tempdir().unwrap();
    let epochs = chain.epochs(Some(&chain.own_key(&chain.keys[0], record.path())));
    let client = client_behind(&hasty, &chain.anvil);
    let reporter = member_through(&client, &chain, 0, chain.ledger(), epochs, record);
    reporter.finds(evidence);
    let on_l1 = || reporter.ledger.evidence().unwrap().first().map(|record| record.l1);
    eventually("the penalty, as the first endpoint tells it", || async {
        if bond(&chain, 2).await == before {
            deploy::mine(&chain.client, 1).await.unwrap();
        }
        matches!(on_l1(), Some(EvidenceOnL1::Charged { .. } | EvidenceOnL1::Closed))
    })
    .await;
    let mined = slashes(&chain).await;
    let is_closed = || async { on_l1() == Some(EvidenceOnL1::Closed) };
    // However often it looks, nothing becomes final meanwhile.
    assert!(timeout(20 * POLL, eventually("nothing", is_closed)).await.is_err(), "closed too early");
    eventually("the case is closed", || async {
        deploy::mine(&chain.client, 1).await.unwrap();
        is_closed().await
    })
    .await;
    let head = chain.client.existing_block(At::Latest).await.unwrap().origin.number.get();
    assert!(head >= mined[0] + 4, "penalized in block {}, closed at {head}", mined[0]);
    reporter.cancel.cancel();
}

/// The code of a slasher that was never told of an offence, and says `reason` to whoever tells it.
fn deaf_slasher(reason: &[u8]) -> Bytes {
    let length = u16::try_from(reason.len()).unwrap().to_be_bytes();
    // CALLDATASIZE, PUSH1 100, LT, PUSH1 12, JUMPI, and for short questions PUSH1 32, PUSH1 0, RETURN.
    let question = [0x36, 0x60, 100, 0x10, 0x60, 12, 0x57, 0x60, 32, 0x60, 0, 0xf3];
    // JUMPDEST, PUSH2 length, PUSH1 27, PUSH1 0, CODECOPY, PUSH2 length, PUSH1 0, REVERT.
    let refusal = [&[0x5b, 0x61][..], &length, &[0x60, 27, 0x60, 0, 0x39, 0x61], &length, &[0x60, 0, 0xfd]].concat();
    assert_eq!(question.len() + refusal.len(), 27);
    [&question, refusal.as_slice(), reason].concat().into()
}

#[tokio::test]
async fn one_endpoint_alone_gives_up_no_case() {
    let chain = TestChain::start().await;
    let (evidence, before) = (equivocation(&chain, 2), bond(&chain, 2).await);
    // Another L1 under the same chain id, as far as this one, where all evidence comes too late.
    let liar = start_anvil().await;
    let head = chain.client.existing_block(At::Latest).await.unwrap().origin.number.get();
    mine_to(&client_of(&liar), head).await;
    let late = Slasher::Slasher__WindowClosed { lastBlock: U256::from(1), currentBlock: U256::from(2) };
    let code = deaf_slasher(&late.abi_encode());
    anvil_call(&client_of(&liar), "anvil_setCode", (chain.facts.slasher, code)).await;
    let urls = [liar.url(), chain.anvil.url(), chain.anvil.url()].map(ToOwned::to_owned);
    let client = L1Client::new(&urls, chain.client.chain_id(), Duration::from_secs(20)).unwrap();
    let record = tempfile::tempdir().unwrap();
    let epochs = chain.epochs(Some(&chain.own_key(&chain.keys[0], record.path())));
    let misled = member_through(&client, &chain, 0, chain.ledger(), epochs, record);
    misled.finds(evidence.clone());
    let is_closed = || async {
        // On both, so that its turn comes.
        for client in [&chain.client, &client_of(&liar)] {
            deploy::mine(client, 1).await.unwrap();
        }
        misled.ledger.evidence().unwrap().first().is_some_and(|record| record.l1 == EvidenceOnL1::Closed)
    };
    assert!(timeout(50 * POLL, eventually("nothing", is_closed)).await.is_err(), "one endpoint's word closed the case");
    assert_eq!(bond(&chain, 2).await, before);
    let honest = member(&chain, 1, chain.ledger());
    honest.finds(evidence);
    eventually("the case is closed", is_closed).await;
    assert!(bond(&chain, 2).await < before);
    for member in [misled, honest] {
        member.cancel.cancel();
    }
}
