//! `eth_fillTransaction`: what a wallet would find out in four calls, in one.

use alloy::rpc::types::{FillTransaction, TransactionRequest};
use alloy_consensus::{SignableTransaction as _, TxEnvelope, TypedTransaction};
use alloy_eips::{BlockId, eip2718::Encodable2718 as _};
use alloy_primitives::{Signature, TxKind, U256};

use super::{
    RpcContext, RpcError,
    arguments::Arguments,
    at,
    call::{Asked, estimate},
    call_object,
    fees::{Fees, next_base_fee},
    threads::Deadline,
};

/// `eth_fillTransaction`: the transaction with nonce, gas, fees and chain id set where they were left out, and its encoding with
/// an empty signature, as geth has it.
pub(super) fn fill(
    fees: &Fees,
    context: &RpcContext,
    arguments: &Arguments,
    deadline: &Deadline,
) -> Result<FillTransaction<TxEnvelope>, RpcError> {
    context.evm()?;
    let mut request = call_object::request(arguments, 0, &context.facts.spec)?;
    let from = *request.from.get_or_insert_default();
    let data = request.input.input().cloned().unwrap_or_default();
    match request.to {
        None | Some(TxKind::Create) if data.is_empty() => {
            return Err(RpcError::Refused("contract creation without any data provided".to_owned()));
        }
        None => request.to = Some(TxKind::Create),
        Some(_) => {}
    }
    request.input.normalize_input();
    request.value.get_or_insert(U256::ZERO);
    request.chain_id = Some(context.facts.spec.l2_chain_id.get());
    if request.nonce.is_none() {
        let state = at::at(context, BlockId::latest())?.state;
        let next = state.account(from)?.unwrap_or_default().nonce;
        request.nonce = Some(context.pool().pending_nonce(from, next));
    }
    set_fees(&mut request, fees, context)?;
    if request.gas.is_none() {
        // Without a price: who lacks the money for the gas is told so when the transaction is sent.
        let call = TransactionRequest {
            max_fee_per_gas: None,
            max_priority_fee_per_gas: None,
            gas_price: None,
            ..request.clone()
        };
        let asked = Asked { call, block: BlockId::latest(), with: Default::default() };
        request.gas = Some(estimate(context, &asked, deadline)?);
    }
    let unsigned =
        request.build_typed_tx().map_err(|_| RpcError::Refused("transaction type not supported".to_owned()))?;
    let tx = with_empty_signature(unsigned)?;
    Ok(FillTransaction { raw: tx.encoded_2718().into(), tx })
}

/// Sets what is left out of the fees: a cap of twice the base fee above the tip, so that it holds while the base fee doubles.
fn set_fees(request: &mut TransactionRequest, fees: &Fees, context: &RpcContext) -> Result<(), RpcError> {
    if request.gas_price.is_some() {
        return Ok(());
    }
    if request.transaction_type.is_some_and(|kind| kind < 2) {
        let price = fees.suggested_tip(context)?.saturating_add(next_base_fee(context)?.into());
        request.gas_price = Some(price);
        return Ok(());
    }
    let tip = match (request.max_priority_fee_per_gas, request.max_fee_per_gas) {
        (Some(tip), _) => tip,
        (None, Some(max_fee)) => fees.suggested_tip(context)?.min(max_fee),
        (None, None) => fees.suggested_tip(context)?,
    };
    request.max_priority_fee_per_gas = Some(tip);
    if request.max_fee_per_gas.is_none() {
        request.max_fee_per_gas = Some(tip.saturating_add(u128::from(next_base_fee(context)?) * 2));
    }
    Ok(())
}

fn with_empty_signature(unsigned: TypedTransaction) -> Result<TxEnvelope, RpcError> {
    let empty = Signature::new(U256::ZERO, U256::ZERO, false);
    Ok(match unsigned {
        TypedTransaction::Legacy(tx) => tx.into_signed(empty).into(),
        TypedTransaction::Eip2930(tx) => tx.into_signed(empty).into(),
        TypedTransaction::Eip1559(tx) => tx.into_signed(empty).into(),
        TypedTransaction::Eip7702(tx) => tx.into_signed(empty).into(),
        TypedTransaction::Eip4844(_) => return Err(RpcError::Refused("transaction type not supported".to_owned())),
    })
}
