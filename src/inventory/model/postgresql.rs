//! PostgreSQL: sizes, parameters, roles and databases.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// PostgreSQL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Postgresql {
    /// RAM to size for, as `512MB` or `8GB`; by default that of the smallest worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]+(MB|GB)$"))]
    pub memory: Option<String>,
    /// Cores to size for; by default those of the smallest worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4096))]
    pub cores: Option<u32>,
    /// Connections that each server takes.
    #[schemars(range(min = 20, max = 10000))]
    pub max_connections: u32,
    /// Smallest TLS version that is accepted.
    pub tls_min_version: TlsVersion,
    /// Record changes in a way that logical replication can read (`wal_level = logical`).
    pub logical_replication: bool,
    /// Directory of the data, as `/srv/postgresql`, by default Debian's; when set it must be on a mount of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^(/[A-Za-z0-9._-]+)+$"))]
    pub data_mount: Option<String>,
    /// PostgreSQL parameters, merged over those that `deploy` chooses.
    pub parameters: BTreeMap<String, Scalar>,
    /// Login and group roles. Their passwords are made and kept in the secret store.
    pub roles: BTreeMap<String, DatabaseRole>,
    /// Databases. By default one, `app`, owned by the role `app`.
    pub databases: BTreeMap<String, Database>,
    /// Further `pg_hba.conf` lines, in front of those that `deploy` writes for clients.
    pub hba: Vec<String>,
}

impl Default for Postgresql {
    fn default() -> Self {
        Self {
            memory: None,
            cores: None,
            max_connections: 200,
            tls_min_version: TlsVersion::V1_3,
            logical_replication: false,
            data_mount: None,
            parameters: BTreeMap::new(),
            roles: BTreeMap::from([("app".into(), DatabaseRole::default())]),
            databases: BTreeMap::from([(
                "app".into(),
                Database { owner: Some("app".into()), ..Database::default() },
            )]),
            hba: Vec::new(),
        }
    }
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Scalar", into = "String")]
#[schemars(with = "TlsVersionText")]
pub enum TlsVersion {
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    #[default]
    V1_3,
}

impl TlsVersion {
    /// The version's number: `1.2` or `1.3`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1_2 => "1.2",
            Self::V1_3 => "1.3",
        }
    }
}

// YAML reads `1.2` as a number and `"1.2"` as text; both are what the user means.
#[derive(JsonSchema)]
#[schemars(transparent, extend("type" = ["string", "number"], "enum" = ["1.2", "1.3", 1.2, 1.3]))]
#[allow(dead_code, reason = "only names the shape of `TlsVersion` in the schema")]
struct TlsVersionText(String);

impl TryFrom<Scalar> for TlsVersion {
    type Error = String;
    fn try_from(value: Scalar) -> Result<Self, Self::Error> {
        match value.to_string().as_str() {
            "1.2" => Ok(Self::V1_2),
            "1.3" => Ok(Self::V1_3),
            other => Err(format!("TLS {other} is not supported; 1.2 and 1.3 are")),
        }
    }
}

impl From<TlsVersion> for String {
    fn from(version: TlsVersion) -> Self {
        version.as_str().into()
    }
}

/// A value of a setting: text, a number or a truth value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Scalar {
    /// true or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Text(String),
}

impl std::fmt::Display for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool(true) => f.write_str("on"),
            Self::Bool(false) => f.write_str("off"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value}"),
            Self::Text(value) => f.write_str(value),
        }
    }
}

/// A role of PostgreSQL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DatabaseRole {
    /// May log in, with a password from the secret store (`postgresql/<role>`).
    pub login: bool,
    /// Roles that it is a member of.
    pub member_of: Vec<String>,
    /// Most connections at once; -1 is no limit.
    #[schemars(range(min = -1, max = 262_143))]
    pub connection_limit: i32,
}

impl Default for DatabaseRole {
    fn default() -> Self {
        Self { login: true, member_of: Vec::new(), connection_limit: -1 }
    }
}

/// A database.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    /// The role that owns it; by default `postgres`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Extensions, created in it.
    pub extensions: Vec<String>,
    /// Schemas beside `public`, owned by the owner.
    pub schemas: Vec<String>,
    /// Roles that may read and write every table of its schemas, now and later.
    pub read_write: Vec<String>,
    /// Roles that may read every table of its schemas, now and later, and change none: what else they were given is taken.
    pub read_only: Vec<String>,
}
