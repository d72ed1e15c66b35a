//! The command line: verbs, their arguments, and the exit code of every way to fail.

pub mod devnet;
mod error;
mod health;
pub mod keys;

use clap::{Parser, Subcommand};

pub use error::CliError;
pub use health::{HealthArgs, HealthError};
pub use keys::{KeyFiles, KeysArgs, KeysError, NewKeys, PublicKeys};

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
    /// Make or show a sequencer's keys.
    Keys(KeysArgs),
    /// Ask a running node whether it is ready: exit code 0 if it is, else 1.
    Health(HealthArgs),
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
            Command::Keys(args) => Ok(keys::run(args)?),
            Command::Health(args) => Ok(health::run(args).await?),
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
            [&["baton"][..], &["baton", "nod"], &["baton", "health", "--no-such-flag"], &["baton", "keys", "new"]]
        {
            assert_eq!(Cli::try_parse_from(wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
        let help = Cli::try_parse_from(["baton", "health", "--help"]).unwrap_err();
        assert_eq!((help.kind(), help.exit_code()), (ErrorKind::DisplayHelp, 0));
    }
}
