//! From what is wanted and what was seen to a plan.

use std::collections::{BTreeMap, BTreeSet};

use super::{PHASES, Phase, PhasePlan, Plan, waves};
use crate::cluster::NodeName;
use crate::live::{self, LiveError, Observed};
use crate::render::{self, RenderError, Resources, Source};
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

/// The plan that turns what was seen into what is wanted.
pub fn build(source: &Source, observed: &Observed, now: time::OffsetDateTime) -> Result<Plan, PlanError> {
    known_phases(&source.library)?;
    let mut plan = Plan::default();
    let mut wanted = wanted(source, observed)?;
    for phase in &PHASES {
        let (built, notes) = plan_phase(source, phase, observed, &mut wanted, now)?;
        plan.notes.extend(notes);
        plan.phases.extend(built);
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
    Ok(plan_phase(source, phase, observed, &mut wanted(source, observed)?, now)?.0)
}

/// The resources of every node that was observed.
fn wanted(source: &Source, observed: &Observed) -> Result<BTreeMap<NodeName, Resources>, RenderError> {
    let each = observed.iter();
    each.map(|(node, seen)| Ok((node.clone(), render::resources(source, node, Some(&seen.facts))?))).collect()
}

fn plan_phase(
    source: &Source,
    phase: &'static Phase,
    observed: &Observed,
    wanted: &mut BTreeMap<NodeName, Resources>,
    now: time::OffsetDateTime,
) -> Result<(Option<PhasePlan>, Vec<String>), PlanError> {
    let mut steps: BTreeMap<NodeName, Vec<Change>> = BTreeMap::new();
    let (live, notes) = live::changes(phase.name, source, observed)?;
    for (node, change) in live {
        steps.entry(node).or_default().push(change);
    }
    for (node, seen) in observed {
        let mut changing = BTreeSet::new();
        let empty = Fields::new();
        for resource in wanted.get_mut(node).and_then(|all| all.remove(phase.name)).unwrap_or_default() {
            let fields = seen.fields.get(&resource.id()).unwrap_or(&empty);
            if let Some(change) = resource.compare(fields, &Context { changing: &changing, now })? {
                changing.insert(change.id.clone());
                steps.entry(node.clone()).or_default().push(change);
            }
        }
    }
    for (node, change) in live::follows(source, observed, &steps) {
        steps.entry(node).or_default().push(change);
    }
    Ok((waves::arrange(source, phase, observed, steps), notes))
}

/// An error where a role belongs to no phase that there is.
pub fn known_phases(library: &Library) -> Result<(), PlanError> {
    let known = |name: &str| PHASES.iter().any(|phase| phase.name == name);
    match library.roles.values().find(|manifest| !known(&manifest.phase)) {
        None => Ok(()),
        Some(manifest) => Err(PlanError::Phase {
            role: manifest.role.clone(),
            phase: manifest.phase.clone(),
            known: PHASES.iter().map(|phase| phase.name).collect::<Vec<_>>().join(", "),
        }),
    }
}
