//! The edge of the cluster: addresses that move between the HAProxy nodes, and applications behind them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An address that one of the HAProxy nodes holds, and another takes over when that one is lost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum VirtualIp {
    /// One address for everything that HAProxy leads to.
    Shared(IpAddr),
    /// An address for each kind of traffic.
    Parted(VirtualIps),
}

/// An address for each kind of traffic.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VirtualIps {
    /// The way to databases and to Redis: HAProxy's ports 5000 to 5002 and 6379.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<IpAddr>,
    /// The way to applications: HAProxy's ports 80 and 443.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applications: Option<IpAddr>,
}

impl VirtualIp {
    /// The addresses, each with the path of its value below `virtual_ip`.
    pub fn addresses(&self) -> Vec<(Option<&'static str>, IpAddr)> {
        match self {
            Self::Shared(address) => vec![(None, *address)],
            Self::Parted(each) => [("database", each.database), ("applications", each.applications)]
                .into_iter()
                .filter_map(|(name, address)| Some((Some(name), address?)))
                .collect(),
        }
    }

    /// The address that leads to databases.
    pub fn database(&self) -> Option<IpAddr> {
        match self {
            Self::Shared(address) => Some(*address),
            Self::Parted(each) => each.database,
        }
    }

    /// The address that leads to applications.
    pub fn applications(&self) -> Option<IpAddr> {
        match self {
            Self::Shared(address) => Some(*address),
            Self::Parted(each) => each.applications,
        }
    }
}

/// A web application behind HAProxy, reached by its host names over HTTPS.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Application {
    /// The host names that it answers to.
    pub hosts: Vec<String>,
    /// Where it runs: names of nodes, or addresses outside of the inventory, `192.0.2.7` or `192.0.2.7:8080`.
    pub nodes: Vec<String>,
    /// The port that it listens on there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// Where requests go when nothing of `nodes` is well: names of nodes, or addresses.
    pub backup: Vec<String>,
    /// Ports of its processes on each node of `nodes`: an nginx there takes `port` and spreads requests over them.
    pub processes: Vec<u16>,
    /// Versions of it that stand side by side, by name, instead of `nodes`. One is live at a time.
    pub groups: BTreeMap<String, ApplicationGroup>,
    /// The group that is live at first; from then on `deploy app` moves it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live: Option<String>,
    /// How it shows that it is well.
    pub health: Health,
    /// A client stays with the server that answered it first, by a cookie.
    pub sticky: bool,
    /// Most requests of one client in 10 s, on each HAProxy; `true` is 100. More are answered with 429.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// Most requests that a server gets at once; the others wait in HAProxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections: Option<u32>,
    /// A certificate of your own; without it the cluster's authority makes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateFiles>,
}

/// One version of an application.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApplicationGroup {
    /// Where it runs: names of nodes, or addresses outside of the inventory.
    pub nodes: Vec<String>,
    /// The port that it listens on there; by default the application's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// Where requests go when nothing of `nodes` is well.
    pub backup: Vec<String>,
    /// Ports of its processes on each node of `nodes`, behind an nginx there.
    pub processes: Vec<u16>,
}

/// How an application shows that it is well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Health {
    /// What is asked for.
    #[schemars(regex(pattern = r"^/[A-Za-z0-9._~/?&=%+:@,-]*$"))]
    pub path: String,
    /// The status of a good answer.
    #[schemars(range(min = 100, max = 599))]
    pub status: u16,
}

impl Default for Health {
    fn default() -> Self {
        Self { path: "/".into(), status: 200 }
    }
}

/// A limit on the requests of one client.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RateLimit {
    /// 100 requests in 10 s, or no limit.
    Usual(bool),
    /// So many requests in 10 s.
    Requests(#[schemars(range(min = 1, max = 1_000_000))] u32),
}

impl RateLimit {
    /// Requests in 10 s; none where there is no limit.
    pub fn requests(self) -> Option<u32> {
        match self {
            Self::Usual(true) => Some(100),
            Self::Usual(false) => None,
            Self::Requests(count) => Some(count),
        }
    }
}

/// Files of a certificate, relative to the inventory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    /// The certificate and those of its issuers, PEM.
    pub chain: String,
    /// Its private key, PEM, without a passphrase.
    pub key: String,
}

/// One group of servers of an application: all of it, where it has no groups.
#[derive(Debug, Clone, Copy)]
pub struct Servers<'a> {
    /// Name of the group; none where the application has none.
    pub group: Option<&'a str>,
    /// Where it runs.
    pub nodes: &'a [String],
    /// The port there, where the inventory says one.
    pub port: Option<u16>,
    /// Where requests go when nothing of `nodes` is well.
    pub backup: &'a [String],
    /// Processes behind an nginx.
    pub processes: &'a [u16],
}

impl Application {
    /// Its groups of servers, in order.
    pub fn servers(&self) -> Vec<Servers<'_>> {
        if self.groups.is_empty() {
            return vec![Servers {
                group: None,
                nodes: &self.nodes,
                port: self.port,
                backup: &self.backup,
                processes: &self.processes,
            }];
        }
        let each = self.groups.iter().map(|(name, group)| Servers {
            group: Some(name),
            nodes: &group.nodes,
            port: group.port.or(self.port),
            backup: &group.backup,
            processes: &group.processes,
        });
        each.collect()
    }
}
