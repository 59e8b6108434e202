//! Live state: what a daemon owns and keeps, reconciled through the daemon's own interface and never by its files.
//!
//! etcd's membership, Patroni's dynamic configuration and pending restarts, the roles and databases of PostgreSQL, the
//! directives and users of Redis and what its Sentinels watch, and which group of an application is live; HAProxy's
//! servers, the holder of a virtual address and PgBouncer's pools are only looked at, but PgBouncer is told when its
//! connections have to move. Each has its probe, which runs with the node's own resources in the same round trip, and a
//! comparison that looks at all nodes at once, because what one daemon says concerns them all. Pure.

mod adoption;
mod applications;
mod authorities;
mod database;
mod dynamic;
mod etcd;
#[cfg(test)]
mod etcd_test;
#[cfg(test)]
pub mod fixture;
mod haproxy;
mod keepalived;
mod leadership;
mod members;
mod misfits;
mod objects;
#[cfg(test)]
mod objects_test;
mod pgbouncer;
mod redis;
mod restarts;
mod secret_uses;
mod served;
mod sizing;
mod sql;
mod table;
#[cfg(test)]
mod tests;

pub use adoption::{authority_probes, remembered, strangers};
pub use applications::{Choices, choices, has_group, is_choice, is_chosen, servers as application_servers};
pub use authorities::{Reached, authority_paths, reached};
pub use dynamic::initial as initial_configuration;
pub use etcd::{
    Member as EtcdMember, id as etcd_id, is_join as is_etcd_join, members as etcd_members,
    number as etcd_number,
};
pub use haproxy::{ProxyServer, proxy_servers};
pub use keepalived::{held_once, holder_probe, holders, misfits as address_misfits};
pub use leadership::{checkpoint, hand_over, leadership, switchover};
pub use members::{ClusterView, Member, MemberStatus, id as member_id};
pub use misfits::misfits;
pub use objects::{login_roles, password_of};
pub use pgbouncer::holds;
pub use pgbouncer::{ClientPool, Console, console};
pub use redis::{
    HandOver, Instance as RedisInstance, SENTINEL_PORT, Watch as SentinelWatch, hand_over as redis_hand_over,
    instance as redis_instance, named as redis_named, node_at as redis_node_at, primary as redis_primary,
    watch as sentinel_watch,
};
pub use secret_uses::{SecretUse, on_change, secret_names, secret_uses, secrets_of};
pub use served::{
    probes as application_probes, resting_groups, served as served_applications, without_server,
};

use std::collections::BTreeMap;

use crate::cluster::NodeName;
use crate::render::{Facts, RenderError, Source};
use crate::resource::{Call, Change, Fields, Id, Refusal};

/// What one node said: its facts, and the fields of every resource and live state that it was asked about.
#[derive(Debug, Clone)]
pub struct Observation {
    /// The machine.
    pub facts: Facts,
    /// By resource.
    pub fields: BTreeMap<Id, Fields>,
}

/// What all nodes said.
pub type Observed = BTreeMap<NodeName, Observation>;

/// A change and the node on which it is made.
pub type Placed = (NodeName, Change);

/// The shell functions of every kind of live state.
pub const SHELL: &str = concat!(
    include_str!("etcd.sh"),
    include_str!("members.sh"),
    include_str!("objects.sh"),
    include_str!("owned.sh"),
    include_str!("haproxy.sh"),
    include_str!("applications.sh"),
    include_str!("keepalived.sh"),
    include_str!("pgbouncer.sh"),
    include_str!("redis/redis.sh"),
);

/// Why live state cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The world is not what a plan may assume.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A template that live state takes lines from cannot be rendered.
    #[error(transparent)]
    Render(#[from] RenderError),
}

/// What to ask of `node` beside its resources: all of it, or what planning one phase looks at.
pub fn probes(source: &Source, node: &NodeName, phase: Option<&str>) -> Vec<(Id, Call)> {
    let runs = |role: &str| source.cluster.nodes.get(node).is_some_and(|node| node.roles.contains(role));
    let within = |phases: &[&str]| phase.is_none_or(|phase| phases.contains(&phase));
    let mut probes = Vec::new();
    if runs("etcd") && within(&["etcd", "patroni"]) {
        probes.push((etcd::id(), etcd::probe(source)));
    }
    if runs("patroni") && within(&["patroni", "databases", "pgbouncer"]) {
        probes.push((members::id(), members::probe(source, node)));
        probes.push((objects::id(), objects::probe(source)));
    }
    if runs("haproxy") && within(&[]) {
        probes.push((haproxy::id(), haproxy::probe()));
    }
    if runs("haproxy") && within(&["haproxy"]) && !source.cluster.inventory.applications.is_empty() {
        probes.push((applications::id(), applications::probe()));
    }
    if within(&[]) && source.cluster.inventory.virtual_ip.is_some() {
        probes.push(if runs("keepalived") { keepalived::probe(source) } else { holder_probe(source) });
    }
    if runs("pgbouncer") && within(&["patroni", "databases", "haproxy"]) {
        probes.push((pgbouncer::id(), pgbouncer::probe()));
    }
    if within(&redis::PHASES) {
        probes.extend(redis::probes(source, runs));
    }
    probes
}

