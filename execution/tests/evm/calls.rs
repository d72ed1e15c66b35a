//! Reads that run code: calls, estimates and access lists.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
};

use alloy_primitives::{Address, B256, Bytes, U256};
use baton_execution::{
    SkipReason,
    evm::{AccountOverride, CallError, CallLimits, CallRequest, CallStatus, Estimate, Overrides, Reader},
    genesis::{DETERMINISTIC_DEPLOYER, MULTICALL3},
    trie::prove,
};

use crate::{
    code::{self, op},
    kit::{Chain, Draft, LIMITS, RICH, authorize, draft, person},
};

const KEEPER: Address = Address::repeat_byte(0xa1);
const READER: Address = Address::repeat_byte(0xa2);
const REVERTER: Address = Address::repeat_byte(0xa3);
const LOOPER: Address = Address::repeat_byte(0xa4);
const CALLER: Address = Address::repeat_byte(0xa5);
const LOGGER: Address = Address::repeat_byte(0xa6);
const FRIEND: Address = Address::repeat_byte(0x77);

fn chain() -> Chain {
    let mut chain = Chain::with([
        (KEEPER, code::keeper()),
        (READER, code::reader()),
        (REVERTER, code::reverter()),
        (LOOPER, code::looper()),
        (CALLER, code::caller()),
        (LOGGER, code::logger()),
    ]);
    chain.run(Vec::new());
    chain
}

fn call(to: Address) -> CallRequest {
    CallRequest { to: Some(to), ..CallRequest::default() }
}

fn with(to: Address, data: impl Into<Bytes>) -> CallRequest {
    CallRequest { data: data.into(), ..call(to) }
}

fn no() -> Overrides {
    Overrides::new()
}

#[test]
fn a_call_returns_reverts_or_halts() {
    let chain = chain();
    let reader = chain.reader();
    let done = reader.call(&call(READER), &no()).unwrap();
    assert_eq!((done.status, done.output.len(), done.gas_used), (CallStatus::Success, 32, 23_115));
    let reverted = reader.call(&call(REVERTER), &no()).unwrap();
    assert_eq!((reverted.status, reverted.output), (CallStatus::Reverted, code::word(7).into()));
    let halted = reader.call(&CallRequest { gas: Some(50_000), ..call(LOOPER) }, &no()).unwrap();
    assert_eq!((halted.status, halted.gas_used), (CallStatus::Halted("out of gas".to_owned()), 50_000));
    let logged = reader.call(&with(LOGGER, vec![5]), &no()).unwrap();
    assert_eq!((logged.logs.len(), logged.logs[0].address), (1, LOGGER));
    let made = reader.call(&CallRequest { data: code::creates(&code::reader()), ..CallRequest::default() }, &no());
    assert_eq!(made.unwrap().output, code::reader());
}

#[test]
fn anybody_may_call_for_free_but_only_with_money_that_they_have() {
    let chain = chain();
    let reader = chain.reader();
    let from_contract = CallRequest { from: KEEPER, ..call(READER) };
    assert_eq!(reader.call(&from_contract, &no()).unwrap().status, CallStatus::Success);
    let rich = CallRequest { from: person(1), value: U256::from(RICH), ..call(FRIEND) };
    assert_eq!(reader.call(&rich, &no()).unwrap().status, CallStatus::Success);
    let refuse = |request: &CallRequest| match reader.call(request, &no()).unwrap_err() {
        CallError::Refused(reason) => reason,
        other => panic!("{other}"),
    };
    let poor = CallRequest { from: FRIEND, value: U256::from(1), ..call(KEEPER) };
    assert!(matches!(refuse(&poor), SkipReason::InsufficientFunds { .. }));
    let cheap = CallRequest { from: person(1), gas_price: Some(1), ..call(FRIEND) };
    assert!(matches!(refuse(&cheap), SkipReason::FeeCapTooLow { .. }));
    let unpaid = CallRequest { from: FRIEND, max_fee: Some(2_000_000_000), ..call(KEEPER) };
    assert!(matches!(refuse(&unpaid), SkipReason::InsufficientFunds { .. }));
    let paid = CallRequest { from: person(1), max_fee: Some(2_000_000_000), gas: Some(100_000), ..call(FRIEND) };
    assert_eq!(reader.call(&paid, &no()).unwrap().gas_used, 21_000);
}

