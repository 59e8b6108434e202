//! What opens the store: private age keys, or a passphrase, and the order in which they are looked for.
//!
//! Environment variables come in through a closure, so nothing here reads the process environment.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::{fmt, fs, io};

use thiserror::Error;
use zeroize::Zeroizing;

use super::recipient::Recipient;
use super::secret::Secret;

/// The variables that an identity may stand in.
pub(super) const VARIABLES: [&str; 3] = ["DEPLOY_IDENTITY", "DEPLOY_IDENTITY_FILE", "DEPLOY_PASSPHRASE"];

/// The name of an identity file beside the inventory.
const FILE_BESIDE_INVENTORY: &str = "deploy.identity";

/// Something that may open the store, and where it came from.
pub struct Identity {
    pub(super) keys: Keys,
    origin: String,
}

pub(super) enum Keys {
    X25519(Vec<age::x25519::Identity>),
    Passphrase(Secret),
}

/// Why there is no identity to open the store with.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// None of the places has one.
    #[error("no identity to open the store with; looked for {}", .0.join(", "))]
    NotFound(Vec<String>),
    /// An identity file that cannot be read.
    #[error("the identity file {path} cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An identity file that cannot be written.
    #[error("the identity file {path} cannot be written")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An identity file that is there already: a private key is never overwritten.
    #[error("{0} exists and will not be overwritten")]
    Exists(PathBuf),
    /// No key in it.
    #[error("{0} holds no key")]
    Empty(String),
    /// Only a public key.
    #[error("{0} holds a public key (age1…), which can seal the store but not open it")]
    Public(String),
    /// A kind of key that this program does not open stores with.
    #[error("{0} holds a kind of key that is not supported (ssh, plugin or itself encrypted)")]
    Unsupported(String),
    /// A damaged key.
    #[error("line {line} of {origin} is not a whole age identity")]
    Malformed {
        /// Where the text came from.
        origin: String,
        /// The line, counted from one.
        line: usize,
    },
}

impl IdentityError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "give one with --identity FILE, or make one with `deploy init`",
            Self::Read { .. } => {
                "give a file that is there with --identity FILE, or the key itself in DEPLOY_IDENTITY"
            }
            Self::Write { .. } => "let whoever runs this write its folder",
            Self::Exists(_) => "use it, or move it away first",
            Self::Empty(_) => "an identity is a line that begins with AGE-SECRET-KEY-1",
            Self::Public(_) => "give its AGE-SECRET-KEY-1… line",
            Self::Unsupported(_) => "use a plain age identity, AGE-SECRET-KEY-1…",
            Self::Malformed { .. } => "copy the AGE-SECRET-KEY-1… line again",
        }
    }
}

