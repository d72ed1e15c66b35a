//! `baton testnet`: founds a network on a development L1 and lays out a folder per node, for nodes that run in containers.
//!
//! It runs once and ends. `network.json`, written last, says that a network is complete; with it there, a further run
//! changes nothing and checks that folder, L1 and arguments still belong together. Without it nothing has used the keys
//! yet: a run after an interrupted one takes them over and founds the chain anew.

use std::{
    fmt::Debug,
    path::{Path, PathBuf},
    time::Duration,
};

use alloy::signers::local::PrivateKeySigner;
use alloy_primitives::Address;
use anyhow::{Context as _, bail, ensure};
use baton_proto::BlsPublicKey;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{
    accounts,
    folders::{ChainOfNodes, NodeFolder, Place},
    founding, info,
    info::{AccountInfo, L1Info},
};
use crate::{
    cli::{keys, network::NetworkArgsError, testnet::TestnetArgs},
    config::{Config, LogConfig, LogFormat, NodeKeys, account_key},
    l1::{At, Description, L1Client, bindings::Liveness, read_chain_facts},
    telemetry::log,
};

/// Name of the file that says what the network is.
const NETWORK_FILE: &str = "network.json";

/// Name of the folder of the bonds' owners, apart from the nodes' folders: a node has no use for the key that can withdraw
/// its bond.
const OWNERS_DIR: &str = "owners";

/// How long the L1 may take to answer: containers start in any order.
const L1_WITHIN: Duration = Duration::from_secs(120);

/// How long a founded chain may take to show on L1; its first epochs are mined and final already.
const FACTS_WITHIN: Duration = Duration::from_secs(60);

/// How often L1 is looked at meanwhile.
const FACTS_LOOK_EVERY: Duration = Duration::from_millis(250);

/// A network as `network.json` describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// L2 chain id.
    pub chain_id: u64,
    /// The L1, with the URL that nodes use.
    pub l1: L1Info,
    /// The nodes, in the order of `--stakes`.
    pub nodes: Vec<NetworkNode>,
    /// Accounts for users, of public knowledge: rich in the default genesis.
    pub accounts: Vec<AccountInfo>,
}

/// One node of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkNode {
    /// Host name, and name of its folder.
    pub name: String,
    /// Where the node finds its folder.
    pub home: PathBuf,
    /// Bond in base units of the token, decimal.
    pub bond: String,
    /// Owner of the bond.
    pub owner: Address,
    /// BLS key.
    pub consensus_key: BlsPublicKey,
    /// By which peers know it.
    pub peer_id: String,
}

/// Founds the network, or checks the one that is there.
///
/// # Errors
/// When L1 does not answer or refuses, when the folder cannot be written, or when it holds another network.
pub async fn run(args: TestnetArgs) -> anyhow::Result<()> {
    log::init(&LogConfig { level: "warn".into(), format: LogFormat::Text })?;
    let stop = CancellationToken::new();
    tokio::spawn(crate::node::stop_on_signals(stop.clone()));
    let mut say = |line: String| println!("{line}");
    let network = tokio::select! {
        () = stop.cancelled() => bail!("stopped before the network was complete; the same command takes it up again"),
        network = make_or_check(&args, &mut say) => network?,
    };
    for node in &network.nodes {
        println!("{}  bond {}  owner {}  peer id {}", node.name, node.bond, node.owner, node.peer_id);
    }
    println!("chain id {}, registry {}: {} is complete", network.chain_id, network.l1.registry, args.output.display());
    Ok(())
}

/// Founds the network unless `--output` holds it, and checks it in both cases.
async fn make_or_check(args: &TestnetArgs, say: &mut (dyn FnMut(String) + Send)) -> anyhow::Result<Network> {
    // Wrong arguments are told before anything is waited for.
    args.network.bonds()?;
    let description = args.network.description()?;
    let made = Network::read(&args.output)?;
    if let Some(network) = &made {
        network.expect(args)?;
    }
    let client = founding::connect(args.l1_rpc.expose().as_str(), L1_WITHIN).await?;
    let network = match made {
        Some(network) => {
            say(format!("{} holds a network: checking it", args.output.display()));
            network
        }
        None => make(args, &description, &client, say).await?,
    };
    network.check(args, &description, &client).await?;
    Ok(network)
}

