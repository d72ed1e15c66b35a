//! Every step at which a process can die, and everything L1 can do to a transaction. The payload mints tokens, so that a
//! payload that was sent twice shows in a balance.

use std::{sync::Arc, time::Duration};

use alloy::consensus::Transaction as _;
use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::SolCall;
use baton_proto::{Domain, L1BlockNumber, L1ChainId, L2ChainId, blobs};

use crate::{
    l1::{
        At, Broadcast, Call, L1Client, L1Error, RevertReason, SendError, Sender, SenderConfig, Sidecar, Standing,
        anvil::Anvil,
        bindings::DevToken,
        deploy,
        testing::{HastyEndpoint, account, anvil_call, client_behind, client_of, eventually, signal, start_anvil},
    },
    ledger::{ChainIdentity, IntentState, Ledger, MemoryLedger},
};

const AMOUNT: u64 = 1_000;

/// Pays whatever it takes.
fn config(replace_after: Duration) -> SenderConfig {
    SenderConfig { purpose: "test", replace_after, fee_ceiling_wei: u128::MAX, tip_ceiling_wei: u128::MAX }
}

struct Stage {
    anvil: Anvil,
    client: L1Client,
    ledger: Arc<dyn Ledger>,
    token: Address,
}

impl Stage {
    async fn set() -> Self {
        let anvil = start_anvil().await;
        let client = client_of(&anvil);
        let token = deploy::deploy_token(&client, &account(0)).await.unwrap();
        let domain = Domain {
            l1_chain_id: L1ChainId::new(anvil.chain_id()),
            registry: Address::ZERO,
            l2_chain_id: L2ChainId::new(1),
        };
        let identity = ChainIdentity { domain, inbox: Address::ZERO, slasher: Address::ZERO };
        let ledger = Arc::new(MemoryLedger::new(&identity).unwrap());
        Self { anvil, client, ledger, token }
    }

    /// What a process that starts now works with.
    fn sender(&self, replace_after: Duration, fee_ceiling_wei: u128) -> Sender {
        self.sender_with(SenderConfig { fee_ceiling_wei, ..config(replace_after) })
    }

    fn sender_with(&self, config: SenderConfig) -> Sender {
        Sender::open(self.client.clone(), Arc::clone(&self.ledger), account(1), config).unwrap()
    }

    fn patient(&self) -> Sender {
        self.sender(Duration::from_secs(3_600), u128::MAX)
    }

    fn hasty(&self, fee_ceiling_wei: u128) -> Sender {
        self.sender(Duration::ZERO, fee_ceiling_wei)
    }

    fn mint(&self, to: u8) -> Call {
        let call = DevToken::mintCall { to: Address::repeat_byte(to), amount: U256::from(AMOUNT) };
        Call::plain(self.token, call.abi_encode().into())
    }

    /// The same in a transaction that carries a blob besides, which the token does not mind.
    fn mint_with_blobs(&self, to: u8) -> Call {
        Call { blobs: Some(Arc::new(Sidecar::of(b"a batch").unwrap())), ..self.mint(to) }
    }

    /// What the pool holds at a nonce: whether it has blobs, and its three fees.
    async fn pending(&self) -> (usize, [u128; 3]) {
        let hash = *self.ledger.intents().unwrap().last().unwrap().hashes.last().unwrap();
        let transaction = self.client.transaction(hash).await.unwrap().unwrap();
        let tip = transaction.max_priority_fee_per_gas().unwrap();
        let fees = [transaction.max_fee_per_gas(), tip, transaction.max_fee_per_blob_gas().unwrap_or_default()];
        (transaction.blob_versioned_hashes().unwrap_or_default().len(), fees)
    }

    async fn minted(&self, to: u8) -> u64 {
        self.balance(Address::repeat_byte(to)).await
    }

    async fn balance(&self, account: Address) -> u64 {
        self.client.call(self.token, &DevToken::balanceOfCall { account }, At::Latest).await.unwrap().to()
    }

    async fn nonce(&self) -> u64 {
        self.client.transaction_count(account(1).address(), At::Latest).await.unwrap()
    }

    async fn automine(&self, on: bool) {
        anvil_call(&self.client, "evm_setAutomine", (on,)).await;
    }

