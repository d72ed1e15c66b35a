//! Processes that a devnet starts, and stops again.

use std::{
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    fs::File,
    process::{Child, Command},
};

/// How long a process may take to end after it was asked to; a node promises 10 s.
const STOP_WITHIN: Duration = Duration::from_secs(12);

/// A child process with its output in a file.
///
/// Its standard input is a pipe that closes when this process ends in any way, so that a child that watches it never
/// outlives the devnet.
#[derive(Debug)]
pub(crate) struct ChildProcess {
    name: String,
    log: PathBuf,
    child: Child,
}

impl ChildProcess {
    /// Starts `command` with stdout and stderr appended to `log`.
    ///
    /// # Errors
    /// When the log cannot be opened or the program cannot be started; the message names both.
    pub(crate) async fn spawn(name: &str, mut command: Command, log: PathBuf) -> anyhow::Result<Self> {
        use anyhow::Context as _;
        let file = File::options().create(true).append(true).open(&log).await;
        let file = file.with_context(|| format!("cannot open the log {}", log.display()))?.into_std().await;
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let child = command
            .stdin(Stdio::piped())
            .stdout(file.try_clone()?)
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name} ({program})"))?;
        Ok(Self { name: name.to_owned(), log, child })
    }

    /// Returns the process id, while it runs.
    #[must_use]
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Returns the name it was given.
    #[must_use]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the file that holds its output.
    #[must_use]
    pub(crate) fn log(&self) -> &PathBuf {
        &self.log
    }

    /// Returns how it ended, if it did.
    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Asks the process to end (SIGTERM) and waits; kills it when it does not within 12 s.
    pub(crate) async fn stop(&mut self) {
        if self.exited().is_some() {
            return;
        }
        if let Some(id) = self.child.id() {
            // The shell's own `kill` spares an unsafe call into libc.
            let _ = Command::new("kill").arg(id.to_string()).status().await;
        }
        if tokio::time::timeout(STOP_WITHIN, self.child.wait()).await.is_err() {
            tracing::warn!(process = self.name, "did not end in time and is killed");
            let _ = self.child.kill().await;
        }
    }
}
