//! Accounts in a state: balance, nonce, code, storage, and proofs of them.

use alloy::{
    eips::{BlockId, BlockNumberOrTag},
    rpc::types::{EIP1186AccountProofResponse, EIP1186StorageProof},
    serde::JsonStorageKey,
};
use alloy_primitives::{B256, Bytes, U256};
use baton_execution::{
    state::Account,
    trie::{self, StorageProof},
};

use super::{RpcContext, RpcError, arguments::Arguments, at::at};

/// Most storage slots in one proof; geth's.
const PROOF_SLOTS_MAX: usize = 1_024;

/// `eth_getBalance`, in wei.
pub(super) fn balance(context: &RpcContext, arguments: &Arguments) -> Result<U256, RpcError> {
    context.evm()?;
    Ok(account(context, arguments, 1)?.balance)
}

/// `eth_getTransactionCount`: the account's next nonce; `pending` counts what waits in the pool too.
pub(super) fn transaction_count(context: &RpcContext, arguments: &Arguments) -> Result<U256, RpcError> {
    let nonce = account(context, arguments, 1)?.nonce;
    Ok(U256::from(match arguments.block(1)? {
        BlockId::Number(BlockNumberOrTag::Pending) => context.pool().pending_nonce(arguments.address(0)?, nonce),
        _ => nonce,
    }))
}

/// `eth_getCode`.
pub(super) fn code(context: &RpcContext, arguments: &Arguments) -> Result<Bytes, RpcError> {
    context.evm()?;
    let address = arguments.address(0)?;
    let state = at(context, arguments.block(1)?)?.state;
    Ok(match state.account(address)? {
        Some(account) => state.code(account.code_hash)?.unwrap_or_default(),
        None => Bytes::new(),
    })
}

/// `eth_getStorageAt`: all 32 bytes.
pub(super) fn storage(context: &RpcContext, arguments: &Arguments) -> Result<B256, RpcError> {
    context.evm()?;
    let (address, slot) = (arguments.address(0)?, arguments.slot(1)?);
    let state = at(context, arguments.block(2)?)?.state;
    Ok(state.storage(address, slot)?.into())
}

/// `eth_getProof`: an account and some of its slots, with what shows them under the block's state root.
pub(super) fn proof(context: &RpcContext, arguments: &Arguments) -> Result<EIP1186AccountProofResponse, RpcError> {
    context.evm()?;
    let address = arguments.address(0)?;
    let keys: Vec<JsonStorageKey> = arguments.typed(1)?;
    if keys.len() > PROOF_SLOTS_MAX {
        return Err(RpcError::InvalidArgument { index: 1, why: format!("too many slots (max {PROOF_SLOTS_MAX})") });
    }
    let state = at(context, arguments.block(2)?)?.state;
    let slots: Vec<U256> = keys.iter().map(|key| key.as_b256().into()).collect();
    let proof = trie::prove(state.as_ref(), address, &slots)?;
    let Account { nonce, balance, code_hash, storage_root } = proof.account;
    let storage = proof.storage.into_iter().zip(keys).map(|(StorageProof { value, nodes, .. }, key)| {
        // As it was asked for: a number, or all 32 bytes.
        EIP1186StorageProof { key, value, proof: nodes }
    });
    Ok(EIP1186AccountProofResponse {
        address,
        balance,
        code_hash,
        nonce,
        storage_hash: storage_root,
        account_proof: proof.nodes,
        storage_proof: storage.collect(),
    })
}

/// Returns the account that the first argument names at the block that argument `block` names; an empty one if there is none.
fn account(context: &RpcContext, arguments: &Arguments, block: usize) -> Result<Account, RpcError> {
    let address = arguments.address(0)?;
    let state = at(context, arguments.block(block)?)?.state;
    Ok(state.account(address)?.unwrap_or_default())
}
