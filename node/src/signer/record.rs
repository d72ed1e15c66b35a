//! The sign record: every statement a key ever signed, in a folder of its own.
//!
//! It lies apart from the chain data, so that no restore or rollback of the chain rewinds it, and its lock makes this
//! process the only speaker of the key on this machine. It knows whose key it is, for which chain, and how it came to be.
//!
//! | family | key | value |
//! | --- | --- | --- |
//! | votes | epoch view kind | statement |
//! | attestations | `a` index previous-hash height header-hash committee-epoch | statement |
//! | | `s` height digest | the first statement about that block |
//! | meta | `key`, `origin`, `domain`, `floor` | |

use std::path::{Path, PathBuf};

use baton_proto::{
    Attestation, BlsPublicKey, Domain, Epoch, Statement, StatementKind, View,
    wire::{statement_from_bytes, statement_to_bytes},
};

use super::rules::forbids;
use crate::ledger::{
    Durability, EngineError, Order,
    engine::{Edit, Engine, Expect, Layout, META},
};

const SCHEMA: u32 = 1;
const VOTES: &str = "votes";
const ATTESTATIONS: &str = "attestations";

const LAYOUT: Layout = Layout {
    what: "sign record",
    schema: SCHEMA,
    families: &[VOTES, ATTESTATIONS],
    remedy: "do not replace it by an empty one while this key's epoch runs, because signing against what is lost costs the bond; keep the folder, \
             and start with an override only in an epoch in which this key has signed nothing",
};

const KEY: &[u8] = b"key";
const ORIGIN: &[u8] = b"origin";
const DOMAIN: &[u8] = b"domain";
const FLOOR: &[u8] = b"floor";

/// Above every key: votes have 17 bytes, attestations start with a letter.
const KEYS_END: &[u8] = &[0xff; 18];

/// How a record came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordOrigin {
    /// Made together with the key, so nothing that the key signed is missing.
    KeysNew,
    /// Made empty because the operator said so: what the key signed before is not in it.
    Override,
}

/// Why a sign record cannot be used. Without it nothing is signed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum SignRecordError {
    #[error(
        "there is no sign record in {}: this node does not know what its key has signed, so it signs nothing; point sign_record_dir at the record, or accept a missing one explicitly if this key has signed nothing in the running epoch",
        path.display()
    )]
    Missing { path: PathBuf },
    #[error("there is a sign record in {} already", path.display())]
    Exists { path: PathBuf },
    #[error("the sign record in {} is in use by another process", path.display())]
    Locked { path: PathBuf },
    #[error("the sign record in {} belongs to key {}, but this node's key is {}", path.display(), short(stored), short(asked))]
    WrongKey { path: PathBuf, stored: Box<BlsPublicKey>, asked: Box<BlsPublicKey> },
    #[error(
        "the sign record in {} belongs to L2 chain {} of registry {} on L1 chain {}, but this node runs L2 chain {} of registry {} on L1 chain {}",
        path.display(), stored.l2_chain_id, stored.registry, stored.l1_chain_id, asked.l2_chain_id, asked.registry, asked.l1_chain_id
    )]
    OtherChain { path: PathBuf, stored: Box<Domain>, asked: Box<Domain> },
    #[error(transparent)]
    Engine(EngineError),
}

impl SignRecordError {
    /// Returns whether there is no record: the operator may accept that, and only the operator.
    #[must_use]
    pub const fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }
}

impl From<EngineError> for SignRecordError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Missing { path, .. } => Self::Missing { path },
            EngineError::Exists { path, .. } => Self::Exists { path },
            EngineError::Locked { path, .. } => Self::Locked { path },
            error => Self::Engine(error),
        }
    }
}

/// Why statements were not recorded, and so may not be signed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum SignError {
    #[error("refused to sign {asked:?}, because {recorded:?} is signed")]
    Conflict { recorded: Box<Statement>, asked: Box<Statement> },
    #[error("refused to sign {asked:?}: what was signed below view {view} of epoch {epoch} is forgotten")]
    Forgotten { asked: Box<Statement>, epoch: Epoch, view: View },
    #[error("an earlier write to the sign record failed; nothing is signed until a restart")]
    Closed,
    #[error(transparent)]
    Record(#[from] SignRecordError),
}

/// Everything that one key signed, and the only place that allows it to sign more.
pub struct SignRecord {
    engine: Engine,
    key: BlsPublicKey,
    origin: RecordOrigin,
    floor: (Epoch, View),
    /// Set when a write failed: what the disk holds is then unknown, and a sync that is tried again proves nothing.
    is_closed: bool,
}

