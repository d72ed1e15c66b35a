//! Arguments of `baton devnet`.

use std::{path::PathBuf, str::FromStr};

use alloy_primitives::U256;
use clap::Args;

use super::network::{NetworkArgs, NetworkArgsError};

/// Arguments of `baton devnet`.
#[derive(Clone, Debug, Args)]
pub struct DevnetArgs {
    /// The network.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// Seconds between two L1 blocks.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub block_time: u64,
    /// Print plain log lines instead of the live table.
    #[arg(long)]
    pub headless: bool,
    /// Write what was started to this file as JSON once every node is ready.
    #[arg(long, value_name = "FILE")]
    pub info: Option<PathBuf>,
    /// Use the anvil at this URL instead of starting one.
    #[arg(long, value_name = "URL")]
    pub l1_rpc: Option<String>,
    /// Keep everything in this folder, which must hold no earlier devnet. Default: a temporary one, removed at the end.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Send a copy of every consensus message to this multiaddr, which ends in /p2p/PEERID. Repeatable.
    #[arg(long = "observer", value_name = "MULTIADDR")]
    pub observers: Vec<String>,
    /// Run another program in place of `baton` as one node, counted from 0. Repeatable.
    #[arg(long = "node-binary", value_name = "INDEX=PATH")]
    pub node_binaries: Vec<NodeBinary>,
    /// Bond this node, counted from 0, and make its folder, but leave starting it to somebody else. Repeatable.
    #[arg(long, value_name = "INDEX")]
    pub absent: Vec<usize>,
    /// Make so many more folders, for nodes that are neither bonded nor started: bond one, and it can join.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub unbonded: u8,
}

/// `INDEX=PATH`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeBinary {
    /// The node, from 0.
    pub index: usize,
    /// The program.
    pub path: PathBuf,
}

impl FromStr for NodeBinary {
    type Err = NetworkArgsError;

    fn from_str(text: &str) -> Result<Self, NetworkArgsError> {
        text.split_once('=')
            .and_then(|(index, path)| Some(Self { index: index.parse().ok()?, path: path.into() }))
            .ok_or_else(|| NetworkArgsError::NotAPair { expected: "INDEX=PATH", got: text.into() })
    }
}

impl DevnetArgs {
    /// Returns the bonds in base units of the token, one per node.
    ///
    /// # Errors
    /// [`NetworkArgsError`]: stakes that do not make a network, or too few nodes for `--absent`.
    pub fn bonds(&self) -> Result<Vec<U256>, NetworkArgsError> {
        let bonds = self.network.bonds()?;
        match self.absent.iter().find(|index| **index >= bonds.len()) {
            Some(got) => Err(NetworkArgsError::NoSuchNode { got: *got, nodes: bonds.len() }),
            None => Ok(bonds),
        }
    }

    /// Returns the program to run as node `index` in place of `baton`, if another one is asked for.
    #[must_use]
    pub fn node_binary(&self, index: usize) -> Option<PathBuf> {
        self.node_binaries.iter().find(|binary| binary.index == index).map(|binary| binary.path.clone())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        devnet: DevnetArgs,
    }

    #[test]
    fn only_nodes_that_there_are_can_be_absent() {
        let bonds =
            |arguments: &[&str]| Line::try_parse_from([&["devnet"], arguments].concat()).unwrap().devnet.bonds();
        assert_eq!(bonds(&["--absent", "0", "--absent", "3"]).unwrap().len(), 4);
        assert_eq!(bonds(&["--absent", "4"]), Err(NetworkArgsError::NoSuchNode { got: 4, nodes: 4 }));
    }

    #[test]
    fn another_program_takes_one_nodes_place() {
        let args = Line::try_parse_from(["devnet", "--node-binary", "1=/bin/liar"]).unwrap().devnet;
        assert_eq!(args.node_binary(1), Some("/bin/liar".into()));
        assert_eq!(args.node_binary(0), None);
        assert!(Line::try_parse_from(["devnet", "--node-binary", "/bin/liar"]).is_err());
    }
}
