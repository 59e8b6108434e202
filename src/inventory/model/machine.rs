//! What concerns every machine: its packet filter, its kernel, its trust, and its double in the lab.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Scalar;
use crate::secrets::Outside;

/// The packet filter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Firewall {
    /// Whether `deploy` owns the packet filter of the nodes.
    pub enabled: bool,
    /// Seconds after which the old rules come back unless a new SSH connection confirmed the new ones.
    #[schemars(range(min = 10, max = 600))]
    pub confirm_within: u32,
}

impl Default for Firewall {
    fn default() -> Self {
        Self { enabled: true, confirm_within: 60 }
    }
}

/// Kernel settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Kernel {
    /// Kernel parameters (`net.core.somaxconn: 8192`), merged over those that `deploy` chooses.
    pub sysctl: BTreeMap<String, Scalar>,
}

/// Where a secret comes from, where that is not the store: `{ env: NAME }` or `{ command: [PROGRAM, …] }`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SecretSource {
    /// An environment variable, as pipelines have them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub env: Option<String>,
    /// A program and its arguments, run in the inventory's folder without a shell, for at most 30 s; what it prints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
}

impl SecretSource {
    /// The place itself; none where the source names none, or two.
    pub fn outside(&self) -> Option<Outside> {
        match (&self.env, &self.command) {
            (Some(variable), None) => Some(Outside::Env(variable.clone())),
            (None, Some(words)) => words
                .split_first()
                .map(|(program, arguments)| Outside::Command(program.clone(), arguments.to_vec())),
            _ => None,
        }
    }
}

/// Certificates and secrets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Trust {
    /// Who can open `secrets.age`: age public keys (`age1…`). Without any, `deploy init` makes an
    /// identity; with `DEPLOY_PASSPHRASE` set, a passphrase opens it instead.
    pub recipients: Vec<String>,
    /// Days that a certificate lives.
    #[schemars(range(min = 2, max = 825))]
    pub certificate_days: u32,
}

impl Default for Trust {
    fn default() -> Self {
        Self { recipients: Vec::new(), certificate_days: 365 }
    }
}

/// The rehearsal machines.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Lab {
    /// Release of Debian that the machines run.
    pub debian: Debian,
}

/// A release of Debian.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u8", into = "u8")]
#[schemars(with = "DebianNumber")]
pub enum Debian {
    /// Debian 12: PostgreSQL 15, Patroni 3.0.
    Bookworm,
    /// Debian 13: PostgreSQL 17, Patroni 4.0.
    #[default]
    Trixie,
}

#[derive(JsonSchema)]
#[schemars(extend("type" = "integer", "enum" = [12, 13]))]
#[allow(dead_code, reason = "only names the shape of `Debian` in the schema")]
struct DebianNumber(u8);

impl TryFrom<u8> for Debian {
    type Error = String;
    fn try_from(number: u8) -> Result<Self, Self::Error> {
        match number {
            12 => Ok(Self::Bookworm),
            13 => Ok(Self::Trixie),
            other => Err(format!("Debian {other} is not supported; 12 and 13 are")),
        }
    }
}

impl From<Debian> for u8 {
    fn from(debian: Debian) -> Self {
        match debian {
            Debian::Bookworm => 12,
            Debian::Trixie => 13,
        }
    }
}