async fn make(
    args: &TestnetArgs,
    description: &Description,
    client: &L1Client,
    say: &mut (dyn FnMut(String) + Send),
) -> anyhow::Result<Network> {
    let owners = args.output.join(OWNERS_DIR);
    std::fs::create_dir_all(&owners).with_context(|| format!("cannot make {}", owners.display()))?;
    let (bonds, genesis) = (args.network.bonds()?, args.network.genesis(&description.spec)?);
    let mut nodes = Vec::with_capacity(bonds.len());
    for index in 0..bonds.len() {
        let name = format!("{}{index}", args.hostname_prefix);
        let folder = args.output.join(&name);
        let owner = load_or_create(&owners.join(format!("{name}.key")))?;
        nodes.push(NodeFolder::open_or_create(&folder, owner, Place::behind_a_name(name, home(args, &folder)?))?);
    }
    let deployment = founding::found(client, &nodes, &args.network, description, say).await?;
    let l1_url = args.node_l1_rpc.as_ref().unwrap_or(&args.l1_rpc).expose().as_str().trim_end_matches('/');
    let chain =
        ChainOfNodes { l1_url, l1_chain_id: client.chain_id(), deployment: &deployment, genesis: genesis.as_deref() };
    for node in &nodes {
        node.write_config(&chain, &nodes, &[])?;
    }
    let network = Network {
        chain_id: description.spec.l2_chain_id.get(),
        l1: L1Info {
            rpc: l1_url.to_owned(),
            chain_id: client.chain_id().get(),
            registry: deployment.registry,
            inbox: deployment.inbox,
            slasher: deployment.slasher,
            liveness: deployment.liveness,
            token: deployment.token,
            pid: None,
        },
        nodes: nodes
            .iter()
            .zip(bonds)
            .enumerate()
            .map(|(index, (node, bond))| NetworkNode {
                name: format!("{}{index}", args.hostname_prefix),
                home: node.place.home().to_owned(),
                bond: bond.to_string(),
                owner: node.owner.address(),
                consensus_key: node.key.public_key(),
                peer_id: node.peer_id.to_string(),
            })
            .collect(),
        accounts: accounts::developer_accounts(),
    };
    info::write(&args.output.join(NETWORK_FILE), &network)?;
    Ok(network)
}

/// Returns where a node finds its own folder.
fn home(args: &TestnetArgs, folder: &Path) -> anyhow::Result<PathBuf> {
    match &args.node_home {
        Some(home) => Ok(home.clone()),
        None => std::path::absolute(folder).with_context(|| format!("{} has no absolute path", folder.display())),
    }
}

fn load_or_create(path: &Path) -> anyhow::Result<PrivateKeySigner> {
    Ok(if path.exists() { account_key::load(path)? } else { account_key::create(path)? })
}

impl Network {
    /// Reads the description in `folder`; `None` when there is none, so that no complete network is there.
    fn read(folder: &Path) -> anyhow::Result<Option<Self>> {
        let path = folder.join(NETWORK_FILE);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let network = serde_json::from_slice(&bytes);
        network.map(Some).with_context(|| format!("{} does not describe a network", path.display()))
    }

    /// Refuses arguments that describe another network than this.
    fn expect(&self, args: &TestnetArgs) -> anyhow::Result<()> {
        let differ = |what, made: &dyn Debug, asked: &dyn Debug| {
            let (made, asked) = (format!("{made:?}"), format!("{asked:?}"));
            if made == asked {
                return Ok(());
            }
            Err(NetworkArgsError::OtherNetwork { folder: args.output.clone(), what, made, asked })
        };
        let bonds: Vec<String> = args.network.bonds()?.iter().map(ToString::to_string).collect();
        differ("bonds", &self.nodes.iter().map(|node| &node.bond).collect::<Vec<_>>(), &bonds)?;
        for (index, node) in self.nodes.iter().enumerate() {
            let name = format!("{}{index}", args.hostname_prefix);
            differ("host name", &node.name, &name)?;
            differ("node home", &node.home, &home(args, &args.output.join(name))?)?;
        }
        let l1_rpc = args.node_l1_rpc.as_ref().unwrap_or(&args.l1_rpc).expose().as_str().trim_end_matches('/');
        differ("L1 endpoint", &self.l1.rpc, &l1_rpc)?;
        Ok(())
    }

