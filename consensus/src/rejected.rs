//! Why the machine refuses an input.

use baton_proto::{Epoch, Height, MemberIndex, StatementKind, View};

/// An input that breaks a rule; the machine is as it was before.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum Rejected {
    #[error("not started yet")]
    NotStarted,
    #[error("started already")]
    AlreadyStarted,
    #[error("stopped: two certificates contradict each other")]
    Halted,
    #[error("view {got} lies too far back, views from {oldest} on count")]
    StaleView { got: View, oldest: View },
    #[error("view {got} lies too far ahead, views up to {newest} count")]
    FutureView { got: View, newest: View },
    #[error("member {expected} leads view {view}, not {got}")]
    NotLeader { view: View, expected: MemberIndex, got: MemberIndex },
    #[error("the leader's statement is not a notarize of the header that came with it")]
    ProposalMismatch,
    #[error("a block of view {got} proposed in view {view}: only a handover block is proposed again, and only later")]
    WrongView { got: View, view: View },
    #[error("height {got} in view {view}: at most one block per view can stand above the final head at height {head}")]
    HeightTooFar { got: Height, view: View, head: Height },
    #[error("the header is of another chain or epoch")]
    WrongChain,
    #[error("signed in epoch {got}, but this machine runs epoch {epoch}")]
    WrongEpoch { got: Epoch, epoch: Epoch },
    #[error("a third block of view {0}")]
    TooManyProposals(View),
    #[error("a notarize of view {view} by {signer} without the leader's own of the same block")]
    LeaderVoteMissing { view: View, signer: MemberIndex },
    #[error("a statement of kind {0:?} is not a vote")]
    NotAVote(StatementKind),
    #[error("not a finalization of the block or of a descendant")]
    NotAFinalization,
    #[error("block of view {0} was built on something else than was asked for")]
    BuiltOther(View),
    #[error("this is not the {0:?} that we asked to sign")]
    NotAsked(StatementKind),
}

impl Rejected {
    /// Returns whether only a faulty or lying peer sends such a thing.
    #[must_use]
    pub const fn is_peer_fault(&self) -> bool {
        match self {
            Self::NotLeader { .. }
            | Self::HeightTooFar { .. }
            | Self::ProposalMismatch
            | Self::WrongChain
            | Self::WrongView { .. }
            | Self::TooManyProposals(_)
            | Self::LeaderVoteMissing { .. }
            | Self::NotAVote(_) => true,
            // The first are ours to keep in order, a view or an epoch can be another because one side lags, and the rest
            // are answers of our own driver.
            Self::NotStarted
            | Self::AlreadyStarted
            | Self::Halted
            | Self::WrongEpoch { .. }
            | Self::StaleView { .. }
            | Self::FutureView { .. }
            | Self::NotAFinalization
            | Self::BuiltOther(_)
            | Self::NotAsked(_) => false,
        }
    }
}
