//! `deploy status`: the cluster at a glance.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use super::Global;
use super::project::Project;
use crate::cli::Target;
use crate::exit::Exit;
use crate::status::{Health, Remedies, Status};
use crate::{observe, ui};

pub async fn run(global: &Global, target: &Target) -> Result<ExitCode> {
    let project = Project::open(global, &target.inventory).await?;
    let hosts = project.hosts();
    let answers = ui::waiting(&hosts, observe::observe(&project.source, &hosts)).await?;
    let path = &target.inventory;
    let dir = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
    let remedies = Remedies::new(&project.source.cluster, path, dir);
    let status = Status::read(&project.source, &answers, &remedies, time::OffsetDateTime::now_utc())?;
    if global.json {
        ui::json(&status);
    } else {
        ui::report(&ui::status(&status));
    }
    Ok(if status.health == Health::Healthy { ExitCode::SUCCESS } else { Exit::Unverified.into() })
}
