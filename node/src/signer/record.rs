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
//! | meta | `key`, `origin`, `domain`, `floor`, `quiet`, `condemned` | |

mod merge;

use std::path::{Path, PathBuf};

use baton_proto::{
    Attestation, BlsPublicKey, Domain, Epoch, Statement, StatementKind, View,
    wire::{statement_from_bytes, statement_to_bytes},
};

use super::rules::{contradict, forbids};
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
const QUIET: &[u8] = b"quiet";
const CONDEMNED: &[u8] = b"condemned";

/// Above every key: votes have 17 bytes, attestations start with a letter.
const KEYS_END: &[u8] = &[0xff; 18];

/// How a record came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordOrigin {
    /// Made together with the key, so nothing that the key signed is missing.
    KeysNew,
    /// The operator vouched for it when it was missing or listened: nothing is missing that matters.
    Override,
    /// Statements came from an export. The node that wrote it may have signed on.
    Imported,
    /// Made empty for a key that may have signed before; nobody vouches for it.
    Listening,
}

impl RecordOrigin {
    /// Returns whether statements may be missing: then nothing is signed before the epoch after the one in which the node
    /// heard a quorum out, and meanwhile it listens for another speaker (protocol section 6).
    #[must_use]
    pub const fn must_listen(self) -> bool {
        match self {
            Self::KeysNew | Self::Override => false,
            Self::Imported | Self::Listening => true,
        }
    }
}

/// Why a sign record cannot be used. Without it nothing is signed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum SignRecordError {
    #[error(
        "there is no sign record in {}: this node does not know what its key has signed, so it signs nothing; point sign_record_dir at the record, import an export (baton keys import-record), or start once with --listen-for-sign-record, which signs nothing in the running epoch, or with --accept-missing-sign-record if this key has signed nothing in it",
        path.display()
    )]
    Missing { path: PathBuf },
    #[error("there is a sign record in {} already", path.display())]
    Exists { path: PathBuf },
    #[error("the sign record in {} is in use by another process; stop that one first", path.display())]
    Locked { path: PathBuf },
    #[error("the sign record in {} belongs to key {}, but this node's key is {}", path.display(), short(stored), short(asked))]
    WrongKey { path: PathBuf, stored: Box<BlsPublicKey>, asked: Box<BlsPublicKey> },
    #[error(
        "the sign record in {} belongs to L2 chain {} of registry {} on L1 chain {}, but this node runs L2 chain {} of registry {} on L1 chain {}",
        path.display(), stored.l2_chain_id, stored.registry, stored.l1_chain_id, asked.l2_chain_id, asked.registry, asked.l1_chain_id
    )]
    OtherChain { path: PathBuf, stored: Box<Domain>, asked: Box<Domain> },
    #[error(
        "the key of the sign record in {} signed what costs its bond ({why}): another process signed with it; it signs nothing here any more, so find and stop that process, make a new key (baton keys new) and register it",
        path.display()
    )]
    Condemned { path: PathBuf, why: String },
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
    #[error(
        "signed no {asked:?}: the sign record may lack statements, so this node listens and signs nothing in this epoch"
    )]
    Listening { asked: Box<Statement> },
    #[error("an earlier write to the sign record failed; nothing is signed until a restart")]
    Closed,
    #[error(transparent)]
    Record(#[from] SignRecordError),
}

impl SignError {
    /// Returns whether the record refused, and the signer goes on; otherwise it failed, and nothing more is signed.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        match self {
            Self::Conflict { .. } | Self::Forgotten { .. } | Self::Listening { .. } => true,
            Self::Closed | Self::Record(_) => false,
        }
    }
}

/// Everything that one key signed, and the only place that allows it to sign more.
pub struct SignRecord {
    engine: Engine,
    key: BlsPublicKey,
    origin: RecordOrigin,
    floor: (Epoch, View),
    /// The last epoch in which nothing is signed, of a record that must listen; until it is settled, nothing is in any.
    quiet: Option<Epoch>,
    /// Whether the operator vouched for it since this process has it.
    is_vouched_for: bool,
    /// Whether the disk may lack statements that are recorded.
    is_staged: bool,
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

