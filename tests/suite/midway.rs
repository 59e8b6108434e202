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
use crate::{Run, eight};

/// An election of etcd's leader ends well within this.
const NO_QUORUM: Duration = Duration::from_secs(10);

/// What happens to a node.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Its power is cut.
    Power,
    /// It is cut off from everybody.
    Cut,
    /// Its disk is full.
    Disk,
}

/// Where a fault comes: what the run says when the phase begins, and the node.
struct Place {
    phase: &'static str,
    node: String,
}

impl Fault {
    fn happens(self, cluster: &Cluster, node: &str) -> Result<()> {
        match self {
            Self::Power => cluster.lab("kill", &[node]),
            Self::Cut => cluster.lab("cut", &[node]),
            Self::Disk => {
                let fill = "mount -t tmpfs -o size=4k tmpfs /var/lib/deploy && head -c 4096 /dev/zero >/var/lib/deploy/full";
                cluster.on(node, fill).map(drop)
            }
        }
    }

    fn ends(self, cluster: &Cluster, node: &str) -> Result<()> {
        match self {
            Self::Power => cluster.lab("start", &[node]),
            Self::Cut => cluster.lab("heal", &[]),
            Self::Disk => cluster.on(node, "umount /var/lib/deploy").map(drop),
        }
    }
}

/// Every fault in every phase that works on a running cluster.
pub const MATRIX: &[(&str, Run)] = &[
    ("deploy", eight::deploy),
    ("base-power", |cluster| met_by(cluster, base, Fault::Power)),
    ("base-cut", |cluster| met_by(cluster, base, Fault::Cut)),
    ("base-disk", |cluster| met_by(cluster, base, Fault::Disk)),
    ("etcd-power", |cluster| met_by(cluster, etcd, Fault::Power)),
    ("etcd-cut", |cluster| met_by(cluster, etcd, Fault::Cut)),
    ("etcd-disk", |cluster| met_by(cluster, etcd, Fault::Disk)),
    ("patroni-power", |cluster| met_by(cluster, patroni, Fault::Power)),
    ("patroni-cut", |cluster| met_by(cluster, patroni, Fault::Cut)),
    ("patroni-disk", |cluster| met_by(cluster, patroni, Fault::Disk)),
    ("databases-power", |cluster| met_by(cluster, databases, Fault::Power)),
    ("databases-cut", |cluster| met_by(cluster, databases, Fault::Cut)),
    ("databases-disk", |cluster| met_by(cluster, databases, Fault::Disk)),
    ("redis-power", |cluster| met_by(cluster, redis, Fault::Power)),
    ("redis-cut", |cluster| met_by(cluster, redis, Fault::Cut)),
    ("redis-disk", |cluster| met_by(cluster, redis, Fault::Disk)),
    ("sentinel-power", |cluster| met_by(cluster, sentinel, Fault::Power)),
    ("sentinel-cut", |cluster| met_by(cluster, sentinel, Fault::Cut)),
    ("sentinel-disk", |cluster| met_by(cluster, sentinel, Fault::Disk)),
    ("haproxy-power", |cluster| met_by(cluster, haproxy, Fault::Power)),
    ("haproxy-cut", |cluster| met_by(cluster, haproxy, Fault::Cut)),
    ("haproxy-disk", |cluster| met_by(cluster, haproxy, Fault::Disk)),
    ("pgbouncer-power", |cluster| met_by(cluster, pgbouncer, Fault::Power)),
    ("pgbouncer-cut", |cluster| met_by(cluster, pgbouncer, Fault::Cut)),
    ("pgbouncer-disk", |cluster| met_by(cluster, pgbouncer, Fault::Disk)),
];

/// A replica of PostgreSQL loses power.
pub fn replica(cluster: &mut Cluster) -> Result<String> {
    met_by(cluster, patroni, Fault::Power)
}

fn base(cluster: &Cluster) -> Result<Place> {
    Ok(Place { phase: "Names, kernel settings and packet filter", node: last(cluster, "worker")? })
}

fn etcd(cluster: &Cluster) -> Result<Place> {
    Ok(Place { phase: "Form the etcd cluster", node: last(cluster, "manager")? })
}

fn patroni(cluster: &Cluster) -> Result<Place> {
    Ok(Place { phase: "Start PostgreSQL under Patroni", node: cluster.member("Replica")? })
}

