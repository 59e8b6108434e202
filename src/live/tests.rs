//! Live state: what is seen, and what has to change; each with its twin where nothing has.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::*;
use crate::pki::Trust;
use crate::plan::{PHASES, build_phase};
use crate::resource::{Effect, Order, Verb};

pub(super) const INVENTORY: &str = "
name: test
nodes:
  m1: { kind: manager, address: 10.1.0.11 }
  m2: { kind: manager, address: 10.1.0.12 }
  m3: { kind: manager, address: 10.1.0.13 }
  w1: { kind: worker, address: 10.1.0.21 }
  w2: { kind: worker, address: 10.1.0.22 }
  w3: { kind: worker, address: 10.1.0.23 }
patroni: { failover: fast }
";

pub(super) fn source_of(text: &str) -> Source {
    fixture::source(text, Trust::settled("authority", "0123456789ab"))
}

pub(super) fn source() -> Source {
    source_of(INVENTORY)
}

pub(super) fn bare(source: &Source, debian: u8) -> Observed {
    let facts = fixture::facts(debian);
    let nodes = source.cluster.nodes.keys();
    nodes.map(|node| (node.clone(), Observation { facts: facts.clone(), fields: BTreeMap::new() })).collect()
}

pub(super) fn set(observed: &mut Observed, node: &str, id: Id, key: &str, value: &str) {
    let fields = &mut observed.get_mut(&NodeName::from(node)).unwrap().fields;
    fields.entry(id).or_default().insert(key.into(), value.into());
}

pub(super) fn packed(value: &Value) -> String {
    value.to_string()
}

/// w1 leads; the key of the dynamic configuration holds `configuration`.
pub(super) fn running(source: &Source, debian: u8, configuration: &Value) -> Observed {
    let mut observed = bare(source, debian);
    let value = STANDARD.encode(configuration.to_string());
    let reply = json!({ "kvs": [{ "mod_revision": "7", "value": value }] });
    set(&mut observed, "m1", etcd_id(), "configuration", &packed(&reply));
    let view = json!({ "members": [
        { "name": "w1", "role": "leader", "state": "running", "timeline": 1 },
        { "name": "w2", "role": "sync_standby", "state": "streaming", "timeline": 1, "lag": 0 },
        { "name": "w3", "role": "replica", "state": "streaming", "timeline": 1, "lag": 0 },
    ] });
    for node in ["w1", "w2", "w3"] {
        set(&mut observed, node, member_id(), "cluster", &packed(&view));
        set(&mut observed, node, member_id(), "status", &packed(&json!({ "state": "running" })));
        set(&mut observed, node, member_id(), "owner", &token(source));
    }
    observed
}

pub(super) fn planned(phase: &str, source: &Source, observed: &Observed) -> Vec<(String, Change)> {
    let (changes, _) = changes(phase, source, observed).unwrap();
    changes.into_iter().map(|(node, change)| (node.to_string(), change)).collect()
}

/// The dynamic configuration that a plan writes.
pub(super) fn written(source: &Source, observed: &Observed) -> Option<Value> {
    let change = planned("patroni", source, observed).into_iter().find(|(_, it)| it.id.kind == "patroni")?.1;
    serde_json::from_str(&change.diff?.new).ok()
}

pub(super) fn refused(phase: &str, source: &Source, observed: &Observed) -> String {
    changes(phase, source, observed).unwrap_err().to_string()
}

#[test]
fn patroni_4_takes_no_ttl_below_20_and_the_plan_says_so() {
    let source = source();
    let (_, notes) = changes("patroni", &source, &bare(&source, 13)).unwrap();
    assert!(notes[0].contains("ttl is 20 s, not the 10 s asked for"), "{notes:?}");
    assert_eq!(written(&source, &bare(&source, 13)).unwrap()["ttl"], 20);
    let (_, notes) = changes("patroni", &source, &bare(&source, 12)).unwrap();
    assert_eq!(notes, Vec::<String>::new());
    assert_eq!(written(&source, &bare(&source, 12)).unwrap()["ttl"], 10);
}

#[test]
fn a_standby_that_lost_its_leader_soon_tries_the_next() {
    let source = source();
    let configuration = written(&source, &bare(&source, 13)).unwrap();
    assert_eq!(configuration["postgresql"]["parameters"]["wal_retrieve_retry_interval"], "1s");
}

