//! `deploy history`: the runs that the nodes and this machine remember, and what each has done.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use serde_json::json;

use super::Global;
use super::project::{self, Files};
use super::record::state;
use crate::cli::{History, HistoryCommand};
use crate::cluster::NodeName;
use crate::exit::Exit;
use crate::journal::{self, Record, Runs, Shown, Wanted};
use crate::observe::{Unanswered, ask_each};
use crate::ui::{self, Hint};

const PATIENCE: Duration = Duration::from_secs(60);

pub async fn run(global: &Global, args: &History) -> Result<ExitCode> {
    match (&args.command, &args.inventory) {
        (Some(HistoryCommand::Show { target, run }), _) => show(global, &target.inventory, run).await,
        (Some(HistoryCommand::Inventory { target, run }), _) => {
            let wanted = wanted(&target.inventory, run).await?;
            if global.json {
                ui::json(&json!({ "run": run, "inventory": wanted.inventory, "files": wanted.files }));
            } else {
                ui::data(&wanted.inventory);
            }
            Ok(ExitCode::SUCCESS)
        }
        (None, Some(inventory)) => list(global, inventory).await,
        (None, None) => bail!("no inventory is named"),
    }
}

async fn list(global: &Global, inventory: &Path) -> Result<ExitCode> {
    let files = project::files(inventory)?;
    let (said, silent) = ask(&files, &journal::listing()).await?;
    let here = state().map(|state| Record::listing(&state, files.cluster.name())).unwrap_or_default();
    let runs = journal::runs(&said, &here);
    if global.json {
        ui::json(&Runs { runs: &runs });
    } else {
        ui::report(&ui::runs(&runs));
    }
    Ok(ended(&silent))
}

async fn show(global: &Global, inventory: &Path, run: &str) -> Result<ExitCode> {
    require_name(inventory, run)?;
    let files = project::files(inventory)?;
    let (said, silent) = ask(&files, &journal::showing(run)).await?;
    let here = state().map(|state| Record::showing(&state, files.cluster.name(), run)).unwrap_or_default();
    match Shown::of(&said, &here) {
        Some(shown) if global.json => ui::json(&shown),
        Some(shown) => ui::report(&ui::run(&shown)),
        None if silent.0.is_empty() => return Err(unknown(inventory, &format!("a run {run}"))),
        None => {}
    }
    Ok(ended(&silent))
}

/// What a run wanted, from the first node that remembers it.
pub async fn wanted(inventory: &Path, run: &str) -> Result<Wanted> {
    require_name(inventory, run)?;
    let (said, silent) = ask(&project::files(inventory)?, &journal::wanting(run)).await?;
    match Wanted::of(&said) {
        Some(wanted) => Ok(wanted),
        None if silent.0.is_empty() => Err(unknown(inventory, &format!("what a run {run} wanted"))),
        None => {
            let hint = Hint(silent.hint());
            Err(anyhow::Error::new(silent).context(hint))
        }
    }
}

fn require_name(inventory: &Path, run: &str) -> Result<()> {
    if journal::is_name(run) { Ok(()) } else { Err(unknown(inventory, &format!("a run `{run}`"))) }
}

fn unknown(inventory: &Path, what: &str) -> anyhow::Error {
    let hint = Hint(format!("`deploy history {}` lists those that are kept", inventory.display()));
    anyhow!("no node remembers {what}").context(hint)
}

fn ended(silent: &Unanswered) -> ExitCode {
    if silent.0.is_empty() {
        return ExitCode::SUCCESS;
    }
    ui::talk(&format!("error: {silent}\nhint: {}", silent.hint()));
    Exit::Unreachable.into()
}

/// What each node says, and which say nothing.
async fn ask(files: &Files, script: &str) -> Result<(BTreeMap<NodeName, String>, Unanswered)> {
    let fleet = files.fleet(None)?;
    let (mut said, mut silent) = (BTreeMap::new(), BTreeMap::new());
    let hosts = fleet.hosts();
    for (node, reply) in ui::waiting(&hosts, ask_each(&hosts, script, PATIENCE)).await {
        match reply {
            Ok(reply) => {
                said.insert(node, reply.stdout);
            }
            Err(failure) => {
                silent.insert(node, failure.into());
            }
        }
    }
    Ok((said, Unanswered(silent)))
}
