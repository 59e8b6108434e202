//! Patroni's members: whose data they run, and who leads.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Observed, Placed, certificate_path, fields, foreign_hint, json, token};
use crate::cluster::{NodeName, bracketed};
use crate::render::{Source, data_directories};
use crate::resource::{Call, Change, Fields, Id, Order, Refusal, Verb};

/// One member as Patroni's `GET /cluster` lists it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Member {
    /// Name of the node.
    pub name: String,
    /// `leader`, `sync_standby`, `replica`.
    pub role: String,
    /// `running`, `streaming`, or what is wrong.
    #[serde(default)]
    pub state: String,
    /// Timeline.
    #[serde(default)]
    pub timeline: Option<u64>,
    /// Bytes behind the leader; text when it is not known.
    #[serde(default)]
    pub lag: Option<serde_json::Value>,
}

/// What Patroni says of the whole cluster.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterView {
    /// Every member.
    #[serde(default)]
    pub members: Vec<Member>,
    /// Patroni only watches.
    #[serde(default)]
    pub pause: bool,
}

impl ClusterView {
    /// The view of the first worker that has one with a leader.
    pub fn read(source: &Source, observed: &Observed) -> Option<Self> {
        let views = source.cluster.with_role("patroni").filter_map(|(node, _)| {
            serde_json::from_value::<Self>(json(fields(observed, node, &id())?, "cluster")?).ok()
        });
        let mut views: Vec<Self> = views.collect();
        let with_leader = views.iter().position(|view| view.leader().is_some()).unwrap_or(0);
        (!views.is_empty()).then(|| views.swap_remove(with_leader))
    }

    /// The leader, where there is one.
    pub fn leader(&self) -> Option<&Member> {
        self.members.iter().find(|member| ["leader", "standby_leader"].contains(&member.role.as_str()))
    }
}

/// What one member says of itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MemberStatus {
    /// Some parameters wait for a restart.
    #[serde(default)]
    pub pending_restart: bool,
}

pub fn id() -> Id {
    Id::new("patroni", "member")
}

pub fn probe(source: &Source, node: &NodeName) -> Call {
    let certificate = certificate_path(source, "patroni", "client");
    let address = source.cluster.nodes.get(node).map(|node| bracketed(node.address)).unwrap_or_default();
    let mount = source.cluster.inventory.postgresql.data_mount.clone().unwrap_or_default();
    let directories = data_directories(&source.cluster);
    Call::new("members_probe", [certificate, address, mount].into_iter().chain(directories))
}

/// Refuses to leave a member behind that runs: HAProxy would not know it, and it may lead, or be the only one that may lead
/// next. One whose machine is lost is listed until its ttl is over.
pub fn nobody_left(source: &Source, observed: &Observed) -> Result<(), Refusal> {
    let view = ClusterView::read(source, observed).unwrap_or_default();
    let stays =
        |member: &&Member| source.cluster.with_role("patroni").any(|(node, _)| node.as_str() == member.name);
    let leads = |member: &&Member| view.leader() == Some(member);
    let left: Vec<&str> = view
        .members
        .iter()
        .filter(|member| !stays(member) && !leads(member) && member.state != "stopped")
        .map(|member| member.name.as_str())
        .collect();
    if let [first, ..] = left[..] {
        return Err(Refusal {
            what: format!(
                "{} runs PostgreSQL in this cluster, and the inventory no longer has it as a member: it may become the \
                 only one that can lead next",
                left.join(", ")
            ),
            hint: format!(
                "stop it first: `ssh {first} systemctl disable --now patroni`; a machine that is lost is forgotten after \
                 patroni.ttl"
            ),
        });
    }
    let Some(leader) = view.leader().filter(|leader| !stays(leader)) else { return Ok(()) };
    let to = view.members.iter().find(|member| member.role == "sync_standby");
    let to = to.map_or_else(|| "MEMBER".to_owned(), |member| member.name.clone());
    Err(Refusal {
        what: format!("{} leads PostgreSQL, and the inventory no longer has it as a member", leader.name),
        hint: format!(
            "move the leadership first, by the inventory of before: `deploy postgresql switchover INVENTORY --to {to}`"
        ),
    })
}

