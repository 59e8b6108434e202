//! What a plan for 200 nodes costs in memory.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fmt::Write;

use deploy::cluster::Cluster;
use deploy::inventory;
use deploy::live::{Observation, Observed, secret_names};
use deploy::pki::Trust;
use deploy::plan;
use deploy::render::{Facts, Source};
use deploy::role::Library;
use deploy::secrets::Secret;

/// Most MiB that this process has held at once.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

#[test]
fn a_plan_for_200_bare_nodes_takes_less_than_100_mib() {
    let mut text = String::from("name: large\nnodes:\n");
    for number in 0..200 {
        let kind = match number {
            0..5 => "manager",
            5..105 => "worker",
            _ => "app",
        };
        let _ = writeln!(
            text,
            "  n{number}: {{ kind: {kind}, address: 10.3.{}.{} }}",
            number / 100,
            number % 100 + 1
        );
    }
    // One pooler for each of 95 nodes: fewer connections from each.
    text.push_str("pgbouncer: { default_pool_size: 2, reserve_pool_size: 1 }\npostgresql: { max_connections: 1000, memory: 64GB }\n");
    let before = peak_mib();
    let library = Library::built_in().unwrap();
    let (inventory, _) = inventory::parse("large.yaml", &text).unwrap();
    let cluster = Cluster::new(inventory, &library);
    let secrets: BTreeMap<String, Secret> = secret_names(&cluster, &library)
        .into_iter()
        .map(|name| (name, Secret::new("x".repeat(36))))
        .collect();
    let source = Source::new(cluster, library, secrets, Trust::settled("authority", "0")).unwrap();
    let facts = Facts {
        debian: 13,
        ram_mib: 65536,
        cores: 16,
        clock: 0,
        hostname: "x".into(),
        interfaces: Vec::new(),
        unproven: None,
    };
    let observed: Observed = source
        .cluster
        .nodes
        .keys()
        .map(|node| (node.clone(), Observation { facts: facts.clone(), fields: BTreeMap::new() }))
        .collect();
    let plan = plan::build(&source, &observed, time::OffsetDateTime::UNIX_EPOCH).unwrap();
    assert!(plan.changes().count() > 2000);
    let used = peak_mib() - before;
    assert!(used < 100, "{used} MiB for 200 nodes");
}
