//! The pool of a node that starts: what earlier runs accepted from their users.

use std::{collections::HashMap, path::Path};

use alloy_primitives::{Address, TxHash};
use baton_mempool::{Accounts, Pool, PoolConfig, Waiting};
use baton_proto::L2ChainId;
use tracing::{debug, info};

use super::{Journal, JournalBounds, JournalError, Senders, journal::Kept, now_ms};

/// Name of the journal in the data folder.
const FILE: &str = "transactions.journal";

/// Returns a pool with what the journal in `data_dir` holds and may still be included, and the journal, written anew with
/// just that.
///
/// Left out is what is settled, expired, no transaction of this chain any more, or was replaced: of one account and nonce
/// the last one accepted counts. Ages go on from the day of acceptance. May block for as long as it takes to recover the
/// senders of a full pool.
///
/// # Errors
/// [`JournalError`] when the journal is not this node's, or the disk fails.
pub fn open_pool(
    data_dir: &Path,
    chain: L2ChainId,
    config: PoolConfig,
    accounts: &dyn Accounts,
    senders: &Senders,
) -> Result<(Pool, Journal), JournalError> {
    let (mut journal, kept) = Journal::open(&data_dir.join(FILE), chain, JournalBounds::of(&config))?;
    let pool = restore(&mut journal, kept, config, accounts, senders)?;
    Ok((pool, journal))
}

/// Makes the pool of what the journal held, and writes the journal anew.
pub(super) fn restore(
    journal: &mut Journal,
    kept: Vec<Kept>,
    config: PoolConfig,
    accounts: &dyn Accounts,
    senders: &Senders,
) -> Result<Pool, JournalError> {
    let (now_ms, found) = (now_ms(), kept.len());
    let mut last: HashMap<(Address, u64), TxHash> = HashMap::new();
    let mut waiting = Vec::with_capacity(found);
    for kept in kept {
        match senders.decode(kept.raw) {
            Ok(transaction) => {
                last.insert((transaction.sender(), transaction.nonce()), *transaction.hash());
                // A clock that was ahead when it wrote this must not let it live for ever.
                waiting.push(Waiting { transaction, added_ms: kept.at_ms.min(now_ms) });
            }
            Err(reason) => debug!(%reason, "a transaction of the journal is left out"),
        }
    }
    let lifetime_ms = config.lifetime_ms;
    let mut pool = Pool::new(config);
    let mut live = Vec::new();
    for waiting in waiting {
        let (transaction, at_ms) = (waiting.transaction.clone(), waiting.added_ms);
        let is_last = last.get(&(transaction.sender(), transaction.nonce())) == Some(transaction.hash());
        if !is_last || now_ms.saturating_sub(at_ms) >= lifetime_ms {
            continue;
        }
        match pool.restore(waiting, accounts) {
            Ok(_) => live.push((at_ms, transaction)),
            Err(reason) => debug!(%reason, hash = %transaction.hash(), "a transaction of the journal is left out"),
        }
    }
    // A full pool may have let go of some again.
    live.retain(|(_, transaction)| pool.contains(transaction.hash()));
    if found > 0 {
        info!(restored = live.len(), left_out = found - live.len(), "pool restored from the journal");
    }
    journal.rewrite(live)?;
    Ok(pool)
}
