//! RocksDB as the ledger and the sign record use it: one folder, one process, one writer's log that is never skipped.
//!
//! ```text
//! folder/lock     held by the process that has the folder open
//! folder/format   written last when the folder is made: from then on a missing file is damage, never a fresh start
//! folder/db/      RocksDB
//! ```
//! Settings (faults "Storage settings"): recovery tolerates only a torn last record; RocksDB's default would silently roll
//! back to before a damaged record in the middle, and with it votes that the network has seen. Every log is listed in the
//! manifest, so one that is missing or cut short is noticed. The log is never disabled.
//!
//! A last record that was synced and then damaged looks like a torn one, and is dropped as well. The stricter
//! `AbsoluteConsistency` would refuse the folder after every power cut that tears a record, and nothing in the log says how far
//! it was synced. So a disk that damages what it holds can make the sign record forget the last thing it said, as if an older
//! copy had been restored; and as after that nothing is signed before a quorum was heard out and has shown what it remembers of
//! this key (`driver/hearing.rs`). `PointInTime` would drop more than the last record, and say as little.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode, ErrorKind, IteratorMode,
    LogLevel, Options, ReadOptions, WriteBatch, WriteOptions,
};

use super::store::{Durability, Entry, Order};

/// The family that holds the schema version, in every folder.
pub(crate) const META: &str = "meta";

const SCHEMA: &[u8] = b"schema";

/// Unwritten data per family. A small node with ten families stays within [`UNWRITTEN_BYTES_MAX`].
const MEMTABLE_BYTES: usize = 8 << 20;

/// Share of unwritten data that a filter of its keys takes: most transactions that are looked up are not there.
const MEMTABLE_BLOOM_SHARE: f64 = 0.02;

/// Size of such a filter in files; one in a hundred of the absent keys passes it.
const BLOOM_BITS_PER_KEY: f64 = 10.0;

/// Unwritten data of a whole folder; beyond it the largest family is written out.
const UNWRITTEN_BYTES_MAX: usize = 32 << 20;

/// Log that is kept for families that are seldom written out.
const LOG_BYTES_MAX: u64 = 64 << 20;

/// Blocks of files kept in memory.
const CACHE_BYTES: usize = 16 << 20;

/// Files kept open at most. Sockets and other folders share the process's limit.
const OPEN_FILES_MAX: i32 = 256;

/// Size at which RocksDB's own diary starts anew.
const DIARY_BYTES_MAX: usize = 1 << 20;

/// Threads that write out and compact.
const BACKGROUND_JOBS: i32 = 2;

/// What a folder is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// What operators call it.
    pub(crate) what: &'static str,
    /// Version of keys and values.
    pub(crate) schema: u32,
    /// Families beside [`META`].
    pub(crate) families: &'static [&'static str],
    /// What an operator does when the folder is damaged.
    pub(crate) remedy: &'static str,
}

/// What is expected of a folder before it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// It is made if it is not there.
    Any,
    /// It is not there yet.
    New,
    /// It is there and was made completely.
    Complete,
}

