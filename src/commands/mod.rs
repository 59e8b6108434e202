//! One file for each verb; it wires the stages together and holds no logic of its own.

mod app;
mod apply;
mod beside;
mod certs;
mod check;
mod connections;
mod drift;
mod graph;
mod handover;
mod history;
mod init;
mod interrupt;
mod lab;
mod lock;
mod plan;
mod postgresql;
mod project;
mod record;
mod redis;
mod render;
mod rendered;
mod revoke;
mod rollback;
mod rotate_ca;
mod saved;
mod secrets;
mod status;
mod unproven;
mod validate;
mod verify;
mod who;
mod written;

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::CommandFactory;
use serde_json::json;
use tokio::sync::OnceCell;

use crate::cli::{Cli, Command, Described};
use crate::plan::Report;
use crate::secrets::Secret;
use crate::{inventory, ui};
use written::{Precious, unwritable};

/// Runs the command that was asked for.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let precious = Precious::of(cli.inventory.as_deref(), cli.identity.as_deref());
    let written = [("the log", &cli.log), ("the trace", &cli.trace)];
    for (what, file) in written.iter().filter_map(|(what, file)| Some((what, file.as_ref()?))) {
        precious.spared(what, file)?;
    }
    if let Some(path) = &cli.log {
        ui::log_into(path).map_err(|error| unwritable("the log", path, error))?;
    }
    let Cli { json, identity, trace, .. } = cli;
    let global = Global { json, identity, trace, precious, outside: OnceCell::new() };
    match cli.command {
        Command::Init(args) => init::run(&global, &args),
        Command::Validate(target) => validate::run(&global, &target),
        Command::Check(target) => check::run(&global, &target).await,
        Command::Plan(args) => plan::run(&global, &args).await,
        Command::Apply(args) => apply::run(&global, &args).await,
        Command::Verify(target) => verify::run(&global, &target).await,
        Command::Status(target) => status::run(&global, &target).await,
        Command::Certs(command) => certs::run(&global, &command).await,
        Command::App(args) => app::run(&global, &args).await,
        Command::Render(args) => render::run(&global, &args),
        Command::Postgresql(command) => postgresql::run(&global, &command).await,
        Command::Redis(command) => redis::run(&global, &command).await,
        Command::Secrets(command) => secrets::run(&global, command).await,
        Command::Drift(target) => drift::run(&global, &target).await,
        Command::Graph(args) => graph::run(&global, &args),
        Command::History(args) => history::run(&global, &args).await,
        Command::Rollback(args) => rollback::run(&global, &args).await,
        Command::Lock(command) => lock::run(&global, &command).await,
        Command::Schema { of } => {
            ui::json(&schema(of));
            Ok(ExitCode::SUCCESS)
        }
        Command::Lab(command) => lab::run(&global, command).await,
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "deploy", &mut text);
            ui::data(&String::from_utf8_lossy(&text));
            Ok(ExitCode::SUCCESS)
        }
        Command::Man { out: Some(folder) } => {
            std::fs::create_dir_all(&folder)
                .and_then(|()| clap_mangen::generate_to(Cli::command(), &folder))
                .map_err(|error| unwritable("the manual pages into", &folder, error))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Man { out: None } => {
            let mut text = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut text)?;
            ui::data(&String::from_utf8_lossy(&text));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The JSON schema of an inventory, or of what a command prints.
fn schema(of: Described) -> serde_json::Value {
    match of {
        Described::Inventory => return inventory::schema(),
        Described::Plan => schemars::schema_for!(Report),
        Described::Status => schemars::schema_for!(crate::status::Status),
        Described::Verify => schemars::schema_for!(crate::verdict::Verdicts<'_>),
        Described::Certs => schemars::schema_for!(crate::certs::Report),
        Described::History => schemars::schema_for!(crate::journal::Runs<'_>),
        Described::Run => schemars::schema_for!(crate::journal::Shown),
        Described::Lab => schemars::schema_for!(crate::lab::LabStatus),
    }
    .to_value()
}

/// Says why nothing was to be done.
fn nothing(global: &Global, words: &str) {
    if global.json {
        ui::json(&json!({ "changed": 0, "says": words }));
    } else {
        ui::data(&format!("{words}\n"));
    }
}

/// Options that every command has.
struct Global {
    json: bool,
    identity: Option<std::path::PathBuf>,
    trace: Option<std::path::PathBuf>,
    /// Files that no other is written into.
    precious: Precious,
    /// Secrets from outside, once a run has read them.
    outside: OnceCell<BTreeMap<String, Secret>>,
}
