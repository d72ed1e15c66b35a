//! Key files of L1 accounts: 32 bytes in hex, readable by their owner alone.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use alloy::signers::local::PrivateKeySigner;
use alloy_primitives::{B256, hex};
use zeroize::Zeroizing;

/// Longest file: 0x, 64 digits, and a line end.
const FILE_BYTES_MAX: u64 = 80;

/// Why a key file cannot be used. The contents never appear in a message.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum AccountKeyError {
    #[error("key file {path}: {error}")]
    Io { path: PathBuf, error: io::Error },
    #[error("key file {path} can be read by others (mode {mode:o}); make it 600")]
    Exposed { path: PathBuf, mode: u32 },
    #[error("key file {path} does not hold a secp256k1 key of 32 bytes in hex")]
    Malformed { path: PathBuf },
}

/// Reads a key.
///
/// # Errors
/// [`AccountKeyError`]: unreadable, readable by others, or not a key.
pub fn load(path: &Path) -> Result<PrivateKeySigner, AccountKeyError> {
    let io_error = |error| AccountKeyError::Io { path: path.to_owned(), error };
    let malformed = || AccountKeyError::Malformed { path: path.to_owned() };
    let metadata = fs::metadata(path).map_err(io_error)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(AccountKeyError::Exposed { path: path.to_owned(), mode });
        }
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(malformed());
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(io_error)?);
    let mut bytes = Zeroizing::new([0_u8; 32]);
    hex::decode_to_slice(text.trim(), bytes.as_mut_slice()).map_err(|_| malformed())?;
    PrivateKeySigner::from_slice(bytes.as_slice()).map_err(|_| malformed())
}

/// Makes a new key and writes it, mode 0600, to a file that must not exist yet.
///
/// # Errors
/// [`AccountKeyError::Io`]: the file exists or cannot be written.
pub fn create(path: &Path) -> Result<PrivateKeySigner, AccountKeyError> {
    let signer = PrivateKeySigner::random();
    write(path, &signer)?;
    Ok(signer)
}

/// Writes a key, mode 0600, to a file that must not exist yet.
///
/// # Errors
/// [`AccountKeyError::Io`]: the file exists or cannot be written.
pub fn write(path: &Path, signer: &PrivateKeySigner) -> Result<(), AccountKeyError> {
    let secret: Zeroizing<[u8; 32]> = Zeroizing::new(B256::from(signer.to_bytes()).0);
    let text = Zeroizing::new(format!("{}\n", hex::encode(secret.as_slice())));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let written = options.open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| AccountKeyError::Io { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_key_reads_back_and_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("poster.key");
        let made = create(&path).unwrap();
        assert_eq!(load(&path).unwrap().address(), made.address());
        assert!(
            matches!(create(&path), Err(AccountKeyError::Io { error, .. }) if error.kind() == io::ErrorKind::AlreadyExists)
        );
        assert_eq!(load(&path).unwrap().address(), made.address());
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("poster.key");
        create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(load(&path), Err(AccountKeyError::Exposed { mode: 0o640, .. })));
    }

    #[test]
    fn what_is_not_a_key_is_refused_without_being_shown() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("short", "abcd"), ("zero", &"0".repeat(64)), ("words", "correct horse battery staple")] {
            let path = dir.path().join(name);
            let made = create(&path).unwrap();
            drop(made);
            fs::write(&path, text).unwrap();
            let error = load(&path).unwrap_err();
            assert!(matches!(error, AccountKeyError::Malformed { .. }), "{error}");
            assert!(!error.to_string().contains(text));
        }
    }
}
