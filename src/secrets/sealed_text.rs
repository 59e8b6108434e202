//! A text of its own in an age file, sealed as the store is: a saved plan.

use std::io::Write;
use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

use super::identity::Identity;
use super::seal::{self, OpenFailure, Seal};

/// Most bytes that are read.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Why a sealed text could not be written or opened.
#[derive(Debug, Error)]
pub enum SealedTextError {
    /// It cannot be read.
    #[error("{path} cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It cannot be written.
    #[error("{path} cannot be written")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It was not sealed.
    #[error("the text could not be sealed: {0}")]
    Sealing(String),
    /// Anything but a sealed text.
    #[error("{0} was not sealed by `deploy`")]
    NotSealed(PathBuf),
    /// It opens, and what is in it is not whole.
    #[error("{path} is damaged: {why}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// It does not open.
    #[error("{path} does not open with {origin}: {why}")]
    Closed {
        /// The file.
        path: PathBuf,
        /// Where the identity came from.
        origin: String,
        /// What is wrong.
        why: String,
    },
}

/// Writes `text` to `path`, readable by those whom `seal` names and, on this machine, by its owner alone.
pub fn write_sealed(path: &Path, seal: &Seal, text: &str) -> Result<(), SealedTextError> {
    if !seal.is_sound() {
        return Err(SealedTextError::Sealing("it needs at least one recipient, or a passphrase".into()));
    }
    let sealed = seal.close(text).map_err(|error| SealedTextError::Sealing(error.to_string()))?;
    // What a link leads to is written, and a pipe or a device is not replaced by a file.
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if std::fs::metadata(&real).is_ok_and(|found| !found.is_file()) {
        let write = || std::fs::OpenOptions::new().write(true).open(&real)?.write_all(&sealed);
        return write().map_err(|source| SealedTextError::Write { path: path.into(), source });
    }
    let dir = real.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || {
        let mut temporary = tempfile::Builder::new().prefix(".plan.").tempfile_in(dir)?;
        temporary.write_all(&sealed)?;
        temporary.as_file().sync_all()?;
        temporary.persist(&real).map_err(|failed| failed.error).map(drop)
    };
    write().map_err(|source| SealedTextError::Write { path: path.into(), source })
}

/// Opens what [`write_sealed`] wrote.
pub fn read_sealed(path: &Path, identity: &Identity) -> Result<Zeroizing<String>, SealedTextError> {
    use std::io::Read;
    let unreadable = |source| SealedTextError::Read { path: path.into(), source };
    let mut sealed = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_BYTES).read_to_end(&mut sealed).map_err(unreadable)?;
    if !sealed.starts_with(b"age-encryption.org/v1")
        && !sealed.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----")
    {
        return Err(SealedTextError::NotSealed(path.into()));
    }
    seal::open(&sealed, identity).map_err(|failure| {
        let why = match failure {
            OpenFailure::NoMatchingKey => "it was sealed to others",
            OpenFailure::NeedsPassphrase => "it was sealed by a passphrase",
            OpenFailure::NotByPassphrase => "it was sealed to recipients, not by a passphrase",
            OpenFailure::WrongPassphrase => "it is not the passphrase",
            OpenFailure::TooMuchWork(_) => "it was not written by `deploy`",
            OpenFailure::Damaged(why) => return SealedTextError::Damaged { path: path.into(), why },
        };
        let origin = identity.origin().to_owned();
        SealedTextError::Closed { path: path.into(), origin, why: why.into() }
    })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::secrets::Secret;

    #[test]
    fn a_link_is_followed_and_a_pipe_is_written_into() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let seal = Seal::Passphrase(Secret::new("a long enough passphrase"));
        let sealed = |file: &Path| std::fs::read_to_string(file).unwrap().starts_with("-----BEGIN AGE");
        std::fs::write(path("plan"), "old").unwrap();
        std::os::unix::fs::symlink(path("plan"), path("link")).unwrap();
        write_sealed(&path("link"), &seal, "hello").unwrap();
        assert!(path("link").is_symlink() && sealed(&path("plan")));
        write_sealed(&path("new"), &seal, "hello").unwrap();
        assert!(sealed(&path("new")));
        assert!(Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
        let reader = Command::new("cat").arg(path("pipe")).stdout(Stdio::piped()).spawn().unwrap();
        write_sealed(&path("pipe"), &seal, "hello").unwrap();
        let said = reader.wait_with_output().unwrap().stdout;
        assert!(said.starts_with(b"-----BEGIN AGE"), "{}", said.len());
    }
}
