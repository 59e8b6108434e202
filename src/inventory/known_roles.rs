//! The roles that an inventory may place, the kinds of node that get each, and the ports that it takes there.

use std::collections::BTreeMap;

use super::model::{Inventory, Kind};
use super::placement::{kinds, nodes_by};

/// Roles by name.
#[derive(Debug, Clone, Default)]
pub struct KnownRoles(BTreeMap<String, KnownRole>);

#[derive(Debug, Clone, Default)]
struct KnownRole {
    /// The kinds of node that run it by default.
    kinds: Vec<Kind>,
    /// The TCP ports that it listens on.
    ports: Vec<u16>,
}

impl KnownRoles {
    /// The roles that come with `deploy`.
    pub fn built_in() -> Self {
        let table: [(&str, &[u16]); 10] = [
            ("base", &[]),
            ("firewall", &[]),
            ("etcd", &[2379, 2380, 2381]),
            ("patroni", &[5432, 8008]),
            ("haproxy", &[5000, 5001, 5002, 6379, 7000]),
            ("keepalived", &[]),
            ("nginx", &[]),
            ("pgbouncer", &[6432]),
            // Of Redis itself, the inventory may choose another one: see `placement::redis_port`.
            ("redis", &[6379]),
            ("sentinel", &[26379]),
        ];
        table.into_iter().fold(Self::default(), |known, (role, ports)| known.and(role, kinds(role), ports))
    }

    /// These and one more; a role of the same name is replaced.
    #[must_use]
    pub fn and(mut self, role: &str, kinds: &[Kind], ports: &[u16]) -> Self {
        self.0.insert(role.into(), KnownRole { kinds: kinds.into(), ports: ports.into() });
        self
    }

    /// Whether there is such a role.
    pub fn has(&self, role: &str) -> bool {
        self.0.contains_key(role)
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The ports of a role; none for a stranger.
    pub fn ports(&self, role: &str) -> &[u16] {
        self.0.get(role).map_or(&[], |known| &known.ports)
    }

    /// The names of the nodes that run a role, in order; none for a stranger.
    pub fn nodes_of<'a>(&self, inventory: &'a Inventory, role: &str) -> Vec<&'a str> {
        self.0.get(role).map(|known| nodes_by(inventory, role, &known.kinds)).unwrap_or_default()
    }
}
