//! The marks by which a node knows, in its next epoch and after a restart, that it saw safety broken.
//!
//! Whoever finds what cannot stand together writes the marks before anybody is told, for the one who is told may be ending: the
//! driver of the next epoch looks for them, and so does the next start.

use baton_consensus::Verified;
use baton_proto::{Certificate, Conflict, Statement};

use crate::{
    epoch::EpochBook,
    l1::CONFLICT_KEY,
    ledger::{Ledger, LedgerError},
};

/// Key under which the ledger keeps why this node halted for good.
pub const HALTED_KEY: &str = "halted";

/// Says what certificates cannot stand together, or beside the final chain.
pub(super) fn reason(certificates: &[Certificate]) -> String {
    if let [one] = certificates {
        return format!("a certificate that contradicts the final chain: {:?}", one.statement);
    }
    let statements: Vec<&Statement> = certificates.iter().map(|certificate| &certificate.statement).collect();
    format!("certificates that contradict each other: {statements:?}")
}

/// Writes down, durably and for good, that safety is broken; with it what convicts a third of the stake at once, which the
/// reporter looks for when this node halts. Returns why: what was written first stays.
///
/// # Errors
/// [`LedgerError`] if it is not on the disk.
pub(super) fn mark(ledger: &dyn Ledger, why: String, certificates: &[Certificate]) -> Result<String, LedgerError> {
    let before = marked(ledger)?;
    // A pair that L1 punishes counts also where something else was seen first.
    if let Some(found) = Conflict::among(certificates).filter(|_| conflict(ledger).is_ok_and(|kept| kept.is_none())) {
        let bytes = serde_json::to_vec(&found).expect("numbers, hashes and signatures have a form in JSON");
        ledger.put_l1_fact(CONFLICT_KEY, &bytes)?;
    }
    if let Some(before) = before {
        return Ok(before);
    }
    ledger.put_l1_fact(HALTED_KEY, why.as_bytes())?;
    Ok(why)
}

/// Returns why this node has halted for good; `None` if it has not. What convicts is written first, so a crash can leave it
/// alone.
///
/// # Errors
/// [`LedgerError`] if the ledger cannot be read.
pub fn marked(ledger: &dyn Ledger) -> Result<Option<String>, LedgerError> {
    if let Some(why) = ledger.l1_fact(HALTED_KEY)? {
        return Ok(Some(String::from_utf8_lossy(&why).into_owned()));
    }
    Ok(conflict(ledger)?.map(|conflict| reason(&conflict.certificates().map(Certificate::clone))))
}

/// Returns the certificates that were kept with the marks, as far as `book` knows who can have signed them.
pub(super) fn kept(ledger: &dyn Ledger, book: &EpochBook) -> Result<Vec<Verified<Certificate>>, LedgerError> {
    let halves = conflict(ledger)?.map(|conflict| conflict.certificates().map(Certificate::clone));
    let checked = |half: Certificate| book.of(half.statement.epoch())?.verifier.verify_certificate(half).ok();
    Ok(halves.into_iter().flatten().filter_map(checked).collect())
}

fn conflict(ledger: &dyn Ledger) -> Result<Option<Conflict>, LedgerError> {
    Ok(ledger.l1_fact(CONFLICT_KEY)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}
