//! One machine: its disk (an overlay over the image), its configuration, its power.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::cgroup::Cgroup;
use super::spec::{Lab, LabNode};
use super::tools::{self, SHORT};
use super::{mounts, sources, ssh};

/// What is remembered of a node that has a disk.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub node: LabNode,
    /// The image's layers its disk stands on, uppermost first; they stay the same for the disk's whole life.
    pub layers: Vec<PathBuf>,
}

impl Record {
    pub fn read(lab: &Lab, node: &str) -> Option<Self> {
        let text = fs::read(lab.node_dir(node).join("node.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Every node that has a disk, whether the lab's specification still names it or not.
    pub fn all(lab: &Lab) -> Vec<String> {
        let entries = fs::read_dir(lab.dir().join("nodes")).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    pub fn is_whole(&self) -> bool {
        !self.layers.is_empty() && self.layers.iter().all(|layer| layer.is_dir())
    }
}

/// The layers that the disks of any lab of this root stand on.
pub(super) fn layers_in_use(lab: &Lab) -> BTreeSet<PathBuf> {
    let labs = fs::read_dir(lab.root.join("labs")).into_iter().flatten().flatten();
    let nodes = labs.flat_map(|lab| fs::read_dir(lab.path().join("nodes")).into_iter().flatten().flatten());
    let texts = nodes.filter_map(|node| fs::read(node.path().join("node.json")).ok());
    texts
        .filter_map(|text| serde_json::from_slice::<Record>(&text).ok())
        .flat_map(|record| record.layers)
        .collect()
}

pub(super) fn cgroup(lab: &Lab, node: &LabNode) -> Result<Cgroup> {
    Cgroup::of(&lab.machine(node.address))
}

/// Gives a node its disk's record; the disk itself comes with the first start.
pub(super) fn create(lab: &Lab, node: &LabNode, layers: &[PathBuf]) -> Result<()> {
    let record = Record { node: node.clone(), layers: layers.to_vec() };
    let text = serde_json::to_string_pretty(&record).context("cannot write a node's record")?;
    tools::write(&lab.node_dir(&node.name).join("node.json"), text)
}

/// Powers a node on. Its sshd answers a little later.
pub(super) async fn start(lab: &Lab, node: &LabNode) -> Result<()> {
    boot(lab, node).await.with_context(|| format!("cannot start node {}", node.name))
}

async fn boot(lab: &Lab, node: &LabNode) -> Result<()> {
    let record = Record::read(lab, &node.name).context("it has no disk: run `deploy lab up` first")?;
    let dir = lab.node_dir(&node.name);
    let root = dir.join("root");
    let cgroup = cgroup(lab, node)?;
    cgroup.kill().await?;
    detach(lab, node).await?;
    mounts::overlay(&record.layers, &dir.join("upper"), &dir.join("work"), &root).await?;
    configure(lab, node, &root)?;

    let console = fs::File::create(dir.join("console.log")).context("cannot create the console log")?;
    let errors = console.try_clone().context("cannot share the console log")?;
    let mut command = tools::command("sh");
    let enter = ["-c", include_str!("start.sh"), "start.sh"];
    command.kill_on_drop(false).args(enter).args(cgroup.part("keeper")?);
    command.args(["--", "setsid", "sh", "-c", include_str!("reboot.sh"), "reboot.sh"]);
    command.arg("sh").args(enter).args(cgroup.part("machine")?).args([
        "--",
        "systemd-nspawn",
        "--quiet",
        "--boot",
        "--register=no",
        "--keep-unit",
        "--console=read-only",
        "--resolv-conf=off",
        "--timezone=off",
        "--capability=all",
    ]);
    command.arg(format!("--directory={}", root.display()));
    command.arg(format!("--machine={}", cgroup.name()));
    command.arg(format!("--hostname={}", node.name));
    command.arg(format!("--network-bridge={}", lab.bridge()));
    command
        .stdin(Stdio::null())
        .stdout(console)
        .stderr(errors)
        .spawn()
        .context("cannot run systemd-nspawn")?;
    Ok(())
}

/// What an installer would have asked: name, address, who may log in.
fn configure(lab: &Lab, node: &LabNode, root: &Path) -> Result<()> {
    let network = format!(
        "[Match]\nName=host0\n\n[Network]\nAddress={}/24\nGateway={}\nLinkLocalAddressing=ipv6\nIPv6AcceptRA=no\n",
        node.address, lab.gateway
    );
    // The prefix matters: Debian's own 80-container-host0.network asks for DHCP and wins over a later name.
    tools::write(&root.join("etc/systemd/network/10-host0.network"), network)?;
    tools::write(&root.join("etc/hostname"), format!("{}\n", node.name))?;
    // A node that has been up owns its hosts file: what was deployed to it stays.
    let marker = lab.node_dir(&node.name).join("configured");
    if !marker.exists() {
        tools::write(&root.join("etc/hosts"), sources::hosts(&node.name))?;
        tools::write(&root.join("root/.ssh/authorized_keys"), ssh::public_key(lab)?)?;
        mode(&root.join("root/.ssh"), 0o700)?;
        mode(&root.join("root/.ssh/authorized_keys"), 0o600)?;
        let key = lab.node_dir(&node.name).join("ssh_host_ed25519_key");
        for (name, bits) in [("ssh_host_ed25519_key", 0o600), ("ssh_host_ed25519_key.pub", 0o644)] {
            let from = key.with_file_name(name);
            let content = fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
            let to = root.join("etc/ssh").join(name);
            tools::write(&to, content)?;
            mode(&to, bits)?;
        }
        tools::write(&marker, "")?;
    }
    Ok(())
}

fn mode(path: &Path, bits: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(bits))
        .with_context(|| format!("cannot set the mode of {}", path.display()))
}

/// Cuts the power: every process of the node ends at once, its disk stays.
pub(super) async fn kill(lab: &Lab, node: &LabNode) -> Result<()> {
    cgroup(lab, node)?.kill().await.with_context(|| format!("cannot kill node {}", node.name))?;
    detach(lab, node).await.with_context(|| format!("cannot clear the remains of node {}", node.name))
}

/// Takes the cable out, where there is one.
pub(super) async fn unplug(lab: &Lab, node: &LabNode) -> Result<()> {
    let port = lab.port(node.address);
    if !Path::new("/sys/class/net").join(&port).exists() {
        return Ok(());
    }
    tools::run("ip", &["link", "set", &port, "down"], SHORT).await.map(drop)
}

/// Removes what a machine that no longer runs has left on the host: mount, cable, locks.
async fn detach(lab: &Lab, node: &LabNode) -> Result<()> {
    let port = lab.port(node.address);
    if Path::new("/sys/class/net").join(&port).exists() {
        // The kernel takes the cable away by itself, a moment after the last process.
        let removed = tools::run("ip", &["link", "delete", &port], SHORT).await;
        if Path::new("/sys/class/net").join(&port).exists() {
            removed?;
        }
    }
    forget_locks(&lab.node_dir(&node.name).join("root"), &lab.machine(node.address));
    mounts::unmount_below(&lab.node_dir(&node.name)).await
}

/// systemd-nspawn leaves a lock, named after the root's inode, and a folder, named after the machine.
fn forget_locks(root: &Path, machine: &str) {
    let state = Path::new("/run/systemd/nspawn");
    if let Ok(found) = fs::metadata(root) {
        // The minor number of an anonymous device, as the overlay has, is its whole number.
        let _ = fs::remove_file(state.join(format!("locks/inode-{}:{}", found.dev(), found.ino())));
    }
    let _ = fs::remove_dir(state.join("propagate").join(machine));
}

/// Removes a node and its disk.
pub(super) async fn remove(lab: &Lab, name: &str) -> Result<()> {
    if let Some(record) = Record::read(lab, name) {
        kill(lab, &record.node).await?;
    }
    let dir = lab.node_dir(name);
    mounts::unmount_below(&dir).await?;
    tools::remove(&dir)
}

/// The end of what the node's console showed.
pub(super) fn console(lab: &Lab, node: &str) -> String {
    let text = fs::read(lab.node_dir(node).join("console.log")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    // Without the escape sequences that colour it, and the terminal's questions.
    let plain: String = text.chars().filter(|c| *c == '\n' || !c.is_control()).collect();
    tools::tail(&plain, 15)
}