    /// Checks that L1 has this chain with these members, and that every node's folder is whole.
    async fn check(&self, args: &TestnetArgs, description: &Description, client: &L1Client) -> anyhow::Result<()> {
        let hint = "its state is lost or it is another L1: start anew with an empty folder and an empty L1";
        let facts = async {
            loop {
                match read_chain_facts(client, self.l1.registry, FACTS_LOOK_EVERY).await {
                    // An anvil that was started again shows no state older than that until its finality has moved on.
                    Err(error) if error.is_retryable() => tokio::time::sleep(FACTS_LOOK_EVERY).await,
                    read => return read,
                }
            }
        };
        let facts = tokio::time::timeout(FACTS_WITHIN, facts)
            .await
            .with_context(|| format!("L1 does not show the chain within {FACTS_WITHIN:?}; {hint}"))?
            .with_context(|| format!("L1 does not have the chain of {}; {hint}", args.output.display()))?;
        let reward = client.call(self.l1.liveness, &Liveness::REWARD_PER_EPOCHCall {}, At::Latest).await?;
        self.expect_description(description, Description { spec: facts.spec, reward_per_epoch: reward }, args)?;
        ensure!(
            (facts.inbox, facts.slasher, facts.liveness) == (self.l1.inbox, self.l1.slasher, self.l1.liveness)
                && client.chain_id().get() == self.l1.chain_id,
            "L1 has other contracts than {} says; {hint}",
            args.output.display()
        );
        ensure!(
            facts.first.committee.len() == self.nodes.len(),
            "the committee on L1 has {} members, the network {}",
            facts.first.committee.len(),
            self.nodes.len()
        );
        for node in &self.nodes {
            let member = facts.first.committee.iter().find(|member| member.owner == node.owner);
            let member = member.with_context(|| format!("{} ({}) is not in the committee", node.name, node.owner))?;
            ensure!(member.key == node.consensus_key, "the committee has another key for {}", node.name);
            self.check_folder(node, &args.output.join(&node.name))?;
        }
        Ok(())
    }

    /// Compares what the chain was deployed with to what the arguments ask for.
    fn expect_description(&self, asked: &Description, mut made: Description, args: &TestnetArgs) -> anyhow::Result<()> {
        if made.spec.bond_token == self.l1.token {
            // The token was made for this chain.
            made.spec.bond_token = asked.spec.bond_token;
        }
        if made != *asked {
            return Err(NetworkArgsError::OtherNetwork {
                folder: args.output.clone(),
                what: "chain parameters",
                made: format!("{made:?}"),
                asked: format!("{asked:?}"),
            }
            .into());
        }
        Ok(())
    }

