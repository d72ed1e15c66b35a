//! Ordered bytes in named families: all that the ledger's rules ask of a disk.

use super::LedgerError;

/// The parts of the ledger, kept apart so that each is compacted on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the keys module says what each holds")]
pub enum Family {
    Blocks,
    Certificates,
    TxIndex,
    Receipts,
    State,
    Code,
    TrieNodes,
    Undo,
    Batches,
    PostIntents,
    Evidence,
    Votes,
    L1View,
    Meta,
}

impl Family {
    /// Returns the name on the disk. A name never changes: it is how an older folder is read.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blocks => "blocks",
            Self::Certificates => "certificates",
            Self::TxIndex => "tx_index",
            Self::Receipts => "receipts",
            Self::State => "state",
            Self::Code => "code",
            Self::TrieNodes => "trie_nodes",
            Self::Undo => "undo",
            Self::Batches => "batches",
            Self::PostIntents => "post_intents",
            Self::Evidence => "evidence",
            Self::Votes => "votes",
            Self::L1View => "l1_view",
            Self::Meta => "meta",
        }
    }
}

/// One change of a batch.
#[derive(Clone, Debug)]
pub enum Change {
    /// Sets a key.
    Put(Family, Vec<u8>, Vec<u8>),
    /// Removes a key.
    Delete(Family, Vec<u8>),
    /// Removes every key from the first, up to but without the second.
    DeleteRange(Family, Vec<u8>, Vec<u8>),
}

/// When a write counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Once the disk has it: it survives a power cut.
    Synced,
    /// Once the operating system has it: it survives a crash of the process.
    Buffered,
}

/// From which end a scan starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// From the lowest key.
    Ascending,
    /// From the highest key.
    Descending,
}

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// Where the ledger's bytes are. A batch is applied whole or not at all, in order, and is seen by every read after it.
pub trait Store: Send + Sync + 'static {
    /// Returns the value of `key`.
    ///
    /// # Errors
    /// [`LedgerError`] if the store cannot be read.
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, LedgerError>;

    /// Returns at most `limit` entries with `from <= key < to`.
    ///
    /// # Errors
    /// [`LedgerError`] if the store cannot be read.
    fn scan(
        &self,
        family: Family,
        from: &[u8],
        to: &[u8],
        order: Order,
        limit: usize,
    ) -> Result<Vec<Entry>, LedgerError>;

    /// Applies `batch`.
    ///
    /// # Errors
    /// [`LedgerError`] if it is not applied as `durability` demands.
    fn write(&self, batch: Vec<Change>, durability: Durability) -> Result<(), LedgerError>;

    /// Waits until the disk has every batch that was applied before the call.
    ///
    /// # Errors
    /// [`LedgerError`] if that is not known; what the disk has is then unknown until the store is opened again.
    fn sync(&self) -> Result<(), LedgerError>;
}
