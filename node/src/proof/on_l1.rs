//! What L1 says of what a proof claims.

use std::{collections::BTreeMap, time::Duration};

use alloy::rpc::types::Filter;
use alloy_primitives::{Address, LogData, TxHash};
use alloy_sol_types::SolEvent as _;
use baton_consensus::CommitteeMember;
use baton_proto::{BatchHash, BatchIndex, Epoch, L1BlockNumber, L1Origin, L2ChainId};

use super::Proof;
use crate::{
    l1::{At, ChainFacts, FactsError, L1Client, L1Error, bindings::BatchInbox, committee, read_chain_facts},
    ledger::BatchOnL1,
};

/// Longest that reading may take. Of a chain that runs everything is final already.
const READ_WITHIN: Duration = Duration::from_secs(60);

/// How often L1 is asked for what is not final yet.
const POLL: Duration = Duration::from_secs(1);

/// What L1 holds of one proof's claims. With several endpoints a majority of them says so, but which transaction it was that
/// posted a batch, which the first that answers does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnL1 {
    /// The inbox that the registry names.
    pub inbox: Address,
    /// The committees of the proof's epochs; without those that the registry does not know.
    pub committees: BTreeMap<Epoch, Vec<CommitteeMember>>,
    /// The newest final block.
    pub finalized: L1Origin,
    /// The claimed transaction, if L1 has it and it succeeded.
    pub post: Option<PostOnL1>,
}

/// A transaction on L1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostOnL1 {
    /// The block that has it.
    pub block: L1Origin,
    /// The batches that the inbox accepted in it.
    pub accepted: Vec<(BatchIndex, BatchHash)>,
}

/// Why L1 says nothing.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum OnL1Error {
    #[error(transparent)]
    Facts(#[from] FactsError),
    #[error(transparent)]
    L1(#[from] L1Error),
    #[error("the registry {registry} is of L2 chain {got}, the proof of {expected}")]
    OtherL2Chain { registry: Address, expected: L2ChainId, got: L2ChainId },
    #[error("L1 did not show all that is needed within {} s", READ_WITHIN.as_secs())]
    Slow,
}

impl OnL1 {
    /// Reads what bears on `proof` from the registry that it names, and from the inbox that this names.
    ///
    /// # Errors
    /// [`OnL1Error`].
    pub async fn read(client: &L1Client, proof: &Proof) -> Result<Self, OnL1Error> {
        tokio::time::timeout(READ_WITHIN, Self::read_all(client, proof)).await.unwrap_or(Err(OnL1Error::Slow))
    }

    async fn read_all(client: &L1Client, proof: &Proof) -> Result<Self, OnL1Error> {
        let registry = proof.domain.registry;
        let facts = read_chain_facts(client, registry, POLL).await?;
        let (expected, got) = (proof.domain.l2_chain_id, facts.spec.l2_chain_id);
        if expected != got {
            return Err(OnL1Error::OtherL2Chain { registry, expected, got });
        }
        let finalized = client.agreed_final().await?.origin;
        let mut committees = BTreeMap::new();
        for epoch in proof.epochs() {
            match committee(client, &facts, epoch, At::Number(finalized.number)).await {
                Ok(members) => _ = committees.insert(epoch, members),
                Err(L1Error::Reverted { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let claimed = proof.block.as_ref().and_then(|block| block.batch.as_ref()).map(|batch| batch.l1);
        let post = match claimed {
            Some(BatchOnL1::Posted { tx, .. } | BatchOnL1::Settled { tx, .. }) => post(client, &facts, tx).await?,
            Some(BatchOnL1::Unposted) | None => None,
        };
        Ok(Self { inbox: facts.inbox, committees, finalized, post })
    }
}

async fn post(client: &L1Client, facts: &ChainFacts, hash: TxHash) -> Result<Option<PostOnL1>, OnL1Error> {
    let Some(receipt) = client.receipt(hash).await?.filter(|receipt| receipt.status()) else { return Ok(None) };
    let (Some(number), Some(block_hash)) = (receipt.block_number, receipt.block_hash) else { return Ok(None) };
    let number = L1BlockNumber::new(number);
    let block = client.agreed_block(number).await?.origin;
    if block.hash != block_hash {
        return Err(L1Error::Disagree { what: format!("block {number}") }.into());
    }
    // One endpoint may make up a receipt; a majority has to have its events.
    let filter = Filter::new().address(facts.inbox).event_signature(BatchInbox::BatchPosted::SIGNATURE_HASH);
    let logs = client.agreed_logs(&filter.from_block(number.get()).to_block(number.get())).await?;
    let agreed: Vec<_> = logs.iter().filter_map(|(_, log)| accepted(log)).collect();
    let own = receipt.logs().iter().filter(|log| log.address() == facts.inbox);
    let own = own.filter_map(|log| accepted(log.data())).filter(|batch| agreed.contains(batch));
    Ok(Some(PostOnL1 { block, accepted: own.collect() }))
}

fn accepted(log: &LogData) -> Option<(BatchIndex, BatchHash)> {
    let event = BatchInbox::BatchPosted::decode_log_data(log).ok()?;
    Some((BatchIndex::new(event.index), BatchHash::new(event.batchHash)))
}
