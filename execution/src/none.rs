//! The executor of a pure ordering chain: it keeps nonces, so that nothing takes two turns.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256};
use baton_proto::{Block, BlockHeader, ExecutorKind, Transaction};

use crate::{
    ExecuteError, ExecutedBlock, Executor, Outcome, SkipReason, StateError,
    executor::{items, parent_of},
    state::{Account, Change, ChangeSet, EvmState, Head},
};

/// Gives each transaction its turn if its nonce is the sender's next one, and skips it otherwise.
///
/// One pass in block order, so a sender's consecutive nonces all execute in one block. A nonce that is next is used up by
/// executing and by nothing else: so nothing executes twice, and nobody else's transactions can spoil a turn. Nonces are kept
/// as those of accounts without a balance, of which there is no trie. Source: protocol section 4.
#[derive(Clone, Copy, Debug, Default)]
pub struct NonceExecutor;

impl NonceExecutor {
    /// Returns the changes that make an empty state the state after `genesis`, the chain's first block: nobody has sent.
    #[must_use]
    pub fn genesis(genesis: &BlockHeader) -> ChangeSet {
        ChangeSet { head: Change { before: None, after: Some(head_after(genesis)) }, ..ChangeSet::default() }
    }
}

impl Executor for NonceExecutor {
    fn kind(&self) -> ExecutorKind {
        ExecutorKind::None
    }

    fn execute(&self, block: &Block, state: &dyn EvmState) -> Result<ExecutedBlock, ExecuteError> {
        let parent = parent_of(block, state)?;
        let mut accounts: BTreeMap<Address, Change<Option<Account>>> = BTreeMap::new();
        let mut outcomes = Vec::with_capacity(block.forced.len().saturating_add(block.transactions.len()));
        for item in items(block) {
            outcomes.push(match item {
                Ok(transaction) => take_turn(transaction, &mut accounts, state)?,
                Err(reason) => Outcome::Skipped(reason),
            });
        }
        accounts.retain(|_, change| change.before != change.after);
        let head = Change { before: Some(parent), after: Some(head_after(&block.header)) };
        let changes = ChangeSet { head, accounts, ..ChangeSet::default() };
        Ok(ExecutedBlock { outcomes, changes, ..ExecutedBlock::default() })
    }

    fn next_base_fee(&self, _: &Head) -> u64 {
        0
    }
}

/// Gas costs nothing, and there is no trie.
fn head_after(header: &BlockHeader) -> Head {
    Head { height: header.height, digest: header.digest(), base_fee: 0, gas_used: 0, state_root: B256::ZERO }
}

/// Uses up the sender's nonce if the transaction's is next.
fn take_turn(
    transaction: &Transaction,
    accounts: &mut BTreeMap<Address, Change<Option<Account>>>,
    state: &dyn EvmState,
) -> Result<Outcome, StateError> {
    let sender = transaction.sender();
    let change = match accounts.get_mut(&sender) {
        Some(change) => change,
        None => {
            let account = state.account(sender)?;
            accounts.entry(sender).or_insert(Change { before: account, after: account })
        }
    };
    let account = change.after.unwrap_or_default();
    let (got, expected) = (transaction.nonce(), account.nonce);
    Ok(if got < expected {
        Outcome::Skipped(SkipReason::NonceTooLow { got, expected })
    } else if got > expected {
        Outcome::Skipped(SkipReason::NonceTooHigh { got, expected })
    } else {
        // EIP-2681: a transaction with nonce 2^64 - 1 is never valid, so the sum stays in range.
        change.after = Some(Account { nonce: expected.saturating_add(1), ..account });
        Outcome::Executed
    })
}

#[cfg(test)]
mod tests;
