//! Redis under writers: its primary moved and killed, its certificates renewed, its directives changed by hand.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::cluster::Cluster;
use crate::eight::effects;
use crate::figures::{self, Losses};
use crate::redis_writer::RedisWriters;

/// Writes go on this long after the machine of the primary is lost.
const LOSS: Duration = Duration::from_secs(10);
/// A planned move holds writes back for no longer.
const MOVE: Duration = Duration::from_secs(3);
/// Two cores play all machines at once, and a client has to find the new primary.
const SLACK: Duration = Duration::from_secs(3);
/// Longer than Sentinel needs to make another one the primary.
const FROZEN: Duration = Duration::from_secs(12);
const HEALING: Duration = Duration::from_secs(90);

/// The node of the primary, as `status` shows it.
fn primary(cluster: &Cluster) -> Result<String> {
    let status = cluster.attempt(&["status", "--json"])?.json()?;
    status["redis"]["primary"].as_str().map(str::to_owned).context("status knows no primary of Redis")
}

fn title(cluster: &Cluster, what: &str, by: &str) -> String {
    format!("{what}, by {by} (Debian {})", cluster.shape.debian)
}

/// A planned move loses no write; the next apply leaves the primary where it is.
pub fn moved(cluster: &mut Cluster) -> Result<String> {
    let from = primary(cluster)?;
    let writers = RedisWriters::start(cluster)?;
    let done = cluster.deploy(&["redis", "failover", "--yes", "--json"])?.json()?;
    writers.flow_within(Duration::from_secs(15))?;
    let outcomes = writers.finish()?;
    let to = primary(cluster)?;
    ensure!(done["from"] == from.as_str() && done["to"] == to.as_str(), "{done}: {from} to {to}");
    let paused = Duration::from_millis(done["paused_ms"].as_u64().context("no pause in the output")?);
    ensure!(paused < MOVE, "writes were held back {paused:?}");
    let mut notes = vec![format!("{from} to {to}, writes held back {} ms", paused.as_millis())];
    for (by, outcome) in outcomes {
        let what = title(cluster, "Redis primary moved", by);
        notes.push(figures::record(&what, outcome, MOVE, SLACK, Duration::ZERO)?);
    }
    cluster.deploy(&["verify"])?;
    cluster.settled()?;
    cluster.deploy(&["redis", "failover", "--yes", "--to", &from])?;
    ensure!(primary(cluster)? == from, "{from} was asked for and is not the primary");
    cluster.settled()?;
    Ok(notes.join("; "))
}

/// The machine of the primary is lost: a replica takes over, and the old primary comes back as one.
pub fn primary_killed(cluster: &mut Cluster) -> Result<String> {
    let lost = primary(cluster)?;
    let writers = RedisWriters::start(cluster)?;
    cluster.lab("kill", &[&lost])?;
    sleep(Duration::from_secs(1));
    let flow = writers.flow_within(LOSS + Duration::from_secs(20));
    cluster.lab("start", &[&lost])?;
    flow?;
    let healthy = cluster.healthy_within(HEALING)?;
    writers.flow_within(Duration::from_secs(10))?;
    let mut notes = Vec::new();
    for (by, outcome) in writers.finish()? {
        let what = title(cluster, "Redis primary's machine killed", by);
        // Replication is asynchronous: what a lost primary alone has is gone, and counted.
        notes.push(figures::record_with(&what, outcome, LOSS, Duration::ZERO, healthy, Losses::Counted)?);
    }
    let now = primary(cluster)?;
    ensure!(now != lost, "{lost} is the primary again");
    let first = cluster.on(
        &lost,
        "journalctl -u redis-server -b -o cat --no-pager | grep -c 'beginning as its replica' || true",
    )?;
    ensure!(first != "0", "{lost} did not ask the Sentinels before it started");
    cluster.settled()?;
    Ok(format!("{lost} to {now}; {}", notes.join("; ")))
}

