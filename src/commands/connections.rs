//! Where applications connect to, as lines to copy. Passwords are left out; `ca.crt` is what `deploy certs ca` prints.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::cluster::{Cluster, bracketed};
use crate::inventory::REDIS;
use crate::inventory::model::{Database, VirtualIp};
use crate::live::SENTINEL_PORT;
use crate::render::{CHECK_DATABASE, pools};

/// The URLs by what they lead to: a pool of PgBouncer, Redis, an application.
pub fn connections(cluster: &Cluster) -> BTreeMap<String, String> {
    let nodes = |role: &str, port: u16| -> Vec<String> {
        cluster.with_role(role).map(|(_, node)| at(node.address, port)).collect()
    };
    let mut all = BTreeMap::new();
    let poolers = nodes("pgbouncer", 6432).join(",");
    for pool in pools(cluster).into_iter().filter(|pool| pool.database != CHECK_DATABASE) {
        let writes = pool.alias == pool.database;
        let user = cluster
            .inventory
            .postgresql
            .databases
            .get(&pool.database)
            .and_then(|database| user(cluster, database, writes));
        let user = user.map(|user| format!("{user}@")).unwrap_or_default();
        let url =
            format!("postgresql://{user}{poolers}/{}?sslmode=verify-full&sslrootcert=ca.crt", pool.alias);
        all.insert(pool.alias, url);
    }
    if cluster.with_role("redis").next().is_some() {
        let virtual_ip = cluster.inventory.virtual_ip.as_ref().and_then(VirtualIp::database);
        let proxies = virtual_ip.map_or_else(|| nodes("haproxy", REDIS), |address| vec![at(address, REDIS)]);
        if !proxies.is_empty() {
            all.insert("redis".into(), format!("rediss://app@{}", proxies.join(",")));
        }
        let sentinels = nodes("sentinel", SENTINEL_PORT).join(",");
        all.insert("redis-sentinel".into(), format!("rediss+sentinel://app@{sentinels}/{}", cluster.name()));
    }
    for (name, application) in &cluster.inventory.applications {
        all.extend(
            application.hosts.first().map(|host| (format!("{name}-https"), format!("https://{host}"))),
        );
    }
    all
}

fn at(address: IpAddr, port: u16) -> String {
    format!("{}:{port}", bracketed(address))
}

/// A role that logs in to a database to write, or to read: one that may do no more comes first.
fn user<'a>(cluster: &Cluster, database: &'a Database, writes: bool) -> Option<&'a String> {
    let readers = database.read_only.iter().filter(|_| !writes);
    let mut roles = readers.chain(&database.owner).chain(&database.read_write);
    let declared = &cluster.inventory.postgresql.roles;
    roles.find(|role| declared.get(*role).is_some_and(|role| role.login))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::fixture::{MIXED, source};
    use crate::pki::Trust;

    fn of(more: &str) -> BTreeMap<String, String> {
        connections(&source(&format!("{MIXED}{more}"), Trust::settled("ca", "0")).cluster)
    }

    #[test]
    fn each_line_can_be_used_as_it_stands() {
        let all = of("");
        let names: Vec<&str> = all.keys().map(String::as_str).collect();
        assert_eq!(names, ["app", "app_ro", "redis", "redis-sentinel"]);
        assert_eq!(all["app"], "postgresql://app@10.1.0.31:6432/app?sslmode=verify-full&sslrootcert=ca.crt");
        assert_eq!(all["redis"], "rediss://app@10.1.0.11:6379,10.1.0.12:6379,10.1.0.13:6379");
    }

    #[test]
    fn readers_read_redis_is_behind_the_virtual_address_and_applications_have_names() {
        let all = of("virtual_ip: 10.1.0.9
applications: { shop: { hosts: [shop.example.org], nodes: [a1], port: 8080 } }
postgresql:
  roles: { boss: {}, group: { login: false }, reports: {} }
  databases: { d: { owner: boss, read_only: [group, reports] }, other: { owner: group } }
");
        assert!(all["d"].starts_with("postgresql://boss@"), "{}", all["d"]);
        assert!(all["d_ro"].starts_with("postgresql://reports@"), "{}", all["d_ro"]);
        assert!(all["other"].starts_with("postgresql://10.1.0.31:6432/"), "{}", all["other"]);
        assert_eq!(all["redis"], "rediss://app@10.1.0.9:6379");
        assert_eq!(all["shop-https"], "https://shop.example.org");
    }
}
