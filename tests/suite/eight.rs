//! Eight Debian 13 machines: three managers, three workers, two apps. From nothing to every failure.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::cluster::{Cluster, Done};
use crate::crowd::Crowd;
use crate::shape::Shape;
use crate::writer::{Access, Writer};
use crate::{
    Run, applications, break_glass, certs, clients, damaged, failures, figures, guards, left, midway,
    pipeline, redis, rolled, unnoticed, unproven, virtual_ip,
};

pub const SCENARIOS: &[(&str, Run)] = &[
    ("deploy", deploy),
    ("status", status),
    ("second-apply", second_apply),
    ("psql", clients::psql),
    ("trap", clients::trap),
    ("exposure", clients::exposure),
    ("reload", reload),
    ("restart", restart),
    ("drift", drift),
    ("saved-plan", pipeline::saved_plan),
    ("narrowed", pipeline::narrowed),
    ("ci-scripts", pipeline::ci_scripts),
    ("lock-and-history", pipeline::lock_and_history),
    ("interrupted", pipeline::interrupted),
    ("unproven", unproven::unproven),
    ("rolled-back", pipeline::rolled_back),
    ("filter-switched-on", unnoticed::filter_switched_on),
    ("haproxy-reloaded", unnoticed::haproxy_reloaded),
    ("everything-rolled", rolled::everything_rolled),
    ("certificate-not-served", certs::not_served),
    ("certificates-revoked", certs::revoked),
    ("authority-waits", certs::waits),
    ("certificates-damaged", damaged::certificates_damaged),
    ("etcd-member-refuses", damaged::etcd_member_refuses),
    ("authority-lost", break_glass::authority_lost),
    ("authority-expired", break_glass::authority_expired),
    ("redis-drift", redis::drift),
    ("redis-certificates-renewed", redis::certificates_renewed),
    ("redis-moved", redis::moved),
    ("redis-primary-killed", redis::primary_killed),
    ("redis-primary-frozen", redis::primary_frozen),
    ("switchover", failures::switchover),
    ("switchover-by-deploy", failures::switchover_by_deploy),
    ("leader-killed", failures::leader_killed),
    ("leader-cut", failures::leader_cut),
    ("patroni-frozen", failures::patroni_frozen),
    ("postmaster-killed", failures::postmaster_killed),
    ("manager-killed", failures::manager_killed),
    ("app-killed", failures::pooler_killed),
    ("services-killed", failures::services_killed),
    ("etcd-stopped", failures::etcd_stopped),
    ("power-lost", failures::power_lost),
    ("midway-replica", midway::replica),
    ("unreachable", guards::unreachable),
    ("changed-host-key", guards::changed_host_key),
    ("lockout", guards::lockout),
    ("lowered", lowered),
    ("left", left::left),
    // After it: the Sentinel that it takes away comes back.
    ("grown", left::grown),
    ("virtual-ip-refused", virtual_ip::refused),
    ("virtual-ip-held-twice", virtual_ip::held_twice),
    ("applications", applications::deployed),
    ("applications-requests", applications::requests),
    ("applications-switched", applications::switched),
    ("applications-drained", applications::drained),
    ("applications-regrouped", applications::regrouped),
    ("virtual-ips-parted", applications::parted),
    ("virtual-ip-moved", virtual_ip::moved),
    ("applications-gone", applications::gone),
];

pub fn lab() -> Cluster {
    Cluster::new(Shape {
        name: "suite13".into(),
        subnet: "10.94.0".into(),
        debian: 13,
        nodes: &[
            ("m1", "manager", 11),
            ("m2", "manager", 12),
            ("m3", "manager", 13),
            ("w1", "worker", 21),
            ("w2", "worker", 22),
            ("w3", "worker", 23),
            ("a1", "app", 31),
            ("a2", "app", 32),
        ],
        // Clients are everywhere, and one machine administers.
        access: "admin: [10.94.0.1]\nclients: [10.94.0.0/24]".into(),
        user: "root",
        virtual_ip: Some(100),
    })
}

/// From bare machines to a verified cluster.
pub fn deploy(cluster: &mut Cluster) -> Result<String> {
    let boot = cluster.boot()?;
    let apply = cluster.deploy(&["apply", "--yes"])?;
    cluster.deploy(&["verify"])?;
    Ok(format!("lab up in {boot:.1} s, deployed in {:.1} s", apply.seconds))
}

