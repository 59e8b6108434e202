//! Three bare machines that are everything at once: what is refused, and a deploy that is killed again and again.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rand::{Rng as _, SeedableRng as _};

use crate::cluster::{Cluster, tail};
use crate::shape::Shape;
use crate::writer::Writer;
use crate::{Run, guards};

/// Where the data of a killed deploy lies.
const MOUNT: &str = "/srv/postgresql";

pub const SCENARIOS: &[(&str, Run)] = &[
    ("boot", boot),
    ("foreign-data", guards::foreign_data),
    ("unfit", guards::unfit),
    ("lab-beside", lab_beside),
    ("locked-packages", guards::locked_packages),
    ("full-disk", guards::full_disk),
    ("broken-packages", guards::broken_packages),
    ("killed-deploy", killed_deploy),
    ("killed-between-actions", killed_between_actions),
];

pub fn lab() -> Cluster {
    Cluster::new(Shape {
        name: "suite-cold".into(),
        subnet: "10.95.0".into(),
        debian: 13,
        nodes: &[
            ("n1", "[manager, worker, app]", 11),
            ("n2", "[manager, worker, app]", 12),
            ("n3", "[manager, worker, app]", 13),
        ],
        access: "admin: [10.95.0.0/24]\nclients: [10.95.0.0/24]".into(),
        user: "root",
        virtual_ip: None,
    })
}

fn boot(cluster: &mut Cluster) -> Result<String> {
    Ok(format!("lab up in {:.1} s", cluster.fresh()?))
}

/// A second lab stands beside the first, and neither reaches the other.
fn lab_beside(cluster: &mut Cluster) -> Result<String> {
    let folder = cluster.dir().join("beside");
    std::fs::create_dir_all(&folder)?;
    let nodes = ["11", "12", "13"]
        .map(|last| format!("  b{last}: {{ kind: [manager, worker, app], address: 10.99.0.{last} }}"))
        .join("\n");
    std::fs::write(folder.join("cluster.yaml"), format!("name: suite-beside\nnodes:\n{nodes}\n"))?;
    let lab = |verb: &str, more: &[&str]| -> Result<()> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_deploy"));
        let done = command.args(["lab", verb]).arg(&folder).args(more).output()?;
        ensure!(done.status.success(), "lab {verb}: {}", String::from_utf8_lossy(&done.stderr));
        Ok(())
    };
    // systemd would take the dollar sign for its own.
    let serve = "cat >/run/web.pl <<'END'\n\
         use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => 80, Listen => 9) or die; $s->accept while 1;\n\
         END\n\
         systemd-run --quiet --unit=web perl /run/web.pl";
    let reached = |from: &dyn Fn(&str) -> Result<bool>, to: &str| {
        from(&format!("timeout 3 bash -c '</dev/tcp/{to}/80'"))
    };
    let outcome = (|| {
        lab("up", &[])?;
        lab("exec", &["b11", "sh", "-c", serve])?;
        cluster.on("n1", serve)?;
        sleep(Duration::from_secs(1));
        let (first, second) = (cluster.address("n1"), "10.99.0.11");
        let host = |line: &str| {
            Ok(Command::new("bash").args(["-c", line]).stderr(Stdio::null()).status()?.success())
        };
        let there = |line: &str| Ok(cluster.on("n2", line).is_ok());
        let beside = |line: &str| Ok(lab("exec", &["b12", "sh", "-c", line]).is_ok());
        ensure!(reached(&host, &first)? && reached(&host, second)?, "this machine does not reach both");
        ensure!(reached(&there, &first)? && reached(&beside, second)?, "a lab does not reach its own");
        ensure!(!reached(&there, second)?, "the first lab reaches the second");
        ensure!(!reached(&beside, &first)?, "the second lab reaches the first");
        Ok("each reaches its own machines alone".to_owned())
    })();
    lab("down", &[])?;
    cluster.on("n1", "systemctl stop web")?;
    outcome
}

