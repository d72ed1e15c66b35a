//! Receipts and logs in the shape that Ethereum clients read.

use alloy::rpc::types::{Log as EthLog, TransactionReceipt as EthReceipt};
use alloy_primitives::{BlockHash, TxHash};
use baton_execution::{Outcome, TransactionReceipt};
use baton_proto::{BlockHeader, Height};

use super::{RpcContext, RpcError, arguments::Arguments, chain, render::timestamp_s};

/// Receipts of one block, as clients see them.
pub(super) struct Receipts {
    receipts: Vec<TransactionReceipt>,
    place: Block,
}

/// The block that receipts are of.
#[derive(Clone, Copy)]
struct Block {
    hash: BlockHash,
    number: u64,
    timestamp_s: u64,
}

/// `eth_getTransactionReceipt`: `null` unless the transaction took its turn in a final block. `baton_txStatus` tells why one
/// did not.
pub(super) fn by_hash(context: &RpcContext, arguments: &Arguments) -> Result<Option<EthReceipt>, RpcError> {
    context.evm()?;
    of_transaction(context, &arguments.hash(0)?)
}

/// Returns the receipt of a transaction, if it took its turn in a final block.
pub(super) fn of_transaction(context: &RpcContext, hash: &TxHash) -> Result<Option<EthReceipt>, RpcError> {
    let Some(record) = context.ledger.transaction(hash)? else { return Ok(None) };
    if record.outcome != Outcome::Executed {
        return Ok(None);
    }
    let receipts = Receipts::at(context, record.block)?;
    let receipts = receipts.ok_or(RpcError::IndexWithoutBlock { hash: *hash, block: record.block })?;
    let index = receipts.receipts.iter().position(|receipt| receipt.item == record.index);
    index.map_or(Err(RpcError::IndexWithoutBlock { hash: *hash, block: record.block }), |index| {
        Ok(receipts.rendered().nth(index))
    })
}

/// `eth_getBlockReceipts`: `null` above the head.
pub(super) fn of_block(context: &RpcContext, arguments: &Arguments) -> Result<Option<Vec<EthReceipt>>, RpcError> {
    context.evm()?;
    let Some(height) = chain::found(chain::height_of(context, arguments.block(0)?))? else { return Ok(None) };
    Ok(Receipts::at(context, height)?.map(|receipts| receipts.rendered().collect()))
}

impl Receipts {
    /// Reads those of the final block at `height`.
    pub(super) fn at(context: &RpcContext, height: Height) -> Result<Option<Self>, RpcError> {
        let header = context.ledger.header(height)?.ok_or(RpcError::HeaderNotFound)?;
        Ok(context.ledger.receipts(height)?.map(|receipts| Self::new(receipts, &header)))
    }

    pub(super) fn new(receipts: Vec<TransactionReceipt>, header: &BlockHeader) -> Self {
        let place =
            Block { hash: header.digest().get(), number: header.height.get(), timestamp_s: timestamp_s(header) };
        Self { receipts, place }
    }

    /// Renders them, in the order of the block.
    fn rendered(&self) -> impl Iterator<Item = EthReceipt> {
        let mut logs_before = 0;
        self.receipts.iter().zip(0_u64..).map(move |(receipt, index)| {
            let first = logs_before;
            logs_before += receipt.envelope.logs().len() as u64;
            let mut at = first;
            let envelope = receipt.envelope.clone().map_logs(|log| {
                let log = self.place.log(log, receipt.hash, index, at);
                at += 1;
                log
            });
            EthReceipt {
                inner: envelope,
                transaction_hash: receipt.hash,
                transaction_index: Some(index),
                block_hash: Some(self.place.hash),
                block_number: Some(self.place.number),
                gas_used: receipt.gas_used,
                effective_gas_price: receipt.gas_price,
                blob_gas_used: None,
                blob_gas_price: None,
                from: receipt.from,
                to: receipt.to,
                // Of one that failed too: geth tells the address that was to be.
                contract_address: receipt.contract,
            }
        })
    }

    /// Renders the logs that `is_wanted`, in the order of the block.
    pub(super) fn logs(&self, is_wanted: impl Fn(&alloy_primitives::Log) -> bool) -> impl Iterator<Item = EthLog> {
        let all = self
            .receipts
            .iter()
            .zip(0_u64..)
            .flat_map(|(receipt, index)| receipt.envelope.logs().iter().map(move |log| (receipt.hash, index, log)));
        let numbered = all.zip(0_u64..);
        numbered
            .filter(move |((_, _, log), _)| is_wanted(log))
            .map(|((hash, index, log), at)| self.place.log(log.clone(), hash, index, at))
    }
}

impl Block {
    /// Renders log number `at` of the block, of its transaction number `index`.
    const fn log(&self, inner: alloy_primitives::Log, hash: TxHash, index: u64, at: u64) -> EthLog {
        EthLog {
            inner,
            block_hash: Some(self.hash),
            block_number: Some(self.number),
            block_timestamp: Some(self.timestamp_s),
            transaction_hash: Some(hash),
            transaction_index: Some(index),
            log_index: Some(at),
            removed: false,
        }
    }
}
