//! The authority is gone: all of the store is lost with its key. The way back is one command.

use std::io::Write as _;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};

use crate::cluster::Cluster;
use crate::held::Held;

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
    let statements = held.finish().context("while the lost authority was replaced")?;
    cluster.settled()?;

    let taken = first.seconds + rest.seconds;
    cluster.deploy(&["verify"])?;
    Ok(format!(
        "taken over by a new store in {taken:.0} s, {statements} statements of held sessions all answered"
    ))
}

/// `deploy secrets set` with the value on standard input.
fn give(cluster: &Cluster, name: &str, value: &str) -> Result<()> {
    let mut set = cluster.command(&["secrets", "set", name]).stdin(Stdio::piped()).spawn()?;
    set.stdin.take().context("no standard input")?.write_all(value.as_bytes())?;
    ensure!(set.wait()?.success(), "`deploy secrets set {name}` failed");
    Ok(())
}
