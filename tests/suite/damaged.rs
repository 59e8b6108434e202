//! Certificates that somebody has damaged, and a member of etcd that does not take its new ones: said, mended, and
//! clients served all the while.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use deploy::pki::{Authority, Leaf, LeafRequest};
use deploy::secrets::{Identity, Store};
use time::{Duration, OffsetDateTime};

use crate::certs::certificates;
use crate::cluster::Cluster;
use crate::held::Held;

/// One on most nodes, each wrong in its own way: node, path without ending, what is done to it, what is said of it.
const DAMAGES: [(&str, &str, Damage, &str); 7] = [
    ("m1", "/etc/etcd/tls/server", Damage::OtherKey, "does not belong to the key beside it"),
    ("m2", "/etc/haproxy/tls/haproxy", Damage::Truncated, "is unreadable"),
    ("m3", "/etc/etcd/tls/client", Damage::Truncated, "is unreadable"),
    ("w1", "/etc/patroni/tls/server", Damage::Expired, "expired on"),
    ("w2", "/etc/patroni/tls/replicator", Damage::NotYetValid, "is not valid before"),
    ("w3", "/etc/patroni/tls/client", Damage::Gone, "is missing"),
    ("a1", "/etc/pgbouncer/tls/server", Damage::Stranger, "was not issued by this cluster's CA"),
];

#[derive(Clone, Copy)]
enum Damage {
    Stranger,
    OtherKey,
    Truncated,
    Expired,
    NotYetValid,
    Gone,
}

/// Each damage is named with the command that mends it; `certs renew` mends them all, and so does `apply`.
pub fn certificates_damaged(cluster: &mut Cluster) -> Result<String> {
    let held = Held::writes(cluster)?;
    let mut seconds = 0.0;
    for mend in [&["certs", "renew", "--yes"][..], &["apply", "--yes"]] {
        damage(cluster)?;
        let list = cluster.attempt(&["certs", "--json"])?;
        ensure!(list.code == Some(2), "`certs` finds nothing wrong: {}", list.all());
        for (node, path, _, said) in DAMAGES {
            let all = list.json()?;
            let entries = all["certificates"].as_array().context("no certificates")?;
            let entry = entries.iter().find(|entry| entry["node"] == node && entry["path"] == path);
            let problem = entry.and_then(|entry| entry["problem"].as_str()).unwrap_or_default();
            ensure!(problem.contains(said), "{node} {path}: `{problem}` instead of `{said}`");
        }
        let text = cluster.attempt(&["certs"])?.stdout;
        ensure!(text.contains("to mend it\n  deploy apply"), "the remedy is not named: {text}");
        seconds += cluster.deploy(mend)?.seconds;
        cluster.settled()?;
        let list = cluster.attempt(&["certs"])?;
        ensure!(list.code == Some(0), "after `{}`: {}", mend.join(" "), list.all());
    }
    let answered = held.finish()?;
    Ok(format!(
        "{} kinds of damage on {} nodes, twice, mended in {:.1} s each; {answered}",
        6,
        DAMAGES.len(),
        seconds / 2.0
    ))
}

