//! Turns given, skipped and never given twice.

use std::collections::BTreeSet;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope, crypto::secp256k1::sign_message};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Bytes, TxHash, TxKind, U256};
use baton_proto::{BlockHeader, Forced, ForcedEntry, L1BlockNumber, L1Origin, L2ChainId, Transaction};
use proptest::prelude::*;

use super::*;

/// Next nonces; 0 where none is given.
#[derive(Clone, Debug, Default)]
struct State(BTreeMap<Address, u64>);

impl StateView for State {
    fn nonce(&self, account: Address) -> Result<u64, StateError> {
        Ok(self.0.get(&account).copied().unwrap_or_default())
    }
}

struct Unreadable;

impl StateView for Unreadable {
    fn nonce(&self, account: Address) -> Result<u64, StateError> {
        Err(StateError(format!("{account} lies on a bad sector")))
    }
}

/// Transaction number `nonce` of account `key`; another `value` makes it another transaction.
fn tx(key: u64, nonce: u64, value: u64) -> Transaction {
    let unsigned = TxEip1559 {
        chain_id: 7_777,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 1,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(Address::repeat_byte(0xee)),
        value: U256::from(value),
        access_list: Default::default(),
        input: Default::default(),
    };
    let signature = sign_message(U256::from(key).into(), unsigned.signature_hash()).unwrap();
    Transaction::decode(TxEnvelope::from(unsigned.into_signed(signature)).encoded_2718().into()).unwrap()
}

fn account(key: u64) -> Address {
    tx(key, 0, 0).sender()
}

fn block(transactions: Vec<Transaction>) -> Block {
    let origin = L1Origin { number: L1BlockNumber::ZERO, hash: B256::ZERO };
    Block { header: BlockHeader::genesis(L2ChainId::new(7_777), origin, 0), forced: Forced::default(), transactions }
}

fn forced(data: impl Into<Bytes>) -> ForcedEntry {
    ForcedEntry::new(L1BlockNumber::ZERO, Address::ZERO, 0, data.into())
}

fn execute(transactions: Vec<Transaction>, state: &State) -> Executed {
    NonceExecutor.execute(&block(transactions), state).unwrap()
}

#[test]
fn two_in_a_row_execute_in_one_block_and_in_two() {
    let together = execute(vec![tx(1, 0, 0), tx(1, 1, 0)], &State::default());
    assert_eq!(together.outcomes, [Outcome::Executed, Outcome::Executed]);
    assert_eq!(together.nonces, BTreeMap::from([(account(1), 2)]));
    assert_eq!(together.state_root, B256::ZERO);

    let first = execute(vec![tx(1, 0, 0)], &State::default());
    let second = execute(vec![tx(1, 1, 0)], &State(first.nonces));
    assert_eq!((second.outcomes, second.nonces), (vec![Outcome::Executed], together.nonces));
}

#[test]
fn a_gap_is_skipped_and_changes_nothing() {
    let executed = execute(vec![tx(1, 1, 0)], &State::default());
    assert_eq!(executed.outcomes, [Outcome::SkippedGap { expected: 0 }]);
    assert!(executed.nonces.is_empty());
}

#[test]
fn what_was_skipped_for_a_gap_executes_when_its_turn_comes() {
    let executed = execute(vec![tx(1, 1, 0), tx(1, 0, 0), tx(1, 1, 0)], &State::default());
    assert_eq!(executed.outcomes, [Outcome::SkippedGap { expected: 0 }, Outcome::Executed, Outcome::Executed]);
}

#[test]
fn a_replay_is_skipped_in_the_same_block_and_in_a_later_one() {
    let executed = execute(vec![tx(1, 0, 0), tx(1, 0, 0)], &State::default());
    assert_eq!(executed.outcomes, [Outcome::Executed, Outcome::SkippedReplay { expected: 1 }]);
    let later = execute(vec![tx(1, 0, 0)], &State(executed.nonces));
    assert_eq!(later.outcomes, [Outcome::SkippedReplay { expected: 1 }]);
    assert!(later.nonces.is_empty());
}

#[test]
fn another_transaction_with_a_used_nonce_is_a_replay_too() {
    let executed = execute(vec![tx(1, 0, 0), tx(1, 0, 1)], &State::default());
    assert_eq!(executed.outcomes, [Outcome::Executed, Outcome::SkippedReplay { expected: 1 }]);
}

#[test]
fn an_invalid_transaction_changes_nothing_of_a_valid_one_after_it() {
    let state = State(BTreeMap::from([(account(1), 3)]));
    let alone = execute(vec![tx(1, 3, 0), tx(2, 0, 0)], &state);
    for invalid in [tx(1, 2, 0), tx(1, 4, 0), tx(1, u64::MAX, 0), tx(3, 9, 0)] {
        let after = execute(vec![invalid.clone(), tx(1, 3, 0), tx(2, 0, 0)], &state);
        assert_ne!(after.outcomes[0], Outcome::Executed);
        assert_eq!(after.outcomes[1..], alone.outcomes, "after {invalid:?}");
        assert_eq!(after.nonces, alone.nonces);
    }
}

#[test]
fn accounts_do_not_concern_each_other() {
    let executed = execute(vec![tx(2, 5, 0), tx(1, 0, 0), tx(2, 0, 0)], &State::default());
    assert_eq!(executed.outcomes, [Outcome::SkippedGap { expected: 0 }, Outcome::Executed, Outcome::Executed]);
    assert_eq!(executed.nonces, BTreeMap::from([(account(1), 1), (account(2), 1)]));
}

