//! `debug_trace…`: what a transaction did, instruction by instruction or call by call.
//!
//! The block is executed again on the state before it, which is there for the last blocks only.

use std::sync::Arc;

use alloy::{eips::BlockId, rpc::types::state::StateOverride};
use alloy_primitives::TxHash;
use baton_execution::{
    Outcome,
    evm::{CallConfig, GethDefaultTracingOptions, GethTrace, Tracer},
    state::EvmState,
};
use baton_proto::{Block, Height};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    RpcContext, RpcError,
    arguments::Arguments,
    at,
    call::{Asked, limits, refused},
    call_object, chain,
    threads::Deadline,
};

/// Options of a trace, as geth has them.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Options {
    /// A name; none stands for the struct logger.
    tracer: Option<String>,
    #[serde(default)]
    tracer_config: Option<Value>,
    /// Of `debug_traceCall`.
    state_overrides: Option<StateOverride>,
    /// Of `debug_traceCall`.
    block_overrides: Option<Value>,
    #[serde(flatten)]
    steps: GethDefaultTracingOptions,
}

/// One transaction of a traced block.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TracedTransaction {
    tx_hash: TxHash,
    result: GethTrace,
}

/// `debug_traceTransaction`.
pub(super) fn transaction(
    context: &RpcContext,
    arguments: &Arguments,
    deadline: &Deadline,
) -> Result<GethTrace, RpcError> {
    let evm = context.evm()?;
    let hash = arguments.hash(0)?;
    let (_, tracer) = options(arguments, 1)?;
    let record = context.ledger.transaction(&hash)?.filter(|record| record.outcome == Outcome::Executed);
    let record = record.ok_or_else(|| RpcError::Refused("transaction not found".to_owned()))?;
    let (block, before) = before(context, record.block)?;
    let should_stop = || deadline.is_over();
    let trace = evm.trace(&block, record.index, before.as_ref(), tracer, limits(&should_stop));
    trace.map_err(|error| refused(error, deadline))
}

/// `debug_traceBlockByNumber`.
pub(super) fn block_by_number(
    context: &RpcContext,
    arguments: &Arguments,
    deadline: &Deadline,
) -> Result<Vec<TracedTransaction>, RpcError> {
    traced(context, BlockId::Number(arguments.number_or_tag(0)?), arguments, deadline)
}

/// `debug_traceBlockByHash`.
pub(super) fn block_by_hash(
    context: &RpcContext,
    arguments: &Arguments,
    deadline: &Deadline,
) -> Result<Vec<TracedTransaction>, RpcError> {
    traced(context, BlockId::from(arguments.hash(0)?), arguments, deadline)
}

fn traced(
    context: &RpcContext,
    asked: BlockId,
    arguments: &Arguments,
    deadline: &Deadline,
) -> Result<Vec<TracedTransaction>, RpcError> {
    let evm = context.evm()?;
    let (_, tracer) = options(arguments, 1)?;
    let height = chain::height_of(context, asked)?;
    if height == Height::ZERO {
        return Err(RpcError::Refused("genesis is not traceable".to_owned()));
    }
    let (block, before) = before(context, height)?;
    let should_stop = || deadline.is_over();
    let traces = evm.trace_block(&block, before.as_ref(), tracer, limits(&should_stop));
    let traces = traces.map_err(|error| refused(error, deadline))?;
    Ok(traces.into_iter().map(|(tx_hash, result)| TracedTransaction { tx_hash, result }).collect())
}

/// `debug_traceCall`. Arguments: the call, the block (`latest` if left out), options.
pub(super) fn call(context: &RpcContext, arguments: &Arguments, deadline: &Deadline) -> Result<GethTrace, RpcError> {
    context.evm()?;
    let call = call_object::request(arguments, 0, &context.facts.spec)?;
    let (options, tracer) = options(arguments, 2)?;
    let wrong = |why| RpcError::InvalidArgument { index: 2, why };
    if options.block_overrides.is_some() {
        return Err(wrong("block overrides are not supported".to_owned()));
    }
    let with = call_object::checked(options.state_overrides.unwrap_or_default()).map_err(wrong)?;
    let asked = Asked { call, block: arguments.block_or_latest(1)?, with };
    let traced = asked
        .on(context, deadline, |reader, asked| reader.trace_call(&call_object::call(&asked.call), &asked.with, tracer));
    Ok(traced?.1)
}

/// Returns a final block and the state before it.
fn before(context: &RpcContext, height: Height) -> Result<(Block, Arc<dyn EvmState>), RpcError> {
    let block = chain::final_block(context, height)?.ok_or(RpcError::HeaderNotFound)?;
    let parent = Height::new(height.get().saturating_sub(1));
    Ok((block, at::at(context, BlockId::number(parent.get()))?.state))
}

fn options(arguments: &Arguments, index: usize) -> Result<(Options, Tracer), RpcError> {
    let options: Options = arguments.options(index)?;
    let wrong = |why| RpcError::InvalidArgument { index, why };
    let tracer = match options.tracer.as_deref() {
        None | Some("") => Tracer::Steps(options.steps),
        Some("callTracer") => {
            let config = options.tracer_config.clone().filter(|config| !config.is_null());
            let config = config.map_or(Ok(CallConfig::default()), serde_json::from_value);
            Tracer::Calls(config.map_err(|error| wrong(format!("tracerConfig: {error}")))?)
        }
        Some(other) => {
            let other: String = other.chars().take(32).collect();
            return Err(wrong(format!("tracer {other} is not supported: there are callTracer and the struct logger")));
        }
    };
    Ok((options, tracer))
}
