//! Roles on nodes: what may be placed where, how many of each a cluster needs, and who takes which port.

use std::collections::BTreeMap;

use super::Findings;
use crate::inventory::known_roles::KnownRoles;
use crate::inventory::model::Inventory;
use crate::inventory::placement::{FRONT, REDIS, nodes_of, redis_port};
use crate::inventory::wording::{closest, listed, quoted};

pub fn check(inventory: &Inventory, roles: &KnownRoles, found: &mut Findings<'_>) {
    for (role, settings) in &inventory.roles {
        if !roles.has(role) {
            let meant = closest(role, roles.names()).map(|meant| format!("did you mean `{meant}`? "));
            found.key(
                &["roles", role],
                format!("unknown role {}", quoted(role)),
                format!(
                    "{}known: {}; one of your own is a file in `roles/` beside the inventory",
                    meant.unwrap_or_default(),
                    listed(roles.names(), "and")
                ),
            );
        }
        for (index, node) in settings.on.iter().flatten().enumerate() {
            let path = ["roles", role, "on", &index.to_string()];
            if !inventory.nodes.contains_key(node) {
                let names = inventory.nodes.keys().map(String::as_str);
                let hint = closest(node, names.clone()).map_or_else(
                    || format!("the nodes are {}", listed(names.take(20), "and")),
                    |meant| format!("did you mean `{meant}`?"),
                );
                found.value(&path, format!("{} is not a node of this inventory", quoted(node)), hint);
            } else if settings.on.iter().flatten().take(index).any(|other| other == node) {
                found.value(&path, format!("{} is given twice", quoted(node)), "keep one of them");
            }
        }
    }
    counts(inventory, found);
    ports(inventory, roles, found);
}

fn counts(inventory: &Inventory, found: &mut Findings<'_>) {
    let members = nodes_of(inventory, "etcd").len();
    if members < 3 || members.is_multiple_of(2) {
        let problem = match members {
            0 => "no node runs etcd".into(),
            1 => "etcd runs on 1 node; the loss of that one stops everything".into(),
            2 => "etcd runs on 2 nodes; the loss of either one stops both".into(),
            even => {
                format!("etcd runs on {even} nodes; an even number survives no more losses than {}", even - 1)
            }
        };
        place(found, "etcd", problem, "make it 3 or 5, by nodes of kind `manager` or by `roles.etcd.on`");
    }
    let workers = nodes_of(inventory, "patroni").len();
    if workers < 2 {
        let problem = match workers {
            0 => "no node runs PostgreSQL; a cluster needs at least two workers".into(),
            _ => "only 1 node runs PostgreSQL; a cluster needs at least two workers".to_owned(),
        };
        place(found, "patroni", problem, "add nodes of kind `worker`, or name them in `roles.patroni.on`");
    }
    if nodes_of(inventory, "haproxy").is_empty() && !nodes_of(inventory, "pgbouncer").is_empty() {
        let problem = "PgBouncer runs, but no node runs HAProxy, through which it finds the leader";
        place(
            found,
            "haproxy",
            problem.into(),
            "add nodes of kind `manager`, or name some in `roles.haproxy.on`",
        );
    }
}

pub fn place(found: &mut Findings<'_>, role: &str, message: String, hint: &str) {
    found.first(&[&["roles", role, "on"], &["nodes"]], message, hint);
}

/// The ports of a role in this cluster: that of Redis itself can be chosen, and HAProxy has one for it where it runs, and
/// two for applications.
pub fn ports_of(inventory: &Inventory, roles: &KnownRoles, role: &str) -> Vec<u16> {
    let declared = roles.ports(role).iter().copied();
    match role {
        "redis" => declared.map(|port| if port == REDIS { redis_port(inventory) } else { port }).collect(),
        "haproxy" => {
            let redis = !nodes_of(inventory, "redis").is_empty();
            let front = FRONT.into_iter().filter(|_| !inventory.applications.is_empty());
            declared.filter(|port| redis || *port != REDIS).chain(front).collect()
        }
        _ => declared.collect(),
    }
}

fn ports(inventory: &Inventory, roles: &KnownRoles, found: &mut Findings<'_>) {
    let mut taken: BTreeMap<(&str, u16), &str> = BTreeMap::new();
    for role in roles.names() {
        for node in roles.nodes_of(inventory, role) {
            for port in ports_of(inventory, roles, role) {
                if let Some(other) = taken.insert((node, port), role) {
                    // The port of Redis is a matter of choice, any other one of places alone.
                    let of_redis = inventory.redis.port == Some(port) && [role, other].contains(&"redis");
                    let places: [&[&str]; 3] =
                        [&["roles", role, "on"], &["roles", other, "on"], &["nodes", node]];
                    found.first(
                        if of_redis { &[&["redis", "port"]] } else { &places },
                        format!(
                            "{} and {} both listen on port {port} of {}",
                            quoted(other),
                            quoted(role),
                            quoted(node)
                        ),
                        if of_redis { "choose another port" } else { "place one of them on other nodes" },
                    );
                }
            }
        }
    }
    for (name, node) in &inventory.nodes {
        // Where SSH goes through another host or its own configuration, the port is not the node's.
        let Some(port) = node.port.or(inventory.ssh.port).filter(|_| node.host.is_none()) else { continue };
        if let Some(role) = taken.get(&(name.as_str(), port)) {
            found.first(
                &[&["nodes", name, "port"], &["ssh", "port"]],
                format!(
                    "port {port} of {} is for SSH here, but {} listens on it",
                    quoted(name),
                    quoted(role)
                ),
                "let sshd listen on another port",
            );
        }
    }
}
