//! Calls that nobody signed: `eth_call`, `eth_estimateGas`, `eth_createAccessList`.

use alloy::{
    eips::{BlockId, eip2930::AccessListResult},
    rpc::types::TransactionRequest,
};
use alloy_primitives::{Bytes, U64, U256};
use alloy_sol_types::{Panic, Revert, SolError};
use baton_execution::evm::{CallError, CallLimits, CallOutcome, CallStatus, Estimate, Overrides, Reader};

use super::{RpcContext, RpcError, arguments::Arguments, at, call_object, threads::Deadline};

/// Gas that one call may use: geth's.
pub(super) const CALL_GAS_MAX: u64 = 50_000_000;

/// Bytes that a trace may take in memory. An answer has at most 25 MB.
const TRACE_BYTES_MAX: usize = 64 << 20;

/// `eth_call`. Arguments: the call, the block (`latest` if left out), state overrides.
pub(super) fn call(context: &RpcContext, arguments: &Arguments, deadline: &Deadline) -> Result<Bytes, RpcError> {
    let asked = Asked::read(context, arguments)?;
    let outcome =
        asked.on(context, deadline, |reader, asked| reader.call(&call_object::call(&asked.call), &asked.with))?;
    returned(outcome)
}

/// `eth_estimateGas`. Arguments as those of `eth_call`.
pub(super) fn estimate_gas(context: &RpcContext, arguments: &Arguments, deadline: &Deadline) -> Result<U64, RpcError> {
    let asked = Asked::read(context, arguments)?;
    estimate(context, &asked, deadline).map(U64::from)
}

/// Finds the gas that a call needs.
pub(super) fn estimate(context: &RpcContext, asked: &Asked, deadline: &Deadline) -> Result<u64, RpcError> {
    match asked
        .on(context, deadline, |reader, asked| reader.estimate_gas(&call_object::call(&asked.call), &asked.with))?
    {
        Estimate::Gas(gas) => Ok(gas),
        Estimate::Fails(outcome) => Err(failed(outcome)),
    }
}

/// `eth_createAccessList`. Arguments as those of `eth_call`.
pub(super) fn create_access_list(
    context: &RpcContext,
    arguments: &Arguments,
    deadline: &Deadline,
) -> Result<AccessListResult, RpcError> {
    let asked = Asked::read(context, arguments)?;
    let (access_list, outcome) = asked
        .on(context, deadline, |reader, asked| reader.access_list(&call_object::call(&asked.call), &asked.with))?;
    let gas_used = U256::from(outcome.gas_used);
    let error = match outcome.status {
        CallStatus::Success => None,
        CallStatus::Reverted => Some("execution reverted".to_owned()),
        CallStatus::Halted(text) => Some(text),
    };
    Ok(AccessListResult { access_list, gas_used, error })
}

/// A call, and what it is made on.
pub(super) struct Asked {
    pub(super) call: TransactionRequest,
    pub(super) block: BlockId,
    pub(super) with: Overrides,
}

impl Asked {
    fn read(context: &RpcContext, arguments: &Arguments) -> Result<Self, RpcError> {
        context.evm()?;
        let call = call_object::request(arguments, 0, &context.facts.spec)?;
        let (block, with) = (arguments.block_or_latest(1)?, call_object::overrides(arguments, 2)?);
        call_object::no_block_overrides(arguments, 3)?;
        Ok(Self { call, block, with })
    }

    /// Does something with a reader on the state that is meant.
    pub(super) fn on<T>(
        &self,
        context: &RpcContext,
        deadline: &Deadline,
        run: impl FnOnce(&Reader<'_>, &Self) -> Result<T, CallError>,
    ) -> Result<T, RpcError> {
        let evm = context.evm()?;
        let at::At { header, state } = at::at(context, self.block)?;
        let should_stop = || deadline.is_over();
        let reader = evm.reader(&header, state.as_ref(), limits(&should_stop));
        reader.and_then(|reader| run(&reader, self)).map_err(|error| refused(error, deadline))
    }
}

/// What one call may cost.
pub(super) fn limits<'a>(should_stop: &'a (dyn Fn() -> bool + Sync)) -> CallLimits<'a> {
    CallLimits { gas_max: CALL_GAS_MAX, trace_bytes_max: TRACE_BYTES_MAX, should_stop }
}

/// Says why there is no answer to a call.
pub(super) fn refused(error: CallError, deadline: &Deadline) -> RpcError {
    match error {
        CallError::Stopped => deadline.passed(),
        CallError::Refused(_) | CallError::Allowance { .. } | CallError::TraceTooLong { .. } => {
            RpcError::Refused(error.to_string())
        }
        CallError::NoSuchTransaction { .. } => RpcError::Refused("transaction not found".to_owned()),
        CallError::State(error) => RpcError::State(error),
        CallError::OtherBlock { .. } | CallError::Execute(_) => RpcError::Internal(error.to_string()),
    }
}

/// Returns what a call returned, or why it failed.
fn returned(outcome: CallOutcome) -> Result<Bytes, RpcError> {
    match outcome.status {
        CallStatus::Success => Ok(outcome.output),
        CallStatus::Reverted | CallStatus::Halted(_) => Err(failed(outcome)),
    }
}

/// Says why a call failed, in geth's words.
fn failed(outcome: CallOutcome) -> RpcError {
    match outcome.status {
        CallStatus::Halted(text) => RpcError::Refused(text),
        CallStatus::Success | CallStatus::Reverted => {
            RpcError::Reverted { reason: revert_reason(&outcome.output), data: outcome.output }
        }
    }
}

/// Returns the reason that revert data tell, if they are those of `require` or of a panic.
///
/// Source: `UnpackRevert` in geth's `accounts/abi/abi.go`.
fn revert_reason(data: &[u8]) -> Option<String> {
    if let Ok(Revert { reason }) = Revert::abi_decode(data) {
        return Some(reason);
    }
    let Panic { code } = Panic::abi_decode(data).ok()?;
    let text = match u64::try_from(code).ok() {
        Some(0x00) => "generic panic",
        Some(0x01) => "assert(false)",
        Some(0x11) => "arithmetic underflow or overflow",
        Some(0x12) => "division or modulo by zero",
        Some(0x21) => "enum overflow",
        Some(0x22) => "invalid encoded storage byte array accessed",
        Some(0x31) => "out-of-bounds array access; popping on an empty array",
        Some(0x32) => "out-of-bounds access of an array or bytesN",
        Some(0x41) => "out of memory",
        Some(0x51) => "uninitialized function",
        _ => return Some(format!("unknown panic code: {code:#x}")),
    };
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_in_geths_words() {
        let reason = |data: Vec<u8>| revert_reason(&data);
        assert_eq!(reason(Revert { reason: "too late".into() }.abi_encode()).unwrap(), "too late");
        assert_eq!(reason(Panic { code: U256::from(0x11) }.abi_encode()).unwrap(), "arithmetic underflow or overflow");
        assert_eq!(reason(Panic { code: U256::from(0x99) }.abi_encode()).unwrap(), "unknown panic code: 0x99");
        // An error of the contract's own, and data that only begin like a reason.
        assert_eq!(reason(vec![1, 2, 3, 4]), None);
        assert_eq!(reason(Revert { reason: "too late".into() }.abi_encode()[..20].to_vec()), None);
    }
}
