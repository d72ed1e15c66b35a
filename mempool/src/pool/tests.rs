//! One rule each, told with a few transactions.

use baton_proto::OrderingRule;

use super::*;
use crate::{
    InFlight, Selection,
    order::{consecutive_nonces, obeys},
    testing::{CHAIN_ID, Draft, State, account, tx},
};

fn config() -> PoolConfig {
    PoolConfig::new(CHAIN_ID, 120_000_000, OrderingRule::PriorityFee)
}

fn pool() -> Pool {
    Pool::new(config())
}

fn fresh() -> State {
    State::default()
}

fn at(key: u64, next: u64) -> State {
    State { nonces: BTreeMap::from([(account(key), next)]), ..State::default() }
}

fn settled(refused: &[TxHash]) -> Settled<'_> {
    Settled { touched: &[], refused, base_fee: 0 }
}

fn add(pool: &mut Pool, transaction: &Transaction) -> Result<Added, PoolError> {
    let result = pool.add(transaction.clone(), 0, &fresh());
    pool.assert_consistent();
    result
}

/// Adds and says why not, after checking that a refusal changes nothing.
fn refusal(pool: &mut Pool, transaction: &Transaction) -> String {
    let before: Vec<_> = pool.transactions().cloned().collect();
    let error = add(pool, transaction).unwrap_err();
    assert_eq!(pool.transactions().cloned().collect::<Vec<_>>(), before);
    error.to_string()
}

fn fill(pool: &mut Pool, transactions: impl IntoIterator<Item = Transaction>) {
    for transaction in transactions {
        add(pool, &transaction).unwrap();
    }
}

fn select_all(pool: &Pool, state: &State) -> Vec<Transaction> {
    pool.select(&Selection::everything(&BTreeMap::new()), state)
}

#[test]
fn what_comes_and_goes_is_counted() {
    let mut pool = Pool::new(PoolConfig { transactions_max: 2, ..config() });
    fill(&mut pool, [tx(1, 0, 5), tx(2, 0, 1), tx(3, 0, 9)]);
    assert_eq!(refusal(&mut pool, &tx(1, 0, 5)), "already known");
    refusal(&mut pool, &tx(4, 0, 1));
    assert_eq!(pool.expire(u64::MAX).len(), 2);
    let counts =
        PoolCounts { admitted: 3, replaced: 0, rejected: 1, already_known: 1, evicted: 1, expired: 2, unfunded: 0 };
    assert_eq!(pool.counts(), counts);
}

#[test]
fn what_is_added_can_be_found() {
    let mut pool = pool();
    assert!(pool.is_empty());
    let tx = tx(1, 0, 5);
    let added = add(&mut pool, &tx).unwrap();
    assert_eq!(added, Added { hash: *tx.hash(), executable: true, replaced: None });
    assert_eq!((pool.len(), pool.bytes()), (1, tx.raw().len()));
    assert!(pool.contains(tx.hash()));
    assert_eq!(pool.get(tx.hash()), Some(tx));
    assert_eq!(pool.get(&TxHash::ZERO), None);
}

#[test]
fn the_same_transaction_is_already_known() {
    let mut pool = pool();
    let tx = tx(1, 0, 5);
    add(&mut pool, &tx).unwrap();
    let error = add(&mut pool, &tx).unwrap_err();
    assert_eq!(error.to_string(), "already known");
    assert!(!error.is_retryable());
}

#[test]
fn static_rules_are_checked_at_the_door() {
    let mut pool = pool();
    let error = add(&mut pool, &Draft { chain_id: 1, ..Draft::default() }.signed()).unwrap_err();
    assert!(!error.is_retryable() && pool.is_empty());
}

#[test]
fn a_used_nonce_is_too_low() {
    let mut pool = pool();
    let error = pool.add(tx(1, 3, 5), 0, &at(1, 5)).unwrap_err();
    assert_eq!(error.to_string(), "nonce too low: next nonce 5, tx nonce 3");
    assert!(pool.add(tx(1, 5, 5), 0, &at(1, 5)).unwrap().executable);
}

