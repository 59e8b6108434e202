//! What templates see: the node, its peers, the inventory's sections and what follows from them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Source;
use super::applications::{OWN_CERTIFICATES, applications};
use super::virtual_ips::{interface, virtual_addresses};
use crate::cluster::{Cluster, Node, NodeName, bracketed};
use crate::inventory::redis_port;
use crate::role::Manifest;

/// What a node said of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Release of Debian.
    pub debian: u8,
    /// RAM in MiB.
    pub ram_mib: u64,
    /// Cores.
    pub cores: u32,
    /// Seconds since 1970 by its clock, when it was asked.
    pub clock: i64,
    /// What it calls itself.
    pub hostname: String,
    /// Its interfaces, each with an address and the network of that.
    pub interfaces: Vec<(String, ipnet::IpNet)>,
    /// The last run there that did not end well, where no run of every check has proven since what it left.
    pub unproven: Option<String>,
}

impl Facts {
    /// Major version of PostgreSQL that the release brings.
    pub fn postgresql(&self) -> u8 {
        if self.debian >= 13 { 17 } else { 15 }
    }
}

/// A name that clients connect to at PgBouncer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pool {
    /// The name.
    pub alias: String,
    /// The database behind it.
    pub database: String,
    /// Port of HAProxy: 5000 leads to the leader, 5001 to the replicas.
    pub port: u16,
}

/// Database and role that the checks write and read with.
pub const CHECK_DATABASE: &str = "deploy";
/// Login of the checks.
pub const CHECK_ROLE: &str = "deploy_check";

/// The pools of a cluster: each database for writing, and with `_ro` for reading.
pub fn pools(cluster: &Cluster) -> Vec<Pool> {
    let own = cluster.inventory.postgresql.databases.keys().map(String::as_str);
    own.chain([CHECK_DATABASE])
        .flat_map(|database| {
            [(database.to_owned(), 5000), (format!("{database}_ro"), 5001)].map(|(alias, port)| Pool {
                alias,
                database: database.to_owned(),
                port,
            })
        })
        .collect()
}

/// The template that holds the lines of `pg_hba.conf`, which live in Patroni's dynamic configuration.
pub const PG_HBA: &str = "patroni/pg_hba.j2";

