//! PostgreSQL's members, in Patroni's view and each in its own words.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::View;
use super::attention::Notes;
use crate::cluster::NodeName;
use crate::inventory::model::Synchronous;
use crate::live::{self, ClusterView, Member};
use crate::resource::Id;

/// File of the guard that keeps Patroni 3.0 from taking back a lock that it lost.
const GUARD: &str = "/usr/local/lib/deploy/patroni_safe.py";

/// PostgreSQL as a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PostgresqlStatus {
    /// The member that takes writes.
    pub leader: Option<NodeName>,
    /// Its timeline.
    pub timeline: Option<u64>,
    /// Patroni only watches and fails over nothing.
    pub paused: bool,
    /// What commits wait for, as the inventory says: `off`, `on` or `strict`.
    pub synchronous: Synchronous,
    /// Every member, by name.
    pub members: Vec<PostgresqlMember>,
    /// The guard of Patroni 3.0.
    pub lock_guard: LockGuard,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PostgresqlMember {
    /// Name of its node.
    pub name: NodeName,
    /// `leader`, `sync_standby`, `replica` and the like; `unknown` where nobody says.
    pub role: String,
    /// `running`, `streaming`, or what is wrong.
    pub state: String,
    /// Its timeline.
    pub timeline: Option<u64>,
    /// Bytes that it has not replayed yet; none where that is not known.
    pub lag_bytes: Option<u64>,
    /// Some parameters wait for a restart.
    pub pending_restart: bool,
    /// Version of PostgreSQL.
    pub version: Option<String>,
    /// Version of Patroni.
    pub patroni: Option<String>,
    /// The inventory has it.
    pub in_inventory: bool,
}

impl PostgresqlMember {
    /// It leads, or follows without a fault.
    pub fn runs(&self) -> bool {
        ["running", "streaming", "in archive recovery"].contains(&self.state.as_str())
    }

    /// Commits may wait for it.
    pub fn synchronous(&self) -> bool {
        ["sync_standby", "quorum_standby"].contains(&self.role.as_str())
    }
}

/// Where the guard of Patroni 3.0 is needed, and where it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LockGuard {
    /// Nodes whose Patroni needs it.
    pub needed: Vec<NodeName>,
    /// Those of them that have it.
    pub in_place: Vec<NodeName>,
}

pub fn read(view: &View<'_>, notes: &mut Notes) -> Option<PostgresqlStatus> {
    let cluster = &view.source.cluster;
    let own: BTreeSet<NodeName> = cluster.with_role("patroni").map(|(node, _)| node.clone()).collect();
    if own.is_empty() {
        return None;
    }
    let shared = ClusterView::read(view.source, &view.answers.observed);
    let listed: &[Member] = shared.as_ref().map_or(&[], |shared| shared.members.as_slice());
    let mut names = own.clone();
    names.extend(listed.iter().map(|member| NodeName::from(member.name.as_str())));
    let members: Vec<PostgresqlMember> = names
        .into_iter()
        .map(|name| {
            let in_inventory = own.contains(&name);
            member(view, name, listed, in_inventory)
        })
        .collect();
    let leader = members.iter().find(|member| ["leader", "standby_leader"].contains(&member.role.as_str()));
    let says_paused =
        |node: &NodeName| status(view, node).is_some_and(|status| status["pause"] == Value::Bool(true));
    let found = PostgresqlStatus {
        leader: leader.map(|leader| leader.name.clone()),
        timeline: leader.and_then(|leader| leader.timeline),
        paused: shared.as_ref().is_some_and(|shared| shared.pause) || own.iter().any(says_paused),
        synchronous: cluster.inventory.patroni.synchronous,
        lock_guard: guard(view, &members),
        members,
    };
    as_a_whole(view, &found, notes);
    for member in &found.members {
        alone(view, &found, member, notes);
    }
    Some(found)
}

/// What a node's Patroni says of itself.
fn status(view: &View<'_>, node: &NodeName) -> Option<Value> {
    live::json(live::fields(&view.answers.observed, node, &live::member_id())?, "status")
}

fn member(view: &View<'_>, name: NodeName, listed: &[Member], in_inventory: bool) -> PostgresqlMember {
    let own = status(view, &name).unwrap_or_default();
    let listed = listed.iter().find(|member| member.name == name.as_str());
    let word = |key: &str| own[key].as_str().map(str::to_owned);
    // Patroni 3.0 calls the leader `master`, Patroni 4 `primary`.
    let own_role = word("role")
        .map(|role| if ["master", "primary"].contains(&role.as_str()) { "leader".into() } else { role });
    let role = listed.map(|member| member.role.clone()).or(own_role).unwrap_or_else(|| "unknown".into());
    let silent = if view.speaks(&name) || !in_inventory { "not a member" } else { "unknown" };
    let state =
        listed.map(|member| member.state.clone()).filter(|state| !state.is_empty()).or_else(|| word("state"));
    let lag = listed.and_then(|member| member.lag.as_ref()).and_then(Value::as_u64);
    PostgresqlMember {
        lag_bytes: if role == "leader" { Some(0) } else { lag },
        role,
        state: state.unwrap_or_else(|| silent.into()),
        timeline: listed.and_then(|member| member.timeline).or_else(|| own["timeline"].as_u64()),
        pending_restart: own["pending_restart"] == Value::Bool(true),
        version: own["server_version"]
            .as_u64()
            .map(|version| format!("{}.{}", version / 10_000, version % 10_000)),
        patroni: own["patroni"]["version"].as_str().map(str::to_owned),
        in_inventory,
        name,
    }
}

