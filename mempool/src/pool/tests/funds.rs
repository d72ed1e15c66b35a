use super::*;
use crate::AccountCode;

/// What a transfer with a fee cap of 1 wei costs.
const ONE: u64 = 21_000;

fn charging() -> Pool {
    Pool::new(PoolConfig { executor: ExecutorKind::Embedded, account_gapped_max: 4, ..config() })
}

fn rich(key: u64, balance: u64) -> State {
    State { balances: BTreeMap::from([(account(key), U256::from(balance))]), ..State::default() }
}

fn with_code(key: u64, code: AccountCode) -> State {
    State { code: BTreeMap::from([(account(key), code)]), ..State::default() }
}

/// A transaction of account `key` that carries an authorization of account `authority`.
fn set_code(key: u64, nonce: u64, authority: u64) -> Transaction {
    Draft { kind: 4, key, nonce, authority, gas: 100_000, ..Draft::default() }.signed()
}

fn nonces(selected: &[Transaction]) -> Vec<u64> {
    selected.iter().map(Transaction::nonce).collect()
}

#[test]
fn the_balance_covers_a_transaction_to_the_wei() {
    let (mut pool, draft) = (charging(), Draft { tip: 3, fee: Some(7), value: U256::from(1), ..Draft::default() });
    let error = pool.add(draft.signed(), 0, &rich(1, 7 * ONE)).unwrap_err();
    let text = "insufficient funds for gas * price + value: balance 147000, tx cost 147001, overshot 1";
    assert_eq!(error.to_string(), text);
    assert!(error.is_retryable() && pool.is_empty());
    assert!(pool.add(draft.signed(), 0, &rich(1, 7 * ONE + 1)).unwrap().executable);
}

#[test]
fn the_balance_covers_all_that_can_be_executed_together() {
    let (mut pool, state) = (charging(), rich(1, 3 * ONE));
    for nonce in 0..2 {
        pool.add(tx(1, nonce, 1), 0, &state).unwrap();
    }
    let mut refusal = |transaction| pool.add(transaction, 0, &state).unwrap_err().to_string();
    // One that would follow, one beyond a gap, and one that would replace.
    let text =
        "insufficient funds for gas * price + value: balance 63000, queued cost 42000, tx cost 42000, overshot 21000";
    assert_eq!(refusal(tx(1, 2, 2)), text);
    assert_eq!(refusal(tx(1, 7, 2)), text);
    let text =
        "insufficient funds for gas * price + value: balance 63000, queued cost 42000, tx bumped 42000, overshot 21000";
    assert_eq!(refusal(tx(1, 1, 3)), text);
    pool.add(tx(1, 1, 2), 0, &state).unwrap();
    assert_eq!(nonces(&select_all(&pool, &state)), [0, 1]);
    pool.assert_consistent();
}

#[test]
fn a_chain_that_only_orders_asks_for_no_money() {
    let mut pool = pool();
    let dear = Draft { tip: u128::MAX, value: U256::MAX, ..Draft::default() };
    assert!(pool.add(dear.signed(), 0, &rich(1, 0)).unwrap().executable);
    rich(1, 0).tell(&mut pool);
    assert_eq!(select_all(&pool, &rich(1, 0)).len(), 1);
}

#[test]
fn what_closes_a_gap_lets_run_what_the_balance_covers() {
    let (mut pool, state) = (charging(), rich(1, 2 * ONE));
    // Nothing before them is here, so each is covered when it comes.
    for nonce in [1, 2, 3] {
        assert!(!pool.add(tx(1, nonce, 1), 0, &state).unwrap().executable);
    }
    assert!(pool.add(tx(1, 0, 1), 0, &state).unwrap().executable);
    pool.assert_consistent();
    assert_eq!(nonces(&select_all(&pool, &state)), [0, 1]);
    assert_eq!(pool.pending_nonce(account(1), 0), 2);
    // Money comes: nothing has to be sent again.
    let state = rich(1, 4 * ONE);
    state.tell(&mut pool);
    pool.assert_consistent();
    assert_eq!(nonces(&select_all(&pool, &state)), [0, 1, 2, 3]);
}

