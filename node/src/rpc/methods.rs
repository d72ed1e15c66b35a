//! The table of methods, and how each is run.
//!
//! Every method is a plain function that may block on the disk or recover a signature, so none runs on the async loop:
//! a few at a time run on blocking threads, and further calls wait for their turn. What waits is bounded by the number of
//! connections, each of which has one call at a time.

use std::sync::Arc;

use jsonrpsee::{
    RpcModule,
    core::{JsonRawValue, RegisterMethodError, to_json_raw_value},
    types::{ErrorObjectOwned, Params},
};
use serde::Serialize;
use tokio::sync::Semaphore;
use tracing::error;

use super::{RpcContext, RpcError, arguments::Arguments, chain, status, transactions};

/// Most calls that read at one time. Each may hold one block and its answer: 8 of 25 MiB.
const READS_MAX: usize = 8;

/// Most transactions being decoded at one time: recovering a sender is pure computing (40 µs), so more than the cores
/// would only delay votes.
const SUBMISSIONS_MAX: usize = 2;

/// What the methods share.
struct Shared {
    context: RpcContext,
    reads: Arc<Semaphore>,
    submissions: Arc<Semaphore>,
}

/// Which turn a method waits for.
#[derive(Clone, Copy)]
enum Turn {
    Read,
    Submission,
}

/// Builds the table. The names here are all there are: anything else is −32601 at once, on which client libraries rely.
pub(super) fn table(context: RpcContext) -> Result<RpcModule<()>, RegisterMethodError> {
    let shared = Shared {
        context,
        reads: Arc::new(Semaphore::new(READS_MAX)),
        submissions: Arc::new(Semaphore::new(SUBMISSIONS_MAX)),
    };
    let mut module = RpcModule::new(shared);
    add(&mut module, "web3_clientVersion", 0, Turn::Read, chain::client_version)?;
    add(&mut module, "net_version", 0, Turn::Read, chain::net_version)?;
    add(&mut module, "eth_chainId", 0, Turn::Read, chain::chain_id)?;
    add(&mut module, "eth_blockNumber", 0, Turn::Read, chain::block_number)?;
    add(&mut module, "eth_getBlockByNumber", 2, Turn::Read, chain::block_by_number)?;
    add(&mut module, "eth_getTransactionByHash", 1, Turn::Read, transactions::by_hash)?;
    add(&mut module, "eth_getTransactionCount", 2, Turn::Read, chain::transaction_count)?;
    add(&mut module, "eth_sendRawTransaction", 1, Turn::Submission, transactions::send_raw)?;
    add(&mut module, "baton_status", 0, Turn::Read, status::status)?;
    add(&mut module, "baton_committee", 0, Turn::Read, status::committee)?;
    Ok(module.remove_context())
}

fn add<R: Serialize + 'static>(
    module: &mut RpcModule<Shared>,
    name: &'static str,
    arguments_max: usize,
    turn: Turn,
    method: fn(&RpcContext, &Arguments) -> Result<R, RpcError>,
) -> Result<(), RegisterMethodError> {
    module.register_async_method(name, move |params, shared, _| async move {
        let answer = run(params, &shared, arguments_max, turn, method).await;
        answer.map_err(|error| {
            if error.is_ours() {
                error!(method = name, %error, cause = ?error, "rpc call failed");
            }
            ErrorObjectOwned::from(error)
        })
    })?;
    Ok(())
}

async fn run<R: Serialize + 'static>(
    params: Params<'static>,
    shared: &Shared,
    arguments_max: usize,
    turn: Turn,
    method: fn(&RpcContext, &Arguments) -> Result<R, RpcError>,
) -> Result<Box<JsonRawValue>, RpcError> {
    let turns = match turn {
        Turn::Read => &shared.reads,
        Turn::Submission => &shared.submissions,
    };
    let internal = |error: &dyn std::fmt::Display| RpcError::Internal(error.to_string());
    let permit = Arc::clone(turns).acquire_owned().await.map_err(|error| internal(&error))?;
    let context = shared.context.clone();
    let work = move || {
        // Held by the thread, not by the call: a client that hangs up does not make room for one thread more.
        let _permit = permit;
        let result = method(&context, &Arguments::read(&params, arguments_max)?)?;
        to_json_raw_value(&result).map_err(|error| RpcError::Internal(error.to_string()))
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| internal(&error))?
}
