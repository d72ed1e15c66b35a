//! The chain spec: what every node of a chain must agree on, read from `SequencerRegistry.params()` at start.

use alloy_primitives::{Address, B256, U256};
use serde::{Deserialize, Serialize};

use crate::{
    BlockHeader, Epoch, L1BlockNumber, L2ChainId, blobs,
    limits::{BATCH_BLOBS_MAX, BATCH_DATA_BYTES_MAX, BLOCK_DATA_GROWTH, BLOCK_DATA_OVERHEAD_BYTES},
};

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
    /// Hash of the genesis of the chain's state; zero exactly without an executor.
    pub genesis_hash: B256,
}

impl ChainSpec {
    /// Returns the chain's epochs, given the first L1 block of epoch 0 (`GENESIS_L1_BLOCK` of the registry).
    #[must_use]
    pub const fn epochs(&self, genesis: L1BlockNumber) -> Epochs {
        Epochs { genesis, blocks: self.epoch_blocks }
    }

    /// Returns the most bytes of the data of a batch of one block, whatever the chain's rules let into the block.
    #[must_use]
    pub const fn block_data_bytes_max(&self) -> u64 {
        let growth = self.block_bytes_max / BLOCK_DATA_GROWTH;
        self.block_bytes_max.saturating_add(growth).saturating_add(BLOCK_DATA_OVERHEAD_BYTES)
    }

    /// Returns the most bytes of data that one batch carries, as calldata or in blobs.
    #[must_use]
    pub fn batch_data_bytes_max(&self) -> u64 {
        self.batch_bytes_max.max(blobs::data_bytes_max(self.batch_blobs_max) as u64)
    }

    /// Checks that every final block can be posted, with batches that L1 takes (one that fits none would hold up all that come
    /// after it, for ever), and that a chain with an executor names the genesis that all its nodes must start from.
    ///
    /// The registry on L1 is held to the same: `contracts/src/registry/SpecRules.sol`.
    ///
    /// # Errors
    /// [`SpecError`].
    pub fn check(&self) -> Result<(), SpecError> {
        match (self.executor, self.genesis_hash.is_zero()) {
            (ExecutorKind::None, true) | (ExecutorKind::Embedded, false) => {}
            (ExecutorKind::None, false) => return Err(SpecError::GenesisUnused { got: self.genesis_hash }),
            (ExecutorKind::Embedded, true) => return Err(SpecError::NoGenesis),
        }
        if self.batch_bytes_max > BATCH_DATA_BYTES_MAX as u64 {
            return Err(SpecError::BatchBytes { got: self.batch_bytes_max });
        }
        if self.batch_blobs_max > BATCH_BLOBS_MAX as u64 {
            return Err(SpecError::BatchBlobs { got: self.batch_blobs_max });
        }
        let (needed, room) = (self.block_data_bytes_max(), self.batch_data_bytes_max());
        if needed > room {
            return Err(SpecError::BlockFitsNoBatch { block: self.block_bytes_max, needed, room });
        }
        Ok(())
    }

    /// Returns a spec that [`ChainSpec::check`] takes, for tests to change one or the other field of: no executor, small
    /// numbers as in `contracts/deployments/devnet.json`, no bond token.
    #[doc(hidden)]
    #[must_use]
    pub const fn example() -> Self {
        Self {
            l2_chain_id: L2ChainId::new(7_777),
            epoch_blocks: 16,
            origin_settle_blocks: 1,
            min_block_ms: 100,
            idle_block_ms: 1_000,
            delta_ms: 100,
            inactive_views: 20,
            clock_drift_ms: 500,
            block_bytes_max: 114_688,
            block_gas_limit: 120_000_000,
            exec_lag_max: 32,
            forced_lag_blocks: 8,
            abandon_blocks: 2_048,
            max_origin_age_blocks: 16_384,
            live_epochs: 16,
            batch_bytes_max: 122_880,
            batch_blobs_max: 6,
            batch_age_blocks: 5,
            post_backoff_blocks: 2,
            correlation_epochs: 8,
            evidence_blocks: 512,
            jail_epochs: 2,
            jail_min_views: 2,
            base_slash_bps: 500,
            reporter_bps: 1_000,
            jail_miss_bps: 5_000,
            min_committee: 1,
            allow_small: true,
            ordering_rule: OrderingRule::FirstSeen,
            executor: ExecutorKind::None,
            weight_unit: 1_000_000_000_000,
            weight_cap: 1 << 40,
            min_bond: U256::from_limbs([1_000_000_000_000, 0, 0, 0]),
            bond_token: Address::ZERO,
            genesis_hash: B256::ZERO,
        }
    }
}

