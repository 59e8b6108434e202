//! `deploy graph`: the picture of a cluster, without any network.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use super::Global;
use super::project::{self, Files};
use crate::cli::{self, Drawing};
use crate::render::{Graph, Placed, Through};
use crate::ui;

pub fn run(global: &Global, args: &cli::Graph) -> Result<ExitCode> {
    let Files { cluster, library, .. } = project::files(&args.target.inventory)?;
    let graph = Graph::of(&cluster, &library);
    if global.json {
        let edges = graph.edges.iter().flat_map(|((from, to), ways)| {
            ways.iter().map(move |(through, name)| {
                let (what, number) = match through {
                    Through::Tcp(port) => ("port", *port),
                    Through::Protocol(number) => ("protocol", u16::from(*number)),
                };
                json!({ "from": from, "to": to, what: number, "name": name })
            })
        });
        let roles = graph
            .roles
            .iter()
            .map(|(role, Placed { title, nodes })| json!({ "role": role, "title": title, "nodes": nodes }));
        ui::json(&json!({ "roles": roles.collect::<Vec<_>>(), "edges": edges.collect::<Vec<_>>() }));
        return Ok(ExitCode::SUCCESS);
    }
    ui::data(&match args.format {
        Drawing::Mermaid => graph.mermaid(),
        Drawing::Dot => graph.dot(),
        Drawing::Svg => graph.svg(),
    });
    Ok(ExitCode::SUCCESS)
}
