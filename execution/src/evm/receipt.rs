//! Receipts.

use alloy_consensus::{Eip658Value, Receipt, ReceiptEnvelope, Transaction as _};
use alloy_primitives::{Address, TxHash};
use baton_proto::Transaction;
use revm::context_interface::result::ExecutionResult;

/// What a transaction did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionReceipt {
    /// The transaction.
    pub hash: TxHash,
    /// Its place in the block's payload, skipped items counted.
    pub item: u32,
    /// Its sender.
    pub from: Address,
    /// Whom it called; none if it was to create a contract.
    pub to: Option<Address>,
    /// The contract that it was to create.
    pub contract: Option<Address>,
    /// Gas that it used.
    pub gas_used: u64,
    /// Wei that it paid for each unit of it.
    pub gas_price: u128,
    /// Status, cumulative gas, logs and bloom: what the receipts root is over.
    pub envelope: ReceiptEnvelope,
}

impl TransactionReceipt {
    pub(super) fn new(
        transaction: &Transaction,
        item: u32,
        base_fee: u64,
        gas_before: u64,
        result: ExecutionResult,
    ) -> Self {
        let (envelope, from) = (transaction.envelope(), transaction.sender());
        let gas_used = result.tx_gas_used();
        let receipt = Receipt {
            status: Eip658Value::Eip658(result.is_success()),
            cumulative_gas_used: gas_before.saturating_add(gas_used),
            logs: result.into_logs(),
        };
        Self {
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

    /// Returns whether it did what it was to do; otherwise it was undone, and paid for.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        self.envelope.is_success()
    }
}
