//! The forced queue as L1 has it: read up to what is final, proven, and stored before anybody relies on it.
//!
//! The bytes of entries are in L1's logs alone. Those are what a majority of endpoints say, and so is the rolling hash over them
//! (`forcedAt`), asked of the newest final block: logs that do not lead to it are thrown away, so that nothing left out of an
//! answer goes unseen. The same question tells the L1 block of the next entry, so a quiet queue costs one call for each new
//! final block, and a long way behind costs as many questions as there are entries on it, not blocks.
//!
//! The watcher calls an L1 block final, for leaders and voters, only after the queue is read up to it. Whoever has not read so
//! far waits, as for a block that it has not seen.

use alloy::rpc::types::Filter;
use alloy_primitives::{B256, LogData};
use alloy_sol_types::SolEvent;
use baton_proto::{
    ForcedEntry, L1BlockNumber,
    limits::{FORCED_ENTRY_BYTES_MAX, FORCED_PER_BLOCK_MAX},
};

use super::{
    bindings::BatchInbox,
    client::{At, L1Client},
    error::L1Error,
    facts::ChainFacts,
};
use crate::ledger::{ForcedCursor, Ledger, LedgerError};

/// Entries proven and stored in one step: 4 MiB of them at most.
const READ_MAX: usize = 256;

/// Returns where reading begins: before the first L1 block in which anything can be enqueued.
#[must_use]
pub fn nothing_read(facts: &ChainFacts) -> ForcedCursor {
    ForcedCursor { read_to: facts.genesis_l1.previous().unwrap_or_default(), length: 0, hash: B256::ZERO }
}

/// Returns the entries after `cursor` that L1 blocks up to `to` brought, the first of them at least if there is one, and the
/// cursor after them, which stands at `to` when there are no more. State is asked for at block `to`.
///
/// # Errors
/// [`L1Error`]; [`L1Error::Missing`] and [`L1Error::Disagree`] when logs are not what the queue's hash says.
pub async fn read_entries(
    client: &L1Client,
    facts: &ChainFacts,
    cursor: &ForcedCursor,
    to: L1BlockNumber,
) -> Result<(Vec<ForcedEntry>, ForcedCursor), L1Error> {
    let next = queue_at(client, facts, cursor.length.saturating_add(1), to).await?.l1Block;
    if next == 0 {
        return Ok((Vec::new(), ForcedCursor { read_to: to.max(cursor.read_to), ..*cursor }));
    }
    let (logs, _) = client
        .log_range()
        .first_logs(next, to.get(), |from, to| {
            let filter = Filter::new()
                .address(facts.inbox)
                .event_signature(BatchInbox::ForcedEntryEnqueued::SIGNATURE_HASH)
                .from_block(from)
                .to_block(to);
            async move { client.agreed_logs(&filter).await }
        })
        .await?;
    let mut entries = Vec::new();
    let mut after = *cursor;
    for (l1_block, log) in logs {
        let (position, entry) = entry_of(l1_block, &log)?;
        // Those of the same L1 block that were read before.
        if position < cursor.length {
            continue;
        }
        if position != after.length {
            return Err(L1Error::Missing { what: format!("event of forced entry {}", after.length) });
        }
        after.hash = entry.rolling_hash(after.hash, position);
        after.length = position.saturating_add(1);
        // A later entry may be of the same block.
        after.read_to = entry.l1_block().previous().unwrap_or_default().max(after.read_to);
        entries.push(entry);
        if entries.len() == READ_MAX {
            break;
        }
    }
    if entries.is_empty() {
        return Err(L1Error::Missing { what: format!("event of forced entry {}", cursor.length) });
    }
    let expected = queue_at(client, facts, after.length, to).await?.rollingHash;
    if expected != after.hash {
        return Err(L1Error::Disagree { what: format!("the forced queue up to position {}", after.length) });
    }
    Ok((entries, after))
}

/// Returns the rolling hash over the first `position` entries and the L1 block of the last of them, at block `at`.
async fn queue_at(
    client: &L1Client,
    facts: &ChainFacts,
    position: u64,
    at: L1BlockNumber,
) -> Result<BatchInbox::forcedAtReturn, L1Error> {
    client.agreed_call(facts.inbox, &BatchInbox::forcedAtCall { position }, At::Number(at)).await
}

/// Reads the queue up to `to`, which is final, into the ledger.
///
/// # Errors
/// [`L1Error`] as of [`read_entries`]; [`L1Error::NotStored`] if the disk fails.
pub(super) async fn read_up_to(
    client: &L1Client,
    facts: &ChainFacts,
    ledger: &dyn Ledger,
    to: L1BlockNumber,
) -> Result<(), L1Error> {
    let not_stored = |error: LedgerError| L1Error::NotStored { what: "forced entries", why: error.to_string() };
    let mut cursor = ledger.forced_cursor().map_err(not_stored)?.unwrap_or_else(|| nothing_read(facts));
    while cursor.read_to < to {
        let (entries, after) = read_entries(client, facts, &cursor, to).await?;
        ledger.put_forced(&entries, &after).map_err(not_stored)?;
        cursor = after;
    }
    Ok(())
}

