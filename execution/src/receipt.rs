//! Receipts.

use alloy_consensus::ReceiptEnvelope;
use alloy_primitives::{Address, TxHash};

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
    /// Returns whether it did what it was to do; otherwise it was undone, and paid for.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        self.envelope.is_success()
    }
}
