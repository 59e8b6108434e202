//! `deploy check`: whether the machines are fit for what the inventory wants.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use super::Global;
use super::project::Project;
use crate::cli::Target;
use crate::exit::Exit;
use crate::ui::Hint;
use crate::verify::{Outcome, Verdict};
use crate::{preflight, ui};

pub async fn run(global: &Global, target: &Target) -> Result<ExitCode> {
    // A bad inventory is an error of its own; a store that does not open is a check that fails.
    super::project::files(&target.inventory)?;
    let verdicts = match Project::open(global, &target.inventory).await {
        Ok(project) => {
            let mut verdicts = vec![preflight::identity(None)];
            let hosts = project.hosts();
            verdicts.extend(ui::waiting(&hosts, preflight::run(&project.source, &hosts)).await?);
            verdicts
        }
        Err(error) => vec![preflight::identity(Some(words(&error)))],
    };
    if global.json {
        ui::json(&json!({ "checks": verdicts }));
    } else {
        ui::report(&ui::checks(&verdicts));
    }
    let failed = |verdict: &Verdict| verdict.outcome == Outcome::Fail;
    Ok(if verdicts.iter().any(failed) { Exit::Unfit.into() } else { ExitCode::SUCCESS })
}

/// An error with its causes, its hint on a line of its own.
fn words(error: &anyhow::Error) -> String {
    let hint = error.downcast_ref::<Hint>().map(|Hint(next)| next.clone());
    let causes = error.chain().map(ToString::to_string).filter(|cause| hint.as_ref() != Some(cause));
    let text = causes.collect::<Vec<_>>().join(": ");
    hint.map_or_else(|| text.clone(), |hint| format!("{text}\nhint: {hint}"))
}
