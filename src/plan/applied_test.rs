//! A plan that is carried out leaves nothing to do: its calls are played on nodes that are kept in memory, and what those
//! then say is planned for again. So it is when the nodes were damaged before, and when a run was killed in between. What
//! daemons own is left out: the lab suite holds that to the same.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use time::OffsetDateTime;

use super::{Plan, Step, build};
use crate::cluster::NodeName;
use crate::live::fixture::source;
use crate::live::{Observation, Observed};
use crate::pki::{Authority, Certificate, Trust};
use crate::render::{Source, resources};
use crate::resource::{Arg, Call, Fields, Id, Payload, sha256};

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

/// What a node says of a resource once this call was made; true where its files are others by then.
fn play(call: &Call, fields: &mut Fields, authority: &Authority) -> bool {
    let (words, payloads) = (words(call), payloads(call));
    let mut say = |key: &str, value: &str| {
        fields.insert(key.to_owned(), value.to_owned());
    };
    match call.function {
        "packages_apply" => words[1..].iter().for_each(|name| say(name, "1.0")),
        "directory_apply" => {
            say("owner", words[1]);
            say("mode", words[2]);
            if words.len() > 3 {
                say("override", &format!("{} {}", words[1], words[2].trim_start_matches('0')));
            }
        }
        "file_stage" => {
            say("staged owner", words[1]);
            say("staged mode", words[2]);
            say("staged sha256", &sha256(bytes(payloads[0])));
        }
        "file_commit" => {
            let before = fields.get("sha256").cloned();
            for key in ["owner", "mode", "sha256"] {
                let staged = fields.remove(&format!("staged {key}")).expect("nothing was staged");
                fields.insert(key.to_owned(), staged);
            }
            return fields.get("sha256") != before.as_ref();
        }
        "certificate_apply" => {
            let Payload::Leaf(request) = payloads[0] else { panic!("no request") };
            let leaf = authority.issue(request, NOW, &mut rand::rng()).unwrap();
            let seen = Certificate::parse(&leaf.certificate_pem).unwrap();
            say("certificate", &leaf.certificate_pem.replace('\n', "|"));
            say("key", &seen.spki_sha256);
            say("owner", words[2]);
            say("mode", words[3]);
            return true;
        }
        "certificate_own" => {
            say("owner", words[2]);
            say("mode", words[3]);
        }
        "firewall_apply" => {
            say("v4", &sha256(bytes(payloads[0])));
            say("v6", &sha256(bytes(payloads[1])));
            say("live", "same");
        }
        "unit_start" | "unit_restart" | "unit_reload" | "unit_enable" => {
            say("enabled", "enabled");
            if call.function != "unit_enable" {
                say("active", "active");
                say("reload", "fresh");
            }
            if ["unit_start", "unit_restart"].contains(&call.function) {
                say("restart", "fresh");
            }
        }
        "file_validate" | "sysctl_apply" => {}
        other => panic!("nobody knows what {other} does"),
    }
    false
}

/// A call on a node, for a resource.
type Placed = (NodeName, Id, Call);

/// The calls of what lies on nodes, in the order in which a run makes them.
fn own(plan: &Plan) -> Vec<Placed> {
    let steps = plan.phases.iter().flat_map(|phase| &phase.waves).flat_map(|wave| &wave.steps);
    let calls = |step: &Step| {
        let changes = step.changes.iter().filter(|change| KINDS.contains(&change.id.kind.as_str()));
        let mut calls: Vec<_> = changes
            .flat_map(|change| {
                change.calls.iter().map(|(order, call)| (*order, change.id.clone(), call.clone()))
            })
            .collect();
        calls.sort_by_key(|(order, ..)| *order);
        calls.into_iter().map(|(_, id, call)| (step.node.clone(), id, call)).collect::<Vec<_>>()
    };
    steps.flat_map(calls).collect()
}

/// Nodes that are kept in memory.
#[derive(Clone)]
struct Nodes {
    source: Arc<Source>,
    authority: Arc<Authority>,
    observed: Observed,
    /// The units of each node, how each takes a file, and the file.
    readers: BTreeMap<NodeName, Vec<(Id, &'static str, String)>>,
}

/// The units of all nodes, by node; see [`Nodes::readers`].
fn readers(source: &Source, observed: &Observed) -> BTreeMap<NodeName, Vec<(Id, &'static str, String)>> {
    let of = |node: &NodeName, seen: &Observation| {
        let all = resources(source, node, Some(&seen.facts)).unwrap();
        let units = all.values().flatten().filter(|resource| resource.id().kind == "unit");
        let mut readers = Vec::new();
        for unit in units {
            let probe = unit.probe();
            for (key, files) in ["restart", "reload"].into_iter().zip(&words(&probe)[1..]) {
                readers.extend(files.split_whitespace().map(|file| (unit.id(), key, file.to_owned())));
            }
        }
        readers
    };
    observed.iter().map(|(node, seen)| (node.clone(), of(node, seen))).collect()
}

impl Nodes {
    fn new(text: &str) -> Self {
        let authority = Authority::create("test", NOW, 10, &mut rand::rng()).unwrap();
        let trust = Trust::settled(&authority.to_material().certificate, "0");
        let source = source(text, trust);
        let observed = bare(&source);
        let readers = readers(&source, &observed);
        Self { source: Arc::new(source), authority: Arc::new(authority), observed, readers }
    }