    async fn mine(&self, blocks: u64) {
        deploy::mine(&self.client, blocks).await.unwrap();
    }
}

async fn drive_until_mined(sender: &mut Sender, call: &Call) -> Standing {
    for _ in 0..100 {
        let standing = sender.drive(Some(call)).await.unwrap();
        if matches!(standing, Standing::Mined { .. }) {
            return standing;
        }
    }
    panic!("not mined after 100 rounds");
}

#[tokio::test]
async fn a_call_is_sent_once_and_its_intent_goes_when_it_is_final() {
    let stage = Stage::set().await;
    let mut sender = stage.patient();
    let call = stage.mint(0xaa);
    drive_until_mined(&mut sender, &call).await;
    assert_eq!(stage.ledger.intents().unwrap()[0].state, IntentState::Mined);
    // Still wanted: nothing more happens.
    assert!(matches!(sender.drive(Some(&call)).await.unwrap(), Standing::Mined { .. }));
    stage.mine(8).await;
    sender.drive(None).await.unwrap();
    assert!(stage.ledger.intents().unwrap().is_empty());
    assert_eq!((stage.minted(0xaa).await, stage.nonce().await), (AMOUNT, 1));
}

#[tokio::test]
async fn a_tip_beyond_its_ceiling_is_not_offered_whatever_l1_suggests() {
    let stage = Stage::set().await;
    assert!(stage.client.priority_fee().await.unwrap() > 7);
    let mut sender = stage.sender_with(SenderConfig { tip_ceiling_wei: 7, ..config(Duration::from_secs(3_600)) });
    drive_until_mined(&mut sender, &stage.mint(0xaa)).await;
    assert_eq!(stage.pending().await.1[1], 7);
}

#[tokio::test]
async fn an_intent_stays_until_most_endpoints_hold_its_transaction_for_final() {
    let mut stage = Stage::set().await;
    let hasty = HastyEndpoint::before(&stage.anvil).await;
    stage.client = client_behind(&hasty, &stage.anvil);
    let mut sender = stage.patient();
    drive_until_mined(&mut sender, &stage.mint(0xaa)).await;
    sender.drive(None).await.unwrap();
    assert_eq!(stage.ledger.intents().unwrap().len(), 1, "a reorg can take it out");
    stage.mine(8).await;
    sender.drive(None).await.unwrap();
    assert!(stage.ledger.intents().unwrap().is_empty());
}

#[tokio::test]
async fn a_crash_after_the_intent_and_before_sending_sends_the_same_bytes_once() {
    let stage = Stage::set().await;
    let call = stage.mint(0xaa);
    stage.patient().start_and_crash(0, &call).await.unwrap();
    let stored = stage.ledger.intents().unwrap();
    assert_eq!((stored.len(), stored[0].state, stage.nonce().await), (1, IntentState::Fresh, 0));

    let mut sender = stage.patient();
    let Standing::Mined { hash, .. } = drive_until_mined(&mut sender, &call).await else { panic!() };
    assert_eq!(vec![hash], stored[0].hashes);
    assert_eq!((stage.minted(0xaa).await, stage.nonce().await), (AMOUNT, 1));
}

#[tokio::test]
async fn a_crash_after_sending_and_before_noting_it_does_not_send_twice() {
    let stage = Stage::set().await;
    let call = stage.mint(0xaa);
    stage.patient().start_and_crash(0, &call).await.unwrap();
    let raw = stage.ledger.intents().unwrap()[0].raw.clone();
    assert_eq!(stage.client.broadcast(&raw).await.unwrap(), Broadcast::Accepted);

    let mut sender = stage.patient();
    drive_until_mined(&mut sender, &call).await;
    assert_eq!((stage.minted(0xaa).await, stage.nonce().await), (AMOUNT, 1));
}

#[tokio::test]
async fn a_crash_while_the_transaction_waits_finds_it_by_its_nonce() {
    let stage = Stage::set().await;
    let call = stage.mint(0xaa);
    stage.automine(false).await;
    let mut sender = stage.patient();
    assert_eq!(sender.drive(Some(&call)).await.unwrap(), Standing::Pending { nonce: 0 });
    drop(sender);

    let mut sender = stage.patient();
    // The endpoint holds the same bytes: "already known" is success.
    assert_eq!(sender.drive(Some(&call)).await.unwrap(), Standing::Pending { nonce: 0 });
    stage.mine(1).await;
    drive_until_mined(&mut sender, &call).await;
    assert_eq!((stage.minted(0xaa).await, stage.nonce().await), (AMOUNT, 1));
    // And once more after it was mined.
    let mut sender = stage.patient();
    drive_until_mined(&mut sender, &call).await;
    assert_eq!((stage.minted(0xaa).await, stage.nonce().await), (AMOUNT, 1));
}

