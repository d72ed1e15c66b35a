//! `baton node`.

use std::path::PathBuf;

use clap::{Args, builder::BoolishValueParser};
use tracing::info;

use super::CliError;
use crate::{
    config::{Config, NodeKeys},
    node::{self, NodeOptions},
    telemetry::log,
};

/// Arguments of `baton node`. Every key of the configuration file is a flag and an environment variable too; a flag
/// outranks the environment, which outranks the file.
#[derive(Clone, Debug, Args)]
pub struct NodeArgs {
    /// Configuration file (TOML); `docker/node.toml` explains every key. Without it everything comes from flags and the
    /// environment.
    #[arg(long, env = "BATON_CONFIG")]
    pub config: Option<PathBuf>,
    /// Sign at once although no sign record was found, or one that may lack statements (imported, or made to listen). With it
    /// you vouch that this key signs nowhere else and has signed nothing that is not recorded; if that is wrong, the bond is
    /// lost. The record remembers it. For one start only, so no key of the file.
    #[arg(
        long,
        env = "BATON_ACCEPT_MISSING_SIGN_RECORD",
        action = clap::ArgAction::SetTrue,
        value_parser = BoolishValueParser::new()
    )]
    pub accept_missing_sign_record: bool,
    /// Sign nothing in the running epoch, because the sign record is missing (an empty one is made then) or in doubt, and
    /// listen: the node ends with exit code 3 when it sees that another process signs with its key. For one start only: each
    /// start with it begins anew.
    #[arg(
        long,
        env = "BATON_LISTEN_FOR_SIGN_RECORD",
        action = clap::ArgAction::SetTrue,
        value_parser = BoolishValueParser::new(),
        conflicts_with = "accept_missing_sign_record"
    )]
    pub listen_for_sign_record: bool,
    /// Stop when standard input closes, so that a supervisor that dies takes its nodes along.
    #[arg(long)]
    pub stop_with_stdin: bool,
    /// The configuration's keys.
    #[command(flatten)]
    pub keys: NodeKeys,
}

/// Loads the configuration, starts the log, and runs the node.
pub(super) async fn run(args: NodeArgs) -> Result<(), CliError> {
    let NodeArgs { config, accept_missing_sign_record, listen_for_sign_record, stop_with_stdin, keys } = args;
    let config = Config::load(config.as_deref(), keys)?;
    log::init(&config.log)?;
    info!(version = env!("CARGO_PKG_VERSION"), "baton starts; effective configuration:\n{config}");
    let options = NodeOptions { accept_missing_sign_record, listen_for_sign_record, stop_with_stdin };
    Ok(node::run(config, options).await?)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::cli::{Cli, Command};

    #[test]
    fn the_override_and_listening_are_off_unless_one_is_said() {
        let (accept, listen) = ("--accept-missing-sign-record", "--listen-for-sign-record");
        for (said, expected) in [(&[][..], (false, false)), (&[accept], (true, false)), (&[listen], (false, true))] {
            let arguments = ["baton", "node"].iter().chain(said);
            let Command::Node(args) = Cli::try_parse_from(arguments).unwrap().command else { panic!("another verb") };
            assert_eq!((args.accept_missing_sign_record, args.listen_for_sign_record), expected);
        }
        assert_eq!(Cli::try_parse_from(["baton", "node", accept, listen]).unwrap_err().exit_code(), 2);
    }
}