#[test]
fn the_dynamic_configuration_is_written_whole_once_and_keeps_what_others_own() {
    let source = source();
    let mut configuration = written(&source, &bare(&source, 13)).unwrap();
    assert_eq!(written(&source, &running(&source, 13, &configuration)), None);
    configuration["pause"] = json!(true);
    assert_eq!(written(&source, &running(&source, 13, &configuration)), None);
    configuration["postgresql"]["pg_hba"] = json!(["local all postgres trust"]);
    let mended = written(&source, &running(&source, 13, &configuration)).unwrap();
    assert_eq!(mended["pause"], true);
    let lines: Vec<&str> =
        mended["postgresql"]["pg_hba"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(lines.len() > 4 && !lines.contains(&"local all postgres trust"), "{lines:?}");
}

#[test]
fn what_patroni_has_can_be_adopted_where_the_inventory_says_nothing_of_it() {
    let silent = source();
    let mut configuration = written(&silent, &bare(&silent, 13)).unwrap();
    configuration["postgresql"]["parameters"]["work_mem"] = json!("8MB");
    configuration["postgresql"]["parameters"]["ssl"] = json!("off");
    let adopt = |source: &Source| {
        let planned = planned("patroni", source, &running(source, 13, &configuration));
        planned.into_iter().find(|(_, change)| change.id.kind == "patroni").unwrap().1.adopt
    };
    // `ssl` is not the inventory's to say.
    let hint = "postgresql: { parameters: { work_mem: \"8MB\" } }";
    assert_eq!(adopt(&silent).as_deref(), Some(hint));
    let named = source_of(&format!("{INVENTORY}postgresql: {{ parameters: {{ work_mem: 16MB }} }}\n"));
    assert_eq!(adopt(&named), None);
}

/// The waves of the patroni phase as (node, effect), without what is only missing because these nodes are bare.
fn waves(source: &Source, observed: &Observed) -> Vec<Vec<(String, Effect)>> {
    let phase = PHASES.iter().find(|phase| phase.name == "patroni").unwrap();
    let plan = build_phase(source, phase, observed, time::OffsetDateTime::UNIX_EPOCH).unwrap().unwrap();
    let of_interest = |change: &&Change| ["patroni", "postgresql"].contains(&change.id.kind.as_str());
    let step = |step: &crate::plan::Step| {
        let changes =
            step.changes.iter().filter(of_interest).map(|change| (step.node.to_string(), change.effect));
        changes.collect::<Vec<_>>()
    };
    plan.waves.iter().map(|wave| wave.steps.iter().flat_map(step).collect()).collect()
}

#[test]
fn a_restart_takes_the_replicas_one_by_one_and_the_leader_last() {
    let source = source();
    let mut configuration = written(&source, &bare(&source, 13)).unwrap();
    configuration["postgresql"]["parameters"]["max_connections"] = json!("100");
    let waves = waves(&source, &running(&source, 13, &configuration));
    let expected = [
        ("m1", Effect::Reload),
        ("w2", Effect::Restart),
        ("w3", Effect::Restart),
        ("w1", Effect::None),
        ("w1", Effect::Switchover),
    ];
    let expected: Vec<_> = expected.map(|(node, effect)| vec![(node.to_owned(), effect)]).into();
    assert_eq!(waves, expected);
}

#[test]
fn transactions_wait_while_the_leadership_moves_wherever_a_pooler_runs() {
    let text = INVENTORY.replace(
        "patroni:",
        "  a1: { kind: app, address: 10.1.0.31 }\n  a2: { kind: app, address: 10.1.0.32 }\npatroni:",
    );
    let source = source_of(&text);
    let mut configuration = written(&source, &bare(&source, 13)).unwrap();
    configuration["postgresql"]["parameters"]["max_connections"] = json!("100");
    let mut observed = running(&source, 13, &configuration);
    let console = STANDARD.encode("name,host,port,database,paused,disabled\n");
    set(&mut observed, "a2", pgbouncer::id(), "console", &console);
    let phase = PHASES.iter().find(|phase| phase.name == "patroni").unwrap();
    let plan = build_phase(&source, phase, &observed, time::OffsetDateTime::UNIX_EPOCH).unwrap().unwrap();
    let [.., ready, holds, moves] = &plan.waves[..] else { panic!("{:?}", plan.waves) };
    let nodes = |wave: &crate::plan::Wave| -> Vec<String> {
        wave.steps.iter().map(|step| step.node.to_string()).collect()
    };
    assert_eq!(
        [nodes(ready), nodes(holds), nodes(moves)],
        [["w1"], ["a2"], ["w1"]],
        "a1 has no pooler that runs"
    );
    assert!(ready.ungated() && holds.ungated() && !moves.ungated());
    // Without the move, nobody is held; with it, everybody is, whatever nodes are asked for.
    for (kept, waves) in [("w2", 0), ("w1", 3)] {
        let mut part = plan.clone();
        part.retain(|node, change| node.as_str() == kept && change.effect == Effect::Switchover);
        assert_eq!(part.waves.len(), waves, "{kept}");
    }
    let hold = &holds.steps[0].changes[0];
    let words: Vec<String> = hold.calls[0].1.args.iter().map(|arg| format!("{arg:?}")).collect();
    assert_eq!(words, ["Text(\"10.1.0.11 10.1.0.12 10.1.0.13\")", "Text(\"app\")", "Text(\"deploy\")"]);
}

#[test]
fn what_standbys_may_not_have_smaller_restarts_the_leader_first() {
    let source = source();
    let mut configuration = written(&source, &bare(&source, 13)).unwrap();
    configuration["postgresql"]["parameters"]["max_connections"] = json!("500");
    let waves = waves(&source, &running(&source, 13, &configuration));
    let expected =
        [("m1", Effect::Reload), ("w1", Effect::Downtime), ("w2", Effect::Restart), ("w3", Effect::Restart)];
    let expected: Vec<_> = expected.map(|(node, effect)| vec![(node.to_owned(), effect)]).into();
    assert_eq!(waves, expected);
}

#[test]
fn a_run_killed_before_its_restarts_is_finished_by_the_next() {
    let source = source();
    let configuration = written(&source, &bare(&source, 13)).unwrap();
    let mut observed = running(&source, 13, &configuration);
    assert_eq!(planned("patroni", &source, &observed), []);
    let pending = json!({ "state": "running", "pending_restart": true });
    set(&mut observed, "w2", member_id(), "status", &packed(&pending));
    let left = planned("patroni", &source, &observed);
    assert_eq!(
        left.iter().map(|(node, change)| (node.as_str(), change.effect)).collect::<Vec<_>>(),
        [("w2", Effect::Restart)]
    );
}

#[test]
fn a_foreign_postgresql_is_refused() {
    let source = source();
    let mut observed = bare(&source, 13);
    set(&mut observed, "w2", member_id(), "data", "/var/lib/postgresql/17/main");
    let text = refused("patroni", &source, &observed);
    assert!(
        text.contains(
            "w2: /var/lib/postgresql/17/main holds a PostgreSQL cluster that this one did not make"
        ),
        "{text}"
    );
}

#[test]
fn data_on_a_mount_waits_for_the_mount_and_its_folder_is_postgres_s() {
    let source = source_of(&format!("{INVENTORY}postgresql: {{ data_mount: /srv/pg }}\n"));
    let mut observed = bare(&source, 13);
    let claim =
        planned("patroni", &source, &observed).into_iter().find(|(_, it)| it.id.name == "data directory");
    let calls = format!("{:?}", claim.unwrap().1.calls);
    assert!(calls.contains("/srv/pg/17") && calls.contains("postgres:postgres"), "{calls}");
    set(&mut observed, "w2", member_id(), "mounted", "no");
    assert!(refused("patroni", &source, &observed).contains("w2: nothing is mounted on /srv/pg"));
    set(&mut observed, "w2", member_id(), "mounted", "yes");
    assert!(changes("patroni", &source, &observed).is_ok());
}

#[test]
fn a_reload_of_haproxy_moves_the_connections_of_the_poolers_that_run() {
    let source = source_of(&INVENTORY.replace(
        "patroni:",
        "  a1: { kind: app, address: 10.1.0.31 }\n  a2: { kind: app, address: 10.1.0.32 }\npatroni:",
    ));
    let mut observed = bare(&source, 13);
    let console = STANDARD.encode("name,host,port,database,paused,disabled\n");
    set(&mut observed, "a1", pgbouncer::id(), "console", &console);
    let call = Call::new("unit_reload", Vec::<String>::new());
    let mut unit = Change::new(Id::new("unit", "haproxy"), Verb::Update, "", Order::Activate, call);
    let moved = |unit: &Change| -> Vec<String> {
        let steps = BTreeMap::from([(NodeName::from("m1"), vec![unit.clone()])]);
        follows(&source, &observed, &steps).into_iter().map(|(node, _)| node.to_string()).collect()
    };
    unit.effect = Effect::Start;
    assert_eq!(moved(&unit), Vec::<String>::new());
    unit.effect = Effect::Reload;
    // Again and again while HAProxy reloads on one node after the other, and once it has.
    assert_eq!(moved(&unit), ["a1", "a1"]);
    // A pooler that has come up since the plan was approved is none that nobody approved.
    let reload = BTreeMap::from([(NodeName::from("m1"), vec![unit.clone()])]);
    let all = follows(&source, &observed, &reload);
    assert!(all.iter().all(|(_, change)| change.follows || change.ahead.is_some()));
    let phase = PHASES.iter().find(|phase| phase.name == "haproxy").unwrap();
    let certificate = Change { id: Id::new("certificate", "/etc/haproxy/tls/haproxy"), ..unit.clone() };
    let mut steps = BTreeMap::from([(NodeName::from("a1"), vec![certificate, unit])]);
    for (node, change) in follows(&source, &observed, &steps) {
        steps.entry(node).or_default().push(change);
    }
    let arranged = crate::plan::arrange(&source, phase, &observed, steps).unwrap();
    assert_eq!(arranged.waves.len(), 3);
    assert!(arranged.waves[0].ungated() && !arranged.waves[1].ungated());
    // The renewal of that certificate alone is followed too.
    let mut plan = crate::plan::Plan { phases: vec![arranged], ..crate::plan::Plan::default() };
    let mut new = plan.clone();
    let call = Call::new("packages_apply", Vec::<String>::new());
    let packages = Change::new(Id::new("packages", "debian"), Verb::Create, "", Order::Install, call);
    new.phases[0].waves[1].steps[0].changes.push(packages);
    let kept = |mut plan: crate::plan::Plan| {
        plan.keep_certificates(|_, _| true, &source.library);
        (!plan.is_empty(), plan.hidden.iter().any(|hidden| hidden.nodes.contains(&NodeName::from("a1"))))
    };
    assert_eq!(kept(new.clone()), (true, false), "a package more is no new machine");
    new.phases[0].waves[1].steps[0].changes[0].verb = Verb::Create;
    assert_eq!(kept(new), (false, true), "what is not deployed yet has nothing to renew");
    plan.keep_certificates(|_, role| role == "haproxy", &source.library);
    let names = plan.changes().map(|(_, _, change)| change.id.name.as_str());
    assert_eq!(
        names.collect::<Vec<_>>(),
        ["connections until then", "/etc/haproxy/tls/haproxy", "haproxy", "connections"]
    );
    // Which goes side by side with the renewals of other services, but not with a new configuration or a new leader.
    assert!(plan.only_certificates());
    for (kind, effect) in [("file", Effect::Reload), ("unit", Effect::Switchover)] {
        let mut more = plan.clone();
        let call = Call::new("file_commit", Vec::<String>::new());
        let mut change = Change::new(Id::new(kind, "x"), Verb::Update, "", Order::Commit, call);
        change.effect = effect;
        more.phases[0].waves[1].steps[0].changes.push(change);
        assert!(!more.only_certificates(), "{kind}");
    }
    assert!(!crate::plan::Plan::default().only_certificates());
}

#[test]
fn where_nothing_verifies_all_change_at_once() {
    let mut source = source();
    let mut configuration = written(&source, &bare(&source, 13)).unwrap();
    configuration["postgresql"]["parameters"]["max_connections"] = json!("100");
    source.trust = Trust::replaced("new", "0123456789ab");
    let waves = waves(&source, &running(&source, 13, &configuration));
    let downtime = ["w1", "w2", "w3"].map(|node| (node.to_owned(), Effect::Downtime));
    assert_eq!(waves, [vec![("m1".to_owned(), Effect::Reload)], downtime.into()]);
}
