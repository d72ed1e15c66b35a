//! `baton send`: what owners and reporters ask of the contracts, sent from a key file or printed for a wallet.

use std::path::PathBuf;

use alloy_primitives::{Address, Bytes, U256, hex};
use alloy_sol_types::SolCall;
use baton_consensus::{SecretKey, to_eip2537};
use baton_proto::{Domain, L1ChainId, L2ChainId};
use clap::{Args, Subcommand};

use super::{CliError, KeyFiles};
use crate::{
    config::account_key::{self, AccountKeyError},
    l1::{
        At, CALL_TIMEOUT, Call, L1Client, L1Error,
        bindings::{BatchInbox, DelegationVault, Liveness, SequencerRegistry},
        deploy::{self, DeployError},
    },
    signer::{KeyFileError, keyfile},
};

/// `Stage.Leaving` and `Stage.Left` of `contracts/src/Types.sol`.
const LEAVING: u8 = 2;
const LEFT: u8 = 3;

/// Places of a vault's queue that one `withdraw --vault` pays: about 60,000 gas each.
const TICKETS_AT_ONCE: u64 = 64;

/// Arguments of `baton send`.
#[derive(Clone, Debug, Args)]
pub struct SendArgs {
    #[command(subcommand)]
    ask: Ask,
}

#[derive(Clone, Debug, Subcommand)]
enum Ask {
    /// As the owner: have the sequencer sign with another consensus key from two epochs on. Add the key to the node's
    /// configuration first (`next_consensus_key`), and restart it.
    RotateKey(RotateKey),
    /// As the owner: leave the committee two epochs on, or once another has come where too few would stay. Says which it is.
    Exit(AsOwner),
    /// As the owner: take the bond back, once nothing that the sequencer signed can be punished any more. With `--vault`, as
    /// anybody: have the vault take what is released, and serve those who wait to leave it.
    Withdraw(AsOwner),
    /// As the account that submitted evidence: take the rewards for it.
    Claim(ToRegistry),
    /// As the owner: be a member again after jail, two epochs on.
    Unjail(AsOwner),
    /// As the operator of a delegation vault: register its sequencer, with everything that was deposited.
    Register(Register),
    /// As the operator of a delegation vault: set its part of rewards, at once where it falls and after a notice where it
    /// rises.
    SetCommission(SetCommission),
    /// As anybody: have a delegation vault pay what it owes to somebody: a delegator who was served, or the operator.
    ClaimFromVault(ClaimFromVault),
    /// As anybody: have a sequencer's rewards for the views that it led paid to its owner, or to the recipient that the owner
    /// named.
    ClaimRewards(ClaimRewards),
    /// As anybody: declare a chain dead that has posted no batch for too long, so that every bond can be withdrawn.
    Abandon(Abandon),
}

#[derive(Clone, Debug, Args)]
struct RotateKey {
    #[command(flatten)]
    to: AsOwner,
    /// Folder of the new key, as `baton keys next` made it.
    #[arg(long)]
    dir: PathBuf,
    /// The sequencer's owner. Default: the account that sends.
    #[arg(long, conflicts_with = "vault")]
    owner: Option<Address>,
}

#[derive(Clone, Debug, Args)]
struct AsOwner {
    /// Address of the `DelegationVault` that owns the sequencer. The call goes through it, and its operator sends it.
    #[arg(long)]
    vault: Option<Address>,
    #[command(flatten)]
    to: ToRegistry,
}

#[derive(Clone, Debug, Args)]
struct Register {
    /// Address of the `DelegationVault`.
    #[arg(long)]
    vault: Address,
    /// Folder of the consensus key, as `baton keys new` made it.
    #[arg(long)]
    dir: PathBuf,
    /// Who is paid the fees of the blocks that this sequencer proposes.
    #[arg(long)]
    fee_recipient: Address,
    #[command(flatten)]
    to: ToRegistry,
}

