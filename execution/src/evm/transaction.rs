//! Transactions as the EVM takes them.

use alloy_consensus::{Transaction as _, Typed2718};
use baton_proto::Transaction;
use revm::{context::TxEnv, context_interface::either::Either};

/// Returns a signed transaction as the EVM takes it.
pub(super) fn signed(transaction: &Transaction) -> TxEnv {
    let envelope = transaction.envelope();
    let authorizations = envelope.authorization_list().unwrap_or_default();
    TxEnv {
        tx_type: envelope.ty(),
        caller: transaction.sender(),
        gas_limit: transaction.gas_limit(),
        gas_price: transaction.max_fee(),
        kind: envelope.kind(),
        value: envelope.value(),
        data: envelope.input().clone(),
        nonce: transaction.nonce(),
        chain_id: envelope.chain_id(),
        access_list: envelope.access_list().cloned().unwrap_or_default(),
        gas_priority_fee: envelope.max_priority_fee_per_gas(),
        blob_hashes: Vec::new(),
        max_fee_per_blob_gas: 0,
        authorization_list: authorizations.iter().cloned().map(Either::Left).collect(),
    }
}
