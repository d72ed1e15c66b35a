//! What this node accepted from its own users, on disk before they hear of it, so that a restart loses none of it.
//!
//! One append-only file in the data folder. Many transactions share one sync (group commit). What is settled, replaced or
//! expired stays in the file until it is written anew from what the pool still holds: at the start, when it outgrows its
//! bounds, and after a write that failed, because nobody knows what such a write left behind.
//!
//! A write that was cut off by a crash is dropped at its place: nobody was answered for it. Damage elsewhere is reported,
//! the damaged file is kept beside the new one, and everything that is whole comes back; nothing that stands inside a
//! transaction is taken for a record.

mod disk;
mod record;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};

use alloy_primitives::{Bytes, TxHash, keccak256};
use baton_mempool::PoolConfig;
use baton_proto::{L2ChainId, Transaction};
use tracing::{info, warn};

pub(crate) use self::disk::{Disk, FileDisk};
use self::record::{Header, Mark, Record};

/// Most bytes of a file that is read: many times what the bounds of any sensible pool allow.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// Bytes that are written at once when a file is written anew.
const CHUNK_BYTES: usize = 1 << 20;

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum JournalError {
    #[error("the transaction journal {} cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the transaction journal {} cannot be written: {source}", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("the transaction journal {} has {got} bytes, more than {FILE_BYTES_MAX}: it is not what this node wrote; move it away", path.display())]
    Oversized { path: PathBuf, got: u64 },
    #[error(
        "the transaction journal {} belongs to L2 chain {stored}, but this node runs L2 chain {asked}: point data_dir at the right folder, or move the journal away",
        path.display()
    )]
    OtherChain { path: PathBuf, stored: L2ChainId, asked: L2ChainId },
    #[error(
        "the transaction journal {} has version {stored}, this version of baton knows {}; run the newer version that wrote it",
        path.display(), record::VERSION
    )]
    NewerVersion { path: PathBuf, stored: u32 },
}

impl JournalError {
    /// Returns whether the operator must correct what the node is pointed at.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        match self {
            Self::OtherChain { .. } | Self::NewerVersion { .. } | Self::Oversized { .. } => true,
            Self::Unreadable { .. } | Self::Unwritable { .. } => false,
        }
    }
}

/// How far a file may grow before it is written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalBounds {
    /// Most records, obsolete ones included.
    pub records_max: usize,
    /// Most bytes.
    pub bytes_max: usize,
}

impl JournalBounds {
    /// Returns bounds of at least twice what the pool can hold, so that each writing anew is paid for by as many new
    /// records.
    #[must_use]
    pub fn of(pool: &PoolConfig) -> Self {
        let records_max = pool.transactions_max.max(1_024).saturating_mul(4);
        let overhead = records_max.saturating_mul(record::OVERHEAD_BYTES);
        Self { records_max, bytes_max: pool.bytes_max.saturating_mul(2).saturating_add(overhead) }
    }
}

/// A transaction that an earlier run accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// When it was accepted, in milliseconds of the wall clock.
    pub at_ms: u64,
    /// Its EIP-2718 encoding, not checked yet.
    pub raw: Bytes,
}

/// The file, open for writing.
pub struct Journal {
    disk: Box<dyn Disk>,
    path: PathBuf,
    chain: L2ChainId,
    bounds: JournalBounds,
    /// The file's own, anew whenever it is written anew.
    mark: Mark,
    /// When each transaction in the file was accepted first.
    accepted: HashMap<TxHash, u64>,
    records: usize,
    bytes: usize,
    /// Whether the file must be written anew before anything is appended.
    is_stale: bool,
}

impl Journal {
    /// Reads the journal at `path`, if there is one, and returns what it holds, in the order in which it was accepted.
    ///
    /// Nothing is appended before [`Self::rewrite`] has written the file anew.
    ///
    /// # Errors
    /// [`JournalError`] when it is another chain's, a newer version's, or cannot be read.
    pub fn open(path: &Path, chain: L2ChainId, bounds: JournalBounds) -> Result<(Self, Vec<Kept>), JournalError> {
        Self::open_on(Box::new(FileDisk::new(path.into())), path, chain, bounds)
    }

    /// As [`Self::open`], but writes to `disk`.
    pub(crate) fn open_on(
        disk: Box<dyn Disk>,
        path: &Path,
        chain: L2ChainId,
        bounds: JournalBounds,
    ) -> Result<(Self, Vec<Kept>), JournalError> {
        let kept = match read(path)? {
            Some(bytes) => kept(&bytes, path, chain)?,
            None => Vec::new(),
        };
        let path = path.into();
        let (mark, accepted) = (Mark::default(), HashMap::new());
        Ok((Self { disk, path, chain, bounds, mark, accepted, records: 0, bytes: 0, is_stale: true }, kept))
    }

    /// Returns whether a transaction is in the file, and so survives a restart.
    #[must_use]
    pub fn holds(&self, hash: &TxHash) -> bool {
        self.accepted.contains_key(hash)
    }

    /// Returns the transactions in the file with the time of their acceptance, in no order.
    pub fn accepted(&self) -> impl Iterator<Item = (&TxHash, u64)> {
        self.accepted.iter().map(|(hash, at_ms)| (hash, *at_ms))
    }

    /// Returns whether the file must be written anew before [`Self::append`]: it has not been since it was opened, or a
    /// write has failed.
    #[must_use]
    pub const fn is_stale(&self) -> bool {
        self.is_stale
    }

