//! The final state as executors, the pool and readers see it: of the newest final block, and of some before it.
//!
//! A state stays what it is while later blocks are stored, and no reader waits for a writer or makes one wait. It reads what is
//! stored, and then asks the blocks stored since it was taken, oldest first, what was there before them:
//!
//! ```text
//!  Version 7 ──next──▶ Version 8 ──next──▶ Version 9 ◀── the ledger
//!      ▲               before 8: …         before 9: …
//!  a state of block 7
//! ```
//! A block's version is linked before the block is written, so whoever reads what it wrote finds its version. Versions live as
//! long as a state needs them: hold one for a request, not for longer.

use std::sync::{Arc, OnceLock, PoisonError};

use alloy_primitives::{Address, B256, Bytes, U256};
use baton_execution::{
    StateError,
    state::{Account, ChangeSet, EvmState, Head, Overlay, Undo},
    trie::NodeKey,
};
use baton_proto::{BlockDigest, Height};

use super::{Change, Family, LedgerError, Store, StoreLedger, chain::corrupt, keys, state_records};

/// Blocks below the final head whose states are kept: four minutes of four blocks a second, so that a block's state is still
/// there when L1 has the batch that names its root.
pub const STATES_MAX: u64 = 1_024;

/// Bytes that are read at most to get from the newest state to an older one. What blocks changed is about as long as the
/// transactions that changed it, and ten times that with trie nodes: some tens of full blocks.
const STATE_BYTES_MAX: usize = 64 << 20;

/// The state after one final block, and what the blocks after it changed.
#[derive(Debug)]
pub(super) struct Version {
    /// None before the genesis block.
    head: Option<Head>,
    /// What was there before the block of this version.
    undo: Undo,
    next: OnceLock<Arc<Self>>,
}

impl Version {
    pub(super) fn new(head: Option<Head>, undo: Undo) -> Self {
        Self { head, undo, next: OnceLock::new() }
    }

    pub(super) const fn head(&self) -> Option<Head> {
        self.head
    }

    /// Links the version after this one. Fails if there is one: its block was not written, and nobody knows what was.
    pub(super) fn link(&self, next: &Arc<Self>) -> Result<(), LedgerError> {
        self.next.set(Arc::clone(next)).map_err(|_| LedgerError::AfterFailedWrite)
    }

    /// Returns what `pick` finds in the oldest later version.
    fn before<T>(&self, pick: impl Fn(&Undo) -> Option<T>) -> Option<T> {
        let mut version = self.next.get();
        while let Some(later) = version {
            if let Some(found) = pick(&later.undo) {
                return Some(found);
            }
            version = later.next.get();
        }
        None
    }
}

impl Drop for Version {
    fn drop(&mut self) {
        // One after the other: each dropping the next would need a stack as deep as the chain is long.
        let mut next = self.next.take();
        while let Some(mut version) = next.and_then(Arc::into_inner) {
            next = version.next.take();
        }
    }
}

/// A state over a store.
struct LedgerState<S> {
    store: Arc<S>,
    version: Arc<Version>,
}

impl<S: Store> LedgerState<S> {
    /// Returns what a later version says was there, or what is stored.
    fn read<T>(
        &self,
        (family, key): (Family, Vec<u8>),
        pick: impl Fn(&Undo) -> Option<Option<T>>,
        decode: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Option<T>, StateError> {
        // In this order: what is read may be newer than this state only if the version that says so can be seen.
        let stored = self.store.get(family, &key).map_err(unreadable)?;
        if let Some(before) = self.version.before(pick) {
            return Ok(before);
        }
        let decode = |bytes: Vec<u8>| decode(&bytes).ok_or_else(|| unreadable(undecodable(family, &key)));
        stored.map(decode).transpose()
    }
}

impl<S: Store> EvmState for LedgerState<S> {
    fn head(&self) -> Result<Option<Head>, StateError> {
        Ok(self.version.head)
    }

    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        let place = (Family::State, keys::account(address));
        self.read(place, |undo| undo.accounts.get(&address).copied(), state_records::account_from_bytes)
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        let place = (Family::State, keys::slot(address, slot));
        let pick = |undo: &Undo| undo.storage.get(&(address, slot)).map(|value| Some(*value));
        Ok(self.read(place, pick, state_records::slot_from_bytes)?.unwrap_or_default())
    }

    fn code(&self, hash: B256) -> Result<Option<Bytes>, StateError> {
        // It never changes, and is never taken away.
        Ok(self.store.get(Family::Code, hash.as_slice()).map_err(unreadable)?.map(Bytes::from))
    }

