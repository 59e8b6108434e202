//! What is lost for good: a machine, and the data of a member of etcd.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::failures;
use crate::writer::Writer;

fn etcd(cluster: &Cluster) -> Result<Value> {
    let status = cluster.deploy(&["status", "--json"])?.json()?;
    Ok(status["etcd"].clone())
}

/// Makes the member on `node` lead etcd.
fn lead_etcd(cluster: &Cluster, node: &str) -> Result<()> {
    let seen = etcd(cluster)?;
    let leader = seen["leader"].as_str().context("etcd has no leader")?;
    if leader == node {
        return Ok(());
    }
    let members = seen["members"].as_array().context("status lists no members of etcd")?;
    let id = members.iter().find(|member| member["name"] == node).and_then(|member| member["id"].as_str());
    let id = id.with_context(|| format!("{node} is no member of etcd"))?;
    let tls = "--cacert /etc/etcd/tls/ca.crt --cert /etc/etcd/tls/client.crt --key /etc/etcd/tls/client.key";
    let line = format!("ETCDCTL_API=3 etcdctl --endpoints https://127.0.0.1:2379 {tls} move-leader {id}");
    cluster.on(leader, &line).map(drop)
}

/// Everything at once: the machine of the synchronous standby leads etcd, and its power is lost.
pub fn standby_killed(cluster: &mut Cluster) -> Result<String> {
    let standby = cluster.member("Sync Standby")?;
    lead_etcd(cluster, &standby)?;
    let title = "machine of the synchronous standby and of etcd's leader killed";
    failures::machine_killed(cluster, title, &standby, Duration::from_secs(13))
}

/// The same of PostgreSQL's leader.
pub fn both_leaders_killed(cluster: &mut Cluster) -> Result<String> {
    let leader = cluster.leader()?;
    lead_etcd(cluster, &leader)?;
    let promise = failures::node_loss(cluster) + Duration::from_secs(3);
    let title = "machine of both leaders, PostgreSQL's and etcd's, killed";
    let note = failures::machine_killed(cluster, title, &leader, promise)?;
    ensure!(cluster.leader()? != leader, "{leader} still leads");
    Ok(note)
}

/// A member of etcd whose data was deleted joins anew, whatever folders it has made meanwhile.
pub fn etcd_data(cluster: &mut Cluster) -> Result<String> {
    let node = cluster.of_kind("manager").last().copied().context("there is no manager")?;
    cluster
        .on(node, "systemctl stop etcd; rm -r /var/lib/etcd/default/*; systemctl start --no-block etcd")?;
    sleep(Duration::from_secs(3));
    let plan = cluster.attempt(&["plan", "--detailed-exitcode"])?;
    ensure!(plan.code == Some(2) && plan.stdout.contains("its data is gone"), "the plan: {}", plan.all());
    let writer = Writer::start(cluster)?;
    let apply = cluster.deploy(&["apply", "--yes"])?;
    let outcome = writer.finish()?;
    let (lost, errors) = (outcome.lost, outcome.errors.join("; "));
    ensure!(lost == 0 && errors.is_empty(), "{lost} writes lost; failed: {errors}");
    cluster.healthy_within(Duration::from_secs(30))?;
    cluster.settled()?;
    Ok(format!("{node} is a member again after {:.1} s", apply.seconds))
}

/// One of three machines is lost, and one of another name and address takes its place, under a writer.
pub fn replaced(cluster: &mut Cluster) -> Result<String> {
    let (lost, came) = ("n2", "n4");
    if cluster.leader()? == lost {
        failures::switch_over(cluster)?;
        cluster.healthy_within(Duration::from_secs(60))?;
    }
    cluster.lab("kill", &[lost])?;
    cluster.shape.nodes = &[
        ("n1", "[manager, worker, app]", 11),
        ("n3", "[manager, worker, app]", 13),
        ("n4", "[manager, worker, app]", 14),
    ];
    cluster.write(&[])?;
    cluster.deploy(&["lab", "up"])?;
    // Patroni forgets who is lost after its ttl.
    sleep(Duration::from_secs(15));
    let plan = cluster.attempt(&["plan", "--detailed-exitcode"])?;
    ensure!(
        plan.code == Some(2) && plan.stdout.contains("takes the place of n2"),
        "the plan: {}",
        plan.all()
    );
    let writer = Writer::start(cluster)?;
    let apply = cluster.deploy(&["apply", "--yes"])?;
    let outcome = writer.finish()?;
    ensure!(outcome.lost == 0, "{} writes lost", outcome.lost);
    ensure!(outcome.errors.is_empty(), "writes failed: {}", outcome.errors.join("; "));
    cluster.healthy_within(Duration::from_secs(60))?;
    let members = etcd(cluster)?["members"].as_array().map_or(0, Vec::len);
    ensure!(members == 3, "etcd has {members} members");
    cluster.settled()?;
    Ok(format!("{came} for {lost} in {:.1} s, no write failed or was lost", apply.seconds))
}
