//! Answering peers that catch up.

use baton_proto::{
    Block, BlockHeader, Epochs, Height,
    limits::{RANGE_BLOCKS_MAX, RANGE_TAIL_MAX},
    wire::{FinalHeader, FinalRange, SyncRequest, SyncResponse},
};

use super::parts;
use crate::ledger::{Ledger, LedgerError, end_of_epoch};

/// Answers `request` from what is stored, within the bounds of one message. What cannot be proven is "unavailable". A range
/// ends where its epoch does, for one committee's certificate proves it.
///
/// # Errors
/// [`LedgerError`] when the ledger cannot be read.
pub fn answer(ledger: &dyn Ledger, epochs: Epochs, request: SyncRequest) -> Result<SyncResponse, LedgerError> {
    Ok(match request {
        SyncRequest::Head => head(ledger)?,
        SyncRequest::Block(digest) => SyncResponse::Block(ledger.block_by_digest(digest)?),
        SyncRequest::Transactions { block, indices } => parts::transactions(ledger, block, &indices)?,
        // The network takes these in itself.
        SyncRequest::Take(_) => SyncResponse::Unavailable,
        SyncRequest::Range { from, blocks_max } => {
            range(ledger, from, blocks_max)?.map_or(SyncResponse::Unavailable, SyncResponse::Range)
        }
        SyncRequest::EpochEnd(epoch) => {
            match end_of_epoch(ledger, epoch, |header| epochs.ends_with(header))? {
                Some((header, finalization)) => SyncResponse::EpochEnd(FinalHeader { header, finalization }),
                // Not the same as being too busy to look.
                None => head(ledger)?,
            }
        }
    })
}

fn head(ledger: &dyn Ledger) -> Result<SyncResponse, LedgerError> {
    let head = ledger.head()?;
    Ok(SyncResponse::Head { height: head.height, digest: head.digest })
}

fn range(ledger: &dyn Ledger, from: Height, blocks_max: u32) -> Result<Option<FinalRange>, LedgerError> {
    let head = ledger.head()?.height;
    if from == Height::ZERO || from > head {
        return Ok(None);
    }
    let count_max = usize::try_from(blocks_max).unwrap_or(usize::MAX).min(RANGE_BLOCKS_MAX);
    let (mut blocks, mut next) = (Vec::new(), from);
    while next <= head && blocks.len() < count_max && FinalRange::has_room(&blocks) {
        let Some(block) = ledger.block(next)? else { break };
        if blocks.last().is_some_and(|below: &Block| below.header.epoch != block.header.epoch) {
            break;
        }
        blocks.push(block);
        let Some(following) = next.next() else { break };
        next = following;
    }
    let Some(last) = blocks.last() else { return Ok(None) };
    let Some((certified, finalization)) = ledger.finalization_from(last.header.height)? else { return Ok(None) };
    let Some(tail) = headers_between(ledger, last.header.height, certified)? else { return Ok(None) };
    Ok(Some(FinalRange { blocks, tail, finalization }))
}

/// Returns the headers above `last` up to `certified`, or `None` where there are too many for one answer.
fn headers_between(
    ledger: &dyn Ledger,
    last: Height,
    certified: Height,
) -> Result<Option<Vec<BlockHeader>>, LedgerError> {
    if certified.get().saturating_sub(last.get()) > RANGE_TAIL_MAX as u64 {
        return Ok(None);
    }
    (last.get()..certified.get())
        .map(|below| ledger.header(Height::new(below.saturating_add(1))))
        .collect::<Result<Option<Vec<_>>, _>>()
}