#[test]
fn what_can_be_paid_for_no_more_waits_or_leaves() {
    let (mut pool, state) = (charging(), rich(1, 20 * ONE));
    let dear = Draft { nonce: 9, value: U256::from(8 * ONE), tip: 1, ..Draft::default() }.signed();
    for nonce in 0..9 {
        pool.add(tx(1, nonce, 1), 0, &state).unwrap();
    }
    pool.add(dear.clone(), 0, &state).unwrap();
    // The money went elsewhere: one transaction costs more than is left, and of the rest four may wait.
    let state = rich(1, 2 * ONE);
    state.tell(&mut pool);
    pool.assert_consistent();
    assert_eq!(pool.fate(dear.hash()), Some(Fate::Unfunded));
    assert_eq!(nonces(&pool.transactions().cloned().collect::<Vec<_>>()), [0, 1, 2, 3, 4, 5]);
    for nonce in 6..9 {
        assert_eq!(pool.fate(tx(1, nonce, 1).hash()), Some(Fate::Unfunded));
    }
    assert_eq!(nonces(&select_all(&pool, &state)), [0, 1]);
    assert_eq!(pool.counts().unfunded, 4);
    let state = rich(1, 0);
    state.tell(&mut pool);
    assert!(pool.is_empty() && !pool.has_executable());
}

#[test]
fn a_full_pool_lets_go_of_what_waits_for_money_first() {
    let mut pool = Pool::new(PoolConfig { transactions_max: 3, ..charging().config });
    for nonce in 0..2 {
        pool.add(tx(1, nonce, 9), 0, &rich(1, 18 * ONE)).unwrap();
    }
    pool.add(tx(2, 0, 1), 0, &rich(2, ONE)).unwrap();
    rich(1, 9 * ONE).tell(&mut pool);
    pool.add(tx(3, 0, 1), 0, &rich(3, ONE)).unwrap();
    pool.assert_consistent();
    assert_eq!(pool.fate(tx(1, 1, 9).hash()), Some(Fate::Evicted));
}

#[test]
fn a_fee_cap_below_the_base_fee_waits_for_it_to_fall() {
    let (mut pool, state, none) = (charging(), rich(1, 100 * ONE), BTreeMap::new());
    pool.set_base_fee(8);
    pool.add(tx(1, 0, 7), 0, &state).unwrap();
    pool.add(tx(1, 1, 9), 0, &state).unwrap();
    assert!(!pool.has_executable(), "a leader has nothing to do");
    let at =
        |pool: &Pool, base_fee| nonces(&pool.select(&Selection { base_fee, ..Selection::everything(&none) }, &state));
    assert!(at(&pool, 8).is_empty());
    pool.on_final(&Settled { base_fee: 7, ..settled(&[]) }, &state);
    assert!(pool.has_executable());
    assert_eq!(at(&pool, 7), [0, 1]);
}

#[test]
fn what_unfinalized_ancestors_can_spend_is_not_there_for_the_next_block() {
    let (mut pool, state) = (charging(), rich(1, 4 * ONE));
    for nonce in 0..4 {
        pool.add(tx(1, nonce, 1), 0, &state).unwrap();
    }
    // The ancestors hold another transaction of nonce 0, which costs twice as much.
    let ahead = BTreeMap::from([(account(1), InFlight { next: 1, spent: U256::from(2 * ONE) })]);
    assert_eq!(nonces(&pool.select(&Selection::everything(&ahead), &state)), [1, 2]);
}

#[test]
fn a_contract_sends_nothing() {
    let error = charging().add(tx(1, 0, 1), 0, &with_code(1, AccountCode::Contract)).unwrap_err();
    assert_eq!(error.to_string(), format!("sender not an eoa: address {}", account(1)));
}

#[test]
fn a_delegated_account_has_one_transaction_in_flight() {
    let (mut pool, state) = (charging(), with_code(1, AccountCode::Delegation));
    let mut add = |transaction| pool.add(transaction, 0, &state).map(|_| ()).map_err(|error| error.to_string());
    assert_eq!(add(tx(1, 1, 5)), Err("gapped-nonce tx from delegated accounts".into()));
    assert_eq!(add(tx(1, 0, 5)), Ok(()));
    let limit = Err("in-flight transaction limit reached for delegated accounts".into());
    assert_eq!(add(tx(1, 1, 5)), limit);
    assert_eq!(add(tx(1, 7, 5)), limit);
    assert_eq!(add(tx(1, 0, 50)), Ok(()), "a replacement");
    assert_eq!(pool.len(), 1);
}

