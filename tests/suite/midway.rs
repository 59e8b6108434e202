//! What goes wrong in the middle of a run: it stops with the right code and words, no quorum and no acknowledged write is
//! lost, and once the cause is gone the next run finishes.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::cluster::{Cluster, Done, tail};
use crate::writer::Writer;

/// An election of etcd's leader ends well within this.
const NO_QUORUM: Duration = Duration::from_secs(10);

/// A fault, and when it comes.
struct Fault {
    /// What the run says when the phase begins.
    phase: &'static str,
    /// Where it happens.
    node: String,
    /// Does it, and takes it back.
    happens: fn(&Cluster, &str) -> Result<()>,
    ends: fn(&Cluster, &str) -> Result<()>,
}

/// A member of etcd loses power.
pub fn etcd(cluster: &mut Cluster) -> Result<String> {
    met_by(cluster, |cluster| {
        let node = cluster.of_kind("manager").first().copied().context("no manager")?;
        Ok(power_lost("Form the etcd cluster", node.to_owned()))
    })
}

/// A replica of PostgreSQL loses power.
pub fn replica(cluster: &mut Cluster) -> Result<String> {
    met_by(cluster, |cluster| Ok(power_lost("Start PostgreSQL under Patroni", cluster.member("Replica")?)))
}

/// A manager is cut off from everybody.
pub fn manager(cluster: &mut Cluster) -> Result<String> {
    met_by(cluster, |cluster| {
        Ok(Fault {
            phase: "Lead clients to the leader",
            node: cluster.of_kind("manager").last().copied().context("no manager")?.to_owned(),
            happens: |cluster, node| cluster.lab("cut", &[node]),
            ends: |cluster, _| cluster.lab("heal", &[]),
        })
    })
}

/// The disk of an app node is full.
pub fn disk(cluster: &mut Cluster) -> Result<String> {
    met_by(cluster, |cluster| {
        Ok(Fault {
            phase: "Pool the clients' connections",
            node: cluster.of_kind("app").last().copied().context("no app node")?.to_owned(),
            happens: |cluster, node| {
                let fill = "mount -t tmpfs -o size=4k tmpfs /var/lib/deploy && head -c 4096 /dev/zero >/var/lib/deploy/full";
                cluster.on(node, fill).map(drop)
            },
            ends: |cluster, node| cluster.on(node, "umount /var/lib/deploy").map(drop),
        })
    })
}

fn power_lost(phase: &'static str, node: String) -> Fault {
    Fault {
        phase,
        node,
        happens: |cluster, node| cluster.lab("kill", &[node]),
        ends: |cluster, node| cluster.lab("start", &[node]),
    }
}

/// What the run is to change: etcd, PostgreSQL, HAProxy and PgBouncer.
fn turn(cluster: &Cluster) -> Result<()> {
    let parameters = "max_locks_per_transaction: 112, log_min_duration_statement: 700";
    cluster.write(&[
        ("etcd", "heartbeat_interval: 260"),
        ("haproxy", "max_connections: 2000\ncheck_interval: 320"),
        ("pgbouncer", "max_client_conn: 6000\ndefault_pool_size: 25"),
        ("postgresql", &format!("memory: 512MB\ncores: 2\nparameters: {{ {parameters} }}")),
    ])
}

/// A run that changes every service is met by a fault, under a writer.
fn met_by(cluster: &Cluster, fault: fn(&Cluster) -> Result<Fault>) -> Result<String> {
    cluster.write(&[])?;
    cluster.deploy(&["apply", "--yes"])?;
    let fault = fault(cluster)?;
    let writer = Writer::start(cluster)?;
    let watch = Quorum::watch(cluster, &fault.node);
    turn(cluster)?;
    let done = interrupted(cluster, &fault);
    // Taken back whatever has become of the run.
    (fault.ends)(cluster, &fault.node)?;
    let done = done?;
    let without = watch.gap()?;
    done.ended(7)?;
    ensure!(done.stderr.contains(&fault.node) && done.stderr.contains("hint:"), "the words: {}", done.all());
    writer.flows_within(Duration::from_secs(40))?;
    cluster.healthy_within(Duration::from_secs(120))?;
    let finished = cluster.deploy(&["apply", "--yes"])?;
    cluster.settled()?;
    let outcome = writer.finish()?;
    ensure!(outcome.lost == 0, "{} acknowledged writes are gone", outcome.lost);
    ensure!(without < NO_QUORUM, "etcd had no quorum for {:.1} s", without.as_secs_f64());
    Ok(format!(
        "{} in the phase `{}`, finished in {:.1} s, 0 of {} writes lost, longest gap {:.1} s",
        fault.node,
        fault.phase,
        finished.seconds,
        outcome.acknowledged,
        outcome.gap.as_secs_f64()
    ))
}

/// A run that the fault meets when its phase begins, to its end.
fn interrupted(cluster: &Cluster, fault: &Fault) -> Result<Done> {
    let begun = Instant::now();
    let mut run = cluster.start(&["apply", "--yes"], "midway")?;
    // The plan names it as well, without a time in front.
    let at = format!(" s  {}\n", fault.phase);
    while !cluster.said("midway").contains(&at) {
        if let Some(status) = run.try_wait()? {
            anyhow::bail!("the run has ended before its time: {status}\n{}", tail(&cluster.said("midway")));
        }
        ensure!(begun.elapsed() < Duration::from_secs(120), "the phase does not begin");
        sleep(Duration::from_millis(10));
    }
    let happened = (fault.happens)(cluster, &fault.node);
    let status = loop {
        if let Some(status) = run.try_wait()? {
            break status;
        }
        if begun.elapsed() > Duration::from_secs(300) {
            run.kill()?;
        }
        sleep(Duration::from_millis(100));
    };
    happened?;
    Ok(Done {
        code: status.code(),
        stdout: String::new(),
        stderr: cluster.said("midway"),
        seconds: begun.elapsed().as_secs_f64(),
    })
}

/// Looks all the time whether the managers beside one have a quorum of etcd.
struct Quorum {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Duration>,
}

impl Quorum {
    fn watch(cluster: &Cluster, beside: &str) -> Self {
        let config = cluster.ssh_config().to_owned();
        let managers: Vec<&str> =
            cluster.of_kind("manager").into_iter().filter(|node| *node != beside).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let (mut seen, mut longest) = (Instant::now(), Duration::ZERO);
            while !stopped.load(Ordering::Relaxed) {
                // A member says that it is healthy where a majority of them agrees with it.
                if managers.iter().any(|node| healthy(&config, node)) {
                    seen = Instant::now();
                }
                longest = longest.max(seen.elapsed());
                sleep(Duration::from_millis(500));
            }
            longest
        });
        Self { stop, thread }
    }

    /// The longest time without one.
    fn gap(self) -> Result<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow::anyhow!("nobody looked"))
    }
}

fn healthy(config: &Path, node: &str) -> bool {
    let mut ssh = Command::new("ssh");
    ssh.arg("-F").arg(config).args(["-o", "ConnectTimeout=3", node]);
    let said = ssh.arg("curl -s --max-time 3 http://127.0.0.1:2381/health").stdin(Stdio::null()).output();
    said.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains("true"))
}
