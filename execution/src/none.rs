//! The executor of a pure ordering chain: it keeps nonces, so that nothing takes two turns.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256};
use baton_proto::{Block, ExecutorKind, Transaction};

use crate::{Executed, Executor, Outcome, StateError, StateView};

/// Gives each transaction its turn if its nonce is the sender's next one, and skips it otherwise.
///
/// One pass in block order, so a sender's consecutive nonces all execute in one block. A nonce that is next is used up by
/// executing and by nothing else: so nothing executes twice, and nobody else's transactions can spoil a turn. Source:
/// protocol section 4.
#[derive(Clone, Copy, Debug, Default)]
pub struct NonceExecutor;

impl Executor for NonceExecutor {
    fn kind(&self) -> ExecutorKind {
        ExecutorKind::None
    }

    fn execute(&self, block: &Block, state: &dyn StateView) -> Result<Executed, StateError> {
        let mut nonces: BTreeMap<Address, u64> = BTreeMap::new();
        let mut outcomes = Vec::with_capacity(block.forced.len() + block.transactions.len());
        for entry in &block.forced.entries {
            outcomes.push(match entry.content(block.header.l2_chain_id) {
                Ok(transaction) => take_turn(transaction, &mut nonces, state)?,
                Err(flaw) => Outcome::from(&flaw),
            });
        }
        for transaction in &block.transactions {
            outcomes.push(take_turn(transaction, &mut nonces, state)?);
        }
        Ok(Executed { outcomes, nonces, state_root: B256::ZERO })
    }
}

/// Uses up the sender's nonce if the transaction's is next.
fn take_turn(
    transaction: &Transaction,
    nonces: &mut BTreeMap<Address, u64>,
    state: &dyn StateView,
) -> Result<Outcome, StateError> {
    let sender = transaction.sender();
    let expected = match nonces.get(&sender) {
        Some(nonce) => *nonce,
        None => state.nonce(sender)?,
    };
    Ok(match transaction.nonce() {
        nonce if nonce < expected => Outcome::SkippedReplay { expected },
        nonce if nonce > expected => Outcome::SkippedGap { expected },
        _ => {
            // EIP-2681: a transaction with nonce 2^64 - 1 is never valid, so the sum stays in range.
            nonces.insert(sender, expected.saturating_add(1));
            Outcome::Executed
        }
    })
}

#[cfg(test)]
mod tests;
