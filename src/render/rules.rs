//! The packet filter's rules, derived from the ports that the roles declare and from who may reach them.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::cluster::{Cluster, NodeName};
use crate::role::Library;

/// One declared way into a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// The role that listens.
    pub role: String,
    /// What the port is for.
    pub name: String,
    /// The port, TCP.
    pub port: u16,
    /// Networks and addresses that may reach it.
    pub from: BTreeSet<IpNet>,
}

/// Everything that may reach `name`, from the manifests of its roles; SSH first.
pub fn edges(cluster: &Cluster, library: &Library, name: &NodeName) -> Vec<Edge> {
    let Some(node) = cluster.nodes.get(name) else { return Vec::new() };
    let access = &cluster.inventory.access;
    let admin: BTreeSet<IpNet> = access.admin.iter().map(|network| network.0).collect();
    let ssh =
        Edge { role: "ssh".into(), name: "ssh".into(), port: node.port.unwrap_or(22), from: admin.clone() };
    let mut edges = vec![ssh];
    for manifest in library.roles.values().filter(|manifest| node.roles.contains(&manifest.role)) {
        for port in &manifest.ports {
            let mut from = BTreeSet::new();
            for peer in &port.from {
                match peer.as_str() {
                    "admin" => from.extend(&admin),
                    "clients" => from.extend(access.clients.iter().map(|network| network.0)),
                    role => from.extend(cluster.with_role(role).map(|(_, node)| IpNet::from(node.address))),
                }
            }
            edges.push(Edge { role: manifest.role.clone(), name: port.name.clone(), port: port.port, from });
        }
    }
    edges
}

/// The rules of a node for IPv4 and IPv6, for `iptables-restore --noflush`: only our own chains are rewritten.
pub fn render(cluster: &Cluster, library: &Library, name: &NodeName) -> (String, String) {
    let edges = edges(cluster, library, name);
    (family(&edges, true), family(&edges, false))
}

fn family(edges: &[Edge], v4: bool) -> String {
    let mut text = String::from(
        "# managed by deploy (role firewall); changes made here are overwritten\n*filter\n\
         :INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:DEPLOY-INPUT - [0:0]\n-F DEPLOY-INPUT\n\
         -A DEPLOY-INPUT -i lo -j ACCEPT\n\
         -A DEPLOY-INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
         -A DEPLOY-INPUT -m conntrack --ctstate INVALID -j DROP\n",
    );
    // IPv6 does not work without its neighbour discovery, which is part of ICMPv6.
    text.push_str(if v4 {
        "-A DEPLOY-INPUT -p icmp -m icmp --icmp-type 8 -j ACCEPT\n"
    } else {
        "-A DEPLOY-INPUT -p ipv6-icmp -j ACCEPT\n"
    });
    for edge in edges {
        for network in edge.from.iter().filter(|network| matches!(network.addr(), IpAddr::V4(_)) == v4) {
            let source = if network.prefix_len() == 0 { String::new() } else { format!("-s {network} ") };
            let (role, name, port) = (&edge.role, &edge.name, edge.port);
            let _ = writeln!(
                text,
                "-A DEPLOY-INPUT {source}-p tcp -m tcp --dport {port} -m comment --comment \"{role} {name}\" -j ACCEPT"
            );
        }
    }
    // With the policies in one transaction, so that there is no moment of default drop without our chain. Loading the
    // rules again adds the jump again; `firewall.sh` then takes out all but one.
    text.push_str("-I INPUT 1 -j DEPLOY-INPUT\nCOMMIT\n");
    text
}
