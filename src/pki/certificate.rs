//! A certificate as it was read: from the store, from a node's file, or from a handshake. Pure.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate, X509Name};

use super::error::PkiError;
use super::san::San;
use super::usage::Usage;

/// What a certificate says of itself. Hexadecimal fields are in lower case and without colons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The serial number, whole bytes in hexadecimal (openssl prints the same digits in upper case).
    pub serial: String,
    /// The subject's common name, or its whole name where it has none.
    pub subject: String,
    /// The issuer's common name, or its whole name where it has none.
    pub issuer: String,
    /// The host names and addresses that it vouches for.
    pub names: BTreeSet<San>,
    /// What it may be used for, of the usages that matter here.
    pub usages: BTreeSet<Usage>,
    /// Whether it may issue others.
    pub is_authority: bool,
    /// The first second of its validity.
    pub not_before: OffsetDateTime,
    /// The last second of its validity.
    pub not_after: OffsetDateTime,
    /// SHA-256 of the public key (`SubjectPublicKeyInfo`, DER): the same as for the key that belongs to it, as
    /// `openssl pkey -in KEY -pubout -outform DER | sha256sum` prints it.
    pub spki_sha256: String,
    /// SHA-256 of the whole certificate (DER).
    pub fingerprint: String,
    der: Vec<u8>,
}

impl Certificate {
    /// Reads the first certificate of a PEM text, which may hold a chain or a key as well.
    pub fn parse(pem: &str) -> Result<Self, PkiError> {
        Self::first(pem)?.ok_or(PkiError::NoCertificate)
    }

    /// Reads every certificate of a PEM text: a node's trust bundle.
    pub fn parse_all(pem: &str) -> Result<Vec<Self>, PkiError> {
        blocks(pem).map(|der| Self::from_der(&der?)).collect()
    }

    /// The day, in UTC, on which the last certificate of a PEM text ended, where none is valid at `now` any more.
    pub fn ended(pem: &str, now: OffsetDateTime) -> Option<String> {
        let last = Self::parse_all(pem).ok()?.iter().map(|certificate| certificate.not_after).max()?;
        (last <= now).then(|| last.date().to_string())
    }

    /// Reads a certificate as a handshake shows it.
    pub fn from_der(der: &[u8]) -> Result<Self, PkiError> {
        let (rest, parsed) =
            X509Certificate::from_der(der).map_err(|error| PkiError::Unreadable(error.to_string()))?;
        if !rest.is_empty() {
            return Err(PkiError::Unreadable("there are bytes after its end".into()));
        }
        let (mut names, mut usages) = (BTreeSet::new(), BTreeSet::new());
        for extension in parsed.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(alternative) => {
                    names.extend(alternative.general_names.iter().filter_map(san));
                }
                ParsedExtension::ExtendedKeyUsage(usage) => {
                    usages.extend(usage.server_auth.then_some(Usage::Server));
                    usages.extend(usage.client_auth.then_some(Usage::Client));
                }
                _ => {}
            }
        }
        Ok(Self {
            serial: hex(parsed.raw_serial().strip_prefix(&[0]).unwrap_or(parsed.raw_serial())),
            subject: name(parsed.subject()),
            issuer: name(parsed.issuer()),
            names,
            usages,
            is_authority: parsed.is_ca(),
            not_before: parsed.validity().not_before.to_datetime(),
            not_after: parsed.validity().not_after.to_datetime(),
            spki_sha256: hex_sha256(parsed.public_key().raw),
            fingerprint: hex_sha256(der),
            der: der.to_vec(),
        })
    }

    /// The certificate's bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The certificate as PEM, in lines of 64 characters (RFC 7468).
    pub fn pem(&self) -> String {
        let text = STANDARD.encode(&self.der);
        let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy);
        let lines = lines.collect::<Vec<_>>().join("\n");
        format!("-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n")
    }

    /// Whether `authority` may issue, is named as the issuer, and made the signature.
    pub fn is_issued_by(&self, authority: &Self) -> bool {
        let (Ok((_, ours)), Ok((_, theirs))) =
            (X509Certificate::from_der(&self.der), X509Certificate::from_der(&authority.der))
        else {
            return false;
        };
        authority.is_authority
            && ours.issuer().as_raw() == theirs.subject().as_raw()
            && ours.verify_signature(Some(theirs.public_key())).is_ok()
    }

    /// Whole days until it expires, rounded down; negative once it has.
    pub fn days_left(&self, now: OffsetDateTime) -> i64 {
        (self.not_after - now).whole_seconds().div_euclid(24 * 60 * 60)
    }

    fn first(pem: &str) -> Result<Option<Self>, PkiError> {
        blocks(pem).next().map(|der| Self::from_der(&der?)).transpose()
    }
}

