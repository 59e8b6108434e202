//! The certificates of a cluster, for people.

use std::fmt::Write;

use super::table::{Cell, Tone, table};
use crate::certs::{AuthorityEntry, Entry, Report, State, short};
use crate::cluster::NodeName;

/// Both tables, and what to do about what is wrong. `inventory` is how the user names it.
pub fn certs(report: &Report, inventory: &str) -> String {
    let rows: Vec<Vec<Cell>> = report.certificates.iter().map(row).collect();
    let heading = ["NODE", "SERVICE", "NAME", "PORTS", "SERIAL", "DAYS LEFT", "ENDS", "ISSUER", "STATE"];
    let mut text = table(&heading, &rows);
    text.push('\n');
    let rows: Vec<Vec<Cell>> = report.authorities.iter().map(authority).collect();
    text.push_str(&table(
        &["AUTHORITY", "IS", "FINGERPRINT", "DAYS LEFT", "ENDS", "TRUSTED BY", "STATE"],
        &rows,
    ));
    let mut remedies: Vec<String> = if report.authorities.iter().any(|authority| authority.state != State::Ok)
    {
        vec![format!("deploy certs rotate-ca {inventory}")]
    } else {
        Vec::new()
    };
    if !report.expired() {
        remedies.extend(report.certificates.iter().filter_map(|entry| remedy(entry, inventory)));
    }
    remedies.dedup();
    if !remedies.is_empty() {
        text.push_str("\nto mend it\n");
        for remedy in remedies {
            let _ = writeln!(text, "  {remedy}");
        }
    }
    text
}

/// The command that mends a certificate.
fn remedy(entry: &Entry, inventory: &str) -> Option<String> {
    let (node, service) = (&entry.node, &entry.service);
    let ending = entry.days_left.is_some_and(|left| left <= crate::certs::OWN_WINDOW_DAYS);
    if let Some(path) = entry.own.as_ref().filter(|_| ending && entry.state != State::Ok) {
        return Some(format!("put a new certificate into {path}, then: deploy apply {inventory}"));
    }
    match entry.state {
        State::Ok | State::Unknown => None,
        State::Due => Some(format!("deploy certs renew {inventory} --on {node} --service {service} --force")),
        State::Wrong => Some(format!("deploy apply {inventory}")),
    }
}

fn row(entry: &Entry) -> Vec<Cell> {
    let word = entry.problem.clone().unwrap_or_else(|| "ok".into());
    let ports = entry.served.keys().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    vec![
        entry.node.as_str().into(),
        entry.service.as_str().into(),
        entry.name.as_str().into(),
        or_dash((!ports.is_empty()).then_some(ports)).into(),
        or_dash(entry.serial.as_deref().map(short)).into(),
        or_dash(entry.days_left.map(|days| days.to_string())).into(),
        or_dash(entry.expires.clone()).into(),
        or_dash(entry.issuer.clone()).into(),
        Cell(word, tone(entry.state)),
    ]
}

fn tone(state: State) -> Tone {
    match state {
        State::Ok => Tone::Good,
        State::Due | State::Unknown => Tone::Warn,
        State::Wrong => Tone::Bad,
    }
}

fn authority(entry: &AuthorityEntry) -> Vec<Cell> {
    let nodes = entry.trusted_by.iter().map(NodeName::as_str).collect::<Vec<_>>().join(" ");
    vec![
        entry.subject.as_str().into(),
        entry.role.into(),
        short(&entry.fingerprint).into(),
        entry.days_left.to_string().into(),
        entry.expires.as_str().into(),
        if nodes.is_empty() { Cell("nobody".into(), Tone::Warn) } else { nodes.into() },
        Cell(entry.problem.clone().unwrap_or_else(|| "ok".into()), tone(entry.state)),
    ]
}
