//! The membership of etcd: bootstrapped once, then changed one member at a time.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{Observed, Placed, certificate_path, fields, foreign_hint, json, token};
use crate::cluster::{Node, NodeName, bracketed};
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
    /// Where its clients reach it; none while it has never started.
    #[serde(rename = "clientURLs", default)]
    pub client_urls: Vec<String>,
}

impl Member {
    /// Its name, else where it is.
    fn title(&self) -> String {
        if self.name.is_empty() { self.peer_urls.join(",") } else { self.name.clone() }
    }
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
    let known: Vec<String> = source.cluster.with_role("etcd").map(|(_, node)| client_url(node)).collect();
    let args = [certificate_path(source, "etcd", "client"), DATA.into(), configuration, known.join(" ")];
    Call::new("etcd_probe", args)
}

fn client_url(node: &Node) -> String {
    format!("https://{}:2379", bracketed(node.address))
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

/// Members that no node of the inventory stands for, those that do not answer first: without them, no quorum is lost by
/// taking in another one.
fn strangers(source: &Source, observed: &Observed, listed: &[Member]) -> Vec<Member> {
    let wanted: Vec<String> =
        source.cluster.with_role("etcd").map(|(node, _)| peer_url(source, node)).collect();
    let silent = source
        .cluster
        .with_role("etcd")
        .find_map(|(node, _)| fields(observed, node, &id()).filter(|seen| json(seen, "members").is_some()))
        .and_then(|seen| seen.get("silent"))
        .map_or("", String::as_str);
    let answers = |member: &Member| {
        !member.client_urls.is_empty() && !member.client_urls.iter().any(|url| silent.contains(url.as_str()))
    };
    let is_foreign = |member: &&Member| !member.peer_urls.iter().any(|url| wanted.contains(url));
    let mut foreign: Vec<Member> = listed.iter().filter(is_foreign).cloned().collect();
    foreign.sort_by_key(answers);
    foreign
}

pub fn changes(source: &Source, observed: &Observed) -> Result<Vec<Placed>, Refusal> {
    let token = token(source);
    let listed = members(source, observed);
    let nodes = || source.cluster.with_role("etcd").map(|(node, _)| node);
    let mut joins = Vec::new();
    for node in nodes() {
        let join = Join::of(source, observed, listed.as_deref(), node)?;
        joins.extend(join);
    }
    let foreign = strangers(source, observed, listed.as_deref().unwrap_or_default());
    let Some(last) = joins.len().checked_sub(1) else { return Ok(removals(source, observed, foreign)) };
    let everyone: Vec<String> = nodes().map(|node| format!("{node}={}", peer_url(source, node))).collect();
    let mut changes = Vec::new();
    let retired: Vec<Placed> = foreign.iter().filter_map(|member| retire(source, observed, member)).collect();
    let mut leaving = foreign.into_iter();
    for (place, join) in joins.into_iter().enumerate() {
        let id = Id::new("etcd-member", join.node.to_string());
        let url = peer_url(source, join.node);
        if listed.is_none() {
            let call = Call::new("etcd_bootstrap", [token.clone(), everyone.join(","), url]);
            let change = Change::new(id, Verb::Create, "no cluster yet", Order::Settle, call);
            changes.push((join.node.clone(), change));
            continue;
        }
        // One goes as one comes, before it: so nobody counts for a quorum who cannot answer.
        let replaced: Vec<Member> =
            leaving.by_ref().take(if place == last { usize::MAX } else { 1 }).collect();
        let names: Vec<String> = replaced.iter().map(Member::title).collect();
        let reason = match names.join(", ") {
            none if none.is_empty() => join.reason.to_owned(),
            names => format!("{}; takes the place of {names}", join.reason),
        };
        let stale = join.stale.into_iter().chain(replaced.iter().map(|member| member.id));
        let stale: Vec<String> = stale.map(|id| format!("{id:x}")).collect();
        let others = source.cluster.with_role("etcd").filter(|(other, _)| *other != join.node);
        let endpoints: Vec<String> = others.map(|(_, other)| client_url(other)).collect();
        let certificate = certificate_path(source, "etcd", "client");
        let name = join.node.to_string();
        let args = [token.clone(), certificate, endpoints.join(","), name, url, stale.join(" "), join.data];
        let mut change = Change::new(id, Verb::Create, reason, Order::Settle, Call::new("etcd_join", args));
        change.effect = Effect::Restart;
        change.unnoticed = true;
        changes.push((join.node.clone(), change));
    }
    changes.extend(retired);
    Ok(changes)
}

/// A node that is to be a member and is none, or none that can begin.
struct Join<'a> {
    node: &'a NodeName,
    reason: &'static str,
    /// The member that it was.
    stale: Option<u64>,
    /// Where data is that has to be set aside; empty where there is none.
    data: String,
}

