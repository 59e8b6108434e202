//! The shape of `roles/<role>.yaml`.
//!
//! Strings marked *template* are rendered with the node's context (see [`crate::render`]); everything else is taken
//! as it stands.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::certificate::Certificate;
use super::words::{Takes, When, root};
use crate::inventory::model::Kind;

/// One role.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Name of the role, the same as the file's.
    pub role: String,
    /// What it is, in a few words for the screen.
    pub title: String,
    /// The kinds of node that run it by default; `all` is every node.
    #[serde(default)]
    pub kinds: Vec<KindOrAll>,
    /// What in the inventory places it, instead of kinds.
    #[serde(default)]
    pub placed_by: Option<PlacedBy>,
    /// The phase of the run that it belongs to.
    pub phase: String,
    /// Debian packages, all installed in the first phase.
    #[serde(default)]
    pub packages: Vec<Package>,
    /// Directories, made before the files.
    #[serde(default)]
    pub directories: Vec<Directory>,
    /// Files from templates.
    #[serde(default)]
    pub files: Vec<File>,
    /// Certificates, each with a key of its own.
    #[serde(default)]
    pub certificates: Vec<Certificate>,
    /// systemd units, in the order in which they start.
    #[serde(default)]
    pub units: Vec<Unit>,
    /// Ports that the role listens on, and who may reach them.
    #[serde(default)]
    pub ports: Vec<Port>,
    /// Protocols beside TCP that it speaks, and with whom.
    #[serde(default)]
    pub protocols: Vec<Protocol>,
    /// How many nodes may be restarted at a time.
    #[serde(default)]
    pub rolling: Rolling,
    /// What proves that the role works.
    #[serde(default)]
    pub checks: Vec<Check>,
    /// Defaults of the role's own settings, which the inventory's `roles.<role>.settings` override.
    #[serde(default)]
    pub settings: BTreeMap<String, serde_json::Value>,
}

/// A kind of node, or every one.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum KindOrAll {
    /// Nodes of this kind.
    Kind(Kind),
    /// Every node.
    All(All),
}

/// The word `all`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum All {
    /// Every node.
    All,
}

/// What in the inventory places a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlacedBy {
    /// `virtual_ip`: the nodes of `haproxy`.
    VirtualIp,
    /// The `processes` of applications: the nodes on which they run.
    Processes,
}

/// A Debian package; on one release only where `debian` says so.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Name of the package.
    pub name: String,
    /// The release that has it under this name.
    #[serde(default)]
    pub debian: Option<u8>,
    /// Only in clusters that run this role as well.
    #[serde(default)]
    pub with: Option<String>,
}

/// When a resource is applied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Before any package is installed: what keeps a package from starting with its own defaults.
    BeforePackages,
    /// In the role's phase.
    #[default]
    Role,
}

/// A directory.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// Absolute path.
    pub path: String,
    /// Owning user.
    #[serde(default = "root")]
    pub owner: String,
    /// Owning group.
    #[serde(default = "root")]
    pub group: String,
    /// Mode, in octal: `"0750"`.
    pub mode: String,
    /// Whether its package would give it another owner or mode, and is told not to.
    #[serde(default)]
    pub overrides_package: bool,
}

/// A file from a template.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Absolute path.
    pub path: String,
    /// Template, relative to `templates/`.
    pub template: String,
    /// Owning user.
    #[serde(default = "root")]
    pub owner: String,
    /// Owning group.
    #[serde(default = "root")]
    pub group: String,
    /// Mode, in octal.
    #[serde(default = "mode_0644")]
    pub mode: String,
    /// The release of Debian that needs it, where not all do.
    #[serde(default)]
    pub debian: Option<u8>,
    /// How `unit` takes a change.
    #[serde(default)]
    pub takes: Takes,
    /// The unit that reads the file; by default the role's first.
    #[serde(default)]
    pub unit: Option<String>,
    /// Command that checks the staged file before it goes live; `%s` is its path.
    #[serde(default)]
    pub validate: Option<String>,
    /// When it is written.
    #[serde(default)]
    pub stage: Stage,
    /// The service keeps it from then on: it is written where it is not there, and never again.
    #[serde(default)]
    pub seed: bool,
}

/// A systemd unit.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// Name without `.service`.
    pub name: String,
    /// Do not wait for the start to finish: the unit is ready only when its peers are.
    #[serde(default)]
    pub no_block: bool,
    /// It runs for as long as the machine does; false for one that does its work at boot and ends.
    #[serde(default = "yes")]
    pub running: bool,
    /// A port of it: a reload is repeated until the certificate that is on disk is served there.
    #[serde(default)]
    pub reload_until_served: Option<u16>,
    /// The phase in which it is stopped on a node that has lost the role; without one it is left as it is.
    #[serde(default)]
    pub retired_in: Option<String>,
    /// Clients are connected to it, or through it: a restart cuts them off.
    #[serde(default = "yes")]
    pub clients: bool,
}

/// A port and who may reach it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// What it is for.
    pub name: String,
    /// Number.
    pub port: u16,
    /// Roles, or `admin` or `clients` for the networks of the inventory's `access`.
    pub from: Vec<Peer>,
    /// Only in clusters that run this role as well.
    #[serde(default)]
    pub with: Option<String>,
    /// It is there only with this part of the inventory.
    #[serde(default)]
    pub when: Option<When>,
}

/// A protocol of IP with a number of its own, and who may speak it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Protocol {
    /// What it is for.
    pub name: String,
    /// Number, as IANA assigns it.
    pub number: u8,
    /// Roles, or `admin` or `clients`.
    pub from: Vec<Peer>,
}

/// Who may reach a port: the name of a role, `admin` or `clients`.
pub type Peer = String;

/// How many nodes may be restarted at a time.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rolling {
    /// At most this many at once; 0 is all.
    pub at_a_time: usize,
    /// The leader of PostgreSQL comes last, after a switchover.
    pub leader_last: bool,
    /// Nodes that are not alike do not understand each other: none goes first.
    pub together: bool,
}

impl Default for Rolling {
    fn default() -> Self {
        Self { at_a_time: 1, leader_last: false, together: false }
    }
}

/// Where a check runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckOn {
    /// On every node of the role.
    #[default]
    Each,
    /// On one node of the role.
    One,
}

/// A check: a script that holds when it exits 0, is skipped on 77, and has not held yet otherwise; the last line
/// that it prints is the reason.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Name within the role.
    pub name: String,
    /// What holds when it passes, as a sentence.
    pub title: String,
    /// Script, relative to `roles/`.
    pub script: String,
    /// Where it runs.
    #[serde(default)]
    pub on: CheckOn,
    /// It must hold after each node of a rolling change, not only at the end of the phase.
    #[serde(default)]
    pub gate: bool,
    /// Seconds until it must hold.
    #[serde(default = "thirty")]
    pub within: u32,
    /// Shell variables of the script: upper-case name to template.
    #[serde(default)]
    pub vars: BTreeMap<String, String>,
    /// Only in clusters that run this role as well.
    #[serde(default)]
    pub with: Option<String>,
}

fn mode_0644() -> String {
    "0644".into()
}
fn yes() -> bool {
    true
}
fn thirty() -> u32 {
    30
}
