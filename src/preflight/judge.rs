//! Verdicts of one node, from what it said. Pure.

use std::collections::BTreeSet;

use super::question::{Answer, manifests, ways};
use crate::cluster::NodeName;
use crate::inventory::Inventory;
use crate::inventory::model::Network;
use crate::live::{self, Observation, Observed};
use crate::render::{Facts, Source};
use crate::verdict::{Outcome, Verdict};

/// Most seconds that two clocks may be apart.
const SKEW: f64 = 2.0;
/// Least memory of a worker in MiB: what Linux shows of a machine of 1 GiB.
const RAM_MIB: u64 = 900;
/// Least free space in KiB.
const DISK_KIB: u64 = 5 * 1024 * 1024;

/// What a check found: how it came out, and why.
pub type Found = (Outcome, String);

/// The checks of a machine by name, each with what holds when it passes, in the order in which they are shown.
pub const CHECKS: [(&str, &str); 17] = [
    ("identity", "the secret store opens"),
    ("reachable", "the node answers over SSH"),
    ("root", "commands run as root"),
    ("os", "it runs Debian 12 or 13"),
    ("clock", "its clock is within 2 s of this machine's"),
    ("hostname", "its own name leads to an address"),
    ("ram", "a worker has at least 1 GiB of memory"),
    ("disk", "at least 5 GiB are free under /var"),
    ("mounts", "the data of PostgreSQL is on a mount of its own"),
    ("ports", "the ports of its roles are free, or theirs already"),
    ("data", "no data is in the way that this cluster did not make"),
    ("packages", "apt knows every package that it needs"),
    ("upgrades", "no upgrade restarts its services unasked"),
    ("filters", "nothing else loads rules of the packet filter"),
    ("access", "SSH and the ports of clients are not open to everybody"),
    ("virtual-ip", "the virtual address is free, or this cluster's"),
    ("network", "every other node that it must reach is in reach"),
];

/// What is known of the other nodes.
#[derive(Default)]
pub struct Others {
    /// They did not answer.
    pub silent: BTreeSet<NodeName>,
    /// Our packet filter is loaded there.
    pub filtering: BTreeSet<NodeName>,
}

/// One verdict.
pub fn verdict(name: &str, node: &NodeName, (outcome, reason): Found) -> Verdict {
    let title = CHECKS.iter().find(|(known, _)| *known == name).map_or("", |(_, title)| title);
    Verdict { name: name.to_owned(), title: title.to_owned(), node: node.clone(), outcome, reason }
}

fn pass() -> Found {
    (Outcome::Pass, String::new())
}

fn skip(why: &str) -> Found {
    (Outcome::Skip, why.to_owned())
}

fn fail(why: String) -> Found {
    (Outcome::Fail, why)
}

fn warn(why: String) -> Found {
    (Outcome::Warn, why)
}

/// Whom the packet filters let in from outside.
pub fn access(inventory: &Inventory) -> Found {
    if !inventory.firewall.enabled {
        return skip("`firewall.enabled` is false");
    }
    let all = [("access.admin", &inventory.access.admin), ("access.clients", &inventory.access.clients)];
    let everybody = |networks: &[Network]| networks.iter().any(|network| network.0.prefix_len() == 0);
    let open: Vec<String> =
        all.iter().filter(|(_, who)| everybody(who)).map(|(key, _)| format!("`{key}`")).collect();
    if open.is_empty() {
        return pass();
    }
    warn(format!("everybody is in {}: name the networks that have to come in", open.join(" and in ")))
}

/// The verdict on the virtual addresses, from what all nodes said; none where there are none.
pub fn virtual_ip(source: &Source, observed: &Observed) -> Option<Verdict> {
    let (node, _) = source.cluster.with_role("keepalived").next()?;
    let misfits = live::address_misfits(source, observed).into_iter();
    let words: Vec<String> = misfits.map(|(_, what, hint)| format!("{what}; {hint}")).collect();
    let found = if words.is_empty() { pass() } else { fail(words.join("\n")) };
    Some(verdict("virtual-ip", node, found))
}

