//! The cluster at a glance, for people.

use std::fmt::Write;

use console::style;

use super::table::{Cell, Tone, table, toned};
use crate::live::ClientPool;
use crate::status::{
    Backend, EtcdStatus, HaproxyStatus, Health, NodeStatus, PgbouncerStatus, PostgresqlMember,
    PostgresqlStatus, RedisMember, RedisStatus, SentinelStatus, Severity, Status, VirtualIpStatus,
};

/// The status as text: a table for each part, then what to do about what is wrong.
pub fn status(status: &Status) -> String {
    let (word, tone) = match status.health {
        Health::Healthy => ("healthy", Tone::Good),
        Health::Degraded => ("degraded", Tone::Warn),
        Health::Down => ("down", Tone::Bad),
    };
    let mut text = format!("cluster {}: {}\n", style(&status.cluster).bold(), toned(word, tone));
    section(&mut text, "nodes", "", &nodes(&status.nodes));
    if let Some(found) = &status.postgresql {
        section(&mut text, "postgresql", &postgresql_words(found), &postgresql(found));
    }
    if let Some(found) = &status.etcd {
        let words = if found.quorum { "has its quorum" } else { "has no quorum" };
        section(&mut text, "etcd", words, &etcd(found));
    }
    if !status.virtual_ips.is_empty() {
        section(&mut text, "virtual addresses", "", &virtual_ips(&status.virtual_ips));
    }
    if !status.haproxy.is_empty() {
        section(&mut text, "haproxy", "", &haproxy(&status.haproxy));
    }
    if !status.pgbouncer.is_empty() {
        section(&mut text, "pgbouncer", "", &pgbouncer(&status.pgbouncer));
    }
    if let Some(found) = &status.redis {
        let words = match &found.primary {
            Some(primary) => format!("{primary} is the primary"),
            None => "no primary".into(),
        };
        section(&mut text, "redis", &words, &redis(found));
        let words = if found.quorum { "could replace the primary" } else { "could not replace the primary" };
        section(&mut text, "sentinel", words, &sentinel(found));
    }
    if !status.certificates.is_empty() {
        let rows: Vec<Vec<Cell>> = status
            .certificates
            .iter()
            .map(|one| {
                let days = Cell::judged(one.days_left.to_string(), one.days_left > 0);
                vec![one.node.as_str().into(), days, one.expires.as_str().into(), one.path.as_str().into()]
            })
            .collect();
        section(
            &mut text,
            "certificates",
            "the first to end on each node",
            &table(&["NODE", "DAYS LEFT", "ENDS", "PATH"], &rows),
        );
    }
    attention(&mut text, status);
    text
}

fn section(text: &mut String, title: &str, words: &str, body: &str) {
    let comma = if words.is_empty() { "" } else { ": " };
    let _ = write!(text, "\n{}{comma}{words}\n{body}", style(title).bold());
}

fn nodes(nodes: &[NodeStatus]) -> String {
    let rows: Vec<Vec<Cell>> = nodes
        .iter()
        .map(|node| {
            let roles = node.roles.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
            let state = match (node.reachable, node.deployed, !node.stopped.is_empty()) {
                (false, ..) => Cell("unreachable".into(), Tone::Bad),
                (_, false, _) => Cell("not deployed".into(), Tone::Warn),
                (_, _, true) => Cell("a unit is not running".into(), Tone::Bad),
                _ => Cell("ok".into(), Tone::Good),
            };
            let release = node.debian.map_or_else(|| "-".to_owned(), |debian| debian.to_string());
            let (name, kind) = (node.name.as_str().into(), node.kind.as_str().into());
            vec![name, kind, node.address.to_string().into(), release.into(), state, roles.into()]
        })
        .collect();
    table(&["NODE", "KIND", "ADDRESS", "DEBIAN", "STATE", "ROLES"], &rows)
}

