//! Networks for development, whose L1 is an anvil: its first epochs can be mined in seconds.
//!
//! [`run`] is a whole network on one machine: a local L1, contracts, bonds, and staked nodes as processes of their own.
//! [`testnet`] only founds a network and lays out a folder per node, for nodes that run in containers. What runs is what
//! operators run: the same binary, the same configuration file, the same contracts.

mod accounts;
mod banner;
mod child;
mod folders;
mod founding;
pub(crate) mod genesis;
mod info;
mod live;
mod table;
pub mod testnet;

use std::{
    io::IsTerminal as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use alloy::signers::local::PrivateKeySigner;
use alloy_primitives::U256;
use anyhow::{Context as _, bail, ensure};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use tracing::info;

pub use self::info::{AccountInfo, DevnetInfo, L1Info, NodeInfo};
use self::{
    child::ChildProcess,
    folders::{NodeFolder, Place},
    live::Live,
};
use crate::{
    cli::devnet::DevnetArgs,
    config::{LogConfig, LogFormat},
    l1::{Anvil, AnvilOptions},
    telemetry::log,
};

/// How long nodes may take to be ready after they were started.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// A running devnet.
pub(crate) struct Devnet {
    pub(crate) info: DevnetInfo,
    pub(crate) nodes: Vec<ChildProcess>,
    anvil: Option<Anvil>,
    temporary: Option<PathBuf>,
}

/// Runs a devnet until Ctrl-C or SIGTERM, and stops all that it started.
///
/// # Errors
/// When something cannot be started, with what to do; everything started before is stopped.
pub async fn run(args: DevnetArgs) -> anyhow::Result<()> {
    // A table cannot share its terminal with log lines; what goes wrong is shown there all the same.
    let level = if args.headless { "info" } else { "warn" };
    log::init(&LogConfig { level: level.into(), format: LogFormat::Text })?;
    let stop = CancellationToken::new();
    tokio::spawn(crate::node::stop_on_signals(stop.clone()));
    let started = Instant::now();
    let mut devnet = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        devnet = start(&args) => devnet?,
    };
    if let Some(path) = &args.info {
        info::write(path, &devnet.info)?;
    }
    let took = started.elapsed();
    // Without a terminal there is nothing to redraw a table on.
    let headless = args.headless || !std::io::stdout().is_terminal();
    let result = if headless {
        println!("{}", banner::text(&devnet.info, took, false));
        Live::new(&devnet.info).run_headless(&mut devnet.nodes, &stop).await
    } else {
        println!("{}", banner::text(&devnet.info, took, true));
        Live::new(&devnet.info).run_table(&mut devnet.nodes, &stop).await
    };
    devnet.stop().await;
    result
}