/// The cluster at a glance: every node, and nothing that needs attention.
pub fn status(cluster: &mut Cluster) -> Result<String> {
    cluster.deploy(&["status"])?;
    let status = cluster.deploy(&["status", "--json"])?.json()?;
    let nodes = status["nodes"].as_array().context("status lists no nodes")?;
    for name in cluster.names() {
        let node = nodes
            .iter()
            .find(|node| node["name"] == name)
            .with_context(|| format!("status does not know {name}"))?;
        ensure!(
            node["address"] == cluster.address(name).as_str(),
            "status has another address for {name}: {node}"
        );
        ensure!(
            node["roles"].as_array().is_some_and(|roles| !roles.is_empty()),
            "status has no roles for {name}: {node}"
        );
        ensure!(!node["kind"].is_null(), "status has no kind for {name}: {node}");
    }
    for (of, words) in [
        ("status", &["status"][..]),
        ("verify", &["verify"]),
        ("verify", &["check"]),
        ("certs", &["certs"]),
        ("history", &["history"]),
        ("plan", &["plan"]),
        ("plan", &["drift"]),
        ("lab", &["lab", "status"]),
    ] {
        described(cluster, of, words)?;
    }
    Ok(format!("{} nodes with name, kind, address and roles; outputs are as their schemas say", nodes.len()))
}

/// What a command prints as JSON is what its schema says.
fn described(cluster: &Cluster, of: &str, words: &[&str]) -> Result<()> {
    let schema = Command::new(env!("CARGO_BIN_EXE_deploy")).args(["schema", of]).output()?;
    let schema: Value = serde_json::from_slice(&schema.stdout).context("no schema")?;
    let json = cluster.deploy(&[words, &["--json"]].concat())?.json()?;
    let flaws: Vec<String> =
        jsonschema::validator_for(&schema)?.iter_errors(&json).map(|flaw| flaw.to_string()).collect();
    ensure!(flaws.is_empty(), "{words:?} is not as `schema {of}` says: {flaws:?}");
    Ok(())
}

/// A second run changes nothing and costs one remote execution for each node.
pub fn second_apply(cluster: &mut Cluster) -> Result<String> {
    let done = cluster.deploy(&["apply", "--yes", "--json"])?;
    let json = done.json()?;
    ensure!(json["changed"] == 0, "a second run changes something: {json}");
    let executions = json["executions"].as_object().context("no executions in the output")?;
    ensure!(executions.len() == cluster.shape.nodes.len(), "not every node is counted: {json}");
    for (node, count) in executions {
        ensure!(count.as_u64() == Some(1), "{node}: {count} remote executions");
    }
    cluster.settled()?;
    let most = executions.values().filter_map(Value::as_u64).max().unwrap_or(0);
    Ok(format!("nothing changed in {:.2} s, {most} remote executions on a node at most", done.seconds))
}

/// The effects that a plan announces.
pub fn effects(plan: &Done) -> Result<Vec<String>> {
    ensure!(
        plan.code == Some(2),
        "the plan should have something to change: {:?} {}{}",
        plan.code,
        plan.stdout,
        plan.stderr
    );
    let json = plan.json()?;
    Ok(json["effects"].as_object().map(|effects| effects.keys().cloned().collect()).unwrap_or_default())
}

/// Applies changed parameters under a writer.
fn change(
    cluster: &Cluster,
    parameters: &str,
    expected: &[&str],
    what: &str,
    promise: Duration,
) -> Result<String> {
    let lines = format!("memory: 512MB\ncores: 2\nparameters: {{ {parameters} }}");
    cluster.write(&[("postgresql", &lines)])?;
    let plan = cluster.attempt(&["plan", "--detailed-exitcode", "--json"])?;
    let effects = effects(&plan)?;
    for effect in expected {
        ensure!(
            effects.iter().any(|known| known == effect),
            "the plan does not announce a {effect}: {effects:?}"
        );
    }
    if !expected.contains(&"restart") {
        ensure!(
            !effects.iter().any(|effect| effect == "restart"),
            "the plan announces a restart: {effects:?}"
        );
    }
    let slack = Duration::from_secs(1);
    let writer = Writer::start_patient(Access::new(cluster, &cluster.of_kind("app"))?, promise + slack)?;
    let apply = cluster.deploy(&["apply", "--yes"])?;
    writer.flows_within(Duration::from_secs(10))?;
    let healthy = cluster.healthy_within(Duration::from_secs(90))?;
    let outcome = writer.finish()?;
    if !expected.contains(&"downtime") {
        ensure!(outcome.errors.is_empty(), "writes failed: {}", outcome.errors.join("; "));
    }
    let note = figures::record(what, outcome, promise, slack, healthy)?;
    cluster.settled()?;
    Ok(format!("{note}, applied in {:.1} s", apply.seconds))
}

