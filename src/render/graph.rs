//! The picture of a cluster: its roles with their nodes, and every edge that the manifests declare. Pure.
//!
//! The packet filter opens exactly these edges ([`super::edges`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::cluster::{Cluster, NodeName};
use crate::role::Library;

/// The nodes and edges of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// Roles that run somewhere and take part in an edge: title and nodes.
    pub roles: BTreeMap<String, (String, BTreeSet<NodeName>)>,
    /// From whom, to which role, on which ports: `admin`, `clients`, or a role.
    pub edges: BTreeMap<(String, String), BTreeSet<(u16, String)>>,
}

/// Who may reach a role without being one.
const OUTSIDE: [(&str, &str); 2] = [("admin", "administrators"), ("clients", "clients")];

impl Graph {
    /// The picture of `cluster`.
    pub fn of(cluster: &Cluster, library: &Library) -> Self {
        let runs = |role: &str| cluster.with_role(role).next().is_some();
        let outside = |peer: &str| OUTSIDE.iter().any(|(name, _)| *name == peer);
        let mut edges: BTreeMap<(String, String), BTreeSet<(u16, String)>> = BTreeMap::new();
        for manifest in library.roles.values().filter(|manifest| runs(&manifest.role)) {
            for port in &manifest.ports {
                for peer in port.from.iter().filter(|peer| outside(peer) || runs(peer)) {
                    let ports = edges.entry((peer.clone(), manifest.role.clone())).or_default();
                    ports.insert((port.port, port.name.clone()));
                }
            }
        }
        let named: BTreeSet<&String> = edges.keys().flat_map(|(from, to)| [from, to]).collect();
        let roles = library.roles.values().filter(|manifest| named.contains(&manifest.role));
        let roles = roles.map(|manifest| {
            let nodes = cluster.with_role(&manifest.role).map(|(node, _)| node.clone()).collect();
            (manifest.role.clone(), (manifest.title.clone(), nodes))
        });
        Self { roles: roles.collect(), edges }
    }

    fn outside(&self) -> impl Iterator<Item = &'static (&'static str, &'static str)> {
        OUTSIDE.iter().filter(|(name, _)| self.edges.keys().any(|(from, _)| from == name))
    }

    /// As Mermaid, which README files and merge requests draw.
    pub fn mermaid(&self) -> String {
        let mut text = String::from("flowchart LR\n");
        for (name, title) in self.outside() {
            let _ = writeln!(text, "    {}([\"{title}\"])", id(name));
        }
        for (role, (_, nodes)) in &self.roles {
            let nodes: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
            let _ = writeln!(text, "    {}[\"{role}<br>{}\"]", id(role), nodes.join(" "));
        }
        for ((from, to), ports) in &self.edges {
            let _ = writeln!(text, "    {} -- \"{}\" --> {}", id(from), label(ports), id(to));
        }
        text
    }

    /// As Graphviz draws it.
    pub fn dot(&self) -> String {
        let mut text = String::from("digraph cluster {\n    rankdir=LR;\n    node [shape=box];\n");
        for (name, title) in self.outside() {
            let _ = writeln!(text, "    {} [shape=oval, label=\"{title}\"];", id(name));
        }
        for (role, (_, nodes)) in &self.roles {
            let nodes: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
            let _ = writeln!(text, "    {} [label=\"{role}\\n{}\"];", id(role), nodes.join(" "));
        }
        for ((from, to), ports) in &self.edges {
            let _ = writeln!(text, "    {} -> {} [label=\"{}\"];", id(from), id(to), label(ports));
        }
        text.push_str("}\n");
        text
    }
}

/// A name that neither language takes for a word of its own.
fn id(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    format!("r_{}", name.chars().map(plain).collect::<String>())
}

/// `2379 client, 2380 peer`.
fn label(ports: &BTreeSet<(u16, String)>) -> String {
    let words: Vec<String> =
        ports.iter().map(|(port, name)| format!("{port} {}", name.replace('"', "'"))).collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::live::fixture::{MIXED, THREE, source};
    use crate::pki::Trust;
    use crate::render::edges;

    #[test]
    fn the_picture_has_the_edges_that_the_packet_filter_opens_and_no_others() {
        for text in [THREE, MIXED] {
            let source = source(text, Trust::settled("ca", "0"));
            let cluster = &source.cluster;
            let graph = Graph::of(cluster, &source.library);
            let node_at = |address: IpAddr| {
                cluster.nodes.iter().find(|(_, node)| node.address == address).map(|(name, _)| name.clone())
            };
            let mut opened: BTreeSet<(NodeName, NodeName, u16)> = BTreeSet::new();
            for to in cluster.nodes.keys() {
                for edge in edges(cluster, &source.library, to).iter().filter(|edge| edge.role != "ssh") {
                    let from = edge.from.iter().filter(|network| network.prefix_len() == 32);
                    let from = from.filter_map(|network| node_at(network.addr()));
                    opened.extend(from.filter_map(|from| Some((from, to.clone(), edge.port()?))));
                }
            }
            let mut drawn: BTreeSet<(NodeName, NodeName, u16)> = BTreeSet::new();
            for ((from, to), ports) in &graph.edges {
                let Some((_, from)) = graph.roles.get(from) else { continue };
                for (from, to) in
                    from.iter().flat_map(|from| graph.roles[to].1.iter().map(move |to| (from, to)))
                {
                    drawn.extend(ports.iter().map(|(port, _)| (from.clone(), to.clone(), *port)));
                }
            }
            assert_eq!(drawn, opened);
        }
    }

    #[test]
    fn it_is_drawn_for_both_programs() {
        let source = source(MIXED, Trust::settled("ca", "0"));
        let graph = Graph::of(&source.cluster, &source.library);
        let mermaid = graph.mermaid();
        assert!(mermaid.contains("    r_etcd[\"etcd<br>m1 m2 m3\"]\n"), "{mermaid}");
        assert!(mermaid.contains("r_pgbouncer -- \"5000 "), "{mermaid}");
        let dot = graph.dot();
        assert!(dot.contains("r_etcd [label=\"etcd\\nm1 m2 m3\"];") && dot.ends_with("}\n"), "{dot}");
    }
}
