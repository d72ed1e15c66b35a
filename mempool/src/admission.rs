//! What can be said about a transaction without looking at state or pool.

use alloy_consensus::Transaction as _;
use alloy_eips::eip7702::SignedAuthorization;
use baton_proto::{
    ChainSpec, Transaction,
    limits::{TRANSACTION_BYTES_MAX, TRANSACTION_GAS_MAX},
};

use crate::{PoolConfig, PoolError, gas};

/// Most bytes of init code (EIP-3860): twice the largest contract.
const INITCODE_BYTES_MAX: usize = 49_152;

/// What every node of a chain demands of a transaction at any time, whatever it holds and whatever its operator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionRules {
    /// Chain id that transactions must carry.
    pub chain_id: u64,
    /// Most gas of one block.
    pub block_gas_limit: u64,
    /// Most bytes of one transaction: 128 KiB, or a block's bytes where the chain spec sets less.
    pub bytes_max: usize,
}

impl TransactionRules {
    /// Returns the rules of a chain.
    #[must_use]
    pub fn of(spec: &ChainSpec) -> Self {
        let block_bytes = usize::try_from(spec.block_bytes_max).unwrap_or(usize::MAX);
        Self {
            chain_id: spec.l2_chain_id.get(),
            block_gas_limit: spec.block_gas_limit,
            bytes_max: TRANSACTION_BYTES_MAX.min(block_bytes),
        }
    }

    /// Checks a transaction, cheapest first.
    ///
    /// Type, canonical encoding, signature and sender need no check: [`Transaction::decode`] makes no other transactions.
    ///
    /// # Errors
    /// The first rule that is broken. Whoever hands on such a transaction is at fault, for it has checked the same.
    pub fn check(&self, transaction: &Transaction) -> Result<(), PoolError> {
        let envelope = transaction.envelope();
        let have = transaction.chain_id();
        if have != self.chain_id {
            return Err(PoolError::ChainId { have, want: self.chain_id });
        }
        let size = transaction.raw().len();
        if size > self.bytes_max {
            return Err(PoolError::Oversized { got: size, limit: self.bytes_max });
        }
        if envelope.is_create() && envelope.input().len() > INITCODE_BYTES_MAX {
            return Err(PoolError::InitcodeTooLarge { got: envelope.input().len(), limit: INITCODE_BYTES_MAX });
        }
        let got = transaction.gas_limit();
        if got > TRANSACTION_GAS_MAX {
            return Err(PoolError::GasLimitTooHigh { got });
        }
        if got > self.block_gas_limit {
            return Err(PoolError::ExceedsBlockGasLimit { got, limit: self.block_gas_limit });
        }
        let (priority_fee, max_fee) = (transaction.priority_fee(), transaction.max_fee());
        if priority_fee > max_fee {
            return Err(PoolError::TipAboveFeeCap { priority_fee, max_fee });
        }
        // EIP-2681. It also keeps every "nonce + 1" of the pool in range.
        if transaction.nonce() == u64::MAX {
            return Err(PoolError::NonceMax);
        }
        if envelope.authorization_list().is_some_and(<[SignedAuthorization]>::is_empty) {
            return Err(PoolError::NoAuthorization);
        }
        let needed = gas::intrinsic_gas(envelope);
        if got < needed {
            return Err(PoolError::IntrinsicGas { got, needed });
        }
        let needed = gas::floor_gas(envelope);
        if got < needed {
            return Err(PoolError::FloorDataGas { got, needed });
        }
        Ok(())
    }
}

