//! What `deploy` must refuse, and what it must not break: foreign data, a lockout, a second controller, broken machines.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::cluster::Cluster;

/// Rules that keep the controller out are taken back by the nodes themselves.
pub fn lockout(cluster: &mut Cluster) -> Result<String> {
    let access = "admin: [192.0.2.1]\nclients: [192.0.2.1]";
    cluster.write(&[("access", access)])?;
    let refused = cluster.refuse(&["apply", "--yes"], &["access.admin", "takes it back"]);
    cluster.write(&[])?;
    refused?.ended(9)?;
    let begun = Instant::now();
    for node in cluster.names() {
        while let Err(error) = cluster.on(node, "true") {
            // The timer of the inventory, and a connection that is being tried.
            ensure!(begun.elapsed() < Duration::from_secs(30), "{node} is locked: {error:#}");
            sleep(Duration::from_secs(1));
        }
    }
    let back = begun.elapsed().as_secs_f64();
    cluster.deploy(&["apply", "--yes"])?;
    cluster.healthy_within(Duration::from_secs(60))?;
    cluster.settled()?;
    Ok(format!("every node answers SSH again {back:.1} s after the run gave up"))
}

/// Data that this cluster did not make is not touched.
pub fn foreign_data(cluster: &mut Cluster) -> Result<String> {
    let version = if cluster.shape.debian >= 13 { 17 } else { 15 };
    let postgresql = format!("/var/lib/postgresql/{version}/main");
    let names: Vec<&str> = cluster.names().collect();
    for (node, directory) in names.iter().zip([postgresql.as_str(), "/var/lib/etcd/default"]) {
        cluster.on(node, &format!("mkdir -p {directory} && echo precious >{directory}/PG_VERSION"))?;
        let before = state(cluster)?;
        cluster.refuse(&["apply", "--yes"], &[node, directory])?.ended(4)?;
        ensure!(state(cluster)? == before, "a refused run has changed the nodes");
        let kept = cluster.on(node, &format!("cat {directory}/PG_VERSION && rm -r {}", parent(directory)))?;
        ensure!(kept == "precious", "{node}: the foreign data has changed");
    }
    Ok("refused for PostgreSQL and for etcd, nothing touched".into())
}

fn parent(directory: &str) -> &str {
    // The whole of what was made for it, so that the machine is as new.
    if directory.starts_with("/var/lib/postgresql") { "/var/lib/postgresql" } else { "/var/lib/etcd" }
}

/// What a run could change first: packages, files of ours, rules.
fn state(cluster: &Cluster) -> Result<Vec<String>> {
    let line = "dpkg-query -W | sha256sum; ls -A /etc /var/lib /etc/systemd/system | sha256sum; iptables-save | grep -c ^-A || true";
    cluster.names().map(|node| cluster.on(node, line)).collect()
}

/// A second run says who holds the lock, while the first one works.
pub fn second_controller(cluster: &mut Cluster) -> Result<String> {
    let mut first = cluster.start(&["apply", "--yes"], "first")?;
    let begun = Instant::now();
    while !cluster.locked() {
        if let Some(status) = first.try_wait()? {
            anyhow::bail!(
                "the first run has ended before it took the lock: {status}\n{}",
                cluster.said("first")
            );
        }
        ensure!(begun.elapsed() < Duration::from_secs(60), "the first run takes no lock");
        sleep(Duration::from_millis(200));
    }
    // At once, so that the first run is not far when it is killed.
    let second = ["apply", "--yes", "--skip-preflight"];
    let refused = cluster.refuse(&second, &["is locked by another run", "since"]);
    let _ = first.kill();
    first.wait()?;
    let refused = refused?;
    refused.ended(6)?;
    let said = refused.stderr;
    let line = said.lines().find(|line| line.contains("is locked by")).context("no line about the lock")?;
    Ok(line.trim_start_matches("error: ").to_owned())
}

/// A machine without power: the plan fails and names it, and `verify` does not wait for it.
pub fn unreachable(cluster: &mut Cluster) -> Result<String> {
    let node = cluster.names().last().context("there are no nodes")?;
    cluster.lab("kill", &[node])?;
    let refused = cluster.refuse(&["plan"], &[node, "hint:", "put a fresh one in its place"]);
    let verify = cluster.attempt(&["verify"]);
    cluster.lab("start", &[node])?;
    let (done, verify) = (refused?, verify?);
    done.ended(5)?;
    verify.ended(8)?;
    ensure!(verify.seconds < 75.0, "verify took {:.1} s", verify.seconds);
    Ok(format!("named after {:.1} s, verified in {:.1} s", done.seconds, verify.seconds))
}

