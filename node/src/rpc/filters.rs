//! `eth_new…Filter` and `eth_getFilterChanges`: subscriptions for clients that only ask.
//!
//! A filter is a position in what the node tells everybody anyway, so it costs a few bytes and nothing waits for it. One
//! that nobody asks for some minutes is forgotten, as geth does.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use alloy::rpc::types::Filter;
use alloy_primitives::{B256, TxHash};
use baton_proto::Height;
use serde::Serialize;
use serde_json::{Value, json};

use super::{RpcContext, RpcError, arguments::Arguments, logs, render, threads::Deadline};

/// Most blocks of which one answer tells, and most hashes of transactions: more come with the next.
const CHANGES_MAX: usize = 10_000;

/// All filters of all clients.
#[derive(Debug)]
pub(super) struct Filters {
    installed: Mutex<HashMap<String, Installed>>,
    most: usize,
    life: Duration,
}

#[derive(Debug)]
struct Installed {
    position: Position,
    asked: Instant,
}

/// What a filter is about, and what its client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// Final blocks; the last one that was told.
    Blocks(Height),
    /// Transactions that the pool takes; the number of the next one.
    Transactions {
        next: u64,
        /// Whether the client wants them whole.
        full: bool,
    },
    /// Logs of final blocks; the last block that was searched.
    Logs {
        last: Height,
        /// Which ones.
        filter: Arc<Filter>,
    },
}

impl Filters {
    pub(super) fn new(most: usize, life: Duration) -> Self {
        Self { installed: Mutex::default(), most, life }
    }

    /// Adds a filter and returns its id: random and in hex, so that nobody reads another client's by chance.
    pub(super) fn install(&self, position: Position, now: Instant) -> Result<String, RpcError> {
        let mut installed = self.installed();
        installed.retain(|_, filter| now.saturating_duration_since(filter.asked) < self.life);
        if installed.len() >= self.most {
            return Err(RpcError::TooManyFilters(self.most));
        }
        let id = format!("{:#x}", rand::random::<u128>());
        installed.insert(id.clone(), Installed { position, asked: now });
        Ok(id)
    }

    /// Returns where a filter stands, and lets it live on.
    pub(super) fn position(&self, id: &str, now: Instant) -> Result<Position, RpcError> {
        let mut installed = self.installed();
        let filter = installed.get_mut(id).ok_or(RpcError::FilterNotFound)?;
        if now.saturating_duration_since(filter.asked) >= self.life {
            installed.remove(id);
            return Err(RpcError::FilterNotFound);
        }
        filter.asked = now;
        Ok(filter.position.clone())
    }

    /// Moves a filter on, and returns whether it stood at `from`: of two calls at once, one tells what is new.
    pub(super) fn advance(&self, id: &str, from: &Position, to: Position) -> bool {
        match self.installed().get_mut(id) {
            Some(filter) if filter.position == *from => {
                filter.position = to;
                true
            }
            _ => false,
        }
    }

    /// Forgets a filter, and returns whether it was there.
    pub(super) fn uninstall(&self, id: &str) -> bool {
        self.installed().remove(id).is_some()
    }

