//! Transactions on their way to every pool.

use alloy_primitives::Bytes;
use prost::Message;

use super::{KnownTransactions, WireError, block, check_length, count, decode_canonical, pb};
use crate::{
    Transaction,
    limits::{GOSSIP_BYTES_MAX, GOSSIP_TRANSACTIONS_MAX},
};

/// Encodes and decodes gossip messages: lists of transactions.
#[derive(Clone, Copy, Debug)]
pub struct TransactionGossip;

impl TransactionGossip {
    /// Returns messages that carry `transactions` in order, each of at most [`GOSSIP_BYTES_MAX`] bytes and
    /// [`GOSSIP_TRANSACTIONS_MAX`] transactions; none for no transactions.
    #[must_use]
    pub fn encode(transactions: &[Transaction]) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        let mut open = pb::TransactionGossip::default();
        let mut open_bytes = 0;
        for transaction in transactions {
            let bytes = entry_len(transaction.raw());
            if open.transactions.len() == GOSSIP_TRANSACTIONS_MAX || open_bytes + bytes > GOSSIP_BYTES_MAX {
                messages.push(std::mem::take(&mut open).encode_to_vec());
                open_bytes = 0;
            }
            open.transactions.push(transaction.raw().0.clone());
            open_bytes += bytes;
        }
        if !open.transactions.is_empty() {
            messages.push(open.encode_to_vec());
        }
        messages
    }

    /// Returns how many transactions a message says it holds, without looking at any of them; 0 if it is no message.
    #[must_use]
    pub fn count(bytes: &[u8]) -> usize {
        count::occurrences("transaction_gossip.transactions", bytes, &[1]).unwrap_or_default()
    }

    /// Decodes one message, with the sender of every transaction; at least one.
    ///
    /// # Errors
    /// [`WireError`], always the fault of who sent or forwarded it.
    pub fn decode(bytes: &[u8], known: KnownTransactions<'_>) -> Result<Vec<Transaction>, WireError> {
        const WHAT: &str = "transaction_gossip";
        check_length(WHAT, bytes, GOSSIP_BYTES_MAX)?;
        count::at_most("transaction_gossip.transactions", bytes, &[1], GOSSIP_TRANSACTIONS_MAX)?;
        let message: pb::TransactionGossip = decode_canonical(WHAT, bytes, GOSSIP_BYTES_MAX)?;
        if message.transactions.is_empty() {
            return Err(WireError::Empty { what: "transaction_gossip.transactions" });
        }
        block::transactions(message.transactions, known)
    }
}

/// Bytes that one entry takes: a tag of one byte, the length, the transaction.
fn entry_len(raw: &Bytes) -> usize {
    1 + prost::length_delimiter_len(raw.len()) + raw.len()
}
