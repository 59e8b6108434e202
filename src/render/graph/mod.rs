//! The picture of a cluster: its roles with their nodes, and who reaches which of them by what. Pure.
//!
//! It is drawn from the same [`edges`] that the packet filter opens.

mod dot;
mod layout;
mod mermaid;
mod svg;

use std::collections::{BTreeMap, BTreeSet};

use super::rules::{APPLICATION, SSH, Through, edges};
use crate::cluster::{Cluster, NodeName};
use crate::role::Library;

/// The nodes and edges of a picture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graph {
    /// What runs somewhere: every role, SSH, and each group of an application's servers.
    pub roles: BTreeMap<String, Placed>,
    /// From whom, to which role, by what: `admin`, `clients`, or a role.
    pub edges: BTreeMap<(String, String), BTreeSet<(Through, String)>>,
    /// Roles that a plan changes.
    pub changed: BTreeSet<String>,
}

/// What a role is and where it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// What it is, in a few words.
    pub title: String,
    /// Its nodes.
    pub nodes: BTreeSet<NodeName>,
}

/// Who may reach a role without being one.
const OUTSIDE: [(&str, &str); 2] = [("clients", "clients"), ("admin", "administrators")];

impl Graph {
    /// The picture of `cluster`, with a library that fits it ([`Cluster::fit`], [`Library::wanted_by`]).
    pub fn of(cluster: &Cluster, library: &Library) -> Self {
        let mut graph = Self::default();
        for (name, node) in &cluster.nodes {
            for manifest in library.roles.values().filter(|manifest| node.roles.contains(&manifest.role)) {
                graph.place(&manifest.role, &manifest.title, name);
            }
            for edge in edges(cluster, library, name) {
                let to = match edge.role.as_str() {
                    APPLICATION => format!("{APPLICATION} {}", edge.name),
                    role => role.to_owned(),
                };
                match edge.role.as_str() {
                    APPLICATION => graph.place(&to, "servers of an application", name),
                    SSH => graph.place(&to, "the way in for administrators", name),
                    _ => {}
                }
                for peer in edge.peers {
                    let ways = graph.edges.entry((peer, to.clone())).or_default();
                    ways.insert((edge.through, edge.name.clone()));
                }
            }
        }
        graph
    }

    fn place(&mut self, role: &str, title: &str, node: &NodeName) {
        let placed = self.roles.entry(role.to_owned());
        let placed = placed.or_insert_with(|| Placed { title: title.to_owned(), nodes: BTreeSet::new() });
        placed.nodes.insert(node.clone());
    }

    /// The part around the roles `changed`: these, marked, and whoever is at the other end of one of their edges.
    #[must_use]
    pub fn part(&self, changed: &BTreeSet<String>) -> Self {
        let edges: BTreeMap<_, _> = (self.edges.iter())
            .filter(|((from, to), _)| changed.contains(from) || changed.contains(to))
            .map(|(ends, ways)| (ends.clone(), ways.clone()))
            .collect();
        let near: BTreeSet<&String> = edges.keys().flat_map(|(from, to)| [from, to]).chain(changed).collect();
        let roles = self.roles.iter().filter(|(role, _)| near.contains(role));
        let roles: BTreeMap<_, _> = roles.map(|(role, placed)| (role.clone(), placed.clone())).collect();
        let changed = changed.iter().filter(|role| roles.contains_key(*role)).cloned().collect();
        Self { roles, edges, changed }
    }

    /// Who reaches a role of this picture without being one: the word and what to call them.
    fn outside(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        OUTSIDE.into_iter().filter(|(name, _)| self.edges.keys().any(|(from, _)| from == name))
    }
}

/// A name that neither Mermaid nor Graphviz takes for a word of its own.
fn id(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    format!("r_{}", name.chars().map(plain).collect::<String>())
}

/// The nodes on one line.
fn nodes(placed: &Placed) -> String {
    placed.nodes.iter().map(NodeName::as_str).collect::<Vec<_>>().join(" ")
}

/// The lines of an edge: `2379 etcd clients`, `protocol 112 VRRP`.
fn lines(ways: &BTreeSet<(Through, String)>) -> Vec<String> {
    let line = |(through, name): &(Through, String)| match through {
        Through::Tcp(port) => format!("{port} {name}"),
        Through::Protocol(number) => format!("protocol {number} {name}"),
    };
    ways.iter().map(line).collect()
}

#[cfg(test)]
mod tests;
