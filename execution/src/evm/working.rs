//! The state in the middle of a block: what was read of the state before it, and what has changed since.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, map::HashMap};
use alloy_trie::EMPTY_ROOT_HASH;
use baton_proto::Height;
use revm::{
    Database, DatabaseCommit,
    bytecode::Bytecode,
    database_interface::DBErrorMarker,
    primitives::AddressMap,
    state::{Account as Touched, AccountInfo},
};

use crate::{
    StateError,
    state::{Account, Change, ChangeSet, EvmState, Head},
    trie,
};

use super::call::AccountOverride;

impl DBErrorMarker for StateError {}

/// A state that transactions change one after another, in memory.
pub(super) struct WorkingState<'a> {
    state: &'a dyn EvmState,
    accounts: HashMap<Address, Held>,
    code: HashMap<B256, Bytecode>,
}

struct Held {
    before: Option<Account>,
    now: Option<Plain>,
    storage: HashMap<U256, Change<U256>>,
    /// Its storage before is not to be seen: an override took its place.
    replaced: bool,
}

/// An account but for its storage.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Plain {
    nonce: u64,
    balance: U256,
    code_hash: B256,
}

impl From<Account> for Plain {
    fn from(Account { nonce, balance, code_hash, .. }: Account) -> Self {
        Self { nonce, balance, code_hash }
    }
}

impl Plain {
    const ABSENT: Self = Self { nonce: 0, balance: U256::ZERO, code_hash: KECCAK256_EMPTY };

    fn exists(self) -> Option<Self> {
        (self != Self::ABSENT).then_some(self)
    }
}

impl<'a> WorkingState<'a> {
    pub(super) fn new(state: &'a dyn EvmState) -> Self {
        Self { state, accounts: HashMap::default(), code: HashMap::default() }
    }

    fn held(&mut self, address: Address) -> Result<&mut Held, StateError> {
        if !self.accounts.contains_key(&address) {
            let before = self.state.account(address)?;
            let held = Held { before, now: before.map(Plain::from), storage: HashMap::default(), replaced: false };
            self.accounts.insert(address, held);
        }
        self.accounts.get_mut(&address).ok_or_else(|| StateError("an account that was just read is gone".to_owned()))
    }

    /// Adds to a balance.
    pub(super) fn credit(&mut self, address: Address, amount: U256) -> Result<(), StateError> {
        let held = self.held(address)?;
        let mut account = held.now.unwrap_or(Plain::ABSENT);
        // It was another account's before, and the genesis file keeps all balances together below 2^256.
        account.balance = account.balance.saturating_add(amount);
        held.now = account.exists();
        Ok(())
    }

    /// Returns nonce and balance as they are now.
    pub(super) fn nonce_and_balance(&mut self, address: Address) -> Result<(u64, U256), StateError> {
        Ok(self.held(address)?.now.map_or((0, U256::ZERO), |account| (account.nonce, account.balance)))
    }

    /// Replaces parts of an account for a call.
    pub(super) fn override_account(&mut self, address: Address, with: &AccountOverride) -> Result<(), StateError> {
        // What begins as a delegation and is none cannot be code of any account.
        let checked = |code: &Bytes| {
            Bytecode::new_raw_checked(code.clone()).map_err(|error| StateError(format!("code of {address}: {error}")))
        };
        let code = with.code.as_ref().map(checked).transpose()?;
        if let Some(code) = &code {
            self.code.insert(code.hash_slow(), code.clone());
        }
        let held = self.held(address)?;
        let mut account = held.now.unwrap_or(Plain::ABSENT);
        account.nonce = with.nonce.unwrap_or(account.nonce);
        account.balance = with.balance.unwrap_or(account.balance);
        account.code_hash = code.map_or(account.code_hash, |code| code.hash_slow());
        held.now = account.exists();
        if let Some(storage) = &with.state {
            held.replaced = true;
            held.storage = storage.iter().map(|(slot, value)| (*slot, fresh(*value))).collect();
        }
        held.storage.extend(with.state_diff.iter().map(|(slot, value)| (*slot, fresh(*value))));
        Ok(())
    }

