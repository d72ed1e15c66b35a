//! What is in a block, without the block: counts and single transactions. And what Baton has none of: uncles.

use alloy::eips::BlockId;
use alloy_primitives::{B256, U64, keccak256};
use baton_proto::BlockDigest;

use super::{RpcContext, RpcError, arguments::Arguments, chain, render};

/// `eth_getBlockTransactionCountByNumber`: `null` above the head.
pub(super) fn count_by_number(context: &RpcContext, arguments: &Arguments) -> Result<Option<U64>, RpcError> {
    count(context, BlockId::Number(arguments.number_or_tag(0)?))
}

/// `eth_getBlockTransactionCountByHash`.
pub(super) fn count_by_hash(context: &RpcContext, arguments: &Arguments) -> Result<Option<U64>, RpcError> {
    count(context, BlockId::from(arguments.hash(0)?))
}

fn count(context: &RpcContext, asked: BlockId) -> Result<Option<U64>, RpcError> {
    let Some(height) = chain::found(chain::height_of(context, asked))? else { return Ok(None) };
    Ok(chain::shown_transactions(context, height)?.map(|shown| U64::from(shown.len())))
}

/// `eth_getTransactionByBlockNumberAndIndex`.
pub(super) fn transaction_by_number(
    context: &RpcContext,
    arguments: &Arguments,
) -> Result<Option<render::RpcTransaction>, RpcError> {
    transaction(context, BlockId::Number(arguments.number_or_tag(0)?), arguments)
}

/// `eth_getTransactionByBlockHashAndIndex`.
pub(super) fn transaction_by_hash(
    context: &RpcContext,
    arguments: &Arguments,
) -> Result<Option<render::RpcTransaction>, RpcError> {
    transaction(context, BlockId::from(arguments.hash(0)?), arguments)
}

fn transaction(
    context: &RpcContext,
    asked: BlockId,
    arguments: &Arguments,
) -> Result<Option<render::RpcTransaction>, RpcError> {
    let index = arguments.optional_number(1)?.ok_or(RpcError::MissingArgument(1))?;
    let Some(height) = chain::found(chain::height_of(context, asked))? else { return Ok(None) };
    let Some(shown) = chain::shown_transactions(context, height)? else { return Ok(None) };
    Ok(usize::try_from(index).ok().and_then(|index| shown.into_iter().nth(index)))
}

/// `eth_getUncleCountByBlockNumber`: none, of a block that there is.
pub(super) fn uncles_by_number(context: &RpcContext, arguments: &Arguments) -> Result<Option<U64>, RpcError> {
    uncles(context, BlockId::Number(arguments.number_or_tag(0)?))
}

/// `eth_getUncleCountByBlockHash`.
pub(super) fn uncles_by_hash(context: &RpcContext, arguments: &Arguments) -> Result<Option<U64>, RpcError> {
    uncles(context, BlockId::from(arguments.hash(0)?))
}

fn uncles(context: &RpcContext, asked: BlockId) -> Result<Option<U64>, RpcError> {
    Ok(chain::found(chain::height_of(context, asked))?.map(|_| U64::ZERO))
}

/// `eth_getUncleByBlockNumberAndIndex`.
pub(super) fn uncle_by_number(_: &RpcContext, arguments: &Arguments) -> Result<(), RpcError> {
    arguments.number_or_tag(0).map(drop)
}

/// `eth_getUncleByBlockHashAndIndex`.
pub(super) fn uncle_by_hash(_: &RpcContext, arguments: &Arguments) -> Result<(), RpcError> {
    arguments.hash(0).map(BlockDigest::new).map(drop)
}

/// `web3_sha3`: keccak256 of bytes.
pub(super) fn sha3(_: &RpcContext, arguments: &Arguments) -> Result<B256, RpcError> {
    Ok(keccak256(arguments.bytes(0)?))
}
