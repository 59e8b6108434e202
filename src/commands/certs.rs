//! `deploy certs`: what the cluster serves, and renewing it.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use serde_json::json;

use super::apply::{carry_out, confirm};
use super::project::{self, Project};
use super::rotate_ca::store_with_ca;
use super::{Global, nothing};
use crate::certs::{self, Report, State};
use crate::cli::{Certs, CertsCommand, Renew};
use crate::exit::Exit;
use crate::plan::{Selection, SelectionError};
use crate::render::Renewal;
use crate::{observe, ui};

pub async fn run(global: &Global, wanted: &Certs) -> Result<ExitCode> {
    match (&wanted.command, &wanted.inventory) {
        (Some(CertsCommand::Ca(target)), _) => ca(global, &target.inventory),
        (Some(CertsCommand::Renew(args)), _) => renew(global, args).await,
        (Some(CertsCommand::RotateCa(args)), _) => super::rotate_ca::run(global, args).await,
        (Some(CertsCommand::Revoke { node, rotate: args }), _) => {
            super::revoke::run(global, node, args).await
        }
        (None, Some(inventory)) => list(global, inventory, wanted.within).await,
        (None, None) => bail!("no inventory is named"),
    }
}

async fn list(global: &Global, inventory: &Path, within: Option<i64>) -> Result<ExitCode> {
    let project = Project::open(global, inventory).await?;
    let source = &project.source;
    let hosts = project.hosts();
    let asked = observe::observe_also(source, &hosts, |node| certs::probes(source, node));
    let answers = ui::waiting(&hosts, asked).await?;
    // One that was just made is in memory only, and the next command would make another.
    let current = project.store.ca().filter(|_| project.made.authority.is_none()).map(|ca| ("current", ca));
    let next = project.store.next_ca().map(|ca| ("next", ca));
    let authorities: Vec<_> = current.into_iter().chain(next).collect();
    let name = inventory.display().to_string();
    let now = time::OffsetDateTime::now_utc();
    let report = Report::read(source, &answers.observed, &authorities, &name, within, now)?;
    if global.json {
        ui::json(&report);
    } else {
        ui::report(&ui::certs(&report));
    }
    for error in answers.failures.values() {
        ui::talk(&format!("error: {error}"));
    }
    Ok(match report.worst() {
        State::Ok => ExitCode::SUCCESS,
        State::Unknown => Exit::Unreachable.into(),
        State::Due | State::Wrong => Exit::Pending.into(),
    })
}

/// What clients have to trust: two authorities while one takes the place of the other.
fn ca(global: &Global, inventory: &Path) -> Result<ExitCode> {
    let store = store_with_ca(global, inventory)?;
    let text = &project::resting(&store)?.bundle;
    if global.json {
        ui::json(&json!({ "bundle": text }));
    } else {
        ui::data(text);
    }
    Ok(ExitCode::SUCCESS)
}

async fn renew(global: &Global, args: &Renew) -> Result<ExitCode> {
    let begun = Instant::now();
    let mut project = Project::open(global, &args.target.inventory).await?;
    let renewal = selection(&project, args)?;
    project.source_mut()?.renewal = Some(renewal.clone());
    let mut plan = super::plan::make(&mut project).await?;
    plan.keep_certificates(|node, role| renewal.covers(node, role), &project.source.library);
    if plan.is_empty() {
        let deployed =
            if plan.hidden.is_empty() { "" } else { " of what is deployed; `deploy apply` makes the others" };
        nothing(global, &format!("no certificate is due{deployed}; --force renews those that are not"));
        return Ok(ExitCode::SUCCESS);
    }
    confirm(global, args.yes, &plan)?;
    let done = carry_out(&mut project, plan).await?;
    done.tell(global, begun, json!({}));
    Ok(done.exit_code())
}

/// The nodes and roles that were named, which must exist.
fn selection(project: &Project, args: &Renew) -> Result<Renewal> {
    let mut renewal = Renewal { forced: args.force, ..Renewal::default() };
    if !args.on.is_empty() {
        let named = Selection { on: args.on.clone(), ..Selection::default() };
        renewal.nodes = named.nodes(&project.source.cluster)?;
    }
    for name in &args.service {
        let roles = &project.source.library.roles;
        let with: Vec<&str> = roles
            .values()
            .filter(|manifest| !manifest.certificates.is_empty())
            .map(|manifest| manifest.role.as_str())
            .collect();
        if !with.contains(&name.as_str()) {
            let known = with.join(", ");
            return Err(SelectionError::Service { service: name.clone(), known }.into());
        }
        renewal.roles.insert(name.clone());
    }
    Ok(renewal)
}
