//! Where epochs begin and end in the final chain and among its batches: their numbers never fall along either, so a search by
//! halves finds it.

use baton_proto::{BatchHeader, BatchIndex, BlockHeader, Certificate, Epoch, Height};

use super::{Ledger, LedgerError};

/// Returns the last final block whose epoch is below `epoch`; the genesis block, which has no epoch before it, if there is
/// none: the block that `epoch` starts from, once it runs. O(log height) reads.
///
/// # Errors
/// [`LedgerError`] when the ledger cannot be read or has no genesis block.
pub fn root_of_epoch(ledger: &dyn Ledger, epoch: Epoch) -> Result<BlockHeader, LedgerError> {
    let at = |height: u64| ledger.header(Height::new(height))?.ok_or(LedgerError::NoGenesis);
    // The block at `low` is below the epoch, those from `high` on are not.
    let (mut low, mut high) = (0, ledger.head()?.height.get().saturating_add(1));
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if at(middle)?.epoch < epoch { low = middle } else { high = middle }
    }
    at(low)
}

/// Returns the last block of `epoch` with its finalization, if this chain has gone on to a later epoch.
///
/// # Errors
/// [`LedgerError`] when the ledger cannot be read.
pub fn end_of_epoch(
    ledger: &dyn Ledger,
    epoch: Epoch,
    is_last: impl Fn(&BlockHeader) -> bool,
) -> Result<Option<(BlockHeader, Certificate)>, LedgerError> {
    let Some(next) = epoch.next() else { return Ok(None) };
    let last = root_of_epoch(ledger, next)?;
    if last.epoch != epoch || last.height == Height::ZERO || !is_last(&last) {
        return Ok(None);
    }
    let found = ledger.finalization_from(last.height)?;
    Ok(found.filter(|(at, _)| *at == last.height).map(|(_, finalization)| (last, finalization)))
}

/// Returns the header of the last batch of `epoch` that is known; `None` if there is none, or a batch before it is not known.
///
/// # Errors
/// [`LedgerError`] when the ledger cannot be read.
pub fn last_batch_of_epoch(ledger: &dyn Ledger, epoch: Epoch) -> Result<Option<BatchHeader>, LedgerError> {
    let Some(newest) = ledger.last_batch()? else { return Ok(None) };
    let at = |index: u64| -> Result<Option<BatchHeader>, LedgerError> {
        Ok(ledger.batch_without_data(BatchIndex::new(index))?.map(|record| record.header))
    };
    // Batches below `low` are not above the epoch, those from `high` on are.
    let (mut low, mut high) = (0, newest.header.index.get().saturating_add(1));
    while low < high {
        let middle = low + (high - low) / 2;
        let Some(header) = at(middle)? else { return Ok(None) };
        if header.epoch <= epoch { low = middle + 1 } else { high = middle }
    }
    let Some(last) = low.checked_sub(1) else { return Ok(None) };
    Ok(at(last)?.filter(|header| header.epoch == epoch))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use alloy_primitives::{Address, B256, Bytes};
    use baton_proto::{BatchHash, Block, BlockDigest, DataKind, L1BlockNumber, L1Origin, View};

    use super::*;
    use crate::{
        driver::testing::{L2, World, child},
        l1::testing::finalize,
        ledger::{BatchOnL1, BatchRecord, ChainIdentity, MemoryLedger},
    };

    /// A final chain of these epochs, a block each.
    fn chain(epochs: &[u64]) -> (Arc<MemoryLedger>, Vec<Block>) {
        let domain = World::new(&[1]).domain;
        let ledger =
            MemoryLedger::new(&ChainIdentity { domain, inbox: Address::ZERO, slasher: Address::ZERO }).unwrap();
        let origin = L1Origin { number: L1BlockNumber::new(1), hash: B256::ZERO };
        let mut parent = BlockHeader::genesis(L2, origin, 1);
        ledger.init_genesis(&parent).unwrap();
        let mut blocks = Vec::new();
        for epoch in epochs {
            let mut block = child(&parent, Vec::new());
            block.header.epoch = Epoch::new(*epoch);
            block.header.view = View::new(blocks.len() as u64 + 1);
            parent = block.header.clone();
            blocks.push(block);
        }
        finalize(&ledger, &blocks);
        (Arc::new(ledger), blocks)
    }

    #[test]
    fn an_epoch_starts_from_the_last_block_below_it() {
        for epochs in [vec![], vec![2], vec![2, 2, 3], vec![2, 2, 2, 5, 5, 5, 5, 7]] {
            let (ledger, blocks) = chain(&epochs);
            for epoch in 2..9 {
                let below = epochs.iter().filter(|of| **of < epoch).count() as u64;
                let root = root_of_epoch(ledger.as_ref(), Epoch::new(epoch)).unwrap();
                assert_eq!(root.height, Height::new(below), "epoch {epoch} of {epochs:?}");
                assert!(below == 0 || root == blocks[below as usize - 1].header);
            }
        }
    }

    #[test]
    fn the_last_batch_of_an_epoch_is_found_where_all_before_are_known() {
        let batch = |index: u64, epoch: u64| BatchRecord {
            header: BatchHeader {
                index: BatchIndex::new(index),
                prev_batch_hash: BatchHash::new(B256::ZERO),
                epoch: Epoch::new(epoch),
                first_height: Height::new(index + 1),
                last_height: Height::new(index + 1),
                last_digest: BlockDigest::ZERO,
                last_origin: L1Origin { number: L1BlockNumber::new(1), hash: B256::ZERO },
                state_root: B256::ZERO,
                forced_position: 0,
                forced_hash: B256::ZERO,
                data_kind: DataKind::Calldata,
                data_hash: B256::ZERO,
                duties_root: B256::ZERO,
            },
            data: Bytes::new(),
            certificate: None,
            l1: BatchOnL1::Unposted,
        };
        for epochs in [vec![], vec![2], vec![2, 2, 3], vec![2, 2, 2, 5, 5, 5, 5, 7]] {
            let (ledger, _) = chain(&[]);
            for (index, epoch) in (0..).zip(&epochs) {
                ledger.put_batch(&batch(index, *epoch)).unwrap();
            }
            for epoch in 1..9 {
                let last = epochs.iter().rposition(|of| *of == epoch).map(|last| last as u64);
                let found = last_batch_of_epoch(ledger.as_ref(), Epoch::new(epoch)).unwrap();
                assert_eq!(found.map(|header| header.index.get()), last, "epoch {epoch} of {epochs:?}");
            }
        }
        let (ledger, _) = chain(&[]);
        ledger.put_batch(&batch(5, 4)).unwrap();
        assert_eq!(last_batch_of_epoch(ledger.as_ref(), Epoch::new(4)).unwrap(), None, "those before are not here yet");
    }

    #[test]
    fn an_epoch_has_an_end_once_its_last_block_is_final() {
        let (ledger, blocks) = chain(&[2, 2, 5, 5]);
        let last = |header: &BlockHeader| header.height == Height::new(2);
        let end = |epoch| end_of_epoch(ledger.as_ref(), Epoch::new(epoch), last).unwrap();
        let (header, finalization) = end(2).unwrap();
        assert_eq!(header, blocks[1].header);
        assert_eq!(finalization.statement.block(), Some(header.digest()));
        assert!([1, 3, 4, 5, 6].into_iter().all(|epoch| end(epoch).is_none()), "skipped, running, or not begun");
    }
}
