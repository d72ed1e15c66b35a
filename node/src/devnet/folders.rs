//! What one node of a devnet has on disk: keys, data, configuration.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
};

use alloy::signers::local::PrivateKeySigner;
use alloy_primitives::Address;
use anyhow::Context as _;
use baton_consensus::SecretKey;
use baton_proto::L1ChainId;
use libp2p::PeerId;
use toml::{Table, Value};

use crate::{
    cli::{KeyFiles, KeysError, SequencerKeys, keys},
    config::{HEALTH_LISTEN_DEFAULT, P2P_LISTEN_DEFAULT, RPC_LISTEN_DEFAULT},
    l1::deploy::Deployment,
};

/// Name of the genesis file in a node's folder.
const GENESIS_FILE: &str = "genesis.json";

/// Name of the keys' folder in a node's folder.
pub(super) const KEYS_DIR: &str = "keys";

/// The port of [`P2P_LISTEN_DEFAULT`].
const P2P_PORT: u16 = 30_303;

/// How often a node of a devnet looks at L1: often, because blocks come every second.
const POLL_INTERVAL_MS: i64 = 250;

/// The chain that all nodes of a devnet share.
pub(super) struct ChainOfNodes<'a> {
    pub(super) l1_url: &'a str,
    pub(super) l1_chain_id: L1ChainId,
    pub(super) deployment: &'a Deployment,
    /// The genesis file; none of a chain that only orders.
    pub(super) genesis: Option<&'a str>,
}

/// Where a node runs: its folder as it sees it itself, what it listens on, and where its peers find it.
pub(super) struct Place {
    home: PathBuf,
    pub(super) rpc: SocketAddr,
    pub(super) health: SocketAddr,
    /// The name by which RPC requests may be addressed, besides `localhost`.
    hostname: Option<String>,
    p2p_listen: Vec<String>,
    p2p_address: String,
}

impl Place {
    /// Processes of this host with these folders, on ports that are free now, no two on the same.
    pub(super) fn on_this_host(folders: Vec<PathBuf>) -> anyhow::Result<Vec<Self>> {
        let addresses = free_addresses(folders.len()).context("no free ports on 127.0.0.1")?;
        let place = |(home, [rpc, health, p2p]): (PathBuf, [SocketAddr; 3])| {
            let p2p = format!("/ip4/{}/tcp/{}", p2p.ip(), p2p.port());
            Self { home, rpc, health, hostname: None, p2p_listen: vec![p2p.clone()], p2p_address: p2p }
        };
        Ok(folders.into_iter().zip(addresses).map(place).collect())
    }

    /// A container or machine with the name `hostname` and with all ports to itself, that has the node's folder at
    /// `home`.
    pub(super) fn behind_a_name(hostname: String, home: PathBuf) -> Self {
        let everywhere = |default: &str| {
            let default: SocketAddr = default.parse().expect("a test parses the defaults");
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, default.port()))
        };
        Self {
            home,
            rpc: everywhere(RPC_LISTEN_DEFAULT),
            health: everywhere(HEALTH_LISTEN_DEFAULT),
            p2p_listen: P2P_LISTEN_DEFAULT.map(str::to_owned).into(),
            p2p_address: format!("/dns4/{hostname}/tcp/{P2P_PORT}"),
            hostname: Some(hostname),
        }
    }

    /// Returns the node's folder as the node sees it.
    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    pub(super) fn data_dir(&self) -> PathBuf {
        self.home.join("data")
    }

    fn keys(&self) -> KeyFiles {
        KeyFiles::of(&self.home.join(KEYS_DIR))
    }
}

/// One node's folder, keys and addresses.
pub(super) struct NodeFolder {
    pub(super) folder: PathBuf,
    pub(super) config: PathBuf,
    pub(super) owner: PrivateKeySigner,
    pub(super) key: SecretKey,
    pub(super) evidence: PrivateKeySigner,
    pub(super) peer_id: PeerId,
    pub(super) place: Place,
    poster: PrivateKeySigner,
}

impl NodeFolder {
    /// Makes the folder and new keys in it, as `baton keys new` does.
    pub(super) fn create(folder: &Path, owner: PrivateKeySigner, place: Place) -> anyhow::Result<Self> {
        let dir = folder.join(KEYS_DIR);
        let keys = keys::create(&dir).with_context(|| format!("keys in {}", dir.display()))?;
        Ok(Self::of(folder, owner, place, keys))
    }

    /// Returns the folder as it is, or makes it if it has no keys.
    pub(super) fn open_or_create(folder: &Path, owner: PrivateKeySigner, place: Place) -> anyhow::Result<Self> {
        let dir = folder.join(KEYS_DIR);
        let keys = match keys::create(&dir) {
            Err(KeysError::Exists(_)) => keys::load(&dir),
            made => made,
        };
        let keys = keys.with_context(|| format!("keys in {}", dir.display()))?;
        Ok(Self::of(folder, owner, place, keys))
    }

