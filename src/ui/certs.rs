//! The certificates of a cluster, for people.

use std::fmt::Write;

use super::table::{Cell, Tone, table};
use crate::certs::{AuthorityEntry, Entry, Report, State, short};
use crate::cluster::NodeName;

/// Both tables, and what to do about what is wrong.
pub fn certs(report: &Report) -> String {
    let rows: Vec<Vec<Cell>> = report.certificates.iter().map(row).collect();
    let heading = [
        "NODE",
        "SERVICE",
        "NAME",
        "NAMES",
        "PORTS",
        "SERIAL",
        "SERVED",
        "DAYS LEFT",
        "ENDS",
        "ISSUER",
        "STATE",
    ];
    let mut text = table(&heading, &rows);
    text.push('\n');
    text.push_str(&authorities(&report.authorities));
    let authorities = report.authorities.iter().map(|authority| &authority.remedy);
    let certificates = report.certificates.iter().map(|entry| &entry.remedy);
    let mut remedies: Vec<&String> = authorities.chain(certificates).flatten().collect();
    remedies.dedup();
    if !remedies.is_empty() {
        text.push_str("\nto mend it\n");
        for remedy in remedies {
            let _ = writeln!(text, "  {remedy}");
        }
    }
    text
}

fn row(entry: &Entry) -> Vec<Cell> {
    let word = entry.problem.clone().unwrap_or_else(|| "ok".into());
    let ports = entry.served.keys().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    vec![
        entry.node.as_str().into(),
        entry.service.as_str().into(),
        entry.name.as_str().into(),
        or_dash(names(entry)).into(),
        or_dash((!ports.is_empty()).then_some(ports)).into(),
        or_dash(entry.serial.as_deref().map(short)).into(),
        or_dash(served(entry)).into(),
        or_dash(entry.days_left.map(|days| days.to_string())).into(),
        or_dash(entry.expires.clone()).into(),
        or_dash(entry.issuer.clone()).into(),
        Cell(word, tone(entry.state)),
    ]
}

/// The first of the names that it vouches for, and how many more there are.
fn names(entry: &Entry) -> Option<String> {
    let (first, more) = entry.names.split_first()?;
    Some(if more.is_empty() { first.clone() } else { format!("{first} +{}", more.len()) })
}

/// Whether its ports serve it, and what they serve instead; `None` where it has no port, or nothing is known of them.
fn served(entry: &Entry) -> Option<String> {
    if entry.served.is_empty() || entry.state == State::Unknown {
        return None;
    }
    let other = entry.served.values().filter(|serial| **serial != entry.serial);
    let mut words: Vec<String> =
        other.map(|serial| serial.as_deref().map_or_else(|| "no answer".into(), short)).collect();
    words.dedup();
    Some(if words.is_empty() { "yes".into() } else { words.join(" ") })
}

fn tone(state: State) -> Tone {
    match state {
        State::Ok => Tone::Good,
        State::Due | State::Unknown => Tone::Warn,
        State::Wrong => Tone::Bad,
    }
}

fn authorities(all: &[AuthorityEntry]) -> String {
    if all.is_empty() {
        return "the cluster has no authority yet: `deploy apply` makes it\n".into();
    }
    let rows: Vec<Vec<Cell>> = all.iter().map(authority).collect();
    table(&["AUTHORITY", "IS", "FINGERPRINT", "DAYS LEFT", "ENDS", "TRUSTED BY", "STATE"], &rows)
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn entry(names: &[&str], served: &[(u16, Option<&str>)]) -> Entry {
        let served = served.iter().map(|(port, serial)| (*port, serial.map(str::to_owned)));
        Entry {
            node: "n1".into(),
            service: "etcd".into(),
            name: "server".into(),
            path: "/etc/etcd/tls/server".into(),
            serial: Some("aa".into()),
            served: served.collect::<BTreeMap<_, _>>(),
            issuer: None,
            names: names.iter().map(ToString::to_string).collect(),
            days_left: None,
            expires: None,
            state: State::Ok,
            problem: None,
            remedy: None,
            own: None,
            untaken: false,
        }
    }

    #[test]
    fn a_cluster_without_an_authority_is_told_what_makes_one() {
        let text = certs(&Report { certificates: Vec::new(), authorities: Vec::new() });
        assert!(text.ends_with("\nthe cluster has no authority yet: `deploy apply` makes it\n"), "{text}");
    }

    #[test]
    fn the_first_name_stands_for_all_and_the_others_are_counted() {
        assert_eq!(names(&entry(&["n1", "localhost", "10.0.0.1"], &[])).as_deref(), Some("n1 +2"));
        assert_eq!(names(&entry(&["n1"], &[])).as_deref(), Some("n1"));
        assert_eq!(names(&entry(&[], &[])), None);
    }

    #[test]
    fn a_port_serves_it_another_one_or_none() {
        let of = |ports: &[(u16, Option<&str>)]| served(&entry(&[], ports));
        assert_eq!(of(&[(2379, Some("aa")), (2380, Some("aa"))]).as_deref(), Some("yes"));
        assert_eq!(of(&[(2379, Some("aa")), (2380, Some("bb"))]).as_deref(), Some("bb"));
        assert_eq!(of(&[(2379, None), (2380, None)]).as_deref(), Some("no answer"));
        assert_eq!(of(&[]), None);
    }
}
