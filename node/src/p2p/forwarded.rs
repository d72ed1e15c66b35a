//! Transactions that a peer hands over directly: judged like gossip, and given to the node the same way.

use std::sync::Arc;

use alloy_primitives::{Bytes, keccak256};
use baton_proto::{L2ChainId, Transaction, wire::SyncResponse};
use libp2p::PeerId;
use tokio::{sync::Semaphore, task::spawn_blocking};
use tracing::{debug, error};

use super::{Fault, KnownLookup, NetworkEvent, service::Reports, shared::Shared};

/// Most forwarded messages that are decoded at once. Whoever comes on top is told that we are busy: gossip carries its
/// transactions too.
const DECODES_MAX: usize = 2;

/// Takes in what peers hand over.
pub(super) struct Forwarded {
    chain: L2ChainId,
    known: KnownLookup,
    shared: Arc<Shared>,
    reports: Arc<Reports>,
    decodes: Arc<Semaphore>,
}

impl Forwarded {
    pub(super) fn new(chain: L2ChainId, known: KnownLookup, shared: Arc<Shared>, reports: Arc<Reports>) -> Arc<Self> {
        Arc::new(Self { chain, known, shared, reports, decodes: Arc::new(Semaphore::new(DECODES_MAX)) })
    }

    /// Decodes `raw`, charges `from` if it holds anything but this chain's transactions, reports those that the node does
    /// not hold yet, and returns the answer.
    pub(super) async fn take(self: Arc<Self>, from: PeerId, raw: Vec<Bytes>) -> SyncResponse {
        let Ok(permit) = Arc::clone(&self.decodes).try_acquire_owned() else { return SyncResponse::Unavailable };
        let (count, chain, known) = (raw.len(), self.chain, self.known.clone());
        let work = spawn_blocking(move || {
            let decoded = decode(raw, chain, &known);
            drop(permit);
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
}

/// Returns the transactions that are not known yet, or what is wrong with one of them.
fn decode(raw: Vec<Bytes>, chain: L2ChainId, known: &KnownLookup) -> Result<Vec<Transaction>, String> {
    let mut fresh = Vec::new();
    for raw in raw {
        if known.transaction(&keccak256(&raw)).is_some() {
            continue;
        }
        let transaction = known.decode(raw).map_err(|error| error.to_string())?;
        if transaction.chain_id() != chain.get() {
            return Err(format!("transaction for chain {}, this is {chain}", transaction.chain_id()));
        }
        fresh.push(transaction);
    }
    Ok(fresh)
}
