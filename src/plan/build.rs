//! From what is wanted and what was seen to a plan.

use std::collections::{BTreeMap, BTreeSet};

use super::{PHASES, Phase, PhasePlan, Plan, waves};
use crate::cluster::NodeName;
use crate::live::{self, LiveError, Observed};
use crate::render::{self, RenderError, Source};
use crate::resource::{Change, Context, Fields, Refusal};
use crate::role::Library;

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A template cannot be rendered.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// A state that must not be changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A role belongs to a phase that there is not.
    #[error("role {role} belongs to the phase `{phase}`, which does not exist; there are: {known}")]
    Phase {
        /// The role.
        role: String,
        /// What its manifest says.
        phase: String,
        /// All phases.
        known: String,
    },
}

impl PlanError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Render(error) => error.hint().into(),
            Self::Refused(refusal) => refusal.hint.clone(),
            Self::Phase { role, .. } => {
                format!("write one of them into roles/{role}.yaml; `services` is for roles of your own")
            }
        }
    }
}

impl From<LiveError> for PlanError {
    fn from(error: LiveError) -> Self {
        match error {
            LiveError::Refused(refusal) => Self::Refused(refusal),
            LiveError::Render(error) => Self::Render(error),
        }
    }
}

/// Changes of a phase, by node.
type Steps = BTreeMap<NodeName, Vec<Change>>;

/// The plan that turns what was seen into what is wanted.
pub fn build(source: &Source, observed: &Observed, now: time::OffsetDateTime) -> Result<Plan, PlanError> {
    known_phases(&source.library)?;
    let mut plan = Plan::default();
    let mut own = own_changes(source, observed, None, now)?;
    for phase in &PHASES {
        let own = own.remove(phase.name).unwrap_or_default();
        let (built, notes) = plan_phase(source, phase, observed, own)?;
        plan.notes.extend(notes);
        plan.phases.extend(built);
    }
    Ok(plan)
}

/// A plan of the phase of that name alone: nodes that only others look at need not have answered.
pub fn build_only(
    name: &str,
    source: &Source,
    observed: &Observed,
    now: time::OffsetDateTime,
) -> Result<Plan, PlanError> {
    let mut plan = Plan::default();
    for phase in PHASES.iter().filter(|phase| phase.name == name) {
        plan.phases.extend(build_phase(source, phase, observed, now)?);
    }
    Ok(plan)
}

/// One phase of the plan; `None` where it has no work.
pub fn build_phase(
    source: &Source,
    phase: &'static Phase,
    observed: &Observed,
    now: time::OffsetDateTime,
) -> Result<Option<PhasePlan>, PlanError> {
    let own = own_changes(source, observed, Some(phase.name), now)?.remove(phase.name).unwrap_or_default();
    Ok(plan_phase(source, phase, observed, own)?.0)
}

/// What has to change of the nodes' own resources, by phase. One node after the other is rendered and compared: of what
/// stays as it is nothing is kept.
fn own_changes(
    source: &Source,
    observed: &Observed,
    phase: Option<&str>,
    now: time::OffsetDateTime,
) -> Result<BTreeMap<String, Steps>, PlanError> {
    let mut all: BTreeMap<String, Steps> = BTreeMap::new();
    let nothing = Fields::new();
    let only_certificates = source.renewal.is_some();
    for (node, seen) in observed {
        for (phase, resources) in render::resources_of(source, node, Some(&seen.facts), phase)? {
            let mut changing = BTreeSet::new();
            for resource in resources {
                let fields = seen.fields.get(&resource.id()).unwrap_or(&nothing);
                let context = Context { changing: &changing, now, only_certificates };
                if let Some(change) = resource.compare(fields, &context)? {
                    if !only_certificates || change.id.kind == "certificate" {
                        changing.insert(change.id.clone());
                    }
                    all.entry(phase.clone()).or_default().entry(node.clone()).or_default().push(change);
                }
            }
        }
    }
    Ok(all)
}

fn plan_phase(
    source: &Source,
    phase: &'static Phase,
    observed: &Observed,
    own: Steps,
) -> Result<(Option<PhasePlan>, Vec<String>), PlanError> {
    let (live, notes) = live::changes(phase.name, source, observed)?;
    let mut steps = Steps::new();
    for (node, change) in live {
        steps.entry(node).or_default().push(change);
    }
    for (node, changes) in own {
        steps.entry(node).or_default().extend(changes);
    }
    for (node, change) in live::follows(source, observed, &steps) {
        steps.entry(node).or_default().push(change);
    }
    Ok((waves::arrange(source, phase, observed, steps), notes))
}

/// An error where a role belongs to no phase that there is.
pub fn known_phases(library: &Library) -> Result<(), PlanError> {
    let known = |name: &str| PHASES.iter().any(|phase| phase.name == name);
    let named = library.roles.values().flat_map(|manifest| {
        let retired = manifest.units.iter().filter_map(|unit| unit.retired_in.as_ref());
        retired.chain([&manifest.phase]).map(|phase| (&manifest.role, phase))
    });
    match named.into_iter().find(|(_, phase)| !known(phase)) {
        None => Ok(()),
        Some((role, phase)) => Err(PlanError::Phase {
            role: role.clone(),
            phase: phase.clone(),
            known: PHASES.iter().map(|phase| phase.name).collect::<Vec<_>>().join(", "),
        }),
    }
}
