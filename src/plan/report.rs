//! A plan for other programs: the documented shape of `plan --json`. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use schemars::JsonSchema;
use serde::Serialize;

use super::Plan;
use super::diff::unified;
use crate::cluster::NodeName;
use crate::inventory::counted;
use crate::resource::{Effect, Verb};

/// Version of this shape. Fields may be added to it; one that changes its meaning, or goes, makes another version.
pub const FORMAT: u32 = 1;

/// A plan. Secrets are not in it: in diffs their name and a fingerprint stand for them.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Report {
    /// Version of this shape: 1.
    pub format: u32,
    /// Version of the program that made it.
    pub version: String,
    /// What it comes to.
    pub summary: Summary,
    /// How many changes have each effect that is worth a word.
    pub effects: BTreeMap<String, usize>,
    /// Every change, in the order in which the phases make them.
    pub changes: Vec<ChangeReport>,
    /// What a selection by `--on`, `--phase` or `--skip-phase` has left out.
    pub left_out: Vec<LeftOut>,
    /// Things to know that are no change.
    pub notes: Vec<String>,
    /// Remote executions that it took, by node.
    pub executions: BTreeMap<String, usize>,
}

/// What a plan comes to.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Summary {
    /// How many changes.
    pub changes: usize,
    /// On how many nodes.
    pub nodes: usize,
    /// What clients will notice, in a sentence.
    pub clients: String,
    /// How many changes put back what was changed on the nodes.
    pub drift: usize,
    /// What is taken away, a line for each; empty where nothing is.
    pub destructive: Vec<String>,
}

/// One change to one resource on one node.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ChangeReport {
    /// The phase that makes it.
    pub phase: String,
    /// The node.
    pub node: String,
    /// Kind of the resource: `file`, `unit`, `certificate` …
    pub kind: String,
    /// Its name within the kind: a path, a unit.
    pub name: String,
    /// What is done to it.
    pub action: Verb,
    /// Why.
    pub reason: String,
    /// What somebody has done on the node since it was last written from here; null where the change comes from the
    /// inventory, or where that cannot be told.
    pub drift: Option<String>,
    /// What to write into the inventory, as YAML, for what is there to stay; null where it has no key for it, or says
    /// otherwise by itself.
    pub adopt: Option<String>,
    /// What clients will notice of it.
    pub effect: Effect,
    /// For files that are there already: a unified diff, secrets masked.
    pub diff: Option<String>,
}

/// Changes of one phase that a selection has left out.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct LeftOut {
    /// The phase.
    pub phase: String,
    /// How many changes.
    pub changes: usize,
    /// On which nodes.
    pub nodes: Vec<String>,
}

impl Report {
    /// The report of a plan.
    pub fn of(plan: &Plan) -> Self {
        let changes = plan.changes().map(|(phase, node, change)| ChangeReport {
            phase: phase.name.to_owned(),
            node: node.to_string(),
            kind: change.id.kind.clone(),
            name: change.id.name.clone(),
            action: change.verb,
            reason: change.reason.clone(),
            drift: change.drift.clone(),
            adopt: change.adopt.clone(),
            effect: change.effect,
            diff: change.diff.as_ref().and_then(unified),
        });
        let effects = plan.effects().into_iter().filter(|(effect, _)| *effect != Effect::None);
        let left_out = plan.hidden.iter().map(|hidden| LeftOut {
            phase: hidden.phase.to_owned(),
            changes: hidden.changes,
            nodes: hidden.nodes.iter().map(NodeName::to_string).collect(),
        });
        Self {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: Summary::of(plan),
            effects: effects.map(|(effect, count)| (effect.as_str().to_owned(), count)).collect(),
            changes: changes.collect(),
            left_out: left_out.collect(),
            notes: plan.notes.clone(),
            executions: BTreeMap::new(),
        }
    }
}

