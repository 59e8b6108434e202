//! Applications as templates see them, and the ports that they listen on. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use crate::cluster::{Cluster, NodeName, bracketed};
use crate::inventory::model;
use crate::pki::OwnCertificate;
use crate::resource::{File, Live};
use crate::role::{Certificate, Served, ServedPort, Those};

/// Folder of what HAProxy knows of applications, on its nodes.
pub const FOLDER: &str = "/etc/haproxy/applications";
/// List of the users' own certificates: HAProxy takes 64 words in a line, too few to name them where it listens.
pub const OWN_CERTIFICATES: &str = "/etc/haproxy/applications/certificates";

/// An application.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Application {
    /// Its name.
    pub name: String,
    /// The host names that it answers to.
    pub hosts: Vec<String>,
    /// Its groups of servers; one without a name where it has no groups.
    pub pools: Vec<AppPool>,
    /// It has groups, one of which is live.
    pub grouped: bool,
    /// What is asked for to see whether it is well.
    pub health_path: String,
    /// The status of a good answer.
    pub health_status: u16,
    /// A cookie holds a client to its server.
    pub sticky: bool,
    /// Most requests of one client in 10 s.
    pub rate_limit: Option<u32>,
    /// Most requests that a server gets at once.
    pub max_connections: Option<u32>,
    /// The user's own certificate, on the nodes of HAProxy.
    pub certificate: Option<String>,
}

/// A backend of HAProxy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AppPool {
    /// Its name in HAProxy.
    pub backend: String,
    /// The group; empty where there are none.
    pub group: String,
    /// Its servers.
    pub servers: Vec<AppServer>,
    /// Ports of its processes, behind an nginx.
    pub processes: Vec<u16>,
}

/// A server behind HAProxy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AppServer {
    /// Its name in HAProxy: as in the inventory, without brackets.
    pub name: String,
    /// The node that it is on, where it is on one.
    pub node: Option<NodeName>,
    /// Address and port.
    pub target: String,
    /// The port.
    pub port: u16,
    /// It is there only for when no other server is well.
    pub backup: bool,
    /// An nginx of the cluster is in front of it, which speaks TLS.
    pub fronted: bool,
}

/// A choice that somebody makes now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The application.
    pub application: String,
    /// What is chosen.
    pub what: Chosen,
    /// When, in seconds since 1970.
    pub at: i64,
}

/// What can be chosen of an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// This group is live.
    Live(String),
    /// This server gets no new clients.
    Drained(String),
    /// This server gets clients like the others.
    Ready(String),
}

impl Application {
    /// The ports that it listens on at `node`, each with a name.
    pub fn listening(&self, node: &NodeName) -> Vec<(String, u16)> {
        let mut all: Vec<(String, u16)> = Vec::new();
        for pool in &self.pools {
            for server in pool.servers.iter().filter(|server| server.node.as_ref() == Some(node)) {
                let name = format!("{} {}", self.name, pool.group).trim_end().to_owned();
                if !all.iter().any(|(_, port)| *port == server.port) {
                    all.push((name, server.port));
                }
            }
        }
        all
    }
}

/// The ports of `node` on which a certificate is served, each with the protocol that comes before the handshake.
pub fn served_ports(
    cluster: &Cluster,
    node: &NodeName,
    certificate: &Certificate,
) -> Vec<(u16, Option<String>)> {
    let of = |at: &Served| {
        let ports = match at.port {
            ServedPort::One(port) => BTreeSet::from([port]),
            ServedPort::Those(Those::Processes) => fronted_ports(cluster, node),
        };
        ports.into_iter().map(|port| (port, at.starttls.clone())).collect::<Vec<_>>()
    };
    certificate.served.iter().flat_map(of).collect()
}

