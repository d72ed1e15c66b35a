//! The key that proves a node's address in the network: apart from the consensus key, and worth nothing on L1.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use libp2p::identity::Keypair;
use zeroize::Zeroizing;

/// Why an identity file is not usable.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum IdentityError {
    #[error("cannot read or write the network identity {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("network identity {path} must be 64 hex digits (an ed25519 seed), got {got} bytes of something else")]
    Malformed { path: PathBuf, got: usize },
}

/// Reads the ed25519 seed (64 hex digits) at `path`; makes a new one, readable by its owner only, if there is no file.
///
/// # Errors
/// [`IdentityError`]: the file cannot be read, written or understood. An existing file is never replaced.
pub fn load_or_create_identity(path: &Path) -> Result<Keypair, IdentityError> {
    match load_identity(path) {
        Err(IdentityError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => create_identity(path),
        result => result,
    }
}

/// Reads the ed25519 seed (64 hex digits) at `path`.
///
/// # Errors
/// [`IdentityError`]: the file cannot be read or understood.
pub fn load_identity(path: &Path) -> Result<Keypair, IdentityError> {
    let failed = |source| IdentityError::Io { path: path.to_owned(), source };
    let text = Zeroizing::new(fs::read(path).map_err(failed)?);
    let malformed = || IdentityError::Malformed { path: path.to_owned(), got: text.len() };
    let mut seed = Zeroizing::new([0_u8; 32]);
    hex::decode_to_slice(text.trim_ascii(), seed.as_mut_slice()).map_err(|_| malformed())?;
    Keypair::ed25519_from_bytes(seed.as_mut_slice()).map_err(|_| malformed())
}

fn create_identity(path: &Path) -> Result<Keypair, IdentityError> {
    let failed = |source| IdentityError::Io { path: path.to_owned(), source };
    let mut seed = Zeroizing::new(rand::random::<[u8; 32]>());
    let text = Zeroizing::new(hex::encode(seed.as_slice()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(failed)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.sync_all())
        .map_err(failed)?;
    // Without its folder's entry on disk, a crash could give the node another identity than the one it printed.
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    }
    Ok(Keypair::ed25519_from_bytes(seed.as_mut_slice()).expect("any 32 bytes are an ed25519 seed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_file_gives_the_same_peer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity");
        let first = load_or_create_identity(&path).unwrap().public().to_peer_id();
        assert_eq!(load_or_create_identity(&path).unwrap().public().to_peer_id(), first);
        assert_eq!(load_identity(&path).unwrap().public().to_peer_id(), first);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_damaged_file_is_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity");
        fs::write(&path, "abcd").unwrap();
        assert!(matches!(load_or_create_identity(&path), Err(IdentityError::Malformed { got: 4, .. })));
        assert_eq!(fs::read(&path).unwrap(), b"abcd");
        assert!(matches!(load_identity(&folder.path().join("none")), Err(IdentityError::Io { .. })));
    }
}
