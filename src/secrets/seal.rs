//! Sealing and opening a text with age: who may open it, and what was wrong when that fails.
//!
//! No file is touched here; `age` draws its own randomness.

use std::collections::BTreeSet;
use std::io::{Read, Write};

use age::armor::{ArmoredReader, ArmoredWriter, Format};
use age::secrecy::SecretString;
use age::{DecryptError, Decryptor, EncryptError, Encryptor};
use zeroize::Zeroizing;

use super::identity::{Identity, Keys};
use super::named::Named;
use super::recipient::Recipient;
use super::secret::Secret;

/// The scrypt cost, as a power of two, that a passphrase is sealed with: the age tool's own, about a second.
const WORK_FACTOR: u8 = if cfg!(test) { 10 } else { 18 };
/// The most that is accepted when opening; 2^20 takes 1 GiB, and a hostile file could ask for any amount.
const MAX_WORK_FACTOR: u8 = 20;
/// A passphrase must withstand guessing by anyone who can read the repository.
const MIN_PASSPHRASE: usize = 12;
/// What is said where nothing more is known.
const NO_DECRYPTION: &str = "it does not decrypt";

/// Who may open what is sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seal {
    /// Everyone who holds the private key of one of these.
    Recipients(BTreeSet<Recipient>),
    /// Everyone who knows the passphrase.
    Passphrase(Secret),
}

/// What kept a text from being opened.
#[derive(Debug)]
pub(super) enum OpenFailure {
    NoMatchingKey,
    NeedsPassphrase,
    NotByPassphrase,
    WrongPassphrase,
    TooMuchWork(u8),
    Damaged(String),
}

impl Seal {
    /// Whether it opens for someone, and not for everyone: a recipient at least, or twelve characters of passphrase.
    pub(super) fn is_sound(&self) -> bool {
        match self {
            Self::Recipients(recipients) => !recipients.is_empty(),
            Self::Passphrase(text) => text.expose().trim().chars().count() >= MIN_PASSPHRASE,
        }
    }

    /// The recipients; none for a passphrase.
    pub fn recipients(&self) -> BTreeSet<Recipient> {
        match self {
            Self::Recipients(recipients) => recipients.clone(),
            Self::Passphrase(_) => BTreeSet::new(),
        }
    }

    /// Encrypts `text` into an ASCII-armoured age file.
    pub(super) fn close(&self, text: &str) -> Result<Vec<u8>, EncryptError> {
        let encryptor = match self {
            Self::Recipients(recipients) => {
                let keys: Vec<Named> = recipients.iter().filter_map(Named::new).collect();
                Encryptor::with_recipients(keys.iter().map(|key| key as &dyn age::Recipient))?
            }
            Self::Passphrase(text) => {
                let mut key = age::scrypt::Recipient::new(SecretString::from(text.expose()));
                key.set_work_factor(WORK_FACTOR);
                Encryptor::with_recipients(std::iter::once(&key as &dyn age::Recipient))?
            }
        };
        let mut sealed = Vec::with_capacity(text.len() * 2 + 1024);
        let armor = ArmoredWriter::wrap_output(&mut sealed, Format::AsciiArmor)?;
        let mut writer = encryptor.wrap_output(armor)?;
        writer.write_all(text.as_bytes())?;
        writer.finish()?.finish()?;
        Ok(sealed)
    }
}

/// Whether a passphrase is asked for; what is wrong where it is no age file.
pub(super) fn is_by_passphrase(sealed: &[u8]) -> Result<bool, String> {
    let decryptor = Decryptor::new_buffered(ArmoredReader::new(sealed));
    decryptor.map(|decryptor| decryptor.is_scrypt()).map_err(|error| match classify(error, None) {
        OpenFailure::Damaged(detail) => detail,
        _ => NO_DECRYPTION.into(),
    })
}