impl Identity {
    /// Looks for an identity, first match wins: the file given by `--identity`; `DEPLOY_IDENTITY` (the key itself);
    /// `DEPLOY_IDENTITY_FILE`; `DEPLOY_PASSPHRASE`; then the keys of both `deploy.identity` beside the inventory and
    /// `deploy/identity` in the user's configuration folder (`XDG_CONFIG_HOME`, else `~/.config`).
    ///
    /// A variable that is set to nothing counts as unset: that is what CI systems make of an unset variable.
    pub fn find(
        explicit: Option<&Path>,
        inventory_dir: &Path,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, IdentityError> {
        let env = |name: &str| env(name).filter(|value| !value.trim().is_empty());
        if let Some(path) = explicit {
            return Self::from_file(path);
        }
        if let Some(text) = env("DEPLOY_IDENTITY") {
            return Self::from_text(&Zeroizing::new(text), "DEPLOY_IDENTITY");
        }
        if let Some(path) = env("DEPLOY_IDENTITY_FILE") {
            return Self::from_file(Path::new(&path));
        }
        if let Some(text) = env("DEPLOY_PASSPHRASE") {
            let text = Zeroizing::new(text);
            return Ok(Self::from_passphrase(
                Secret::new(text.trim_end_matches(['\r', '\n'])),
                "DEPLOY_PASSPHRASE",
            ));
        }
        let mut places = vec![inventory_dir.join(FILE_BESIDE_INVENTORY)];
        places.extend(Self::default_path(env));
        let mut found: Option<Self> = None;
        for path in places.iter().filter(|path| path.exists()) {
            let next = Self::from_file(path)?;
            found = Some(match found {
                None => next,
                Some(first) => first.and(next),
            });
        }
        found.ok_or_else(|| {
            let names = VARIABLES.map(str::to_owned);
            IdentityError::NotFound(
                names.into_iter().chain(places.iter().map(|path| path.display().to_string())).collect(),
            )
        })
    }

    /// Every file that [`Identity::find`] may look into.
    pub fn files(
        explicit: Option<&Path>,
        inventory_dir: &Path,
        env: impl Fn(&str) -> Option<String>,
    ) -> Vec<PathBuf> {
        let named = env("DEPLOY_IDENTITY_FILE").filter(|value| !value.trim().is_empty()).map(PathBuf::from);
        let beside = inventory_dir.join(FILE_BESIDE_INVENTORY);
        let files = explicit.map(Path::to_path_buf).into_iter().chain(named).chain([beside]);
        files.chain(Self::default_path(env)).collect()
    }

    /// Where a user's identity lives: `deploy/identity` in `XDG_CONFIG_HOME`, else in `~/.config`.
    pub fn default_path(env: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
        let home = |name: &str| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let config = home("XDG_CONFIG_HOME").or_else(|| home("HOME").map(|home| home.join(".config")))?;
        Some(config.join("deploy").join("identity"))
    }

    /// Reads an identity file: lines of `AGE-SECRET-KEY-1…`, comments and blanks between.
    pub fn from_file(path: &Path) -> Result<Self, IdentityError> {
        let text =
            fs::read_to_string(path).map_err(|source| IdentityError::Read { path: path.into(), source })?;
        Self::from_text(&Zeroizing::new(text), &path.display().to_string())
    }

    /// Reads the text of an identity file; `origin` names it in errors.
    pub fn from_text(text: &str, origin: &str) -> Result<Self, IdentityError> {
        let mut keys = Vec::new();
        for (index, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if line.starts_with("age1") {
                return Err(IdentityError::Public(origin.into()));
            }
            if line.starts_with("AGE-PLUGIN-")
                || line.starts_with("-----BEGIN")
                || line.starts_with("age-encryption")
            {
                return Err(IdentityError::Unsupported(origin.into()));
            }
            let key = age::x25519::Identity::from_str(line)
                .map_err(|_| IdentityError::Malformed { origin: origin.into(), line: index + 1 })?;
            keys.push(key);
        }
        if keys.is_empty() {
            return Err(IdentityError::Empty(origin.into()));
        }
        Ok(Self { keys: Keys::X25519(keys), origin: origin.into() })
    }

    /// A passphrase; `origin` names where it came from in errors.
    pub fn from_passphrase(passphrase: Secret, origin: &str) -> Self {
        Self { keys: Keys::Passphrase(passphrase), origin: origin.into() }
    }

    /// Where it came from: a file, or the name of a variable.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The recipients that these keys belong to; none for a passphrase.
    pub fn recipients(&self) -> BTreeSet<Recipient> {
        match &self.keys {
            Keys::X25519(keys) => keys.iter().map(Recipient::of).collect(),
            Keys::Passphrase(_) => BTreeSet::new(),
        }
    }

    fn and(self, other: Self) -> Self {
        match (self.keys, other.keys) {
            (Keys::X25519(mut keys), Keys::X25519(more)) => {
                keys.extend(more);
                Self { keys: Keys::X25519(keys), origin: format!("{}, {}", self.origin, other.origin) }
            }
            (keys, _) => Self { keys, origin: self.origin },
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::NewIdentity;

    fn no_env(_: &str) -> Option<String> {
        None
    }

    fn write(path: &Path) -> Recipient {
        let new = NewIdentity::generate();
        new.write(path).unwrap();
        new.recipient().clone()
    }

    #[test]
    fn each_place_wins_over_the_ones_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let (flag, named) = (dir.path().join("flag"), dir.path().join("named"));
        let beside = write(&dir.path().join(FILE_BESIDE_INVENTORY));
        let own = write(&dir.path().join("config/deploy/identity"));
        let by_flag = write(&flag);
        let by_name = write(&named);
        let text = NewIdentity::generate();
        let config = dir.path().join("config").display().to_string();
        let set = |wanted: &'static [&'static str]| {
            let values = [
                ("DEPLOY_IDENTITY", text.text().expose().to_owned()),
                ("DEPLOY_IDENTITY_FILE", named.display().to_string()),
                ("DEPLOY_PASSPHRASE", "correct horse battery\n".to_owned()),
                ("XDG_CONFIG_HOME", config.clone()),
            ];
            move |name: &str| {
                values
                    .iter()
                    .find(|(key, _)| *key == name && wanted.contains(key))
                    .map(|(_, value)| value.clone())
            }
        };
        let all: &[&str] =
            &["DEPLOY_IDENTITY", "DEPLOY_IDENTITY_FILE", "DEPLOY_PASSPHRASE", "XDG_CONFIG_HOME"];
        let find = |explicit, wanted| Identity::find(explicit, dir.path(), set(wanted)).unwrap();

        assert_eq!(find(Some(flag.as_path()), all).recipients(), BTreeSet::from([by_flag]));
        assert_eq!(find(None, all).recipients(), BTreeSet::from([text.recipient().clone()]));
        assert_eq!(find(None, &all[1..]).recipients(), BTreeSet::from([by_name]));
        let passphrase = find(None, &all[2..]);
        assert!(
            matches!(&passphrase.keys, Keys::Passphrase(text) if text.expose() == "correct horse battery")
        );
        assert_eq!(find(None, &all[3..]).recipients(), BTreeSet::from([beside.clone(), own]));
        assert_eq!(find(None, &[]).recipients(), BTreeSet::from([beside]));
    }

    #[test]
    fn nothing_found_names_every_place_and_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let env = |name: &str| match name {
            "HOME" => Some("/home/anna".to_owned()),
            "DEPLOY_IDENTITY" => Some("  ".to_owned()),
            _ => None,
        };
        let error = Identity::find(None, dir.path(), env).unwrap_err();
        let message = format!("{error}; {}", error.hint());
        for part in
            ["DEPLOY_IDENTITY_FILE", "deploy.identity", "/home/anna/.config/deploy/identity", "deploy init"]
        {
            assert!(message.contains(part), "{part} in {message}");
        }
        assert!(Identity::find(Some(&dir.path().join("no")), dir.path(), no_env).is_err());
    }

    #[test]
    fn texts_that_are_not_identities_are_explained_and_not_repeated() {
        let refused = |text: &str| Identity::from_text(text, "it").unwrap_err();
        assert!(matches!(refused("# only a comment\n"), IdentityError::Empty(_)));
        assert!(matches!(refused("age1abc"), IdentityError::Public(_)));
        assert!(matches!(refused("-----BEGIN OPENSSH PRIVATE KEY-----"), IdentityError::Unsupported(_)));
        let error = refused("# key\nAGE-SECRET-KEY-1HALF");
        assert!(matches!(&error, IdentityError::Malformed { line: 2, .. }));
        assert!(!error.to_string().contains("HALF"));
    }
}
