//! The table of methods, and how each is run.
//!
//! Every method that reads is a plain function that may block on the disk, so none runs on the async loop: a few at a time
//! run on blocking threads, and further calls wait for their turn, as many as [`Limits::waiting_max`]. Submitting only waits: the
//! node's own admission does the work and bounds it.

use std::sync::Arc;

use jsonrpsee::{
    RpcModule,
    core::{JsonRawValue, RegisterMethodError, to_json_raw_value},
    types::{ErrorObjectOwned, Params},
};
use serde::Serialize;
use tokio::sync::Semaphore;
use tracing::error;

use super::{
    RpcContext, RpcError, arguments::Arguments, chain, duties, feed::Feed, forced, limits::Limits, status,
    subscriptions, transactions, tx_status,
};

pub(super) const SEND_RAW: &str = "eth_sendRawTransaction";

/// What the methods share.
struct Shared {
    context: RpcContext,
    feed: Arc<Feed>,
    waiting: Semaphore,
    waiting_max: usize,
    reads: Arc<Semaphore>,
}

/// Builds the table. The names here are all there are: anything else is −32601 at once, on which client libraries rely.
pub(super) fn table(context: RpcContext, limits: &Limits) -> Result<RpcModule<()>, RegisterMethodError> {
    let feed = Feed::new(Arc::clone(&context.ledger), context.facts.spec.clone(), context.announcements.clone());
    let shared = Shared {
        context,
        feed: Arc::new(feed),
        waiting: Semaphore::new(limits.waiting_max),
        waiting_max: limits.waiting_max,
        reads: Arc::new(Semaphore::new(limits.reads_max)),
    };
    let mut module = RpcModule::new(shared);
    add(&mut module, "web3_clientVersion", 0, chain::client_version)?;
    add(&mut module, "net_version", 0, chain::net_version)?;
    add(&mut module, "net_listening", 0, chain::net_listening)?;
    add(&mut module, "net_peerCount", 0, chain::net_peer_count)?;
    add(&mut module, "rpc_modules", 0, chain::rpc_modules)?;
    add(&mut module, "eth_accounts", 0, chain::accounts)?;
    add(&mut module, "eth_syncing", 0, chain::syncing)?;
    add(&mut module, "eth_chainId", 0, chain::chain_id)?;
    add(&mut module, "eth_blockNumber", 0, chain::block_number)?;
    add(&mut module, "eth_getBlockByNumber", 2, chain::block_by_number)?;
    add(&mut module, "eth_getBlockByHash", 2, chain::block_by_hash)?;
    add(&mut module, "eth_getTransactionByHash", 1, transactions::by_hash)?;
    add(&mut module, "eth_getTransactionCount", 2, chain::transaction_count)?;
    module.register_async_method(SEND_RAW, |params, shared, _| async move {
        transactions::send_raw(&shared.context, &params).await.map_err(|error| refusal(SEND_RAW, error))
    })?;
    add(&mut module, "baton_status", 0, status::status)?;
    add(&mut module, "baton_committee", 0, status::committee)?;
    add(&mut module, "baton_leaderSchedule", 2, status::leader_schedule)?;
    add(&mut module, "baton_duties", 0, duties::duties)?;
    add(&mut module, "baton_txStatus", 1, tx_status::tx_status)?;
    add(&mut module, "baton_forcedStatus", 1, forced::forced_status)?;
    module.register_subscription(
        "eth_subscribe",
        "eth_subscription",
        "eth_unsubscribe",
        |params, pending, shared, extensions| {
            subscriptions::holding(extensions, subscriptions::eth(params, pending, Arc::clone(&shared.feed)))
        },
    )?;
    module.register_subscription(
        "baton_subscribe",
        "baton_subscription",
        "baton_unsubscribe",
        |params, pending, shared, extensions| {
            subscriptions::holding(extensions, subscriptions::baton(params, pending, Arc::clone(&shared.feed)))
        },
    )?;
    Ok(module.remove_context())
}

fn add<R: Serialize + 'static>(
    module: &mut RpcModule<Shared>,
    name: &'static str,
    arguments_max: usize,
    method: fn(&RpcContext, &Arguments) -> Result<R, RpcError>,
) -> Result<(), RegisterMethodError> {
    module.register_async_method(name, move |params, shared, _| async move {
        run(params, &shared, arguments_max, method).await.map_err(|error| refusal(name, error))
    })?;
    Ok(())
}

/// Logs what is our fault, and turns it into an error object.
fn refusal(method: &'static str, error: RpcError) -> ErrorObjectOwned {
    if error.is_ours() {
        error!(method, %error, cause = ?error, "rpc call failed");
    }
    error.into()
}

async fn run<R: Serialize + 'static>(
    params: Params<'static>,
    shared: &Shared,
    arguments_max: usize,
    method: fn(&RpcContext, &Arguments) -> Result<R, RpcError>,
) -> Result<Box<JsonRawValue>, RpcError> {
    let internal = |error: &dyn std::fmt::Display| RpcError::Internal(error.to_string());
    let Ok(waiting) = shared.waiting.try_acquire() else { return Err(RpcError::TooManyCalls(shared.waiting_max)) };
    let permit = Arc::clone(&shared.reads).acquire_owned().await.map_err(|error| internal(&error))?;
    drop(waiting);
    let context = shared.context.clone();
    let work = move || {
        // Held by the thread, not by the call: a client that hangs up does not make room for one thread more.
        let _permit = permit;
        let result = method(&context, &Arguments::read(&params, arguments_max)?)?;
        to_json_raw_value(&result).map_err(|error| RpcError::Internal(error.to_string()))
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| internal(&error))?
}
