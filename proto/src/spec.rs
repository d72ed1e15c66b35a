//! The chain spec: what every node of a chain must agree on, read from `SequencerRegistry.params()` at start.

use alloy_primitives::{Address, U256};
use serde::{Deserialize, Serialize};

use crate::{BlockHeader, Epoch, L1BlockNumber, L2ChainId};

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
    /// Returns the chain's epochs, given the first L1 block of epoch 0 (`GENESIS_L1_BLOCK` of the registry).
    #[must_use]
    pub const fn epochs(&self, genesis: L1BlockNumber) -> Epochs {
        Epochs { genesis, blocks: self.epoch_blocks }
    }
}

/// Which L1 blocks make up which epoch (protocol section 2): `blocks` of them each, from `genesis` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epochs {
    /// The first L1 block of epoch 0.
    pub genesis: L1BlockNumber,
    /// L1 blocks of one epoch. With zero, which the registry refuses, all L1 blocks are of epoch 0.
    pub blocks: u64,
}

impl Epochs {
    /// Returns the epoch of an L1 block: `epochOf` in `contracts/src/SequencerRegistry.sol`; blocks before the genesis, which
    /// that refuses, count to epoch 0.
    #[must_use]
    pub fn of(&self, block: L1BlockNumber) -> Epoch {
        Epoch::new(block.get().saturating_sub(self.genesis.get()).checked_div(self.blocks).unwrap_or_default())
    }

    /// Returns whether a block is its epoch's last, a handover block: its L1 origin lies in a later epoch.
    #[must_use]
    pub fn ends_with(&self, header: &BlockHeader) -> bool {
        self.of(header.origin.number) > header.epoch
    }

    /// Returns the first L1 block of `epoch`: `epochStart` in `contracts/src/SequencerRegistry.sol`.
    #[must_use]
    pub const fn start(&self, epoch: Epoch) -> L1BlockNumber {
        L1BlockNumber::new(self.genesis.get().saturating_add(epoch.get().saturating_mul(self.blocks)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_equal_spans_of_l1_blocks() {
        let epochs = Epochs { genesis: L1BlockNumber::new(100), blocks: 16 };
        let of = |block| epochs.of(L1BlockNumber::new(block)).get();
        assert_eq!([100, 115, 116, 131, 132].map(of), [0, 0, 1, 1, 2]);
        assert_eq!([0, 99].map(of), [0, 0]);
        assert_eq!([0, 1, 2].map(|epoch| epochs.start(Epoch::new(epoch)).get()), [100, 116, 132]);
        let none = Epochs { blocks: 0, ..epochs };
        assert_eq!(none.of(L1BlockNumber::new(u64::MAX)), Epoch::ZERO);
    }
}
