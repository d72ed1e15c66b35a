//! What one step changes: checked against the final chain first, then gathered into one batch.

use std::collections::{BTreeSet, HashMap};

use alloy_primitives::TxHash;
use baton_execution::{ExecutedBlock, Outcome, state};
use baton_proto::{Block, BlockDigest, BlockHeader, Certificate, Height, Statement, wire::certificate_to_bytes};

use super::{
    Change, Family, FinalStep, Head, Ledger as _, LedgerError, Order, Store, StoreLedger, TransactionRecord,
    chain::{add_body, corrupt, finalization_at, unfinal_in},
    keys,
    receipts::receipts_to_bytes,
    records,
    state::{Version, add_changes},
};

/// Bodies that one step looks at, and drops at most; what is left over goes with the next steps.
const DROPPED_BODIES_MAX: usize = 4_096;

/// How often, in heights, bodies are looked for below the head before: they come there late, or were left over. To look past
/// what was dropped already costs more than all else in a step.
const SWEEP_EVERY: u64 = 64;

impl<S: Store> StoreLedger<S> {
    /// Adds the writes for a certificate that is not stored yet.
    pub(super) fn add_certificate(
        &self,
        certificate: &Certificate,
        batch: &mut Vec<Change>,
    ) -> Result<(), LedgerError> {
        let key = keys::certificate(certificate);
        // The first certificate of a statement is as good as any later one.
        if self.store.get(Family::Certificates, &key)?.is_some() {
            return Ok(());
        }
        batch.push(Change::Put(Family::Certificates, key, certificate_to_bytes(certificate)));
        let Statement::Finalize { epoch, view, block } = certificate.statement else { return Ok(()) };
        batch.push(Change::Put(
            Family::Certificates,
            keys::finalization_of(block),
            records::place_to_bytes(epoch, view),
        ));
        // The block may have become final through a descendant before.
        if let Some(height) = self.height_of(block)?
            && self.final_digest(height)? == Some(block)
        {
            batch.push(finalization_at(height, epoch, view, block));
        }
        Ok(())
    }

    /// Adds the writes that make `block` final; its body may be stored already.
    pub(super) fn add_final_block(
        &self,
        block: &Block,
        digest: BlockDigest,
        certificate_of_step: &Certificate,
        batch: &mut Vec<Change>,
    ) -> Result<(), LedgerError> {
        let height = block.header.height;
        if self.height_of(digest)?.is_none() {
            add_body(block, digest, batch);
        }
        batch.push(Change::Put(Family::Blocks, keys::final_digest(height), digest.get().to_vec()));
        batch.push(Change::Delete(Family::Blocks, keys::unfinal(height, digest)));
        // The block's own finalization comes with the step, or was stored when ancestors were still missing.
        let place = match certificate_of_step.statement {
            Statement::Finalize { epoch, view, block } if block == digest => Some((epoch, view)),
            _ => {
                let key = keys::finalization_of(digest);
                let decode = |bytes: Vec<u8>| {
                    records::place_from_bytes(&bytes)
                        .ok_or_else(|| corrupt(Family::Certificates, &key, "epoch and view have 16 bytes"))
                };
                self.store.get(Family::Certificates, &key)?.map(decode).transpose()?
            }
        };
        if let Some((epoch, view)) = place {
            batch.push(finalization_at(height, epoch, view, digest));
        }
        Ok(())
    }

    /// Adds the writes for a block's results: outcomes, receipts, what it changes, and the first inclusion of each transaction.
    /// `before` is the head of the state before it. Returns the version of the state after it.
    pub(super) fn add_results(
        &self,
        block: &Block,
        digest: BlockDigest,
        executed: &ExecutedBlock,
        before: Option<state::Head>,
        indexed: &mut HashMap<TxHash, TransactionRecord>,
        batch: &mut Vec<Change>,
    ) -> Result<Version, LedgerError> {
        let height = block.header.height;
        let head = &executed.changes.head;
        if head.before != before || head.after.is_none_or(|after| (after.height, after.digest) != (height, digest)) {
            return Err(LedgerError::OtherState { height });
        }
        for (index, transaction) in block.ordered() {
            let Some(outcome) = executed.outcomes.get(index as usize) else { continue };
            let hash = transaction.hash();
            let before = match indexed.get(hash) {
                Some(record) => Some(record.clone()),
                None => self.transaction(hash)?,
            };
            // An executed inclusion is the one that counts; where there is none, the first skipped one tells why.
            let counts = match before {
                None => true,
                Some(before) => *outcome == Outcome::Executed && before.outcome != Outcome::Executed,
            };
            if counts {
                let record = TransactionRecord { block: height, index, outcome: outcome.clone() };
                batch.push(Change::Put(Family::TxIndex, hash.to_vec(), records::transaction_to_bytes(&record)));
                indexed.insert(*hash, record);
            }
        }
        add_block_results(height, executed, batch);
        Ok(add_changes(&executed.changes, batch))
    }

