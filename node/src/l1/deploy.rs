//! Deploys a chain of its own on a development L1: contracts from the committed artifacts, bonds, and the first epochs.
//!
//! Used by `baton devnet` and by tests. On a public L1 the same calls are made by whoever starts a chain, but nobody can
//! mine its epochs away.

use std::time::Duration;

use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEnvelope},
    eips::eip2718::Encodable2718,
    network::TxSignerSync,
    signers::local::PrivateKeySigner,
};
use alloy_primitives::{Address, Bytes, TxKind, U256};
use alloy_sol_types::{SolCall, SolConstructor};
use baton_consensus::{SecretKey, to_eip2537};
use baton_proto::Domain;
#[cfg(test)]
use baton_proto::{ChainSpec, L2ChainId};
use serde::Deserialize;

use super::{
    bindings::{BatchInbox, DevToken, Liveness, RevertReason, SequencerRegistry, Slasher, spec_to_l1},
    client::{At, Broadcast, L1Client},
    description::Description,
    error::L1Error,
    facts::FIRST_EPOCH,
    sender::Call,
};

const REGISTRY_ARTIFACT: &str = include_str!("../../../contracts/artifacts/SequencerRegistry.json");
const INBOX_ARTIFACT: &str = include_str!("../../../contracts/artifacts/BatchInbox.json");
const SLASHER_ARTIFACT: &str = include_str!("../../../contracts/artifacts/Slasher.json");
const LIVENESS_ARTIFACT: &str = include_str!("../../../contracts/artifacts/Liveness.json");
const TOKEN_ARTIFACT: &str = include_str!("../../../contracts/artifacts/DevToken.json");

/// Gas for a deployment: the registry takes about 6 million.
const DEPLOY_GAS: u64 = 15_000_000;

/// Epochs whose rewards a devnet's pool holds.
const REWARDED_EPOCHS: u64 = 1_000_000;

/// Most L1 blocks mined in one request, so that progress shows (anvil mines about 160 a second).
const MINE_STEP: u64 = 64;

/// How long a transaction of the deployment may take.
const RECEIPT_TIMEOUT: Duration = Duration::from_secs(60);

/// A sequencer to register.
#[derive(Debug)]
pub struct Founder<'a> {
    /// Owner of the bond; pays for its own registration.
    pub owner: &'a PrivateKeySigner,
    /// Receives the fees of the blocks it proposes.
    pub fee_recipient: Address,
    /// Its consensus key.
    pub key: &'a SecretKey,
    /// Bond in base units of the token.
    pub bond: U256,
}

/// Where the contracts of a chain are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// `SequencerRegistry`.
    pub registry: Address,
    /// `BatchInbox`.
    pub inbox: Address,
    /// `Slasher`.
    pub slasher: Address,
    /// `Liveness`.
    pub liveness: Address,
    /// The bond token.
    pub token: Address,
}

/// What is being done, for whoever waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A contract is in place.
    Deployed(&'static str, Address),
    /// An owner is bonded.
    Registered(Address),
    /// The registry is activated.
    Activated,
    /// L1 blocks mined so far, and how many are needed.
    Mining {
        /// Mined so far.
        done: u64,
        /// Needed in all.
        total: u64,
    },
}

