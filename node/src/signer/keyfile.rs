//! The file of the consensus key: 32 bytes in hex, readable by its owner alone.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use baton_consensus::SecretKey;
use zeroize::Zeroizing;

/// Longest file: 0x, 64 digits, and room for a line end.
const FILE_BYTES_MAX: u64 = 80;

/// Why a key file cannot be used. Its contents never appear in a message.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum KeyFileError {
    #[error("key file {}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("key file {} can be read by others (mode {mode:o}): run chmod 600 on it", path.display())]
    Exposed { path: PathBuf, mode: u32 },
    #[error("key file {} does not hold a consensus key: 64 hex digits of a BLS12-381 secret", path.display())]
    Malformed { path: PathBuf },
}

/// Reads a key.
///
/// # Errors
/// [`KeyFileError`]: unreadable, readable by others, or not a key.
pub fn load(path: &Path) -> Result<SecretKey, KeyFileError> {
    let failed = |error| KeyFileError::Io { path: path.into(), error };
    let malformed = || KeyFileError::Malformed { path: path.into() };
    let metadata = fs::metadata(path).map_err(failed)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyFileError::Exposed { path: path.into(), mode });
        }
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(malformed());
    }
    let text = Zeroizing::new(fs::read(path).map_err(failed)?);
    let digits = text.trim_ascii();
    let digits = digits.strip_prefix(b"0x").unwrap_or(digits);
    let mut secret = Zeroizing::new([0_u8; 32]);
    hex::decode_to_slice(digits, secret.as_mut_slice()).map_err(|_| malformed())?;
    SecretKey::from_bytes(&secret).map_err(|_| malformed())
}

/// Makes a new key and writes it as [`write()`] does.
///
/// # Errors
/// [`KeyFileError::Io`]: the file exists or cannot be written.
pub fn create(path: &Path) -> Result<SecretKey, KeyFileError> {
    let randomness = Zeroizing::new(rand::random::<[u8; 32]>());
    let key = SecretKey::generate(&randomness);
    write(path, &key)?;
    Ok(key)
}

/// Writes a key, durably and with mode 0600, to a file that does not exist yet.
///
/// # Errors
/// [`KeyFileError::Io`]: the file exists or cannot be written.
pub fn write(path: &Path, key: &SecretKey) -> Result<(), KeyFileError> {
    let text = Zeroizing::new(hex::encode(key.to_bytes().as_slice()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let write = || -> io::Result<()> {
        let mut file = options.open(path)?;
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        // A key that is bonded and then lost with its folder's entry could not even be withdrawn from duty in order.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(|error| KeyFileError::Io { path: path.into(), error })
}
