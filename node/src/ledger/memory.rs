//! The ledger without a disk, for tests and for tools that keep nothing.

use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
};

use super::{ChainIdentity, Change, Durability, Family, LedgerError, Order, Store, StoreLedger, store::Entry};

/// Ordered bytes in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    entries: RwLock<Entries>,
}

type Entries = BTreeMap<(Family, Vec<u8>), Vec<u8>>;

/// A ledger that forgets everything when it is dropped. All rules are those of the durable one.
pub type MemoryLedger = StoreLedger<MemoryStore>;

impl MemoryLedger {
    /// Makes an empty ledger for one chain.
    ///
    /// # Errors
    /// Never in practice: an empty store holds nothing to disagree with.
    pub fn new(identity: &ChainIdentity) -> Result<Self, LedgerError> {
        Self::over(MemoryStore::default(), identity)
    }
}

impl Store for MemoryStore {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, LedgerError> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        Ok(entries.get(&(family, key.to_vec())).cloned())
    }

    fn scan(
        &self,
        family: Family,
        from: &[u8],
        to: &[u8],
        order: Order,
        limit: usize,
    ) -> Result<Vec<Entry>, LedgerError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let found = entries
            .range((family, from.to_vec())..(family, to.to_vec()))
            .map(|((_, key), value)| (key.clone(), value.clone()));
        Ok(match order {
            Order::Ascending => found.take(limit).collect(),
            Order::Descending => found.rev().take(limit).collect(),
        })
    }

    fn write(&self, batch: Vec<Change>, _: Durability) -> Result<(), LedgerError> {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        for change in batch {
            match change {
                Change::Put(family, key, value) => drop(entries.insert((family, key), value)),
                Change::Delete(family, key) => drop(entries.remove(&(family, key))),
                Change::DeleteRange(family, from, to) => {
                    entries.retain(|(of, key), _| *of != family || !(&from..&to).contains(&key));
                }
            }
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), LedgerError> {
        Ok(())
    }
}