/// Where all of it is done: another member has to lead, and the next run begins there.
fn databases(cluster: &Cluster) -> Result<Place> {
    Ok(Place { phase: "Create roles and databases", node: cluster.leader()? })
}

fn redis(cluster: &Cluster) -> Result<Place> {
    Ok(Place { phase: "Start Redis", node: last(cluster, "app")? })
}

fn sentinel(cluster: &Cluster) -> Result<Place> {
    Ok(Place { phase: "Let Sentinels watch over Redis", node: last(cluster, "manager")? })
}

fn haproxy(cluster: &Cluster) -> Result<Place> {
    Ok(Place { phase: "Lead clients to the leader", node: last(cluster, "manager")? })
}

fn pgbouncer(cluster: &Cluster) -> Result<Place> {
    Ok(Place { phase: "Pool the clients' connections", node: last(cluster, "app")? })
}

fn last(cluster: &Cluster, kind: &str) -> Result<String> {
    let node = cluster.of_kind(kind).last().copied();
    node.map(str::to_owned).with_context(|| format!("no {kind}"))
}

/// What the run is to change: something in every phase.
fn turn(cluster: &Cluster) -> Result<()> {
    let parameters = "max_locks_per_transaction: 112, log_min_duration_statement: 700";
    cluster.write(&[
        ("etcd", "heartbeat_interval: 95"),
        ("haproxy", "max_connections: 2000\ncheck_interval: 320"),
        ("kernel", "sysctl: { net.core.somaxconn: 8200 }"),
        ("pgbouncer", "max_client_conn: 6000\ndefault_pool_size: 25"),
        (
            "postgresql",
            &format!(
                "memory: 512MB\ncores: 2\nparameters: {{ {parameters} }}\nroles: {{ app: {{ connection_limit: 500 }} }}"
            ),
        ),
        ("redis", "down_after: 5200\nmaxmemory_policy: allkeys-lru"),
    ])
}

/// A run that changes every service is met by a fault, under a writer.
fn met_by(cluster: &Cluster, place: fn(&Cluster) -> Result<Place>, fault: Fault) -> Result<String> {
    cluster.write(&[])?;
    cluster.deploy(&["apply", "--yes"])?;
    let place = place(cluster)?;
    let writer = Writer::start(cluster)?;
    let watch = Quorum::watch(cluster, &place.node);
    turn(cluster)?;
    let done = interrupted(cluster, &place, fault);
    // Taken back whatever has become of the run.
    fault.ends(cluster, &place.node)?;
    let done = done?;
    let without = watch.gap()?;
    // Its work there may be done just before: then a check finds it.
    ensure!(matches!(done.code, Some(7 | 8)), "it should end with 7 or 8: {}", done.all());
    ensure!(done.stderr.contains(&place.node) && done.stderr.contains("hint:"), "the words: {}", done.all());
    writer.flows_within(Duration::from_secs(40))?;
    cluster.healthy_within(Duration::from_secs(120))?;
    let finished = cluster.deploy(&["apply", "--yes"])?;
    cluster.settled()?;
    let outcome = writer.finish()?;
    ensure!(outcome.lost == 0, "{} acknowledged writes are gone", outcome.lost);
    ensure!(without < NO_QUORUM, "etcd had no quorum for {:.1} s", without.as_secs_f64());
    Ok(format!(
        "{}: code {}, finished in {:.1} s, 0 of {} writes lost, longest gap {:.1} s",
        place.node,
        done.code.unwrap_or_default(),
        finished.seconds,
        outcome.acknowledged,
        outcome.gap.as_secs_f64()
    ))
}

/// A run that the fault meets when its phase begins, to its end.
fn interrupted(cluster: &Cluster, place: &Place, fault: Fault) -> Result<Done> {
    let begun = Instant::now();
    let mut run = cluster.start(&["apply", "--yes"], "midway")?;
    // The plan names it as well, without a time in front.
    let at = format!(" s  {}\n", place.phase);
    while !cluster.said("midway").contains(&at) {
        if let Some(status) = run.try_wait()? {
            anyhow::bail!("the run has ended before its time: {status}\n{}", tail(&cluster.said("midway")));
        }
        ensure!(begun.elapsed() < Duration::from_secs(120), "the phase does not begin");
        sleep(Duration::from_millis(10));
    }
    let happened = fault.happens(cluster, &place.node);
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
