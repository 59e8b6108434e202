//! Machines: their names, addresses and how SSH reaches them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Findings;
use super::names::{is_host, is_host_name, is_label, is_one_line, is_user};
use crate::inventory::model::{Inventory, Node, OneOrMany};
use crate::inventory::wording::quoted;

pub fn check(inventory: &Inventory, found: &mut Findings<'_>) {
    let mut addresses: BTreeMap<IpAddr, &str> = BTreeMap::new();
    let mut hosts: BTreeMap<(&str, Option<u16>), &str> = BTreeMap::new();
    for (name, node) in &inventory.nodes {
        if !is_label(name) || !is_host_name(name) || name == "localhost" {
            found.key(
                &["nodes", name],
                format!("{} cannot be the name of a machine", quoted(name)),
                "use lower-case letters, digits and dashes, at most 63, beginning and ending with a letter or a digit, and not digits alone",
            );
        }
        kinds(name, node, found);
        address(name, node, found);
        if let Some(other) = addresses.insert(node.address, name) {
            duplicate(found, [other, name], "address", &node.address.to_string());
        }
        if let Some(host) = &node.host {
            let port = node.port.or(inventory.ssh.port);
            if !is_host(host) {
                found.value(
                    &["nodes", name, "host"],
                    format!("{} is not a host that SSH could connect to", quoted(host)),
                    "write a name, an address or a `Host` of your SSH configuration; user and port have fields of their own",
                );
            } else if let Some(other) = hosts.insert((host, port), name) {
                duplicate(found, [other, name], "host", host);
            }
        }
    }
    families(inventory, found);
    ssh(inventory, found);
}

fn kinds(name: &str, node: &Node, found: &mut Findings<'_>) {
    let OneOrMany::Many(kinds) = &node.kind else { return };
    if kinds.is_empty() {
        found.value(
            &["nodes", name, "kind"],
            format!("{} has no kind", quoted(name)),
            "name one: `manager`, `worker` or `app`",
        );
    }
    for (index, kind) in kinds.iter().enumerate() {
        if kinds[..index].contains(kind) {
            let path = ["nodes", name, "kind", &index.to_string()];
            found.value(&path, format!("`{}` is given twice", kind.as_str()), "keep one of them");
        }
    }
}

fn address(name: &str, node: &Node, found: &mut Findings<'_>) {
    let address = node.address;
    if is_unreachable(address) {
        found.value(
            &["nodes", name, "address"],
            format!("the other nodes cannot reach {} by {address}", quoted(name)),
            "give the address that it has on the network that the nodes share",
        );
    }
}

/// Whether no other machine could reach a node by this address.
pub fn is_unreachable(address: IpAddr) -> bool {
    let local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local() || address.to_ipv4_mapped().is_some(),
    };
    local || address.is_loopback() || address.is_unspecified() || address.is_multicast()
}

/// Reports a value that two nodes share, at the one that stands later in the file.
fn duplicate(found: &mut Findings<'_>, mut pair: [&str; 2], field: &str, value: &str) {
    pair.sort_by_key(|name| found.places.value(&crate::inventory::places::pointer(&["nodes", name, field])));
    let [first, second] = pair;
    let line = found.line(&["nodes", first, field]);
    found.value(
        &["nodes", second, field],
        format!("{} and {} have the same {field}, {value}{line}", quoted(first), quoted(second)),
        format!("give each node {} of its own", if field == "address" { "an address" } else { "a host" }),
    );
}

fn families(inventory: &Inventory, found: &mut Findings<'_>) {
    let six = inventory.nodes.values().filter(|node| node.address.is_ipv6()).count();
    let most = six * 2 > inventory.nodes.len();
    if six == 0 || six == inventory.nodes.len() {
        return;
    }
    let (odd, usual) = if most { ("IPv4", "IPv6") } else { ("IPv6", "IPv4") };
    for (name, node) in &inventory.nodes {
        if node.address.is_ipv6() != most {
            found.value(
                &["nodes", name, "address"],
                format!("{} has an {odd} address among {usual} ones", quoted(name)),
                "give all nodes addresses of one family",
            );
        }
    }
}

fn ssh(inventory: &Inventory, found: &mut Findings<'_>) {
    if !is_user(&inventory.ssh.user) {
        found.value(
            &["ssh", "user"],
            format!("{} cannot be the name of a user", quoted(&inventory.ssh.user)),
            "use letters, digits, `_`, `-` and `.`",
        );
    }
    for (field, path) in [("key", &inventory.ssh.key), ("config", &inventory.ssh.config)] {
        if path.as_ref().is_some_and(|path| path.is_empty() || !is_one_line(path) || path.contains('\t')) {
            found.value(&["ssh", field], format!("`ssh.{field}` is not a path"), "name a file");
        }
    }
}