    fn block_digest(&self, height: Height) -> Result<Option<BlockDigest>, StateError> {
        if self.version.head.is_none_or(|head| height > head.height) {
            return Ok(None);
        }
        let key = keys::final_digest(height);
        let stored = self.store.get(Family::Blocks, &key).map_err(unreadable)?;
        let decode =
            |bytes: Vec<u8>| keys::digest_after(&bytes, 0).ok_or_else(|| unreadable(undecodable(Family::Blocks, &key)));
        stored.map(decode).transpose()
    }

    fn node(&self, key: &NodeKey) -> Result<Option<Bytes>, StateError> {
        let place = (Family::TrieNodes, key.to_bytes());
        self.read(place, |undo| undo.nodes.get(key).cloned(), |bytes| Some(Bytes::copy_from_slice(bytes)))
    }
}

impl<S: Store> StoreLedger<S> {
    /// Returns the version of the final head.
    pub(super) fn newest(&self) -> Arc<Version> {
        Arc::clone(&self.newest.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set_newest(&self, version: Arc<Version>) {
        *self.newest.write().unwrap_or_else(PoisonError::into_inner) = version;
    }

    /// Returns the state after the final head.
    pub(super) fn newest_state(&self) -> Arc<dyn EvmState> {
        Arc::new(LedgerState { store: Arc::clone(&self.store), version: self.newest() })
    }

    /// Returns the state after an older block, if what it takes to get back there is kept and within bounds.
    pub(super) fn older_state(&self, height: Height) -> Result<Option<Arc<dyn EvmState>>, LedgerError> {
        let version = self.newest();
        let Some(head) = version.head else { return Ok(None) };
        let state = LedgerState { store: Arc::clone(&self.store), version };
        if height == head.height {
            return Ok(Some(Arc::new(state)));
        }
        let is_kept = head.height.get().checked_sub(height.get()).is_some_and(|back| back <= STATES_MAX);
        if !is_kept {
            return Ok(None);
        }
        let mut older = Overlay::new(state);
        let mut bytes_left = STATE_BYTES_MAX;
        for of in (height.get().saturating_add(1)..=head.height.get()).rev() {
            let key = keys::undo(Height::new(of));
            // It may have been dropped since the head was read.
            let Some(bytes) = self.store.get(Family::Undo, &key)? else { return Ok(None) };
            let Some(left) = bytes_left.checked_sub(bytes.len()) else { return Ok(None) };
            bytes_left = left;
            let undo = state_records::undo_from_bytes(&bytes).ok_or_else(|| undecodable(Family::Undo, &key))?;
            older.take_back(undo).map_err(|error| corrupt(Family::Undo, &key, error.to_string()))?;
        }
        Ok(Some(Arc::new(older)))
    }
}

/// Adds the writes for what a block changes, and for how to get back; drops how to get back to where nobody may ask for any
/// more. Returns the block's version.
pub(super) fn add_changes(changes: &ChangeSet, batch: &mut Vec<Change>) -> Version {
    for (address, change) in &changes.accounts {
        let key = keys::account(*address);
        batch.push(match &change.after {
            Some(account) => Change::Put(Family::State, key, state_records::account_to_bytes(account)),
            None => Change::Delete(Family::State, key),
        });
    }
    for ((address, slot), change) in &changes.storage {
        let key = keys::slot(*address, *slot);
        batch.push(match change.after.is_zero() {
            false => Change::Put(Family::State, key, state_records::slot_to_bytes(change.after)),
            true => Change::Delete(Family::State, key),
        });
    }
    for (hash, code) in &changes.code {
        batch.push(Change::Put(Family::Code, hash.to_vec(), code.to_vec()));
    }
    for (key, change) in &changes.nodes {
        batch.push(match &change.after {
            Some(node) => Change::Put(Family::TrieNodes, key.to_bytes(), node.to_vec()),
            None => Change::Delete(Family::TrieNodes, key.to_bytes()),
        });
    }
    let undo = changes.undo();
    if let Some(head) = changes.head.after {
        batch.push(Change::Put(Family::State, keys::STATE_HEAD.into(), state_records::head_to_bytes(&head)));
        if changes.head.before.is_some() {
            batch.push(Change::Put(Family::Undo, keys::undo(head.height), state_records::undo_to_bytes(&undo)));
        }
        if let Some(past) = head.height.get().checked_sub(STATES_MAX) {
            batch.push(Change::Delete(Family::Undo, keys::undo(Height::new(past))));
        }
    }
    Version::new(changes.head.after, undo)
}

fn undecodable(family: Family, key: &[u8]) -> LedgerError {
    corrupt(family, key, "a part of the state does not decode")
}

fn unreadable(error: LedgerError) -> StateError {
    StateError(error.to_string())
}
