//! Errors as clients get them.

use std::time::Duration;

use alloy_primitives::{B256, Bytes, TxHash};
use baton_execution::{Outcome, StateError};
use baton_proto::Height;
use jsonrpsee::{
    server::MethodResponse,
    types::{ErrorObjectOwned, Id, error::ErrorCode},
};

use super::{
    cursor::CursorError,
    logs::{LOG_BLOCKS_MAX, LOGS_MAX},
};
use crate::{admission::SubmitError, ledger::LedgerError};

/// Server error of geth: the request was understood and refused.
const SERVER_ERROR: i32 = -32_000;

/// Resource unavailable; geth's code when time runs out.
const TIMED_OUT: i32 = -32_002;

/// An answer, or a batch of them, grew too large; geth's code.
const RESPONSE_TOO_LARGE: i32 = -32_003;

/// Limit exceeded (EIP-1474): client libraries wait and retry. Over HTTP it comes with status 429.
pub(super) const LIMIT_EXCEEDED: i32 = -32_005;

/// Method not supported (EIP-1474): on this chain it never is. viem takes it for a method that is not there.
const UNSUPPORTED: i32 = -32_004;

/// A call reverted; geth's code. The error's data are what it reverted with.
const REVERTED: i32 = 3;

/// What `eth_sendRawTransactionSync` fails with (EIP-7966). Data: the hash, the hash, and the nonce that would be next.
const NOT_FINAL_IN_TIME: i32 = 4;
const NOT_READY: i32 = 5;
const NONCE_GAP: i32 = 6;

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
    #[error("unknown block")]
    UnknownBlock,
    #[error(
        "missing trie node {root} (path ) state {root} is not available: the state after block {asked} is not kept, only those \
         of the last {kept} blocks"
    )]
    StateNotKept { root: B256, asked: Height, kept: u64 },
    #[error("this chain only orders transactions: it executes none, so it has no balances, fees, receipts or calls")]
    NotExecuted,
    #[error("{0}")]
    Refused(String),
    #[error("execution reverted{}", .reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default())]
    Reverted { reason: Option<String>, data: Bytes },
    #[error("the transaction was added to the pool, but was in no final block within {} ms", .after.as_millis())]
    NotFinalInTime { hash: TxHash, after: Duration },
    #[error("the transaction was skipped at its turn: {}", skipped(.outcome))]
    SkippedAtItsTurn { hash: TxHash, outcome: Outcome },
    #[error("nonce too high: next nonce {expected}, tx nonce {got}")]
    NonceGap { expected: u64, got: u64 },
    #[error("query exceeds max block range {LOG_BLOCKS_MAX}")]
    TooManyLogBlocks,
    #[error("query exceeds max results {LOGS_MAX}, retry with the range {from}-{to}")]
    TooManyLogs { from: Height, to: Height },
    #[error("invalid block range params")]
    InvalidBlockRange,
    #[error("state cannot be read")]
    State(#[from] StateError),
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
            | Self::TooManyLogBlocks
            | Self::TooManyLogs { .. }
            | Self::InvalidBlockRange
            | Self::Cursor(_) => ErrorCode::InvalidParams.code(),
            Self::Submit(SubmitError::Transaction(_) | SubmitError::Pool(_))
            | Self::HeaderNotFound
            | Self::UnknownBlock
            | Self::StateNotKept { .. }
            | Self::Refused(_)
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
            Self::NotExecuted => UNSUPPORTED,
            Self::Reverted { .. } => REVERTED,
            Self::NotFinalInTime { .. } => NOT_FINAL_IN_TIME,
            Self::SkippedAtItsTurn { .. } => NOT_READY,
            Self::NonceGap { .. } => NONCE_GAP,
            Self::TimedOut => TIMED_OUT,
            Self::ResponseTooLarge => RESPONSE_TOO_LARGE,
            Self::Submit(SubmitError::NotStored | SubmitError::Stopping)
            | Self::Ledger(_)
            | Self::State(_)
            | Self::IndexWithoutBlock { .. }
            | Self::Internal(_) => ErrorCode::InternalError.code(),
        }
    }

    /// Returns what stands under `data`, if anything does.
    fn data(&self) -> Option<String> {
        match self {
            Self::Reverted { data, .. } => Some(data.to_string()),
            Self::NotFinalInTime { hash, .. } | Self::SkippedAtItsTurn { hash, .. } => Some(hash.to_string()),
            Self::NonceGap { expected, .. } => Some(format!("{expected:#x}")),
            _ => None,
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
        Self::owned(error.code(), error.to_string(), error.data())
    }
}

fn skipped(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Skipped(reason) => reason.to_string(),
        Outcome::Executed => "it was executed".to_owned(),
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
