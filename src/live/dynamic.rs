//! Patroni's dynamic configuration: one key in etcd, written whole by compare-and-put.
//!
//! It is in place before Patroni first starts, so that the cluster is born with it and needs no restart. Keys that
//! others own (`pause`, `standby_cluster`) are kept as they are.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::sizing::{SIZED, parameters};
use super::{LiveError, Observed, Placed, certificate_path, etcd, fields, objects};
use crate::cluster::{Node, NodeName};
use crate::inventory::model::Synchronous;
use crate::inventory::parameters::{EXTENSIONS, Parameter, Parameters, find, owned};
use crate::render::{Renderer, Source, pg_hba};
use crate::resource::{Call, Change, Diff, Effect, Id, Order, Payload, Refusal, Verb, yaml};

/// Least `ttl` that Patroni 4 takes; a smaller one is accepted and silently replaced (`facts`: measured on 4.0.7).
const LEAST_TTL_PATRONI_4: u32 = 20;

/// Less RAM than this, beside Redis, is too little for PostgreSQL.
const LEAST_MEMORY_MIB: u64 = 256;

/// Whether the leader waits to restart with a smaller value of such a parameter.
pub fn lowers_pending(source: &Source, observed: &Observed) -> bool {
    let (current, ..) = current(source, observed);
    let parameter = |name: &str| current.get("postgresql")?.get("parameters")?.get(name)?.as_str();
    let pending = objects::pending(source, observed);
    pending.iter().any(|(name, running)| parameter(name).is_some_and(|wanted| lowers(name, running, wanted)))
}

/// The configuration that the inventory wants. `version` is PostgreSQL's, `hba` the lines of `pg_hba.conf`.
fn wanted(
    source: &Source,
    version: u8,
    parameters: &BTreeMap<String, String>,
    hba: &[String],
) -> (Map<String, Value>, Vec<String>) {
    let inventory = &source.cluster.inventory;
    let (mut ttl, loop_wait, retry_timeout) = inventory.patroni.timings();
    let mut notes = Vec::new();
    if version >= 17 && ttl < LEAST_TTL_PATRONI_4 {
        notes.push(format!(
            "patroni: ttl is {LEAST_TTL_PATRONI_4} s, not the {ttl} s asked for: Patroni 4 takes no less"
        ));
        ttl = LEAST_TTL_PATRONI_4;
    }
    let parameters: Map<String, Value> =
        parameters.iter().map(|(key, value)| (key.clone(), Value::String(value.clone()))).collect();
    let synchronous = inventory.patroni.synchronous;
    let configuration = json!({
        "ttl": ttl,
        "loop_wait": loop_wait,
        "retry_timeout": retry_timeout,
        "maximum_lag_on_failover": inventory.patroni.maximum_lag_on_failover,
        "failsafe_mode": inventory.patroni.failsafe,
        "synchronous_mode": synchronous != Synchronous::Off,
        "synchronous_mode_strict": synchronous == Synchronous::Strict,
        "synchronous_node_count": 1,
        "postgresql": {
            "use_pg_rewind": true,
            "use_slots": true,
            "parameters": parameters,
            "pg_hba": hba,
        },
    });
    let Value::Object(configuration) = configuration else { return (Map::new(), notes) };
    (configuration, notes)
}

/// What a changed configuration means for PostgreSQL.
pub struct Configuration {
    /// Parameters that only a restart takes.
    pub restart: Vec<String>,
    /// One of them gets smaller than a standby may have it: see [`lowers`].
    pub lowered: bool,
}

/// Parameters that a standby must not have smaller than its leader runs with (PostgreSQL, "Hot Standby").
const NOT_BELOW_LEADER: [&str; 5] = [
    "max_connections",
    "max_locks_per_transaction",
    "max_prepared_transactions",
    "max_wal_senders",
    "max_worker_processes",
];

/// Whether a parameter goes from `old` to a value that standbys can take only after their leader.
pub fn lowers(name: &str, old: &str, new: &str) -> bool {
    let number = |text: &str| text.parse::<i64>().ok();
    NOT_BELOW_LEADER.contains(&name)
        && matches!((number(old), number(new)), (Some(old), Some(new)) if new < old)
}

type Planned = (Option<(Configuration, Placed)>, Vec<String>);

