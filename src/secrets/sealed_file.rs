//! The store's file: read once, replaced whole, and only if nobody else changed it in between.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::error::StoreError;
use super::store_lock::StoreLock;

const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// A save takes milliseconds: one that goes on for longer is worth an error.
const PATIENCE: Duration = Duration::from_secs(3);
const BEGIN: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
const END: &str = "-----END AGE ENCRYPTED FILE-----";

/// A path, and the hash of what was read there; no hash where no file was.
#[derive(Debug)]
pub(super) struct SealedFile {
    path: PathBuf,
    seen: Option<[u8; 32]>,
    /// Held where the file must stay as it is for longer than a write.
    lock: Option<StoreLock>,
}

impl SealedFile {
    /// A file that is not there yet.
    pub fn absent(path: &Path) -> Result<Self, StoreError> {
        match read(path)? {
            Some(_) => Err(StoreError::Exists(path.into())),
            None => Ok(Self { path: path.into(), seen: None, lock: None }),
        }
    }

    /// Reads the file, and refuses what plainly is no sealed store.
    pub fn read(path: &Path) -> Result<(Self, Vec<u8>), StoreError> {
        // Through a link, so that replacing the file later does not replace the link.
        let path = &fs::canonicalize(path).unwrap_or_else(|_| path.into());
        let bytes = read(path)?.ok_or_else(|| StoreError::Missing(path.into()))?;
        let seen = Some(Sha256::digest(&bytes).into());
        Ok((Self { path: path.into(), seen, lock: None }, recognise(path, bytes)?))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps other processes from writing the file until this is dropped, and refuses where one has done so since it was
    /// read; `what` tells them what is done here.
    pub fn lock(&mut self, what: &str) -> Result<(), StoreError> {
        let lock = StoreLock::acquire(&self.path, what, PATIENCE)?;
        self.unchanged()?;
        self.lock = Some(lock);
        Ok(())
    }

    fn unchanged(&self) -> Result<(), StoreError> {
        let now: Option<[u8; 32]> = read(&self.path)?.map(|bytes| Sha256::digest(bytes).into());
        match (now, self.seen) {
            (Some(_), None) => Err(StoreError::Exists(self.path.clone())),
            (now, seen) if now != seen => Err(StoreError::Changed(self.path.clone())),
            _ => Ok(()),
        }
    }

    /// Puts `bytes` in the file's place in one step: whoever looks sees the old file or the new one, also after a power
    /// cut.
    pub fn replace(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let _lock = match self.lock {
            Some(_) => None,
            None => Some(StoreLock::acquire(&self.path, "", PATIENCE)?),
        };
        self.unchanged()?;
        self.write(bytes).map_err(|source| StoreError::Write { path: self.path.clone(), source })?;
        self.seen = Some(Sha256::digest(bytes).into());
        Ok(())
    }

    fn write(&self, bytes: &[u8]) -> std::io::Result<()> {
        let dir = self.path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Readable by its owner alone from the start; removed on every way out but the last.
        let mut temporary = tempfile::Builder::new().prefix(".secrets.").suffix(".tmp").tempfile_in(dir)?;
        temporary.write_all(bytes)?;
        temporary.as_file().sync_all()?;
        temporary.persist(&self.path).map_err(|failed| failed.error)?;
        // The new file is in place. Some network file systems cannot sync a folder, and that is no reason to call it failed.
        let _ = File::open(dir).and_then(|dir| dir.sync_all());
        Ok(())
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let failed = |source| StoreError::Read { path: path.into(), source };
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(StoreError::TooLarge(path.into()));
    }
    Ok(Some(bytes))
}

/// Tells the usual accidents apart before age is asked, whose words for all of them would be the same.
fn recognise(path: &Path, bytes: Vec<u8>) -> Result<Vec<u8>, StoreError> {
    let damaged = |detail: &str| StoreError::Damaged { path: path.into(), detail: detail.into() };
    if bytes.starts_with(b"age-encryption.org/v1") {
        return Ok(bytes);
    }
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return Err(damaged("it is neither text nor an age file"));
    };
    // The whole shape of a conflict; seven `=` alone could stand in any text.
    if text.lines().any(|line| line.starts_with("<<<<<<< "))
        || text.lines().any(|line| line.starts_with(">>>>>>> "))
    {
        return Err(StoreError::MergeConflict(path.into()));
    }
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(damaged("it is empty"));
    }
    if !trimmed.starts_with(BEGIN) {
        if trimmed.contains(END) || trimmed.contains(BEGIN) {
            return Err(damaged("there is other text before its first line"));
        }
        return Err(StoreError::NotEncrypted(path.into()));
    }
    if !trimmed.contains(END) {
        return Err(damaged("it is cut short, the last line is missing"));
    }
    Ok(bytes)
}
