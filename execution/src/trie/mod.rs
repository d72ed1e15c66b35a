//! The Merkle Patricia tries of Ethereum over accounts and storage, with their nodes kept by path.
//!
//! A node is stored under the path that leads to it, not under its hash: a changed one takes the place of the old one, so
//! nothing is left to collect, and a block writes the nodes on the paths that it changed and no others. A node whose RLP is
//! shorter than a hash is part of its parent, as Ethereum has it, and is not stored. What is read is checked against the
//! hash that its parent (or the state root) has for it.
//!
//! Encodings and the roots that tests compare with are those of `alloy-trie`.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, TrieAccount};

use crate::{
    StateError,
    state::{Account, Change, EvmState},
};

mod node;
mod proof;
mod tree;

pub use proof::{AccountProof, StorageProof, prove};

use tree::Tree;

/// Where a trie node lies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeKey {
    /// keccak256 of the address whose storage trie it is a node of; none in the trie over the accounts.
    pub account: Option<B256>,
    /// The nibbles that lead to it: up to 64.
    pub path: Nibbles,
}

impl NodeKey {
    /// Returns the key as bytes, distinct for distinct keys: `0` and the nibbles, or `1`, the account and the nibbles, one
    /// byte each. So the nodes of one trie lie next to each other.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + 32 + self.path.len());
        bytes.push(u8::from(self.account.is_some()));
        bytes.extend(self.account.iter().flat_map(|account| account.0));
        bytes.extend(self.path.to_vec());
        bytes
    }

    /// Reads what [`Self::to_bytes`] writes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (account, nibbles) = match bytes.split_first()? {
            (0, nibbles) => (None, nibbles),
            (1, rest) => {
                rest.split_at_checked(32).map(|(account, nibbles)| (Some(B256::from_slice(account)), nibbles))?
            }
            _ => return None,
        };
        let is_path = nibbles.len() <= 64 && nibbles.iter().all(|nibble| *nibble < 16);
        is_path.then(|| Self { account, path: Nibbles::from_nibbles(nibbles) })
    }
}

/// Changes of trie nodes.
pub(crate) type NodeChanges = BTreeMap<NodeKey, Change<Option<Bytes>>>;

/// Brings all tries to what `accounts` and `storage` say, on top of `state`, whose state root is `root`.
///
/// Sets the storage roots in `accounts`, adding accounts of which nothing but the storage changed. Returns the new state root
/// and the nodes that changed.
///
/// # Errors
/// [`StateError`] when the state cannot be read, does not fit its own hashes, or an account with storage was removed, which no
/// rule of the EVM does (storage is written by code, and an account with code or that ever had some is never empty).
pub(crate) fn update(
    state: &dyn EvmState,
    root: B256,
    accounts: &mut BTreeMap<Address, Change<Option<Account>>>,
    storage: &BTreeMap<(Address, U256), Change<U256>>,
) -> Result<(B256, NodeChanges), StateError> {
    let mut nodes = NodeChanges::new();
    let mut slots = storage.iter().peekable();
    while let Some(&(&(address, _), _)) = slots.peek() {
        let change = match accounts.get_mut(&address) {
            Some(change) => change,
            None => {
                let account = state.account(address)?;
                accounts.entry(address).or_insert(Change { before: account, after: account })
            }
        };
        let before = change.before.map_or(EMPTY_ROOT_HASH, |account| account.storage_root);
        let mut tree = Tree::open(state, Some(keccak256(address)), before);
        while let Some((&(_, slot), value)) = slots.next_if(|((of, _), _)| *of == address) {
            let key = keccak256(slot.to_be_bytes::<32>());
            match value.after.is_zero() {
                false => tree.insert(key, alloy_rlp::encode(value.after))?,
                true => tree.remove(key)?,
            }
        }
        let root = tree.finish(&mut nodes);
        match &mut change.after {
            Some(account) => account.storage_root = root,
            None if root == EMPTY_ROOT_HASH => {}
            None => return Err(storage_left(address)),
        }
    }

    let mut tree = Tree::open(state, None, root);
    for (address, change) in accounts {
        match (change.before, change.after) {
            (_, Some(account)) => tree.insert(keccak256(address), alloy_rlp::encode(TrieAccount::from(account)))?,
            (Some(before), None) if before.storage_root != EMPTY_ROOT_HASH && !emptied(*address, storage) => {
                return Err(storage_left(*address));
            }
            (_, None) => tree.remove(keccak256(address))?,
        }
    }
    Ok((tree.finish(&mut nodes), nodes))
}

/// Returns whether `storage` has changes of `address`; then the loop over them has seen what is left.
fn emptied(address: Address, storage: &BTreeMap<(Address, U256), Change<U256>>) -> bool {
    storage.range((address, U256::ZERO)..=(address, U256::MAX)).next().is_some()
}

fn storage_left(address: Address) -> StateError {
    StateError(format!("account {address} was removed with storage left"))
}

#[cfg(test)]
mod tests;
