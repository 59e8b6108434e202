//! Redis and the Sentinels that watch over it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Redis with Sentinel. Times in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Redis {
    /// Whether the cluster has Redis. What runs already is not stopped by `false`.
    pub enabled: bool,
    /// The port of Redis on its nodes; by default 6379, and 6380 where a node runs HAProxy too, which has 6379.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024))]
    pub port: Option<u16>,
    /// Memory for data, as `512MB` or `4GB`; by default half of the machine's RAM, and an eighth beside PostgreSQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]+(MB|GB)$"))]
    pub maxmemory: Option<String>,
    /// What gives way when the memory is full.
    pub maxmemory_policy: MaxmemoryPolicy,
    /// Keep an append-only file, so that a restart loses nothing.
    pub appendonly: bool,
    /// How often the append-only file is brought to the disk.
    pub appendfsync: Appendfsync,
    /// Replicas that must be linked for the primary to take writes; 0 asks for none. Of one replica asked for and one that
    /// there is, the loss stops all writes.
    #[schemars(range(max = 100))]
    pub min_replicas_to_write: u32,
    /// Seconds of silence after which a replica no longer counts as linked.
    #[schemars(range(min = 1, max = 3600))]
    pub min_replicas_max_lag: u32,
    /// How long a primary must be silent before a Sentinel takes it for lost, in milliseconds.
    #[schemars(range(min = 500, max = 600_000))]
    pub down_after: u32,
    /// How long one attempt at a failover may take, in milliseconds; the next one waits for twice as long.
    #[schemars(range(min = 1000, max = 3_600_000))]
    pub failover_timeout: u32,
    /// Replicas that copy from a new primary at the same time.
    #[schemars(range(min = 1, max = 100))]
    pub parallel_syncs: u32,
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            enabled: true,
            port: None,
            maxmemory: None,
            maxmemory_policy: MaxmemoryPolicy::Noeviction,
            appendonly: true,
            appendfsync: Appendfsync::Everysec,
            min_replicas_to_write: 0,
            min_replicas_max_lag: 10,
            down_after: 5000,
            failover_timeout: 30_000,
            parallel_syncs: 1,
        }
    }
}

impl Redis {
    /// Bytes for data on a machine; `shared` with PostgreSQL or not. In steps of 64 MiB, because another kernel has some MiB
    /// more or less of the same RAM.
    pub fn bytes(&self, ram_mib: u64, shared: bool) -> u64 {
        let part = if shared { ram_mib / 8 } else { ram_mib / 2 };
        let default = (part / 64).max(1) * 64;
        self.maxmemory.as_deref().and_then(mebibytes).unwrap_or(default) * 1_048_576
    }
}

/// MiB of `512MB` or `8GB`.
pub fn mebibytes(text: &str) -> Option<u64> {
    if let Some(number) = text.strip_suffix("MB") {
        return number.parse().ok();
    }
    text.strip_suffix("GB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// What gives way when Redis' memory is full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MaxmemoryPolicy {
    /// Nothing: writes are refused.
    #[default]
    Noeviction,
    /// The keys used the longest ago.
    AllkeysLru,
    /// The keys used least often.
    AllkeysLfu,
    /// Any keys.
    AllkeysRandom,
    /// Of the keys that expire, those used the longest ago.
    VolatileLru,
    /// Of the keys that expire, those used least often.
    VolatileLfu,
    /// Any of the keys that expire.
    VolatileRandom,
    /// The keys that expire the soonest.
    VolatileTtl,
}

/// How often Redis brings its append-only file to the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Appendfsync {
    /// At every write.
    Always,
    /// Once a second.
    #[default]
    Everysec,
    /// When the system does.
    No,
}
