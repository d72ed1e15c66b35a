//! Signed transfers for tests.

use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope, crypto::secp256k1::sign_message};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, Bytes, TxKind, U256};
use baton_proto::Transaction;

pub(super) const CHAIN_ID: u64 = 7_777;

/// Transfer number `nonce` of account `key` with this tip, encoded.
pub(super) fn raw_transfer(key: u64, nonce: u64, tip: u128) -> Bytes {
    raw_call(key, nonce, tip, vec![])
}

/// The same with calldata.
pub(super) fn raw_call(key: u64, nonce: u64, tip: u128, input: Vec<u8>) -> Bytes {
    let unsigned = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 21_000 + 40 * input.len() as u64,
        max_fee_per_gas: 1_000.max(tip),
        max_priority_fee_per_gas: tip,
        to: TxKind::Call(Address::repeat_byte(0xee)),
        input: input.into(),
        ..Default::default()
    };
    let signature = sign_message(U256::from(key).into(), unsigned.signature_hash()).unwrap();
    TxEnvelope::from(unsigned.into_signed(signature)).encoded_2718().into()
}

/// The same, decoded.
pub(super) fn transfer(key: u64, nonce: u64, tip: u128) -> Transaction {
    Transaction::decode(raw_transfer(key, nonce, tip)).unwrap()
}
