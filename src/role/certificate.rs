//! The certificates of a role in its manifest: where they lie, whom they name, which ports show them.

use serde::Deserialize;

use super::words::{Takes, When, root};
use crate::pki::Usage;

/// How certificate and key lie on the node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// `<path>.crt` and `<path>.key`.
    #[default]
    Pair,
    /// One file `<path>.pem`: certificate, then key.
    Pem,
}

/// A certificate with its key, made for one node. The CA bundle that the role verifies its peers with is written to
/// `ca.crt` in the same directory.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// Name within the role.
    pub name: String,
    /// Absolute path without its ending.
    pub path: String,
    /// One file or two.
    #[serde(default)]
    pub layout: Layout,
    /// Owning user.
    #[serde(default = "root")]
    pub owner: String,
    /// Owning group.
    #[serde(default = "root")]
    pub group: String,
    /// Mode of the key, in octal.
    #[serde(default = "mode_0640")]
    pub mode: String,
    /// Subject common name, a template.
    pub common_name: String,
    /// Names and addresses that it is valid for, templates; one that renders to several, parted by spaces, gives several.
    #[serde(default)]
    pub names: Vec<String>,
    /// What it may be used for.
    pub usages: Vec<Usage>,
    /// How `unit` takes a new one.
    #[serde(default)]
    pub takes: Takes,
    /// How `unit` takes other authorities in `ca.crt`; by default as it takes a new certificate.
    #[serde(default)]
    pub authority: Option<Takes>,
    /// The unit reads `ca.crt` again only with a new certificate, so one is made when the authorities change.
    #[serde(default)]
    pub renewed_with_authority: bool,
    /// The unit that reads it; by default the role's first.
    #[serde(default)]
    pub unit: Option<String>,
    /// The ports on which it is served; each has a check that makes a handshake there.
    #[serde(default)]
    pub served: Vec<Served>,
    /// It is there only with this part of the inventory.
    #[serde(default)]
    pub when: Option<When>,
}

/// A port that shows a certificate to whoever connects.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Served {
    /// Its number, or which ones.
    pub port: ServedPort,
    /// Protocol to speak before the handshake, as `openssl s_client -starttls` names it.
    #[serde(default)]
    pub starttls: Option<String>,
}

/// One port, or those that follow from the inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum ServedPort {
    /// This one.
    One(u16),
    /// Some of the node's.
    Those(Those),
}

impl ServedPort {
    /// The number of one that has it from the manifest.
    pub fn number(&mut self) -> Option<&mut u16> {
        match self {
            Self::One(port) => Some(port),
            Self::Those(_) => None,
        }
    }
}

/// Ports that follow from the inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Those {
    /// On which nginx stands in front of the processes of an application.
    Processes,
}

fn mode_0640() -> String {
    "0640".into()
}
