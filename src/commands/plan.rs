//! `deploy plan`: what apply would change.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use super::Global;
use super::project::Project;
use super::who::who;
use super::written::unwritable;
use crate::cluster::{Cluster, NodeName};
use crate::exit::Exit;
use crate::live::Observed;
use crate::observe::{ObserveError, Unanswered};
use crate::plan::{Plan, PlanError, Report, SAVED_FORMAT, Saved, Selection};
use crate::render::Graph;
use crate::resource::{Call, Id, Refusal};
use crate::secrets::write_sealed;
use crate::ui::Hint;
use crate::{cli, observe, plan, ui};

pub async fn run(global: &Global, args: &cli::Plan) -> Result<ExitCode> {
    for file in args.out.iter().chain(&args.output.json_into) {
        global.precious.spared("the plan", file)?;
    }
    let mut project = Project::open(global, &args.target.inventory).await?;
    let selection = selection(&args.narrow);
    let (plan, observed) = selected(&mut project, &selection).await?;
    if let Some(file) = &args.out {
        save(&project, &plan, &observed, selection, file)?;
    }
    let exit = print(global, &args.output, &project, &plan)?;
    if let Some(file) = &args.out {
        let (file, inventory) = (file.display(), args.target.inventory.display());
        ui::talk(&format!("saved: `deploy apply {inventory} --plan {file}` carries out exactly this"));
    }
    Ok(exit)
}

/// Prints a plan as the flags ask for, and says how a command ends that does no more.
pub fn print(global: &Global, output: &cli::PlanOutput, project: &Project, plan: &Plan) -> Result<ExitCode> {
    let executions = project.executions();
    let executions = executions.into_iter().map(|(node, count)| (node.to_string(), count)).collect();
    let report = Report { executions, ..Report::of(plan) };
    if let Some(file) = &output.json_into {
        let text = serde_json::to_string_pretty(&report)? + "\n";
        std::fs::write(file, text).map_err(|error| unwritable("the plan", file, error))?;
    }
    if global.json {
        ui::json(&report);
    } else if output.markdown {
        let (cluster, library) = (&project.source.cluster, &project.source.library);
        let part = Graph::of(cluster, library).part(&plan.roles(cluster, library));
        ui::data(&ui::markdown(cluster.name(), plan, &part));
    } else {
        ui::report(&ui::plan(plan));
    }
    let pending = output.detailed_exitcode && !plan.is_empty();
    Ok(if pending { Exit::Pending.into() } else { ExitCode::SUCCESS })
}

pub fn show(global: &Global, plan: &Plan) {
    if global.json { ui::json(&ui::plan_json(plan)) } else { ui::report(&ui::plan(plan)) }
}

/// What the flags ask for.
pub fn selection(narrow: &cli::Narrow) -> Selection {
    Selection {
        on: narrow.on.clone(),
        phases: narrow.phase.iter().cloned().collect(),
        skip: narrow.skip_phase.iter().cloned().collect(),
    }
}

/// Writes the plan for `apply --plan`.
fn save(
    project: &Project,
    plan: &Plan,
    observed: &Observed,
    selection: Selection,
    file: &Path,
) -> Result<()> {
    let saved = Saved {
        format: SAVED_FORMAT,
        id: super::who::run_id()?,
        cluster: project.source.cluster.name().to_owned(),
        by: who(),
        inputs: project.inputs(),
        selection,
        changes: Saved::changes_of(plan, observed),
        made: project.made.clone(),
    };
    let text = zeroize::Zeroizing::new(serde_json::to_string(&saved)?);
    // To whoever can open the store, and to nobody that only this inventory names: it may be one that somebody proposes.
    Ok(write_sealed(file, project.store.seal(), &text)?)
}

/// The plan for what the nodes say now. A step from one authority to the next that has begun is finished by it; the
/// next step is not begun.
pub async fn make(project: &mut Project) -> Result<Plan> {
    Ok(observed(project, &[]).await?.0)
}

/// The part of it that is wanted, with what the nodes said.
pub async fn selected(project: &mut Project, selection: &Selection) -> Result<(Plan, Observed)> {
    selection.check(&project.source.cluster)?;
    let (mut plan, observed) = observed(project, &[]).await?;
    selection.narrow(&mut plan, &project.source.cluster)?;
    Ok((plan, observed))
}

/// The same with what the nodes said, to these questions too.
pub async fn observed(project: &mut Project, more: &[(Id, Call)]) -> Result<(Plan, Observed)> {
    let observed = project.observe_also(more).await?;
    project.go_on(&observed)?;
    Ok((from(project, &observed).await?, observed))
}

/// The plan for what was observed, with the texts that its diffs compare.
pub async fn from(project: &Project, observed: &Observed) -> Result<Plan> {
    project.fits(observed)?;
    let mut plan =
        plan::build(&project.source, observed, time::OffsetDateTime::now_utc()).map_err(explain)?;
    let hosts = project.hosts();
    ui::waiting(&hosts, observe::fetch_old(&mut plan, &project.source, &hosts)).await?;
    Ok(plan)
}

/// Why something cannot be done, by what the nodes of `roles` say: those of them that say nothing come before what follows
/// from it.
pub fn blame(
    cluster: &Cluster,
    roles: &[&str],
    refusal: Refusal,
    mut failures: BTreeMap<NodeName, ObserveError>,
) -> anyhow::Error {
    let concerned = |node: &NodeName| {
        let own = cluster.nodes.get(node).map(|node| &node.roles);
        own.is_some_and(|own| roles.iter().any(|role| own.contains(*role)))
    };
    failures.retain(|node, _| concerned(node));
    if failures.is_empty() {
        return explain(refusal.into());
    }
    let silent = Unanswered(failures);
    let hint = Hint(silent.hint());
    anyhow::Error::new(silent).context(refusal.what).context(hint)
}

/// A refusal with its remedy.
pub fn explain(error: PlanError) -> anyhow::Error {
    match error {
        PlanError::Refused(refusal) => {
            let hint = Hint(refusal.hint.clone());
            anyhow::Error::new(refusal).context(hint)
        }
        other => other.into(),
    }
}
