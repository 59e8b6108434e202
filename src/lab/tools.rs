//! The host's programs: which the lab needs, and how one is run: with a deadline, its stderr in the error.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Enough for anything that only talks to the kernel.
pub(super) const SHORT: Duration = Duration::from_secs(20);

/// Program and the Debian package that has it.
const NEEDED: &[(&str, &str)] = &[
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("iptables", "iptables"),
    ("iptables-save", "iptables"),
    ("iptables-restore", "iptables"),
    ("mmdebstrap", "mmdebstrap"),
    ("mount", "mount"),
    ("nft", "nftables"),
    ("perl", "perl-base"),
    ("setsid", "util-linux"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("sysctl", "procps"),
    ("systemd-nspawn", "systemd-container"),
];

/// Fails unless the caller is root and every program is there.
pub(super) fn require() -> Result<()> {
    let owner = std::fs::metadata("/proc/self").context("cannot read /proc/self")?.uid();
    ensure!(owner == 0, "the lab boots machines and builds a network, which needs root: run it with sudo");
    let path = search_path();
    let missing: Vec<(&str, &str)> = NEEDED
        .iter()
        .copied()
        .filter(|(program, _)| !path.iter().any(|dir| dir.join(program).exists()))
        .collect();
    if missing.is_empty() { Ok(()) } else { bail!(missing_message(&missing)) }
}

fn missing_message(missing: &[(&str, &str)]) -> String {
    let programs: Vec<&str> = missing.iter().map(|(program, _)| *program).collect();
    let mut packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    packages.sort_unstable();
    packages.dedup();
    format!(
        "the lab needs {}, not found on this machine\nhint: apt-get install -y --no-install-recommends {}",
        programs.join(", "),
        packages.join(" ")
    )
}

fn search_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let administrative = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(administrative).collect()
}

/// A program ready to run: found also in the administrative directories, in the C locale, tied to our life.
pub(super) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    if let Ok(path) = std::env::join_paths(search_path()) {
        command.env("PATH", path);
    }
    command.env("LC_ALL", "C").kill_on_drop(true).stdin(Stdio::null());
    command
}

/// Runs a program to its end and returns its stdout.
pub(super) async fn run<I: AsRef<str>>(program: &str, args: &[I], deadline: Duration) -> Result<String> {
    feed(program, args, "", deadline).await
}

/// As [`run`], with `input` on its stdin.
pub(super) async fn feed<I: AsRef<str>>(
    program: &str,
    args: &[I],
    input: &str,
    deadline: Duration,
) -> Result<String> {
    let line = describe(program, args);
    let mut child = command(program)
        .args(args.iter().map(AsRef::as_ref))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    let stdin = child.stdin.take();
    let exchange = async {
        if let Some(mut stdin) = stdin {
            // A program that ends without reading is judged by its exit status.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(deadline, exchange)
        .await
        .with_context(|| format!("`{line}` did not end within {} s", deadline.as_secs()))?
        .with_context(|| format!("cannot wait for `{line}`"))?;
    if !output.status.success() {
        let stderr = tail(&String::from_utf8_lossy(&output.stderr), 15);
        let detail =
            if stderr.is_empty() { tail(&String::from_utf8_lossy(&output.stdout), 15) } else { stderr };
        bail!("`{line}` failed ({}): {detail}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The command as a reader knows it: without the script that wraps it.
fn describe<I: AsRef<str>>(program: &str, args: &[I]) -> String {
    let words: Vec<&str> = std::iter::once(program).chain(args.iter().map(AsRef::as_ref)).collect();
    let wrapped = words.iter().position(|word| *word == "--").filter(|_| words.contains(&"start.sh"));
    words[wrapped.map_or(0, |at| at + 1)..].join(" ").lines().next().unwrap_or_default().to_owned()
}

/// The last lines of a text.
pub(super) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.trim().lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

pub(super) fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    }
    std::fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

/// Removes a file, link or tree; one that is not there is no error.
pub(super) fn remove(path: &Path) -> Result<()> {
    let removed = match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Takes an exclusive lock on a directory, waiting for another holder until the deadline; it ends with the file.
pub(super) async fn lock(dir: &Path, deadline: Duration) -> Result<std::fs::File> {
    let end = tokio::time::Instant::now() + deadline;
    loop {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let file = std::fs::File::open(dir).with_context(|| format!("cannot open {}", dir.display()))?;
        // The holder may have removed the directory that we opened: then our lock is on nothing.
        let same = |file: &std::fs::File| matches!((file.metadata(), std::fs::metadata(dir)), (Ok(a), Ok(b)) if a.ino() == b.ino());
        if file.try_lock().is_ok() && same(&file) {
            return Ok(file);
        }
        ensure!(
            tokio::time::Instant::now() < end,
            "another run holds {} for more than {} s",
            dir.display(),
            deadline.as_secs()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_command_installs_everything_missing() {
        let message = missing_message(&[
            ("ssh", "openssh-client"),
            ("nft", "nftables"),
            ("tc", "iproute2"),
            ("ip", "iproute2"),
        ]);
        assert!(
            message.ends_with("apt-get install -y --no-install-recommends iproute2 nftables openssh-client"),
            "{message}"
        );
    }

    #[tokio::test]
    async fn a_failure_names_the_command_and_its_stderr() {
        let error = run("sh", &["-c", "echo broken >&2; exit 3"], SHORT).await.unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.ends_with("broken"), "{error}");
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_ended() {
        let error = run("sleep", &["60"], Duration::from_millis(50)).await.unwrap_err().to_string();
        assert!(error.contains("did not end"), "{error}");
    }
}