impl SignRecord {
    /// Makes the empty record of a key that has never signed, as `baton keys new` does.
    ///
    /// # Errors
    /// [`SignRecordError::Exists`] if there is one in `dir`; otherwise if it is not on the disk.
    pub fn create(dir: &Path, key: &BlsPublicKey) -> Result<Self, SignRecordError> {
        Self::make(dir, key, RecordOrigin::KeysNew)
    }

    /// Makes an empty record for a key that may have signed before, because the operator vouches for it.
    ///
    /// # Errors
    /// See [`Self::create`].
    pub fn create_by_override(dir: &Path, key: &BlsPublicKey) -> Result<Self, SignRecordError> {
        Self::make(dir, key, RecordOrigin::Override)
    }

    fn make(dir: &Path, key: &BlsPublicKey, origin: RecordOrigin) -> Result<Self, SignRecordError> {
        let mut engine = Engine::open(dir, LAYOUT, Expect::New)?;
        // Without its last mark a folder was never used, unless somebody removed the mark.
        let used = engine.scan(VOTES, &[], KEYS_END, Order::Ascending, 1)?;
        let used_for_batches = engine.scan(ATTESTATIONS, &[], KEYS_END, Order::Ascending, 1)?;
        if !used.is_empty() || !used_for_batches.is_empty() {
            return Err(SignRecordError::Exists { path: dir.into() });
        }
        let edits = vec![
            Edit::Put(META, KEY.into(), key.as_bytes().to_vec()),
            Edit::Put(META, ORIGIN.into(), vec![origin.code()]),
        ];
        engine.write(edits, Durability::Synced)?;
        engine.complete()?;
        Ok(Self { engine, key: *key, origin, floor: (Epoch::ZERO, View::ZERO), is_closed: false })
    }

    /// Opens the record of `key`.
    ///
    /// # Errors
    /// [`SignRecordError`] says what does not fit: no record, one of another key, in use, of a newer version, or damaged.
    pub fn open(dir: &Path, key: &BlsPublicKey) -> Result<Self, SignRecordError> {
        let engine = Engine::open(dir, LAYOUT, Expect::Complete)?;
        let stored = engine.get(META, KEY)?.and_then(|bytes| BlsPublicKey::from_slice(&bytes));
        let stored = stored.ok_or_else(|| engine.damaged("it does not say whose key it belongs to"))?;
        check_key(&engine, &stored, key)?;
        let origin = engine.get(META, ORIGIN)?;
        let origin = origin.as_deref().and_then(RecordOrigin::from_bytes);
        let origin = origin.ok_or_else(|| engine.damaged("it does not say how it came to be"))?;
        let floor = match engine.get(META, FLOOR)? {
            None => (Epoch::ZERO, View::ZERO),
            Some(bytes) => floor_from_bytes(&bytes).ok_or_else(|| engine.damaged("its floor does not decode"))?,
        };
        Ok(Self { engine, key: stored, origin, floor, is_closed: false })
    }

    /// Returns whose record it is.
    #[must_use]
    pub const fn key(&self) -> &BlsPublicKey {
        &self.key
    }

    /// Returns how the record came to be.
    #[must_use]
    pub const fn origin(&self) -> RecordOrigin {
        self.origin
    }

    /// Compares the record's key with the one that wants to sign.
    ///
    /// # Errors
    /// [`SignRecordError::WrongKey`] names both.
    pub(super) fn check_key(&self, key: &BlsPublicKey) -> Result<(), SignRecordError> {
        check_key(&self.engine, &self.key, key)
    }

    /// Ties the record to the chain that it is first used for, durably. Votes of two chains would not conflict, but their
    /// records would.
    ///
    /// # Errors
    /// [`SignRecordError::OtherChain`] if it is tied to another one.
    pub(super) fn bind(&mut self, domain: &Domain) -> Result<(), SignRecordError> {
        match self.engine.get(META, DOMAIN)? {
            None => {
                let bytes = serde_json::to_vec(domain)
                    .map_err(|error| self.engine.damaged(format!("its chain cannot be written: {error}")))?;
                Ok(self.engine.write(vec![Edit::Put(META, DOMAIN.into(), bytes)], Durability::Synced)?)
            }
            Some(bytes) => {
                let stored: Domain = serde_json::from_slice(&bytes)
                    .map_err(|error| self.engine.damaged(format!("its chain does not decode: {error}")))?;
                if stored == *domain {
                    return Ok(());
                }
                let (stored, asked) = (Box::new(stored), Box::new(*domain));
                Err(SignRecordError::OtherChain { path: self.engine.path().into(), stored, asked })
            }
        }
    }