fn postgresql_words(found: &PostgresqlStatus) -> String {
    let mut words = match &found.leader {
        Some(leader) => format!("{leader} leads"),
        None => "no leader".into(),
    };
    if let Some(timeline) = found.timeline {
        let _ = write!(words, " on timeline {timeline}");
    }
    if found.paused {
        words.push_str(", Patroni is paused");
    }
    words
}

fn postgresql(found: &PostgresqlStatus) -> String {
    let row = |member: &PostgresqlMember| -> Vec<Cell> {
        let role = match member.role.as_str() {
            "sync_standby" => "sync standby",
            "quorum_standby" => "quorum standby",
            role => role,
        };
        let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let lag = member.lag_bytes.map_or_else(|| "-".to_owned(), bytes);
        vec![
            member.name.as_str().into(),
            role.into(),
            Cell::judged(member.state.clone(), member.runs()),
            number(member.timeline).into(),
            lag.into(),
            member.version.clone().unwrap_or_else(|| "-".into()).into(),
            Cell(if member.pending_restart { "restart pending".into() } else { String::new() }, Tone::Warn),
        ]
    };
    let rows: Vec<Vec<Cell>> = found.members.iter().map(row).collect();
    table(&["MEMBER", "ROLE", "STATE", "TIMELINE", "LAG", "VERSION", ""], &rows)
}

fn etcd(found: &EtcdStatus) -> String {
    let rows: Vec<Vec<Cell>> = found
        .members
        .iter()
        .map(|member| {
            vec![
                member.name.as_str().into(),
                member.role.unwrap_or("-").into(),
                Cell::judged(member.state.clone(), member.healthy),
                member.db_size_bytes.map_or_else(|| "-".to_owned(), bytes).into(),
                member.version.clone().unwrap_or_else(|| "-".into()).into(),
            ]
        })
        .collect();
    table(&["MEMBER", "ROLE", "STATE", "SIZE", "VERSION"], &rows)
}

fn virtual_ips(all: &[VirtualIpStatus]) -> String {
    let row = |one: &VirtualIpStatus| -> Vec<Cell> {
        let names: Vec<&str> = one.holders.iter().map(crate::cluster::NodeName::as_str).collect();
        let held = if names.is_empty() { "nobody".into() } else { names.join(" ") };
        vec![one.address.to_string().into(), Cell::judged(held, names.len() == 1)]
    };
    table(&["ADDRESS", "HELD BY"], &all.iter().map(row).collect::<Vec<_>>())
}

fn haproxy(all: &[HaproxyStatus]) -> String {
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for proxy in all.iter().filter(|proxy| proxy.backends.is_empty()) {
        let state = match proxy.running {
            Some(true) => "gives no answer",
            Some(false) => "not running",
            None => "unknown",
        };
        rows.push(vec![proxy.node.as_str().into(), "-".into(), "-".into(), Cell(state.into(), Tone::Bad)]);
    }
    for proxy in all {
        for backend in &proxy.backends {
            let names = |servers: &mut dyn Iterator<Item = String>| servers.collect::<Vec<_>>().join(" ");
            let up = names(&mut backend.up().map(|server| server.name.clone()));
            let down = |backend: &Backend| {
                let down = backend.servers.iter().filter(|server| !server.up && !server.backup);
                names(&mut down.map(|server| server.name.clone()))
            };
            let port = backend.port.map_or_else(|| "-".to_owned(), |port| port.to_string());
            let good = !up.is_empty();
            let shown = if good { up } else { "none".into() };
            let sessions: u64 = backend.servers.iter().map(|server| server.sessions).sum();
            rows.push(vec![
                proxy.node.as_str().into(),
                port.into(),
                backend.name.as_str().into(),
                Cell::judged(shown, good),
                down(backend).into(),
                sessions.to_string().into(),
            ]);
        }
    }
    table(&["NODE", "PORT", "BACKEND", "UP", "OTHERS", "SESSIONS"], &rows)
}