/// Returns the entries that are due in a block whose parent left the queue at `position`, and whose L1 origin is `origin`: the
/// first [`FORCED_PER_BLOCK_MAX`] that L1 blocks up to that one brought. None if this node has not read so far: wait.
///
/// Source: protocol section 9.
///
/// # Errors
/// [`LedgerError`] when the ledger cannot be read.
pub fn due(ledger: &dyn Ledger, position: u64, origin: L1BlockNumber) -> Result<Option<Vec<ForcedEntry>>, LedgerError> {
    let Some(cursor) = ledger.forced_cursor()?.filter(|cursor| cursor.read_to >= origin) else { return Ok(None) };
    let mut entries = Vec::new();
    let end = position.saturating_add(FORCED_PER_BLOCK_MAX as u64).min(cursor.length);
    for at in position..end {
        match ledger.forced_entry(at)? {
            Some(entry) if entry.l1_block() <= origin => entries.push(entry),
            Some(_) => break,
            // Never: the cursor is written with what it counts.
            None => return Ok(None),
        }
    }
    // A parent that took more than there is was judged by nobody who had read this far.
    Ok((position <= cursor.length).then_some(entries))
}

/// Returns whether an entry is due in a block as of [`due`], as far as this node has read.
///
/// # Errors
/// [`LedgerError`] when the ledger cannot be read.
pub fn is_due(ledger: &dyn Ledger, position: u64, origin: L1BlockNumber) -> Result<bool, LedgerError> {
    if ledger.forced_cursor()?.is_none_or(|cursor| cursor.length <= position) {
        return Ok(false);
    }
    Ok(ledger.forced_entry(position)?.is_some_and(|entry| entry.l1_block() <= origin))
}

fn entry_of(l1_block: L1BlockNumber, log: &LogData) -> Result<(u64, ForcedEntry), L1Error> {
    let unreadable = |message: String| L1Error::Unreadable { method: "eth_getLogs", message };
    let event = BatchInbox::ForcedEntryEnqueued::decode_log_data(log).map_err(|error| unreadable(error.to_string()))?;
    if event.entry.len() > FORCED_ENTRY_BYTES_MAX {
        return Err(unreadable(format!("a forced entry of {} bytes", event.entry.len())));
    }
    Ok((event.position, ForcedEntry::new(l1_block, event.sender, event.kind, event.entry)))
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;
    use baton_proto::{Domain, L1ChainId, L2ChainId};

    use super::*;
    use crate::ledger::{ChainIdentity, MemoryLedger};

    fn ledger() -> MemoryLedger {
        let domain = Domain { l1_chain_id: L1ChainId::new(1), registry: Address::ZERO, l2_chain_id: L2ChainId::new(7) };
        MemoryLedger::new(&ChainIdentity { domain, inbox: Address::ZERO, slasher: Address::ZERO }).unwrap()
    }

    fn blocks_of(due: Option<Vec<ForcedEntry>>) -> Option<Vec<u64>> {
        due.map(|entries| entries.iter().map(|entry| entry.l1_block().get()).collect())
    }

    #[test]
    fn due_is_what_waits_at_the_origin_and_no_more_than_a_block_takes() {
        let ledger = ledger();
        let due = |position, origin| {
            let due = blocks_of(due(&ledger, position, L1BlockNumber::new(origin)).unwrap());
            let is_due = is_due(&ledger, position, L1BlockNumber::new(origin)).unwrap();
            assert!(due.as_ref().is_none_or(|due| due.is_empty() != is_due), "{due:?}");
            due
        };
        assert_eq!(due(0, 0), None, "nothing was read, not even that nothing is there");
        let entry = |l1_block| ForcedEntry::new(L1BlockNumber::new(l1_block), Address::ZERO, 0, vec![1].into());
        let entries: Vec<_> = [10, 10, 12].into_iter().chain([14; 20]).map(entry).collect();
        let cursor = ForcedCursor { read_to: L1BlockNumber::new(15), length: 23, hash: B256::ZERO };
        ledger.put_forced(&entries, &cursor).unwrap();
        assert_eq!(due(0, 9), Some(vec![]));
        assert_eq!(due(0, 10), Some(vec![10, 10]));
        assert_eq!(due(1, 13), Some(vec![10, 12]));
        assert_eq!(due(0, 15), Some([vec![10, 10, 12], vec![14; 13]].concat()));
        assert_eq!(due(16, 15), Some(vec![14; 7]));
        assert_eq!(due(23, 15), Some(vec![]));
        assert_eq!(due(0, 16), None, "not read so far");
        assert_eq!(due(24, 15), None, "beyond the end");
    }
}