/// Why no chain can run by a spec.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum SpecError {
    #[error("batches of {got} bytes of calldata (batchBytesMax), L1 takes at most {BATCH_DATA_BYTES_MAX}")]
    BatchBytes { got: u64 },
    #[error("batches of {got} blobs (batchBlobsMax), L1 takes at most {BATCH_BLOBS_MAX}")]
    BatchBlobs { got: u64 },
    #[error("a block of {block} bytes (blockBytesMax) can need {needed} of a batch, which holds {room}")]
    BlockFitsNoBatch { block: u64, needed: u64, room: u64 },
    #[error("the chain has no executor, but a genesis: {got} (genesisHash)")]
    GenesisUnused { got: B256 },
    #[error("the chain has an executor, but no genesis (genesisHash is zero)")]
    NoGenesis,
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

    fn spec(batch_blobs_max: u64, batch_bytes_max: u64, block_bytes_max: u64) -> ChainSpec {
        ChainSpec { batch_blobs_max, batch_bytes_max, block_bytes_max, ..ChainSpec::example() }
    }

    #[test]
    fn a_block_of_the_largest_size_fits_a_batch() {
        // The same edges as in `contracts/test/registry/constructor.t.sol`.
        let alone = [(0, 122_880, 117_864), (0, 4_096, 0), (0, 4_223, 127), (0, 4_224, 127), (0, 4_225, 128)];
        let with_blobs = [(1, 1, 121_923), (1, 122_880, 121_923), (6, 122_880, 751_881)];
        for (blobs, bytes, largest) in [&alone[..], &with_blobs].concat() {
            assert_eq!(spec(blobs, bytes, largest).check(), Ok(()));
            for block in [largest + 1, u64::MAX] {
                let refused = spec(blobs, bytes, block).check();
                assert!(
                    matches!(refused, Err(SpecError::BlockFitsNoBatch { .. })),
                    "{blobs} {bytes} {block}: {refused:?}"
                );
            }
        }
        let two_mebibytes = spec(6, 122_880, 2 << 20).check();
        let expected = SpecError::BlockFitsNoBatch { block: 2_097_152, needed: 2_117_632, room: 761_851 };
        assert_eq!(two_mebibytes, Err(expected));
        assert_eq!(spec(6, 122_881, 1).check(), Err(SpecError::BatchBytes { got: 122_881 }));
        assert_eq!(spec(7, 122_880, 1).check(), Err(SpecError::BatchBlobs { got: 7 }));
        assert!(spec(0, 4_095, 0).check().is_err());
    }

    #[test]
    fn a_chain_has_a_genesis_exactly_if_it_has_an_executor() {
        let with = |executor, genesis_hash| ChainSpec { executor, genesis_hash, ..ChainSpec::example() }.check();
        assert_eq!(with(ExecutorKind::None, B256::ZERO), Ok(()));
        for genesis in [B256::with_last_byte(1), B256::repeat_byte(0xff)] {
            assert_eq!(with(ExecutorKind::Embedded, genesis), Ok(()));
            assert_eq!(with(ExecutorKind::None, genesis), Err(SpecError::GenesisUnused { got: genesis }));
        }
        assert_eq!(with(ExecutorKind::Embedded, B256::ZERO), Err(SpecError::NoGenesis));
    }

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
