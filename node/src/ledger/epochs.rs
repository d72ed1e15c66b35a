//! Where epochs begin and end in the final chain: their numbers never fall along it, so a search by halves finds it.

use baton_proto::{BlockHeader, Certificate, Epoch, Height};

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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use alloy_primitives::{Address, B256};
    use baton_proto::{Block, L1BlockNumber, L1Origin, View};

    use super::*;
    use crate::{
        driver::testing::{L2, World, child},
        l1::testing::finalize,
        ledger::{ChainIdentity, MemoryLedger},
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
