//! `deploy validate`: whether an inventory and the roles beside it can be used, without any machine or secret.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use super::{Global, project};
use crate::cli::Target;
use crate::ui;

pub fn run(global: &Global, target: &Target) -> Result<ExitCode> {
    let files = project::files(&target.inventory)?;
    let (file, nodes) = (files.text.file.display(), files.cluster.nodes.len());
    if global.json {
        ui::json(&json!({ "valid": true, "inventory": file.to_string(), "nodes": nodes }));
    } else {
        ui::data(&format!("{file} is valid: {nodes} {}\n", if nodes == 1 { "node" } else { "nodes" }));
    }
    Ok(ExitCode::SUCCESS)
}
