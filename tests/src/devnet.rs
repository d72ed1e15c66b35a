//! A devnet of real processes under test.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::Instant,
};

use crate::rpc::Rpc;

/// Limit of every wait in a story. A story that is well takes a fraction of it even on a loaded machine.
pub const EVENTUALLY: Duration = Duration::from_secs(300);

/// Time between two looks at something that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What `baton devnet --info` writes.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Info {
    /// L2 chain id.
    pub chain_id: u64,
    /// The nodes, in committee order of their stakes on the command line.
    pub nodes: Vec<NodeInfo>,
    /// The L1.
    pub l1: L1Info,
    /// Funded developer accounts.
    pub accounts: Vec<AccountInfo>,
}

/// One node.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeInfo {
    /// JSON-RPC endpoint.
    pub rpc: String,
    /// `/livez` and `/readyz`.
    pub health: String,
    /// Folder of chain data.
    pub data_dir: PathBuf,
    /// Configuration file.
    pub config: PathBuf,
    /// File of its log lines.
    pub log: PathBuf,
    /// Process id at the start; none of one that was to be absent.
    pub pid: Option<u32>,
    /// Bonded base units, decimal.
    pub bond: String,
    /// Owner address.
    pub owner: String,
    /// The account that submits evidence.
    pub evidence_account: String,
}

/// The L1.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct L1Info {
    /// JSON-RPC endpoint.
    pub rpc: String,
    /// Chain id.
    pub chain_id: u64,
    /// `SequencerRegistry`.
    pub registry: String,
    /// `BatchInbox`.
    pub inbox: String,
    /// `Slasher`.
    pub slasher: String,
    /// The bond token.
    pub token: String,
    /// Process id of the anvil that the devnet started, if it did.
    pub pid: Option<u32>,
}

/// A developer account.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountInfo {
    /// Address.
    pub address: String,
    /// Private key, hex.
    pub private_key: String,
}

/// A running devnet. Dropping it kills what it started.
#[derive(Debug)]
pub struct Devnet {
    /// What it says about itself.
    pub info: Info,
    child: Child,
    restarted: Vec<Child>,
    folder: TempDir,
    environment: Vec<(String, String)>,
}

/// Returns a program that was built with this one: in the folder above for a test, which runs in `deps`, in the same folder
/// for another program.
///
/// # Panics
/// When it is not there: `make test` builds the whole workspace first.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let here = std::env::current_exe().expect("a running program has a path");
    let folder = here.ancestors().skip(1).find(|folder| !folder.ends_with("deps")).expect("a program is in a folder");
    let path = folder.join(name);
    assert!(path.exists(), "{} is not built: run `cargo build --workspace`", path.display());
    path
}

/// Returns a tool that npm installed in `contracts/`.
///
/// # Panics
/// When it is not there.
#[must_use]
pub fn contracts_tool(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/node_modules/.bin").join(name);
    assert!(path.exists(), "{} is not installed: run `make setup`", path.display());
    path
}

/// Arguments that keep a devnet in one epoch for as long as a story takes: views count from one in every epoch, and who
/// compares views has to stay in one.
pub const ONE_EPOCH: [&str; 2] = ["--spec", "epochBlocks=512"];

/// Arguments for a devnet that orders transactions and executes none.
pub const ORDERING_ONLY: [&str; 2] = ["--spec", "executor=0"];

