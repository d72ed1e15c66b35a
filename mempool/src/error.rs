//! Why the pool refuses.

use alloy_primitives::{Address, U256};
use baton_proto::limits::TRANSACTION_GAS_MAX;

/// Why a transaction is not admitted; the pool is then as it was before.
///
/// Wallets and libraries match these strings, not codes, so each begins with geth's text for the case (`core/error.go`,
/// `core/txpool/errors.go`, `core/txpool/legacypool`). Over JSON-RPC all of them have code −32000.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum PoolError {
    #[error("invalid chain id for signer: have {have} want {want}")]
    ChainId { have: u64, want: u64 },
    #[error("oversized data: transaction size {got}, limit {limit}")]
    Oversized { got: usize, limit: usize },
    #[error("max initcode size exceeded: code size {got} limit {limit}")]
    InitcodeTooLarge { got: usize, limit: usize },
    #[error("transaction gas limit too high (cap: {TRANSACTION_GAS_MAX}, tx: {got})")]
    GasLimitTooHigh { got: u64 },
    #[error("exceeds block gas limit: gas {got}, limit {limit}")]
    ExceedsBlockGasLimit { got: u64, limit: u64 },
    #[error(
        "max priority fee per gas higher than max fee per gas: maxPriorityFeePerGas: {priority_fee}, maxFeePerGas: {max_fee}"
    )]
    TipAboveFeeCap { priority_fee: u128, max_fee: u128 },
    #[error("nonce has max value")]
    NonceMax,
    #[error("intrinsic gas too low: gas {got}, minimum needed {needed}")]
    IntrinsicGas { got: u64, needed: u64 },
    #[error("insufficient gas for floor data gas cost: gas {got}, minimum needed {needed}")]
    FloorDataGas { got: u64, needed: u64 },
    #[error("set code tx must have at least one authorization tuple")]
    NoAuthorization,
    #[error("transaction underpriced: gas tip cap {got}, minimum needed {needed}")]
    Underpriced { got: u128, needed: u128 },
    #[error("already known")]
    AlreadyKnown,
    #[error("nonce too low: next nonce {next}, tx nonce {got}")]
    NonceTooLow { next: u64, got: u64 },
    #[error("sender not an eoa: address {sender}")]
    SenderNotEoa { sender: Address },
    #[error("insufficient funds for gas * price + value: balance {balance}, tx cost {cost}, overshot {}", cost - balance)]
    InsufficientFunds { balance: U256, cost: U256 },
    #[error(
        "insufficient funds for gas * price + value: balance {balance}, queued cost {queued}, tx cost {cost}, overshot {}",
        overshot(*balance, *queued, *cost)
    )]
    Overdraft { balance: U256, queued: U256, cost: U256 },
    #[error(
        "insufficient funds for gas * price + value: balance {balance}, queued cost {queued}, tx bumped {bump}, overshot {}",
        overshot(*balance, *queued, *bump)
    )]
    OverdraftByReplacement { balance: U256, queued: U256, bump: U256 },
    #[error("in-flight transaction limit reached for delegated accounts")]
    InflightLimit,
    #[error("gapped-nonce tx from delegated accounts")]
    GappedFromDelegated,
    #[error("authority already reserved")]
    AuthorityReserved,
    #[error("the state of the sender cannot be read at the moment")]
    StateUnreadable,
    #[error(
        "replacement transaction underpriced: gas tip cap {priority_fee_needed} and fee cap {max_fee_needed} needed"
    )]
    ReplacementUnderpriced { priority_fee_needed: u128, max_fee_needed: u128 },
    #[error("account limit exceeded: pooled {pooled} txs")]
    AccountLimit { pooled: usize },
    #[error("txpool is full")]
    Full,
}

/// Returns how much more than the balance the sender's waiting transactions would cost together.
fn overshot(balance: U256, queued: U256, more: U256) -> U256 {
    queued.saturating_add(more).saturating_sub(balance)
}

impl PoolError {
    /// Returns whether the same transaction may be admitted later, unchanged.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::AccountLimit { .. }
            | Self::Full
            | Self::InsufficientFunds { .. }
            | Self::Overdraft { .. }
            | Self::OverdraftByReplacement { .. }
            | Self::InflightLimit
            | Self::GappedFromDelegated
            | Self::AuthorityReserved
            | Self::StateUnreadable => true,
            Self::ChainId { .. }
            | Self::Oversized { .. }
            | Self::InitcodeTooLarge { .. }
            | Self::GasLimitTooHigh { .. }
            | Self::ExceedsBlockGasLimit { .. }
            | Self::TipAboveFeeCap { .. }
            | Self::NonceMax
            | Self::IntrinsicGas { .. }
            | Self::FloorDataGas { .. }
            | Self::NoAuthorization
            | Self::Underpriced { .. }
            | Self::AlreadyKnown
            | Self::NonceTooLow { .. }
            | Self::SenderNotEoa { .. }
            | Self::ReplacementUnderpriced { .. } => false,
        }
    }
}