impl Summary {
    /// What a plan comes to.
    pub fn of(plan: &Plan) -> Self {
        let nodes: BTreeSet<&NodeName> = plan.changes().map(|(_, node, _)| node).collect();
        let destructive = plan
            .changes()
            .filter(|(_, _, change)| change.verb == Verb::Delete)
            .map(|(_, node, change)| format!("{node}: {} goes: {}", change.id, change.reason));
        Self {
            changes: plan.changes().count(),
            nodes: nodes.len(),
            clients: clients(plan),
            drift: plan.changes().filter(|(_, _, change)| change.drift.is_some()).count(),
            destructive: destructive.collect(),
        }
    }
}

/// What clients will notice.
fn clients(plan: &Plan) -> String {
    let noticed = || plan.changes().filter(|(_, _, change)| !change.unnoticed);
    let count = |effect| noticed().filter(|(_, _, change)| change.effect == effect).count();
    let (stops, restarts) = (count(Effect::Stop), count(Effect::Restart));
    match (count(Effect::Switchover), restarts + stops) {
        _ if count(Effect::Downtime) > 0 => {
            "clients will notice that the leader restarts: writes stop until it is back, some seconds"
                .to_owned()
        }
        (0, 0) => "clients will notice nothing".to_owned(),
        (0, all) if all == stops => format!(
            "clients will notice that services leave their nodes ({stops}): connections through them are cut once"
        ),
        (0, restarts) => format!(
            "clients will notice {}, one node at a time: connections through it are cut once",
            counted(restarts, "restart")
        ),
        (_, restarts) => {
            let mut text =
                "clients will notice one switchover: writes pause for about two seconds".to_owned();
            if restarts > 0 {
                let _ = write!(text, "; and {} of single nodes", counted(restarts, "restart"));
            }
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::fixture::{THREE, source};
    use crate::pki::Trust;

    #[test]
    fn a_report_is_what_its_schema_says() {
        let source = source(THREE, Trust::settled("ca", "0"));
        let facts = crate::live::fixture::facts(13);
        let seen = crate::live::Observation { facts, fields: BTreeMap::new() };
        let observed = source.cluster.nodes.keys().map(|node| (node.clone(), seen.clone())).collect();
        let plan = crate::plan::build(&source, &observed, time::OffsetDateTime::UNIX_EPOCH).unwrap();
        let report = serde_json::to_value(Report::of(&plan)).unwrap();
        let validator = jsonschema::validator_for(&schemars::schema_for!(Report).to_value()).unwrap();
        let wrong: Vec<String> = validator.iter_errors(&report).map(|error| error.to_string()).collect();
        assert_eq!(wrong, Vec::<String>::new());
        assert_eq!(report["summary"]["changes"], report["changes"].as_array().unwrap().len());
        for secret in source.secrets.values() {
            assert!(!report.to_string().contains(secret.expose()), "a secret is in the report");
        }
    }

    #[test]
    fn only_restarts_that_cut_clients_off_are_told_to_them() {
        let source = source(THREE, Trust::settled("ca", "0"));
        let seen =
            || crate::live::Observation { facts: crate::live::fixture::facts(13), fields: BTreeMap::new() };
        let told = |unit: &str| {
            let mut observed: crate::live::Observed =
                source.cluster.nodes.keys().map(|node| (node.clone(), seen())).collect();
            for seen in observed.values_mut() {
                let fields =
                    [("active", "active"), ("enabled", "enabled"), ("restart", "stale"), ("reload", "fresh")];
                let fields = fields.map(|(key, value)| (key.to_owned(), value.to_owned()));
                seen.fields.insert(crate::resource::Id::new("unit", unit), fields.into());
            }
            let plan = crate::plan::build(&source, &observed, time::OffsetDateTime::UNIX_EPOCH).unwrap();
            assert_eq!(plan.effects()[&Effect::Restart], 3);
            clients(&plan)
        };
        assert_eq!(told("etcd"), "clients will notice nothing");
        assert!(told("pgbouncer").contains("3 restarts, one node at a time"), "{}", told("pgbouncer"));
    }
}
