//! Who led and who missed its turn in an epoch, counted along this node's own final chain.

use baton_consensus::DutyTable;
use baton_proto::{BatchHeader, Height};

use crate::{
    epoch::EpochContext,
    ledger::{Ledger, LedgerError, last_batch_of_epoch},
};

/// Counts the duties of an epoch up to its block at `last`. `None` if the ledger lacks one of its headers, or `last` is of a
/// later epoch.
///
/// # Errors
/// [`LedgerError`] when the ledger cannot be read.
pub fn count(ledger: &dyn Ledger, epoch: &EpochContext, last: Height) -> Result<Option<DutyTable>, LedgerError> {
    let mut table = DutyTable::new(&epoch.committee);
    let mut height = epoch.root.height;
    while height < last {
        height = height.next().unwrap_or(last);
        let Some(header) = ledger.header(height)? else { return Ok(None) };
        if !table.extend(&epoch.leaders, &header) {
            return Ok(None);
        }
    }
    Ok(Some(table))
}

/// Counts the duties of an epoch up to the end of its last batch that is known, which commits to them. `None` if there is no
/// such batch yet, or the ledger lacks something of the epoch.
///
/// # Errors
/// [`LedgerError`] when the ledger cannot be read.
pub fn count_batched(
    ledger: &dyn Ledger,
    epoch: &EpochContext,
) -> Result<Option<(BatchHeader, DutyTable)>, LedgerError> {
    let Some(last) = last_batch_of_epoch(ledger, epoch.epoch)? else { return Ok(None) };
    Ok(count(ledger, epoch, last.last_height)?.map(|table| (last, table)))
}
