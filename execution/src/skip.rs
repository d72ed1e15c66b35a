//! Why a transaction was skipped.

use alloy_primitives::U256;
use baton_proto::{ForcedFlaw, limits::FORCED_ENTRY_GAS};
use serde::{Deserialize, Serialize};

/// Why an item of a block was not executed. It was charged nothing and changed nothing, nonces included.
///
/// The texts begin as those of geth's `core/error.go`, which clients match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "reason")]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum SkipReason {
    #[error("a forced entry that holds no transaction")]
    Malformed,
    #[error("invalid chain id: a forced transaction of chain {got}")]
    ForeignChain { got: u64 },
    #[error("a forced transaction that declares {got} gas, at most {FORCED_ENTRY_GAS} are allowed")]
    TooMuchForcedGas { got: u64 },
    #[error("nonce too low: next nonce {expected}, tx nonce {got}")]
    NonceTooLow { got: u64, expected: u64 },
    #[error("nonce too high: next nonce {expected}, tx nonce {got}")]
    NonceTooHigh { got: u64, expected: u64 },
    #[error("nonce has max value")]
    NonceMax,
    #[error("insufficient funds for gas * price + value: have {have} want {want}")]
    InsufficientFunds { have: U256, want: U256 },
    #[error("max fee per gas less than block base fee: maxFeePerGas: {got}, baseFee: {base_fee}")]
    FeeCapTooLow { got: U256, base_fee: u64 },
    #[error("max priority fee per gas higher than max fee per gas")]
    TipAboveFeeCap,
    #[error("gas limit reached: the block has {left} left, the transaction declares {got}")]
    GasLimitReached { got: u64, left: u64 },
    #[error("transaction gas limit too high: {got}, at most {most} (EIP-7825)")]
    GasLimitTooHigh { got: u64, most: u64 },
    #[error("intrinsic gas too low: have {have}, want {want}")]
    IntrinsicGas { have: u64, want: u64 },
    #[error("insufficient gas for floor data gas cost: have {have}, want {want}")]
    FloorDataGas { have: u64, want: u64 },
    #[error("max initcode size exceeded")]
    InitCodeTooLong,
    #[error("sender not an eoa")]
    SenderNotEoa,
    #[error("EIP-7702 transaction with empty auth list")]
    EmptyAuthorizationList,
    #[error("transaction type not supported")]
    UnsupportedType,
    #[error("invalid transaction: {what}")]
    Other { what: String },
}

impl From<&ForcedFlaw> for SkipReason {
    fn from(flaw: &ForcedFlaw) -> Self {
        match *flaw {
            ForcedFlaw::UnknownKind { .. } | ForcedFlaw::NotATransaction(_) => Self::Malformed,
            ForcedFlaw::ForeignChain { got, .. } => Self::ForeignChain { got },
            ForcedFlaw::TooMuchGas { got } => Self::TooMuchForcedGas { got },
        }
    }
}

impl SkipReason {
    /// Returns whether the same transaction may be valid at a later turn.
    #[must_use]
    pub const fn can_pass(&self) -> bool {
        match self {
            Self::NonceTooHigh { .. }
            | Self::InsufficientFunds { .. }
            | Self::FeeCapTooLow { .. }
            | Self::GasLimitReached { .. }
            | Self::SenderNotEoa => true,
            Self::Malformed
            | Self::ForeignChain { .. }
            | Self::TooMuchForcedGas { .. }
            | Self::NonceTooLow { .. }
            | Self::NonceMax
            | Self::TipAboveFeeCap
            | Self::GasLimitTooHigh { .. }
            | Self::IntrinsicGas { .. }
            | Self::FloorDataGas { .. }
            | Self::InitCodeTooLong
            | Self::EmptyAuthorizationList
            | Self::UnsupportedType
            | Self::Other { .. } => false,
        }
    }
}
