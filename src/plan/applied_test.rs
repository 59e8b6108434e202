//! A plan that is carried out leaves nothing to do: its calls are played on nodes that are kept in memory, and what those
//! then say is planned for again. What daemons own is left out: the lab suite holds that to the same.

use std::collections::BTreeMap;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use time::OffsetDateTime;

use super::{Plan, build};
use crate::cluster::NodeName;
use crate::live::fixture::source;
use crate::live::{Observation, Observed};
use crate::pki::{Authority, Certificate, Trust};
use crate::render::{Facts, Source};
use crate::resource::{Arg, Call, Change, Fields, Id, Payload, sha256};

const NOW: OffsetDateTime = time::macros::datetime!(2026-01-01 0:00 UTC);
const KINDS: [&str; 7] = ["packages", "directory", "file", "certificate", "sysctl", "firewall", "unit"];

fn words(call: &Call) -> Vec<&str> {
    let texts = call.args.iter().filter_map(|arg| match arg {
        Arg::Text(text) => Some(text.as_str()),
        Arg::Payload(_) => None,
    });
    texts.collect()
}

fn payloads(call: &Call) -> Vec<&Payload> {
    let payloads = call.args.iter().filter_map(|arg| match arg {
        Arg::Payload(payload) => Some(payload),
        Arg::Text(_) => None,
    });
    payloads.collect()
}

fn bytes(payload: &Payload) -> &[u8] {
    match payload {
        Payload::Bytes(bytes) => bytes,
        Payload::Leaf(_) => panic!("a certificate is no file"),
    }
}

/// What a node says of a resource once this call was made.
fn play(call: &Call, fields: &mut Fields, authority: &Authority) {
    let (words, payloads) = (words(call), payloads(call));
    let mut say = |key: &str, value: &str| {
        fields.insert(key.to_owned(), value.to_owned());
    };
    match call.function {
        "packages_apply" => words[1..].iter().for_each(|name| say(name, "1.0")),
        "directory_apply" => {
            say("owner", words[1]);
            say("mode", words[2]);
        }
        "file_stage" => {
            say("owner", words[1]);
            say("mode", words[2]);
            say("sha256", &sha256(bytes(payloads[0])));
        }
        "certificate_apply" => {
            let Payload::Leaf(request) = payloads[0] else { panic!("no request") };
            let leaf = authority.issue(request, NOW, &mut rand::rng()).unwrap();
            let seen = Certificate::parse(&leaf.certificate_pem).unwrap();
            say("certificate", &STANDARD.encode(&leaf.certificate_pem));
            say("key", &seen.spki_sha256);
            say("owner", words[2]);
            say("mode", words[3]);
        }
        "firewall_apply" => {
            say("v4", &sha256(bytes(payloads[0])));
            say("v6", &sha256(bytes(payloads[1])));
            say("live", "same");
        }
        "unit_start" | "unit_restart" | "unit_reload" | "unit_enable" => {
            for (key, value) in
                [("active", "active"), ("enabled", "enabled"), ("restart", "fresh"), ("reload", "fresh")]
            {
                say(key, value);
            }
        }
        "file_validate" | "file_commit" | "sysctl_apply" => {}
        other => panic!("nobody knows what {other} does"),
    }
}

/// The changes of what lies on nodes.
fn own(plan: &Plan) -> Vec<(NodeName, Change)> {
    let changes = plan.changes().filter(|(_, _, change)| KINDS.contains(&change.id.kind.as_str()));
    changes.map(|(_, node, change)| (node.clone(), change.clone())).collect()
}

fn bare(source: &Source) -> Observed {
    let facts = |name: &NodeName| Facts {
        debian: 13,
        ram_mib: 4096,
        cores: 2,
        clock: 0,
        hostname: name.to_string(),
        interfaces: Vec::new(),
    };
    let nodes = source.cluster.nodes.keys();
    nodes.map(|name| (name.clone(), Observation { facts: facts(name), fields: BTreeMap::new() })).collect()
}

fn inventory(nodes: &[bool], port: u16, connections: u32) -> String {
    let mut text = String::from("name: test\nnodes:\n");
    for (number, worker) in nodes.iter().enumerate() {
        // Three managers, whatever comes after them.
        let kind = match (number, worker) {
            (0..3, _) => "[manager, worker, app]",
            (_, true) => "[worker, app]",
            (_, false) => "app",
        };
        let _ = writeln!(text, "  n{number}: {{ kind: {kind}, address: 10.1.0.{} }}", number + 1);
    }
    let _ = writeln!(text, "ssh: {{ port: {port} }}\nhaproxy: {{ max_connections: {connections} }}");
    text.push_str("pgbouncer: { default_pool_size: 2, reserve_pool_size: 1 }\n");
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn a_plan_that_was_carried_out_leaves_nothing_to_do(
        nodes in proptest::collection::vec(any::<bool>(), 3..6),
        port in 1024u16..60000,
        connections in 1000u32..2000,
    ) {
        let authority = Authority::create("test", NOW, 10, &mut rand::rng()).unwrap();
        let trust = Trust::settled(&authority.to_material().certificate, "0");
        let source = source(&inventory(&nodes, port, connections), trust);
        let mut observed = bare(&source);
        let first = own(&build(&source, &observed, NOW).unwrap());
        prop_assert!(first.len() > 20 * nodes.len());
        for (node, change) in &first {
            let fields = observed.get_mut(node).unwrap().fields.entry(change.id.clone()).or_default();
            change.calls.iter().for_each(|(_, call)| play(call, fields, &authority));
        }
        let left: Vec<(NodeName, Id)> = own(&build(&source, &observed, NOW).unwrap())
            .into_iter()
            .map(|(node, change)| (node, change.id))
            .collect();
        prop_assert_eq!(left, vec![]);
    }
}