#[test]
fn a_call_leaves_no_trace_and_sees_overrides() {
    let chain = chain();
    let reader = chain.reader();
    let keep = with(KEEPER, code::input(&[code::word(0), code::word(5)], &[]));
    assert_eq!(reader.call(&keep, &no()).unwrap().status, CallStatus::Success);
    assert_eq!(reader.call(&call(READER), &no()).unwrap().output, Bytes::from(code::word(0)));

    let slots = BTreeMap::from([(U256::ZERO, U256::from(9))]);
    let changed = AccountOverride {
        balance: Some(U256::from(3)),
        code: Some(code::reader()),
        state_diff: slots.clone(),
        ..AccountOverride::default()
    };
    let overrides = Overrides::from([(FRIEND, changed)]);
    let pays = CallRequest { from: FRIEND, value: U256::from(3), ..call(KEEPER) };
    assert_eq!(reader.call(&pays, &overrides).unwrap().status, CallStatus::Success);
    assert_eq!(reader.call(&call(FRIEND), &overrides).unwrap().output, Bytes::from(code::word(9)));
    assert_eq!(chain.code(FRIEND), Bytes::new());

    let mut chain = chain;
    chain.one(draft(1, 0, KEEPER).data(code::input(&[code::word(0), code::word(8)], &[])));
    let as_reader = |state, state_diff| {
        let code = Some(code::reader());
        let overrides = Overrides::from([(KEEPER, AccountOverride { code, state, state_diff, ..Default::default() })]);
        chain.reader().call(&call(KEEPER), &overrides).unwrap().output
    };
    assert_eq!(as_reader(None, BTreeMap::new()), Bytes::from(code::word(8)));
    assert_eq!(as_reader(Some(BTreeMap::new()), BTreeMap::new()), Bytes::from(code::word(0)), "replaced as a whole");
    assert_eq!(as_reader(Some(BTreeMap::new()), slots), Bytes::from(code::word(9)));
}

#[test]
fn gas_and_time_are_bounded() {
    let chain = chain();
    let asked = AtomicU32::new(0);
    let stop = || asked.fetch_add(1, Ordering::Relaxed) >= 3;
    // Gas for years: what does not stop does not end.
    let limits = CallLimits { gas_max: u64::MAX / 4, should_stop: &stop, ..LIMITS };
    let reader = chain.executor.reader(&chain.head, &chain.state, limits).unwrap();
    assert!(matches!(reader.call(&call(LOOPER), &no()), Err(CallError::Stopped)));
    assert_eq!(asked.load(Ordering::Relaxed), 4, "and was not asked again");
    // Also where the code that does not end was called by other code.
    let nested = with(CALLER, code::input(&[code::address(LOOPER)], &[]));
    assert!(matches!(reader.call(&nested, &no()), Err(CallError::Stopped)));
    assert!(matches!(reader.estimate_gas(&call(LOOPER), &no()), Err(CallError::Stopped)));
    assert!(matches!(reader.access_list(&nested, &no()), Err(CallError::Stopped)));

    let limits = CallLimits { gas_max: 60_000, ..LIMITS };
    let reader = chain.executor.reader(&chain.head, &chain.state, limits).unwrap();
    let halted = reader.call(&CallRequest { gas: Some(1_000_000), ..call(LOOPER) }, &no()).unwrap();
    assert_eq!(halted.gas_used, 60_000, "nobody gets more than the limit");
}

#[test]
fn a_reader_is_of_one_block() {
    let mut chain = chain();
    let before = chain.head.clone();
    chain.run(Vec::new());
    let other = chain.executor.reader(&before, &chain.state, LIMITS).err().unwrap();
    assert!(matches!(other, CallError::OtherBlock { .. }));
}

/// Whether a call with this gas limit succeeds.
fn suffices(reader: &Reader<'_>, request: &CallRequest, gas: u64) -> bool {
    let request = CallRequest { gas: Some(gas), ..request.clone() };
    reader.call(&request, &no()).is_ok_and(|outcome| outcome.status == CallStatus::Success)
}

#[test]
fn an_estimate_is_enough_and_little_more() {
    let chain = chain();
    let reader = chain.reader();
    let transfer = CallRequest { from: person(1), value: U256::from(1), ..call(FRIEND) };
    assert_eq!(reader.estimate_gas(&transfer, &no()).unwrap(), Estimate::Gas(21_000));
    // A call in a call, which is given all but a 64th; and a contract in a call in a call.
    let keep = code::input(&[code::word(3), code::word(4)], &[]);
    let nested = code::input(&[code::address(KEEPER)], &keep);
    let deeper = code::input(&[code::address(CALLER)], &nested);
    let creates = code::input(&[code::address(DETERMINISTIC_DEPLOYER), [0; 32]], &code::creates(&code::reader()));
    let calls = [
        with(KEEPER, keep),
        with(CALLER, nested),
        with(CALLER, deeper),
        with(CALLER, creates),
        with(FRIEND, vec![7; 500]),
        CallRequest { data: code::creates(&code::caller()), ..CallRequest::default() },
    ];
    for request in calls {
        let request = CallRequest { from: person(1), ..request };
        let Estimate::Gas(gas) = reader.estimate_gas(&request, &no()).unwrap() else { panic!("{request:?}") };
        assert!(suffices(&reader, &request, gas), "{gas}");
        assert!(!suffices(&reader, &request, gas - gas / 50), "{gas} is far too much");
    }

    let Estimate::Fails(outcome) = reader.estimate_gas(&call(REVERTER), &no()).unwrap() else { panic!() };
    assert_eq!((outcome.status, outcome.output), (CallStatus::Reverted, Bytes::from(code::word(7))));
    let allowance = |request| match reader.estimate_gas(&request, &no()) {
        Err(CallError::Allowance { allowance }) => allowance,
        other => panic!("{other:?}"),
    };
    assert_eq!(allowance(call(LOOPER)), 16_777_216, "what a transaction may declare");
    assert_eq!(allowance(CallRequest { gas: Some(20_000), ..call(READER) }), 20_000);
    let price = 2_000_000_000;
    let poor = Overrides::from([(
        FRIEND,
        AccountOverride { balance: Some(U256::from(price * 22_000)), ..Default::default() },
    )]);
    let priced = CallRequest { from: FRIEND, max_fee: Some(price), ..call(READER) };
    assert!(matches!(reader.estimate_gas(&priced, &poor), Err(CallError::Allowance { allowance: 22_000 })));
}