/// The change of the key, if it differs, with what it means.
pub fn changes(source: &Source, observed: &Observed) -> Result<Planned, LiveError> {
    let workers: Vec<&NodeName> = source.cluster.with_role("patroni").map(|(node, _)| node).collect();
    let seen: Vec<_> =
        workers.iter().filter_map(|node| observed.get(*node).map(|seen| (*node, &seen.facts))).collect();
    let Some((first, facts)) = seen.first() else { return Ok((None, Vec::new())) };
    let Some(node) = source.cluster.nodes.get(*first) else { return Ok((None, Vec::new())) };
    let (current, revision, holder) = current(source, observed);
    let (ram, taken) = memory(source, observed).unwrap_or((facts.ram_mib, 0));
    if source.cluster.inventory.postgresql.memory.is_none() && ram < LEAST_MEMORY_MIB {
        let what = format!("Redis takes {taken} MB of the RAM of a worker and leaves {ram} MB to PostgreSQL");
        let hint = "make `redis.maxmemory` smaller, or place Redis elsewhere by `roles.redis.on`".to_owned();
        return Err(Refusal { what, hint }.into());
    }
    let cores = seen.iter().map(|(_, facts)| facts.cores).min().unwrap_or(facts.cores);
    let mut wanted_parameters = parameters(&source.cluster.inventory, ram, cores);
    let old_parameters = current.get("postgresql").and_then(|value| value.get("parameters")).cloned();
    if seen.len() < workers.len() {
        // The smallest machine may be the one that is not there: sizes stay as they are.
        for key in SIZED {
            if let Some(old) = old_parameters.as_ref().and_then(|old| old.get(key)).and_then(Value::as_str) {
                wanted_parameters.insert(key.to_owned(), old.to_owned());
            }
        }
    }
    if source.cluster.inventory.postgresql.memory.is_none() {
        keep_near(source, &mut wanted_parameters, old_parameters.as_ref());
    }
    let renderer = Renderer::new(source, first, node, facts);
    let lines = match source.library.roles.get("patroni") {
        Some(manifest) => pg_hba(&renderer.template(manifest, crate::render::PG_HBA)?.0),
        None => Vec::new(),
    };
    let version = facts.postgresql();
    let (own, notes) = wanted(source, version, &wanted_parameters, &lines);
    if own.iter().all(|(key, value)| current.get(key) == Some(value)) {
        return Ok((None, notes));
    }
    let restart = restarting(version, old_parameters.as_ref(), &wanted_parameters);
    let lowered = restart.iter().any(|name| {
        let old = old_parameters.as_ref().and_then(|old| old[name].as_str());
        matches!((old, wanted_parameters.get(name)), (Some(old), Some(new)) if lowers(name, old, new))
    });
    let mut whole = current.clone();
    whole.extend(own);
    let mut change = change(source, &current, &whole, revision, &restart);
    change.adopt = adopt(source, old_parameters.as_ref(), &wanted_parameters);
    Ok((Some((Configuration { restart, lowered }, (holder, change))), notes))
}

/// Keeps sizes that would hardly change: another kernel has some MiB more or less of the same RAM, and that is worth no restart.
fn keep_near(source: &Source, wanted: &mut BTreeMap<String, String>, old: Option<&Value>) {
    let named = &source.cluster.inventory.postgresql.parameters;
    let size = |text: &str| {
        let unit = text.trim_start_matches(|c: char| c.is_ascii_digit()).to_owned();
        Some((text.strip_suffix(&unit)?.parse::<u64>().ok()?, unit))
    };
    for key in SIZED.into_iter().filter(|key| !named.contains_key(*key)) {
        let Some(old) = old.and_then(|old| old.get(key)).and_then(Value::as_str) else { continue };
        let Some(new) = wanted.get_mut(key) else { continue };
        let (Some((before, unit)), Some((after, other))) = (size(old), size(new)) else { continue };
        if !unit.is_empty() && unit == other && before.abs_diff(after) * 20 <= before {
            old.clone_into(new);
        }
    }
}

/// The key as it is for a cluster that begins on machines that said this: PostgreSQL's parameters and the lines of
/// `pg_hba.conf` among it, as JSON.
pub fn initial(source: &Source, observed: &Observed) -> Result<Option<String>, LiveError> {
    let (planned, _) = changes(source, observed)?;
    Ok(planned.and_then(|(_, (_, change))| Some(change.diff?.new)))
}

/// What the smallest worker that answers has for PostgreSQL, and what a Redis beside it takes; both in MiB.
pub fn memory(source: &Source, observed: &Observed) -> Option<(u64, u64)> {
    let left = |(node, machine): (&NodeName, &Node)| {
        let ram = observed.get(node)?.facts.ram_mib;
        let redis = &source.cluster.inventory.redis;
        let beside = machine.roles.contains("redis");
        let taken = if beside { redis.bytes(ram, true) / 1_048_576 } else { 0 };
        Some((ram.saturating_sub(taken), taken))
    };
    source.cluster.with_role("patroni").filter_map(left).min()
}

/// The key as it is, its revision, and the node that said so; empty at revision 0 when there is none.
fn current(source: &Source, observed: &Observed) -> (Map<String, Value>, u64, NodeName) {
    let mut holder = None;
    for (node, _) in source.cluster.with_role("etcd") {
        holder.get_or_insert_with(|| node.clone());
        let Some(seen) = fields(observed, node, &etcd::id()) else { continue };
        let Some(reply) = super::json(seen, "configuration") else { continue };
        let entry = &reply["kvs"][0];
        let value = entry["value"].as_str().and_then(|text| STANDARD.decode(text).ok());
        let map = value.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        return (map, etcd::number(&entry["mod_revision"]).unwrap_or(0), node.clone());
    }
    (Map::new(), 0, holder.unwrap_or_else(|| NodeName::from("")))
}

