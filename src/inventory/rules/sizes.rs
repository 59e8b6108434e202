//! Sizes that must fit each other: connections against pools, buffers against memory, paths of mounts.

use super::Findings;
use crate::inventory::model::Inventory;
use crate::inventory::parameters::{self, base_value};
use crate::inventory::placement::nodes_of;
use crate::inventory::places::Places;
use crate::inventory::problem::Problem;

/// Connections kept free for Patroni, the checks, the exporters and an administrator.
const SPARE_CONNECTIONS: u64 = 10;

/// Ways to each database through PgBouncer: to the leader and to the replicas. With no replica left both lead to the
/// leader.
const ALIASES: u64 = 2;

/// Least memory that a PostgreSQL server is sized for, in MiB.
const MIN_MEMORY: f64 = 256.0;

/// Most memory that a PostgreSQL server is sized for, in MiB (64 TiB).
const MAX_MEMORY: f64 = 67_108_864.0;

const MIB: f64 = 1_048_576.0;

pub fn check(inventory: &Inventory, found: &mut Findings<'_>) {
    pools(inventory, found);
    if let Some(size) = inventory.postgresql.memory.as_deref().and_then(mebibytes) {
        if (MIN_MEMORY..=MAX_MEMORY).contains(&size) {
            memory(inventory, size, "", found);
        } else {
            found.value(
                &["postgresql", "memory"],
                "out of range: from 256MB to 65536GB",
                "write the RAM of a worker",
            );
        }
    }
    if let Some(mount) = &inventory.postgresql.data_mount
        && mount.split('/').any(|part| part == "." || part == "..")
    {
        found.value(
            &["postgresql", "data_mount"],
            "the path must not go through `.` or `..`",
            "write it out",
        );
    }
}

/// PgBouncer opens a pool for each pair of user and database. The leader must take all of them when they are full.
fn pools(inventory: &Inventory, found: &mut Findings<'_>) {
    let nodes = nodes_of(inventory, "pgbouncer").len() as u64;
    let pairs: u64 = inventory.postgresql.databases.keys().map(|name| users(inventory, name)).sum();
    let size = u64::from(inventory.pgbouncer.default_pool_size);
    let reserve = u64::from(inventory.pgbouncer.reserve_pool_size);
    let needed = nodes * pairs * ALIASES * (size + reserve);
    let reserved =
        count(inventory, "superuser_reserved_connections", 3) + count(inventory, "reserved_connections", 0);
    let kept = reserved + SPARE_CONNECTIONS;
    let connections = u64::from(inventory.postgresql.max_connections);
    let free = connections.saturating_sub(kept);
    if needed <= free {
        return;
    }
    let pools = nodes * pairs * ALIASES;
    let smaller = match (free / pools).checked_sub(reserve).filter(|size| *size > 0) {
        Some(size) => format!(", or `pgbouncer.default_pool_size` to {size} or less"),
        None => ", or make the pools of `pgbouncer` smaller".into(),
    };
    found.first(
        &[
            &["postgresql", "max_connections"],
            &["pgbouncer", "default_pool_size"],
            &["pgbouncer", "reserve_pool_size"],
            &["postgresql", "databases"],
            &["nodes"],
        ],
        format!(
            "full pools take {needed} connections of the leader, which has {free} for them: {nodes} PgBouncer × \
             {pairs} pair(s) of user and database × {ALIASES} ways (read-write, read-only) × ({size} + {reserve} in \
             reserve), against max_connections {connections} − {kept} kept free"
        ),
        format!("set `postgresql.max_connections` to {} or more{smaller}", needed + kept),
    );
}

/// Roles with a login that the inventory lets into a database; at least one.
fn users(inventory: &Inventory, database: &str) -> u64 {
    let Some(database) = inventory.postgresql.databases.get(database) else { return 1 };
    let mut names: Vec<&String> =
        database.owner.iter().chain(&database.read_write).chain(&database.read_only).collect();
    names.sort();
    names.dedup();
    let logins =
        names.iter().filter(|name| inventory.postgresql.roles.get(**name).is_some_and(|role| role.login));
    (logins.count() as u64).max(1)
}