    /// Returns whether the file has grown beyond its bounds.
    #[must_use]
    pub const fn is_outgrown(&self) -> bool {
        self.records > self.bounds.records_max || self.bytes > self.bounds.bytes_max
    }

    /// Appends transactions with the time of their acceptance, and takes back obsolete ones, with one sync for all. On
    /// return they are on the disk.
    ///
    /// # Errors
    /// When they may not be: none of them counts as held, and the file must be written anew.
    pub fn append(&mut self, accepted: &[(u64, Transaction)], obsolete: &[TxHash]) -> io::Result<()> {
        if self.is_stale {
            return Err(io::Error::other("the journal has not been written anew since a write failed"));
        }
        let mut bytes = Vec::new();
        for (at_ms, transaction) in accepted {
            Record::Accepted { at_ms: *at_ms, raw: transaction.raw().clone() }.write(&self.mark, &mut bytes);
        }
        for hash in obsolete {
            Record::Obsolete(*hash).write(&self.mark, &mut bytes);
        }
        self.is_stale = true;
        self.disk.append(&bytes)?;
        self.is_stale = false;
        self.bytes = self.bytes.saturating_add(bytes.len());
        self.records = self.records.saturating_add(accepted.len()).saturating_add(obsolete.len());
        for (at_ms, transaction) in accepted {
            self.accepted.entry(*transaction.hash()).or_insert(*at_ms);
        }
        for hash in obsolete {
            self.accepted.remove(hash);
        }
        Ok(())
    }

    /// Writes the file anew with exactly `live`, in this order, and forgets all else.
    ///
    /// # Errors
    /// [`JournalError::Unwritable`]; then the old file is still there, and nothing is appended to it.
    pub fn rewrite(&mut self, live: Vec<(u64, Transaction)>) -> Result<(), JournalError> {
        self.is_stale = true;
        self.mark = rand::random();
        let mark = self.mark;
        let mut total = 0;
        let mut records = live.iter();
        let mut header = Some(record::headers(self.chain, &mark));
        let mut chunks = std::iter::from_fn(|| {
            let mut chunk = header.take().unwrap_or_default();
            while chunk.len() < CHUNK_BYTES
                && let Some((at_ms, transaction)) = records.next()
            {
                Record::Accepted { at_ms: *at_ms, raw: transaction.raw().clone() }.write(&mark, &mut chunk);
            }
            total += chunk.len();
            (!chunk.is_empty()).then_some(chunk)
        });
        let replaced = self.disk.replace(&mut chunks);
        replaced.map_err(|source| JournalError::Unwritable { path: self.path.clone(), source })?;
        self.records = live.len();
        self.bytes = total;
        self.accepted = live.into_iter().map(|(at_ms, transaction)| (*transaction.hash(), at_ms)).collect();
        self.is_stale = false;
        Ok(())
    }
}

/// Reads the whole file; `None` if there is none.
fn read(path: &Path) -> Result<Option<Vec<u8>>, JournalError> {
    let unreadable = |source| JournalError::Unreadable { path: path.into(), source };
    match std::fs::metadata(path) {
        Ok(found) if found.len() > FILE_BYTES_MAX => {
            return Err(JournalError::Oversized { path: path.into(), got: found.len() });
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    }
    std::fs::read(path).map(Some).map_err(unreadable)
}

/// Returns what the bytes of a file hold, less what became obsolete; keeps a damaged file aside.
fn kept(bytes: &[u8], path: &Path, chain: L2ChainId) -> Result<Vec<Kept>, JournalError> {
    let contents = record::read(bytes);
    match contents.header {
        Some(Header { version, .. }) if version > record::VERSION => {
            return Err(JournalError::NewerVersion { path: path.into(), stored: version });
        }
        Some(Header { chain: stored, .. }) if stored != chain => {
            return Err(JournalError::OtherChain { path: path.into(), stored, asked: chain });
        }
        Some(_) | None => {}
    }
    if contents.is_damaged_inside {
        let aside = path.with_extension("damaged");
        std::fs::copy(path, &aside).map_err(|source| JournalError::Unwritable { path: aside.clone(), source })?;
        warn!(journal = %path.display(), kept_as = %aside.display(), at = contents.damaged_at, skipped_bytes = contents.damaged_bytes,
            whole = contents.records.len(), "the transaction journal is damaged: accepted transactions may be lost; what is whole comes back. Check the disk");
    } else if let Some(at) = contents.damaged_at {
        info!(journal = %path.display(), at, bytes = contents.damaged_bytes, "dropped the end of the transaction journal, a write that was cut off");
    }
    let mut kept: Vec<Option<Kept>> = Vec::new();
    let mut places: HashMap<TxHash, usize> = HashMap::new();
    for record in contents.records {
        match record {
            Record::Accepted { at_ms, raw } => {
                // Accepted again after it had left the pool: it takes the later place, and its age counts from the first.
                let again = places.insert(keccak256(&raw), kept.len()).and_then(|place| kept[place].take());
                kept.push(Some(Kept { at_ms: again.map_or(at_ms, |first: Kept| first.at_ms.min(at_ms)), raw }));
            }
            Record::Obsolete(hash) => {
                if let Some(place) = places.remove(&hash) {
                    kept[place] = None;
                }
            }
        }
    }
    Ok(kept.into_iter().flatten().collect())
}
