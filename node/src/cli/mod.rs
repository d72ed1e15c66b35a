//! The command line: verbs, their arguments, and the exit code of every way to fail.

pub mod devnet;
mod error;
mod health;
pub mod keys;
pub mod network;
pub mod node;
pub mod send;
pub mod testnet;
mod verify;

use clap::{Parser, Subcommand};

pub use error::CliError;
pub use health::{HealthArgs, HealthError};
pub use keys::{KeyFiles, KeysArgs, KeysError, PublicKeys, SequencerKeys};
pub use node::NodeArgs;
pub use send::{SendArgs, SendCliError};
pub use verify::{VerifyArgs, VerifyCliError};

/// A decentralized sequencer for Ethereum rollups.
#[derive(Debug, Parser)]
#[command(name = "baton", version, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a sequencer node until SIGTERM or SIGINT.
    Node(Box<NodeArgs>),
    /// Make or show a sequencer's keys, or move their sign record.
    Keys(KeysArgs),
    /// Send a call to the contracts that an owner, a reporter or anybody may make, or print it for a wallet.
    Send(Box<SendArgs>),
    /// Check how far a transaction came: with proofs that a node gives, against committees, trusting no node. Exit code 0 if
    /// every step that is claimed holds, else 1.
    Verify(Box<VerifyArgs>),
    /// Ask a running node whether it is ready: exit code 0 if it is, else 1.
    Health(HealthArgs),
    /// Run a whole network on this machine: L1, contracts, bonded sequencers.
    Devnet(Box<devnet::DevnetArgs>),
    /// Found a network on a development L1 once, with a folder per node for containers, and end.
    Testnet(Box<testnet::TestnetArgs>),
    /// Print the version.
    Version,
}

impl Cli {
    /// Does what the command line says. Results go to standard output, the log to standard error.
    ///
    /// # Errors
    /// [`CliError`], with the exit code that it stands for.
    pub async fn run(self) -> Result<(), CliError> {
        match self.command {
            Command::Node(args) => node::run(*args).await,
            Command::Keys(args) => Ok(keys::run(args)?),
            Command::Send(args) => Ok(send::run(*args).await?),
            Command::Verify(args) => Ok(verify::run(*args).await?),
            Command::Health(args) => Ok(health::run(args).await?),
            Command::Devnet(args) => crate::devnet::run(*args).await.map_err(CliError::Devnet),
            Command::Testnet(args) => crate::devnet::testnet::run(*args).await.map_err(CliError::Devnet),
            Command::Version => {
                println!("baton {}", env!("CARGO_PKG_VERSION"));
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, error::ErrorKind};

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn usage_errors_exit_with_2_and_help_with_0() {
        for wrong in
            [&["baton"][..], &["baton", "nod"], &["baton", "node", "--no-such-flag"], &["baton", "keys", "new"]]
        {
            assert_eq!(Cli::try_parse_from(wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
        let help = Cli::try_parse_from(["baton", "node", "--help"]).unwrap_err();
        assert_eq!((help.kind(), help.exit_code()), (ErrorKind::DisplayHelp, 0));
    }

    #[tokio::test]
    async fn a_configuration_that_cannot_be_used_exits_with_2() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.toml");
        std::fs::write(&path, "data_dri = \"/data\"\n").unwrap();
        for arguments in [vec!["baton", "node", "--config", path.to_str().unwrap()], vec!["baton", "node"]] {
            let error = Cli::try_parse_from(arguments).unwrap().run().await.unwrap_err();
            assert_eq!(error.exit_code(), 2, "{error}");
        }
        let error = Cli::try_parse_from(["baton", "node", "--config", path.to_str().unwrap()]).unwrap().run().await;
        assert!(error.unwrap_err().to_string().contains("unknown field `data_dri`"));
        // Also where only the verb finds out what does not fit.
        let error = Cli::try_parse_from(["baton", "devnet", "--nodes", "0"]).unwrap().run().await.unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
    }
}
