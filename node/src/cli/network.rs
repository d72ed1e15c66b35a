//! What the verbs that make a whole network agree on: how many nodes, their bonds, and the chain's parameters.

use std::{path::PathBuf, str::FromStr};

use alloy_primitives::U256;
use baton_proto::{ChainSpec, limits::COMMITTEE_MEMBERS_MAX};
use clap::Args;
use serde_json::Value;

/// Stakes of the default network, in whole tokens: unequal, and any one of the four may die.
const STAKES_DEFAULT: [u64; 4] = [32, 28, 22, 18];

/// Stake of each node when only their number is given, in whole tokens.
const STAKE_EQUAL: u64 = 25;

/// Base units of a whole token, of 18 decimals.
const TOKEN_UNIT: u64 = 1_000_000_000_000_000_000;

/// The network to make.
#[derive(Clone, Debug, Args)]
pub struct NetworkArgs {
    /// Number of nodes. Default: as many as there are stakes, else 4.
    #[arg(long)]
    pub nodes: Option<usize>,
    /// Bonds in whole tokens, one per node. Default: 32,28,22,18 for four nodes, so that any one may die; equal for
    /// another number.
    #[arg(long, value_delimiter = ',')]
    pub stakes: Vec<u64>,
    /// Override a parameter of the chain spec, by its name in the contract's struct as `baton` prints it, such as
    /// `epochBlocks=64`. Repeatable.
    #[arg(long = "spec", value_name = "KEY=VALUE")]
    pub spec: Vec<SpecOverride>,
}

/// Why arguments do not make a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum NetworkArgsError {
    #[error("--nodes {nodes} and {stakes} --stakes do not fit together")]
    StakeCount { nodes: usize, stakes: usize },
    #[error("a network has 1 to {COMMITTEE_MEMBERS_MAX} nodes, not {0}")]
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
    #[error("{} holds a network with {what} {made}, not {asked}: remove it or name another folder", folder.display())]
    OtherNetwork { folder: PathBuf, what: &'static str, made: String, asked: String },
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
    type Err = NetworkArgsError;

    fn from_str(text: &str) -> Result<Self, NetworkArgsError> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Self { key: key.into(), value: value.into() }),
            _ => Err(NetworkArgsError::NotAPair { expected: "KEY=VALUE", got: text.into() }),
        }
    }
}

impl NetworkArgs {
    /// Returns the bonds in whole tokens, one per node.
    ///
    /// # Errors
    /// [`NetworkArgsError`]: none, too many, without stake, or another number than `--nodes`.
    pub fn stakes(&self) -> Result<Vec<u64>, NetworkArgsError> {
        let stakes = match (self.nodes, self.stakes.as_slice()) {
            (None, []) => STAKES_DEFAULT.to_vec(),
            (Some(nodes), []) if nodes == STAKES_DEFAULT.len() => STAKES_DEFAULT.to_vec(),
            (Some(nodes), []) if nodes > COMMITTEE_MEMBERS_MAX => return Err(NetworkArgsError::NodeCount(nodes)),
            (Some(nodes), []) => vec![STAKE_EQUAL; nodes],
            (Some(nodes), stakes) if nodes != stakes.len() => {
                return Err(NetworkArgsError::StakeCount { nodes, stakes: stakes.len() });
            }
            (_, stakes) => stakes.to_vec(),
        };
        if stakes.is_empty() || stakes.len() > COMMITTEE_MEMBERS_MAX {
            return Err(NetworkArgsError::NodeCount(stakes.len()));
        }
        if stakes.contains(&0) {
            return Err(NetworkArgsError::ZeroStake);
        }
        Ok(stakes)
    }

    /// Returns the bonds in base units of the token, one per node.
    ///
    /// # Errors
    /// As for [`Self::stakes`].
    pub fn bonds(&self) -> Result<Vec<U256>, NetworkArgsError> {
        Ok(self.stakes()?.into_iter().map(|stake| U256::from(stake) * U256::from(TOKEN_UNIT)).collect())
    }

    /// Returns `spec` with the overrides of `--spec`.
    ///
    /// # Errors
    /// [`NetworkArgsError`] for a parameter that does not exist, or a value that does not fit it.
    pub fn apply_to(&self, spec: ChainSpec) -> Result<ChainSpec, NetworkArgsError> {
        let mut spec = spec;
        for SpecOverride { key, value } in &self.spec {
            let refused = |why: String| NetworkArgsError::Value { key: key.clone(), value: value.clone(), why };
            let mut fields = match serde_json::to_value(&spec) {
                Ok(Value::Object(fields)) => fields,
                Ok(_) => return Err(refused("the chain spec is not a struct".into())),
                Err(error) => return Err(refused(error.to_string())),
            };
            let Some(field) = fields.get_mut(key) else {
                let known = fields.keys().cloned().collect::<Vec<_>>().join(", ");
                return Err(NetworkArgsError::UnknownKey { got: key.clone(), known });
            };
            *field = match field {
                Value::String(_) => Value::String(value.clone()),
                _ => serde_json::from_str(value).map_err(|error| refused(error.to_string()))?,
            };
            spec = serde_json::from_value(Value::Object(fields)).map_err(|error| refused(error.to_string()))?;
        }
        Ok(spec)
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;
    use baton_proto::{L2ChainId, OrderingRule};
    use clap::Parser;

    use super::*;
    use crate::l1::deploy::devnet_spec;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        network: NetworkArgs,
    }

    fn args(arguments: &[&str]) -> NetworkArgs {
        Line::try_parse_from([&["network"], arguments].concat()).unwrap().network
    }

    #[test]
    fn stakes_follow_from_what_is_given() {
        assert_eq!(args(&[]).stakes(), Ok(vec![32, 28, 22, 18]));
        assert_eq!(args(&["--nodes", "4"]).stakes(), Ok(vec![32, 28, 22, 18]));
        assert_eq!(args(&["--nodes", "2"]).stakes(), Ok(vec![25, 25]));
        assert_eq!(args(&["--stakes", "3,2,1"]).stakes(), Ok(vec![3, 2, 1]));
        assert_eq!(
            args(&["--nodes", "2", "--stakes", "3,2,1"]).stakes(),
            Err(NetworkArgsError::StakeCount { nodes: 2, stakes: 3 })
        );
        for nodes in ["0", "129", "18446744073709551615"] {
            assert!(matches!(args(&["--nodes", nodes]).stakes(), Err(NetworkArgsError::NodeCount(_))), "{nodes}");
        }
        assert_eq!(args(&["--stakes", "3,0"]).stakes(), Err(NetworkArgsError::ZeroStake));
    }

    #[test]
    fn any_default_node_may_die_and_the_chain_goes_on() {
        let total: u64 = STAKES_DEFAULT.iter().sum();
        assert!(STAKES_DEFAULT.iter().all(|stake| 3 * (total - stake) > 2 * total));
    }

    fn spec() -> ChainSpec {
        devnet_spec(L2ChainId::new(1), 512, Address::ZERO)
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
            matches!(&error, NetworkArgsError::UnknownKey { got, known } if got == "deltaMS" && known.contains("deltaMs"))
        );
        for wrong in ["deltaMs=soon", "deltaMs=-1", "allowSmall=2", "orderingRule=random", "baseSlashBps=70000"] {
            assert!(
                matches!(args(&["--spec", wrong]).apply_to(spec()), Err(NetworkArgsError::Value { .. })),
                "{wrong}"
            );
        }
        assert!(Line::try_parse_from(["network", "--spec", "deltaMs"]).is_err());
    }
}
