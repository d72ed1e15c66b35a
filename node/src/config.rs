//! What an operator decides: one TOML file, the environment, and flags.
//!
//! A flag outranks an environment variable, which outranks the file, which outranks the default. Every key exists in all
//! three places and is declared once, in [`keys`]. A key that nobody knows refuses to start, so a misspelt limit never
//! silently keeps its default. Nothing that nodes must agree on stands here: that comes from L1 (protocol section 13).
//!
//! `docker/node.toml` is the commented example.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use alloy_primitives::Address;
use baton_mempool::PoolConfig;
use baton_proto::{ChainSpec, L1ChainId, L2ChainId, limits::TRANSACTION_BYTES_MAX};
use libp2p::{Multiaddr, multiaddr::Protocol};
use serde::Serialize;

pub mod account_key;
pub mod keys;
mod values;

use crate::l1::DataChoice;

pub use keys::NodeKeys;
pub use values::{L1Url, LogFormat, PeerAddress, ValueError};

/// Where the JSON-RPC server listens unless told otherwise: the port every Ethereum client tries first, on this host only.
pub const RPC_LISTEN_DEFAULT: &str = "127.0.0.1:8545";

/// Where `/livez`, `/readyz` and `/metrics` listen unless told otherwise.
pub const HEALTH_LISTEN_DEFAULT: &str = "127.0.0.1:9001";

/// Where peers are accepted unless told otherwise: every interface, because a sequencer must be reachable.
pub const P2P_LISTEN_DEFAULT: [&str; 2] = ["/ip4/0.0.0.0/tcp/30303", "/ip4/0.0.0.0/udp/30303/quic-v1"];

/// Name of the sign record's folder beside the consensus key.
pub const SIGN_RECORD_DIR_NAME: &str = "sign-record";

/// Most bytes of a configuration file: 128 peers with some addresses each need about 60 KiB.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Why a configuration cannot be used. All of these are usage errors: exit code 2.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum ConfigError {
    #[error("configuration file {path} cannot be read: {error}")]
    Unreadable { path: PathBuf, error: std::io::Error },
    #[error("configuration file {path} has {got} bytes, more than {FILE_BYTES_MAX}")]
    Oversized { path: PathBuf, got: u64 },
    #[error("configuration file {path}, line {line}: {message}")]
    File { path: PathBuf, line: usize, message: String },
    #[error("`{key}` is not set: put it into the configuration file, into {env}, or pass --{flag}")]
    Missing { key: &'static str, flag: &'static str, env: &'static str },
    #[error("`{key}`: {why}")]
    Invalid { key: &'static str, why: String },
}

/// Everything that `baton node` runs with. Built by [`Config::load`] alone, so every rule here has been checked.
#[derive(Clone, Debug, Serialize)]
pub struct Config {
    /// Folder of the chain data; made if missing.
    pub data_dir: PathBuf,
    /// Folder of the sign record, never inside [`Self::data_dir`]: restoring chain data must not rewind it. A node with a
    /// consensus key has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign_record_dir: Option<PathBuf>,
    /// File of the BLS key; without it this node is a follower: it signs nothing, and follows the committee.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consensus_key: Option<PathBuf>,
    /// File of the BLS key that the sequencer changes to: it signs in the epochs in which L1 has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_consensus_key: Option<PathBuf>,
    /// Folder of that key's sign record, for which the same holds as for [`Self::sign_record_dir`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_sign_record_dir: Option<PathBuf>,
    /// File of the secp256k1 key that pays for batches; without it this node never posts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poster_key: Option<PathBuf>,
    /// File of the secp256k1 key that pays for evidence and for settling epochs; without it this node does neither.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence_key: Option<PathBuf>,
    /// Genesis file of a chain with an executor, whose hash the chain spec on L1 names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub genesis: Option<PathBuf>,
    /// The rollup's chain id that the operator expects; the chain spec on L1 decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l2_chain_id: Option<L2ChainId>,
    /// The L1.
    pub l1: L1Config,
    /// Peers.
    pub p2p: P2pConfig,
    /// Transactions that wait.
    pub pool: PoolBounds,
    /// JSON-RPC.
    pub rpc: RpcConfig,
    /// Health endpoints.
    pub health: HealthConfig,
    /// Log.
    pub log: LogConfig,
}

/// How to reach L1 and which contracts to trust there.
#[derive(Clone, Debug, Serialize)]
pub struct L1Config {
    /// JSON-RPC endpoints, tried in this order; never empty.
    pub rpc: Vec<L1Url>,
    /// The chain id that every endpoint must report.
    pub chain_id: L1ChainId,
    /// `SequencerRegistry`.
    pub registry: Address,
    /// `BatchInbox`.
    pub inbox: Address,
    /// `Slasher`.
    pub slasher: Address,
    /// Pause between two looks at L1, in milliseconds.
    pub poll_interval_ms: u64,
    /// Age of the newest L1 head, in milliseconds, from which the view of L1 counts as stale.
    pub stale_after_ms: u64,
    /// Beacon API endpoints, tried in this order; may be empty.
    pub beacon: Vec<L1Url>,
    /// How the data of this node's batches gets to L1.
    pub batch_data: DataChoice,
}

/// Who we are to peers, where we listen and whom we dial.
#[derive(Clone, Debug, Serialize)]
pub struct P2pConfig {
    /// File of the ed25519 identity.
    pub identity: PathBuf,
    /// Addresses to listen on; never empty.
    pub listen: Vec<Multiaddr>,
    /// Where others reach us, besides the addresses that we listen on; no names.
    pub announce: Vec<Multiaddr>,
    /// Nodes to keep connected; a peer may have several addresses.
    pub peers: Vec<PeerAddress>,
    /// Who gets a copy of every consensus message and is never listened to.
    pub observers: Vec<PeerAddress>,
}

/// What the pool of this node holds; nodes need not agree on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PoolBounds {
    /// Most transactions.
    pub transactions_max: u32,
    /// Most bytes of transactions, as encoded.
    pub bytes_max: u32,
    /// How long a transaction may wait, in milliseconds; restarts do not renew it.
    pub lifetime_ms: u64,
    /// Least `maxPriorityFeePerGas` (or gas price), in wei.
    pub priority_fee_min_wei: u64,
}

