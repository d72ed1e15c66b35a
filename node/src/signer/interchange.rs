//! The sign record as one JSON file that an operator moves with the key, in the shape of EIP-3076.
//!
//! ```json
//! { "metadata": { "interchangeFormatVersion": "1", "publicKey": "0x…",
//!                 "domain": { "l1ChainId": 1, "registry": "0x…", "l2ChainId": 7001 } },
//!   "data": { "floor": { "epoch": 2, "view": 10 },
//!             "statements": [ { "kind": "nullify", "epoch": 2, "view": 11 } ] },
//!   "checksum": "0x…" }
//! ```
//! One key and one chain per file; `domain` is null while the key has signed for none. Below `floor` votes were forgotten,
//! and nothing more may be signed. Statements are whole, votes ascending by (epoch, view, kind), then attestations by batch,
//! so one record always gives the same bytes. A digit that changed on the way would let the key contradict itself, so the
//! bytes must be those that an export writes, with the keccak-256 of the compact JSON `[metadata,data]` as checksum.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use alloy_primitives::{B256, keccak256};
use baton_proto::{BlsPublicKey, Domain, Epoch, Statement, View};
use serde::{Deserialize, Serialize};

use super::{RecordOrigin, SignRecord, SignRecordError, record::short};
use crate::durable_file;

/// Version of the file that this program writes, and the only one that it reads.
pub const INTERCHANGE_VERSION: &str = "1";

/// Largest file that is read: a vote takes about 170 bytes and an attestation 500, so some years of both.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Everything that one key signed on one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interchange {
    /// Whose it is.
    pub metadata: Metadata,
    /// What was signed.
    pub data: Signed,
}

/// Whose record it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// [`INTERCHANGE_VERSION`].
    pub interchange_format_version: String,
    /// The key that signed.
    pub public_key: BlsPublicKey,
    /// The chain that it signed for; none if it has signed nothing yet.
    pub domain: Option<Domain>,
}

/// What a key signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// Votes below it are forgotten.
    pub floor: Floor,
    /// All that is remembered.
    pub statements: Vec<Statement>,
}

/// The first view whose votes are all remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Floor {
    /// Its epoch.
    pub epoch: Epoch,
    /// The view.
    pub view: View,
}

/// The file.
#[derive(Serialize, Deserialize)]
struct File {
    metadata: Metadata,
    data: Signed,
    checksum: B256,
}

/// The part that every version has.
#[derive(Deserialize)]
struct Versioned {
    metadata: Version,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    interchange_format_version: String,
}

/// Why a record is not exported or imported. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum InterchangeError {
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("{} holds no sign record: {why}", path.display())]
    Malformed { path: PathBuf, why: String },
    #[error("{} has format version {got:?}, this version of baton knows {INTERCHANGE_VERSION:?}", path.display())]
    UnknownVersion { path: PathBuf, got: String },
    #[error("{} is not as it was exported: it was damaged on the way or changed by hand; fetch it anew", path.display())]
    Damaged { path: PathBuf },
    #[error("{} exists and is no export of this key; name a file that does not exist yet", path.display())]
    Occupied { path: PathBuf },
    #[error("the file is of key {}, but this sequencer's key is {}", short(file), short(own))]
    WrongKey { file: Box<BlsPublicKey>, own: Box<BlsPublicKey> },
    #[error(
        "the file is of L2 chain {} of registry {} on L1 chain {}, but this key's record is of L2 chain {} of registry {} on L1 chain {}",
        file.l2_chain_id, file.registry, file.l1_chain_id, own.l2_chain_id, own.registry, own.l1_chain_id
    )]
    OtherChain { file: Box<Domain>, own: Box<Domain> },
    #[error(
        "the key has signed both {first:?} and {second:?}, which contradict each other: two machines have used it, or a file is forged; nothing was imported"
    )]
    Contradiction { first: Box<Statement>, second: Box<Statement> },
    #[error(transparent)]
    Record(#[from] SignRecordError),
}

