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

use crate::{cli::keys, l1::deploy::Deployment};

/// How often a node of a devnet looks at L1: often, because blocks come every second.
const POLL_INTERVAL_MS: i64 = 250;

/// The chain that all nodes of a devnet share.
pub(super) struct ChainOfNodes<'a> {
    pub(super) l1_url: &'a str,
    pub(super) l1_chain_id: L1ChainId,
    pub(super) deployment: &'a Deployment,
}

/// One node's folder, keys and addresses.
pub(super) struct NodeFolder {
    pub(super) folder: PathBuf,
    pub(super) data_dir: PathBuf,
    pub(super) config: PathBuf,
    pub(super) owner: PrivateKeySigner,
    pub(super) key: SecretKey,
    pub(super) evidence: PrivateKeySigner,
    poster: PrivateKeySigner,
    keys: keys::KeyFiles,
    peer_id: PeerId,
    pub(super) rpc: SocketAddr,
    pub(super) health: SocketAddr,
    p2p: SocketAddr,
}

impl NodeFolder {
    /// Makes the folder and new keys in it, as `baton keys new` does, and picks free ports.
    pub(super) fn create(folder: &Path) -> anyhow::Result<Self> {
        let made = keys::create(&folder.join("keys")).with_context(|| format!("keys in {}", folder.display()))?;
        let [rpc, health, p2p] = free_addresses().context("no free ports on 127.0.0.1")?;
        Ok(Self {
            folder: folder.to_owned(),
            data_dir: folder.join("data"),
            config: folder.join("node.toml"),
            owner: PrivateKeySigner::random(),
            key: made.consensus,
            evidence: made.evidence,
            poster: made.poster,
            keys: made.files,
            peer_id: made.peer_id,
            rpc,
            health,
            p2p,
        })
    }

    /// Returns the accounts that pay on L1.
    pub(super) fn l1_accounts(&self) -> [Address; 3] {
        [self.owner.address(), self.poster.address(), self.evidence.address()]
    }

    /// Returns where the node's output goes.
    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("node.log")
    }

    fn p2p_address(&self) -> String {
        format!("/ip4/{}/tcp/{}", self.p2p.ip(), self.p2p.port())
    }

    /// Writes the node's configuration; `nodes` are all nodes, this one among them.
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
            .map(|node| Value::String(format!("{}/p2p/{}", node.p2p_address(), node.peer_id)))
            .collect();
        let l1_chain_id = i64::try_from(chain.l1_chain_id.get()).context("the L1 chain id is out of range")?;
        let deployment = chain.deployment;
        let config = table([
            ("data_dir", path(&self.data_dir)),
            ("consensus_key", path(&self.keys.consensus)),
            ("sign_record_dir", path(&self.keys.sign_record)),
            ("poster_key", path(&self.keys.poster)),
            ("evidence_key", path(&self.keys.evidence)),
            (
                "l1",
                Value::Table(table([
                    ("rpc", list(vec![text(&chain.l1_url)])),
                    ("chain_id", Value::Integer(l1_chain_id)),
                    ("registry", text(&deployment.registry)),
                    ("inbox", text(&deployment.inbox)),
                    ("slasher", text(&deployment.slasher)),
                    ("poll_interval_ms", Value::Integer(POLL_INTERVAL_MS)),
                ])),
            ),
            (
                "p2p",
                Value::Table(table([
                    ("identity", path(&self.keys.identity)),
                    ("listen", list(vec![text(&self.p2p_address())])),
                    ("peers", list(peers)),
                    ("observers", list(observers.iter().map(|observer| text(observer)).collect())),
                ])),
            ),
            ("rpc", Value::Table(table([("listen", text(&self.rpc))]))),
            ("health", Value::Table(table([("listen", text(&self.health))]))),
        ]);
        std::fs::write(&self.config, toml::to_string_pretty(&config)?)
            .with_context(|| format!("cannot write {}", self.config.display()))
    }
}

fn table<const N: usize>(entries: [(&str, Value); N]) -> Table {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Returns addresses on this host that were free a moment ago. All are held open until all are picked, so that none is
/// picked twice.
fn free_addresses<const N: usize>() -> std::io::Result<[SocketAddr; N]> {
    let listeners: Vec<TcpListener> =
        (0..N).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<_, _>>()?;
    let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    for (address, listener) in addresses.iter_mut().zip(&listeners) {
        *address = listener.local_addr()?;
    }
    Ok(addresses)
}
