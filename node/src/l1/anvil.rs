//! A development L1: the `anvil` process that `npm ci` brings, in the configuration that resembles mainnet most.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};
use tracing::debug;

/// How long anvil may take to listen; it takes a tenth of a second.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no anvil.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum AnvilError {
    #[error("there is no anvil at {}: run `npm ci` in contracts/ first", .0.display())]
    Absent(PathBuf),
    #[error("anvil could not be started: {0}")]
    Spawn(#[from] std::io::Error),
    #[error("anvil ended before it listened: {0}")]
    Ended(String),
    #[error("anvil did not listen within {0:?}")]
    Timeout(Duration),
}

/// How to start anvil.
#[derive(Clone, Debug)]
pub struct AnvilOptions {
    /// The binary; the platform package's, not npm's wrapper, which leaves an orphan when it is killed.
    pub binary: PathBuf,
    /// Port on 127.0.0.1; 0 picks a free one.
    pub port: u16,
    /// Chain id.
    pub chain_id: u64,
    /// Seconds between blocks; `None` makes one for each transaction.
    pub block_time_s: Option<f64>,
    /// Blocks in half the distance to finality: `finalized` is twice this behind the newest block.
    pub slots_in_an_epoch: u64,
}

impl AnvilOptions {
    /// Returns the options that tests use: a block for each transaction, finality four blocks behind.
    #[must_use]
    pub fn new(binary: PathBuf) -> Self {
        Self { binary, port: 0, chain_id: 31_337, block_time_s: None, slots_in_an_epoch: 2 }
    }

    /// Returns where `npm ci` puts anvil in a checkout whose root is `root`.
    #[must_use]
    pub fn binary_in(root: &Path) -> PathBuf {
        root.join("contracts/node_modules/.bin/anvil")
    }
}

/// A running anvil. It is killed when this is dropped.
#[derive(Debug)]
pub struct Anvil {
    child: Child,
    url: String,
    chain_id: u64,
    // Dropped after the process.
    states: StatesFolder,
}

/// Where anvil keeps the states of old blocks, some hundred megabytes an hour. In its own folder, which is where they are by
/// default, they would stay for ever: anvil removes them only when it is asked to end.
#[derive(Debug)]
struct StatesFolder(PathBuf);

impl StatesFolder {
    fn new() -> std::io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("baton-anvil-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for StatesFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            debug!(path = %self.0.display(), %error, "anvil's states are left");
        }
    }
}

impl Anvil {
    /// Starts anvil and waits until it listens.
    ///
    /// # Errors
    /// [`AnvilError`].
    pub async fn start(options: &AnvilOptions) -> Result<Self, AnvilError> {
        if !options.binary.exists() {
            return Err(AnvilError::Absent(options.binary.clone()));
        }
        let states = StatesFolder::new()?;
        let mut command = Command::new(&options.binary);
        command
            .arg("--cache-path")
            .arg(&states.0)
            // Blobs, the BLS precompiles and the gas cap of one transaction as on mainnet.
            .args(["--hardfork", "osaka", "--gas-limit", "60000000", "--enable-tx-gas-limit", "--host", "127.0.0.1"])
            .args(["--port", &options.port.to_string()])
            .args(["--chain-id", &options.chain_id.to_string()])
            .args(["--slots-in-an-epoch", &options.slots_in_an_epoch.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        if let Some(seconds) = options.block_time_s {
            // Mixed mining: a transaction need not wait for the tick.
            command.args(["--block-time", &seconds.to_string(), "--mixed-mining"]);
        }
        let mut child = command.spawn()?;
        let Some(stdout) = child.stdout.take() else {
            return Err(AnvilError::Ended("its output is not connected".into()));
        };
        let mut lines = BufReader::new(stdout).lines();
        let listening = async {
            let mut last = String::new();
            while let Some(line) = lines.next_line().await? {
                if let Some(address) = line.trim().strip_prefix("Listening on ") {
                    return Ok(format!("http://{address}"));
                }
                last = line;
            }
            Err(AnvilError::Ended(last))
        };
        let url = match tokio::time::timeout(START_TIMEOUT, listening).await {
            Ok(result) => result?,
            Err(_) => return Err(AnvilError::Timeout(START_TIMEOUT)),
        };
        // Keeps the pipe empty, as anvil logs every call.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { child, url, chain_id: options.chain_id, states })
    }

    /// Returns the URL of its JSON-RPC.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns its chain id.
    #[must_use]
    pub const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// Returns its process id; `None` once it ended.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Ends it and waits until it is gone.
    ///
    /// # Errors
    /// When the process cannot be ended.
    pub async fn stop(self) -> std::io::Result<()> {
        let Self { mut child, states, .. } = self;
        child.kill().await?;
        drop(states);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::l1::testing::start_anvil;

    #[tokio::test]
    async fn nothing_is_left_of_it() {
        let anvil = start_anvil().await;
        let states = anvil.states.0.clone();
        assert!(states.exists());
        anvil.stop().await.unwrap();
        assert!(!states.exists());
    }
}
