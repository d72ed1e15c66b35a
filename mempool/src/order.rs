//! The ordering rule of a block, made and checked by the same code.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use alloy_primitives::{Address, TxHash};
use baton_proto::{OrderingRule, Transaction};

/// Where a transaction stands among the next ones of all senders; the greatest goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    fee: u128,
    arrival: Reverse<u64>,
    hash: Reverse<TxHash>,
}

impl Rank {
    /// Returns a transaction's place in a block that follows `priority_fee`.
    fn in_block(transaction: &Transaction) -> Self {
        Self::for_choice(OrderingRule::PriorityFee, transaction, 0)
    }

    /// Returns a transaction's place when a leader chooses what its block takes. `arrival` counts the transactions that
    /// its pool has seen. No rule binds the choice, so those that offer the same are taken in the order in which they
    /// came: if the hash decided, a high one would wait as long as blocks are full.
    pub(crate) fn for_choice(rule: OrderingRule, transaction: &Transaction, arrival: u64) -> Self {
        let fee = match rule {
            OrderingRule::PriorityFee => transaction.priority_fee(),
            OrderingRule::FirstSeen => 0,
        };
        Self { fee, arrival: Reverse(arrival), hash: Reverse(*transaction.hash()) }
    }
}

/// Returns the transactions in the order of the rule `priority_fee`: repeatedly, among the senders' next nonces, the
/// highest `maxPriorityFeePerGas` (gas price where there is none), ties to the lowest hash.
///
/// O(n log n). A sender's transactions keep the order of their nonces, whatever their fees. Source: protocol section 4.
#[must_use]
pub fn priority_fee_order(transactions: Vec<Transaction>) -> Vec<Transaction> {
    places(&transactions).into_iter().filter_map(|place| transactions.get(place).cloned()).collect()
}

/// Returns whether a block's unforced transactions stand in an order that `rule` allows.
///
/// Says nothing about their nonces being consecutive: [`consecutive_nonces`] does. O(n log n).
#[must_use]
pub fn obeys(rule: OrderingRule, transactions: &[Transaction]) -> bool {
    match rule {
        OrderingRule::FirstSeen => true,
        OrderingRule::PriorityFee => {
            places(transactions).into_iter().filter_map(|place| transactions.get(place)).eq(transactions)
        }
    }
}

/// Returns whether each sender's transactions have consecutive ascending nonces, in the order given.
///
/// Whether the first of them is the sender's next one is for execution to judge. Source: protocol section 4.
#[must_use]
pub fn consecutive_nonces(transactions: &[Transaction]) -> bool {
    let mut last: BTreeMap<Address, u64> = BTreeMap::new();
    transactions.iter().all(|transaction| {
        let nonce = transaction.nonce();
        last.insert(transaction.sender(), nonce).is_none_or(|before| before.checked_add(1) == Some(nonce))
    })
}