fn blocks(pem: &str) -> impl Iterator<Item = Result<Vec<u8>, PkiError>> {
    Pem::iter_from_buffer(pem.as_bytes()).filter_map(|block| match block {
        Ok(block) => (block.label == "CERTIFICATE").then_some(Ok(block.contents)),
        Err(error) => Some(Err(PkiError::Unreadable(error.to_string()))),
    })
}

fn name(name: &X509Name<'_>) -> String {
    let common = name.iter_common_name().next().and_then(|attribute| attribute.as_str().ok());
    common.map_or_else(|| name.to_string(), str::to_owned)
}

/// Names of other kinds, and names that no request can hold, are none that a client of ours asks for.
fn san(name: &GeneralName<'_>) -> Option<San> {
    match name {
        GeneralName::DNSName(text) => text.parse().ok(),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| San::Ip(Ipv4Addr::from(bytes).into())),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| San::Ip(Ipv6Addr::from(bytes).into())),
        },
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(super) fn hex_sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;
    use crate::pki::{Authority, LeafRequest};

    const NOW: OffsetDateTime = datetime!(2025-11-21 10:30 UTC);

    #[test]
    fn a_bundle_is_read_whole_and_a_chain_by_its_first() {
        let mut rng = rand::rng();
        let (old, new) =
            ["old", "new"].map(|name| Authority::create(name, NOW, 10, &mut rng).unwrap()).into();
        let leaf = new.issue(&LeafRequest::new("replicator", [], [Usage::Client]), NOW, &mut rng).unwrap();
        let bundle = format!("# trusted\n{}\n{}", old.certificate_pem(), new.certificate_pem());
        assert_eq!(Certificate::parse_all(&bundle).unwrap().len(), 2);
        assert_eq!(Certificate::parse_all("").unwrap(), []);
        let combined = format!("{}{}{}", leaf.key.expose(), leaf.certificate_pem, new.certificate_pem());
        let seen = Certificate::parse(&combined).unwrap();
        assert_eq!(seen, leaf.certificate);
        assert!(seen.is_issued_by(new.certificate()) && !seen.is_issued_by(old.certificate()));
        assert!(!new.certificate().is_issued_by(&seen), "a leaf issues nothing");
        assert_eq!(Certificate::from_der(seen.der()), Ok(seen));
    }

    #[test]
    fn days_left_are_rounded_down() {
        let ca = Authority::create("lab", NOW, 4, &mut rand::rng()).unwrap();
        let left = |now| ca.certificate().days_left(now);
        assert_eq!(left(NOW), 1461);
        assert_eq!(left(ca.certificate().not_after - time::Duration::hours(23)), 0);
        assert_eq!(left(ca.certificate().not_after + time::Duration::hours(1)), -1);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "(-----BEGIN CERTIFICATE-----\n)?[A-Za-z0-9+/=\n]{0,200}(-----END CERTIFICATE-----)?", bytes: Vec<u8>) {
            let _ = Certificate::parse(&text);
            let _ = Certificate::from_der(&bytes);
        }
    }
}