    fn plan(&self) -> Vec<Placed> {
        own(&build(&self.source, &self.observed, NOW).unwrap())
    }

    fn play(&mut self, calls: &[Placed]) {
        for (node, id, call) in calls {
            let all = &mut self.observed.get_mut(node).unwrap().fields;
            if play(call, all.entry(id.clone()).or_default(), &self.authority) {
                self.outdate(node, &id.name);
            }
        }
    }

    /// The units that read this file, or files of this certificate, run with what was there before.
    fn outdate(&mut self, node: &NodeName, path: &str) {
        let all = &mut self.observed.get_mut(node).unwrap().fields;
        for (unit, key, file) in &self.readers[node] {
            let reads = file == path || file.rsplit_once('.').is_some_and(|(stem, _)| stem == path);
            let Some(fields) = all.get_mut(unit).filter(|fields| reads && fields.contains_key(*key)) else {
                continue;
            };
            fields.insert((*key).to_owned(), "stale".to_owned());
        }
    }

    /// Somebody was there: one field of what a node says is another, or all of it is gone. False where nothing is wanted of
    /// that field.
    fn damage(&mut self, node: &NodeName, id: &Id, at: Option<prop::sample::Index>) -> bool {
        let all = &mut self.observed.get_mut(node).unwrap().fields;
        let Some(at) = at.filter(|_| id.kind != "packages") else {
            all.remove(id);
            return true;
        };
        let fields = all.get_mut(id).unwrap();
        let key = at.get(&fields.keys().cloned().collect::<Vec<_>>()).clone();
        let value = match key.as_str() {
            "active" => "failed",
            "enabled" => "disabled",
            "restart" | "reload" => "stale",
            _ => "damaged",
        };
        fields.insert(key.clone(), value.to_owned());
        let mut manifests = self.source.library.roles.values();
        let unwanted = match id.kind.as_str() {
            // What a service keeps itself is written once.
            "file" => manifests.flat_map(|it| &it.files).any(|file| file.seed && file.path == id.name),
            // One that does its work at boot has done it.
            "unit" => {
                key == "active"
                    && manifests.any(|it| it.units.iter().any(|unit| !unit.running && unit.name == id.name))
            }
            _ => false,
        };
        !unwanted
    }

    fn left(&self) -> Vec<(NodeName, Id)> {
        self.plan().into_iter().map(|(node, id, _)| (node, id)).collect()
    }
}

fn bare(source: &Source) -> Observed {
    let facts = || crate::live::fixture::facts(13);
    let nodes = source.cluster.nodes.keys();
    nodes.map(|name| (name.clone(), Observation { facts: facts(), fields: BTreeMap::new() })).collect()
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

/// No service of ours listens on any of these.
const FREE_PORTS: std::ops::Range<u16> = 30_000..60_000;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn a_plan_that_was_carried_out_leaves_nothing_to_do(
        nodes in proptest::collection::vec(any::<bool>(), 3..6),
        port in FREE_PORTS,
        connections in 1000u32..2000,
    ) {
        let mut all = Nodes::new(&inventory(&nodes, port, connections));
        let first = all.plan();
        prop_assert!(first.len() > 20 * nodes.len());
        all.play(&first);
        prop_assert_eq!(all.left(), vec![]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_damaged_is_found_and_mended(
        damages in proptest::collection::vec((any::<prop::sample::Index>(), any::<Option<prop::sample::Index>>()), 1..8),
    ) {
        let (mut all, made) = settled();
        let mut found = Vec::new();
        for (which, at) in damages {
            let (node, id, _) = which.get(&made).clone();
            let place = (node, id);
            if !found.contains(&place) && all.damage(&place.0, &place.1, at) {
                found.push(place);
            }
        }
        let plan = all.plan();
        for (node, id) in found {
            prop_assert!(plan.iter().any(|(on, of, _)| (on, of) == (&node, &id)), "{} {}", node, id);
        }
        all.play(&plan);
        prop_assert_eq!(all.left(), vec![]);
    }

    #[test]
    fn a_run_that_was_killed_at_any_call_is_finished_by_the_next(
        kills in proptest::collection::vec(any::<prop::sample::Index>(), 1..3),
        port in FREE_PORTS,
    ) {
        // The node of one inventory gets another one: files and units change, packages do not.
        let (mut all, _) = settled();
        all.source = Arc::new(source(&inventory(&[true, false, false], port, 1500), all.source.trust.clone()));
        for kill in kills {
            let plan = all.plan();
            all.play(&plan[..kill.index(plan.len() + 1)]);
        }
        let rest = all.plan();
        all.play(&rest);
        prop_assert_eq!(all.left(), vec![]);
        // Every unit runs with what is on disk.
        let units = all.observed.values().flat_map(|seen| &seen.fields).filter(|(id, _)| id.kind == "unit");
        for (id, fields) in units {
            prop_assert!(fields.values().all(|value| value != "stale"), "{} {:?}", id, fields);
        }
    }
}

/// A node that is as wanted, one of three, and the calls that made it so.
fn settled() -> (Nodes, Vec<Placed>) {
    static SETTLED: LazyLock<(Nodes, Vec<Placed>)> = LazyLock::new(|| {
        let mut all = Nodes::new(&inventory(&[true, false, false], 22, 1000));
        all.observed.retain(|node, _| node.as_str() == "n0");
        let made = all.plan();
        all.play(&made);
        (all, made)
    });
    SETTLED.clone()
}
