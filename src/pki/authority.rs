//! The certificate authority of one cluster.

use std::fmt;
use std::str::FromStr;

use rand::CryptoRng;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber,
};
use time::{Duration, OffsetDateTime, UtcOffset};

use super::certificate::{Certificate, hex_sha256};
use super::error::PkiError;
use super::leaf::{Leaf, LeafRequest};
use super::san::San;
use super::usage::Usage;
use crate::secrets::{CaMaterial, Secret};

/// Validity begins this much before the clock says now: a node's clock may be behind.
const BACKDATED: Duration = Duration::hours(1);

/// A CA that can issue: its certificate and its key.
pub struct Authority {
    certificate: Certificate,
    certificate_pem: String,
    key: Secret,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Ten years: the CA outlives many leaves, and is rolled long before its end.
    pub const DEFAULT_YEARS: u32 = 10;

    /// Makes a CA with a key of its own, named `<cluster> deploy CA <yyyy-mm>`.
    ///
    /// The subject also carries the first digits of the key's hash, so that two CAs of one month, trusted side by side
    /// while one is rolled, never share a subject.
    pub fn create<R: CryptoRng + ?Sized>(
        cluster: &str,
        now: OffsetDateTime,
        years: u32,
        rng: &mut R,
    ) -> Result<Self, PkiError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let now = now.to_offset(UtcOffset::UTC);
        let printable = cluster.chars().filter(|character| !character.is_control());
        let cluster: String = printable.take(40).collect();
        let name = format!("{cluster} deploy CA {}-{:02}", now.year(), u8::from(now.month()));
        let mut params = CertificateParams::default();
        // A year of 365 days and a quarter, as a calendar has them on average.
        (params.not_before, params.not_after) = validity(now, u64::from(years) * 1461 / 4)?;
        params.serial_number = Some(serial(rng));
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let spki = hex_sha256(&key.subject_public_key_info());
        params.distinguished_name.push(DnType::OrganizationalUnitName, &spki[..8]);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.use_authority_key_identifier_extension = true;
        let pem = params.self_signed(&key)?.pem();
        Self::load(&pem, &Secret::new(key.serialize_pem()))
    }

    /// Takes a CA from the two PEM texts that the store keeps, and checks that they belong together.
    pub fn load(certificate_pem: &str, key: &Secret) -> Result<Self, PkiError> {
        let certificate = Certificate::parse(certificate_pem)?;
        if !certificate.is_authority {
            return Err(PkiError::NotAuthority(certificate.subject));
        }
        let pair = KeyPair::from_pem(key.expose()).map_err(|_| PkiError::KeyUnreadable)?;
        if hex_sha256(&pair.subject_public_key_info()) != certificate.spki_sha256 {
            return Err(PkiError::KeyMismatch(certificate.subject));
        }
        let issuer = Issuer::from_ca_cert_der(&certificate.der().into(), pair)?;
        Ok(Self { certificate, certificate_pem: certificate_pem.into(), key: key.clone(), issuer })
    }

    /// Takes a CA from the store.
    pub fn from_material(material: &CaMaterial) -> Result<Self, PkiError> {
        Self::load(&material.certificate, &material.key)
    }

    /// The CA as the store keeps it.
    pub fn to_material(&self) -> CaMaterial {
        CaMaterial { certificate: self.certificate_pem.clone(), key: self.key.clone() }
    }

    /// What its certificate says.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Its certificate, PEM: what every node trusts.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Issues a certificate with a key of its own and a random serial.
    ///
    /// It begins an hour ago, and does not outlive the CA: past that it would be worthless, and nobody would see it.
    pub fn issue<R: CryptoRng + ?Sized>(
        &self,
        request: &LeafRequest,
        now: OffsetDateTime,
        rng: &mut R,
    ) -> Result<Leaf, PkiError> {
        request.check()?;
        if now >= self.certificate.not_after {
            let subject = self.certificate.subject.clone();
            return Err(PkiError::AuthorityExpired {
                subject,
                on: self.certificate.not_after.date().to_string(),
            });
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        let (not_before, not_after) = validity(now, u64::from(request.days))?;
        params.not_before = not_before;
        params.not_after = not_after.min(self.certificate.not_after);
        params.serial_number = Some(serial(rng));
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, &request.common_name);
        params.subject_alt_names = request.names.iter().map(san).collect::<Result<_, _>>()?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = request.usages.iter().map(|usage| extended(*usage)).collect();
        params.use_authority_key_identifier_extension = true;
        let certificate_pem = params.signed_by(&key, &self.issuer)?.pem();
        let certificate = Certificate::parse(&certificate_pem)?;
        // An imported CA may have a subject that is not written back byte for byte; clients would not find the issuer.
        if !certificate.is_issued_by(&self.certificate) {
            return Err(PkiError::Issue(format!(
                "`{}` did not sign it as clients expect",
                self.certificate.subject
            )));
        }
        Ok(Leaf { certificate_pem, key: Secret::new(key.serialize_pem()), certificate })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({})", self.certificate.subject)
    }
}

fn validity(now: OffsetDateTime, days: u64) -> Result<(OffsetDateTime, OffsetDateTime), PkiError> {
    let bad = || PkiError::BadLifetime(days);
    // Certificates know whole seconds.
    let now = now.to_offset(UtcOffset::UTC).replace_nanosecond(0).map_err(|_| bad())?;
    let length = i64::try_from(days).ok().filter(|days| (1..4_000_000).contains(days)).ok_or_else(bad)?;
    let end = now.checked_add(Duration::days(length)).ok_or_else(bad)?;
    Ok((now.checked_sub(BACKDATED).ok_or_else(bad)?, end))
}