/// The lines of `pg_hba.conf`, from the rendered template.
pub fn pg_hba(rendered: &str) -> Vec<String> {
    rendered
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

/// Everything but the role's own `settings`.
pub fn node_context(source: &Source, name: &NodeName, node: &Node, facts: &Facts) -> Map<String, Value> {
    let cluster = &source.cluster;
    let sections = serde_json::to_value(&cluster.inventory).unwrap_or_default();
    let mut context = Map::new();
    for section in
        ["etcd", "patroni", "postgresql", "haproxy", "pgbouncer", "redis", "access", "kernel", "firewall"]
    {
        context.insert(section.into(), sections[section].clone());
    }
    let (ttl, loop_wait, retry_timeout) = cluster.inventory.patroni.timings();
    context["patroni"]["ttl"] = json!(ttl);
    context["patroni"]["loop_wait"] = json!(loop_wait);
    context["patroni"]["retry_timeout"] = json!(retry_timeout);
    let (heartbeat, election) = cluster.inventory.etcd.timings(cluster.inventory.patroni.failover);
    context["etcd"]["heartbeat_interval"] = json!(heartbeat);
    context["etcd"]["election_timeout"] = json!(election);
    let version = facts.postgresql();
    context["postgresql"]["version"] = json!(version);
    context["postgresql"]["bin_dir"] = json!(format!("/usr/lib/postgresql/{version}/bin"));
    context["postgresql"]["data_dir"] = json!(data_directory(cluster, version));
    context["postgresql"]["pools"] = json!(pools(cluster));
    context["redis"]["port"] = json!(redis_port(&cluster.inventory));
    let shared = node.roles.contains("patroni");
    context["redis"]["bytes"] = json!(cluster.inventory.redis.bytes(facts.ram_mib, shared));
    context["redis"]["ask"] = sentinel_to_ask(cluster, name);
    context.insert("cluster".into(), json!({ "name": cluster.name() }));
    context.insert(
        "node".into(),
        json!({
            "name": name, "address": node.address, "url_address": bracketed(node.address), "kinds": node.kinds, "roles": node.roles,
            "debian": facts.debian, "ram_mib": facts.ram_mib, "cores": facts.cores,
        }),
    );
    let virtual_ips = virtual_addresses(cluster, name, node, facts);
    let by_address =
        virtual_ips.iter().any(|one| one.database) && cluster.with_role("redis").next().is_some();
    context["redis"]["behind_virtual_ip"] = json!(by_address);
    context["node"]["interface"] = json!(interface(facts, node));
    context.insert("virtual_ips".into(), json!(virtual_ips));
    let applications = applications(cluster);
    let own = applications.iter().any(|application| application.certificate.is_some());
    context.insert("own_certificates".into(), json!(own.then_some(OWN_CERTIFICATES)));
    context.insert("applications".into(), json!(applications));
    let everyone = cluster.nodes.iter().map(|(name, node)| peer(name, node));
    context.insert("nodes".into(), everyone.collect());
    let roles: Map<String, Value> = source
        .library
        .roles
        .keys()
        .map(|role| {
            let members = cluster.with_role(role);
            let list = members.map(|(name, node)| peer(name, node)).collect();
            (role.clone(), list)
        })
        .collect();
    context.insert("roles".into(), Value::Object(roles));
    context
}

/// The Sentinel that the HAProxy of a node asks: its own, or else each another one while there are enough.
fn sentinel_to_ask(cluster: &Cluster, name: &NodeName) -> Value {
    let sentinels: Vec<(&NodeName, &Node)> = cluster.with_role("sentinel").collect();
    if let Some((own, _)) = sentinels.iter().find(|(sentinel, _)| *sentinel == name) {
        return json!({ "name": own, "url_address": "127.0.0.1" });
    }
    let mut without = cluster.with_role("haproxy").filter(|(_, node)| !node.roles.contains("sentinel"));
    let place = without.position(|(proxy, _)| proxy == name).unwrap_or_default();
    match sentinels.get(place % sentinels.len().max(1)) {
        Some((sentinel, node)) => json!({ "name": sentinel, "url_address": bracketed(node.address) }),
        None => Value::Null,
    }
}

/// A node as others see it. `url_address` is its address as it stands in front of a port, `cidr` the network of it alone.
fn peer(name: &NodeName, node: &Node) -> Value {
    let cidr = ipnet::IpNet::from(node.address);
    json!({ "name": name, "address": node.address, "url_address": bracketed(node.address), "cidr": cidr })
}

/// Where PostgreSQL keeps its data.
pub fn data_directory(cluster: &Cluster, version: u8) -> String {
    match &cluster.inventory.postgresql.data_mount {
        Some(mount) => format!("{mount}/{version}/main"),
        None => format!("/var/lib/postgresql/{version}/main"),
    }
}

/// The role's own settings: the manifest's defaults under the inventory's values.
pub fn settings(cluster: &Cluster, manifest: &Manifest) -> Value {
    let mut values: Map<String, Value> = manifest.settings.clone().into_iter().collect();
    if let Some(role) = cluster.inventory.roles.get(&manifest.role) {
        values.extend(role.settings.clone());
    }
    Value::Object(values)
}

/// Where PostgreSQL keeps its data on any release that a node may run.
pub fn data_directories(cluster: &Cluster) -> [String; 2] {
    [15, 17].map(|version| data_directory(cluster, version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::fixture;
    use crate::pki::Trust;

    fn asked(text: &str) -> Vec<String> {
        let source = fixture::source(&format!("{}{text}", fixture::MIXED), Trust::settled("", "0"));
        let proxies = source.cluster.with_role("haproxy");
        let asked = proxies.map(|(name, _)| sentinel_to_ask(&source.cluster, name));
        asked.map(|one| format!("{} {}", one["name"], one["url_address"]).replace('"', "")).collect()
    }

    #[test]
    fn each_haproxy_asks_its_own_sentinel_or_another_than_the_next() {
        assert_eq!(asked(""), ["m1 127.0.0.1", "m2 127.0.0.1", "m3 127.0.0.1"]);
        let elsewhere = "roles: { sentinel: { on: [w1, w2, w3] } }\n";
        assert_eq!(asked(elsewhere), ["w1 10.1.0.21", "w2 10.1.0.22", "w3 10.1.0.23"]);
        let partly = "roles: { sentinel: { on: [m1, w1, w2] } }\n";
        assert_eq!(asked(partly), ["m1 127.0.0.1", "m1 10.1.0.11", "w1 10.1.0.21"]);
    }
}
