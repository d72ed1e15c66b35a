//! The journal's file.

use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// Where a journal is written; a test puts one that fails in its place.
pub(crate) trait Disk: Send {
    /// Appends to the file. On return all of it is on the disk.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Puts a new file in the place of the old one, whole or not at all. On return all of it is on the disk.
    fn replace(&mut self, chunks: &mut dyn Iterator<Item = Vec<u8>>) -> io::Result<()>;
}

/// A file in the data folder.
pub(crate) struct FileDisk {
    path: PathBuf,
    /// Open once it was written anew by this process.
    file: Option<File>,
}

impl FileDisk {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }
}

impl Disk for FileDisk {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = self.file.as_mut().ok_or_else(|| io::Error::other("the journal is not open for writing"))?;
        file.write_all(bytes)?;
        file.sync_data()
    }

    fn replace(&mut self, chunks: &mut dyn Iterator<Item = Vec<u8>>) -> io::Result<()> {
        self.file = None;
        let beside = self.path.with_extension("new");
        let mut file = File::create(&beside)?;
        for chunk in chunks {
            file.write_all(&chunk)?;
        }
        file.sync_all()?;
        std::fs::rename(&beside, &self.path)?;
        File::open(self.path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
        // The same file under its new name, written on from its end.
        self.file = Some(file);
        Ok(())
    }
}