/// Why a deployment failed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum DeployError {
    #[error(transparent)]
    L1(#[from] L1Error),
    #[error("the committed artifact of {contract} cannot be read: {message}")]
    Artifact { contract: &'static str, message: String },
    #[error("{what} is refused by L1: {reason}")]
    Refused { what: &'static str, reason: String },
    #[error("{what} is not in a block after {RECEIPT_TIMEOUT:?}")]
    NotMined { what: &'static str },
    #[error("{what} failed on L1: {reason}")]
    Failed { what: &'static str, reason: String },
    #[error("{contract} is at {got}, but {expected} was predicted")]
    WrongAddress { contract: &'static str, expected: Address, got: Address },
    #[error("the key of {owner} makes no proof of possession: {message}")]
    Possession { owner: Address, message: String },
    #[error("a transaction could not be signed: {0}")]
    Sign(String),
}

/// Returns the parameters of a devnet that only orders, with another chain id, length of epochs and bond token.
#[cfg(test)]
pub(crate) fn devnet_spec(l2_chain_id: L2ChainId, epoch_blocks: u64, bond_token: Address) -> ChainSpec {
    let (executor, genesis_hash) = (baton_proto::ExecutorKind::None, alloy_primitives::B256::ZERO);
    ChainSpec { l2_chain_id, epoch_blocks, bond_token, executor, genesis_hash, ..Description::devnet().spec }
}

/// Deploys the devnet's bond token from `deployer`.
///
/// # Errors
/// [`DeployError`].
pub async fn deploy_token(client: &L1Client, deployer: &PrivateKeySigner) -> Result<Address, DeployError> {
    let nonce = client.transaction_count(deployer.address(), At::Latest).await?;
    let code = bytecode("DevToken", TOKEN_ARTIFACT)?;
    create(client, deployer, nonce, "DevToken", code).await
}

/// Deploys registry, slasher, inbox and liveness from `deployer`, in that order: each names the others, so their addresses
/// are predicted from the deployer's next nonces.
///
/// # Errors
/// [`DeployError`].
pub async fn deploy_contracts(
    client: &L1Client,
    deployer: &PrivateKeySigner,
    description: &Description,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Deployment, DeployError> {
    let Description { spec, reward_per_epoch } = description;
    let from = deployer.address();
    let nonce = client.transaction_count(from, At::Latest).await?;
    let [registry, slasher, inbox, liveness] = [0, 1, 2, 3].map(|offset| from.create(nonce.saturating_add(offset)));

    let arguments = SequencerRegistry::constructorCall { spec: spec_to_l1(spec), slasher, inbox, liveness };
    let arguments = arguments.abi_encode();
    let code = [bytecode("SequencerRegistry", REGISTRY_ARTIFACT)?, arguments].concat();
    expect("SequencerRegistry", registry, create(client, deployer, nonce, "SequencerRegistry", code).await?)?;
    progress(Progress::Deployed("SequencerRegistry", registry));

    let arguments = Slasher::constructorCall { registry, inbox }.abi_encode();
    let code = [bytecode("Slasher", SLASHER_ARTIFACT)?, arguments].concat();
    expect("Slasher", slasher, create(client, deployer, nonce.saturating_add(1), "Slasher", code).await?)?;
    progress(Progress::Deployed("Slasher", slasher));

    let arguments = BatchInbox::constructorCall { registry }.abi_encode();
    let code = [bytecode("BatchInbox", INBOX_ARTIFACT)?, arguments].concat();
    expect("BatchInbox", inbox, create(client, deployer, nonce.saturating_add(2), "BatchInbox", code).await?)?;
    progress(Progress::Deployed("BatchInbox", inbox));

    let arguments = Liveness::constructorCall { registry, inbox, rewardPerEpoch: *reward_per_epoch }.abi_encode();
    let code = [bytecode("Liveness", LIVENESS_ARTIFACT)?, arguments].concat();
    expect("Liveness", liveness, create(client, deployer, nonce.saturating_add(3), "Liveness", code).await?)?;
    progress(Progress::Deployed("Liveness", liveness));
    Ok(Deployment { registry, inbox, slasher, liveness, token: spec.bond_token })
}

/// Mints the bond, approves it and registers `founder` with its proof of possession.
///
/// # Errors
/// [`DeployError`].
pub async fn register(
    client: &L1Client,
    domain: &Domain,
    token: Address,
    founder: &Founder<'_>,
) -> Result<(), DeployError> {
    let owner = founder.owner.address();
    let mint = DevToken::mintCall { to: owner, amount: founder.bond }.abi_encode();
    send(client, founder.owner, token, mint.into(), "minting a bond").await?;
    let approve = DevToken::approveCall { spender: domain.registry, value: founder.bond }.abi_encode();
    send(client, founder.owner, token, approve.into(), "approving a bond").await?;
    let possession = to_eip2537(&founder.key.prove_possession(domain, owner))
        .map_err(|error| DeployError::Possession { owner, message: error.to_string() })?;
    let register = SequencerRegistry::registerCall {
        feeRecipient: founder.fee_recipient,
        bond: founder.bond,
        blsKey: Bytes::copy_from_slice(founder.key.public_key().as_bytes()),
        possession: Bytes::copy_from_slice(&possession),
    };
    send(client, founder.owner, domain.registry, register.abi_encode().into(), "a registration").await
}

/// Deploys contracts, with a new token where the description names none, and [begins](begin) the chain with `founders`.
///
/// # Errors
/// [`DeployError`].
pub async fn deploy_chain(
    client: &L1Client,
    deployer: &PrivateKeySigner,
    founders: &[Founder<'_>],
    description: &Description,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Deployment, DeployError> {
    let mut description = description.clone();
    if description.spec.bond_token.is_zero() {
        description.spec.bond_token = deploy_token(client, deployer).await?;
        progress(Progress::Deployed("DevToken", description.spec.bond_token));
    }
    let deployment = deploy_contracts(client, deployer, &description, progress).await?;
    begin(client, deployer, &deployment, founders, &description, progress).await?;
    Ok(deployment)
}

/// Registers all founders of a deployed chain, activates its registry and fills its pool of rewards.
///
/// The committee of the first epoch is what is registered now. The bond token must be a `DevToken`, which anybody mints.
///
/// # Errors
/// [`DeployError`].
pub async fn begin(
    client: &L1Client,
    deployer: &PrivateKeySigner,
    deployment: &Deployment,
    founders: &[Founder<'_>],
    description: &Description,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<(), DeployError> {
    let Deployment { registry, token, .. } = *deployment;
    let domain = Domain { l1_chain_id: client.chain_id(), registry, l2_chain_id: description.spec.l2_chain_id };
    for founder in founders {
        register(client, &domain, token, founder).await?;
        progress(Progress::Registered(founder.owner.address()));
    }
    let activate = SequencerRegistry::activateCall {}.abi_encode();
    send(client, deployer, registry, activate.into(), "the activation").await?;
    progress(Progress::Activated);
    fund_rewards(client, deployer, deployment, description.reward_per_epoch).await
}

/// Mints the rewards of [`REWARDED_EPOCHS`] and gives them to the pool.
async fn fund_rewards(
    client: &L1Client,
    deployer: &PrivateKeySigner,
    deployment: &Deployment,
    reward_per_epoch: U256,
) -> Result<(), DeployError> {
    // A pool that would be too large is the contract's to refuse, and none is needed where nothing is paid.
    let amount = reward_per_epoch.saturating_mul(U256::from(REWARDED_EPOCHS));
    if amount.is_zero() {
        return Ok(());
    }
    let Deployment { liveness, token, .. } = *deployment;
    let mint = DevToken::mintCall { to: deployer.address(), amount }.abi_encode();
    send(client, deployer, token, mint.into(), "minting rewards").await?;
    let approve = DevToken::approveCall { spender: liveness, value: amount }.abi_encode();
    send(client, deployer, token, approve.into(), "approving rewards").await?;
    send(client, deployer, liveness, Liveness::fundCall { amount }.abi_encode().into(), "funding rewards").await
}

/// Mines blocks on anvil until the last L1 block before the first epoch is final, so that nodes can start.
///
/// `finality_blocks` is how far anvil's `finalized` lags: twice its slots in an epoch.
///
/// # Errors
/// [`DeployError`]; [`L1Error::Refused`] on an L1 that is not anvil.
pub async fn mine_to_start(
    client: &L1Client,
    registry: Address,
    finality_blocks: u64,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<(), DeployError> {
    let start =
        client.call(registry, &SequencerRegistry::epochStartCall { epoch: FIRST_EPOCH.get() }, At::Latest).await?;
    let target = start.saturating_to::<u64>().saturating_add(finality_blocks);
    let first = client.existing_block(At::Latest).await?.origin.number.get();
    let total = target.saturating_sub(first);
    loop {
        let now = client.existing_block(At::Latest).await?.origin.number.get();
        progress(Progress::Mining { done: now.saturating_sub(first).min(total), total });
        if now >= target {
            return Ok(());
        }
        mine(client, (target - now).min(MINE_STEP)).await?;
    }
}

/// Mines `blocks` on anvil.
///
/// # Errors
/// [`L1Error::Refused`] on an L1 that is not anvil.
pub async fn mine(client: &L1Client, blocks: u64) -> Result<(), L1Error> {
    // No time between blocks: the L2 chain starts from the timestamp of one of them, which must not lie in the future.
    client.request::<_, Option<serde_json::Value>>("anvil_mine", (U256::from(blocks), U256::ZERO)).await.map(|_| ())
}

#[derive(Deserialize)]
struct Artifact {
    bytecode: Code,
}

#[derive(Deserialize)]
struct Code {
    object: Bytes,
}

fn bytecode(contract: &'static str, artifact: &str) -> Result<Vec<u8>, DeployError> {
    serde_json::from_str::<Artifact>(artifact)
        .map(|artifact| artifact.bytecode.object.to_vec())
        .map_err(|error| DeployError::Artifact { contract, message: error.to_string() })
}

fn expect(contract: &'static str, expected: Address, got: Address) -> Result<(), DeployError> {
    if expected == got { Ok(()) } else { Err(DeployError::WrongAddress { contract, expected, got }) }
}

async fn create(
    client: &L1Client,
    from: &PrivateKeySigner,
    nonce: u64,
    contract: &'static str,
    code: Vec<u8>,
) -> Result<Address, DeployError> {
    let (code, address) = (Bytes::from(code), from.address().create(nonce));
    // A constructor's reason, such as a parameter out of its bounds, is not in a receipt.
    match client.simulate_creation(from.address(), address, &code, DEPLOY_GAS).await {
        Err(L1Error::Reverted { reason, .. }) => return Err(refused(contract, &reason)),
        simulated => simulated?,
    }
    transact(client, from, nonce, TxKind::Create, code, DEPLOY_GAS, contract).await?;
    Ok(address)
}

/// Sends one call from `from` and waits until it succeeded.
///
/// # Errors
/// [`DeployError`], with the contract's reason when it would revert.
pub async fn send(
    client: &L1Client,
    from: &PrivateKeySigner,
    to: Address,
    data: Bytes,
    what: &'static str,
) -> Result<(), DeployError> {
    let gas = match client.estimate_gas(from.address(), &Call::plain(to, data.clone())).await {
        Ok(gas) => gas.saturating_add(gas / 4),
        Err(L1Error::Reverted { reason, .. }) => return Err(refused(what, &reason)),
        Err(error) => return Err(error.into()),
    };
    let nonce = client.transaction_count(from.address(), At::Latest).await?;
    transact(client, from, nonce, TxKind::Call(to), data, gas, what).await
}

fn refused(what: &'static str, reason: &RevertReason) -> DeployError {
    DeployError::Refused { what, reason: reason.to_string() }
}

async fn transact(
    client: &L1Client,
    from: &PrivateKeySigner,
    nonce: u64,
    to: TxKind,
    input: Bytes,
    gas_limit: u64,
    what: &'static str,
) -> Result<(), DeployError> {
    let base_fee = client.existing_block(At::Latest).await?.base_fee_wei;
    let priority = client.priority_fee().await?;
    let mut transaction = TxEip1559 {
        chain_id: client.chain_id().get(),
        nonce,
        gas_limit,
        // A deployment takes many blocks, each of which can raise the base fee.
        max_fee_per_gas: base_fee.saturating_mul(4).saturating_add(priority),
        max_priority_fee_per_gas: priority,
        to,
        value: U256::ZERO,
        access_list: Default::default(),
        input,
    };
    let signature =
        from.sign_transaction_sync(&mut transaction).map_err(|error| DeployError::Sign(error.to_string()))?;
    let envelope = TxEnvelope::from(transaction.into_signed(signature));
    match client.broadcast(&envelope.encoded_2718().into()).await? {
        Broadcast::Accepted => {}
        other => return Err(DeployError::Refused { what, reason: format!("{other:?}") }),
    }
    let hash = *envelope.tx_hash();
    let receipt = async {
        loop {
            match client.receipt(hash).await {
                Ok(Some(receipt)) => return Ok(receipt),
                Ok(None) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(error) => return Err(error),
            }
        }
    };
    let receipt =
        tokio::time::timeout(RECEIPT_TIMEOUT, receipt).await.map_err(|_| DeployError::NotMined { what })??;
    if receipt.status() {
        return Ok(());
    }
    let reason = "it used all of its gas or its constructor refused".to_owned();
    Err(DeployError::Failed { what, reason })
}
