//! Making blocks final: execute in order, store in one step, and tell everybody at the end of the turn.

use std::sync::{Arc, PoisonError};

use alloy_primitives::{Address, TxHash};
use baton_execution::{ExecutedBlock, Outcome, execute_all};
use baton_mempool::Settled;
use baton_proto::{Block, BlockHeader, Certificate};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::{
    Driver, DriverError,
    accounts::{FinalAccounts, base_fee_after},
    own_turns::Missed,
    turn::Said,
};
use crate::{
    epoch::EpochContext,
    ledger::{FinalStep, Head, LedgerError},
};

/// How blocks that become final came to this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// As proposals that the committee voted for just now.
    Live,
    /// Long after, in a range from a peer.
    InARange,
}

/// Blocks that became final in one step, ascending.
#[derive(Debug)]
pub(super) struct NewlyFinal {
    headers: Vec<BlockHeader>,
    came: Came,
    signers: u32,
}

/// Gas that the blocks of one step declare at most, in gas limits of a block: what is executed, held in memory and written at
/// once. A range of 256 blocks, or as many that become final together after a stall, can hold a hundred times as much.
const STEP_GAS_LIMITS: u64 = 2;

/// Divides blocks into steps of at most `gas_max` declared gas, or of one block that declares more.
fn steps(blocks: Vec<Arc<Block>>, gas_max: u64) -> Vec<Vec<Arc<Block>>> {
    let (mut steps, mut gas) = (Vec::<Vec<Arc<Block>>>::new(), 0_u64);
    for block in blocks {
        gas = gas.saturating_add(block.header.declared_gas);
        match steps.last_mut() {
            Some(step) if gas <= gas_max => step.push(block),
            _ => {
                gas = block.header.declared_gas;
                steps.push(vec![block]);
            }
        }
    }
    steps
}

impl Driver {
    /// Makes `blocks` final, in order, on top of the ledger's head. `certificate` finalizes the last one or a descendant.
    ///
    /// Head, results and certificate are written in steps of bounded gas, each whole or not at all; readers hear of one when the
    /// disk has it. After a crash between two the rest becomes final again.
    pub(super) fn commit(
        &mut self,
        blocks: Vec<Arc<Block>>,
        certificate: Certificate,
        came: Came,
    ) -> Result<(), DriverError> {
        let gas_max = self.context.facts.spec.block_gas_limit.saturating_mul(STEP_GAS_LIMITS);
        steps(blocks, gas_max).into_iter().try_for_each(|step| self.commit_step(step, certificate.clone(), came))
    }

    fn commit_step(
        &mut self,
        blocks: Vec<Arc<Block>>,
        certificate: Certificate,
        came: Came,
    ) -> Result<(), DriverError> {
        let Some(last) = blocks.last().map(|block| block.header.clone()) else { return Ok(()) };
        let ledger = Arc::clone(&self.context.ledger);
        let results = self.execute(&blocks, ledger.head()?)?;
        let signers = certificate.signers.len();
        let touched: Vec<Address> =
            results.iter().flat_map(|executed| executed.changes.accounts.keys().copied()).collect();
        let refused: Vec<TxHash> =
            blocks.iter().zip(&results).flat_map(|(block, executed)| refused(block, executed)).collect();
        let step = FinalStep { blocks: blocks.iter().map(|block| Block::clone(block)).collect(), certificate, results };
        if let Err(error) = self.turn.finalize(&step) {
            if let DriverError::Ledger(error @ LedgerError::SafetyBroken { .. }) = &error {
                self.halt(error.to_string(), &[])?;
            }
            return Err(error);
        }

        let base_fee = base_fee_after(ledger.as_ref(), self.context.executor.as_ref(), &[])?;
        let settled = Settled { touched: &touched, refused: &refused, base_fee };
        let accounts = FinalAccounts::new(ledger.as_ref());
        self.context.pool.lock().unwrap_or_else(PoisonError::into_inner).on_final(&settled, &accounts);
        let me = self.context.epoch.me();
        let mut missed = Vec::new();
        for block in &blocks {
            self.blocks.on_final(block);
            let EpochContext { leaders, .. } = self.context.epoch.as_ref();
            self.context.metrics.block_final(&block.header, |view| {
                let is_ours = me == Some(leaders.leader(view));
                missed.extend(is_ours.then_some(view));
                is_ours
            });
        }
        for Missed { view, turns, why, untold } in self.own_turns.missed(missed, last.view, Instant::now()) {
            warn!(epoch = %last.epoch, %view, turns, why, untold, "missed a turn of our own");
        }
        self.status.final_height = last.height;
        self.status.notarized_height = self.status.notarized_height.max(last.height);
        let headers = blocks.iter().map(|block| block.header.clone()).collect();
        self.turn.say(Said::Final(NewlyFinal { headers, came, signers }));
        Ok(())
    }

