//! A cluster in its good and bad states, from answers as nodes give them.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Attention, Health, Remedies, Severity, Status};
use crate::cluster::NodeName;
use crate::live::fixture;
use crate::live::{Observation, etcd_id, member_id};
use crate::observe::{Answers, ObserveError};
use crate::pki::{Authority, Trust};
use crate::render::Source;
use crate::resource::{Fields, Id};
use crate::transport::Failure;

const INVENTORY: &str = "
name: test
nodes:
  m1: { kind: manager, address: 10.1.0.11 }
  w1: { kind: worker, address: 10.1.0.21 }
  w2: { kind: worker, address: 10.1.0.22 }
  a1: { kind: app, address: 10.1.0.31 }
roles:
  etcd: { on: [m1, w1, w2] }
redis: { enabled: false }
";

/// A source with made-up secrets.
pub fn source() -> Source {
    fixture::source(INVENTORY, Trust::settled("", "0"))
}

/// A node that answers, with nothing on it.
pub fn bare(debian: u8) -> Observation {
    let facts = fixture::facts(debian);
    Observation { facts, fields: BTreeMap::new() }
}

fn set(observation: &mut Observation, id: Id, values: &[(&str, &str)]) {
    let fields: Fields = values.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    observation.fields.entry(id).or_default().extend(fields);
}

fn packed(value: &Value) -> String {
    value.to_string()
}

/// Every unit of every node runs; w1 leads, w2 is its synchronous standby.
fn well(source: &Source, debian: u8) -> Answers {
    let mut answers = Answers::default();
    let cluster = json!({ "members": [
        { "name": "w1", "role": "leader", "state": "running", "timeline": 3 },
        { "name": "w2", "role": "sync_standby", "state": "streaming", "timeline": 3, "lag": 0 },
    ] });
    let patroni = if debian == 12 { "3.0.2" } else { "4.0.7" };
    let etcd: Vec<Value> = [("m1", 11), ("w1", 21), ("w2", 22)]
        .map(|(name, end)| json!({ "ID": format!("{end}"), "name": name, "peerURLs": [format!("https://10.1.0.{end}:2380")] }))
        .to_vec();
    let proxies = "# pxname,svname,scur,status,bck\nleader,w1,1,UP,0\nleader,w2,0,DOWN,0\nreplicas,w1,0,DOWN,0\nreplicas,w2,0,UP,0\n";
    for (name, node) in &source.cluster.nodes {
        let mut seen = bare(debian);
        for manifest in source.library.roles.values().filter(|manifest| node.roles.contains(&manifest.role)) {
            for unit in &manifest.units {
                set(&mut seen, Id::new("unit", &unit.name), &[("active", "active"), ("enabled", "enabled")]);
            }
        }
        if node.roles.contains("patroni") {
            let role = if name.as_str() == "w1" { "primary" } else { "replica" };
            let status = json!({ "role": role, "state": "running", "timeline": 3, "server_version": 170_005,
                "patroni": { "version": patroni } });
            set(&mut seen, member_id(), &[("cluster", &packed(&cluster)), ("status", &packed(&status))]);
        }
        if let Some(own) = etcd.iter().find(|member| member["name"] == name.as_str()) {
            let status = json!({ "leader": "21", "header": { "member_id": own["ID"] }, "dbSize": "20480" });
            set(
                &mut seen,
                etcd_id(),
                &[("members", &packed(&json!({ "members": etcd }))), ("status", &packed(&status))],
            );
        }
        if node.roles.contains("haproxy") {
            set(&mut seen, Id::new("haproxy", "servers"), &[("servers", &STANDARD.encode(proxies))]);
        }
        if node.roles.contains("pgbouncer") {
            let console = STANDARD.encode("name,host,paused,disabled\napp,10.1.0.11,0,0\n");
            set(&mut seen, Id::new("pgbouncer", "pools"), &[("console", &console)]);
        }
        answers.observed.insert(name.clone(), seen);
    }
    answers
}

