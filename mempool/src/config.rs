//! What a pool is allowed to hold, and why these numbers.

use baton_proto::{
    ChainSpec, ExecutorKind, OrderingRule,
    limits::{TRANSACTION_BYTES_MAX, TRANSACTION_GAS_MAX},
};

use crate::TransactionRules;

/// Rules of the chain and bounds of this node. The bounds are local: nodes need not agree on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// What the chain demands of every transaction.
    pub rules: TransactionRules,
    /// In which order blocks stand, from the chain spec.
    pub ordering_rule: OrderingRule,
    /// What executes blocks, from the chain spec. Where nothing does, nobody has a balance and nobody is charged: money is not
    /// asked for.
    pub executor: ExecutorKind,
    /// Least `maxPriorityFeePerGas` (or gas price), in wei.
    pub priority_fee_min: u128,
    /// Most transactions in the pool.
    pub transactions_max: usize,
    /// Most bytes of transactions in the pool, as encoded.
    pub bytes_max: usize,
    /// Most transactions of one account.
    pub account_transactions_max: usize,
    /// Most transactions of one account that wait for a nonce or for money.
    pub account_gapped_max: usize,
    /// How long a transaction may wait, in milliseconds.
    pub lifetime_ms: u64,
}

impl PoolConfig {
    /// 10,000 transactions: what reth keeps per sub-pool, and more than four of our largest blocks of plain transfers take.
    pub const TRANSACTIONS_MAX: usize = 10_000;

    /// 20 MB: ten full blocks. With it the pool's memory stays below 100 MiB, indices and decoded forms included: 10 MiB for
    /// 10,000 transfers, 45 MiB for as many calls. Made of nothing but authorizations that are as short as they can be, which
    /// grow fivefold when they are decoded, it stays below 200 MiB (measured by `tests/memory.rs`).
    pub const BYTES_MAX: usize = 20_000_000;

    /// 1,024 per account. The clients of L1 promise an account 16 places because a balance there backs few of many
    /// promises; a rollup's exchange or test script sends hundreds in a row from one key, and here a block comes every
    /// 100 ms. A tenth of the pool is the most that one account can take.
    pub const ACCOUNT_TRANSACTIONS_MAX: usize = 1_024;

    /// 64 gapped per account, as in geth: enough for what arrives out of order, too little to fill a pool with.
    pub const ACCOUNT_GAPPED_MAX: usize = 64;

    /// 3 hours, as in geth and reth.
    pub const LIFETIME_MS: u64 = 3 * 60 * 60 * 1_000;

    /// 0: what a chain charges besides is its base fee, which every block asks for by itself.
    pub const PRIORITY_FEE_MIN: u128 = 0;

    /// Returns the configuration of a chain with the default bounds.
    #[must_use]
    pub fn of(spec: &ChainSpec) -> Self {
        Self {
            rules: TransactionRules::of(spec),
            executor: spec.executor,
            ..Self::new(spec.l2_chain_id.get(), spec.block_gas_limit, spec.ordering_rule)
        }
    }

    /// Returns the default bounds under these rules, for a chain that only orders.
    #[must_use]
    pub fn new(chain_id: u64, block_gas_limit: u64, ordering_rule: OrderingRule) -> Self {
        Self {
            rules: TransactionRules { chain_id, block_gas_limit, bytes_max: TRANSACTION_BYTES_MAX },
            ordering_rule,
            executor: ExecutorKind::None,
            priority_fee_min: Self::PRIORITY_FEE_MIN,
            transactions_max: Self::TRANSACTIONS_MAX,
            bytes_max: Self::BYTES_MAX,
            account_transactions_max: Self::ACCOUNT_TRANSACTIONS_MAX,
            account_gapped_max: Self::ACCOUNT_GAPPED_MAX,
            lifetime_ms: Self::LIFETIME_MS,
        }
    }
}

const _: () = assert!(TRANSACTION_BYTES_MAX <= PoolConfig::BYTES_MAX, "the largest transaction must fit an empty pool");
const _: () = assert!(TRANSACTION_GAS_MAX == 1 << 24, "the message of `GasLimitTooHigh` names EIP-7825's cap");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_decides_what_its_blocks_can_hold() {
        let of = |block_bytes_max| PoolConfig::of(&ChainSpec { block_bytes_max, ..ChainSpec::example() });
        let wide = of(2 * 1024 * 1024);
        assert_eq!(wide, PoolConfig::new(7_777, 120_000_000, OrderingRule::FirstSeen));
        assert_eq!(wide.rules.bytes_max, 128 * 1024);
        // No block could ever take more, so the pool does not let it in.
        assert_eq!(of(50_000).rules.bytes_max, 50_000);
        let charging = ChainSpec { executor: ExecutorKind::Embedded, ..ChainSpec::example() };
        assert_eq!(PoolConfig::of(&charging).executor, ExecutorKind::Embedded);
    }
}
