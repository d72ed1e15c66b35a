//! What is not valid at its turn is skipped, and nobody feels it.

use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_primitives::{Address, B256, U256};
use baton_execution::{Outcome, SkipReason, state::EvmState};

use crate::{
    code,
    kit::{BASE_FEE, Chain, Draft, RECIPIENT, RICH, draft, person},
};

const READER: Address = Address::repeat_byte(0xa2);
const FRIEND: Address = Address::repeat_byte(0x77);

#[test]
fn every_reason_is_said_in_the_words_that_clients_know() {
    let mut chain = Chain::with([(READER, code::reader())]);
    chain.one(draft(1, 0, FRIEND));
    let too_much = Draft { value: U256::from(RICH), ..draft(1, 1, FRIEND) };
    let base_fee = chain.executor.next_base_fee(&chain.state.head().unwrap().unwrap());
    let cases = [
        (draft(1, 0, FRIEND), "nonce too low: next nonce 1, tx nonce 0"),
        (draft(1, 3, FRIEND), "nonce too high: next nonce 1, tx nonce 3"),
        (too_much, "insufficient funds for gas * price + value"),
        (
            Draft { max_fee: 5, tip: 5, ..draft(1, 1, FRIEND) },
            "max fee per gas less than block base fee: maxFeePerGas: 5",
        ),
        (Draft { max_fee: 5, ..draft(1, 1, FRIEND).kind(0) }, "max fee per gas less than block base fee"),
        (Draft { tip: 4_000_000_000, ..draft(1, 1, FRIEND) }, "max priority fee per gas higher than max fee per gas"),
        (draft(1, 1, FRIEND).gas(20_999), "intrinsic gas too low: have 20999, want 21000"),
        (draft(1, 1, FRIEND).gas(22_000).data(vec![1; 100]), "intrinsic gas too low"),
        (draft(1, 1, FRIEND).gas(24_999).data(vec![1; 100]), "insufficient gas for floor data gas cost"),
        (draft(1, 1, FRIEND).gas(16_777_217), "transaction gas limit too high: 16777217, at most 16777216"),
        (draft(1, 1, None).gas(10_000_000).data(vec![0; 49_153]), "max initcode size exceeded"),
        (draft(1, 1, FRIEND).authorized(Vec::new()), "EIP-7702 transaction with empty auth list"),
        (draft(11, 0, FRIEND), "insufficient funds for gas * price + value: have 0"),
    ];
    for (transaction, text) in cases {
        let (before, accounts) = (chain.balance(person(1)), chain.state.accounts().count());
        let reason = chain.skipped(transaction);
        assert!(reason.to_string().starts_with(text), "`{reason}` is not `{text}`");
        let stored = serde_json::to_value(&reason).unwrap();
        assert_eq!(serde_json::from_value::<SkipReason>(stored).unwrap(), reason);
        assert_eq!((chain.nonce(person(1)), chain.balance(person(1))), (1, before), "{text}");
        assert_eq!(chain.state.accounts().count(), accounts);
    }
    assert!(base_fee < BASE_FEE);
    chain.one(draft(1, 1, FRIEND));
}

#[test]
fn contracts_do_not_send() {
    // Nobody has a contract's key, but a genesis file may put code where somebody has one.
    let mut chain = Chain::with([(person(11), code::reader())]);
    chain.one(Draft { value: U256::from(RICH / 2), ..draft(1, 0, person(10)) });
    let forwards = Draft { value: U256::from(RICH / 2), ..draft(10, 0, person(11)) };
    assert!(chain.one(forwards).is_success());
    assert_eq!(chain.skipped(draft(11, 1, FRIEND)), SkipReason::SenderNotEoa);
}

/// Transactions that are refused in every way, and would warm the reader, its slot, a friend and the recipient if they left
/// anything behind.
fn refused(key: u64) -> Vec<Draft> {
    let warm = [READER, FRIEND].map(|address| AccessListItem { address, storage_keys: vec![B256::ZERO] });
    let warm = Draft { access_list: AccessList(warm.to_vec()), ..draft(key, 0, READER) };
    vec![
        Draft { value: U256::MAX >> 1, ..warm.clone() },
        Draft { nonce: 9, ..warm.clone() },
        Draft { max_fee: 1, tip: 1, ..warm.clone() },
        Draft { gas: 21_500, ..warm },
    ]
}

#[test]
fn an_invalid_transaction_changes_nothing_of_a_valid_one_after_it() {
    let valid = || vec![draft(1, 0, READER), draft(1, 1, FRIEND).value(1)];
    let chain = Chain::with([(READER, code::reader())]);
    let signed = |drafts: Vec<Draft>| drafts.into_iter().map(Draft::signed).collect::<Vec<_>>();
    let alone = chain.execute(&chain.block(signed(valid())));
    assert_eq!(alone.receipts[0].gas_used, 23_115, "21,000, a cold slot, and little else");

    let mut all = Vec::new();
    all.extend(refused(2));
    all.extend(valid().drain(..1));
    all.extend(refused(1));
    all.extend(refused(2));
    all.extend(valid().drain(1..));
    let among = chain.execute(&chain.block(signed(all)));
    let executed = among.outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Executed)).count();
    assert_eq!((executed, among.outcomes.len()), (2, 14));
    let plain = |receipts: &[baton_execution::TransactionReceipt]| {
        receipts.iter().map(|receipt| (receipt.hash, receipt.gas_used, receipt.envelope.clone())).collect::<Vec<_>>()
    };
    assert_eq!(plain(&among.receipts), plain(&alone.receipts));
    assert_eq!((among.receipts_root, among.gas_used), (alone.receipts_root, alone.gas_used));
    assert_eq!(among.changes.accounts, alone.changes.accounts);
    assert_eq!(among.state_root, alone.state_root);
}

#[test]
fn a_transaction_that_no_longer_fits_is_skipped_and_a_smaller_one_still_fits() {
    let mut chain = Chain::start(16_777_216, &[(READER, code::looper())]);
    let executed = chain.run(vec![
        draft(1, 0, READER).gas(16_000_000),
        draft(1, 1, FRIEND).gas(777_217),
        draft(2, 0, FRIEND).gas(777_216),
    ]);
    assert_eq!(
        executed.outcomes,
        [
            Outcome::Executed,
            Outcome::Skipped(SkipReason::GasLimitReached { got: 777_217, left: 777_216 }),
            Outcome::Executed,
        ]
    );
}

#[test]
fn a_skipped_transaction_executes_when_its_turn_comes() {
    let mut chain = Chain::new();
    let later = draft(1, 1, RECIPIENT).value(1);
    assert_eq!(chain.skipped(later.clone()), SkipReason::NonceTooHigh { got: 1, expected: 0 });
    let executed = chain.run(vec![draft(1, 0, FRIEND), later.clone(), later]);
    let last = Outcome::Skipped(SkipReason::NonceTooLow { got: 1, expected: 2 });
    assert_eq!(executed.outcomes[1..], [Outcome::Executed, last]);
}
