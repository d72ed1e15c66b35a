//! A sequencer whose bond belongs to others: what they delegate counts in its weight, it signs against itself, and each of
//! them loses the same part, who waited to leave as well as who stayed.

use alloy::{
    primitives::{Address, Bytes, U256},
    sol_types::{SolCall, SolConstructor},
};
use anyhow::{Context as _, ensure};
use baton_node::{
    config::{Config, NodeKeys},
    l1::{
        At, ChainFacts, L1Client,
        bindings::{DelegationVault, DelegationVaultFactory, DevToken, SequencerRegistry},
    },
};
use baton_proto::Epoch;
use baton_tests::{
    devnet::{Devnet, program, until},
    witness::facts,
};
use serde_json::{Value, json};

use crate::{
    membership::{l1_client, members, until_epoch},
    owners::{ask_as, balance, transact, until_released},
    rotation::stop,
};

/// Bonds of the founders in whole tokens: more than two thirds without the vault, and the vault leads one view in five.
const STAKES: &str = "30,30,30,30";
/// The node that runs under the vault.
const UNDER_VAULT: usize = 4;
/// What the two delegators bring, in whole tokens: one before the sequencer registers, one after.
const FIRST: u64 = 20;
const SECOND: u64 = 10;
const BPS: u64 = 10_000;
/// Base units by which a sum of rounded parts may be beside the part of a sum.
const ROUNDING: U256 = U256::from_limbs([2, 0, 0, 0]);
const COMMISSION_BPS: u64 = 1_000;

fn tokens(whole: u64) -> U256 {
    U256::from(whole) * U256::from(10_u64.pow(18))
}

async fn send(devnet: &Devnet, from: Address, to: Address, call: impl SolCall) -> anyhow::Result<Value> {
    let data = Bytes::from(call.abi_encode());
    transact(devnet, from, json!({ "from": from, "to": to, "data": data })).await
}

/// A vault that `operator` made through a factory of the chain's registry.
async fn vault_of(devnet: &Devnet, operator: Address, facts: &ChainFacts) -> anyhow::Result<Address> {
    let artifact: Value =
        serde_json::from_str(include_str!("../../../contracts/artifacts/DelegationVaultFactory.json"))?;
    let code: Bytes = artifact["bytecode"]["object"].as_str().context("an artifact has code")?.parse()?;
    let arguments = DelegationVaultFactory::constructorCall { registry: facts.domain.registry }.abi_encode();
    let code = Bytes::from([code.as_ref(), &arguments].concat());
    let receipt = transact(devnet, operator, json!({ "from": operator, "data": code })).await?;
    let factory: Address = receipt["contractAddress"].as_str().context("a contract")?.parse()?;
    let create = DelegationVaultFactory::createVaultCall {
        commissionBps: U256::from(COMMISSION_BPS),
        name: "Delegated bond".into(),
        symbol: "dBOND".into(),
    };
    let receipt = send(devnet, operator, factory, create).await?;
    // The factory's event is the last: indexed by the vault.
    let logs = receipt["logs"].as_array().context("logs are a list")?;
    let vault = logs.last().context("it tells of the vault")?["topics"][1].as_str().context("an address")?;
    let vault = Address::from_word(vault.parse()?);
    let known = DelegationVaultFactory::isVaultCall { vault };
    ensure!(l1_client(devnet)?.call(factory, &known, At::Latest).await?, "{vault} is not the factory's");
    Ok(vault)
}

async fn delegate(devnet: &Devnet, who: Address, vault: Address, amount: U256) -> anyhow::Result<()> {
    let token: Address = devnet.info.l1.token.parse()?;
    send(devnet, who, token, DevToken::mintCall { to: who, amount }).await?;
    send(devnet, who, token, DevToken::approveCall { spender: vault, value: amount }).await?;
    send(devnet, who, vault, DelegationVault::depositCall { assets: amount, receiver: who }).await?;
    Ok(())
}

/// What a vault has at one block of L1, in base units.
struct Books {
    /// Bond and what unbonds of it.
    held: U256,
    /// What all shares are worth together.
    assets: U256,
    /// What those are owed who wait to leave.
    owed: U256,
    /// What so many shares are worth as make a whole token at first.
    price: U256,
}