/// Decrypts an age file, armoured or not.
pub(super) fn open(sealed: &[u8], identity: &Identity) -> Result<Zeroizing<String>, OpenFailure> {
    let damaged = |detail: String| OpenFailure::Damaged(detail);
    let decryptor = Decryptor::new_buffered(ArmoredReader::new(sealed))
        .map_err(|error| classify(error, Some(&identity.keys)))?;
    let opened = match (&identity.keys, decryptor.is_scrypt()) {
        (Keys::X25519(_), true) => return Err(OpenFailure::NeedsPassphrase),
        (Keys::Passphrase(_), false) => return Err(OpenFailure::NotByPassphrase),
        (Keys::X25519(keys), false) => decryptor.decrypt(keys.iter().map(|key| key as &dyn age::Identity)),
        (Keys::Passphrase(text), true) => {
            let mut key = age::scrypt::Identity::new(SecretString::from(text.expose()));
            key.set_max_work_factor(MAX_WORK_FACTOR);
            decryptor.decrypt(std::iter::once(&key as &dyn age::Identity))
        }
    };
    let mut reader = opened.map_err(|error| classify(error, Some(&identity.keys)))?;
    // Room for all of it: a buffer that grows leaves copies behind that are not wiped.
    let mut plain = Zeroizing::new(Vec::with_capacity(sealed.len() + 1));
    reader.read_to_end(&mut plain).map_err(|error| damaged(error.to_string()))?;
    let text = std::str::from_utf8(&plain).map_err(|_| damaged("what it holds is not text".into()))?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn classify(error: DecryptError, keys: Option<&Keys>) -> OpenFailure {
    match (error, keys) {
        (DecryptError::ExcessiveWork { required, .. }, _) => OpenFailure::TooMuchWork(required),
        (DecryptError::NoMatchingKeys | DecryptError::KeyDecryptionFailed, Some(Keys::X25519(_))) => {
            OpenFailure::NoMatchingKey
        }
        (
            DecryptError::NoMatchingKeys | DecryptError::KeyDecryptionFailed | DecryptError::DecryptionFailed,
            Some(Keys::Passphrase(_)),
        ) => OpenFailure::WrongPassphrase,
        (DecryptError::Io(error), _) => OpenFailure::Damaged(error.to_string()),
        (DecryptError::UnknownFormat, _) => {
            OpenFailure::Damaged("it is an age file of another version".into())
        }
        (DecryptError::InvalidMac, _) => OpenFailure::Damaged("its header was changed".into()),
        (DecryptError::InvalidHeader, _) => {
            OpenFailure::Damaged("its header is not one of an age file".into())
        }
        (_, _) => OpenFailure::Damaged(NO_DECRYPTION.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::NewIdentity;

    fn by(text: &str) -> Identity {
        Identity::from_passphrase(Secret::new(text), "test")
    }

    #[test]
    fn each_recipient_opens_it_and_nobody_else() {
        let (anna, ben, eve) = (NewIdentity::generate(), NewIdentity::generate(), NewIdentity::generate());
        let seal = Seal::Recipients([&anna, &ben].map(|new| new.recipient().clone()).into());
        let sealed = seal.close("hello").unwrap();
        assert!(sealed.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----"));
        for holder in [&anna, &ben] {
            assert_eq!(open(&sealed, &holder.identity("it").unwrap()).unwrap().as_str(), "hello");
        }
        assert!(matches!(open(&sealed, &eve.identity("it").unwrap()), Err(OpenFailure::NoMatchingKey)));
        assert!(matches!(open(&sealed, &by("a passphrase")), Err(OpenFailure::NotByPassphrase)));
    }

    #[test]
    fn any_passphrase_that_a_variable_can_hold_works() {
        let hostile = [
            "'; rm -rf / #$(id)`id`\"",
            "ümläut 🔑 пароль слово",
            "line\nbreak\ttab\\n{{x}}",
            &"x".repeat(10_000),
        ];
        for text in hostile {
            let seal = Seal::Passphrase(Secret::new(text));
            assert!(seal.is_sound());
            let sealed = seal.close("hello").unwrap();
            assert_eq!(open(&sealed, &by(text)).unwrap().as_str(), "hello");
            assert!(matches!(open(&sealed, &by("another one")), Err(OpenFailure::WrongPassphrase)));
            let key = NewIdentity::generate().identity("it").unwrap();
            assert!(matches!(open(&sealed, &key), Err(OpenFailure::NeedsPassphrase)));
        }
    }

    #[test]
    fn a_seal_that_opens_for_nobody_or_anybody_is_not_sound() {
        assert!(!Seal::Recipients(BTreeSet::new()).is_sound());
        for text in ["", "            ", "short"] {
            assert!(!Seal::Passphrase(Secret::new(text)).is_sound(), "{text:?}");
        }
    }
}