    /// Executes what is above `head`, in order. What is final already, or does not build on it, has results that mean nothing: the
    /// ledger passes over the one and says what the other breaks.
    fn execute(&self, blocks: &[Arc<Block>], head: Head) -> Result<Vec<ExecutedBlock>, DriverError> {
        let known = blocks.iter().take_while(|block| block.header.height <= head.height).count();
        let new = blocks.get(known..).unwrap_or_default();
        let builds_on =
            |block: &Arc<Block>| (Some(block.header.height), block.header.parent) == (head.height.next(), head.digest);
        if !new.first().is_some_and(builds_on) {
            return Ok(vec![ExecutedBlock::default(); blocks.len()]);
        }
        let state = self.context.ledger.state()?;
        let mut results = vec![ExecutedBlock::default(); known];
        results.extend(execute_all(self.context.executor.as_ref(), new.iter().map(Arc::as_ref), state.as_ref())?);
        Ok(results)
    }

    /// Tells everybody in this process of blocks that are final, now that the disk has them.
    pub(super) fn tell_final(&mut self, NewlyFinal { headers, came, signers }: NewlyFinal) {
        let Some(last) = headers.last() else { return };
        self.context.notarized.on_final(last.height);
        self.context.heads.send_replace(last.height);
        if came == Came::InARange {
            debug!(height = %last.height, blocks = headers.len(), signers, "range final");
            return;
        }
        let time_to_final_ms = self.now().get().saturating_sub(last.timestamp_ms.get());
        self.status.time_to_final_ms = Some(time_to_final_ms);
        self.context.metrics.final_after(time_to_final_ms);
        for header in &headers {
            info!(height = %header.height, view = %header.view, proposer = %header.proposer,
                transactions = header.transaction_count, signers, "block final");
        }
    }
}

/// Returns the transactions of a block that execution refused at their turn, and that can never take one.
fn refused<'a>(block: &'a Block, executed: &'a ExecutedBlock) -> impl Iterator<Item = TxHash> + 'a {
    block.ordered().filter_map(|(index, transaction)| match executed.outcomes.get(index as usize)? {
        Outcome::Skipped(reason) if !reason.can_pass() => Some(*transaction.hash()),
        Outcome::Skipped(_) | Outcome::Executed => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::testing::block_of;

    #[test]
    fn a_step_holds_as_many_blocks_as_its_gas_allows_and_at_least_one() {
        let block = |(height, gas): (u64, u64)| {
            let mut block = block_of(height, height, vec![]);
            block.header.declared_gas = gas;
            Arc::new(block)
        };
        let declared = [0, 5, 5, 1, 11, 0, 10, 0];
        let found = steps((1..).zip(declared).map(block).collect(), 10);
        let gas: Vec<Vec<u64>> =
            found.iter().map(|step| step.iter().map(|block| block.header.declared_gas).collect()).collect();
        assert_eq!(gas, [vec![0, 5, 5], vec![1], vec![11], vec![0, 10, 0]]);
        assert!(found.iter().flatten().map(|block| block.header.height.get()).eq(1..=8));
        assert!(steps(Vec::new(), 10).is_empty());
    }
}
