//! Compares a certificate on a node with what is wanted of it. Pure: the observation, the clock and the CAs come in.

use std::fmt::Display;

use time::{Duration, OffsetDateTime};

use super::certificate::Certificate;
use super::error::PkiError;
use super::flaw::Flaw;
use super::leaf::LeafRequest;

/// Everything that is wrong with a certificate; nothing, and there is nothing to do.
///
/// - `observed_pem`: the file as it is on the node, empty where there is none; the first certificate in it counts.
/// - `observed_key`: [`Certificate::spki_sha256`] of the key beside it; empty where the key is missing or unreadable, `None`
///   where it was not looked at.
/// - `ca_pems`: the CAs that may have issued it, each one certificate or a bundle.
/// - `window_days`: renewal is due when no more than this is left, yet never before a third of its life has passed, and
///   not when the CA's own end is what limits it: a new leaf would end at the same moment.
pub fn inspect(
    observed_pem: &str,
    observed_key: Option<&str>,
    wanted: &LeafRequest,
    ca_pems: &[&str],
    now: OffsetDateTime,
    window_days: u32,
) -> Vec<Flaw> {
    if observed_pem.trim().is_empty() {
        return vec![Flaw::Missing];
    }
    let seen = match Certificate::parse(observed_pem) {
        Ok(seen) => seen,
        Err(PkiError::Unreadable(detail)) => return vec![Flaw::Unreadable { detail }],
        Err(error) => return vec![Flaw::Unreadable { detail: error.to_string() }],
    };
    let authorities: Vec<_> =
        ca_pems.iter().flat_map(|pem| Certificate::parse_all(pem).unwrap_or_default()).collect();
    let issuers: Vec<_> = authorities.iter().filter(|authority| seen.is_issued_by(authority)).collect();
    let mut flaws = Vec::new();
    if issuers.is_empty() {
        flaws.push(Flaw::NotOurs { issuer: seen.issuer.clone() });
    }
    match observed_key {
        Some(key) if key.trim().is_empty() => flaws.push(Flaw::KeyMissing),
        Some(key) if !key.trim().eq_ignore_ascii_case(&seen.spki_sha256) => flaws.push(Flaw::KeyMismatch),
        _ => {}
    }
    if seen.subject != wanted.common_name {
        flaws.push(Flaw::SubjectDiffers { wanted: wanted.common_name.clone(), found: seen.subject.clone() });
    }
    if seen.names != wanted.names {
        let missing = list(wanted.names.difference(&seen.names));
        flaws.push(Flaw::NamesDiffer { missing, extra: list(seen.names.difference(&wanted.names)) });
    }
    if seen.usages != wanted.usages {
        flaws.push(Flaw::UsagesDiffer { wanted: list(&wanted.usages), found: list(&seen.usages) });
    }
    let limited = issuers.iter().any(|issuer| seen.not_after >= issuer.not_after);
    flaws.extend(time_flaw(&seen, limited, now, window_days));
    flaws
}

fn time_flaw(seen: &Certificate, limited: bool, now: OffsetDateTime, window_days: u32) -> Option<Flaw> {
    if now > seen.not_after {
        return Some(Flaw::Expired { on: seen.not_after.date().to_string() });
    }
    if now < seen.not_before {
        return Some(Flaw::NotYetValid { from: seen.not_before.date().to_string() });
    }
    // Short-lived certificates would be due from the first day on, and every apply would renew them.
    let window = Duration::days(window_days.into()).min((seen.not_after - seen.not_before) * 2 / 3);
    let due = seen.not_after - now <= window && !limited;
    due.then(|| Flaw::RenewalDue { days_left: seen.days_left(now) })
}

