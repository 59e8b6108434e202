//! The membership of etcd: bootstrapped once, then changed one member at a time.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{ClusterView, Observed, Placed, certificate_path, fields, foreign_hint, json, token};
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
    let listed = json(fields(observed, healthy(source, observed)?, &id())?, "members")?;
    serde_json::from_value(listed.get("members")?.clone()).ok()
}

/// Members that no node of the inventory stands for.
struct Strangers {
    /// Those that do not answer.
    dead: Vec<Member>,
    /// Those that do.
    alive: Vec<Member>,
}

impl Strangers {
    fn of(source: &Source, observed: &Observed, listed: &[Member]) -> Self {
        let wanted: Vec<String> =
            source.cluster.with_role("etcd").map(|(node, _)| peer_url(source, node)).collect();
        let seen = healthy(source, observed).and_then(|node| fields(observed, node, &id()));
        let silent: Vec<&str> =
            seen.and_then(|seen| seen.get("silent")).map_or("", String::as_str).split_whitespace().collect();
        let answers = |member: &Member| {
            !member.client_urls.is_empty()
                && !member.client_urls.iter().any(|url| silent.contains(&url.as_str()))
        };
        let is_stranger = |member: &&Member| !member.peer_urls.iter().any(|url| wanted.contains(url));
        let (alive, dead) = listed.iter().filter(is_stranger).cloned().partition(answers);
        Self { dead, alive }
    }
}

/// The first node whose etcd answers.
fn healthy<'a>(source: &'a Source, observed: &Observed) -> Option<&'a NodeName> {
    let answers =
        |node: &&NodeName| fields(observed, node, &id()).is_some_and(|seen| json(seen, "members").is_some());
    source.cluster.with_role("etcd").map(|(node, _)| node).find(answers)
}

pub fn changes(source: &Source, observed: &Observed) -> Result<Vec<Placed>, Refusal> {
    let Some(listed) = members(source, observed) else { return bootstrap(source, observed) };
    let mut joins = Vec::new();
    for (node, _) in source.cluster.with_role("etcd") {
        joins.extend(Join::of(source, observed, Some(&listed), node)?);
    }
    let Strangers { dead, alive } = Strangers::of(source, observed, &listed);
    if joins.is_empty() {
        return Ok(removals(source, observed, dead.into_iter().chain(alive), false));
    }
    // etcd takes nobody in while one that it counts does not answer.
    let gone: Vec<u64> =
        joins.iter().filter_map(|join| join.stale).chain(dead.iter().map(|member| member.id)).collect();
    let mut places = joins.iter().filter(|join| !join.is_counted).count();
    let mut names = dead.iter().map(Member::title).collect::<Vec<_>>().into_iter();
    let mut alive = alive.into_iter();
    let mut changes = Vec::new();
    for join in joins {
        // One goes as one comes, before it: an even number would lose its quorum sooner. Who is counted already takes no place.
        let most = match (join.is_counted, places) {
            (true, _) => 0,
            (false, 1) => usize::MAX,
            (false, _) => 1,
        };
        places -= usize::from(!join.is_counted);
        let mut replaced: Vec<String> = names.by_ref().take(most).collect();
        let leaving: Vec<Member> = alive.by_ref().take(most.saturating_sub(replaced.len())).collect();
        replaced.extend(leaving.iter().map(Member::title));
        let reason = if replaced.is_empty() {
            join.reason.to_owned()
        } else {
            format!("{}; takes the place of {}", join.reason, replaced.join(", "))
        };
        let leaving = gone.iter().copied().chain(leaving.iter().map(|member| member.id));
        changes.push((join.node.clone(), join.change(source, reason, leaving)));
    }
    changes.extend(removals(source, observed, alive, true));
    Ok(changes)
}

/// Refuses data that this cluster did not make.
pub fn ownership(source: &Source, observed: &Observed) -> Result<(), Refusal> {
    let mut nodes = source.cluster.with_role("etcd").map(|(node, _)| node);
    nodes.try_for_each(|node| Join::of(source, observed, None, node).map(drop))
}