/// Another machine answers in the place of a node.
pub fn changed_host_key(cluster: &mut Cluster) -> Result<String> {
    let config = std::fs::read_to_string(cluster.ssh_config())?;
    let known = config
        .lines()
        .find_map(|line| line.trim().strip_prefix("UserKnownHostsFile "))
        .context("the lab's ssh_config names no known_hosts")?
        .to_owned();
    let text = std::fs::read_to_string(&known)?;
    let lines: Vec<&str> = text.lines().collect();
    let key = |line: &str| line.split_once(' ').map(|(_, key)| key.to_owned()).unwrap_or_default();
    let name = |line: &str| line.split_once(' ').map(|(name, _)| name.to_owned()).unwrap_or_default();
    // The first node's key is replaced by the second's.
    let (first, second) = (lines.first().context("no keys")?, lines.get(1).context("one key only")?);
    let swapped = text.replace(first, &format!("{} {}", name(first), key(second)));
    let folder = cluster.dir();
    std::fs::write(folder.join("known_hosts"), swapped)?;
    let other = folder.join("known_hosts").display().to_string();
    std::fs::write(folder.join("ssh_config"), config.replace(&known, &other))?;
    cluster.write(&[("ssh", &format!("user: {}\nconfig: ssh_config", cluster.shape.user))])?;
    let node = first.split(',').next().unwrap_or_default();
    let refused = cluster.refuse(&["plan"], &[node, "host key", "hint:"]);
    cluster.write(&[])?;
    refused?;
    Ok("refused, with the way out".into())
}

/// A user who cannot become root, because sudo asks for a password or is not there.
pub fn no_sudo(cluster: &mut Cluster) -> Result<String> {
    let node = cluster.names().last().context("there are no nodes")?;
    let rights = format!("/etc/sudoers.d/{}", cluster.shape.user);
    for file in [rights.as_str(), "/usr/bin/sudo"] {
        cluster.on(node, &format!("mv {file} /root/kept"))?;
        let refused = cluster.refuse(&["plan"], &[node, "cannot become root", "hint:", "sudo -n"]);
        cluster.on(node, &format!("mv /root/kept {file}"))?;
        refused?;
    }
    Ok("the node and the way out are named, with sudo that asks and without sudo".into())
}

/// One node is reached through another, as the user's own `ssh_config` says; a change is made there, and its rules are
/// confirmed over that way.
pub fn jump_host(cluster: &mut Cluster) -> Result<String> {
    let node = cluster.names().last().context("there are no nodes")?;
    let jump = cluster.names().next().context("there are no nodes")?;
    let config = std::fs::read_to_string(cluster.ssh_config())?;
    let way = format!("Host {node} {}\n  ProxyJump {jump}\n", cluster.address(node));
    std::fs::write(cluster.dir().join("ssh_config"), way + &config)?;
    let user = cluster.shape.user;
    cluster.write(&[("ssh", &format!("user: {user}\nconfig: ssh_config"))])?;
    cluster.on(node, "iptables -D DEPLOY-INPUT 1")?;
    let apply = cluster.deploy(&["apply", "--yes", "--json"]);
    cluster.write(&[])?;
    let changed = apply?.json()?["changed"].as_u64();
    ensure!(changed == Some(1), "{changed:?} changes were made instead of one");
    let seen = format!(
        "journalctl -q -u ssh | grep -c 'Accepted publickey for {user} from {} '",
        cluster.address(jump)
    );
    let log_ins: u64 = cluster.on(node, &seen)?.parse()?;
    cluster.settled()?;
    Ok(format!("{log_ins} log-ins on {node} through {jump}"))
}

