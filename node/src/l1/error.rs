//! Why L1 gave no answer, or not the one that was asked for.

use alloy_primitives::Address;
use baton_proto::L1ChainId;

use super::{
    bindings::{BindingError, RevertReason},
    client::ENDPOINTS_MAX,
};

/// What an endpoint answers that does not know a method: codes of JSON-RPC, and of EIP-1474.
const METHOD_NOT_FOUND: i64 = -32_601;
const METHOD_NOT_SUPPORTED: i64 = -32_004;

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

    /// Returns whether the endpoint does not know the method, rather than that it did not answer this time.
    pub(super) const fn is_unknown_method(&self) -> bool {
        matches!(self, Self::Refused { code: METHOD_NOT_FOUND | METHOD_NOT_SUPPORTED, .. })
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
    fn only_an_l1_that_does_not_know_of_blobs_has_none() {
        let refused = |code| L1Error::Refused {
            endpoint: "http://l1".into(),
            method: "eth_blobBaseFee",
            code,
            message: "the method does not exist".into(),
        };
        assert!([-32_601, -32_004].into_iter().all(|code| refused(code).is_unknown_method()));
        // A limit that was reached, an error of the server, and whatever else it calls one.
        assert!([-32_005, -32_603, -32_000, 429].into_iter().all(|code| !refused(code).is_unknown_method()));
        assert!(!L1Error::Missing { what: "answer".into() }.is_unknown_method());
    }
}
