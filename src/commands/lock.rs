//! `deploy lock`: who holds the cluster's lock, and letting go in the place of a run that is dead.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use super::Global;
use super::project;
use crate::apply::{Holder, Release, holders};
use crate::cli::Lock;
use crate::exit::Exit;
use crate::ui;

pub async fn run(global: &Global, command: &Lock) -> Result<ExitCode> {
    match command {
        Lock::Status(target) => each(global, &target.inventory, Release::No).await,
        Lock::Release { target, force } => {
            let release = if *force { Release::Force } else { Release::Dead };
            each(global, &target.inventory, release).await
        }
    }
}

async fn each(global: &Global, inventory: &Path, release: Release) -> Result<ExitCode> {
    let files = project::files(inventory)?;
    let fleet = files.fleet(None)?;
    let hosts = fleet.hosts();
    let answers = ui::waiting(&hosts, holders(&hosts, release)).await;
    let (mut text, mut rows) = (String::new(), Vec::new());
    let (mut held, mut silent, mut released) = (false, false, false);
    for (node, answer) in &answers {
        let (state, words) = match answer {
            Ok(Holder::Free) => ("free", "nobody holds the lock".to_owned()),
            Ok(Holder::Released { owner }) => {
                released = true;
                ("released", format!("let go in the place of {owner}"))
            }
            Ok(Holder::Held { owner, silent }) => {
                held = true;
                ("held", format!("held by {owner}, last sign of life {silent} s ago"))
            }
            Err(failure) => {
                silent = true;
                let words = failure.to_string();
                let own = format!("{node}: ");
                ("unreachable", words.strip_prefix(&own).map(str::to_owned).unwrap_or(words))
            }
        };
        rows.push(json!({ "node": node, "state": state, "says": words }));
        let _ = writeln!(text, "{node:<12} {words}");
    }
    if global.json {
        ui::json(&json!({ "nodes": rows }));
    } else {
        ui::report(&text);
    }
    if released && release == Release::Force {
        ui::talk(
            "note: a run that still lives ends the steps that are under way and begins no other: wait for that before you begin one",
        );
    }
    if held && release == Release::Dead {
        ui::talk(
            "hint: the run is alive: wait for it, or end it where it runs; --force lets go all the same",
        );
    }
    Ok(match (silent, held) {
        (true, _) => Exit::Unreachable.into(),
        (_, true) => Exit::Locked.into(),
        _ => ExitCode::SUCCESS,
    })
}
