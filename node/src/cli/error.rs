//! What a verb may end with, and the exit code it stands for.

use super::{HealthError, KeysError, SendCliError, VerifyCliError, network::NetworkArgsError};
use crate::{config::ConfigError, node::NodeError};

/// Why the process ends with another code than 0.
///
/// Codes are fixed (protocol section 13): 1 something failed while running, 2 the call or the configuration is wrong, 3
/// refused because going on could make this node sign against itself.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum CliError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error(transparent)]
    Send(#[from] SendCliError),
    #[error(transparent)]
    Verify(#[from] VerifyCliError),
    #[error(transparent)]
    Health(#[from] HealthError),
    #[error("{0:#}")]
    Devnet(anyhow::Error),
}

impl CliError {
    /// Something failed while running.
    pub const RUNTIME: u8 = 1;
    /// The call or the configuration is wrong.
    pub const USAGE: u8 = 2;
    /// Refused for safety.
    pub const REFUSED: u8 = 3;

    /// Returns the process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => Self::USAGE,
            Self::Node(error) => error.exit_code(),
            Self::Keys(error) => error.exit_code(),
            Self::Send(error) => error.exit_code(),
            Self::Verify(error) => error.exit_code(),
            Self::Health(_) => Self::RUNTIME,
            Self::Devnet(error) if error.is::<NetworkArgsError>() => Self::USAGE,
            Self::Devnet(_) => Self::RUNTIME,
        }
    }
}
