//! The table of methods, and how each is run.
//!
//! Every method that reads is a plain function that may block on the disk, so none runs on the async loop: a few at a time
//! run on blocking threads, those that compute or read much on others ([`Threads`]), and further calls wait for their turn.
//! Submitting only waits: the node's own admission does the work and bounds it.

use std::{collections::BTreeMap, sync::Arc};

use jsonrpsee::{
    RpcModule,
    core::{RegisterMethodError, to_json_raw_value},
    types::ErrorObjectOwned,
};
use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::{
    RpcContext, RpcError, accounts,
    arguments::Arguments,
    bodies, call, chain, duties,
    feed::Feed,
    fees::{self, Fees},
    fill,
    filters::{self, Filters},
    forced,
    limits::Limits,
    logs, proof, receipts, status, subscriptions,
    sync_send::{self, Landings},
    threads::{Deadline, Threads},
    trace, transactions, tx_status, txpool,
};

pub(super) const SEND_RAW: &str = "eth_sendRawTransaction";

const SEND_RAW_SYNC: &str = "eth_sendRawTransactionSync";

/// What the methods share.
struct Shared {
    context: RpcContext,
    feed: Arc<Feed>,
    landings: Arc<Landings>,
    /// For calls that look something up.
    reads: Threads,
    /// For calls that compute, or read much.
    heavy: Threads,
}

/// Which threads a method runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    Light,
    Heavy,
}

use Weight::{Heavy, Light};

