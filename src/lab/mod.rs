//! The lab: every node of a cluster as a real machine inside this one.
//!
//! A node is a Debian with systemd and sshd in a container of its own (systemd-nspawn), with an address on the lab's
//! bridge and a disk over a shared image. It touches the host's kernel (mounts, control groups, network) and one
//! folder, `/var/lib/deploy-lab` or `DEPLOY_LAB_ROOT`; it needs root. State is read from the kernel each time and
//! everything carries the lab's tag: so a lab whose owner was killed is taken over by the next `up` or `down`.

mod cgroup;
mod faults;
mod image;
mod mounts;
mod network;
mod node;
mod sources;
mod spec;
mod ssh;
mod tools;

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::task::JoinSet;

pub use self::faults::Slow;
pub use self::spec::{DEFAULT_ROOT, LabNode, LabSpec, ROOT_VARIABLE, Release};

use self::cgroup::Cgroup;
use self::faults::Faults;
use self::node::Record;
use self::spec::Lab;

const LOCK: Duration = Duration::from_secs(60);
const BOOT: Duration = Duration::from_secs(60);

/// What a lab looks like now.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LabStatus {
    pub name: String,
    pub release: Release,
    pub bridge: String,
    /// For `ssh -F`: reaches each node by its name and by its address.
    pub ssh_config: PathBuf,
    pub known_hosts: PathBuf,
    pub identity: PathBuf,
    /// In the order of the specification.
    pub nodes: Vec<NodeStatus>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct NodeStatus {
    pub name: String,
    pub address: std::net::Ipv4Addr,
    pub state: NodeState,
    /// Cut off from everything, or from some other node.
    pub cut: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow: Option<Slow>,
    /// Of the node's init, on the host.
    pub pid: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    Running,
    /// It has a disk and no power.
    Stopped,
    Absent,
}

/// Brings every node of the lab up, whole and reachable; what already is so stays untouched.
///
/// Nodes that the specification no longer names are removed, cuts and slowness are healed.
pub async fn up(spec: &LabSpec, progress: &dyn Fn(&str)) -> Result<()> {
    let lab = Lab::new(spec)?;
    tools::require()?;
    network::check(&lab).await?;
    let _lock = lock(&lab).await?;
    clear_remains(&lab, progress).await?;
    network::ensure(&lab).await?;
    let faults = Faults::read(&lab);
    if faults != Faults::default() {
        progress("healing the network");
        Faults::default().write(&lab)?;
    }
    faults::apply(&lab, &Faults::default(), &spec.nodes).await?;

    let new: Vec<&LabNode> =
        spec.nodes.iter().filter(|node| Record::read(&lab, &node.name).is_none()).collect();
    if !new.is_empty() {
        let layers = image::ensure(&lab, progress).await?;
        for node in new {
            node::create(&lab, node, &layers)?;
        }
    }
    ssh::prepare(&lab).await?;
    let mut booted = 0;
    for node in &spec.nodes {
        if !node::cgroup(&lab, node)?.is_running() {
            node::start(&lab, node).await?;
            booted += 1;
        }
    }
    if booted > 0 {
        progress(&format!("booting {booted} nodes"));
    }
    wait(&lab, &spec.nodes, progress).await
}

/// Removes everything of the lab; the images are kept.
pub async fn down(spec: &LabSpec) -> Result<()> {
    let lab = Lab::new(spec)?;
    tools::require()?;
    let _lock = lock(&lab).await?;
    for name in Record::all(&lab) {
        node::remove(&lab, &name).await?;
    }
    for cgroup in Cgroup::starting_with(&format!("{}-", lab.tag))? {
        cgroup.kill().await?;
    }
    cgroup::tidy();
    faults::clear(&lab).await?;
    network::remove(&lab).await?;
    mounts::unmount_below(&lab.dir()).await?;
    tools::remove(&lab.dir())?;
    // Goes with the last lab only.
    let _ = std::fs::remove_dir(lab.root.join("labs"));
    Ok(())
}

