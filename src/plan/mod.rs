//! A plan is data: phases of waves of steps of actions, specific enough that applying it leaves no choice. Pure.
//!
//! The dry run is the plan: what is shown is what [`crate::apply`] does. A plan is built from what the nodes said
//! ([`build`]) and a phase of it again just before its work begins, so that the two can be held against each other.

#[cfg(test)]
mod applied_test;
mod build;
mod check;
mod diff;
mod inputs;
mod phases;
mod report;
#[cfg(test)]
mod retired_test;
mod saved;
mod select;
mod waves;

pub use build::{PlanError, build, build_only, build_phase, known_phases};
pub use check::{CheckRun, checks};
pub use diff::unified;
pub use inputs::{Inputs, differing};
pub use phases::{Early, PHASES, Phase, Scope};
pub use report::{ChangeReport, Report, Summary};
pub use saved::{FORMAT as SAVED_FORMAT, Made, Saved, SavedChange, Stale};
pub use select::{Hidden, Selection, SelectionError, node_with_role};
#[cfg(test)]
pub(crate) use waves::arrange;

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::{Cluster, NodeName};
use crate::resource::{Arg, Change, Effect, Id, Payload, Verb};
use crate::role::{Library, Manifest};

/// Everything that a run will do.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The phases that have work, in order.
    pub phases: Vec<PhasePlan>,
    /// Things the user should know that are no change.
    pub notes: Vec<String>,
    /// What a narrower selection has left out.
    pub hidden: Vec<Hidden>,
}

/// The work of one phase.
#[derive(Debug, Clone)]
pub struct PhasePlan {
    /// Name of the phase.
    pub phase: &'static Phase,
    /// One after the other; a gate stands behind each.
    pub waves: Vec<Wave>,
    /// Only a part of what the phase found to do is wanted: the rest is left alone.
    pub partial: bool,
}

/// Steps that run at the same time on different nodes.
#[derive(Debug, Clone, Default)]
pub struct Wave {
    /// One for each node.
    pub steps: Vec<Step>,
    /// It is one node that goes ahead of all others, which are as they were, or do not run yet.
    pub canary: bool,
}

/// The changes of one node in one wave, made by one remote execution.
#[derive(Debug, Clone)]
pub struct Step {
    /// The node.
    pub node: NodeName,
    /// In the order in which they are shown; the calls are made in the order of [`crate::resource::Order`].
    pub changes: Vec<Change>,
}

impl Plan {
    /// Nothing to do.
    pub fn is_empty(&self) -> bool {
        self.phases.is_empty()
    }

    /// Leaves only certificates that are `meant`, by node and role, the units that take them, and what follows. Nothing is
    /// taken away, and roles that are new to their node are left out.
    pub fn keep_certificates(&mut self, meant: impl Fn(&NodeName, &str) -> bool, library: &Library) {
        let new = self.new_roles(library);
        let is_new = |node: &NodeName, role: &str| new.contains(&(node.clone(), role.to_owned()));
        for phase in &self.phases {
            let of_phase = new.iter().filter(|(_, role)| library.roles[role].phase == phase.phase.name);
            let nodes: BTreeSet<NodeName> = of_phase.map(|(node, _)| node.clone()).collect();
            let changes = phase.changes().filter(|(node, _)| nodes.contains(*node)).count();
            if changes > 0 {
                self.hidden.push(Hidden { phase: phase.phase.name, changes, nodes });
            }
        }
        let meant = |node: &NodeName, role: &str| !is_new(node, role) && meant(node, role);
        let of_meant = |node: &NodeName, id: &Id| {
            library.roles.values().filter(|manifest| meant(node, &manifest.role)).any(|manifest| {
                match id.kind.as_str() {
                    "certificate" => manifest.certificates.iter().any(|one| one.path == id.name),
                    "unit" => manifest.units.iter().any(|unit| unit.name == id.name),
                    _ => false,
                }
            })
        };
        for phase in &mut self.phases {
            phase.partial = true;
            phase.retain(|node, change| {
                change.verb != Verb::Delete && (change.last || of_meant(node, &change.id))
            });
        }
        self.phases.retain(|phase| phase.changes().any(|(_, change)| change.id.kind == "certificate"));
    }

    /// Roles that are not deployed yet on nodes where packages are missing: they have no certificates.
    fn new_roles(&self, library: &Library) -> BTreeSet<(NodeName, String)> {
        let packages = self.changes().filter(|(_, _, change)| change.id.kind == "packages");
        let nodes: BTreeSet<&NodeName> = packages.map(|(_, node, _)| node).collect();
        let missing = self.changes().filter(|(_, node, change)| {
            change.id.kind == "certificate" && change.verb == Verb::Create && nodes.contains(node)
        });
        let owners = missing.flat_map(|(_, node, change)| {
            let owns =
                |manifest: &&Manifest| manifest.certificates.iter().any(|one| one.path == change.id.name);
            library.roles.values().filter(owns).map(|manifest| (node.clone(), manifest.role.clone()))
        });
        owners.collect()
    }

    /// Leaves only what was changed on the nodes. To be shown, not to be carried out.
    pub fn keep_drift(&mut self) {
        self.keep(|_, change| change.drift.is_some());
    }

    /// Leaves only changes that are `meant`.
    pub fn keep(&mut self, meant: impl Fn(&NodeName, &Change) -> bool) {
        for phase in &mut self.phases {
            phase.partial = true;
            phase.retain(&meant);
        }
        self.phases.retain(|phase| !phase.waves.is_empty());
    }

    /// Every change with its node.
    pub fn changes(&self) -> impl Iterator<Item = (&'static Phase, &NodeName, &Change)> {
        self.phases.iter().flat_map(|phase| phase.changes().map(|(node, change)| (phase.phase, node, change)))
    }

