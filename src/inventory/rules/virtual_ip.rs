//! Virtual addresses: whose they are not, and who moves them.

use super::Findings;
use super::nodes::is_unreachable;
use crate::inventory::model::Inventory;
use crate::inventory::placement::nodes_of;
use crate::inventory::wording::quoted;

const FREE: &str = "choose a free address of the network that the HAProxy nodes share";

pub fn check(inventory: &Inventory, found: &mut Findings<'_>) {
    if inventory.roles.get("keepalived").is_some_and(|role| role.on.is_some()) {
        found.key(
            &["roles", "keepalived", "on"],
            "keepalived runs where HAProxy does",
            "place HAProxy by `roles.haproxy.on`, and give the address in `virtual_ip`",
        );
    }
    let Some(wanted) = &inventory.virtual_ip else { return };
    let addresses = wanted.addresses();
    if addresses.is_empty() {
        found.key(
            &["virtual_ip"],
            "`virtual_ip` names no address",
            "give an address, or one as `database` and one as `applications`",
        );
    }
    for (index, (field, address)) in addresses.iter().enumerate() {
        let path: Vec<&str> = ["virtual_ip"].into_iter().chain(*field).collect();
        if let Some((name, _)) = inventory.nodes.iter().find(|(_, node)| node.address == *address) {
            let line = found.line(&["nodes", name, "address"]);
            found.value(&path, format!("{address} is the address of {} itself{line}", quoted(name)), FREE);
        } else if is_unreachable(*address) {
            found.value(&path, format!("{address} is no address that other machines could reach"), FREE);
        } else if inventory.nodes.values().any(|node| node.address.is_ipv6() != address.is_ipv6()) {
            let family = |six: bool| if six { "IPv6" } else { "IPv4" };
            found.value(
                &path,
                format!(
                    "{address} is an address of {}, and the nodes have {}",
                    family(address.is_ipv6()),
                    family(!address.is_ipv6())
                ),
                FREE,
            );
        }
        if addresses[..index].iter().any(|(_, other)| other == address) {
            found.value(
                &path,
                format!("{address} is given twice"),
                format!("write `virtual_ip: {address}` for one address that serves for both"),
            );
        }
    }
    if nodes_of(inventory, "haproxy").len() < 2 {
        found.key(
            &["virtual_ip"],
            "a virtual address moves between HAProxy nodes, and there are not two of them",
            "let HAProxy run on two nodes or more, or leave out `virtual_ip`",
        );
    }
}
