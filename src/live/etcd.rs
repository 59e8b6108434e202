//! The membership of etcd: bootstrapped once, then changed one member at a time.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{Observed, Placed, certificate_path, fields, foreign_hint, json, token};
use crate::cluster::{NodeName, bracketed};
use crate::render::Source;
use crate::resource::{Call, Change, Effect, Fields, Id, Order, Refusal, Verb};

const DATA: &str = "/var/lib/etcd/default";

/// A member as etcd lists it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Member {
    /// Its number.
    #[serde(rename = "ID", deserialize_with = "read_number")]
    pub id: u64,
    /// Its name; empty while it has never started.
    #[serde(default)]
    pub name: String,
    /// Where its peers reach it.
    #[serde(rename = "peerURLs", default)]
    pub peer_urls: Vec<String>,
}

/// A number as etcd's JSON has it: 64 bits in a text.
pub fn number(value: &Value) -> Option<u64> {
    value.as_str().and_then(|text| text.parse().ok())
}

fn read_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    number(&value).ok_or_else(|| serde::de::Error::custom("not a number of etcd"))
}

pub fn id() -> Id {
    Id::new("etcd", "membership")
}

pub fn probe(source: &Source) -> Call {
    let configuration = STANDARD.encode(format!("/service/{}/config", source.cluster.name()));
    Call::new("etcd_probe", [certificate_path(source, "etcd", "client"), DATA.into(), configuration])
}

fn peer_url(source: &Source, node: &NodeName) -> String {
    source.cluster.nodes.get(node).map_or_else(String::new, |node| {
        let address = bracketed(node.address);
        format!("https://{address}:2380")
    })
}

/// The members as the first healthy node lists them.
pub fn members(source: &Source, observed: &Observed) -> Option<Vec<Member>> {
    source.cluster.with_role("etcd").find_map(|(node, _)| {
        let listed = json(fields(observed, node, &id())?, "members")?;
        serde_json::from_value(listed.get("members")?.clone()).ok()
    })
}

pub fn changes(source: &Source, observed: &Observed) -> Result<Vec<Placed>, Refusal> {
    let token = token(source);
    let listed = members(source, observed);
    let everyone: Vec<String> = source
        .cluster
        .with_role("etcd")
        .map(|(node, _)| format!("{node}={}", peer_url(source, node)))
        .collect();
    let mut changes = Vec::new();
    for (node, _) in source.cluster.with_role("etcd") {
        let empty = Fields::new();
        let seen = fields(observed, node, &id()).unwrap_or(&empty);
        let url = peer_url(source, node);
        let known =
            listed.as_ref().and_then(|members| members.iter().find(|member| member.peer_urls.contains(&url)));
        let begun = known.filter(|member| !member.name.is_empty());
        // What such a node has is of an earlier life, as a member that was taken out.
        let stranger = listed.is_some() && begun.is_none() && json(seen, "members").is_none();
        let data = seen.get("data").cloned().unwrap_or_default();
        if !data.is_empty() {
            match seen.get("owner") {
                Some(owner) if *owner == token && stranger => {}
                Some(owner) if *owner == token => continue,
                owner => return Err(foreign(source, node, &data, owner)),
            }
        }
        // Where there is a quorum it has to take this member in.
        let joins = listed.is_some();
        let (reason, call) = if joins {
            // With data of an earlier life it would be taken for one that has forgotten what it promised.
            let replaced = begun.or(known.filter(|_| !data.is_empty()));
            let stale = replaced.map_or(String::new(), |member| format!("{:x}", member.id));
            let endpoints: Vec<String> = source
                .cluster
                .with_role("etcd")
                .filter(|(other, _)| *other != node)
                .map(|(_, other)| format!("https://{}:2379", bracketed(other.address)))
                .collect();
            let certificate = certificate_path(source, "etcd", "client");
            let reason = match (begun, data.is_empty()) {
                (Some(_), _) => "its data is gone",
                (None, true) => "not a member yet",
                (None, false) => "a member no more: it joins anew, what it has is set aside",
            };
            let args = [token.clone(), certificate, endpoints.join(","), node.to_string(), url, stale, data];
            (reason, Call::new("etcd_join", args))
        } else {
            let args = [token.clone(), everyone.join(","), url];
            ("no cluster yet", Call::new("etcd_bootstrap", args))
        };
        let mut change =
            Change::new(Id::new("etcd-member", node.to_string()), Verb::Create, reason, Order::Settle, call);
        if joins {
            change.effect = Effect::Restart;
            change.unnoticed = true;
        }
        changes.push((node.clone(), change));
    }
    if changes.is_empty() {
        changes.extend(removals(source, observed, listed.unwrap_or_default()));
    }
    Ok(changes)
}

/// Members that no node of the inventory stands for, each removed through a node that is one, and stopped where its node
/// is still there.
fn removals(source: &Source, observed: &Observed, listed: Vec<Member>) -> Vec<Placed> {
    let wanted: Vec<String> =
        source.cluster.with_role("etcd").map(|(node, _)| peer_url(source, node)).collect();
    let healthy = source
        .cluster
        .with_role("etcd")
        .find(|(node, _)| fields(observed, node, &id()).is_some_and(|seen| json(seen, "members").is_some()));
    let Some((node, _)) = healthy else { return Vec::new() };
    let foreign =
        listed.into_iter().filter(|member| !member.peer_urls.iter().any(|url| wanted.contains(url)));
    let mut changes = Vec::new();
    for member in foreign {
        let id = format!("{:x}", member.id);
        let call = Call::new("etcd_remove", [certificate_path(source, "etcd", "client"), id]);
        let runs = |node: &&NodeName| {
            source.cluster.nodes.get(*node).is_some_and(|node| node.roles.contains("etcd"))
        };
        let former = observed.keys().find(|known| known.as_str() == member.name).filter(|node| !runs(node));
        let name = if member.name.is_empty() { member.peer_urls.join(",") } else { member.name };
        let id = Id::new("etcd-member", name);
        let why = "no longer wanted by the inventory";
        changes.push((node.clone(), Change::new(id, Verb::Delete, why, Order::Activate, call)));
        if let Some(former) = former {
            let call = Call::new("etcd_retire", Vec::<String>::new());
            let unit = Id::new("unit", "etcd");
            let mut change = Change::new(unit, Verb::Delete, "a member no more", Order::Activate, call);
            change.last = true;
            changes.push((former.clone(), change));
        }
    }
    changes
}

fn foreign(source: &Source, node: &NodeName, data: &str, owner: Option<&String>) -> Refusal {
    let token = token(source);
    let what = match owner {
        Some(owner) => format!("{node}: {data} belongs to another cluster ({owner}, not {token})"),
        None => format!("{node}: {data} holds the data of an etcd that this cluster did not make"),
    };
    Refusal { what, hint: foreign_hint(source, node, "etcd", data, owner) }
}
