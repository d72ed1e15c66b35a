//! Large blocks whose transactions only one node holds, and a follower: nobody votes for what it cannot have, everybody
//! gets it, and a node without a consensus key sees the same chain.

use std::sync::Arc;

use alloy::{
    hex,
    primitives::{Address, Bytes},
    signers::local::PrivateKeySigner,
};
use anyhow::{Context as _, ensure};
use baton_node::{
    config::{Config, NodeKeys},
    epoch::{EpochBook, EpochContext},
    p2p::{Keypair, Multiaddr, Network, NetworkConfig, PeerId},
};
use baton_proto::{
    limits::{COMPACT_ABOVE_BYTES, FORWARD_TRANSACTIONS_MAX},
    wire::{SyncRequest, SyncResponse},
};
use baton_tests::{
    devnet::{Devnet, ONE_EPOCH, until},
    follower::Follower,
    metrics::Samples,
    rpc::quantity,
    transactions::transfer,
    witness::facts,
};
use serde_json::json;

/// The node that alone is given the transactions.
const HOLDER: usize = 0;

/// Accounts that send, and transactions of each: together far above what travels whole.
const ACCOUNTS: usize = 8;
const EACH: u64 = 50;

#[tokio::test(flavor = "multi_thread")]
async fn large_blocks_of_one_nodes_transactions_reach_everybody_and_a_follower() -> anyhow::Result<()> {
    let devnet = Devnet::start(&ONE_EPOCH).await?;
    let follower = Follower::start(&devnet).await?;
    let height = devnet.rpc(0).height().await?;
    until("the follower to follow", || async { Ok((follower.rpc.height().await? > height).then_some(())) }).await?;

    // Handed to one node alone, past gossip: it proposes them when it leads, and whoever votes has asked for them.
    let mut sent = Vec::new();
    for account in &devnet.info.accounts[..ACCOUNTS] {
        let key: PrivateKeySigner = account.private_key.parse()?;
        sent.extend((0..EACH).map(|nonce| Bytes::from(transfer(&key, devnet.info.chain_id, nonce, 1))));
    }
    hand_over(&devnet, sent.clone()).await?;
    let last = &devnet.info.accounts[ACCOUNTS - 1].address;
    for node in (0..devnet.info.nodes.len()).map(|index| devnet.rpc(index)).chain([follower.rpc.clone()]) {
        until("all of them to be final", || async {
            let count = node.call("eth_getTransactionCount", json!([last, "latest"])).await?;
            Ok((quantity(&count)? == EACH).then_some(()))
        })
        .await?;
    }

    // One block at least was too large to travel whole, and came from the node that alone could fill it.
    let height = devnet.rpc(0).height().await?;
    let (mut found, mut largest) = (0, 0);
    for height in 1..=height {
        let transactions = devnet.rpc(0).block(height).await?["transactions"].clone();
        let count = transactions.as_array().context("a block has transactions")?.len();
        found += count;
        largest = largest.max(count);
    }
    ensure!(found == sent.len(), "{found} of {} are in the chain", sent.len());
    let bytes = largest * sent.iter().map(|raw| raw.len()).min().context("some were sent")?;
    ensure!(bytes > COMPACT_ABOVE_BYTES, "the largest block has {bytes} bytes and need not travel as hashes");
    let mut compact = 0.0;
    for node in &devnet.info.nodes {
        compact += Samples::fetch(&node.health).await?.get("baton_consensus_compact_proposals_received_total")?;
    }
    ensure!(compact > 0.0, "no proposal travelled as hashes");

    // What users give a follower goes to the leaders.
    let key: PrivateKeySigner = devnet.info.accounts[0].private_key.parse()?;
    let raw = hex::encode_prefixed(transfer(&key, devnet.info.chain_id, EACH, 1));
    let hash = follower.rpc.call("eth_sendRawTransaction", json!([raw])).await?;
    let height = until("a follower's transaction to be final", || async {
        let found = follower.rpc.call("eth_getTransactionByHash", json!([hash])).await?;
        if found["blockNumber"].is_null() { Ok(None) } else { quantity(&found["blockNumber"]).map(Some) }
    })
    .await?;

    // One chain, to the last block.
    for height in 0..=height {
        let expected = devnet.rpc(1).block(height).await?["hash"].clone();
        let got = follower.rpc.block(height).await?["hash"].clone();
        ensure!(
            !expected.is_null() && got == expected,
            "block {height} is {got} on the follower, {expected} on node 1"
        );
    }
    let status = follower.rpc.call("baton_status", json!([])).await?;
    ensure!(status["me"].is_null(), "a follower is no member: {status}");
    follower.stop().await?;
    devnet.stop().await
}

/// Hands transactions to one node, as a leader is handed them, and to nobody else.
async fn hand_over(devnet: &Devnet, transactions: Vec<Bytes>) -> anyhow::Result<()> {
    let facts = facts(&devnet.info.nodes[HOLDER].data_dir)?;
    let epoch = Arc::new(EpochContext::new(facts.domain, &facts.first, facts.genesis.clone(), None)?);
    let owner: Address = devnet.info.nodes[HOLDER].owner.parse()?;
    let holder = epoch.committee.index_of(owner).context("it is a member")?;
    // Each node knows all the others: who is in another's configuration and not in its own is the holder.
    let peers = |node: usize| -> anyhow::Result<Vec<(PeerId, Multiaddr)>> {
        let peers = Config::load(Some(&devnet.info.nodes[node].config), NodeKeys::default())?.p2p.peers;
        Ok(peers.into_iter().map(|peer| (peer.peer_id, peer.address)).collect())
    };
    let others = peers(HOLDER)?;
    let network = NetworkConfig {
        announce: vec![],
        book: None,
        identity: Keypair::generate_ed25519(),
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse()?],
        epochs: EpochBook::new(epoch),
        spec: facts.spec,
        speakers: vec![],
        peers: peers(HOLDER + 1)?.into_iter().filter(|peer| !others.contains(peer)).collect(),
        observers: vec![],
    };
    ensure!(network.peers.len() == 1, "one peer is the holder, not {:?}", network.peers);
    let (network, _events) = Network::start(network, Arc::new(|_: &_| None)).await?;
    for some in transactions.chunks(FORWARD_TRANSACTIONS_MAX) {
        let count = u32::try_from(some.len())?;
        until("the node to take them", || async {
            let answer = network.request(holder, SyncRequest::Take(some.to_vec())).await;
            Ok((answer == Ok(SyncResponse::Taken(count))).then_some(()))
        })
        .await?;
    }
    network.shutdown().await;
    Ok(())
}
