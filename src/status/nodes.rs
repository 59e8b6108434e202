//! The machines: whether they answer, and whether their units run.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Serialize;

use super::attention::{Notes, Remedies};
use crate::cluster::NodeName;
use crate::inventory::model::Kind;
use crate::observe::{Answers, ObserveError};
use crate::render::Source;

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct NodeStatus {
    /// Its name.
    pub name: NodeName,
    /// Its kinds, joined by `+` where it has several.
    pub kind: String,
    /// Its kinds as a list.
    pub kinds: Vec<Kind>,
    /// The address that the other nodes use.
    pub address: IpAddr,
    /// Its roles.
    pub roles: BTreeSet<String>,
    /// It answered.
    pub reachable: bool,
    /// Why it did not.
    pub error: Option<String>,
    /// Some unit of its roles exists there.
    pub deployed: bool,
    /// Release of Debian.
    pub debian: Option<u8>,
    /// The units of its roles with systemd's word for their state; empty where it did not answer. Those that do their
    /// work at boot and end are left out unless they failed.
    pub units: BTreeMap<String, String>,
    /// Those of them that should run and do not, or have failed.
    pub stopped: BTreeSet<String>,
}

/// Whether systemd's word for a unit's state means that it does its work.
pub fn running(state: &str) -> bool {
    ["active", "reloading"].contains(&state)
}

pub fn read(
    source: &Source,
    answers: &Answers,
    remedies: &Remedies<'_>,
    notes: &mut Notes,
) -> Vec<NodeStatus> {
    let all: Vec<NodeStatus> =
        source.cluster.nodes.keys().filter_map(|name| node(source, answers, name)).collect();
    for status in all.iter().filter(|status| !status.reachable) {
        let command = match answers.failures.get(&status.name) {
            Some(ObserveError::Failure(_)) | None => remedies.login(&status.name),
            Some(_) => remedies.apply().replacen("apply", "check", 1),
        };
        let error = status.error.as_deref().unwrap_or("it gave no answer");
        let error = error.strip_prefix(&format!("{}: ", status.name)).unwrap_or(error);
        notes.critical(Some(&status.name), format!("does not answer: {error}"), command);
    }
    let bare: Vec<&NodeStatus> = all.iter().filter(|status| status.reachable && !status.deployed).collect();
    if !bare.is_empty() && bare.len() == all.iter().filter(|status| status.reachable).count() {
        notes.critical(None, "nothing is deployed yet", remedies.apply());
        return all;
    }
    for status in bare {
        notes.warning(Some(&status.name), "nothing is deployed on it yet", remedies.apply());
    }
    for status in all.iter().filter(|status| status.deployed) {
        for (unit, state) in status.units.iter().filter(|(unit, _)| status.stopped.contains(*unit)) {
            // What fails again after a start tells why in its journal; what was stopped only has to be started.
            let command = match state.as_str() {
                "failed" | "activating" => remedies.journal(&status.name, unit),
                _ => remedies.apply(),
            };
            notes.critical(Some(&status.name), format!("{unit} is {state}"), command);
        }
    }
    all
}

/// Whether a unit runs for as long as the machine does.
fn resident(source: &Source, name: &str) -> bool {
    let mut units = source.library.roles.values().flat_map(|manifest| &manifest.units);
    units.find(|unit| unit.name == name).is_none_or(|unit| unit.running)
}

fn node(source: &Source, answers: &Answers, name: &NodeName) -> Option<NodeStatus> {
    let node = source.cluster.nodes.get(name)?;
    let seen = answers.observed.get(name);
    // A unit whose role has left the node is asked about as well, and has nothing to run for.
    let roles = source.library.roles.values().filter(|manifest| node.roles.contains(&manifest.role));
    let own: BTreeSet<&str> =
        roles.flat_map(|manifest| &manifest.units).map(|unit| unit.name.as_str()).collect();
    let units = seen.iter().flat_map(|seen| seen.fields.iter());
    let units = units.filter(|(id, _)| id.kind == "unit" && own.contains(id.name.as_str()));
    let mut deployed = false;
    let mut states = BTreeMap::new();
    for (id, fields) in units {
        deployed |= fields.get("enabled").is_some_and(|state| !state.is_empty());
        let state = fields.get("active").cloned().unwrap_or_else(|| "unknown".into());
        // One that does its work at boot and ends is well while it has not failed.
        if resident(source, &id.name) || state == "failed" {
            states.insert(id.name.clone(), state);
        }
    }
    // Units that only do something at boot have nothing to keep running for.
    let passing: BTreeSet<&str> = source
        .library
        .roles
        .values()
        .flat_map(|manifest| &manifest.units)
        .filter(|unit| !unit.running)
        .map(|unit| unit.name.as_str())
        .collect();
    let should_run = |unit: &str, state: &str| !passing.contains(unit) || state == "failed";
    let stopped = states.iter().filter(|(unit, state)| !running(state) && should_run(unit, state));
    let stopped = stopped.map(|(unit, _)| unit.clone()).collect();
    Some(NodeStatus {
        name: name.clone(),
        kind: node.kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join("+"),
        kinds: node.kinds.clone(),
        address: node.address,
        roles: node.roles.clone(),
        reachable: seen.is_some(),
        error: answers.failures.get(name).map(ToString::to_string),
        deployed,
        debian: seen.map(|seen| seen.facts.debian),
        units: states,
        stopped,
    })
}