/// Builds the table. The names here are all there are: anything else is −32601 at once, on which client libraries rely. What
/// works for it ends with `stop`.
pub(super) fn table(
    context: RpcContext,
    limits: &Limits,
    stop: &CancellationToken,
) -> Result<RpcModule<()>, RegisterMethodError> {
    let RpcContext { ledger, facts, execution, announcements, .. } = &context;
    let (execution, announcements) = (Arc::clone(execution), announcements.clone());
    let feed = Feed::new(Arc::clone(ledger), facts.spec.clone(), execution, announcements);
    let filters = Filters::new(limits.filters_max, limits.filter_life);
    let landings = Arc::<Landings>::default();
    let following = Arc::clone(&landings).follow(Arc::clone(ledger), context.announcements.heads.clone());
    tokio::spawn(stop.clone().run_until_cancelled_owned(following));
    let shared = Shared {
        context,
        feed: Arc::new(feed),
        landings,
        reads: Threads::new(limits.reads),
        heavy: Threads::new(limits.heavy),
    };
    let mut module = RpcModule::new(shared);
    let table = &mut module;
    add(table, "web3_clientVersion", Light, 0, chain::client_version)?;
    add(table, "web3_sha3", Light, 1, bodies::sha3)?;
    add(table, "net_version", Light, 0, chain::net_version)?;
    add(table, "net_listening", Light, 0, chain::net_listening)?;
    add(table, "net_peerCount", Light, 0, chain::net_peer_count)?;
    add(table, "eth_accounts", Light, 0, chain::accounts)?;
    add(table, "eth_syncing", Light, 0, chain::syncing)?;
    add(table, "eth_chainId", Light, 0, chain::chain_id)?;
    add(table, "eth_blockNumber", Light, 0, chain::block_number)?;
    add(table, "eth_getBlockByNumber", Light, 2, chain::block_by_number)?;
    add(table, "eth_getBlockByHash", Light, 2, chain::block_by_hash)?;
    add(table, "eth_getBlockTransactionCountByNumber", Light, 1, bodies::count_by_number)?;
    add(table, "eth_getBlockTransactionCountByHash", Light, 1, bodies::count_by_hash)?;
    add(table, "eth_getTransactionByBlockNumberAndIndex", Light, 2, bodies::transaction_by_number)?;
    add(table, "eth_getTransactionByBlockHashAndIndex", Light, 2, bodies::transaction_by_hash)?;
    add(table, "eth_getUncleCountByBlockNumber", Light, 1, bodies::uncles_by_number)?;
    add(table, "eth_getUncleCountByBlockHash", Light, 1, bodies::uncles_by_hash)?;
    add(table, "eth_getUncleByBlockNumberAndIndex", Light, 2, bodies::uncle_by_number)?;
    add(table, "eth_getUncleByBlockHashAndIndex", Light, 2, bodies::uncle_by_hash)?;
    add(table, "eth_getTransactionByHash", Light, 1, transactions::by_hash)?;
    add(table, "eth_getTransactionReceipt", Light, 1, receipts::by_hash)?;
    add(table, "eth_getBlockReceipts", Heavy, 1, receipts::of_block)?;
    add_within(table, "eth_getLogs", Heavy, 1, logs::get_logs)?;
    add(table, "eth_getTransactionCount", Light, 2, accounts::transaction_count)?;
    add(table, "eth_getBalance", Light, 2, accounts::balance)?;
    add(table, "eth_getCode", Light, 2, accounts::code)?;
    add(table, "eth_getStorageAt", Light, 3, accounts::storage)?;
    add(table, "eth_getProof", Heavy, 3, accounts::proof)?;
    add_within(table, "eth_call", Heavy, 4, call::call)?;
    add_within(table, "eth_estimateGas", Heavy, 4, call::estimate_gas)?;
    add_within(table, "eth_createAccessList", Heavy, 4, call::create_access_list)?;
    add_fees(table)?;
    table.register_async_method(SEND_RAW, |params, shared, _| async move {
        transactions::send_raw(&shared.context, &params).await.map_err(|error| refusal(SEND_RAW, error))
    })?;
    table.register_async_method(SEND_RAW_SYNC, |params, shared, _| async move {
        let Shared { context, landings, reads, .. } = &*shared;
        sync_send::send(context, landings, reads, &params).await.map_err(|error| refusal(SEND_RAW_SYNC, error))
    })?;
    add_within(table, "debug_traceTransaction", Heavy, 2, trace::transaction)?;
    add_within(table, "debug_traceBlockByNumber", Heavy, 2, trace::block_by_number)?;
    add_within(table, "debug_traceBlockByHash", Heavy, 2, trace::block_by_hash)?;
    add_within(table, "debug_traceCall", Heavy, 3, trace::call)?;
    add(table, "txpool_status", Light, 0, txpool::status)?;
    add(table, "txpool_content", Heavy, 0, txpool::content)?;
    add(table, "txpool_contentFrom", Light, 1, txpool::content_from)?;
    add(table, "txpool_inspect", Heavy, 0, txpool::inspect)?;
    add_filters(table, Arc::new(filters))?;
    add(table, "baton_status", Light, 0, status::status)?;
    add(table, "baton_committee", Light, 0, status::committee)?;
    add(table, "baton_leaderSchedule", Light, 2, status::leader_schedule)?;
    add(table, "baton_duties", Light, 0, duties::duties)?;
    add(table, "baton_txStatus", Light, 1, tx_status::tx_status)?;
    add(table, "baton_forcedStatus", Light, 1, forced::forced_status)?;
    add_within(table, "baton_getProof", Heavy, 1, proof::get_proof)?;
    table.register_subscription(
        "eth_subscribe",
        "eth_subscription",
        "eth_unsubscribe",
        |params, pending, shared, extensions| {
            let (feed, context) = (Arc::clone(&shared.feed), shared.context.clone());
            subscriptions::holding(extensions, subscriptions::eth(params, pending, feed, context))
        },
    )?;
    table.register_subscription(
        "baton_subscribe",
        "baton_subscription",
        "baton_unsubscribe",
        |params, pending, shared, extensions| {
            subscriptions::holding(extensions, subscriptions::baton(params, pending, Arc::clone(&shared.feed)))
        },
    )?;
    add_modules(table)?;
    Ok(module.remove_context())
}

