//! The chain spec: what every node of a chain must agree on, read from `SequencerRegistry.params()` at start.

use alloy_primitives::{Address, U256};
use serde::{Deserialize, Serialize};

use crate::{Epoch, L1BlockNumber, L2ChainId};

/// In which order a block's transactions must stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderingRule {
    /// The leader decides.
    FirstSeen,
    /// Repeatedly the highest `maxPriorityFeePerGas` among the senders' next nonces, ties to the lowest hash.
    PriorityFee,
}

/// What turns ordered transactions into state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecutorKind {
    /// Nonces only; state roots are zero.
    None,
    /// The embedded EVM.
    Embedded,
}

/// Parameters of a chain, as `ChainSpec` in `contracts/src/Types.sol` defines them. Units stand at the end of the names;
/// `…_blocks` counts L1 blocks, `…_bps` hundredths of a percent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names carry the units; protocol meaning stands at the rules that use them")]
pub struct ChainSpec {
    pub l2_chain_id: L2ChainId,
    pub epoch_blocks: u64,
    pub origin_settle_blocks: u64,
    pub min_block_ms: u64,
    pub idle_block_ms: u64,
    pub delta_ms: u64,
    pub inactive_views: u64,
    pub clock_drift_ms: u64,
    pub block_bytes_max: u64,
    pub block_gas_limit: u64,
    pub exec_lag_max: u64,
    pub forced_lag_blocks: u64,
    pub abandon_blocks: u64,
    pub max_origin_age_blocks: u64,
    pub live_epochs: u64,
    pub batch_bytes_max: u64,
    pub batch_blobs_max: u64,
    pub batch_age_blocks: u64,
    pub post_backoff_blocks: u64,
    pub correlation_epochs: u64,
    pub evidence_blocks: u64,
    pub jail_epochs: u64,
    pub jail_min_views: u64,
    pub base_slash_bps: u16,
    pub reporter_bps: u16,
    pub jail_miss_bps: u16,
    pub min_committee: u8,
    pub allow_small: bool,
    pub ordering_rule: OrderingRule,
    pub executor: ExecutorKind,
    pub weight_unit: u128,
    pub weight_cap: u64,
    pub min_bond: U256,
    pub bond_token: Address,
}

impl ChainSpec {
    /// Returns the first L1 block of `epoch`.
    #[must_use]
    pub fn epoch_start(&self, genesis: L1BlockNumber, epoch: Epoch) -> L1BlockNumber {
        L1BlockNumber::new(genesis.get().saturating_add(epoch.get().saturating_mul(self.epoch_blocks)))
    }
}
