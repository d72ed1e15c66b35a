//! The one thread that adds to the pool, and that puts into the journal what users are told is accepted.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use alloy_consensus::Transaction as _;
use alloy_primitives::TxHash;
use baton_mempool::{Added, Pool, PoolError, Waiting};
use baton_proto::Transaction;
use tokio::sync::mpsc;
use tracing::{debug, error, warn};

use super::{AdmissionContext, Answer, Journal, SubmitError, again::Unsettled, now_ms, recovery::Decoded};
use crate::driver::FinalAccounts;

/// Most batches that wait for the keeper; then recovery waits.
pub(super) const WORK_MAX: usize = 4;

/// Most gossiped transactions that are handed over at once.
pub(super) const GROUP_MAX: usize = 256;

/// Transactions that are looked up under one hold of the pool's lock.
const LOOKUPS_MAX: usize = 128;

/// What the keeper is asked to add.
pub(super) enum Work {
    /// From users, who wait for an answer.
    Submitted(Vec<Decoded>),
    /// From peers, who do not.
    Gossiped(Vec<Transaction>),
    /// Nothing: time has passed.
    AnnounceAgain,
}

/// Owns the way into the pool.
pub(super) struct Keeper {
    context: AdmissionContext,
    journal: Journal,
    unsettled: Unsettled,
}

/// What shares one sync.
#[derive(Default)]
struct Group {
    /// In the order in which the pool took them.
    accepted: Vec<Accepted>,
    /// Users whose transaction was here already, and is as good as accepted.
    known: Vec<Answer>,
    /// To be held durably: what was accepted, and what peers had brought before.
    records: Vec<(u64, Transaction)>,
    /// What has been replaced.
    obsolete: Vec<TxHash>,
    has_executable: bool,
}

impl Group {
    /// Notes what is to be held; whatever of it was replaced earlier in this group is back.
    fn record(&mut self, at_ms: u64, transaction: Transaction) {
        self.obsolete.retain(|hash| hash != transaction.hash());
        self.records.push((at_ms, transaction));
    }
}

/// A transaction of a user that the pool took.
struct Accepted {
    transaction: Transaction,
    replaced: Option<Waiting>,
    answer: Answer,
}

impl Keeper {
    pub(super) fn new(context: AdmissionContext, journal: Journal) -> Self {
        let unsettled = Unsettled::new(context.announce_again_after);
        Self { context, journal, unsettled }
    }

    /// Adds what comes until nothing more can come.
    pub(super) fn run(mut self, mut inbox: mpsc::Receiver<Work>) {
        self.announce_restored();
        while let Some(work) = inbox.blocking_recv() {
            let mut group = Group::default();
            self.take(work, &mut group);
            // What came during the last sync shares the next one.
            for more in std::iter::from_fn(|| inbox.try_recv().ok()).take(WORK_MAX) {
                self.take(more, &mut group);
            }
            self.finish(group);
        }
    }

    fn take(&mut self, work: Work, group: &mut Group) {
        match work {
            Work::Submitted(submitted) => submitted.into_iter().for_each(|decoded| self.submitted(decoded, group)),
            Work::Gossiped(transactions) => transactions.iter().for_each(|brought| self.gossiped(brought, group)),
            Work::AnnounceAgain => self.announce_again(),
        }
    }

    fn submitted(&self, Decoded { transaction, answer }: Decoded, group: &mut Group) {
        let transaction = match transaction {
            Ok(transaction) => transaction,
            Err(error) => return answer.give(Err(error.into())),
        };
        let now_ms = now_ms();
        match self.add(&transaction, now_ms) {
            Ok(Added { executable, replaced, .. }) => {
                group.has_executable |= executable;
                self.note_replaced(replaced.as_ref(), group);
                group.record(now_ms, transaction.clone());
                group.accepted.push(Accepted { transaction, replaced, answer });
            }
            Err(PoolError::AlreadyKnown) => {
                // For whoever asks again it is as good as accepted, so it must be as durable.
                if !self.journal.holds(transaction.hash())
                    && let Some(added_ms) = self.pool().added_ms(transaction.hash())
                {
                    group.record(added_ms, transaction);
                }
                group.known.push(answer);
            }
            Err(error) => answer.give(Err(error.into())),
        }
    }

    fn gossiped(&self, transaction: &Transaction, group: &mut Group) {
        match self.add(transaction, now_ms()) {
            Ok(Added { executable, replaced, .. }) => {
                group.has_executable |= executable;
                self.note_replaced(replaced.as_ref(), group);
                self.context.arrivals.note([*transaction.hash()]);
            }
            Err(reason) => debug!(%reason, "a gossiped transaction was not admitted"),
        }
    }

    /// What was replaced must not come back after a restart, not even when what replaced it is gone by then.
    fn note_replaced(&self, replaced: Option<&Waiting>, group: &mut Group) {
        if let Some(Waiting { transaction: old, .. }) = replaced
            && (self.journal.holds(old.hash()) || group.records.iter().any(|(_, held)| held == old))
        {
            group.obsolete.push(*old.hash());
        }
    }

