//! Why a certificate could not be made or read.

use thiserror::Error;

/// What went wrong, and what to do about it.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PkiError {
    /// A text without a certificate in it.
    #[error("there is no certificate in it; a certificate begins with -----BEGIN CERTIFICATE-----")]
    NoCertificate,
    /// A certificate that cannot be parsed.
    #[error("the certificate cannot be read: {0}")]
    Unreadable(String),
    /// A CA key that cannot be parsed.
    #[error(
        "the key of the CA cannot be read; it has to be an unencrypted PKCS #8 key (`openssl pkcs8 -topk8 -nocrypt` makes one)"
    )]
    KeyUnreadable,
    /// A certificate that may not issue others.
    #[error("`{0}` is not the certificate of a CA")]
    NotAuthority(String),
    /// Certificate and key of the CA are of two pairs.
    #[error(
        "the key of the CA `{0}` does not belong to its certificate; restore the store from version control"
    )]
    KeyMismatch(String),
    /// The CA is past its end.
    #[error(
        "the CA `{subject}` expired on {on} and can issue nothing; roll it with `deploy certs rotate-ca`"
    )]
    AuthorityExpired {
        /// The CA's common name.
        subject: String,
        /// When it ended.
        on: String,
    },
    /// Not a name that a certificate can carry.
    #[error(
        "`{0}` cannot stand in a certificate; a name is an IP address or a host name of letters, digits, - and _"
    )]
    BadName(String),
    /// Not a subject that a certificate can carry.
    #[error("`{0}` cannot be the subject of a certificate; it takes 1 to 64 printable characters")]
    BadSubject(String),
    /// A server that no client could verify.
    #[error("the server certificate `{0}` needs at least one name that clients reach it by")]
    NoNames(String),
    /// No usage asked for.
    #[error("the certificate `{0}` needs a usage: server, client or both")]
    NoUsage(String),
    /// A validity that does not fit a calendar.
    #[error("a validity of {0} days is not possible; it takes from 1 day to some thousand years")]
    BadLifetime(u64),
    /// The library could not make it.
    #[error("the certificate could not be made: {0}")]
    Issue(String),
}

impl From<rcgen::Error> for PkiError {
    fn from(error: rcgen::Error) -> Self {
        Self::Issue(error.to_string())
    }
}
