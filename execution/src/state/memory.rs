//! A state in memory, for tests.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256};
use baton_proto::{BlockDigest, Height};

use super::{Account, BLOCK_HASHES, ChangeSet, EvmState, EvmStore, Head};
use crate::{StateError, trie::NodeKey};

/// A state in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryState {
    head: Option<Head>,
    accounts: BTreeMap<Address, Account>,
    storage: BTreeMap<(Address, U256), U256>,
    code: BTreeMap<B256, Bytes>,
    digests: BTreeMap<Height, BlockDigest>,
    nodes: BTreeMap<NodeKey, Bytes>,
}

impl MemoryState {
    /// Returns how many trie nodes it holds.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Returns all accounts, ascending by address.
    pub fn accounts(&self) -> impl Iterator<Item = (Address, Account)> {
        self.accounts.iter().map(|(address, account)| (*address, *account))
    }

    /// Returns the storage of an account, ascending by slot.
    pub fn storage_of(&self, address: Address) -> impl Iterator<Item = (U256, U256)> {
        let slots = self.storage.range((address, U256::ZERO)..=(address, U256::MAX));
        slots.map(|((_, slot), value)| (*slot, *value))
    }
}

impl EvmState for MemoryState {
    fn head(&self) -> Result<Option<Head>, StateError> {
        Ok(self.head)
    }

    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        Ok(self.accounts.get(&address).copied())
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        Ok(self.storage.get(&(address, slot)).copied().unwrap_or_default())
    }

    fn code(&self, hash: B256) -> Result<Option<Bytes>, StateError> {
        Ok(self.code.get(&hash).cloned())
    }

    fn block_digest(&self, height: Height) -> Result<Option<BlockDigest>, StateError> {
        Ok(self.digests.get(&height).copied())
    }

    fn node(&self, key: &NodeKey) -> Result<Option<Bytes>, StateError> {
        Ok(self.nodes.get(key).cloned())
    }
}

impl EvmStore for MemoryState {
    fn apply(&mut self, changes: &ChangeSet) -> Result<(), StateError> {
        if changes.head.before != self.head {
            return Err(StateError(format!(
                "changes that start after {:?} cannot be applied after {:?}",
                changes.head.before, self.head
            )));
        }
        self.head = changes.head.after;
        match changes.head.after {
            Some(head) => {
                self.digests.insert(head.height, head.digest);
                let oldest = Height::new(head.height.get().saturating_sub(BLOCK_HASHES));
                // None above it either: changes that are taken back lead to a lower head.
                self.digests.retain(|height, _| (oldest..=head.height).contains(height));
            }
            None => self.digests.clear(),
        }
        for (address, change) in &changes.accounts {
            match change.after {
                Some(account) => self.accounts.insert(*address, account),
                None => self.accounts.remove(address),
            };
        }
        for (place, change) in &changes.storage {
            match change.after.is_zero() {
                false => self.storage.insert(*place, change.after),
                true => self.storage.remove(place),
            };
        }
        self.code.extend(changes.code.iter().map(|(hash, code)| (*hash, code.clone())));
        for (key, change) in &changes.nodes {
            match &change.after {
                Some(node) => self.nodes.insert(key.clone(), node.clone()),
                None => self.nodes.remove(key),
            };
        }
        Ok(())
    }
}
