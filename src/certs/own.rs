//! Certificates that users bring for their applications. They are made elsewhere; what can be said is when they end,
//! whether the nodes have them, and whether clients are shown them.

use time::OffsetDateTime;

use super::{Entry, State, short};
use crate::cluster::{Node, bracketed};
use crate::live::Observed;
use crate::pki::Certificate;
use crate::render::{Source, certificate_path};
use crate::resource::{Call, Id, pem, sha256};

/// Days before its end at which somebody should see to a new one.
pub const WINDOW_DAYS: i64 = 30;

/// The port of applications.
const PORT: u16 = 443;

fn id(application: &str) -> Id {
    Id::new("served", format!("{PORT} {application}"))
}

/// What to ask of a node: a handshake for the first host of each application that brings one.
pub fn probes(source: &Source, node: &Node) -> Vec<(Id, Call)> {
    if !node.roles.contains("haproxy") {
        return Vec::new();
    }
    let hosts = source.own_certificates.keys().filter_map(|application| {
        let host = source.cluster.inventory.applications.get(application)?.hosts.first()?;
        Some((application, host))
    });
    let address = bracketed(node.address);
    let call = |host: &String| {
        Call::new("served_probe", [address.clone(), PORT.to_string(), String::new(), host.clone()])
    };
    hosts.map(|(application, host)| (id(application), call(host))).collect()
}

/// One entry for each of them on each node of HAProxy.
pub fn entries(source: &Source, observed: &Observed, within: Option<i64>, now: OffsetDateTime) -> Vec<Entry> {
    let mut all = Vec::new();
    for (node, _) in source.cluster.with_role("haproxy") {
        for (application, own) in &source.own_certificates {
            let Ok(certificate) = own.certificate() else { continue };
            let path = certificate_path(application);
            let wanted = sha256(own.content().as_bytes());
            let seen = observed.get(node);
            let there = seen.and_then(|seen| seen.fields.get(&Id::new("file", &path))?.get("sha256"));
            let served = seen
                .and_then(|seen| seen.fields.get(&id(application)))
                .and_then(|fields| Certificate::parse(&pem(fields, "served")?).ok());
            let days = within.unwrap_or_default().max(WINDOW_DAYS);
            let (state, problem) = match (seen, own.due(now, days)) {
                (None, _) => (State::Unknown, Some("the node does not answer".into())),
                (_, Some(words)) if certificate.not_after < now || certificate.not_before > now => {
                    (State::Wrong, Some(words))
                }
                (..) if there != Some(&wanted) => (State::Wrong, Some("the node does not have it".into())),
                _ if served.as_ref().is_none_or(|served| served.fingerprint != certificate.fingerprint) => {
                    let what = served.as_ref().map_or_else(
                        || "none".to_owned(),
                        |served| format!("another one, {}", short(&served.serial)),
                    );
                    (State::Wrong, Some(format!("port {PORT} serves {what}")))
                }
                (_, Some(words)) => (State::Due, Some(words)),
                (_, None) => (State::Ok, None),
            };
            all.push(Entry {
                node: node.clone(),
                service: "haproxy".into(),
                name: format!("application {application}"),
                path: path.trim_end_matches(".pem").to_owned(),
                serial: Some(certificate.serial.clone()),
                served: [(PORT, served.map(|served| served.serial))].into(),
                issuer: Some(certificate.issuer.clone()),
                names: certificate.names.iter().map(ToString::to_string).collect(),
                days_left: Some(certificate.days_left(now)),
                expires: Some(certificate.not_after.date().to_string()),
                state,
                problem,
                remedy: None,
                own: Some(own.path.clone()),
                untaken: false,
            });
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use time::macros::datetime;

    use super::*;
    use crate::cluster::NodeName;
    use crate::live::{Observation, fixture};
    use crate::pki::{Authority, LeafRequest, OwnCertificate, Trust, Usage};
    use crate::resource::Fields;
    use crate::secrets::Secret;

    const NOW: OffsetDateTime = datetime!(2026-05-01 12:00 UTC);

    #[test]
    fn one_counts_when_a_handshake_has_shown_it() {
        let authority = Authority::create("elsewhere", NOW, 10, &mut rand::rng()).unwrap();
        let made = || {
            let request = LeafRequest {
                days: 365,
                ..LeafRequest::new("shop", ["shop.example.org".parse().unwrap()], [Usage::Server])
            };
            authority.issue(&request, NOW, &mut rand::rng()).unwrap()
        };
        let (leaf, other) = (made(), made());
        let text = "applications: { shop: { hosts: [shop.example.org], nodes: [n1], port: 8080 } }\n";
        let mut source = fixture::source(&format!("{}{text}", fixture::THREE), Trust::settled("", "0"));
        let own = OwnCertificate {
            path: "shop.crt".into(),
            chain: leaf.certificate_pem.clone(),
            key: Secret::new("(key)\n"),
        };
        let hash = sha256(own.content().as_bytes());
        source.own_certificates.insert("shop".into(), own);
        let said = |served: &str| {
            let file = Fields::from([("sha256".to_owned(), hash.clone())]);
            let shown = Fields::from([("served".to_owned(), served.replace('\n', "|"))]);
            let path = Id::new("file", certificate_path("shop"));
            let seen = Observation {
                facts: fixture::facts(13),
                fields: BTreeMap::from([(path, file), (id("shop"), shown)]),
            };
            let observed = Observed::from([(NodeName::from("n1"), seen)]);
            let entry = entries(&source, &observed, None, NOW).remove(0);
            (entry.state, entry.problem.unwrap_or_default())
        };
        assert_eq!(said(&leaf.certificate_pem), (State::Ok, String::new()));
        let another = format!("port 443 serves another one, {}", short(&other.certificate.serial));
        assert_eq!(said(&other.certificate_pem), (State::Wrong, another));
        assert_eq!(said(""), (State::Wrong, "port 443 serves none".into()));
    }
}