    fn check_folder(&self, node: &NetworkNode, folder: &Path) -> anyhow::Result<()> {
        let dir = folder.join(super::folders::KEYS_DIR);
        let keys = keys::load(&dir).with_context(|| format!("keys in {}", dir.display()))?;
        ensure!(
            keys.consensus.public_key() == node.consensus_key && keys.peer_id.to_string() == node.peer_id,
            "{} holds other keys than {NETWORK_FILE} says",
            dir.display()
        );
        ensure!(keys.files.sign_record.is_dir(), "{} is missing", keys.files.sign_record.display());
        let config = Config::load(Some(&folder.join("node.toml")), NodeKeys::default())?;
        ensure!(
            config.l1.registry == self.l1.registry,
            "{}/node.toml names another registry than {NETWORK_FILE}",
            folder.display()
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::{
        cli::{Cli, CliError, Command},
        l1::testing::{client_of, start_anvil},
    };

    fn args(url: &str, output: &Path, more: &[&str]) -> TestnetArgs {
        let output = output.to_str().unwrap();
        let line = [&["baton", "testnet", "--l1-rpc", url, "--output", output], more].concat();
        let Command::Testnet(args) = Cli::try_parse_from(line).unwrap().command else { panic!("another verb") };
        *args
    }

    async fn make(args: &TestnetArgs) -> Result<Network, CliError> {
        make_or_check(args, &mut |_| {}).await.map_err(CliError::Devnet)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_network_is_laid_out_once_for_nodes_with_names() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let anvil = start_anvil().await;
        let client = client_of(&anvil);
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("network");
        let more = ["--node-l1-rpc", "http://l1:8545", "--node-home", "/node", "--spec", "idleBlockMs=500"];
        let made_with = args(anvil.url(), &output, &more);
        let network = make(&made_with).await.unwrap();

        let bonds: Vec<&str> = network.nodes.iter().map(|node| node.bond.trim_end_matches('0')).collect();
        assert_eq!(bonds, ["32", "28", "22", "18"]);
        for (index, node) in network.nodes.iter().enumerate() {
            let config =
                Config::load(Some(&output.join(format!("node{index}/node.toml"))), NodeKeys::default()).unwrap();
            assert_eq!(config.data_dir, Path::new("/node/data"));
            assert_eq!(config.consensus_key.as_deref(), Some(Path::new("/node/keys/consensus.key")));
            assert_eq!(config.l1.rpc[0].expose().as_str(), "http://l1:8545/");
            assert_eq!(config.rpc.listen.to_string(), "0.0.0.0:8545");
            assert_eq!(config.rpc.allowed_hosts, ["localhost", &node.name]);
            // Every other node by its name, and not itself.
            let peers = toml::to_string(&config.p2p).unwrap();
            for (other, peer) in network.nodes.iter().enumerate() {
                let named = peers.contains(&format!("/dns4/node{other}/tcp/30303")) && peers.contains(&peer.peer_id);
                assert_eq!(named, other != index, "{peers}");
            }
            assert_eq!(config.genesis.as_deref(), Some(Path::new("/node/genesis.json")));
            let genesis = std::fs::read_to_string(output.join(format!("node{index}/genesis.json"))).unwrap();
            let spec = made_with.network.description().unwrap().spec;
            assert_eq!(super::super::genesis::hash(&genesis, &spec), Ok(spec.genesis_hash));
            let owner = account_key::load(&output.join(format!("owners/node{index}.key"))).unwrap();
            assert_eq!(owner.address(), node.owner);
        }
        assert_eq!(network, Network::read(&output).unwrap().unwrap());

        // Again: the same network, and nothing was sent to L1.
        let head = client.existing_block(At::Latest).await.unwrap().origin;
        assert_eq!(make(&made_with).await.unwrap(), network);
        assert_eq!(client.existing_block(At::Latest).await.unwrap().origin, head);

        // Another network than the folder holds is the caller's mistake.
        for (other, what) in [
            (&["--stakes", "1,2,3,4"][..], "bonds"),
            (&["--hostname-prefix", "seq"], "host name"),
            (&["--node-home", "/elsewhere"], "node home"),
            (&["--node-l1-rpc", "http://other"], "L1 endpoint"),
            (&["--spec", "deltaMs=7"], "chain parameters"),
        ] {
            let kept: Vec<&str> = more.chunks(2).filter(|pair| pair[0] != other[0]).flatten().copied().collect();
            let error = make(&args(anvil.url(), &output, &[&kept, other].concat())).await.unwrap_err();
            assert!(error.to_string().contains(what), "{error}");
            assert_eq!(error.exit_code(), 2, "{error}");
        }

        // A run that was interrupted before the end is taken up with the same keys, on a chain of its own.
        std::fs::remove_file(output.join(NETWORK_FILE)).unwrap();
        let again = make(&made_with).await.unwrap();
        assert_ne!(again.l1.registry, network.l1.registry);
        assert_eq!(again.nodes, network.nodes);

        // A folder that is not whole, and an L1 that lost the chain, are told.
        let record = output.join("node2/keys/sign-record");
        std::fs::rename(&record, output.join("away")).unwrap();
        assert!(make(&made_with).await.unwrap_err().to_string().contains("sign-record is missing"));
        std::fs::rename(output.join("away"), &record).unwrap();
        anvil.stop().await.unwrap();
        let empty = start_anvil().await;
        let error = make(&args(empty.url(), &output, &more)).await.unwrap_err();
        assert!(error.to_string().contains("its state is lost or it is another L1"), "{error}");
        assert_eq!(error.exit_code(), 1);
    }
}
