//! What members attested of batches: one entry for each batch index and key, whatever committees the attestations are for.
//!
//! An honest member repeats itself and one that lies does not, so each is half of an offence as soon as its signer says something
//! else of the same batch: after a restart, or for another committee, as well.

use baton_proto::{Attestation, BatchIndex, BlsPublicKey, SignedStatement, Statement, limits::COMMITTEE_MEMBERS_MAX};

use super::{
    Change, Durability, Family, LedgerError, Store, StoreLedger,
    chain::{corrupt, to_json},
    keys,
};

/// Attestations of one batch index on one batch before it that are kept of one key: as many ends as an honest member may come to
/// attest, three of each proposer. What says the same of the same end says nothing new. A reorg of L1 gives the index another batch
/// before it, and with that as many places anew.
pub const ATTESTED_MAX: usize = 3 * COMMITTEE_MEMBERS_MAX;

impl<S: Store> StoreLedger<S> {
    /// Keeps an attestation; the caller holds the writer's lock.
    pub(super) fn add_attestation(&self, key: &BlsPublicKey, signed: &SignedStatement) -> Result<(), LedgerError> {
        let Statement::Attest(attestation) = signed.statement else { return Ok(()) };
        let mut kept = self.attested_by(attestation.batch_index, key)?;
        let beside = kept.iter().filter(|kept| follows_the_same(&kept.statement, &attestation)).count();
        if beside >= ATTESTED_MAX || kept.iter().any(|kept| says_the_same(&kept.statement, &attestation)) {
            return Ok(());
        }
        kept.push(signed.clone());
        let place = keys::attested(attestation.batch_index, key);
        let put = Change::Put(Family::Batches, place, to_json("attestations", &kept)?);
        self.store.write(vec![put], Durability::Buffered)
    }

    pub(super) fn attested_by(
        &self,
        index: BatchIndex,
        key: &BlsPublicKey,
    ) -> Result<Vec<SignedStatement>, LedgerError> {
        let place = keys::attested(index, key);
        let Some(bytes) = self.store.get(Family::Batches, &place)? else { return Ok(Vec::new()) };
        serde_json::from_slice(&bytes).map_err(|error| corrupt(Family::Batches, &place, error.to_string()))
    }
}

fn follows_the_same(kept: &Statement, new: &Attestation) -> bool {
    matches!(kept, Statement::Attest(kept) if kept.prev_batch_hash == new.prev_batch_hash)
}

fn says_the_same(kept: &Statement, new: &Attestation) -> bool {
    let claim = |of: &Attestation| (of.prev_batch_hash, of.last_height, of.last_digest, of.state_root);
    matches!(kept, Statement::Attest(kept) if claim(kept) == claim(new))
}