    /// Records all of `statements`, durably and with at most one sync, or none of them. Those recorded before cost nothing.
    ///
    /// # Errors
    /// [`SignError`] if one of them may not be signed, or is not known to be on the disk.
    pub(super) fn record(&mut self, statements: &[Statement]) -> Result<(), SignError> {
        if self.is_closed {
            return Err(SignError::Closed);
        }
        let mut fresh: Vec<Statement> = Vec::new();
        for asked in statements {
            if fresh.contains(asked) || self.is_recorded(asked)? {
                continue;
            }
            self.check_floor(asked)?;
            let before = self.related(asked)?;
            if let Some(recorded) = before.iter().chain(&fresh).find(|recorded| forbids(recorded, asked)) {
                return Err(SignError::Conflict { recorded: Box::new(*recorded), asked: Box::new(*asked) });
            }
            fresh.push(*asked);
        }
        let edits: Vec<Edit> = fresh.iter().flat_map(|statement| self.edits(statement)).collect();
        if edits.is_empty() {
            return Ok(());
        }
        self.engine.write(edits, Durability::Synced).map_err(|error| {
            self.is_closed = true;
            SignError::Record(error.into())
        })
    }

    /// Returns whether exactly this statement is recorded. A certificate that carries our bit for one that is not shows
    /// that the record is stale or that somebody else has the key.
    ///
    /// # Errors
    /// [`SignRecordError`] if the record cannot be read.
    pub fn is_recorded(&self, statement: &Statement) -> Result<bool, SignRecordError> {
        let (family, key) = key_of(statement);
        Ok(self.read(family, &key)?.is_some_and(|recorded| recorded == *statement))
    }

    /// Returns the votes of `epoch` from view `from` on, ascending by view: at most one of each kind per view.
    ///
    /// # Errors
    /// [`SignRecordError`] if the record cannot be read.
    pub fn recorded(&self, epoch: Epoch, from: View) -> Result<Vec<Statement>, SignRecordError> {
        let (from, to) = (view_key(epoch, from), [&be(epoch.get())[..], &[0xff; 9]].concat());
        let found = self.engine.scan(VOTES, &from, &to, Order::Ascending, usize::MAX)?;
        found.iter().map(|(key, bytes)| self.decode(VOTES, key, bytes)).collect()
    }

    /// Forgets votes below a view, durably. Nothing below it is ever signed again, not even what was signed before.
    ///
    /// The caller knows that the view is final for good, so that nobody needs these votes from us.
    ///
    /// # Errors
    /// [`SignError`] if it is not on the disk.
    pub(super) fn forget_below(&mut self, epoch: Epoch, view: View) -> Result<(), SignError> {
        if self.is_closed {
            return Err(SignError::Closed);
        }
        if (epoch, view) <= self.floor {
            return Ok(());
        }
        let floor = view_key(epoch, view);
        let edits = vec![Edit::Put(META, FLOOR.into(), floor.clone()), Edit::DeleteRange(VOTES, Vec::new(), floor)];
        self.engine.write(edits, Durability::Synced).map_err(|error| {
            self.is_closed = true;
            SignError::Record(error.into())
        })?;
        self.floor = (epoch, view);
        Ok(())
    }

    fn check_floor(&self, asked: &Statement) -> Result<(), SignError> {
        let (epoch, view) = self.floor;
        match asked.view() {
            Some(of) if (asked.epoch(), of) < self.floor => {
                Err(SignError::Forgotten { asked: Box::new(*asked), epoch, view })
            }
            _ => Ok(()),
        }
    }

    /// Returns every recorded statement that could stand against `asked`.
    fn related(&self, asked: &Statement) -> Result<Vec<Statement>, SignRecordError> {
        let (from, to) = match asked {
            Statement::Attest(attestation) => {
                // All entries of one slot and height name one block and one state root, so the first speaks for all.
                let (from, to) = slot_range(attestation);
                let slot = self.engine.scan(ATTESTATIONS, &from, &to, Order::Ascending, 1)?;
                let slot = slot.iter().map(|(key, bytes)| self.decode(ATTESTATIONS, key, bytes));
                let block = self.read(ATTESTATIONS, &attested_block(attestation))?;
                return slot.chain(block.map(Ok)).collect();
            }
            vote => {
                let from = view_key(vote.epoch(), vote.view().unwrap_or_default());
                let to = [from.as_slice(), &[0xff]].concat();
                (from, to)
            }
        };
        let found = self.engine.scan(VOTES, &from, &to, Order::Ascending, usize::MAX)?;
        found.iter().map(|(key, bytes)| self.decode(VOTES, key, bytes)).collect()
    }

