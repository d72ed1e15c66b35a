//! What a node knows of transactions before it decodes them.

use alloy_primitives::{Bytes, TxHash};

use crate::{Transaction, TransactionError};

/// Spares recovering senders, which costs more than all the rest of decoding.
pub trait Known: Send + Sync {
    /// Returns the transaction with this hash, if the node holds it.
    fn transaction(&self, hash: &TxHash) -> Option<Transaction>;

    /// Decodes a transaction that the node does not hold. It may know the sender all the same.
    ///
    /// # Errors
    /// As [`Transaction::decode`].
    fn decode(&self, raw: Bytes) -> Result<Transaction, TransactionError> {
        Transaction::decode(raw)
    }
}

impl<F: Fn(&TxHash) -> Option<Transaction> + Send + Sync> Known for F {
    fn transaction(&self, hash: &TxHash) -> Option<Transaction> {
        self(hash)
    }
}

/// What decoding asks.
pub type KnownTransactions<'a> = &'a dyn Known;

/// [`KnownTransactions`] of a node that holds none: every sender is recovered.
pub const NOTHING_KNOWN: KnownTransactions<'static> = &Nothing;

struct Nothing;

impl Known for Nothing {
    fn transaction(&self, _: &TxHash) -> Option<Transaction> {
        None
    }
}
