//! `baton keys`: a sequencer's keys, made once and shown by their public parts.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use alloy::signers::local::PrivateKeySigner;
use alloy_primitives::Address;
use baton_consensus::SecretKey;
use baton_proto::BlsPublicKey;
use clap::{Args, Subcommand};
use libp2p::PeerId;

use super::CliError;
use crate::{
    config::{
        SIGN_RECORD_DIR_NAME,
        account_key::{self, AccountKeyError},
    },
    p2p::{IdentityError, load_identity, load_or_create_identity},
    signer::{
        SignRecord, SignRecordError,
        interchange::{self, InterchangeError},
        keyfile,
    },
};

/// Arguments of `baton keys`.
#[derive(Clone, Debug, Args)]
pub struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum KeysCommand {
    /// Make all keys of a new sequencer in a folder, with an empty and complete sign record, and print their public parts.
    /// Nothing is ever overwritten.
    New(FolderArgs),
    /// Make a consensus key for a sequencer to change to, in a folder of its own, with an empty and complete sign record, and
    /// print its public part. Nothing is ever overwritten.
    Next(FolderArgs),
    /// Print the public parts of the keys in a folder.
    Show(FolderArgs),
    /// Write the sign record of a stopped node to one file, whole or not at all, to move the key to another machine: stop
    /// the node, export, move the keys and the file, import there, and never start the old one again.
    ExportRecord(RecordArgs),
    /// Add an exported sign record to the one of this folder's key, which is made if there is none; nothing that either
    /// holds is forgotten. What the exporting node may have signed later nobody knows here, so the node signs nothing in the
    /// running epoch, unless `baton node --accept-missing-sign-record` vouches that it stayed stopped.
    ImportRecord(RecordArgs),
}

#[derive(Clone, Debug, Args)]
struct RecordArgs {
    #[command(flatten)]
    folder: FolderArgs,
    /// Folder of the sign record. Default: `sign-record` in the folder of the keys.
    #[arg(long, env = "BATON_SIGN_RECORD_DIR")]
    sign_record_dir: Option<PathBuf>,
    /// The file, JSON in the shape of EIP-3076. An earlier export of the same key is replaced, nothing else.
    #[arg(long)]
    file: PathBuf,
}

#[derive(Clone, Debug, Args)]
struct FolderArgs {
    /// Folder of the keys.
    #[arg(long, env = "BATON_KEYS_DIR")]
    dir: PathBuf,
}

impl RecordArgs {
    /// Returns where the record is, and whose it must be.
    fn record(&self) -> Result<(PathBuf, BlsPublicKey), KeysError> {
        let files = KeyFiles::of(&self.folder.dir);
        let key = keyfile::load(&files.consensus)?.public_key();
        Ok((self.sign_record_dir.clone().unwrap_or(files.sign_record), key))
    }
}

/// Why keys are not made or shown, or a record not moved.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum KeysError {
    #[error("{} exists already; keys are never overwritten, because a bonded key that is lost cannot be replaced at once", .0.display())]
    Exists(PathBuf),
    #[error("{}: {error}", path.display())]
    Folder { path: PathBuf, error: io::Error },
    #[error(transparent)]
    Consensus(#[from] keyfile::KeyFileError),
    #[error(transparent)]
    Account(#[from] AccountKeyError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    SignRecord(#[from] SignRecordError),
    #[error(transparent)]
    Interchange(#[from] InterchangeError),
}

impl KeysError {
    /// Returns the process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Exists(_) => CliError::USAGE,
            Self::Folder { .. } | Self::Consensus(_) | Self::Account(_) | Self::Identity(_) | Self::SignRecord(_) => {
                CliError::RUNTIME
            }
            Self::Interchange(error) => error.exit_code(),
        }
    }
}

/// Where the keys of one sequencer lie in their folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFiles {
    /// The BLS key.
    pub consensus: PathBuf,
    /// The ed25519 identity.
    pub identity: PathBuf,
    /// The account that pays for batches.
    pub poster: PathBuf,
    /// The account that pays for evidence.
    pub evidence: PathBuf,
    /// The record of what the BLS key signed; a folder.
    pub sign_record: PathBuf,
}

impl KeyFiles {
    /// Names the files in `dir`; none has to exist.
    #[must_use]
    pub fn of(dir: &Path) -> Self {
        Self {
            consensus: dir.join("consensus.key"),
            identity: dir.join("p2p.key"),
            poster: dir.join("poster.key"),
            evidence: dir.join("evidence.key"),
            sign_record: dir.join(SIGN_RECORD_DIR_NAME),
        }
    }

    fn existing(&self) -> Option<&PathBuf> {
        let Self { consensus, identity, poster, evidence, sign_record } = self;
        [consensus, identity, poster, evidence, sign_record].into_iter().find(|path| path.exists())
    }
}

/// All keys of one sequencer, secrets included.
pub struct SequencerKeys {
    /// Where they are.
    pub files: KeyFiles,
    /// The BLS key.
    pub consensus: SecretKey,
    /// By which peers know the node.
    pub peer_id: PeerId,
    /// Pays for batches.
    pub poster: PrivateKeySigner,
    /// Pays for evidence.
    pub evidence: PrivateKeySigner,
}

impl SequencerKeys {
    /// Returns what may be shown.
    #[must_use]
    pub fn public(&self) -> PublicKeys {
        PublicKeys {
            consensus: self.consensus.public_key(),
            peer_id: self.peer_id,
            poster: self.poster.address(),
            evidence: self.evidence.address(),
        }
    }
}

/// The public parts of a sequencer's keys. Prints as TOML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKeys {
    /// The BLS key, as the registry takes it.
    pub consensus: BlsPublicKey,
    /// By which peers know the node.
    pub peer_id: PeerId,
    /// Account that pays for batches.
    pub poster: Address,
    /// Account that pays for evidence.
    pub evidence: Address,
}