/// Checks everything that holds or fails for good on this node: the chain's rules, then its own.
///
/// # Errors
/// The first rule that is broken.
pub(crate) fn check(transaction: &Transaction, config: &PoolConfig) -> Result<(), PoolError> {
    config.rules.check(transaction)?;
    let priority_fee = transaction.priority_fee();
    if priority_fee < config.priority_fee_min {
        return Err(PoolError::Underpriced { got: priority_fee, needed: config.priority_fee_min });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use baton_proto::OrderingRule;

    use super::*;
    use crate::testing::{CHAIN_ID, Draft};

    const GAS_MAX: u64 = TRANSACTION_GAS_MAX;

    fn config() -> PoolConfig {
        PoolConfig::new(CHAIN_ID, 120_000_000, OrderingRule::PriorityFee)
    }

    fn refusal(draft: &Draft, config: &PoolConfig) -> String {
        check(&draft.signed(), config).unwrap_err().to_string()
    }

    #[test]
    fn all_four_types_are_admitted() {
        for kind in [0, 1, 2, 4] {
            let draft = Draft { kind, gas: 100_000, ..Draft::default() };
            assert_eq!(check(&draft.signed(), &config()), Ok(()), "type {kind}");
        }
    }

    #[test]
    fn another_chain_is_named_with_ours() {
        let draft = Draft { chain_id: 1, ..Draft::default() };
        assert_eq!(refusal(&draft, &config()), "invalid chain id for signer: have 1 want 7777");
    }

    #[test]
    fn a_transaction_larger_than_a_block_is_refused() {
        let draft = Draft { input: vec![0; 1_000], gas: 100_000, ..Draft::default() };
        let size = draft.signed().raw().len();
        let most = |bytes_max| PoolConfig { rules: TransactionRules { bytes_max, ..config().rules }, ..config() };
        assert_eq!(check(&draft.signed(), &most(size)), Ok(()));
        assert_eq!(
            refusal(&draft, &most(size - 1)),
            format!("oversized data: transaction size {size}, limit {}", size - 1)
        );
    }

    #[test]
    fn initcode_is_bounded_and_calldata_is_not() {
        let create = |bytes| Draft { to: None, input: vec![1; bytes], gas: GAS_MAX, ..Draft::default() };
        assert_eq!(check(&create(49_152).signed(), &config()), Ok(()));
        assert_eq!(refusal(&create(49_153), &config()), "max initcode size exceeded: code size 49153 limit 49152");
        let call = Draft { input: vec![1; 49_153], gas: GAS_MAX, ..Draft::default() };
        assert_eq!(check(&call.signed(), &config()), Ok(()));
    }

    #[test]
    fn gas_is_capped_by_eip_7825_and_by_the_block() {
        let draft = |gas| Draft { gas, ..Draft::default() };
        assert_eq!(check(&draft(GAS_MAX).signed(), &config()), Ok(()));
        assert_eq!(
            refusal(&draft(GAS_MAX + 1), &config()),
            "transaction gas limit too high (cap: 16777216, tx: 16777217)"
        );
        let small = PoolConfig { rules: TransactionRules { block_gas_limit: 30_000, ..config().rules }, ..config() };
        assert_eq!(check(&draft(30_000).signed(), &small), Ok(()));
        assert_eq!(refusal(&draft(30_001), &small), "exceeds block gas limit: gas 30001, limit 30000");
    }

    #[test]
    fn a_tip_above_the_fee_cap_is_refused() {
        let draft = |tip, fee| Draft { tip, fee: Some(fee), ..Draft::default() };
        assert_eq!(check(&draft(7, 7).signed(), &config()), Ok(()));
        assert_eq!(
            refusal(&draft(8, 7), &config()),
            "max priority fee per gas higher than max fee per gas: maxPriorityFeePerGas: 8, maxFeePerGas: 7"
        );
    }

    #[test]
    fn the_last_nonce_is_never_valid() {
        let draft = |nonce| Draft { nonce, ..Draft::default() };
        assert_eq!(check(&draft(u64::MAX - 1).signed(), &config()), Ok(()));
        assert_eq!(refusal(&draft(u64::MAX), &config()), "nonce has max value");
    }

    #[test]
    fn a_set_code_transaction_needs_an_authorization() {
        let draft = Draft { kind: 4, authorizations: 0, gas: 100_000, ..Draft::default() };
        assert_eq!(refusal(&draft, &config()), "set code tx must have at least one authorization tuple");
    }

    #[test]
    fn intrinsic_gas_must_be_covered_to_the_unit() {
        let draft = |gas| Draft { to: None, gas, ..Draft::default() };
        assert_eq!(check(&draft(53_000).signed(), &config()), Ok(()));
        assert_eq!(refusal(&draft(52_999), &config()), "intrinsic gas too low: gas 52999, minimum needed 53000");
    }

    #[test]
    fn the_floor_for_calldata_must_be_covered_to_the_unit() {
        let draft = |gas| Draft { input: vec![1; 100], gas, ..Draft::default() };
        assert_eq!(check(&draft(25_000).signed(), &config()), Ok(()));
        assert_eq!(
            refusal(&draft(24_999), &config()),
            "insufficient gas for floor data gas cost: gas 24999, minimum needed 25000"
        );
    }

    #[test]
    fn a_node_may_ask_for_a_tip() {
        let asks = PoolConfig { priority_fee_min: 10, ..config() };
        assert_eq!(check(&Draft { tip: 10, ..Draft::default() }.signed(), &asks), Ok(()));
        assert_eq!(
            refusal(&Draft { tip: 9, ..Draft::default() }, &asks),
            "transaction underpriced: gas tip cap 9, minimum needed 10"
        );
        // That is its own affair: others may ask for less.
        assert_eq!(asks.rules.check(&Draft { tip: 9, ..Draft::default() }.signed()), Ok(()));
    }
}
