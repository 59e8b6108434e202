//! What the sessions of clients must not notice, though it happens to every connection of theirs: the packet filter is
//! switched on, HAProxy is reloaded.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::cluster::{Cluster, tail};
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
    let answered = held.finish()?;
    ensure!(cluster.leader()? == leader, "{leader} leads no more");
    for node in names {
        let policy = cluster.on(node, "iptables -S INPUT | head -n1")?;
        ensure!(policy == "-P INPUT DROP", "{node} drops nothing: {policy}");
    }
    cluster.settled()?;
    Ok(format!("applied in {:.1} s; {answered}", apply.seconds))
}

/// HAProxy ends what its worker of before a reload still holds after 30 s (`hard-stop-after`).
const HARD_STOP: Duration = Duration::from_secs(30);

/// HAProxy takes a changed file: whoever is connected through it stays so, and PgBouncer's connections have left the
/// worker of before when that is ended.
pub fn haproxy_reloaded(cluster: &mut Cluster) -> Result<String> {
    cluster.write(&[("haproxy", "max_connections: 2000\nconnection_rate_limit: 5")])?;
    let effects = effects(&cluster.attempt(&["plan", "--detailed-exitcode", "--json"])?)?;
    ensure!(effects == ["reload"], "the plan announces {effects:?}");
    let managers = cluster.of_kind("manager");
    let before: Vec<Worker> = workers(cluster, &managers)?;
    let writing = Held::writes(cluster)?;
    let brief = Held::all(cluster)?;
    let mut apply = cluster.start(&["apply", "--yes"], "reload")?;
    let fresh = |worker: &Worker| before.iter().all(|old| old.name != worker.name);
    let reloaded =
        wait_for(cluster, &managers, |all| all.iter().filter(|one| fresh(one)).count() == managers.len());
    // Over the moment at which PgBouncer is told.
    sleep(Duration::from_secs(5));
    let mut answered = brief.finish()?;
    reloaded?;
    ensure!(apply.wait()?.success(), "the run failed: {}", tail(&cluster.said("reload")));
    let alone = wait_for(cluster, &managers, |all| all.len() == managers.len())?;
    let moved = alone.iter().map(|worker| worker.age).max().unwrap_or_default();
    ensure!(moved < HARD_STOP, "a worker of before ended {} s after the reload", moved.as_secs());
    sleep((HARD_STOP + Duration::from_secs(10)).saturating_sub(moved));
    answered += writing.finish()?;
    cluster.write(&[])?;
    cluster.deploy(&["apply", "--yes"])?;
    cluster.settled()?;
    Ok(format!("the old workers were gone after {} s; {answered}", moved.as_secs()))
}

/// A process of HAProxy that serves connections.
struct Worker {
    /// Its node and its number there.
    name: String,
    age: Duration,
}

/// The workers on all of the nodes.
fn workers(cluster: &Cluster, nodes: &[&str]) -> Result<Vec<Worker>> {
    let list = "ps -o pid=,etimes= --ppid \"$(systemctl show -p MainPID --value haproxy)\"";
    let mut all = Vec::new();
    for node in nodes {
        for line in cluster.on(node, list)?.lines() {
            let (pid, age) = line.trim().split_once(' ').context("an odd line from ps")?;
            all.push(Worker { name: format!("{node} {pid}"), age: Duration::from_secs(age.trim().parse()?) });
        }
    }
    Ok(all)
}

/// Looks at the workers until they are as wanted.
fn wait_for(cluster: &Cluster, nodes: &[&str], wanted: impl Fn(&[Worker]) -> bool) -> Result<Vec<Worker>> {
    let begun = Instant::now();
    loop {
        let all = workers(cluster, nodes)?;
        if wanted(&all) {
            return Ok(all);
        }
        ensure!(
            begun.elapsed() < HARD_STOP * 2,
            "HAProxy has {} workers on {} nodes",
            all.len(),
            nodes.len()
        );
        sleep(Duration::from_millis(200));
    }
}
