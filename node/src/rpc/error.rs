//! Errors as clients get them.

use std::time::Duration;

use alloy_primitives::TxHash;
use baton_proto::Height;
use jsonrpsee::{
    server::MethodResponse,
    types::{ErrorObjectOwned, Id, error::ErrorCode},
};

use super::cursor::CursorError;
use crate::{admission::SubmitError, ledger::LedgerError};

/// Server error of geth: the request was understood and refused.
const SERVER_ERROR: i32 = -32_000;

/// Resource unavailable; geth's code when time runs out.
const TIMED_OUT: i32 = -32_002;

/// An answer, or a batch of them, grew too large; geth's code.
const RESPONSE_TOO_LARGE: i32 = -32_003;

/// Limit exceeded (EIP-1474): client libraries wait and retry. Over HTTP it comes with status 429.
pub(super) const LIMIT_EXCEEDED: i32 = -32_005;

/// Most characters of a method's name that an error repeats.
const NAME_CHARS_MAX: usize = 64;

/// Why a call has no result. The texts are geth's where geth has the case, because clients match them.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum RpcError {
    #[error("the method {} does not exist/is not available", shortened(.0))]
    UnknownMethod(String),
    #[error("non-array args")]
    ArgumentsNotAList,
    #[error("missing value for required argument {0}")]
    MissingArgument(usize),
    #[error("too many arguments, want at most {0}")]
    TooManyArguments(usize),
    #[error("invalid argument {index}: {why}")]
    InvalidArgument { index: usize, why: String },
    #[error(transparent)]
    Submit(#[from] SubmitError),
    #[error("header not found")]
    HeaderNotFound,
    #[error("state at block {asked} is not available: only the state at the latest block, {kept}, is kept")]
    StateNotKept { asked: Height, kept: Height },
    #[error("batch too large")]
    BatchTooLarge,
    #[error("request too large: at most {0} bytes")]
    RequestTooLarge(u32),
    #[error("too many requests: {0} calls wait already")]
    TooManyCalls(usize),
    #[error("too many requests: no turn came within {} seconds", .0.as_secs())]
    WaitedTooLong(Duration),
    #[error("execution aborted (timeout = {}s)", .0.as_secs())]
    RanTooLong(Duration),
    #[error("too many filters on this node: at most {0}")]
    TooManyFilters(usize),
    #[error("filter not found")]
    FilterNotFound,
    #[error("too many subscriptions on this connection: at most {0}")]
    TooManySubscriptions(u32),
    #[error("too many subscriptions on this node: at most {0}")]
    TooManySubscriptionsOfAll(usize),
    #[error("too many requests: answers that were not read yet take all room")]
    TooMuchUnread,
    #[error("notifications not supported")]
    NotificationsNotSupported,
    #[error("subscriptions are not available in a batch")]
    SubscriptionInBatch,
    #[error("subscription not found")]
    SubscriptionNotFound,
    #[error("expected subscription name as first argument")]
    NoSubscriptionName,
    #[error("no \"{}\" subscription in {namespace} namespace", shortened(.name))]
    UnknownSubscription { name: String, namespace: &'static str },
    #[error(transparent)]
    Cursor(#[from] CursorError),
    #[error("request timed out")]
    TimedOut,
    #[error("response too large")]
    ResponseTooLarge,
    #[error("ledger cannot be read")]
    Ledger(#[from] LedgerError),
    #[error("block {block} is final, but its data lacks transaction {hash}")]
    IndexWithoutBlock { hash: TxHash, block: Height },
    #[error("internal error")]
    Internal(String),
}

impl RpcError {
    /// Returns the code of the error object.
    #[must_use]
    pub fn code(&self) -> i32 {
        match self {
            Self::UnknownMethod(_) | Self::NotificationsNotSupported | Self::UnknownSubscription { .. } => {
                ErrorCode::MethodNotFound.code()
            }
            Self::ArgumentsNotAList
            | Self::MissingArgument(_)
            | Self::TooManyArguments(_)
            | Self::InvalidArgument { .. }
            | Self::NoSubscriptionName
            | Self::Cursor(_) => ErrorCode::InvalidParams.code(),
            Self::Submit(SubmitError::Transaction(_) | SubmitError::Pool(_))
            | Self::HeaderNotFound
            | Self::StateNotKept { .. }
            | Self::SubscriptionNotFound
            | Self::FilterNotFound
            | Self::RanTooLong(_) => SERVER_ERROR,
            Self::Submit(SubmitError::Busy)
            | Self::TooManyCalls(_)
            | Self::WaitedTooLong(_)
            | Self::TooManyFilters(_)
            | Self::TooManySubscriptions(_)
            | Self::TooManySubscriptionsOfAll(_)
            | Self::TooMuchUnread => LIMIT_EXCEEDED,
            Self::BatchTooLarge | Self::RequestTooLarge(_) | Self::SubscriptionInBatch => {
                ErrorCode::InvalidRequest.code()
            }
            Self::TimedOut => TIMED_OUT,
            Self::ResponseTooLarge => RESPONSE_TOO_LARGE,
            Self::Submit(SubmitError::NotStored | SubmitError::Stopping)
            | Self::Ledger(_)
            | Self::IndexWithoutBlock { .. }
            | Self::Internal(_) => ErrorCode::InternalError.code(),
        }
    }

    /// Returns whether the node, not the client, is at fault: worth a line in the log.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.code() == ErrorCode::InternalError.code()
    }

    /// Returns the answer to call `id` that says so.
    pub(super) fn answer(self, id: Id<'_>) -> MethodResponse {
        MethodResponse::error(id, ErrorObjectOwned::from(self))
    }
}

impl From<RpcError> for ErrorObjectOwned {
    fn from(error: RpcError) -> Self {
        Self::owned(error.code(), error.to_string(), None::<()>)
    }
}

fn shortened(name: &str) -> &str {
    name.char_indices().nth(NAME_CHARS_MAX).map_or(name, |(end, _)| &name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_node_asks_to_retry_and_one_that_fails_says_it_is_its_own_fault() {
        let busy = RpcError::from(SubmitError::Busy);
        assert_eq!((busy.code(), busy.is_ours()), (-32_005, false));
        assert!(busy.to_string().contains("retry"), "{busy}");
        for error in [SubmitError::NotStored, SubmitError::Stopping] {
            let error = RpcError::from(error);
            assert_eq!((error.code(), error.is_ours()), (-32_603, true));
            assert!(error.to_string().starts_with("the transaction was not accepted"), "{error}");
        }
    }

    #[test]
    fn an_endless_method_name_is_not_repeated() {
        let message = RpcError::UnknownMethod("é".repeat(100_000)).to_string();
        assert_eq!(message, format!("the method {} does not exist/is not available", "é".repeat(NAME_CHARS_MAX)));
    }
}