    fn of(folder: &Path, owner: PrivateKeySigner, place: Place, keys: SequencerKeys) -> Self {
        let SequencerKeys { consensus, peer_id, poster, evidence, .. } = keys;
        Self {
            folder: folder.to_owned(),
            config: folder.join("node.toml"),
            owner,
            key: consensus,
            evidence,
            peer_id,
            place,
            poster,
        }
    }

    /// Returns the accounts that pay on L1.
    pub(super) fn l1_accounts(&self) -> [Address; 3] {
        [self.owner.address(), self.poster.address(), self.evidence.address()]
    }

    /// Returns where the node's output goes.
    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("node.log")
    }

    /// Writes the node's configuration and genesis file; `nodes` are all nodes, this one among them.
    pub(super) fn write_config(
        &self,
        chain: &ChainOfNodes<'_>,
        nodes: &[Self],
        observers: &[String],
    ) -> anyhow::Result<()> {
        let text = |value: &dyn ToString| Value::String(value.to_string());
        let path = |path: &Path| Value::String(path.display().to_string());
        let list = |items: Vec<Value>| Value::Array(items);
        let peers = nodes
            .iter()
            .filter(|node| node.peer_id != self.peer_id)
            .map(|node| Value::String(format!("{}/p2p/{}", node.place.p2p_address, node.peer_id)))
            .collect();
        let l1_chain_id = i64::try_from(chain.l1_chain_id.get()).context("the L1 chain id is out of range")?;
        let deployment = chain.deployment;
        let (place, keys) = (&self.place, self.place.keys());
        let hosts = std::iter::once("localhost").chain(place.hostname.as_deref());
        let hosts = hosts.map(|host| text(&host)).collect();
        let mut config = table([
            ("data_dir", path(&place.data_dir())),
            ("consensus_key", path(&keys.consensus)),
            ("sign_record_dir", path(&keys.sign_record)),
            ("poster_key", path(&keys.poster)),
            ("evidence_key", path(&keys.evidence)),
            (
                "l1",
                Value::Table(table([
                    ("rpc", list(vec![text(&chain.l1_url)])),
                    ("chain_id", Value::Integer(l1_chain_id)),
                    ("registry", text(&deployment.registry)),
                    ("inbox", text(&deployment.inbox)),
                    ("slasher", text(&deployment.slasher)),
                    ("poll_interval_ms", Value::Integer(POLL_INTERVAL_MS)),
                    // An anvil has its blobs where it has the rest.
                    ("beacon", list(vec![text(&chain.l1_url)])),
                    // Nodes that share a machine are spared the seconds that each takes to load what blobs need.
                    ("batch_data", text(&"calldata")),
                ])),
            ),
            (
                "p2p",
                Value::Table(table([
                    ("identity", path(&keys.identity)),
                    ("listen", list(place.p2p_listen.iter().map(|address| text(address)).collect())),
                    ("peers", list(peers)),
                    ("observers", list(observers.iter().map(|observer| text(observer)).collect())),
                ])),
            ),
            ("rpc", Value::Table(table([("listen", text(&place.rpc)), ("allowed_hosts", list(hosts))]))),
            ("health", Value::Table(table([("listen", text(&place.health))]))),
        ]);
        if let Some(genesis) = chain.genesis {
            let file = self.folder.join(GENESIS_FILE);
            std::fs::write(&file, genesis).with_context(|| format!("cannot write {}", file.display()))?;
            config.insert("genesis".to_owned(), path(&place.home().join(GENESIS_FILE)));
        }
        std::fs::write(&self.config, toml::to_string_pretty(&config)?)
            .with_context(|| format!("cannot write {}", self.config.display()))
    }
}

fn table<const N: usize>(entries: [(&str, Value); N]) -> Table {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Returns three addresses for each of `count`, on this host, that were free a moment ago. All are held open until all are
/// picked, so that none is picked twice.
fn free_addresses(count: usize) -> std::io::Result<Vec<[SocketAddr; 3]>> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let listeners: Vec<[TcpListener; 3]> =
        (0..count).map(|_| Ok([listen()?, listen()?, listen()?])).collect::<std::io::Result<_>>()?;
    let addresses = |[a, b, c]: &[TcpListener; 3]| Ok([a.local_addr()?, b.local_addr()?, c.local_addr()?]);
    listeners.iter().map(addresses).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_nodes_are_given_the_same_port() {
        let places = Place::on_this_host((0..100).map(|node| format!("node-{node}").into()).collect()).unwrap();
        let ports: HashSet<String> = places
            .iter()
            .flat_map(|place| {
                [place.rpc.port().to_string(), place.health.port().to_string(), place.p2p_address.clone()]
            })
            .map(|text| text.rsplit('/').next().unwrap().to_owned())
            .collect();
        assert_eq!((places.len(), ports.len()), (100, 300));
    }
}