/// The verdicts of a node that answered both questions.
pub fn judge(
    source: &Source,
    node: &NodeName,
    seen: &Observation,
    answer: &Answer,
    others: &Others,
) -> Vec<Verdict> {
    let stores = source.cluster.nodes.get(node).is_some_and(|node| node.roles.contains("patroni"));
    let mut found = vec![
        ("os", (Outcome::Pass, format!("Debian {}", seen.facts.debian))),
        ("clock", clock(answer)),
        ("hostname", hostname(answer, &seen.facts)),
        ("disk", disk(answer)),
        ("ports", ports(source, node, seen, answer)),
        ("data", data(source, node, seen)),
        ("packages", packages(source, node, &seen.facts, answer)),
        ("upgrades", upgrades(source, node, &seen.facts, answer)),
        ("filters", filters(&source.cluster.inventory, answer)),
        ("network", network(source, node, answer, others)),
    ];
    if stores {
        found.extend([("ram", ram(&seen.facts)), ("mounts", mounts(source, answer))]);
    }
    found.into_iter().map(|(name, found)| verdict(name, node, found)).collect()
}

fn clock(answer: &Answer) -> Found {
    match answer.skew {
        None => skip("its clock was not read"),
        Some(skew) if skew.abs() > SKEW => {
            let side = if skew > 0.0 { "ahead of" } else { "behind" };
            let skew = skew.abs();
            fail(format!("its clock is {skew:.1} s {side} this machine's; let both follow a time server"))
        }
        Some(skew) => (Outcome::Pass, format!("{skew:+.3} s")),
    }
}

fn hostname(answer: &Answer, facts: &Facts) -> Found {
    if answer.get("hosts_of_cloud") == "yes" {
        return fail(
            "its user data has cloud-init write /etc/hosts anew at every boot, without the names of the cluster; take \
             `manage_etc_hosts` out of it, or put `manage_etc_hosts: false` into /var/lib/cloud/instance/user-data.txt"
                .into(),
        );
    }
    if answer.get("named") == "yes" {
        return pass();
    }
    let name = &facts.hostname;
    warn(format!(
        "nothing says which address {name} has; apply writes the names of all nodes into /etc/hosts"
    ))
}

fn ram(facts: &Facts) -> Found {
    if facts.ram_mib >= RAM_MIB {
        return (Outcome::Pass, format!("{} MiB", facts.ram_mib));
    }
    fail(format!("{} MiB of memory; PostgreSQL needs a machine with at least 1 GiB", facts.ram_mib))
}

fn disk(answer: &Answer) -> Found {
    match answer.number("disk") {
        Some(free) if free >= DISK_KIB => (Outcome::Pass, format!("{} GiB", free >> 20)),
        Some(free) => fail(format!("{} MiB are free under /var; make it 5 GiB", free >> 10)),
        None => skip("the free space could not be read"),
    }
}

fn mounts(source: &Source, answer: &Answer) -> Found {
    let Some(mount) = &source.cluster.inventory.postgresql.data_mount else {
        return skip("`postgresql.data_mount` is not set");
    };
    let Some(free) = answer.number("mount") else {
        return fail(format!("nothing is mounted on {mount}, which `postgresql.data_mount` names"));
    };
    if free < DISK_KIB {
        return fail(format!("{} MiB are free on {mount}; make it 5 GiB", free >> 10));
    }
    if !answer.get("mount_options").split(',').any(|option| option == "noatime") {
        return warn(format!("{mount} is mounted without noatime: every read of the data costs a write"));
    }
    (Outcome::Pass, format!("{} GiB", free >> 20))
}

fn ports(source: &Source, node: &NodeName, seen: &Observation, answer: &Answer) -> Found {
    let Some(listeners) = &answer.listeners else {
        return warn("`ss` is missing, so it is not known who listens".into());
    };
    let mut taken = Vec::new();
    for manifest in manifests(source, node) {
        // A service of ours may hold the ports of its own role.
        let own = |unit: &str| {
            let ours = manifest.units.iter().any(|known| known.name == unit);
            let id = crate::resource::Id::new("unit", unit);
            ours && seen
                .fields
                .get(&id)
                .and_then(|fields| fields.get("active"))
                .is_some_and(|state| state != "inactive" && state != "failed")
        };
        for port in &manifest.ports {
            let foreign =
                listeners.iter().find(|listener| listener.port == port.port && !own(&listener.unit));
            taken.extend(foreign.map(|listener| {
                let unit = if listener.unit.is_empty() {
                    String::new()
                } else {
                    format!(" ({}.service)", listener.unit)
                };
                let (port, process, role) = (port.port, &listener.process, &manifest.role);
                format!("port {port}, which {role} needs, is taken by {process}{unit}")
            }));
        }
    }
    if taken.is_empty() { pass() } else { fail(taken.join("\n")) }
}

