//! Signed transfers.

use alloy::{
    consensus::{SignableTransaction as _, TxEip1559, TxEnvelope},
    eips::eip2718::Encodable2718 as _,
    primitives::{Address, TxKind, U256},
    signers::{SignerSync as _, local::PrivateKeySigner},
};

/// Gas of a transfer.
pub const TRANSFER_GAS: u64 = 21_000;

/// Gas of a byte of calldata at the floor of EIP-7623, which is all that a transfer to an account without code pays.
const DATA_BYTE_GAS: u64 = 40;

/// Wei that a unit of gas may cost besides the tip: five times what it costs on a fresh devnet.
const BASE_FEE_MAX: u128 = 5_000_000_000;

/// Signs a transfer of one wei and returns its raw bytes.
///
/// # Panics
/// Never: a local key signs any digest.
#[must_use]
pub fn transfer(key: &PrivateKeySigner, chain_id: u64, nonce: u64, tip: u128) -> Vec<u8> {
    transfer_with(key, chain_id, nonce, tip, 0)
}

/// Signs a transfer of one wei with so many bytes of calldata, and returns its raw bytes.
///
/// # Panics
/// Never: a local key signs any digest.
#[must_use]
pub fn transfer_with(key: &PrivateKeySigner, chain_id: u64, nonce: u64, tip: u128, data_bytes: usize) -> Vec<u8> {
    let transaction = TxEip1559 {
        chain_id,
        nonce,
        gas_limit: TRANSFER_GAS + DATA_BYTE_GAS * data_bytes as u64,
        max_fee_per_gas: tip.saturating_add(BASE_FEE_MAX),
        max_priority_fee_per_gas: tip,
        to: TxKind::Call(Address::repeat_byte(0x42)),
        value: U256::ONE,
        input: vec![0x5a; data_bytes].into(),
        ..TxEip1559::default()
    };
    let signature = key.sign_hash_sync(&transaction.signature_hash()).expect("a local key signs");
    TxEnvelope::from(transaction.into_signed(signature)).encoded_2718()
}