/// The JSON-RPC server and its bounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RpcConfig {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Host names that requests may be addressed to besides IP addresses; `*` allows all.
    pub allowed_hosts: Vec<String>,
    /// Web pages, by origin, that may open a WebSocket; `*` allows all.
    pub allowed_origins: Vec<String>,
    /// Most calls in one batch.
    pub batch_items_max: u32,
    /// Most bytes of a request's body.
    pub body_bytes_max: u32,
    /// Most bytes of an answer.
    pub answer_bytes_max: u32,
    /// Most open connections.
    pub connections_max: u32,
    /// Most subscriptions of one connection.
    pub subscriptions_max: u32,
}

/// The health endpoints.
#[derive(Clone, Debug, Serialize)]
pub struct HealthConfig {
    /// Address to listen on.
    pub listen: SocketAddr,
}

/// What the log says and how.
#[derive(Clone, Debug, Serialize)]
pub struct LogConfig {
    /// A level, or directives such as `info,baton_node::l1=debug`.
    pub level: String,
    /// Shape of a line.
    pub format: LogFormat,
}

impl Config {
    /// Reads `file`, lays `flags` (which hold the environment too) over it, fills in defaults and checks every rule.
    ///
    /// Relative paths are taken from the working directory, wherever the file is.
    ///
    /// # Errors
    /// [`ConfigError`], naming the key.
    pub fn load(file: Option<&Path>, flags: NodeKeys) -> Result<Self, ConfigError> {
        let keys = match file {
            Some(path) => flags.or(read_file(path)?),
            None => flags,
        };
        Self::resolve(keys)
    }

