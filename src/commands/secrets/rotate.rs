//! `deploy secrets rotate`: new values, in the store and on the nodes, each verified before the next.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, anyhow};
use serde_json::json;

use super::super::Global;
use super::super::apply::{Done, carry_out, confirm};
use super::super::plan;
use super::super::project::Project;
use super::Opened;
use crate::cli::RotateSecrets;
use crate::live::on_change;
use crate::ui::{self, Hint};

pub async fn run(global: &Global, args: &RotateSecrets) -> Result<ExitCode> {
    let inventory = &args.target.inventory;
    let opened = Opened::new(global, inventory)?;
    for name in &args.names {
        opened.require_known(name)?;
        opened.require_stored(name)?;
        if !opened.uses.contains_key(name) {
            let hint =
                Hint(format!("`deploy secrets edit {}` can take it out of the store", inventory.display()));
            return Err(anyhow!("nothing of this inventory uses the secret `{name}`").context(hint));
        }
    }
    drop(opened);
    let mut project = Project::open(global, inventory).await?;
    // One after the other: while one is on its way, nothing else changes that could need it.
    let mut names: Vec<&String> = Vec::new();
    for name in &args.names {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    for (place, name) in names.iter().enumerate() {
        let ended = one(global, args, &mut project, name).await;
        match ended {
            Ok(done) if done.verified() => {}
            Ok(done) => {
                tell_rest(inventory, &names[..=place], &names[place + 1..]);
                return Ok(done.exit_code());
            }
            Err(error) => {
                tell_rest(inventory, &names[..place], &names[place..]);
                return Err(error);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Where only part of several is done: which, and how the others are.
fn tell_rest(inventory: &Path, done: &[&String], left: &[&String]) {
    let list = |names: &[&String]| names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" ");
    if done.is_empty() || left.is_empty() {
        return;
    }
    ui::talk(&format!("new values by now: {}", list(done)));
    ui::talk(&format!("the others: deploy secrets rotate {} {}", inventory.display(), list(left)));
}

/// Gives one secret a new value everywhere. The store is saved before any node hears of it: a run that is killed is
/// finished by the next apply.
async fn one(global: &Global, args: &RotateSecrets, project: &mut Project, name: &str) -> Result<Done> {
    let begun = Instant::now();
    project.renew(name)?;
    let plan = plan::make(project).await?;
    ui::talk(&format!("{name}: {}", on_change(name)));
    confirm(global, args.yes, &plan)?;
    let done = carry_out(project, plan).await?;
    done.tell(global, begun, json!({ "rotated": name }));
    Ok(done)
}
