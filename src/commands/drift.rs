//! `deploy drift`: what was changed on the nodes behind the inventory's back; for a scheduled job.

use std::process::ExitCode;

use anyhow::Result;

use super::Global;
use super::project::Project;
use crate::cli::Target;
use crate::exit::Exit;
use crate::plan::Report;
use crate::ui;

pub async fn run(global: &Global, target: &Target) -> Result<ExitCode> {
    let mut project = Project::open(global, &target.inventory).await?;
    let mut plan = super::plan::make(&mut project).await?;
    let all = plan.changes().count();
    plan.keep_drift();
    let drifted = plan.changes().count();
    if global.json {
        ui::json(&Report::of(&plan));
    } else if drifted == 0 {
        ui::report("no drift: everything on the nodes that was written by deploy is as it was written\n");
    } else {
        ui::report(&ui::changes(&plan));
        ui::report(&format!(
            "{drifted} things were changed on the nodes; apply puts them back. Who did it is unknown: \
             times are those of the file system and of systemd\n"
        ));
    }
    if all > drifted {
        let inventory = target.inventory.display();
        ui::talk(&format!(
            "note: {} further changes follow from these or from the inventory, or concern what a daemon owns: \
             `deploy plan {inventory}` shows them",
            all - drifted
        ));
    }
    Ok(if drifted == 0 { ExitCode::SUCCESS } else { Exit::Pending.into() })
}
