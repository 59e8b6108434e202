//! The applications of a cluster, for people.

use super::table::{Cell, Tone, table};
use crate::status::{AppServerStatus, ApplicationStatus};

/// A line for each server.
pub fn applications(all: &[ApplicationStatus]) -> String {
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for application in all {
        for group in &application.groups {
            for server in &group.servers {
                let name = if group.name.is_empty() { "-" } else { &group.name };
                let live = if group.live { Cell("live".into(), Tone::Good) } else { "".into() };
                rows.push(vec![
                    application.name.as_str().into(),
                    name.into(),
                    live,
                    server.name.as_str().into(),
                    server.target.as_str().into(),
                    state(server),
                    server.sessions.to_string().into(),
                    application.hosts.join(" ").into(),
                ]);
            }
        }
    }
    if rows.is_empty() {
        return "the inventory has no applications\n".into();
    }
    table(&["APPLICATION", "GROUP", "", "SERVER", "ADDRESS", "STATE", "REQUESTS", "HOSTS"], &rows)
}

fn state(server: &AppServerStatus) -> Cell {
    if server.drained {
        return Cell("drained".into(), Tone::Warn);
    }
    if server.down_on.is_empty() {
        return Cell(if server.backup { "up, backup" } else { "up" }.into(), Tone::Good);
    }
    let words: Vec<String> =
        server.down_on.iter().map(|(node, status)| format!("{status} by {node}")).collect();
    Cell(words.join(", "), Tone::Bad)
}
