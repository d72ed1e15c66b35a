//! What the ledger holds that cannot be true beside a certificate of a view that is over.
//!
//! The machine compares what it hears with the views that it remembers. A restart leaves it the head alone, catching up jumps
//! over views, 128 views below the final one it forgets, and of the epochs before it knows nothing. The ledger forgets nothing:
//! its final chain says of every view which block is final, and it keeps the certificates that were seen, also those that came
//! long after. So a lie about a view long past is found by whoever ever held the other half (protocol section 6, S4).
//!
//! ```text
//!   running epoch:  checks ─▶ Checked::Certificate ─▶ driver: machine, and here where the view is over
//!   one that ended: members' streams, gossip ─▶ late_certificate ─▶ Checked::Contradiction ─▶ driver ─▶ halt
//!   one that the book forgot: gossip ─▶ judge that asks L1 who sat in it ─▶ the same
//! ```

use baton_consensus::{Verified, Verifier, VerifyError};
use baton_proto::{BlockDigest, Certificate, Conflict, Epoch, Height, Statement, View};

use super::{announced::rejected, intake::Checked};
use crate::{
    ledger::{Ledger, LedgerError, root_of_epoch},
    p2p::Acceptance,
};

/// What cannot be true beside a certificate, as far as its statement says; no signature was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// Certificates that this node holds, the likeliest to be punished first: those of the same view, which L1 takes as a pair,
    /// then that of our own chain.
    held: Vec<Certificate>,
    /// Whether it finalizes a block that our final chain leaves out: then nothing need be held to see that it is a lie.
    is_elsewhere: bool,
}

/// Returns what contradicts `got`, if `got` is of a view that is over while `running` runs: at or below the final head's, or of
/// an epoch before.
///
/// # Errors
/// [`LedgerError`] if the ledger cannot be read.
pub fn contradicted(
    ledger: &dyn Ledger,
    running: Epoch,
    got: &Certificate,
) -> Result<Option<Contradiction>, LedgerError> {
    let (epoch, Some(view)) = (got.statement.epoch(), got.statement.view()) else { return Ok(None) };
    let Some(head) = ledger.header(ledger.head()?.height)? else { return Ok(None) };
    if !(epoch < running || (epoch == head.epoch && view <= head.view)) {
        return Ok(None);
    }
    let mut held = ledger.certificates_of(epoch, view)?;
    held.retain(|held| Conflict::new(held.clone(), got.clone()).is_some());
    let is_elsewhere = match got.statement {
        Statement::Finalize { block, .. } => view > View::ZERO && !is_final(ledger, block)?,
        _ => false,
    };
    if is_elsewhere {
        held.extend(last_finalization(ledger, epoch)?);
    }
    Ok((is_elsewhere || !held.is_empty()).then_some(Contradiction { held, is_elsewhere }))
}

impl Contradiction {
    /// Judges what somebody announced who need be no member: returns whether it goes on to other peers, and what the driver
    /// learns from it. `verifier` is that of its epoch.
    pub fn judge(self, verifier: &Verifier, got: Certificate) -> (Acceptance, Option<Checked>) {
        let got = match verifier.verify_certificate(got) {
            Ok(got) => got,
            Err(error) => return (rejected(&error), None),
        };
        let broken = self.proven(verifier, got);
        (Acceptance::Accept, (!broken.is_empty()).then_some(Checked::Contradiction(broken)))
    }

    /// Returns what cannot stand together, checked: `got` and a half that this node holds, or `got` alone where our final chain
    /// is the other half; empty if what is held is damaged, which shows nothing.
    fn proven(self, verifier: &Verifier, got: Verified<Certificate>) -> Vec<Verified<Certificate>> {
        match self.held.into_iter().find_map(|half| verifier.verify_certificate(half).ok()) {
            Some(half) => vec![half, got],
            None if self.is_elsewhere => vec![got],
            None => Vec::new(),
        }
    }
}

/// Why nothing is learnt from a certificate of an epoch that has ended.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum LateError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Invalid(#[from] VerifyError),
}