fn pgbouncer(all: &[PgbouncerStatus]) -> String {
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for bouncer in all {
        if bouncer.running != Some(true) || bouncer.pools.iter().all(idle) {
            let (state, tone) = match bouncer.running {
                Some(true) => ("no pool in use", Tone::Plain),
                Some(false) => ("not running", Tone::Bad),
                None => ("unknown", Tone::Bad),
            };
            rows.push(vec![bouncer.node.as_str().into(), Cell(state.into(), tone)]);
        }
        for pool in bouncer.pools.iter().filter(|pool| !idle(pool)) {
            let tone = if pool.clients_waiting > 0 { Tone::Warn } else { Tone::Plain };
            rows.push(vec![
                bouncer.node.as_str().into(),
                pool.database.as_str().into(),
                pool.user.as_str().into(),
                pool.clients_active.to_string().into(),
                Cell(pool.clients_waiting.to_string(), tone),
                format!("{} busy, {} free", pool.servers_active, pool.servers_idle).into(),
            ]);
        }
    }
    table(&["NODE", "POOL", "ROLE", "CLIENTS", "WAITING", "SERVERS"], &rows)
}

fn redis(found: &RedisStatus) -> String {
    let size = |size: Option<u64>| size.map_or_else(|| "-".to_owned(), bytes);
    let row = |member: &RedisMember| -> Vec<Cell> {
        vec![
            member.node.as_str().into(),
            member.role.into(),
            Cell::judged(member.state.to_owned(), member.state == "up"),
            size(member.lag_bytes).into(),
            size(member.used_bytes).into(),
            member.version.clone().unwrap_or_else(|| "-".into()).into(),
        ]
    };
    let rows: Vec<Vec<Cell>> = found.members.iter().map(row).collect();
    table(&["NODE", "ROLE", "STATE", "LAG", "DATA", "VERSION"], &rows)
}

fn sentinel(found: &RedisStatus) -> String {
    let count = |count: Option<usize>| count.map_or_else(|| "-".to_owned(), |count| count.to_string());
    let row = |one: &SentinelStatus| -> Vec<Cell> {
        vec![
            one.node.as_str().into(),
            Cell::judged(one.state.to_owned(), one.quorum),
            one.primary.as_ref().map_or("-", |node| node.as_str()).into(),
            count(one.others).into(),
            count(one.replicas).into(),
        ]
    };
    let rows: Vec<Vec<Cell>> = found.sentinels.iter().map(row).collect();
    table(&["NODE", "STATE", "PRIMARY", "OTHERS", "REPLICAS"], &rows)
}

/// A pool that somebody has used and nobody uses now.
fn idle(pool: &ClientPool) -> bool {
    [pool.clients_active, pool.clients_waiting, pool.servers_active, pool.servers_idle]
        .iter()
        .all(|count| *count == 0)
}

fn attention(text: &mut String, status: &Status) {
    if status.attention.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{}", style("needs attention").bold());
    for one in &status.attention {
        let (word, tone) = match one.severity {
            Severity::Critical => ("critical", Tone::Bad),
            Severity::Warning => ("warning ", Tone::Warn),
            Severity::Note => ("note    ", Tone::Plain),
        };
        let node = one.node.as_ref().map_or_else(String::new, |node| format!("{node}: "));
        let _ = writeln!(text, "  {}  {node}{}", toned(word, tone), one.what);
        if let Some(command) = &one.command {
            let _ = writeln!(text, "            {}", style(command).cyan());
        }
    }
}

/// A number of bytes as a person reads it.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let (mut whole, mut rest, mut unit) = (count / 1024, count % 1024, 0);
    while whole >= 1024 && unit + 1 < UNITS.len() {
        (rest, whole, unit) = (whole % 1024, whole / 1024, unit + 1);
    }
    format!("{whole}.{} {}", rest * 10 / 1024, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn bytes_are_shown_in_the_unit_that_fits() {
        assert_eq!(
            [bytes(0), bytes(1023), bytes(1536), bytes(5 << 30)],
            ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]
        );
    }
}
