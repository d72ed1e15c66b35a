//! Calls as clients write them.

use alloy::rpc::types::{TransactionRequest, state::StateOverride};
use alloy_primitives::{Bytes, TxKind, U256};
use baton_execution::evm::{AccountOverride, CallRequest, Overrides};
use baton_proto::ChainSpec;

use super::{RpcError, arguments::Arguments};

/// How the code of an account begins that delegates to another (EIP-7702), and how long it is.
const DELEGATION: [u8; 3] = [0xef, 0x01, 0x00];
const DELEGATION_BYTES: usize = 23;

/// Reads the call that argument `index` describes.
///
/// # Errors
/// [`RpcError::InvalidArgument`] if it contradicts itself or wants what this chain does not have.
pub(super) fn request(arguments: &Arguments, index: usize, spec: &ChainSpec) -> Result<TransactionRequest, RpcError> {
    let request: TransactionRequest = arguments.typed(index)?;
    let wrong = |why: String| Err(RpcError::InvalidArgument { index, why });
    if let Err(error) = request.input.unique_input() {
        return wrong(error.to_string());
    }
    let dynamic = request.max_fee_per_gas.or(request.max_priority_fee_per_gas);
    if request.gas_price.is_some() && dynamic.is_some() {
        return wrong("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified".to_owned());
    }
    if let (Some(max_fee), Some(tip)) = (request.max_fee_per_gas, request.max_priority_fee_per_gas)
        && max_fee < tip
    {
        return wrong(format!("maxFeePerGas ({max_fee:#x}) < maxPriorityFeePerGas ({tip:#x})"));
    }
    let want = spec.l2_chain_id.get();
    if let Some(have) = request.chain_id.filter(|have| *have != want) {
        return wrong(format!("chainId does not match node's (have={have}, want={want})"));
    }
    let blobs = request.blob_versioned_hashes.is_some() || request.sidecar.is_some();
    if blobs || request.max_fee_per_blob_gas.is_some() {
        return wrong("blob transactions are not supported".to_owned());
    }
    Ok(request)
}

/// Returns the call that `request` stands for.
pub(super) fn call(request: &TransactionRequest) -> CallRequest {
    CallRequest {
        from: request.from.unwrap_or_default(),
        to: request.to.and_then(|to| match to {
            TxKind::Call(to) => Some(to),
            TxKind::Create => None,
        }),
        gas: request.gas,
        value: request.value.unwrap_or_default(),
        data: request.input.input().cloned().unwrap_or_default(),
        nonce: request.nonce,
        gas_price: request.gas_price,
        max_fee: request.max_fee_per_gas,
        max_priority_fee: request.max_priority_fee_per_gas,
        access_list: request.access_list.clone(),
        authorizations: request.authorization_list.clone().unwrap_or_default(),
    }
}

/// Reads the state overrides that argument `index` describes; none if it is left out.
///
/// # Errors
/// [`RpcError::InvalidArgument`] names what is wrong.
pub(super) fn overrides(arguments: &Arguments, index: usize) -> Result<Overrides, RpcError> {
    let overrides: StateOverride = arguments.options(index)?;
    checked(overrides).map_err(|why| RpcError::InvalidArgument { index, why })
}

/// Brings state overrides to their types, or says what is wrong with them.
pub(super) fn checked(overrides: StateOverride) -> Result<Overrides, String> {
    let overrides = overrides.into_iter().map(|(address, account)| {
        if account.state.is_some() && account.state_diff.is_some() {
            return Err(format!("account {address} has both 'state' and 'stateDiff'"));
        }
        if account.move_precompile_to.is_some() {
            return Err(format!("account {address}: movePrecompileToAddress is not supported"));
        }
        let is_delegation = |code: &Bytes| code.len() == DELEGATION_BYTES && code.starts_with(&DELEGATION);
        if account.code.as_ref().is_some_and(|code| code.starts_with(&DELEGATION[..2]) && !is_delegation(code)) {
            return Err(format!(
                "account {address}: code that begins with 0xef01 is a delegation (EIP-7702) of 23 bytes"
            ));
        }
        let slot = |(slot, value): (_, _)| -> (U256, U256) {
            (U256::from_be_bytes::<32>(slot), U256::from_be_bytes::<32>(value))
        };
        let all = |slots: Option<alloy_primitives::map::B256HashMap<alloy_primitives::B256>>| {
            slots.map(|slots| slots.into_iter().map(|(key, value)| slot((key.0, value.0))).collect())
        };
        let with = AccountOverride {
            balance: account.balance,
            nonce: account.nonce,
            code: account.code,
            state: all(account.state),
            state_diff: all(account.state_diff).unwrap_or_default(),
        };
        Ok((address, with))
    });
    overrides.collect()
}