/// Compares a certificate of an epoch that has ended with what this node holds, and keeps it, for the other half may come later
/// still. Returns what cannot stand together; empty where it can.
///
/// `verifier` is that of its epoch. A power cut may take what was kept, which then is as if it had never come. What is held
/// already costs a read.
///
/// # Errors
/// [`LateError`].
pub fn late_certificate(
    ledger: &dyn Ledger,
    verifier: &Verifier,
    running: Epoch,
    got: Certificate,
) -> Result<Vec<Verified<Certificate>>, LateError> {
    if is_held(ledger, &got)? {
        return Ok(Vec::new());
    }
    let got = verifier.verify_certificate(got)?;
    let broken = contradicted(ledger, running, &got)?.map(|found| found.proven(verifier, got.clone()));
    ledger.stage(&[], std::slice::from_ref(&*got))?;
    Ok(broken.unwrap_or_default())
}

/// Returns whether a certificate of the same statement is held already.
pub(super) fn is_held(ledger: &dyn Ledger, got: &Certificate) -> Result<bool, LedgerError> {
    let Some(view) = got.statement.view() else { return Ok(true) };
    let held = ledger.certificates_of(got.statement.epoch(), view)?;
    Ok(held.iter().any(|held| held.statement == got.statement))
}

fn is_final(ledger: &dyn Ledger, digest: BlockDigest) -> Result<bool, LedgerError> {
    let Some(block) = ledger.block_by_digest(digest)? else { return Ok(false) };
    Ok(ledger.header(block.header.height)?.is_some_and(|header| header.digest() == digest))
}

/// Returns the finalization of the last final block of `epoch`, if it is held.
fn last_finalization(ledger: &dyn Ledger, epoch: Epoch) -> Result<Option<Certificate>, LedgerError> {
    let Some(next) = epoch.next() else { return Ok(None) };
    let last = root_of_epoch(ledger, next)?;
    if last.epoch != epoch || last.height == Height::ZERO {
        return Ok(None);
    }
    let found = ledger.finalization_from(last.height)?;
    Ok(found.map(|(_, finalization)| finalization).filter(|ours| ours.statement.epoch() == epoch))
}

