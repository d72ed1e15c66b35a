//! Why the EVM refuses a transaction.

use alloy_primitives::U256;
use revm::context_interface::result::InvalidTransaction;

use crate::SkipReason;

/// Says in our words why the EVM refuses a transaction that offers `max_fee` per gas.
pub(super) fn reason(invalid: InvalidTransaction, max_fee: u128, base_fee: u64) -> SkipReason {
    use InvalidTransaction as Invalid;
    match invalid {
        Invalid::NonceTooLow { tx, state } => SkipReason::NonceTooLow { got: tx, expected: state },
        Invalid::NonceTooHigh { tx, state } => SkipReason::NonceTooHigh { got: tx, expected: state },
        Invalid::NonceOverflowInTransaction => SkipReason::NonceMax,
        Invalid::LackOfFundForMaxFee { fee, balance } => SkipReason::InsufficientFunds { have: *balance, want: *fee },
        Invalid::OverflowPaymentInTransaction => SkipReason::InsufficientFunds { have: U256::MAX, want: U256::MAX },
        Invalid::GasPriceLessThanBasefee => SkipReason::FeeCapTooLow { got: U256::from(max_fee), base_fee },
        Invalid::PriorityFeeGreaterThanMaxFee => SkipReason::TipAboveFeeCap,
        Invalid::TxGasLimitGreaterThanCap { gas_limit, cap } => {
            SkipReason::GasLimitTooHigh { got: gas_limit, most: cap }
        }
        Invalid::CallGasCostMoreThanGasLimit { initial_gas, gas_limit } => {
            SkipReason::IntrinsicGas { have: gas_limit, want: initial_gas }
        }
        Invalid::GasFloorMoreThanGasLimit { gas_floor, gas_limit } => {
            SkipReason::FloorDataGas { have: gas_limit, want: gas_floor }
        }
        Invalid::CreateInitCodeSizeLimit => SkipReason::InitCodeTooLong,
        Invalid::RejectCallerWithCode => SkipReason::SenderNotEoa,
        Invalid::EmptyAuthorizationList => SkipReason::EmptyAuthorizationList,
        Invalid::Eip4844NotSupported | Invalid::BlobVersionedHashesNotSupported => SkipReason::UnsupportedType,
        other => SkipReason::Other { what: other.to_string() },
    }
}