/// The ports of `node` on which nginx stands in front of processes.
fn fronted_ports(cluster: &Cluster, node: &NodeName) -> BTreeSet<u16> {
    let servers = applications(cluster).into_iter().flat_map(|one| one.pools).flat_map(|pool| pool.servers);
    servers
        .filter(|server| server.fronted && server.node.as_ref() == Some(node))
        .map(|server| server.port)
        .collect()
}

/// The name of an application's backend in HAProxy. The names of applications and groups hold no dots.
pub fn backend(application: &str, group: Option<&str>) -> String {
    group.map_or_else(|| format!("app.{application}"), |group| format!("app.{application}.{group}"))
}

/// All applications of a cluster.
pub fn applications(cluster: &Cluster) -> Vec<Application> {
    let each = cluster.inventory.applications.iter();
    each.map(|(name, wanted)| Application {
        name: name.clone(),
        hosts: wanted.hosts.clone(),
        pools: wanted.servers().into_iter().map(|group| pool(cluster, name, &group)).collect(),
        grouped: !wanted.groups.is_empty(),
        health_path: wanted.health.path.clone(),
        health_status: wanted.health.status,
        sticky: wanted.sticky,
        rate_limit: wanted.rate_limit.and_then(model::RateLimit::requests),
        max_connections: wanted.max_connections,
        certificate: wanted.certificate.is_some().then(|| certificate_path(name)),
    })
    .collect()
}

/// Where a user's certificate with its key lies on the nodes of HAProxy.
pub fn certificate_path(application: &str) -> String {
    format!("{FOLDER}/{application}.pem")
}

/// The users' own certificates with their keys, by application, and the list of them; nothing where there are none.
pub fn own_certificates(all: &BTreeMap<String, OwnCertificate>) -> Vec<File> {
    let each = all.iter().map(|(application, own)| {
        let fingerprint = own.key.fingerprint();
        let masked = format!("{}‹the key of {application} {fingerprint}›\n", own.chain);
        read_by_haproxy(certificate_path(application), "0600", own.content(), masked)
    });
    let paths: Vec<String> = all.keys().map(|application| certificate_path(application)).collect();
    let list = paths.join("\n") + "\n";
    let list =
        (!all.is_empty()).then(|| read_by_haproxy(OWN_CERTIFICATES.into(), "0644", list.clone(), list));
    each.chain(list).collect()
}

/// A file that HAProxy's configuration names, so that it is there before that is validated.
fn read_by_haproxy(path: String, mode: &str, content: String, masked: String) -> File {
    File {
        path,
        owner: "root:root".into(),
        mode: mode.into(),
        content,
        masked,
        validate: None,
        live: Live::AtOnce,
        seed: false,
    }
}

fn pool(cluster: &Cluster, application: &str, group: &model::Servers<'_>) -> AppPool {
    let server = |text: &String, backup| server(cluster, text, group, backup);
    let servers = group.nodes.iter().filter_map(|text| server(text, false));
    AppPool {
        backend: backend(application, group.group),
        group: group.group.unwrap_or_default().to_owned(),
        servers: servers.chain(group.backup.iter().filter_map(|text| server(text, true))).collect(),
        processes: group.processes.to_vec(),
    }
}

/// A server from its text in the inventory; none where the rules of the inventory refuse it.
fn server(cluster: &Cluster, text: &str, group: &model::Servers<'_>, backup: bool) -> Option<AppServer> {
    let name: String = text.chars().filter(|c| !['[', ']'].contains(c)).collect();
    let name_of = NodeName::from(text);
    let (address, port, node) = match cluster.nodes.get(&name_of) {
        Some(node) => (node.address, group.port?, Some(name_of)),
        None => match text.parse::<SocketAddr>() {
            Ok(socket) => (socket.ip(), socket.port(), None),
            Err(_) => (text.parse::<IpAddr>().ok()?, group.port?, None),
        },
    };
    let fronted = node.is_some() && !backup && !group.processes.is_empty();
    Some(AppServer { name, node, target: format!("{}:{port}", bracketed(address)), port, backup, fronted })
}