#[tokio::test]
async fn a_stuck_transaction_is_replaced_at_its_nonce_with_higher_fees() {
    let stage = Stage::set().await;
    let call = stage.mint(0xaa);
    stage.automine(false).await;
    let mut sender = stage.hasty(u128::MAX);
    sender.drive(Some(&call)).await.unwrap();
    let first = stage.ledger.intents().unwrap()[0].clone();
    sender.drive(Some(&call)).await.unwrap();
    let second = stage.ledger.intents().unwrap()[0].clone();
    assert_eq!((second.nonce, second.hashes.len()), (first.nonce, 2));
    assert!(second.max_fee_wei * 100 >= first.max_fee_wei * 112);
    assert!(second.priority_fee_wei * 100 >= first.priority_fee_wei * 112);
    stage.mine(1).await;
    let Standing::Mined { hash, .. } = drive_until_mined(&mut sender, &call).await else { panic!() };
    assert_eq!(Some(&hash), second.hashes.last());
    assert_eq!((stage.minted(0xaa).await, stage.nonce().await), (AMOUNT, 1));
}

#[tokio::test]
async fn replacing_stops_at_the_ceiling_and_the_transaction_waits() {
    let stage = Stage::set().await;
    let call = stage.mint(0xaa);
    stage.automine(false).await;
    let mut sender = stage.hasty(u128::MAX);
    sender.drive(Some(&call)).await.unwrap();
    let fee = stage.ledger.intents().unwrap()[0].max_fee_wei;
    drop(sender);

    let ceiling = fee * 120 / 100;
    let mut sender = stage.hasty(ceiling);
    for _ in 0..6 {
        assert_eq!(sender.drive(Some(&call)).await.unwrap(), Standing::Pending { nonce: 0 });
    }
    let intent = stage.ledger.intents().unwrap()[0].clone();
    assert!(intent.hashes.len() == 2 && intent.max_fee_wei <= ceiling, "{intent:?}");
    stage.mine(1).await;
    drive_until_mined(&mut sender, &call).await;
    assert_eq!((stage.minted(0xaa).await, stage.nonce().await), (AMOUNT, 1));
}

#[tokio::test]
async fn nothing_is_sent_while_l1_costs_more_than_the_ceiling() {
    let stage = Stage::set().await;
    let mut sender = stage.hasty(10);
    let error = sender.drive(Some(&stage.mint(0xaa))).await.unwrap_err();
    assert!(matches!(&error, SendError::AboveCeiling(above) if above.ceiling_wei == 10), "{error}");
    assert!(error.is_retryable() && stage.ledger.intents().unwrap().is_empty());
}

#[tokio::test]
async fn after_a_reorg_the_same_bytes_are_sent_again() {
    let stage = Stage::set().await;
    let (first, second) = (stage.mint(0xaa), stage.mint(0xbb));
    let mut sender = stage.patient();
    drive_until_mined(&mut sender, &first).await;
    drive_until_mined(&mut sender, &second).await;
    let before = stage.ledger.intents().unwrap();
    anvil_call(&stage.client, "anvil_reorg", (2_u64, Vec::<(String, u64)>::new())).await;
    assert_eq!((stage.minted(0xaa).await, stage.nonce().await), (0, 0));

    drive_until_mined(&mut sender, &second).await;
    let after = stage.ledger.intents().unwrap();
    let bytes =
        |intents: &[crate::ledger::PostIntent]| -> Vec<Bytes> { intents.iter().map(|i| i.raw.clone()).collect() };
    assert_eq!(bytes(&before), bytes(&after));
    assert_eq!((stage.minted(0xaa).await, stage.minted(0xbb).await, stage.nonce().await), (AMOUNT, AMOUNT, 2));
}

