//! A sequencer leaves and takes its bond back: not before nothing that it signed can be punished any more, and then all of it.

use alloy::signers::local::PrivateKeySigner;
use alloy_primitives::{B256, U256};
use anyhow::{Context as _, ensure};
use baton_node::config::account_key;
use baton_tests::{
    devnet::{Devnet, until},
    witness::facts,
};

use crate::{
    membership::{bond_of, l1_client, members, until_epoch},
    owners::{balance, baton, release_block, to_l1, until_released},
};

/// The node that joins and leaves, and its bond in whole tokens: little enough that the others do not need it.
const LEAVER: usize = 4;
const TOKENS: u64 = 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_sequencer_exits_and_withdraws_its_bond_after_the_window() -> anyhow::Result<()> {
    let short = ["--spec", "epochBlocks=8", "--spec", "evidenceBlocks=16", "--spec", "correlationEpochs=1"];
    let mut devnet = Devnet::start(&[&short[..], &["--unbonded", "1"]].concat()).await?;
    let facts = facts(&devnet.info.nodes[0].data_dir)?;
    let client = l1_client(&devnet)?;
    let owner = PrivateKeySigner::from_bytes(&B256::repeat_byte(0x5b))?;
    let file = devnet.folder().join("owner.key");
    account_key::write(&file, &owner)?;
    let account = ["--account", file.to_str().context("a path of letters")?, "--l1-rpc", &devnet.info.l1.rpc];
    let arguments = |call: &str| to_l1(&devnet, &[&[call], &account[..]].concat());
    let (exit, withdraw) = (arguments("exit"), arguments("withdraw"));
    let run = async |arguments: &[String]| baton(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await;

    let bonded = U256::from(TOKENS) * U256::from(10_u64.pow(18));
    let seat = bond_of(&devnet, LEAVER, &owner, &facts, bonded).await?;
    ensure!(balance(&devnet, &client, owner.address()).await? == U256::ZERO, "the bond is not locked");
    devnet.restart(LEAVER)?;
    until_epoch(&devnet, LEAVER, seat.get()).await?;
    ensure!(members(&devnet, LEAVER).await?.len() == 5, "it has no seat in epoch {seat}");

    // It is refused until it has left, until its last epoch closed, and until evidence of that can come no more.
    let refused = run(&withdraw).await?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(refused.status.code() == Some(1) && said.contains("SequencerRegistry__"), "before the exit: {said}");
    let left = run(&exit).await?;
    ensure!(left.status.success(), "{}", String::from_utf8_lossy(&left.stderr));
    let refused = run(&withdraw).await?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(refused.status.code() == Some(1) && said.contains("Slasher__EpochIsOpen"), "in its last epoch: {said}");
    until("the epochs that it served to close", || release_block(&devnet, &client, &facts, owner.address())).await?;
    let refused = run(&withdraw).await?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(refused.status.code() == Some(1) && said.contains("Slasher__BondLocked"), "in the window: {said}");

    until_released(&devnet, &client, &facts, owner.address()).await?;
    let paid = run(&withdraw).await?;
    ensure!(paid.status.success(), "{}", String::from_utf8_lossy(&paid.stderr));
    ensure!(balance(&devnet, &client, owner.address()).await? == bonded, "it was not paid all of its bond");
    let again = run(&withdraw).await?;
    ensure!(!again.status.success(), "it was paid twice");

    // The others went on, and it follows them.
    let height = devnet.rpc(0).height().await?;
    until("the leaver to follow", || async { Ok((devnet.rpc(LEAVER).height().await? > height).then_some(())) }).await?;
    ensure!(members(&devnet, LEAVER).await?.len() == 4, "the leaver has a seat");
    devnet.stop().await
}
