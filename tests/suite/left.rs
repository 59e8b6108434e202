//! Services that leave a node: what was started there is stopped in the same run, and what would leave too few is refused.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::virtual_ip::holder;

/// What each Sentinel itself knows.
fn watched(cluster: &Cluster, others: usize, replicas: usize) -> Result<()> {
    let status = cluster.deploy(&["status", "--json"])?.json()?;
    let all = status["redis"]["sentinels"].as_array().context("status lists no Sentinels")?.clone();
    let knows = |one: &Value| one["others"] == others && one["replicas"] == replicas && one["quorum"] == true;
    ensure!(all.len() == others + 1 && all.iter().all(knows), "the Sentinels: {all:?}");
    Ok(())
}

/// Neither runs nor would at boot.
fn stopped(cluster: &Cluster, node: &str, units: &[&str]) -> Result<()> {
    for unit in units {
        let state = format!("systemctl is-active {unit}; systemctl is-enabled {unit} || true");
        let said = cluster.on(node, &state)?;
        ensure!(said == "inactive\ndisabled", "{unit} on {node}: {said}");
    }
    Ok(())
}

/// Three members of etcd become five, three Sentinels five and two nodes of Redis three, in one run; and back in one.
pub fn grown(cluster: &mut Cluster) -> Result<String> {
    let members = |cluster: &Cluster| -> Result<usize> {
        let status = cluster.deploy(&["status", "--json"])?.json()?;
        let all = status["etcd"]["members"].as_array().context("status lists no members of etcd")?.clone();
        ensure!(all.iter().all(|member| member["healthy"] == true), "a member is not healthy: {all:?}");
        Ok(all.len())
    };
    let five = "[m1, m2, m3, a1, a2]";
    let roles = format!("etcd: {{ on: {five} }}\nsentinel: {{ on: {five} }}\nredis: {{ on: [a1, a2, w1] }}");
    cluster.write(&[("roles", &roles)])?;
    // Nobody is asked for what those that are left out are not yet.
    let part = cluster.deploy(&["apply", "--yes", "--on", "@manager"])?;
    ensure!(part.stdout.contains("left out: "), "nothing was left out: {}", part.all());
    cluster.deploy(&["certs", "renew", "--yes", "--force", "--service", "haproxy"])?;
    let grown = cluster.deploy(&["apply", "--yes"])?;
    ensure!(members(cluster)? == 5, "etcd has not five members");
    watched(cluster, 4, 2)?;
    cluster.settled()?;
    cluster.write(&[])?;
    let shrunk = cluster.deploy(&["apply", "--yes"])?;
    ensure!(members(cluster)? == 3, "etcd has not three members");
    watched(cluster, 2, 1)?;
    for node in ["a1", "a2"] {
        stopped(cluster, node, &["redis-sentinel", "etcd"])?;
    }
    stopped(cluster, "w1", &["redis-server"])?;
    cluster.settled()?;
    let leader = cluster.leader()?;
    let followers: Vec<&str> = cluster.of_kind("worker").into_iter().filter(|node| *node != leader).collect();
    let [first, second] = followers[..] else { bail!("two follow, not {followers:?}") };
    let followers = format!("{first}, {second}");
    for (roles, because) in [
        ("sentinel: { on: [m1, a1, a2] }", "of the 3 Sentinels that run, only 1 would stay"),
        ("redis: { on: [w1, w2] }", "is no Redis node of the inventory"),
        (&format!("patroni: {{ on: [{followers}] }}"), "leads PostgreSQL"),
        (&format!("patroni: {{ on: [{leader}, {first}] }}"), "systemctl disable --now patroni"),
    ] {
        cluster.write(&[("roles", roles)])?;
        let refused = cluster.refuse(&["plan"], &[because, "hint:"]);
        cluster.write(&[])?;
        refused?;
    }
    // As the last of them says.
    cluster.on(second, "systemctl disable --now patroni")?;
    cluster.write(&[("roles", &format!("patroni: {{ on: [{leader}, {first}] }}"))])?;
    let plan = cluster.attempt(&["plan", "--detailed-exitcode"]);
    cluster.write(&[])?;
    plan?.ended(2)?;
    cluster.deploy(&["apply", "--yes"])?;
    cluster.healthy_within(Duration::from_secs(60))?;
    cluster.settled()?;
    Ok(format!("grown in {:.1} s, back in {:.1} s", grown.seconds, shrunk.seconds))
}

/// The manager with the virtual address, whose Sentinel is dead, gives up HAProxy and Sentinel; an app node gets the latter.
/// Its keepalived, which hears the others no more, must not take the address back.
pub fn left(cluster: &mut Cluster) -> Result<String> {
    let first = holder(cluster)?;
    let rest: Vec<&str> = cluster.of_kind("manager").into_iter().filter(|node| *node != first).collect();
    let rest = rest.join(", ");
    cluster.on(&first, "systemctl disable --now redis-sentinel")?;
    // Only when the others have seen that it is down is it forgotten.
    std::thread::sleep(Duration::from_secs(8));
    let roles = format!("haproxy: {{ on: [{rest}] }}\nsentinel: {{ on: [{rest}, a1] }}");
    cluster.write(&[("roles", &roles)])?;
    let left = cluster.deploy(&["apply", "--yes"])?;
    watched(cluster, 2, 1)?;
    stopped(cluster, &first, &["keepalived", "haproxy", "redis-sentinel"])?;
    ensure!(holder(cluster)? != first, "{first} still holds the address");
    cluster.settled()?;
    // `verify` asks those as well that should never have the address.
    let address = cluster.virtual_ip().context("the cluster has no virtual address")?;
    let device = cluster.on(&first, "ip -o -4 route show default | awk '{ print $5; exit }'")?;
    cluster.on(&first, &format!("ip address add {address}/32 dev {device}"))?;
    let verify = cluster.attempt(&["verify"])?;
    cluster.on(&first, &format!("ip address delete {address}/32 dev {device}"))?;
    verify.ended(8)?;
    ensure!(verify.stdout.contains("at once"), "verify does not see it: {}", verify.stdout);
    cluster.write(&[])?;
    let back = cluster.deploy(&["apply", "--yes"])?;
    watched(cluster, 2, 1)?;
    stopped(cluster, "a1", &["redis-sentinel"])?;
    cluster.settled()?;
    Ok(format!(
        "{first} gave up its services in {:.1} s, and has them back in {:.1} s",
        left.seconds, back.seconds
    ))
}