/// The status without what is said of certificates, which these nodes do not have.
fn read(source: &Source, answers: &Answers) -> (Status, Vec<Attention>) {
    let remedies = Remedies::new(&source.cluster, Path::new("test.yaml"), Path::new(""));
    let status = Status::read(source, answers, &remedies, time::OffsetDateTime::UNIX_EPOCH).unwrap();
    let others = status.attention.iter().filter(|one| !one.what.contains("/tls/")).cloned().collect();
    (status, others)
}

fn node<'a>(answers: &'a mut Answers, name: &str) -> &'a mut Observation {
    answers.observed.get_mut(&NodeName::from(name)).unwrap()
}

fn whats(attention: &[Attention]) -> Vec<String> {
    let what = |one: &Attention| match &one.node {
        Some(node) => format!("{node}: {}", one.what),
        None => one.what.clone(),
    };
    attention.iter().map(what).collect()
}

#[test]
fn a_healthy_cluster_needs_nothing() {
    let source = source();
    let (status, attention) = read(&source, &well(&source, 13));
    assert_eq!(whats(&attention), Vec::<String>::new());
    let postgresql = status.postgresql.unwrap();
    assert_eq!((postgresql.leader.unwrap().as_str(), postgresql.timeline), ("w1", Some(3)));
    assert_eq!(postgresql.members[1].version.as_deref(), Some("17.5"));
    let etcd = status.etcd.unwrap();
    assert!(etcd.quorum);
    assert_eq!(etcd.leader.as_deref(), Some("w1"));
    assert_eq!(status.haproxy[0].backends[0].port, Some(5000));
}

#[test]
fn the_guard_of_an_old_patroni_is_told_of_where_it_is_and_where_it_is_not() {
    let source = source();
    let mut answers = well(&source, 12);
    for name in ["w1", "w2"] {
        let guard = Id::new("file", "/usr/local/lib/deploy/patroni_safe.py");
        set(node(&mut answers, name), guard, &[("sha256", "0")]);
    }
    let (_, attention) = read(&source, &answers);
    assert_eq!(whats(&attention), ["Patroni 3.0 on w1, w2: the safe-lock guard is in place"]);
    assert_eq!(attention[0].severity, Severity::Note);
    node(&mut answers, "w2").fields.remove(&Id::new("file", "/usr/local/lib/deploy/patroni_safe.py"));
    let (_, attention) = read(&source, &answers);
    assert_eq!(attention[0].node.as_ref().unwrap().as_str(), "w2");
    assert_eq!(attention[0].command.as_deref(), Some("deploy apply test.yaml"));
}

#[test]
fn a_lost_leader_is_down_and_everything_else_is_still_shown() {
    let source = source();
    let mut answers = well(&source, 13);
    let view = json!({ "members": [{ "name": "w2", "role": "replica", "state": "running", "timeline": 3, "lag": 9_000_000 }] });
    answers.observed.remove(&NodeName::from("w1"));
    let failure = Failure::Timeout { node: "w1".into(), seconds: 9 };
    answers.failures.insert(NodeName::from("w1"), ObserveError::Failure(failure));
    set(node(&mut answers, "w2"), member_id(), &[("cluster", &packed(&view))]);
    let (status, attention) = read(&source, &answers);
    assert_eq!(status.health, Health::Down);
    assert_eq!(
        whats(&attention),
        [
            "w1: does not answer: no answer within 9 s",
            "PostgreSQL has no leader and takes no writes",
            "w2: is 9000000 bytes behind the leader: more than 1048576, so it may not take over",
        ]
    );
    assert_eq!(attention[0].command.as_deref(), Some("ssh root@10.1.0.21"));
    assert_eq!(status.postgresql.unwrap().members[0].state, "unknown");
}

