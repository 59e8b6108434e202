//! Who runs this, and from what: for locks, journals and saved plans.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Result;
use time::macros::format_description;
use tokio::process::Command;

/// `user@host`, in one word.
pub fn who() -> String {
    let user = std::env::var("USER").unwrap_or_else(|_| "somebody".into());
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    format!("{user}@{}", host.trim()).chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect()
}

/// Name of a run: its time, and enough chance to tell two of one second apart.
pub fn run_id() -> Result<String> {
    let now = time::OffsetDateTime::now_utc();
    let stamp = now.format(format_description!("[year][month][day]T[hour][minute][second]Z"))?;
    Ok(format!("{stamp}-{:04x}", rand::random::<u16>()))
}

/// The commit that the inventory `file` is at, `dirty` behind it where it, or a role or template beside it, has changed
/// since. None where there is no version control that `git` knows.
pub async fn revision(file: &Path) -> Option<String> {
    let dir = file.parent().filter(|dir| *dir != Path::new("")).unwrap_or(Path::new("."));
    let commit = git(dir, &["rev-parse", "--verify", "--quiet", "HEAD"]).await?;
    let name = file.file_name()?.to_str()?;
    let changed = git(dir, &["status", "--porcelain", "--", name, "roles", "templates"]).await?;
    Some(if changed.is_empty() { commit } else { format!("{commit} dirty") })
}

/// What `git` says in a folder. It writes nothing, and starts no monitor that the repository names.
async fn git(dir: &Path, words: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    command.args(["--no-optional-locks", "-c", "core.fsmonitor=false", "-C"]).arg(dir).args(words);
    command.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(5), command.output()).await.ok()?.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn in_repository(dir: &Path, words: &[&str]) {
        let identity = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"];
        git(dir, &[&identity, words].concat()).await.unwrap();
    }

    #[tokio::test]
    async fn the_commit_of_an_inventory_is_named_and_what_changed_since() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cluster.yaml");
        std::fs::write(&file, "name: shop\n").unwrap();
        assert_eq!(revision(&file).await, None, "no version control");
        in_repository(folder.path(), &["init", "--quiet"]).await;
        assert_eq!(revision(&file).await, None, "no commit yet");
        in_repository(folder.path(), &["add", "."]).await;
        in_repository(folder.path(), &["commit", "--quiet", "-m", "first"]).await;
        let commit = revision(&file).await.unwrap();
        assert!(commit.len() >= 40 && !commit.contains(' '), "{commit}");
        std::fs::write(folder.path().join("plan.age"), "x").unwrap();
        assert_eq!(revision(&file).await.unwrap(), commit, "what does not count");
        std::fs::write(&file, "name: shop2\n").unwrap();
        assert_eq!(revision(&file).await.unwrap(), format!("{commit} dirty"));
    }
}
