//! A leader signs two blocks and shows each to half of the others: no fork, it loses bond by what the others saw, and who
//! only listens to gossip hears of it.

use alloy::primitives::Address;
use anyhow::{Context as _, ensure};
use baton_node::l1::{
    At, L1Client,
    bindings::{SequencerRegistry, Slasher},
};
use baton_tests::{
    devnet::{Devnet, program, until},
    follower::Follower,
    metrics::Samples,
    witness::facts,
};

use crate::load::Load;

/// The node that lies, and those that do not. All but it can lose one more and still have a quorum.
const LIAR: usize = 3;
const HONEST: [usize; 3] = [0, 1, 2];

#[tokio::test(flavor = "multi_thread")]
async fn an_equivocator_cannot_fork_and_loses_bond() -> anyhow::Result<()> {
    let mut devnet = Devnet::start(&["--absent", &LIAR.to_string()]).await?;
    // It is there before the first offence, on no member's stream: what it learns of one, gossip brings.
    let follower = Follower::start(&devnet).await?;
    let height = devnet.rpc(0).height().await?;
    until("the follower to follow", || async { Ok((follower.rpc.height().await? > height).then_some(())) }).await?;
    devnet.start_node(LIAR, &program("baton-byzantine"), &[])?;
    let load = Load::start(&devnet, 0, &HONEST)?;
    let facts = facts(&devnet.info.nodes[0].data_dir)?;
    let l1 = L1Client::new(
        std::slice::from_ref(&devnet.info.l1.rpc),
        facts.domain.l1_chain_id,
        std::time::Duration::from_secs(30),
    )?;
    let liar: Address = devnet.info.nodes[LIAR].owner.parse()?;
    let bond_of = async |owner: Address| -> anyhow::Result<alloy::primitives::U256> {
        Ok(l1.call(facts.domain.registry, &SequencerRegistry::bondOfCall { owner }, At::Latest).await?)
    };
    let bonded: alloy::primitives::U256 = devnet.info.nodes[LIAR].bond.parse()?;

    let left = until("its bond to fall on L1", || async {
        let bond = bond_of(liar).await?;
        Ok((bond < bonded).then_some(bond))
    })
    .await?;
    let penalty =
        bonded * alloy::primitives::U256::from(facts.spec.base_slash_bps) / alloy::primitives::U256::from(10_000);
    ensure!(left == bonded - penalty, "it has {left} left of {bonded}, the penalty is {penalty}");
    for node in HONEST {
        let owner = devnet.info.nodes[node].owner.parse()?;
        let bond: alloy::primitives::U256 = devnet.info.nodes[node].bond.parse()?;
        ensure!(bond_of(owner).await? == bond, "honest node {node} lost bond");
    }

    until("gossip to bring the follower the evidence", || async {
        let offenders = Samples::fetch(&follower.health).await?.get("baton_consensus_byzantine_validators")?;
        ensure!(offenders <= 1.0, "the follower knows of {offenders} offenders");
        Ok((offenders == 1.0).then_some(()))
    })
    .await?;
    follower.stop().await?;

    // An honest node submitted it by itself, from the account that it keeps for evidence.
    let filter = alloy::rpc::types::Filter::new()
        .address(facts.slasher)
        .from_block(0)
        .event_signature(<Slasher::Slashed as alloy::sol_types::SolEvent>::SIGNATURE_HASH);
    // anvil shows a block's state a moment before its logs.
    let logs = until("the slashing to be logged", || async {
        let logs = l1.logs(&filter).await?;
        Ok((!logs.is_empty()).then_some(logs))
    })
    .await?;
    ensure!(logs.len() == 1, "{} slashings", logs.len());
    let slashed = logs.first().context("one")?.log_decode::<Slasher::Slashed>()?.inner.data;
    let honest: Vec<Address> =
        HONEST.iter().map(|node| devnet.info.nodes[*node].evidence_account.parse()).collect::<Result<_, _>>()?;
    ensure!(slashed.owner == liar && honest.contains(&slashed.reporter), "{slashed:?}");

    // The chain went on, and is one chain.
    let height = devnet.rpc(0).height().await?;
    for node in HONEST {
        let rpc = devnet.rpc(node);
        until("the chain to go on", || async { Ok((rpc.height().await? >= height + 20).then_some(())) }).await?;
    }
    ensure!(load.stop().await? > 0, "nobody could send anything");
    for height in 1..=height {
        let expected = devnet.rpc(0).block(height).await?["hash"].clone();
        for node in HONEST {
            let got = devnet.rpc(node).block(height).await?["hash"].clone();
            ensure!(got == expected, "block {height} is {got} on node {node}, {expected} on node 0");
        }
    }
    devnet.stop().await
}