/// Somebody else installs on a node where an earlier run was cut off: the run waits, and finishes what is half done.
pub fn locked_packages(cluster: &mut Cluster) -> Result<String> {
    let node = cluster.names().last().context("there are no nodes")?;
    let held = Duration::from_secs(12);
    cluster.on(node, "dpkg --unpack /var/cache/apt/archives/redis-tools_*.deb >/dev/null 2>&1; test -n \"$(dpkg --audit)\"")?;
    // systemd would take the dollar signs for its own.
    let lock = format!(
        "cat >/run/installer.pl <<'END'\n\
         use Fcntl; open F, '>>', '/var/lib/dpkg/lock-frontend' or die;\n\
         my $lock = pack 's s x4 q q i', F_WRLCK, 0, 0, 0, 0; fcntl F, F_SETLK, $lock or die; sleep {};\n\
         END\n\
         systemd-run --quiet --unit=installer perl /run/installer.pl; sleep 1; systemctl is-active installer",
        held.as_secs()
    );
    cluster.on(node, &lock)?;
    let apply = cluster.deploy(&["apply", "--yes", "--on", node, "--phase", "packages"])?;
    ensure!(apply.seconds > 8.0, "it did not wait: {:.1} s", apply.seconds);
    cluster.on(node, "test -z \"$(dpkg --audit)\"")?;
    Ok(format!("installed after {:.1} s, {} s of them the other's", apply.seconds, held.as_secs()))
}

/// The journal of a run says from where it came, whoever logs in.
pub fn from_where(cluster: &mut Cluster) -> Result<String> {
    let history = cluster.deploy(&["history", "--json"])?.json()?;
    let runs = history["runs"].as_array().context("no runs")?;
    let own = format!("{}.1", cluster.shape.subnet);
    let changing: Vec<&Value> =
        runs.iter().filter(|run| run["nodes"].as_array().is_some_and(|n| !n.is_empty())).collect();
    ensure!(!changing.is_empty() && changing.iter().all(|run| run["from"] == own.as_str()), "{history}");
    Ok(format!("{} runs, from {own}", changing.len()))
}

/// No package source answers and nothing is cached: apt's own words come back.
pub fn broken_packages(cluster: &mut Cluster) -> Result<String> {
    // The one whose disk was full: the others have their packages by now.
    let node = cluster.names().nth(1).context("there is one node only")?;
    cluster.on(
        node,
        "find /etc/apt/sources.list /etc/apt/sources.list.d -type f -delete 2>/dev/null; \
         rm -rf /var/cache/apt/archives/*.deb /var/cache/apt/*.bin /var/lib/apt/lists/*; \
         echo 'deb [trusted=yes] http://127.0.0.1:9 stable main' >/etc/apt/sources.list",
    )?;
    let refused = cluster.refuse(&["apply", "--yes"], &[node, "packages", "hint:"])?;
    refused.ended(7)?;
    Ok(format!("named after {:.1} s", refused.seconds))
}

/// A machine that is not fit is refused before anything changes; who knows better can go on.
pub fn unfit(cluster: &mut Cluster) -> Result<String> {
    let node = cluster.names().next().context("there is no node")?;
    cluster.on(node, "systemd-run --quiet --unit=squatter perl -MIO::Socket::INET -e '@s = IO::Socket::INET->new(LocalPort => 6432, Listen => 1) or die; sleep 600'")?;
    let instance = "/var/lib/cloud/instance";
    cluster.on(
        node,
        &format!("mkdir -p {instance} && echo 'manage_etc_hosts: true' >{instance}/user-data.txt"),
    )?;
    let before = state(cluster)?;
    let words = [node, "port 6432", "perl", "manage_etc_hosts", "--skip-preflight"];
    let refused = cluster.refuse(&["apply", "--yes"], &words);
    let after = state(cluster)?;
    cluster.on(node, "systemctl stop squatter && rm -r /var/lib/cloud")?;
    refused?.ended(4)?;
    ensure!(before == after, "a refused run has changed the nodes");
    Ok("a port that is taken and user data that writes /etc/hosts are named, nothing touched".into())
}

/// No room for what a step stages.
pub fn full_disk(cluster: &mut Cluster) -> Result<String> {
    let node = cluster.names().nth(1).context("there is one node only")?;
    cluster.on(node, "mkdir -p /var/lib/deploy && mount -t tmpfs -o size=4k tmpfs /var/lib/deploy && head -c 4096 /dev/zero >/var/lib/deploy/full")?;
    let refused = cluster.refuse(&["apply", "--yes"], &[node, "No space left on device"]);
    cluster.on(node, "umount /var/lib/deploy")?;
    refused?;
    Ok("the node and the cause are named".into())
}