impl super::Driver {
    /// Returns the certificates, checked, that cannot be true beside each other if `got` is one of them.
    ///
    /// # Errors
    /// [`LedgerError`] if the ledger cannot be read.
    pub(super) fn contradictions(
        &self,
        got: &Verified<Certificate>,
    ) -> Result<Vec<Verified<Certificate>>, LedgerError> {
        if self.status.halted.is_some() {
            return Ok(Vec::new());
        }
        let epoch = &self.context.epoch;
        let found = tokio::task::block_in_place(|| contradicted(self.context.ledger.as_ref(), epoch.epoch, got))?;
        Ok(found.map(|found| found.proven(&epoch.verifier, got.clone())).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, B256};
    use baton_execution::{NonceExecutor, execute_all};
    use baton_proto::{Block, Epoch, StatementKind};

    use super::*;
    use crate::{
        driver::testing::{World, child},
        ledger::{ChainIdentity, FinalStep, MemoryLedger},
    };

    const ALL: [u8; 3] = [0, 1, 2];

    /// A final chain with blocks of views 1, 2 and 4, of which the last alone has a finalization.
    fn chain(world: &World) -> (MemoryLedger, Vec<Block>) {
        let (inbox, slasher) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let ledger = MemoryLedger::new(&ChainIdentity { domain: world.domain, inbox, slasher }).unwrap();
        ledger.init_genesis(&world.epoch().root).unwrap();
        let mut blocks: Vec<Block> = Vec::new();
        for view in [1, 2, 4] {
            let parent = blocks.last().map_or_else(|| world.epoch().root.clone(), |block| block.header.clone());
            let mut block = child(&parent, vec![]);
            block.header.view = View::new(view);
            blocks.push(block);
        }
        let certificate = certify(world, StatementKind::Finalize, 4, blocks[2].header.digest());
        let results = execute_all(&NonceExecutor, &blocks, ledger.state().unwrap().as_ref()).unwrap();
        ledger.finalize(&FinalStep { blocks: blocks.clone(), certificate, results }).unwrap();
        (ledger, blocks)
    }

    fn certify(world: &World, kind: StatementKind, view: u64, block: BlockDigest) -> Certificate {
        let (epoch, view) = (world.epoch().epoch, View::new(view));
        let statement = match kind {
            StatementKind::Notarize => Statement::Notarize { epoch, view, block },
            StatementKind::Finalize => Statement::Finalize { epoch, view, block },
            _ => Statement::Nullify { epoch, view },
        };
        world.certify(&ALL, statement)
    }

    #[test]
    fn a_finalization_of_what_our_chain_leaves_out_contradicts_it_however_old_the_view() {
        let world = World::new(&[1, 1, 1, 1]);
        let (ledger, blocks) = chain(&world);
        let other = BlockDigest::new(B256::repeat_byte(9));
        let finalize = |view, block| certify(&world, StatementKind::Finalize, view, block);
        let found = |got: &Certificate| contradicted(&ledger, world.epoch().epoch, got).unwrap();
        let ours = finalize(4, blocks[2].header.digest());
        for view in [1, 2, 3] {
            let got = finalize(view, other);
            let halves = found(&got).unwrap().proven(&world.verifier, checked(&world, &got));
            assert_eq!(plain(&halves), [&ours, &got], "view {view}");
        }
        // What is final may be said again, and of views above our head nothing is known.
        for got in [finalize(1, blocks[0].header.digest()), ours.clone(), finalize(5, other)] {
            assert_eq!(found(&got), None, "{got:?}");
        }
        let elsewhere = Statement::Finalize { epoch: Epoch::new(9), view: View::new(1), block: other };
        assert_eq!(found(&world.certify(&ALL, elsewhere)), None);
        // Once the epoch is over nothing can come above our head either.
        let (above, next) = (finalize(5, other), Epoch::new(3));
        let halves =
            contradicted(&ledger, next, &above).unwrap().unwrap().proven(&world.verifier, checked(&world, &above));
        assert_eq!(plain(&halves), [&ours, &above]);
        assert_eq!(contradicted(&ledger, next, &ours).unwrap(), None);
    }

    #[test]
    fn two_certificates_of_one_view_are_found_as_the_pair_that_l1_takes() {
        let world = World::new(&[1, 1, 1, 1]);
        let (ledger, blocks) = chain(&world);
        let [nullify, notarize, finalize] = [StatementKind::Nullify, StatementKind::Notarize, StatementKind::Finalize];
        let (one, other) = (blocks[1].header.digest(), BlockDigest::new(B256::repeat_byte(9)));
        let held = certify(&world, notarize, 2, one);
        // A damaged one beside it does not hide it.
        let damaged =
            Certificate { signature: held.signature, ..certify(&world, notarize, 2, BlockDigest::new(B256::ZERO)) };
        ledger.persist(&[], &[damaged, held.clone()]).unwrap();
        let (twin, given_up) = (certify(&world, notarize, 2, other), certify(&world, nullify, 4, other));
        let last = certify(&world, finalize, 4, blocks[2].header.digest());
        for running in [2, 3].map(Epoch::new) {
            for (held, got) in [(&held, &twin), (&last, &given_up)] {
                let found = contradicted(&ledger, running, got).unwrap().unwrap();
                assert_eq!(plain(&found.proven(&world.verifier, checked(&world, got))), [held, got]);
            }
            // A view may be given up beside a notarization, and a certificate repeats itself.
            let found = contradicted(&ledger, running, &certify(&world, nullify, 2, one)).unwrap();
            assert_eq!(found, None);
        }
    }

    #[test]
    fn a_late_certificate_is_kept_once_it_is_true() {
        let world = World::new(&[1, 1, 1, 1]);
        let (ledger, _) = chain(&world);
        let block = |fill| BlockDigest::new(B256::repeat_byte(fill));
        let notarize = |fill| certify(&world, StatementKind::Notarize, 3, block(fill));
        let running = Epoch::new(3);
        let late = |got: &Certificate| late_certificate(&ledger, &world.verifier, running, got.clone());
        let (one, other) = (notarize(1), notarize(2));
        let forged = Certificate { signature: other.signature, ..one.clone() };
        assert!(matches!(late(&forged), Err(LateError::Invalid(_))));
        assert!(!is_held(&ledger, &one).unwrap());
        for _ in 0..2 {
            assert!(late(&one).unwrap().is_empty() && is_held(&ledger, &one).unwrap());
        }
        // What is held already is not even looked at.
        assert!(late(&forged).unwrap().is_empty());
        assert_eq!(plain(&late(&other).unwrap()), [&one, &other]);
    }

    fn checked(world: &World, certificate: &Certificate) -> Verified<Certificate> {
        world.verifier.verify_certificate(certificate.clone()).unwrap()
    }

    fn plain(checked: &[Verified<Certificate>]) -> Vec<&Certificate> {
        checked.iter().map(|checked| &**checked).collect()
    }
}
