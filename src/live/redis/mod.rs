//! Redis and its Sentinels. They keep their own files: who leads, who follows and who watches is theirs. `deploy` owns
//! directives and users, reads them one by one and changes them through Redis itself; it never tells who is the primary.

mod hand_over;
mod instance;
mod sentinel;
mod text;
mod users;

#[cfg(test)]
mod tests;

pub use hand_over::{HandOver, hand_over};
pub use instance::{Instance, changes, foreign, id, instance};
pub use sentinel::{
    Watch, changes as sentinel_changes, id as sentinel_id, user_changes as sentinel_user_changes, watch,
};

use std::collections::BTreeMap;
use std::net::IpAddr;

use self::instance::has_begun;
use super::{Observed, Placed};
use crate::cluster::NodeName;
use crate::render::Source;
use crate::resource::{Call, Change, Effect, Id, Order, Payload, Refusal, Retired, Verb};

/// Port of the Sentinels.
pub const SENTINEL_PORT: u16 = 26379;

/// The units of Redis and Sentinel.
const SERVER: &str = "redis-server";
const SENTINEL: &str = "redis-sentinel";

/// The phases that look at Redis and its Sentinels.
pub const PHASES: [&str; 3] = ["redis", "sentinel", "redis-passwords"];

/// What to ask of a node that `runs` some roles: also of one that has lost a role and may still act in it.
pub fn probes(source: &Source, runs: impl Fn(&str) -> bool) -> Vec<(Id, Call)> {
    if source.cluster.with_role("redis").next().is_none() {
        return Vec::new();
    }
    let own = |role: &str, unit: &str, call: Call| if runs(role) { call } else { Retired::asks(unit, call) };
    vec![
        (id(), own("redis", SERVER, instance::probe(source))),
        (sentinel_id(), own("sentinel", SENTINEL, sentinel::probe(source))),
    ]
}

/// Refuses to go on without the data of a primary that is no Redis node of the inventory: one that the Sentinels name, or,
/// where they name nobody, one that has lost the role and still takes writes.
fn at_home(source: &Source, observed: &Observed) -> Result<(), Refusal> {
    let leads = |node: &&NodeName| instance(observed, node).is_some_and(|seen| seen.primary);
    let homes = || source.cluster.with_role("redis").map(|(node, _)| node);
    let stray = match named(source, observed) {
        Some(address) => node_at(source, address).is_none().then(|| address.to_string()),
        None if homes().next().is_none() || homes().any(|node| leads(&node)) => None,
        None => source.cluster.nodes.keys().find(leads).map(ToString::to_string),
    };
    let Some(stray) = stray else { return Ok(()) };
    Err(Refusal {
        what: format!("the primary of Redis is {stray}, which is no Redis node of the inventory"),
        hint: "take the node in again, move the primary by `deploy redis failover`, then take the node out"
            .into(),
    })
}

/// The node of the primary: whom most Sentinels name, or else who says so itself; of nodes that do not run yet, the
/// first, from which the others copy.
pub fn primary(source: &Source, observed: &Observed) -> Option<NodeName> {
    let named = named(source, observed);
    if let Some(node) = named.and_then(|address| node_at(source, address)) {
        return Some(node);
    }
    let nodes = || source.cluster.with_role("redis").map(|(node, _)| node);
    let primaries = nodes().filter_map(|node| Some((node, instance(observed, node)?)));
    let leads = primaries.filter(|(_, seen)| seen.primary).max_by_key(|(_, seen)| seen.replicas.len());
    let begun = |node: &&NodeName| has_begun(source, observed, node);
    leads.map(|(node, _)| node).or_else(|| nodes().find(begun)).or_else(|| nodes().next()).cloned()
}

/// The address that most Sentinels name.
pub fn named(source: &Source, observed: &Observed) -> Option<IpAddr> {
    let mut votes: BTreeMap<IpAddr, usize> = BTreeMap::new();
    for (node, _) in source.cluster.with_role("sentinel") {
        if let Some(address) = watch(observed, node).and_then(|watch| watch.primary) {
            *votes.entry(address).or_default() += 1;
        }
    }
    votes.into_iter().max_by_key(|(_, count)| *count).map(|(address, _)| address)
}

/// The Redis node with this address.
pub fn node_at(source: &Source, address: IpAddr) -> Option<NodeName> {
    source.cluster.with_role("redis").find(|(_, node)| node.address == address).map(|(node, _)| node.clone())
}

/// Takes back every password that is no longer in the store, when nothing uses it any more.
pub fn password_changes(
    source: &Source,
    observed: &Observed,
) -> Result<Vec<Placed>, crate::render::RenderError> {
    let mut all = Vec::new();
    for role in ["redis", "sentinel"] {
        for (node, _) in source.cluster.with_role(role) {
            let users = match role {
                "redis" => instance(observed, node).map(|seen| seen.users),
                _ => watch(observed, node).map(|seen| seen.users),
            };
            let (Some(users), Some(wanted)) = (users, text::seed(source, observed, node, role)?) else {
                continue;
            };
            let (commands, names) = users::taken_back(&text::users(&wanted.content), &users);
            if commands.is_empty() {
                continue;
            }
            let reason = format!("an earlier password of {} is still taken", names.join(", "));
            let id = Id::new(role, "earlier passwords");
            all.push((node.clone(), tell(id, Verb::Delete, reason, Order::Settle, role, &commands)));
        }
    }
    Ok(all)
}

/// A change by commands to Redis or Sentinel, which then write their file.
fn tell(id: Id, verb: Verb, reason: String, order: Order, role: &str, commands: &[String]) -> Change {
    let kept = if role == "redis" { "CONFIG REWRITE" } else { "SENTINEL FLUSHCONFIG" };
    let text = commands
        .iter()
        .map(String::as_str)
        .chain([kept])
        .fold(String::new(), |text, command| text + command + "\n");
    let call = Call::new("redis_tell", [role]).with(Payload::Bytes(text.into_bytes()));
    let mut change = Change::new(id, verb, reason, order, call);
    change.effect = Effect::None;
    change
}
