//! `eth_subscribe` and `baton_subscribe`: one task each, which asks the feed for what comes next.

use std::sync::Arc;

use alloy::rpc::types::Filter;
use baton_proto::Height;
use jsonrpsee::{
    core::{SubscriptionError, middleware::Extensions, to_json_raw_value},
    server::{PendingSubscriptionSink, SubscriptionSink},
    types::{ErrorObjectOwned, Params},
};
use serde::Deserialize;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tracing::error;

use super::{
    RpcContext, RpcError,
    arguments::Arguments,
    cursor::{Cursor, CursorError},
    feed::{Announcements, Available, Event, Feed, PAGE_MAX, Then, notarized},
    filters, logs,
};
use crate::driver::Notarized;

/// A subscriber this close to the head is live: what is notarized is told to it.
const LIVE_BLOCKS: u64 = 64;

/// Runs a subscription, and holds what its request carries until it ends: its place among those of all connections.
pub(super) async fn holding<F: Future>(request: Extensions, subscription: F) -> F::Output {
    let ended = subscription.await;
    drop(request);
    ended
}

/// Options of `baton_subscribe`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The cursor of the last event that the subscriber has seen.
    from: Option<String>,
}

/// What `eth_subscribe` can be asked for.
#[derive(Debug)]
enum Asked {
    /// Every final block in order, from the next one on.
    Heads,
    /// Logs of final blocks, from the next one on.
    Logs(Arc<Filter>),
    /// What the pool takes, whole or as hashes.
    Transactions { full: bool },
}

/// `eth_subscribe`: `newHeads`, `logs` or `newPendingTransactions`.
pub(super) async fn eth(
    params: Params<'static>,
    pending: PendingSubscriptionSink,
    feed: Arc<Feed>,
    context: RpcContext,
) -> Result<(), SubscriptionError> {
    let asked = match asked(&context, &params) {
        Ok(asked) => asked,
        Err(error) => {
            pending.reject(ErrorObjectOwned::from(error)).await;
            return Ok(());
        }
    };
    let Announcements { mut heads, arrivals, .. } = feed.announcements();
    let (head, next) = (*heads.borrow_and_update(), arrivals.count());
    let Ok(sink) = pending.accept().await else { return Ok(()) };
    ended(match asked {
        Asked::Heads => tell_heads(&feed, &sink, head).await,
        Asked::Logs(filter) => tell_logs(&feed, &sink, &filter, head).await,
        Asked::Transactions { full } => tell_transactions(&context, &sink, next, full).await,
    })
}

fn asked(context: &RpcContext, params: &Params<'_>) -> Result<Asked, RpcError> {
    let arguments = Arguments::read(params, 2)?;
    let name = arguments.text(0).map_err(|_| RpcError::NoSubscriptionName)?;
    match name.as_str() {
        // Some clients send empty options with it.
        "newHeads" => Ok(Asked::Heads),
        "logs" => {
            context.evm()?;
            logs::kept_filter(&arguments, 1).map(|filter| Asked::Logs(Arc::new(filter)))
        }
        "newPendingTransactions" => Ok(Asked::Transactions { full: arguments.options(1)? }),
        _ => Err(RpcError::UnknownSubscription { name, namespace: "eth" }),
    }
}

/// Tells the logs of each final block after `at`.
async fn tell_logs(
    feed: &Arc<Feed>,
    sink: &SubscriptionSink,
    filter: &Arc<Filter>,
    mut at: Height,
) -> Result<(), RpcError> {
    let mut heads = feed.announcements().heads;
    loop {
        let head = *heads.borrow_and_update();
        while at < head {
            let filter = Arc::clone(filter);
            let (logs, searched) = feed.read(move |feed| feed.logs(&filter, at, head)).await?;
            for log in logs {
                let json = to_json_raw_value(&log).map_err(|error| RpcError::Internal(error.to_string()))?;
                if sink.send(json).await.is_err() {
                    return Ok(());
                }
            }
            at = searched;
        }
        tokio::select! {
            () = sink.closed() => return Ok(()),
            changed = heads.changed() => if changed.is_err() { return Ok(()) },
        }
    }
}

/// Tells what the pool takes. Who falls behind what [`crate::admission::Arrivals`] remembers misses some.
async fn tell_transactions(
    context: &RpcContext,
    sink: &SubscriptionSink,
    mut next: u64,
    full: bool,
) -> Result<(), RpcError> {
    let arrivals = &context.announcements.arrivals;
    let mut changed = arrivals.subscribe();
    loop {
        changed.borrow_and_update();
        let (hashes, then) = arrivals.since(next, PAGE_MAX);
        next = then;
        let told: Vec<_> = match full {
            true => filters::whole(context, &hashes).iter().map(to_json_raw_value).collect(),
            false => hashes.iter().map(to_json_raw_value).collect(),
        };
        for json in told {
            let json = json.map_err(|error| RpcError::Internal(error.to_string()))?;
            if sink.send(json).await.is_err() {
                return Ok(());
            }
        }
        if hashes.len() == PAGE_MAX {
            continue;
        }
        tokio::select! {
            () = sink.closed() => return Ok(()),
            changed = changed.changed() => if changed.is_err() { return Ok(()) },
        }
    }
}

