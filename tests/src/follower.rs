//! A follower beside a devnet: a real process that hears what gossip and questions bring, and no consensus stream.

use std::{process::Stdio, time::Duration};

use anyhow::{Context as _, ensure};
use baton_node::{
    config::{Config, NodeKeys},
    p2p::load_or_create_identity,
};
use tokio::process::{Child, Command};

use crate::{
    devnet::{Devnet, program, until},
    reserved::Reserved,
    rpc::Rpc,
};

/// A node without a consensus key.
#[derive(Debug)]
pub struct Follower {
    /// Its JSON-RPC.
    pub rpc: Rpc,
    /// Where it serves `/readyz` and `/metrics`.
    pub health: String,
    child: Child,
    _addresses: [Reserved; 2],
}

impl Follower {
    /// Starts one beside a devnet, with the configuration of a member less everything that makes it one.
    ///
    /// # Errors
    /// When it cannot be started, or does not answer in time.
    pub async fn start(devnet: &Devnet) -> anyhow::Result<Self> {
        let folder = devnet.folder().join("follower");
        std::fs::create_dir_all(&folder)?;
        let identity = folder.join("p2p.key");
        load_or_create_identity(&identity)?;
        let mut config: toml::Table = std::fs::read_to_string(&devnet.info.nodes[0].config)?.parse()?;
        for key in ["consensus_key", "sign_record_dir", "poster_key", "evidence_key"] {
            config.remove(key);
        }
        let mut set = |section: &str, key: &str, value: toml::Value| -> anyhow::Result<()> {
            let table = config.get_mut(section).and_then(toml::Value::as_table_mut).context("it has this section")?;
            table.insert(key.into(), value);
            Ok(())
        };
        set("p2p", "identity", identity.display().to_string().into())?;
        set("p2p", "listen", vec!["/ip4/127.0.0.1/tcp/0".to_owned()].into())?;
        let (rpc, health_at) = (Reserved::new()?, Reserved::new()?);
        set("rpc", "listen", rpc.address().to_string().into())?;
        set("health", "listen", health_at.address().to_string().into())?;
        config.insert("data_dir".into(), folder.join("data").display().to_string().into());
        let path = folder.join("node.toml");
        std::fs::write(&path, config.to_string())?;
        ensure!(Config::load(Some(&path), NodeKeys::default())?.consensus_key.is_none());

        let log = std::fs::File::create(folder.join("node.log"))?;
        let child = Command::new(program("baton"))
            .arg("node")
            .arg("--config")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let client = Rpc::new(&format!("http://{}", rpc.address()));
        until("the follower to answer", || async { Ok(client.height().await.ok()) }).await?;
        let health = format!("http://{}", health_at.address());
        Ok(Self { rpc: client, health, child, _addresses: [rpc, health_at] })
    }

    /// Stops it, which must be in order.
    ///
    /// # Errors
    /// When it does not end, or ends with an error.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let pid = self.child.id().context("it runs")?;
        let told = Command::new("kill").arg("-TERM").arg(pid.to_string()).status().await?;
        ensure!(told.success(), "kill -TERM {pid} failed");
        let status = tokio::time::timeout(Duration::from_secs(60), self.child.wait()).await??;
        ensure!(status.success(), "the follower ended with {status}");
        Ok(())
    }
}
