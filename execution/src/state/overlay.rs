//! A state with change sets on top of it.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256};
use baton_proto::{BlockDigest, Height};

use super::{Account, ChangeSet, EvmState, Head, Undo};
use crate::{StateError, trie::NodeKey};

/// A state as it is after change sets that are not applied to it.
///
/// Blocks that become final in one step are executed each on the overlay of those before. With blocks taken back, the newest
/// first, it is an older state: all of it but [`EvmState::block_digest`], which may then know later blocks too.
pub struct Overlay<B> {
    base: B,
    head: Option<Option<Head>>,
    accounts: BTreeMap<Address, Option<Account>>,
    storage: BTreeMap<(Address, U256), U256>,
    code: BTreeMap<B256, Bytes>,
    digests: BTreeMap<Height, BlockDigest>,
    nodes: BTreeMap<NodeKey, Option<Bytes>>,
}

impl<B: EvmState> Overlay<B> {
    /// Starts from `base` as it is.
    #[must_use]
    pub const fn new(base: B) -> Self {
        Self {
            base,
            head: None,
            accounts: BTreeMap::new(),
            storage: BTreeMap::new(),
            code: BTreeMap::new(),
            digests: BTreeMap::new(),
            nodes: BTreeMap::new(),
        }
    }

    /// Goes on from the state after `changes`, which start where this one stands.
    ///
    /// # Errors
    /// [`StateError`] when they start elsewhere, or the base cannot be read; the overlay is then as it was.
    pub fn absorb(&mut self, changes: &ChangeSet) -> Result<(), StateError> {
        let head = self.head()?;
        if changes.head.before != head {
            return Err(StateError(format!(
                "changes that start after {:?} cannot follow {head:?}",
                changes.head.before
            )));
        }
        self.head = Some(changes.head.after);
        if let Some(head) = changes.head.after {
            self.digests.insert(head.height, head.digest);
        }
        self.accounts.extend(changes.accounts.iter().map(|(address, change)| (*address, change.after)));
        self.storage.extend(changes.storage.iter().map(|(place, change)| (*place, change.after)));
        self.code.extend(changes.code.iter().map(|(hash, code)| (*hash, code.clone())));
        self.nodes.extend(changes.nodes.iter().map(|(key, change)| (key.clone(), change.after.clone())));
        Ok(())
    }

    /// Goes back to the state before a block, from the one after it.
    ///
    /// # Errors
    /// [`StateError`] when this is another block's, or the base cannot be read; the overlay is then as it was.
    pub fn take_back(&mut self, undo: Undo) -> Result<(), StateError> {
        let head = self.head()?;
        if undo.head.after != head {
            return Err(StateError(format!(
                "changes that lead to {:?} cannot be taken back from {head:?}",
                undo.head.after
            )));
        }
        self.head = Some(undo.head.before);
        self.accounts.extend(undo.accounts);
        self.storage.extend(undo.storage);
        self.nodes.extend(undo.nodes);
        Ok(())
    }
}

impl<B: EvmState> EvmState for Overlay<B> {
    fn head(&self) -> Result<Option<Head>, StateError> {
        match self.head {
            Some(head) => Ok(head),
            None => self.base.head(),
        }
    }

    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        match self.accounts.get(&address) {
            Some(account) => Ok(*account),
            None => self.base.account(address),
        }
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        match self.storage.get(&(address, slot)) {
            Some(value) => Ok(*value),
            None => self.base.storage(address, slot),
        }
    }

    fn code(&self, hash: B256) -> Result<Option<Bytes>, StateError> {
        match self.code.get(&hash) {
            Some(code) => Ok(Some(code.clone())),
            None => self.base.code(hash),
        }
    }

    fn block_digest(&self, height: Height) -> Result<Option<BlockDigest>, StateError> {
        match self.digests.get(&height) {
            Some(digest) => Ok(Some(*digest)),
            None => self.base.block_digest(height),
        }
    }

    fn node(&self, key: &NodeKey) -> Result<Option<Bytes>, StateError> {
        match self.nodes.get(key) {
            Some(node) => Ok(node.clone()),
            None => self.base.node(key),
        }
    }
}