/// Filters, which remember what their client was told.
fn add_filters(module: &mut RpcModule<Shared>, filters: Arc<Filters>) -> Result<(), RegisterMethodError> {
    let with = |method: fn(&Filters, &RpcContext, &Arguments, &Deadline) -> Result<Value, RpcError>| {
        let filters = Arc::clone(&filters);
        move |context: &RpcContext, arguments: &Arguments, deadline: &Deadline| {
            method(&filters, context, arguments, deadline)
        }
    };
    add_within(module, "eth_newFilter", Light, 1, with(filters::new_filter))?;
    add_within(module, "eth_getFilterLogs", Heavy, 1, with(filters::filter_logs))?;
    add_within(module, "eth_newBlockFilter", Light, 0, with(filters::new_block_filter))?;
    add_within(module, "eth_newPendingTransactionFilter", Light, 1, with(filters::new_transaction_filter))?;
    add_within(module, "eth_getFilterChanges", Heavy, 1, with(filters::changes))?;
    add_within(module, "eth_uninstallFilter", Light, 1, with(filters::uninstall))
}

/// Methods that ask what recent blocks paid, which is remembered.
fn add_fees(module: &mut RpcModule<Shared>) -> Result<(), RegisterMethodError> {
    let fees = Arc::<Fees>::default();
    add(module, "eth_blobBaseFee", Light, 0, fees::blob_base_fee)?;
    add_within(module, "eth_gasPrice", Light, 0, with_fees(&fees, fees::gas_price))?;
    add_within(module, "eth_maxPriorityFeePerGas", Light, 0, with_fees(&fees, fees::max_priority_fee))?;
    add_within(module, "eth_feeHistory", Heavy, 3, with_fees(&fees, fees::history))?;
    add_within(module, "eth_fillTransaction", Heavy, 1, with_fees(&fees, fill::fill))
}

fn with_fees<R>(
    fees: &Arc<Fees>,
    method: fn(&Fees, &RpcContext, &Arguments, &Deadline) -> Result<R, RpcError>,
) -> impl Fn(&RpcContext, &Arguments, &Deadline) -> Result<R, RpcError> + Clone + Send + Sync + use<R> {
    let fees = Arc::clone(fees);
    move |context, arguments, deadline| method(&fees, context, arguments, deadline)
}

/// `rpc_modules`: the namespaces that have methods here.
fn add_modules(module: &mut RpcModule<Shared>) -> Result<(), RegisterMethodError> {
    const NAME: &str = "rpc_modules";
    let names = module.method_names().chain([NAME]).filter_map(|name| name.split_once('_'));
    let modules: BTreeMap<&'static str, &'static str> = names.map(|(namespace, _)| (namespace, "1.0")).collect();
    add(module, NAME, Light, 0, move |_: &RpcContext, _: &Arguments| Ok(modules.clone()))
}

/// Adds a method that needs no more time than it takes.
fn add<R: Serialize + 'static>(
    module: &mut RpcModule<Shared>,
    name: &'static str,
    weight: Weight,
    arguments_max: usize,
    method: impl Fn(&RpcContext, &Arguments) -> Result<R, RpcError> + Clone + Send + Sync + 'static,
) -> Result<(), RegisterMethodError> {
    add_within(module, name, weight, arguments_max, move |context: &RpcContext, arguments: &Arguments, _: &Deadline| {
        method(context, arguments)
    })
}

/// Adds a method that minds its [`Deadline`].
fn add_within<R: Serialize + 'static>(
    module: &mut RpcModule<Shared>,
    name: &'static str,
    weight: Weight,
    arguments_max: usize,
    method: impl Fn(&RpcContext, &Arguments, &Deadline) -> Result<R, RpcError> + Clone + Send + Sync + 'static,
) -> Result<(), RegisterMethodError> {
    module.register_async_method(name, move |params, shared, _| {
        let method = method.clone();
        async move {
            let threads = match weight {
                Light => &shared.reads,
                Heavy => &shared.heavy,
            };
            let context = shared.context.clone();
            let answer = threads.run(move |deadline| {
                let result = method(&context, &Arguments::read(&params, arguments_max)?, deadline)?;
                to_json_raw_value(&result).map_err(|error| RpcError::Internal(error.to_string()))
            });
            answer.await.map_err(|error| refusal(name, error))
        }
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
