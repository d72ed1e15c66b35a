//! The final state as executors and the pool read it.

use std::collections::BTreeMap;

use alloy_primitives::Address;
use baton_execution::{Executed, StateError, StateView};

use super::Ledger;

/// The ledger's final state, and on top of it the results of blocks that are executed but not stored yet.
pub struct FinalState<'a> {
    ledger: &'a dyn Ledger,
    ahead: BTreeMap<Address, u64>,
}

impl<'a> FinalState<'a> {
    /// Starts from what is stored.
    #[must_use]
    pub const fn new(ledger: &'a dyn Ledger) -> Self {
        Self { ledger, ahead: BTreeMap::new() }
    }

    /// Goes on from the state after one more block.
    pub fn absorb(&mut self, executed: &Executed) {
        self.ahead.extend(executed.nonces.iter().map(|(account, nonce)| (*account, *nonce)));
    }

    /// Returns the next nonces of all accounts that the absorbed blocks changed.
    #[must_use]
    pub const fn changed(&self) -> &BTreeMap<Address, u64> {
        &self.ahead
    }
}

impl StateView for FinalState<'_> {
    fn nonce(&self, account: Address) -> Result<u64, StateError> {
        match self.ahead.get(&account) {
            Some(nonce) => Ok(*nonce),
            None => self.ledger.nonce(account).map_err(|error| StateError(error.to_string())),
        }
    }
}
