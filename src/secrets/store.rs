//! The store: every secret of one cluster and its CA, in one age file beside the inventory.
//!
//! It is read whole, changed in memory, and saved whole; nothing is written until [`Store::save`]. A run saves before it
//! uses what it generated, so that no node ever knows a password that the store does not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rand::distr::{Alphanumeric, SampleString};
use rand::{CryptoRng, Rng};
use sha2::{Digest, Sha256};

use super::body::{Body, CaMaterial};
use super::error::{self, StoreError};
use super::identity::{Identity, Keys};
use super::named;
use super::recipient::Recipient;
use super::seal::{self, OpenFailure, Seal};
use super::sealed_file::SealedFile;
use super::secret::Secret;

/// Characters of a generated secret: 36 of 62 kinds are 214 bits, and none needs quoting in a URL, a shell or SQL.
pub const SECRET_LENGTH: usize = 36;

/// An open store.
#[derive(Debug)]
pub struct Store {
    file: SealedFile,
    seal: Seal,
    /// The recipients that the file names in the clear.
    named: BTreeSet<Recipient>,
    body: Body,
    dirty: bool,
}

/// Who can open a store, as far as its file tells without being opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealedTo {
    /// Everyone who holds the private key of one of these.
    Recipients(BTreeSet<Recipient>),
    /// Everyone who knows the passphrase.
    Passphrase,
    /// Recipients that the file does not name, because another program sealed it.
    Unnamed,
}

impl SealedTo {
    /// Who could open the store, in words; `known` are the recipients of the inventory, for a store that names none.
    pub fn openers(&self, known: &BTreeSet<Recipient>) -> String {
        match self {
            Self::Recipients(recipients) => error::openers(recipients),
            Self::Passphrase => "it opens by its passphrase: set DEPLOY_PASSPHRASE".into(),
            Self::Unnamed => error::openers(known),
        }
    }
}

impl Store {
    /// A new store for `cluster` at `path`, which must not exist. Nothing is written until it is saved.
    pub fn create(path: &Path, cluster: &str, seal: Seal) -> Result<Self, StoreError> {
        if !seal.is_sound() {
            return Err(StoreError::WeakSeal);
        }
        let file = SealedFile::absent(path)?;
        let body = Body {
            cluster: cluster.into(),
            recipients: seal.recipients(),
            ca: None,
            next_ca: None,
            mark: None,
            secrets: BTreeMap::new(),
        };
        Ok(Self { file, seal, named: BTreeSet::new(), body, dirty: true })
    }

    /// Who can open the store at `path`; nothing is opened.
    pub fn sealed_to(path: &Path) -> Result<SealedTo, StoreError> {
        let (file, sealed) = SealedFile::read(path)?;
        match named::recipients(&sealed) {
            named if !named.is_empty() => Ok(SealedTo::Recipients(named)),
            _ => match seal::is_by_passphrase(&sealed) {
                Ok(true) => Ok(SealedTo::Passphrase),
                Ok(false) => Ok(SealedTo::Unnamed),
                Err(detail) => Err(StoreError::Damaged { path: file.path().into(), detail }),
            },
        }
    }

    /// Opens the store at `path`. An error tells who could open it: the recipients that the file names, else `known`,
    /// which are those of the inventory.
    ///
    /// It will be sealed again to the recipients that its own text names, or, where it names none, by the passphrase that
    /// opened it.
    pub fn open(path: &Path, identity: &Identity, known: &BTreeSet<Recipient>) -> Result<Self, StoreError> {
        let (file, sealed) = SealedFile::read(path)?;
        let path = file.path();
        let named = named::recipients(&sealed);
        let known = if named.is_empty() { known } else { &named };
        let text =
            seal::open(&sealed, identity).map_err(|failure| explain(failure, path, identity, known))?;
        let body = Body::parse(&text).map_err(|source| StoreError::Contents { path: path.into(), source })?;
        let seal = match &identity.keys {
            _ if !body.recipients.is_empty() => Seal::Recipients(body.recipients.clone()),
            Keys::Passphrase(text) => Seal::Passphrase(text.clone()),
            Keys::X25519(_) => return Err(StoreError::NoRecipients(path.into())),
        };
        Ok(Self { file, seal, named, body, dirty: false })
    }

