//! The parameters that an inventory may not set by name, because something else decides them.

/// Why a parameter is not the user's to set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owned {
    /// Who decides it: completes "`port` …".
    pub why: &'static str,
    /// What to do instead.
    pub instead: &'static str,
}

const RECOVERY: Owned =
    Owned { why: "is decided by Patroni, which runs recovery", instead: "remove the line" };
const PLACES: Owned =
    Owned { why: "is decided by the layout that deploy gives a node", instead: "remove the line" };
const TLS: Owned =
    Owned { why: "is decided by the certificates that deploy issues", instead: "remove the line" };
const DURABLE: Owned = Owned {
    why: "is decided by the promise that an acknowledged write survives a crash",
    instead: "remove the line",
};

/// Who owns a parameter, when it is not the user.
pub fn owned(name: &str) -> Option<Owned> {
    let name = name.to_ascii_lowercase();
    let owner = match name.as_str() {
        "max_connections" => {
            Owned { why: "has a field of its own", instead: "set `postgresql.max_connections`" }
        }
        "wal_level" => {
            Owned { why: "has a field of its own", instead: "set `postgresql.logical_replication: true`" }
        }
        "ssl_min_protocol_version" => {
            Owned { why: "has a field of its own", instead: "set `postgresql.tls_min_version`" }
        }
        "data_directory" => Owned { why: "has a field of its own", instead: "set `postgresql.data_mount`" },
        "synchronous_standby_names" => {
            Owned { why: "is decided by Patroni", instead: "set `patroni.synchronous`" }
        }
        "cluster_name" => Owned { why: "is decided by Patroni", instead: "the inventory's `name` is used" },
        "primary_conninfo"
        | "primary_slot_name"
        | "restore_command"
        | "recovery_end_command"
        | "archive_cleanup_command"
        | "promote_trigger_file"
        | "hot_standby" => RECOVERY,
        name if name.starts_with("recovery_target") => RECOVERY,
        "wal_log_hints" => {
            Owned { why: "is decided by Patroni, whose pg_rewind needs it on", instead: "remove the line" }
        }
        "listen_addresses" | "port" => Owned {
            why: "is decided by the address of each node and the port that HAProxy expects",
            instead: "remove the line",
        },
        "config_file"
        | "hba_file"
        | "ident_file"
        | "external_pid_file"
        | "unix_socket_directories"
        | "unix_socket_group"
        | "unix_socket_permissions"
        | "data_directory_mode" => PLACES,
        "password_encryption" => {
            Owned { why: "is decided by deploy, which takes SCRAM-SHA-256 alone", instead: "remove the line" }
        }
        name if name == "ssl" || name.starts_with("ssl_") => TLS,
        "fsync" | "full_page_writes" | "zero_damaged_pages" | "ignore_checksum_failure" => DURABLE,
        _ => return None,
    };
    Some(owner)
}
