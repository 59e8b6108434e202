//! Certificates and authorities that change under clients: sessions stay open, new ones are let in, nothing fails.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::cluster::Cluster;

/// HAProxy's worker of before a reload is gone by then, and whatever it still held is cut.
pub const OLD_WORKERS_END: Duration = Duration::from_secs(35);
/// A hand-over has three steps; each is killed once.
const MOST_RUNS: usize = 8;

/// A service that does not take its new certificate gets the old one back, and the run says so.
pub fn not_served(cluster: &mut Cluster) -> Result<String> {
    let folder = "/etc/systemd/system/pgbouncer.service.d";
    let deaf = format!(
        "printf '[Service]\\nExecReload=\\nExecReload=/bin/true\\n' >{folder}/99-deaf.conf && systemctl daemon-reload"
    );
    let before = serials(cluster)?;
    cluster.on("a1", &deaf)?;
    let renew = ["certs", "renew", "--service", "pgbouncer", "--on", "a1", "--force", "--yes"];
    let refused = cluster.refuse(&renew, &["a1", "pgbouncer/certificate-6432", "of before is back"])?;
    cluster.on("a1", &format!("rm {folder}/99-deaf.conf && systemctl daemon-reload"))?;
    ensure!(serials(cluster)? == before, "a certificate is not the one of before");
    cluster.settled()?;
    Ok(format!("the certificate of before is back and served, after {:.1} s", refused.seconds))
}

/// A worker's keys leak while a hand-over is under way, certified by both authorities. After the revocation etcd refuses
/// them, and the worker itself is let in.
pub fn revoked(cluster: &mut Cluster) -> Result<String> {
    let step = ["certs", "rotate-ca", "--step", "--yes"];
    let etcd = format!("{}:2379", cluster.address("m1"));
    let enters = |folder: &str| {
        // With TLS 1.3 the server's refusal comes when its answer is waited for.
        let line = format!(
            "printf 'GET /health HTTP/1.0\\r\\n\\r\\n' | timeout 10 openssl s_client -quiet -connect {etcd} \
             -CAfile /etc/patroni/tls/ca.crt -cert {folder}/client.crt -key {folder}/client.key 2>&1 || true"
        );
        Ok::<_, anyhow::Error>(cluster.on("w3", &line)?.contains("\"health\""))
    };
    cluster.deploy(&step)?;
    let old = "/run/leaked-by-the-old";
    cluster.on("w3", &format!("cp -a /etc/patroni/tls {old}"))?;
    cluster.deploy(&step)?;
    let new = "/run/leaked-by-the-new";
    cluster.on("w3", &format!("cp -a /etc/patroni/tls {new}"))?;
    ensure!(enters(old)? && enters(new)?, "etcd does not know the keys before they are revoked");
    let revoked = cluster.deploy(&["certs", "revoke", "--yes", "w3"])?;
    for word in ["is finished first", "secrets rotate", "patroni/rewind"] {
        ensure!(revoked.stderr.contains(word), "`{word}` is not said: {}", revoked.all());
    }
    ensure!(!enters(old)?, "etcd still takes the key that the old authority certified");
    ensure!(!enters(new)?, "etcd still takes the key that the next authority certified");
    ensure!(enters("/etc/patroni/tls")?, "etcd refuses the worker's own key");
    cluster.on("w3", &format!("rm -rf {old} {new}"))?;
    cluster.settled()?;
    Ok(format!("cut off in {:.0} s, by two hand-overs", revoked.seconds))
}

/// A node is off when the next step to a new authority is due: it is waited for, and the old authority is trusted until then.
pub fn waits(cluster: &mut Cluster) -> Result<String> {
    let step = ["certs", "rotate-ca", "--step", "--yes"];
    let first = authorities(cluster)?;
    cluster.deploy(&step)?;
    let node = cluster.of_kind("app").last().copied().context("no app node")?;
    cluster.lab("kill", &[node])?;
    let refused = cluster.attempt(&step);
    cluster.lab("start", &[node])?;
    let refused = refused?;
    refused.ended(5)?;
    ensure!(refused.stderr.contains(node), "{node} is not named: {}", refused.all());
    cluster.healthy_within(Duration::from_secs(60))?;
    let both = authorities(cluster)?;
    ensure!(both.len() == 2 && both.contains(&first[0]), "the authorities in between: {both:?}");
    let rest = cluster.deploy(&["certs", "rotate-ca", "--yes"])?;
    let last = authorities(cluster)?;
    ensure!(last.len() == 1 && last != first, "the authority is not another one: {last:?}");
    cluster.settled()?;
    Ok(format!("refused while {node} was off, then finished in {:.1} s", rest.seconds))
}