    /// Adds the writes that drop bodies which can never be final once the block of `head` is, and returns their digests: what
    /// is not above it, or of a view that is not. The latter is what a leader makes others fetch who names a parent that it
    /// made up, at whatever height. `before` is the height of the head before.
    pub(super) fn add_dropped_bodies(
        &self,
        before: Height,
        head: &BlockHeader,
        newly_final: &BTreeSet<BlockDigest>,
        batch: &mut Vec<Change>,
    ) -> Result<Vec<BlockDigest>, LedgerError> {
        let sweeps = before.get() / SWEEP_EVERY != head.height.get() / SWEEP_EVERY;
        let from = if sweeps { Height::ZERO } else { before };
        let (from, to) = (keys::unfinal_from(from), keys::unfinal_end());
        let mut dropped = Vec::new();
        for (key, place) in self.store.scan(Family::Blocks, &from, &to, Order::Ascending, DROPPED_BODIES_MAX)? {
            let (height, digest) = unfinal_in(&key)?;
            // Without a place it was stored by a version that did not note one; then its height has to tell.
            let is_over = records::place_from_bytes(&place).is_some_and(|place| place <= (head.epoch, head.view));
            if newly_final.contains(&digest) || !(height <= head.height || is_over) {
                continue;
            }
            batch.push(Change::Delete(Family::Blocks, keys::body(height, digest)));
            batch.push(Change::Delete(Family::Blocks, keys::height_of(digest)));
            batch.push(Change::Delete(Family::Blocks, key));
            dropped.push(digest);
        }
        Ok(dropped)
    }

    /// Checks a step against the final chain and returns how many of its blocks are final already.
    pub(super) fn check_step(
        &self,
        step: &FinalStep,
        digests: &[BlockDigest],
        head: Head,
    ) -> Result<usize, LedgerError> {
        if !matches!(step.certificate.statement, Statement::Finalize { .. }) {
            return Err(LedgerError::NotAFinalization);
        }
        if step.results.len() != step.blocks.len() {
            return Err(LedgerError::ResultCount { blocks: step.blocks.len(), results: step.results.len() });
        }
        let (mut known, mut reached_new) = (0, false);
        let mut below: Option<Head> = None;
        for (block, (digest, executed)) in step.blocks.iter().zip(digests.iter().zip(&step.results)) {
            let BlockHeader { height, parent, .. } = block.header;
            if let Some(below) = below {
                if below.height.next() != Some(height) {
                    return Err(LedgerError::Gap { head: below.height, got: height });
                }
                if below.digest != parent {
                    return Err(LedgerError::Unlinked { height, parent, below: below.digest });
                }
            }
            below = Some(Head { height, digest: *digest });
            if height <= head.height {
                let stored = self.final_digest(height)?.ok_or_else(|| {
                    corrupt(Family::Blocks, &keys::final_digest(height), "a height below the head has no block")
                })?;
                if stored != *digest {
                    return Err(LedgerError::SafetyBroken { height, stored, got: *digest });
                }
                known += 1;
                continue;
            }
            if !reached_new {
                reached_new = true;
                if head.height.next() != Some(height) {
                    return Err(LedgerError::Gap { head: head.height, got: height });
                }
                if head.digest != parent {
                    return Err(LedgerError::SafetyBroken { height: head.height, stored: head.digest, got: parent });
                }
            }
            let transactions = block.forced.len().saturating_add(block.transactions.len());
            let outcomes = executed.outcomes.len();
            if transactions != outcomes {
                return Err(LedgerError::OutcomeCount { height, transactions, outcomes });
            }
        }
        Ok(known)
    }
}

/// Adds the writes for a block's roots, fees, outcomes and receipts.
pub(super) fn add_block_results(height: Height, executed: &ExecutedBlock, batch: &mut Vec<Change>) {
    batch.push(Change::Put(Family::Receipts, keys::results(height), records::results_to_bytes(executed)));
    if !executed.receipts.is_empty() {
        batch.push(Change::Put(Family::Receipts, keys::receipts(height), receipts_to_bytes(&executed.receipts)));
    }
}
