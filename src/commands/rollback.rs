//! `deploy rollback`: back to what an earlier run wanted.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use serde_json::json;

use super::apply::{How, carry_out_so, confirm, fit, recorded};
use super::project::{self, Project};
use super::{Global, history, unproven};
use crate::resource::Diff;
use crate::{cli, plan, ui};

pub async fn run(global: &Global, args: &cli::Rollback) -> Result<ExitCode> {
    if args.dry_run {
        return rollback(global, args, String::new()).await;
    }
    recorded(&args.target.inventory, async |run| rollback(global, args, run).await).await
}

async fn rollback(global: &Global, args: &cli::Rollback, run: String) -> Result<ExitCode> {
    let begun = Instant::now();
    let path = &args.target.inventory;
    if let Some(file) = &args.output.json_into {
        global.precious.spared("the plan", file)?;
    }
    let wanted = history::wanted(path, &args.run).await?;
    let present = project::files(path)?;
    let diff = Diff { old: Some(present.text.source), new: wanted.inventory.clone(), secret: false };
    let difference = plan::unified(&diff);
    let files: Vec<String> = plan::differing(&present.library.own, &wanted.files).cloned().collect();
    let version = wanted.version.clone();
    let then = project::files_of_run(path, &args.run, wanted, &present.cluster.inventory)?;
    let mut project = Project::of(global, then, |_| {}).await?;
    let selection = super::plan::selection(&args.narrow);
    let (plan, _) = super::plan::selected(&mut project, &selection).await?;
    if plan.is_empty() && !args.dry_run {
        return unproven::nothing(global, &mut project, &plan).await;
    }
    if let Some(difference) = difference.as_ref().filter(|_| !global.json && !args.output.markdown) {
        ui::report(&format!("what the inventory said then, beside what it says now\n{difference}\n"));
    }
    if !files.is_empty() {
        ui::talk(&format!("beside the inventory, these are taken as they were then: {}", files.join(", ")));
    }
    if !version.is_empty() && version != env!("CARGO_PKG_VERSION") {
        ui::talk(&format!(
            "note: that run was made by deploy {version}, and this is {}: built-in roles and templates are those of now",
            env!("CARGO_PKG_VERSION")
        ));
    }
    if args.dry_run {
        return super::plan::print(global, &args.output, &project, &plan);
    }
    if !args.how.skip_preflight {
        fit(&project, &plan, path).await?;
    }
    confirm(global, args.how.yes, &plan)?;
    let how = How::of(run, &args.how).back_to(&args.run);
    let done = carry_out_so(&mut project, plan, how).await?;
    done.tell(global, begun, json!({ "back_to": args.run, "executions": project.executions() }));
    if difference.is_some() || !files.is_empty() {
        ui::talk(&format!(
            "the inventory still wants what it did: the next apply brings that back, unless \
             `deploy history inventory {} {}` takes its place (with --json also the roles and templates of then)",
            path.display(),
            args.run
        ));
    }
    Ok(done.exit_code())
}