/// Sixteen random bytes that read as a positive number without a leading zero.
fn serial<R: CryptoRng + ?Sized>(rng: &mut R) -> SerialNumber {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::from_slice(&bytes)
}

fn san(name: &San) -> Result<SanType, PkiError> {
    Ok(match name {
        San::Ip(address) => SanType::IpAddress(*address),
        // Checked once more: the variant can be made without `from_str`.
        San::Dns(text) if San::from_str(text).as_ref() == Ok(name) => {
            SanType::DnsName(text.as_str().try_into()?)
        }
        San::Dns(text) => return Err(PkiError::BadName(text.clone())),
    })
}

fn extended(usage: Usage) -> ExtendedKeyUsagePurpose {
    match usage {
        Usage::Server => ExtendedKeyUsagePurpose::ServerAuth,
        Usage::Client => ExtendedKeyUsagePurpose::ClientAuth,
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2025-11-21 10:30:00.5 +2);

    fn rng() -> StdRng {
        StdRng::seed_from_u64(1)
    }

    fn authority() -> Authority {
        Authority::create("lab", NOW, 10, &mut rng()).unwrap()
    }

    fn request() -> LeafRequest {
        LeafRequest::new(
            "etcd m1",
            ["m1".parse().unwrap(), "10.0.0.1".parse().unwrap()],
            [Usage::Server, Usage::Client],
        )
    }

    #[test]
    fn a_ca_survives_the_store() {
        let first = authority();
        let again = Authority::from_material(&first.to_material()).unwrap();
        assert_eq!(again.certificate().subject, "lab deploy CA 2025-11");
        assert_eq!(again.certificate().not_before, datetime!(2025-11-21 7:30 UTC));
        assert_eq!((again.certificate().not_after - NOW).whole_days(), 3651);
        let leaf = again.issue(&request(), NOW, &mut rng()).unwrap();
        assert!(leaf.certificate.is_issued_by(first.certificate()));
    }

    #[test]
    fn a_leaf_says_what_was_asked_and_no_two_share_a_serial_or_key() {
        let (ca, mut rng) = (authority(), rng());
        let leaf = ca.issue(&request(), NOW, &mut rng).unwrap();
        let seen = &leaf.certificate;
        assert_eq!(seen.subject, "etcd m1");
        assert_eq!(seen.names, request().names);
        assert_eq!(seen.usages, request().usages);
        assert_eq!(seen.not_before, datetime!(2025-11-21 7:30 UTC));
        assert_eq!(seen.not_after, datetime!(2026-11-21 8:30 UTC));
        assert_eq!(seen.serial.len(), 32);
        assert!(!seen.is_authority);
        let other = ca.issue(&request(), NOW, &mut rng).unwrap();
        assert_ne!(other.certificate.serial, seen.serial);
        assert_ne!(other.certificate.spki_sha256, seen.spki_sha256);
        assert_ne!(other.key, leaf.key);
    }

    #[test]
    fn a_leaf_never_outlives_its_ca_and_an_expired_ca_issues_nothing() {
        let ca = authority();
        let end = ca.certificate().not_after;
        let late = ca.issue(&request(), end - Duration::days(9), &mut rng()).unwrap();
        assert_eq!(late.certificate.not_after, end);
        let error = ca.issue(&request(), end, &mut rng()).unwrap_err();
        assert!(error.to_string().contains("rotate-ca"), "{error}");
    }

    #[test]
    fn a_ca_that_does_not_fit_together_is_refused() {
        let (one, two) = (authority(), authority());
        assert_ne!(one.certificate().fingerprint, two.certificate().fingerprint);
        let refused = |pem: &str, key: &Secret| Authority::load(pem, key).unwrap_err();
        assert!(matches!(refused(one.certificate_pem(), &two.key), PkiError::KeyMismatch(_)));
        assert_eq!(refused(one.certificate_pem(), &Secret::new("nonsense")), PkiError::KeyUnreadable);
        assert_eq!(refused("nonsense", &one.key), PkiError::NoCertificate);
        let leaf = one.issue(&request(), NOW, &mut rng()).unwrap();
        assert!(matches!(refused(&leaf.certificate_pem, &leaf.key), PkiError::NotAuthority(_)));
    }

    #[test]
    fn impossible_requests_are_refused() {
        let ca = authority();
        let refused = |change: &dyn Fn(&mut LeafRequest)| {
            let mut request = request();
            change(&mut request);
            ca.issue(&request, NOW, &mut rng()).unwrap_err()
        };
        assert!(matches!(refused(&|it| it.common_name.clear()), PkiError::BadSubject(_)));
        assert!(matches!(refused(&|it| it.common_name = "x".repeat(65)), PkiError::BadSubject(_)));
        assert!(matches!(refused(&|it| it.common_name = "a\nb".into()), PkiError::BadSubject(_)));
        assert!(matches!(refused(&|it| it.names.clear()), PkiError::NoNames(_)));
        assert!(matches!(refused(&|it| it.usages.clear()), PkiError::NoUsage(_)));
        assert!(matches!(refused(&|it| it.days = 0), PkiError::BadLifetime(0)));
        assert!(matches!(refused(&|it| it.days = u32::MAX), PkiError::BadLifetime(_)));
        assert!(matches!(refused(&|it| it.names = [San::Dns("a b".into())].into()), PkiError::BadName(_)));
        assert!(Authority::create("x", NOW, 0, &mut rng()).is_err());
        assert!(Authority::create(&"ü\n".repeat(500), NOW, 10, &mut rng()).is_ok());
    }
}
