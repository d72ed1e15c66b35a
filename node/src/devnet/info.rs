//! What a devnet says about itself to programs.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use alloy_primitives::Address;
use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// Written as JSON by `--info FILE` once all nodes are ready.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DevnetInfo {
    /// L2 chain id.
    pub chain_id: u64,
    /// The nodes, in the order of `--stakes`.
    pub nodes: Vec<NodeInfo>,
    /// The L1.
    pub l1: L1Info,
    /// Accounts for users: rich in the default genesis.
    pub accounts: Vec<AccountInfo>,
}

/// One node.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeInfo {
    /// JSON-RPC endpoint.
    pub rpc: String,
    /// Where `/livez` and `/readyz` are.
    pub health: String,
    /// Folder of the chain data.
    pub data_dir: PathBuf,
    /// Configuration file.
    pub config: PathBuf,
    /// Log file.
    pub log: PathBuf,
    /// Process id; none of a node that was left for somebody else to start.
    pub pid: Option<u32>,
    /// Bond in base units of the token, decimal.
    pub bond: String,
    /// Owner of the bond.
    pub owner: Address,
    /// The account that submits evidence.
    pub evidence_account: Address,
}

/// The L1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct L1Info {
    /// JSON-RPC endpoint.
    pub rpc: String,
    /// Chain id.
    pub chain_id: u64,
    /// `SequencerRegistry`.
    pub registry: Address,
    /// `BatchInbox`.
    pub inbox: Address,
    /// `Slasher`.
    pub slasher: Address,
    /// `Liveness`: rewards and jail.
    pub liveness: Address,
    /// The bond token.
    pub token: Address,
    /// Process id of the anvil that the devnet started, if it did.
    pub pid: Option<u32>,
}

/// An account with its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountInfo {
    /// Address.
    pub address: Address,
    /// Private key, 32 bytes in hex.
    pub private_key: String,
}

/// Writes the file whole or not at all, so that whoever waits for it never reads half of it.
///
/// # Errors
/// When it cannot be written; the message names it.
pub(super) fn write(path: &Path, info: &impl Serialize) -> anyhow::Result<()> {
    let beside = path.with_extension("new");
    let written = || -> std::io::Result<()> {
        let mut file = std::fs::File::create(&beside)?;
        serde_json::to_writer_pretty(&mut file, info)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    written().with_context(|| format!("cannot write {}", path.display()))
}
