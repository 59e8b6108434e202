//! What a node is asked, and its answer. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::IpAddr;

use crate::cluster::NodeName;
use crate::render::{Edge, SSH, Source, edges};
use crate::role::Manifest;
use crate::transport::quote;

/// A way from one node to another that some role needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// The node that it leads to.
    pub to: NodeName,
    /// The address of that node.
    pub address: IpAddr,
    /// The port there.
    pub port: u16,
    /// What the port is for.
    pub what: String,
}

/// The ways that begin at `from`.
pub fn ways(source: &Source, from: &NodeName) -> Vec<Way> {
    let Some(here) = source.cluster.nodes.get(from) else { return Vec::new() };
    let mut all = Vec::new();
    for (name, node) in source.cluster.nodes.iter().filter(|(name, _)| *name != from) {
        // The administrators' way is proven by being here; it need not be open between nodes.
        let declared =
            edges(&source.cluster, &source.library, name).into_iter().filter(|edge| edge.role != SSH);
        let open = |edge: &Edge| edge.from.iter().any(|network| network.contains(&here.address));
        all.extend(declared.filter(open).filter_map(|edge| {
            Some(Way { to: name.clone(), address: node.address, port: edge.port()?, what: edge.name })
        }));
    }
    all
}

/// The manifests of a node's roles.
pub fn manifests<'a>(source: &'a Source, node: &NodeName) -> impl Iterator<Item = &'a Manifest> {
    let roles = source.cluster.nodes.get(node).map(|node| node.roles.clone()).unwrap_or_default();
    source.library.roles.values().filter(move |manifest| roles.contains(&manifest.role))
}

/// The script for one node.
pub fn script(source: &Source, node: &NodeName) -> String {
    let mut text = String::from(include_str!("preflight.sh"));
    text.push_str("main() {\npreflight_system\npreflight_listeners\npreflight_filters\npreflight_upgrades\npreflight_packages");
    let packages: BTreeSet<&str> = manifests(source, node)
        .flat_map(|one| one.packages.iter().map(|package| package.name.as_str()))
        .collect();
    for package in packages {
        let _ = write!(text, " {}", quote(package));
    }
    text.push('\n');
    let stores = source.cluster.nodes.get(node).is_some_and(|node| node.roles.contains("patroni"));
    if let Some(mount) = source.cluster.inventory.postgresql.data_mount.as_ref().filter(|_| stores) {
        let _ = writeln!(text, "preflight_mount {}", quote(mount));
    }
    let ways: BTreeSet<String> =
        ways(source, node).into_iter().map(|way| format!("{} {}", way.address, way.port)).collect();
    if !ways.is_empty() {
        let _ = write!(text, "perl -e {}", quote(include_str!("reach.pl")));
        for way in ways {
            let _ = write!(text, " {}", quote(&way));
        }
        text.push('\n');
    }
    text.push_str("echo end=yes\n}\nmain </dev/null\n");
    text
}

/// A port that something listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The port.
    pub port: u16,
    /// Name of the process.
    pub process: String,
    /// Its systemd unit without `.service`; empty where it has none.
    pub unit: String,
}

/// What a node said.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// Seconds that its clock is ahead of ours; negative when it is behind.
    pub skew: Option<f64>,
    /// Single values.
    pub fields: BTreeMap<String, String>,
    /// Who listens; none where that cannot be seen.
    pub listeners: Option<Vec<Listener>>,
    /// Versions that apt would install, by package.
    pub candidates: BTreeMap<String, String>,
    /// Packages that unattended upgrades leave alone, as regular expressions.
    pub left_out: Vec<String>,
    /// How each connection ended, by address and port.
    pub reached: BTreeMap<(IpAddr, u16), String>,
}

impl Answer {
    /// Reads a reply; none when it is not whole.
    pub fn parse(stdout: &str) -> Option<Self> {
        let mut answer = Self { listeners: Some(Vec::new()), ..Self::default() };
        for (key, value) in stdout.lines().filter_map(|line| line.split_once('=')) {
            let mut words = value.splitn(3, ' ');
            let mut word = || words.next().unwrap_or_default();
            match key {
                "listen" => {
                    let (Ok(port), process, unit) = (word().parse(), word().to_owned(), word().to_owned())
                    else {
                        continue;
                    };
                    answer.listeners.get_or_insert_default().push(Listener { port, process, unit });
                }
                "listeners" => answer.listeners = None,
                "candidate" => {
                    answer.candidates.insert(word().to_owned(), word().to_owned());
                }
                "left_out" => answer.left_out.push(value.to_owned()),
                "reach" => {
                    if let (Ok(address), Ok(port)) = (word().parse(), word().parse()) {
                        answer.reached.insert((address, port), word().to_owned());
                    }
                }
                _ => {
                    answer.fields.insert(key.to_owned(), value.to_owned());
                }
            }
        }
        answer.fields.remove("end").map(|_| answer)
    }

    /// A single value.
    pub fn get(&self, key: &str) -> &str {
        self.fields.get(key).map_or("", String::as_str)
    }

    /// A single value as a number.
    pub fn number(&self, key: &str) -> Option<u64> {
        self.get(key).parse().ok()
    }
}