pub fn status(spec: &LabSpec) -> Result<LabStatus> {
    let lab = Lab::new(spec)?;
    let faults = Faults::read(&lab);
    let nodes = spec.nodes.iter().map(|node| {
        let cgroup = node::cgroup(&lab, node)?;
        let state = match Record::read(&lab, &node.name) {
            Some(_) if cgroup.is_running() => NodeState::Running,
            Some(_) => NodeState::Stopped,
            None => NodeState::Absent,
        };
        Ok(NodeStatus {
            name: node.name.clone(),
            address: node.address,
            state,
            cut: faults.is_cut(&node.name),
            slow: faults.slow.get(&node.name).copied(),
            pid: if state == NodeState::Running { cgroup.init() } else { None },
        })
    });
    Ok(LabStatus {
        name: spec.name.clone(),
        release: spec.release,
        bridge: lab.bridge(),
        ssh_config: lab.ssh_config(),
        known_hosts: lab.known_hosts(),
        identity: lab.identity(),
        nodes: nodes.collect::<Result<_>>()?,
    })
}

/// Runs a command on a node over SSH with our own stdin, stdout and stderr. See [`ssh`] for how words are passed.
pub async fn exec(spec: &LabSpec, node: &str, command: &[String]) -> Result<ExitStatus> {
    let lab = Lab::new(spec)?;
    let found = lab.node(node)?;
    ensure!(
        node::cgroup(&lab, found)?.is_running(),
        "node {node} is not running\nhint: `deploy lab start` brings it back"
    );
    ensure!(
        !Faults::read(&lab).isolated.contains(node),
        "node {node} is cut off from the network, this machine included\nhint: `deploy lab heal` joins it again"
    );
    ssh::exec(&lab, node, command).await
}

/// Cuts the power of nodes, all when none is named: every process ends at once, the disk stays.
///
/// What a node wrote and did not sync is kept by the host's page cache, unlike on a real machine.
pub async fn kill(spec: &LabSpec, nodes: &[String]) -> Result<()> {
    let (lab, _lock) = existing(spec).await?;
    let nodes = lab.select(nodes)?;
    // Whoever dies says goodbye to its connections, and without power nobody does: the cables go first.
    for node in &nodes {
        node::unplug(&lab, node).await?;
    }
    // First all at once, as a rack loses power; the clearing of each takes its time.
    let groups = nodes.iter().map(|node| node::cgroup(&lab, node)).collect::<Result<Vec<_>>>()?;
    let mut killings = JoinSet::new();
    for group in groups {
        killings.spawn(async move { group.kill().await });
    }
    while let Some(outcome) = killings.join_next().await {
        outcome.context("a kill was interrupted")??;
    }
    for node in &nodes {
        node::kill(&lab, node).await?;
    }
    Ok(())
}

/// Powers nodes on, all when none is named, and waits for their sshd (not for that of a node that is cut off).
///
/// Cuts outlive a node's power and its own reboots; a delay comes back here, not when a node reboots by itself.
pub async fn start(spec: &LabSpec, nodes: &[String]) -> Result<()> {
    let (lab, _lock) = existing(spec).await?;
    let nodes = lab.select(nodes)?;
    network::ensure(&lab).await?;
    let mut started = Vec::new();
    for node in &nodes {
        if !node::cgroup(&lab, node)?.is_running() {
            node::start(&lab, node).await?;
            started.push(node.clone());
        }
    }
    let faults = Faults::read(&lab);
    let reachable: Vec<LabNode> =
        nodes.into_iter().filter(|node| !faults.isolated.contains(&node.name)).collect();
    wait(&lab, &reachable, &|_| {}).await?;
    faults::apply(&lab, &faults, &started).await
}

/// Cuts the network, silently: group `a` from group `b`; without `b`, each node of `a` from everything, this machine
/// included.
pub async fn cut(spec: &LabSpec, a: &[String], b: Option<&[String]>) -> Result<()> {
    ensure!(!a.is_empty() && b.is_none_or(|b| !b.is_empty()), "cut needs at least one node on each side");
    let (lab, _lock) = existing(spec).await?;
    let mut faults = Faults::read(&lab);
    let a = lab.select(a)?;
    match b {
        None => faults.isolated.extend(a.into_iter().map(|node| node.name)),
        Some(b) => {
            for second in lab.select(b)? {
                for first in &a {
                    ensure!(first.name != second.name, "node {} is on both sides of the cut", first.name);
                    faults.sever(&first.name, &second.name);
                }
            }
        }
    }
    change(&lab, &faults, &[]).await
}

/// Ends cuts and slowness of nodes; of all when none is named.
pub async fn heal(spec: &LabSpec, nodes: &[String]) -> Result<()> {
    let (lab, _lock) = existing(spec).await?;
    let mut faults = Faults::read(&lab);
    let nodes = lab.select(nodes)?;
    for node in &nodes {
        faults.heal(&node.name);
    }
    change(&lab, &faults, &nodes).await
}