fn guard(view: &View<'_>, members: &[PostgresqlMember]) -> LockGuard {
    let old = |member: &&PostgresqlMember| {
        member.patroni.as_ref().is_some_and(|version| version.starts_with("3.0."))
    };
    let needed: Vec<NodeName> = members.iter().filter(old).map(|member| member.name.clone()).collect();
    let there = |node: &&NodeName| {
        let file = live::fields(&view.answers.observed, node, &Id::new("file", GUARD));
        file.is_some_and(|file| file.contains_key("sha256"))
    };
    let in_place = needed.iter().filter(there).cloned().collect();
    LockGuard { needed, in_place }
}

fn as_a_whole(view: &View<'_>, found: &PostgresqlStatus, notes: &mut Notes) {
    let speaker = found.members.iter().map(|member| &member.name).find(|node| view.speaks(node));
    let Some(speaker) = speaker else { return };
    let list = view.remedies.patronictl(speaker, "list");
    let leading = |member: &&PostgresqlMember| {
        let role = status(view, &member.name).and_then(|status| status["role"].as_str().map(str::to_owned));
        role.is_some_and(|role| ["master", "primary"].contains(&role.as_str()))
    };
    let leaders: Vec<&str> =
        found.members.iter().filter(leading).map(|member| member.name.as_str()).collect();
    if leaders.len() > 1 {
        notes.critical(
            None,
            format!("more than one member says that it leads: {}", leaders.join(", ")),
            list.clone(),
        );
    }
    if found.leader.is_none() {
        notes.critical(None, "PostgreSQL has no leader and takes no writes", list);
    } else if found.members.len() > 1
        && found.synchronous != Synchronous::Off
        && !found.members.iter().any(PostgresqlMember::synchronous)
    {
        let what = if found.synchronous == Synchronous::Strict {
            "no standby is synchronous: writes wait until one is"
        } else {
            "no standby is synchronous: the loss of the leader now would lose its last transactions"
        };
        notes.warning(None, what, list);
    }
    if found.paused {
        let resume = view.remedies.patronictl(speaker, "resume --wait");
        notes.warning(None, "Patroni is paused: it fails over nothing", resume);
    }
    let LockGuard { needed, in_place } = &found.lock_guard;
    let bare: Vec<&NodeName> = needed.iter().filter(|node| !in_place.contains(node)).collect();
    for node in &bare {
        let what = "its Patroni 3.0 can take back a lock that it lost, and the guard against that is missing";
        notes.warning(Some(node), what, view.remedies.apply());
    }
    if bare.is_empty() && !needed.is_empty() {
        let guarded: Vec<&str> = needed.iter().map(NodeName::as_str).collect();
        notes.note(format!("Patroni 3.0 on {}: the safe-lock guard is in place", guarded.join(", ")));
    }
}

fn alone(view: &View<'_>, found: &PostgresqlStatus, member: &PostgresqlMember, notes: &mut Notes) {
    let node = Some(&member.name);
    if !member.in_inventory {
        let stop = view.remedies.on(&member.name, "systemctl disable --now patroni");
        if found.leader.as_ref() == Some(&member.name) {
            let what = "leads PostgreSQL and is not in the inventory: HAProxy does not know it";
            notes.critical(node, what, view.remedies.patronictl(&member.name, "switchover"));
        } else {
            let what = "is a member of PostgreSQL and not in the inventory: it may be the only one that can lead next";
            notes.warning(node, what, stop);
        }
        return;
    }
    if !view.speaks(&member.name) {
        return;
    }
    let journal = view.remedies.journal(&member.name, "patroni");
    if !member.runs() {
        // A unit that does not run has been told of already.
        if view.runs(&member.name, "patroni") {
            notes.critical(node, format!("PostgreSQL is not running: {}", member.state), journal);
        }
        return;
    }
    let most = view.source.cluster.inventory.patroni.maximum_lag_on_failover;
    if let Some(lag) = member.lag_bytes.filter(|lag| *lag > most) {
        let what = format!("is {lag} bytes behind the leader: more than {most}, so it may not take over");
        notes.warning(node, what, journal.clone());
    }
    if found.timeline.is_some() && member.timeline.is_some() && member.timeline != found.timeline {
        let timeline =
            |timeline: Option<u64>| timeline.map_or_else(String::new, |timeline| timeline.to_string());
        let what = format!(
            "is on timeline {}, the leader on {}",
            timeline(member.timeline),
            timeline(found.timeline)
        );
        notes.warning(node, what, journal);
    }
    if member.pending_restart {
        notes.warning(node, "some parameters wait for a restart of PostgreSQL", view.remedies.apply());
    }
}