/// A number that the caller of the suite may choose.
fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// `deploy apply` is killed at random moments of a cold deploy; the run after that ends healthy. In its first round a
/// second controller finds the lock taken. The data lies on a mount, without which nothing begins; there is no Redis.
fn killed_deploy(cluster: &mut Cluster) -> Result<String> {
    // The scenario before has broken the package sources.
    cluster.fresh()?;
    let postgresql = cluster.postgresql(&format!("data_mount: {MOUNT}"));
    cluster.write(&[("postgresql", &postgresql), ("redis", "enabled: false")])?;
    cluster.refuse(&["apply", "--yes"], &["n1", "nothing is mounted on", MOUNT, "hint:"])?;
    let names: Vec<&str> = cluster.names().collect();
    cluster.on_all(&names, &format!("mkdir -p {MOUNT} && mount -t tmpfs -o size=6g tmpfs {MOUNT}"))?;
    let seed = number("SUITE_SEED", rand::random::<u32>().into());
    let kills = number("SUITE_KILLS", 3);
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let locked = guards::second_controller(cluster)?;
    let mut moments = vec!["locked".to_owned()];
    for round in 1..kills {
        let moment = Duration::from_millis(random.random_range(500..45_000 / kills));
        let mut run = cluster.start(&["apply", "--yes"], &format!("killed-{round}"))?;
        sleep(moment);
        // SIGKILL: nothing can be tidied up.
        let ended = run.try_wait()?;
        let _ = run.kill();
        run.wait()?;
        moments.push(format!("{:.1}", moment.as_secs_f64()));
        if let Some(status) = ended {
            let said = cluster.said(&format!("killed-{round}"));
            ensure!(
                status.success() || said.contains("is locked by"),
                "run {round} failed (seed {seed}): {}",
                tail(&said)
            );
        }
        // A dead run's lock is let go of when its connection is seen to be closed.
        sleep(Duration::from_secs(1));
    }
    let last = cluster
        .deploy(&["apply", "--yes"])
        .map_err(|error| error.context(format!("after kills at {moments:?} s, seed {seed}")))?;
    cluster.healthy_within(Duration::from_secs(60))?;
    cluster.settled()?;
    for node in names {
        cluster.on(node, &format!("test -f {MOUNT}/17/main/PG_VERSION && ! command -v redis-server"))?;
    }
    Ok(format!(
        "kills at [{}] s (seed {seed}), then healthy in {:.1} s; {locked}",
        moments.join(", "),
        last.seconds
    ))
}

/// What a run changes whose controller is killed: every service, and a parameter that takes a restart and a switchover.
fn turn(cluster: &Cluster, round: usize) -> Result<()> {
    let (interval, pool, locks) = [(300, 20, 64), (320, 25, 96)][round % 2];
    let postgresql = format!(
        "memory: 512MB\ncores: 2\ndata_mount: {MOUNT}\nparameters: {{ max_locks_per_transaction: {locks} }}"
    );
    cluster.write(&[
        ("haproxy", &format!("max_connections: 2000\ncheck_interval: {interval}")),
        ("pgbouncer", &format!("max_client_conn: 1000\ndefault_pool_size: {pool}")),
        ("postgresql", &postgresql),
    ])
}

/// The controller is killed after the first, the second, … remote execution of a run, under a writer; the run after that
/// finishes its work. `SUITE_KILLS` is how many of these moments are tried, evenly over the run; 0 tries all.
fn killed_between_actions(cluster: &mut Cluster) -> Result<String> {
    let trace = cluster.dir().join("trace");
    let executions = || {
        let lines = std::fs::read_to_string(&trace).unwrap_or_default();
        lines.lines().filter(|line| line.contains("\"execute\"")).count()
    };
    let apply = ["apply", "--yes", "--trace", &trace.display().to_string()];
    let writer = Writer::start(cluster)?;
    // Redis comes with the first, to a cluster that did without.
    for round in [1, 0] {
        turn(cluster, round)?;
        cluster.deploy(&apply)?;
        cluster.settled()?;
    }
    let (all, begun) = (executions(), Instant::now());
    let kills = usize::try_from(number("SUITE_KILLS", 3))?;
    let every = all.checked_div(kills).unwrap_or(1).max(1);
    let mut moments = Vec::new();
    for (round, after) in (every.div_ceil(2)..all).step_by(every).enumerate() {
        turn(cluster, round + 1)?;
        std::fs::remove_file(&trace)?;
        let mut run = cluster.start(&apply, "between")?;
        while executions() < after && run.try_wait()?.is_none() {
            sleep(Duration::from_millis(2));
        }
        cluster.killed(run, "between")?;
        moments.push(after);
        cluster.deploy(&apply).with_context(|| format!("after a kill behind execution {after} of {all}"))?;
        cluster.settled().with_context(|| format!("after a kill behind execution {after} of {all}"))?;
    }
    writer.flows_within(Duration::from_secs(20))?;
    cluster.healthy_within(Duration::from_secs(60))?;
    let outcome = writer.finish()?;
    ensure!(outcome.lost == 0, "{} acknowledged writes are gone", outcome.lost);
    let rounds = moments.len();
    ensure!(rounds > 1, "one moment only, of {all}");
    Ok(format!(
        "killed behind execution {moments:?} of {all}, finished each time, {:.0} s a round; 0 of {} writes lost, \
         longest gap {:.1} s",
        begun.elapsed().as_secs_f64() / f64::from(u32::try_from(rounds)?),
        outcome.acknowledged,
        outcome.gap.as_secs_f64()
    ))
}