/// Delays each round trip of nodes by `delay_ms` and drops a share of their frames; zero and zero end it.
pub async fn slow(spec: &LabSpec, nodes: &[String], delay_ms: u32, loss_percent: f64) -> Result<()> {
    ensure!((0.0..=100.0).contains(&loss_percent), "a loss of {loss_percent} % is not between 0 and 100");
    ensure!(delay_ms <= 60_000, "a delay of {delay_ms} ms is more than a minute");
    let (lab, _lock) = existing(spec).await?;
    let mut faults = Faults::read(&lab);
    let nodes = lab.select(nodes)?;
    for node in &nodes {
        if delay_ms == 0 && loss_percent == 0.0 {
            faults.slow.remove(&node.name);
        } else {
            faults.slow.insert(node.name.clone(), Slow { delay_ms, loss_percent });
        }
    }
    change(&lab, &faults, &nodes).await
}

async fn change(lab: &Lab, faults: &Faults, delays: &[LabNode]) -> Result<()> {
    // The file first: a run killed between the two is finished by the next `heal` or `up`.
    faults.write(lab)?;
    faults::apply(lab, faults, delays).await
}

async fn lock(lab: &Lab) -> Result<File> {
    tools::lock(&lab.dir(), LOCK).await.with_context(|| format!("lab {} is busy", lab.spec.name))
}

async fn existing(spec: &LabSpec) -> Result<(Lab, File)> {
    let lab = Lab::new(spec)?;
    tools::require()?;
    ensure!(lab.dir().exists(), "lab {} is not up\nhint: `deploy lab up` makes it", spec.name);
    let lock = lock(&lab).await?;
    Ok((lab, lock))
}

/// Removes what does not belong to the lab as it is asked for now: nodes no longer named, machines without a node,
/// disks whose image or record is gone.
async fn clear_remains(lab: &Lab, progress: &dyn Fn(&str)) -> Result<()> {
    let release = lab.dir().join("release");
    let present = std::fs::read_to_string(&release).unwrap_or_default();
    let disks = Record::all(lab);
    if !disks.is_empty() && !present.is_empty() && present != lab.spec.release.number() {
        bail!(
            "lab {} runs debian {present}, and {} is asked for\nhint: `deploy lab down` first",
            lab.spec.name,
            lab.spec.release
        );
    }
    tools::write(&release, lab.spec.release.number())?;
    for name in disks {
        let record = Record::read(lab, &name);
        let wanted = lab.spec.nodes.iter().find(|node| node.name == name);
        match (wanted, record) {
            (Some(node), Some(record)) if record.is_whole() => {
                if record.node != *node {
                    progress(&format!("moving node {name} to {}", node.address));
                    node::kill(lab, &record.node).await?;
                    node::create(lab, node, &record.layers)?;
                }
            }
            (Some(_), None) => node::remove(lab, &name).await?,
            _ => {
                progress(&format!("removing node {name}"));
                node::remove(lab, &name).await?;
            }
        }
    }
    let named: Vec<String> = lab.spec.nodes.iter().map(|node| lab.machine(node.address)).collect();
    for cgroup in Cgroup::starting_with(&format!("{}-", lab.tag))? {
        let position = named.iter().position(|machine| machine == cgroup.name());
        let has_disk = position.is_some_and(|at| Record::read(lab, &lab.spec.nodes[at].name).is_some());
        if !has_disk {
            cgroup.kill().await?;
        }
    }
    Ok(())
}

async fn wait(lab: &Lab, nodes: &[LabNode], progress: &dyn Fn(&str)) -> Result<()> {
    let mut waiting = JoinSet::new();
    // Fifty nodes take their turns on few cores.
    let deadline = BOOT + Duration::from_secs(2) * u32::try_from(nodes.len()).unwrap_or(u32::MAX);
    for node in nodes.iter().cloned() {
        let machine = node::cgroup(lab, &node)?;
        waiting.spawn(async move {
            let answer = tokio::select! {
                answer = ssh::wait(node.address, deadline) => answer,
                () = machine.ended() => Err(anyhow!("its machine ended by itself")),
            };
            (node, answer)
        });
    }
    while let Some(outcome) = waiting.join_next().await {
        let (node, answer) = outcome.context("the wait for a node was interrupted")?;
        answer.with_context(|| {
            let console = node::console(lab, &node.name);
            format!("node {} did not come up; the end of its console:\n{console}", node.name)
        })?;
        progress(&format!("{} answers at {}", node.name, node.address));
    }
    Ok(())
}
