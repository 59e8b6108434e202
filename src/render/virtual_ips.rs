//! The virtual addresses as templates see them. Pure.

use std::net::IpAddr;

use serde::Serialize;

use super::Facts;
use crate::cluster::{Cluster, Node, NodeName, bracketed};
use crate::inventory::model::VirtualIp;

/// The interface that is named where a node cannot be asked.
const ASSUMED_INTERFACE: &str = "eth0";

/// A virtual address, as one of its nodes sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VirtualAddress {
    /// Name of its VRRP instance.
    pub name: &'static str,
    /// The address.
    pub address: IpAddr,
    /// The same as it stands in front of a port.
    pub url_address: String,
    /// It is one of IPv6, for which there is no VRRP of version 2.
    pub ipv6: bool,
    /// The interface that it is put on.
    pub device: String,
    /// Number of the VRRP instance.
    pub router_id: u8,
    /// This node's priority: the highest of those that are well takes the address when nobody holds it.
    pub priority: u8,
    /// It leads to databases.
    pub database: bool,
    /// It leads to applications.
    pub applications: bool,
}

/// The addresses of a cluster; in the order of the inventory's fields.
pub fn addresses(cluster: &Cluster) -> Vec<IpAddr> {
    let all = cluster.inventory.virtual_ip.iter().flat_map(VirtualIp::addresses);
    all.map(|(_, address)| address).collect()
}

/// The virtual addresses for the templates of a node.
pub fn virtual_addresses(
    cluster: &Cluster,
    name: &NodeName,
    node: &Node,
    facts: &Facts,
) -> Vec<VirtualAddress> {
    let Some(wanted) = &cluster.inventory.virtual_ip else { return Vec::new() };
    let peers: Vec<&NodeName> = cluster.with_role("haproxy").map(|(name, _)| name).collect();
    let place = peers.iter().position(|peer| *peer == name).unwrap_or_default();
    let mut all: Vec<VirtualAddress> = Vec::new();
    for (number, (field, address)) in wanted.addresses().into_iter().enumerate() {
        let mut router_id = router_id(address);
        if all.iter().any(|other| other.router_id == router_id) {
            router_id = router_id % 255 + 1;
        }
        // Each begins with another node, so that both share the work while all nodes are well.
        let rank = (place + peers.len() - number % peers.len().max(1)) % peers.len().max(1);
        all.push(VirtualAddress {
            name: field.unwrap_or("cluster"),
            address,
            url_address: bracketed(address),
            ipv6: address.is_ipv6(),
            device: device(facts, address).unwrap_or_else(|| interface(facts, node)),
            router_id,
            priority: 200 - u8::try_from(rank.min(100)).unwrap_or_default(),
            database: wanted.database() == Some(address),
            applications: wanted.applications() == Some(address),
        });
    }
    all
}

/// The interface of a node's own address.
pub fn interface(facts: &Facts, node: &Node) -> String {
    let own = facts.interfaces.iter().find(|(_, network)| network.addr() == node.address);
    own.map_or_else(|| ASSUMED_INTERFACE.to_owned(), |(name, _)| name.clone())
}

/// The interface whose network holds an address; an address alone is no network.
pub fn device(facts: &Facts, address: IpAddr) -> Option<String> {
    let holds = |network: &ipnet::IpNet| {
        network.prefix_len() < network.max_prefix_len() && network.contains(&address)
    };
    facts.interfaces.iter().find(|(_, network)| holds(network)).map(|(name, _)| name.clone())
}

/// A number that no other cluster of the same network has: addresses there differ in their last byte.
fn router_id(address: IpAddr) -> u8 {
    let last = match address {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => address.octets()[15],
    };
    if last == 0 { 255 } else { last }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::fixture;
    use crate::pki::Trust;

    fn seen_by(text: &str, node: &str) -> Vec<VirtualAddress> {
        let source = fixture::source(&format!("{}{text}", fixture::THREE), Trust::settled("", "0"));
        let interfaces = vec![
            ("data0".to_owned(), "10.1.0.11/24".parse().unwrap()),
            ("public0".to_owned(), "192.0.2.11/24".parse().unwrap()),
        ];
        let facts = Facts {
            debian: 13,
            ram_mib: 4096,
            cores: 2,
            clock: 0,
            hostname: node.into(),
            interfaces,
            unproven: None,
        };
        let name = NodeName::from(node);
        virtual_addresses(&source.cluster, &name, &source.cluster.nodes[&name], &facts)
    }

    #[test]
    fn each_address_has_its_interface_its_number_and_begins_on_another_node() {
        let text = "virtual_ip: { database: 10.1.0.100, applications: 192.0.2.100 }\n";
        let short = |node: &str| -> Vec<(String, u8, u8)> {
            let all = seen_by(text, node);
            all.into_iter().map(|one| (one.device, one.router_id, one.priority)).collect()
        };
        assert_eq!(short("n1"), [("data0".into(), 100, 200), ("public0".into(), 101, 198)]);
        assert_eq!(short("n2"), [("data0".into(), 100, 199), ("public0".into(), 101, 200)]);
    }

    #[test]
    fn one_address_serves_for_both() {
        let all = seen_by("virtual_ip: 10.1.0.100\n", "n1");
        assert_eq!(all.len(), 1);
        assert!(all[0].database && all[0].applications);
    }
}
