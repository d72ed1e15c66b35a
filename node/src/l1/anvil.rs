//! A development L1: the `anvil` process that `npm ci` brings, in the configuration that resembles mainnet most.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

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
        let mut command = Command::new(&options.binary);
        command
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
        Ok(Self { child, url, chain_id: options.chain_id })
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
    pub async fn stop(mut self) -> std::io::Result<()> {
        self.child.kill().await
    }
}
