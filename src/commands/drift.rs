//! `deploy drift`: what was changed on the nodes behind the inventory's back; for a scheduled job.

use std::process::ExitCode;

use anyhow::Result;

use super::Global;
use super::project::Project;
use crate::cli::Target;
use crate::exit::Exit;
use crate::inventory::counted;
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
            "changed on the nodes: {}; apply puts that back. Who did it is unknown: times are those of the file \
             system and of systemd\n",
            counted(drifted, "thing")
        ));
    }
    if all > drifted {
        let inventory = target.inventory.display();
        ui::talk(&format!(
            "note: {}, by these or by the inventory, or of what a daemon owns: `deploy plan {inventory}` shows all",
            counted(all - drifted, "more change")
        ));
    }
    Ok(if drifted == 0 { ExitCode::SUCCESS } else { Exit::Pending.into() })
}
