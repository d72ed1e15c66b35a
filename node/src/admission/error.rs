//! Why a submission is refused.

use baton_mempool::PoolError;
use baton_proto::TransactionError;

/// Why a submitted transaction is not accepted: nothing is claimed, and nothing of it is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum SubmitError {
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    #[error(transparent)]
    Pool(#[from] PoolError),
    #[error("limit exceeded: too many transactions wait to be checked, retry in a second")]
    Busy,
    #[error("the transaction was not accepted: this node cannot store it durably at the moment")]
    NotStored,
    #[error("the transaction was not accepted: this node is stopping")]
    Stopping,
}

impl SubmitError {
    /// Returns whether the node, not whoever submitted, is at fault.
    #[must_use]
    pub const fn is_ours(&self) -> bool {
        match self {
            Self::NotStored | Self::Stopping => true,
            Self::Transaction(_) | Self::Pool(_) | Self::Busy => false,
        }
    }

    /// Returns whether the same transaction may be accepted later, unchanged.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Busy | Self::NotStored | Self::Stopping => true,
            Self::Pool(error) => error.is_retryable(),
            Self::Transaction(_) => false,
        }
    }
}
