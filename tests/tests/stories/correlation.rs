//! Two members sign against themselves in one window, and one did so alone, long before: the two lose more.

use alloy_primitives::{Address, B256, U256};
use anyhow::{Context as _, ensure};
use baton_node::l1::{At, bindings::SequencerRegistry};
use baton_proto::{
    BlockDigest, Domain, Epoch, Evidence, MemberIndex, SignedStatement, Statement, View, wire::Announcement,
};
use baton_tests::{
    devnet::{Devnet, until},
    witness::facts,
};

use crate::{
    late_evidence::stranger,
    membership::{epoch, hurry_to_epoch, key_of, l1_client, members},
    owners::{ask_as, balance, founder, until_released},
};

/// Bonds in whole tokens. Those who offend are bonded and never started; the others are more than two thirds without them.
const STAKES: &str = "30,30,30,4,4,4";
const LONE: usize = 3;
const TOGETHER: [usize; 2] = [4, 5];

/// Epochs around an offence in which the offences of others make it dearer.
const CORRELATION_EPOCHS: u64 = 1;

const BPS: u64 = 10_000;

/// Two blocks of one view of the running epoch, signed by `node`.
async fn pair(devnet: &Devnet, node: usize, domain: &Domain) -> anyhow::Result<Evidence> {
    let (owner, _) = founder(devnet, node)?;
    let owner = serde_json::json!(owner);
    let (epoch, seated) = (Epoch::new(epoch(devnet, 0).await?), members(devnet, 0).await?);
    let place = seated.iter().position(|member| member["owner"] == owner).context("it has a seat")?;
    let (signer, key) = (MemberIndex::new(u8::try_from(place)?), key_of(devnet, node)?);
    let vote = |fill| {
        let statement =
            Statement::Notarize { epoch, view: View::new(7), block: BlockDigest::new(B256::repeat_byte(fill)) };
        SignedStatement { statement, signer, signature: key.sign(&statement, domain) }
    };
    Evidence::new(vote(1), vote(2)).context("they contradict each other")
}

#[tokio::test(flavor = "multi_thread")]
async fn two_offenders_in_one_window_lose_more_than_one_alone() -> anyhow::Result<()> {
    let correlation = format!("correlationEpochs={CORRELATION_EPOCHS}");
    let short = ["epochBlocks=8", "evidenceBlocks=48", &correlation];
    let mut arguments = vec!["--stakes", STAKES, "--absent", "3", "--absent", "4", "--absent", "5"];
    arguments.extend(short.iter().flat_map(|parameter| ["--spec", parameter]));
    let devnet = Devnet::start(&arguments).await?;
    let facts = facts(&devnet.info.nodes[0].data_dir)?;
    let client = l1_client(&devnet)?;
    let (stranger, _events) = stranger(&devnet, LONE, &facts).await?;
    let base = |bond: U256| bond * U256::from(facts.spec.base_slash_bps) / U256::from(BPS);
    let penalized = async |evidence: Evidence, node: usize| -> anyhow::Result<()> {
        let (owner, bonded) = founder(&devnet, node)?;
        let left = until("a bond to fall on L1", || async {
            // Nobody hears it before it is connected.
            stranger.announce(Announcement::Evidence(evidence.clone()));
            let question = SequencerRegistry::bondOfCall { owner };
            let bond = client.call(facts.domain.registry, &question, At::Latest).await?;
            Ok((bond < bonded).then_some(bond))
        })
        .await?;
        ensure!(left == bonded - base(bonded), "{owner} has {left} left of {bonded}");
        Ok(())
    };

    let alone = pair(&devnet, LONE, &facts.domain).await?;
    let alone_in = alone.epoch().get();
    penalized(alone, LONE).await?;
    hurry_to_epoch(&devnet, 0, alone_in + CORRELATION_EPOCHS + 2).await?;
    let mut together = Vec::new();
    for node in TOGETHER {
        together.push((node, pair(&devnet, node, &facts.domain).await?));
    }
    // Whatever the committee was then: its weight decides how much each counts.
    let mut totals = Vec::new();
    for (_, evidence) in &together {
        let question = SequencerRegistry::totalWeightCall { epoch: evidence.epoch().get() };
        totals.push(client.call(facts.domain.registry, &question, At::Latest).await?);
    }
    for (node, evidence) in together {
        penalized(evidence, node).await?;
    }
    stranger.shutdown().await;

    let paid = async |node: usize| -> anyhow::Result<U256> {
        let (owner, _): (Address, U256) = founder(&devnet, node)?;
        until_released(&devnet, &client, &facts, owner).await?;
        ask_as(&devnet, owner, &["withdraw"]).await?;
        balance(&devnet, &client, owner).await
    };
    let (_, bonded) = founder(&devnet, LONE)?;
    let rest = bonded - base(bonded);
    let lone = paid(LONE).await?;
    ensure!(lone == rest, "the lone offender was paid {lone} of {rest}");
    for (node, total) in TOGETHER.into_iter().zip(totals) {
        // Three times the bond times the other's share of the weight, besides the base penalty.
        let other = bonded / U256::from(facts.spec.weight_unit);
        let more = U256::from(3) * bonded * other / U256::from(total);
        let paid = paid(node).await?;
        ensure!(paid == rest - more && paid < lone, "offender {node} was paid {paid}, and one alone {lone}");
    }
    devnet.stop().await
}
