//! HAProxy and PgBouncer: the way of clients to the leader and the replicas.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// HAProxy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Haproxy {
    /// Connections that each HAProxy takes at once.
    #[schemars(range(min = 100, max = 1_000_000))]
    pub max_connections: u32,
    /// Milliseconds between two checks of who leads; whether a replica is healthy is asked a fifth as often.
    #[schemars(range(min = 100, max = 60000))]
    pub check_interval: u32,
    /// Refuse a client that opens more than this many connections in 3 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connection_rate_limit: Option<u32>,
}

impl Default for Haproxy {
    fn default() -> Self {
        Self { max_connections: 8000, check_interval: 300, connection_rate_limit: None }
    }
}

/// PgBouncer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Pgbouncer {
    /// Clients that each PgBouncer takes at once.
    #[schemars(range(min = 10, max = 100_000))]
    pub max_client_conn: u32,
    /// Server connections for each pair of user and database.
    #[schemars(range(min = 1, max = 10_000))]
    pub default_pool_size: u32,
    /// Further server connections when a client has waited for long.
    #[schemars(range(max = 10_000))]
    pub reserve_pool_size: u32,
    /// Seconds after which an idle server connection is closed.
    #[schemars(range(max = 604_800))]
    pub server_idle_timeout: u32,
    /// When a server connection goes back to the pool.
    pub pool_mode: PoolMode,
}

impl Default for Pgbouncer {
    fn default() -> Self {
        Self {
            max_client_conn: 5000,
            default_pool_size: 20,
            reserve_pool_size: 5,
            server_idle_timeout: 600,
            pool_mode: PoolMode::Transaction,
        }
    }
}

/// When a server connection goes back to the pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PoolMode {
    /// When the client disconnects.
    Session,
    /// At the end of each transaction.
    #[default]
    Transaction,
}
