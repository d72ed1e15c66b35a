//! Arguments of `baton devnet`.

use std::{path::PathBuf, str::FromStr};

use baton_proto::{ChainSpec, limits::COMMITTEE_MEMBERS_MAX};
use clap::Args;
use serde_json::Value;

/// Stakes of the default devnet, in whole tokens: unequal, and any one of the four may die.
const STAKES_DEFAULT: [u64; 4] = [32, 28, 22, 18];

/// Stake of each node when only their number is given, in whole tokens.
const STAKE_EQUAL: u64 = 25;

/// Arguments of `baton devnet`.
#[derive(Clone, Debug, Args)]
pub struct DevnetArgs {
    /// Number of nodes. Default: as many as there are stakes, else 4.
    #[arg(long)]
    pub nodes: Option<usize>,
    /// Bonds in whole tokens, one per node. Default: 32,28,22,18 for four nodes, so that any one may die; equal for
    /// another number.
    #[arg(long, value_delimiter = ',')]
    pub stakes: Vec<u64>,
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
    /// Override a parameter of the chain spec, by its name in the contract's struct as `baton` prints it, such as
    /// `epochBlocks=64`. Repeatable.
    #[arg(long = "spec", value_name = "KEY=VALUE")]
    pub spec: Vec<SpecOverride>,
    /// Run another program in place of `baton` as one node, counted from 0. Repeatable.
    #[arg(long = "node-binary", value_name = "INDEX=PATH")]
    pub node_binaries: Vec<NodeBinary>,
    /// Bond this node, counted from 0, and make its folder, but leave starting it to somebody else. Repeatable.
    #[arg(long, value_name = "INDEX")]
    pub absent: Vec<usize>,
}

/// Why arguments do not make a devnet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum DevnetArgsError {
    #[error("--nodes {nodes} and {stakes} --stakes do not fit together")]
    StakeCount { nodes: usize, stakes: usize },
    #[error("a devnet has 1 to {COMMITTEE_MEMBERS_MAX} nodes, not {0}")]
    NodeCount(usize),
    #[error("there is no node {got} to be absent: the {nodes} nodes are counted from 0")]
    NoSuchNode { got: usize, nodes: usize },
    #[error("a node without stake is not a sequencer: every stake must be above 0")]
    ZeroStake,
    #[error("expected {expected}, got {got}")]
    NotAPair { expected: &'static str, got: String },
    #[error("the chain spec has no {got}; it has {known}")]
    UnknownKey { got: String, known: String },
    #[error("{value} does not fit {key}: {why}")]
    Value { key: String, value: String, why: String },
}

/// `KEY=VALUE`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecOverride {
    /// The parameter.
    pub key: String,
    /// Its new value: a number, `true` or `false`, or text.
    pub value: String,
}

impl FromStr for SpecOverride {
    type Err = DevnetArgsError;

    fn from_str(text: &str) -> Result<Self, DevnetArgsError> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Self { key: key.into(), value: value.into() }),
            _ => Err(DevnetArgsError::NotAPair { expected: "KEY=VALUE", got: text.into() }),
        }
    }
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
    type Err = DevnetArgsError;

    fn from_str(text: &str) -> Result<Self, DevnetArgsError> {
        text.split_once('=')
            .and_then(|(index, path)| Some(Self { index: index.parse().ok()?, path: path.into() }))
            .ok_or_else(|| DevnetArgsError::NotAPair { expected: "INDEX=PATH", got: text.into() })
    }
}

impl DevnetArgs {
    /// Returns the bonds in whole tokens, one per node.
    ///
    /// # Errors
    /// [`DevnetArgsError`]: none, too many, without stake, another number than `--nodes`, or too few for `--absent`.
    pub fn stakes(&self) -> Result<Vec<u64>, DevnetArgsError> {
        let stakes = match (self.nodes, self.stakes.as_slice()) {
            (None, []) => STAKES_DEFAULT.to_vec(),
            (Some(nodes), []) if nodes == STAKES_DEFAULT.len() => STAKES_DEFAULT.to_vec(),
            (Some(nodes), []) if nodes > COMMITTEE_MEMBERS_MAX => return Err(DevnetArgsError::NodeCount(nodes)),
            (Some(nodes), []) => vec![STAKE_EQUAL; nodes],
            (Some(nodes), stakes) if nodes != stakes.len() => {
                return Err(DevnetArgsError::StakeCount { nodes, stakes: stakes.len() });
            }
            (_, stakes) => stakes.to_vec(),
        };
        if stakes.is_empty() || stakes.len() > COMMITTEE_MEMBERS_MAX {
            return Err(DevnetArgsError::NodeCount(stakes.len()));
        }
        if stakes.contains(&0) {
            return Err(DevnetArgsError::ZeroStake);
        }
        if let Some(got) = self.absent.iter().find(|index| **index >= stakes.len()) {
            return Err(DevnetArgsError::NoSuchNode { got: *got, nodes: stakes.len() });
        }
        Ok(stakes)
    }

    /// Returns `spec` with the overrides of `--spec`.
    ///
    /// # Errors
    /// [`DevnetArgsError`] for a parameter that does not exist, or a value that does not fit it.
    pub fn apply_to(&self, spec: ChainSpec) -> Result<ChainSpec, DevnetArgsError> {
        let mut spec = spec;
        for SpecOverride { key, value } in &self.spec {
            let refused = |why: String| DevnetArgsError::Value { key: key.clone(), value: value.clone(), why };
            let mut fields = match serde_json::to_value(&spec) {
                Ok(Value::Object(fields)) => fields,
                Ok(_) => return Err(refused("the chain spec is not a struct".into())),
                Err(error) => return Err(refused(error.to_string())),
            };
            let Some(field) = fields.get_mut(key) else {
                let known = fields.keys().cloned().collect::<Vec<_>>().join(", ");
                return Err(DevnetArgsError::UnknownKey { got: key.clone(), known });
            };
            *field = match field {
                Value::String(_) => Value::String(value.clone()),
                _ => serde_json::from_str(value).map_err(|error| refused(error.to_string()))?,
            };
            spec = serde_json::from_value(Value::Object(fields)).map_err(|error| refused(error.to_string()))?;
        }
        Ok(spec)
    }

