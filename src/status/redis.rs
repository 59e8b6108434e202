//! Redis: who is the primary, who follows how closely, and whether the Sentinels could replace it.

use schemars::JsonSchema;
use serde::Serialize;

use super::View;
use super::attention::Notes;
use crate::cluster::NodeName;
use crate::live::{self, RedisInstance, SentinelWatch};

/// Bytes that a replica may be behind before somebody should look.
const FAR_BEHIND: u64 = 64 * 1024 * 1024;

/// Redis and its Sentinels.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RedisStatus {
    /// The node of the primary; none where no node is one that the Sentinels name, or that says so where they do not.
    pub primary: Option<NodeName>,
    /// Most Sentinels agree that a lost primary would be replaced.
    pub quorum: bool,
    /// Every Redis.
    pub members: Vec<RedisMember>,
    /// Every Sentinel.
    pub sentinels: Vec<SentinelStatus>,
}

/// One Redis.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RedisMember {
    /// The node.
    pub node: NodeName,
    /// `primary`, `replica`, or `-` where it does not answer.
    pub role: &'static str,
    /// `up`, `link down`, `gives no answer` and the like.
    pub state: &'static str,
    /// Bytes of writes that it is behind the primary.
    pub lag_bytes: Option<u64>,
    /// Bytes of data.
    pub used_bytes: Option<u64>,
    /// Version.
    pub version: Option<String>,
}

/// One Sentinel.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SentinelStatus {
    /// The node.
    pub node: NodeName,
    /// `watches`, `not running` and the like.
    pub state: &'static str,
    /// The node that it names as the primary.
    pub primary: Option<NodeName>,
    /// Other Sentinels that it knows.
    pub others: Option<usize>,
    /// Replicas that it knows.
    pub replicas: Option<usize>,
    /// It and those it knows could replace the primary.
    pub quorum: bool,
}

pub fn read(view: &View<'_>, notes: &mut Notes) -> Option<RedisStatus> {
    let cluster = &view.source.cluster;
    cluster.with_role("redis").next()?;
    let observed = &view.answers.observed;
    let instances: Vec<(&NodeName, Option<RedisInstance>)> =
        cluster.with_role("redis").map(|(node, _)| (node, live::redis_instance(observed, node))).collect();
    let named = live::redis_named(view.source, observed);
    let leads = |node: &NodeName| {
        instances.iter().any(|(other, seen)| *other == node && seen.as_ref().is_some_and(|seen| seen.primary))
    };
    let primary = match named {
        Some(address) => live::redis_node_at(view.source, address).filter(leads),
        None => instances.iter().map(|(node, _)| *node).find(|node| leads(node)).cloned(),
    };
    let head = primary.as_ref().and_then(|primary| {
        instances
            .iter()
            .find(|(node, _)| *node == primary)
            .and_then(|(_, seen)| seen.as_ref())
            .map(|seen| seen.offset)
    });
    let members = instances.iter().map(|(node, seen)| member(view, node, seen.as_ref(), head)).collect();
    let sentinels: Vec<SentinelStatus> = cluster
        .with_role("sentinel")
        .map(|(node, _)| sentinel(view, node, live::sentinel_watch(observed, node).as_ref(), notes))
        .collect();
    let quorum = sentinels.iter().filter(|one| one.quorum).count() * 2 > sentinels.len();
    let status = RedisStatus { primary, quorum, members, sentinels };
    judge(view, &status, &instances, notes);
    Some(status)
}

fn member(view: &View<'_>, node: &NodeName, seen: Option<&RedisInstance>, head: Option<u64>) -> RedisMember {
    let Some(seen) = seen else {
        let state = state(view.running(node, "redis-server"));
        let node = node.clone();
        return RedisMember { node, role: "-", state, lag_bytes: None, used_bytes: None, version: None };
    };
    let linked = seen.follows.is_none_or(|(_, up)| up);
    RedisMember {
        node: node.clone(),
        role: if seen.primary { "primary" } else { "replica" },
        state: if linked { "up" } else { "link down" },
        lag_bytes: head.filter(|_| !seen.primary).map(|head| head.saturating_sub(seen.offset)),
        used_bytes: Some(seen.used),
        version: Some(seen.version.clone()),
    }
}

fn sentinel(
    view: &View<'_>,
    node: &NodeName,
    seen: Option<&SentinelWatch>,
    notes: &mut Notes,
) -> SentinelStatus {
    let running = view.running(node, "redis-sentinel");
    if running == Some(true) && seen.is_none() {
        let journal = view.remedies.journal(node, "redis-sentinel");
        notes.warning(Some(node), "Sentinel does not answer", journal);
    }
    let state = if seen.is_some() { "watches" } else { state(running) };
    SentinelStatus {
        node: node.clone(),
        state,
        primary: seen.and_then(|seen| live::redis_node_at(view.source, seen.primary?)),
        others: seen.map(|seen| seen.others.len()),
        replicas: seen.map(|seen| seen.replicas.len()),
        quorum: seen.is_some_and(|seen| seen.trouble.is_none()),
    }
}

fn state(running: Option<bool>) -> &'static str {
    match running {
        Some(true) => "gives no answer",
        Some(false) => "not running",
        None => "unknown",
    }
}

fn judge(
    view: &View<'_>,
    status: &RedisStatus,
    instances: &[(&NodeName, Option<RedisInstance>)],
    notes: &mut Notes,
) {
    let speaks = |node: &&NodeName| view.speaks(node);
    let Some(first) = instances.iter().map(|(node, _)| *node).find(speaks) else { return };
    let journal = |node: &NodeName| view.remedies.journal(node, "redis-server");
    if status.primary.is_none() {
        notes.critical(None, "Redis has no primary: nothing can be written to it", journal(first));
    }
    if !status.quorum {
        let asked = status.sentinels.iter().map(|one| &one.node).find(speaks).unwrap_or(first);
        let what = "the Sentinels could not replace a lost primary of Redis";
        notes.warning(None, what, view.remedies.journal(asked, "redis-sentinel"));
    }
    let named: Vec<&NodeName> = status.sentinels.iter().filter_map(|one| one.primary.as_ref()).collect();
    if let Some(other) = named.iter().find(|node| Some(**node) != named.first().copied()) {
        let what = format!("the Sentinels do not agree on the primary of Redis: {} and {other}", named[0]);
        notes.warning(None, what, view.remedies.apply());
    }
    for (node, seen) in instances {
        let Some(seen) = seen else {
            if view.running(node, "redis-server") == Some(true) {
                notes.warning(Some(node), "Redis does not answer, or does not let deploy in", journal(node));
            }
            continue;
        };
        if seen.primary && status.primary.as_ref() != Some(*node) {
            notes.warning(Some(node), "Redis takes writes here beside the primary", journal(node));
        }
        if seen.follows.is_some_and(|(_, up)| !up) {
            notes.warning(
                Some(node),
                "the link of this replica of Redis to its primary is down",
                journal(node),
            );
        }
        if !seen.durable {
            notes.warning(Some(node), "Redis cannot write its append-only file", journal(node));
        }
    }
    for member in status.members.iter().filter(|member| member.lag_bytes.is_some_and(|lag| lag > FAR_BEHIND))
    {
        let what = "this replica of Redis is far behind its primary";
        notes.warning(Some(&member.node), what, journal(&member.node));
    }
}