/// A parameter that PostgreSQL takes while it runs.
fn reload(cluster: &mut Cluster) -> Result<String> {
    let note = change(
        cluster,
        "log_min_duration_statement: 500",
        &["reload"],
        "changed parameter, taken by a reload",
        Duration::from_secs(1),
    )?;
    let value = shown(cluster, "log_min_duration_statement")?;
    ensure!(value == "500ms", "the parameter is {value}");
    Ok(note)
}

/// A parameter that only a restart takes, under a crowd: replicas first, then a switchover, through which everybody waits.
fn restart(cluster: &mut Cluster) -> Result<String> {
    let crowd = Crowd::gather(cluster)?;
    let note = change(
        cluster,
        "max_locks_per_transaction: 96",
        &["restart", "switchover"],
        "changed parameter, taken by a restart",
        Duration::from_secs(3),
    )?;
    let value = shown(cluster, "max_locks_per_transaction")?;
    ensure!(value == "96", "the parameter is {value}");
    cluster.parameters("max_locks_per_transaction: 96");
    Ok(format!("{note}; {}", crowd.disperse()?))
}

/// The same parameter made smaller: no standby may have less than its leader, so the leader goes first.
fn lowered(cluster: &mut Cluster) -> Result<String> {
    cluster.parameters("max_locks_per_transaction: 96");
    cluster.write(&[])?;
    cluster.deploy(&["apply", "--yes"])?;
    cluster.parameters("");
    let note = change(
        cluster,
        "max_locks_per_transaction: 64",
        &["restart", "downtime"],
        "parameter made smaller, the leader first",
        Duration::from_secs(6),
    )?;
    let value = shown(cluster, "max_locks_per_transaction")?;
    ensure!(value == "64", "the parameter is {value}");
    cluster.write(&[])?;
    cluster.deploy(&["apply", "--yes"])?;
    cluster.settled()?;
    Ok(note)
}

fn shown(cluster: &Cluster, parameter: &str) -> Result<String> {
    let leader = cluster.leader()?;
    cluster.on(&leader, &format!("cd / && runuser -u postgres -- psql -XAtqc 'show {parameter}'"))
}

/// What somebody changed by hand is found and mended.
fn drift(cluster: &mut Cluster) -> Result<String> {
    cluster.on("m1", "echo '# by hand' >>/etc/haproxy/haproxy.cfg")?;
    cluster.on("m3", "systemctl stop haproxy")?;
    cluster.on("w2", "iptables -D DEPLOY-INPUT 1")?;
    cluster.on("a2", "chmod 0666 /etc/pgbouncer/pgbouncer.ini")?;
    let plan = cluster.attempt(&["plan", "--detailed-exitcode", "--json"])?;
    effects(&plan)?;
    let json = plan.json()?;
    let changes = json["changes"].as_array().context("no changes in the plan")?;
    let wanted = [
        ("m1", "file", "/etc/haproxy/haproxy.cfg"),
        ("m3", "unit", "haproxy"),
        ("w2", "firewall", ""),
        ("a2", "file", "/etc/pgbouncer/pgbouncer.ini"),
    ];
    for (node, kind, name) in wanted {
        let found = changes.iter().any(|change| {
            change["node"] == node
                && change["kind"] == kind
                && change["name"].as_str().is_some_and(|known| known.contains(name))
        });
        ensure!(found, "the plan does not see {kind} {name} on {node}: {json}");
    }
    // What follows from the others, PgBouncer's new connections behind a reload of HAProxy, is not drift.
    for change in changes.iter().filter(|change| change["action"] != "run") {
        let node = change["node"].as_str().unwrap_or_default();
        ensure!(
            wanted.iter().any(|(known, ..)| *known == node),
            "the plan touches {node}, where nobody changed anything: {change}"
        );
    }
    // Each was done by hand, and the plan and `drift` say so.
    for change in changes.iter().filter(|change| change["action"] != "run") {
        let expected = wanted.iter().any(|(node, kind, name)| {
            change["node"] == *node
                && change["kind"] == *kind
                && change["name"].as_str().is_some_and(|known| known.contains(name))
        });
        ensure!(change["drift"].is_string() == expected, "drift and intent are confused: {change}");
    }
    let drift = cluster.attempt(&["drift"])?;
    drift.ended(2)?;
    for words in [
        "changed on the nodes: 4 things; apply puts that back",
        "Who did it is unknown",
        "owner or mode changed on the node; last changed ",
        "on the node; not running since ",
    ] {
        ensure!(drift.stdout.contains(words), "no `{words}`: {}", drift.all());
    }
    cluster.deploy(&["apply", "--yes"])?;
    cluster.settled()?;
    cluster.attempt(&["drift"])?.ended(0)?;
    cluster.healthy_within(Duration::from_secs(30))?;
    Ok("a file, its mode, a unit and a rule: each named and mended".into())
}
