//! The durable ledger.

use std::path::Path;

use super::{
    ChainIdentity, Change, Durability, Family, LedgerError, Order, Store, StoreLedger,
    engine::{Edit, Engine, Expect, Layout, META},
    keys::IDENTITY,
    store::Entry,
};

/// Version of keys and values. A change to either raises it, and comes with the step that migrates the one before.
const SCHEMA: u32 = 2;

const LAYOUT: Layout = Layout {
    what: "ledger",
    schema: SCHEMA,
    families: &[
        Family::Blocks.name(),
        Family::Certificates.name(),
        Family::TxIndex.name(),
        Family::Receipts.name(),
        Family::State.name(),
        Family::Code.name(),
        Family::TrieNodes.name(),
        Family::Undo.name(),
        Family::Batches.name(),
        Family::PostIntents.name(),
        Family::Evidence.name(),
        Family::Votes.name(),
        Family::L1View.name(),
    ],
    remedy: "stop the node, move this folder away and let the node catch up from its peers (keep the sign record)",
};

/// Ordered bytes in RocksDB, one column family each.
pub struct RocksStore(Engine);

/// The ledger of a node.
pub type RocksLedger = StoreLedger<RocksStore>;

impl RocksLedger {
    /// Opens the ledger in the folder `path` for the chain `identity`, and makes it if there is none.
    ///
    /// # Errors
    /// [`LedgerError::OtherChain`] for another chain's folder; [`LedgerError::Engine`] if another process has it open, a newer
    /// version wrote it, or it is damaged anywhere but in a torn last record. The message says what to do.
    pub fn open(path: &Path, identity: &ChainIdentity) -> Result<Self, LedgerError> {
        let mut engine = Engine::open(path, LAYOUT, Expect::Any)?;
        check_identity(&engine, identity)?;
        engine.complete()?;
        Self::over(RocksStore(engine), identity)
    }

    /// Waits until files neither come nor go, as long as nothing is written.
    #[cfg(test)]
    pub(crate) fn wait_until_still(&self) {
        self.store.0.wait_until_still();
    }
}

/// Writes whose folder it is, or compares.
fn check_identity(engine: &Engine, configured: &ChainIdentity) -> Result<(), LedgerError> {
    let unwritable = |error: serde_json::Error| LedgerError::Unwritable { what: "identity", detail: error.to_string() };
    match engine.get(META, IDENTITY)? {
        None => {
            let bytes = serde_json::to_vec(configured).map_err(unwritable)?;
            Ok(engine.write(vec![Edit::Put(META, IDENTITY.into(), bytes)], Durability::Synced)?)
        }
        Some(bytes) => {
            let stored: ChainIdentity = serde_json::from_slice(&bytes)
                .map_err(|error| engine.damaged(format!("the chain identity does not decode: {error}")))?;
            if stored == *configured {
                return Ok(());
            }
            let (stored, configured) = (Box::new(stored), Box::new(*configured));
            Err(LedgerError::OtherChain { path: engine.path().into(), stored, configured })
        }
    }
}

impl Store for RocksStore {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, LedgerError> {
        Ok(self.0.get(family.name(), key)?)
    }

    fn scan(
        &self,
        family: Family,
        from: &[u8],
        to: &[u8],
        order: Order,
        limit: usize,
    ) -> Result<Vec<Entry>, LedgerError> {
        Ok(self.0.scan(family.name(), from, to, order, limit)?)
    }

    fn write(&self, batch: Vec<Change>, durability: Durability) -> Result<(), LedgerError> {
        let edits = batch
            .into_iter()
            .map(|change| match change {
                Change::Put(family, key, value) => Edit::Put(family.name(), key, value),
                Change::Delete(family, key) => Edit::Delete(family.name(), key),
                Change::DeleteRange(family, from, to) => Edit::DeleteRange(family.name(), from, to),
            })
            .collect();
        Ok(self.0.write(edits, durability)?)
    }

    fn sync(&self) -> Result<(), LedgerError> {
        Ok(self.0.sync()?)
    }
}
