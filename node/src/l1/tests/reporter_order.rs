//! Which of several cases goes to L1 first, and what holds up none of the others.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use alloy::rpc::types::Filter;
use alloy_primitives::{Address, U256};
use alloy_sol_types::{SolCall, SolEvent};
use baton_proto::{Epoch, Evidence, MemberIndex};
use serde_json::json;
use tokio::time::timeout;

use super::reporter::{Member, bond, commitments, equivocation, equivocation_in, member_through, post_in, rewards};
use crate::l1::{
    At, L1Client,
    bindings::{BatchInbox, Slasher},
    deploy,
    reporter::case_id,
    testing::{FakeEndpoint, POLL, TestChain, account, called, eventually, mine_to, refusal},
};

/// One without a seat, whose turn comes at the same time in all cases.
fn observer(chain: &TestChain, client: &L1Client) -> Member {
    member_through(client, chain, 0, chain.ledger(), chain.epochs(None), tempfile::tempdir().unwrap())
}

fn owner(chain: &TestChain, evidence: &Evidence) -> Address {
    chain.committee.member(evidence.signer()).unwrap().owner
}

/// Two members' offences in the first epoch: the first is looked at before the second.
fn two_cases(chain: &TestChain) -> [Evidence; 2] {
    let mut cases = [0, 1].map(|signer| equivocation(chain, signer));
    cases.sort_by_key(case_id);
    cases
}

/// The epochs of the offences that L1 knows, in the order in which it was told.
async fn slashed(chain: &TestChain) -> Vec<u64> {
    let filter =
        Filter::new().address(chain.facts.slasher).event_signature(Slasher::Slashed::SIGNATURE_HASH).from_block(0);
    let logs = chain.client.logs(&filter).await.unwrap();
    logs.iter().map(|log| U256::from_be_bytes(log.topics()[2].0).to()).collect()
}

async fn mine_one(chain: &TestChain) {
    deploy::mine(&chain.client, 1).await.unwrap();
}

#[tokio::test]
async fn what_l1_will_take_for_the_shortest_time_goes_first() {
    let chain = TestChain::start().await;
    let (ended, running) = (chain.facts.first.epoch, Epoch::new(3));
    mine_to(&chain.client, chain.facts.epochs().start(running).get() + 1).await;
    post_in(&chain, running).await;
    let naming = BatchInbox::closeSkippedCall { epoch: ended.get(), before: 0 }.abi_encode().into();
    deploy::send(&chain.client, &account(9), chain.facts.inbox, naming, "naming the epoch").await.unwrap();
    // By any other order the one of the running epoch would be first.
    let all = |epoch| (0..4).map(move |signer| (epoch, signer));
    let cases = all(running).flat_map(|running| all(ended).map(move |ended| [running, ended]));
    let [later, sooner] = cases
        .map(|pair| pair.map(|(epoch, signer)| equivocation_in(&chain, epoch, signer)))
        .find(|[later, sooner]| later.signer() != sooner.signer() && case_id(later) < case_id(sooner))
        .unwrap();
    let reporter = observer(&chain, &chain.client);
    reporter.finds(later);
    reporter.finds(sooner);
    eventually("both penalties", || async {
        mine_one(&chain).await;
        slashed(&chain).await.len() == 2
    })
    .await;
    assert_eq!(slashed(&chain).await, [ended.get(), running.get()]);
    reporter.cancel.cancel();
}

#[tokio::test]
async fn a_case_that_l1_says_nothing_about_holds_up_no_other() {
    let chain = TestChain::start().await;
    let [silent, other] = two_cases(&chain);
    let question = Slasher::hasOffendedCall { owner: owner(&chain, &silent), epoch: silent.epoch().get() }.abi_encode();
    let endpoint = FakeEndpoint::before(&chain.anvil, move |asked| {
        called(asked).is_some_and(|(_, data)| data == question).then(|| json!("0x"))
    })
    .await;
    let before = [bond(&chain, 0).await, bond(&chain, 1).await];
    let reporter = observer(&chain, &endpoint.client(&chain.anvil));
    for evidence in [&silent, &other] {
        reporter.finds(evidence.clone());
    }
    let bond_of = async |evidence: &Evidence| bond(&chain, evidence.signer().get()).await;
    let had = |evidence: &Evidence| before[usize::from(evidence.signer().get())];
    eventually("the penalty", || async {
        mine_one(&chain).await;
        bond_of(&other).await < had(&other)
    })
    .await;
    assert_eq!(bond_of(&silent).await, had(&silent));
    reporter.cancel.cancel();
}

#[tokio::test]
async fn a_case_that_is_refused_now_waits_and_holds_up_no_other() {
    let chain = TestChain::start().await;
    let [refused, other] = two_cases(&chain);
    let (slasher, offender, asked) = (chain.facts.slasher, owner(&chain, &refused), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&asked);
    let endpoint = FakeEndpoint::before(&chain.anvil, move |question| {
        let (to, data) = called(question)?;
        let is_refused =
            to == slasher && Slasher::submitCall::abi_decode(&data).is_ok_and(|call| call.owner == offender);
        is_refused.then(|| {
            count.fetch_add(1, Ordering::Relaxed);
            refusal(3, "execution reverted: not now")
        })
    })
    .await;
    let before = bond(&chain, other.signer().get()).await;
    let reporter = observer(&chain, &endpoint.client(&chain.anvil));
    for evidence in [&refused, &other] {
        reporter.finds(evidence.clone());
    }
    eventually("the penalty", || async {
        mine_one(&chain).await;
        bond(&chain, other.signer().get()).await < before
    })
    .await;
    assert!(asked.load(Ordering::Relaxed) > 0, "its turn came too");
    // Before it commits and when it sends: as long as no block comes, one attempt at the most.
    let so_far = asked.load(Ordering::Relaxed);
    let more = eventually("nothing", || async { asked.load(Ordering::Relaxed) > so_far + 2 });
    assert!(timeout(20 * POLL, more).await.is_err(), "asked again and again");
    reporter.cancel.cancel();
}

#[tokio::test]
async fn where_no_reward_is_left_nothing_is_announced() {
    let chain = TestChain::start().await;
    let first = equivocation(&chain, 2);
    let before = bond(&chain, 2).await;
    let reporter = observer(&chain, &chain.client);
    reporter.finds(first);
    eventually("the penalty", || async {
        mine_one(&chain).await;
        slashed(&chain).await.len() == 1
    })
    .await;
    let penalized = bond(&chain, 2).await;
    assert_eq!((commitments(&chain).await, penalized), (1, before - before / U256::from(20)));
    let later = Epoch::new(3);
    mine_to(&chain.client, chain.facts.epochs().start(later).get() + 1).await;
    let seat = chain.epoch(later, &chain.facts.genesis, None).await;
    assert_eq!(seat.committee.member(MemberIndex::new(2)), chain.committee.member(MemberIndex::new(2)));
    reporter.finds(equivocation_in(&chain, later, 2));
    eventually("the other offence counts too", || async {
        mine_one(&chain).await;
        slashed(&chain).await.len() == 2
    })
    .await;
    assert_eq!((commitments(&chain).await, bond(&chain, 2).await), (1, penalized));
    assert_eq!(rewards(&chain).await, before / U256::from(200));
    assert_eq!(chain.client.transaction_count(account(5).address(), At::Latest).await.unwrap(), 3);
    reporter.cancel.cancel();
}