async fn tell_heads(feed: &Arc<Feed>, sink: &SubscriptionSink, mut at: Height) -> Result<(), RpcError> {
    let mut heads = feed.announcements().heads;
    loop {
        let head = *heads.borrow_and_update();
        while at < head {
            for block in feed.read(move |feed| feed.heads(at, head)).await? {
                if sink.send(block.head.clone()).await.is_err() {
                    return Ok(());
                }
                at = block.header.height;
            }
        }
        tokio::select! {
            () = sink.closed() => return Ok(()),
            changed = heads.changed() => if changed.is_err() { return Ok(()) },
        }
    }
}

/// `baton_subscribe`: what is notarized, final, posted and settled, from a cursor or from now on.
pub(super) async fn baton(
    params: Params<'static>,
    pending: PendingSubscriptionSink,
    feed: Arc<Feed>,
) -> Result<(), SubscriptionError> {
    let Announcements { heads, recorded, .. } = feed.announcements();
    let available = Available { head: *heads.borrow(), recorded: *recorded.borrow() };
    let start = match Arguments::read(&params, 1).and_then(|arguments| arguments.options::<Options>(0)) {
        Ok(Options { from: None }) => feed.read(move |feed| feed.now(&available)).await,
        Ok(Options { from: Some(cursor) }) => resumed(&feed, &cursor, available.head).await,
        Err(error) => Err(error),
    };
    let start = match start {
        Ok(start) => start,
        Err(error) => {
            pending.reject(ErrorObjectOwned::from(error)).await;
            return Ok(());
        }
    };
    let Ok(sink) = pending.accept().await else { return Ok(()) };
    ended(tell_events(&feed, &sink, start).await)
}

async fn resumed(feed: &Arc<Feed>, cursor: &str, head: Height) -> Result<Cursor, RpcError> {
    let cursor: Cursor = cursor.parse().map_err(|error: CursorError| RpcError::from(error))?;
    feed.read(move |feed| feed.check(&cursor, head).map(|()| cursor)).await
}

async fn tell_events(feed: &Arc<Feed>, sink: &SubscriptionSink, mut cursor: Cursor) -> Result<(), RpcError> {
    let Announcements { mut heads, notarized: announced, mut recorded, .. } = feed.announcements();
    let mut announced = announced.subscribe();
    let mut judged = None;
    loop {
        let available = Available { head: *heads.borrow_and_update(), recorded: *recorded.borrow_and_update() };
        if let Some(now) = available.recorded.filter(|now| judged != Some(*now)) {
            let taken_back = move |feed: &Feed| {
                let mut moved = cursor;
                feed.take_back(&mut moved, judged, &now).map(|event| (event, moved))
            };
            let (event, moved) = feed.read(taken_back).await?;
            (cursor, judged) = (moved, Some(now));
            if let Some(event) = event
                && !tell(sink, &event).await?
            {
                return Ok(());
            }
        }
        // A block is announced as notarized before it is final: whatever belongs before this head waits here already.
        let is_live = available.head.get().saturating_sub(cursor.height.get()) <= LIVE_BLOCKS;
        loop {
            match announced.try_recv() {
                Ok(block) if is_live && !tell_notarized(sink, &block, &cursor).await? => return Ok(()),
                Ok(_) | Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        let page = feed.read(move |feed| feed.events(cursor, &available)).await?;
        cursor = page.after;
        for event in &page.events {
            if !tell(sink, event).await? {
                return Ok(());
            }
        }
        if page.then == Then::More {
            continue;
        }
        tokio::select! {
            () = sink.closed() => return Ok(()),
            changed = heads.changed() => if changed.is_err() { return Ok(()) },
            changed = recorded.changed() => if changed.is_err() { return Ok(()) },
            block = announced.recv() => match block {
                Ok(block) if !tell_notarized(sink, &block, &cursor).await? => return Ok(()),
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(()),
            },
        }
    }
}

/// Tells of a notarized block, unless the subscriber knows better already. `false` once nobody listens.
async fn tell_notarized(sink: &SubscriptionSink, block: &Notarized, cursor: &Cursor) -> Result<bool, RpcError> {
    if block.height > cursor.height { tell(sink, &notarized(block, cursor)).await } else { Ok(true) }
}

/// Sends an event, waiting for room. `false` once nobody listens.
async fn tell(sink: &SubscriptionSink, event: &Event) -> Result<bool, RpcError> {
    let json = to_json_raw_value(event).map_err(|error| RpcError::Internal(error.to_string()))?;
    Ok(sink.send(json).await.is_ok())
}

/// What a subscription that ends by itself says last.
fn ended(result: Result<(), RpcError>) -> Result<(), SubscriptionError> {
    result.map_err(|error| {
        error!(%error, cause = ?error, "a subscription failed");
        SubscriptionError::from(error.to_string())
    })
}