fn list<T: Display>(items: impl IntoIterator<Item = T>) -> Vec<String> {
    items.into_iter().map(|item| item.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::pki::{Authority, Leaf, San, Usage};

    const NOW: OffsetDateTime = datetime!(2025-11-21 10:30 UTC);
    const WINDOW: u32 = 30;

    struct Fixture {
        ca: Authority,
        wanted: LeafRequest,
        leaf: Leaf,
    }

    impl Fixture {
        fn new() -> Self {
            Self::of_days(365)
        }

        fn of_days(days: u32) -> Self {
            let ca = Authority::create("lab", NOW, 10, &mut rand::rng()).unwrap();
            let names: [San; 2] = ["w1".parse().unwrap(), "10.0.0.4".parse().unwrap()];
            let wanted = LeafRequest { days, ..LeafRequest::new("postgres w1", names, [Usage::Server]) };
            let leaf = ca.issue(&wanted, NOW, &mut rand::rng()).unwrap();
            Self { ca, wanted, leaf }
        }

        fn at(&self, now: OffsetDateTime) -> Vec<Flaw> {
            let key = Some(self.leaf.certificate.spki_sha256.as_str());
            inspect(&self.leaf.certificate_pem, key, &self.wanted, &[self.ca.certificate_pem()], now, WINDOW)
        }

        fn observed(&self, pem: &str, key: Option<&str>) -> Vec<Flaw> {
            inspect(pem, key, &self.wanted, &[self.ca.certificate_pem()], NOW, WINDOW)
        }
    }

    fn days(count: i64) -> Duration {
        Duration::days(count)
    }

    #[test]
    fn a_certificate_as_wanted_has_no_flaw() {
        let it = Fixture::new();
        assert_eq!(it.at(NOW), []);
        assert_eq!(it.at(NOW + days(334)), []);
        assert_eq!(it.observed(&it.leaf.certificate_pem, None), []);
        let upper = it.leaf.certificate.spki_sha256.to_uppercase();
        assert_eq!(it.observed(&it.leaf.certificate_pem, Some(&upper)), []);
    }

    #[test]
    fn time_makes_flaws() {
        let it = Fixture::new();
        assert_eq!(it.at(NOW + days(335)), [Flaw::RenewalDue { days_left: 30 }]);
        assert_eq!(it.at(NOW + days(365)), [Flaw::RenewalDue { days_left: 0 }]);
        assert_eq!(it.at(NOW + days(366)), [Flaw::Expired { on: "2026-11-21".into() }]);
        assert_eq!(it.at(NOW - days(1)), [Flaw::NotYetValid { from: "2025-11-21".into() }]);
    }

    #[test]
    fn a_short_life_is_not_renewed_at_every_apply() {
        let it = Fixture::of_days(6);
        assert_eq!(it.at(NOW), []);
        assert_eq!(it.at(NOW + days(1)), []);
        assert_eq!(it.at(NOW + days(3)), [Flaw::RenewalDue { days_left: 3 }]);
    }

    #[test]
    fn a_life_that_ends_with_the_ca_is_not_renewed_in_vain() {
        let mut it = Fixture::new();
        let late = it.ca.certificate().not_after - days(20);
        it.leaf = it.ca.issue(&it.wanted, late, &mut rand::rng()).unwrap();
        assert_eq!(it.at(late), []);
        assert!(matches!(it.at(late + days(21))[..], [Flaw::Expired { .. }]));
    }

    #[test]
    fn what_is_not_there_or_not_whole_is_named() {
        let it = Fixture::new();
        assert_eq!(it.observed(" \n", None), [Flaw::Missing]);
        assert!(matches!(it.observed("nonsense", None)[..], [Flaw::Unreadable { .. }]));
        let half = &it.leaf.certificate_pem[..300];
        assert!(matches!(it.observed(half, None)[..], [Flaw::Unreadable { .. }]));
        assert_eq!(it.observed(&it.leaf.certificate_pem, Some("")), [Flaw::KeyMissing]);
        assert_eq!(it.observed(&it.leaf.certificate_pem, Some("00ff")), [Flaw::KeyMismatch]);
    }

    #[test]
    fn another_ca_is_told_by_its_signature_not_by_its_name() {
        let it = Fixture::new();
        let twin = Fixture::new();
        let flaws = it.observed(&twin.leaf.certificate_pem, None);
        assert_eq!(flaws, [Flaw::NotOurs { issuer: "lab deploy CA 2025-11".into() }]);
        let both = [it.ca.certificate_pem(), twin.ca.certificate_pem()];
        assert_eq!(inspect(&twin.leaf.certificate_pem, None, &it.wanted, &both, NOW, WINDOW), []);
        let bundle = both.concat();
        assert_eq!(inspect(&twin.leaf.certificate_pem, None, &it.wanted, &[&bundle], NOW, WINDOW), []);
        assert_eq!(inspect(&it.leaf.certificate_pem, None, &it.wanted, &["broken"], NOW, WINDOW).len(), 1);
    }

    #[test]
    fn every_difference_is_listed_in_clear_words() {
        let mut it = Fixture::new();
        it.wanted.common_name = "postgres w2".into();
        it.wanted.names = ["w2".parse().unwrap(), "10.0.0.4".parse().unwrap()].into();
        it.wanted.usages.insert(Usage::Client);
        let words: Vec<_> = it.at(NOW).iter().map(ToString::to_string).collect();
        assert_eq!(
            words,
            [
                "is of `postgres w1` instead of `postgres w2`",
                "lacks w2 and has no reason to name w1",
                "is for server instead of server and client",
            ]
        );
    }
}
