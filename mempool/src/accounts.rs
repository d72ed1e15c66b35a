//! What a pool must know of accounts, and what a transaction can cost one.

use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, U256};
use baton_proto::Transaction;

/// The final state, as far as a pool needs it.
pub trait Accounts {
    /// Returns what final state says of `account`, all zero for one that it does not know; none if that cannot be read, for
    /// then nothing may be admitted or selected on a guess.
    fn account(&self, account: Address) -> Option<AccountFacts>;
}

/// One account in final state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountFacts {
    /// The next nonce.
    pub nonce: u64,
    /// Wei. Without meaning on a chain that only orders ([`crate::PoolConfig::executor`]).
    pub balance: U256,
    /// What code it has.
    pub code: AccountCode,
}

/// What code an account has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccountCode {
    /// None.
    #[default]
    Absent,
    /// A designation of somebody else's code (EIP-7702): others can spend what the account has.
    Delegation,
    /// A contract's. Nobody can sign for such an account (EIP-3607).
    Contract,
}

impl AccountCode {
    /// Returns what `code` is: 0xef0100 and an address make a delegation (EIP-7702).
    #[must_use]
    pub fn of(code: &[u8]) -> Self {
        match code {
            [] => Self::Absent,
            [0xef, 0x01, 0x00, delegate @ ..] if delegate.len() == Address::len_bytes() => Self::Delegation,
            _ => Self::Contract,
        }
    }
}

/// Returns the most wei that `transaction` can take from its sender: gas limit × fee cap + value; the largest number where
/// that is larger still, which no balance covers.
#[must_use]
pub fn cost(transaction: &Transaction) -> U256 {
    let gas = U256::from(transaction.gas_limit()).saturating_mul(U256::from(transaction.max_fee()));
    gas.saturating_add(transaction.envelope().value())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Draft;

    #[test]
    fn a_delegation_is_23_bytes_and_all_other_code_is_a_contracts() {
        let delegation = [&[0xef, 0x01, 0x00][..], &[7; 20]].concat();
        assert_eq!(AccountCode::of(&[]), AccountCode::Absent);
        assert_eq!(AccountCode::of(&delegation), AccountCode::Delegation);
        for other in [&delegation[..22], &[&delegation[..], &[0]].concat(), &[0xef, 0x01, 0x01], &[0]] {
            assert_eq!(AccountCode::of(other), AccountCode::Contract, "{other:?}");
        }
    }

    #[test]
    fn a_transaction_costs_its_gas_at_the_fee_cap_and_its_value() {
        let draft = Draft { gas: 50_000, tip: 2, fee: Some(7), value: U256::from(11), ..Draft::default() };
        assert_eq!(cost(&draft.signed()), U256::from(350_011));
        let legacy = Draft { kind: 0, gas: 50_000, tip: 2, value: U256::from(11), ..Draft::default() };
        assert_eq!(cost(&legacy.signed()), U256::from(100_011));
        let beyond = Draft { fee: Some(u128::MAX), value: U256::MAX, ..Draft::default() };
        assert_eq!(cost(&beyond.signed()), U256::MAX);
    }
}
