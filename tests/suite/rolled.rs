//! Everything that can be rolled, one after the other in one recording: every certificate, the authority, every password.
//! Sessions are held through all of it, and clients come and go; nothing of theirs fails. The renewal, each step to the new
//! authority and the rotation of the inner passwords are killed once.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::certs::{OLD_WORKERS_END, holds_with_the_new_alone, killed_after, rolled_with_kills, serials};
use crate::cluster::Cluster;
use crate::held::Held;
use crate::redis_writer::RedisWriters;
use crate::unnoticed::RECONNECT;
use crate::writer::{Access, runtime};

/// Secrets that clients do not know. They may come and go while these change.
const INNER: [&str; 10] = [
    "pgbouncer/auth",
    "patroni/rewind",
    "haproxy/statistics",
    "keepalived/vrrp",
    "postgresql/deploy_check",
    "redis/admin",
    "redis/haproxy",
    "redis/replica",
    "redis/sentinel",
    "sentinel/admin",
];

/// Secrets that clients know.
const OUTER: [&str; 3] = ["postgresql/app", "redis/app", "sentinel/app"];

pub fn everything_rolled(cluster: &mut Cluster) -> Result<String> {
    let old_authority = std::fs::read_to_string(cluster.authority()?)?;
    let before: Vec<String> = INNER.iter().map(|name| cluster.secret(name)).collect::<Result<_>>()?;
    let held = Held::writes_and_reads(cluster)?;
    let visitors = Held::visits(cluster)?;

    let old_serials = serials(cluster)?;
    killed_after(cluster, Duration::from_millis(700), &["certs", "renew", "--force", "--yes"])?;
    let renewed = cluster.deploy(&["certs", "renew", "--force", "--yes"])?;
    let new_serials = serials(cluster)?;
    all_new(&old_serials, &new_serials)?;
    let none = cluster.deploy(&["certs", "renew", "--yes"])?;
    ensure!(none.stdout.contains("no certificate is due"), "a second renewal: {}", none.all());

    let (steps, rolled) = rolled_with_kills(cluster)?;

    let writers = RedisWriters::start(cluster)?;
    let rotate = [&["secrets", "rotate"], &INNER[..], &["--yes"]].concat();
    killed_after(cluster, Duration::from_secs(3), &rotate)?;
    cluster.deploy(&["apply", "--yes"])?;
    let inner = cluster.deploy(&rotate)?;
    // The servers see the passwords only in new connections.
    cluster.on_all(&cluster.of_kind("app"), RECONNECT)?;
    sleep(Duration::from_secs(5));
    writers.flow_within(Duration::from_secs(10))?;
    for (by, outcome) in writers.finish()? {
        // HAProxy ends the worker of before a reload after 30 s, with the connections that it has.
        let held = by == "haproxy" || outcome.errors.is_empty();
        let (lost, errors) = (outcome.lost, outcome.errors);
        ensure!(held && lost == 0, "Redis by {by}, while its secrets changed: {lost} lost, {errors:?}");
    }
    let mut answered = visitors.finish().context("a client that connects anew every second")?;
    for (name, before) in INNER.iter().zip(before) {
        ensure!(cluster.secret(name)? != before, "{name} is what it was");
    }

    let old = Access::new(cluster, &cluster.of_kind("app"))?;
    let writers = RedisWriters::start(cluster)?;
    let app = cluster.deploy(&[&["secrets", "rotate"], &OUTER[..], &["--yes"]].concat())?;
    // Whoever is connected stays so; HAProxy has reloaded, and ends the connections of before after 30 s.
    for (by, outcome) in writers.finish()? {
        let (lost, errors) = (outcome.lost, outcome.errors);
        ensure!(
            lost == 0 && errors.is_empty(),
            "Redis by {by}, while its clients' secrets changed: {lost} lost, {errors:?}"
        );
    }
    let writers = RedisWriters::start(cluster).context("Redis with the new passwords")?;
    cluster.on_all(&cluster.of_kind("app"), RECONNECT)?;
    let visitors = Held::visits(cluster).context("with the new password")?;
    sleep(OLD_WORKERS_END);
    drop(writers.finish()?);
    answered += visitors.finish().context("a client with the new password")?;
    answered += held.finish().context("a session that was held through everything")?;
    let refused = runtime()?.block_on(old.connect());
    ensure!(refused.is_err(), "the old password is still let in");

    all_new(&new_serials, &serials(cluster)?)?;
    let proven = holds_with_the_new_alone(cluster, &old_authority)?;
    cluster.settled()?;
    cluster.deploy(&["verify"])?;
    Ok(format!(
        "{proven} certificates in {:.1} s, the authority in {steps} steps and {rolled:.1} s after a kill each, {} inner secrets in {:.1} s, {} that clients know in \
         {:.1} s; {answered}, in one recording",
        renewed.seconds,
        INNER.len(),
        inner.seconds,
        OUTER.len(),
        app.seconds
    ))
}

fn all_new(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Result<()> {
    ensure!(before.len() == after.len(), "{} certificates before, {} after", before.len(), after.len());
    for (which, serial) in before {
        ensure!(after.get(which).is_some_and(|new| new != serial), "{which} is not new");
    }
    Ok(())
}