impl<'a> Join<'a> {
    /// How `node` becomes a member; none where it is one. `listed`: the members, where there is a cluster.
    fn of(
        source: &Source,
        observed: &Observed,
        listed: Option<&[Member]>,
        node: &'a NodeName,
    ) -> Result<Option<Self>, Refusal> {
        let empty = Fields::new();
        let seen = fields(observed, node, &id()).unwrap_or(&empty);
        let url = peer_url(source, node);
        let known = listed.and_then(|all| all.iter().find(|member| member.peer_urls.contains(&url)));
        let begun = known.filter(|member| !member.name.is_empty());
        let answers = json(seen, "members").is_some();
        // What such a node has is of an earlier life, as a member that was taken out.
        let stranger = listed.is_some() && begun.is_none() && !answers;
        // A member that found nothing has made its folders anew, and cannot begin with them.
        let lost = begun.is_some() && !answers && seen.get("log").is_none_or(|said| said != "yes");
        let data = seen.get("data").cloned().unwrap_or_default();
        if !data.is_empty() {
            match seen.get("owner") {
                Some(owner) if *owner == token(source) && (stranger || lost) => {}
                Some(owner) if *owner == token(source) => return Ok(None),
                owner => return Err(foreign(source, node, &data, owner)),
            }
        }
        let reason = match (begun, data.is_empty()) {
            (Some(_), _) => "its data is gone",
            (None, true) => "not a member yet",
            (None, false) => "a member no more: it joins anew, what it has is set aside",
        };
        // With data of an earlier life it would be taken for one that has forgotten what it promised.
        let replaced = begun.or(known.filter(|_| !data.is_empty()));
        Ok(Some(Self { node, reason, stale: replaced.map(|member| member.id), data }))
    }
}

/// Each of the `foreign` members removed through a node that is one, and stopped where its node is still there.
fn removals(source: &Source, observed: &Observed, foreign: Vec<Member>) -> Vec<Placed> {
    let healthy = source
        .cluster
        .with_role("etcd")
        .find(|(node, _)| fields(observed, node, &id()).is_some_and(|seen| json(seen, "members").is_some()));
    let Some((node, _)) = healthy else { return Vec::new() };
    let mut changes = Vec::new();
    for member in foreign {
        let call = Call::new(
            "etcd_remove",
            [certificate_path(source, "etcd", "client"), format!("{:x}", member.id)],
        );
        let retired = retire(source, observed, &member);
        let id = Id::new("etcd-member", member.title());
        let why = "no longer wanted by the inventory";
        changes.push((node.clone(), Change::new(id, Verb::Delete, why, Order::Activate, call)));
        changes.extend(retired);
    }
    changes
}

/// Stops a member that was taken out, on a node that is still there.
fn retire(source: &Source, observed: &Observed, member: &Member) -> Option<Placed> {
    let runs =
        |node: &NodeName| source.cluster.nodes.get(node).is_some_and(|node| node.roles.contains("etcd"));
    let former = observed.keys().find(|known| known.as_str() == member.name).filter(|node| !runs(node))?;
    let call = Call::new("etcd_retire", Vec::<String>::new());
    let id = Id::new("unit", "etcd");
    let mut change = Change::new(id, Verb::Delete, "a member no more", Order::Activate, call);
    change.last = true;
    Some((former.clone(), change))
}

fn foreign(source: &Source, node: &NodeName, data: &str, owner: Option<&String>) -> Refusal {
    let token = token(source);
    let what = match owner {
        Some(owner) => format!("{node}: {data} belongs to another cluster ({owner}, not {token})"),
        None => format!("{node}: {data} holds the data of an etcd that this cluster did not make"),
    };
    Refusal { what, hint: foreign_hint(source, node, "etcd", data, owner) }
}
