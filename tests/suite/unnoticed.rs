//! What the sessions of clients must not notice, though it happens to every connection of theirs: the packet filter is
//! switched on, HAProxy is reloaded.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::cluster::Cluster;
use crate::eight::effects;
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

/// HAProxy ends what its worker of before a reload still holds after 30 s (`hard-stop-after`).
const HARD_STOP: Duration = Duration::from_secs(30);

/// HAProxy takes a changed file: whoever is connected through it stays so, and PgBouncer's connections have left the
/// worker of before when that is ended.
pub fn haproxy_reloaded(cluster: &mut Cluster) -> Result<String> {
    cluster.write(&[("haproxy", "max_connections: 2000\nconnection_rate_limit: 1000")])?;
    let effects = effects(&cluster.attempt(&["plan", "--detailed-exitcode", "--json"])?)?;
    ensure!(effects == ["reload"], "the plan announces {effects:?}");
    let writing = Held::writes(cluster)?;
    let brief = Held::all(cluster)?;
    cluster.deploy(&["apply", "--yes"])?;
    let statements = brief.finish()?;
    let mut moved = Duration::ZERO;
    for node in cluster.of_kind("manager") {
        moved = moved.max(alone_after(cluster, node)?);
    }
    ensure!(moved < HARD_STOP, "the worker of before ended {} s after the reload", moved.as_secs());
    sleep((HARD_STOP + Duration::from_secs(10)).saturating_sub(moved));
    let statements = statements + writing.finish()?;
    cluster.write(&[])?;
    cluster.deploy(&["apply", "--yes"])?;
    cluster.settled()?;
    Ok(format!(
        "the old worker was free after {} s at most; {statements} statements of held sessions, all answered",
        moved.as_secs()
    ))
}

/// How long after the reload HAProxy has one worker alone.
fn alone_after(cluster: &Cluster, node: &str) -> Result<Duration> {
    let ages = "ps -o etimes= --ppid \"$(systemctl show -p MainPID --value haproxy)\"";
    let begun = Instant::now();
    loop {
        let ages = cluster.on(node, ages)?;
        let workers: Vec<u64> = ages.split_whitespace().filter_map(|age| age.parse().ok()).collect();
        if let [age] = workers[..] {
            return Ok(Duration::from_secs(age));
        }
        ensure!(begun.elapsed() < HARD_STOP * 2, "{node}: HAProxy has workers of {workers:?} s");
        sleep(Duration::from_millis(200));
    }
}
