//! `deploy graph`: the picture of a cluster, without any network.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use super::Global;
use super::project::{self, Files};
use crate::cli::{self, Drawing};
use crate::render::Graph;
use crate::ui;

pub fn run(global: &Global, args: &cli::Graph) -> Result<ExitCode> {
    let Files { cluster, library, .. } = project::files(&args.target.inventory)?;
    let graph = Graph::of(&cluster, &library);
    if global.json {
        let edges = graph.edges.iter().flat_map(|((from, to), ports)| {
            ports
                .iter()
                .map(move |(port, name)| json!({ "from": from, "to": to, "port": port, "name": name }))
        });
        let roles = graph
            .roles
            .iter()
            .map(|(role, (title, nodes))| json!({ "role": role, "title": title, "nodes": nodes }));
        ui::json(&json!({ "roles": roles.collect::<Vec<_>>(), "edges": edges.collect::<Vec<_>>() }));
        return Ok(ExitCode::SUCCESS);
    }
    ui::data(&match args.format {
        Drawing::Mermaid => graph.mermaid(),
        Drawing::Dot => graph.dot(),
    });
    Ok(ExitCode::SUCCESS)
}