/// The first members, all at once; none where there are some with data.
fn bootstrap(source: &Source, observed: &Observed) -> Result<Vec<Placed>, Refusal> {
    let nodes = || source.cluster.with_role("etcd").map(|(node, _)| node);
    let everyone: Vec<String> = nodes().map(|node| format!("{node}={}", peer_url(source, node))).collect();
    let mut changes = Vec::new();
    for node in nodes() {
        let Some(join) = Join::of(source, observed, None, node)? else { continue };
        somewhere_else(source, observed)?;
        let args = [token(source), everyone.join(","), peer_url(source, node)];
        let call = Call::new("etcd_bootstrap", args);
        let change = Change::new(join.id(), Verb::Create, "no cluster yet", Order::Settle, call);
        changes.push((node.clone(), change));
    }
    Ok(changes)
}

/// Refuses a second etcd beside the one that Patroni has its leader from.
fn somewhere_else(source: &Source, observed: &Observed) -> Result<(), Refusal> {
    let view = ClusterView::read(source, observed);
    if view.as_ref().and_then(ClusterView::leader).is_none() {
        return Ok(());
    }
    Err(Refusal {
        what: "PostgreSQL has its leader from an etcd of which the inventory keeps no member that answers".into(),
        hint: "start a member that is down; where all are to be replaced, leave at least one in the inventory, apply, \
               and replace that one by a second apply"
            .into(),
    })
}

/// A node that is to be a member and is none, or none that can begin.
struct Join<'a> {
    node: &'a NodeName,
    reason: &'static str,
    /// The member that it was.
    stale: Option<u64>,
    /// It has a place among the members already.
    is_counted: bool,
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
        let stale = replaced.map(|member| member.id);
        Ok(Some(Self { node, reason, stale, is_counted: known.is_some(), data }))
    }

    fn id(&self) -> Id {
        Id::new("etcd-member", self.node.to_string())
    }

    /// The change that lets go of those that are `leaving`, as far as they are still there, and takes this one in.
    fn change(self, source: &Source, reason: String, leaving: impl Iterator<Item = u64>) -> Change {
        let others = source.cluster.with_role("etcd").filter(|(other, _)| *other != self.node);
        let endpoints: Vec<String> = others.map(|(_, other)| client_url(other)).collect();
        let leaving: Vec<String> = leaving.map(|id| format!("{id:x}")).collect();
        let (id, url) = (self.id(), peer_url(source, self.node));
        let args = [
            token(source),
            certificate_path(source, "etcd", "client"),
            endpoints.join(","),
            self.node.to_string(),
            url,
            leaving.join(" "),
            self.data,
        ];
        let mut change = Change::new(id, Verb::Create, reason, Order::Settle, Call::new("etcd_join", args));
        change.effect = Effect::Restart;
        change.unnoticed = true;
        change
    }
}

/// Whether a step with this change has to come before others: with it the members that are counted answer again.
pub fn is_join(change: &Change) -> bool {
    change.calls.iter().any(|(_, call)| call.function == "etcd_join")
}

/// Each of these members removed, through a node that is one; `last` of all where others come.
fn removals(
    source: &Source,
    observed: &Observed,
    leaving: impl Iterator<Item = Member>,
    last: bool,
) -> Vec<Placed> {
    let Some(node) = healthy(source, observed) else { return Vec::new() };
    let removal = |member: Member| {
        let args = [certificate_path(source, "etcd", "client"), format!("{:x}", member.id)];
        let id = Id::new("etcd-member", member.title());
        let why = "no longer wanted by the inventory";
        let mut change = Change::new(id, Verb::Delete, why, Order::Activate, Call::new("etcd_remove", args));
        change.last = last;
        (node.clone(), change)
    };
    leaving.map(removal).collect()
}

fn foreign(source: &Source, node: &NodeName, data: &str, owner: Option<&String>) -> Refusal {
    let token = token(source);
    let what = match owner {
        Some(owner) => format!("{node}: {data} belongs to another cluster ({owner}, not {token})"),
        None => format!("{node}: {data} holds the data of an etcd that this cluster did not make"),
    };
    Refusal { what, hint: foreign_hint(source, node, "etcd", data, owner) }
}
