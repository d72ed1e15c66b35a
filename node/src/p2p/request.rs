//! Why a request to a member has no answer.

use baton_proto::{
    MemberIndex,
    limits::RANGE_ANSWER_BYTES_MAX,
    wire::{SyncRequest, SyncResponse, WireError},
};

/// Why a request to a member has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum RequestError {
    #[error("member {0} is not in the committee, or is ourselves, or its epoch is forgotten")]
    UnknownMember(MemberIndex),
    #[error("not connected")]
    NotConnected,
    #[error("too many requests at once")]
    Busy,
    #[error("no answer in time")]
    Timeout,
    #[error("connection lost: {0}")]
    Disconnected(String),
    #[error("the peer does not answer requests of this chain and version")]
    Unsupported,
    #[error("answer of no bytes, or of more than {RANGE_ANSWER_BYTES_MAX}")]
    WrongLength,
    #[error("undecodable answer: {0}")]
    Undecodable(#[from] WireError),
    #[error("the answer is of another kind than the question")]
    WrongKind,
    #[error("the network is shut down")]
    ShutDown,
}

impl RequestError {
    /// Returns whether the peer broke the protocol; [`Network::request`](super::Network::request) has charged it then.
    #[must_use]
    pub const fn is_peer_fault(&self) -> bool {
        match self {
            Self::WrongLength | Self::WrongKind => true,
            Self::Undecodable(error) => error.is_peer_fault(),
            Self::UnknownMember(_)
            | Self::NotConnected
            | Self::Busy
            | Self::Timeout
            | Self::Disconnected(_)
            | Self::Unsupported
            | Self::ShutDown => false,
        }
    }

    /// Returns whether the same member may answer the same request later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::NotConnected | Self::Busy | Self::Timeout | Self::Disconnected(_) => true,
            Self::UnknownMember(_)
            | Self::Unsupported
            | Self::WrongLength
            | Self::Undecodable(_)
            | Self::WrongKind
            | Self::ShutDown => false,
        }
    }
}

/// Returns whether `response` is of the kind that `request` asks for; "unavailable" answers everything.
pub(super) const fn answers(request: &SyncRequest, response: &SyncResponse) -> bool {
    matches!(
        (request, response),
        (_, SyncResponse::Unavailable)
            | (SyncRequest::Head, SyncResponse::Head { .. })
            | (SyncRequest::Range { .. }, SyncResponse::Range(_))
            | (SyncRequest::Block(_), SyncResponse::Block(_))
            | (SyncRequest::Transactions { .. }, SyncResponse::Transactions(_))
            | (SyncRequest::Take(_), SyncResponse::Taken(_))
            | (SyncRequest::EpochEnd(_), SyncResponse::EpochEnd(_) | SyncResponse::Head { .. })
    )
}