fn count(inventory: &Inventory, name: &str, default: u64) -> u64 {
    let given = inventory.postgresql.parameters.get(name);
    let amount = given.and_then(|value| base_value(parameters::find(name)?.0, value));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a whole count")]
    amount.map_or(default, |amount| amount.clamp(0.0, 1e6) as u64)
}

/// What the smallest worker cannot hold of the sizes that are given, with `mib` for PostgreSQL. For use once the nodes have
/// told their RAM. Where `postgresql.memory` is given, sizes are estimates for that, but for what is taken at the start.
pub fn check_memory(inventory: &Inventory, places: &Places, mib: u64) -> Vec<Problem> {
    let mut found = Findings { places, problems: Vec::new() };
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let (size, whose) = (mib as f64, ", which the smallest worker has for PostgreSQL");
    if inventory.postgresql.memory.is_none() {
        memory(inventory, size, whose, &mut found);
    } else {
        shared_buffers(inventory, size, whose, &mut found);
    }
    found.problems
}

fn shared_buffers(inventory: &Inventory, memory: f64, whose: &str, found: &mut Findings<'_>) {
    let shared = parameter(inventory, "shared_buffers");
    if let Some(shared) = shared.filter(|shared| *shared > memory * 0.75) {
        found.value(
            &["postgresql", "parameters", "shared_buffers"],
            format!("shared_buffers takes {shared:.0} MB of a memory of {memory:.0} MB{whose}"),
            format!(
                "a quarter, {:.0}MB, is a good size; more than three quarters leaves too little",
                memory / 4.0
            ),
        );
    }
}

/// Sizes against a memory in MiB; `whose` it is.
fn memory(inventory: &Inventory, memory: f64, whose: &str, found: &mut Findings<'_>) {
    shared_buffers(inventory, memory, whose, found);
    let shared = parameter(inventory, "shared_buffers");
    if let Some(work) = parameter(inventory, "work_mem") {
        let connections = inventory.postgresql.max_connections;
        let shared = shared.unwrap_or(memory / 4.0);
        let needed = shared + f64::from(connections) * work;
        if needed > memory {
            found.value(
                &["postgresql", "parameters", "work_mem"],
                format!(
                    "shared_buffers + max_connections × work_mem = {shared:.0} + {connections} × {work:.1} = \
                     {needed:.0} MB, more than the memory of {memory:.0} MB{whose}"
                ),
                format!(
                    "set work_mem to {:.0}kB or less, or set it for the roles that need it",
                    ((memory - shared).max(0.0) / f64::from(connections) * 1024.0).floor().max(64.0)
                ),
            );
        }
    }
    if let Some(cache) = parameter(inventory, "effective_cache_size").filter(|cache| *cache > memory) {
        found.value(
            &["postgresql", "parameters", "effective_cache_size"],
            format!("effective_cache_size is {cache:.0} MB, more than the memory of {memory:.0} MB{whose}"),
            format!("three quarters of it, {:.0}MB, is a good size", memory * 0.75),
        );
    }
}

fn mebibytes(text: &str) -> Option<f64> {
    let (digits, factor) = match text.strip_suffix("GB") {
        Some(digits) => (digits, 1024.0),
        None => (text.strip_suffix("MB")?, 1.0),
    };
    digits.parse::<f64>().ok().map(|amount| amount * factor)
}

/// A size among the parameters, in MiB.
fn parameter(inventory: &Inventory, name: &str) -> Option<f64> {
    let (parameter, _) = parameters::find(name)?;
    let bytes = match parameter.unit.as_deref()? {
        "8kB" => 8192.0,
        "kB" => 1024.0,
        "MB" => MIB,
        _ => 1.0,
    };
    Some(base_value(parameter, inventory.postgresql.parameters.get(name)?)? * bytes / MIB)
}