#[derive(Clone, Debug, Args)]
struct SetCommission {
    /// Address of the `DelegationVault`.
    #[arg(long)]
    vault: Address,
    /// The operator's part of rewards, in hundredths of a percent, at most 2000.
    #[arg(long)]
    bps: u16,
    #[command(flatten)]
    through: Through,
}

#[derive(Clone, Debug, Args)]
struct ClaimFromVault {
    /// Address of the `DelegationVault`.
    #[arg(long)]
    vault: Address,
    /// Whom it owes, and who is paid.
    #[arg(long)]
    receiver: Address,
    #[command(flatten)]
    through: Through,
}

#[derive(Clone, Debug, Args)]
struct ToRegistry {
    /// Address of `SequencerRegistry`.
    #[arg(long = "l1-registry", env = "BATON_L1_REGISTRY")]
    registry: Address,
    #[command(flatten)]
    through: Through,
}

#[derive(Clone, Debug, Args)]
struct ClaimRewards {
    /// Address of `Liveness`, which the registry names as `LIVENESS()`.
    #[arg(long = "l1-liveness", env = "BATON_L1_LIVENESS")]
    liveness: Address,
    /// The sequencer's owner.
    #[arg(long)]
    owner: Address,
    #[command(flatten)]
    through: Through,
}

#[derive(Clone, Debug, Args)]
struct Abandon {
    /// Address of `BatchInbox`.
    #[arg(long = "l1-inbox", env = "BATON_L1_INBOX")]
    inbox: Address,
    #[command(flatten)]
    through: Through,
}

#[derive(Clone, Debug, Args)]
struct Through {
    /// File (mode 0600, 32 bytes in hex) of the key of the account that sends and pays. Default: nothing is sent, and what a
    /// wallet has to send is printed.
    #[arg(long)]
    account: Option<PathBuf>,
    /// L1 JSON-RPC endpoints to send through, separated by commas.
    #[arg(long, env = "BATON_L1_RPC", value_delimiter = ',', hide_env_values = true)]
    l1_rpc: Vec<String>,
    /// Chain id of the L1. An endpoint of another chain is refused.
    #[arg(long, env = "BATON_L1_CHAIN_ID")]
    l1_chain_id: u64,
}

