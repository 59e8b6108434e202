//! etcd and Patroni: who leads, and how fast a lost leader is replaced.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// etcd. Times in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Etcd {
    /// Interval of the leader's heartbeat, in milliseconds; about one round trip between members. 250, and 100 with
    /// `patroni.failover: fast`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 5000))]
    pub heartbeat_interval: Option<u32>,
    /// How long a member waits for a heartbeat before it stands for election, in milliseconds; ten heartbeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 50, max = 50000))]
    pub election_timeout: Option<u32>,
    /// Size that the store may grow to, in MiB.
    #[schemars(range(min = 64, max = 8192))]
    pub quota_mib: u32,
    /// Hours of history to keep.
    #[schemars(range(min = 1, max = 8760))]
    pub compaction_hours: u32,
}

impl Default for Etcd {
    fn default() -> Self {
        Self { heartbeat_interval: None, election_timeout: None, quota_mib: 2048, compaction_hours: 1 }
    }
}

impl Etcd {
    /// Milliseconds as asked for: (heartbeat, election).
    pub fn timings(&self, failover: Failover) -> (u32, u32) {
        let usual = match failover {
            Failover::Calm => 250,
            Failover::Fast => 100,
        };
        let heartbeat = self.heartbeat_interval.unwrap_or(usual);
        (heartbeat, self.election_timeout.unwrap_or_else(|| heartbeat.saturating_mul(10)))
    }
}

/// How fast a lost leader is replaced: the timings of Patroni.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Failover {
    /// ttl 30, loop_wait 10, retry_timeout 10: rides out a slow network; writes again within 33 s.
    #[default]
    Calm,
    /// ttl 10 (20 from Patroni 4 on, which takes no less), loop_wait 2, retry_timeout 3; etcd elects within 2 s.
    Fast,
}

/// What a commit waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Synchronous {
    /// For nobody: a lost leader can lose the last transactions.
    Off,
    /// For one standby, while there is one.
    #[default]
    On,
    /// For one standby; writes stop while there is none.
    Strict,
}

/// Patroni. Times in seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Patroni {
    /// The set of timings; `ttl`, `loop_wait` and `retry_timeout` override it one by one.
    pub failover: Failover,
    /// Seconds that the leader's lock lives without renewal.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 5, max = 3600))]
    pub ttl: Option<u32>,
    /// Seconds between two rounds of Patroni's loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 600))]
    pub loop_wait: Option<u32>,
    /// Seconds that etcd or PostgreSQL may be out of reach before the leader steps down.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 3, max = 600))]
    pub retry_timeout: Option<u32>,
    /// Bytes that a replica may lag and still become leader, in asynchronous mode.
    #[schemars(range(max = 1_099_511_627_776_u64))]
    pub maximum_lag_on_failover: u64,
    /// What a commit waits for.
    pub synchronous: Synchronous,
    /// Go on as leader while all of etcd is lost, as long as every member is in reach.
    pub failsafe: bool,
    /// Hardware watchdog that resets a machine whose Patroni hangs.
    pub watchdog: Watchdog,
}

impl Default for Patroni {
    fn default() -> Self {
        Self {
            failover: Failover::Calm,
            ttl: None,
            loop_wait: None,
            retry_timeout: None,
            maximum_lag_on_failover: 1_048_576,
            synchronous: Synchronous::On,
            failsafe: true,
            watchdog: Watchdog::Automatic,
        }
    }
}

impl Patroni {
    /// Seconds as asked for: (ttl, loop_wait, retry_timeout).
    pub fn timings(&self) -> (u32, u32, u32) {
        let (ttl, loop_wait, retry_timeout) = match self.failover {
            Failover::Calm => (30, 10, 10),
            Failover::Fast => (10, 2, 3),
        };
        (
            self.ttl.unwrap_or(ttl),
            self.loop_wait.unwrap_or(loop_wait),
            self.retry_timeout.unwrap_or(retry_timeout),
        )
    }
}

/// Use of `/dev/watchdog`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Watchdog {
    /// Never.
    Off,
    /// Where the machine has one.
    #[default]
    Automatic,
    /// A node without one never becomes leader.
    Required,
}
