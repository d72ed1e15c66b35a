//! Transactions that a peer hands over directly: judged like gossip, and given to the node the same way.

use std::sync::Arc;

use alloy_primitives::{Bytes, keccak256};
use baton_mempool::TransactionRules;
use baton_proto::{Transaction, wire::SyncResponse};
use libp2p::PeerId;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};
use tracing::{debug, error};

use super::{Fault, KnownLookup, NetworkEvent, reports::Reports, shared::Shared};

/// Most forwarded messages that are decoded at once. Whoever comes on top is told that we are busy: gossip carries its
/// transactions too.
const DECODES_MAX: usize = 2;

/// Most of them of peers that have not proven to be members, so that members always find a place beside them.
const STRANGERS_DECODES_MAX: usize = 1;

/// Takes in what peers hand over.
pub(super) struct Forwarded {
    rules: TransactionRules,
    known: KnownLookup,
    shared: Arc<Shared>,
    reports: Arc<Reports>,
    decodes: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
}

impl Forwarded {
    pub(super) fn new(
        rules: TransactionRules,
        known: KnownLookup,
        shared: Arc<Shared>,
        reports: Arc<Reports>,
    ) -> Arc<Self> {
        let (decodes, strangers) = (Semaphore::new(DECODES_MAX), Semaphore::new(STRANGERS_DECODES_MAX));
        Arc::new(Self { rules, known, shared, reports, decodes: decodes.into(), strangers: strangers.into() })
    }

    /// Decodes `raw`, charges `from` if it holds anything but transactions that the chain allows, reports those that the
    /// node does not hold yet, and returns the answer.
    pub(super) async fn take(self: Arc<Self>, from: PeerId, is_member: bool, raw: Vec<Bytes>) -> SyncResponse {
        let Some(places) = self.places(is_member) else { return SyncResponse::Unavailable };
        let (count, rules, known) = (raw.len(), self.rules, self.known.clone());
        let work = spawn_blocking(move || {
            let decoded = decode(raw, &rules, &known);
            drop(places);
            decoded
        });
        match work.await {
            Ok(Ok(transactions)) => {
                self.shared.stats.forwarded_taken.add(count as u64);
                if !transactions.is_empty() {
                    let weight = transactions.iter().map(|tx| tx.raw().len()).sum();
                    let event = NetworkEvent::Transactions { from, transactions };
                    self.shared.stats.events_dropped.add(self.reports.transactions.push(event, weight));
                }
                SyncResponse::Taken(u32::try_from(count).unwrap_or(u32::MAX))
            }
            Ok(Err(reason)) => {
                debug!(peer = %from, %reason, "forwarded transactions rejected");
                self.shared.charge(from, Fault::InvalidTransactions);
                SyncResponse::Unavailable
            }
            Err(failure) => {
                error!(%failure, "decoding forwarded transactions failed");
                SyncResponse::Unavailable
            }
        }
    }

    /// Takes a place among those that are decoded, and for a stranger one among the strangers' too.
    fn places(&self, is_member: bool) -> Option<(Option<OwnedSemaphorePermit>, OwnedSemaphorePermit)> {
        let of_strangers = if is_member { None } else { Some(Arc::clone(&self.strangers).try_acquire_owned().ok()?) };
        Some((of_strangers, Arc::clone(&self.decodes).try_acquire_owned().ok()?))
    }
}

/// Returns the transactions that are not known yet, or what is wrong with one of them.
fn decode(raw: Vec<Bytes>, rules: &TransactionRules, known: &KnownLookup) -> Result<Vec<Transaction>, String> {
    let mut fresh = Vec::new();
    for raw in raw {
        if known.transaction(&keccak256(&raw)).is_some() {
            continue;
        }
        let transaction = known.decode(raw).map_err(|error| error.to_string())?;
        rules.check(&transaction).map_err(|error| error.to_string())?;
        fresh.push(transaction);
    }
    Ok(fresh)
}