#[test]
fn an_access_list_holds_what_a_call_touches() {
    let chain = chain();
    let reader = chain.reader();
    let keep = code::input(&[code::word(3), code::word(4)], &[]);
    let request = CallRequest { from: person(1), ..with(CALLER, code::input(&[code::address(KEEPER)], &keep)) };
    let (list, outcome) = reader.access_list(&request, &no()).unwrap();
    assert_eq!(outcome.status, CallStatus::Success);
    let found: Vec<_> = list.iter().map(|item| (item.address, item.storage_keys.clone())).collect();
    assert_eq!(found, [(KEEPER, vec![B256::with_last_byte(3)]), (CALLER, vec![B256::ZERO])]);
    let listed = CallRequest { access_list: Some(list), ..request };
    assert_eq!(reader.call(&listed, &no()).unwrap().gas_used, outcome.gas_used);
    let (_, reverted) = reader.access_list(&call(REVERTER), &no()).unwrap();
    assert_eq!(reverted.status, CallStatus::Reverted);
}

#[test]
fn tools_find_their_contracts() {
    let mut chain = chain();
    // getBlockNumber()
    let number = chain.reader().call(&with(MULTICALL3, alloy_primitives::hex!("42cbb15c")), &no()).unwrap();
    assert_eq!(number.output, Bytes::from(code::word(1)));
    let init = code::creates(&code::reader());
    let salt = B256::repeat_byte(3);
    let receipt = chain.one(draft(1, 0, DETERMINISTIC_DEPLOYER).data(code::input(&[salt.0], &init)));
    assert!(receipt.is_success());
    assert_eq!(chain.code(DETERMINISTIC_DEPLOYER.create2_from_code(salt, &init)), code::reader());
}

#[test]
fn a_call_may_delegate() {
    let chain = chain();
    let request = CallRequest { from: person(1), authorizations: vec![authorize(5, 0, READER)], ..call(person(5)) };
    let outcome = chain.reader().call(&request, &no()).unwrap();
    assert_eq!((outcome.status, outcome.output.len()), (CallStatus::Success, 32));
}

#[test]
fn proofs_are_of_the_state_that_calls_see() {
    let mut chain = chain();
    chain.one(draft(1, 0, KEEPER).data(code::input(&[code::word(3), code::word(4)], &[])));
    let proof = prove(&chain.state, KEEPER, &[U256::from(3), U256::from(4)]).unwrap();
    assert_eq!(proof.storage.iter().map(|slot| slot.value).collect::<Vec<_>>(), [U256::from(4), U256::ZERO]);
    assert_eq!(proof.account.nonce, 1);
    assert_eq!(prove(&chain.state, FRIEND, &[]).unwrap().account, Default::default());
}

#[test]
fn instructions_that_look_at_others_are_seen() {
    // balance(friend)
    let code = [&[0x73][..], FRIEND.as_slice(), &[op::BALANCE, op::ADDRESS]].concat();
    let looks = Address::repeat_byte(0xb7);
    let chain = Chain::with([(looks, code.into())]);
    let (list, _) = chain.reader().access_list(&call(looks), &no()).unwrap();
    assert_eq!(list.iter().map(|item| item.address).collect::<Vec<_>>(), [FRIEND]);
    let cold = Draft { gas: 100_000, ..draft(1, 0, looks) };
    let mut chain = chain;
    let warm = Draft { access_list: list, ..draft(1, 1, looks) };
    let gas = [cold, warm].map(|transaction| chain.one(transaction).gas_used);
    assert_eq!(gas[0] + 2_400, gas[1] + 2_500, "2,400 for the list, 2,500 less for a warm account");
}
