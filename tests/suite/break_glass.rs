//! The authority is gone: all of the store is lost with its key, or it has expired. The way back is one command.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use deploy::pki::Authority;
use deploy::secrets::{Identity, Store};
use time::OffsetDateTime;

use crate::cluster::{Cluster, tail};
use crate::held::Held;
use crate::redis_writer::RedisWriters;
use crate::writer::Writer;

/// A new store beside living nodes takes the cluster over under clients.
pub fn authority_lost(cluster: &mut Cluster) -> Result<String> {
    let password = cluster.secret("postgresql/app")?;
    std::fs::remove_file(cluster.dir().join("secrets.age"))?;
    cluster.deploy(&["init"])?;
    cluster.refuse(&["apply", "--yes"], &["belongs to another cluster", "rotate-ca --lost-key"])?;
    cluster.refuse(&["certs", "rotate-ca", "--yes"], &["no authority yet", "--lost-key"])?;
    give(cluster, "postgresql/app", &password)?;

    // Whoever connects just when PgBouncer's own password changes may be refused once; open sessions stay.
    let held = Held::writes(cluster)?;
    let step = ["certs", "rotate-ca", "--lost-key", "--step", "--yes"];
    let first = cluster.deploy(&step)?;
    ensure!(first.stderr.contains("key of the old authority is lost"), "not said: {}", first.all());
    let bundle = cluster.deploy(&["certs", "ca"])?.stdout;
    std::fs::write(cluster.dir().join("ca.crt"), bundle)?;
    let rest = cluster.deploy(&["certs", "rotate-ca", "--yes"])?;
    let answered = held.finish().with_context(|| {
        format!("while the lost authority was replaced: {}{}", tail(&first.all()), tail(&rest.all()))
    })?;
    cluster.settled()?;

    let taken = first.seconds + rest.seconds;
    cluster.deploy(&["verify"])?;
    Ok(format!("taken over by a new store in {taken:.0} s; {answered}"))
}

/// How long an authority lives that is to expire: long enough to be put in the place of another one.
const LIFE: Duration = Duration::from_secs(150);

/// The authority expires under the cluster, and another one takes its place; then everything verifies again.
pub fn authority_expired(cluster: &mut Cluster) -> Result<String> {
    let ends = short_lived(cluster)?;
    cluster.deploy(&["certs", "rotate-ca", "--yes"])?;
    cluster.settled()?;
    let left = (ends - OffsetDateTime::now_utc()).max(time::Duration::ZERO) + time::Duration::seconds(2);
    sleep(left.unsigned_abs());
    let list = cluster.attempt(&["certs"])?;
    ensure!(list.stdout.contains("deploy certs rotate-ca"), "not said: {}", list.all());
    list.ended(2)?;
    let status = cluster.attempt(&["status"])?;
    ensure!(status.stdout.contains("authority expired on"), "not said: {}", status.all());
    cluster.refuse(&["apply", "--yes"], &["authority expired on", "rotate-ca"])?;
    let back = cluster.deploy(&["certs", "rotate-ca", "--yes"])?;
    let warning = "no new connection between the services verifies";
    ensure!(back.stderr.contains(warning), "not said: {}", back.all());
    let begun = Instant::now();
    cluster.healthy_within(Duration::from_secs(30))?;
    cluster.settled()?;
    let healthy = begun.elapsed();
    // PgBouncer refuses one more client by what it remembers of the last failure, and then tries again.
    if let Ok(writer) = Writer::start(cluster) {
        drop(writer);
    }
    sleep(Duration::from_secs(1));
    let (writer, redis) = (Writer::start(cluster)?, RedisWriters::start(cluster)?);
    redis.flow_within(Duration::from_secs(10))?;
    redis.finish()?;
    let outcome = writer.finish()?;
    ensure!(outcome.errors.is_empty() && outcome.lost == 0, "afterwards: {:?}", outcome.errors);
    Ok(format!("replaced in {:.1} s, every check held {:.0} s later", back.seconds, healthy.as_secs_f64()))
}

/// Gives the store an authority to go on to, which ends soon; says when.
fn short_lived(cluster: &Cluster) -> Result<OffsetDateTime> {
    let begins = OffsetDateTime::now_utc() + LIFE - time::Duration::days(365);
    let authority = Authority::create(&cluster.shape.name, begins, 1, &mut rand::rng())?;
    let identity = Identity::find(None, cluster.dir(), |_| None)?;
    let mut store = Store::open(&cluster.dir().join("secrets.age"), &identity, &BTreeSet::new())?;
    store.set_next_ca(authority.to_material());
    store.save()?;
    Ok(authority.certificate().not_after)
}

/// `deploy secrets set` with the value on standard input.
fn give(cluster: &Cluster, name: &str, value: &str) -> Result<()> {
    let mut set = cluster.command(&["secrets", "set", name]).stdin(Stdio::piped()).spawn()?;
    set.stdin.take().context("no standard input")?.write_all(value.as_bytes())?;
    ensure!(set.wait()?.success(), "`deploy secrets set {name}` failed");
    Ok(())
}
