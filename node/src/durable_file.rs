//! Small files that are there whole or not at all.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// Writes a file whole or not at all: beside, synced, renamed, and the folder synced.
///
/// # Errors
/// Any step's; the file is then the former one, or the new one without the promise that it survives a power cut.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = beside(path);
    let file = fs::File::create(&beside)?;
    replace(path, &beside, file, bytes)
}

/// As [`write()`], with mode 0600 from the first byte on.
///
/// # Errors
/// As [`write()`].
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = beside(path);
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        // An interrupted attempt's, whose mode could be another.
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&beside)?;
    replace(path, &beside, file, bytes)
}

/// Names the file that becomes `path`: its name and ".new".
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

fn replace(path: &Path, beside: &Path, mut file: fs::File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(beside, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
