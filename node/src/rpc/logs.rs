//! `eth_getLogs`: logs of final blocks, which nothing ever removes.
//!
//! A block's bloom, which is kept with its results, tells in most blocks that nothing is wanted; only the others' receipts are
//! read.

use alloy::{
    eips::{BlockId, BlockNumberOrTag},
    rpc::types::{Filter, FilterBlockOption, Log as EthLog},
};
use baton_proto::Height;

use super::{RpcContext, RpcError, arguments::Arguments, chain, receipts::Receipts, threads::Deadline};
use crate::ledger::Ledger;

/// Most blocks that one call searches.
pub(super) const LOG_BLOCKS_MAX: u64 = 10_000;

/// Most logs of one answer.
pub(super) const LOGS_MAX: usize = 10_000;

/// Most addresses and topics of one filter: each may be compared with each log.
const ALTERNATIVES_MAX: usize = 1_000;

/// Most of them in a filter that is kept: 16 KiB, of as many as there may be subscriptions and filters.
const KEPT_ALTERNATIVES_MAX: usize = 250;

/// `eth_getLogs`.
pub(super) fn get_logs(
    context: &RpcContext,
    arguments: &Arguments,
    deadline: &Deadline,
) -> Result<Vec<EthLog>, RpcError> {
    context.evm()?;
    let filter = filter(arguments, 0)?;
    in_range(context, &filter, deadline)
}

/// Reads a filter.
pub(super) fn filter(arguments: &Arguments, index: usize) -> Result<Filter, RpcError> {
    bounded(arguments, index, ALTERNATIVES_MAX)
}

/// Reads a filter of a subscription, or one that is asked again and again.
pub(super) fn kept_filter(arguments: &Arguments, index: usize) -> Result<Filter, RpcError> {
    bounded(arguments, index, KEPT_ALTERNATIVES_MAX)
}

fn bounded(arguments: &Arguments, index: usize, most: usize) -> Result<Filter, RpcError> {
    let filter: Filter = arguments.options(index)?;
    let count: usize = filter.topics.iter().map(|topics| topics.len()).sum();
    if count.saturating_add(filter.address.len()) > most {
        let why = format!("exceed max addresses and topics of a filter ({most})");
        return Err(RpcError::InvalidArgument { index, why });
    }
    Ok(filter)
}

/// Returns the logs that `filter` wants of the blocks that it names.
pub(super) fn in_range(context: &RpcContext, filter: &Filter, deadline: &Deadline) -> Result<Vec<EthLog>, RpcError> {
    let Some((from, to)) = range(context, filter)? else { return Ok(Vec::new()) };
    let mut logs = Vec::new();
    let mut at = Some(from);
    while let Some(height) = at.filter(|height| *height <= to) {
        deadline.check()?;
        logs.extend(of_block(&*context.ledger, filter, height)?);
        if logs.len() > LOGS_MAX && from < to {
            let last = height.get().saturating_sub(1).max(from.get());
            return Err(RpcError::TooManyLogs { from, to: Height::new(last) });
        }
        at = height.next();
    }
    Ok(logs)
}

/// Returns the logs that `filter` wants of one final block.
pub(super) fn of_block(ledger: &dyn Ledger, filter: &Filter, height: Height) -> Result<Vec<EthLog>, RpcError> {
    let Some(results) = ledger.results(height)? else { return Ok(Vec::new()) };
    if !filter.matches_bloom(results.logs_bloom) {
        return Ok(Vec::new());
    }
    let (header, receipts) = (ledger.header(height)?, ledger.receipts(height)?);
    let (Some(header), Some(receipts)) = (header, receipts) else { return Err(RpcError::HeaderNotFound) };
    Ok(Receipts::new(receipts, &header).logs(|log| filter.matches(log)).collect())
}

/// Returns the first and the last block that a filter names, or none if that is none.
pub(super) fn range(context: &RpcContext, filter: &Filter) -> Result<Option<(Height, Height)>, RpcError> {
    let (from, to) = match filter.block_option {
        FilterBlockOption::AtBlockHash(hash) => {
            let height = match chain::height_of(context, BlockId::from(hash)) {
                Err(RpcError::HeaderNotFound) => return Err(RpcError::UnknownBlock),
                height => height?,
            };
            return Ok(Some((height, height)));
        }
        FilterBlockOption::Range { from_block, to_block } => (from_block, to_block),
    };
    let head = context.ledger.head()?.height;
    let resolved = |tag: Option<BlockNumberOrTag>| chain::resolve(context, tag.unwrap_or_default(), head);
    let (from, to) = (resolved(from), resolved(to));
    if from > to {
        return Err(RpcError::InvalidBlockRange);
    }
    let to = to.min(head);
    if from > to {
        // None of it is there yet; who polls asks like this.
        return Ok(None);
    }
    if to.get() - from.get() >= LOG_BLOCKS_MAX {
        return Err(RpcError::TooManyLogBlocks);
    }
    Ok(Some((from, to)))
}

/// Logs of the blocks from `from` on, as a filter that is asked again and again gets them: up to `to`, or until an answer is
/// full. Returns the last block that was searched.
pub(super) fn page(
    context: &RpcContext,
    filter: &Filter,
    after: Height,
    to: Height,
    deadline: &Deadline,
) -> Result<(Vec<EthLog>, Height), RpcError> {
    let (mut logs, mut at) = (Vec::new(), after);
    let last = Height::new(after.get().saturating_add(LOG_BLOCKS_MAX)).min(to);
    while let Some(next) = at.next().filter(|next| *next <= last && logs.len() < LOGS_MAX) {
        deadline.check()?;
        logs.extend(of_block(&*context.ledger, filter, next)?);
        at = next;
    }
    Ok((logs, at))
}