#[test]
fn each_fault_is_named_with_its_command() {
    let source = source();
    let mut answers = well(&source, 13);
    let view = json!({ "pause": true, "members": [
        { "name": "w1", "role": "leader", "state": "running", "timeline": 3 },
        { "name": "w2", "role": "replica", "state": "start failed" },
        { "name": "w9", "role": "replica", "state": "streaming", "timeline": 3 },
    ] });
    for name in ["w1", "w2"] {
        set(node(&mut answers, name), member_id(), &[("cluster", &packed(&view))]);
    }
    let restart = json!({ "role": "primary", "state": "running", "timeline": 3, "pending_restart": true });
    set(node(&mut answers, "w1"), member_id(), &[("status", &packed(&restart))]);
    set(node(&mut answers, "m1"), Id::new("unit", "haproxy"), &[("active", "failed")]);
    set(node(&mut answers, "m1"), etcd_id(), &[("status", &packed(&json!([])))]);
    let console =
        "database,user,cl_active,cl_waiting,maxwait\napp,app,1,4,7\nname,host,paused,disabled\napp,h,1,0\n";
    set(node(&mut answers, "a1"), Id::new("pgbouncer", "pools"), &[("console", &STANDARD.encode(console))]);
    let (status, attention) = read(&source, &answers);
    assert_eq!(status.health, Health::Down, "the only HAProxy does not run");
    assert_eq!(
        whats(&attention),
        [
            "m1: haproxy is failed",
            "w2: PostgreSQL is not running: start failed",
            "no standby is synchronous: the loss of the leader now would lose its last transactions",
            "Patroni is paused: it fails over nothing",
            "w1: some parameters wait for a restart of PostgreSQL",
            "w9: is a member of PostgreSQL and not in the inventory: it may be the only one that can lead next",
            "m1: its etcd is not healthy",
            "a1: 4 clients of PgBouncer wait for a server, the first for 7 s",
            "a1: PgBouncer holds back the clients of app",
        ]
    );
    assert!(attention.iter().all(|one| one.command.is_some()));
}

#[test]
fn bare_machines_have_one_thing_to_do() {
    let source = source();
    let mut answers = Answers::default();
    for name in source.cluster.nodes.keys() {
        answers.observed.insert(name.clone(), bare(13));
    }
    let (status, attention) = read(&source, &answers);
    assert_eq!(status.health, Health::Down);
    assert_eq!(whats(&attention), ["nothing is deployed yet"]);
}

#[test]
fn an_expired_authority_comes_first_with_the_one_command_that_helps() {
    let long_ago = time::OffsetDateTime::UNIX_EPOCH - time::Duration::days(11 * 365);
    let authority = Authority::create("test", long_ago, 10, &mut rand::rng()).unwrap();
    let pem = authority.to_material().certificate;
    let source = fixture::source(INVENTORY, Trust::settled(&pem, "0"));
    let (_, attention) = read(&source, &well(&source, 13));
    let first = attention.first().unwrap();
    assert!(first.what.contains("authority expired on 1969-"), "{first:?}");
    assert_eq!(first.command.as_deref(), Some("deploy certs rotate-ca test.yaml"));
    assert_eq!(first.severity, Severity::Critical);
}

#[test]
fn the_text_reads_without_colour_and_the_json_has_its_documented_keys() {
    console::set_colors_enabled(false);
    let source = source();
    let (status, _) = read(&source, &well(&source, 13));
    let text = crate::ui::status(&status);
    assert!(text.contains("  MEMBER  ROLE          STATE      TIMELINE  LAG  VERSION\n"), "{text}");
    assert!(text.contains("  w2      sync standby  streaming  3         0 B  17.5\n"), "{text}");
    assert!(text.lines().all(|line| !line.ends_with(' ')));
    let json = serde_json::to_value(&status).unwrap();
    for key in [
        "cluster",
        "health",
        "nodes",
        "postgresql",
        "etcd",
        "haproxy",
        "pgbouncer",
        "certificates",
        "attention",
    ] {
        assert!(json.get(key).is_some(), "{key}");
    }
    assert_eq!(json["nodes"][1]["kind"], "manager");
}
