//! A folder for decrypted text that an editor works on: in memory, its owner's alone, and gone with this process.
//!
//! It lies on a tmpfs, so nothing reaches a disk (but swap, as all memory may). A small shell beside this process holds
//! the other end of a pipe and removes the folder once the pipe closes, which the kernel does also when this process is
//! killed. Should that shell be killed with it, the next folder that is made removes what was left.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use thiserror::Error;
use zeroize::Zeroizing;

const WATCH: &str = include_str!("memory_folder.sh");
const PREFIX: &str = "deploy-secrets-";
/// As much as a store may be.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The folder, while it is needed.
#[derive(Debug)]
pub struct MemoryFolder {
    path: PathBuf,
    watcher: Child,
    /// Held as long as this process lives.
    _lock: File,
}

/// Why there is no such folder.
#[derive(Debug, Error)]
pub enum MemoryFolderError {
    /// No folder of this machine is known to lie in memory.
    #[error(
        "this machine has no folder in memory (tmpfs) to edit in, and decrypted text is not written to a disk"
    )]
    NoMemory,
    /// The folder, or what watches over it, could not be made.
    #[error("cannot make a folder to edit in below {path}")]
    Make {
        /// The tmpfs.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl MemoryFolder {
    /// Makes a folder on the first tmpfs of `XDG_RUNTIME_DIR` and `/dev/shm`, and clears away what a killed machine or
    /// shell left of others.
    pub fn new(env: impl Fn(&str) -> Option<String>) -> Result<Self, MemoryFolderError> {
        let places = env("XDG_RUNTIME_DIR").map(PathBuf::from).into_iter().chain(["/dev/shm".into()]);
        let base = places.into_iter().find(|place| is_memory(place)).ok_or(MemoryFolderError::NoMemory)?;
        sweep(&base);
        Self::below(&base).map_err(|source| MemoryFolderError::Make { path: base, source })
    }

    fn below(base: &Path) -> io::Result<Self> {
        let name = format!("{PREFIX}{:016x}", rand::random::<u64>());
        let path = base.join(&name);
        // Watched before it is there; in a group of its own, which a signal to ours does not reach.
        let watcher = Command::new("sh")
            .args(["-c", WATCH, "sh"])
            .arg(&path)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        // Locked before it has the name that others look for: whoever finds it unlocked may remove it.
        let new = base.join(format!(".{name}"));
        DirBuilder::new().mode(0o700).create(&new)?;
        let lock = File::open(&new)?;
        lock.try_lock()?;
        fs::rename(&new, &path)?;
        Ok(Self { path, watcher, _lock: lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file that its owner alone may read, and returns its path.
    pub fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        file.write_all(text.as_bytes())?;
        Ok(path)
    }

    /// Reads a file of the folder, which an editor may have replaced.
    pub fn read(&self, path: &Path) -> io::Result<Zeroizing<String>> {
        let file = File::open(path)?;
        let size = file.metadata()?.len().min(MAX_BYTES);
        // Room for all of it: a text that grows leaves copies behind that are not wiped.
        let mut text = Zeroizing::new(String::with_capacity(usize::try_from(size).unwrap_or(0) + 1));
        file.take(MAX_BYTES).read_to_string(&mut text)?;
        Ok(text)
    }

    /// Names the process that works in the folder, so that it is told to end when the folder goes; none while none does.
    pub fn worker(&mut self, process: Option<u32>) -> io::Result<()> {
        let line = process.map_or_else(String::new, |process| process.to_string());
        let pipe = self.watcher.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        writeln!(pipe, "{line}")
    }
}

impl Drop for MemoryFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
        drop(self.watcher.stdin.take());
        let _ = self.watcher.wait();
    }
}

/// Removes the folders of processes that are gone.
fn sweep(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if ours && is_folder && File::open(entry.path()).is_ok_and(|folder| folder.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(target_os = "linux")]
fn is_memory(path: &Path) -> bool {
    /// `TMPFS_MAGIC` and `RAMFS_MAGIC` of `linux/magic.h`.
    const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];
    let kind = rustix::fs::statfs(path).ok().and_then(|found| u64::try_from(found.f_type).ok());
    kind.is_some_and(|kind| IN_MEMORY.contains(&kind))
}

#[cfg(not(target_os = "linux"))]
fn is_memory(_: &Path) -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_private_and_gone_when_it_is_dropped() {
        let mut folder = MemoryFolder::new(|_| None).unwrap();
        let path = folder.path().to_owned();
        let file = folder.write("a.yaml", "hunter2").unwrap();
        assert_eq!(folder.read(&file).unwrap().as_str(), "hunter2");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&file)), (0o700, 0o600));
        folder.worker(Some(std::process::id())).unwrap();
        folder.worker(None).unwrap();
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn what_others_left_is_removed_and_what_they_use_is_not() {
        let base = tempfile::tempdir_in("/dev/shm").unwrap();
        let left = base.path().join(format!("{PREFIX}left"));
        fs::create_dir(&left).unwrap();
        fs::write(left.join("a.yaml"), "hunter2").unwrap();
        let used = MemoryFolder::below(base.path()).unwrap();
        sweep(base.path());
        assert!(!left.exists() && used.path().exists());
    }

    #[test]
    fn a_disk_is_not_memory() {
        assert!(is_memory(Path::new("/dev/shm")));
        assert!(!is_memory(Path::new("/proc")) && !is_memory(Path::new("/nowhere")));
    }
}
