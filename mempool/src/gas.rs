//! The gas that a transaction needs before its first instruction runs.

use alloy_consensus::{Transaction as _, TxEnvelope};
use alloy_eips::{eip7623, eip7702::constants::PER_EMPTY_ACCOUNT_COST};

/// Gas of any transaction.
const BASE: u64 = 21_000;
/// Gas on top for one that creates a contract (EIP-2).
const CREATE: u64 = 32_000;
/// Gas per started word of init code (EIP-3860).
const INITCODE_WORD: u64 = 2;
/// Gas per address in an access list (EIP-2930).
const ACCESS_LIST_ADDRESS: u64 = 2_400;
/// Gas per storage key in an access list (EIP-2930).
const ACCESS_LIST_KEY: u64 = 1_900;

/// Returns the intrinsic gas: base and creation, calldata (EIP-2028: 4 per zero byte, 16 per other), access list
/// (EIP-2930), init code (EIP-3860) and authorizations (EIP-7702: 25,000 each).
///
/// Rules of the Osaka fork. No sum overflows: a transaction has at most 128 KiB, so there are at most 2^17 of each item.
#[must_use]
pub fn intrinsic_gas(transaction: &TxEnvelope) -> u64 {
    let input = transaction.input();
    let mut gas = BASE + eip7623::tokens_in_calldata(input) * eip7623::STANDARD_TOKEN_COST;
    if transaction.is_create() {
        gas += CREATE + INITCODE_WORD * (input.len() as u64).div_ceil(32);
    }
    for item in transaction.access_list().into_iter().flat_map(|list| list.iter()) {
        gas += ACCESS_LIST_ADDRESS + ACCESS_LIST_KEY * item.storage_keys.len() as u64;
    }
    gas + PER_EMPTY_ACCOUNT_COST * transaction.authorization_list().map_or(0, <[_]>::len) as u64
}

/// Returns the least gas limit that EIP-7623 demands for the calldata: 21,000, and 10 per zero byte, 40 per other.
#[must_use]
pub fn floor_gas(transaction: &TxEnvelope) -> u64 {
    eip7623::transaction_floor_cost(eip7623::tokens_in_calldata(transaction.input()))
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, B256};

    use super::*;
    use crate::testing::Draft;

    #[test]
    fn a_transfer_needs_21_000() {
        let tx = Draft::default().signed();
        assert_eq!((intrinsic_gas(tx.envelope()), floor_gas(tx.envelope())), (21_000, 21_000));
    }

    #[test]
    fn calldata_costs_by_byte_with_a_floor() {
        // Three zero bytes and two others: 3·4 + 2·16, and as floor 3·10 + 2·40.
        let tx = Draft { input: vec![0, 7, 0, 9, 0], ..Draft::default() }.signed();
        assert_eq!((intrinsic_gas(tx.envelope()), floor_gas(tx.envelope())), (21_044, 21_110));
    }

    #[test]
    fn creation_costs_and_counts_started_words() {
        // 33 non-zero bytes are two words: 21,000 + 32,000 + 33·16 + 2·2.
        let tx = Draft { to: None, input: vec![1; 33], ..Draft::default() }.signed();
        assert_eq!(intrinsic_gas(tx.envelope()), 53_532);
    }

    #[test]
    fn access_lists_cost_by_address_and_key() {
        let list = vec![(Address::ZERO, vec![B256::ZERO; 3]), (Address::repeat_byte(1), vec![])];
        for kind in [1, 2, 4] {
            let tx = Draft { kind, access_list: list.clone(), ..Draft::default() }.signed();
            let authorizations = if kind == 4 { 25_000 } else { 0 };
            assert_eq!(intrinsic_gas(tx.envelope()), 21_000 + 2 * 2_400 + 3 * 1_900 + authorizations, "type {kind}");
        }
    }

    #[test]
    fn authorizations_cost_25_000_each() {
        let tx = Draft { kind: 4, authorizations: 3, ..Draft::default() }.signed();
        assert_eq!(intrinsic_gas(tx.envelope()), 21_000 + 75_000);
    }
}