    /// Makes a group durable, then answers and announces it; or takes it back.
    fn finish(&mut self, group: Group) {
        let Group { accepted, known, records, obsolete, has_executable } = group;
        if has_executable {
            self.context.work.notify_one();
        }
        if !(records.is_empty() && obsolete.is_empty())
            && let Err(reason) = self.store(&records, &obsolete)
        {
            error!(%reason, transactions = accepted.len(), "submissions refused: the transaction journal cannot be written");
            self.take_back(accepted);
            known.into_iter().for_each(|answer| answer.give(Err(SubmitError::NotStored)));
            // What reached the disk all the same must not come back after a crash.
            if let Err(error) = self.rewrite() {
                warn!(%error, "the next submission tries again");
            }
            return;
        }
        // Not only what the pool took now: what a peer had brought, and a user asks for, is as much this node's to spread.
        self.note_announced(&mut records.iter().map(|(_, transaction)| *transaction.hash()));
        self.context.arrivals.note(accepted.iter().map(|accepted| *accepted.transaction.hash()));
        if !accepted.is_empty() {
            (self.context.announce)(accepted.iter().map(|accepted| accepted.transaction.clone()).collect());
        }
        for Accepted { transaction, answer, .. } in accepted {
            answer.give(Ok(*transaction.hash()));
        }
        known.into_iter().for_each(|answer| answer.give(Err(PoolError::AlreadyKnown.into())));
        if self.journal.is_outgrown()
            && let Err(error) = self.rewrite()
        {
            warn!(%error, "the next submission tries again");
        }
    }

    /// Writes and syncs once for all.
    fn store(&mut self, records: &[(u64, Transaction)], obsolete: &[TxHash]) -> Result<(), String> {
        if self.journal.is_stale() {
            self.rewrite().map_err(|error| error.to_string())?;
        }
        self.journal.append(records, obsolete).map_err(|error| error.to_string())
    }

    /// Writes the journal anew with what the pool still holds of it.
    fn rewrite(&mut self) -> Result<(), super::JournalError> {
        let mut held: Vec<(TxHash, u64)> = self.journal.accepted().map(|(hash, at_ms)| (*hash, at_ms)).collect();
        held.sort_unstable_by_key(|(hash, at_ms)| (*at_ms, *hash));
        let mut live = Vec::new();
        for some in held.chunks(LOOKUPS_MAX) {
            let pool = self.pool();
            live.extend(some.iter().filter_map(|(hash, at_ms)| Some((*at_ms, pool.get(hash)?))));
        }
        self.journal.rewrite(live)
    }

    /// Undoes what cannot be promised, latest first. What a full pool evicted for it does not come back.
    fn take_back(&self, accepted: Vec<Accepted>) {
        for Accepted { transaction, replaced, answer } in accepted.into_iter().rev() {
            let mut pool = self.pool();
            pool.discard(transaction.hash());
            if let Some(old) = replaced
                && let Err(reason) = pool.restore(old, &FinalAccounts::new(self.context.ledger.as_ref()))
            {
                debug!(%reason, "what a refused transaction had replaced does not come back");
            }
            drop(pool);
            answer.give(Err(SubmitError::NotStored));
        }
    }

    /// Peers may have lost what we hold.
    fn announce_restored(&mut self) {
        let restored: Vec<Transaction> = self.pool().transactions().cloned().collect();
        if !restored.is_empty() {
            self.note_announced(&mut restored.iter().map(|transaction| *transaction.hash()));
            (self.context.announce)(restored);
            self.context.work.notify_one();
        }
    }

    fn note_announced(&mut self, hashes: &mut dyn Iterator<Item = TxHash>) {
        let pool = &self.context.pool;
        self.unsettled.announced(hashes, Instant::now(), |hash| lock(pool).contains(hash));
    }

    fn announce_again(&mut self) {
        let pool = &self.context.pool;
        let due = self.unsettled.due(Instant::now(), |hash| lock(pool).get(hash));
        if !due.is_empty() {
            debug!(transactions = due.len(), "announced again: they still wait");
            (self.context.announce)(due);
        }
    }

    /// Adds one transaction. Its sender's state is read under the pool's lock: a block that becomes final meanwhile is
    /// either seen by this read or told to the pool after it, so nothing that is final is ever let in again.
    fn add(&self, transaction: &Transaction, now_ms: u64) -> Result<Added, PoolError> {
        let accounts = || FinalAccounts::new(self.context.ledger.as_ref());
        // Who signed hundreds of authorizations takes many milliseconds to find out: not under the lock, and not for nothing.
        if transaction.envelope().authorization_list().is_some() && self.pool().check(transaction, &accounts()).is_ok()
        {
            let _ = transaction.authorities();
        }
        self.pool().add(transaction.clone(), now_ms, &accounts())
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        lock(&self.context.pool)
    }
}

fn lock(pool: &Mutex<Pool>) -> MutexGuard<'_, Pool> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}