    /// Keeps every other process from writing the store until this one is dropped; `what` tells them what is done here.
    pub fn lock(&mut self, what: &str) -> Result<(), StoreError> {
        self.file.lock(what)
    }

    /// The cluster that the store was made for.
    pub fn cluster(&self) -> &str {
        &self.body.cluster
    }

    /// Refuses the store of another cluster, which a copied folder may hold.
    pub fn require_cluster(&self, wanted: &str) -> Result<(), StoreError> {
        if self.body.cluster == wanted {
            return Ok(());
        }
        let (found, wanted) = (self.body.cluster.clone(), wanted.to_owned());
        Err(StoreError::OtherCluster { path: self.file.path().into(), found, wanted })
    }

    /// Who can open it once it is saved.
    pub fn seal(&self) -> &Seal {
        &self.seal
    }

    /// Seals it to others and writes it, unless it is sealed to exactly them already; says whether it was written.
    ///
    /// It is opened again before it is written: an `identity` that could not do that is refused. What others could read
    /// before, from version control, they still can.
    pub fn rekey(&mut self, seal: Seal, identity: &Identity) -> Result<bool, StoreError> {
        if !seal.is_sound() {
            return Err(StoreError::WeakSeal);
        }
        if seal == self.seal && seal.recipients() == self.named {
            return Ok(false);
        }
        let body = Body { recipients: seal.recipients(), ..self.body.clone() };
        let text = body.write();
        let sealed = seal.close(&text).map_err(|error| StoreError::Sealing(error.to_string()))?;
        if !seal::open(&sealed, identity).is_ok_and(|opened| opened == text) {
            let (path, origin) = (self.file.path().into(), identity.origin().into());
            return Err(StoreError::LockedOut { path, origin, own: identity.recipients() });
        }
        self.file.replace(&sealed)?;
        (self.named, self.seal, self.body, self.dirty) = (seal.recipients(), seal, body, false);
        Ok(true)
    }

