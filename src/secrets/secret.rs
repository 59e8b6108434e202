//! A text that must not be shown: no `Display`, a `Debug` that hides it, wiped from memory when dropped.

use std::fmt;
use std::hint::black_box;

use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Keeps fingerprints of secrets apart from any other use of SHA-256.
const FINGERPRINT_DOMAIN: &[u8] = b"deploy secret fingerprint v1\0";

/// A password, a key or a passphrase. The one way to its text is [`Secret::expose`], so every use can be searched for.
///
/// Equality takes the same time wherever two secrets of one length differ. There is no `Serialize`: a secret leaves the
/// process only by a path that names it.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes over `text`; the caller's copy is gone, and the memory is wiped when the secret is dropped.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself, for the one place that writes it where it belongs.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is no text at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Eight hexadecimal digits that stand for the secret in a plan: the same secret, the same digits.
    ///
    /// It says nothing useful about a generated secret. A short password that a person chose could be looked for in a
    /// word list with it, so a plan that leaves the house should hold generated secrets only.
    pub fn fingerprint(&self) -> String {
        let digest =
            Sha256::new().chain_update(FINGERPRINT_DOMAIN).chain_update(self.0.as_bytes()).finalize();
        format!("{digest:x}").chars().take(8).collect()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        same_bytes(self.0.as_bytes(), other.0.as_bytes())
    }
}

impl Eq for Secret {}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// Compares without stopping at the first difference, so that time does not tell how much was right.
pub(super) fn same_bytes(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && black_box(left.iter().zip(right).fold(0, |acc, (a, b)| acc | (a ^ b))) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_text_also_inside_other_types() {
        assert_eq!(format!("{:?}", Some(Secret::new("hunter2"))), "Some(Secret(***))");
    }

    #[test]
    fn equality_is_by_content() {
        assert_eq!(Secret::new("abc"), Secret::new("abc"));
        assert_ne!(Secret::new("abc"), Secret::new("abd"));
        assert_ne!(Secret::new("abc"), Secret::new("abcd"));
    }

    #[test]
    fn the_fingerprint_follows_the_text_and_is_not_a_plain_hash() {
        let print = Secret::new("abc").fingerprint();
        assert_eq!(print, Secret::new("abc").fingerprint());
        assert_ne!(print, Secret::new("abd").fingerprint());
        assert_eq!(print.len(), 8);
        assert_ne!(print, "ba7816bf", "sha256 of the bare text");
    }
}
