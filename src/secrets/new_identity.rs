//! Making an identity: a fresh private key and the file that keeps it.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use age::secrecy::ExposeSecret;
use zeroize::Zeroizing;

use super::identity::{Identity, IdentityError};
use super::recipient::Recipient;
use super::secret::Secret;

/// A private key that was just made, and the recipient it belongs to.
#[derive(Debug)]
pub struct NewIdentity {
    text: Secret,
    recipient: Recipient,
}

impl NewIdentity {
    /// Makes an x25519 identity from the system's randomness (`age` takes no other).
    pub fn generate() -> Self {
        let key = age::x25519::Identity::generate();
        Self { text: Secret::new(key.to_string().expose_secret()), recipient: Recipient::of(&key) }
    }

    /// The private key, `AGE-SECRET-KEY-1…`.
    pub fn text(&self) -> &Secret {
        &self.text
    }

    /// The public key, `age1…`.
    pub fn recipient(&self) -> &Recipient {
        &self.recipient
    }

    /// The same key, ready to open a store; `origin` names it in errors.
    pub fn identity(&self, origin: &str) -> Result<Identity, IdentityError> {
        Identity::from_text(self.text.expose(), origin)
    }

    /// Writes the identity file, readable by its owner alone, and its folder where that is missing. Never overwrites.
    pub fn write(&self, path: &Path) -> Result<(), IdentityError> {
        let failed = |source: std::io::Error| match source.kind() {
            ErrorKind::AlreadyExists => IdentityError::Exists(path.into()),
            _ => IdentityError::Write { path: path.into(), source },
        };
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        }
        let text = Zeroizing::new(format!("# public key: {}\n{}\n", self.recipient, self.text.expose()));
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_file_is_private_names_its_public_key_and_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/identity");
        let new = NewIdentity::generate();
        new.write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(fs::read_to_string(&path).unwrap().contains(&format!("# public key: {}", new.recipient())));
        assert!(Identity::from_file(&path).unwrap().recipients().contains(new.recipient()));
    }

    #[test]
    fn a_key_that_is_there_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("identity");
        NewIdentity::generate().write(&path).unwrap();
        let before = fs::read(&path).unwrap();
        assert!(matches!(NewIdentity::generate().write(&path), Err(IdentityError::Exists(_))));
        assert_eq!(fs::read(&path).unwrap(), before);
    }
}
