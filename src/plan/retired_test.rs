//! Services whose role leaves a node: which are stopped, when, and which are left alone.

use super::{Plan, build};
use crate::cluster::NodeName;
use crate::live::fixture::{MIXED, facts, source};
use crate::live::{Observation, Observed};
use crate::pki::Trust;
use crate::render::Source;
use crate::resource::{Effect, Id, Verb};

/// Every unit that may be retired was started from here on every node, and runs.
fn everything_everywhere(source: &Source) -> Observed {
    let units = source.library.roles.values().flat_map(|manifest| &manifest.units);
    let said = [("started", "here"), ("active", "active"), ("enabled", "enabled")];
    let fields: Vec<_> = units
        .map(|unit| {
            let said = said.map(|(key, value)| (key.to_owned(), value.to_owned()));
            (Id::new("unit", &unit.name), said.into())
        })
        .collect();
    let seen = Observation { facts: facts(13), fields: fields.into_iter().collect() };
    source.cluster.nodes.keys().map(|node| (node.clone(), seen.clone())).collect()
}

fn planned(more: &str) -> Plan {
    let source = source(&format!("{MIXED}{more}"), Trust::settled("ca", "0"));
    build(&source, &everything_everywhere(&source), time::OffsetDateTime::UNIX_EPOCH).unwrap()
}

/// `phase: node unit` of everything that is stopped.
fn stopped(plan: &Plan, wanted: &str) -> Vec<String> {
    let stops =
        plan.changes().filter(|(_, _, change)| change.verb == Verb::Delete && change.id.name == wanted);
    stops.map(|(phase, node, _)| format!("{}: {node}", phase.name)).collect()
}

#[test]
fn a_keepalived_without_its_role_is_stopped_before_the_filter_parts_it_from_the_others() {
    let plan = planned("virtual_ip: 10.1.0.100\nroles: { haproxy: { on: [m1, m2] } }\n");
    let base = ["a1", "m3", "w1", "w2", "w3"].map(|node| format!("base: {node}"));
    assert_eq!(stopped(&plan, "keepalived"), base);
    let step = |phase: &str, node: &str| {
        let phase = plan.phases.iter().find(|one| one.phase.name == phase).unwrap();
        let steps = phase.waves.iter().flat_map(|wave| &wave.steps);
        steps.filter(|step| step.node == NodeName::from(node)).cloned().collect::<Vec<_>>()
    };
    let [step] = step("base", "m3").try_into().unwrap();
    let order = |kind: &str| {
        let change = step.changes.iter().find(|change| change.id.kind == kind).unwrap();
        change.calls[0].0
    };
    assert!(order("unit") < order("firewall"));
    // Without an address there is nobody whose role it is.
    assert_eq!(stopped(&planned(""), "keepalived").len(), 7);
    assert_eq!(stopped(&planned("virtual_ip: 10.1.0.100\n"), "keepalived").len(), 4);
}

#[test]
fn a_service_leaves_when_what_takes_its_place_holds() {
    let etcd = ["a1", "w1", "w2", "w3"].map(|node| format!("etcd: {node}"));
    assert_eq!(stopped(&planned(""), "etcd"), etcd);
    let plan = planned("roles: { haproxy: { on: [m1, m2] } }\n");
    assert!(stopped(&plan, "haproxy").contains(&"services: m3".to_owned()));
    let sentinel = plan.phases.iter().find(|one| one.phase.name == "sentinel").unwrap();
    let effects = |wave: &super::Wave| {
        wave.steps.iter().flat_map(|step| &step.changes).map(|change| change.effect).max()
    };
    let waves: Vec<_> = sentinel.waves.iter().map(effects).collect();
    let first = waves.iter().position(|effect| *effect == Some(Effect::Stop)).unwrap();
    assert!(first > 0 && waves[first..].iter().all(|effect| *effect == Some(Effect::Stop)), "{waves:?}");
    assert!(sentinel.waves[first..].iter().all(|wave| wave.steps.len() == 1));
    assert!(!sentinel.only_starts());
}

#[test]
fn what_holds_data_and_what_is_switched_off_is_left_as_it_is() {
    let plan = planned("redis: { enabled: false }\n");
    for unit in ["patroni", "redis-server", "redis-sentinel"] {
        assert_eq!(stopped(&plan, unit), Vec::<String>::new(), "{unit}");
    }
    let plan = planned("");
    assert_eq!(stopped(&plan, "redis-server").len(), 6);
    // What a Sentinel knew is worth nothing to the one that may come in its place.
    let mut stops = plan.changes().map(|(_, _, change)| change).filter(|change| change.verb == Verb::Delete);
    let stop = stops.find(|change| change.id.name == "redis-sentinel").unwrap();
    let call = format!("{:?}", stop.calls);
    assert!(call.contains("/etc/redis/cluster/sentinel.conf") && !call.contains("redis.conf"), "{call}");
    let own = stopped(&plan, "redis-sentinel");
    assert_eq!(own, ["a1", "w1", "w2", "w3"].map(|node| format!("sentinel: {node}")));
}