#[test]
fn an_account_that_is_about_to_be_delegated_counts_as_delegated() {
    let (mut pool, state) = (charging(), State::default());
    pool.add(set_code(1, 0, 2), 0, &state).unwrap();
    pool.add(tx(2, 0, 5), 0, &state).unwrap();
    assert_eq!(pool.add(tx(2, 1, 5), 0, &state).unwrap_err(), PoolError::InflightLimit);
    assert_eq!(pool.add(tx(2, 3, 5), 0, &state).unwrap_err(), PoolError::InflightLimit);
    pool.assert_consistent();
    // Once that transaction is gone, however it goes, so is the limit.
    assert!(pool.discard(set_code(1, 0, 2).hash()));
    pool.add(tx(2, 1, 5), 0, &state).unwrap();
    pool.assert_consistent();
}

#[test]
fn an_authority_with_several_transactions_in_flight_is_reserved() {
    let (mut pool, state) = (charging(), State::default());
    pool.add(tx(2, 0, 5), 0, &state).unwrap();
    pool.add(set_code(1, 0, 2), 0, &state).unwrap();
    pool.add(tx(3, 0, 5), 0, &state).unwrap();
    pool.add(tx(3, 4, 5), 0, &state).unwrap();
    assert_eq!(pool.check(&set_code(1, 1, 3), &state), Ok(()), "that is found out by their signatures alone");
    let error = pool.add(set_code(1, 1, 3), 0, &state).unwrap_err();
    assert_eq!(error.to_string(), "authority already reserved");
    assert_eq!(pool.len(), 4);
    // What was here before comes back all the same.
    pool.restore(Waiting { transaction: set_code(1, 1, 3), added_ms: 0 }, &state).unwrap();
    pool.assert_consistent();
}

#[test]
fn what_is_restored_waits_for_its_money_too() {
    let (mut pool, state) = (charging(), rich(1, ONE));
    for nonce in 0..3 {
        let waiting = Waiting { transaction: tx(1, nonce, 1), added_ms: 0 };
        assert_eq!(pool.restore(waiting, &state).unwrap().executable, nonce == 0);
    }
    pool.assert_consistent();
    assert_eq!(nonces(&select_all(&pool, &state)), [0]);
    let dear = Waiting { transaction: tx(1, 3, 2), added_ms: 0 };
    assert!(matches!(pool.restore(dear, &state), Err(PoolError::InsufficientFunds { .. })));
}

#[test]
fn nothing_is_admitted_or_selected_on_a_guess() {
    struct Unreadable;
    impl Accounts for Unreadable {
        fn account(&self, _: Address) -> Option<AccountFacts> {
            None
        }
    }
    let mut pool = charging();
    assert_eq!(pool.add(tx(1, 0, 1), 0, &Unreadable).unwrap_err(), PoolError::StateUnreadable);
    pool.add(tx(1, 0, 1), 0, &fresh()).unwrap();
    assert!(pool.select(&Selection::everything(&BTreeMap::new()), &Unreadable).is_empty());
    pool.on_final(&Settled { touched: &[account(1)], ..settled(&[]) }, &Unreadable);
    assert_eq!(pool.len(), 1, "kept as it was known");
}

#[test]
fn what_an_evicted_one_would_have_cost_can_be_spent_again() {
    let (mut pool, state) = (Pool::new(PoolConfig { transactions_max: 2, ..charging().config }), rich(1, 2 * ONE));
    for transaction in [tx(1, 0, 1), tx(1, 1, 1), tx(2, 0, 5)] {
        pool.add(transaction, 0, &state).unwrap();
    }
    assert_eq!(pool.fate(tx(1, 1, 1).hash()), Some(Fate::Evicted));
    assert!(pool.discard(tx(2, 0, 5).hash()));
    pool.add(tx(1, 1, 1), 0, &state).unwrap();
    pool.assert_consistent();
}

#[test]
fn what_was_restored_beyond_a_gap_stays_when_money_comes() {
    let mut pool = charging();
    for nonce in 1..=9 {
        pool.restore(Waiting { transaction: tx(1, nonce, 1), added_ms: 0 }, &rich(1, ONE)).unwrap();
    }
    rich(1, 2 * ONE).tell(&mut pool);
    assert_eq!(pool.len(), 9);
}
