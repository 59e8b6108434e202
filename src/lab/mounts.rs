//! The host's mount table: reading it, and taking mounts away.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::tools::{self, SHORT};

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub point: PathBuf,
    pub kind: String,
    /// The file system's own options, comma-separated.
    pub options: String,
}

pub(super) fn all() -> Result<Vec<Mount>> {
    let table =
        std::fs::read_to_string("/proc/self/mountinfo").context("cannot read /proc/self/mountinfo")?;
    Ok(table.lines().filter_map(parse).collect())
}

fn parse(line: &str) -> Option<Mount> {
    let (front, back) = line.split_once(" - ")?;
    let mut back = back.split(' ');
    Some(Mount {
        point: PathBuf::from(unescape(front.split(' ').nth(4)?)),
        kind: back.next()?.to_owned(),
        options: back.nth(1)?.to_owned(),
    })
}

/// The table writes space, tab, newline and backslash as three octal digits.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

pub(super) fn is_mounted(point: &Path) -> Result<bool> {
    Ok(all()?.iter().any(|mount| mount.point == point))
}

/// Mounts layers, uppermost first, with a writable one above them.
pub(super) async fn overlay(layers: &[PathBuf], upper: &Path, work: &Path, point: &Path) -> Result<()> {
    for dir in [upper, work, point] {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    let lower: Vec<String> = layers.iter().map(|layer| layer.display().to_string()).collect();
    let options =
        format!("lowerdir={},upperdir={},workdir={}", lower.join(":"), upper.display(), work.display());
    let point = point.display().to_string();
    tools::run("mount", &["-t", "overlay", "deploy-lab", "-o", &options, &point], SHORT).await.map(drop)
}

/// Unmounts everything at or below a directory, the latest mount first.
pub(super) async fn unmount_below(dir: &Path) -> Result<()> {
    for mount in all()?.iter().rev().filter(|mount| mount.point.starts_with(dir)) {
        let point = mount.point.display().to_string();
        // A killed machine's last references go a moment after its processes.
        for _ in 0..20 {
            if tools::run("umount", &[&point], SHORT).await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if is_mounted(&mount.point)? {
            tools::run("umount", &["--lazy", &point], SHORT).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_line_of_the_table() {
        let line = r"41 31 0:38 / /sys/fs/my\040groups rw,relatime shared:3 - cgroup2 cgroup2 rw,nsdelegate";
        let mount = parse(line).unwrap();
        assert_eq!(mount.point, Path::new("/sys/fs/my groups"));
        assert_eq!((mount.kind.as_str(), mount.options.as_str()), ("cgroup2", "rw,nsdelegate"));
    }
}
