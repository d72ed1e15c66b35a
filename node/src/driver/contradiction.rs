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

use std::sync::{Mutex, PoisonError};

use baton_consensus::{Verified, Verifier, VerifyError};
use baton_proto::{Certificate, Conflict, Epoch, Height, Statement, View};

use super::{announced::rejected, broken, intake::Checked};
use crate::{
    ledger::{Ledger, LedgerError, root_of_epoch},
    p2p::Acceptance,
};

/// What cannot be true beside a certificate, as far as its statement says; no signature was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// Certificates of the same view that this node holds: L1 takes two as a pair.
    held: Vec<Certificate>,
    /// Whether it finalizes a block that our final chain leaves out: then nothing need be held to see that it is a lie.
    is_elsewhere: bool,
}

/// Returns what contradicts `got` while `running` runs: certificates of its view, and our final chain if its view is over, which
/// is at or below the final head's, or in an epoch before.
///
/// # Errors
/// [`LedgerError`] if the ledger cannot be read.
pub fn contradicted(
    ledger: &dyn Ledger,
    running: Epoch,
    got: &Certificate,
) -> Result<Option<Contradiction>, LedgerError> {
    let (epoch, Some(view)) = (got.statement.epoch(), got.statement.view()) else { return Ok(None) };
    let mut held = ledger.certificates_of(epoch, view)?;
    held.retain(|held| Conflict::new(held.clone(), got.clone()).is_some());
    let is_elsewhere = match got.statement {
        Statement::Finalize { block, .. } if view > View::ZERO => {
            let is_over = epoch < running || is_at_or_below_the_head(ledger, epoch, view)?;
            is_over && !ledger.is_final(block)?
        }
        _ => false,
    };
    Ok((is_elsewhere || !held.is_empty()).then_some(Contradiction { held, is_elsewhere }))
}

fn is_at_or_below_the_head(ledger: &dyn Ledger, epoch: Epoch, view: View) -> Result<bool, LedgerError> {
    let head = ledger.header(ledger.head()?.height)?;
    Ok(head.is_some_and(|head| head.epoch == epoch && view <= head.view))
}

impl Contradiction {
    /// Judges what somebody announced who need be no member: returns whether it goes on to other peers, and what the driver
    /// learns from it, which is marked already. `verifier` is that of its epoch.
    ///
    /// # Errors
    /// [`LedgerError`] if the ledger cannot be read or written.
    pub fn judge(
        self,
        ledger: &dyn Ledger,
        verifier: &Verifier,
        got: Certificate,
    ) -> Result<(Acceptance, Option<Checked>), LedgerError> {
        let got = match verifier.verify_certificate(got) {
            Ok(got) => got,
            Err(error) => return Ok((rejected(&error), None)),
        };
        let broken = self.proven(ledger, verifier, got)?;
        Ok((Acceptance::Accept, (!broken.is_empty()).then_some(Checked::Contradiction(broken))))
    }