#[test]
fn an_empty_block_changes_nothing() {
    let executed = execute(Vec::new(), &State::default());
    assert_eq!(executed, Executed { outcomes: Vec::new(), nonces: BTreeMap::new(), state_root: B256::ZERO });
}

/// Whatever a forced entry is, it has an outcome of its own, and what comes after it counts from what it did.
#[test]
fn forced_entries_take_their_turn_first() {
    let mut block = block(vec![tx(1, 0, 5), tx(1, 1, 0)]);
    let foreign = {
        let unsigned = TxEip1559 { chain_id: 1, gas_limit: 21_000, ..Default::default() };
        let signature = sign_message(U256::ONE.into(), unsigned.signature_hash()).unwrap();
        TxEnvelope::from(unsigned.into_signed(signature)).encoded_2718()
    };
    let greedy = {
        let unsigned = TxEip1559 { chain_id: 7_777, gas_limit: 4_000_001, ..Default::default() };
        let signature = sign_message(U256::ONE.into(), unsigned.signature_hash()).unwrap();
        TxEnvelope::from(unsigned.into_signed(signature)).encoded_2718()
    };
    let good = tx(1, 0, 0);
    let entries = vec![
        forced(*b"none"),
        forced(foreign),
        forced(greedy),
        forced(tx(2, 3, 0).raw().clone()),
        forced(good.raw().clone()),
        forced(good.raw().clone()),
        ForcedEntry::new(L1BlockNumber::ZERO, Address::ZERO, 1, tx(2, 0, 0).raw().clone()),
    ];
    block.forced = Forced::new(B256::ZERO, entries);
    let executed = NonceExecutor.execute(&block, &State::default()).unwrap();
    let expected = [
        Outcome::SkippedMalformed,
        Outcome::SkippedForeignChain { got: 1 },
        Outcome::SkippedTooMuchGas { got: 4_000_001 },
        Outcome::SkippedGap { expected: 0 },
        Outcome::Executed,
        Outcome::SkippedReplay { expected: 1 },
        Outcome::SkippedMalformed,
        // The leader's own come after them: the first finds its nonce used.
        Outcome::SkippedReplay { expected: 1 },
        Outcome::Executed,
    ];
    assert_eq!(executed.outcomes, expected);
    assert_eq!(executed.nonces, BTreeMap::from([(account(1), 2)]));
}

#[test]
fn an_unreadable_state_is_an_error_and_not_an_outcome() {
    let error = NonceExecutor.execute(&block(vec![tx(1, 0, 0)]), &Unreadable).unwrap_err();
    assert!(error.to_string().starts_with("state unreadable: "), "{error}");
    // Nobody's nonce is needed for nothing.
    assert!(NonceExecutor.execute(&block(Vec::new()), &Unreadable).is_ok());
}

#[test]
fn outcomes_are_stored_under_names_that_stay() {
    for (outcome, json) in [
        (Outcome::Executed, r#"{"status":"executed"}"#),
        (Outcome::SkippedReplay { expected: 7 }, r#"{"status":"skippedReplay","expected":7}"#),
        (Outcome::SkippedGap { expected: 7 }, r#"{"status":"skippedGap","expected":7}"#),
        (Outcome::SkippedMalformed, r#"{"status":"skippedMalformed"}"#),
        (Outcome::SkippedForeignChain { got: 7 }, r#"{"status":"skippedForeignChain","got":7}"#),
        (Outcome::SkippedTooMuchGas { got: 7 }, r#"{"status":"skippedTooMuchGas","got":7}"#),
    ] {
        assert_eq!(serde_json::to_string(&outcome).unwrap(), json);
        assert_eq!(serde_json::from_str::<Outcome>(json).unwrap(), outcome);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn nothing_executes_twice(
        blocks in prop::collection::vec(prop::collection::vec((1u64..4, 0u64..6, 0u64..2), 0..12), 0..8)
    ) {
        let mut state = State::default();
        let mut executed: BTreeSet<TxHash> = BTreeSet::new();
        let mut order: BTreeMap<Address, Vec<u64>> = BTreeMap::new();
        for transactions in blocks {
            let block = block(transactions.into_iter().map(|(key, nonce, value)| tx(key, nonce, value)).collect());
            let result = NonceExecutor.execute(&block, &state).unwrap();
            prop_assert_eq!(&result, &NonceExecutor.execute(&block, &state).unwrap(), "not a pure function");
            prop_assert_eq!(result.outcomes.len(), block.transactions.len());
            let mut next = state.clone();
            for (tx, outcome) in block.transactions.iter().zip(&result.outcomes) {
                let expected = next.nonce(tx.sender()).unwrap();
                let right = match tx.nonce() {
                    nonce if nonce == expected => Outcome::Executed,
                    nonce if nonce < expected => Outcome::SkippedReplay { expected },
                    _ => Outcome::SkippedGap { expected },
                };
                prop_assert_eq!(*outcome, right);
                if *outcome == Outcome::Executed {
                    prop_assert!(executed.insert(*tx.hash()), "{} executed twice", tx.hash());
                    order.entry(tx.sender()).or_default().push(tx.nonce());
                    next.0.insert(tx.sender(), tx.nonce() + 1);
                }
            }
            state.0.extend(result.nonces);
            prop_assert_eq!(&state.0, &next.0);
        }
        // Every account's nonces were used in their order, each once.
        for nonces in order.values() {
            prop_assert!(nonces.iter().copied().eq(0..nonces.len() as u64));
        }
    }
}
