//! One block, in order.

use alloy_consensus::proofs::calculate_receipt_root;
use alloy_primitives::{Bloom, Bytes, U256};
use baton_proto::{Block, ExecutorKind, Transaction};
use revm::{
    DatabaseCommit, ExecuteEvm, SystemCallEvm,
    context_interface::{ContextTr, result::EVMError},
};

use super::{Environment, Evm, EvmExecutor, WorkingState, receipt, skip, transaction::signed};
use crate::{
    ExecuteError, ExecutedBlock, Executor, Outcome, SkipReason, TransactionReceipt,
    executor::items,
    genesis::{BEACON_ROOTS, HISTORY},
    state::{EvmState, Head},
};

impl Executor for EvmExecutor {
    fn kind(&self) -> ExecutorKind {
        ExecutorKind::Embedded
    }

    /// First the contracts of EIP-2935 and EIP-4788 are told of the block; then each item takes its turn.
    fn execute(&self, block: &Block, state: &dyn EvmState) -> Result<ExecutedBlock, ExecuteError> {
        let parent = self.parent_of(block, state)?;
        let environment = self.environment(&block.header, self.next_base_fee(&parent));
        let mut working = WorkingState::new(state);
        let mut turns = Turns::begin(self.evm(&environment, &mut working), environment)?;
        let mut outcomes = Vec::with_capacity(block.forced.len().saturating_add(block.transactions.len()));
        for item in items(block) {
            outcomes.push(match item {
                Ok(transaction) => turns.take(transaction, outcomes.len())?,
                Err(reason) => Outcome::Skipped(reason),
            });
        }
        let (receipts, gas_used) = turns.end();

        let head = Head {
            height: block.header.height,
            digest: block.header.digest(),
            base_fee: environment.base_fee,
            gas_used,
            state_root: parent.state_root,
        };
        let changes = working.into_changes(parent, head)?;
        let envelopes: Vec<_> = receipts.iter().map(|receipt| &receipt.envelope).collect();
        Ok(ExecutedBlock {
            outcomes,
            base_fee: environment.base_fee,
            gas_used,
            receipts_root: calculate_receipt_root(&envelopes),
            logs_bloom: envelopes.iter().fold(Bloom::ZERO, |bloom, envelope| bloom | *envelope.logs_bloom()),
            state_root: changes.head.after.map_or(parent.state_root, |head| head.state_root),
            changes,
            receipts,
        })
    }

    fn next_base_fee(&self, head: &Head) -> u64 {
        Self::next_base_fee(self, head)
    }
}

/// A block in the middle of its execution.
pub(super) struct Turns<'a, 'b> {
    pub(super) evm: Evm<'a, 'b>,
    environment: Environment,
    receipts: Vec<TransactionReceipt>,
    gas_used: u64,
}

impl<'a, 'b> Turns<'a, 'b> {
    /// Makes the calls that come before all transactions.
    pub(super) fn begin(evm: Evm<'a, 'b>, environment: Environment) -> Result<Self, ExecuteError> {
        let mut turns = Self { evm, environment, receipts: Vec::new(), gas_used: 0 };
        for (contract, word) in [(HISTORY, environment.parent), (BEACON_ROOTS, environment.origin)] {
            let called = turns.evm.system_call(contract, Bytes::copy_from_slice(word.as_slice()));
            let called = called.map_err(fault)?;
            if !called.result.is_success() {
                return Err(ExecuteError::Fault(format!("the call to {contract} before the block failed")));
            }
            turns.evm.ctx.db_mut().commit(called.state);
        }
        Ok(turns)
    }

    /// Goes on in a block whose transactions have used so much gas.
    pub(super) const fn resume(evm: Evm<'a, 'b>, environment: Environment, gas_used: u64) -> Self {
        Self { evm, environment, receipts: Vec::new(), gas_used }
    }

    /// Returns the receipts and the gas that they used.
    pub(super) fn end(self) -> (Vec<TransactionReceipt>, u64) {
        (self.receipts, self.gas_used)
    }

    /// Returns whether the block has less gas left than `transaction` declares.
    pub(super) fn lacks_room(&self, transaction: &Transaction) -> bool {
        transaction.gas_limit() > self.environment.gas_limit.saturating_sub(self.gas_used)
    }

    /// Executes the payload's item number `at`, or says why not.
    pub(super) fn take(&mut self, transaction: &Transaction, at: usize) -> Result<Outcome, ExecuteError> {
        let Environment { base_fee, gas_limit, recipient, .. } = self.environment;
        if self.lacks_room(transaction) {
            let left = gas_limit.saturating_sub(self.gas_used);
            return Ok(Outcome::Skipped(SkipReason::GasLimitReached { got: transaction.gas_limit(), left }));
        }
        // Also after a refusal this clears what the EVM has loaded, so that nothing stays warm for the next one.
        let done = match self.evm.transact(signed(transaction)) {
            Ok(done) => done,
            Err(EVMError::Transaction(invalid)) => {
                let reason = skip::reason(invalid, transaction.max_fee(), base_fee);
                return Ok(Outcome::Skipped(reason));
            }
            Err(error) => return Err(fault(error)),
        };
        let state = self.evm.ctx.db_mut();
        state.commit(done.state);
        // The EVM pays the recipient what is above the base fee, and would burn the rest.
        state.credit(recipient, U256::from(base_fee).saturating_mul(U256::from(done.result.tx_gas_used())))?;

        let item = u32::try_from(at).unwrap_or(u32::MAX);
        let receipt = receipt::receipt(transaction, item, base_fee, self.gas_used, done.result);
        self.gas_used = self.gas_used.saturating_add(receipt.gas_used);
        self.receipts.push(receipt);
        Ok(Outcome::Executed)
    }
}

/// What is no transaction's fault.
pub(super) fn fault<T: std::fmt::Display>(error: EVMError<crate::StateError, T>) -> ExecuteError {
    match error {
        EVMError::Database(error) => ExecuteError::State(error),
        other => ExecuteError::Fault(other.to_string()),
    }
}