    /// Makes an empty record that [must listen](RecordOrigin::must_listen), for a key that may have signed before and for
    /// which nobody vouches.
    ///
    /// # Errors
    /// See [`Self::create`].
    pub fn create_listening(dir: &Path, key: &BlsPublicKey, origin: RecordOrigin) -> Result<Self, SignRecordError> {
        debug_assert!(origin.must_listen(), "a record that is complete needs no listening");
        Self::make(dir, key, origin)
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
        Ok(Self {
            engine,
            key: *key,
            origin,
            floor: (Epoch::ZERO, View::ZERO),
            quiet: None,
            is_vouched_for: origin == RecordOrigin::Override,
            is_staged: false,
            is_closed: false,
        })
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
        let quiet = match engine.get(META, QUIET)? {
            None => None,
            Some(bytes) => {
                let epoch = bytes.as_slice().try_into().map(u64::from_be_bytes);
                Some(Epoch::new(epoch.map_err(|_| engine.damaged("the epoch in which it listens does not decode"))?))
            }
        };
        Ok(Self {
            engine,
            key: stored,
            origin,
            floor,
            quiet,
            is_vouched_for: false,
            is_staged: false,
            is_closed: false,
        })
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
    /// [`SignRecordError::WrongKey`] names both; [`SignRecordError::Condemned`] if the key must never sign again.
    pub(super) fn check_key(&self, key: &BlsPublicKey) -> Result<(), SignRecordError> {
        check_key(&self.engine, &self.key, key)?;
        self.check_condemned()
    }

    /// Refuses a record of a key that contradicted itself.
    fn check_condemned(&self) -> Result<(), SignRecordError> {
        match self.engine.get(META, CONDEMNED)? {
            None => Ok(()),
            Some(why) => {
                let why = String::from_utf8_lossy(&why).into_owned();
                Err(SignRecordError::Condemned { path: self.engine.path().into(), why })
            }
        }
    }

    /// Ends all signing with this key, durably and for good: `why` names two statements of it that contradict each other.
    ///
    /// # Errors
    /// [`SignRecordError`] if it is not on the disk.
    pub(super) fn condemn(&mut self, why: &str) -> Result<(), SignRecordError> {
        self.write_synced(vec![Edit::Put(META, CONDEMNED.into(), why.into())])?;
        self.is_closed = true;
        Ok(())
    }

    /// Ties the record to the chain that it is first used for, durably. Votes of two chains would not conflict, but their
    /// records would.
    ///
    /// # Errors
    /// [`SignRecordError::OtherChain`] if it is tied to another one.
    pub(super) fn bind(&mut self, domain: &Domain) -> Result<(), SignRecordError> {
        match self.domain()? {
            None => {
                let bytes = self.domain_bytes(domain)?;
                Ok(self.engine.write(vec![Edit::Put(META, DOMAIN.into(), bytes)], Durability::Synced)?)
            }
            Some(stored) if stored == *domain => Ok(()),
            Some(stored) => {
                let (stored, asked) = (Box::new(stored), Box::new(*domain));
                Err(SignRecordError::OtherChain { path: self.engine.path().into(), stored, asked })
            }
        }
    }

    /// Settles, durably and once, in which epoch a record that must listen does so: the one whose quorum was heard out.
    ///
    /// What L1 or our own ledger calls the running epoch can be long over, and the key may have spoken in later ones. An
    /// epoch whose quorum is connected and has nothing newer to tell is the one that runs.
    ///
    /// # Errors
    /// [`SignRecordError`] if it is not on the disk.
    pub(super) fn settle_listening(&mut self, heard_out: Epoch) -> Result<(), SignRecordError> {
        if !self.origin.must_listen() || self.quiet.is_some() {
            return Ok(());
        }
        self.write_synced(vec![Edit::Put(META, QUIET.into(), be(heard_out.get()).into())])?;
        self.quiet = Some(heard_out);
        Ok(())
    }

    /// Begins to listen, durably, because the operator doubts that the record holds everything. Nothing of it is forgotten.
    ///
    /// # Errors
    /// [`SignRecordError`] if it is not on the disk.
    pub fn listen(&mut self) -> Result<(), SignRecordError> {
        self.change_origin(RecordOrigin::Listening)
    }

    /// Returns whether nothing may be signed in `epoch`, because statements of it may be missing.
    #[must_use]
    pub fn listens_in(&self, epoch: Epoch) -> bool {
        self.origin.must_listen() && self.quiet.is_none_or(|quiet| epoch <= quiet)
    }

    /// Ends listening, durably, because the operator vouches that nothing is missing. That it does so now, until this process
    /// ends, also lets the record take up what others know.
    ///
    /// # Errors
    /// [`SignRecordError`] if it is not on the disk.
    pub fn vouch(&mut self) -> Result<(), SignRecordError> {
        if self.origin.must_listen() {
            self.change_origin(RecordOrigin::Override)?;
        }
        self.is_vouched_for = true;
        Ok(())
    }

    /// Returns whether the operator vouched for the record since this process has it. At a later start it may be an old copy of
    /// what it was then.
    pub(super) const fn is_vouched_for(&self) -> bool {
        self.is_vouched_for
    }

    /// Takes up, durably, what a signature of this key shows that it said, and returns whether the record accounts for it now.
    /// It does not if nobody vouches for the record, or if the statement contradicts another one.
    ///
    /// Only before anything new is signed in this process: until then the two may be words of one former life, in any order.
    ///
    /// # Errors
    /// [`SignRecordError`] if it is not on the disk.
    pub(super) fn take_up(&mut self, shown: &Statement) -> Result<bool, SignRecordError> {
        if self.accounts_for(shown)? {
            return Ok(true);
        }
        if !self.is_vouched_for || self.is_closed {
            return Ok(false);
        }
        if self.related(shown)?.iter().any(|recorded| contradict(recorded, shown)) {
            return Ok(false);
        }
        self.write_synced(self.edits(shown))?;
        Ok(true)
    }

    fn change_origin(&mut self, origin: RecordOrigin) -> Result<(), SignRecordError> {
        self.write_synced(vec![Edit::Put(META, ORIGIN.into(), vec![origin.code()]), Edit::Delete(META, QUIET.into())])?;
        (self.origin, self.quiet) = (origin, None);
        Ok(())
    }

    fn write_synced(&mut self, edits: Vec<Edit>) -> Result<(), SignRecordError> {
        self.engine.write(edits, Durability::Synced).map_err(|error| {
            self.is_closed = true;
            error.into()
        })
    }

    fn domain(&self) -> Result<Option<Domain>, SignRecordError> {
        let Some(bytes) = self.engine.get(META, DOMAIN)? else { return Ok(None) };
        let stored = serde_json::from_slice(&bytes);
        Ok(Some(stored.map_err(|error| self.engine.damaged(format!("its chain does not decode: {error}")))?))
    }

    fn domain_bytes(&self, domain: &Domain) -> Result<Vec<u8>, SignRecordError> {
        let bytes = serde_json::to_vec(domain);
        Ok(bytes.map_err(|error| self.engine.damaged(format!("its chain cannot be written: {error}")))?)
    }

    /// Records all of `statements`, durably and with at most one sync, or none of them. Those recorded before cost nothing.
    ///
    /// # Errors
    /// [`SignError`] if one of them may not be signed, or is not known to be on the disk.
    pub(super) fn record(&mut self, statements: &[Statement]) -> Result<(), SignError> {
        self.stage(statements)?;
        self.sync()
    }

    /// Records all of `statements`, or none of them, so that nothing that contradicts them is recorded later. The disk has
    /// them when [`Self::sync`] has returned; no signature may be shown to anybody before.
    ///
    /// # Errors
    /// See [`Self::record`].
    pub(super) fn stage(&mut self, statements: &[Statement]) -> Result<(), SignError> {
        if self.is_closed {
            return Err(SignError::Closed);
        }
        let mut fresh: Vec<Statement> = Vec::new();
        for asked in statements {
            if self.listens_in(asked.epoch()) {
                return Err(SignError::Listening { asked: Box::new(*asked) });
            }
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
        self.is_staged = true;
        self.engine.write(edits, Durability::Buffered).map_err(|error| self.closed_by(error))
    }

    /// Waits until the disk has every statement that was staged; at once if it has.
    ///
    /// # Errors
    /// [`SignError`] if that is not known: nothing is signed any more.
    pub(super) fn sync(&mut self) -> Result<(), SignError> {
        if self.is_closed {
            return Err(SignError::Closed);
        }
        if self.is_staged {
            self.engine.sync().map_err(|error| self.closed_by(error))?;
            self.is_staged = false;
        }
        Ok(())
    }

    fn closed_by(&mut self, error: EngineError) -> SignError {
        self.is_closed = true;
        SignError::Record(error.into())
    }

    /// Returns whether the key may have said this as far as the record goes: exactly this statement is recorded, or it lies
    /// below what is remembered. A certificate that carries our bit for one that is not accounted for shows that the record
    /// is stale or that somebody else has the key.
    ///
    /// # Errors
    /// [`SignRecordError`] if the record cannot be read.
    pub fn accounts_for(&self, statement: &Statement) -> Result<bool, SignRecordError> {
        Ok(self.is_forgotten(statement) || self.is_recorded(statement)?)
    }

    /// Returns whether exactly this statement is recorded.
    ///
    /// # Errors
    /// [`SignRecordError`] if the record cannot be read.
    pub(super) fn is_recorded(&self, statement: &Statement) -> Result<bool, SignRecordError> {
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
        self.engine.write(edits, Durability::Synced).map_err(|error| self.closed_by(error))?;
        self.floor = (epoch, view);
        Ok(())
    }

    /// Returns whether votes of its view are no longer remembered; attestations always are.
    fn is_forgotten(&self, statement: &Statement) -> bool {
        statement.view().is_some_and(|view| (statement.epoch(), view) < self.floor)
    }

    fn check_floor(&self, asked: &Statement) -> Result<(), SignError> {
        let (epoch, view) = self.floor;
        if self.is_forgotten(asked) {
            return Err(SignError::Forgotten { asked: Box::new(*asked), epoch, view });
        }
        Ok(())
    }

    /// Returns every recorded statement that could stand against `asked`.
    fn related(&self, asked: &Statement) -> Result<Vec<Statement>, SignRecordError> {
        let mut related = Vec::new();
        for Place { family, from, to, entries_max, .. } in places(asked) {
            for (key, bytes) in self.engine.scan(family, &from, &to, Order::Ascending, entries_max)? {
                related.push(self.decode(family, &key, &bytes)?);
            }
        }
        Ok(related)
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
            Self::Imported => 2,
            Self::Listening => 3,
        }
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0] => Some(Self::KeysNew),
            [1] => Some(Self::Override),
            [2] => Some(Self::Imported),
            [3] => Some(Self::Listening),
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

/// Where statements lie that could stand against another one: the keys from the first, up to but without the second.
struct Place {
    family: &'static str,
    from: Vec<u8>,
    to: Vec<u8>,
    /// How many of them speak for all.
    entries_max: usize,
    /// Whether `from` is a key under which the statement itself lies a second time.
    second_key: bool,
}

fn places(statement: &Statement) -> Vec<Place> {
    match statement {
        Statement::Attest(attestation) => {
            // All entries of one slot and height name one block and one state root, so the first speaks for all.
            let (from, to) = slot_range(attestation);
            let slot = Place { family: ATTESTATIONS, from, to, entries_max: 1, second_key: false };
            let from = attested_block(attestation);
            let to = [from.as_slice(), &[0]].concat();
            vec![slot, Place { family: ATTESTATIONS, from, to, entries_max: 1, second_key: true }]
        }
        vote => {
            let from = view_key(vote.epoch(), vote.view().unwrap_or_default());
            let to = [from.as_slice(), &[0xff]].concat();
            vec![Place { family: VOTES, from, to, entries_max: usize::MAX, second_key: false }]
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
pub(super) fn short(key: &BlsPublicKey) -> String {
    let bytes = key.as_bytes().get(16..32).unwrap_or_default();
    format!("0x{}…", hex::encode(bytes))
}
