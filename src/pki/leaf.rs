//! A leaf certificate: what is wanted of one, and one that was issued.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::certificate::Certificate;
use super::error::PkiError;
use super::san::San;
use super::usage::Usage;
use crate::secrets::Secret;

/// What a certificate is to say. A plan holds this, never a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeafRequest {
    /// The subject; where a service maps a client's certificate to a user, the user's name.
    pub common_name: String,
    /// The names and addresses that clients reach it by. The common name is not added to them.
    pub names: BTreeSet<San>,
    /// What it may be used for.
    pub usages: BTreeSet<Usage>,
    /// How long it is valid, in days of 24 hours.
    pub days: u32,
}

impl LeafRequest {
    /// The validity that is used where nothing else is asked for.
    pub const DEFAULT_DAYS: u32 = 365;

    /// A certificate of [`Self::DEFAULT_DAYS`].
    pub fn new(
        common_name: impl Into<String>,
        names: impl IntoIterator<Item = San>,
        usages: impl IntoIterator<Item = Usage>,
    ) -> Self {
        Self {
            common_name: common_name.into(),
            names: names.into_iter().collect(),
            usages: usages.into_iter().collect(),
            days: Self::DEFAULT_DAYS,
        }
    }

    /// Refuses what no certificate can carry, or what no client could verify.
    pub fn check(&self) -> Result<(), PkiError> {
        check_subject(&self.common_name)?;
        if self.usages.is_empty() {
            return Err(PkiError::NoUsage(self.common_name.clone()));
        }
        if self.usages.contains(&Usage::Server) && self.names.is_empty() {
            return Err(PkiError::NoNames(self.common_name.clone()));
        }
        if self.days == 0 {
            return Err(PkiError::BadLifetime(0));
        }
        Ok(())
    }
}

/// A certificate and the key that was made for it.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// Its private key, PKCS #8 in PEM. It goes to its node and is kept nowhere else.
    pub key: Secret,
    /// The certificate read back: its serial is what a handshake has to show afterwards.
    pub certificate: Certificate,
}

/// RFC 5280 appendix A.1 gives a common name 64 characters at most.
pub(super) fn check_subject(name: &str) -> Result<(), PkiError> {
    let fits = (1..=64).contains(&name.chars().count());
    if fits && !name.chars().any(char::is_control) && !name.trim().is_empty() {
        return Ok(());
    }
    Err(PkiError::BadSubject(name.chars().take(80).filter(|character| !character.is_control()).collect()))
}
