//! What of the final chain goes into a batch.

use alloy_primitives::B256;
use baton_proto::{
    Block, Epoch, Height,
    limits::{BATCH_BLOCKS_MAX, BATCH_DECODED_BYTES_MAX},
};

use super::{BatcherError, rules::BLOCK_OVERHEAD_BYTES};
use crate::ledger::Ledger;

/// Returns the final blocks from `first` to `last`, both included.
pub(super) fn final_blocks(ledger: &dyn Ledger, first: Height, last: Height) -> Result<Vec<Block>, BatcherError> {
    (first.get()..=last.get())
        .map(|height| {
            let height = Height::new(height);
            ledger.block(height)?.ok_or(BatcherError::MissingBlock(height))
        })
        .collect()
}

/// Returns the root of the state after the final block at `height`.
pub(super) fn state_root(ledger: &dyn Ledger, height: Height) -> Result<B256, BatcherError> {
    let results = ledger.results(height)?;
    results.map(|results| results.state_root).ok_or(BatcherError::MissingBlock(height))
}

/// Returns as many final blocks of `epoch` from `first` to `last` as one batch can hold decompressed; at least one if the first
/// is of that epoch.
pub(super) fn unposted_blocks(
    ledger: &dyn Ledger,
    epoch: Epoch,
    first: Height,
    last: Height,
) -> Result<Vec<Block>, BatcherError> {
    let mut blocks = Vec::new();
    let mut bytes = 0_u64;
    for height in first.get()..=last.get() {
        let height = Height::new(height);
        let block = ledger.block(height)?.ok_or(BatcherError::MissingBlock(height))?;
        bytes = bytes.saturating_add(u64::from(block.header.payload_bytes)).saturating_add(BLOCK_OVERHEAD_BYTES);
        let is_too_much = blocks.len() >= BATCH_BLOCKS_MAX || bytes > BATCH_DECODED_BYTES_MAX as u64;
        if block.header.epoch != epoch || (is_too_much && !blocks.is_empty()) {
            break;
        }
        blocks.push(block);
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;
    use baton_proto::{BlockHeader, L1BlockNumber, L1Origin};

    use super::*;
    use crate::{
        driver::testing::{L2, World, child},
        l1::testing::finalize,
        ledger::{ChainIdentity, MemoryLedger},
    };

    #[test]
    fn a_batch_takes_blocks_of_one_epoch() {
        let domain = World::new(&[1]).domain;
        let ledger =
            MemoryLedger::new(&ChainIdentity { domain, inbox: Address::ZERO, slasher: Address::ZERO }).unwrap();
        let origin = L1Origin { number: L1BlockNumber::new(1), hash: B256::ZERO };
        let genesis = BlockHeader::genesis(L2, origin, 1);
        ledger.init_genesis(&genesis).unwrap();
        let mut blocks: Vec<Block> = Vec::new();
        for epoch in [2, 2, 2, 5, 5] {
            let mut block = child(blocks.last().map_or(&genesis, |block| &block.header), Vec::new());
            block.header.epoch = Epoch::new(epoch);
            blocks.push(block);
        }
        finalize(&ledger, &blocks);
        let taken = |epoch, first, last| {
            let blocks = unposted_blocks(&ledger, Epoch::new(epoch), Height::new(first), Height::new(last)).unwrap();
            blocks.iter().map(|block| block.header.height.get()).collect::<Vec<_>>()
        };
        assert_eq!(taken(2, 1, 5), [1, 2, 3]);
        assert_eq!(taken(2, 2, 2), [2]);
        assert_eq!(taken(5, 4, 5), [4, 5]);
        assert!(taken(2, 4, 5).is_empty());
    }
}
