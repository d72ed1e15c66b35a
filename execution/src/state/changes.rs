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
/// It can be taken back ([`Self::reversed`]): a store that keeps as much of its last blocks as that needs ([`Self::undo`]) can
/// answer for the states after each of them, through an [`super::Overlay`].
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

    /// Returns what was there before.
    #[must_use]
    pub fn undo(&self) -> Undo {
        Undo {
            head: self.head,
            accounts: self.accounts.iter().map(|(address, change)| (*address, change.before)).collect(),
            storage: self.storage.iter().map(|(place, change)| (*place, change.before)).collect(),
            nodes: self.nodes.iter().map(|(key, change)| (key.clone(), change.before.clone())).collect(),
        }
    }
}

/// What was there before one block: all that it takes to get from the state after it to the one before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undo {
    /// The heads that it leads between, as the block changed them.
    pub head: Change<Option<Head>>,
    /// Accounts as they were; none is one that did not exist.
    pub accounts: BTreeMap<Address, Option<Account>>,
    /// Storage slots as they were, by account and slot.
    pub storage: BTreeMap<(Address, U256), U256>,
    /// Trie nodes as they were, as RLP.
    pub nodes: BTreeMap<NodeKey, Option<Bytes>>,
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
