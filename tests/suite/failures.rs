//! One failure after the other under a writing client: what it costs, what it loses (nothing), and that the cluster is
//! whole again by itself.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::cluster::Cluster;
use crate::figures;
use crate::writer::{Access, Writer};

/// Time that a cluster has to heal by itself once a failure has ended.
const HEALING: Duration = Duration::from_secs(90);
/// Two cores play all machines at once.
const SLACK: Duration = Duration::from_secs(5);
/// Longer than the ttl of the fast profile, even where Patroni makes it 20 s.
const FREEZE: Duration = Duration::from_secs(40);

/// A lost leader's machine: ttl and 3 s. Patroni 4 takes no ttl below 20 s.
pub fn node_loss(cluster: &Cluster) -> Duration {
    Duration::from_secs(if cluster.shape.debian >= 13 { 23 } else { 13 })
}

/// Breaks something under a writer, waits until writes flow and the failure has lasted, mends it, and looks.
fn drill(
    cluster: &Cluster,
    what: &str,
    promise: Duration,
    slack: Duration,
    lasts: Duration,
    fail: impl FnOnce() -> Result<()>,
    mend: impl FnOnce() -> Result<()>,
) -> Result<String> {
    let writer = Writer::start(cluster)?;
    fail()?;
    sleep(lasts);
    let flows = writer.flows_within(promise + slack + Duration::from_secs(30));
    mend()?;
    flows?;
    let healthy = cluster.healthy_within(HEALING)?;
    writer.flows_within(Duration::from_secs(10))?;
    let outcome = writer.finish()?;
    let note = figures::record(what, outcome, promise, slack, healthy)?;
    cluster.settled()?;
    Ok(format!("{note}, healthy after {:.1} s", healthy.as_secs_f64()))
}

fn title(cluster: &Cluster, what: &str) -> String {
    format!("{what} (Debian {})", cluster.shape.debian)
}

pub fn leader_killed(cluster: &mut Cluster) -> Result<String> {
    let leader = cluster.leader()?;
    let note = machine_killed(cluster, "leader's machine killed", &leader, node_loss(cluster))?;
    ensure!(cluster.leader()? != leader, "{leader} still leads");
    Ok(note)
}

/// Any machine's power is lost, and comes back.
pub fn machine_killed(cluster: &Cluster, what: &str, node: &str, promise: Duration) -> Result<String> {
    drill(
        cluster,
        &title(cluster, what),
        promise,
        SLACK,
        Duration::from_secs(1),
        || cluster.lab("kill", &[node]),
        || cluster.lab("start", &[node]),
    )
}

pub fn leader_cut(cluster: &mut Cluster) -> Result<String> {
    let leader = cluster.leader()?;
    let note = drill(
        cluster,
        &title(cluster, "leader cut from the network"),
        node_loss(cluster),
        SLACK,
        Duration::from_secs(10),
        || cluster.lab("cut", &[&leader]),
        || cluster.lab("heal", &[&leader]),
    )?;
    ensure!(cluster.leader()? != leader, "{leader} still leads");
    Ok(note)
}

/// The one that loses writes where the lock can be stolen back.
pub fn patroni_frozen(cluster: &mut Cluster) -> Result<String> {
    let leader = cluster.leader()?;
    let pid = cluster.on(&leader, "systemctl show -p MainPID --value patroni")?;
    ensure!(pid.parse::<u32>().is_ok_and(|pid| pid > 1), "{leader}: Patroni has no process: {pid}");
    let signal = |name: &str| cluster.on(&leader, &format!("kill -{name} {pid}")).map(drop);
    let note = drill(
        cluster,
        &title(cluster, "leader's Patroni frozen 40 s"),
        node_loss(cluster),
        SLACK,
        FREEZE,
        || signal("STOP"),
        || signal("CONT"),
    )?;
    ensure!(cluster.leader()? != leader, "{leader} still leads");
    Ok(note)
}

pub fn postmaster_killed(cluster: &mut Cluster) -> Result<String> {
    let leader = cluster.leader()?;
    let version = if cluster.shape.debian >= 13 { 17 } else { 15 };
    let pid = format!("/var/lib/postgresql/{version}/main/postmaster.pid");
    drill(
        cluster,
        &title(cluster, "PostgreSQL killed on the leader"),
        Duration::from_secs(6),
        Duration::ZERO,
        Duration::from_secs(1),
        || cluster.on(&leader, &format!("kill -KILL \"$(head -n1 {pid})\"")).map(drop),
        || Ok(()),
    )
}

