//! What a node must know about its chain before it can take part, read from final L1 blocks.

use std::{ops::RangeInclusive, time::Duration};

use alloy_primitives::{Address, B256};
use baton_proto::{BlockHeader, ChainSpec, Domain, Epoch, Epochs, L1BlockNumber};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::{
    bindings::{BatchInbox, Liveness, SequencerRegistry, Slasher, spec_from_l1},
    client::{At, L1Client},
    epoch_facts::{EpochFacts, read_epoch_facts},
    error::L1Error,
};

/// The epoch in which every chain starts.
pub const FIRST_EPOCH: Epoch = Epoch::new(2);

/// How long L1 may take to show what stored facts are compared with.
const COMPARE_WITHIN: Duration = Duration::from_secs(20);

/// Key under which the ledger keeps a chain's facts.
pub const FACTS_KEY: &str = "chain_facts";

/// A chain as L1 defines it. Two nodes with equal facts follow the same rules from the same genesis block.
///
/// Source: `SequencerRegistry`, protocol sections 2 and 13. Every part comes from a final L1 block, so it never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChainFacts {
    /// The chain's parameters.
    pub spec: ChainSpec,
    /// What every signature is bound to.
    pub domain: Domain,
    /// Address of `BatchInbox`.
    pub inbox: Address,
    /// Address of `Slasher`.
    pub slasher: Address,
    /// Address of `Liveness`.
    pub liveness: Address,
    /// First L1 block of epoch 0.
    pub genesis_l1: L1BlockNumber,
    /// The block that the chain starts from.
    pub genesis: BlockHeader,
    /// The epoch that it starts in.
    pub first: EpochFacts,
}

/// Why a chain's facts cannot be had.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum FactsError {
    #[error(transparent)]
    L1(#[from] L1Error),
    #[error("there is no sequencer registry at {registry} on L1 chain {chain}: {message}")]
    NotARegistry { registry: Address, chain: u64, message: String },
    #[error("{contract} names {got} as its {relation}, expected {expected}")]
    WrongRelation { contract: &'static str, relation: &'static str, expected: Address, got: Address },
    #[error("L1 says {field} is {got}, but this data folder was made for {stored}")]
    Changed { field: String, stored: String, got: String },
    #[error("this data folder belongs to registry {stored}, but the configuration names {got}")]
    OtherRegistry { stored: Address, got: Address },
    #[error("this data folder belongs to L1 chain {stored}, but the configuration names {got}")]
    OtherL1 { stored: u64, got: u64 },
    #[error("the stored chain facts cannot be read: {0}")]
    Unreadable(String),
}

impl FactsError {
    /// Returns whether trying again later can help.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::L1(error) => error.is_retryable(),
            Self::NotARegistry { .. }
            | Self::WrongRelation { .. }
            | Self::Changed { .. }
            | Self::OtherRegistry { .. }
            | Self::OtherL1 { .. }
            | Self::Unreadable(_) => false,
        }
    }
}

impl ChainFacts {
    /// Returns which L1 blocks make up which epoch.
    #[must_use]
    pub const fn epochs(&self) -> Epochs {
        self.spec.epochs(self.genesis_l1)
    }

    /// Returns the epochs whose committees may certify a batch of `epoch` that L1 takes in its block `at`: the batch's own, or
    /// once that is too old each recent one.
    ///
    /// Source: `_checkEpochs` in `contracts/src/BatchInbox.sol`.
    #[must_use]
    pub fn certifiers(&self, epoch: Epoch, at: L1BlockNumber) -> RangeInclusive<Epoch> {
        let current = self.epochs().of(at);
        if current.get().saturating_sub(epoch.get()) <= self.spec.live_epochs {
            epoch..=epoch
        } else {
            Epoch::new(current.get().saturating_sub(self.spec.live_epochs))..=current
        }
    }

    /// Returns the facts as the ledger keeps them.
    ///
    /// # Errors
    /// [`FactsError::Unreadable`] if they cannot be written as JSON.
    pub fn to_json(&self) -> Result<Vec<u8>, FactsError> {
        serde_json::to_vec(self).map_err(|error| FactsError::Unreadable(error.to_string()))
    }

