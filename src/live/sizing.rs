//! PostgreSQL's parameters, sized from RAM and cores. The rules are those of `ARCHITECTURE.md`, "Sizes".

use std::collections::BTreeMap;

use crate::inventory::Inventory;
use crate::inventory::model::{TlsVersion, mebibytes};

/// The parameters that `deploy` chooses, under those of the inventory. Values as PostgreSQL reads them.
pub fn parameters(inventory: &Inventory, ram_mib: u64, cores: u32) -> BTreeMap<String, String> {
    let wanted = &inventory.postgresql;
    let ram = wanted.memory.as_deref().and_then(mebibytes).unwrap_or(ram_mib);
    let cores = wanted.cores.unwrap_or(cores).max(1);
    let shared = ram / 4;
    // KiB; a sort or hash may use it several times over in one query.
    let work_mem = ((ram - shared) * 1024 / u64::from(wanted.max_connections) / 2).clamp(1024, 131_072);
    let (ttl, ..) = inventory.patroni.timings();
    let lost = format!("{}s", (ttl / 2).clamp(10, 60));
    let mut all: BTreeMap<String, String> = [
        ("autovacuum_max_workers", "3".to_owned()),
        ("checkpoint_completion_target", "0.9".into()),
        ("checkpoint_timeout", "5min".into()),
        ("default_statistics_target", "100".into()),
        ("effective_cache_size", format!("{}MB", ram * 3 / 4)),
        ("effective_io_concurrency", "200".into()),
        ("hot_standby", "on".into()),
        ("log_autovacuum_min_duration", "10s".into()),
        ("log_checkpoints", "on".into()),
        ("log_connections", "on".into()),
        ("log_disconnections", "on".into()),
        ("log_line_prefix", "%m [%p] %q%u@%d %r ".into()),
        ("log_lock_waits", "on".into()),
        ("log_min_duration_statement", "1s".into()),
        ("log_statement", "ddl".into()),
        ("log_temp_files", "10MB".into()),
        ("maintenance_work_mem", format!("{}MB", (ram / 16).clamp(64, 2048))),
        ("max_connections", wanted.max_connections.to_string()),
        // PostgreSQL's own; here so that a change back to it is seen as one to a smaller value.
        ("max_locks_per_transaction", "64".into()),
        ("max_parallel_maintenance_workers", cores.div_ceil(2).min(4).to_string()),
        ("max_parallel_workers", cores.to_string()),
        ("max_parallel_workers_per_gather", cores.div_ceil(2).min(4).to_string()),
        ("max_prepared_transactions", "0".into()),
        ("max_replication_slots", "10".into()),
        // A replica that does not come back must not fill the leader's disk.
        ("max_slot_wal_keep_size", "10GB".into()),
        ("max_wal_senders", "10".into()),
        ("max_wal_size", "4GB".into()),
        ("max_worker_processes", cores.max(8).to_string()),
        ("min_wal_size", "1GB".into()),
        ("password_encryption", "scram-sha-256".into()),
        ("pg_stat_statements.track", "top".into()),
        ("random_page_cost", "1.1".into()),
        ("shared_buffers", format!("{}MB", shared.max(128))),
        ("shared_preload_libraries", "pg_stat_statements".into()),
        ("ssl_min_protocol_version", tls(wanted.tls_min_version).into()),
        ("tcp_keepalives_count", "3".into()),
        ("tcp_keepalives_idle", "30".into()),
        ("tcp_keepalives_interval", "10".into()),
        ("wal_buffers", "16MB".into()),
        ("wal_compression", "on".into()),
        ("wal_keep_size", "1GB".into()),
        ("wal_level", if wanted.logical_replication { "logical" } else { "replica" }.into()),
        ("wal_log_hints", "on".into()),
        // A standby that is lost, or its leader, is seen to be within this; PostgreSQL's own 60 s would hold writes for that long.
        ("wal_receiver_timeout", lost.clone()),
        // A standby that lost its leader tries the next one after this, not after the default 5 s.
        ("wal_retrieve_retry_interval", "1s".into()),
        ("wal_sender_timeout", lost),
        ("work_mem", format!("{work_mem}kB")),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    all.extend(wanted.parameters.iter().map(|(key, value)| (key.clone(), value.to_string())));
    all
}

/// Parameters whose value above follows from RAM or cores.
pub const SIZED: [&str; 8] = [
    "effective_cache_size",
    "maintenance_work_mem",
    "max_parallel_maintenance_workers",
    "max_parallel_workers",
    "max_parallel_workers_per_gather",
    "max_worker_processes",
    "shared_buffers",
    "work_mem",
];

fn tls(version: TlsVersion) -> &'static str {
    match version {
        TlsVersion::V1_2 => "TLSv1.2",
        TlsVersion::V1_3 => "TLSv1.3",
    }
}
