//! What the sessions of clients must not notice, though it happens to every connection of theirs.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::cluster::Cluster;
use crate::held::Held;

/// Nothing is filtered any more, and the kernel need not know any connection.
const OPEN: &str = "for tables in iptables ip6tables; do \
    for chain in INPUT FORWARD; do $tables -w 5 -P $chain ACCEPT; done; $tables -w 5 -F; $tables -w 5 -X; done";

/// PgBouncer opens its connections anew as soon as they are free.
pub const RECONNECT: &str = "cd / && runuser -u postgres -- psql -Xqh /var/run/postgresql -p 6432 -U pgbouncer pgbouncer -c RECONNECT";

/// A cluster that runs without a packet filter gets one: no connection breaks, no statement fails, the leader stays.
pub fn filter_switched_on(cluster: &mut Cluster) -> Result<String> {
    let leader = cluster.leader()?;
    let names: Vec<&str> = cluster.names().collect();
    cluster.on_all(&names, OPEN)?;
    // Connections that were opened while nobody tracked them.
    cluster.on_all(&cluster.of_kind("app"), RECONNECT)?;
    let held = Held::all(cluster)?;
    let apply = cluster.deploy(&["apply", "--yes"])?;
    // A keepalive that was lost shows only now.
    sleep(Duration::from_secs(8));
    let statements = held.finish()?;
    ensure!(cluster.leader()? == leader, "{leader} leads no more");
    for node in names {
        let policy = cluster.on(node, "iptables -S INPUT | head -n1")?;
        ensure!(policy == "-P INPUT DROP", "{node} drops nothing: {policy}");
    }
    cluster.settled()?;
    Ok(format!("applied in {:.1} s; {statements} statements of held sessions, all answered", apply.seconds))
}