    /// Reads facts that [`Self::to_json`] wrote.
    ///
    /// # Errors
    /// [`FactsError::Unreadable`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, FactsError> {
        serde_json::from_slice(bytes).map_err(|error| FactsError::Unreadable(error.to_string()))
    }

    /// Refuses facts of another chain than `got`, naming the first field that differs with both values.
    ///
    /// # Errors
    /// [`FactsError::Changed`].
    pub fn ensure_same(&self, got: &Self) -> Result<(), FactsError> {
        if self == got {
            return Ok(());
        }
        let as_value =
            |facts: &Self| serde_json::to_value(facts).map_err(|error| FactsError::Unreadable(error.to_string()));
        let (field, stored, got) = first_difference("chain", &as_value(self)?, &as_value(got)?);
        Err(FactsError::Changed { field, stored, got })
    }
}

fn first_difference(path: &str, left: &serde_json::Value, right: &serde_json::Value) -> (String, String, String) {
    if let (Some(left), Some(right)) = (left.as_object(), right.as_object()) {
        for (key, value) in left {
            let other = right.get(key).unwrap_or(&serde_json::Value::Null);
            if value != other {
                return first_difference(&format!("{path}.{key}"), value, other);
            }
        }
    }
    if let (Some(left), Some(right)) = (left.as_array(), right.as_array())
        && left.len() == right.len()
    {
        for (index, (value, other)) in left.iter().zip(right).enumerate() {
            if value != other {
                return first_difference(&format!("{path}[{index}]"), value, other);
            }
        }
    }
    (path.to_owned(), left.to_string(), right.to_string())
}

/// Returns the facts of the chain at `registry`: from L1 if it answers, else those that this node stored before.
///
/// Stored facts are compared with what L1 says, so a data folder is never used with another chain. Without stored facts
/// this waits for L1, however long that takes, and says so once per change.
///
/// # Errors
/// [`FactsError`] for what no waiting can heal.
pub async fn chain_facts(
    client: &L1Client,
    registry: Address,
    stored: Option<ChainFacts>,
    poll: Duration,
) -> Result<ChainFacts, FactsError> {
    if let Some(stored) = &stored {
        if stored.domain.registry != registry {
            return Err(FactsError::OtherRegistry { stored: stored.domain.registry, got: registry });
        }
        if stored.domain.l1_chain_id != client.chain_id() {
            return Err(FactsError::OtherL1 { stored: stored.domain.l1_chain_id.get(), got: client.chain_id().get() });
        }
    }
    let mut last = String::new();
    loop {
        let read = read_chain_facts(client, registry, poll);
        // An L1 that is itself catching up answers, but has nothing final to show; who knows the chain need not wait for it.
        let read = match &stored {
            Some(stored) => match tokio::time::timeout(COMPARE_WITHIN, read).await {
                Ok(read) => read,
                Err(_) => {
                    warn!("L1 has not shown the chain's start in time: starting with the facts that are stored here");
                    return Ok(stored.clone());
                }
            },
            None => read.await,
        };
        let error = match read {
            Ok(facts) => {
                if let Some(stored) = &stored {
                    stored.ensure_same(&facts)?;
                }
                return Ok(facts);
            }
            Err(error) if !error.is_retryable() => return Err(error),
            Err(error) => error,
        };
        if let Some(stored) = stored {
            warn!(%error, "L1 cannot be read: starting with the chain facts that are stored here");
            return Ok(stored);
        }
        let text = error.to_string();
        if text != last {
            warn!(%error, "waiting for L1: nothing about the chain is known yet");
            last = text;
        }
        tokio::time::sleep(poll).await;
    }
}

