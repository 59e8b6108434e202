//! A public age key: someone who may open the store.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// An x25519 recipient, `age1…`. Holds only text that `age` accepts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Recipient(String);

impl Recipient {
    /// The text form, `age1…`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn of(identity: &age::x25519::Identity) -> Self {
        Self(identity.to_public().to_string())
    }
}

/// Why a text is not a recipient.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RecipientError {
    /// A private key where a public one belongs; its text is not repeated.
    #[error(
        "this is a private identity, not a recipient; put its `# public key:` line (age1…) here, and keep it secret"
    )]
    Private,
    /// An SSH key.
    #[error(
        "ssh keys cannot open the store; make an age identity with `deploy init` or `age-keygen`, and put its age1… key here"
    )]
    Ssh,
    /// Anything else.
    #[error("`{0}` is not an age recipient; it begins with age1 and is the public key of an identity, whole")]
    Malformed(String),
}

impl FromStr for Recipient {
    type Err = RecipientError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.to_ascii_uppercase().contains("AGE-SECRET-KEY") {
            return Err(RecipientError::Private);
        }
        if text.starts_with("ssh-") {
            return Err(RecipientError::Ssh);
        }
        match age::x25519::Recipient::from_str(text) {
            Ok(recipient) => Ok(Self(recipient.to_string())),
            Err(_) => Err(RecipientError::Malformed(text.chars().take(80).collect())),
        }
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_key_is_a_recipient() {
        let text = age::x25519::Identity::generate().to_public().to_string();
        assert_eq!(format!(" {text}\n").parse::<Recipient>().unwrap().as_str(), text);
    }

    #[test]
    fn a_private_key_is_refused_and_not_repeated() {
        use age::secrecy::ExposeSecret;
        let text = age::x25519::Identity::generate().to_string();
        let error = text.expose_secret().parse::<Recipient>().unwrap_err();
        assert_eq!(error, RecipientError::Private);
        assert!(!error.to_string().contains(text.expose_secret()));
    }

    #[test]
    fn other_texts_are_named() {
        assert_eq!("ssh-ed25519 AAAA".parse::<Recipient>(), Err(RecipientError::Ssh));
        assert_eq!("age1nope".parse::<Recipient>(), Err(RecipientError::Malformed("age1nope".into())));
        assert!("".parse::<Recipient>().is_err());
    }
}
