//! Receipts of what the EVM executed.

use alloy_consensus::{Eip658Value, Receipt, ReceiptEnvelope, Transaction as _};
use baton_proto::Transaction;
use revm::context_interface::result::ExecutionResult;

use crate::TransactionReceipt;

/// Returns the receipt of the payload's item number `item`, before which the block had used `gas_before`.
pub(super) fn receipt(
    transaction: &Transaction,
    item: u32,
    base_fee: u64,
    gas_before: u64,
    result: ExecutionResult,
) -> TransactionReceipt {
    let (envelope, from) = (transaction.envelope(), transaction.sender());
    let gas_used = result.tx_gas_used();
    let receipt = Receipt {
        status: Eip658Value::Eip658(result.is_success()),
        cumulative_gas_used: gas_before.saturating_add(gas_used),
        logs: result.into_logs(),
    };
    TransactionReceipt {
        hash: *transaction.hash(),
        item,
        from,
        to: envelope.to(),
        contract: envelope.is_create().then(|| from.create(transaction.nonce())),
        gas_used,
        gas_price: envelope.effective_gas_price(Some(base_fee)),
        envelope: ReceiptEnvelope::from_typed(envelope.tx_type(), receipt.with_bloom()),
    }
}
