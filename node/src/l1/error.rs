//! Why L1 gave no answer, or not the one that was asked for.

use alloy_primitives::Address;
use baton_proto::L1ChainId;

use super::{
    bindings::{BindingError, RevertReason},
    client::ENDPOINTS_MAX,
};

/// Why L1 gave no answer, or not the one asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum L1Error {
    #[error("{got} L1 endpoints are configured, from 1 to {ENDPOINTS_MAX} are allowed")]
    EndpointCount { got: usize },
    #[error("not a URL of an L1 endpoint: {0}")]
    BadUrl(String),
    #[error("L1 endpoint {endpoint} is on chain {got}, expected chain {expected}")]
    WrongChain { endpoint: String, expected: L1ChainId, got: L1ChainId },
    #[error("L1 endpoint {endpoint} did not answer {method} within {timeout_ms} ms")]
    Timeout { endpoint: String, method: &'static str, timeout_ms: u64 },
    #[error("L1 endpoint {endpoint} cannot be reached for {method}: {message}")]
    Unreachable { endpoint: String, method: &'static str, message: String },
    #[error("L1 endpoint {endpoint} answered {method} with error {code}: {message}")]
    Refused { endpoint: String, method: &'static str, code: i64, message: String },
    #[error("the call to {to} reverts: {reason}")]
    Reverted { to: Address, reason: Box<RevertReason> },
    #[error("L1 answered {method} with what cannot be read: {message}")]
    Unreadable { method: &'static str, message: String },
    #[error("L1 has no {what}")]
    Missing { what: String },
    #[error("L1 endpoints disagree on {what}")]
    Disagree { what: String },
    #[error("{what} that L1 holds are not stored: {why}")]
    NotStored { what: &'static str, why: String },
    #[error("the data is in blobs, and no beacon endpoint is configured (l1.beacon)")]
    NoBeacon,
    #[error("L1 holds what this version cannot use: {0}")]
    Binding(#[from] BindingError),
}

impl L1Error {
    /// Returns whether the same question may have another answer later, without anybody changing a configuration.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Timeout { .. }
            | Self::Unreachable { .. }
            | Self::Refused { .. }
            | Self::Unreadable { .. }
            | Self::Missing { .. }
            | Self::NotStored { .. }
            | Self::Disagree { .. } => true,
            Self::EndpointCount { .. }
            | Self::BadUrl(_)
            | Self::WrongChain { .. }
            | Self::Reverted { .. }
            | Self::NoBeacon
            | Self::Binding(_) => false,
        }
    }

    /// Returns whether an endpoint was reached and does not say what it is asked, rather than that it could not be asked.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        match self {
            Self::Refused { .. } | Self::Reverted { .. } | Self::Unreadable { .. } | Self::Missing { .. } => true,
            Self::EndpointCount { .. }
            | Self::BadUrl(_)
            | Self::WrongChain { .. }
            | Self::Timeout { .. }
            | Self::Unreachable { .. }
            | Self::Disagree { .. }
            | Self::NotStored { .. }
            | Self::NoBeacon
            | Self::Binding(_) => false,
        }
    }

    /// Returns the contract's reason, when a contract refused.
    #[must_use]
    pub fn revert(&self) -> Option<&RevertReason> {
        match self {
            Self::Reverted { reason, .. } => Some(reason),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_was_reached_refuses() {
        let (endpoint, method) = ("http://l1".to_owned(), "eth_blobBaseFee");
        let refused = |code| L1Error::Refused { endpoint: endpoint.clone(), method, code, message: "no".into() };
        assert!([-32_601, -32_004, -32_005, -32_603, -32_000].into_iter().all(|code| refused(code).is_refusal()));
        assert!(L1Error::Missing { what: "answer".into() }.is_refusal());
        let message = "HTTP status 503".to_owned();
        assert!(!L1Error::Unreachable { endpoint: endpoint.clone(), method, message }.is_refusal());
        assert!(!L1Error::Timeout { endpoint, method, timeout_ms: 1 }.is_refusal());
    }
}