impl Devnet {
    /// Starts `baton devnet --headless` with more arguments and waits until all nodes are ready.
    ///
    /// # Errors
    /// With the end of the devnet's log when it ends or is not ready in time.
    pub async fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        Self::start_with(arguments, &[]).await
    }

    /// As [`Self::start`], with variables in the environment of the devnet and its nodes, also of those started later.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_with(arguments: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("baton-story-").tempdir()?;
        let info_file = folder.path().join("info.json");
        let log = folder.path().join("devnet.log");
        let output = std::fs::File::create(&log)?;
        let mut child = Command::new(program("baton"))
            .arg("devnet")
            .args(["--headless", "--info"])
            .arg(&info_file)
            .arg("--data-dir")
            .arg(folder.path().join("devnet"))
            .args(arguments)
            .envs(environment.iter().copied())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start baton devnet")?;
        let deadline = Instant::now() + EVENTUALLY;
        let info = loop {
            if let Ok(bytes) = std::fs::read(&info_file) {
                break serde_json::from_slice(&bytes).context("the info file is not what it should be")?;
            }
            if let Some(status) = child.try_wait()? {
                bail!("devnet ended with {status}:\n{}", tail(&log));
            }
            ensure!(Instant::now() < deadline, "devnet not ready in time:\n{}", tail(&log));
            tokio::time::sleep(LOOK_EVERY).await;
        };
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Ok(Self { info, child, restarted: Vec::new(), folder, environment })
    }

    /// Returns the JSON-RPC of node `index`.
    #[must_use]
    pub fn rpc(&self, index: usize) -> Rpc {
        Rpc::new(&self.info.nodes[index].rpc)
    }

    /// Returns the JSON-RPC of the L1.
    #[must_use]
    pub fn l1(&self) -> Rpc {
        Rpc::new(&self.info.l1.rpc)
    }

    /// Returns the process ids of the nodes, all of which were started.
    ///
    /// # Errors
    /// When one was to be absent.
    pub fn node_pids(&self) -> anyhow::Result<Vec<u32>> {
        self.info.nodes.iter().map(|node| node.pid.context("a node is absent")).collect()
    }

    /// Returns the process id of the devnet itself, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Returns a folder for the story's own files; it goes with the devnet.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Sends a signal to a process that this devnet started.
    ///
    /// # Errors
    /// When `kill` cannot.
    pub async fn signal(&self, pid: impl Into<Option<u32>>, signal: &str) -> anyhow::Result<()> {
        let pid = pid.into().context("this node was not started by the devnet")?;
        let status = Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status().await?;
        ensure!(status.success(), "kill -{signal} {pid} failed");
        Ok(())
    }

    /// Starts node `index` again from its configuration, with its output beside the old one.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn restart(&mut self, index: usize) -> anyhow::Result<u32> {
        self.start_node(index, &program("baton"), &[])
    }

    /// Starts a node that does not run as `program`, which takes the arguments of `baton`, with `arguments` beside its
    /// configuration.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_node(&mut self, index: usize, program: &Path, arguments: &[&str]) -> anyhow::Result<u32> {
        let config = &self.info.nodes[index].config;
        let log = config.with_file_name(format!("restarted-{}.log", self.restarted.len()));
        let output = std::fs::File::create(log)?;
        let child = Command::new(program)
            .arg("node")
            .arg("--config")
            .arg(config)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().context("it just started")?;
        self.restarted.push(child);
        Ok(pid)
    }

    /// Stops everything in order and checks that the devnet ended well.
    ///
    /// # Errors
    /// When it does not end or ends with an error.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        for child in &mut self.restarted {
            child.kill().await?;
        }
        if let Some(pid) = self.child.id() {
            self.signal(pid, "TERM").await?;
        }
        let status = tokio::time::timeout(EVENTUALLY, self.child.wait()).await.context("devnet does not stop")??;
        ensure!(status.success(), "devnet ended with {status}:\n{}", tail(&self.folder.path().join("devnet.log")));
        Ok(())
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", tail(&self.folder.path().join("devnet.log")));
        }
        // The nodes end when the devnet's pipe to them closes; anvil does not watch one.
        if let Some(pid) = self.info.l1.pid
            && matches!(self.child.try_wait(), Ok(None))
        {
            let _ = self.child.start_kill();
            let _ = std::process::Command::new("kill").arg(pid.to_string()).status();
        }
    }
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

/// Looks again and again until `look` finds something.
///
/// # Errors
/// When it does not within [`EVENTUALLY`], or when looking fails.
pub async fn until<T, F, Fut>(what: &str, mut look: F) -> anyhow::Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = anyhow::Result<Option<T>>>,
{
    let deadline = Instant::now() + EVENTUALLY;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        ensure!(Instant::now() < deadline, "waited too long for {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