/// The one that most of the connections go through.
pub fn manager_killed(cluster: &mut Cluster) -> Result<String> {
    let sessions = |node: &&str| -> Result<usize> {
        Ok(cluster.on(node, "ss -Htn state established '( sport = :5000 )' | wc -l")?.parse()?)
    };
    let writer = Writer::start(cluster)?;
    let mut managers = Vec::new();
    for node in cluster.of_kind("manager") {
        managers.push((sessions(&node)?, node));
    }
    drop(writer);
    let (_, busiest) = managers.into_iter().max().context("there is no manager")?;
    drill(
        cluster,
        &title(cluster, "manager killed"),
        node_loss(cluster),
        Duration::ZERO,
        Duration::from_secs(8),
        || cluster.lab("kill", &[busiest]),
        || cluster.lab("start", &[busiest]),
    )
}

pub fn pooler_killed(cluster: &mut Cluster) -> Result<String> {
    let first = cluster.of_kind("app").first().copied().context("there is no app node")?;
    drill(
        cluster,
        &title(cluster, "app node killed"),
        Duration::from_secs(10),
        Duration::ZERO,
        Duration::from_secs(5),
        || cluster.lab("kill", &[first]),
        || cluster.lab("start", &[first]),
    )
}

/// The power of every worker is lost and comes back: an apply that begins at once waits for a leader that takes writes.
pub fn power_lost(cluster: &mut Cluster) -> Result<String> {
    let workers = cluster.of_kind("worker");
    // What cannot be seen yet is planned on the first worker; most likely it will not be the one that leads.
    if workers.first().copied() == Some(cluster.leader()?.as_str()) {
        switch_over(cluster)?;
        cluster.healthy_within(HEALING)?;
    }
    cluster.lab("kill", &workers)?;
    cluster.lab("start", &workers)?;
    let roles = "roles: { app: {}, late: { login: false } }\ndatabases: { app: { owner: app } }";
    cluster.write(&[("postgresql", &cluster.postgresql(roles))])?;
    let apply = cluster.deploy(&["apply", "--yes"])?;
    let leader = cluster.leader()?;
    let known =
        "cd / && runuser -u postgres -- psql -XAtqc \"select count(*) from pg_roles where rolname = 'late'\"";
    ensure!(cluster.on(&leader, known)? == "1", "the role was not made");
    let healthy = cluster.healthy_within(HEALING)?;
    cluster.settled()?;
    cluster.write(&[])?;
    Ok(format!("applied in {:.1} s, every check held {:.0} s later", apply.seconds, healthy.as_secs_f64()))
}

/// A service that is killed comes back by itself; PgBouncer may open a file for each client that it is to take.
pub fn services_killed(cluster: &mut Cluster) -> Result<String> {
    let first = |kind: &str| cluster.of_kind(kind).first().copied().context("a kind without a node");
    let (manager, app) = (first("manager")?, first("app")?);
    let mut back = Vec::new();
    let note = drill(
        cluster,
        &title(cluster, "PgBouncer, HAProxy, etcd killed in turn"),
        Duration::from_secs(3),
        Duration::ZERO,
        Duration::ZERO,
        || {
            // A member of etcd that led is ready again when another one was elected.
            for (node, unit, limit) in [(app, "pgbouncer", 3), (manager, "haproxy", 3), (manager, "etcd", 6)]
            {
                back.push(format!("{unit} {:.1} s", killed(cluster, node, unit, limit)?.as_secs_f64()));
            }
            Ok(())
        },
        || Ok(()),
    )?;
    // The inventory of the suite wants 6000 clients.
    let limit = "awk '/^Max open files/ { print $4 }' /proc/\"$(systemctl show -p MainPID --value pgbouncer)\"/limits";
    let files: u64 = cluster.on(app, limit)?.parse()?;
    ensure!(files >= 7000, "{app}: PgBouncer may open {files} files");
    Ok(format!("{note}; back after: {}", back.join(", ")))
}