impl fmt::Display for PublicKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "consensus_public_key = \"{}\"", self.consensus)?;
        writeln!(f, "peer_id = \"{}\"", self.peer_id)?;
        writeln!(f, "poster_account = \"{}\"", self.poster)?;
        write!(f, "evidence_account = \"{}\"", self.evidence)
    }
}

/// Makes all keys of a new sequencer in `dir`, which is made if missing, with an empty and complete sign record.
///
/// # Errors
/// [`KeysError::Exists`] if there is any of them already: then nothing is made.
pub fn create(dir: &Path) -> Result<SequencerKeys, KeysError> {
    let files = KeyFiles::of(dir);
    if let Some(path) = files.existing() {
        return Err(KeysError::Exists(path.clone()));
    }
    make_private(dir).map_err(|error| KeysError::Folder { path: dir.to_owned(), error })?;
    let consensus = create_consensus(&files.consensus, &files.sign_record)?;
    let peer_id = load_or_create_identity(&files.identity)?.public().to_peer_id();
    let poster = account_key::create(&files.poster)?;
    let evidence = account_key::create(&files.evidence)?;
    Ok(SequencerKeys { files, consensus, peer_id, poster, evidence })
}

/// Makes a consensus key in `dir`, which is made if missing, with an empty and complete sign record: what a sequencer changes
/// its key to.
///
/// # Errors
/// [`KeysError::Exists`] if there is either already: then nothing is made.
pub fn create_next(dir: &Path) -> Result<SecretKey, KeysError> {
    let KeyFiles { consensus, sign_record, .. } = KeyFiles::of(dir);
    if let Some(path) = [&consensus, &sign_record].into_iter().find(|path| path.exists()) {
        return Err(KeysError::Exists(path.clone()));
    }
    make_private(dir).map_err(|error| KeysError::Folder { path: dir.to_owned(), error })?;
    create_consensus(&consensus, &sign_record)
}

fn create_consensus(file: &Path, sign_record: &Path) -> Result<SecretKey, KeysError> {
    let key = keyfile::create(file)?;
    // A key whose record is missing signs nothing, so a crash between the two is safe.
    drop(SignRecord::create(sign_record, &key.public_key())?);
    Ok(key)
}

/// Reads the keys in `dir`. The sign record is left alone: a running node holds it.
///
/// # Errors
/// [`KeysError`] for the first that cannot be read.
pub fn load(dir: &Path) -> Result<SequencerKeys, KeysError> {
    let files = KeyFiles::of(dir);
    Ok(SequencerKeys {
        consensus: keyfile::load(&files.consensus)?,
        peer_id: load_identity(&files.identity)?.public().to_peer_id(),
        poster: account_key::load(&files.poster)?,
        evidence: account_key::load(&files.evidence)?,
        files,
    })
}

pub(super) fn run(args: KeysArgs) -> Result<(), KeysError> {
    match args.command {
        KeysCommand::New(FolderArgs { dir }) => println!("{}", create(&dir)?.public()),
        KeysCommand::Next(FolderArgs { dir }) => {
            println!("consensus_public_key = \"{}\"", create_next(&dir)?.public_key());
        }
        KeysCommand::Show(FolderArgs { dir }) => println!("{}", load(&dir)?.public()),
        KeysCommand::ExportRecord(args) => {
            let (record, key) = args.record()?;
            let statements = interchange::export_record(&record, &key, &args.file)?;
            println!("exported {statements} statements to {}", args.file.display());
        }
        KeysCommand::ImportRecord(args) => {
            let (record, key) = args.record()?;
            let statements = interchange::import_record(&record, &key, &args.file)?;
            match statements {
                0 => println!("nothing of it is new to {}", record.display()),
                _ => println!("imported {statements} statements that {} did not hold", record.display()),
            }
        }
    }
    Ok(())
}

/// Makes a folder that its owner alone can enter; one that exists stays as it is.
fn make_private(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_keys_are_complete_and_private_and_read_back() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("a").join("keys");
        let made = create(&dir).unwrap();
        assert_eq!(load(&dir).unwrap().public(), made.public());
        assert_ne!(made.poster.address(), made.evidence.address());
        // The record is complete: the node starts with it and needs no override.
        drop(SignRecord::open(&made.files.sign_record, &made.consensus.public_key()).unwrap());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            let KeyFiles { consensus, identity, poster, evidence, .. } = &made.files;
            assert!([consensus, identity, poster, evidence].into_iter().all(|path| mode(path) == 0o600));
            assert_eq!(mode(&dir), 0o700);
        }
    }

    #[test]
    fn no_key_is_overwritten_and_nothing_is_made_beside_one() {
        let dir = tempfile::tempdir().unwrap();
        let files = KeyFiles::of(dir.path());
        account_key::create(&files.evidence).unwrap();
        let kept = fs::read(&files.evidence).unwrap();
        let error = create(dir.path()).err().unwrap();
        assert!(matches!(&error, KeysError::Exists(path) if *path == files.evidence), "{error}");
        assert_eq!(error.exit_code(), 2);
        assert_eq!(fs::read(&files.evidence).unwrap(), kept);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_printed_holds_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let made = create(dir.path()).unwrap();
        let printed = made.public().to_string();
        for path in [&made.files.consensus, &made.files.identity, &made.files.poster, &made.files.evidence] {
            let secret = fs::read_to_string(path).unwrap();
            assert!(!printed.contains(secret.trim()), "{}", path.display());
        }
        assert!(printed.contains(&made.peer_id.to_string()));
        toml::from_str::<toml::Table>(&printed).unwrap();
    }
}
