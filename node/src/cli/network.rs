//! What the verbs that make a whole network agree on: how many nodes, their bonds, and the chain's parameters.

use std::{path::PathBuf, str::FromStr};

use alloy_primitives::{Address, B256, U256};
use baton_proto::{ChainSpec, ExecutorKind, limits::COMMITTEE_MEMBERS_MAX};
use clap::Args;

use crate::{
    devnet::genesis,
    l1::{Description, DescriptionError},
};

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
    /// Deploy the chain that this file describes, as the forge script does. Default: `contracts/deployments/devnet.json`,
    /// which the binary carries. Its `bondToken` must be zero: bonds are minted.
    #[arg(long, value_name = "FILE")]
    pub deployment: Option<PathBuf>,
    /// Override a parameter of the chain spec, by its name in the contract's struct and in the description, such as
    /// `epochBlocks=64`. Repeatable.
    #[arg(long = "spec", value_name = "KEY=VALUE")]
    pub spec: Vec<SpecOverride>,
    /// Start the chain's state from this genesis file. Default: ten accounts of public knowledge with 10,000 tokens each. With
    /// `--spec executor=0` there is no state, and the chain only orders.
    #[arg(long, value_name = "FILE")]
    pub genesis: Option<PathBuf>,
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
    #[error(transparent)]
    Spec(#[from] DescriptionError),
    #[error("{} describes no chain: {why}", file.display())]
    Description { file: PathBuf, why: String },
    #[error("the genesis file {}: {why}", file.display())]
    Genesis { file: PathBuf, why: String },
    #[error("a chain without an executor has no genesis: take --genesis out, or --spec executor=0")]
    GenesisUnused,
    #[error("genesisHash is {named}, but {what} has hash {got}: name the file with that hash by --genesis")]
    OtherGenesis { named: B256, what: &'static str, got: B256 },
    #[error("a network for development mints its bonds, so bondToken must be zero, not {0}")]
    ForeignToken(Address),
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

    /// Returns the description of the chain, with the overrides of `--spec` and the hash of its genesis.
    ///
    /// # Errors
    /// [`NetworkArgsError`] for a file that describes no chain, a parameter that does not exist, a value that does not fit
    /// it, a bond token that cannot be minted, or a genesis that is not the chain's.
    pub fn description(&self) -> Result<Description, NetworkArgsError> {
        let text = self.deployment.as_ref().map(|file| {
            let refused = |why: String| NetworkArgsError::Description { file: file.clone(), why };
            let text = std::fs::read_to_string(file).map_err(|error| refused(error.to_string()))?;
            Description::parse(&text).map_err(|error| refused(error.to_string()))?;
            Ok::<_, NetworkArgsError>(text)
        });
        let text = text.transpose()?;
        let mut changes: Vec<_> = self.spec.iter().map(|change| (change.key.as_str(), change.value.as_str())).collect();
        // With the executor goes whether there is a genesis; which one is found out below.
        let (none, some) = (B256::ZERO.to_string(), B256::with_last_byte(1).to_string());
        if !self.overrides("genesisHash") && self.overrides("executor") {
            let is_none = changes.contains(&("executor", "0"));
            changes.push(("genesisHash", if is_none { &none } else { &some }));
        }
        let mut description = Description::changed(text.as_deref(), changes)?;
        let token = description.spec.bond_token;
        if !token.is_zero() {
            return Err(NetworkArgsError::ForeignToken(token));
        }
        description.spec.genesis_hash = self.genesis_hash(&description.spec)?;
        Ok(description)
    }

    /// Returns the genesis file of a chain with these parameters; none if it only orders.
    ///
    /// # Errors
    /// [`NetworkArgsError::Genesis`] for a file that cannot be read, [`NetworkArgsError::GenesisUnused`] for one too many.
    pub fn genesis(&self, spec: &ChainSpec) -> Result<Option<String>, NetworkArgsError> {
        match (spec.executor, &self.genesis) {
            (ExecutorKind::None, None) => Ok(None),
            (ExecutorKind::None, Some(_)) => Err(NetworkArgsError::GenesisUnused),
            (ExecutorKind::Embedded, None) => Ok(Some(genesis::text(spec))),
            (ExecutorKind::Embedded, Some(file)) => match std::fs::read_to_string(file) {
                Ok(text) => Ok(Some(text)),
                Err(error) => Err(NetworkArgsError::Genesis { file: file.clone(), why: error.to_string() }),
            },
        }
    }

    fn overrides(&self, name: &str) -> bool {
        self.spec.iter().any(|change| change.key == name)
    }

    /// Returns what the chain's spec names as the hash of its genesis. A spec that names another one than the file has is a
    /// mistake, unless what the default genesis depends on was overridden.
    fn genesis_hash(&self, spec: &ChainSpec) -> Result<B256, NetworkArgsError> {
        let named = spec.genesis_hash;
        let Some(text) = self.genesis(spec)? else { return Ok(named) };
        let file = self.genesis.clone().unwrap_or_else(|| "of a devnet".into());
        let hash = genesis::hash(&text, spec).map_err(|why| NetworkArgsError::Genesis { file, why })?;
        let follows = ["executor", "l2ChainId", "blockGasLimit"].into_iter().any(|name| self.overrides(name));
        let is_named = self.overrides("genesisHash") || self.deployment.is_some() && !follows;
        if is_named && named != hash {
            let what = if self.genesis.is_some() { "the given file" } else { "that of a devnet" };
            return Err(NetworkArgsError::OtherGenesis { named, what, got: hash });
        }
        Ok(hash)
    }
}

#[cfg(test)]
mod tests {
    use baton_proto::OrderingRule;
    use clap::Parser;

    use super::*;

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

    #[test]
    fn overrides_change_what_they_name_and_nothing_else() {
        let changed = args(&["--spec", "deltaMs=250", "--spec", "allowSmall=false", "--spec", "orderingRule=0"]);
        let devnet = Description::devnet();
        let spec = ChainSpec {
            delta_ms: 250,
            allow_small: false,
            ordering_rule: OrderingRule::FirstSeen,
            ..devnet.spec.clone()
        };
        assert_eq!(changed.description(), Ok(Description { spec, ..devnet.clone() }));
        assert_eq!(args(&[]).description(), Ok(devnet));

        for (wrong, named) in [
            ("deltaMS=250", "there is no spec.deltaMS; there are l2ChainId, "),
            ("deltaMs=soon", "spec.deltaMs is \"soon\", but it must be a whole number from 0 to "),
            ("deltaMs=-1", "spec.deltaMs is \"-1\", "),
            ("allowSmall=2", "spec.allowSmall is \"2\", but it must be true or false"),
            ("orderingRule=2", "orderingRule is 2, "),
            ("baseSlashBps=70000", "spec.baseSlashBps is \"70000\", but it must be a whole number from 0 to 65535"),
            ("bondToken=0x0000000000000000000000000000000000000001", "a network for development mints its bonds"),
        ] {
            let error = args(&["--spec", wrong]).description().unwrap_err().to_string();
            assert!(error.starts_with(named), "{wrong}: {error}");
        }
        assert!(Line::try_parse_from(["network", "--spec", "deltaMs"]).is_err());
    }

    #[test]
    fn a_chain_names_the_genesis_that_it_starts_from() {
        let ordering = args(&["--spec", "executor=0"]);
        let spec = ordering.description().unwrap().spec;
        assert_eq!((spec.genesis_hash, ordering.genesis(&spec).unwrap()), (B256::ZERO, None));
        // What the default genesis depends on changes it.
        let other = args(&["--spec", "l2ChainId=9"]);
        let spec = other.description().unwrap().spec;
        assert_eq!(genesis::hash(&other.genesis(&spec).unwrap().unwrap(), &spec).unwrap(), spec.genesis_hash);
        assert_ne!(spec.genesis_hash, Description::devnet().spec.genesis_hash);

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("genesis.json");
        let text = genesis::text(&Description::devnet().spec).replace("Ether", "Gold");
        std::fs::write(&file, text).unwrap();
        let path = file.to_str().unwrap();
        let spec = args(&["--genesis", path]).description().unwrap().spec;
        assert_ne!(spec.genesis_hash, Description::devnet().spec.genesis_hash);
        let hash = format!("genesisHash={}", spec.genesis_hash);
        let error = args(&["--spec", &hash]).description().unwrap_err().to_string();
        assert!(error.contains("that of a devnet has hash 0x") && error.contains("--genesis"), "{error}");
        args(&["--spec", &hash, "--genesis", path]).description().unwrap();
        let error = args(&["--spec", "executor=0", "--genesis", path]).description().unwrap_err();
        assert_eq!(error, NetworkArgsError::GenesisUnused);
        let error = args(&["--spec", "l2ChainId=9", "--genesis", path]).description().unwrap_err().to_string();
        assert!(error.contains("chainId is 2028"), "{error}");
        let error = args(&["--genesis", "/no/such/file"]).description().unwrap_err().to_string();
        assert!(error.contains("/no/such/file"), "{error}");
    }

    #[test]
    fn a_file_takes_the_place_of_the_description_that_the_binary_carries() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("chain.json");
        let devnet = include_str!("../../../contracts/deployments/devnet.json");
        std::fs::write(&file, devnet.replace("\"deltaMs\": 100", "\"deltaMs\": 70")).unwrap();
        let path = file.to_str().unwrap();
        let described = args(&["--deployment", path, "--spec", "l2ChainId=9"]).description().unwrap();
        assert_eq!((described.spec.delta_ms, described.spec.l2_chain_id.get()), (70, 9));

        std::fs::write(&file, devnet.replace("deltaMs", "deltaMS")).unwrap();
        let error = args(&["--deployment", path]).description().unwrap_err().to_string();
        assert_eq!(error, format!("{path} describes no chain: spec.deltaMs is missing"));
        assert!(matches!(
            args(&["--deployment", "/no/such/file"]).description(),
            Err(NetworkArgsError::Description { .. })
        ));
    }
}
