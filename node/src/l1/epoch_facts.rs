//! Who makes up an epoch's committee, and in which order it leads: fixed on L1 before the epoch begins.

use std::time::Duration;

use alloy_primitives::B256;
use baton_consensus::CommitteeMember;
use baton_proto::{Epoch, L1BlockNumber};
use serde::{Deserialize, Serialize};

use super::{
    ChainFacts,
    bindings::{SequencerRegistry, member_from_l1},
    client::{At, L1Client},
    error::L1Error,
    facts::{FactsError, wait_until_final},
};

/// An epoch as L1 defines it. Every part comes from a final L1 block, so it never changes.
///
/// Source: `SequencerRegistry.committee`, protocol section 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EpochFacts {
    /// The epoch.
    pub epoch: Epoch,
    /// Its committee, in address order.
    pub committee: Vec<CommitteeMember>,
    /// `prevrandao` in the middle of the epoch before: the seed of the schedules.
    pub randomness: B256,
}

/// Returns the L1 block on which an epoch rests: the middle of the epoch before, whose randomness counts. Its committee was
/// fixed before that.
///
/// Source: protocol section 2.
#[must_use]
pub fn decided_at(facts: &ChainFacts, epoch: Epoch) -> L1BlockNumber {
    let previous = facts.epochs().start(epoch.previous().unwrap_or_default());
    L1BlockNumber::new(previous.get().saturating_add(facts.spec.epoch_blocks / 2))
}

/// Reads `epoch` of a known chain from L1, and waits until all that it rests on is final: the end of the epoch before the
/// one before, which fixes the committee, and the middle of the one before, whose randomness counts.
///
/// # Errors
/// [`FactsError`], retryable ones included: this does not retry.
pub async fn read_epoch_facts(
    client: &L1Client,
    facts: &ChainFacts,
    epoch: Epoch,
    poll: Duration,
) -> Result<EpochFacts, FactsError> {
    let middle = decided_at(facts, epoch);
    let finalized = wait_until_final(client, middle, poll).await?;
    let randomness = client.agreed_block(middle).await?.mix_hash;
    let committee = committee(client, facts, epoch, At::Number(finalized)).await?;
    Ok(EpochFacts { epoch, committee, randomness })
}

/// Returns the committees that L1 has fixed for its own running epoch and the one after, as its newest block has them: a
/// reorg can still change them.
///
/// # Errors
/// [`L1Error`] if L1 does not answer.
pub async fn coming_committees(
    client: &L1Client,
    facts: &ChainFacts,
) -> Result<Vec<(Epoch, Vec<CommitteeMember>)>, L1Error> {
    let running = facts.epochs().of(client.existing_block(At::Latest).await?.origin.number);
    let mut found = Vec::new();
    for epoch in [Some(running), running.next()].into_iter().flatten() {
        found.push((epoch, committee(client, facts, epoch, At::Latest).await?));
    }
    Ok(found)
}

/// Returns the committee of `epoch` as the L1 block `at` has it, in address order.
pub(crate) async fn committee(
    client: &L1Client,
    facts: &ChainFacts,
    epoch: Epoch,
    at: At,
) -> Result<Vec<CommitteeMember>, L1Error> {
    let call = SequencerRegistry::committeeCall { epoch: epoch.get() };
    let members = client.agreed_call(facts.domain.registry, &call, at).await?;
    members.iter().map(member_from_l1).collect::<Result<_, _>>().map_err(L1Error::Binding)
}