/// Why a folder does not open, or does not take or give bytes.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum EngineError {
    #[error("there is no {what} in {}", path.display())]
    Missing { what: &'static str, path: PathBuf },
    #[error("there is a {what} in {} already", path.display())]
    Exists { what: &'static str, path: PathBuf },
    #[error("the {what} in {} is in use by another process; stop it, or give this node another folder", path.display())]
    Locked { what: &'static str, path: PathBuf },
    #[error(
        "the {what} in {} has schema {stored}, this version of baton knows {known}; run the newer version that wrote it",
        path.display()
    )]
    NewerSchema { what: &'static str, path: PathBuf, stored: u32, known: u32 },
    #[error("the {what} in {} is damaged: {detail}; {remedy}", path.display())]
    Damaged { what: &'static str, path: PathBuf, detail: String, remedy: &'static str },
    #[error("the disk of {} is full: {detail}", path.display())]
    DiskFull { path: PathBuf, detail: String },
    #[error("cannot {action} {}: {detail}", path.display())]
    Io { action: &'static str, path: PathBuf, detail: String },
}

impl EngineError {
    /// Returns whether stored bytes are not what was written.
    #[must_use]
    pub const fn is_corruption(&self) -> bool {
        match self {
            Self::Damaged { .. } => true,
            Self::Missing { .. }
            | Self::Exists { .. }
            | Self::Locked { .. }
            | Self::NewerSchema { .. }
            | Self::DiskFull { .. }
            | Self::Io { .. } => false,
        }
    }
}

/// One change of a batch, by family name.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    Put(&'static str, Vec<u8>, Vec<u8>),
    Delete(&'static str, Vec<u8>),
    /// Removes every key from the first, up to but without the second.
    DeleteRange(&'static str, Vec<u8>, Vec<u8>),
}

/// An open folder.
pub(crate) struct Engine {
    // Dropped first: the lock must outlive the database.
    db: DB,
    layout: Layout,
    path: PathBuf,
    is_complete: bool,
    _lock: File,
}

impl Engine {
    /// Opens the folder at `path` for this process alone. A new one counts as complete only after [`Self::complete`].
    pub(crate) fn open(path: &Path, layout: Layout, expect: Expect) -> Result<Self, EngineError> {
        let what = layout.what;
        let format = path.join("format");
        let is_there = || {
            format.try_exists().map_err(|error| EngineError::Io {
                action: "look for",
                path: format.clone(),
                detail: error.to_string(),
            })
        };
        if expect == Expect::Complete && !is_there()? {
            return Err(EngineError::Missing { what, path: path.into() });
        }
        fs::create_dir_all(path).map_err(|error| failed("create", path, &error))?;
        let lock = take_lock(path, what)?;
        let is_complete = is_there()?;
        if expect == Expect::New && is_complete {
            return Err(EngineError::Exists { what, path: path.into() });
        }
        let db = open_db(path, &layout, is_complete)?;
        let engine = Self { db, layout, path: path.into(), is_complete, _lock: lock };
        engine.check_schema()?;
        Ok(engine)
    }

    /// Marks the folder as made completely; nothing happens if it is already.
    pub(crate) fn complete(&mut self) -> Result<(), EngineError> {
        if self.is_complete {
            return Ok(());
        }
        let (temporary, format) = (self.path.join("format.new"), self.path.join("format"));
        let write = || -> io::Result<()> {
            let mut file = File::create(&temporary)?;
            writeln!(file, "baton {}, schema {}", self.layout.what, self.layout.schema)?;
            file.sync_all()?;
            fs::rename(&temporary, &format)?;
            sync_folder(&self.path)?;
            // The folder's own name lies in the one above it.
            match self.path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                Some(parent) => sync_folder(parent),
                None => Ok(()),
            }
        };
        write().map_err(|error| failed("write", &format, &error))?;
        self.is_complete = true;
        Ok(())
    }

    /// Returns where the folder is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn get(&self, family: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.db.get_cf(self.family(family)?, key).map_err(|error| self.classify("read", &error))
    }

    /// Returns at most `limit` entries with `from <= key < to`.
    pub(crate) fn scan(
        &self,
        family: &'static str,
        from: &[u8],
        to: &[u8],
        order: Order,
        limit: usize,
    ) -> Result<Vec<Entry>, EngineError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(from);
        options.set_iterate_upper_bound(to);
        let mode = match order {
            Order::Ascending => IteratorMode::Start,
            Order::Descending => IteratorMode::End,
        };
        let mut found = Vec::new();
        for entry in self.db.iterator_cf_opt(self.family(family)?, options, mode).take(limit) {
            let (key, value) = entry.map_err(|error| self.classify("read", &error))?;
            found.push((key.into_vec(), value.into_vec()));
        }
        Ok(found)
    }

    /// Applies all edits, in order, or none.
    pub(crate) fn write(&self, edits: Vec<Edit>, durability: Durability) -> Result<(), EngineError> {
        let mut batch = WriteBatch::default();
        for edit in edits {
            match edit {
                Edit::Put(family, key, value) => batch.put_cf(self.family(family)?, key, value),
                Edit::Delete(family, key) => batch.delete_cf(self.family(family)?, key),
                Edit::DeleteRange(family, from, to) => batch.delete_range_cf(self.family(family)?, from, to),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(durability == Durability::Synced);
        self.db.write_opt(batch, &options).map_err(|error| self.classify("write to", &error))
    }

    /// Waits until the disk has everything that was written.
    pub(crate) fn sync(&self) -> Result<(), EngineError> {
        self.db.flush_wal(true).map_err(|error| self.classify("sync", &error))
    }

    /// Waits until nothing is written out or compacted any more.
    #[cfg(test)]
    pub(crate) fn wait_until_still(&self) {
        self.db.wait_for_compact(&rocksdb::WaitForCompactOptions::default()).unwrap();
    }

    /// Returns an error that says the folder is damaged, for readers that meet bytes that make no sense.
    pub(crate) fn damaged(&self, detail: impl Into<String>) -> EngineError {
        damaged(&self.layout, &self.path, detail)
    }

    fn family(&self, name: &'static str) -> Result<&rocksdb::ColumnFamily, EngineError> {
        self.db.cf_handle(name).ok_or_else(|| self.damaged(format!("column family {name} is missing")))
    }

    fn check_schema(&self) -> Result<(), EngineError> {
        let known = self.layout.schema;
        match self.get(META, SCHEMA)? {
            Some(bytes) => {
                let stored = bytes.as_slice().try_into().map(u32::from_be_bytes);
                let stored = stored.map_err(|_| self.damaged("the schema version has a wrong length"))?;
                if stored == known {
                    return Ok(());
                }
                if stored < known {
                    return Err(self.damaged(format!("schema {stored} was never released")));
                }
                Err(EngineError::NewerSchema { what: self.layout.what, path: self.path.clone(), stored, known })
            }
            None if self.is_complete => Err(self.damaged("the schema version is missing")),
            None => {
                let schema = Edit::Put(META, SCHEMA.into(), known.to_be_bytes().into());
                self.write(vec![schema], Durability::Synced)
            }
        }
    }

    fn classify(&self, action: &'static str, error: &rocksdb::Error) -> EngineError {
        classify(&self.layout, &self.path, action, error)
    }
}

fn open_db(path: &Path, layout: &Layout, is_complete: bool) -> Result<DB, EngineError> {
    let folder = path.join("db");
    let classify = |error: rocksdb::Error| match error.kind() {
        // Once the folder is complete, a file that cannot be found or a database that is not there is damage.
        ErrorKind::InvalidArgument | ErrorKind::NotFound if is_complete => damaged(layout, path, error.to_string()),
        ErrorKind::IOError if is_complete && error.as_ref().contains("No such file") => {
            damaged(layout, path, error.to_string())
        }
        _ => classify(layout, path, "open", &error),
    };
    let mut options = Options::default();
    options.create_if_missing(!is_complete);
    options.create_missing_column_families(true);
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_paranoid_checks(true);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_max_background_jobs(BACKGROUND_JOBS);
    options.set_max_open_files(OPEN_FILES_MAX);
    options.set_db_write_buffer_size(UNWRITTEN_BYTES_MAX);
    options.set_max_total_wal_size(LOG_BYTES_MAX);
    // RocksDB's own diary, not the write-ahead log.
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(DIARY_BYTES_MAX);

    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&Cache::new_lru_cache(CACHE_BYTES));
    table.set_bloom_filter(BLOOM_BITS_PER_KEY, false);
    let mut names: BTreeSet<String> = layout.families.iter().copied().chain([META]).map(String::from).collect();
    if is_complete {
        // A newer schema may have families that this version does not know; it is for the schema version to say so.
        names.extend(DB::list_cf(&options, &folder).map_err(classify)?);
    }
    let families = names.into_iter().map(|name| {
        let mut family = Options::default();
        family.set_write_buffer_size(MEMTABLE_BYTES);
        family.set_memtable_whole_key_filtering(true);
        family.set_memtable_prefix_bloom_ratio(MEMTABLE_BLOOM_SHARE);
        family.set_compression_type(DBCompressionType::Lz4);
        family.set_block_based_table_factory(&table);
        ColumnFamilyDescriptor::new(name, family)
    });
    DB::open_cf_descriptors(&options, &folder, families).map_err(classify)
}

fn take_lock(path: &Path, what: &'static str) -> Result<File, EngineError> {
    let file = path.join("lock");
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&file);
    let lock = lock.map_err(|error| failed("open", &file, &error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(EngineError::Locked { what, path: path.into() }),
        Err(TryLockError::Error(error)) => Err(failed("lock", &file, &error)),
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn classify(layout: &Layout, path: &Path, action: &'static str, error: &rocksdb::Error) -> EngineError {
    let detail = error.to_string();
    // RocksDB's errors carry the operating system's number only as its text.
    if detail.contains("No space left") {
        return EngineError::DiskFull { path: path.into(), detail };
    }
    match error.kind() {
        ErrorKind::Corruption => damaged(layout, path, detail),
        ErrorKind::IOError if detail.contains("LOCK") => EngineError::Locked { what: layout.what, path: path.into() },
        _ => EngineError::Io { action, path: path.into(), detail },
    }
}

fn damaged(layout: &Layout, path: &Path, detail: impl Into<String>) -> EngineError {
    EngineError::Damaged { what: layout.what, path: path.into(), detail: detail.into(), remedy: layout.remedy }
}

fn failed(action: &'static str, path: &Path, error: &io::Error) -> EngineError {
    let detail = error.to_string();
    match error.kind() {
        io::ErrorKind::StorageFull => EngineError::DiskFull { path: path.into(), detail },
        _ => EngineError::Io { action, path: path.into(), detail },
    }
}
