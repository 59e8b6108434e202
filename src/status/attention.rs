//! What needs attention, and the command that mends it.

use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

use crate::cluster::{Cluster, NodeName};
use crate::transport::Login;

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Clients notice it now.
    Critical,
    /// Nobody notices yet; the next fault may hurt.
    Warning,
    /// Good to know.
    Note,
}

/// One thing that needs attention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Attention {
    /// How much it matters.
    pub severity: Severity,
    /// The node that it is about; none when it is about the cluster.
    pub node: Option<NodeName>,
    /// What is wrong, in a sentence without its full stop.
    pub what: String,
    /// What mends it, or shows why it is so; none where there is nothing to do.
    pub command: Option<String>,
}

/// Writes the commands for one inventory.
#[derive(Debug)]
pub struct Remedies<'a> {
    cluster: &'a Cluster,
    inventory: String,
    dir: &'a Path,
}

impl<'a> Remedies<'a> {
    /// Commands that name the inventory as the user did; `dir` is its folder.
    pub fn new(cluster: &'a Cluster, inventory: &Path, dir: &'a Path) -> Self {
        Self { cluster, inventory: inventory.display().to_string(), dir }
    }

    /// Brings the cluster to what the inventory says.
    pub fn apply(&self) -> String {
        format!("deploy apply {}", self.inventory)
    }

    /// Puts a new authority in the place of one that is no longer good for anything.
    pub fn rotate_ca(&self) -> String {
        format!("deploy certs rotate-ca {}", self.inventory)
    }

    /// Logs in on a node, as `deploy` does.
    pub fn login(&self, node: &NodeName) -> String {
        let Some(known) = self.cluster.nodes.get(node) else { return format!("ssh {node}") };
        Login::new(&self.cluster.inventory.ssh, self.dir, known).command()
    }

    /// Runs `command`, which holds no single quote, on a node.
    pub fn on(&self, node: &NodeName, command: &str) -> String {
        let sudo = if self.cluster.inventory.ssh.user == "root" { "" } else { "sudo " };
        format!("{} '{sudo}{command}'", self.login(node))
    }

    /// Shows the last words of a unit.
    pub fn journal(&self, node: &NodeName, unit: &str) -> String {
        self.on(node, &format!("journalctl -u {unit} -n 50 --no-pager"))
    }

    /// Asks Patroni on a node.
    pub fn patronictl(&self, node: &NodeName, what: &str) -> String {
        self.on(node, &format!("patronictl -c /etc/patroni/config.yml {what}"))
    }
}

/// Collects what needs attention.
#[derive(Debug, Default)]
pub struct Notes(Vec<Attention>);

impl Notes {
    /// Something that clients notice.
    pub fn critical(&mut self, node: Option<&NodeName>, what: impl Into<String>, command: String) {
        self.add(Severity::Critical, node, what.into(), Some(command));
    }

    /// Something that nobody notices yet.
    pub fn warning(&mut self, node: Option<&NodeName>, what: impl Into<String>, command: String) {
        self.add(Severity::Warning, node, what.into(), Some(command));
    }

    /// Something to know.
    pub fn note(&mut self, what: impl Into<String>) {
        self.add(Severity::Note, None, what.into(), None);
    }

    fn add(&mut self, severity: Severity, node: Option<&NodeName>, what: String, command: Option<String>) {
        self.0.push(Attention { severity, node: node.cloned(), what, command });
    }

    /// The worst first; within a severity in the order in which they were found.
    pub fn sorted(mut self) -> Vec<Attention> {
        self.0.sort_by_key(|attention| attention.severity);
        self.0
    }
}
