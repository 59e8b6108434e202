//! Passwords that change under clients: sessions stay open and go on, the new one is let in, the old one is not.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::cluster::Cluster;
use crate::held::Held;
use crate::redis_writer::RedisWriters;
use crate::unnoticed::RECONNECT;
use crate::writer::{Access, runtime};

/// Secrets that clients do not know. They may come and go while these change.
const INNER: [&str; 9] = [
    "pgbouncer/auth",
    "patroni/rewind",
    "haproxy/statistics",
    "postgresql/deploy_check",
    "redis/admin",
    "redis/haproxy",
    "redis/replica",
    "redis/sentinel",
    "sentinel/admin",
];

/// Time for what fails late.
const AFTERMATH: Duration = Duration::from_secs(40);

pub fn rotated(cluster: &mut Cluster) -> Result<String> {
    let before: Vec<String> = INNER.iter().map(|name| cluster.secret(name)).collect::<Result<_>>()?;
    let held = Held::and_visitors(cluster)?;
    let writers = RedisWriters::start(cluster)?;
    let inner = cluster.deploy(&[&["secrets", "rotate"], &INNER[..], &["--yes"]].concat())?;
    // The servers see the passwords only in new connections.
    cluster.on_all(&cluster.of_kind("app"), RECONNECT)?;
    sleep(AFTERMATH);
    let visited = held.finish().context("while the inner secrets changed")?;
    writers.flow_within(Duration::from_secs(10))?;
    for (by, outcome) in writers.finish()? {
        ensure!(
            outcome.errors.is_empty(),
            "Redis by {by}, while the inner secrets changed: {:?}",
            outcome.errors
        );
    }
    for (name, before) in INNER.iter().zip(before) {
        ensure!(cluster.secret(name)? != before, "{name} is what it was");
    }
    cluster.settled()?;

    let old = Access::new(cluster, &cluster.of_kind("app"))?;
    let held = Held::writes(cluster)?;
    let app = cluster.deploy(&["secrets", "rotate", "postgresql/app", "--yes"])?;
    cluster.on_all(&cluster.of_kind("app"), RECONNECT)?;
    sleep(Duration::from_secs(5));
    let written = held.finish().context("while the application's password changed")?;
    let refused = runtime()?.block_on(old.connect());
    ensure!(refused.is_err(), "the old password is still let in");
    let new = Access::new(cluster, &cluster.of_kind("app"))?;
    runtime()?.block_on(new.connect()).context("the new password is refused")?;
    cluster.settled()?;
    cluster.deploy(&["verify"])?;
    Ok(format!(
        "{} inner secrets in {:.1} s, {visited} statements and visits of clients all answered; the application's in \
         {:.1} s, {written} statements of held sessions all answered",
        INNER.len(),
        inner.seconds,
        app.seconds
    ))
}
