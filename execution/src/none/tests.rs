//! Turns given, skipped and never given twice.

use std::collections::{BTreeMap, BTreeSet};

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope, crypto::secp256k1::sign_message};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Bytes, TxHash, TxKind, U256};
use baton_proto::{BlockDigest, Forced, ForcedEntry, Height, L1BlockNumber, L1Origin, L2ChainId};
use proptest::prelude::*;

use super::*;
use crate::{
    execute_all,
    state::{EvmStore as _, MemoryState},
    trie::NodeKey,
};

/// The state after the genesis block, with next nonces; 0 where none is given.
fn state(nonces: &[(u64, u64)]) -> MemoryState {
    let mut changes = NonceExecutor::genesis(&genesis());
    for (key, nonce) in nonces {
        let after = Some(Account { nonce: *nonce, ..Account::default() });
        changes.accounts.insert(account(*key), Change { before: None, after });
    }
    let mut state = MemoryState::default();
    state.apply(&changes).unwrap();
    state
}

/// A state on a disk that lost its accounts.
struct Unreadable(MemoryState);

impl EvmState for Unreadable {
    fn head(&self) -> Result<Option<Head>, StateError> {
        self.0.head()
    }

    fn account(&self, account: Address) -> Result<Option<Account>, StateError> {
        Err(StateError(format!("{account} lies on a bad sector")))
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        self.0.storage(address, slot)
    }

    fn code(&self, hash: B256) -> Result<Option<Bytes>, StateError> {
        self.0.code(hash)
    }

    fn block_digest(&self, height: Height) -> Result<Option<BlockDigest>, StateError> {
        self.0.block_digest(height)
    }