    /// Every change with its node, to be completed (see [`crate::observe::fetch_old`]).
    pub fn changes_mut(&mut self) -> impl Iterator<Item = (&NodeName, &mut Change)> {
        let steps =
            self.phases.iter_mut().flat_map(|phase| &mut phase.waves).flat_map(|wave| &mut wave.steps);
        steps.flat_map(|step| {
            let node = &step.node;
            step.changes.iter_mut().map(move |change| (node, change))
        })
    }

    /// The roles that it works on: on a node that is changed in a phase, those that belong to the phase. A phase that no
    /// role belongs to works on those that it looks at.
    pub fn roles(&self, cluster: &Cluster, library: &Library) -> BTreeSet<String> {
        let own = |phase: &Phase| -> Vec<&str> {
            let roles = library.roles.values().filter(|manifest| manifest.phase == phase.name);
            let roles: Vec<&str> = roles.map(|manifest| manifest.role.as_str()).collect();
            if roles.is_empty() { phase.roles.to_vec() } else { roles }
        };
        let all = self.phases.iter().flat_map(|phase| {
            let nodes: BTreeSet<&NodeName> = phase.changes().map(|(node, _)| node).collect();
            let runs = move |role: &&str| cluster.with_role(role).any(|(node, _)| nodes.contains(node));
            own(phase.phase).into_iter().filter(runs)
        });
        all.map(str::to_owned).collect()
    }

    /// Nothing but new certificates and the services that take them: the phases need not wait for each other.
    pub fn only_certificates(&self) -> bool {
        let steps = self.phases.iter().flat_map(|phase| &phase.waves).flat_map(|wave| &wave.steps);
        let mut steps = steps.peekable();
        steps.peek().is_some() && steps.all(Step::only_certificates)
    }

    /// Whether certificates are made.
    pub fn issues(&self) -> bool {
        let calls = self.changes().flat_map(|(_, _, change)| &change.calls);
        calls.flat_map(|(_, call)| &call.args).any(|arg| matches!(arg, Arg::Payload(Payload::Leaf(_))))
    }

    /// How many changes have each effect.
    pub fn effects(&self) -> BTreeMap<Effect, usize> {
        let mut effects = BTreeMap::new();
        for (_, _, change) in self.changes() {
            *effects.entry(change.effect).or_default() += 1;
        }
        effects
    }
}

/// Whether an approved change stands for one that is found now.
pub fn covers(on: &NodeName, known: &Change, node: &NodeName, change: &Change) -> bool {
    let same_place = on == node || (known.cluster_wide && change.cluster_wide);
    // A service that was to be started has come up by itself since, with what it was before: it starts anew.
    let starts = known.id.kind == "unit" && known.effect == Effect::Start && change.effect == Effect::Restart;
    same_place && known.id == change.id && (known.calls == change.calls || starts)
}

impl Step {
    /// New certificates, what takes them, and what follows from that.
    fn only_certificates(&self) -> bool {
        let is = |kind: &'static str| move |change: &Change| change.id.kind == kind;
        let own = || self.changes.iter().filter(|change| !change.last && change.ahead.is_none());
        let gentle =
            self.changes.iter().all(|change| change.effect <= Effect::Restart && change.verb != Verb::Delete);
        gentle
            && own().all(|change| is("certificate")(change) || is("unit")(change))
            && (own().next().is_none() || own().any(is("certificate")))
    }
}

impl Wave {
    /// A gate behind it would have nothing to look at: what the cluster has in common, which may come before anything
    /// runs, or what goes ahead of others.
    pub fn ungated(&self) -> bool {
        let changes = || self.steps.iter().flat_map(|step| &step.changes);
        changes().all(|change| change.cluster_wide) || changes().all(|change| change.ahead.is_some())
    }

    /// Whether a gate behind it asks this node: behind one that goes first the others are not yet what the checks want them to be.
    pub fn asks(&self, node: &NodeName) -> bool {
        !self.canary || self.steps.iter().any(|step| step.node == *node)
    }
}

impl PhasePlan {
    /// Drops changes, what goes ahead of those that are dropped, and the steps and waves that have none left.
    pub fn retain(&mut self, keep: impl Fn(&NodeName, &Change) -> bool) {
        let kept = self.changes().filter(|(node, change)| change.ahead.is_none() && keep(node, change));
        let effects: BTreeSet<Effect> = kept.map(|(_, change)| change.effect).collect();
        let keep = |node: &NodeName, change: &Change| match change.ahead {
            Some(effect) => effects.contains(&effect),
            None => keep(node, change),
        };
        for wave in &mut self.waves {
            for step in &mut wave.steps {
                step.changes.retain(|change| keep(&step.node, change));
            }
            wave.steps.retain(|step| !step.changes.is_empty());
        }
        self.waves.retain(|wave| !wave.steps.is_empty());
    }

    /// Nothing that runs is touched, or taken away.
    pub fn only_starts(&self) -> bool {
        self.changes().all(|(_, change)| change.effect <= Effect::Start && change.verb != Verb::Delete)
    }

    /// Whether one of its changes is made once for the whole cluster.
    pub fn tells_the_cluster(&self) -> bool {
        self.changes().any(|(_, change)| change.cluster_wide)
    }

    /// Whether a role has a part in both phases.
    pub fn shares_roles(&self, other: &Self) -> bool {
        self.phase.roles.iter().any(|role| other.phase.roles.contains(role))
    }

    /// Every change with its node.
    pub fn changes(&self) -> impl Iterator<Item = (&NodeName, &Change)> {
        let steps = self.waves.iter().flat_map(|wave| &wave.steps);
        steps.flat_map(|step| step.changes.iter().map(|change| (&step.node, change)))
    }
}
