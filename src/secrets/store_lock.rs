//! The lock that keeps two processes on one machine from writing one store at once.
//!
//! A file `.<store>.lock` beside the store, held by the kernel for the life of the process, so that a crash frees it. It
//! names its holder, and is gone once it is released.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::error::StoreError;

const RETRY: Duration = Duration::from_millis(20);

/// Held while the store is written; released when dropped.
#[derive(Debug)]
pub struct StoreLock {
    path: PathBuf,
    _file: File,
}

impl StoreLock {
    /// Takes the lock of the store at `store`, waiting for at most `patience` while another process holds it. Whoever
    /// waits in vain is told `what` the holder does, where that is not empty.
    pub fn acquire(store: &Path, what: &str, patience: Duration) -> Result<Self, StoreError> {
        let name = store.file_name().unwrap_or_default().to_string_lossy();
        let path = store.with_file_name(format!(".{name}.lock"));
        let failed = |source| StoreError::Write { path: path.clone(), source };
        let start = Instant::now();
        loop {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)
                .map_err(failed)?;
            match file.try_lock() {
                // The holder before us deletes the file: what we locked may be a file that nobody else will find.
                Ok(()) if is_at(&file, &path) => {
                    file.set_len(0).map_err(failed)?;
                    file.rewind().map_err(failed)?;
                    let what = if what.is_empty() { String::new() } else { format!(" ({what})") };
                    writeln!(file, "process {}{what}", std::process::id()).map_err(failed)?;
                    return Ok(Self { path, _file: file });
                }
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if start.elapsed() < patience => sleep(RETRY),
                Err(TryLockError::WouldBlock) => {
                    let mut holder = String::new();
                    let _ = file.take(200).read_to_string(&mut holder);
                    let holder = match holder.trim() {
                        "" => "another process".to_owned(),
                        named => named.to_owned(),
                    };
                    return Err(StoreError::Locked { path: store.into(), holder });
                }
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
        }
    }
}

impl Drop for StoreLock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn the_second_is_told_who_holds_it_and_gets_it_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("secrets.age");
        let first = StoreLock::acquire(&store, "a test", Duration::ZERO).unwrap();
        let error = StoreLock::acquire(&store, "a test", Duration::ZERO).unwrap_err();
        assert!(error.to_string().contains(&format!("process {} (a test)", std::process::id())), "{error}");
        drop(first);
        assert!(fs::read_dir(dir.path()).unwrap().next().is_none(), "nothing left behind");
        StoreLock::acquire(&store, "a test", Duration::ZERO).unwrap();
    }

    #[test]
    fn a_lock_file_left_by_a_crash_is_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("secrets.age");
        fs::write(dir.path().join(".secrets.age.lock"), "process 1\n").unwrap();
        StoreLock::acquire(&store, "a test", Duration::ZERO).unwrap();
    }

    #[test]
    fn never_two_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("secrets.age");
        let inside = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let lock = StoreLock::acquire(&store, "a test", Duration::from_secs(60)).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
                        drop(lock);
                    }
                });
            }
        });
    }
}