async fn start(args: &DevnetArgs) -> anyhow::Result<Devnet> {
    let (bonds, description) = (args.bonds()?, args.network.description()?);
    let genesis = args.network.genesis(&description.spec)?;
    let (folder, temporary) = match &args.data_dir {
        Some(folder) => (folder.clone(), None),
        None => {
            let folder = std::env::temp_dir().join(format!("baton-devnet-{}", std::process::id()));
            (folder.clone(), Some(folder))
        }
    };
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    ensure!(
        !folder.join("node-0").exists(),
        "{} holds an earlier devnet; a devnet always starts anew: remove the folder or name another",
        folder.display()
    );

    let (anvil, l1_url) = match &args.l1_rpc {
        Some(url) => (None, url.to_string()),
        None => {
            let anvil = Anvil::start(&AnvilOptions::new(find_anvil()?)).await?;
            let url = anvil.url().to_owned();
            (Some(anvil), url)
        }
    };
    let client = founding::connect(&l1_url, Duration::ZERO).await?;
    let l1_chain_id = client.chain_id();

    let count = bonds.len() + usize::from(args.unbonded);
    let mut nodes = Vec::with_capacity(count);
    for place in Place::on_this_host((0..count).map(|index| folder.join(format!("node-{index}"))).collect())? {
        let home = place.home().to_owned();
        nodes.push(NodeFolder::create(&home, PrivateKeySigner::random(), place)?);
    }
    let headless = args.headless;
    let mut say = move |line: String| if headless { info!("{line}") } else { println!("{line}") };
    let deployment = founding::found(&client, &nodes, &args.network, &description, &mut say).await?;
    if anvil.is_some() {
        client
            .request::<_, serde_json::Value>("evm_setIntervalMining", (args.block_time,))
            .await
            .context("anvil does not take a block time")?;
    }

    let chain =
        folders::ChainOfNodes { l1_url: &l1_url, l1_chain_id, deployment: &deployment, genesis: genesis.as_deref() };
    let mut children = Vec::with_capacity(nodes.len());
    let mut pids = vec![None; nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        node.write_config(&chain, &nodes, &args.observers)?;
        if index >= bonds.len() || args.absent.contains(&index) {
            continue;
        }
        let program = args.node_binary(index).map_or_else(std::env::current_exe, Ok)?;
        let mut command = Command::new(program);
        command.arg("node").arg("--config").arg(&node.config).arg("--stop-with-stdin");
        let child = ChildProcess::spawn(&format!("node {index}"), command, node.log()).await?;
        pids[index] = child.id();
        children.push(child);
    }
    let info = DevnetInfo {
        chain_id: description.spec.l2_chain_id.get(),
        nodes: nodes
            .iter()
            .zip(bonds.iter().chain(std::iter::repeat(&U256::ZERO)))
            .zip(&pids)
            .map(|((node, bond), pid)| NodeInfo {
                rpc: format!("http://{}", node.place.rpc),
                health: format!("http://{}", node.place.health),
                data_dir: node.place.data_dir(),
                config: node.config.clone(),
                log: node.log(),
                pid: *pid,
                bond: bond.to_string(),
                owner: node.owner.address(),
                evidence_account: node.evidence.address(),
            })
            .collect(),
        l1: L1Info {
            rpc: l1_url.clone(),
            chain_id: l1_chain_id.get(),
            registry: deployment.registry,
            inbox: deployment.inbox,
            slasher: deployment.slasher,
            liveness: deployment.liveness,
            token: deployment.token,
            pid: anvil.as_ref().and_then(Anvil::pid),
        },
        accounts: accounts::developer_accounts(),
    };
    let mut devnet = Devnet { info, nodes: children, anvil, temporary };
    if let Err(error) = devnet.until_ready().await {
        devnet.stop().await;
        return Err(error);
    }
    Ok(devnet)
}

impl Devnet {
    async fn until_ready(&mut self) -> anyhow::Result<()> {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(2)).build()?;
        let deadline = Instant::now() + READY_WITHIN;
        let started = self.info.nodes.iter().filter(|node| node.pid.is_some());
        for (node, child) in started.zip(&mut self.nodes) {
            let url = format!("{}/readyz", node.health);
            loop {
                if client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                    break;
                }
                if let Some(status) = child.exited() {
                    bail!("{} ended with {status}:\n{}", child.name(), last_lines(child.log()));
                }
                ensure!(Instant::now() < deadline, "{} is not ready:\n{}", child.name(), last_lines(child.log()));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(())
    }

    async fn stop(mut self) {
        info!("stopping the devnet");
        futures::future::join_all(self.nodes.iter_mut().map(ChildProcess::stop)).await;
        if let Some(anvil) = self.anvil {
            let _ = anvil.stop().await;
        }
        if let Some(folder) = self.temporary {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// Returns the anvil that npm installed in `contracts/` of this or a parent folder, or the one on the path.
fn find_anvil() -> anyhow::Result<PathBuf> {
    let here = std::env::current_dir().context("the current folder cannot be read")?;
    let from_npm = here.ancestors().map(AnvilOptions::binary_in).find(|path| path.exists());
    let on_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|folder| folder.join("anvil")).find(|path| path.is_file())
    };
    match from_npm.or_else(on_path) {
        Some(anvil) => Ok(anvil),
        None => bail!(
            "anvil is not installed: run `make setup` in Baton's folder, or start an anvil yourself and pass --l1-rpc URL"
        ),
    }
}

fn last_lines(log: &Path) -> String {
    const SHOWN: usize = 20;
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN)..].join("\n")
}
