//! `eth_sendRawTransactionSync` (EIP-7966): takes a transaction in, and answers with its receipt the moment its block is final.
//!
//! Who waits is in one table by hash. One task follows the final heads, and only while somebody waits looks into each new block
//! whose hashes are in it; so a call costs nothing between being taken in and being answered.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use alloy::rpc::types::TransactionReceipt as EthReceipt;
use alloy_primitives::TxHash;
use baton_execution::Outcome;
use baton_proto::{Height, Transaction};
use jsonrpsee::types::Params;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout_at},
};
use tracing::warn;

use super::{RpcContext, RpcError, arguments::Arguments, receipts, threads::Threads};
use crate::{
    admission::SubmitError,
    ledger::{Ledger, LedgerError},
};

/// How long a call waits unless it says how long; what the EIP recommends.
const WAIT_DEFAULT: Duration = Duration::from_secs(2);

/// Longest that a call waits, whatever it says: less than a request may take in all, so that the answer is still heard.
const WAIT_MAX: Duration = Duration::from_secs(55);

/// Most calls that wait: a task and a place in the table each.
const WAITING_MAX: usize = 4_096;

/// Who waits for which transaction.
#[derive(Debug, Default)]
pub(super) struct Landings {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    by_hash: HashMap<TxHash, Vec<Arc<Notify>>>,
    count: usize,
}

/// A place in the table; given back when it is dropped.
struct Place {
    landings: Arc<Landings>,
    hash: TxHash,
    /// Told of each final block that holds the transaction.
    landed: Arc<Notify>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.landings.waiting();
        let Waiting { by_hash, count } = &mut *waiting;
        if let Some(places) = by_hash.get_mut(&self.hash) {
            places.retain(|landed| !Arc::ptr_eq(landed, &self.landed));
            if places.is_empty() {
                by_hash.remove(&self.hash);
            }
        }
        *count = count.saturating_sub(1);
    }
}

impl Landings {
    fn enter(self: &Arc<Self>, hash: TxHash) -> Result<Place, RpcError> {
        let mut waiting = self.waiting();
        if waiting.count >= WAITING_MAX {
            return Err(RpcError::TooManyCalls(WAITING_MAX));
        }
        waiting.count = waiting.count.saturating_add(1);
        let landed = Arc::new(Notify::new());
        waiting.by_hash.entry(hash).or_default().push(Arc::clone(&landed));
        drop(waiting);
        Ok(Place { landings: Arc::clone(self), hash, landed })
    }

    fn is_empty(&self) -> bool {
        self.waiting().count == 0
    }

    /// Tells whoever waits for one of these.
    fn landed(&self, hashes: impl Iterator<Item = TxHash>) {
        let waiting = self.waiting();
        for landed in hashes.filter_map(|hash| waiting.by_hash.get(&hash)).flatten() {
            landed.notify_one();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows the final heads until none can come any more.
    pub(super) async fn follow(self: Arc<Self>, ledger: Arc<dyn Ledger>, mut heads: watch::Receiver<Height>) {
        let mut at = *heads.borrow_and_update();
        loop {
            let head = *heads.borrow_and_update();
            if self.is_empty() {
                // Whoever comes now looks into the ledger itself, which has all up to this head.
                at = head;
            }
            while let Some(next) = at.next().filter(|next| *next <= head) {
                let (landings, ledger) = (Arc::clone(&self), Arc::clone(&ledger));
                let read = move || {
                    let block = ledger.block(next)?;
                    let hashes =
                        block.iter().flat_map(|block| block.ordered().map(|(_, transaction)| *transaction.hash()));
                    landings.landed(hashes);
                    Ok::<(), LedgerError>(())
                };
                if let Ok(Err(error)) = tokio::task::spawn_blocking(read).await {
                    warn!(%error, height = %next, "a final block cannot be read; who waits for it is told when its time is over");
                }
                at = next;
            }
            if heads.changed().await.is_err() {
                return;
            }
        }
    }
}

/// `eth_sendRawTransactionSync`. Arguments: the transaction, and how many milliseconds to wait at most.
pub(super) async fn send(
    context: &RpcContext,
    landings: &Arc<Landings>,
    reads: &Threads,
    params: &Params<'_>,
) -> Result<EthReceipt, RpcError> {
    context.evm()?;
    let arguments = Arguments::read(params, 2)?;
    let raw = arguments.bytes(0)?;
    let wait = match arguments.optional_number(1)? {
        None => WAIT_DEFAULT,
        Some(0) => return Err(RpcError::InvalidArgument { index: 1, why: "timeout must be positive".to_owned() }),
        Some(milliseconds) => Duration::from_millis(milliseconds).min(WAIT_MAX),
    };
    let end = Instant::now() + wait;

    let (decoding, checked) = (raw.clone(), context.clone());
    let hash =
        reads.run(move |_| executable_now(&checked, Transaction::decode(decoding).map_err(SubmitError::from)?)).await?;
    // Before it is handed over, so that no block can pass by unseen.
    let place = landings.enter(hash)?;
    context.submit.submit(raw).await?;
    loop {
        if timeout_at(end, place.landed.notified()).await.is_err() {
            return Err(RpcError::NotFinalInTime { hash, after: wait });
        }
        let reader = context.clone();
        match reads.run(move |_| what_became(&reader, hash)).await? {
            Became::Executed(receipt) => return Ok(*receipt),
            Became::Skipped(outcome) => return Err(RpcError::SkippedAtItsTurn { hash, outcome }),
            // Passed over in a block where its turn had not come; it waits for another.
            Became::StillWaits => {}
        }
    }
}

/// Checks that a transaction's turn can come now: on this call one that waits for an earlier nonce is not pooled.
fn executable_now(context: &RpcContext, transaction: Transaction) -> Result<TxHash, RpcError> {
    let sender = transaction.sender();
    let next = context.ledger.nonce(sender)?;
    let expected = context.pool().pending_nonce(sender, next);
    match transaction.nonce() > expected {
        true => Err(RpcError::NonceGap { expected, got: transaction.nonce() }),
        false => Ok(*transaction.hash()),
    }
}

/// What became of a transaction that is in a final block.
enum Became {
    Executed(Box<EthReceipt>),
    Skipped(Outcome),
    StillWaits,
}

fn what_became(context: &RpcContext, hash: TxHash) -> Result<Became, RpcError> {
    if let Some(receipt) = receipts::of_transaction(context, &hash)? {
        return Ok(Became::Executed(Box::new(receipt)));
    }
    let still_waits = context.pool().contains(&hash);
    match context.ledger.transaction(&hash)? {
        Some(record) if !still_waits && record.outcome != Outcome::Executed => Ok(Became::Skipped(record.outcome)),
        _ => Ok(Became::StillWaits),
    }
}