    /// Returns the program to run as node `index` in place of `baton`, if another one is asked for.
    #[must_use]
    pub fn node_binary(&self, index: usize) -> Option<PathBuf> {
        self.node_binaries.iter().find(|binary| binary.index == index).map(|binary| binary.path.clone())
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, U256};
    use baton_proto::{ExecutorKind, L2ChainId, OrderingRule};
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        devnet: DevnetArgs,
    }

    fn args(arguments: &[&str]) -> DevnetArgs {
        Line::try_parse_from([&["devnet"], arguments].concat()).unwrap().devnet
    }

    #[test]
    fn stakes_follow_from_what_is_given() {
        assert_eq!(args(&[]).stakes(), Ok(vec![32, 28, 22, 18]));
        assert_eq!(args(&["--nodes", "4"]).stakes(), Ok(vec![32, 28, 22, 18]));
        assert_eq!(args(&["--nodes", "2"]).stakes(), Ok(vec![25, 25]));
        assert_eq!(args(&["--stakes", "3,2,1"]).stakes(), Ok(vec![3, 2, 1]));
        assert_eq!(
            args(&["--nodes", "2", "--stakes", "3,2,1"]).stakes(),
            Err(DevnetArgsError::StakeCount { nodes: 2, stakes: 3 })
        );
        for nodes in ["0", "129", "18446744073709551615"] {
            assert!(matches!(args(&["--nodes", nodes]).stakes(), Err(DevnetArgsError::NodeCount(_))), "{nodes}");
        }
        assert_eq!(args(&["--stakes", "3,0"]).stakes(), Err(DevnetArgsError::ZeroStake));
        assert_eq!(args(&["--absent", "0", "--absent", "3"]).stakes(), Ok(vec![32, 28, 22, 18]));
        let nobody = args(&["--absent", "4"]).stakes();
        assert_eq!(nobody, Err(DevnetArgsError::NoSuchNode { got: 4, nodes: 4 }));
    }

    #[test]
    fn any_default_node_may_die_and_the_chain_goes_on() {
        let total: u64 = STAKES_DEFAULT.iter().sum();
        assert!(STAKES_DEFAULT.iter().all(|stake| 3 * (total - stake) > 2 * total));
    }

    fn spec() -> ChainSpec {
        ChainSpec {
            l2_chain_id: L2ChainId::new(1),
            epoch_blocks: 512,
            origin_settle_blocks: 1,
            min_block_ms: 100,
            idle_block_ms: 1_000,
            delta_ms: 100,
            inactive_views: 20,
            clock_drift_ms: 500,
            block_bytes_max: 1 << 21,
            block_gas_limit: 120_000_000,
            exec_lag_max: 32,
            forced_lag_blocks: 8,
            abandon_blocks: 2_048,
            max_origin_age_blocks: 16_384,
            live_epochs: 1 << 32,
            batch_bytes_max: 100_000,
            batch_blobs_max: 6,
            batch_age_blocks: 5,
            post_backoff_blocks: 2,
            correlation_epochs: 8,
            evidence_blocks: 512,
            jail_epochs: 2,
            jail_min_views: 2,
            base_slash_bps: 500,
            reporter_bps: 1_000,
            jail_miss_bps: 5_000,
            min_committee: 4,
            allow_small: true,
            ordering_rule: OrderingRule::PriorityFee,
            executor: ExecutorKind::None,
            weight_unit: 1_000_000_000_000,
            weight_cap: 1 << 40,
            min_bond: U256::from(1),
            bond_token: Address::ZERO,
        }
    }

    #[test]
    fn overrides_change_what_they_name_and_nothing_else() {
        let changed =
            args(&["--spec", "deltaMs=250", "--spec", "allowSmall=false", "--spec", "orderingRule=first_seen"])
                .apply_to(spec())
                .unwrap();
        let expected =
            ChainSpec { delta_ms: 250, allow_small: false, ordering_rule: OrderingRule::FirstSeen, ..spec() };
        assert_eq!(changed, expected);
        assert_eq!(args(&[]).apply_to(spec()).unwrap(), spec());

        let error = args(&["--spec", "deltaMS=250"]).apply_to(spec()).unwrap_err();
        assert!(
            matches!(&error, DevnetArgsError::UnknownKey { got, known } if got == "deltaMS" && known.contains("deltaMs"))
        );
        for wrong in ["deltaMs=soon", "deltaMs=-1", "allowSmall=2", "orderingRule=random", "baseSlashBps=70000"] {
            assert!(matches!(args(&["--spec", wrong]).apply_to(spec()), Err(DevnetArgsError::Value { .. })), "{wrong}");
        }
        assert!(Line::try_parse_from(["devnet", "--spec", "deltaMs"]).is_err());
    }

    #[test]
    fn another_program_takes_one_nodes_place() {
        let args = args(&["--node-binary", "1=/bin/liar"]);
        assert_eq!(args.node_binary(1), Some("/bin/liar".into()));
        assert_eq!(args.node_binary(0), None);
        assert!(Line::try_parse_from(["devnet", "--node-binary", "/bin/liar"]).is_err());
    }
}