#[tokio::test]
async fn what_l1_refuses_is_named_and_never_sent() {
    let stage = Stage::set().await;
    let call = DevToken::transferCall { to: Address::repeat_byte(1), value: U256::from(5) };
    let call = Call::plain(stage.token, call.abi_encode().into());
    let mut sender = stage.patient();
    let Err(SendError::Refused(RevertReason::Token(reason))) = sender.drive(Some(&call)).await else { panic!() };
    let DevToken::DevTokenErrors::ERC20InsufficientBalance(reason) = reason else { panic!("{reason:?}") };
    assert_eq!((reason.balance, reason.needed), (U256::ZERO, U256::from(5)));
    assert_eq!((stage.ledger.intents().unwrap().len(), stage.nonce().await), (0, 0));
}

/// A transfer of the other's tokens that waits, while the other spends them first.
async fn overtaken(stage: &Stage) -> (Sender, Call) {
    let (owner, spender) = (account(2), account(1).address());
    let mint = DevToken::mintCall { to: owner.address(), amount: U256::from(AMOUNT) };
    deploy::send(&stage.client, &owner, stage.token, mint.abi_encode().into(), "mint").await.unwrap();
    let approve = DevToken::approveCall { spender, value: U256::from(AMOUNT) };
    deploy::send(&stage.client, &owner, stage.token, approve.abi_encode().into(), "approve").await.unwrap();
    let call =
        DevToken::transferFromCall { from: owner.address(), to: Address::repeat_byte(0xcc), value: U256::from(AMOUNT) };
    let call = Call::plain(stage.token, call.abi_encode().into());
    stage.automine(false).await;
    let mut sender = stage.patient();
    sender.drive(Some(&call)).await.unwrap();
    let hash = stage.ledger.intents().unwrap()[0].hashes[0];
    anvil_call(&stage.client, "anvil_dropTransaction", (hash,)).await;
    stage.automine(true).await;
    let transfer = DevToken::transferCall { to: Address::repeat_byte(0xdd), value: U256::from(AMOUNT) };
    deploy::send(&stage.client, &owner, stage.token, transfer.abi_encode().into(), "transfer").await.unwrap();
    (sender, call)
}

#[tokio::test]
async fn what_somebody_else_made_pointless_is_cancelled_at_its_nonce() {
    let stage = Stage::set().await;
    let (mut sender, _) = overtaken(&stage).await;
    for _ in 0..3 {
        sender.drive(None).await.unwrap();
    }
    assert_eq!(stage.nonce().await, 1);
    assert_eq!((stage.minted(0xcc).await, stage.minted(0xdd).await), (0, AMOUNT));
    stage.mine(8).await;
    sender.drive(None).await.unwrap();
    assert!(stage.ledger.intents().unwrap().is_empty());
}

#[tokio::test]
async fn what_somebody_else_made_pointless_gives_its_nonce_to_what_is_wanted_now() {
    let stage = Stage::set().await;
    let (mut sender, _) = overtaken(&stage).await;
    let call = stage.mint(0xaa);
    drive_until_mined(&mut sender, &call).await;
    assert_eq!((stage.minted(0xaa).await, stage.nonce().await), (AMOUNT, 1));
}

#[tokio::test]
async fn a_nonce_that_somebody_else_used_is_given_up() {
    let stage = Stage::set().await;
    let call = stage.mint(0xaa);
    stage.patient().start_and_crash(0, &call).await.unwrap();
    // The same key, used elsewhere.
    deploy::send(&stage.client, &account(1), stage.token, stage.mint(0xbb).data, "mint").await.unwrap();
    let mut sender = stage.patient();
    drive_until_mined(&mut sender, &call).await;
    assert_eq!((stage.minted(0xaa).await, stage.minted(0xbb).await, stage.nonce().await), (AMOUNT, AMOUNT, 2));
}