/// Parameters that change and that PostgreSQL takes by a restart only.
fn restarting(version: u8, old: Option<&Value>, wanted: &BTreeMap<String, String>) -> Vec<String> {
    let Some(old) = old.and_then(Value::as_object) else { return Vec::new() };
    let differs = |key: &str| old.get(key).and_then(Value::as_str) != wanted.get(key).map(String::as_str);
    let keys = wanted.keys().chain(old.keys()).filter(|key| differs(key));
    let known = Parameters::of(u32::from(version));
    let needs_restart = |key: &str| known.get(key).is_some_and(Parameter::needs_restart);
    let mut keys: Vec<String> = keys.filter(|key| needs_restart(key)).cloned().collect();
    keys.sort();
    keys.dedup();
    keys
}

/// What the inventory would have to say to keep parameters that are to change, and of which it says nothing.
fn adopt(source: &Source, old: Option<&Value>, wanted: &BTreeMap<String, String>) -> Option<String> {
    let named = &source.cluster.inventory.postgresql.parameters;
    let can_be_named = |name: &str| match name.split_once('.') {
        Some((extension, _)) => EXTENSIONS.contains(&extension),
        None => owned(name).is_none() && find(name).is_some(),
    };
    let kept: Vec<String> = old?
        .as_object()?
        .iter()
        .filter_map(|(name, value)| Some((name, value.as_str()?)))
        .filter(|(name, value)| wanted.get(*name).map(String::as_str) != Some(*value))
        .filter(|(name, _)| !named.contains_key(*name) && can_be_named(name))
        .map(|(name, value)| format!("{name}: {}", yaml(value)))
        .collect();
    (!kept.is_empty()).then(|| format!("postgresql: {{ parameters: {{ {} }} }}", kept.join(", ")))
}

fn change(
    source: &Source,
    current: &Map<String, Value>,
    whole: &Map<String, Value>,
    revision: u64,
    restart: &[String],
) -> Change {
    let key = STANDARD.encode(format!("/service/{}/config", source.cluster.name()));
    let value = STANDARD.encode(Value::Object(whole.clone()).to_string());
    let transaction = json!({
        "compare": [{ "target": "MOD", "key": key, "result": "EQUAL", "modRevision": revision.to_string() }],
        "success": [{ "requestPut": { "key": key, "value": value } }],
    });
    let call = Call::new("etcd_txn", [certificate_path(source, "etcd", "client")])
        .with(Payload::Bytes(transaction.to_string().into_bytes()));
    let (verb, reason) = match (current.is_empty(), restart.is_empty()) {
        (true, _) => (Verb::Create, "not set yet".to_owned()),
        (_, true) => (Verb::Update, "differs from the inventory".to_owned()),
        (_, false) => {
            (Verb::Update, format!("differs from the inventory; taken by a restart: {}", restart.join(", ")))
        }
    };
    let mut change =
        Change::new(Id::new("patroni", "dynamic configuration"), verb, reason, Order::Settle, call);
    change.cluster_wide = true;
    change.effect = if verb == Verb::Create { Effect::None } else { Effect::Reload };
    change.diff = Some(Diff { old: Some(pretty(current)), new: pretty(whole), secret: false });
    change
}

/// One key on each line, so that a diff shows the key that changed.
fn pretty(map: &Map<String, Value>) -> String {
    if map.is_empty() {
        return String::new();
    }
    serde_json::to_string_pretty(&Value::Object(map.clone())).map(|text| text + "\n").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::tests::{INVENTORY, bare, running, source, source_of, written};

    #[test]
    fn another_kernel_s_idea_of_the_same_ram_changes_no_size() {
        let source = source();
        let configuration = written(&source, &bare(&source, 13)).unwrap();
        let with = |wanted: &Source, ram: u64| {
            let mut observed = running(&source, 13, &configuration);
            for seen in observed.values_mut() {
                seen.facts.ram_mib = ram;
            }
            written(wanted, &observed)
        };
        assert_eq!(with(&source, 4093), None);
        let more = with(&source, 8192).unwrap();
        assert_eq!(more["postgresql"]["parameters"]["shared_buffers"], "2048MB");
        // What the inventory says is taken as it is.
        let text = format!("{INVENTORY}postgresql: {{ parameters: {{ shared_buffers: 1000MB }} }}\n");
        let named = with(&source_of(&text), 4093).unwrap();
        assert_eq!(named["postgresql"]["parameters"]["shared_buffers"], "1000MB");
        assert_eq!(named["postgresql"]["parameters"]["effective_cache_size"], "3072MB");
    }
}