/// Returns the indices of `transactions` in the order of the rule `priority_fee`.
fn places(transactions: &[Transaction]) -> Vec<usize> {
    let mut by_sender: BTreeMap<Address, Vec<(u64, Rank, usize)>> = BTreeMap::new();
    for (place, transaction) in transactions.iter().enumerate() {
        let rank = Rank::in_block(transaction);
        by_sender.entry(transaction.sender()).or_default().push((transaction.nonce(), rank, place));
    }
    let mut queues: Vec<_> = by_sender
        .into_values()
        .map(|mut queue| {
            // A block with two transactions of one nonce is refused for its nonces; here it only must have one order.
            queue.sort_unstable_by_key(|(nonce, rank, place)| (*nonce, Reverse(*rank), *place));
            queue.into_iter()
        })
        .collect();
    let mut heads: BinaryHeap<(Rank, usize, usize)> = queues
        .iter_mut()
        .enumerate()
        .filter_map(|(sender, queue)| queue.next().map(|(_, rank, place)| (rank, sender, place)))
        .collect();
    let mut order = Vec::with_capacity(transactions.len());
    while let Some((_, sender, place)) = heads.pop() {
        order.push(place);
        if let Some((_, rank, place)) = queues.get_mut(sender).and_then(Iterator::next) {
            heads.push((rank, sender, place));
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{Draft, tx};

    /// The rule word by word: at each step look at everything that is left.
    fn naive(mut left: Vec<Transaction>) -> Vec<Transaction> {
        let mut order = Vec::new();
        while !left.is_empty() {
            let next_of = |sender| left.iter().filter(|tx| tx.sender() == sender).map(Transaction::nonce).min();
            let best = left
                .iter()
                .enumerate()
                .filter(|(_, tx)| Some(tx.nonce()) == next_of(tx.sender()))
                .reduce(|a, b| {
                    let wins = b.1.priority_fee() > a.1.priority_fee()
                        || (b.1.priority_fee() == a.1.priority_fee() && b.1.hash() < a.1.hash());
                    if wins { b } else { a }
                })
                .map(|(place, _)| place)
                .unwrap();
            order.push(left.remove(best));
        }
        order
    }

    #[test]
    fn the_highest_fee_goes_first_and_nonces_bind() {
        let (low, rich, other) = (tx(1, 0, 1), tx(1, 1, 100), tx(2, 0, 50));
        let order = priority_fee_order(vec![rich.clone(), low.clone(), other.clone()]);
        assert_eq!(order, [other.clone(), low.clone(), rich.clone()]);
        assert!(obeys(OrderingRule::PriorityFee, &order));
        assert!(!obeys(OrderingRule::PriorityFee, &[low.clone(), other.clone(), rich.clone()]));
        assert!(!obeys(OrderingRule::PriorityFee, &[rich, other, low]), "a nonce before its predecessor");
    }

    #[test]
    fn ties_go_to_the_lowest_hash() {
        let (a, b) = (tx(1, 0, 5), tx(2, 0, 5));
        let (first, second) = if a.hash() < b.hash() { (a, b) } else { (b, a) };
        assert!(obeys(OrderingRule::PriorityFee, &[first.clone(), second.clone()]));
        assert!(!obeys(OrderingRule::PriorityFee, &[second, first]));
    }

    #[test]
    fn a_legacy_price_counts_as_priority_fee_and_a_fee_cap_does_not() {
        let legacy = Draft { kind: 0, key: 1, tip: 20, ..Draft::default() }.signed();
        let capped = Draft { key: 2, tip: 19, fee: Some(1_000), ..Draft::default() }.signed();
        assert_eq!(priority_fee_order(vec![capped.clone(), legacy.clone()]), [legacy, capped]);
    }

    #[test]
    fn first_seen_allows_any_order() {
        let (a, b) = (tx(1, 0, 5), tx(2, 0, 6));
        assert!(obeys(OrderingRule::FirstSeen, &[a.clone(), b.clone()]));
        assert!(obeys(OrderingRule::FirstSeen, &[b, a]));
    }

    #[test]
    fn nothing_and_one_obey() {
        assert!(obeys(OrderingRule::PriorityFee, &[]));
        assert!(obeys(OrderingRule::PriorityFee, &[tx(1, 9, 0)]));
        assert!(priority_fee_order(Vec::new()).is_empty());
    }

    #[test]
    fn nonces_must_be_consecutive_and_ascending_for_each_sender() {
        assert!(consecutive_nonces(&[]));
        assert!(consecutive_nonces(&[tx(1, 4, 0), tx(2, 0, 0), tx(1, 5, 0), tx(2, 1, 0), tx(1, 6, 0)]));
        assert!(!consecutive_nonces(&[tx(1, 4, 0), tx(1, 6, 0)]), "a gap");
        assert!(!consecutive_nonces(&[tx(1, 4, 0), tx(1, 4, 1)]), "a repetition");
        assert!(!consecutive_nonces(&[tx(1, 5, 0), tx(1, 4, 0)]), "descending");
        assert!(!consecutive_nonces(&[tx(1, u64::MAX, 0), tx(1, 0, 0)]), "no way round");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn the_order_is_the_rule_word_by_word(fees in prop::collection::vec((0u64..6, 0u128..8), 0..40)) {
            let mut next = BTreeMap::new();
            let transactions: Vec<_> = fees.iter().map(|(key, fee)| {
                let nonce: &mut u64 = next.entry(*key).or_default();
                *nonce += 1;
                tx(*key + 1, *nonce, *fee)
            }).collect();
            let order = priority_fee_order(transactions.clone());
            prop_assert_eq!(&order, &naive(transactions.clone()));
            prop_assert!(obeys(OrderingRule::PriorityFee, &order));
            prop_assert!(consecutive_nonces(&order));
            // Any other order is refused.
            prop_assert_eq!(obeys(OrderingRule::PriorityFee, &transactions), order == transactions);
            let mut swapped = order.clone();
            for place in 1..order.len() {
                swapped.swap(place - 1, place);
                prop_assert!(!obeys(OrderingRule::PriorityFee, &swapped));
                swapped.swap(place - 1, place);
            }
        }
    }
}