/// Refuses to make data where the mount that it belongs on is not there.
pub fn mounted(source: &Source, observed: &Observed) -> Result<(), Refusal> {
    let Some(mount) = &source.cluster.inventory.postgresql.data_mount else { return Ok(()) };
    let missing = |node: &&NodeName| {
        fields(observed, node, &id()).is_some_and(|seen| seen.get("mounted").is_some_and(|said| said == "no"))
    };
    match source.cluster.with_role("patroni").map(|(node, _)| node).find(missing) {
        None => Ok(()),
        Some(node) => Err(Refusal {
            what: format!("{node}: nothing is mounted on {mount}, which `postgresql.data_mount` names"),
            hint: format!("mount the disk on {node}, in /etc/fstab too; without one, leave `data_mount` out"),
        }),
    }
}

/// Marks the data directories that this cluster is about to make; refuses those that it did not.
pub fn ownership(source: &Source, observed: &Observed) -> Result<Vec<Placed>, Refusal> {
    let token = token(source);
    let mut claims = Vec::new();
    for (node, _) in source.cluster.with_role("patroni") {
        let empty = Fields::new();
        let seen = fields(observed, node, &id()).unwrap_or(&empty);
        let owner = seen.get("owner");
        if owner == Some(&token) {
            continue;
        }
        if let Some(data) = seen.get("data") {
            let what = match owner {
                Some(owner) => format!("{node}: {data} belongs to another cluster ({owner}, not {token})"),
                None => format!("{node}: {data} holds a PostgreSQL cluster that this one did not make"),
            };
            let hint = foreign_hint(source, node, "PostgreSQL", data, owner);
            return Err(Refusal { what, hint });
        }
        let call = Call::new("owned_claim", ["patroni".to_owned(), token.clone()]);
        let id = Id::new("postgresql", "data directory");
        let mut claim = Change::new(id, Verb::Create, "no data yet", Order::Settle, call);
        // The package has made the usual place, and a new disk belongs to root.
        if let (Some(mount), Some(seen)) =
            (&source.cluster.inventory.postgresql.data_mount, observed.get(node))
        {
            let folder = format!("{mount}/{}", seen.facts.postgresql());
            let args = [folder.as_str(), "postgres:postgres", "0755"];
            claim.calls.push((Order::Settle, Call::new("directory_apply", args)));
        }
        claims.push((node.clone(), claim));
    }
    Ok(claims)
}

/// Whether any member has data of this cluster already.
pub fn has_data(source: &Source, observed: &Observed) -> bool {
    let ours = token(source);
    source.cluster.with_role("patroni").any(|(node, _)| {
        fields(observed, node, &id())
            .is_some_and(|seen| seen.contains_key("data") && seen.get("owner") == Some(&ours))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::tests::{INVENTORY, bare, running, source, source_of};

    #[test]
    fn a_member_that_would_be_left_behind_is_refused() {
        let observed = running(&source(), 13, &serde_json::json!({}));
        assert_eq!(nobody_left(&source(), &observed), Ok(()));
        let without = |nodes: &[&str]| {
            let line =
                |line: &&str| !nodes.iter().any(|node| line.trim_start().starts_with(&format!("{node}:")));
            let more = "  w4: { kind: worker, address: 10.1.0.24 }\n  w5: { kind: worker, address: 10.1.0.25 }\npatroni:";
            let kept = INVENTORY.lines().filter(line).collect::<Vec<_>>().join("\n");
            source_of(&kept.replace("patroni:", more))
        };
        let refusal = nobody_left(&without(&["w1"]), &observed).unwrap_err();
        assert!(refusal.what.contains("w1 leads PostgreSQL"), "{refusal:?}");
        assert!(refusal.hint.ends_with("--to w2`"), "{refusal:?}");
        // Whoever leads could hand over to none but those that stay.
        for (nodes, named) in
            [(&["w3"][..], "w3 runs"), (&["w1", "w2"], "w2 runs"), (&["w2", "w3"], "w2, w3 runs")]
        {
            let refusal = nobody_left(&without(nodes), &observed).unwrap_err();
            assert!(refusal.what.starts_with(named), "{refusal:?}");
            assert!(refusal.hint.contains("disable --now patroni"), "{refusal:?}");
        }
        assert_eq!(nobody_left(&without(&["w1"]), &bare(&source(), 13)), Ok(()), "nobody runs yet");
    }
}