    /// Returns what has changed since the block began, as the block that makes `head`, whose state root is set here.
    pub(super) fn into_changes(self, before: Head, mut head: Head) -> Result<ChangeSet, StateError> {
        let (mut accounts, mut storage, mut code) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (address, held) in self.accounts {
            let root = held.before.map_or(EMPTY_ROOT_HASH, |account| account.storage_root);
            let after = held.now.map(|Plain { nonce, balance, code_hash }| Account {
                nonce,
                balance,
                code_hash,
                storage_root: root,
            });
            if after != held.before {
                let hash = code_hash(after);
                if hash != KECCAK256_EMPTY && hash != code_hash(held.before) {
                    let bytes = self.code.get(&hash).map(Bytecode::original_bytes);
                    code.insert(hash, bytes.ok_or_else(|| StateError(format!("code {hash} of {address} is gone")))?);
                }
                accounts.insert(address, Change { before: held.before, after });
            }
            let changed = held.storage.into_iter().filter(|(_, change)| change.before != change.after);
            storage.extend(changed.map(|(slot, change)| ((address, slot), change)));
        }
        let (state_root, nodes) = trie::update(self.state, before.state_root, &mut accounts, &storage)?;
        head.state_root = state_root;
        Ok(ChangeSet { head: Change { before: Some(before), after: Some(head) }, accounts, storage, code, nodes })
    }
}

/// Returns the code hash of an account that may not exist.
fn code_hash(account: Option<Account>) -> B256 {
    account.map_or(KECCAK256_EMPTY, |account| account.code_hash)
}

/// A value that an override sets, so that there is nothing before it.
const fn fresh(value: U256) -> Change<U256> {
    Change { before: value, after: value }
}

impl Database for WorkingState<'_> {
    type Error = StateError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, StateError> {
        let now = self.held(address)?.now;
        Ok(now.map(|Plain { nonce, balance, code_hash }| AccountInfo {
            balance,
            nonce,
            code_hash,
            account_id: None,
            code: None,
        }))
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, StateError> {
        if hash == KECCAK256_EMPTY {
            return Ok(Bytecode::default());
        }
        if let Some(code) = self.code.get(&hash) {
            return Ok(code.clone());
        }
        let bytes = self.state.code(hash)?.ok_or_else(|| StateError(format!("code {hash} is missing")))?;
        let code = Bytecode::new_raw(bytes);
        self.code.insert(hash, code.clone());
        Ok(code)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, StateError> {
        let state = self.state;
        let held = self.held(address)?;
        if let Some(change) = held.storage.get(&slot) {
            return Ok(change.after);
        }
        let value = if held.replaced { U256::ZERO } else { state.storage(address, slot)? };
        held.storage.insert(slot, fresh(value));
        Ok(value)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, StateError> {
        Ok(self.state.block_digest(Height::new(number))?.map_or(B256::ZERO, |digest| digest.get()))
    }
}

impl DatabaseCommit for WorkingState<'_> {
    fn commit(&mut self, changes: AddressMap<Touched>) {
        for (address, touched) in changes {
            // Everything touched was read before.
            let Some(held) = self.accounts.get_mut(&address).filter(|_| touched.is_touched()) else { continue };
            // Since EIP-6780 only a contract that the same transaction created is ever destroyed.
            if touched.is_selfdestructed() {
                held.now = None;
                held.storage.values_mut().for_each(|change| change.after = U256::ZERO);
                continue;
            }
            for (slot, value) in touched.changed_storage_slots() {
                // A slot that a new contract writes was never read: there was nothing.
                held.storage.entry(*slot).or_insert(fresh(U256::ZERO)).after = value.present_value;
            }
            let AccountInfo { balance, nonce, code_hash, code, .. } = touched.info;
            held.now = Plain { nonce, balance, code_hash }.exists();
            if let Some(code) = code.filter(|_| code_hash != KECCAK256_EMPTY) {
                self.code.entry(code_hash).or_insert(code);
            }
        }
    }
}
