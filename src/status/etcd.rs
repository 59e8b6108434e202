//! etcd's members: whether there is a quorum, who leads, and how much they hold.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::View;
use super::attention::Notes;
use crate::cluster::{NodeName, bracketed};
use crate::live::{self, etcd_number};

/// etcd as a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct EtcdStatus {
    /// The member that leads.
    pub leader: Option<String>,
    /// Some member answers and knows a leader, which it would not without most of the others.
    pub quorum: bool,
    /// Every member.
    pub members: Vec<EtcdMemberStatus>,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct EtcdMemberStatus {
    /// Name of its node; of a stranger what etcd calls it.
    pub name: String,
    /// Its number in hexadecimal; none while it is not a member.
    pub id: Option<String>,
    /// `healthy`, `not healthy`, `not a member`, or `unknown` where its node does not answer.
    pub state: String,
    /// It answers, knows a leader and reports no fault.
    pub healthy: bool,
    /// `leader`, `follower`, or `learner` while it has no vote; none where it is not healthy.
    pub role: Option<&'static str>,
    /// Version of etcd.
    pub version: Option<String>,
    /// Bytes on its disk.
    pub db_size_bytes: Option<u64>,
    /// The inventory has it.
    pub in_inventory: bool,
}

pub fn read(view: &View<'_>, notes: &mut Notes) -> Option<EtcdStatus> {
    let cluster = &view.source.cluster;
    let observed = &view.answers.observed;
    cluster.with_role("etcd").next()?;
    let fields = |node: &NodeName| live::fields(observed, node, &live::etcd_id());
    // Members that cannot be asked are listed by those that can.
    let listed = cluster
        .with_role("etcd")
        .find_map(|(node, _)| live::json(fields(node)?, "members"))
        .and_then(|mut reply| reply.get_mut("members").map(Value::take))
        .and_then(|members| members.as_array().cloned())
        .unwrap_or_default();
    let mut strangers = listed.clone();
    let mut members = Vec::new();
    for (node, known) in cluster.with_role("etcd") {
        let url = format!("https://{}:2380", bracketed(known.address));
        let is_it = |member: &Value| {
            member["peerURLs"].as_array().is_some_and(|urls| urls.iter().any(|one| *one == *url))
        };
        strangers.retain(|member| !is_it(member));
        let entry = listed.iter().find(|member| is_it(member));
        let own = fields(node).and_then(|fields| live::json(fields, "status")).unwrap_or_default();
        members.push(member(node.to_string(), entry, &own, true, observed.contains_key(node)));
    }
    for stranger in &strangers {
        let name = stranger["name"].as_str().unwrap_or_default().to_owned();
        members.push(member(name, Some(stranger), &Value::Null, false, false));
    }
    let found = EtcdStatus {
        leader: members.iter().find(|member| member.role == Some("leader")).map(|member| member.name.clone()),
        quorum: members.iter().any(|member| member.healthy),
        members,
    };
    attention(view, &found, notes);
    Some(found)
}

fn member(
    name: String,
    entry: Option<&Value>,
    own: &Value,
    in_inventory: bool,
    reachable: bool,
) -> EtcdMemberStatus {
    let id = entry.and_then(|entry| etcd_number(&entry["ID"]));
    let leads = etcd_number(&own["leader"]).filter(|leader| *leader != 0);
    let faults = own["errors"].as_array().is_some_and(|errors| !errors.is_empty());
    let healthy = id.is_some() && leads.is_some() && !faults;
    let state = match id {
        _ if !reachable => "unknown",
        None => "not a member",
        Some(_) if healthy => "healthy",
        Some(_) => "not healthy",
    };
    let role = if leads.is_some() && leads == etcd_number(&own["header"]["member_id"]) {
        "leader"
    } else if entry.is_some_and(|entry| entry["isLearner"] == Value::Bool(true)) {
        "learner"
    } else {
        "follower"
    };
    EtcdMemberStatus {
        name,
        id: id.map(|id| format!("{id:x}")),
        state: state.to_owned(),
        healthy,
        role: healthy.then_some(role),
        version: own["version"].as_str().map(str::to_owned),
        db_size_bytes: etcd_number(&own["dbSize"]),
        in_inventory,
    }
}

fn attention(view: &View<'_>, found: &EtcdStatus, notes: &mut Notes) {
    let asked = view.source.cluster.with_role("etcd").any(|(node, _)| view.speaks(node));
    if asked && !found.quorum {
        let first =
            view.source.cluster.with_role("etcd").map(|(node, _)| node).find(|node| view.speaks(node));
        let command = first.map_or_else(|| view.remedies.apply(), |node| view.remedies.journal(node, "etcd"));
        notes.critical(None, "etcd has no quorum: no leader of PostgreSQL can be elected", command);
    }
    for member in &found.members {
        let node = NodeName::from(member.name.as_str());
        if !member.in_inventory {
            notes.warning(
                None,
                format!("etcd has a member {} that is not in the inventory", member.name),
                view.remedies.apply(),
            );
        } else if !view.speaks(&node) || !view.runs(&node, "etcd") {
            // Told of already.
        } else if member.id.is_none() && found.quorum {
            notes.warning(Some(&node), "is not a member of etcd", view.remedies.apply());
        } else if !member.healthy {
            notes.warning(Some(&node), "its etcd is not healthy", view.remedies.journal(&node, "etcd"));
        } else if member.role == Some("learner") {
            notes.warning(Some(&node), "its etcd has no vote yet", view.remedies.apply());
        }
    }
}
