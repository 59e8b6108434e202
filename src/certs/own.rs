//! Certificates that users bring for their applications. They are made elsewhere; what can be said is when they end, and
//! whether the nodes have them.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::{Entry, State};
use crate::live::Observed;
use crate::render::{Source, certificate_path};
use crate::resource::{Id, sha256};

/// Days before its end at which somebody should see to a new one.
pub const WINDOW_DAYS: i64 = 30;

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
            let days = within.unwrap_or_default().max(WINDOW_DAYS);
            let (state, problem) = match (seen, own.due(now, days)) {
                (None, _) => (State::Unknown, Some("the node does not answer".into())),
                (_, Some(words)) if certificate.not_after < now || certificate.not_before > now => {
                    (State::Wrong, Some(words))
                }
                (..) if there != Some(&wanted) => (State::Wrong, Some("the node does not have it".into())),
                (_, Some(words)) => (State::Due, Some(words)),
                (_, None) => (State::Ok, None),
            };
            all.push(Entry {
                node: node.clone(),
                service: "haproxy".into(),
                name: format!("application {application}"),
                path: path.trim_end_matches(".pem").to_owned(),
                serial: Some(certificate.serial.clone()),
                served: BTreeMap::new(),
                issuer: Some(certificate.issuer.clone()),
                names: certificate.names.iter().map(ToString::to_string).collect(),
                days_left: Some(certificate.days_left(now)),
                expires: Some(certificate.not_after.date().to_string()),
                state,
                problem,
                remedy: None,
                own: Some(own.path.clone()),
            });
        }
    }
    all
}