/// Begins a run, and kills it some time after it has begun to change something.
pub fn killed_after(cluster: &Cluster, changing: Duration, words: &[&str]) -> Result<()> {
    let mut run = cluster.start(words, "killed")?;
    cluster.changing(&mut run, "killed")?;
    sleep(changing);
    cluster.killed(run, "killed")
}

/// Puts a new authority in the place of the old one, step by step. Every step is killed once and goes on; how many steps,
/// and how many seconds they took after that.
pub fn rolled_with_kills(cluster: &Cluster) -> Result<(usize, f64)> {
    let first = authorities(cluster)?;
    let (mut runs, mut seconds) = (0, 0.0);
    loop {
        killed_after(
            cluster,
            Duration::from_millis(300 + 400 * runs as u64),
            &["certs", "rotate-ca", "--step", "--yes"],
        )?;
        seconds += cluster.deploy(&["certs", "rotate-ca", "--step", "--yes"])?.seconds;
        // What an administrator gives to the clients between two steps.
        let bundle = cluster.deploy(&["certs", "ca"])?.stdout;
        std::fs::write(cluster.dir().join("ca.crt"), bundle)?;
        runs += 1;
        let now = authorities(cluster)?;
        if now.len() == 1 && now != first {
            return Ok((runs, seconds));
        }
        ensure!(runs < MOST_RUNS, "after {runs} runs there are still {now:?}");
    }
}

/// Holds every certificate against the authority that the nodes trust now, which has to have issued it, and the old one.
pub fn holds_with_the_new_alone(cluster: &Cluster, old: &str) -> Result<usize> {
    let new = std::fs::read_to_string(cluster.authority()?)?;
    let mut proven = 0;
    for entry in certificates(cluster)? {
        let (node, path) = (text(&entry, "node")?, text(&entry, "path")?);
        let script = format!(
            "f={path}.crt; [ -f $f ] || f={path}.pem; printf '%s' '{new}' >/tmp/new.crt; printf '%s' '{old}' >/tmp/old.crt
             openssl verify -CAfile /tmp/new.crt $f >/dev/null || exit 3
             ! openssl verify -CAfile /tmp/old.crt $f >/dev/null 2>&1 || exit 4
             rm /tmp/new.crt /tmp/old.crt"
        );
        cluster.on(&node, &script).with_context(|| format!("{path} against the authorities"))?;
        proven += 1;
    }
    Ok(proven)
}

pub fn certificates(cluster: &Cluster) -> Result<Vec<Value>> {
    let json = cluster.deploy(&["certs", "--json"])?.json()?;
    Ok(json["certificates"].as_array().context("no certificates are listed")?.clone())
}

fn text(entry: &Value, field: &str) -> Result<String> {
    Ok(entry[field].as_str().with_context(|| format!("no {field} in {entry}"))?.to_owned())
}

/// The serial of every certificate, which is also the one that each of its ports serves.
pub fn serials(cluster: &Cluster) -> Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    for entry in certificates(cluster)? {
        let serial = text(&entry, "serial")?;
        for (port, served) in entry["served"].as_object().context("no ports")? {
            ensure!(served == serial.as_str(), "port {port} serves {served}, stored is {entry}");
        }
        all.insert(format!("{} {}", text(&entry, "node")?, text(&entry, "path")?), serial);
    }
    Ok(all)
}

/// Fingerprints of all authorities.
fn authorities(cluster: &Cluster) -> Result<Vec<String>> {
    let json = cluster.deploy(&["certs", "--json"])?.json()?;
    json["authorities"]
        .as_array()
        .context("no authorities")?
        .iter()
        .map(|one| text(one, "fingerprint"))
        .collect()
}