/// The changes of live state in one phase.
pub fn changes(
    phase: &str,
    source: &Source,
    observed: &Observed,
) -> Result<(Vec<Placed>, Vec<String>), LiveError> {
    match phase {
        "etcd" => Ok((etcd::changes(source, observed)?, Vec::new())),
        "patroni" => {
            members::nobody_left(source, observed)?;
            members::mounted(source, observed)?;
            let mut all = members::ownership(source, observed)?;
            let (configuration, notes) = dynamic::changes(source, observed)?;
            let restarts =
                restarts::restarts(source, observed, configuration.as_ref().map(|(change, _)| change));
            all.extend(configuration.map(|(_, placed)| placed));
            all.extend(restarts);
            all.extend(leadership::moved(source, observed));
            Ok((all, notes))
        }
        "haproxy" => Ok((applications::changes(source, observed), Vec::new())),
        "databases" => Ok((objects::changes(source, observed), Vec::new())),
        "pgbouncer" => {
            let mut all = objects::logged_in(source, observed);
            all.extend(objects::lookup_change(source, observed));
            Ok((all, Vec::new()))
        }
        "redis" => {
            let mut all = redis::changes(source, observed)?;
            all.extend(redis::sentinel_user_changes(source, observed)?);
            Ok((all, Vec::new()))
        }
        "sentinel" => redis::sentinel_changes(source, observed),
        "redis-passwords" => Ok((redis::password_changes(source, observed)?, Vec::new())),
        _ => Ok((Vec::new(), Vec::new())),
    }
}

/// The changes of live state that follow from the `steps` of a phase.
pub fn follows(source: &Source, observed: &Observed, steps: &BTreeMap<NodeName, Vec<Change>>) -> Vec<Placed> {
    let changes = || steps.values().flatten();
    if changes().any(haproxy::leaves_old_worker) {
        pgbouncer::reconnects(source, observed)
    } else {
        Vec::new()
    }
}

/// The data on `node` that this cluster did not make, where there is any: nothing may be set up over it.
pub fn foreign_data(source: &Source, node: &NodeName, seen: &Observation) -> Vec<Refusal> {
    let alone = Observed::from([(node.clone(), seen.clone())]);
    let foreign = [
        etcd::ownership(source, &alone).err(),
        members::ownership(source, &alone).err(),
        redis::foreign(source, &alone).err(),
    ];
    foreign.into_iter().flatten().collect()
}

/// What marks the data directories of this cluster: nothing else may be taken over.
pub fn token(source: &Source) -> String {
    format!("{}-{}", source.cluster.name(), source.trust.mark)
}

/// What each node said of itself.
pub fn facts(observed: &Observed) -> BTreeMap<NodeName, Facts> {
    observed.iter().map(|(node, seen)| (node.clone(), seen.facts.clone())).collect()
}

/// What to do about data that is not ours. A cluster of the same name is most likely ours, and its store is not.
fn foreign_hint(source: &Source, node: &NodeName, what: &str, data: &str, owner: Option<&String>) -> String {
    let own_name = format!("{}-", source.cluster.name());
    let away = format!("stop {what} on {node} and move {data} away; then run the same command again");
    if owner.is_some_and(|owner| owner.starts_with(&own_name)) {
        format!(
            "if this cluster's `secrets.age` was lost, bring it back, or take the cluster over by \
             `deploy certs rotate-ca --lost-key`; if nothing needs the data, {away}"
        )
    } else {
        format!("if nothing needs it, {away}")
    }
}

/// The fields that `node` gave for `id`.
pub fn fields<'a>(observed: &'a Observed, node: &NodeName, id: &Id) -> Option<&'a Fields> {
    observed.get(node)?.fields.get(id)
}

/// The path of a role's certificate without its ending.
fn certificate_path(source: &Source, role: &str, name: &str) -> String {
    let manifest = source.library.roles.get(role);
    let certificate = manifest.and_then(|manifest| manifest.certificates.iter().find(|one| one.name == name));
    certificate.map(|certificate| certificate.path.clone()).unwrap_or_default()
}

/// The value of a field as JSON, which is one line.
pub fn json(fields: &Fields, key: &str) -> Option<serde_json::Value> {
    serde_json::from_str(fields.get(key)?).ok()
}

/// The value of a base64 field as text.
pub fn text(fields: &Fields, key: &str) -> Option<String> {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD.decode(fields.get(key)?).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
