//! Transactions: taking them in and finding them again.

use alloy_primitives::TxHash;
use baton_execution::Outcome;
use jsonrpsee::types::Params;

use super::{
    RpcContext, RpcError,
    arguments::Arguments,
    at,
    render::{self, Place},
};

/// `eth_sendRawTransaction`: hands the transaction to the node and waits until it holds it durably.
pub(super) async fn send_raw(context: &RpcContext, params: &Params<'_>) -> Result<TxHash, RpcError> {
    let raw = Arguments::read(params, 1)?.bytes(0)?;
    Ok(context.submit.submit(raw).await?)
}

/// `eth_getTransactionByHash`: where a transaction is, or `null` if this node does not know it.
///
/// Block fields are set only where the transaction took its turn. One that was skipped has them `null`, as one that
/// waits has: a wallet that sees a block takes the transaction for done. What became of it, and in which block, stands
/// under `baton`.
pub(super) fn by_hash(context: &RpcContext, arguments: &Arguments) -> Result<Option<render::RpcTransaction>, RpcError> {
    let hash = arguments.hash(0)?;
    // The pool first: it drops a transaction only after the ledger has it, so one of the two always knows.
    let pooled = context.pool().get(&hash);
    let Some(record) = context.ledger.transaction(&hash)? else { return Ok(pooled.map(|tx| render::pooled(&tx))) };
    if let (Some(transaction), false) = (&pooled, record.outcome == Outcome::Executed) {
        // Skipped once, and waiting for another turn.
        return Ok(Some(render::pooled(transaction)));
    }
    let lacking = || RpcError::IndexWithoutBlock { hash, block: record.block };
    let block = context.ledger.block(record.block)?.ok_or_else(lacking)?;
    let found = block.ordered().find(|(index, transaction)| *index == record.index && *transaction.hash() == hash);
    let (_, transaction) = found.ok_or_else(lacking)?;
    Ok(Some(match record.outcome {
        Outcome::Executed => {
            let results = at::results(context, record.block)?;
            let index = render::index_of(record.index, &context.chain(), &results);
            let place = Place::of(&block.header, index);
            render::included(transaction, &place, Some(record.outcome), results.base_fee)
        }
        Outcome::Skipped(_) => render::skipped(transaction, &Place::of(&block.header, record.index), record.outcome),
    }))
}