/// Kills the main process of a unit; how long until it runs again, which may take `limit` seconds.
fn killed(cluster: &Cluster, node: &str, unit: &str, limit: u64) -> Result<Duration> {
    let pid = cluster.on(node, &format!("systemctl show -p MainPID --value {unit}"))?;
    cluster.on(node, &format!("kill -KILL {pid}"))?;
    let begun = Instant::now();
    let again = format!(
        "test \"$(systemctl show -p MainPID --value {unit})\" != {pid} && systemctl is-active --quiet {unit}"
    );
    while cluster.on(node, &again).is_err() {
        ensure!(
            begun.elapsed() < Duration::from_secs(limit),
            "{node}: {unit} was killed and is not back within {limit} s"
        );
        sleep(Duration::from_millis(100));
    }
    Ok(begun.elapsed())
}

/// Writes go on without etcd: failsafe mode.
pub fn etcd_stopped(cluster: &mut Cluster) -> Result<String> {
    let managers = cluster.of_kind("manager");
    drill(
        cluster,
        &title(cluster, "all of etcd stopped 30 s"),
        Duration::from_secs(1),
        Duration::ZERO,
        Duration::from_secs(30),
        || cluster.on_all(&managers, "systemctl stop etcd"),
        || cluster.on_all(&managers, "systemctl start --no-block etcd"),
    )
}

/// Moves the leadership as an administrator would; from whom to whom.
pub fn switch_over(cluster: &Cluster) -> Result<(String, String)> {
    let leader = cluster.leader()?;
    let standby = cluster.member("Sync Standby")?;
    let name = &cluster.shape.name;
    let line = format!(
        "cd / && patronictl -c /etc/patroni/config.yml switchover {name} --leader {leader} --candidate {standby} --force"
    );
    let said = cluster.on(&leader, &line)?;
    ensure!(said.contains("Successfully switched over"), "patronictl: {said}");
    Ok((leader, standby))
}

pub fn switchover(cluster: &mut Cluster) -> Result<String> {
    let standby = cluster.member("Sync Standby")?;
    let note = drill(
        cluster,
        &title(cluster, "planned switchover"),
        Duration::from_secs(2),
        Duration::from_secs(1),
        Duration::from_secs(1),
        || switch_over(cluster).map(drop),
        || Ok(()),
    )?;
    ensure!(cluster.leader()? == standby, "{standby} does not lead");
    Ok(note)
}

/// The same by `deploy`, which lets transactions wait: none fails. A machine that is lost does not stand in the way, of Redis
/// neither.
pub fn switchover_by_deploy(cluster: &mut Cluster) -> Result<String> {
    let (leader, standby) = (cluster.leader()?, cluster.member("Sync Standby")?);
    let replica = cluster.member("Replica")?;
    cluster
        .refuse(&["postgresql", "switchover", "--yes", "--to", &replica], &["is not ready to lead"])?
        .ended(4)?;
    let (promise, slack) = (Duration::from_secs(3), Duration::from_secs(1));
    let writer = Writer::start_patient(Access::new(cluster, &cluster.of_kind("app"))?, promise + slack)?;
    let moved = cluster.deploy(&["postgresql", "switchover", "--yes", "--json"])?.json()?;
    writer.flows_within(Duration::from_secs(10))?;
    let healthy = cluster.healthy_within(HEALING)?;
    let outcome = writer.finish()?;
    ensure!(outcome.errors.is_empty(), "transactions failed: {:?}", outcome.errors);
    let what = title(cluster, "switchover by deploy");
    let note = figures::record(&what, outcome, promise, slack, healthy)?;
    ensure!(
        moved["from"] == leader.as_str() && moved["to"] == standby.as_str(),
        "{moved}: {leader} to {standby}"
    );
    ensure!(cluster.leader()? == standby, "{standby} does not lead");
    let again = cluster.deploy(&["postgresql", "switchover", "--yes", "--to", &standby])?;
    ensure!(again.stdout.contains("leads already"), "{}", again.stdout);
    cluster.settled()?;

    let lost = cluster.of_kind("manager").first().copied().context("there is no manager")?;
    cluster.lab("kill", &[lost])?;
    for command in ["postgresql switchover", "redis failover"] {
        let words: Vec<&str> = command.split(' ').chain(["--yes"]).collect();
        let done = cluster.deploy(&words)?;
        ensure!(done.stderr.contains(&format!("left out: {lost}")), "{command}: {}", done.stderr);
    }
    cluster.lab("start", &[lost])?;
    ensure!(cluster.leader()? != standby, "{standby} still leads");
    cluster.healthy_within(HEALING)?;
    cluster.settled()?;
    Ok(format!("{leader} to {standby}; {note}; both moves went without {lost}"))
}