    fn resolve(keys: NodeKeys) -> Result<Self, ConfigError> {
        let NodeKeys { data_dir, sign_record_dir, consensus_key, poster_key, evidence_key, l2_chain_id, .. } = keys;
        let NodeKeys { next_sign_record_dir, next_consensus_key, genesis, .. } = keys;
        let data_dir = required(data_dir, "data_dir", "data-dir", "BATON_DATA_DIR")?;
        if consensus_key.is_none() && sign_record_dir.is_some() {
            let why = "is set, but `consensus_key` is not: a node that signs nothing has nothing to record".into();
            return Err(ConfigError::Invalid { key: "sign_record_dir", why });
        }
        if consensus_key.is_none() && next_consensus_key.is_some() {
            let why = "is set, but `consensus_key` is not: without a key in use there is none to change".into();
            return Err(ConfigError::Invalid { key: "next_consensus_key", why });
        }
        if next_consensus_key.is_none() && next_sign_record_dir.is_some() {
            let why = "is set, but `next_consensus_key` is not".into();
            return Err(ConfigError::Invalid { key: "next_sign_record_dir", why });
        }
        let beside = |key: &Option<PathBuf>| key.as_ref().map(|key| key.with_file_name(SIGN_RECORD_DIR_NAME));
        let config = Self {
            sign_record_dir: sign_record_dir.or_else(|| beside(&consensus_key)),
            next_sign_record_dir: next_sign_record_dir.or_else(|| beside(&next_consensus_key)),
            data_dir,
            consensus_key,
            next_consensus_key,
            poster_key,
            evidence_key,
            genesis,
            l2_chain_id: l2_chain_id.map(L2ChainId::new),
            l1: L1Config::resolve(keys.l1)?,
            p2p: P2pConfig::resolve(keys.p2p)?,
            pool: PoolBounds::resolve(keys.pool)?,
            rpc: RpcConfig::resolve(keys.rpc)?,
            health: HealthConfig {
                listen: keys.health.listen.unwrap_or_else(|| default_address(HEALTH_LISTEN_DEFAULT)),
            },
            log: LogConfig {
                level: keys.log.level.unwrap_or_else(|| "info".into()),
                format: keys.log.format.unwrap_or_default(),
            },
        };
        config.check_paths()?;
        Ok(config)
    }

    /// Returns the files of the consensus keys with the folders of their sign records: the key in use first, then the one
    /// that it is changed to.
    #[must_use]
    pub fn consensus_keys(&self) -> Vec<(&Path, &Path)> {
        let in_use = self.consensus_key.as_deref().zip(self.sign_record_dir.as_deref());
        let next = self.next_consensus_key.as_deref().zip(self.next_sign_record_dir.as_deref());
        in_use.into_iter().chain(next).collect()
    }

    fn check_paths(&self) -> Result<(), ConfigError> {
        let data = absolute("data_dir", &self.data_dir)?;
        if self.next_sign_record_dir.is_some() && self.next_sign_record_dir == self.sign_record_dir {
            return Err(ConfigError::Invalid {
                key: "next_sign_record_dir",
                why: "is the same folder as `sign_record_dir`; every key has a record of its own, so make the key to \
                      change to in another folder (baton keys next)"
                    .into(),
            });
        }
        let records =
            [("sign_record_dir", &self.sign_record_dir), ("next_sign_record_dir", &self.next_sign_record_dir)];
        for (key, record) in records.into_iter().filter_map(|(key, record)| Some((key, record.as_ref()?))) {
            let record = absolute(key, record)?;
            if record.starts_with(&data) || data.starts_with(&record) {
                return Err(ConfigError::Invalid {
                    key,
                    why: format!(
                        "{} and the chain data in {} must not contain each other: restoring one would rewind the other",
                        record.display(),
                        data.display()
                    ),
                });
            }
        }
        if self.poster_key.is_some() && self.poster_key == self.evidence_key {
            return Err(ConfigError::Invalid {
                key: "evidence_key",
                why:
                    "is the same file as `poster_key`; evidence must not queue behind batches, so it needs an account \
                      of its own"
                        .into(),
            });
        }
        Ok(())
    }
}