/// Why nothing was sent, or L1 refused it.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum SendCliError {
    #[error("account key: {0}")]
    Account(#[from] AccountKeyError),
    #[error("consensus key: {0}")]
    Consensus(#[from] KeyFileError),
    #[error("whose key is it to be? Pass --owner, or --account with the owner's key")]
    NoOwner,
    #[error("--account is the key of {account}, but only the owner {owner} can give its sequencer another key")]
    NotTheOwner { owner: Address, account: Address },
    #[error("the consensus key makes no proof of possession: {0}")]
    Possession(String),
    #[error("pass --l1-rpc, an endpoint to send through, or leave --account out to have the call printed")]
    NoEndpoint,
    #[error(transparent)]
    L1(#[from] L1Error),
    #[error(transparent)]
    Refused(#[from] DeployError),
}

impl SendCliError {
    /// Returns the process's exit code.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::NoOwner | Self::NotTheOwner { .. } | Self::NoEndpoint => CliError::USAGE,
            Self::Account(_) | Self::Consensus(_) | Self::Possession(_) | Self::L1(_) | Self::Refused(_) => {
                CliError::RUNTIME
            }
        }
    }
}

pub(super) async fn run(args: SendArgs) -> Result<(), SendCliError> {
    match args.ask {
        Ask::RotateKey(args) => {
            let owner = args.owner()?;
            let key = keyfile::load(&KeyFiles::of(&args.dir).consensus)?;
            let AsOwner { to, .. } = &args.to;
            let (key, possession) = proven(&key, to, owner)?;
            let call = args.to.call(SequencerRegistry::rotateKeyCall { blsKey: key, possession }.abi_encode());
            to.through.send_and_show(&call, "the change of the key", to.registry, owner).await
        }
        Ask::Exit(owner) => {
            let call = owner.call(SequencerRegistry::exitCall {}.abi_encode());
            if let Some((client, sender)) = owner.to.through.send(&call, "the exit").await? {
                print!("{}", exited(&client, owner.to.registry, owner.vault.unwrap_or(sender)).await?);
            }
            Ok(())
        }
        Ask::Withdraw(owner) => {
            let call = match owner.vault {
                None => owner.call(SequencerRegistry::withdrawCall {}.abi_encode()),
                Some(_) => {
                    owner.call(DelegationVault::advanceCall { tickets: U256::from(TICKETS_AT_ONCE) }.abi_encode())
                }
            };
            owner.to.through.send(&call, "the withdrawal").await.map(drop)
        }
        Ask::Claim(to) => {
            let call = Call::plain(to.registry, SequencerRegistry::claimCall {}.abi_encode().into());
            to.through.send(&call, "the claim").await.map(drop)
        }
        Ask::Unjail(owner) => {
            let call = owner.call(SequencerRegistry::unjailCall {}.abi_encode());
            owner.to.through.send(&call, "the return from jail").await.map(drop)
        }
        Ask::Register(Register { vault, dir, fee_recipient, to }) => {
            let key = keyfile::load(&KeyFiles::of(&dir).consensus)?;
            let (key, possession) = proven(&key, &to, vault)?;
            let call = DelegationVault::registerCall { feeRecipient: fee_recipient, blsKey: key, possession };
            let call = Call::plain(vault, call.abi_encode().into());
            to.through.send_and_show(&call, "the registration", to.registry, vault).await
        }
        Ask::SetCommission(SetCommission { vault, bps, through }) => {
            let call = DelegationVault::setCommissionCall { bps: U256::from(bps) };
            through.send(&Call::plain(vault, call.abi_encode().into()), "the commission").await.map(drop)
        }
        Ask::ClaimFromVault(ClaimFromVault { vault, receiver, through }) => {
            let call = DelegationVault::claimCall { account: receiver };
            through.send(&Call::plain(vault, call.abi_encode().into()), "the claim").await.map(drop)
        }
        Ask::ClaimRewards(ClaimRewards { liveness, owner, through }) => {
            let call = Call::plain(liveness, Liveness::claimCall { owner }.abi_encode().into());
            through.send(&call, "the claim of rewards").await.map(drop)
        }
        Ask::Abandon(Abandon { inbox, through }) => {
            let call = Call::plain(inbox, BatchInbox::abandonCall {}.abi_encode().into());
            through.send(&call, "the abandonment").await.map(drop)
        }
    }
}

/// Returns what came of an exit that is mined, to be printed: L1 also takes one that only waits.
async fn exited(client: &L1Client, registry: Address, owner: Address) -> Result<String, SendCliError> {
    let standing = client.call(registry, &SequencerRegistry::sequencerCall { owner }, At::Latest).await?;
    Ok(match standing.stage {
        LEFT => format!("stage = \"left\"\neffective_epoch = {}\n", standing.effectiveEpoch),
        LEAVING => "# Nobody can be spared: it waits in the queue of exits, and is a member until others have come.\n\
                    # Keep its node running. Once another has registered it leaves by itself; where that one begins\n\
                    # later than two epochs on, send `exit` again then, or have anybody call `serveExits`.\n\
                    stage = \"leaving\"\n"
            .to_owned(),
        _ => {
            "# The endpoint does not show it yet: ask the registry's `sequencer(owner)` for its stage, 3 where it has\n\
              # left, 2 where it waits.\n"
                .to_owned()
        }
    })
}

/// Returns the public half of `key`, and the proof that `owner` has the other.
fn proven(key: &SecretKey, to: &ToRegistry, owner: Address) -> Result<(Bytes, Bytes), SendCliError> {
    // A proof of possession holds for every L2 chain of a registry, of which there is one.
    let domain = Domain { l1_chain_id: to.through.chain(), registry: to.registry, l2_chain_id: L2ChainId::default() };
    let possession = to_eip2537(&key.prove_possession(&domain, owner))
        .map_err(|error| SendCliError::Possession(error.to_string()))?;
    Ok((Bytes::copy_from_slice(key.public_key().as_bytes()), Bytes::copy_from_slice(&possession)))
}

impl AsOwner {
    /// What an operator asks of its vault has the form of what an owner asks of the registry.
    fn call(&self, data: Vec<u8>) -> Call {
        Call::plain(self.vault.unwrap_or(self.to.registry), data.into())
    }
}

impl RotateKey {
    fn owner(&self) -> Result<Address, SendCliError> {
        if let Some(vault) = self.to.vault {
            return Ok(vault);
        }
        let account = self.to.to.through.account.as_deref().map(account_key::load).transpose()?;
        match (self.owner, account.map(|account| account.address())) {
            (Some(owner), Some(account)) if owner != account => Err(SendCliError::NotTheOwner { owner, account }),
            (owner, account) => owner.or(account).ok_or(SendCliError::NoOwner),
        }
    }
}

impl Through {
    const fn chain(&self) -> L1ChainId {
        L1ChainId::new(self.l1_chain_id)
    }

    /// As [`Self::send`], and prints from which epoch on `owner` stands as the call made it.
    async fn send_and_show(
        &self,
        call: &Call,
        what: &'static str,
        registry: Address,
        owner: Address,
    ) -> Result<(), SendCliError> {
        if let Some((client, _)) = self.send(call, what).await? {
            let standing = client.call(registry, &SequencerRegistry::sequencerCall { owner }, At::Latest).await?;
            println!("effective_epoch = {}", standing.effectiveEpoch);
        }
        Ok(())
    }

    /// Sends a call and waits until it is mined, or prints it where there is no account. If it was sent, returns the way to
    /// L1 and who sent.
    async fn send(&self, call: &Call, what: &'static str) -> Result<Option<(L1Client, Address)>, SendCliError> {
        let Some(account) = &self.account else {
            println!("to = \"{}\"\ndata = \"{}\"", call.to, hex::encode_prefixed(&call.data));
            return Ok(None);
        };
        if self.l1_rpc.is_empty() {
            return Err(SendCliError::NoEndpoint);
        }
        let account = account_key::load(account)?;
        let client = L1Client::new(&self.l1_rpc, self.chain(), CALL_TIMEOUT)?;
        deploy::send(&client, &account, call.to, call.data.clone(), what).await?;
        println!("# {what} is mined");
        Ok(Some((client, account.address())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::l1::testing::{TestChain, account};

    #[tokio::test]
    async fn an_exit_that_only_waits_is_told_from_one_that_is_done() {
        let chain = TestChain::start_with(|spec| spec.min_committee = 3).await;
        let registry = chain.deployment.registry;
        let exit = async |index: usize| {
            let data = SequencerRegistry::exitCall {}.abi_encode();
            deploy::send(&chain.client, &account(index), registry, data.into(), "an exit").await.unwrap();
            let said = exited(&chain.client, registry, account(index).address()).await.unwrap();
            let printed: toml::Table = said.parse().unwrap();
            (said, printed)
        };
        let (_, first) = exit(1).await;
        assert_eq!(first["stage"].as_str(), Some("left"));
        assert!(first["effective_epoch"].as_integer().is_some_and(|epoch| epoch > 2), "{first}");
        // Three must stay. Who asks again still waits.
        for _ in 0..2 {
            let (said, second) = exit(2).await;
            assert_eq!(second["stage"].as_str(), Some("leaving"));
            assert!(!second.contains_key("effective_epoch"), "{second}");
            assert!(said.contains("Keep its node running") && said.contains("serveExits"), "{said}");
        }
        let nothing = exited(&chain.client, registry, account(3).address()).await.unwrap();
        assert!(nothing.contains("does not show it yet"), "{nothing}");
    }
}
