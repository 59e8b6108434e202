//! What the nodes of a cluster say themselves, over plain SSH.

use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::cluster::Cluster;

impl Cluster {
    /// Runs a line of shell on a node; an error when it fails.
    pub fn on(&self, node: &str, line: &str) -> Result<String> {
        let output = self.ssh(node, line).output().context("cannot run ssh")?;
        let stdout = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{node}: `{line}`: {} {stdout} {stderr}", output.status);
        Ok(stdout)
    }

    fn ssh(&self, node: &str, line: &str) -> Command {
        let mut ssh = Command::new("ssh");
        // A node that is gone in the middle of a line is given up.
        let patience =
            ["-o", "ConnectTimeout=5", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=6"];
        ssh.arg("-F").arg(self.ssh_config()).args(patience).args([node, line]).stdin(Stdio::null());
        ssh
    }

    /// Runs a line of shell on several nodes at once.
    pub fn on_all(&self, nodes: &[&str], line: &str) -> Result<()> {
        let children: Vec<Child> = nodes
            .iter()
            .map(|node| self.ssh(node, line).stdout(Stdio::null()).stderr(Stdio::null()).spawn())
            .collect::<std::io::Result<_>>()?;
        for (mut child, node) in children.into_iter().zip(nodes) {
            ensure!(child.wait()?.success(), "{node}: `{line}` failed");
        }
        Ok(())
    }

    /// Whether a run holds the lock of the first node.
    pub fn locked(&self) -> bool {
        self.names().next().is_some_and(|node| self.on(node, "test -s /run/deploy/lock.owner").is_ok())
    }

    /// Members as Patroni lists them: name, role, state.
    pub fn members(&self) -> Result<Vec<Value>> {
        for node in self.of_kind("worker") {
            let list = self.on(node, "cd / && patronictl -c /etc/patroni/config.yml list -f json");
            if let Some(Value::Array(members)) = list.ok().and_then(|text| serde_json::from_str(&text).ok()) {
                return Ok(members);
            }
        }
        bail!("no worker lists the members of the cluster")
    }

    pub fn leader(&self) -> Result<String> {
        self.member("Leader")
    }

    /// The first member of a role.
    pub fn member(&self, role: &str) -> Result<String> {
        let members = self.members()?;
        let found =
            members.iter().find(|member| member["Role"] == role).and_then(|member| member["Member"].as_str());
        found.map(str::to_owned).with_context(|| format!("no member is a {role}: {members:?}"))
    }
}

/// Makes a user who logs in with root's key, and becomes root without a password.
pub fn log_in(user: &str) -> String {
    let home = format!("/home/{user}");
    format!(
        "id {user} >/dev/null 2>&1 || useradd -m -s /bin/bash {user} && \
         install -d -m 0700 -o {user} {home}/.ssh && \
         install -m 0600 -o {user} /root/.ssh/authorized_keys {home}/.ssh/authorized_keys && \
         echo '{user} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/{user}"
    )
}