impl InterchangeError {
    /// Returns the process's exit code: 2 for a file that is not the right one, 3 where going on could make the key
    /// contradict itself, else 1.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Malformed { .. } | Self::Damaged { .. } | Self::UnknownVersion { .. } | Self::Occupied { .. } => 2,
            Self::WrongKey { .. } | Self::OtherChain { .. } | Self::Contradiction { .. } | Self::Record(_) => 3,
            Self::Io { .. } => 1,
        }
    }
}

impl Interchange {
    /// Reads a file.
    ///
    /// # Errors
    /// [`InterchangeError`]: unreadable, too large, of another version, malformed, or not as it was exported.
    pub fn read(path: &Path) -> Result<Self, InterchangeError> {
        let failed = |error| InterchangeError::Io { path: path.into(), error };
        let malformed = |why: String| InterchangeError::Malformed { path: path.into(), why };
        let bytes = fs::metadata(path).map_err(failed)?.len();
        if bytes > FILE_BYTES_MAX {
            return Err(malformed(format!("it has {bytes} bytes, at most {FILE_BYTES_MAX} are read")));
        }
        let bytes = fs::read(path).map_err(failed)?;
        // The version first: a newer one may have another shape.
        let Versioned { metadata: Version { interchange_format_version: got } } =
            serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
        if got != INTERCHANGE_VERSION {
            return Err(InterchangeError::UnknownVersion { path: path.into(), got });
        }
        let File { metadata, data, .. } =
            serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
        let read = Self { metadata, data };
        // With its checksum.
        if read.to_bytes().is_ok_and(|exported| exported == bytes) {
            return Ok(read);
        }
        Err(InterchangeError::Damaged { path: path.into() })
    }

    fn checksum(&self) -> serde_json::Result<B256> {
        Ok(keccak256(serde_json::to_vec(&(&self.metadata, &self.data))?))
    }

    fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        let Self { metadata, data } = self.clone();
        let mut bytes = serde_json::to_vec_pretty(&File { metadata, data, checksum: self.checksum()? })?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Writes the file whole or not at all, with mode 0600. An earlier export of the same key is replaced, nothing else.
    ///
    /// # Errors
    /// [`InterchangeError::Occupied`] and [`InterchangeError::Io`].
    pub fn write(&self, path: &Path) -> Result<(), InterchangeError> {
        let failed = |error| InterchangeError::Io { path: path.into(), error };
        if path.try_exists().map_err(failed)? {
            let before = Self::read(path).ok();
            if before.is_none_or(|before| before.metadata.public_key != self.metadata.public_key) {
                return Err(InterchangeError::Occupied { path: path.into() });
            }
        }
        let bytes = self.to_bytes().map_err(|error| failed(error.into()))?;
        durable_file::write_private(path, &bytes).map_err(failed)
    }
}

/// Writes what the record in `dir` holds to `file`, and returns how many statements that are.
///
/// The record must not be in use: an export of a running node is old before it is written.
///
/// # Errors
/// [`InterchangeError`]; an earlier file is then as it was.
pub fn export_record(dir: &Path, key: &BlsPublicKey, file: &Path) -> Result<usize, InterchangeError> {
    let exported = SignRecord::open(dir, key)?.export()?;
    exported.write(file)?;
    Ok(exported.data.statements.len())
}

/// Adds what `file` holds to the record in `dir`, which is made if there is none, and returns how many statements were new.
///
/// A record that learned anything signs nothing before the epoch after the one in which its node hears a quorum out:
/// nobody knows here whether the exporting node stayed stopped. A crash leaves the record as it was, or made and empty
/// (which signs nothing either), or with everything.
///
/// # Errors
/// [`InterchangeError`]; the record is then as it was.
pub fn import_record(dir: &Path, key: &BlsPublicKey, file: &Path) -> Result<usize, InterchangeError> {
    let imported = Interchange::read(file)?;
    // Before a folder is made for a file that cannot be taken.
    imported.check_key(key)?;
    imported.check_itself()?;
    let mut record = match SignRecord::open(dir, key) {
        Err(error) if error.is_missing() => SignRecord::create_listening(dir, key, RecordOrigin::Imported)?,
        record => record?,
    };
    record.merge(&imported)
}
