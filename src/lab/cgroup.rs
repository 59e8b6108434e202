//! One control group per machine: its identity, its life sign and its power switch.
//!
//! systemd-nspawn nests a machine's groups under its own. Without a group for each, all machines would share one
//! tree, and a `systemctl stop` in one would reach into another. Killing systemd-nspawn alone leaves the payload's
//! init alive; the kernel's `cgroup.kill` (5.14 or later) ends the whole tree at once, and no recycled process id
//! can be hit by mistake.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::time::{Instant, sleep};

use super::mounts;

const PARENT: &str = "deploy-lab";

#[derive(Debug, Clone)]
pub(super) struct Cgroup {
    name: String,
    /// The group in the unified hierarchy first, then, on a hybrid host, in systemd's named one.
    dirs: Vec<PathBuf>,
}

impl Cgroup {
    pub fn of(name: &str) -> Result<Self> {
        let dirs = hierarchies()?.into_iter().map(|root| root.join(PARENT).join(name)).collect();
        Ok(Self { name: name.to_owned(), dirs })
    }

    /// Every group whose name starts so, whatever its members' state.
    pub fn starting_with(prefix: &str) -> Result<Vec<Self>> {
        let mut names: Vec<String> = Vec::new();
        for root in hierarchies()? {
            let Ok(entries) = fs::read_dir(root.join(PARENT)) else { continue };
            names.extend(
                entries
                    .flatten()
                    .map(|e| e.file_name().to_string_lossy().into_owned())
                    .filter(|n| n.starts_with(prefix)),
            );
        }
        names.sort();
        names.dedup();
        names.iter().map(|name| Self::of(name)).collect()
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes a group within this one and returns its folders, for a process to enter. Two kinds of processes need two:
    /// systemd-nspawn splits the group it runs in, which must then hold no other.
    pub fn part(&self, name: &str) -> Result<Vec<PathBuf>> {
        let parts: Vec<PathBuf> = self.dirs.iter().map(|dir| dir.join(name)).collect();
        for part in &parts {
            fs::create_dir_all(part)
                .with_context(|| format!("cannot create control group {}", part.display()))?;
        }
        Ok(parts)
    }

    pub fn is_running(&self) -> bool {
        self.dirs
            .first()
            .and_then(|dir| fs::read_to_string(dir.join("cgroup.events")).ok())
            .is_some_and(|events| events.lines().any(|line| line == "populated 1"))
    }

    /// Returns once no process has been in it for three seconds: a machine that starts is not in it at first.
    pub async fn ended(&self) {
        let mut empty = 0;
        while empty < 30 {
            empty = if self.is_running() { 0 } else { empty + 1 };
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// The process id, on the host, of the machine's init.
    pub fn init(&self) -> Option<u32> {
        let processes =
            fs::read_to_string(self.dirs.first()?.join("machine/payload/init.scope/cgroup.procs")).ok()?;
        processes.lines().next()?.parse().ok()
    }

    /// Ends every process of the group at once and removes it.
    pub async fn kill(&self) -> Result<()> {
        let Some(unified) = self.dirs.first() else { return Ok(()) };
        let end = Instant::now() + Duration::from_secs(15);
        if unified.exists() {
            fs::write(unified.join("cgroup.kill"), "1").with_context(|| {
                format!("cannot kill control group {} (needs linux 5.14)", unified.display())
            })?;
        }
        while self.is_running() {
            if Instant::now() > end {
                bail!("the processes of {} do not end although killed", unified.display());
            }
            sleep(Duration::from_millis(5)).await;
        }
        loop {
            let left: Vec<&PathBuf> = self.dirs.iter().filter(|dir| !remove_tree(dir)).collect();
            match left.first() {
                None => return Ok(()),
                Some(dir) if Instant::now() > end => bail!("cannot remove control group {}", dir.display()),
                Some(_) => sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

/// Removes the common parent where no machine is left in it.
pub(super) fn tidy() {
    for root in hierarchies().unwrap_or_default() {
        let _ = fs::remove_dir(root.join(PARENT));
    }
}

/// Whether nothing is left of it.
fn remove_tree(dir: &Path) -> bool {
    if let Ok(entries) = fs::read_dir(dir) {
        for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            remove_tree(&entry.path());
        }
    }
    let _ = fs::remove_dir(dir);
    !dir.exists()
}

fn hierarchies() -> Result<Vec<PathBuf>> {
    let mounts = mounts::all()?;
    let unified = mounts.iter().find(|mount| mount.kind == "cgroup2");
    let named = mounts
        .iter()
        .find(|mount| mount.kind == "cgroup" && mount.options.split(',').any(|o| o == "name=systemd"));
    let unified = unified.context("the lab needs control groups version 2, and no cgroup2 is mounted")?;
    Ok(std::iter::once(unified).chain(named).map(|mount| mount.point.clone()).collect())
}