    /// Returns what cannot stand together, checked and marked ([`broken::mark`]): `got` and a half that this node holds, or `got`
    /// alone where our final chain is the other half; empty if what is held is damaged, which shows nothing.
    fn proven(
        self,
        ledger: &dyn Ledger,
        verifier: &Verifier,
        got: Verified<Certificate>,
    ) -> Result<Vec<Verified<Certificate>>, LedgerError> {
        let mut half = self.held.into_iter().find_map(|half| verifier.verify_certificate(half).ok());
        if half.is_none() && self.is_elsewhere {
            let ours = last_finalization(ledger, got.statement.epoch())?;
            half = ours.and_then(|ours| verifier.verify_certificate(ours).ok());
        }
        if half.is_none() && !self.is_elsewhere {
            return Ok(Vec::new());
        }
        let broken: Vec<_> = half.into_iter().chain([got]).collect();
        let plain: Vec<Certificate> = broken.iter().map(|half| Certificate::clone(half)).collect();
        broken::mark(ledger, broken::reason(&plain), &plain)?;
        Ok(broken)
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
/// still. Returns what cannot stand together, which is marked already; empty where it can.
///
/// `verifier` is that of its epoch, `order` what all callers share: two halves that come together must not pass each other by.
/// A power cut may take what was kept, which then is as if it had never come. What is held already costs a few reads.
///
/// # Errors
/// [`LateError`].
pub fn late_certificate(
    ledger: &dyn Ledger,
    verifier: &Verifier,
    running: Epoch,
    order: &Mutex<()>,
    got: Certificate,
) -> Result<Vec<Verified<Certificate>>, LateError> {
    if is_of_no_use(ledger, running, &got)? {
        return Ok(Vec::new());
    }
    let got = verifier.verify_certificate(got)?;
    let _one_at_a_time = order.lock().unwrap_or_else(PoisonError::into_inner);
    let broken = match contradicted(ledger, running, &got)? {
        Some(found) => found.proven(ledger, verifier, got.clone())?,
        None => Vec::new(),
    };
    ledger.stage(&[], std::slice::from_ref(&*got))?;
    Ok(broken)
}

/// Returns whether a certificate of a view that is over says nothing new: one of the same statement is held, and nothing that
/// contradicts it.
pub(super) fn is_of_no_use(ledger: &dyn Ledger, running: Epoch, got: &Certificate) -> Result<bool, LedgerError> {
    let Some(view) = got.statement.view() else { return Ok(true) };
    let held = ledger.certificates_of(got.statement.epoch(), view)?;
    Ok(held.iter().any(|held| held.statement == got.statement) && contradicted(ledger, running, got)?.is_none())
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
        let (ledger, epoch) = (self.context.ledger.as_ref(), &self.context.epoch);
        tokio::task::block_in_place(|| match contradicted(ledger, epoch.epoch, got)? {
            Some(found) => found.proven(ledger, &epoch.verifier, got.clone()),
            None => Ok(Vec::new()),
        })
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, B256};
    use baton_execution::{NonceExecutor, execute_all};
    use baton_proto::{Block, BlockDigest, Epoch, StatementKind};

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
            let halves = found(&got).unwrap().proven(&ledger, &world.verifier, checked(&world, &got)).unwrap();
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
        let halves = contradicted(&ledger, next, &above)
            .unwrap()
            .unwrap()
            .proven(&ledger, &world.verifier, checked(&world, &above))
            .unwrap();
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
                assert_eq!(plain(&found.proven(&ledger, &world.verifier, checked(&world, got)).unwrap()), [held, got]);
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
        let late =
            |got: &Certificate| late_certificate(&ledger, &world.verifier, running, &Mutex::default(), got.clone());
        let holds =
            |got: &Certificate| ledger.certificates_of(got.statement.epoch(), View::new(3)).unwrap().contains(got);
        let (one, other) = (notarize(1), notarize(2));
        let forged = Certificate { signature: other.signature, ..one.clone() };
        assert!(matches!(late(&forged), Err(LateError::Invalid(_))));
        assert!(!holds(&one));
        for _ in 0..2 {
            assert!(late(&one).unwrap().is_empty() && holds(&one));
        }
        // What is held already is not even looked at.
        assert!(late(&forged).unwrap().is_empty());
        assert_eq!(plain(&late(&other).unwrap()), [&one, &other]);
        // From then on each of them is compared, held or not.
        assert_eq!(plain(&late(&one).unwrap()), [&other, &one]);
    }

    #[test]
    fn what_is_above_the_head_is_compared_with_its_own_view_alone() {
        let world = World::new(&[1, 1, 1, 1]);
        let (ledger, _) = chain(&world);
        let other = BlockDigest::new(B256::repeat_byte(9));
        let nullify = certify(&world, StatementKind::Nullify, 9, other);
        ledger.persist(&[], std::slice::from_ref(&nullify)).unwrap();
        let running = world.epoch().epoch;
        let halves = |got: &Certificate| {
            let found = contradicted(&ledger, running, got).unwrap();
            found.map(|found| found.proven(&ledger, &world.verifier, checked(&world, got)).unwrap())
        };
        let [beside, above] = [9, 10].map(|view| certify(&world, StatementKind::Finalize, view, other));
        assert!(halves(&above).is_none());
        assert_eq!(plain(&halves(&beside).unwrap()), [&nullify, &beside]);
    }

    fn checked(world: &World, certificate: &Certificate) -> Verified<Certificate> {
        world.verifier.verify_certificate(certificate.clone()).unwrap()
    }

    fn plain(checked: &[Verified<Certificate>]) -> Vec<&Certificate> {
        checked.iter().map(|checked| &**checked).collect()
    }
}