    fn node(&self, key: &NodeKey) -> Result<Option<Bytes>, StateError> {
        self.0.node(key)
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

fn genesis() -> BlockHeader {
    let origin = L1Origin { number: L1BlockNumber::ZERO, hash: B256::ZERO };
    BlockHeader::genesis(L2ChainId::new(7_777), origin, 0)
}

/// The block after `parent`.
fn block_on(parent: &BlockHeader, transactions: Vec<Transaction>) -> Block {
    let height = parent.height.next().unwrap();
    let header = BlockHeader { height, parent: parent.digest(), ..parent.clone() };
    Block { header, forced: Forced::default(), transactions }
}

fn block(transactions: Vec<Transaction>) -> Block {
    block_on(&genesis(), transactions)
}

fn forced(data: impl Into<Bytes>) -> ForcedEntry {
    ForcedEntry::new(L1BlockNumber::ZERO, Address::ZERO, 0, data.into())
}

fn execute(transactions: Vec<Transaction>, state: &MemoryState) -> ExecutedBlock {
    NonceExecutor.execute(&block(transactions), state).unwrap()
}

fn nonces(executed: &ExecutedBlock) -> Vec<(Address, u64)> {
    executed.changes.accounts.iter().map(|(address, change)| (*address, change.after.unwrap().nonce)).collect()
}

const fn too_low(got: u64, expected: u64) -> Outcome {
    Outcome::Skipped(SkipReason::NonceTooLow { got, expected })
}

const fn too_high(got: u64, expected: u64) -> Outcome {
    Outcome::Skipped(SkipReason::NonceTooHigh { got, expected })
}

#[test]
fn two_in_a_row_execute_in_one_block_and_in_two() {
    let start = state(&[]);
    let together = execute(vec![tx(1, 0, 0), tx(1, 1, 0)], &start);
    assert_eq!(together.outcomes, [Outcome::Executed, Outcome::Executed]);
    assert_eq!(nonces(&together), [(account(1), 2)]);
    assert_eq!((together.state_root, together.gas_used, together.receipts), (B256::ZERO, 0, Vec::new()));

    let first = block(vec![tx(1, 0, 0)]);
    let second = block_on(&first.header, vec![tx(1, 1, 0)]);
    let results = execute_all(&NonceExecutor, [&first, &second], &start).unwrap();
    assert_eq!(results[1].outcomes, [Outcome::Executed]);
    assert_eq!(nonces(&results[1]), [(account(1), 2)]);
}

#[test]
fn only_the_next_block_is_executed() {
    let next = block(vec![tx(1, 0, 0)]);
    let after = block_on(&next.header, Vec::new());
    let refused = NonceExecutor.execute(&after, &state(&[])).unwrap_err();
    assert!(matches!(refused, ExecuteError::NotNext { .. }), "{refused}");
    let refused = NonceExecutor.execute(&next, &MemoryState::default()).unwrap_err();
    assert!(matches!(refused, ExecuteError::NoGenesis), "{refused}");
    let stranger = Block { header: BlockHeader { parent: after.header.digest(), ..next.header }, ..after };
    let refused = NonceExecutor.execute(&stranger, &state(&[])).unwrap_err();
    assert!(matches!(refused, ExecuteError::OtherParent { .. }), "{refused}");
}

#[test]
fn a_gap_is_skipped_and_changes_nothing() {
    let executed = execute(vec![tx(1, 1, 0)], &state(&[]));
    assert_eq!(executed.outcomes, [too_high(1, 0)]);
    assert!(executed.changes.accounts.is_empty());
}

#[test]
fn what_was_skipped_for_a_gap_executes_when_its_turn_comes() {
    let executed = execute(vec![tx(1, 1, 0), tx(1, 0, 0), tx(1, 1, 0)], &state(&[]));
    assert_eq!(executed.outcomes, [too_high(1, 0), Outcome::Executed, Outcome::Executed]);
}

#[test]
fn a_replay_is_skipped_in_the_same_block_and_in_a_later_one() {
    let executed = execute(vec![tx(1, 0, 0), tx(1, 0, 0)], &state(&[]));
    assert_eq!(executed.outcomes, [Outcome::Executed, too_low(0, 1)]);
    let later = execute(vec![tx(1, 0, 0)], &state(&[(1, 1)]));
    assert_eq!(later.outcomes, [too_low(0, 1)]);
    assert!(later.changes.accounts.is_empty());
}

#[test]
fn another_transaction_with_a_used_nonce_is_a_replay_too() {
    let executed = execute(vec![tx(1, 0, 0), tx(1, 0, 1)], &state(&[]));
    assert_eq!(executed.outcomes, [Outcome::Executed, too_low(0, 1)]);
}

#[test]
fn an_invalid_transaction_changes_nothing_of_a_valid_one_after_it() {
    let state = state(&[(1, 3)]);
    let alone = execute(vec![tx(1, 3, 0), tx(2, 0, 0)], &state);
    for invalid in [tx(1, 2, 0), tx(1, 4, 0), tx(1, u64::MAX, 0), tx(3, 9, 0)] {
        let after = execute(vec![invalid.clone(), tx(1, 3, 0), tx(2, 0, 0)], &state);
        assert_ne!(after.outcomes[0], Outcome::Executed);
        assert_eq!(after.outcomes[1..], alone.outcomes, "after {invalid:?}");
        assert_eq!(after.changes.accounts, alone.changes.accounts);
    }
}

#[test]
fn accounts_do_not_concern_each_other() {
    let executed = execute(vec![tx(2, 5, 0), tx(1, 0, 0), tx(2, 0, 0)], &state(&[]));
    assert_eq!(executed.outcomes, [too_high(5, 0), Outcome::Executed, Outcome::Executed]);
    let mut expected = [(account(1), 1), (account(2), 1)];
    expected.sort();
    assert_eq!(nonces(&executed), expected);
}

#[test]
fn an_empty_block_changes_the_head_alone() {
    let executed = execute(Vec::new(), &state(&[]));
    let head = executed.changes.head;
    assert_eq!(head.after.unwrap().digest, block(Vec::new()).header.digest());
    assert_eq!(executed.changes, ChangeSet { head, ..ChangeSet::default() });
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
    let executed = NonceExecutor.execute(&block, &state(&[])).unwrap();
    let expected = [
        Outcome::Skipped(SkipReason::Malformed),
        Outcome::Skipped(SkipReason::ForeignChain { got: 1 }),
        Outcome::Skipped(SkipReason::TooMuchForcedGas { got: 4_000_001 }),
        too_high(3, 0),
        Outcome::Executed,
        too_low(0, 1),
        Outcome::Skipped(SkipReason::Malformed),
        // The leader's own come after them: the first finds its nonce used.
        too_low(0, 1),
        Outcome::Executed,
    ];
    assert_eq!(executed.outcomes, expected);
    assert_eq!(nonces(&executed), [(account(1), 2)]);
}

#[test]
fn an_unreadable_state_is_an_error_and_not_an_outcome() {
    let unreadable = Unreadable(state(&[]));
    let error = NonceExecutor.execute(&block(vec![tx(1, 0, 0)]), &unreadable).unwrap_err();
    assert!(error.to_string().starts_with("state unreadable: "), "{error}");
    // Nobody's nonce is needed for nothing.
    assert!(NonceExecutor.execute(&block(Vec::new()), &unreadable).is_ok());
}

#[test]
fn outcomes_are_told_under_names_that_stay() {
    for (outcome, json) in [
        (Outcome::Executed, r#"{"status":"executed"}"#),
        (too_low(3, 7), r#"{"status":"skipped","reason":"nonceTooLow","got":3,"expected":7}"#),
        (too_high(9, 7), r#"{"status":"skipped","reason":"nonceTooHigh","got":9,"expected":7}"#),
        (Outcome::Skipped(SkipReason::Malformed), r#"{"status":"skipped","reason":"malformed"}"#),
        (
            Outcome::Skipped(SkipReason::ForeignChain { got: 7 }),
            r#"{"status":"skipped","reason":"foreignChain","got":7}"#,
        ),
        (
            Outcome::Skipped(SkipReason::FeeCapTooLow { got: U256::from(3), base_fee: 7 }),
            r#"{"status":"skipped","reason":"feeCapTooLow","got":"0x3","baseFee":7}"#,
        ),
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
        let (mut state, mut parent) = (state(&[]), genesis());
        let mut next: BTreeMap<Address, u64> = BTreeMap::new();
        let mut executed: BTreeSet<TxHash> = BTreeSet::new();
        let mut order: BTreeMap<Address, Vec<u64>> = BTreeMap::new();
        for transactions in blocks {
            let transactions = transactions.into_iter().map(|(key, nonce, value)| tx(key, nonce, value)).collect();
            let block = block_on(&parent, transactions);
            let result = NonceExecutor.execute(&block, &state).unwrap();
            prop_assert_eq!(&result, &NonceExecutor.execute(&block, &state).unwrap(), "not a pure function");
            prop_assert_eq!(result.outcomes.len(), block.transactions.len());
            for (tx, outcome) in block.transactions.iter().zip(&result.outcomes) {
                let expected = next.get(&tx.sender()).copied().unwrap_or_default();
                let right = match tx.nonce() {
                    nonce if nonce == expected => Outcome::Executed,
                    nonce if nonce < expected => too_low(nonce, expected),
                    nonce => too_high(nonce, expected),
                };
                prop_assert_eq!(outcome, &right);
                if *outcome == Outcome::Executed {
                    prop_assert!(executed.insert(*tx.hash()), "{} executed twice", tx.hash());
                    order.entry(tx.sender()).or_default().push(tx.nonce());
                    next.insert(tx.sender(), tx.nonce() + 1);
                }
            }
            state.apply(&result.changes).unwrap();
            let stored: BTreeMap<_, _> = state.accounts().map(|(address, account)| (address, account.nonce)).collect();
            prop_assert_eq!(&stored, &next);
            parent = block.header;
        }
        // Every account's nonces were used in their order, each once.
        for nonces in order.values() {
            prop_assert!(nonces.iter().copied().eq(0..nonces.len() as u64));
        }
    }
}