impl L1Config {
    fn resolve(keys: keys::L1Keys) -> Result<Self, ConfigError> {
        let config = Self {
            rpc: required(keys.rpc, "l1.rpc", "l1-rpc", "BATON_L1_RPC")?
                .iter()
                .map(|url| url.parse())
                .collect::<Result<_, ValueError>>()
                .map_err(|error| ConfigError::Invalid { key: "l1.rpc", why: error.to_string() })?,
            chain_id: L1ChainId::new(required(keys.chain_id, "l1.chain_id", "l1-chain-id", "BATON_L1_CHAIN_ID")?),
            registry: required(keys.registry, "l1.registry", "l1-registry", "BATON_L1_REGISTRY")?,
            inbox: required(keys.inbox, "l1.inbox", "l1-inbox", "BATON_L1_INBOX")?,
            slasher: required(keys.slasher, "l1.slasher", "l1-slasher", "BATON_L1_SLASHER")?,
            poll_interval_ms: keys.poll_interval_ms.unwrap_or(1_000),
            stale_after_ms: keys.stale_after_ms.unwrap_or(60_000),
            beacon: keys
                .beacon
                .unwrap_or_default()
                .iter()
                .map(|url| url.parse())
                .collect::<Result<_, ValueError>>()
                .map_err(|error| ConfigError::Invalid { key: "l1.beacon", why: error.to_string() })?,
            batch_data: keys.batch_data.unwrap_or_default(),
        };
        if config.rpc.is_empty() {
            return Err(ConfigError::Invalid { key: "l1.rpc", why: "needs at least one endpoint".into() });
        }
        positive("l1.poll_interval_ms", config.poll_interval_ms)?;
        if config.stale_after_ms <= config.poll_interval_ms {
            return Err(ConfigError::Invalid {
                key: "l1.stale_after_ms",
                why: format!(
                    "{} is not above `l1.poll_interval_ms` {}",
                    config.stale_after_ms, config.poll_interval_ms
                ),
            });
        }
        Ok(config)
    }
}

impl P2pConfig {
    fn resolve(keys: keys::P2pKeys) -> Result<Self, ConfigError> {
        let listen = keys.listen.unwrap_or_else(|| {
            P2P_LISTEN_DEFAULT
                .map(|address| address.parse().expect("the constants are multiaddrs; a test parses them"))
                .into()
        });
        if listen.is_empty() {
            return Err(ConfigError::Invalid { key: "p2p.listen", why: "needs at least one address".into() });
        }
        let announce = keys.announce.unwrap_or_default();
        // Others would pass it over without a word.
        let is_ip = |address: &&Multiaddr| matches!(address.iter().next(), Some(Protocol::Ip4(_) | Protocol::Ip6(_)));
        if let Some(other) = announce.iter().find(|address| !is_ip(address)) {
            return Err(ConfigError::Invalid {
                key: "p2p.announce",
                why: format!("{other} is no IP address, and nobody dials a name that it was told of"),
            });
        }
        Ok(Self {
            identity: required(keys.identity, "p2p.identity", "p2p-identity", "BATON_P2P_IDENTITY")?,
            listen,
            announce,
            peers: keys.peers.unwrap_or_default(),
            observers: keys.observers.unwrap_or_default(),
        })
    }
}

impl Default for PoolBounds {
    fn default() -> Self {
        Self {
            transactions_max: 10_000,
            bytes_max: 20_000_000,
            lifetime_ms: PoolConfig::LIFETIME_MS,
            priority_fee_min_wei: 0,
        }
    }
}

impl PoolBounds {
    fn resolve(keys: keys::PoolKeys) -> Result<Self, ConfigError> {
        let default = Self::default();
        let bounds = Self {
            transactions_max: keys.transactions_max.unwrap_or(default.transactions_max),
            bytes_max: keys.bytes_max.unwrap_or(default.bytes_max),
            lifetime_ms: keys.lifetime_ms.unwrap_or(default.lifetime_ms),
            priority_fee_min_wei: keys.priority_fee_min_wei.unwrap_or(default.priority_fee_min_wei),
        };
        positive("pool.transactions_max", bounds.transactions_max.into())?;
        positive("pool.lifetime_ms", bounds.lifetime_ms)?;
        if (bounds.bytes_max as usize) < TRANSACTION_BYTES_MAX {
            return Err(ConfigError::Invalid {
                key: "pool.bytes_max",
                why: format!("{} is less than one transaction may have, {TRANSACTION_BYTES_MAX}", bounds.bytes_max),
            });
        }
        Ok(bounds)
    }

