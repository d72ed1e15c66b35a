//! `txpool_…`: what waits, by account and nonce, as geth tells it.
//!
//! `pending` holds what could execute in a row from the account's next nonce on, `queued` what waits for an earlier nonce.

use std::collections::BTreeMap;

use alloy_consensus::Transaction as _;
use alloy_primitives::U64;
use baton_mempool::Standing;
use baton_proto::Transaction;
use serde::Serialize;

use super::{RpcContext, RpcError, arguments::Arguments, render};

/// Transactions by account and nonce, accounts in their mixed-case form.
type ByAccount<T> = BTreeMap<String, BTreeMap<u64, T>>;

/// What `txpool_content` and `txpool_inspect` return.
#[derive(Debug, Serialize)]
pub(super) struct Content<T> {
    pending: ByAccount<T>,
    queued: ByAccount<T>,
}

/// What `txpool_contentFrom` returns: one account, by nonce.
#[derive(Debug, Serialize)]
pub(super) struct ContentFrom {
    pending: BTreeMap<u64, render::RpcTransaction>,
    queued: BTreeMap<u64, render::RpcTransaction>,
}

/// What `txpool_status` returns.
#[derive(Debug, Serialize)]
pub(super) struct Counts {
    pending: U64,
    queued: U64,
}

/// `txpool_status`.
pub(super) fn status(context: &RpcContext, _: &Arguments) -> Result<Counts, RpcError> {
    let standings = context.pool().standings();
    Ok(Counts { pending: U64::from(standings.pending), queued: U64::from(standings.queued) })
}

/// `txpool_content`.
pub(super) fn content(context: &RpcContext, _: &Arguments) -> Result<Content<render::RpcTransaction>, RpcError> {
    Ok(split(all(context), render::pooled))
}

/// `txpool_inspect`: a line for each.
pub(super) fn inspect(context: &RpcContext, _: &Arguments) -> Result<Content<String>, RpcError> {
    Ok(split(all(context), line))
}

/// `txpool_contentFrom`.
pub(super) fn content_from(context: &RpcContext, arguments: &Arguments) -> Result<ContentFrom, RpcError> {
    let account = arguments.address(0)?;
    let waiting = owned(context.pool().inspect_account(account));
    let mut content = split(waiting, render::pooled);
    let of = |by_account: &mut ByAccount<_>| by_account.pop_first().map(|(_, all)| all).unwrap_or_default();
    Ok(ContentFrom { pending: of(&mut content.pending), queued: of(&mut content.queued) })
}

/// Returns all that waits. The driver wants the pool too, so it is shown only after it was let go.
fn all(context: &RpcContext) -> Vec<(Standing, Transaction)> {
    owned(context.pool().inspect())
}

fn owned<'a>(waiting: impl Iterator<Item = (Standing, &'a Transaction)>) -> Vec<(Standing, Transaction)> {
    waiting.map(|(standing, transaction)| (standing, transaction.clone())).collect()
}

fn split<T>(waiting: Vec<(Standing, Transaction)>, show: impl Fn(&Transaction) -> T) -> Content<T> {
    let mut content = Content { pending: BTreeMap::new(), queued: BTreeMap::new() };
    for (standing, transaction) in waiting {
        let part = match standing {
            Standing::Pending => &mut content.pending,
            Standing::Queued => &mut content.queued,
        };
        let of_account = part.entry(transaction.sender().to_checksum(None)).or_default();
        of_account.insert(transaction.nonce(), show(&transaction));
    }
    content
}

/// A transaction in geth's words for people.
fn line(transaction: &Transaction) -> String {
    let envelope = transaction.envelope();
    let to = envelope.to().map_or_else(|| "contract creation".to_owned(), |to| to.to_checksum(None));
    let (value, gas, price) = (envelope.value(), transaction.gas_limit(), transaction.max_fee());
    format!("{to}: {value} wei + {gas} gas × {price} wei")
}
