//! One turn of the driver: what it writes, and what it may say once the disk has that.
//!
//! ```text
//!   inputs that are ready ─▶ machine ─▶ statements ─▶ sign record ──┐
//!                                  ├──▶ blocks, certificates,       ├─▶ one sync of each file ─▶ messages, heads
//!                                  │    final steps ─▶ ledger ──────┘                               ▲
//!                                  └──▶ what others shall hear ─────────────────────────────────────┘
//! ```
//! Nothing leaves the process while a write that came before it in the turn may be lost, and after a failed write nothing
//! leaves it at all. So whoever sees our Notarize can count on our having the body, and a Finalize, which binds for good, is
//! for a block whose body a third of the honest weight keeps even if every machine loses power at once.
//!
//! The two files are synced side by side, because neither needs the other, but for two cases. A certificate that our
//! own signature of this turn completed must never survive a power cut that our record of it does not, or the restarted
//! node would find its key in a statement that its record lacks: the record is synced before such a certificate is
//! written. And our record of a Finalize must never survive one that the body of its block, or the notarization that
//! called for it, does not: nobody else may have that body, where our vote alone is a quorum, or that notarization,
//! where a leader that proposed twice never says its part in it again. The view could neither be finalized nor given up
//! any more. So what this turn holds of them is synced before the Finalize is recorded. Blocks that become final are
//! synced at once: whoever asks this node about them must not hear of what may yet be lost.
//!
//! So the turn that signs a Finalize waits for the disk twice, one file after the other. To write the notarization into
//! the record, beside the Finalize, would save one of the two and is not enough: the block can be certified again only on
//! what the same turn may have brought as well, the notarization of its parent and the nullifications between, and those
//! can be in nobody else's hands for the same reason. The ledger's log keeps its order, so what is synced of it has all
//! that came before; of two logs that are synced side by side neither does.

use std::sync::Arc;

use baton_consensus::Verified;
use baton_proto::{
    Block, BlockDigest, Certificate, MemberIndex, SignedStatement, Statement, View,
    wire::{Announcement, ConsensusMessage},
};
use tokio::runtime::Handle;

use super::{DriverError, commit::NewlyFinal};
use crate::{
    ledger::{FinalStep, Ledger, LedgerError},
    signer::{SignError, Signer},
};

/// What others hear of at the end of a turn.
#[derive(Debug)]
pub(super) enum Said {
    /// A message to every other member.
    Broadcast(ConsensusMessage),
    /// A message to one member.
    Send(MemberIndex, ConsensusMessage),
    /// A quorum has voted for a block in a view.
    Notarized(BlockDigest, Arc<Block>, View),
    /// News for everybody.
    Announce(Announcement),
    /// Blocks are final.
    Final(NewlyFinal),
}

/// Where statements are recorded: [`Signer`], but for tests.
pub(super) trait Statements: Send + Sync {
    /// See [`Signer::stage`].
    fn stage(&self, statement: Statement) -> Result<Verified<SignedStatement>, SignError>;

    /// See [`Signer::sync`].
    fn sync(&self) -> Result<(), SignError>;
}

impl Statements for Signer {
    fn stage(&self, statement: Statement) -> Result<Verified<SignedStatement>, SignError> {
        Self::stage(self, statement)
    }

    fn sync(&self) -> Result<(), SignError> {
        Self::sync(self)
    }
}

/// The turn that is running.
pub(super) struct Turn<R = Signer> {
    ledger: Arc<dyn Ledger>,
    record: Option<Arc<R>>,
    me: Option<MemberIndex>,
    /// Its threads for blocking work sync one file while the other is synced here.
    runtime: Handle,
    /// Whether the disk may lack what the ledger, or the record, was given in this turn.
    is_ledger_staged: bool,
    is_record_staged: bool,
    /// Blocks of which the disk may lack the body or a notarization: those of an input, a few, of each of the turn's.
    unsynced: Vec<BlockDigest>,
    /// Set by a failed write: nothing is said any more.
    is_broken: bool,
    said: Vec<Said>,
}

impl<R: Statements> Turn<R> {
    /// Begins the first turn. `record` is that of the member `me`; a follower has neither.
    pub(super) fn new(
        ledger: Arc<dyn Ledger>,
        record: Option<Arc<R>>,
        me: Option<MemberIndex>,
        runtime: Handle,
    ) -> Self {
        Self {
            ledger,
            record,
            me,
            runtime,
            is_ledger_staged: false,
            is_record_staged: false,
            unsynced: Vec::new(),
            is_broken: false,
            said: Vec::new(),
        }
    }