/// The primary stands still until another one leads, and then goes on as if nothing had been: until Sentinel makes it a
/// replica it takes writes, and none of them comes through HAProxy.
pub fn primary_frozen(cluster: &mut Cluster) -> Result<String> {
    let frozen = primary(cluster)?;
    let writers = RedisWriters::start(cluster)?;
    cluster.on(&frozen, "systemctl kill --signal=STOP redis-server")?;
    sleep(FROZEN);
    cluster.on(&frozen, "systemctl kill --signal=CONT redis-server")?;
    let flow = writers.flow_within(LOSS + Duration::from_secs(20));
    // For so long it may hold itself for the primary.
    sleep(LOSS);
    flow?;
    let healthy = cluster.healthy_within(HEALING)?;
    let mut notes = Vec::new();
    for (by, outcome) in writers.finish()? {
        let what = title(cluster, "Redis primary frozen 12 s", by);
        // Whoever asks a Sentinel once may be answered by the old primary: that is counted.
        let losses = if by == "haproxy" { Losses::Forbidden } else { Losses::Counted };
        notes.push(figures::record_with(&what, outcome, LOSS, SLACK, healthy, losses)?);
    }
    let now = primary(cluster)?;
    ensure!(now != frozen, "{frozen} is the primary again");
    cluster.settled()?;
    Ok(format!("{frozen} to {now}; {}", notes.join("; ")))
}

/// New certificates of Redis and Sentinel under clients: Redis takes them while it runs, a connection to it is held.
pub fn certificates_renewed(cluster: &mut Cluster) -> Result<String> {
    let serving = "systemctl show -p MainPID --value redis-server";
    let nodes = cluster.of_kind("app");
    let before: Vec<String> = nodes.iter().map(|node| cluster.on(node, serving)).collect::<Result<_>>()?;
    let writers = RedisWriters::start(cluster)?;
    let renewed = cluster.deploy(&["certs", "renew", "--service", "redis,sentinel", "--force", "--yes"])?;
    writers.flow_within(Duration::from_secs(10))?;
    let outcomes = writers.finish()?;
    let after: Vec<String> = nodes.iter().map(|node| cluster.on(node, serving)).collect::<Result<_>>()?;
    ensure!(before == after, "Redis was restarted");
    let mut written = 0;
    for (by, outcome) in outcomes {
        ensure!(outcome.lost == 0, "{by}: {} writes lost", outcome.lost);
        // A Sentinel that restarts is down for the HAProxy beside it, which lets go of its clients.
        let held = by == "haproxy" || outcome.errors.is_empty();
        ensure!(held && outcome.gap < LOSS, "{by}: {:.1} s, {:?}", outcome.gap.as_secs_f64(), outcome.errors);
        written += outcome.acknowledged;
    }
    cluster.settled()?;
    Ok(format!(
        "renewed in {:.1} s, {written} writes, none lost, all of the client by Sentinel over one connection",
        renewed.seconds
    ))
}

/// What somebody told Redis or Sentinel by hand is found and mended through them; who leads is not touched.
pub fn drift(cluster: &mut Cluster) -> Result<String> {
    let leads = primary(cluster)?;
    let redis = |words: &str| {
        format!(
            "REDISCLI_AUTH=$(sed -n 2p /etc/redis/secret/redis-admin) redis-cli --tls --cacert /etc/redis/tls/ca.crt --user admin {words}"
        )
    };
    let sentinel = |words: &str| {
        format!(
            "REDISCLI_AUTH=$(sed -n 2p /etc/redis/secret/sentinel-admin) redis-cli --tls --cacert /etc/redis/tls/ca.crt -p 26379 --user admin {words}"
        )
    };
    let name = cluster.shape.name.clone();
    cluster.on(&leads, &redis("CONFIG SET maxmemory-policy allkeys-lru"))?;
    cluster.on(&leads, &redis("ACL SETUSER haproxy +config"))?;
    cluster.on("m2", &sentinel(&format!("SENTINEL SET {name} down-after-milliseconds 60000")))?;
    let plan = cluster.attempt(&["plan", "--detailed-exitcode", "--json"])?;
    effects(&plan)?;
    for word in [
        "maxmemory-policy is allkeys-lru, not noeviction",
        "haproxy may do other",
        "down-after-milliseconds is 60000, not 5000",
    ] {
        ensure!(plan.stdout.contains(word), "the plan does not say `{word}`: {}", plan.stdout);
    }
    let changes = plan.json()?["changes"].as_array().map_or(0, Vec::len);
    ensure!(changes == 3, "the plan has {changes} changes: {}", plan.stdout);
    cluster.deploy(&["apply", "--yes"])?;
    // What an upgrade of the package does: it gives redis the folder, unless it was told otherwise.
    cluster.on(&leads, "/var/lib/dpkg/info/redis-tools.postinst configure")?;
    let folder = cluster.on(&leads, "stat -c '%U:%G %a' /etc/redis")?;
    ensure!(folder == "root:redis 750", "{leads}: a package has made /etc/redis {folder}");
    cluster.settled()?;
    ensure!(primary(cluster)? == leads, "{leads} is no longer the primary");
    Ok("a directive, a user and a Sentinel's setting: each named and mended, the primary left where it is"
        .into())
}
