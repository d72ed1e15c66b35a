//! How a network of its own comes to be on a development L1: accounts filled, contracts deployed, sequencers bonded, and
//! the first epochs mined.

use std::time::{Duration, Instant};

use alloy_primitives::U256;
use anyhow::Context as _;
use baton_proto::L1ChainId;

use super::{accounts, folders::NodeFolder};
use crate::{
    cli::network::NetworkArgs,
    l1::{
        Description, L1Client,
        deploy::{self, Deployment, Founder, Progress},
    },
};

/// Anvil's `finalized` is this many blocks behind its head: two slots in an epoch, twice.
const FINALITY_BLOCKS: u64 = 4;

/// Wei that every account of a node starts with on L1: enough for thousands of batches.
const ACCOUNT_WEI: u128 = 1_000_000_000_000_000_000_000;

/// How long one question to L1 may take.
const L1_CALL_WITHIN: Duration = Duration::from_secs(30);

/// Pause between two looks for an L1 that does not answer yet.
const L1_LOOK_EVERY: Duration = Duration::from_millis(200);

/// Connects to the L1 at `url`, for which it waits up to `within`.
///
/// # Errors
/// When nothing answers in time, or what answers is no L1.
pub(super) async fn connect(url: &str, within: Duration) -> anyhow::Result<L1Client> {
    let deadline = Instant::now() + within;
    let chain_id = loop {
        match chain_id(url).await {
            Ok(chain_id) => break chain_id,
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => tokio::time::sleep(L1_LOOK_EVERY).await,
        }
    };
    Ok(L1Client::new(&[url.to_owned()], chain_id, L1_CALL_WITHIN)?)
}

async fn chain_id(url: &str) -> anyhow::Result<L1ChainId> {
    let body = serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []});
    let client = reqwest::Client::builder().timeout(L1_CALL_WITHIN).build()?;
    let answer: serde_json::Value = client
        .post(url)
        .json(&body)
        .send()
        .await
        .with_context(|| format!("no L1 answers at {url}"))?
        .json()
        .await
        .with_context(|| format!("what answers at {url} is no L1"))?;
    let text = answer["result"].as_str().with_context(|| format!("{url} does not say its chain id"))?;
    Ok(L1ChainId::new(u64::from_str_radix(text.trim_start_matches("0x"), 16)?))
}

/// Deploys the chain, bonds the first `nodes`, as many as there are bonds, and mines to where the L2 chain starts. `say` gets a line for every step.
///
/// # Errors
/// When the arguments do not fit, before anything is deployed; when L1 is no anvil or refuses.
pub(super) async fn found(
    client: &L1Client,
    nodes: &[NodeFolder],
    network: &NetworkArgs,
    description: &Description,
    say: &mut (dyn FnMut(String) + Send),
) -> anyhow::Result<Deployment> {
    let bonds = network.bonds()?;
    for account in nodes.iter().flat_map(NodeFolder::l1_accounts) {
        client
            .request::<_, serde_json::Value>("anvil_setBalance", (account, U256::from(ACCOUNT_WEI)))
            .await
            .context("the L1 must be an anvil: its accounts are filled and its first epochs mined")?;
    }
    let founders: Vec<Founder<'_>> = nodes
        .iter()
        .zip(bonds)
        .map(|(node, bond)| Founder { owner: &node.owner, fee_recipient: node.owner.address(), key: &node.key, bond })
        .collect();
    let mut progress = |step: Progress| {
        say(match step {
            Progress::Deployed(contract, address) => format!("{contract} deployed at {address}"),
            Progress::Registered(owner) => format!("sequencer {owner} bonded"),
            Progress::Activated => "registry activated".to_owned(),
            Progress::Mining { done, total } => format!("mining to the first epoch: {done} of {total} L1 blocks"),
        });
    };
    let deployer = accounts::deployer();
    let deployment = deploy::deploy_chain(client, &deployer, &founders, description, &mut progress).await?;
    deploy::mine_to_start(client, deployment.registry, FINALITY_BLOCKS, &mut progress).await?;
    Ok(deployment)
}
