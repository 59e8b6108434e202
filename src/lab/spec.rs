//! What a lab is: a name, a Debian release, nodes with addresses; and every name derived from that.
//!
//! Pure but for [`Lab::new`], which reads `DEPLOY_LAB_ROOT`. Bridge, ports, control groups and firewall comments all
//! carry one tag, a hash of the lab's name and root, so that whatever a killed lab left can be found and named.

use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail, ensure};
use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The environment variable that moves the lab's state away from [`DEFAULT_ROOT`].
pub const ROOT_VARIABLE: &str = "DEPLOY_LAB_ROOT";
/// Where images and labs are kept unless [`ROOT_VARIABLE`] says otherwise.
pub const DEFAULT_ROOT: &str = "/var/lib/deploy-lab";

/// A Debian release that nodes can run.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
pub enum Release {
    #[serde(rename = "12")]
    Debian12,
    #[default]
    #[serde(rename = "13")]
    Debian13,
}

impl Release {
    /// The release's name in a package archive.
    pub fn suite(self) -> &'static str {
        match self {
            Self::Debian12 => "bookworm",
            Self::Debian13 => "trixie",
        }
    }

    pub fn number(self) -> &'static str {
        match self {
            Self::Debian12 => "12",
            Self::Debian13 => "13",
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "debian {}", self.number())
    }
}

impl FromStr for Release {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "12" | "bookworm" => Ok(Self::Debian12),
            "13" | "trixie" => Ok(Self::Debian13),
            _ => bail!("unknown debian release {text:?}: the lab knows 12 (bookworm) and 13 (trixie)"),
        }
    }
}

/// A lab as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabSpec {
    /// Lower-case letters, digits and dashes.
    pub name: String,
    pub release: Release,
    /// All within one /24.
    pub nodes: Vec<LabNode>,
    /// Packages whose archives are fetched once, so that nodes install them from disk. Not installed.
    pub packages: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabNode {
    pub name: String,
    pub address: Ipv4Addr,
}

/// A checked [`LabSpec`] and the names derived from it.
#[derive(Debug, Clone)]
pub(super) struct Lab {
    pub spec: LabSpec,
    pub root: PathBuf,
    pub subnet: Ipv4Net,
    /// The host's address on the bridge, the nodes' gateway.
    pub gateway: Ipv4Addr,
    /// Six hexadecimal digits.
    pub tag: String,
}

impl Lab {
    pub fn new(spec: &LabSpec) -> Result<Self> {
        let root = std::env::var_os(ROOT_VARIABLE).map_or_else(|| PathBuf::from(DEFAULT_ROOT), PathBuf::from);
        Self::within(spec, root)
    }

    pub fn within(spec: &LabSpec, root: PathBuf) -> Result<Self> {
        let text = root.to_str().context("the lab's root is not UTF-8")?;
        // The path becomes part of mount options and of an ssh_config: neither can quote everything.
        ensure!(
            root.is_absolute()
                && !text.contains("..")
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c)),
            "the lab's root {text:?} must be an absolute path of letters, digits, '.', '_' and '-' (set by {ROOT_VARIABLE})"
        );
        let name = &spec.name;
        ensure!(
            !name.is_empty()
                && name.len() <= 40
                && !name.starts_with('-')
                && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
            "lab name {name:?} must be 1 to 40 lower-case letters, digits and dashes, and not start with a dash"
        );
        let digest = Sha256::digest(format!("{text}\n{name}"));
        let tag = hex(&digest[..3]);
        let first = spec.nodes.first().with_context(|| format!("lab {name} has no nodes"))?;
        let subnet = Ipv4Net::new(first.address, 24)?.trunc();
        let (mut names, mut addresses) = (BTreeSet::new(), BTreeSet::new());
        for node in &spec.nodes {
            check_node(node)?;
            ensure!(names.insert(node.name.as_str()), "lab {name} has two nodes named {}", node.name);
            ensure!(addresses.insert(node.address), "lab {name} has two nodes with address {}", node.address);
            ensure!(
                subnet.contains(&node.address),
                "node {} has address {}, which is outside {subnet}: all nodes of a lab must be within one /24",
                node.name,
                node.address
            );
        }
        for package in &spec.packages {
            ensure!(
                package.starts_with(|c: char| c.is_ascii_alphanumeric())
                    && package.chars().all(|c| c.is_ascii_alphanumeric() || "+-.:=~".contains(c)),
                "{package:?} is not a package name"
            );
        }
        let octet = std::iter::once(1)
            .chain((2..=254).rev())
            .find(|octet| !addresses.contains(&host(subnet, *octet)))
            .with_context(|| format!("{subnet} has no address left for the host"))?;
        Ok(Self { spec: spec.clone(), root, subnet, gateway: host(subnet, octet), tag })
    }

    pub fn dir(&self) -> PathBuf {
        self.root.join("labs").join(&self.spec.name)
    }

    pub fn node_dir(&self, node: &str) -> PathBuf {
        self.dir().join("nodes").join(node)
    }

    pub fn ssh_config(&self) -> PathBuf {
        self.dir().join("ssh_config")
    }

    pub fn known_hosts(&self) -> PathBuf {
        self.dir().join("known_hosts")
    }

    pub fn identity(&self) -> PathBuf {
        self.dir().join("id_ed25519")
    }

    pub fn bridge(&self) -> String {
        format!("dl-{}", self.tag)
    }

    /// The name of a machine and of its control group: the lab's tag and the last octet of the address.
    pub fn machine(&self, address: Ipv4Addr) -> String {
        format!("{}-{}", self.tag, address.octets()[3])
    }

    /// The host's end of a node's cable, as systemd-nspawn names it.
    pub fn port(&self, address: Ipv4Addr) -> String {
        format!("vb-{}", self.machine(address))
    }

    /// The comment on each iptables rule of this lab.
    pub fn comment(&self) -> String {
        format!("deploy-lab:{}:{}", self.tag, self.spec.name)
    }

    pub fn node(&self, name: &str) -> Result<&LabNode> {
        self.spec.nodes.iter().find(|node| node.name == name).with_context(|| {
            let names: Vec<&str> = self.spec.nodes.iter().map(|node| node.name.as_str()).collect();
            format!("lab {} has no node `{name}`\nhint: there are: {}", self.spec.name, names.join(", "))
        })
    }

    /// The nodes named, or all of them when none is.
    pub fn select(&self, names: &[String]) -> Result<Vec<LabNode>> {
        if names.is_empty() {
            return Ok(self.spec.nodes.clone());
        }
        let wanted: BTreeSet<&String> = names.iter().collect();
        wanted.into_iter().map(|name| self.node(name).cloned()).collect()
    }
}

