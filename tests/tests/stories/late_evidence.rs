//! Somebody finds two statements of a member from an epoch that no node remembers, and tells the network: the member stops, and
//! loses bond on L1.

use std::sync::Arc;

use alloy_primitives::{Address, B256, U256};
use anyhow::{Context as _, ensure};
use baton_node::{
    config::{Config, NodeKeys},
    epoch::{EPOCHS_KEPT, EpochBook, EpochContext},
    l1::{At, ChainFacts, bindings::SequencerRegistry},
    p2p::{Keypair, Network, NetworkConfig, NetworkEvent},
};
use baton_proto::{BlockDigest, Evidence, SignedStatement, Statement, View, wire::Announcement};
use baton_tests::{
    devnet::{Devnet, until},
    witness::facts,
};
use tokio::sync::mpsc;

use crate::membership::{epoch, hurry_to_epoch, key_of, l1_client};

/// The member that signed against itself.
const LIAR: usize = 3;

/// Starts the network of somebody who is no member and knows the peers that `node` knows.
pub(crate) async fn stranger(
    devnet: &Devnet,
    node: usize,
    facts: &ChainFacts,
) -> anyhow::Result<(Network, mpsc::Receiver<NetworkEvent>)> {
    let config = Config::load(Some(&devnet.info.nodes[node].config), NodeKeys::default())?;
    let then = EpochContext::new(facts.domain, &facts.first, facts.genesis.clone(), None)?;
    let stranger = NetworkConfig {
        identity: Keypair::generate_ed25519(),
        listen: vec![],
        announce: vec![],
        book: None,
        epochs: EpochBook::new(Arc::new(then)),
        spec: facts.spec.clone(),
        speakers: vec![],
        peers: config.p2p.peers.iter().map(|peer| (peer.peer_id, peer.address.clone())).collect(),
        observers: vec![],
    };
    Ok(Network::start(stranger, Arc::new(|_: &_| None)).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_of_an_epoch_that_nobody_remembers_still_costs_bond() -> anyhow::Result<()> {
    let devnet = Devnet::start(&["--spec", "epochBlocks=8"]).await?;
    let facts = facts(&devnet.info.nodes[0].data_dir)?;
    let then = EpochContext::new(facts.domain, &facts.first, facts.genesis.clone(), None)?;
    let owner: Address = devnet.info.nodes[LIAR].owner.parse()?;
    let signer = then.committee.index_of(owner).context("it is a member")?;
    let key = key_of(&devnet, LIAR)?;
    let vote = |fill| {
        let block = BlockDigest::new(B256::repeat_byte(fill));
        let statement = Statement::Notarize { epoch: then.epoch, view: View::new(7), block };
        SignedStatement { statement, signer, signature: key.sign(&statement, &facts.domain) }
    };
    let evidence = Evidence::new(vote(1), vote(2)).context("they contradict each other")?;

    // So many epochs later it has left every node's memory.
    for _ in 0..EPOCHS_KEPT {
        let next = epoch(&devnet, 0).await? + 1;
        hurry_to_epoch(&devnet, 0, next).await?;
    }
    let (stranger, _events) = stranger(&devnet, LIAR, &facts).await?;
    let client = l1_client(&devnet)?;
    let bond_of = async |owner: Address| -> anyhow::Result<U256> {
        Ok(client.call(facts.domain.registry, &SequencerRegistry::bondOfCall { owner }, At::Latest).await?)
    };
    let bonded: U256 = devnet.info.nodes[LIAR].bond.parse()?;
    let left = until("its bond to fall on L1", || async {
        // Nobody hears it before it is connected.
        stranger.announce(Announcement::Evidence(evidence.clone()));
        let bond = bond_of(owner).await?;
        Ok((bond < bonded).then_some(bond))
    })
    .await?;
    let penalty = bonded * U256::from(facts.spec.base_slash_bps) / U256::from(10_000);
    ensure!(left == bonded - penalty, "it has {left} left of {bonded}, the penalty is {penalty}");
    stranger.shutdown().await;

    // It heard of it as well, from the others, and signs nothing any more; they go on.
    until("it to stop", || async { Ok(devnet.rpc(LIAR).height().await.err()) }).await?;
    let height = devnet.rpc(0).height().await?;
    for node in 0..LIAR {
        let rpc = devnet.rpc(node);
        until("the chain to go on", || async { Ok((rpc.height().await? >= height + 10).then_some(())) }).await?;
        let (owner, bonded) = (&devnet.info.nodes[node].owner, devnet.info.nodes[node].bond.parse::<U256>()?);
        ensure!(bond_of(owner.parse()?).await? == bonded, "honest node {node} lost bond");
    }
    devnet.stop().await
}
