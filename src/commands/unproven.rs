//! Where nothing is left to do: what runs have left that did not end well is proven before that is said.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::Global;
use super::project::Project;
use crate::exit::Exit;
use crate::plan::Plan;
use crate::verdict::Verdict;
use crate::{journal, live, observe, plan, ui, verify};

/// A plan that has nothing to do. Where the last run on a node did not end well, every check is run.
pub async fn nothing(global: &Global, project: &mut Project, plan: &Plan) -> Result<ExitCode> {
    let runs = runs(project, plan);
    project.save()?;
    if runs.is_empty() {
        if global.json {
            ui::json(&json!({ "changed": 0, "executions": project.executions() }));
        } else {
            ui::report(&ui::plan(plan));
        }
        return Ok(ExitCode::SUCCESS);
    }
    for (run, nodes) in &runs {
        ui::talk(&format!("run {run} has not ended well on {}: every check is run", nodes.join(" ")));
    }
    let hosts = project.hosts();
    let checks = plan::checks(&project.source, &live::facts(&project.observed))?;
    let verdicts = ui::waiting(&hosts, verify::everything(&project.source, &hosts, &checks)).await?;
    if global.json {
        ui::json(&json!({ "changed": 0, "executions": project.executions(), "checks": verdicts }));
    } else {
        ui::report(&ui::plan(plan));
        ui::report(&super::verify::text(&verdicts, false));
    }
    if verdicts.iter().any(Verdict::fails) {
        return Ok(Exit::Unverified.into());
    }
    let proven = format!("{}{}", journal::SHELL, journal::PROVEN);
    observe::ask_each(&hosts, &proven, Duration::from_secs(20)).await;
    Ok(ExitCode::SUCCESS)
}

/// Runs that have left something which no check has proven, each with the nodes where it was the last one. Where a selection has
/// left something out, not all checks would hold.
fn runs(project: &Project, plan: &Plan) -> BTreeMap<String, Vec<String>> {
    let mut runs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (node, seen) in project.observed.iter().filter(|_| plan.hidden.is_empty()) {
        if let Some(run) = &seen.facts.unproven {
            runs.entry(run.clone()).or_default().push(node.to_string());
        }
    }
    runs
}