#[test]
fn a_pool_that_knows_of_a_later_final_state_judges_by_it() {
    let mut pool = pool();
    fill(&mut pool, [tx(1, 0, 5), tx(1, 1, 5)]);
    at(1, 1).tell(&mut pool);
    // The caller reads a state from before that block.
    let error = pool.add(tx(1, 0, 50), 0, &fresh()).unwrap_err();
    assert_eq!(error.to_string(), "nonce too low: next nonce 1, tx nonce 0");
    assert_eq!(pool.pending_nonce(account(1), 0), 2);
}

#[test]
fn the_state_is_asked_only_about_accounts_that_are_not_here() {
    struct OnlyOf(Address);
    impl Accounts for OnlyOf {
        fn account(&self, account: Address) -> Option<AccountFacts> {
            assert_eq!(account, self.0);
            Some(AccountFacts::default())
        }
    }
    let mut pool = pool();
    pool.add(tx(1, 0, 5), 0, &OnlyOf(account(1))).unwrap();
    assert!(pool.add(tx(1, 1, 5), 0, &OnlyOf(account(2))).unwrap().executable);
    pool.add(tx(2, 0, 5), 0, &OnlyOf(account(2))).unwrap();
    // What became final meanwhile is told, and with its last transaction an account goes.
    at(1, 2).tell(&mut pool);
    // Of those that it touched, too, only what is here is asked about.
    pool.on_final(&Settled { touched: &[account(1), account(3)], ..settled(&[]) }, &OnlyOf(account(2)));
    pool.add(tx(1, 0, 5), 0, &OnlyOf(account(1))).unwrap();
    pool.assert_consistent();
}

