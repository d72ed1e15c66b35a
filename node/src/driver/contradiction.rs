//! What the ledger holds that cannot be true beside a certificate of a view that is over.
//!
//! The machine compares what it hears with the views that it remembers. A restart leaves it the head alone, catching up jumps
//! over views, and 128 views below the final one it forgets. The ledger forgets nothing: its final chain says of every view
//! which block is final, and it keeps the certificates that were seen. So a lie about a view long past is found by whoever
//! ever held the other half (protocol section 6, S4).

use baton_consensus::Verified;
use baton_proto::{BlockDigest, Certificate, Conflict, Statement, View};

use crate::ledger::{Ledger, LedgerError};

/// Returns what contradicts `got`, both halves, if `got` is of a view at or below the final head's.
///
/// Two certificates of one view where there are two, for L1 punishes those; else the finalization of our chain and that of a
/// block that our chain leaves out.
///
/// # Errors
/// [`LedgerError`] if the ledger cannot be read.
pub(super) fn contradicted(ledger: &dyn Ledger, got: &Certificate) -> Result<Option<[Certificate; 2]>, LedgerError> {
    let Some(view) = got.statement.view() else { return Ok(None) };
    let Some(head) = ledger.header(ledger.head()?.height)? else { return Ok(None) };
    if got.statement.epoch() != head.epoch || view > head.view {
        return Ok(None);
    }
    for held in ledger.certificates_of(head.epoch, view)? {
        if Conflict::new(held.clone(), got.clone()).is_some() {
            return Ok(Some([held, got.clone()]));
        }
    }
    let Statement::Finalize { block, .. } = got.statement else { return Ok(None) };
    if view == View::ZERO || is_final(ledger, block)? {
        return Ok(None);
    }
    let above = ledger.finalization_from(head.height)?;
    Ok(above.map(|(_, ours)| [ours, got.clone()]))
}

fn is_final(ledger: &dyn Ledger, digest: BlockDigest) -> Result<bool, LedgerError> {
    let Some(block) = ledger.block_by_digest(digest)? else { return Ok(false) };
    Ok(ledger.header(block.header.height)?.is_some_and(|header| header.digest() == digest))
}

impl super::Driver {
    /// Returns the certificates, checked, that cannot be true beside each other if `got` is one of them.
    pub(super) fn contradictions(&self, got: &Certificate) -> Result<Vec<Verified<Certificate>>, LedgerError> {
        if self.status.halted.is_some() {
            return Ok(Vec::new());
        }
        let found = tokio::task::block_in_place(|| contradicted(self.context.ledger.as_ref(), got))?;
        let verifier = &self.context.epoch.verifier;
        // A damaged one shows nothing.
        let checked = found.map(|pair| pair.map(|half| verifier.verify_certificate(half).ok()));
        Ok(checked.into_iter().flatten().collect::<Option<Vec<_>>>().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use alloy_primitives::{Address, B256};
    use baton_execution::Executed;
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
        let nothing = || Executed { outcomes: vec![], nonces: BTreeMap::new(), state_root: B256::ZERO };
        let results = blocks.iter().map(|_| nothing()).collect();
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
        let kinds = |got: &Certificate| contradicted(&ledger, got).unwrap().map(|[held, got]| (held, got));
        let ours = finalize(4, blocks[2].header.digest());
        for view in [1, 2, 3] {
            let got = finalize(view, other);
            assert_eq!(kinds(&got), Some((ours.clone(), got)), "view {view}");
        }
        // What is final may be said again, and of views above our head nothing is known.
        for got in [finalize(1, blocks[0].header.digest()), ours.clone(), finalize(5, other)] {
            assert_eq!(kinds(&got), None, "{got:?}");
        }
        let elsewhere = Statement::Finalize { epoch: Epoch::new(9), view: View::new(1), block: other };
        assert_eq!(kinds(&world.certify(&ALL, elsewhere)), None);
    }

    #[test]
    fn two_certificates_of_one_view_are_found_as_the_pair_that_l1_takes() {
        let world = World::new(&[1, 1, 1, 1]);
        let (ledger, blocks) = chain(&world);
        let [nullify, notarize, finalize] = [StatementKind::Nullify, StatementKind::Notarize, StatementKind::Finalize];
        let (one, other) = (blocks[1].header.digest(), BlockDigest::new(B256::repeat_byte(9)));
        let held = certify(&world, notarize, 2, one);
        ledger.persist(&[], std::slice::from_ref(&held)).unwrap();
        let (twin, given_up) = (certify(&world, notarize, 2, other), certify(&world, nullify, 4, other));
        let last = certify(&world, finalize, 4, blocks[2].header.digest());
        assert_eq!(contradicted(&ledger, &twin).unwrap(), Some([held.clone(), twin]));
        assert_eq!(contradicted(&ledger, &given_up).unwrap(), Some([last, given_up]));
        // A view may be given up beside a notarization, and a certificate repeats itself.
        for got in [certify(&world, nullify, 2, one), held] {
            assert_eq!(contradicted(&ledger, &got).unwrap(), None);
        }
    }
}