fn data(source: &Source, node: &NodeName, seen: &Observation) -> Found {
    let refusals = live::foreign_data(source, node, seen);
    if refusals.is_empty() {
        return pass();
    }
    fail(
        refusals
            .iter()
            .map(|refusal| format!("{}; {}", refusal.what, refusal.hint))
            .collect::<Vec<_>>()
            .join("\n"),
    )
}

/// The packages that a node needs on its release.
fn needed(source: &Source, node: &NodeName, facts: &Facts) -> Vec<String> {
    let wanted = manifests(source, node).flat_map(|manifest| manifest.packages.iter());
    let mut names: Vec<String> = wanted
        .filter(|package| package.debian.is_none_or(|release| release == facts.debian))
        .map(|package| package.name.clone())
        .collect();
    names.sort();
    names.dedup();
    names
}

fn packages(source: &Source, node: &NodeName, facts: &Facts, answer: &Answer) -> Found {
    let known = |name: &&String| answer.candidates.get(*name).is_some_and(|version| version != "(none)");
    let needed = needed(source, node, facts);
    let missing: Vec<&str> = needed.iter().filter(|name| !known(name)).map(String::as_str).collect();
    if missing.is_empty() {
        return pass();
    }
    if answer.get("lists") != "yes" {
        return warn("apt has no lists of packages yet, so nothing can be said; apply fetches them".into());
    }
    fail(format!("apt does not know {}; look at its sources and run `apt-get update`", missing.join(", ")))
}

fn upgrades(source: &Source, node: &NodeName, facts: &Facts, answer: &Answer) -> Found {
    if ["", "0"].contains(&answer.get("upgrades")) {
        return pass();
    }
    // Entries are regular expressions that match from the beginning; most people write plain names.
    let covers = |entry: &str, name: &str| {
        let exact = entry.ends_with('$');
        let plain = entry.trim_start_matches('^').trim_end_matches('$').trim_end_matches(".*");
        if exact { name == plain } else { name.starts_with(plain) }
    };
    let services = ["etcd", "haproxy", "patroni", "pgbouncer", "postgresql", "redis"];
    let exposed: Vec<String> = needed(source, node, facts)
        .into_iter()
        .filter(|name| services.iter().any(|service| name.starts_with(service)))
        .filter(|name| !answer.left_out.iter().any(|entry| covers(entry, name)))
        .collect();
    if exposed.is_empty() {
        return pass();
    }
    warn(format!(
        "unattended-upgrades may restart {} at any time; put them into Unattended-Upgrade::Package-Blacklist",
        exposed.join(", ")
    ))
}

fn filters(inventory: &Inventory, answer: &Answer) -> Found {
    if !inventory.firewall.enabled {
        return skip("`firewall.enabled` is false");
    }
    match answer.get("filter") {
        "" => pass(),
        unit => warn(format!(
            "{unit}.service loads rules as well, and flushes those of the cluster when it is reloaded: disable it, or keep \
             its rules to tables of their own"
        )),
    }
}

fn network(source: &Source, node: &NodeName, answer: &Answer, others: &Others) -> Found {
    let (mut closed, mut unknown, mut open) = (Vec::new(), Vec::new(), 0);
    for way in ways(source, node).into_iter().filter(|way| !others.silent.contains(&way.to)) {
        let ended = answer.reached.get(&(way.address, way.port)).map_or("it was not tried", String::as_str);
        match ended {
            // A refusal comes from the machine itself: the way there is open.
            "open" | "refused" => open += 1,
            // Its own rules may not know of this way before they are applied.
            "dropped" if others.filtering.contains(&way.to) => unknown.push(way.to.to_string()),
            "dropped" => {
                closed.push(format!("{} port {} ({}): no answer within 2 s", way.to, way.port, way.what));
            }
            other => closed.push(format!("{} port {} ({}): {other}", way.to, way.port, way.what)),
        }
    }
    match (closed.is_empty(), open) {
        (true, _) if !unknown.is_empty() => {
            unknown.dedup();
            warn(format!("the packet filter of {} is closed to it; apply opens it", unknown.join(", ")))
        }
        (true, 0) => skip("no other node that answers has to be reached from here"),
        (true, _) => (Outcome::Pass, format!("{open} ways are open")),
        (false, _) => fail(closed.join("\n")),
    }
}
