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
    /// Start with an empty sign record although none was found. With it you vouch that this key signs nowhere else and has
    /// signed nothing that is not recorded; if that is wrong, the bond is lost. For one start only, so no key of the file.
    #[arg(
        long,
        env = "BATON_ACCEPT_MISSING_SIGN_RECORD",
        action = clap::ArgAction::SetTrue,
        value_parser = BoolishValueParser::new()
    )]
    pub accept_missing_sign_record: bool,
    /// Stop when standard input closes, so that a supervisor that dies takes its nodes along.
    #[arg(long)]
    pub stop_with_stdin: bool,
    /// The configuration's keys.
    #[command(flatten)]
    pub keys: NodeKeys,
}

/// Loads the configuration, starts the log, and runs the node.
pub(super) async fn run(args: NodeArgs) -> Result<(), CliError> {
    let NodeArgs { config, accept_missing_sign_record, stop_with_stdin, keys } = args;
    let config = Config::load(config.as_deref(), keys)?;
    log::init(&config.log)?;
    info!(version = env!("CARGO_PKG_VERSION"), "baton starts; effective configuration:\n{config}");
    Ok(node::run(config, NodeOptions { accept_missing_sign_record, stop_with_stdin }).await?)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::cli::{Cli, Command};

    #[test]
    fn the_override_is_off_unless_it_is_said() {
        for (arguments, expected) in
            [(&["baton", "node"][..], false), (&["baton", "node", "--accept-missing-sign-record"], true)]
        {
            let Command::Node(args) = Cli::try_parse_from(arguments).unwrap().command else { panic!("another verb") };
            assert_eq!(args.accept_missing_sign_record, expected);
        }
    }
}
