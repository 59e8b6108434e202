//! `deploy plan`: what apply would change.

use std::process::ExitCode;

use anyhow::Result;

use super::Global;
use super::project::Project;
use crate::live::Observed;
use crate::pki::Handover;
use crate::plan::{Plan, PlanError};
use crate::ui::Hint;
use crate::{cli, observe, plan, ui};

/// Exit code of `--detailed-exitcode` when there is something to change.
const PENDING: u8 = 2;

pub async fn run(global: &Global, args: &cli::Plan) -> Result<ExitCode> {
    let mut project = Project::open(global, &args.target.inventory).await?;
    let plan = make(&mut project).await?;
    if global.json {
        let mut json = ui::plan_json(&plan);
        json["executions"] = serde_json::to_value(project.executions())?;
        ui::json(&json);
    } else {
        ui::data(&ui::plan(&plan));
    }
    let pending = args.detailed_exitcode && !plan.is_empty();
    Ok(if pending { ExitCode::from(PENDING) } else { ExitCode::SUCCESS })
}

/// The plan for what the nodes say now. A step from one authority to the next that has begun is finished by it; the
/// next step is not begun.
pub async fn make(project: &mut Project) -> Result<Plan> {
    let observed = project.observe().await?;
    if let Some(reached) = project.handover(&observed)
        && (reached.begun || reached.step == Handover::Trust)
    {
        project.take_step(reached.step)?;
    }
    from(project, &observed).await
}

/// The plan for what was observed, with the texts that its diffs compare.
pub async fn from(project: &Project, observed: &Observed) -> Result<Plan> {
    project.fits(observed)?;
    let mut plan =
        plan::build(&project.source, observed, time::OffsetDateTime::now_utc()).map_err(explain)?;
    observe::fetch_old(&mut plan, &project.hosts()).await?;
    Ok(plan)
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
