//! Files of the user's choice that commands write: one that cannot be written, or must not be, is refused before anything
//! is asked of a node and before anything is cut short.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};

use super::project::STORE;
use crate::inventory;
use crate::secrets::Identity;
use crate::ui::Hint;

/// Files that hold what nothing else does: what each is, and where.
pub struct Precious(Vec<(&'static str, PathBuf)>);

impl Precious {
    /// The inventory, the store beside it, and every file that an identity is looked for in.
    pub fn of(inventory: Option<&Path>, identity: Option<&Path>) -> Self {
        let dir = inventory.map_or_else(|| ".".into(), inventory::folder);
        let identities = Identity::files(identity, &dir, |name| std::env::var(name).ok());
        let mut all = vec![("the secret store", dir.join(STORE))];
        all.extend(inventory.map(|path| ("the inventory", inventory::file(path))));
        all.extend(identities.into_iter().map(|file| ("an identity", file)));
        Self(all)
    }

    /// Refuses `file` as the place of `what` where it cannot be written, or is one of these.
    pub fn spared(&self, what: &str, file: &Path) -> Result<()> {
        if let Some((precious, _)) = self.0.iter().find(|(_, path)| real(path) == real(file)) {
            let hint = Hint("choose another file; nothing was written".into());
            return Err(
                anyhow!("{what} cannot go into `{}`, which is {precious}", file.display()).context(hint)
            );
        }
        writable(file).map_err(|error| unwritable(what, file, error))
    }
}

/// The one path of a file, whatever leads to it.
fn real(path: &Path) -> PathBuf {
    let within = || Some(folder(path).canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize().ok().or_else(within).unwrap_or_else(|| path.to_path_buf())
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// Tries what writing `file` takes, and leaves it as it is.
fn writable(file: &Path) -> io::Result<()> {
    match std::fs::metadata(file) {
        // A pipe or a terminal would notice.
        Ok(found) if !found.is_file() && !found.is_dir() => Ok(()),
        Ok(_) => std::fs::OpenOptions::new().append(true).open(file).map(drop),
        Err(_) => {
            std::fs::metadata(folder(file))?;
            tempfile::tempfile_in(folder(file)).map(drop).map_err(|error| error.kind().into())
        }
    }
}

/// A file of the user's choice that cannot be written.
pub fn unwritable(what: &str, path: &Path, error: io::Error) -> anyhow::Error {
    let hint = Hint("choose a place in a folder that is there, and that whoever runs this may write".into());
    anyhow::Error::new(error).context(format!("cannot write {what} {}", path.display())).context(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nothing_else_holds_is_spared_whatever_leads_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("cluster.yaml"), "name: shop\n").unwrap();
        std::fs::write(at("key"), "x").unwrap();
        std::os::unix::fs::symlink(at("cluster.yaml"), at("link")).unwrap();
        let precious = Precious::of(Some(folder.path()), Some(&at("key")));
        for name in ["cluster.yaml", "./cluster.yaml", "link", "secrets.age", "deploy.identity", "key", "."] {
            assert!(precious.spared("the plan", &at(name)).is_err(), "{name}");
        }
        precious.spared("the plan", &at("plan.age")).unwrap();
        assert!(!at("plan.age").exists());
        precious.spared("the plan", Path::new("/dev/null")).unwrap();
        assert_eq!(std::fs::read_to_string(at("cluster.yaml")).unwrap(), "name: shop\n");
    }
}
