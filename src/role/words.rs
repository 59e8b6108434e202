//! Words that several parts of a manifest use.

use serde::Deserialize;

use crate::inventory::model::Inventory;

/// How a running service takes a change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Takes {
    /// By itself, or it has no service.
    #[default]
    Nothing,
    /// By `systemctl reload`.
    Reload,
    /// By `systemctl restart`.
    Restart,
}

/// A part of the inventory that something is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// `applications`.
    Applications,
    /// `virtual_ip`, for databases.
    DatabaseIp,
}

impl When {
    /// Whether the inventory has it.
    pub fn holds(self, inventory: &Inventory) -> bool {
        match self {
            Self::Applications => !inventory.applications.is_empty(),
            Self::DatabaseIp => inventory.virtual_ip.as_ref().is_some_and(|ip| ip.database().is_some()),
        }
    }
}

/// The owner of what no other one is named for.
pub fn root() -> String {
    "root".into()
}
