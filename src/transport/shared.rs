//! Connections that outlive a command: the next one of the same user goes on over them, without another log-in.
//!
//! OpenSSH's own control masters, each ended by itself once nothing has gone over it for a while. Their sockets lie in a
//! folder that only their user can enter, under a name that follows from what decides how one logs in: the inventory, the
//! configuration of the SSH client that it names or the user's own, and the agent. What these in turn include is not looked into.
//! So what is found under a name was opened, and its host key checked, as it would be now.

use std::fs::{DirBuilder, symlink_metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use openssh::{Session, SessionBuilder};

/// Where one connection waits.
#[derive(Debug)]
pub struct Place {
    /// Folder of its socket.
    folder: PathBuf,
}

impl Place {
    /// The place of whatever logs in as `words` say; `None` where there is no folder that is ours alone.
    pub fn of(words: &[&str]) -> Option<Self> {
        let mut hash = DefaultHasher::new();
        words.hash(&mut hash);
        Some(Self { folder: folder().ok()?.join(format!("{:016x}", hash.finish())) })
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("master")
    }

    /// The connection that waits here.
    pub async fn resume(&self) -> Option<Session> {
        let session = Session::resume_mux(self.socket().into_boxed_path(), None);
        session.check().await.ok()?;
        Some(session)
    }

    /// A new connection, for whoever comes next as well. Where another command has put one here meanwhile, both work.
    pub async fn connect(&self, builder: &SessionBuilder, target: &str) -> Result<Session, openssh::Error> {
        let mut builder = builder.clone();
        builder.control_directory(self.folder.parent().unwrap_or(Path::new("/tmp")));
        let made = builder.launch_master(target).await?;
        // What is left of a master that has ended.
        let _ = std::fs::remove_dir_all(&self.folder);
        if std::fs::rename(made.path(), &self.folder).is_err() {
            return Ok(Session::new_native_mux(made));
        }
        // It is not there any more under its first name.
        let _ = made.keep();
        Ok(Session::resume_mux(self.socket().into_boxed_path(), None))
    }
}

/// So long may the folder of all sockets be: an address has 108 bytes, of which the connection's own folder takes 22, the
/// socket 7, and OpenSSH 17 more while it makes one.
const LONGEST: usize = 60;

/// The folder of all sockets of this user.
fn folder() -> io::Result<PathBuf> {
    let own = symlink_metadata("/proc/self")?.uid();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(|runtime| PathBuf::from(runtime).join("deploy"));
    let fits =
        |folder: &PathBuf| folder.as_os_str().len() <= LONGEST && folder.parent().is_some_and(Path::is_dir);
    let folder = runtime.filter(fits).unwrap_or_else(|| PathBuf::from(format!("/tmp/deploy-{own}")));
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = symlink_metadata(&folder)?;
    if !found.is_dir() || found.uid() != own || found.mode() & 0o077 != 0 {
        return Err(io::Error::other("the folder for SSH sockets is not ours alone"));
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_way_to_log_in_has_another_place() {
        let place = |words: &[&str]| Place::of(words).unwrap().folder;
        assert_eq!(place(&["n1", "root", ""]), place(&["n1", "root", ""]));
        assert_ne!(place(&["n1", "root", ""]), place(&["n1", "", "root"]));
        assert_ne!(place(&["n1", "root"]), place(&["n1r", "oot"]));
        assert!(folder().unwrap().as_os_str().len() <= LONGEST);
    }
}