    /// Records and signs; `None` without a key.
    pub(super) fn sign(&mut self, statement: Statement) -> Result<Option<Verified<SignedStatement>>, DriverError> {
        self.ledger_before(&statement)?;
        let Some(record) = &self.record else { return Ok(None) };
        let signed = record.stage(statement);
        self.is_record_staged = true;
        self.is_broken |= signed.as_ref().is_err_and(|error| !error.is_refusal());
        signed.map(Some).map_err(DriverError::Signer)
    }

    pub(super) fn store_block(&mut self, block: &Block) -> Result<(), LedgerError> {
        self.is_ledger_staged = true;
        self.unsynced.push(block.header.digest());
        let stored = self.ledger.stage(std::slice::from_ref(block), &[]);
        self.watch(stored)
    }

    pub(super) fn store_certificate(&mut self, certificate: &Certificate) -> Result<(), DriverError> {
        self.record_before(certificate)?;
        self.is_ledger_staged = true;
        if let Statement::Notarize { block, .. } = certificate.statement {
            self.unsynced.push(block);
        }
        let stored = self.ledger.stage(&[], std::slice::from_ref(certificate));
        Ok(self.watch(stored)?)
    }

    /// Makes blocks final, and durable with all that was stored before ([`Ledger::finalize`]).
    pub(super) fn finalize(&mut self, step: &FinalStep) -> Result<(), DriverError> {
        self.record_before(&step.certificate)?;
        let stored = self.ledger.finalize(step);
        self.watch(stored)?;
        self.ledger_is_synced();
        Ok(())
    }

    /// Says something at the end of the turn, after what was said before.
    pub(super) fn say(&mut self, said: Said) {
        self.said.push(said);
    }

    /// Ends the turn and begins the next one. Waits for the disk, and returns what may be said now, in order.
    ///
    /// # Errors
    /// [`DriverError`] if something of the turn may not be on the disk: then nothing of it may be said, now or later.
    pub(super) fn end(&mut self) -> Result<Vec<Said>, DriverError> {
        let said = std::mem::take(&mut self.said);
        let synced = self.sync();
        self.watch(synced)?;
        Ok(if self.is_broken { Vec::new() } else { said })
    }

    fn sync(&mut self) -> Result<(), DriverError> {
        self.unsynced.clear();
        let record = self.record.as_ref().filter(|_| std::mem::take(&mut self.is_record_staged));
        let ledger = std::mem::take(&mut self.is_ledger_staged).then_some(&self.ledger);
        let sync_record = |record: &Arc<R>| record.sync().map_err(DriverError::Signer);
        match (record, ledger) {
            (None, None) => Ok(()),
            (Some(record), None) => sync_record(record),
            (None, Some(ledger)) => Ok(ledger.sync()?),
            (Some(record), Some(ledger)) => {
                let other = Arc::clone(ledger);
                let beside = self.runtime.spawn_blocking(move || other.sync());
                let recorded = sync_record(record);
                let stored = self.runtime.block_on(beside);
                recorded?;
                Ok(match stored {
                    Ok(stored) => stored,
                    Err(panicked) if panicked.is_panic() => std::panic::resume_unwind(panicked.into_panic()),
                    // The runtime is ending and begins nothing any more.
                    Err(_) => ledger.sync(),
                }?)
            }
        }
    }

    /// Makes the body and the notarization of a block durable before a Finalize binds us to it.
    fn ledger_before(&mut self, statement: &Statement) -> Result<(), DriverError> {
        if let Statement::Finalize { block, .. } = statement
            && self.record.is_some()
            && self.unsynced.contains(block)
        {
            let synced = self.ledger.sync();
            self.watch(synced)?;
            self.ledger_is_synced();
        }
        Ok(())
    }

    fn ledger_is_synced(&mut self) {
        self.is_ledger_staged = false;
        self.unsynced.clear();
    }

    /// Makes the record durable before a certificate is written that may hold a statement of this turn.
    fn record_before(&mut self, certificate: &Certificate) -> Result<(), DriverError> {
        if let Some(record) = &self.record
            && self.is_record_staged
            && self.me.is_some_and(|me| certificate.signers.contains(me))
        {
            let synced = record.sync().map_err(DriverError::Signer);
            self.watch(synced)?;
            self.is_record_staged = false;
        }
        Ok(())
    }

    fn watch<T, E>(&mut self, result: Result<T, E>) -> Result<T, E> {
        self.is_broken |= result.is_err();
        result
    }
}

#[cfg(test)]
mod tests;
