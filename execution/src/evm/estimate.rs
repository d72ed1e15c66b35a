//! How much gas a call needs, and which accounts and slots it touches.

use alloy_eips::eip2930::AccessList;
use alloy_primitives::{KECCAK256_EMPTY, U256};
use baton_proto::limits::TRANSACTION_GAS_MAX;
use revm::{Database, inspector::NoOpInspector};
use revm_inspectors::access_list::AccessListInspector;

use super::{CallError, CallOutcome, CallRequest, CallStatus, Overrides, Reader, WorkingState};
use crate::SkipReason;

/// Gas of a transfer to an account without code.
const TRANSFER_GAS: u64 = 21_000;

/// Gas that a call with value gives on top of what it is given.
const CALL_STIPEND: u64 = 2_300;

/// The estimate is at most one part in this above what is needed: geth's 1.5 %.
const PRECISION: u64 = 66;

/// Rounds in which an access list settles; each one can only add what the one before led to.
const ACCESS_LIST_ROUNDS_MAX: u32 = 16;

/// How much gas a call needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Estimate {
    /// With this gas limit it succeeds.
    Gas(u64),
    /// It fails with any.
    Fails(CallOutcome),
}

impl Reader<'_> {
    /// Finds the gas limit that a transaction needs: `eth_estimateGas`.
    ///
    /// As geth does it: once with all the gas that the caller can pay for, then by halving, to within 1.5 %.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::Allowance`] if it needs more than the limits or the caller's balance allow.
    pub fn estimate_gas(&self, request: &CallRequest, overrides: &Overrides) -> Result<Estimate, CallError> {
        let mut working = self.working(overrides)?;
        let mut most = request.gas.unwrap_or(u64::MAX).min(self.limits.gas_max).min(TRANSACTION_GAS_MAX);
        if request.price() > 0 {
            let (_, balance) = working.nonce_and_balance(request.from)?;
            let left = balance
                .checked_sub(request.value)
                .ok_or(CallError::Refused(SkipReason::InsufficientFunds { have: balance, want: request.value }))?;
            most = most.min(u64::try_from(left / U256::from(request.price())).unwrap_or(u64::MAX));
        }
        if self.is_transfer(request, &mut working)? && most >= TRANSFER_GAS {
            let outcome = self.run(request, TRANSFER_GAS, &mut working, None, NoOpInspector)?.0;
            if outcome.status == CallStatus::Success {
                return Ok(Estimate::Gas(TRANSFER_GAS));
            }
        }

        let outcome = match self.run(request, most, &mut working, None, NoOpInspector) {
            Ok((outcome, _)) => outcome,
            Err(error) if is_too_little(&error) => return Err(CallError::Allowance { allowance: most }),
            Err(error) => return Err(error),
        };
        match &outcome.status {
            CallStatus::Success => {}
            CallStatus::Halted(text) if text == "out of gas" => return Err(CallError::Allowance { allowance: most }),
            CallStatus::Reverted | CallStatus::Halted(_) => return Ok(Estimate::Fails(outcome)),
        }

        let (mut too_little, mut enough) = (outcome.gas_used.saturating_sub(1), most);
        // What it used with its refunds, what its calls must hold back (EIP-150), and a stipend: mostly that does.
        let guess = u128::from(outcome.gas_used) + u128::from(outcome.gas_refunded) + u128::from(CALL_STIPEND);
        let mut guess = u64::try_from(guess * 64 / 63).unwrap_or(u64::MAX);
        while too_little + 1 < enough && enough - too_little > enough / PRECISION {
            // The first guess may lie outside; later ones are means.
            guess = guess.clamp(too_little + 1, enough - 1);
            match self.suffices(request, guess, &mut working)? {
                true => enough = guess,
                false => too_little = guess,
            }
            // Most needs lie near the lower end.
            guess = (too_little + (enough - too_little) / 2).min(too_little.saturating_mul(2));
        }
        Ok(Estimate::Gas(enough))
    }

    fn suffices(&self, request: &CallRequest, gas: u64, working: &mut WorkingState<'_>) -> Result<bool, CallError> {
        match self.run(request, gas, working, None, NoOpInspector) {
            Ok((outcome, _)) => Ok(outcome.status == CallStatus::Success),
            Err(error) if is_too_little(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns whether the call is no more than money sent to an account without code.
    fn is_transfer(&self, request: &CallRequest, working: &mut WorkingState<'_>) -> Result<bool, CallError> {
        let plain = request.data.is_empty() && request.access_list.is_none() && request.authorizations.is_empty();
        Ok(match request.to.filter(|_| plain) {
            Some(to) => working.basic(to)?.is_none_or(|account| account.code_hash == KECCAK256_EMPTY),
            None => false,
        })
    }

    /// Finds the accounts and slots that a call touches, and what it did with them listed: `eth_createAccessList`.
    ///
    /// The list holds neither the caller, the called account nor precompiles, which are warm anyway.
    ///
    /// # Errors
    /// [`CallError`] when the call cannot be made, or was stopped. A call that reverts is no error.
    pub fn access_list(
        &self,
        request: &CallRequest,
        overrides: &Overrides,
    ) -> Result<(AccessList, CallOutcome), CallError> {
        let mut working = self.working(overrides)?;
        let mut request = request.clone();
        let mut list = request.access_list.take().unwrap_or_default();
        let mut round = 0;
        loop {
            request.access_list = Some(list.clone());
            let gas = request.gas.unwrap_or(self.limits.gas_max);
            let inspector = AccessListInspector::new(list.clone());
            let (outcome, inspector) = self.run(&request, gas, &mut working, None, inspector)?;
            let found = inspector.into_access_list();
            round += 1;
            if found == list || round == ACCESS_LIST_ROUNDS_MAX {
                return Ok((found, outcome));
            }
            list = found;
        }
    }
}

/// Returns whether a call was refused for nothing but too little gas.
const fn is_too_little(error: &CallError) -> bool {
    matches!(error, CallError::Refused(SkipReason::IntrinsicGas { .. } | SkipReason::FloorDataGas { .. }))
}
