//! Arguments of `baton testnet`.

use std::path::PathBuf;

use clap::Args;

use super::network::NetworkArgs;
use crate::config::L1Url;

/// Longest prefix of host names: a DNS label has 63 characters at most, the index takes up to 3.
const PREFIX_CHARS_MAX: usize = 60;

/// Arguments of `baton testnet`.
#[derive(Clone, Debug, Args)]
pub struct TestnetArgs {
    /// JSON-RPC of the development L1, an anvil. It is waited for.
    #[arg(long, env = "BATON_TESTNET_L1_RPC", value_name = "URL")]
    pub l1_rpc: L1Url,
    /// JSON-RPC of the same L1 as the nodes reach it. Default: as this command does.
    #[arg(long, env = "BATON_TESTNET_NODE_L1_RPC", value_name = "URL")]
    pub node_l1_rpc: Option<L1Url>,
    /// Folder to write: `nodeN/` for each node with its keys, sign record and node.toml, `owners/` with the keys that can
    /// withdraw the bonds, and `network.json`. If it holds the same network already, that is checked and left alone.
    #[arg(long, env = "BATON_TESTNET_OUTPUT", value_name = "DIR")]
    pub output: PathBuf,
    /// Nodes are known to one another by this and their index: node0, node1 and so on.
    #[arg(long, env = "BATON_TESTNET_HOSTNAME_PREFIX", default_value = "node", value_parser = hostname_prefix)]
    pub hostname_prefix: String,
    /// Where every node finds its own folder, such as the path that a container mounts it on. Default: where it is written.
    #[arg(long, env = "BATON_TESTNET_NODE_HOME", value_name = "DIR")]
    pub node_home: Option<PathBuf>,
    /// The network.
    #[command(flatten)]
    pub network: NetworkArgs,
}

fn hostname_prefix(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.chars().all(fits) && text.starts_with(|c: char| c.is_ascii_lowercase()) && text.len() <= PREFIX_CHARS_MAX {
        return Ok(text.to_owned());
    }
    Err(format!(
        "a host name starts with a letter and has lower-case letters, digits and '-', here {PREFIX_CHARS_MAX} at most"
    ))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        testnet: TestnetArgs,
    }

    fn parse(arguments: &[&str]) -> Result<TestnetArgs, clap::Error> {
        let required = ["testnet", "--l1-rpc", "http://l1:8545", "--output", "/network"];
        Line::try_parse_from([&required, arguments].concat()).map(|line| line.testnet)
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let args = parse(&[]).unwrap();
        assert_eq!((args.hostname_prefix.as_str(), args.node_home, args.node_l1_rpc), ("node", None, None));
        assert_eq!(args.network.stakes(), Ok(vec![32, 28, 22, 18]));
    }

    #[test]
    fn what_no_resolver_would_take_is_no_host_name() {
        assert_eq!(parse(&["--hostname-prefix", "seq-2-"]).unwrap().hostname_prefix, "seq-2-");
        for wrong in ["", "Node", "1node", "a_b", "a.b", "a/tcp/1", &"a".repeat(PREFIX_CHARS_MAX + 1)] {
            let error = parse(&["--hostname-prefix", wrong]).unwrap_err();
            assert!(error.to_string().contains("host name"), "{wrong}: {error}");
        }
        assert!(parse(&["--node-l1-rpc", "ws://l1"]).unwrap_err().to_string().contains("http or https"));
    }
}
