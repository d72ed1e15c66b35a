//! What the EVM keeps between blocks: accounts, storage, code, past blocks, and the nodes of the tries over them.
//!
//! Executors and readers see an [`EvmState`]; a block's results are a [`ChangeSet`], which an [`EvmStore`] applies in one
//! atomic step. [`MemoryState`] is the store of tests; a node's database is another. An [`Overlay`] is a state with changes
//! on top that are not stored (blocks that are about to be), or taken back (an older state).

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};
use baton_proto::{BlockDigest, Height};

use crate::{StateError, trie::NodeKey};

mod changes;
mod memory;
mod overlay;

pub use changes::{Change, ChangeSet, Undo};
pub use memory::MemoryState;
pub use overlay::Overlay;

/// How many blocks back the instruction `BLOCKHASH` sees.
pub const BLOCK_HASHES: u64 = 256;

/// One account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Transactions sent; for a contract, contracts created and one.
    pub nonce: u64,
    /// Wei.
    pub balance: U256,
    /// keccak256 of its code.
    pub code_hash: B256,
    /// Root of the trie over its storage.
    pub storage_root: B256,
}

impl Default for Account {
    fn default() -> Self {
        Self { nonce: 0, balance: U256::ZERO, code_hash: KECCAK256_EMPTY, storage_root: EMPTY_ROOT_HASH }
    }
}

impl Account {
    /// Returns whether it counts as absent (EIP-161): no nonce, no balance, no code.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nonce == 0 && self.balance.is_zero() && self.code_hash == KECCAK256_EMPTY
    }
}

impl From<Account> for TrieAccount {
    fn from(account: Account) -> Self {
        Self::new(account.nonce, account.balance, account.storage_root, account.code_hash)
    }
}

/// The block that a state is the state after, and what the next one needs of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its height.
    pub height: Height,
    /// Its digest: what `BLOCKHASH` gives for it.
    pub digest: BlockDigest,
    /// Wei that each unit of its gas cost at least.
    pub base_fee: u64,
    /// Gas that its transactions used.
    pub gas_used: u64,
    /// Root of the trie over all accounts.
    pub state_root: B256,
}

/// The state after one block.
pub trait EvmState: Send + Sync {
    /// Returns the block that this is the state after; none before the genesis was applied.
    ///
    /// # Errors
    /// [`StateError`] when the state cannot be read.
    fn head(&self) -> Result<Option<Head>, StateError>;

    /// Returns an account, if it exists. None is ever empty ([`Account::is_empty`]).
    ///
    /// # Errors
    /// [`StateError`] when the state cannot be read.
    fn account(&self, address: Address) -> Result<Option<Account>, StateError>;

    /// Returns a storage slot; zero if it was never written.
    ///
    /// # Errors
    /// [`StateError`] when the state cannot be read.
    fn storage(&self, address: Address, slot: U256) -> Result<U256, StateError>;

    /// Returns the code whose keccak256 is `hash`, if an account has or had it.
    ///
    /// # Errors
    /// [`StateError`] when the state cannot be read.
    fn code(&self, hash: B256) -> Result<Option<Bytes>, StateError>;

    /// Returns the digest of the block at `height`; at least of the last [`BLOCK_HASHES`] up to [`Self::head`].
    ///
    /// # Errors
    /// [`StateError`] when the state cannot be read.
    fn block_digest(&self, height: Height) -> Result<Option<BlockDigest>, StateError>;

    /// Returns the RLP of a trie node.
    ///
    /// # Errors
    /// [`StateError`] when the state cannot be read.
    fn node(&self, key: &NodeKey) -> Result<Option<Bytes>, StateError>;
}

impl<S: EvmState + ?Sized> EvmState for &S {
    fn head(&self) -> Result<Option<Head>, StateError> {
        (**self).head()
    }

    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        (**self).account(address)
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        (**self).storage(address, slot)
    }

    fn code(&self, hash: B256) -> Result<Option<Bytes>, StateError> {
        (**self).code(hash)
    }

    fn block_digest(&self, height: Height) -> Result<Option<BlockDigest>, StateError> {
        (**self).block_digest(height)
    }

    fn node(&self, key: &NodeKey) -> Result<Option<Bytes>, StateError> {
        (**self).node(key)
    }
}

/// A state that blocks are applied to.
pub trait EvmStore: EvmState {
    /// Applies one block's changes, all or none of them.
    ///
    /// # Errors
    /// [`StateError`] when they do not start where the state stands, or cannot be written.
    fn apply(&mut self, changes: &ChangeSet) -> Result<(), StateError>;
}

#[cfg(test)]
mod tests;
