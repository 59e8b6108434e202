//! The packet filter's rules, derived from the ports that the roles declare and from who may reach them.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;

use ipnet::IpNet;

use super::applications;
use crate::cluster::{Cluster, NodeName};
use crate::role::{Library, Peer};

/// What an edge names where the administrators come in, which is no role.
pub const SSH: &str = "ssh";

/// What an edge names where an application listens, which is no role either.
pub const APPLICATION: &str = "application";

/// One declared way into a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// The role that listens, or [`SSH`], or [`APPLICATION`].
    pub role: String,
    /// What the port is for.
    pub name: String,
    /// What comes in by it.
    pub through: Through,
    /// Networks and addresses that may reach it.
    pub from: BTreeSet<IpNet>,
    /// The same as the words that stand for them: roles, `admin` and `clients`; only those that are somebody here.
    pub peers: BTreeSet<Peer>,
}

/// What comes in by an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Through {
    /// TCP on this port.
    Tcp(u16),
    /// A protocol of this number.
    Protocol(u8),
}

impl Edge {
    /// The port, where it is one.
    pub fn port(&self) -> Option<u16> {
        match self.through {
            Through::Tcp(port) => Some(port),
            Through::Protocol(_) => None,
        }
    }
}

/// Everything that may reach `name`, from the manifests of its roles; SSH first.
pub fn edges(cluster: &Cluster, library: &Library, name: &NodeName) -> Vec<Edge> {
    let Some(node) = cluster.nodes.get(name) else { return Vec::new() };
    let edge = |role: &str, name: &str, through: Through, from: &[Peer]| Edge {
        role: role.to_owned(),
        name: name.to_owned(),
        through,
        from: from.iter().flat_map(|peer| networks(cluster, peer)).collect(),
        peers: from.iter().filter(|peer| !networks(cluster, peer).is_empty()).cloned().collect(),
    };
    let mut edges = vec![edge(SSH, "ssh", Through::Tcp(node.port.unwrap_or(22)), &["admin".to_owned()])];
    for manifest in library.roles.values().filter(|manifest| node.roles.contains(&manifest.role)) {
        let ports = manifest.ports.iter().map(|port| (&port.name, Through::Tcp(port.port), &port.from));
        let protocols = manifest
            .protocols
            .iter()
            .map(|protocol| (&protocol.name, Through::Protocol(protocol.number), &protocol.from));
        edges.extend(
            ports.chain(protocols).map(|(name, through, from)| edge(&manifest.role, name, through, from)),
        );
    }
    let own = applications(cluster).into_iter().flat_map(|application| application.listening(name));
    edges.extend(
        own.map(|(name, port)| edge(APPLICATION, &name, Through::Tcp(port), &["haproxy".to_owned()])),
    );
    edges
}

/// The networks behind a word of `from`.
fn networks(cluster: &Cluster, peer: &str) -> BTreeSet<IpNet> {
    let access = &cluster.inventory.access;
    match peer {
        "admin" => access.admin.iter().map(|network| network.0).collect(),
        "clients" => access.clients.iter().map(|network| network.0).collect(),
        role => cluster.with_role(role).map(|(_, node)| IpNet::from(node.address)).collect(),
    }
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
        // The answer to a request for an address goes to who has asked everybody: the kernel sees no connection.
        "-A DEPLOY-INPUT -p ipv6-icmp -j ACCEPT\n-A DEPLOY-INPUT -s fe80::/10 -d fe80::/10 -p udp -m udp --dport 546 -j ACCEPT\n"
    });
    for edge in edges {
        for network in edge.from.iter().filter(|network| matches!(network.addr(), IpAddr::V4(_)) == v4) {
            let source = if network.prefix_len() == 0 { String::new() } else { format!("-s {network} ") };
            let (role, name) = (&edge.role, &edge.name);
            let what = match edge.through {
                Through::Tcp(port) => format!("-p tcp -m tcp --dport {port}"),
                Through::Protocol(number) => format!("-p {number}"),
            };
            let _ = writeln!(
                text,
                "-A DEPLOY-INPUT {source}{what} -m comment --comment \"{role} {name}\" -j ACCEPT"
            );
        }
    }
    // With the policies in one transaction, so that there is no moment of default drop without our chain. Loading the
    // rules again adds the jump again; `firewall.sh` then takes out all but one.
    text.push_str("-I INPUT 1 -j DEPLOY-INPUT\nCOMMIT\n");
    text
}
