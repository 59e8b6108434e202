//! Which node runs which role: by its kinds, unless `roles.<role>.on` says otherwise.

use std::collections::BTreeSet;

use super::model::{Application, Inventory, Kind};

/// The port that HAProxy leads to the primary of Redis.
pub const REDIS: u16 = 6379;
/// The port of Redis itself beside HAProxy.
const REDIS_BESIDE_HAPROXY: u16 = 6380;

/// The ports that HAProxy leads to applications.
pub const FRONT: [u16; 2] = [80, 443];

/// The kinds that get a built-in role by default; where there are none, it goes by `on` alone.
pub fn kinds(role: &str) -> &'static [Kind] {
    match role {
        "base" | "firewall" => &[Kind::Manager, Kind::Worker, Kind::App],
        "etcd" | "haproxy" | "sentinel" => &[Kind::Manager],
        "patroni" => &[Kind::Worker],
        "pgbouncer" | "redis" => &[Kind::App],
        _ => &[],
    }
}

/// The names of the nodes that run a built-in role, in order.
pub fn nodes_of<'a>(inventory: &'a Inventory, role: &str) -> Vec<&'a str> {
    nodes_by(inventory, role, kinds(role))
}

/// The names of the nodes that run a role of these kinds, in order. Nodes that `on` names but the inventory lacks are left out.
pub fn nodes_by<'a>(inventory: &'a Inventory, role: &str, kinds: &[Kind]) -> Vec<&'a str> {
    match role {
        "keepalived" => return virtual_ip_nodes(inventory),
        "nginx" => return process_nodes(inventory),
        _ if !wanted(inventory, role) => return Vec::new(),
        _ => {}
    }
    let placed = inventory.roles.get(role).and_then(|settings| settings.on.as_ref());
    let nodes = inventory.nodes.iter();
    match placed {
        Some(on) => nodes.filter(|(name, _)| on.contains(name)).map(|(name, _)| name.as_str()).collect(),
        None => nodes
            .filter(|(_, node)| node.kind.to_vec().iter().any(|kind| kinds.contains(kind)))
            .map(|(name, _)| name.as_str())
            .collect(),
    }
}

/// Whether a role runs at all: Redis can be switched off, and Sentinel is there for Redis.
pub fn wanted(inventory: &Inventory, role: &str) -> bool {
    match role {
        "firewall" => inventory.firewall.enabled,
        "redis" => inventory.redis.enabled,
        "sentinel" => !nodes_of(inventory, "redis").is_empty(),
        _ => true,
    }
}

/// The port that Redis listens on: on a machine with HAProxy, 6379 is HAProxy's.
pub fn redis_port(inventory: &Inventory) -> u16 {
    let proxies = nodes_of(inventory, "haproxy");
    let beside = nodes_of(inventory, "redis").iter().any(|node| proxies.contains(node));
    inventory.redis.port.unwrap_or(if beside { REDIS_BESIDE_HAPROXY } else { REDIS })
}

/// The nodes that a virtual address moves between.
pub fn virtual_ip_nodes(inventory: &Inventory) -> Vec<&str> {
    if inventory.virtual_ip.is_some() { nodes_of(inventory, "haproxy") } else { Vec::new() }
}

/// The nodes on which an nginx stands in front of processes of an application.
pub fn process_nodes(inventory: &Inventory) -> Vec<&str> {
    let groups = inventory.applications.values().flat_map(Application::servers);
    let served: BTreeSet<&String> =
        groups.filter(|group| !group.processes.is_empty()).flat_map(|group| group.nodes).collect();
    inventory.nodes.keys().filter(|name| served.contains(name)).map(String::as_str).collect()
}
