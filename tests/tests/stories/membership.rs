//! Who decides when: epochs and committees as nodes and L1 tell them, and how one joins and leaves.

use std::time::Duration;

use alloy::{signers::local::PrivateKeySigner, sol_types::SolCall};
use alloy_primitives::{Address, U256};
use anyhow::Context as _;
use baton_consensus::SecretKey;
use baton_node::{
    config::{Config, NodeKeys},
    l1::{
        ChainFacts, L1Client,
        bindings::SequencerRegistry,
        coming_committees,
        deploy::{self, Founder, register},
    },
    signer::keyfile,
};
use baton_proto::{Epoch, L1ChainId};
use baton_tests::devnet::{Devnet, until};
use serde_json::{Value, json};

/// How long one question to L1 may take.
const L1_WITHIN: Duration = Duration::from_secs(30);

/// Returns what a node says of the committee of its running epoch.
pub(crate) async fn committee(devnet: &Devnet, node: usize) -> anyhow::Result<Value> {
    devnet.rpc(node).call("baton_committee", json!([])).await
}

/// Returns its members.
pub(crate) async fn members(devnet: &Devnet, node: usize) -> anyhow::Result<Vec<Value>> {
    committee(devnet, node).await?["members"].as_array().cloned().context("members are a list")
}

/// Returns the epoch that runs on a node.
pub(crate) async fn epoch(devnet: &Devnet, node: usize) -> anyhow::Result<u64> {
    committee(devnet, node).await?["epoch"].as_u64().context("an epoch is a number")
}

/// Waits until epoch `goal` or a later one runs on a node.
pub(crate) async fn until_epoch(devnet: &Devnet, node: usize, goal: u64) -> anyhow::Result<()> {
    until("a later epoch", || async {
        // A node that was just started does not answer yet.
        let Ok(epoch) = epoch(devnet, node).await else { return Ok(None) };
        Ok((epoch >= goal).then_some(()))
    })
    .await
}

/// The same with an L1 that is in a hurry: it has one block more at each look.
pub(crate) async fn hurry_to_epoch(devnet: &Devnet, node: usize, goal: u64) -> anyhow::Result<()> {
    let client = l1_client(devnet)?;
    until("a later epoch", || async {
        deploy::mine(&client, 1).await?;
        let Ok(epoch) = epoch(devnet, node).await else { return Ok(None) };
        Ok((epoch >= goal).then_some(()))
    })
    .await
}

pub(crate) fn l1_client(devnet: &Devnet) -> anyhow::Result<L1Client> {
    let l1 = &devnet.info.l1;
    Ok(L1Client::new(std::slice::from_ref(&l1.rpc), L1ChainId::new(l1.chain_id), L1_WITHIN)?)
}

/// Returns the consensus key of a node.
pub(crate) fn key_of(devnet: &Devnet, node: usize) -> anyhow::Result<SecretKey> {
    let config = Config::load(Some(&devnet.info.nodes[node].config), NodeKeys::default())?;
    Ok(keyfile::load(config.consensus_key.as_deref().context("it has a key")?)?)
}

/// Returns the first epoch that L1 shows whose committee has `owner`, or has it not.
async fn first_committee(client: &L1Client, facts: &ChainFacts, owner: Address, seated: bool) -> anyhow::Result<Epoch> {
    until("a committee as it was asked for", || async {
        let mut coming = coming_committees(client, facts).await?.into_iter();
        let found = coming.find(|(_, members)| members.iter().any(|member| member.owner == owner) == seated);
        Ok(found.map(|(epoch, _)| epoch))
    })
    .await
}

/// Bonds `node` with 100 tokens as `owner` and returns the first epoch whose committee has it.
pub(crate) async fn bond(
    devnet: &Devnet,
    node: usize,
    owner: &PrivateKeySigner,
    facts: &ChainFacts,
) -> anyhow::Result<Epoch> {
    bond_of(devnet, node, owner, facts, U256::from(100) * U256::from(10_u64.pow(18))).await
}

/// The same with another bond, in base units.
pub(crate) async fn bond_of(
    devnet: &Devnet,
    node: usize,
    owner: &PrivateKeySigner,
    facts: &ChainFacts,
    bond: U256,
) -> anyhow::Result<Epoch> {
    let client = l1_client(devnet)?;
    let balance = json!([owner.address(), U256::from(10_u64.pow(18))]);
    devnet.l1().call("anvil_setBalance", balance).await?;
    let key = key_of(devnet, node)?;
    let founder = Founder { owner, fee_recipient: owner.address(), key: &key, bond };
    register(&client, &facts.domain, devnet.info.l1.token.parse()?, &founder).await?;
    first_committee(&client, facts, owner.address(), true).await
}

/// Asks for the exit of `owner` and returns the first epoch whose committee is without it.
pub(crate) async fn exit(devnet: &Devnet, owner: &PrivateKeySigner, facts: &ChainFacts) -> anyhow::Result<Epoch> {
    let client = l1_client(devnet)?;
    let exit = SequencerRegistry::exitCall {}.abi_encode();
    deploy::send(&client, owner, facts.domain.registry, exit.into(), "an exit").await?;
    first_committee(&client, facts, owner.address(), false).await
}

/// The same for a founder, whose key the devnet keeps to itself: L1 takes the story's word for it.
pub(crate) async fn exit_founder(devnet: &Devnet, node: usize, facts: &ChainFacts) -> anyhow::Result<Epoch> {
    let owner: Address = devnet.info.nodes[node].owner.parse()?;
    let data = alloy::hex::encode_prefixed(SequencerRegistry::exitCall {}.abi_encode());
    devnet.l1().call("anvil_impersonateAccount", json!([owner])).await?;
    let exit = json!([{ "from": owner, "to": facts.domain.registry, "data": data }]);
    devnet.l1().call("eth_sendTransaction", exit).await?;
    first_committee(&l1_client(devnet)?, facts, owner, false).await
}
