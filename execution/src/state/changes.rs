//! What one block changes, with what was there before.

use std::{collections::BTreeMap, mem};

use alloy_primitives::{Address, B256, Bytes, U256};

use super::{Account, Head};
use crate::trie::NodeKey;

/// A value before a block and after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<T> {
    /// Before.
    pub before: T,
    /// After.
    pub after: T,
}

/// What one block changes. Every value differs from the one before it.
///
/// It can be taken back ([`Self::reversed`]): a store that keeps the change sets of its last blocks can answer for the
/// states after each of them, through an [`super::Overlay`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeSet {
    /// The head; none before the genesis.
    pub head: Change<Option<Head>>,
    /// Accounts; none is one that does not exist.
    pub accounts: BTreeMap<Address, Change<Option<Account>>>,
    /// Storage slots by account and slot; zero is one that is not stored.
    pub storage: BTreeMap<(Address, U256), Change<U256>>,
    /// Code by its keccak256. It may be known already, and is never taken away.
    pub code: BTreeMap<B256, Bytes>,
    /// Trie nodes as RLP.
    pub nodes: BTreeMap<NodeKey, Change<Option<Bytes>>>,
}

impl ChangeSet {
    /// Returns the changes that lead back.
    #[must_use]
    pub fn reversed(mut self) -> Self {
        self.head.reverse();
        self.accounts.values_mut().for_each(Change::reverse);
        self.storage.values_mut().for_each(Change::reverse);
        self.nodes.values_mut().for_each(Change::reverse);
        self
    }
}

impl<T> Change<T> {
    fn reverse(&mut self) {
        mem::swap(&mut self.before, &mut self.after);
    }
}

impl<T: Default> Default for Change<T> {
    fn default() -> Self {
        Self { before: T::default(), after: T::default() }
    }
}