    fn installed(&self) -> MutexGuard<'_, HashMap<String, Installed>> {
        self.installed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `eth_newBlockFilter`.
pub(super) fn new_block_filter(
    filters: &Filters,
    context: &RpcContext,
    _: &Arguments,
    _: &Deadline,
) -> Result<Value, RpcError> {
    let head = context.ledger.head()?.height;
    filters.install(Position::Blocks(head), Instant::now()).map(Value::from)
}

/// `eth_newPendingTransactionFilter`: hashes, or whole transactions if its argument is `true`.
pub(super) fn new_transaction_filter(
    filters: &Filters,
    context: &RpcContext,
    arguments: &Arguments,
    _: &Deadline,
) -> Result<Value, RpcError> {
    let full = arguments.options(0)?;
    let next = context.announcements.arrivals.count();
    filters.install(Position::Transactions { next, full }, Instant::now()).map(Value::from)
}

/// `eth_newFilter`: logs of the blocks from the next one on.
pub(super) fn new_filter(
    filters: &Filters,
    context: &RpcContext,
    arguments: &Arguments,
    _: &Deadline,
) -> Result<Value, RpcError> {
    context.evm()?;
    let (filter, last) = (Arc::new(logs::kept_filter(arguments, 0)?), context.ledger.head()?.height);
    filters.install(Position::Logs { last, filter }, Instant::now()).map(Value::from)
}

/// `eth_getFilterLogs`: all logs that a log filter names, of its blocks, as `eth_getLogs` gives them.
pub(super) fn filter_logs(
    filters: &Filters,
    context: &RpcContext,
    arguments: &Arguments,
    deadline: &Deadline,
) -> Result<Value, RpcError> {
    match filters.position(&arguments.text(0)?, Instant::now())? {
        Position::Logs { filter, .. } => json(&logs::in_range(context, &filter, deadline)?),
        Position::Blocks(_) | Position::Transactions { .. } => Err(RpcError::FilterNotFound),
    }
}

/// `eth_getFilterChanges`: what is new since the last answer.
pub(super) fn changes(
    filters: &Filters,
    context: &RpcContext,
    arguments: &Arguments,
    deadline: &Deadline,
) -> Result<Value, RpcError> {
    let id = arguments.text(0)?;
    let from = filters.position(&id, Instant::now())?;
    let (told, to) = match &from {
        Position::Blocks(last) => {
            let (hashes, last) = blocks_after(context, *last, deadline)?;
            (json(&hashes)?, Position::Blocks(last))
        }
        Position::Transactions { next, full } => {
            let (hashes, next) = context.announcements.arrivals.since(*next, CHANGES_MAX);
            let told = if *full { json(&whole(context, &hashes))? } else { json(&hashes)? };
            (told, Position::Transactions { next, full: *full })
        }
        Position::Logs { last, filter } => {
            let head = context.ledger.head()?.height;
            let (logs, last) = logs::page(context, filter, *last, head, deadline)?;
            (json(&logs)?, Position::Logs { last, filter: Arc::clone(filter) })
        }
    };
    Ok(if filters.advance(&id, &from, to) { told } else { json!([]) })
}

/// `eth_uninstallFilter`.
pub(super) fn uninstall(
    filters: &Filters,
    _: &RpcContext,
    arguments: &Arguments,
    _: &Deadline,
) -> Result<Value, RpcError> {
    Ok(Value::from(filters.uninstall(&arguments.text(0)?)))
}

/// Returns the digests of the final blocks after `last`, and the last of them.
fn blocks_after(context: &RpcContext, last: Height, deadline: &Deadline) -> Result<(Vec<B256>, Height), RpcError> {
    let head = context.ledger.head()?.height;
    let (mut hashes, mut at) = (Vec::new(), last);
    while let Some(next) = at.next().filter(|next| *next <= head && hashes.len() < CHANGES_MAX) {
        deadline.check()?;
        let header = context.ledger.header(next)?.ok_or(RpcError::HeaderNotFound)?;
        hashes.push(header.digest().get());
        at = next;
    }
    Ok((hashes, at))
}

/// Returns the transactions of which the pool still has these hashes.
pub(super) fn whole(context: &RpcContext, hashes: &[TxHash]) -> Vec<render::RpcTransaction> {
    let pool = context.pool();
    let held: Vec<_> = hashes.iter().filter_map(|hash| pool.get(hash)).collect();
    drop(pool);
    held.iter().map(render::pooled).collect()
}

fn json<T: Serialize>(value: &T) -> Result<Value, RpcError> {
    serde_json::to_value(value).map_err(|error| RpcError::Internal(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(300);

    #[test]
    fn filters_are_bounded_and_those_that_nobody_asks_make_room() {
        let filters = Filters::new(2, LIFE);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let first = filters.install(Position::Blocks(Height::ZERO), at(0)).unwrap();
        let second = filters.install(Position::Blocks(Height::ZERO), at(200)).unwrap();
        let third = filters.install(Position::Blocks(Height::ZERO), at(299));
        assert!(matches!(third, Err(RpcError::TooManyFilters(2))), "{third:?}");
        // Whoever asks lives on; whoever did not for its whole life is gone, asked for or not.
        assert!(filters.position(&second, at(450)).is_ok());
        assert!(matches!(filters.position(&first, at(300)), Err(RpcError::FilterNotFound)));
        assert!(filters.install(Position::Blocks(Height::ZERO), at(451)).is_ok());
        assert!(filters.install(Position::Blocks(Height::ZERO), at(452)).is_err());
        assert!(filters.install(Position::Blocks(Height::ZERO), at(750)).is_ok(), "the second is old by now");
        assert!(filters.position(&second, at(750)).is_err());
        assert!(!filters.uninstall(&second));
    }

    #[test]
    fn of_two_answers_at_once_one_tells() {
        let filters = Filters::new(2, LIFE);
        let now = Instant::now();
        let id = filters.install(Position::Blocks(Height::ZERO), now).unwrap();
        let (one, another) = (filters.position(&id, now).unwrap(), filters.position(&id, now).unwrap());
        assert!(filters.advance(&id, &one, Position::Blocks(Height::new(3))));
        assert!(!filters.advance(&id, &another, Position::Blocks(Height::new(3))));
        assert!(filters.uninstall(&id));
        assert!(!filters.advance(&id, &one, Position::Blocks(Height::new(3))));
    }
}