/// Reads the facts of the chain at `registry` from L1, and waits until all that they rest on is final.
///
/// # Errors
/// [`FactsError`], retryable ones included: this does not retry.
pub async fn read_chain_facts(client: &L1Client, registry: Address, poll: Duration) -> Result<ChainFacts, FactsError> {
    client.check_chain().await?;
    let not_a_registry = |error: L1Error| match error {
        L1Error::Unreadable { message, .. } => {
            FactsError::NotARegistry { registry, chain: client.chain_id().get(), message }
        }
        L1Error::Reverted { reason, .. } => {
            FactsError::NotARegistry { registry, chain: client.chain_id().get(), message: reason.to_string() }
        }
        other => FactsError::L1(other),
    };
    // What never changes after deployment may be read from the newest block.
    let spec =
        client.agreed_call(registry, &SequencerRegistry::paramsCall {}, At::Latest).await.map_err(not_a_registry)?;
    let spec = spec_from_l1(&spec).map_err(L1Error::Binding)?;
    let inbox =
        client.agreed_call(registry, &SequencerRegistry::INBOXCall {}, At::Latest).await.map_err(not_a_registry)?;
    let slasher =
        client.agreed_call(registry, &SequencerRegistry::SLASHERCall {}, At::Latest).await.map_err(not_a_registry)?;
    let liveness =
        client.agreed_call(registry, &SequencerRegistry::LIVENESSCall {}, At::Latest).await.map_err(not_a_registry)?;
    check_relations(client, registry, inbox, slasher, liveness).await?;

    let genesis_l1 = wait_for_activation(client, registry, poll).await?;
    let start = |epoch: Epoch| spec.epochs(genesis_l1).start(epoch);
    let before = |number: L1BlockNumber| number.previous().unwrap_or_default();
    let start_of_first = start(FIRST_EPOCH);
    let origin_number = before(start_of_first);

    // The genesis block names the last block before epoch 2; what the epoch rests on is final before.
    wait_until_final(client, origin_number, poll).await?;
    let origin = client.agreed_block(origin_number).await?;
    let genesis = BlockHeader::genesis(spec.l2_chain_id, origin.origin, origin.timestamp_s);
    let domain = Domain { l1_chain_id: client.chain_id(), registry, l2_chain_id: spec.l2_chain_id };
    let first = EpochFacts { epoch: FIRST_EPOCH, committee: Vec::new(), randomness: B256::ZERO };
    let mut facts = ChainFacts { spec, domain, inbox, slasher, liveness, genesis_l1, genesis, first };
    facts.first = read_epoch_facts(client, &facts, FIRST_EPOCH, poll).await?;
    Ok(facts)
}

async fn check_relations(
    client: &L1Client,
    registry: Address,
    inbox: Address,
    slasher: Address,
    liveness: Address,
) -> Result<(), FactsError> {
    let got = client.agreed_call(inbox, &BatchInbox::REGISTRYCall {}, At::Latest).await?;
    expect_address("the batch inbox", "registry", registry, got)?;
    let got = client.agreed_call(slasher, &Slasher::REGISTRYCall {}, At::Latest).await?;
    expect_address("the slasher", "registry", registry, got)?;
    let got = client.agreed_call(slasher, &Slasher::INBOXCall {}, At::Latest).await?;
    expect_address("the slasher", "batch inbox", inbox, got)?;
    let got = client.agreed_call(liveness, &Liveness::REGISTRYCall {}, At::Latest).await?;
    expect_address("the contract of rewards and jail", "registry", registry, got)?;
    let got = client.agreed_call(liveness, &Liveness::INBOXCall {}, At::Latest).await?;
    expect_address("the contract of rewards and jail", "batch inbox", inbox, got)
}

fn expect_address(
    contract: &'static str,
    relation: &'static str,
    expected: Address,
    got: Address,
) -> Result<(), FactsError> {
    if expected == got { Ok(()) } else { Err(FactsError::WrongRelation { contract, relation, expected, got }) }
}

async fn wait_for_activation(
    client: &L1Client,
    registry: Address,
    poll: Duration,
) -> Result<L1BlockNumber, FactsError> {
    let mut said = false;
    loop {
        // Read from the newest block: a reorg that moves the activation also moves every block that is waited for
        // below, and the number is read again from final state then.
        let genesis = client.agreed_call(registry, &SequencerRegistry::genesisL1BlockCall {}, At::Latest).await?;
        if genesis != 0 {
            let finalized = wait_until_final(client, L1BlockNumber::new(genesis), poll).await?;
            let genesis =
                client.agreed_call(registry, &SequencerRegistry::genesisL1BlockCall {}, At::Number(finalized)).await?;
            if genesis != 0 {
                return Ok(L1BlockNumber::new(genesis));
            }
        }
        if !said {
            info!(%registry, "waiting for the registry's activation");
            said = true;
        }
        tokio::time::sleep(poll).await;
    }
}

/// Waits until `number` is final and returns the newest final number.
pub(super) async fn wait_until_final(
    client: &L1Client,
    number: L1BlockNumber,
    poll: Duration,
) -> Result<L1BlockNumber, FactsError> {
    let mut seen = None;
    loop {
        let finalized = client.agreed_final().await?.origin.number;
        if finalized >= number {
            return Ok(finalized);
        }
        if seen != Some(finalized) {
            info!(%finalized, needed = %number, "waiting for L1 finality before the chain can start");
            seen = Some(finalized);
        }
        tokio::time::sleep(poll).await;
    }
}
