//! `deploy secrets list`: every secret by name, what it is for and where it comes from; no value.

use std::collections::BTreeSet;

use anyhow::Result;

use super::super::Global;
use super::Opened;
use crate::cli::Target;
use crate::secrets::Outside;
use crate::ui::{self, Origin, SecretRow};

pub fn run(global: &Global, target: &Target) -> Result<()> {
    let opened = Opened::new(global, &target.inventory)?;
    let names: BTreeSet<&str> = opened.uses.keys().map(String::as_str).chain(opened.store.names()).collect();
    let rows: Vec<SecretRow> = names.into_iter().map(|name| row(&opened, name)).collect();
    if global.json {
        ui::json(&serde_json::json!({ "secrets": rows }));
    } else {
        ui::data(&ui::secrets(&rows));
    }
    Ok(())
}

fn row(opened: &Opened, name: &str) -> SecretRow {
    let stored = opened.store.secret(name);
    let origin = match (opened.outside.get(name), stored) {
        (Some(Outside::Env(variable)), _) => {
            Origin::Env { variable: variable.clone(), set: std::env::var_os(variable).is_some() }
        }
        (Some(Outside::Command(program, _)), _) => Origin::Command { program: program.clone() },
        (None, Some(_)) => Origin::Store,
        (None, None) => Origin::Missing,
    };
    let places = opened.uses.get(name).map(|found| found.places.iter().cloned().collect());
    SecretRow {
        name: name.into(),
        characters: stored.filter(|_| origin == Origin::Store).map(|value| value.expose().chars().count()),
        origin,
        used_by: places.unwrap_or_default(),
    }
}
