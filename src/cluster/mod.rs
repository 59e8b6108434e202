//! From a validated inventory to a [`Cluster`]: which node runs which role, and how it is reached. Pure.

mod name;

pub use name::NodeName;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::inventory::model::Kind;
use crate::inventory::placement::{process_nodes, virtual_ip_nodes};
use crate::inventory::{Inventory, REDIS, redis_port, wanted};
use crate::role::{Library, Manifest, PlacedBy};

/// A cluster: every node with its roles.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// What the user wrote.
    pub inventory: Inventory,
    /// The nodes by name.
    pub nodes: BTreeMap<NodeName, Node>,
}

/// A node and what it runs.
#[derive(Debug, Clone)]
pub struct Node {
    /// Address that the other nodes use.
    pub address: IpAddr,
    /// What it is for.
    pub kinds: Vec<Kind>,
    /// Its roles.
    pub roles: BTreeSet<String>,
    /// What SSH connects to.
    pub host: String,
    /// Port of SSH, where the inventory says one.
    pub port: Option<u16>,
}

impl Cluster {
    /// Places every role of `library` on the nodes of `inventory`.
    pub fn new(inventory: Inventory, library: &Library) -> Self {
        let mut nodes: BTreeMap<NodeName, Node> = inventory
            .nodes
            .iter()
            .map(|(name, node)| {
                let mut kinds = node.kind.to_vec();
                kinds.sort();
                kinds.dedup();
                let host = node.host.clone().unwrap_or_else(|| node.address.to_string());
                let port = node.port.or(inventory.ssh.port);
                (
                    NodeName::from(name.as_str()),
                    Node { address: node.address, kinds, roles: BTreeSet::new(), host, port },
                )
            })
            .collect();
        for manifest in library.roles.values() {
            let on = inventory.roles.get(&manifest.role).and_then(|settings| settings.on.as_ref());
            let placed_by = manifest.placed_by.map(|what| match what {
                PlacedBy::VirtualIp => virtual_ip_nodes(&inventory),
                PlacedBy::Processes => process_nodes(&inventory),
            });
            for (name, node) in &mut nodes {
                let placed = match (&placed_by, on) {
                    (Some(nodes), _) => nodes.contains(&name.as_str()),
                    (None, Some(on)) => on.iter().any(|wanted| wanted == name.as_str()),
                    (None, None) => by_kind(manifest, &node.kinds),
                };
                if placed && wanted(&inventory, &manifest.role) {
                    node.roles.insert(manifest.role.clone());
                }
            }
        }
        Self { inventory, nodes }
    }

    /// The manifests as this cluster has them: without what belongs to roles that no node runs, and with the port that
    /// Redis has here.
    #[must_use]
    pub fn fit(&self, mut library: Library) -> Library {
        let runs =
            |with: &Option<String>| with.as_deref().is_none_or(|role| self.with_role(role).next().is_some());
        for manifest in library.roles.values_mut() {
            manifest.packages.retain(|package| runs(&package.with));
            manifest.ports.retain(|port| runs(&port.with));
            manifest.checks.retain(|check| runs(&check.with));
        }
        if let Some(manifest) = library.roles.get_mut("redis") {
            let own = redis_port(&self.inventory);
            let served = manifest.certificates.iter_mut().flat_map(|certificate| &mut certificate.served);
            let ports = manifest.ports.iter_mut().map(|port| &mut port.port);
            let served = served.filter_map(|at| at.port.number());
            for port in served.chain(ports).filter(|port| **port == REDIS) {
                *port = own;
            }
        }
        library
    }

    /// The port of Redis on its nodes.
    pub fn redis_port(&self) -> u16 {
        redis_port(&self.inventory)
    }

    /// Name of the cluster.
    pub fn name(&self) -> &str {
        &self.inventory.name
    }

    /// The nodes that run `role`, in order of name.
    pub fn with_role<'a>(&'a self, role: &'a str) -> impl Iterator<Item = (&'a NodeName, &'a Node)> {
        self.nodes.iter().filter(move |(_, node)| node.roles.contains(role))
    }
}

fn by_kind(manifest: &Manifest, kinds: &[Kind]) -> bool {
    use crate::role::KindOrAll;
    manifest.kinds.iter().any(|wanted| match wanted {
        KindOrAll::All(_) => true,
        KindOrAll::Kind(kind) => kinds.contains(kind),
    })
}

/// An address as it stands in front of a port: IPv6 in brackets.
pub fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}
