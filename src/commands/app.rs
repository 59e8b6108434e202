//! `deploy app`: what becomes of applications while they run: the live group, and servers that are drained.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, anyhow};
use serde_json::json;

use super::apply::{How, carry_out_so, confirm};
use super::project::Project;
use super::{Global, nothing};
use crate::cli::{App, AppAction};
use crate::cluster::NodeName;
use crate::inventory::closest;
use crate::live::{self, Observed, is_choice};
use crate::observe::Answers;
use crate::render::{Application, Choice, Chosen, applications, backend};
use crate::status::ApplicationStatus;
use crate::transport::quote;
use crate::ui::Hint;
use crate::{plan, ui, verify};

pub async fn run(global: &Global, args: &App) -> Result<ExitCode> {
    let mut project = Project::open(global, &args.target.inventory).await?;
    let all = applications(&project.source.cluster);
    let named = match (&args.name, &args.action) {
        (None, Some(action)) => return Err(unnamed(&args.target.inventory, action, &all)),
        (name, _) => name.as_ref().map(|name| find(&all, name)).transpose()?,
    };
    let Answers { observed, failures } = project.observe_reachable("haproxy").await?;
    for error in failures.values() {
        ui::talk(&format!("left out, and takes over what is chosen at the next `deploy apply`: {error}"));
    }
    let (Some(application), Some(action)) = (named, &args.action) else {
        let shown = all.iter().filter(|one| named.is_none_or(|named| named.name == one.name));
        let list: Vec<ApplicationStatus> =
            shown.map(|one| ApplicationStatus::read(&project.source, &observed, one)).collect();
        if global.json {
            let silent: Vec<&NodeName> = failures.keys().collect();
            ui::json(&json!({ "applications": list, "silent": silent }));
        } else {
            ui::data(&ui::applications(&list));
        }
        return Ok(ExitCode::SUCCESS);
    };
    let what = chosen(&project, &observed, application, action)?;
    let at = time::OffsetDateTime::now_utc().unix_timestamp();
    let choice = Choice { application: application.name.clone(), what, at };
    choose(global, &mut project, &observed, choice, action.yes()).await
}

/// Makes a choice on every HAProxy that answers, by a plan of nothing else. HAProxy itself says that it has taken it; the
/// checks of the cluster are left out, because a machine that is lost may be the very reason for the choice.
async fn choose(
    global: &Global,
    project: &mut Project,
    observed: &Observed,
    choice: Choice,
    yes: bool,
) -> Result<ExitCode> {
    let begun = Instant::now();
    if live::is_chosen(&project.source, observed, &choice) {
        nothing(global, "that is so already");
        return Ok(ExitCode::SUCCESS);
    }
    project.source_mut()?.choice = Some(choice);
    let now = time::OffsetDateTime::now_utc();
    let mut plan =
        plan::build_only("haproxy", &project.source, observed, now).map_err(super::plan::explain)?;
    plan.keep(|_, change| is_choice(change));
    confirm(global, yes, &plan)?;
    let mut done = carry_out_so(project, plan, How::proven()).await?;
    done.verdicts = verify::applications(&project.source, &project.hosts()).await?;
    done.tell(global, begun, json!({}));
    Ok(done.exit_code())
}

fn find<'a>(all: &'a [Application], name: &str) -> Result<&'a Application> {
    let found = all.iter().find(|one| one.name == name);
    found.ok_or_else(|| unknown(&format!("there is no application `{name}`"), name, &names(all)))
}

fn names(all: &[Application]) -> Vec<&str> {
    all.iter().map(|one| one.name.as_str()).collect()
}

/// An action that says nothing of whom it is for.
fn unnamed(inventory: &Path, action: &AppAction, all: &[Application]) -> anyhow::Error {
    let (names, (verb, of)) = (names(all), action.words());
    let first = names.first().copied().unwrap_or("NAME");
    let words = [&inventory.to_string_lossy(), first, verb, of].map(quote).join(" ");
    let hint = Hint(format!("`deploy app {words}`; {}", known(&names)));
    anyhow!("no application is named for `{verb}`").context(hint)
}

/// An error with the names that there are.
fn unknown(what: &str, name: &str, names: &[&str]) -> anyhow::Error {
    let meant = closest(name, names.iter().copied())
        .map_or_else(String::new, |meant| format!("did you mean `{meant}`? "));
    anyhow!(what.to_owned()).context(Hint(format!("{meant}{}", known(names))))
}

fn known(names: &[&str]) -> String {
    if names.is_empty() {
        return "the inventory has none: see `applications` in examples/blue-green.yaml".into();
    }
    format!("known: {}", names.join(", "))
}

/// What an action chooses; refused where requests would find no server.
fn chosen(
    project: &Project,
    observed: &Observed,
    application: &Application,
    action: &AppAction,
) -> Result<Chosen> {
    let name = &application.name;
    match action {
        AppAction::Live { group, .. } => {
            if !live::has_group(application, group) {
                let groups: Vec<&str> = application
                    .pools
                    .iter()
                    .map(|pool| pool.group.as_str())
                    .filter(|group| !group.is_empty())
                    .collect();
                return Err(unknown(&format!("{name} has no group `{group}`"), group, &groups));
            }
            let backend = backend(name, Some(group));
            let without = live::without_server(&project.source, observed, &backend);
            if let Some(node) = without.first() {
                let hint = Hint("start it there, and look at its health check; nothing was changed".into());
                return Err(anyhow!("HAProxy on {node} sees no server of {group} that is well").context(hint));
            }
            Ok(Chosen::Live(group.clone()))
        }
        AppAction::Drain { node, .. } => {
            let server = server(application, node)?;
            let status = ApplicationStatus::read(&project.source, observed, application);
            if status.is_last(&server) {
                let hint = Hint("bring another one up, or make another group live, first".into());
                return Err(anyhow!("{server} is the last server of {name} that is well").context(hint));
            }
            Ok(Chosen::Drained(server))
        }
        AppAction::Ready { node, .. } => Ok(Chosen::Ready(server(application, node)?)),
    }
}

fn server(application: &Application, name: &str) -> Result<String> {
    let servers: Vec<&str> = live::application_servers(application).map(String::as_str).collect();
    if servers.contains(&name) {
        return Ok(name.to_owned());
    }
    Err(unknown(&format!("{} does not run on `{name}`", application.name), name, &servers))
}