    /// The names of all secrets, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.body.secrets.keys().map(String::as_str)
    }

    /// All secrets by name.
    pub fn secrets(&self) -> &BTreeMap<String, Secret> {
        &self.body.secrets
    }

    /// Puts `secrets` in the place of all that there are.
    pub fn replace_secrets(&mut self, secrets: BTreeMap<String, Secret>) {
        self.dirty |= self.body.secrets != secrets;
        self.body.secrets = secrets;
    }

    /// A secret, if there is one of that name.
    pub fn secret(&self, name: &str) -> Option<&Secret> {
        self.body.secrets.get(name)
    }

    /// The secret of that name, made of [`SECRET_LENGTH`] letters and digits where there is none; and whether it was made.
    pub fn ensure<R: CryptoRng + ?Sized>(&mut self, name: &str, rng: &mut R) -> (Secret, bool) {
        if let Some(secret) = self.body.secrets.get(name) {
            return (secret.clone(), false);
        }
        let secret = generate(rng);
        self.set(name, secret.clone());
        (secret, true)
    }

    /// Gives a secret a new value like the one that [`Store::ensure`] makes, and returns it.
    pub fn renew<R: CryptoRng + ?Sized>(&mut self, name: &str, rng: &mut R) -> Secret {
        let secret = generate(rng);
        self.set(name, secret.clone());
        secret
    }

    /// Gives a secret a value; an empty one removes it.
    pub fn set(&mut self, name: &str, secret: Secret) {
        if secret.is_empty() {
            self.remove(name);
        } else if self.body.secrets.get(name) != Some(&secret) {
            self.body.secrets.insert(name.into(), secret);
            self.dirty = true;
        }
    }

    /// Takes a secret out, and gives it back.
    pub fn remove(&mut self, name: &str) -> Option<Secret> {
        let removed = self.body.secrets.remove(name);
        self.dirty |= removed.is_some();
        removed
    }

    /// The cluster's CA, once it was made.
    pub fn ca(&self) -> Option<&CaMaterial> {
        self.body.ca.as_ref()
    }

    /// Keeps the cluster's first CA, whose fingerprint marks the cluster's data from then on.
    pub fn set_ca(&mut self, ca: CaMaterial) {
        if self.body.ca.as_ref() != Some(&ca) {
            self.body.mark.get_or_insert_with(|| mark_of(&ca));
            self.body.ca = Some(ca);
            self.dirty = true;
        }
    }

    /// The CA that is taking the place of the present one.
    pub fn next_ca(&self) -> Option<&CaMaterial> {
        self.body.next_ca.as_ref()
    }

    /// Keeps a CA that is to take the place of the present one.
    pub fn set_next_ca(&mut self, ca: CaMaterial) {
        self.body.next_ca = Some(ca);
        self.dirty = true;
    }

    /// The next CA is the cluster's from now on; the one before is forgotten.
    pub fn promote_next_ca(&mut self) {
        if let Some(next) = self.body.next_ca.take() {
            self.body.mark = self.mark();
            self.body.ca = Some(next);
            self.dirty = true;
        }
    }

    /// Keeps an authority whose key nobody has, with the mark of the data that was made under it where that is known.
    pub fn adopt_ca(&mut self, certificate: &str, mark: Option<String>) {
        self.body.mark = mark.or_else(|| self.mark());
        self.body.ca = Some(CaMaterial { certificate: certificate.into(), key: Secret::new("") });
        self.dirty = true;
    }

    /// What marks the cluster's data on the nodes: the same for as long as the cluster lives. `None` before its first CA.
    pub fn mark(&self) -> Option<String> {
        self.body.mark.clone().or_else(|| self.body.ca.as_ref().map(mark_of))
    }

    /// Whether there is something to save.
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Writes what changed, and says whether anything had: a store without changes keeps its bytes, though sealing anew
    /// would make others. Refuses if the file was changed by someone else since it was read.
    pub fn save(&mut self) -> Result<bool, StoreError> {
        if !self.dirty {
            return Ok(false);
        }
        let sealed =
            self.seal.close(&self.body.write()).map_err(|error| StoreError::Sealing(error.to_string()))?;
        self.file.replace(&sealed)?;
        self.named = self.seal.recipients();
        self.dirty = false;
        Ok(true)
    }
}

fn mark_of(ca: &CaMaterial) -> String {
    format!("{:x}", Sha256::digest(ca.certificate.as_bytes()))[..12].to_owned()
}

fn generate<R: Rng + CryptoRng + ?Sized>(rng: &mut R) -> Secret {
    let mut text = String::with_capacity(SECRET_LENGTH);
    Alphanumeric.append_string(rng, &mut text, SECRET_LENGTH);
    Secret::new(text)
}

fn explain(
    failure: OpenFailure,
    path: &Path,
    identity: &Identity,
    known: &BTreeSet<Recipient>,
) -> StoreError {
    let (path, origin, known) = (path.to_owned(), identity.origin().to_owned(), known.clone());
    match failure {
        OpenFailure::NoMatchingKey => {
            StoreError::WrongIdentity { path, origin, own: identity.recipients(), known }
        }
        OpenFailure::NeedsPassphrase => StoreError::NeedsPassphrase { path, origin },
        OpenFailure::NotByPassphrase => StoreError::NeedsIdentity { path, origin, known },
        OpenFailure::WrongPassphrase => StoreError::WrongPassphrase { path, origin },
        OpenFailure::TooMuchWork(required) => StoreError::TooMuchWork { path, required },
        OpenFailure::Damaged(detail) => StoreError::Damaged { path, detail },
    }
}

#[cfg(test)]
mod tests;