async fn books(client: &L1Client, facts: &ChainFacts, vault: Address) -> anyhow::Result<Books> {
    let at = At::Number(client.existing_block(At::Latest).await?.origin.number);
    let registry = facts.domain.registry;
    let bond = client.call(registry, &SequencerRegistry::bondOfCall { owner: vault }, at).await?;
    let unbonding = client.call(registry, &SequencerRegistry::unbondingOfCall { owner: vault }, at).await?;
    Ok(Books {
        held: bond + unbonding,
        assets: client.call(vault, &DelegationVault::totalAssetsCall {}, at).await?,
        owed: client.call(vault, &DelegationVault::owedCall {}, at).await?,
        price: client.call(vault, &DelegationVault::convertToAssetsCall { shares: tokens(1_000) }, at).await?,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn delegators_bear_what_their_sequencer_signs() -> anyhow::Result<()> {
    let mut arguments = vec!["--stakes", STAKES, "--unbonded", "1"];
    for parameter in ["epochBlocks=8", "evidenceBlocks=48", "correlationEpochs=1"] {
        arguments.extend(["--spec", parameter]);
    }
    let mut devnet = Devnet::start(&arguments).await?;
    let facts = facts(&devnet.info.nodes[0].data_dir)?;
    let client = l1_client(&devnet)?;
    let account = |index: usize| -> anyhow::Result<Address> { Ok(devnet.info.accounts[index].address.parse()?) };
    let (operator, stays, leaves) = (account(5)?, account(6)?, account(7)?);
    let vault = vault_of(&devnet, operator, &facts).await?;
    let vault_text = vault.to_string();
    let through = ["--vault", vault_text.as_str()];

    // The operator registers what is there by then; what comes later joins the bond.
    delegate(&devnet, stays, vault, tokens(FIRST)).await?;
    let config = Config::load(Some(&devnet.info.nodes[UNDER_VAULT].config), NodeKeys::default())?;
    let key = config.consensus_key.context("it has a key")?;
    let keys = key.parent().context("in a folder")?.display().to_string();
    let fees = operator.to_string();
    let register = [&["register", "--dir", &keys, "--fee-recipient", &fees][..], &through].concat();
    ask_as(&devnet, operator, &register).await?;
    delegate(&devnet, leaves, vault, tokens(SECOND)).await?;
    let standing = SequencerRegistry::sequencerCall { owner: vault };
    let standing = client.call(facts.domain.registry, &standing, At::Latest).await?;
    // A node takes up a key once L1 has fixed a committee with it, at the start of the epoch before.
    let fixed_at = facts.epochs().start(Epoch::new(standing.effectiveEpoch.saturating_sub(1)));
    until("L1 to fix the first committee with the vault", || async {
        let newest = client.existing_block(At::Latest).await?.origin.number;
        Ok((newest >= fixed_at).then_some(()))
    })
    .await?;
    let pid = devnet.restart(UNDER_VAULT)?;
    until_epoch(&devnet, UNDER_VAULT, standing.effectiveEpoch).await?;
    let seated = members(&devnet, UNDER_VAULT).await?;
    let owner = json!(vault);
    let member = seated.iter().find(|member| member["owner"] == owner).context("the vault has a seat")?;
    let weight = tokens(FIRST + SECOND) / U256::from(facts.spec.weight_unit);
    ensure!(member["weight"] == json!(weight.saturating_to::<u64>()), "{member}, not of weight {weight}");

    // One asks to leave before anything happened. Its part unbonds, and stands behind what was signed while it counted.
    let shares = client.call(vault, &DelegationVault::balanceOfCall { account: leaves }, At::Latest).await?;
    send(&devnet, leaves, vault, DelegationVault::requestRedeemCall { shares, receiver: leaves }).await?;
    let before = books(&client, &facts, vault).await?;
    // A reward can have come in with that, on a machine that is slow enough.
    ensure!(before.held >= tokens(FIRST + SECOND), "{} are at stake", before.held);
    ensure!(before.owed >= tokens(SECOND), "the queue is owed {}", before.owed);
    ensure!(before.assets + before.owed == before.held, "{} belong to the shares", before.assets);

    // The same key with another program: whenever it leads, it signs two blocks.
    stop(&devnet, pid).await?;
    devnet.start_node(UNDER_VAULT, &program("baton-byzantine"), &[])?;
    let after = until("the vault's bond to fall on L1", || async {
        let now = books(&client, &facts, vault).await?;
        Ok((now.held != before.held).then_some(now))
    })
    .await?;
    let slash = before.held * U256::from(facts.spec.base_slash_bps) / U256::from(BPS);
    ensure!(after.held == before.held - slash, "{} of {} are left", after.held, before.held);
    // Of every token the same part, who waits in the queue and who does not.
    let of_queue = slash * before.owed / before.held;
    let of_shares = slash - of_queue;
    ensure!(after.assets == before.assets - of_shares, "shares are worth {}, not {of_shares} less", after.assets);
    let price = before.price - before.price * U256::from(facts.spec.base_slash_bps) / U256::from(BPS);
    ensure!(after.price.abs_diff(price) <= ROUNDING, "a share is worth {}, not {price}", after.price);
    let burnable = client.call(facts.domain.registry, &SequencerRegistry::burnableCall {}, At::Latest).await?;
    let reward = slash * U256::from(facts.spec.reporter_bps) / U256::from(BPS);
    ensure!(burnable == slash || burnable == slash - reward, "{burnable} of {slash} are to be burned");

    // The other asks too. Nothing is paid before the window is over, and then both are, in their order.
    let shares = client.call(vault, &DelegationVault::balanceOfCall { account: stays }, At::Latest).await?;
    let worth = client.call(vault, &DelegationVault::previewRedeemCall { shares }, At::Latest).await?;
    send(&devnet, stays, vault, DelegationVault::requestRedeemCall { shares, receiver: stays }).await?;
    let withdraw = [&["withdraw"][..], &through].concat();
    ask_as(&devnet, operator, &withdraw).await?;
    let served = async || client.call(vault, &DelegationVault::servedCall {}, At::Latest).await;
    ensure!(served().await? == U256::ZERO, "somebody was served while the bond is locked");
    until_released(&devnet, &client, &facts, vault).await?;
    ask_as(&devnet, operator, &withdraw).await?;
    ensure!(served().await? == U256::from(2), "the queue was not served");
    for (who, expected) in [(leaves, before.owed - of_queue), (stays, worth)] {
        let due = client.call(vault, &DelegationVault::claimableCall { account: who }, At::Latest).await?;
        let receiver = who.to_string();
        let claim = [&["claim-from-vault", "--receiver", &receiver][..], &through].concat();
        ask_as(&devnet, operator, &claim).await?;
        let paid = balance(&devnet, &client, who).await?;
        // Who stayed also earned what its sequencer led before it was ejected.
        let is_right = paid.abs_diff(expected) <= ROUNDING || who == stays && paid > expected;
        ensure!(paid == due && is_right, "{who} has {paid}, not {expected}");
    }
    devnet.stop().await
}