#[tokio::test]
async fn an_outage_is_waited_out() {
    let stage = Stage::set().await;
    let call = stage.mint(0xaa);
    let client = L1Client::new(
        &[stage.anvil.url().to_owned()],
        L1ChainId::new(stage.anvil.chain_id()),
        Duration::from_millis(200),
    )
    .unwrap();
    let config = config(Duration::from_secs(3_600));
    let mut sender = Sender::open(client, Arc::clone(&stage.ledger), account(1), config).unwrap();
    let pid = stage.anvil.pid().unwrap();
    signal(pid, "STOP");
    let error = sender.drive(Some(&call)).await.unwrap_err();
    signal(pid, "CONT");
    assert!(matches!(&error, SendError::L1(L1Error::Timeout { .. })) && error.is_retryable(), "{error}");
    let sender = tokio::sync::Mutex::new(sender);
    eventually("mined after the outage", || async {
        matches!(sender.lock().await.drive(Some(&call)).await, Ok(Standing::Mined { .. }))
    })
    .await;
    assert_eq!((stage.minted(0xaa).await, stage.nonce().await), (AMOUNT, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stuck_transaction_with_blobs_is_replaced_at_twice_all_its_fees() {
    let stage = Stage::set().await;
    stage.automine(false).await;
    let mut sender = stage.hasty(u128::MAX);
    let call = stage.mint_with_blobs(0xaa);
    sender.drive(Some(&call)).await.unwrap();
    let (blobs, first) = stage.pending().await;
    assert!(blobs == 1 && first[2] > 0, "{first:?}");
    for _ in 0..3 {
        let (_, before) = stage.pending().await;
        sender.drive(Some(&call)).await.unwrap();
        let (blobs, after) = stage.pending().await;
        assert_eq!(blobs, 1);
        assert!(before.iter().zip(after).all(|(before, after)| after >= 2 * before), "{before:?} {after:?}");
    }
    stage.mine(1).await;
    drive_until_mined(&mut sender, &call).await;
    assert_eq!((stage.minted(0xaa).await, stage.nonce().await), (AMOUNT, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_before_sending_blobs_sends_the_same_bytes_once() {
    let stage = Stage::set().await;
    let call = stage.mint_with_blobs(0xaa);
    stage.patient().start_and_crash(0, &call).await.unwrap();
    let stored = stage.ledger.intents().unwrap();
    assert_eq!((stored.len(), stored[0].state, stage.nonce().await), (1, IntentState::Fresh, 0));
    let mut sender = stage.patient();
    let Standing::Mined { hash, .. } = drive_until_mined(&mut sender, &call).await else { panic!() };
    assert_eq!(hash, stored[0].hashes[0], "the bytes that were stored");
    assert_eq!((stage.minted(0xaa).await, stage.nonce().await), (AMOUNT, 1));
    // L1 has the blob by the hash that the call names.
    let hashes = &call.blobs.as_ref().unwrap().versioned_hashes;
    let block = stage.client.receipt(hash).await.unwrap().unwrap().block_number.unwrap();
    let blobs = stage.client.blobs(L1BlockNumber::new(block), hashes).await.unwrap();
    assert_eq!(blobs::unpack(&blobs).unwrap(), b"a batch");
}

/// L1's pools keep transactions with and without blobs apart, and replace each by its like only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_that_l1_would_refuse_by_now_give_way_to_nothing_and_not_to_a_call_without_blobs() {
    let stage = Stage::set().await;
    let mut sender = stage.hasty(u128::MAX);
    let funding = DevToken::mintCall { to: account(1).address(), amount: U256::from(5) };
    let transfer = DevToken::transferCall { to: Address::repeat_byte(1), value: U256::from(5) };
    let blobs = Some(Arc::new(Sidecar::of(b"a batch").unwrap()));
    let call = Call { to: stage.token, data: transfer.abi_encode().into(), blobs };
    deploy::send(&stage.client, &account(0), stage.token, funding.abi_encode().into(), "mint").await.unwrap();
    stage.automine(false).await;
    sender.drive(Some(&call)).await.unwrap();
    // From now on the token refuses everything.
    anvil_call(&stage.client, "anvil_setCode", (stage.token, Bytes::from_static(&[0x5f, 0x5f, 0xfd]))).await;
    let other = Call::plain(Address::repeat_byte(9), Bytes::from_static(b"whatever"));
    sender.drive(Some(&other)).await.unwrap();
    let (carried, _) = stage.pending().await;
    assert_eq!(carried, 1, "a replacement carries blobs too");
    let hash = *stage.ledger.intents().unwrap()[0].hashes.last().unwrap();
    let transaction = stage.client.transaction(hash).await.unwrap().unwrap();
    assert_eq!(transaction.to(), Some(account(1).address()), "and does nothing");
}
