//! `deploy check`: whether the machines are fit for what the inventory wants.

use std::process::ExitCode;

use anyhow::Result;

use super::Global;
use super::project::Project;
use crate::cli::Target;
use crate::exit::Exit;
use crate::verdict::{Verdict, Verdicts};
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
        Err(error) if Exit::of(&error) == Exit::Inventory => return Err(error),
        Err(error) => vec![preflight::identity(Some(words(&error)))],
    };
    if global.json {
        ui::json(&Verdicts { checks: &verdicts });
    } else {
        ui::report(&ui::checks(&verdicts));
    }
    Ok(ended(&verdicts).into())
}

/// Of a node that does not answer nothing is known, whatever the others are like.
fn ended(verdicts: &[Verdict]) -> Exit {
    let failed: Vec<&Verdict> = verdicts.iter().filter(|verdict| verdict.fails()).collect();
    if failed.iter().any(|verdict| verdict.name == "reachable") {
        Exit::Unreachable
    } else if failed.is_empty() {
        Exit::Done
    } else {
        Exit::Unfit
    }
}

/// An error with its causes, its hint on a line of its own.
fn words(error: &anyhow::Error) -> String {
    let (text, hint) = ui::words(error);
    hint.map_or_else(|| text.clone(), |hint| format!("{text}\nhint: {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Outcome;

    #[test]
    fn a_node_that_does_not_answer_is_not_called_unfit() {
        let failed = |name: &str, outcome| Verdict {
            name: name.into(),
            title: String::new(),
            node: "n1".into(),
            outcome,
            reason: String::new(),
        };
        assert_eq!(
            ended(&[failed("disk", Outcome::Fail), failed("reachable", Outcome::Fail)]),
            Exit::Unreachable
        );
        assert_eq!(ended(&[failed("disk", Outcome::Fail), failed("reachable", Outcome::Pass)]), Exit::Unfit);
        assert_eq!(ended(&[failed("disk", Outcome::Warn)]), Exit::Done);
    }
}