fn check_node(node: &LabNode) -> Result<()> {
    let name = &node.name;
    ensure!(
        !name.is_empty()
            && name.len() <= 63
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.'),
        "node name {name:?} must be 1 to 63 letters, digits, dots and dashes, and start with a letter or digit"
    );
    ensure!(
        (1..=254).contains(&node.address.octets()[3]),
        "node {name} has address {}, which is a network or broadcast address",
        node.address
    );
    Ok(())
}

fn host(subnet: Ipv4Net, octet: u8) -> Ipv4Addr {
    let [a, b, c, _] = subnet.network().octets();
    Ipv4Addr::new(a, b, c, octet)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(nodes: &[(&str, [u8; 4])]) -> LabSpec {
        LabSpec {
            name: "lab".into(),
            release: Release::Debian13,
            nodes: nodes
                .iter()
                .map(|(name, a)| LabNode { name: (*name).into(), address: (*a).into() })
                .collect(),
            packages: vec![],
        }
    }

    fn error(spec: &LabSpec) -> String {
        Lab::within(spec, "/var/lib/x".into()).unwrap_err().to_string()
    }

    #[test]
    fn names_fit_an_interface() {
        let lab = Lab::within(&spec(&[("n1", [10, 77, 0, 254])]), "/var/lib/x".into()).unwrap();
        assert!(lab.port([10, 77, 0, 254].into()).len() <= 15);
        assert_eq!(lab.gateway, Ipv4Addr::new(10, 77, 0, 1));
    }

    #[test]
    fn a_node_may_have_the_first_address() {
        let lab = Lab::within(&spec(&[("a", [10, 7, 0, 1]), ("b", [10, 7, 0, 254])]), "/x".into()).unwrap();
        assert_eq!(lab.gateway, Ipv4Addr::new(10, 7, 0, 253));
    }

    #[test]
    fn what_cannot_be_a_lab_is_refused() {
        assert!(error(&spec(&[])).contains("no nodes"));
        assert!(error(&spec(&[("a", [10, 7, 0, 2]), ("a", [10, 7, 0, 3])])).contains("two nodes named a"));
        assert!(error(&spec(&[("a", [10, 7, 0, 2]), ("b", [10, 7, 0, 2])])).contains("address 10.7.0.2"));
        assert!(error(&spec(&[("a", [10, 7, 0, 2]), ("b", [10, 7, 1, 2])])).contains("outside 10.7.0.0/24"));
        assert!(error(&spec(&[("../a", [10, 7, 0, 2])])).contains("node name"));
        assert!(error(&spec(&[("a", [10, 7, 0, 0])])).contains("network or broadcast"));
        let mut packages = spec(&[("a", [10, 7, 0, 2])]);
        packages.packages = vec!["-oDebug=1".into()];
        assert!(error(&packages).contains("not a package name"));
        assert!(Lab::within(&spec(&[("a", [10, 7, 0, 2])]), "/a:b".into()).is_err());
    }
}
