//! How one reaches the nodes: a key pair and host keys of the lab's own, and an `ssh_config` that names them all.
//!
//! Host keys are made here and given to the nodes, so known_hosts is complete before a node boots.

use std::fmt::Write as _;
use std::fs;
use std::io::IsTerminal as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::spec::Lab;
use super::tools::{self, SHORT};

/// Makes the keys that are missing, then writes known_hosts and ssh_config.
pub(super) async fn prepare(lab: &Lab) -> Result<()> {
    key(&lab.identity(), &format!("deploy-lab-{}", lab.spec.name)).await?;
    let mut known_hosts = String::new();
    for node in &lab.spec.nodes {
        let host_key = lab.node_dir(&node.name).join("ssh_host_ed25519_key");
        let public = key(&host_key, &node.name).await?;
        let fields: Vec<&str> = public.split_whitespace().take(2).collect();
        let _ = writeln!(known_hosts, "{},{} {}", node.name, node.address, fields.join(" "));
    }
    tools::write(&lab.known_hosts(), known_hosts)?;
    tools::write(&lab.ssh_config(), config(lab))
}

pub(super) fn public_key(lab: &Lab) -> Result<String> {
    let path = lab.identity().with_extension("pub");
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// Returns the public half, making the pair unless it is there whole.
async fn key(path: &Path, comment: &str) -> Result<String> {
    let public = path.with_extension("pub");
    if let (Ok(private), Ok(text)) = (fs::read(path), fs::read_to_string(&public))
        && !private.is_empty()
        && text.ends_with('\n')
    {
        return Ok(text);
    }
    tools::remove(path)?;
    tools::remove(&public)?;
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    }
    let file = path.display().to_string();
    tools::run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", &file], SHORT).await?;
    fs::read_to_string(&public).with_context(|| format!("cannot read {}", public.display()))
}

fn config(lab: &Lab) -> String {
    let mut text =
        String::from("# Written by `deploy lab up`: reaches each node of the lab by name and by address.\n");
    for node in &lab.spec.nodes {
        let _ = writeln!(text, "Host {} {}\n  HostName {}", node.name, node.address, node.address);
    }
    let _ = write!(
        text,
        "Host *\n  User root\n  IdentityFile {}\n  IdentitiesOnly yes\n  UserKnownHostsFile {}\n  \
         GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n  ConnectTimeout 10\n",
        lab.identity().display(),
        lab.known_hosts().display()
    );
    text
}

/// Waits until something on port 22 says that it speaks SSH.
pub(super) async fn wait(address: Ipv4Addr, deadline: Duration) -> Result<()> {
    let answers = async {
        loop {
            if let Ok(Ok(true)) = timeout(Duration::from_secs(1), banner(address)).await {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(deadline, answers)
        .await
        .with_context(|| format!("no sshd answers on {address} within {} s", deadline.as_secs()))
}

async fn banner(address: Ipv4Addr) -> std::io::Result<bool> {
    let mut start = [0; 4];
    TcpStream::connect((address, 22)).await?.read_exact(&mut start).await?;
    Ok(&start == b"SSH-")
}

/// Runs a command on a node over the caller's own terminal. One word goes to the node's shell as it is; several reach
/// the program as they are; none starts a shell.
pub(super) async fn exec(lab: &Lab, node: &str, words: &[String]) -> Result<ExitStatus> {
    let mut command = tools::command("ssh");
    command.arg("-F").arg(lab.ssh_config());
    if words.is_empty() || (std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
        command.arg("-t");
    }
    command.arg("--").arg(node);
    match words {
        [] => {}
        [line] => {
            command.arg(line);
        }
        several => {
            command.arg(several.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "));
        }
    }
    command.stdin(Stdio::inherit()).status().await.with_context(|| format!("cannot run ssh for node {node}"))
}

fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::spec::{LabNode, LabSpec, Release};

    #[test]
    fn a_node_is_reached_by_name_and_by_address() {
        let nodes = vec![LabNode { name: "n1".into(), address: [10, 7, 0, 2].into() }];
        let spec = LabSpec { name: "l".into(), release: Release::default(), nodes, packages: vec![] };
        let text = config(&Lab::within(&spec, "/x".into()).unwrap());
        assert!(text.contains("Host n1 10.7.0.2\n  HostName 10.7.0.2\n"), "{text}");
        assert!(text.contains("IdentityFile /x/labs/l/id_ed25519\n"), "{text}");
    }

    #[test]
    fn words_stay_words() {
        assert_eq!(quote("a'b $c"), r"'a'\''b $c'");
    }
}