    fn edits(&self, statement: &Statement) -> Vec<Edit> {
        let (family, key) = key_of(statement);
        let bytes = statement_to_bytes(statement);
        let mut edits = vec![Edit::Put(family, key, bytes.clone())];
        if let Statement::Attest(attestation) = statement {
            edits.push(Edit::Put(ATTESTATIONS, attested_block(attestation), bytes));
        }
        edits
    }

    fn read(&self, family: &'static str, key: &[u8]) -> Result<Option<Statement>, SignRecordError> {
        self.engine.get(family, key)?.map(|bytes| self.decode(family, key, &bytes)).transpose()
    }

    fn decode(&self, family: &'static str, key: &[u8], bytes: &[u8]) -> Result<Statement, SignRecordError> {
        let at = || format!("{family} at 0x{}", hex::encode(key));
        let statement =
            statement_from_bytes(bytes).map_err(|error| self.engine.damaged(format!("{}: {error}", at())))?;
        let is_its_own = match &statement {
            Statement::Attest(attestation) if key.first() == Some(&b's') => attested_block(attestation) == key,
            statement => key_of(statement).1 == key,
        };
        if is_its_own {
            return Ok(statement);
        }
        Err(self.engine.damaged(format!("{}: the statement is not the one its key names", at())).into())
    }
}

impl RecordOrigin {
    const fn code(self) -> u8 {
        match self {
            Self::KeysNew => 0,
            Self::Override => 1,
        }
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0] => Some(Self::KeysNew),
            [1] => Some(Self::Override),
            _ => None,
        }
    }
}

fn check_key(engine: &Engine, stored: &BlsPublicKey, asked: &BlsPublicKey) -> Result<(), SignRecordError> {
    if stored == asked {
        return Ok(());
    }
    let (stored, asked) = (Box::new(*stored), Box::new(*asked));
    Err(SignRecordError::WrongKey { path: engine.path().into(), stored, asked })
}

fn key_of(statement: &Statement) -> (&'static str, Vec<u8>) {
    match statement {
        Statement::Attest(attestation) => (ATTESTATIONS, attestation_key(attestation)),
        vote => {
            let kind = match vote.kind() {
                StatementKind::Notarize => 0,
                StatementKind::Finalize => 1,
                StatementKind::Nullify => 2,
                StatementKind::Attest => 3,
            };
            let mut key = view_key(vote.epoch(), vote.view().unwrap_or_default());
            key.push(kind);
            (VOTES, key)
        }
    }
}

fn view_key(epoch: Epoch, view: View) -> Vec<u8> {
    [be(epoch.get()), be(view.get())].concat()
}

fn slot_key(attestation: &Attestation) -> Vec<u8> {
    let Attestation { batch_index, prev_batch_hash, last_height, .. } = attestation;
    [&b"a"[..], &be(batch_index.get()), prev_batch_hash.get().as_slice(), &be(last_height.get())].concat()
}

fn slot_range(attestation: &Attestation) -> (Vec<u8>, Vec<u8>) {
    let from = slot_key(attestation);
    // A header hash and an epoch follow: 40 bytes.
    let to = [from.as_slice(), &[0xff; 41]].concat();
    (from, to)
}

fn attestation_key(attestation: &Attestation) -> Vec<u8> {
    let slot = slot_key(attestation);
    [slot.as_slice(), attestation.header_hash.get().as_slice(), &be(attestation.committee_epoch.get())].concat()
}

fn attested_block(attestation: &Attestation) -> Vec<u8> {
    [&b"s"[..], &be(attestation.last_height.get()), attestation.last_digest.get().as_slice()].concat()
}

fn floor_from_bytes(bytes: &[u8]) -> Option<(Epoch, View)> {
    let (epoch, view) = bytes.split_at_checked(8)?;
    let number = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_be_bytes);
    Some((Epoch::new(number(epoch)?), View::new(number(view)?)))
}

const fn be(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// The first bytes of a key's x coordinate: enough to tell it from others, short enough to read.
fn short(key: &BlsPublicKey) -> String {
    let bytes = key.as_bytes().get(16..32).unwrap_or_default();
    format!("0x{}…", hex::encode(bytes))
}