/// Refuses overrides of the block, which nothing here honours.
pub(super) fn no_block_overrides(arguments: &Arguments, index: usize) -> Result<(), RpcError> {
    match arguments.is_left_out(index) {
        true => Ok(()),
        false => Err(RpcError::InvalidArgument { index, why: "block overrides are not supported".to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use jsonrpsee::types::Params;
    use serde_json::{Value, json};

    use super::*;
    use crate::l1::deploy::devnet_spec;

    fn read(call: &Value) -> Result<TransactionRequest, RpcError> {
        let params = json!([call]).to_string();
        let arguments = Arguments::read(&Params::new(Some(&params)), 1).unwrap();
        let spec = devnet_spec(baton_proto::L2ChainId::new(7), 512, alloy_primitives::Address::ZERO);
        request(&arguments, 0, &spec)
    }

    #[test]
    fn a_call_is_read_as_clients_write_it() {
        let to = "0x4242424242424242424242424242424242424242";
        let both =
            json!({"to": to, "data": "0x1234", "input": "0x1234", "gas": "0x10", "value": "0x5", "chainId": "0x7"});
        let told = call(&read(&both).unwrap());
        assert_eq!((told.data.to_vec(), told.gas, told.value), (vec![0x12, 0x34], Some(16), U256::from(5)));
        assert_eq!(told.to, Some(to.parse().unwrap()));
        assert_eq!(call(&read(&json!({"data": "0x00"})).unwrap()).to, None, "it creates a contract");
        assert_eq!(call(&read(&json!({"to": null})).unwrap()).to, None);
    }

    #[test]
    fn what_contradicts_itself_is_named() {
        let cases = [
            (json!({"data": "0x12", "input": "0x13"}), "both \"data\" and \"input\" are set and not equal"),
            (json!({"gasPrice": "0x1", "maxFeePerGas": "0x1"}), "both gasPrice and (maxFeePerGas"),
            (
                json!({"maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x2"}),
                "maxFeePerGas (0x1) < maxPriorityFeePerGas (0x2)",
            ),
            (json!({"chainId": "0x8"}), "chainId does not match node's (have=8, want=7)"),
            (json!({"maxFeePerBlobGas": "0x8"}), "blob transactions are not supported"),
            (json!({"to": "0x12"}), ""),
            (json!("0x12"), ""),
        ];
        for (call, text) in cases {
            match read(&call) {
                Err(RpcError::InvalidArgument { index: 0, why }) => assert!(why.starts_with(text), "{call}: {why}"),
                other => panic!("{call}: {other:?}"),
            }
        }
    }

    #[test]
    fn overrides_are_whole_or_refused() {
        let account = "0x4242424242424242424242424242424242424242";
        let word = |byte: &str| format!("0x{}{byte}", "0".repeat(62));
        let read = |with: Value| checked(serde_json::from_value(json!({ account: with })).unwrap());
        let told = read(json!({"balance": "0x5", "stateDiff": {word("01"): word("02")}})).unwrap();
        let with = &told[&account.parse::<alloy_primitives::Address>().unwrap()];
        assert_eq!((with.balance, with.state.is_none()), (Some(U256::from(5)), true));
        assert_eq!(with.state_diff[&U256::from(1)], U256::from(2));
        assert!(read(json!({"state": {}, "stateDiff": {}})).unwrap_err().contains("both 'state' and 'stateDiff'"));
        for code in ["0xef01", "0xef0100", "0xef0142"] {
            assert!(read(json!({ "code": code })).unwrap_err().contains("EIP-7702"), "{code}");
        }
        let delegation = format!("0xef0100{}", "11".repeat(20));
        assert!(read(json!({ "code": delegation })).is_ok());
        assert!(read(json!({"movePrecompileToAddress": account})).unwrap_err().contains("not supported"));
    }
}
