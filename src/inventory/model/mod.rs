//! The shape of an inventory file: plain data with its defaults, as serde and the JSON schema see it.
//!
//! Doc comments here are what `deploy schema` prints and what an editor shows. Rules that span fields live in
//! [`super::rules`]; nothing here looks at a file, a clock or a network.

mod edge;
mod high_availability;
mod machine;
mod postgresql;
mod redis;
mod traffic;

pub use edge::*;
pub use high_availability::*;
pub use machine::*;
pub use postgresql::*;
pub use redis::*;
pub use traffic::*;

use std::collections::BTreeMap;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A cluster: its machines, and what is wanted of them. Everything but `name` and `nodes` has a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// Name of the cluster: lower-case letters, digits and dashes, at most 32 characters.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9-]{0,31}$"))]
    pub name: String,
    /// The machines by name. A name becomes the machine's name in `/etc/hosts` and in etcd and Patroni.
    pub nodes: BTreeMap<String, Node>,
    /// How to reach the machines.
    #[serde(default)]
    pub ssh: Ssh,
    /// Who may reach the cluster from outside.
    #[serde(default)]
    pub access: Access,
    /// Which nodes run a role, where that is not what their kind says; and a role's own settings.
    #[serde(default)]
    pub roles: BTreeMap<String, RoleSettings>,
    /// etcd, the store that elects the leader.
    #[serde(default)]
    pub etcd: Etcd,
    /// Patroni, which runs PostgreSQL and moves its leadership.
    #[serde(default)]
    pub patroni: Patroni,
    /// PostgreSQL: sizes, parameters, roles and databases.
    #[serde(default)]
    pub postgresql: Postgresql,
    /// HAProxy, the way to the leader and the replicas.
    #[serde(default)]
    pub haproxy: Haproxy,
    /// PgBouncer, the pool that applications connect to.
    #[serde(default)]
    pub pgbouncer: Pgbouncer,
    /// Redis, and the Sentinels that watch over it.
    #[serde(default)]
    pub redis: Redis,
    /// An address that moves between the HAProxy nodes, as `10.0.0.100`; or one for databases and one for applications.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_ip: Option<VirtualIp>,
    /// Web applications that HAProxy leads to, by name.
    #[serde(default)]
    pub applications: BTreeMap<String, Application>,
    /// The packet filter of every node.
    #[serde(default)]
    pub firewall: Firewall,
    /// Kernel settings of every node, beside those that the roles need.
    #[serde(default)]
    pub kernel: Kernel,
    /// Certificates and the secret store.
    #[serde(default)]
    pub trust: Trust,
    /// Secrets that come from outside the store, by name: read once in each run, never stored.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretSource>,
    /// The rehearsal machines that `deploy lab` makes of this inventory.
    #[serde(default)]
    pub lab: Lab,
}

/// One machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// What the machine is for; one kind or a list of them. It decides which roles it gets.
    pub kind: OneOrMany<Kind>,
    /// The address that the other nodes reach it by.
    pub address: IpAddr,
    /// What SSH connects to, where that differs from `address`: a name, an address or a host of your SSH configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// SSH port, where it differs from `ssh.port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
}

/// What a machine is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// etcd, HAProxy and Sentinel.
    Manager,
    /// Patroni and PostgreSQL.
    Worker,
    /// PgBouncer and Redis, and your applications.
    App,
}

impl Kind {
    /// The word used in inventories and on the screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manager => "manager",
            Self::Worker => "worker",
            Self::App => "app",
        }
    }
}

/// One value, or a list of values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    /// A single value.
    One(T),
    /// A list of values.
    Many(Vec<T>),
}

impl<T: Clone> OneOrMany<T> {
    /// The values as a list.
    pub fn to_vec(&self) -> Vec<T> {
        match self {
            Self::One(value) => vec![value.clone()],
            Self::Many(values) => values.clone(),
        }
    }
}

/// How to reach the machines. Your `~/.ssh/config`, agent and jump hosts are honoured; host keys are always checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ssh {
    /// The user to log in as. Anyone but root needs `sudo` without a password.
    pub user: String,
    /// The port, where the SSH configuration does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// A private key file; `~` and paths relative to the inventory are understood.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// An SSH client configuration to use instead of `~/.ssh/config`, relative to the inventory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// Seconds to wait for a connection.
    #[schemars(range(min = 1, max = 300))]
    pub connect_timeout: u16,
    /// Seconds for which a connection waits for the next command of the same user, who then need not log in again; with 0
    /// each command has its own.
    #[schemars(range(max = 3600))]
    pub reuse: u16,
}

impl Default for Ssh {
    fn default() -> Self {
        Self { user: "root".into(), port: None, key: None, config: None, connect_timeout: 10, reuse: 60 }
    }
}

/// Who may reach the cluster from outside, as addresses or networks (`10.0.0.0/8`, `2001:db8::/32`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// May use SSH, and the statistics page of HAProxy.
    pub admin: Vec<Network>,
    /// May use the ports that are for clients: those of PgBouncer, Redis and Sentinel.
    pub clients: Vec<Network>,
}

impl Default for Access {
    fn default() -> Self {
        Self { admin: Network::any(), clients: Network::any() }
    }
}

/// An address or a network, kept as the network it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub struct Network(#[schemars(with = "String", extend("format" = "network"))] pub ipnet::IpNet);

impl std::str::FromStr for Network {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<ipnet::IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(ipnet::IpNet::from))
            .map(|net| Self(net.trunc()))
            .map_err(|_| format!("`{text}` is neither an address nor a network"))
    }
}

impl Network {
    fn any() -> Vec<Self> {
        ["0.0.0.0/0", "::/0"].iter().filter_map(|text| text.parse().ok()).map(Self).collect()
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Network {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Where a role runs, and its settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RoleSettings {
    /// The nodes that run the role, instead of those that its kinds name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<Vec<String>>,
    /// Values that the role's templates see as `settings`.
    pub settings: BTreeMap<String, serde_json::Value>,
}
