//! Three bare machines that are everything at once: what is refused, and a deploy that is killed again and again.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};
use rand::{Rng as _, SeedableRng as _};

use crate::cluster::{Cluster, Shape, tail};
use crate::{Run, guards};

/// Where the data of a killed deploy lies.
const MOUNT: &str = "/srv/postgresql";

pub const SCENARIOS: &[(&str, Run)] = &[
    ("boot", boot),
    ("foreign-data", guards::foreign_data),
    ("unfit", guards::unfit),
    ("full-disk", guards::full_disk),
    ("broken-packages", guards::broken_packages),
    ("killed-deploy", killed_deploy),
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

/// `deploy apply` is killed at random moments of a cold deploy; the run after that ends healthy. In its first round a
/// second controller finds the lock taken. The data lies on a mount, without which nothing begins.
fn killed_deploy(cluster: &mut Cluster) -> Result<String> {
    // The scenario before has broken the package sources.
    cluster.fresh()?;
    cluster.write(&[("postgresql", &format!("memory: 512MB\ncores: 2\ndata_mount: {MOUNT}"))])?;
    cluster.refuse(&["apply", "--yes"], &["n1", "nothing is mounted on", MOUNT, "hint:"])?;
    let names: Vec<&str> = cluster.names().collect();
    cluster.on_all(&names, &format!("mkdir -p {MOUNT} && mount -t tmpfs -o size=6g tmpfs {MOUNT}"))?;
    let number = |name: &str, otherwise: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
    };
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
        cluster.on(node, &format!("test -f {MOUNT}/17/main/PG_VERSION"))?;
    }
    Ok(format!(
        "kills at [{}] s (seed {seed}), then healthy in {:.1} s; {locked}",
        moments.join(", "),
        last.seconds
    ))
}