#[test]
fn gapped_transactions_wait_until_the_gap_closes() {
    let mut pool = pool();
    assert!(!add(&mut pool, &tx(1, 2, 9)).unwrap().executable);
    assert!(add(&mut pool, &tx(1, 0, 5)).unwrap().executable);
    assert_eq!(select_all(&pool, &fresh()), [tx(1, 0, 5)]);
    assert_eq!(pool.pending_nonce(account(1), 0), 1);
    assert!(add(&mut pool, &tx(1, 1, 1)).unwrap().executable);
    assert_eq!(select_all(&pool, &fresh()).iter().map(Transaction::nonce).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(pool.pending_nonce(account(1), 0), 3);
}

#[test]
fn pending_nonce_of_a_stranger_is_the_final_one() {
    assert_eq!(pool().pending_nonce(account(9), 41), 41);
}

#[test]
fn pending_nonce_looks_beyond_what_final_state_used() {
    let mut pool = pool();
    fill(&mut pool, [tx(1, 0, 5), tx(1, 7, 5), tx(1, 8, 5)]);
    assert_eq!(pool.pending_nonce(account(1), 6), 6);
    assert_eq!(pool.pending_nonce(account(1), 7), 9);
    assert_eq!(pool.pending_nonce(account(1), 20), 20);
}

#[test]
fn a_replacement_pays_a_tenth_more_in_both_fees() {
    let draft = |tip, fee| Draft { tip, fee: Some(fee), ..Draft::default() }.signed();
    let mut pool = pool();
    let old = draft(100, 1_000);
    add(&mut pool, &old).unwrap();
    for (tip, fee) in [(100, 1_000_000), (109, 1_100), (110, 1_099), (1_000, 1_000)] {
        let text = refusal(&mut pool, &draft(tip, fee));
        assert!(text.starts_with("replacement transaction underpriced: gas tip cap 110 and fee cap 1100"), "{text}");
    }
    let new = draft(110, 1_100);
    let added = add(&mut pool, &new).unwrap();
    let replaced = Some(Waiting { transaction: old.clone(), added_ms: 0 });
    assert_eq!(added, Added { hash: *new.hash(), executable: true, replaced });
    assert_eq!((pool.len(), pool.bytes()), (1, new.raw().len()));
    assert!(!pool.contains(old.hash()));
    assert!(refusal(&mut pool, &old).starts_with("replacement transaction underpriced"));
}

#[test]
fn a_replacement_of_a_tiny_or_huge_fee_must_still_pay_more() {
    let draft = |tip, value| Draft { tip, value: U256::from(value), ..Draft::default() }.signed();
    for (old, refused, accepted) in [(0, 0, Some(1)), (1, 1, Some(2)), (15, 15, Some(16)), (u128::MAX, u128::MAX, None)]
    {
        let mut pool = pool();
        add(&mut pool, &draft(old, 0)).unwrap();
        let needed = accepted.unwrap_or(u128::MAX);
        let text = refusal(&mut pool, &draft(refused, 1));
        assert!(text.ends_with(&format!("gas tip cap {needed} and fee cap {needed} needed")), "{text}");
        if let Some(accepted) = accepted {
            add(&mut pool, &draft(accepted, 1)).unwrap();
        }
    }
}

#[test]
fn one_account_has_a_bound_and_a_lower_one_for_gapped() {
    let mut pool = Pool::new(PoolConfig { account_transactions_max: 4, account_gapped_max: 2, ..config() });
    fill(&mut pool, [tx(1, 5, 5), tx(1, 9, 5)]);
    assert_eq!(refusal(&mut pool, &tx(1, 3, 5)), "account limit exceeded: pooled 2 txs");
    fill(&mut pool, [tx(1, 0, 5), tx(1, 1, 5)]);
    let error = pool.add(tx(1, 2, 5), 0, &fresh()).unwrap_err();
    assert_eq!(error.to_string(), "account limit exceeded: pooled 4 txs");
    assert!(error.is_retryable());
    // A replacement takes no further place, and others are not concerned.
    fill(&mut pool, [tx(1, 9, 50), tx(1, 1, 50), tx(2, 0, 5)]);
    assert_eq!(pool.len(), 5);
}

#[test]
fn the_default_bounds_take_five_hundred_in_a_row_from_one_account() {
    let mut pool = pool();
    // In the worst order that the bound for gapped ones allows: blocks of 64 from behind.
    for start in (0..512).step_by(64) {
        fill(&mut pool, (start..start + 64).rev().map(|nonce| tx(1, nonce, 5)));
    }
    assert_eq!(pool.pending_nonce(account(1), 0), 512);
    assert_eq!(select_all(&pool, &fresh()).len(), 512);
}

#[test]
fn a_full_pool_evicts_the_least_fee_and_the_newest_of_equals() {
    let mut pool = Pool::new(PoolConfig { transactions_max: 3, ..config() });
    fill(&mut pool, [tx(1, 0, 5), tx(2, 0, 7), tx(3, 0, 5)]);
    let error = pool.add(tx(4, 0, 5), 0, &fresh()).unwrap_err();
    assert_eq!(error.to_string(), "txpool is full");
    assert!(error.is_retryable());
    assert_eq!(refusal(&mut pool, &tx(4, 0, 4)), "txpool is full");
    add(&mut pool, &tx(4, 0, 6)).unwrap();
    assert!(!pool.contains(tx(3, 0, 5).hash()) && pool.contains(tx(1, 0, 5).hash()));
    assert_eq!(pool.len(), 3);
}

#[test]
fn gapped_transactions_make_way_for_executable_ones_and_never_the_reverse() {
    let mut pool = Pool::new(PoolConfig { transactions_max: 2, ..config() });
    fill(&mut pool, [tx(1, 0, 1), tx(2, 5, 1_000)]);
    assert_eq!(refusal(&mut pool, &tx(3, 9, 1_000)), "txpool is full");
    add(&mut pool, &tx(4, 0, 0)).unwrap();
    assert!(!pool.contains(tx(2, 5, 1_000).hash()));
    assert_eq!(refusal(&mut pool, &tx(3, 9, 1_000_000)), "txpool is full");
    assert_eq!(pool.len(), 2);
}

#[test]
fn an_eviction_takes_the_end_of_a_queue_and_tears_no_gap() {
    let mut pool = Pool::new(PoolConfig { transactions_max: 4, ..config() });
    fill(&mut pool, [tx(1, 0, 1), tx(1, 1, 90), tx(1, 2, 90), tx(2, 0, 5)]);
    // The rich end waits behind a poor head, so it is worth no more than that.
    add(&mut pool, &tx(3, 0, 2)).unwrap();
    assert_eq!(pool.pending_nonce(account(1), 0), 2);
    add(&mut pool, &tx(4, 0, 2)).unwrap();
    assert_eq!(pool.pending_nonce(account(1), 0), 1);
    assert!(pool.contains(tx(2, 0, 5).hash()));
}

#[test]
fn an_account_cannot_push_out_others_by_adding_to_a_poor_queue() {
    let mut pool = Pool::new(PoolConfig { transactions_max: 2, ..config() });
    fill(&mut pool, [tx(1, 0, 1), tx(2, 0, 5)]);
    assert_eq!(refusal(&mut pool, &tx(1, 1, 1_000)), "txpool is full");
    // Raising the head raises the whole queue.
    fill(&mut pool, [tx(1, 0, 1_000), tx(1, 1, 1_000)]);
    assert!(!pool.contains(tx(2, 0, 5).hash()));
}

#[test]
fn closing_a_gap_in_a_full_pool_costs_the_end_of_the_same_queue() {
    let mut pool = Pool::new(PoolConfig { transactions_max: 3, ..config() });
    fill(&mut pool, [tx(1, 0, 5), tx(1, 2, 5), tx(2, 0, 9)]);
    add(&mut pool, &tx(1, 1, 5)).unwrap();
    assert_eq!(pool.transactions().filter(|tx| tx.sender() == account(1)).map(Transaction::nonce).max(), Some(1));
    assert!(pool.contains(tx(2, 0, 9).hash()));
}

#[test]
fn bytes_are_bounded_too_and_a_refusal_gives_everything_back() {
    let large =
        |key, nonce, tip| Draft { key, nonce, tip, input: vec![0; 400], gas: 100_000, ..Draft::default() }.signed();
    let bytes_max = 5 * tx(1, 0, 5).raw().len();
    let mut pool = Pool::new(PoolConfig { bytes_max, ..config() });
    fill(&mut pool, [tx(1, 0, 1), tx(1, 1, 1), tx(2, 0, 2), tx(3, 0, 9), tx(4, 0, 9)]);
    // It outbids three of five, but needs the room of four.
    assert_eq!(refusal(&mut pool, &large(5, 0, 5)), "txpool is full");
    assert_eq!(pool.len(), 5);
    add(&mut pool, &large(5, 0, 10)).unwrap();
    assert!(pool.bytes() <= bytes_max && pool.contains(large(5, 0, 10).hash()));
}

#[test]
fn a_larger_replacement_that_does_not_fit_leaves_the_old_one() {
    let old = tx(1, 0, 10);
    let new = Draft { tip: 11, input: vec![0; 200], gas: 100_000, ..Draft::default() }.signed();
    let mut pool = Pool::new(PoolConfig { bytes_max: old.raw().len() * 2, ..config() });
    fill(&mut pool, [old.clone(), tx(2, 0, 50)]);
    assert_eq!(refusal(&mut pool, &new), "txpool is full");
    assert!(pool.contains(old.hash()) && !pool.contains(new.hash()));
}

#[test]
fn selection_obeys_the_rule_and_begins_at_the_next_nonces() {
    let mut pool = pool();
    fill(&mut pool, [tx(1, 0, 1), tx(1, 1, 100), tx(2, 0, 50), tx(3, 1, 1_000), tx(4, 0, 0)]);
    let selected = select_all(&pool, &fresh());
    assert_eq!(selected, [tx(2, 0, 50), tx(1, 0, 1), tx(1, 1, 100), tx(4, 0, 0)]);
    assert!(obeys(OrderingRule::PriorityFee, &selected) && consecutive_nonces(&selected));
}

#[test]
fn first_seen_selects_by_arrival() {
    let mut pool = Pool::new(PoolConfig { ordering_rule: OrderingRule::FirstSeen, ..config() });
    fill(&mut pool, [tx(1, 1, 9), tx(2, 0, 1), tx(1, 0, 5), tx(3, 0, 100)]);
    // The first to arrive has to wait for its predecessor.
    assert_eq!(select_all(&pool, &fresh()), [tx(2, 0, 1), tx(1, 0, 5), tx(1, 1, 9), tx(3, 0, 100)]);
}

#[test]
fn of_equal_offers_the_oldest_are_taken_and_then_stand_in_the_order_of_the_rule() {
    let mut offers: Vec<_> = (1..=4).map(|key| tx(key, 0, 5)).collect();
    // The rule's order backwards: what it puts last has waited longest.
    offers.sort_unstable_by(|a, b| b.hash().cmp(a.hash()));
    let mut pool = pool();
    fill(&mut pool, offers.clone());
    let none = BTreeMap::new();
    let taken = pool.select(&Selection { count_max: 2, ..Selection::everything(&none) }, &fresh());
    assert_eq!(taken, [offers[1].clone(), offers[0].clone()]);
    assert!(obeys(OrderingRule::PriorityFee, &taken));
}

#[test]
fn selection_is_bounded_by_count_bytes_and_gas() {
    let none = BTreeMap::new();
    let mut pool = pool();
    let wide = Draft { key: 1, tip: 100, gas: 1_000_000, ..Draft::default() }.signed();
    let long = Draft { key: 2, tip: 90, input: vec![0; 300], gas: 100_000, ..Draft::default() }.signed();
    fill(&mut pool, [wide.clone(), tx(1, 1, 95), long.clone(), tx(3, 0, 10), tx(4, 0, 9)]);
    let count = pool.select(&Selection { count_max: 2, ..Selection::everything(&none) }, &fresh());
    assert_eq!(count, [wide.clone(), tx(1, 1, 95)]);
    // What does not fit is passed over with all that follows it in its account; smaller ones of others still go.
    let gas = pool.select(&Selection { gas_max: 130_000, ..Selection::everything(&none) }, &fresh());
    assert_eq!(gas, [long, tx(3, 0, 10)]);
    let bytes = pool.select(&Selection { bytes_max: 3 * wide.raw().len(), ..Selection::everything(&none) }, &fresh());
    assert_eq!(bytes, [wide, tx(1, 1, 95), tx(3, 0, 10)]);
    assert!(pool.select(&Selection { count_max: 0, ..Selection::everything(&none) }, &fresh()).is_empty());
    assert!(pool.select(&Selection { gas_max: 20_999, ..Selection::everything(&none) }, &fresh()).is_empty());
}

#[test]
fn selection_continues_where_unfinalized_ancestors_end() {
    let mut pool = pool();
    fill(&mut pool, [tx(1, 0, 5), tx(1, 1, 5), tx(1, 2, 5), tx(2, 0, 1)]);
    let ahead = BTreeMap::from([(account(1), InFlight { next: 2, spent: U256::ZERO })]);
    let pick = |state: &State| pool.select(&Selection::everything(&ahead), state);
    assert_eq!(pick(&fresh()), [tx(1, 2, 5), tx(2, 0, 1)]);
    // Final state beyond the ancestors wins.
    assert_eq!(pick(&at(1, 3)), [tx(2, 0, 1)]);
}

#[test]
fn selection_takes_neither_what_is_skipped_nor_what_follows_it() {
    let none = BTreeMap::new();
    let mut pool = pool();
    fill(&mut pool, [tx(1, 0, 9), tx(1, 1, 9), tx(1, 2, 9), tx(2, 0, 1)]);
    let skipped = *tx(1, 1, 9).hash();
    let skip = |hash: &TxHash| *hash == skipped;
    let selected = pool.select(&Selection { skip: &skip, ..Selection::everything(&none) }, &fresh());
    assert_eq!(selected, [tx(1, 0, 9), tx(2, 0, 1)]);
}

#[test]
fn an_account_whose_final_nonce_the_pool_has_not_heard_of_sits_out() {
    let mut pool = pool();
    // By the head that we know of, account 1 would come last; by its real next one, first.
    fill(&mut pool, [tx(1, 0, 1), tx(1, 1, 9), tx(2, 0, 5)]);
    assert_eq!(select_all(&pool, &at(1, 1)), [tx(2, 0, 5)]);
    at(1, 1).tell(&mut pool);
    assert_eq!(select_all(&pool, &at(1, 1)), [tx(1, 1, 9), tx(2, 0, 5)]);
}

#[test]
fn finality_takes_used_nonces_out_whoever_used_them() {
    let mut pool = pool();
    fill(&mut pool, [tx(1, 0, 5), tx(1, 1, 5), tx(1, 2, 5), tx(2, 0, 5)]);
    // Nonce 0 was used by another transaction than ours.
    at(1, 2).tell(&mut pool);
    at(7, 3).tell(&mut pool);
    pool.assert_consistent();
    assert_eq!(pool.len(), 2);
    assert_eq!(select_all(&pool, &at(1, 2)).len(), 2);
}

#[test]
fn an_earlier_final_state_changes_nothing() {
    let mut pool = pool();
    fill(&mut pool, [tx(1, 0, 5), tx(1, 1, 5)]);
    at(1, 1).tell(&mut pool);
    at(1, 0).tell(&mut pool);
    pool.assert_consistent();
    assert_eq!(pool.transactions().cloned().collect::<Vec<_>>(), [tx(1, 1, 5)]);
}

#[test]
fn what_was_refused_at_its_turn_leaves_and_what_follows_waits() {
    let mut pool = pool();
    fill(&mut pool, [tx(1, 0, 5), tx(1, 1, 5), tx(2, 0, 5)]);
    pool.on_final(&settled(&[*tx(1, 0, 5).hash(), *tx(9, 0, 5).hash()]), &fresh());
    pool.assert_consistent();
    assert!(!pool.contains(tx(1, 0, 5).hash()));
    assert_eq!(select_all(&pool, &fresh()), [tx(2, 0, 5)]);
}

#[test]
fn a_transaction_expires_after_its_lifetime() {
    let mut pool = Pool::new(PoolConfig { lifetime_ms: 1_000, ..config() });
    pool.add(tx(1, 0, 5), 100, &fresh()).unwrap();
    pool.add(tx(2, 0, 5), 101, &fresh()).unwrap();
    assert!(pool.expire(1_099).is_empty());
    assert_eq!(pool.expire(1_100), [*tx(1, 0, 5).hash()]);
    assert_eq!(pool.transactions().cloned().collect::<Vec<_>>(), [tx(2, 0, 5)]);
    pool.assert_consistent();
    // A clock that goes back expires nothing.
    assert!(pool.expire(0).is_empty());
}

#[test]
fn an_expiry_that_tears_a_gap_keeps_the_bound_for_gapped_ones() {
    let mut pool = Pool::new(PoolConfig { lifetime_ms: 1_000, account_gapped_max: 2, ..config() });
    pool.add(tx(1, 0, 5), 0, &fresh()).unwrap();
    for nonce in 1..6 {
        pool.add(tx(1, nonce, 5), 500, &fresh()).unwrap();
    }
    assert_eq!(pool.expire(1_000).len(), 4, "nonce 0, and 3 to 5 that found no place beyond the gap");
    pool.assert_consistent();
    assert_eq!(pool.transactions().map(Transaction::nonce).collect::<Vec<_>>(), [1, 2]);
    assert!(select_all(&pool, &fresh()).is_empty());
}

#[test]
fn a_thousand_are_selected_from_a_full_pool() {
    let none = BTreeMap::new();
    let mut pool = pool();
    for key in 1..=100 {
        for nonce in 0..100 {
            pool.add(tx(key, nonce, u128::from((key * 31 + nonce * 17) % 97)), 0, &fresh()).unwrap();
        }
    }
    pool.assert_consistent();
    let started = std::time::Instant::now();
    let selected = pool.select(&Selection { count_max: 1_000, ..Selection::everything(&none) }, &fresh());
    println!("1,000 of {} selected in {:?}", pool.len(), started.elapsed());
    let started = std::time::Instant::now();
    let all = select_all(&pool, &fresh());
    println!("{} selected in {:?}", all.len(), started.elapsed());
    let mut next = BTreeMap::new();
    for tx in &selected {
        next.insert(tx.sender(), tx.nonce() + 1);
    }
    let state = State { nonces: next, ..State::default() };
    let mut settled = pool.clone();
    let started = std::time::Instant::now();
    state.tell(&mut settled);
    println!("a final block with 1,000 of them taken out in {:?}", started.elapsed());
    assert_eq!(settled.len(), 9_000);
    let outbids = tx(200, 0, 1_000);
    let started = std::time::Instant::now();
    pool.add(outbids, 0, &fresh()).unwrap();
    println!("one evicted for a newcomer in {:?}", started.elapsed());
    assert_eq!((pool.len(), selected.len()), (10_000, 1_000));
    assert!(obeys(OrderingRule::PriorityFee, &selected) && consecutive_nonces(&selected));
}

#[test]
fn what_is_restored_keeps_its_age_and_may_wait_beyond_a_gap() {
    let mut pool = Pool::new(PoolConfig { lifetime_ms: 1_000, account_gapped_max: 2, ..config() });
    // Nonce 0 was somebody else's to keep; without it all of these are gapped.
    for nonce in 1..=5 {
        let waiting = Waiting { transaction: tx(1, nonce, 5), added_ms: 100 * nonce };
        assert!(!pool.restore(waiting, &fresh()).unwrap().executable);
    }
    assert_eq!(pool.add(tx(1, 9, 5), 0, &fresh()).unwrap_err(), PoolError::AccountLimit { pooled: 5 });
    assert_eq!(pool.added_ms(tx(1, 3, 5).hash()), Some(300));
    at(1, 1).tell(&mut pool);
    pool.assert_consistent();
    assert_eq!(select_all(&pool, &at(1, 1)).len(), 5);
    assert_eq!(pool.expire(1_100), [*tx(1, 1, 5).hash(), *tx(1, 5, 5).hash(), *tx(1, 4, 5).hash()]);
}

#[test]
fn why_it_left_early_is_remembered_until_it_is_back() {
    let (old, new) = (tx(1, 0, 10), tx(1, 0, 20));
    let mut pool = pool();
    add(&mut pool, &old).unwrap();
    let replaced = add(&mut pool, &new).unwrap().replaced.unwrap();
    assert_eq!((pool.fate(old.hash()), pool.fate(new.hash())), (Some(Fate::Replaced { by: *new.hash() }), None));
    // Taken back, as when it cannot be stored.
    assert!(pool.discard(new.hash()));
    pool.restore(replaced, &fresh()).unwrap();
    assert_eq!((pool.fate(old.hash()), pool.fate(new.hash())), (None, None));
    assert_eq!(pool.expire(u64::MAX), [*old.hash()]);
    assert_eq!(pool.fate(old.hash()), Some(Fate::Expired));
    // A replacement that a full pool refuses replaces nothing.
    let large = Draft { tip: 20, input: vec![1; 500], gas: 100_000, ..Draft::default() }.signed();
    let mut pool = Pool::new(PoolConfig { bytes_max: old.raw().len(), ..config() });
    add(&mut pool, &old).unwrap();
    refusal(&mut pool, &large);
    assert_eq!(pool.fate(old.hash()), None);
    // A newcomer that is worth more evicts it.
    add(&mut pool, &tx(2, 0, 11)).unwrap();
    assert_eq!(pool.fate(old.hash()), Some(Fate::Evicted));
}

#[test]
fn what_is_discarded_leaves_a_gap() {
    let mut pool = pool();
    fill(&mut pool, (0..3).map(|nonce| tx(1, nonce, 5)));
    assert!(pool.discard(tx(1, 1, 5).hash()) && !pool.discard(tx(1, 1, 5).hash()));
    pool.assert_consistent();
    assert_eq!(select_all(&pool, &fresh()), [tx(1, 0, 5)]);
    assert!(pool.has_executable());
    assert!(pool.discard(tx(1, 0, 5).hash()));
    assert!(!pool.has_executable());
}

// Money, code and authorizations.
mod funds;