    /// Returns the pool's configuration: the chain's rules within these bounds.
    #[must_use]
    pub fn of(&self, spec: &ChainSpec) -> PoolConfig {
        PoolConfig {
            transactions_max: self.transactions_max as usize,
            bytes_max: self.bytes_max as usize,
            lifetime_ms: self.lifetime_ms,
            priority_fee_min: self.priority_fee_min_wei.into(),
            ..PoolConfig::of(spec)
        }
    }
}

impl Default for RpcConfig {
    fn default() -> Self {
        Self {
            listen: default_address(RPC_LISTEN_DEFAULT),
            allowed_hosts: vec!["localhost".into()],
            allowed_origins: Vec::new(),
            batch_items_max: 1_000,
            body_bytes_max: 5 * 1024 * 1024,
            answer_bytes_max: 25 * 1024 * 1024,
            connections_max: 500,
            subscriptions_max: 128,
        }
    }
}

impl RpcConfig {
    fn resolve(keys: keys::RpcKeys) -> Result<Self, ConfigError> {
        let default = Self::default();
        let config = Self {
            listen: keys.listen.unwrap_or(default.listen),
            allowed_hosts: keys.allowed_hosts.unwrap_or(default.allowed_hosts),
            allowed_origins: keys.allowed_origins.unwrap_or(default.allowed_origins),
            batch_items_max: keys.batch_items_max.unwrap_or(default.batch_items_max),
            body_bytes_max: keys.body_bytes_max.unwrap_or(default.body_bytes_max),
            answer_bytes_max: keys.answer_bytes_max.unwrap_or(default.answer_bytes_max),
            connections_max: keys.connections_max.unwrap_or(default.connections_max),
            subscriptions_max: keys.subscriptions_max.unwrap_or(default.subscriptions_max),
        };
        positive("rpc.batch_items_max", config.batch_items_max.into())?;
        positive("rpc.body_bytes_max", config.body_bytes_max.into())?;
        positive("rpc.answer_bytes_max", config.answer_bytes_max.into())?;
        positive("rpc.connections_max", config.connections_max.into())?;
        positive("rpc.subscriptions_max", config.subscriptions_max.into())?;
        Ok(config)
    }
}

/// Writes the effective configuration as TOML. Secrets are not in it: keys are named by their files, and of an L1
/// endpoint only scheme, host and port show, because providers put their access token into the path or the user part.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&toml::to_string(self).map_err(|_| fmt::Error)?)
    }
}

fn read_file(path: &Path) -> Result<NodeKeys, ConfigError> {
    let unreadable = |error| ConfigError::Unreadable { path: path.to_owned(), error };
    let got = std::fs::metadata(path).map_err(unreadable)?.len();
    if got > FILE_BYTES_MAX {
        return Err(ConfigError::Oversized { path: path.to_owned(), got });
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    parse(&text).map_err(|error| ConfigError::File {
        path: path.to_owned(),
        line: error.span().map_or(1, |span| line_of(&text, span.start)),
        // Not the whole error: it would repeat the line, which may hold an access token.
        message: error.message().to_owned(),
    })
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

fn parse(text: &str) -> Result<NodeKeys, toml::de::Error> {
    toml::from_str(text)
}

fn required<T>(value: Option<T>, key: &'static str, flag: &'static str, env: &'static str) -> Result<T, ConfigError> {
    value.ok_or(ConfigError::Missing { key, flag, env })
}

fn positive(key: &'static str, value: u64) -> Result<(), ConfigError> {
    if value == 0 {
        return Err(ConfigError::Invalid { key, why: "must be above 0".into() });
    }
    Ok(())
}

fn absolute(key: &'static str, path: &Path) -> Result<PathBuf, ConfigError> {
    std::path::absolute(path).map_err(|error| ConfigError::Invalid { key, why: format!("{}: {error}", path.display()) })
}

fn default_address(text: &'static str) -> SocketAddr {
    text.parse().expect("the constant is a socket address; a test parses it")
}

#[cfg(test)]
mod tests;
