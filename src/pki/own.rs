//! A certificate of the user's own: whether it is fit for an application. Pure.

use std::net::IpAddr;

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::certificate::Certificate;
use super::error::PkiError;
use super::san::San;
use crate::secrets::Secret;

/// The files of a user's certificate.
#[derive(Debug, Clone)]
pub struct OwnCertificate {
    /// Where the user keeps the chain, for words about it.
    pub path: String,
    /// The certificate and those of its issuers, PEM, with a line's end.
    pub chain: String,
    /// Its key, PEM.
    pub key: Secret,
}

/// Why a pair of files cannot serve an application.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The first file is no certificate.
    #[error("it holds no certificate that can be read: {0}")]
    Chain(String),
    /// The second file is no key.
    #[error("it holds no private key that can be read")]
    Key,
    /// They are not of one another.
    #[error("it is not the key of the certificate, which is of {0}")]
    Mismatch(String),
    /// The certificate is for other names.
    #[error("the certificate does not vouch for {missing}; it does for {names}")]
    Names {
        /// The host names without a certificate.
        missing: String,
        /// Those that it has.
        names: String,
    },
}

impl OwnCertificate {
    /// The certificate itself.
    pub fn certificate(&self) -> Result<Certificate, PkiError> {
        Certificate::parse(&self.chain)
    }

    /// Chain and key in one text, as HAProxy reads them.
    pub fn content(&self) -> String {
        format!("{}{}", self.chain, self.key.expose())
    }

    /// What keeps it from serving `hosts`, whatever the time.
    pub fn check(&self, hosts: &[String]) -> Result<(), Unfit> {
        let certificate = self.certificate().map_err(|error| Unfit::Chain(error.to_string()))?;
        if public_of(&self.key).ok_or(Unfit::Key)? != certificate.spki_sha256 {
            return Err(Unfit::Mismatch(certificate.subject));
        }
        let missing: Vec<&str> =
            hosts.iter().map(String::as_str).filter(|host| !vouches(&certificate, host)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = certificate.names.iter().map(ToString::to_string).collect();
        let names = if names.is_empty() { "no name".into() } else { names.join(", ") };
        Err(Unfit::Names { missing: missing.join(", "), names })
    }

    /// What is wrong with its time; none while it has more than `days` left.
    pub fn due(&self, now: OffsetDateTime, days: i64) -> Option<String> {
        let certificate = self.certificate().ok()?;
        if now > certificate.not_after {
            return Some(format!("expired on {}", certificate.not_after.date()));
        }
        if now < certificate.not_before {
            return Some(format!("is not valid before {}", certificate.not_before.date()));
        }
        let left = certificate.days_left(now);
        (left <= days).then(|| format!("ends in {left} days"))
    }
}

/// SHA-256 of the public half of a key (`SubjectPublicKeyInfo`, DER).
fn public_of(key: &Secret) -> Option<String> {
    let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes()).ok()?;
    let key = any_supported_type(&key).ok()?;
    let public = key.public_key()?;
    Some(format!("{:x}", Sha256::digest(public.as_ref())))
}

/// Whether a certificate is for a host: by its name, or by a wildcard for one label (RFC 6125).
fn vouches(certificate: &Certificate, host: &str) -> bool {
    certificate.names.iter().any(|name| match name {
        San::Ip(address) => host.parse::<IpAddr>() == Ok(*address),
        San::Dns(name) => match name.strip_prefix("*.") {
            Some(parent) => host.split_once('.').is_some_and(|(_, rest)| rest == parent),
            None => name == host,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{Authority, LeafRequest, Usage};
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2025-11-21 10:30 UTC);

    fn own(names: &[&str]) -> OwnCertificate {
        let authority = Authority::create("elsewhere", NOW, 10, &mut rand::rng()).unwrap();
        let names = names.iter().map(|name| name.parse().unwrap());
        let leaf =
            authority.issue(&LeafRequest::new("x", names, [Usage::Server]), NOW, &mut rand::rng()).unwrap();
        OwnCertificate { path: "x.crt".into(), chain: leaf.certificate_pem, key: leaf.key }
    }

    fn hosts(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_pair_that_names_its_hosts_is_fit() {
        let own = own(&["shop.example.org", "*.apps.example.org"]);
        assert_eq!(own.check(&hosts(&["shop.example.org", "a.apps.example.org"])), Ok(()));
        let refused = own.check(&hosts(&["a.b.apps.example.org", "apps.example.org"])).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the certificate does not vouch for a.b.apps.example.org, apps.example.org; it does for *.apps.example.org, shop.example.org"
        );
    }

    #[test]
    fn files_that_do_not_belong_together_are_told_apart() {
        let hosts = hosts(&["shop.example.org"]);
        let (one, other) = (own(&["shop.example.org"]), own(&["shop.example.org"]));
        let mixed = OwnCertificate { key: other.key.clone(), ..one.clone() };
        assert_eq!(mixed.check(&hosts), Err(Unfit::Mismatch("x".into())));
        let swapped = OwnCertificate { key: Secret::new(one.chain.clone()), ..one.clone() };
        assert_eq!(swapped.check(&hosts), Err(Unfit::Key));
        let empty = OwnCertificate { chain: String::new(), ..one };
        assert!(matches!(empty.check(&hosts), Err(Unfit::Chain(_))));
    }

    #[test]
    fn keys_of_openssl_are_read_in_every_form() {
        let run = |words: &[&str]| {
            let done = std::process::Command::new("openssl").args(words).output().ok()?;
            done.status.success().then(|| String::from_utf8_lossy(&done.stdout).into_owned())
        };
        let forms: [&[&str]; 4] = [
            &["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
            &["genrsa", "-traditional", "2048"],
            &["ecparam", "-genkey", "-name", "prime256v1", "-noout"],
            &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
        ];
        for form in forms {
            let Some(key) = run(form) else { continue };
            assert!(public_of(&Secret::new(key)).is_some(), "{form:?}");
        }
    }

    #[test]
    fn its_end_is_told_before_it_comes() {
        let own = own(&["shop.example.org"]);
        assert_eq!(own.due(NOW, 30), None);
        assert_eq!(own.due(NOW + time::Duration::days(340), 30), Some("ends in 25 days".into()));
        assert!(own.due(NOW + time::Duration::days(400), 30).unwrap().starts_with("expired on"));
    }
}