fn damage(cluster: &Cluster) -> Result<()> {
    let own = own_authority(cluster)?;
    let now = OffsetDateTime::now_utc();
    let stranger = Authority::create("stranger", now, 10, &mut rand::rng())?;
    let all = certificates(cluster)?;
    for (node, path, damage, _) in DAMAGES {
        let entry = all.iter().find(|entry| entry["node"] == node && entry["path"] == path);
        let request = request(entry.with_context(|| format!("{node} has no {path}"))?)?;
        let issue = |authority: &Authority, at| -> Result<Leaf> {
            Ok(authority.issue(&request, at, &mut rand::rng())?)
        };
        let put = |leaf: &Leaf| {
            let (certificate, key) = (&leaf.certificate_pem, leaf.key.expose());
            cluster.on(
                node,
                &format!("printf '%s' '{certificate}' >{path}.crt; printf '%s' '{key}' >{path}.key"),
            )
        };
        match damage {
            Damage::Stranger => put(&issue(&stranger, now)?)?,
            Damage::Expired => put(&issue(&own, now - Duration::days(400))?)?,
            Damage::NotYetValid => put(&issue(&own, now + Duration::days(2))?)?,
            Damage::OtherKey => {
                let other = issue(&own, now)?;
                cluster.on(node, &format!("printf '%s' '{}' >{path}.key", other.key.expose()))?
            }
            Damage::Truncated => {
                cluster.on(node, &format!("truncate -s 200 $(ls {path}.crt {path}.pem 2>/dev/null)"))?
            }
            Damage::Gone => cluster.on(node, &format!("rm {path}.crt"))?,
        };
    }
    Ok(())
}

/// What a listed certificate would have to be asked for with.
fn request(entry: &serde_json::Value) -> Result<LeafRequest> {
    let names =
        entry["names"].as_array().context("no names")?.iter().filter_map(|name| name.as_str()?.parse().ok());
    let usages = [deploy::pki::Usage::Server, deploy::pki::Usage::Client];
    let subject = entry["node"].as_str().context("no node")?;
    let names: Vec<_> = names.collect();
    let usages = if names.is_empty() { &usages[1..] } else { &usages[..] };
    Ok(LeafRequest::new(subject, names, usages.iter().copied()))
}

fn own_authority(cluster: &Cluster) -> Result<Authority> {
    let identity = Identity::find(None, cluster.dir(), |_| None)?;
    let store = Store::open(&cluster.dir().join("secrets.age"), &identity, &BTreeSet::new())?;
    Ok(Authority::from_material(store.ca().context("no authority in the store")?)?)
}

/// A member of etcd that cannot be given its new files, and then does not start with them: the roll stops there, two
/// members go on, and the next run ends what was begun.
pub fn etcd_member_refuses(cluster: &mut Cluster) -> Result<String> {
    let ca = "/etc/etcd/tls/ca.crt";
    let drop_in = "/etc/systemd/system/etcd.service.d/99-refuses.conf";
    let rotate = ["certs", "rotate-ca", "--step", "--yes"];
    let held = Held::writes(cluster)?;
    // Nothing can be renamed onto a mount.
    cluster.on("m2", &format!("mount --bind {ca} {ca}"))?;
    cluster.refuse(&rotate, &["m2", ca])?;
    ensure!(quorum(cluster) == 3, "a member is lost, though none had to restart");
    cluster.on("m2", &format!("umount {ca}"))?;
    cluster.on(
        "m2",
        &format!("printf '[Service]\\nExecStartPre=/bin/false\\n' >{drop_in} && systemctl daemon-reload"),
    )?;
    cluster.refuse(&rotate, &["m2", "etcd", "failed"])?;
    ensure!(quorum(cluster) == 2, "the others of etcd are not what they were");
    cluster.on("m2", &format!("rm {drop_in} && systemctl daemon-reload"))?;
    let done = cluster.deploy(&rotate)?;
    let bundle = cluster.deploy(&["certs", "ca"])?.stdout;
    std::fs::write(cluster.dir().join("ca.crt"), bundle)?;
    cluster.deploy(&["certs", "rotate-ca", "--yes"])?;
    let answered = held.finish()?;
    cluster.settled()?;
    Ok(format!("stopped at m2 twice with a quorum left, finished in {:.1} s; {answered}", done.seconds))
}

/// How many members of etcd are healthy, as each sees itself.
fn quorum(cluster: &Cluster) -> usize {
    let health = |node: &&str| {
        let said = cluster.on(node, "curl -s --max-time 5 http://127.0.0.1:2381/health || true");
        said.is_ok_and(|said| said.contains("true"))
    };
    cluster.of_kind("manager").iter().filter(|node| health(node)).count()
}
